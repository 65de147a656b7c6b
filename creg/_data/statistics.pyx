"""Sums over rows or columns of products: Gram matrices and cross products.

    gram        Z'SZ                       cross       Z'SR
    outer_gram  S^1/2 Z diag(d) Z' S^1/2

Dense X goes by blocks (blocks.pyx).  Sparse X is scattered slice by slice, sum_i nnz_i^2
operations, and centred by algebra; columns with W mean_j^2 > 100 ||z_j||^2, where that would
cancel, are taken as dense vectors.  Sums run over a partition that does not depend on the number
of threads.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t

from functools import partial

import numpy as np

from creg._data.design cimport DesignView
from creg._data.storage cimport SPARSE_ROWS, Storage

from creg._data.blocks import BLAS_WORK, Blocks, add_outer_products, mirrored
from creg._data.threads import parallel, pieces

cdef enum:
    COLUMNS = 256           # outer products at once
    SLICE_ENTRIES = 16_384  # entries that are transposed at once, at least
    SPREAD = 16             # of each line that is transposed, at least

HEAVY = 100             # W mean^2 over ||z||^2 above which centring by algebra cancels too much
CROSS_COLUMNS = 4       # right-hand sides from which a block is multiplied by BLAS


def gram(DesignView view, int n_threads=1):
    """Z'SZ.

    Parameters
    ----------
    view : DesignView
        In any layout.
    n_threads : int, default=1
        Threads; the result does not depend on it.

    Returns
    -------
    ndarray of shape (n_features, n_features)
        Full and symmetric; zero for constant columns.
    """
    live = view.norm2 > 0
    if not view.storage.issparse:
        return mirrored(_blocks(view, view.scale * live).gram(n_threads))
    heavy = _heavy(view)
    mean = view.mean * view.scale * live
    root = None if view.weights is None else _root_weights(view)
    G = _scattered(view.storage, True, root, view.scale * live, n_threads)
    _subtract_means(G, view.sum_weights, mean)
    mirrored(G)
    unit = np.zeros(view.n_features)
    for j in np.flatnonzero(heavy):
        unit[j] = 1
        G[j] = G[:, j] = view.correlations_of(view.product(unit), n_threads, overwrite=True)
        unit[j] = 0
    np.fill_diagonal(G, view.norm2)
    return G


def cross(DesignView view, R, int n_threads=1):
    """Z'SR, (n_features,) or (n_features, k), for R of shape (n_samples,) or (n_samples, k)."""
    R = np.asarray(R, dtype=np.float64)
    if view.storage.issparse or R.ndim == 1 or R.shape[1] < CROSS_COLUMNS:
        return view.correlations_of(R, n_threads)
    if view.centred:
        s = np.ones(view.n_samples) if view.weights is None else view.weights
        R = R - (s @ R) / view.sum_weights
    R = np.asfortranarray(R * _root_weights(view)[:, None])
    return _blocks(view, view.scale * (view.norm2 > 0)).cross(R, n_threads)


def outer_gram(DesignView view, d=None, int n_threads=1):
    """S^1/2 Z diag(d) Z' S^1/2.

    Parameters
    ----------
    view : DesignView
        In any layout.
    d : ndarray of shape (n_features,), optional
        Nonnegative; ones by default.
    n_threads : int, default=1
        Threads; the result does not depend on it.

    Returns
    -------
    ndarray of shape (n_samples, n_samples)
        Full and symmetric.
    """
    root_d = np.ones(view.n_features) if d is None else np.sqrt(np.asarray(d, dtype=np.float64))
    root_d = root_d * (view.norm2 > 0)
    if not view.storage.issparse:
        return mirrored(_blocks(view, view.scale * root_d).outer_gram(view.centred, n_threads))
    root = _root_weights(view)
    heavy = _heavy(view)
    light = root_d * ~heavy
    K = _scattered(view.storage, False, view.scale * light, root, n_threads)
    if view.centred:
        # z_ij z_kj = x_ij x_kj - mean_j (x_ij + x_kj) + mean_j^2, summed with d_j
        mean = view.mean * view.scale
        v = np.square(light) * mean
        constant = v @ mean
        t = view.product(v, n_threads) + constant
        _subtract_sums(K, root, root * (t - constant / 2))
    heavy = np.flatnonzero(heavy & (root_d > 0))
    for start in range(0, len(heavy), COLUMNS):
        columns = heavy[start:start + COLUMNS]
        v = np.zeros((view.n_features, len(columns)))
        v[columns, np.arange(len(columns))] = root_d[columns]
        block = view.product(v, n_threads) * root[:, None]
        block -= np.outer(root, root @ block / view.sum_weights)
        add_outer_products(K, np.asfortranarray(block))
    return mirrored(K)


def _blocks(view, scale):
    root = None if view.weights is None else np.sqrt(view.weights)
    return Blocks(view.storage, view.mean, scale, root)


def _root_weights(view):
    return np.ones(view.n_samples) if view.weights is None else np.sqrt(view.weights)


def _heavy(view):
    return view.sum_weights * np.square(view.mean * view.scale) > HEAVY * view.norm2


def _scattered(Storage storage, bint by_rows, factor, unit, int n_threads):
    """The upper triangle of sum over slices i of v_i v_i', v_ik = factor_i unit_k x_ik.

    factor may be None for ones.
    """
    cdef Py_ssize_t size = storage.n_features if by_rows else storage.n_samples
    out = np.zeros((size, size))
    slices = _Slices(storage, by_rows)
    ranges = pieces(size, 1 if n_threads <= 1 or slices.work < BLAS_WORK else 2 * n_threads)
    parallel([partial(slices.scatter, factor, unit, out, *ends) for ends in ranges], n_threads)
    return out


