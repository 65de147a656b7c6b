"""Sums of squared residuals along a path, from sums over rows."""

from libc.math cimport fabs, sqrt

import numpy as np


def squares_along(const double[:, ::1] C, const double[::1] shift, const double[::1] unit,
                  const Py_ssize_t[::1] indptr, const Py_ssize_t[::1] indices,
                  const double[::1] values, const double[::1] constants):
    """v'C v of each solution, v = (-w / unit, 1, -(constant + shift'w)), and how much is added up.

    Parameters
    ----------
    C : ndarray of shape (p + 2, p + 2) or (p + 1, p + 1)
        The upper triangle is read; without its last row where there is no constant.
    shift, unit : ndarray of shape (p,)
    indptr, indices, values : ndarray
        The coefficients w as in CSC, indices ascending.
    constants : ndarray of shape (n_solutions,)

    Returns
    -------
    squares, magnitudes : ndarray of shape (n_solutions,)
        The second is sum_j sqrt(C_jj) |v_j|.
    """
    cdef Py_ssize_t p = shift.shape[0], count = constants.shape[0], k, e, m
    cdef double[::1] v = np.empty(p + 2), squares = np.empty(count), magnitudes = np.empty(count)
    cdef Py_ssize_t[::1] at = np.empty(p + 2, dtype=np.intp)
    cdef double rest
    with nogil:
        for k in range(count):
            m, rest = 0, constants[k]
            for e in range(indptr[k], indptr[k + 1]):
                at[m], v[m] = indices[e], -values[e] / unit[indices[e]]
                rest += shift[indices[e]] * values[e]
                m += 1
            at[m], v[m] = p, 1.0
            m += 1
            if C.shape[0] > p + 1:
                at[m], v[m] = p + 1, -rest
                m += 1
            squares[k] = _square(C, &at[0], &v[0], m, &magnitudes[k])
    return squares.base, magnitudes.base


cdef double _square(const double[:, ::1] C, const Py_ssize_t* at, const double* v, Py_ssize_t m,
                    double* magnitude) noexcept nogil:
    cdef Py_ssize_t a, b
    cdef const double* row
    cdef double total = 0.0, s, t
    magnitude[0] = 0.0
    for a in range(m):
        row = &C[at[a], 0]
        s, t = 0.5 * row[at[a]] * v[a], 0.0
        magnitude[0] += sqrt(row[at[a]]) * fabs(v[a])
        b = a + 1
        while b + 2 <= m:
            s += row[at[b]] * v[b]
            t += row[at[b + 1]] * v[b + 1]
            b += 2
        if b < m:
            s += row[at[b]] * v[b]
        total += 2.0 * v[a] * (s + t)
    return total
