"""One pass over a vector: whether it is finite; a target in the units of the kernels."""

from libc.math cimport INFINITY, fabs, ilogb, ldexp

import numpy as np

from creg._data cimport leaves

ctypedef fused Value:
    double
    float

cdef double EPS = 2.220446049250313e-16


def all_finite(array):
    """Whether an array of float64 or float32 holds finite numbers alone."""
    cdef const double[::1] wide
    cdef const float[::1] narrow
    flat = array.ravel(order="K")
    if flat.dtype == np.float64:
        wide = flat
        return wide.shape[0] == 0 or _finite(&wide[0], wide.shape[0])
    narrow = flat
    return narrow.shape[0] == 0 or _finite(&narrow[0], narrow.shape[0])


cdef bint _finite(const Value* x, Py_ssize_t n) noexcept nogil:
    """0 x is 0 for finite x only."""
    cdef double a = 0.0, b = 0.0, c = 0.0, d = 0.0
    cdef Py_ssize_t i = 0
    while i + 4 <= n:
        a += 0.0 * x[i]
        b += 0.0 * x[i + 1]
        c += 0.0 * x[i + 2]
        d += 0.0 * x[i + 3]
        i += 4
    while i < n:
        a += 0.0 * x[i]
        i += 1
    return a + b + c + d == 0.0


def centred_target(y, weights, bint centre):
    """(y_k, mean, unit): y = mean + unit y_k, 1 <= ||y_k|| < 2, or y_k = 0 for a constant y.

    y, weights : (n_samples,), weights or None; y_k is 0 in rows of weight 0
    """
    cdef const double[::1] given = np.ascontiguousarray(y, dtype=np.float64)
    cdef Py_ssize_t i, first = 0, n = given.shape[0]
    cdef double[::1] out = np.empty(n)
    cdef const double[::1] weight
    cdef const double* s = NULL
    cdef double mean = 0.0, unit = 1.0, largest = 0.0, squares
    if weights is not None:
        weight = weights
        s = &weight[0]
        while not s[first] > 0.0:
            first += 1
    if centre:
        _subtract(&given[0], given[first], s, &out[0], n)
        if s == NULL:
            mean = leaves.creg_sum(n, &out[0]) / n
        else:
            mean = leaves.creg_inner(n, s, &out[0]) / leaves.creg_sum(n, s)
        mean += given[first]
    _subtract(&given[0], mean, s, &out[0], n)
    for i in range(n):
        largest = fabs(out[i]) if not fabs(out[i]) <= largest else largest
    if largest == 0.0 or (centre and largest <= 4 * EPS * fabs(mean)):
        out[:] = 0.0
        return out.base, mean, 1.0
    if not largest < INFINITY:
        return out.base, mean, 1.0
    unit = ldexp(1.0, ilogb(largest))
    for i in range(n):
        out[i] /= unit
    squares = leaves.creg_inner(n, &out[0], &out[0])
    if s != NULL:
        squares = 0.0
        for i in range(n):
            squares += s[i] * out[i] * out[i]
    i = ilogb(squares)
    squares = ldexp(1.0, <int> (i - (i & 1)) // 2)
    for i in range(n):
        out[i] /= squares
    return out.base, mean, unit * squares


cdef void _subtract(const double* y, double mean, const double* s, double* out,
                    Py_ssize_t n) noexcept nogil:
    """out = y - mean, 0 where the weight is."""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = y[i] - mean
    if s != NULL:
        for i in range(n):
            if not s[i] > 0.0:
                out[i] = 0.0
