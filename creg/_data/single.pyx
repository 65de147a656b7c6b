"""The products of `tall` for float32 X, blocks of rows multiplied in float32 and added in float64.

Their error is that of one float32 product of MOST rows, some 1e-8 of the diagonal.
"""

from cpython.exc cimport PyErr_CheckSignals
from scipy.linalg.cython_blas cimport ssyrk

from functools import partial

import numpy as np

from creg._data.storage cimport DENSE_ROWS, Storage

from creg._data.blocks import n_parts
from creg._data.threads import parallel, pieces, single_blas

cdef enum:
    ROWS = 1024


def single_gram(Storage storage, shift, scale, root, y, bint ones, int n_threads):
    """B'B, the upper triangle, of `blocks.Blocks`' B; float32 dense X, shift exact in float32."""
    work = _Single(storage, shift, scale, root, y, ones)
    return work.run(n_threads)


cdef class _Single:
    cdef Storage storage
    cdef const float[::1] shift, scale, root, y
    cdef bint ones, weighted
    cdef Py_ssize_t width
    cdef list stop

    def __init__(self, Storage storage, shift, scale, root, y, bint ones):
        self.storage, self.ones, self.weighted = storage, ones, root is not None
        self.shift, self.scale = shift.astype(np.float32), scale.astype(np.float32)
        self.root = (np.ones(1) if root is None else root).astype(np.float32)
        self.y = y.astype(np.float32)
        self.width = storage.n_features + 1 + ones
        self.stop = []

    def run(self, int n_threads):
        cdef Py_ssize_t n = self.storage.n_samples, size = self.width
        count = n_parts(self.storage, -(-n // ROWS), size * size)
        sums = [np.zeros((size, size)) for _ in range(count)]
        tasks = [partial(self.add, sums[k], *part)
                 for k, part in enumerate(pieces(n, count, ROWS))]
        with single_blas():
            parallel(tasks, n_threads)
        for part in sums[1:]:
            sums[0] += part
        return sums[0]

    def add(self, double[:, ::1] out, Py_ssize_t start, Py_ssize_t stop):
        cdef float[::1] block = np.empty(ROWS * self.width, dtype=np.float32)
        cdef float[::1] part = np.empty(self.width * self.width, dtype=np.float32)
        cdef Py_ssize_t i
        for i in range(start, stop, ROWS):
            if self.stop:
                return
            with nogil:
                self.add_block(i, min(<Py_ssize_t> ROWS, stop - i), &block[0], &part[0],
                               &out[0, 0])
            try:
                PyErr_CheckSignals()
            except BaseException:
                self.stop.append(True)
                raise

    cdef void add_block(self, Py_ssize_t start, Py_ssize_t rows, float* block, float* part,
                        double* out) noexcept nogil:
        cdef bint by_rows = self.storage.layout == DENSE_ROWS
        cdef int size = <int> self.width, k = <int> rows, ld = size if by_rows else k
        cdef char trans = b"N" if by_rows else b"T"
        cdef char lower = b"L"
        cdef float one = 1, nought = 0
        cdef Py_ssize_t i, j
        if by_rows:
            for i in range(rows):
                self.load_row(start + i, block + i * size)
        else:
            for j in range(size):
                self.load_column(j, start, rows, block + j * rows)
        ssyrk(&lower, &trans, &size, &k, &one, block, &ld, &nought, part, &size)
        for i in range(size):
            _add(size - i, part + i * size + i, out + i * size + i)

    cdef void load_row(self, Py_ssize_t i, float* out) noexcept nogil:
        cdef Py_ssize_t p = self.storage.n_features
        cdef const float* x = (<const float*> self.storage.values) + i * self.storage.stride
        cdef float root = self.root[i] if self.weighted else 1
        _row(p, x, &self.shift[0], &self.scale[0], root, out)
        out[p] = self.y[i] * root
        if self.ones:
            out[p + 1] = root

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


cdef void _row(Py_ssize_t p, const float* x, const float* shift, const float* scale, float root,
               float* out) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(p):
        out[j] = (x[j] - shift[j]) * (scale[j] * root)


cdef void _add(Py_ssize_t n, const float* part, double* out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] += part[i]
