"""All that is known of wide dense X in sample space, in one read of it.

By blocks of columns one symmetric product is added, and the means are taken out of the sum,

    B = S^1/2 (X - 1 a') diag(f) ,   d = B'q / W ,   q = S^1/2 1 ,   W = sum s
    K = (I - q q'/W) B B' (I - q q'/W) ,   ||b_j - d_j q||^2 = ||b_j||^2 - W d_j^2

Blocks are copied less their first row, so that constant columns come out as zeros, and columns
that lie far from it are centred in the copy; where K is not made of tiles (tiles.c), blocks are
multiplied in place (a = 0) if W d_j^2 is moderate against that and there is nothing to scale.
Sums run over a partition that does not depend on the number of threads.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.limits cimport INT_MAX
from libc.math cimport fabs, sqrt
from libc.string cimport memset
from scipy.linalg.cython_blas cimport dsyrk

from functools import partial

import numpy as np

from creg._data cimport leaves, tiles
from creg._data.storage cimport DENSE_ROWS, Box, Storage

from creg._data.blocks import BLAS_WORK, aligned_zeros, mirrored, n_parts, tiles_are_faster
from creg._data.moments import Moments
from creg._data.threads import parallel, pieces, single_blas

cdef enum:
    ENTRIES = 600_000      # of a block, about
    LEAST = 192            # columns of a block: see blocks.LEAST
    MOST = 320
    TILED = 20_000         # entries of a block of tiles, about
    STRIP = 8              # lines that are summed while they are in cache
    TURNED = 32            # the same of lines across those of X

cdef double EPSILON = 2.220446049250313e-16
cdef double SMALL = 1e-200  # squares between these lost nothing to underflow or overflow
cdef double LARGE = 1e200
# W d^2 over the centred square above which a column is centred in the copy, or is not read in place
cdef double FAR = 8
cdef double HEAVY = 100


def outer_products(Storage storage, weights, bint centre, roots, bint standardize,
                   int n_threads=1, bint in_place=False):
    """Moments of dense X, K, and which share of tr B B' is tr K, whose rounding is that of B B'.

    None where squares leave the range.

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
    in_place : bool
        Let the share fall to 1 / HEAVY; else it is at least 1 / FAR, about.
    """
    work = _Wide(storage, weights, centre, roots, standardize, in_place)
    with np.errstate(over="ignore", invalid="ignore"):
        K, share = work.run(n_threads)
    squares = work.squares
    if not np.isfinite(squares).all():
        storage.verify()
        return None
    storage.known_finite()
    if np.any((squares > 0) & ~((squares > SMALL) & (squares < LARGE))):
        return None
    moments = Moments.of_sums(work.means, squares, np.ones(storage.n_features), work.total)
    return moments, K, share


cdef class _Wide:
    cdef Storage storage
    cdef bint centre, standardize, in_place
    cdef bint tiled            # blocks are copied, a row for a column, and K is made of tiles
    cdef bint by_rows          # of blocks
    cdef Py_ssize_t pitch      # of a column of a block, a row where by_rows
    cdef readonly double total
    cdef const double[::1] _root, first, ones, zeros, roots
    cdef const double* root
    cdef double[::1] _means, _squares
    cdef Py_ssize_t step
    cdef list stop

    def __init__(self, Storage storage, weights, bint centre, roots, bint standardize,
                 bint in_place):
        cdef Py_ssize_t entries
        n, p = storage.shape
        line = p if storage.layout == DENSE_ROWS else n
        self.tiled = tiles_are_faster(n)
        self.by_rows = storage.layout == DENSE_ROWS and not self.tiled
        self.pitch = (n + 7) // 8 * 8 if self.tiled else n
        self.in_place = (
            in_place and not self.tiled and weights is None and not standardize
            and not storage.is_float32()
            and line <= storage.stride <= INT_MAX and bool(np.all(np.equal(roots, 1))))
        self.storage, self.centre, self.standardize = storage, centre, standardize
        self.stop, self.total = [], n
        self._root = np.ones(n)
        row = 0
        if weights is not None:
            self._root, self.total = np.sqrt(weights), float(weights.sum())
            row = int(np.argmax(weights > 0))
        self.root = &self._root[0]
        self.zeros, self.ones = np.zeros(max(n, p)), np.ones(max(n, p))
        self.first = storage.X[row].astype(np.float64) if centre else self.zeros
        self.roots = np.ascontiguousarray(roots, dtype=np.float64)
        self._means, self._squares = np.zeros(p), np.zeros(p)
        entries = TILED if self.tiled else ENTRIES
        self.step = max(<Py_ssize_t> (128 if self.tiled else LEAST),
                        min(<Py_ssize_t> MOST, entries // max(n, 1) // 64 * 64))

    @property
    def means(self):
        return np.asarray(self._means)

    @property
    def squares(self):
        return np.asarray(self._squares)

    def run(self, int n_threads):
        """K, full, and tr K / tr B B'."""
        cdef Py_ssize_t n = self.storage.n_samples, p = self.storage.n_features
        parts = n_parts(self.storage, (p + self.step - 1) // self.step, n * n)
        side = self.pitch if self.tiled else n
        sums = [np.zeros((side, side)) for _ in range(parts)]
        tasks = [partial(self.add, sums[k], *part)
                 for k, part in enumerate(pieces(p, parts, self.step))]
        if n * n * p < BLAS_WORK:
            parallel(tasks, 1)
        else:
            with single_blas():
                parallel(tasks, n_threads)
        for part in sums[1:]:
            sums[0] += part
        K = mirrored(np.ascontiguousarray(sums[0][:n, :n]))
        before = float(np.trace(K))
        if self.centre:
            _project(K, self._root, K @ np.asarray(self._root) / self.total, self.total)
        return K, float(np.trace(K)) / before if before > 0 else 1.0

    def add(self, double[:, ::1] K, Py_ssize_t start, Py_ssize_t stop):
        """Add columns start to stop to K; ends early once another part has failed."""
        cdef Py_ssize_t j, k, n = self.storage.n_samples
        cdef double[::1] block = aligned_zeros(self.pitch * min(self.step, max(stop - start, 1)))
        cdef const double* x
        cdef double[:, ::1] sums = np.empty((2, self.step))
        for j in range(start, stop, self.step):
            if self.stop:
                return
            k = min(self.step, stop - j)
            with nogil:
                x = self.moderate(j, k, &sums[0, 0], &sums[1, 0]) if self.in_place else NULL
                if x != NULL:
                    self.multiply(k, x, self.storage.stride, &K[0, 0])
                else:
                    self.load(j, k, &block[0], &sums[0, 0], &sums[1, 0])
                    self.centre_block(j, k, &block[0], &sums[0, 0], &sums[1, 0])
                    if self.tiled:
                        self.multiply_tiled(j, k, stop, &block[0], &K[0, 0])
                    else:
                        self.multiply(k, &block[0], k if self.by_rows else n, &K[0, 0])
            try:
                PyErr_CheckSignals()
            except BaseException:
                self.stop.append(True)
                raise

    cdef const double* moderate(self, Py_ssize_t start, Py_ssize_t k, double* sums,
                                double* squares) noexcept nogil:
        """Where the block is in X, its means and squares known; NULL if a mean is too large."""
        cdef Py_ssize_t j
        cdef double d, W = self.total
        cdef const double* x = <const double*> self.storage.values
        x += start * (1 if self.storage.layout == DENSE_ROWS else self.storage.stride)
        if self.storage.layout == DENSE_ROWS:
            memset(sums, 0, k * sizeof(double))
            memset(squares, 0, k * sizeof(double))
            self.row_moments(0, self.storage.n_samples, k, x, self.storage.stride, sums, squares)
        else:
            self.column_moments(k, x, self.storage.stride, sums, squares)
        for j in range(k):
            d = sums[j] / W if self.centre else 0.0
            squares[j] -= W * d * d
            if not (squares[j] > 0 and W * d * d <= HEAVY * squares[j]):
                return NULL
            self._means[start + j], self._squares[start + j] = d, squares[j]
        return x

    cdef void row_moments(self, Py_ssize_t i, Py_ssize_t m, Py_ssize_t k, const double* x,
                          Py_ssize_t stride, double* sums, double* squares) noexcept nogil:
        """Add q'b and b'b of columns over rows i to i + m; x: the first of them."""
        cdef Py_ssize_t stop = i + m
        while i + 4 <= stop:
            leaves.creg_four_moments(k, x, stride, self.root + i, sums, squares)
            x += 4 * stride
            i += 4
        if i < stop:
            leaves.creg_rows_axpy_f64(stop - i, k, x, stride, &self.zeros[0], self.root + i, sums)
            leaves.creg_rows_square_f64(stop - i, k, x, stride, &self.zeros[0], &self.ones[0],
                                        &self.ones[0], squares)

    cdef void column_moments(self, Py_ssize_t k, const double* x, Py_ssize_t stride,
                             double* sums, double* squares) noexcept nogil:
        cdef Py_ssize_t j, n = self.storage.n_samples
        for j in range(k):
            sums[j] = leaves.creg_inner(n, self.root, x)
            squares[j] = leaves.creg_inner(n, x, x)
            x += stride

    cdef void load(self, Py_ssize_t start, Py_ssize_t k, double* block, double* sums,
                   double* squares) noexcept nogil:
        """B, and of its columns q'b and b'b."""
        cdef Box box
        cdef Py_ssize_t m, i = 0, n = self.storage.n_samples
        cdef bint across = self.tiled and self.storage.layout == DENSE_ROWS
        box.row, box.row_stop, box.column, box.column_stop = 0, n, start, start + k
        if self.by_rows:
            box.pitch = k
            memset(sums, 0, k * sizeof(double))
            memset(squares, 0, k * sizeof(double))
            while i < n:
                m = min(<Py_ssize_t> STRIP, n - i)
                box.row, box.row_stop = i, i + m
                self.fill(&box, block + i * k)
                self.row_moments(i, m, k, block + i * k, k, sums, squares)
                i += m
            return
        box.pitch = self.pitch
        while i < k:
            m = min(<Py_ssize_t> (TURNED if across else STRIP), k - i)
            box.column, box.column_stop = start + i, start + i + m
            self.fill(&box, block + i * self.pitch)
            self.column_moments(m, block + i * self.pitch, self.pitch, sums + i, squares + i)
            i += m

    cdef void fill(self, const Box* box, double* block) noexcept nogil:
        if self.tiled and self.storage.layout == DENSE_ROWS:
            tiles.fill_turned(self.storage, box, &self.first[0], &self.ones[0], self.root,
                              &self.zeros[0], &self.ones[0], block)
        else:
            self.storage.fill(box, &self.first[0], &self.ones[0], self.root, block)

    cdef void centre_block(self, Py_ssize_t start, Py_ssize_t k, double* block, double* sums,
                           double* squares) noexcept nogil:
        """Means and squares of columns; B times diag(f), far columns centred."""
        cdef Py_ssize_t j, step = 1, line = self.pitch
        cdef double d, f, square, W = self.total
        if self.by_rows:
            step, line = k, 1
        for j in range(k):
            square = squares[j]
            if self.centre:
                d = sums[j] / W
                square -= W * d * d
                if not square * FAR > W * d * d:
                    square = self.less(d, block + j * line, step)
                self._means[start + j] = self.first[start + j] + d
            self._squares[start + j] = square
            f = self.factor_of(start + j)
            if f != 1:
                self.times(f, block + j * line, step)

    cdef double factor_of(self, Py_ssize_t j) noexcept nogil:
        """f_j, 0 for a constant column."""
        cdef double size = sqrt(self._squares[j])
        if size <= fabs(self._means[j]) * 4 * EPSILON * sqrt(self.total):
            return 0.0
        return self.roots[j] * sqrt(self.total) / size if self.standardize else self.roots[j]

    cdef double less(self, double d, double* column, Py_ssize_t step) noexcept nogil:
        """b - d q over b, and its square."""
        cdef Py_ssize_t i
        cdef double square = 0
        for i in range(self.storage.n_samples):
            column[i * step] -= d * self.root[i]
            square += column[i * step] * column[i * step]
        return square

    cdef void times(self, double f, double* column, Py_ssize_t step) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(self.storage.n_samples):
            column[i * step] *= f

    cdef void multiply(self, Py_ssize_t count, const double* block, Py_ssize_t stride,
                       double* K) noexcept nogil:
        cdef int n = <int> self.storage.n_samples, k = <int> count, ld = <int> stride
        cdef double one = 1
        cdef char trans = b"T" if self.storage.layout == DENSE_ROWS else b"N"
        cdef char lower = b"L"
        dsyrk(&lower, &trans, &n, &k, &one, <double*> block, &ld, &one, K, &n)

    cdef void multiply_tiled(self, Py_ssize_t start, Py_ssize_t count, Py_ssize_t stop,
                             const double* block, double* K) noexcept nogil:
        """The same; the block that follows is fetched meanwhile."""
        cdef Box box
        cdef tiles.Region following
        box.row, box.row_stop = 0, self.storage.n_samples
        box.column = start + count
        box.column_stop = min(box.column + self.step, stop)
        following = tiles.region_of(self.storage, &box)
        tiles.creg_tile_gram_f64(count, 0, self.pitch, block, K, &following)


cdef _project(double[:, ::1] K, const double[::1] q, const double[::1] h, double W):
    """K - h q' - q h' + (q'h / W) q q' over K, for h = K q / W."""
    cdef Py_ssize_t i, n = K.shape[0]
    cdef double a
    cdef double[::1] g = np.subtract(h, np.asarray(q) * (0.5 * float(np.dot(q, h)) / W))
    with nogil:
        for i in range(n):
            a = -q[i]
            leaves.creg_add(n, -g[i], &q[0], &K[i, 0])
            leaves.creg_add(n, a, &g[0], &K[i, 0])
