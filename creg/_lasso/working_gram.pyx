"""The Gram block of the working set, built as features enter it, and products with it.

    G_jk = <z_j, z_k> = sum_i s_i z_ij z_ik

From the whole Gram matrix where there is one; from a contiguous copy of the weighted columns
(dense X); or from the rows of the working set's entries (sparse X), column j costing the entries
that the working set has in its rows: with v_ij = scale_j (x_ij - shift_j) stored and o_j =
scale_j offset_j subtracted everywhere, <z_j, z_k> = sum_i s_i v_ij v_ik - (sum_i s_i) o_j o_k.
A large sparse working set keeps those rows alone, and one for solves in the space of the samples
its columns: a line of G is computed when it is asked for, and products with many lines go through
Z.
"""

from functools import partial

from libc.stdint cimport int32_t
from libc.string cimport memset

import numpy as np

from scipy.linalg.cython_blas cimport dgemv

from creg._data cimport leaves
from creg._data.design cimport DesignView
from creg._lasso cimport matrices
from creg._lasso.signals cimport Signals

from creg._data.threads import parallel, pieces

cdef enum:
    PARTS = 4            # of a large product
    FEW = 4              # lines that are computed rather than multiplied through Z
    CHUNK = 8            # entries of a row that are stored together
    LARGEST_SPARSE = 2048  # sparse working sets up to this size have their block stored

cdef double PRODUCT_WORK = 1e7  # multiplications from which a product is large
cdef double DENSE_GAIN = 8.0  # a stored entry of a sparse column costs so many of a line of G

cdef char TRANSPOSED = b"T"
cdef double ONE = 1.0


