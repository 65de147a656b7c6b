"""The Gram matrix of few columns, kept with the storage where it has no weights."""

from libc.string cimport memset
from scipy.linalg.cython_blas cimport dsyrk

import numpy as np

from creg._data.design cimport DesignView

from creg._data.statistics import gram

cdef enum:
    ENTRIES = 65_536  # of a dense X up to which the columns are copied at once


def narrow_gram(DesignView view):
    """Z'SZ, read-only."""
    key = ("gram", view.centred)
    known = view.storage._moments.get(key) if view.s == NULL else None
    if known is not None:
        return known
    if view.storage.is_sparse() or view.n_samples * view.n_features > ENTRIES:
        known = gram(view)
    else:
        known = _product(view)
    known.flags.writeable = False
    if view.s == NULL:
        view.storage._moments[key] = known
    return known


def _product(DesignView view):
    """Dense X, in a column layout: of the columns S^1/2 z_j side by side."""
    cdef int n = <int> view.n_samples, p = <int> view.n_features
    cdef double[::1] columns = np.empty(n * p)
    cdef double[:, ::1] G = np.empty((p, p))
    cdef const double[::1] root
    cdef const double* s = NULL
    cdef double one = 1.0, nought = 0.0
    cdef char lower = b"L", transposed = b"T"
    cdef Py_ssize_t j, k
    if view.s != NULL:
        root = np.sqrt(view.weights)
        s = &root[0]
    with nogil:
        memset(&columns[0], 0, n * p * sizeof(double))
        for j in range(p):
            if view._norm2[j] > 0.0:
                view.storage.axpy(j, view._scale[j], view._shift[j], s, &columns[j * n])
        dsyrk(&lower, &transposed, &p, &n, &one, &columns[0], &n, &nought, &G[0, 0], &p)
        for j in range(p):
            for k in range(j):
                G[j, k] = G[k, j]
    return G.base