cdef class _Slices:
    """The rows (or columns) of a sparse X one after the other, transposed in blocks if need be."""

    cdef Storage storage
    cdef bint native
    cdef Py_ssize_t length, size
    cdef Py_ssize_t entries, window  # of a block: at most; slices to be transposed
    cdef readonly double work        # multiplications, were the entries spread evenly
    cdef object stop

    def __init__(self, Storage storage, bint by_rows):
        cdef double mean
        self.storage, self.stop = storage, []
        self.native = (storage.layout == SPARSE_ROWS) == by_rows
        self.length, self.size = storage.shape if by_rows else storage.shape[::-1]
        mean = <double> storage.size / max(self.length, 1)
        self.work = mean * storage.size
        self.entries = max(SPREAD * self.size, <Py_ssize_t> SLICE_ENTRIES)
        self.window = min(
            <Py_ssize_t> min(self.entries / max(mean, 1e-3), 1e15),
            max(<Py_ssize_t> SLICE_ENTRIES, self.length // 16))
        self.window = max(<Py_ssize_t> 1, min(self.window, self.length))

    def scatter(self, const double[::1] factor, const double[::1] unit, double[:, ::1] out,
                Py_ssize_t low, Py_ssize_t high):
        """Add v_ia v_ib to out[a, b] for low <= a < high, a <= b."""
        cdef int32_t[::1] at = np.empty(self.entries + self.size + 1, dtype=np.int32)
        cdef double[::1] v = np.empty(self.entries + self.size + 1)
        cdef Py_ssize_t[::1] cursor = np.empty(0 if self.native else self.size, dtype=np.intp)
        cdef int32_t[::1] counts = np.empty(0 if self.native else self.window, dtype=np.int32)
        cdef Py_ssize_t[::1] ends = np.empty(counts.shape[0], dtype=np.intp)
        cdef Py_ssize_t first = 0, last, i, k, begin, count
        cdef double a
        for k in range(cursor.shape[0]):
            cursor[k] = self.storage.start(k)
        while first < self.length and not self.stop:
            with nogil:
                if self.native:
                    last = self.load(first, &at[0], &v[0])
                else:
                    last = self.transpose(first, cursor, counts, ends, &at[0], &v[0])
                begin = 0
                for i in range(first, last):
                    count = self.storage.count(i) if self.native else counts[i - first]
                    a = factor[i] if factor is not None else 1.0
                    if a != 0:
                        for k in range(begin, begin + count):
                            v[k] *= a * unit[at[k]]
                        _add_products(count, &at[begin], &v[begin], low, high, out)
                    begin += count
            first = last
            try:
                PyErr_CheckSignals()
            except BaseException:
                self.stop.append(True)
                raise

    cdef Py_ssize_t load(self, Py_ssize_t first, int32_t* at, double* v) noexcept nogil:
        """Entries of the slices from `first` on; where the next block begins."""
        cdef Py_ssize_t start = self.storage.start(first), last = first + 1, k
        while last < self.length and self.storage.start(last + 1) - start <= self.entries:
            last += 1
        for k in range(self.storage.start(last) - start):
            at[k] = <int32_t> self.storage.row_at(start + k)
            v[k] = self.storage.value_at(start + k)
        return last

    cdef Py_ssize_t transpose(self, Py_ssize_t first, Py_ssize_t[::1] cursor, int32_t[::1] counts,
                              Py_ssize_t[::1] ends, int32_t* at, double* v) noexcept nogil:
        """As `load`, in order; cursor is where each stored line goes on."""
        cdef Py_ssize_t i, j, k, end, begin, last = min(first + self.window, self.length)
        for i in range(last - first):
            counts[i] = 0
        for j in range(self.size):
            end = self.storage.start(j + 1)
            for k in range(cursor[j], end):
                i = self.storage.row_at(k)
                if i >= last:
                    break
                counts[i - first] += 1
        begin, i = 0, first
        while i < last and (i == first or begin + counts[i - first] <= self.entries):
            ends[i - first] = begin
            begin += counts[i - first]
            i += 1
        last = i
        for j in range(self.size):
            k, end = cursor[j], self.storage.start(j + 1)
            while k < end:
                i = self.storage.row_at(k)
                if i >= last:
                    break
                at[ends[i - first]] = <int32_t> j
                v[ends[i - first]] = self.storage.value_at(k)
                ends[i - first] += 1
                k += 1
            cursor[j] = k
        return last


cdef void _add_products(Py_ssize_t count, const int32_t* at, const double* v, Py_ssize_t low,
                        Py_ssize_t high, double[:, ::1] out) noexcept nogil:
    cdef Py_ssize_t a, b
    cdef double* line
    cdef double factor
    for a in range(count):
        if low <= at[a] < high and v[a] != 0:
            line = &out[at[a], 0]
            factor = v[a]
            for b in range(a, count):
                line[at[b]] += factor * v[b]


def _subtract_means(double[:, ::1] G, double W, const double[::1] mean):
    """G_jk -= W mean_j mean_k, the upper triangle."""
    cdef Py_ssize_t j, k
    with nogil:
        for j in range(G.shape[0]):
            if mean[j] != 0:
                for k in range(j, G.shape[0]):
                    G[j, k] -= (W * mean[j]) * mean[k]


def _subtract_sums(double[:, ::1] K, const double[::1] u, const double[::1] v):
    """K_ik -= u_i v_k + v_i u_k, the upper triangle."""
    cdef Py_ssize_t i, k
    with nogil:
        for i in range(K.shape[0]):
            for k in range(i, K.shape[0]):
                K[i, k] -= u[i] * v[k] + v[i] * u[k]