cdef class WorkingGram:
    """G of the features added so far; `whole` is Z'SZ, (n_features, n_features), or None."""

    def __init__(self, DesignView view, whole=None, int n_threads=1):
        cdef const double[:, ::1] matrix
        cdef const double[::1] root
        cdef double[::1] sums
        self.view, self.n_threads = view, n_threads
        self._arrays = {}
        self.signals = Signals()
        self.stored = True
        if whole is not None:
            matrix = whole
            self.whole, self.whole_stride = &matrix[0, 0], matrix.shape[1]
            self._arrays["whole"] = matrix
            return
        self.is_sparse = view.storage.is_sparse()
        sums = np.empty(view.n_samples)
        self.sum.q = &sums[0]
        self._arrays["sums"] = sums
        if not self.is_sparse and view.weights is not None:
            root = np.sqrt(view.weights)
            self.root_s = &root[0]
            self._arrays["root"] = root

    cdef refer(self):
        """All features at once: the whole matrix is the block."""
        self.G = <double*> self.whole
        self.size = self.capacity = self.whole_stride

    cdef int add(self, const Py_ssize_t* features, Py_ssize_t count) except -1 nogil:
        """Append features to the working set: the rows and columns of G."""
        cdef Py_ssize_t k, need, size = self.size + count
        if size > self.capacity:
            with gil:
                self._reserve(size)
        for k in range(count):
            self.features[self.size + k] = features[k]
            self.entries += self.view.storage.count(features[k])
        if self.whole != NULL:
            self._copy(size)
        else:
            if not self._has_block(count):
                with gil:
                    self._reserve_block(count)
            if self.is_sparse:
                need = self._chunks_for(count)
                if need > self.chunk_capacity:
                    with gil:
                        self._reserve_rows(need)
                self._insert(count)
            else:
                self._multiply(count)
            self.columns_read += count
        self.size = size

    cdef _reserve(self, Py_ssize_t size):
        """Room for so many features."""
        cdef double[:, ::1] G
        cdef Py_ssize_t[::1] features, chosen
        cdef double[::1] reals
        cdef Py_ssize_t capacity = self.capacity
        # beyond some size copying costs less than room that is never used
        capacity = max(size, 32, 2 * capacity if capacity < 2048 else capacity + capacity // 2)
        kept = self._arrays
        features, reals = np.empty(capacity, dtype=np.intp), np.empty(2 * capacity)
        if self.size:
            features.base[:self.size] = np.asarray(kept["features"])[:self.size]
            reals.base[:self.size] = np.asarray(kept["reals"])[:self.size]
        self.features, self.offset, self.line = &features[0], &reals[0], &reals[capacity]
        if self.is_sparse:
            chosen = np.empty(capacity, dtype=np.intp)
            self.chosen, kept["chosen"] = &chosen[0], chosen
        kept["features"], kept["reals"] = features, reals
        self.capacity = capacity
        if self.is_sparse and capacity > LARGEST_SPARSE:
            self.forget_lines()
        elif self.stored:
            G = np.empty((capacity, capacity))
            if self.size:
                np.asarray(G)[:self.size, :self.size] = kept["G"][:self.size, :self.size]
            self.G, kept["G"] = &G[0, 0], np.asarray(G)

    cdef forget_lines(self):
        """From now on lines are computed when they are asked for."""
        self.stored, self.G = False, NULL
        self._arrays.pop("G", None)

    cdef store_lines(self):
        """The block again, of dense X."""
        cdef Py_ssize_t count = self.size
        cdef double[:, ::1] G = np.empty((self.capacity, self.capacity))
        self.stored, self.G, self._arrays["G"] = True, &G[0, 0], np.asarray(G)
        self.size = 0
        self._reserve_block(count)
        self._multiply(count)
        self.size = count

    cdef bint _has_block(self, Py_ssize_t count) noexcept nogil:
        return not (self.stored and count * self.capacity > self.block_capacity) and (
            self.is_sparse or self.capacity <= self.column_capacity)

    cdef _reserve_block(self, Py_ssize_t count):
        """Room for the products of new columns, and for dense columns themselves."""
        cdef Py_ssize_t n = self.view.n_samples, capacity = self.capacity
        cdef double[::1] block
        cdef double[::1, :] columns
        if self.stored and count * capacity > self.block_capacity:
            self.block_capacity = max(count, 16) * capacity
            block = np.empty(self.block_capacity)
            self.block = &block[0]
            self._arrays["block"] = block
        if not self.is_sparse and capacity > self.column_capacity:
            columns = np.empty((n, capacity), order="F")
            if self.size:
                np.asarray(columns)[:, :self.size] = \
                    np.asarray(self._arrays["columns"])[:, :self.size]
            self.columns, self.column_capacity = &columns[0, 0], capacity
            self._arrays["columns"] = columns

    cdef Py_ssize_t _chunks_for(self, Py_ssize_t count) noexcept nogil:
        """Entries of the new columns open a chunk each at most; a row has one chunk at most that is
        not full."""
        cdef Py_ssize_t n = self.view.n_samples, k, entries = 0, need = self.n_chunks
        for k in range(count):
            need += self.view.storage.count(self.features[self.size + k])
        for k in range(self.size + count):
            entries += self.view.storage.count(self.features[k])
        return 1 + min(need, (entries + (CHUNK - 1) * n) // CHUNK)

    cdef _reserve_rows(self, Py_ssize_t need):
        """Room for so many chunks."""
        cdef Py_ssize_t n = self.view.n_samples
        cdef Py_ssize_t[::1] head, following
        cdef int32_t[::1] filled
        cdef int32_t[:, ::1] feature
        cdef double[:, ::1] value
        if self.row_head == NULL:
            head, filled = np.full(n, -1, dtype=np.intp), np.full(n, CHUNK, dtype=np.int32)
            self.row_head, self.row_filled = &head[0], &filled[0]
            self._arrays["rows"] = (head, filled)
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
        cdef Py_ssize_t k, i, m = self.capacity
        cdef const double* row
        for k in range(self.size, size):
            row = self.whole + self.features[k] * self.whole_stride
            for i in range(k + 1):
                self.G[k * m + i] = row[self.features[i]]
                self.G[i * m + k] = row[self.features[i]]

    cdef int _multiply(self, Py_ssize_t count) except -1 nogil:
        """Dense X: Z_W'Z_new by one matrix product, a large one in parts, whatever the threads."""
        cdef Py_ssize_t n = self.view.n_samples, k, j, rows = self.size + count
        cdef double* new = self.columns + self.size * n
        for k in range(count):
            j = self.features[self.size + k]
            memset(new + k * n, 0, n * sizeof(double))
            self.view.storage.axpy(j, self.view._scale[j], self.view._shift[j], self.root_s,
                                   new + k * n)
        if not self.stored:
            return 0
        if <double> n * rows * count < PRODUCT_WORK:
            self._multiply_rows(0, rows, count)
        else:
            with gil:
                self._multiply_in_parts(rows, count)
        self._store(count, 1, count)

    cdef _multiply_in_parts(self, Py_ssize_t rows, Py_ssize_t count):
        parallel([partial(self._multiply_part, *part, count)
                  for part in pieces(rows, PARTS, 16)], self.n_threads)

    def _multiply_part(self, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t count):
        with nogil:
            self._multiply_rows(start, stop, count)

    cdef void _multiply_rows(self, Py_ssize_t start, Py_ssize_t stop,
                             Py_ssize_t count) noexcept nogil:
        """These columns of Z_new'Z_W."""
        cdef Py_ssize_t n = self.view.n_samples
        matrices.cross_products(count, stop - start, n, self.columns + self.size * n,
                                self.columns + start * n, n, self.block + start * count)

    cdef void _insert(self, Py_ssize_t count) noexcept nogil:
        """Sparse X: the entries of the new columns into the rows, then their lines of G."""
        cdef Py_ssize_t k, j, i, e, at, size = self.size + count
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
        if not self.stored:
            return
        for k in range(count):
            self._scatter(self.size + k, size, self.block + k * size)
        self._store(count, size, 1)

    cdef void _scatter(self, Py_ssize_t k, Py_ssize_t size, double* out) noexcept nogil:
        """out[i] = G_ki, i < size, from the rows of the working set's entries."""
        cdef Py_ssize_t j = self.features[k], i, e, at, chunk, filled
        cdef double x, a = -self.view.sum_weights * self.offset[k]
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

    cdef void _store(self, Py_ssize_t count, Py_ssize_t line, Py_ssize_t step) noexcept nogil:
        """The products, those of a new feature a `step` apart in its `line`, into both triangles
        of G."""
        cdef Py_ssize_t k, i, at, m = self.capacity
        cdef double* G = self.G
        cdef const double* row
        for k in range(count):
            row, at = self.block + k * line, self.size + k
            for i in range(at + 1):
                G[at * m + i] = row[i * step]
        for i in range(self.size + count):
            for k in range(max(0, i - self.size), count):
                G[i * m + self.size + k] = self.block[k * line + i * step]

    cdef const double* row(self, Py_ssize_t k) noexcept nogil:
        """G_k, (size,): good until the next is asked for."""
        if self.stored:
            return self.G + k * self.capacity
        if self.is_sparse:
            self._scatter(k, self.size, self.line)
        else:
            memset(self.line, 0, self.size * sizeof(double))
            self._add_products(self.columns + k * self.view.n_samples, self.line)
        return self.line

    cdef void add_rows(self, const Py_ssize_t* rows, const double* a, Py_ssize_t count,
                       double* out) noexcept nogil:
        """out += sum_i a_i G_(rows_i)."""
        cdef Py_ssize_t i = 0, m = self.capacity
        if not self.is_sparse and not self.stored:
            self._add_through_columns(rows, a, count, out)
            return
        if self.is_sparse and (count > FEW if not self.stored else <double> count * self.size >
                               DENSE_GAIN * (self.entries + self.view.n_samples)):
            self._add_through_design(rows, a, count, out)
            return
        while self.stored and i + 4 <= count:
            leaves.creg_add4(self.size, a + i, self.G + rows[i] * m, self.G + rows[i + 1] * m,
                             self.G + rows[i + 2] * m, self.G + rows[i + 3] * m, out)
            i += 4
        while i < count:
            leaves.creg_add(self.size, a[i], self.row(rows[i]), out)
            i += 1

    cdef void _add_through_columns(self, const Py_ssize_t* rows, const double* a,
                                   Py_ssize_t count, double* out) noexcept nogil:
        """out += Z_W'S (sum_i a_i z_(rows_i)), X dense."""
        memset(self.sum.q, 0, self.view.n_samples * sizeof(double))
        self.add_columns(rows, a, count, self.sum.q)
        self._add_products(self.sum.q, out)

    cdef void add_columns(self, const Py_ssize_t* rows, const double* a, Py_ssize_t count,
                          double* out) noexcept nogil:
        """out += S^1/2 (sum_i a_i z_(rows_i)), X dense."""
        cdef Py_ssize_t i = 0, n = self.view.n_samples
        cdef const double* z = self.columns
        while i + 4 <= count:
            leaves.creg_add4(n, a + i, z + rows[i] * n, z + rows[i + 1] * n, z + rows[i + 2] * n,
                             z + rows[i + 3] * n, out)
            i += 4
        while i < count:
            leaves.creg_add(n, a[i], z + rows[i] * n, out)
            i += 1

    cdef void _add_products(self, const double* q, double* out) noexcept nogil:
        """out_k += <S^1/2 z_k, q>."""
        cdef int n = <int> self.view.n_samples, size = <int> self.size, one = 1
        dgemv(&TRANSPOSED, &n, &size, &ONE, self.columns, &n, <double*> q, &one, &ONE, out, &one)

    cdef void _add_through_design(self, const Py_ssize_t* rows, const double* a, Py_ssize_t count,
                                  double* out) noexcept nogil:
        """out += Z_W'S (sum_i a_i z_(rows_i))."""
        cdef Py_ssize_t i
        for i in range(count):
            self.chosen[i] = self.features[rows[i]]
        self._combine(self.chosen, count, a)
        self.view.correlations(&self.sum, self.features, self.size, self.line)
        for i in range(self.size):
            out[i] += self.line[i]

    cdef double square_of(self, Py_ssize_t k) noexcept nogil:
        """||z_k||^2."""
        return self.view._norm2[self.features[k]]

    cdef double cost(self) noexcept nogil:
        """Multiplications of one product through the design with all of the working set."""
        return 2.0 * (self.entries + self.view.n_samples)

    cdef void multiply(self, const Py_ssize_t* rows, Py_ssize_t count, const double* x,
                       double* out) noexcept nogil:
        """out := G_AA x, A the listed features, through the design; both are (count,)."""
        cdef Py_ssize_t i
        for i in range(count):
            self.chosen[i] = self.features[rows[i]]
        self._combine(self.chosen, count, x)
        self.view.correlations(&self.sum, self.chosen, count, out)

    cdef void _combine(self, const Py_ssize_t* columns, Py_ssize_t count,
                       const double* a) noexcept nogil:
        """sum := S (sum_i a_i z_(columns_i))."""
        cdef Py_ssize_t i, j
        memset(self.sum.q, 0, self.view.n_samples * sizeof(double))
        for i in range(count):
            j = columns[i]
            if a[i] != 0.0:
                self.view.storage.axpy(j, a[i] * self.view._scale[j], self.view._shift[j], NULL,
                                       self.sum.q)
        if self.view.s != NULL:
            leaves.creg_weigh(self.view.n_samples, self.view.s, self.sum.q)
        self.view.recentre(&self.sum)
