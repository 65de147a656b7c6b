"""Loops of leave-one-out over rows, and over short columns of a basis."""

from libc.math cimport INFINITY, copysign, fabs, isfinite, sqrt
from libc.string cimport memset

import numpy as np

from scipy.linalg.cython_blas cimport dgemv, dger

from creg._data cimport leaves

cdef char PLAIN = b"N"
cdef char TRANSPOSED = b"T"
cdef double ONE = 1.0
cdef double MINUS = -1.0
cdef double NOUGHT = 0.0
cdef int STEP = 1


def append_direction(const double[:] z, double[::1, :] both, Py_ssize_t first, Py_ssize_t rank,
                     Py_ssize_t slot, double tolerance):
    """The direction that a column adds to a basis Q above W, behind its `first + rank` columns.

        q = (z - Q Q'z) / size, until it is orthogonal,    w = (e_slot - W Q'z) / size

    Parameters
    ----------
    z : ndarray of shape (length,)
    both : ndarray of shape (length + slots, columns)
        With room for a column.
    first, rank, slot : int
    tolerance : float
        Size down to which the column depends on the others.

    Returns
    -------
    float
        ||w||^2; negative where the column depends on the others.
    """
    cdef Py_ssize_t length = z.shape[0], slots = both.shape[0] - length, i, turn = 0
    cdef int n = <int> length, m = <int> slots, k = <int> rank, ld = <int> both.shape[0]
    cdef double[::1] work = np.zeros(2 * rank + 1)
    cdef double* Q = &both[0, first]
    cdef double* q = Q + rank * both.shape[0]
    cdef double* c = &work[0]
    cdef double* again = c + rank
    cdef double size = 1.0, left
    if rank == length:
        return -1.0
    with nogil:
        for i in range(length):
            q[i] = z[i]
        while True:
            if rank:
                dgemv(&TRANSPOSED, &n, &k, &ONE, Q, &ld, q, &STEP, &NOUGHT, again, &STEP)
                dgemv(&PLAIN, &n, &k, &MINUS, Q, &ld, again, &STEP, &ONE, q, &STEP)
            for i in range(rank):
                c[i] += size * again[i]
            left = sqrt(leaves.creg_inner(length, q, q))
            size *= left
            if not size > tolerance:
                break
            for i in range(length):
                q[i] /= left
            if not rank or (turn and left > 0.5):
                break
            turn += 1
        if size > tolerance:
            memset(q + length, 0, slots * sizeof(double))
            for i in range(rank):
                c[i] /= -size
            if rank:
                dgemv(&PLAIN, &m, &k, &ONE, Q + length, &ld, c, &STEP, &NOUGHT, q + length, &STEP)
            q[length + slot] += 1.0 / size
            left = leaves.creg_inner(slots, q + length, q + length)
    return left if size > tolerance else -1.0


def turn_to_first(double[::1, :] both, Py_ssize_t length, Py_ssize_t first, Py_ssize_t rank,
                  Py_ssize_t slot):
    """Reflect a basis so that its first direction alone has the slot in it.

    By I - a u u', u = v + sign(v_1) ||v|| e_1, a = 2 / u'u, v the row of W.
    """
    cdef int height = <int> both.shape[0], k = <int> rank, ld = <int> both.shape[0]
    cdef double[::1] work = np.empty(rank + height)
    cdef double* used = &both[0, first]
    cdef double* u = &work[0]
    cdef double* product = u + rank
    cdef double a
    cdef Py_ssize_t i
    with nogil:
        for i in range(rank):
            u[i] = used[i * both.shape[0] + length + slot]
        u[0] += copysign(sqrt(leaves.creg_inner(rank, u, u)), u[0])
        a = -2.0 / leaves.creg_inner(rank, u, u)
        dgemv(&PLAIN, &height, &k, &ONE, used, &ld, u, &STEP, &NOUGHT, product, &STEP)
        dger(&height, &k, &a, product, &STEP, u, &STEP, used, &ld)


def add_squares(double[::1] h, const double[:, :] q, double sign):
    """h_i += sign sum_k q_ik^2; q : (n, k) with columns in one piece."""
    cdef Py_ssize_t i, k, n = h.shape[0]
    cdef const double* column
    for k in range(q.shape[1]):
        column = &q[0, k]
        with nogil:
            for i in range(n):
                h[i] += sign * column[i] * column[i]


def left_out(const double[::1] r, const double[::1] h, const double[::1] s, double saturated,
             double[::1] squares):
    """The mean of e_i^2 = (r_i / (1 - h_i))^2 and its standard error.

    Parameters
    ----------
    r, h : ndarray of shape (n,)
    s : ndarray of shape (n,)
        Weights that sum to 1; rows of weight zero count for nothing.
    saturated : float
        1 - h_i up to which e_i is infinite.
    squares : ndarray of shape (n,)
        To work in.

    Returns
    -------
    mean, error : float
    """
    cdef Py_ssize_t i, start = 0, stop, n = r.shape[0], count = 0
    cdef double left, mean = 0.0, spread = 0.0, part, unit
    with nogil:
        for i in range(n):
            left = 1.0 - h[i]
            part = r[i] / left
            squares[i] = part * part if left > saturated else INFINITY
        while start < n:
            stop, part = min(start + 256, n), 0.0
            for i in range(start, stop):
                if s[i] > 0.0:
                    part += s[i] * squares[i]
                    count += 1
            mean, start = mean + part, stop
        unit, start = (mean if mean > 0.0 else 1.0), 0
        while start < n and isfinite(mean):
            stop, part = min(start + 256, n), 0.0
            for i in range(start, stop):
                if s[i] > 0.0:
                    left = (squares[i] - mean) / unit
                    part += s[i] * left * left
            spread, start = spread + part, stop
    if not isfinite(mean) or count < 2:
        return mean, INFINITY
    return mean, unit * sqrt(spread / (count - 1))
