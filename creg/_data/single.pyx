"""The products of `tall` for float32 X, blocks of rows multiplied in float32 and added in float64.

Their error is that of one float32 product of MOST rows, some 1e-8 of the diagonal.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.string cimport memset

from scipy.linalg.cython_blas cimport ssyrk

from functools import partial

import numpy as np

from creg._data cimport leaves, tiles
from creg._data.design cimport DesignView
from creg._data.storage cimport DENSE_ROWS, Box, Storage

from creg._data.blocks import aligned_zeros, n_parts, tiles_are_faster
from creg._data.threads import parallel, pieces, single_blas

cdef extern from "misfit.h" nogil:
    ctypedef struct Singles "struct creg_singles":
        const float* x
        const double* shift
        Py_ssize_t p, stride, ahead

    void creg_misfit_rows(Py_ssize_t m, const Singles* X, const double* w, const double* y,
                          const double* s, double* t, double* out)
    void creg_misfit_columns(Py_ssize_t m, const Singles* X, const double* w, const double* y,
                             const double* s, double* t, double* out)

cdef enum:
    ROWS = 1024
    TILED = 40_000  # entries of a block of tiles, about
    CHUNK = 128     # rows that are multiplied at once where columns are many
    NEAR = 100_000  # entries of X that stay in cache between two uses
    NEXT = 8        # rows from what is read to what is wanted next
    PARTS = 64      # sums that are added up in the end, at most


def single_gram(Storage storage, shift, scale, root, y, bint ones, int n_threads):
    """B'B, the upper triangle, of `blocks.Blocks`' B; float32 dense X, shift exact in float32."""
    work = _Single(storage, shift, scale, root, y, ones)
    return work.run(n_threads)


def misfit_products(DesignView view, w, y, int n_threads):
    """Z'S(y - Zw), (n_features,), and the sum of S(y - Zw), in one read of dense float32 X.

    Sums run over a partition that does not depend on the number of threads.
    """
    a = w * view.scale * (np.asarray(view._norm2) > 0)
    offset = np.asarray(view._offset)
    target = y + float(offset @ a)
    parts = pieces(view.n_samples, PARTS, ROWS)
    sums = np.zeros((len(parts), view.n_features + 1))
    parallel([partial(_misfit_part, view, a, target, sums[k], *part)
              for k, part in enumerate(parts)], n_threads)
    found = sums.sum(axis=0)
    return view.scale * (found[:-1] - offset * found[-1]) * (np.asarray(view._norm2) > 0), found[-1]


def _misfit_part(DesignView view, const double[::1] a, const double[::1] y, double[::1] out,
                 Py_ssize_t start, Py_ssize_t stop):
    cdef Storage storage = view.storage
    cdef Py_ssize_t p = view.n_features, n = view.n_samples, m
    cdef Py_ssize_t most = max(64, min(<int> ROWS, NEAR // p))
    cdef Py_ssize_t blocks = max((stop - start + most - 1) // most, 1)  # of about the same length
    cdef Py_ssize_t step = (stop - start + blocks - 1) // blocks
    cdef double[::1] t = np.empty(step)
    cdef const double* s
    cdef bint by_rows = storage.layout == DENSE_ROWS
    cdef Singles X
    X.x, X.shift = <const float*> storage.values, &view._shift[0]
    X.p, X.stride = p, storage.stride
    X.x += start * (X.stride if by_rows else 1)
    with nogil:
        while start < stop:
            m = min(step, stop - start)
            s = view.s + start if view.s != NULL else NULL
            if by_rows:
                X.ahead = NEXT * X.stride if start + m + NEXT <= n else 0
                creg_misfit_rows(m, &X, &a[0], &y[start], s, &t[0], &out[0])
                X.x += m * X.stride
            else:
                X.ahead = m if start + 2 * m <= n else 0
                creg_misfit_columns(m, &X, &a[0], &y[start], s, &t[0], &out[0])
                X.x += m
            out[p] += leaves.creg_sum(m, &t[0])
            start += m


cdef class _Single:
    cdef Storage storage
    cdef const float[::1] shift, scale, root, y
    cdef bint ones, weighted
    cdef Py_ssize_t width, pitch, step  # rows of a block, each `pitch` entries, at once
    cdef Py_ssize_t lead                # zeros ahead of a row, where tiles are cut from its end
    cdef bint tiled
    cdef Py_ssize_t chunk
    cdef list stop

    def __init__(self, Storage storage, shift, scale, root, y, bint ones):
        self.storage, self.ones, self.weighted = storage, ones, root is not None
        self.shift, self.scale = shift.astype(np.float32), scale.astype(np.float32)
        self.root = (np.ones(1) if root is None else root).astype(np.float32)
        self.y = y.astype(np.float32)
        self.width = self.pitch = storage.n_features + 1 + ones
        self.step, self.tiled = ROWS, tiles_are_faster(self.width)
        if self.tiled:
            self.pitch = (self.width + 15) // 16 * 16
            self.lead = (self.pitch - self.width) // 8 * 8
            self.chunk = max(<Py_ssize_t> CHUNK, TILED // self.pitch // 8 * 8)
            self.step = ROWS if self.chunk == CHUNK else min(ROWS, self.chunk)
        self.stop = []

    def run(self, int n_threads):
        cdef Py_ssize_t n = self.storage.n_samples, size = self.width
        count = n_parts(self.storage, (n + ROWS - 1) // ROWS, size * size)
        sums = [np.zeros((size, size)) for _ in range(count)]
        tasks = [partial(self.add, sums[k], *part)
                 for k, part in enumerate(pieces(n, count, ROWS))]
        with single_blas():
            parallel(tasks, n_threads)
        for part in sums[1:]:
            sums[0] += part
        return sums[0]

    def add(self, double[:, ::1] out, Py_ssize_t start, Py_ssize_t stop):
        cdef float[::1] block = aligned_zeros((self.step + 1) * self.pitch // 2).view(np.float32)
        cdef float[::1] part = aligned_zeros(self.pitch * self.pitch // 2 + 1).view(np.float32)
        cdef Py_ssize_t i
        for i in range(start, stop, self.step):
            if self.stop:
                return
            with nogil:
                self.add_block(i, min(self.step, stop - i), &block[0], &part[0], &out[0, 0])
            try:
                PyErr_CheckSignals()
            except BaseException:
                self.stop.append(True)
                raise

    cdef void add_block(self, Py_ssize_t start, Py_ssize_t rows, float* block, float* part,
                        double* out) noexcept nogil:
        cdef bint by_rows = self.storage.layout == DENSE_ROWS
        cdef Py_ssize_t j
        if by_rows or self.tiled:
            self.load_rows(start, rows, block + self.lead)
        else:
            for j in range(self.width):
                self.load_column(j, start, rows, block + j * rows)
        if self.tiled:
            self.multiply_tiled(start, rows, block, part)
        else:
            self.multiply(by_rows, rows, block, part)
        tiles.creg_add_upper(self.width, part + self.lead * (self.pitch + 1), self.pitch, out)

    cdef void multiply(self, bint by_rows, Py_ssize_t rows, float* block,
                       float* part) noexcept nogil:
        """The upper triangle of block'block, by rows."""
        cdef int size = <int> self.width, k = <int> rows, ld = size if by_rows else k
        cdef char trans = b"N" if by_rows else b"T"
        cdef char lower = b"L"
        cdef float one = 1, nought = 0
        ssyrk(&lower, &trans, &size, &k, &one, block, &ld, &nought, part, &size)

    cdef void multiply_tiled(self, Py_ssize_t start, Py_ssize_t rows, const float* block,
                             float* part) noexcept nogil:
        """The same; the rows that follow are fetched meanwhile."""
        cdef Box box
        cdef tiles.Region following
        cdef Py_ssize_t done = 0
        box.row, box.column, box.column_stop = start + rows, 0, self.storage.n_features
        box.row_stop = min(box.row + self.step, self.storage.n_samples)
        following = tiles.region_of(self.storage, &box)
        memset(part, 0, self.pitch * self.pitch * sizeof(float))
        while done < rows:
            tiles.creg_tile_gram_f32(min(self.chunk, rows - done), self.lead, self.pitch,
                                     block + done * self.pitch, part, &following)
            following.lines = 0
            done += self.chunk

    cdef void load_rows(self, Py_ssize_t start, Py_ssize_t rows, float* out) noexcept nogil:
        cdef Py_ssize_t p = self.storage.n_features, stride = self.storage.stride, i
        cdef const float* x = <const float*> self.storage.values
        cdef const float* roots = &self.root[start] if self.weighted else NULL
        cdef float root = 1
        if self.storage.layout == DENSE_ROWS:
            tiles.creg_shifted_singles(rows, p, x + start * stride, stride, &self.shift[0],
                                       &self.scale[0], roots, out, self.pitch)
        else:
            tiles.creg_turned_singles(rows, p, x + start, stride, &self.shift[0], &self.scale[0],
                                      roots, out, self.pitch)
        for i in range(rows):
            if roots != NULL:
                root = roots[i]
            out[i * self.pitch + p] = self.y[start + i] * root
            if self.ones:
                out[i * self.pitch + p + 1] = root

    cdef void load_column(self, Py_ssize_t j, Py_ssize_t start, Py_ssize_t rows,
                          float* out) noexcept nogil:
        cdef const float* x = (<const float*> self.storage.values) + start
        cdef float shift = 0, scale = 1
        cdef Py_ssize_t i
        if j < self.storage.n_features:
            x += j * self.storage.stride
            shift, scale = self.shift[j], self.scale[j]
            for i in range(rows):
                out[i] = (x[i] - shift) * scale
        elif j == self.storage.n_features:
            for i in range(rows):
                out[i] = self.y[start + i]
        else:
            for i in range(rows):
                out[i] = 1
        if self.weighted:
            for i in range(rows):
                out[i] *= self.root[start + i]
