"""All that is known of wide dense X in sample space, in one read of it.

Column blocks are copied less their first row, so that constant columns come out as zeros, and
centred by their own means in the copy; then one symmetric product is added:

    K = sum_j f_j^2 b_j b_j',   b_j = S^1/2 (x_j - mean_j)

Sums run over a partition that does not depend on the number of threads.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport fabs, sqrt
from scipy.linalg.cython_blas cimport dsyrk

from functools import partial

import numpy as np

from creg._data cimport leaves
from creg._data.storage cimport DENSE_ROWS, Box, Storage

from creg._data.blocks import BLAS_WORK, mirrored, n_parts
from creg._data.moments import Moments
from creg._data.threads import parallel, pieces, single_blas

cdef enum:
    ENTRIES = 524_288      # of a block, about
    LEAST = 128            # columns of a block
    MOST = 256

cdef double EPSILON = 2.220446049250313e-16
cdef double SMALL = 1e-200  # squares between these lost nothing to underflow or overflow
cdef double LARGE = 1e200


def outer_products(Storage storage, weights, bint centre, roots, bint standardize,
                   int n_threads=1):
    """Moments of dense X and K; None where squares leave the range.

    Parameters
    ----------
    storage : Storage
        Dense; that its values are finite is seen on the way.
    weights : ndarray of shape (n_samples,) or None
    centre : bool
    roots : ndarray of shape (n_features,)
        f_j >= 0; with `standardize` over the standard deviation of column j.
    n_threads : int
        The result does not depend on it.
    """
    work = _Wide(storage, weights, centre, roots, standardize)
    with np.errstate(over="ignore", invalid="ignore"):
        K = work.run(n_threads)
    squares = work.squares
    if not np.isfinite(squares).all():
        storage.verify()
        return None
    storage.known_finite()
    if np.any((squares > 0) & ~((squares > SMALL) & (squares < LARGE))):
        return None
    moments = Moments.of_sums(work.means, squares, np.ones(storage.n_features), work.total)
    return moments, mirrored(K)


cdef class _Wide:
    cdef Storage storage
    cdef bint centre, standardize
    cdef readonly double total
    cdef const double[::1] _root, first, ones, roots
    cdef const double* root
    cdef double[::1] _means, _squares
    cdef Py_ssize_t step
    cdef list stop

    def __init__(self, Storage storage, weights, bint centre, roots, bint standardize):
        n, p = storage.shape
        self.storage, self.centre, self.standardize = storage, centre, standardize
        self.stop, self.root, self.total = [], NULL, n
        row = 0
        if weights is not None:
            self._root = np.sqrt(weights)
            self.root, self.total = &self._root[0], float(weights.sum())
            row = int(np.argmax(weights > 0))
        self.first = storage.X[row].astype(np.float64) if centre else np.zeros(p)
        self.ones, self.roots = np.ones(p), np.ascontiguousarray(roots, dtype=np.float64)
        self._means, self._squares = np.zeros(p), np.zeros(p)
        self.step = max(<Py_ssize_t> LEAST,
                        min(<Py_ssize_t> MOST, ENTRIES // max(n, 1) // LEAST * LEAST))

    @property
    def means(self):
        return np.asarray(self._means)

    @property
    def squares(self):
        return np.asarray(self._squares)

    def run(self, int n_threads):
        cdef Py_ssize_t n = self.storage.n_samples, p = self.storage.n_features
        parts = n_parts(self.storage, -(-p // self.step), n * n)
        sums = [np.zeros((n, n)) for _ in range(parts)]
        tasks = [partial(self.add, sums[k], *part)
                 for k, part in enumerate(pieces(p, parts, self.step))]
        if n * n * p < BLAS_WORK:
            parallel(tasks, 1)
        else:
            with single_blas():
                parallel(tasks, n_threads)
        for part in sums[1:]:
            sums[0] += part
        return sums[0]

    def add(self, double[:, ::1] K, Py_ssize_t start, Py_ssize_t stop):
        """Add columns start to stop to K; ends early once another part has failed."""
        cdef Py_ssize_t j, k, n = self.storage.n_samples
        cdef double[::1] block = np.empty(n * min(self.step, max(stop - start, 1)))
        cdef double[::1] factor = np.empty(self.step)
        for j in range(start, stop, self.step):
            if self.stop:
                return
            k = min(self.step, stop - j)
            with nogil:
                self.load(j, k, &block[0])
                if self.storage.layout == DENSE_ROWS:
                    self.centre_rows(j, k, &block[0], &factor[0])
                else:
                    self.centre_columns(j, k, &block[0], &factor[0])
                self.multiply(k, &block[0], &K[0, 0])
            try:
                PyErr_CheckSignals()
            except BaseException:
                self.stop.append(True)
                raise

    cdef void load(self, Py_ssize_t start, Py_ssize_t k, double* block) noexcept nogil:
        cdef Box box
        box.row, box.row_stop = 0, self.storage.n_samples
        box.column, box.column_stop = start, start + k
        box.pitch = k if self.storage.layout == DENSE_ROWS else self.storage.n_samples
        self.storage.fill(&box, &self.first[0], &self.ones[0], self.root, block)

    cdef double factor_of(self, Py_ssize_t j) noexcept nogil:
        """f_j, 0 for a constant column."""
        cdef double size = sqrt(self._squares[j])
        if size <= fabs(self._means[j]) * 4 * EPSILON * sqrt(self.total):
            return 0.0
        return self.roots[j] * sqrt(self.total) / size if self.standardize else self.roots[j]

    cdef void centre_columns(self, Py_ssize_t start, Py_ssize_t k, double* block,
                             double* factor) noexcept nogil:
        cdef Py_ssize_t i, j, n = self.storage.n_samples
        cdef double d, f
        for j in range(k):
            d = 0
            if self.centre:
                if self.root == NULL:
                    d = leaves.creg_sum(n, block) / self.total
                else:
                    d = leaves.creg_inner(n, self.root, block) / self.total
                self._means[start + j] = self.first[start + j] + d
            self._squares[start + j] = leaves.creg_less(n, d, self.root, block)
            f = self.factor_of(start + j)
            if f != 1:
                for i in range(n):
                    block[i] *= f
            block += n

    cdef void centre_rows(self, Py_ssize_t start, Py_ssize_t k, double* block,
                          double* factor) noexcept nogil:
        cdef Py_ssize_t i, j, n = self.storage.n_samples
        cdef double* mean = &self._means[start]
        cdef double* square = &self._squares[start]
        cdef double r
        cdef bint all_ones = True
        if self.centre:
            for i in range(n):
                r = self.root[i] if self.root != NULL else 1.0
                leaves.creg_add(k, r, block + i * k, mean)
            for j in range(k):
                mean[j] /= self.total
        for i in range(n):
            r = self.root[i] if self.root != NULL else 1.0
            leaves.creg_row_less(k, r, mean, block + i * k, square)
        for j in range(k):
            mean[j] += self.first[start + j]
            factor[j] = self.factor_of(start + j)
            all_ones &= factor[j] == 1
        if not all_ones:
            for i in range(n):
                _times(k, factor, block + i * k)

    cdef void multiply(self, Py_ssize_t count, double* block, double* K) noexcept nogil:
        cdef int n = <int> self.storage.n_samples, k = <int> count
        cdef int ld = k if self.storage.layout == DENSE_ROWS else n
        cdef double one = 1
        cdef char trans = b"T" if self.storage.layout == DENSE_ROWS else b"N"
        cdef char lower = b"L"
        dsyrk(&lower, &trans, &n, &k, &one, block, &ld, &one, K, &n)


cdef void _times(Py_ssize_t k, const double* factor, double* row) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(k):
        row[j] *= factor[j]
