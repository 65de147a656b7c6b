"""A whole path in one call: the coefficients of every penalty, as columns of a CSC array."""

import numpy as np

from creg._data.status cimport Status
from creg._lasso.certifier cimport grown
from creg._lasso.working_set cimport WorkingSetSolver


def trace(WorkingSetSolver solver, const double[::1] l1, const double[::1] l2,
          double tolerance, long long max_iter, Py_ssize_t most):
    """Solve at each penalty in turn.

    It ends after the first solution with more than `most` coefficients that are not zero.

    Parameters
    ----------
    solver : WorkingSetSolver
        One that pivots: its working set only grows.
    l1, l2 : ndarray of shape (k,)
    tolerance : float
        On the gaps.
    max_iter, most : int

    Returns
    -------
    indptr, indices, values : ndarray
        The features of each column ascend.
    facts : ndarray of shape (k, 5)
        gap, half the squared residual, reads, iterations, status.
    """
    cdef Py_ssize_t k, i, j, m = l1.shape[0], done = 0, size, end = 0
    cdef Py_ssize_t[::1] indptr = np.zeros(m + 1, dtype=np.intp)
    cdef Py_ssize_t[::1] places = np.empty(256, dtype=np.intp)
    cdef double[::1] values = np.empty(256)
    cdef double[:, ::1] facts = np.empty((m, 5))
    cdef double reads = 0.0
    cdef Status status
    for k in range(m):
        status = solver.run(l1[k], l2[k], l1[min(k + 1, m - 1)], tolerance, max_iter)
        facts[k, 0], facts[k, 1] = solver.gap_reached, solver.half_squared_residual
        facts[k, 2], facts[k, 3] = solver.reads - reads, <double> solver.iterations
        facts[k, 4], reads = <double> <int> status, solver.reads
        if end + solver.n_working > places.shape[0]:
            size = 2 * (end + solver.n_working)
            places, values = grown(places, size), grown(values, size)
        for i in range(solver.n_working):
            j = solver.working[i]
            places[end], values[end] = i, solver.descent.w[j]
            end += solver.descent.w[j] != 0.0
        indptr[k + 1], done = end, k + 1
        if end - indptr[k] > most:
            break
    working = np.asarray(solver.working)[:solver.n_working]
    indices, values = _ascending(working, indptr.base[:done + 1], places, values)
    return indptr.base[:done + 1], indices, values.base, facts.base[:done]


cdef tuple _ascending(working, const Py_ssize_t[::1] indptr, const Py_ssize_t[::1] places,
                      const double[::1] values):
    """Features in place of places in the working set, ascending in each column."""
    cdef const Py_ssize_t[::1] order = np.argsort(working)
    cdef const Py_ssize_t[::1] features = working
    cdef Py_ssize_t size = indptr[indptr.shape[0] - 1], k, e, i, at
    cdef Py_ssize_t[::1] indices = np.empty(size, dtype=np.intp)
    cdef Py_ssize_t[::1] entry = np.full(len(working), -1, dtype=np.intp)
    cdef double[::1] sorted_values = np.empty(size)
    for k in range(indptr.shape[0] - 1):
        for e in range(indptr[k], indptr[k + 1]):
            entry[places[e]] = e
        at = indptr[k]
        for i in range(order.shape[0]):
            e = entry[order[i]]
            if e >= 0:
                indices[at], sorted_values[at] = features[order[i]], values[e]
                entry[order[i]] = -1
                at += 1
    return indices.base, sorted_values
