"""The Gram block of the working set, built as features enter it.

    G_jk = <z_j, z_k> = sum_i s_i z_ij z_ik

From the whole Gram matrix where there is one; from a contiguous copy of the weighted columns
(dense X); or from the rows of the working set's entries (sparse X), column j costing the entries
that the working set has in its rows: with v_ij = scale_j (x_ij - shift_j) stored and o_j =
scale_j offset_j subtracted everywhere, <z_j, z_k> = sum_i s_i v_ij v_ik - (sum_i s_i) o_j o_k.
"""

from libc.stdint cimport int32_t
from libc.string cimport memset

import numpy as np

from scipy.linalg.cython_blas cimport dgemm

from creg._data.design cimport DesignView
from creg._lasso.active_set cimport ActiveSet

cdef enum:
    CHUNK = 8  # entries of a row that are stored together

cdef char PLAIN = b"N"
cdef char TRANSPOSED = b"T"
cdef double ONE = 1.0
cdef double NOUGHT = 0.0


cdef class WorkingGram:
    """Fills `pivoting.G`; `whole` is Z'SZ, (n_features, n_features), or None."""

    def __init__(self, DesignView view, ActiveSet pivoting, whole=None):
        cdef const double[:, ::1] matrix
        cdef const double[::1] root
        self.view, self.pivoting = view, pivoting
        self._arrays = {}
        if whole is not None:
            matrix = whole
            self.whole, self.whole_stride = &matrix[0, 0], matrix.shape[1]
            self._arrays["whole"] = matrix
        elif view.weights is not None:
            root = np.sqrt(view.weights)
            self.root_s = &root[0]
            self._arrays["root"] = root

    cdef add(self, const Py_ssize_t* features, Py_ssize_t count):
        """Append features to the working set: the rows and columns of G."""
        cdef Py_ssize_t k
        cdef Py_ssize_t size = self.size + count
        self.pivoting.reserve(size)
        self.features = self.pivoting.features
        for k in range(count):
            self.features[self.size + k] = features[k]
            self.pivoting.entries += self.view.storage.count(features[k])
        if self.whole != NULL:
            self._copy(size)
        else:
            self._reserve(count)
            if self.view.storage.is_sparse():
                self._scatter(count)
            else:
                self._multiply(count)
            self.columns_read += count
        self.size = self.pivoting.size = size

    cdef _reserve(self, Py_ssize_t count):
        """Room for the new columns and their products."""
        cdef Py_ssize_t n = self.view.n_samples, capacity = self.pivoting.capacity
        cdef double[::1] block
        cdef double[::1] offset
        cdef double[::1, :] columns
        if count * capacity > self.block_capacity:
            self.block_capacity = max(count, 16) * capacity
            block = np.empty(self.block_capacity)
            self.block = &block[0]
            self._arrays["block"] = block
        if self.view.storage.is_sparse():
            self._reserve_rows(count)
            if capacity > self.capacity:
                offset = np.empty(capacity)
                if self.size:
                    np.asarray(offset)[:self.size] = np.asarray(self._arrays["offset"])[:self.size]
                self.offset, self.capacity = &offset[0], capacity
                self._arrays["offset"] = offset
        elif capacity > self.capacity:
            columns = np.empty((n, capacity), order="F")
            if self.size:
                np.asarray(columns)[:, :self.size] = \
                    np.asarray(self._arrays["columns"])[:, :self.size]
            self.columns, self.capacity = &columns[0, 0], capacity
            self._arrays["columns"] = columns

    cdef _reserve_rows(self, Py_ssize_t count):
        """Room for the entries of the new columns, each of which opens a chunk at most; a row has
        one chunk at most that is not full."""
        cdef Py_ssize_t n = self.view.n_samples, k, entries = 0, need = self.n_chunks
        cdef Py_ssize_t[::1] head, following
        cdef int32_t[::1] filled
        cdef int32_t[:, ::1] feature
        cdef double[:, ::1] value
        for k in range(count):
            need += self.view.storage.count(self.features[self.size + k])
        for k in range(self.size + count):
            entries += self.view.storage.count(self.features[k])
        need = 1 + min(need, (entries + (CHUNK - 1) * n) // CHUNK)
        if self.row_head == NULL:
            head, filled = np.full(n, -1, dtype=np.intp), np.full(n, CHUNK, dtype=np.int32)
            self.row_head, self.row_filled = &head[0], &filled[0]
            self._arrays["rows"] = (head, filled)
        if need <= self.chunk_capacity:
            return
        need = max(need, 2 * self.n_chunks)
        following = np.empty(need, dtype=np.intp)
        feature, value = np.empty((need, CHUNK), dtype=np.int32), np.empty((need, CHUNK))
        if self.n_chunks:
            for new, old in zip((following, feature, value), self._arrays["chunks"]):
                np.asarray(new)[:self.n_chunks] = np.asarray(old)[:self.n_chunks]
        self.chunk_next, self.chunk_capacity = &following[0], need
        self.chunk_feature, self.chunk_value = &feature[0, 0], &value[0, 0]
        self._arrays["chunks"] = (following, feature, value)

    cdef void _copy(self, Py_ssize_t size) noexcept nogil:
        cdef Py_ssize_t k, i, m = self.pivoting.capacity
        cdef const double* row
        for k in range(self.size, size):
            row = self.whole + self.features[k] * self.whole_stride
            for i in range(k + 1):
                self.pivoting.G[k * m + i] = row[self.features[i]]
                self.pivoting.G[i * m + k] = row[self.features[i]]

    cdef void _multiply(self, Py_ssize_t count) noexcept nogil:
        """Dense X: Z_W'Z_new by one matrix product."""
        cdef Py_ssize_t n = self.view.n_samples, k, j
        cdef int rows = <int> (self.size + count), width = <int> count, depth = <int> n
        cdef double* new = self.columns + self.size * n
        for k in range(count):
            j = self.features[self.size + k]
            memset(new + k * n, 0, n * sizeof(double))
            self.view.storage.axpy(j, self.view._scale[j], self.view._shift[j], self.root_s,
                                   new + k * n)
        dgemm(&TRANSPOSED, &PLAIN, &rows, &width, &depth, &ONE, self.columns, &depth, new, &depth,
              &NOUGHT, self.block, &rows)
        self._store(count)

    cdef void _scatter(self, Py_ssize_t count) noexcept nogil:
        """Sparse X: the products from the rows of the working set's entries."""
        cdef Py_ssize_t k, j, i, e, at, chunk, filled, size = self.size + count
        cdef double x, a
        cdef double* out
        for k in range(self.size, size):
            j = self.features[k]
            self.offset[k] = self.view._scale[j] * self.view._offset[j]
            for e in range(self.view.storage.start(j), self.view.storage.start(j + 1)):
                i = self.view.storage.row_at(e)
                if self.row_filled[i] == CHUNK:
                    self.chunk_next[self.n_chunks] = self.row_head[i]
                    self.row_head[i] = self.n_chunks
                    self.row_filled[i] = 0
                    self.n_chunks += 1
                at = self.row_head[i] * CHUNK + self.row_filled[i]
                self.row_filled[i] += 1
                self.chunk_feature[at] = <int32_t> k
                self.chunk_value[at] = self.view._scale[j] * (
                    self.view.storage.value_at(e) - self.view._shift[j])
        for k in range(count):
            j = self.features[self.size + k]
            out = self.block + k * size
            a = -self.view.sum_weights * self.offset[self.size + k]
            for i in range(size):
                out[i] = a * self.offset[i]
            for e in range(self.view.storage.start(j), self.view.storage.start(j + 1)):
                i = self.view.storage.row_at(e)
                x = self.view._scale[j] * (self.view.storage.value_at(e) - self.view._shift[j])
                if self.view.s != NULL:
                    x *= self.view.s[i]
                chunk, filled = self.row_head[i], self.row_filled[i]
                while chunk >= 0:
                    for at in range(chunk * CHUNK, chunk * CHUNK + filled):
                        out[self.chunk_feature[at]] += x * self.chunk_value[at]
                    chunk, filled = self.chunk_next[chunk], CHUNK
        self._store(count)

    cdef void _store(self, Py_ssize_t count) noexcept nogil:
        """The products into both triangles of G."""
        cdef Py_ssize_t k, i, size = self.size + count, m = self.pivoting.capacity
        cdef double* G = self.pivoting.G
        cdef const double* row
        for k in range(count):
            row = self.block + k * size
            for i in range(self.size + k + 1):
                G[(self.size + k) * m + i] = row[i]
        for i in range(size):
            for k in range(max(0, i - self.size), count):
                G[i * m + self.size + k] = self.block[k * size + i]
