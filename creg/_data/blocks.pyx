"""Products of dense X, which goes by float64 blocks, shifted, scaled and weighted, into BLAS.

Gram matrices of up to WIDEST columns are made of tiles (tiles.c) where the processor has the
registers for them: less is lost at the edges than in `dsyrk`.  Where BLAS does not use those, of
more columns too.

Sums run over a partition that does not depend on the number of threads.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.limits cimport INT_MAX
from libc.string cimport memset
from scipy.linalg.cython_blas cimport dgemm, dsyrk

from functools import partial

import numpy as np

from creg._data cimport leaves, tiles
from creg._data.storage cimport DENSE_ROWS, Box, Storage

from creg._data.threads import blas_may_be_wide, parallel, pieces, single_blas

# Lines at multiples of 4096 bytes share cache sets: BLAS copies blocks of 256, 512 or 1024 rows or
# columns by up to a third slower.
cdef enum:
    LEAST = 320             # rows or columns of a block, and what their number is a multiple of
    MOST = 960
    TILE = 64               # rows between two additions to a sum
    NARROWEST = 16          # of tiles
    WIDEST = 512            # of tiles, ahead of such a BLAS by 30 % at 100, 5 % at 500 columns
    WIDEST_ALONE = 4096     # twice as fast as other BLAS at 1000 columns, by 35 % at 4000
    TILED = 20_000          # entries of a block of tiles, about

SPARE = 2_000_000       # bytes that partial sums may take, however small X is
BLAS_WORK = 10_000_000  # multiplications below which BLAS is left as it is
BUFFER = 4_000_000      # bytes of a block at most, and at most this share of X
BUFFER_SHARE = 64


cdef class Blocks:
    """B = S^1/2 [(X - 1 shift') diag(scale), y, 1], the last two columns where they are asked for.

    Parameters
    ----------
    storage : Storage
        Dense.
    shift, scale : ndarray of shape (n_features,)
    root : ndarray of shape (n_samples,), optional
        Square roots of the row weights; ones by default.
    y : ndarray of shape (n_samples,), optional
    ones : bool

    `gram` reads X in place, and copies no blocks, where X is float64 and B is [X, y, 1].
    """

    cdef Storage storage
    cdef const double[::1] _shift, _scale, _root, _y
    cdef const double* root
    cdef const double* y
    cdef bint ones
    cdef bint in_place         # no shift, scale or weights: BLAS reads X itself
    cdef Py_ssize_t width      # columns of B
    cdef bint tiled
    cdef Py_ssize_t pitch      # of a row of a tiled block
    cdef const double[::1] noughts, units
    cdef bint outer
    cdef double sum_weights    # of columns that are to be centred once more, or 0
    cdef object right
    cdef Py_ssize_t step
    cdef list stop

    def __init__(self, Storage storage, shift, scale, root=None, y=None, bint ones=False):
        self.storage, self.ones, self.stop = storage, ones, []
        self._shift, self._scale, self._root, self._y = shift, scale, root, y
        self.root = &self._root[0] if root is not None else NULL
        self.y = &self._y[0] if y is not None else NULL
        self.width = storage.n_features + (y is not None) + ones

    def gram(self, int n_threads, rows=None):
        """B'B, the upper triangle; of rows[0] to rows[1] alone, where they are given."""
        cdef Storage X = self.storage
        line = X.n_features if X.is_row_layout else X.n_samples
        self.in_place = (self.root == NULL and not X.is_float32()
                         and line <= X.stride <= INT_MAX
                         and not np.any(self._shift) and bool(np.all(np.equal(self._scale, 1))))
        self._tile(self.width)
        return self._sum(self.width, n_threads, *(rows or (0, X.n_samples)))

    def cross(self, R, int n_threads):
        """B'R for R of shape (n_samples, k), Fortran-ordered."""
        self.right = R
        return self._sum(R.shape[1], n_threads, 0, self.storage.n_samples)

    def outer_gram(self, bint centred, int n_threads):
        """B B', the upper triangle; the columns centred once more, of what rounding left."""
        if self.root == NULL:
            self._root = np.ones(self.storage.n_samples)
            self.root = &self._root[0]
        self.outer = True
        self.sum_weights = float(np.square(self._root).sum()) if centred else 0.0
        self._tile(self.storage.n_samples)
        return self._sum(self.storage.n_samples, n_threads, 0, self.width)

    cdef _tile(self, Py_ssize_t size):
        """Make it of tiles, if that is faster."""
        cdef Storage X = self.storage
        self.tiled = tiles_are_faster(size)
        if not self.tiled:
            return
        self.in_place = False
        if not self.pitch:
            self.pitch, longest = (size + 7) // 8 * 8, max(X.shape)
            self.noughts, self.units = np.zeros(longest), np.ones(longest)

    def _sum(self, Py_ssize_t n_columns, int n_threads, Py_ssize_t first, Py_ssize_t last):
        """Over rows (outer: columns) first to last."""
        cdef Py_ssize_t length = last - first
        cdef Py_ssize_t size = self.storage.n_samples if self.outer else self.width
        self.step = self._step(length, size)
        count = n_parts(self.storage, (length + self.step - 1) // self.step,
                        size * n_columns)
        order = "C" if self.right is None else "F"
        shape = (self.pitch, self.pitch) if self.tiled else (size, n_columns)
        sums = [np.zeros(shape, order=order) for _ in range(count)]
        tasks = [partial(self._add, sums[k], first + start, first + stop)
                 for k, (start, stop) in enumerate(pieces(length, count, self.step))]
        if length * size * n_columns < BLAS_WORK:
            parallel(tasks, 1)
        else:
            with single_blas():
                parallel(tasks, n_threads)
        for part in sums[1:]:
            sums[0] += part
        return np.ascontiguousarray(sums[0][:size, :size]) if self.tiled else sums[0]

    def _step(self, Py_ssize_t length, Py_ssize_t size):
        """Rows (outer: columns) of a block: long pieces of a column are copied faster."""
        if self.tiled:
            return max(2 * TILE, min(<Py_ssize_t> 5 * TILE, TILED // self.pitch // TILE * TILE))
        if self.outer:
            return LEAST
        if self.in_place:
            return MOST
        room = min(BUFFER, self.storage.nbytes // BUFFER_SHARE) // (8 * max(size, 1))
        return min(max(room // LEAST, 1) * LEAST, MOST)

    def _add(self, out, Py_ssize_t start, Py_ssize_t stop):
        """Add blocks start to stop to out; ends early once another part has failed."""
        cdef Py_ssize_t i, size = out.shape[0]
        cdef Py_ssize_t rows = min(self.step, max(stop - start, 1))
        cdef double[::1] buffer = aligned_zeros(size if self.in_place else size * rows)
        cdef double[::1] means = np.empty(LEAST)
        cdef double[::1] ones = np.ones(TILE)
        cdef double[::1] flat = out.ravel(order="K")
        cdef const double[::1, :] right
        cdef const double* factor = NULL
        if self.right is not None:
            right = self.right
            factor = &right[0, 0]
        if flat.shape[0] == 0:
            return
        for i in range(start, stop, self.step):
            if self.stop:
                return
            if self.in_place:
                with nogil:
                    self.add_rows(i, min(self.step, stop - i), &ones[0], &buffer[0], &flat[0])
            else:
                with nogil:
                    self.load(i, min(self.step, stop - i), &buffer[0], &means[0])
                    if self.tiled:
                        self.multiply_tiled(i, min(self.step, stop - i), stop, &buffer[0],
                                            &flat[0])
                    else:
                        self.multiply(i, min(self.step, stop - i), &buffer[0], factor, &flat[0],
                                      flat.shape[0] // size)
            try:
                PyErr_CheckSignals()
            except BaseException:
                self.stop.append(True)
                raise

    cdef void bound(self, Py_ssize_t start, Py_ssize_t k, Box* box) noexcept nogil:
        """Rows (outer: columns) start to start + k."""
        box.row, box.row_stop = 0, self.storage.n_samples
        box.column, box.column_stop = 0, self.storage.n_features
        if self.outer:
            box.column, box.column_stop = start, start + k
        else:
            box.row, box.row_stop = start, start + k

    cdef void load(self, Py_ssize_t start, Py_ssize_t k, double* buffer,
                   double* means) noexcept nogil:
        """Rows (outer: columns) start to start + k of B, in the order of X; tiled: as rows."""
        cdef bint by_rows = self.storage.layout == DENSE_ROWS
        cdef Py_ssize_t p = self.storage.n_features, n = self.storage.n_samples
        cdef bint turned = self.tiled and by_rows == self.outer
        cdef Py_ssize_t pitch
        cdef Box box
        by_rows ^= turned
        self.bound(start, k, &box)
        pitch = (k if self.outer else self.width) if by_rows else box.row_stop - box.row
        box.pitch = self.pitch if self.tiled else pitch
        if turned:
            tiles.fill_turned(self.storage, &box, &self._shift[0], &self._scale[0], self.root,
                              &self.noughts[0], &self.units[0], buffer)
        else:
            self.storage.fill(&box, &self._shift[0], &self._scale[0], self.root, buffer)
        if self.outer:
            if self.sum_weights > 0:
                _project(n, k, by_rows, self.root, self.sum_weights, buffer, box.pitch, means)
            return
        if self.y != NULL:
            _beside(k, self.y + start, self.root + start if self.root != NULL else NULL,
                    buffer + (p if by_rows else p * k), box.pitch if by_rows else 1)
            p += 1
        if self.ones:
            _beside(k, NULL, self.root + start if self.root != NULL else NULL,
                    buffer + (p if by_rows else p * k), box.pitch if by_rows else 1)

    cdef void multiply(self, Py_ssize_t start, Py_ssize_t length, double* buffer,
                       const double* right, double* out, int n_columns) noexcept nogil:
        cdef int k = <int> length, n = <int> self.storage.n_samples
        cdef int size = n if self.outer else <int> self.width
        cdef bint transposed = (self.storage.layout == DENSE_ROWS) == self.outer
        cdef int ld = k if transposed else size
        cdef double one = 1
        cdef char trans = b"T" if transposed else b"N"
        cdef char lower = b"L", plain = b"N"
        if right == NULL:
            dsyrk(&lower, &trans, &size, &k, &one, buffer, &ld, &one, out, &size)
        else:
            dgemm(&trans, &plain, &size, &n_columns, &k, &one, buffer, &ld,
                  <double*> right + start, &n, &one, out, &size)

    cdef void multiply_tiled(self, Py_ssize_t start, Py_ssize_t length, Py_ssize_t stop,
                             const double* buffer, double* out) noexcept nogil:
        """The same; the block that follows is fetched meanwhile."""
        cdef Py_ssize_t after = start + length
        cdef Box box
        cdef tiles.Region following
        self.bound(after, min(self.step, stop - after), &box)
        following = tiles.region_of(self.storage, &box)
        tiles.creg_tile_gram_f64(length, 0, self.pitch, buffer, out, &following)

    cdef void add_rows(self, Py_ssize_t start, Py_ssize_t length, const double* ones,
                       double* sums, double* out) noexcept nogil:
        """Rows start to start + length of B'B, from X in place; sums: workspace, (p,)."""
        cdef bint by_rows = self.storage.layout == DENSE_ROWS
        cdef Py_ssize_t stride = self.storage.stride, p = self.storage.n_features
        cdef const double* x = (<const double*> self.storage.values) + start * (
            stride if by_rows else 1)
        cdef int k = <int> length, n = <int> p, ld = <int> stride, width = <int> self.width
        cdef double one = 1
        cdef char trans = b"N" if by_rows else b"T"
        cdef char lower = b"L"
        dsyrk(&lower, &trans, &n, &k, &one, <double*> x, &ld, &one, out, &width)
        if by_rows:
            self.add_tiles(start, length, x, ones, sums, out + p)
        else:
            self.add_dots(start, length, x, out + p)
        out += p * width + p
        if self.y != NULL:
            out[0] += leaves.creg_inner(length, self.y + start, self.y + start)
            if self.ones:
                out[1] += leaves.creg_sum(length, self.y + start)
            out += width + 1
        if self.ones:
            out[0] += length

    cdef void add_dots(self, Py_ssize_t start, Py_ssize_t length, const double* x,
                       double* out) noexcept nogil:
        """The last columns of B'B but for the corner, X in columns."""
        cdef Py_ssize_t _
        for _ in range(self.storage.n_features):
            if self.y != NULL:
                out[0] += leaves.creg_inner(length, x, self.y + start)
            if self.ones:
                out[self.y != NULL] += leaves.creg_sum(length, x)
            x += self.storage.stride
            out += self.width

    cdef void add_tiles(self, Py_ssize_t start, Py_ssize_t length, const double* x,
                        const double* ones, double* sums, double* out) noexcept nogil:
        """The same, X in rows; TILE ones."""
        cdef Py_ssize_t i = 0, m, p = self.storage.n_features, stride = self.storage.stride
        while i < length:
            m = min(<Py_ssize_t> TILE, length - i)
            if self.y != NULL:
                _tile_product(m, p, x, stride, self.y + start + i, sums)
                _add_strided(p, sums, self.width, out)
            if self.ones:
                _tile_product(m, p, x, stride, ones, sums)
                _add_strided(p, sums, self.width, out + (self.y != NULL))
            x += m * stride
            i += m


cdef void _tile_product(Py_ssize_t m, Py_ssize_t p, const double* x, Py_ssize_t stride,
                        const double* v, double* out) noexcept nogil:
    """out_j = sum_i v_i x_ij over m rows."""
    cdef Py_ssize_t i = 0
    memset(out, 0, p * sizeof(double))
    while i + 4 <= m:
        leaves.creg_add4(p, v + i, x, x + stride, x + 2 * stride, x + 3 * stride, out)
        x += 4 * stride
        i += 4
    while i < m:
        leaves.creg_add(p, v[i], x, out)
        x += stride
        i += 1


cdef void _add_strided(Py_ssize_t p, const double* u, Py_ssize_t stride,
                       double* out) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(p):
        out[j * stride] += u[j]


cdef void _beside(Py_ssize_t k, const double* y, const double* root, double* out,
                  Py_ssize_t stride) noexcept nogil:
    """A column of a block: root y, or NULL standing for ones."""
    cdef Py_ssize_t i
    for i in range(k):
        out[i * stride] = (y[i] if y != NULL else 1.0) * (root[i] if root != NULL else 1.0)


cdef void _project(Py_ssize_t n, Py_ssize_t k, bint by_rows, const double* root, double W,
                   double* block, Py_ssize_t pitch, double* means) noexcept nogil:
    """b_j -= root root'b_j / W for all k columns: what the rounding of the means left."""
    cdef Py_ssize_t i, j, _
    if not by_rows:
        for _ in range(k):
            leaves.creg_add(n, -leaves.creg_inner(n, root, block) / W, root, block)
            block += pitch
        return
    for j in range(k):
        means[j] = 0
    for i in range(n):
        leaves.creg_add(k, root[i] / W, block + i * k, means)
    for i in range(n):
        leaves.creg_add(k, -root[i], means, block + i * k)


def tiles_are_faster(Py_ssize_t size):
    """Whether tiles are to make a Gram matrix of that many rows."""
    return (NARROWEST <= size <= WIDEST_ALONE and tiles.creg_tiles_pay()
            and (size <= WIDEST or not blas_may_be_wide()))


def aligned_zeros(Py_ssize_t size):
    """(size,), from an address that is a multiple of 64 on."""
    out = np.zeros(size + 8)
    start = -(out.ctypes.data // 8) % 8
    return out[start:start + size]


def n_parts(Storage storage, Py_ssize_t blocks, Py_ssize_t size):
    """How many partial sums of `size` numbers a sum over blocks may have: 1, 2 or 4."""
    spare = max(storage.nbytes // 10, SPARE) // (8 * max(size, 1))
    return 4 if blocks >= 4 and spare >= 3 else 2 if blocks >= 2 and spare >= 1 else 1


def add_outer_products(double[:, ::1] K, double[::1, :] A):
    """K += A A', the upper triangle."""
    cdef int n = A.shape[0], k = A.shape[1]
    cdef double one = 1
    cdef char lower = b"L", plain = b"N"
    if n and k:
        with single_blas(), nogil:
            dsyrk(&lower, &plain, &n, &k, &one, &A[0, 0], &n, &one, &K[0, 0], &n)


def mirrored(double[:, ::1] G):
    """G with the lower triangle filled in from the upper one."""
    cdef Py_ssize_t i, j, a, b, tile = 64, n = G.shape[0]
    with nogil:
        for a in range((n + tile - 1) // tile):
            for b in range(a + 1):
                for i in range(a * tile, min((a + 1) * tile, n)):
                    for j in range(b * tile, min((b + 1) * tile, i)):
                        G[i, j] = G[j, i]
    return G.base


def centred_in_place(double[:, ::1] B, Py_ssize_t p, double W, const double[::1] d,
                     const double[::1] factor):
    """From the upper triangle of B'B: factor_j factor_k ((B'B)_jk - W d_j d_k), (p, p), full.

    It takes the place of B'B.
    """
    cdef Py_ssize_t j, k
    cdef double* out = &B[0, 0]
    cdef double* row
    cdef double a, b
    with nogil:
        for j in range(p):
            row, a, b = &B[j, 0], W * d[j], factor[j]
            # entry (j, k) moves to a place no later than its own
            for k in range(j, p):
                out[j * p + k] = (row[k] - a * d[k]) * (b * factor[k])
    return mirrored(B.base.reshape(-1)[:p * p].reshape(p, p))
