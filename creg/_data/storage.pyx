"""Raw verbs for each layout, dtype and index type of X, without copying it."""

from libc.stdint cimport int32_t, int64_t

import numpy as np
from scipy import sparse

from creg._data cimport leaves

ctypedef fused Index:
    int32_t
    int64_t

ctypedef fused Value:
    double
    float

cdef enum Order:
    SORTED
    UNSORTED
    OUT_OF_RANGE

cdef enum:
    TILE = 64        # columns whose sums over rows are kept at once
    COPY_ROWS = 128  # rows whose transposition stays in cache
    ROW_BLOCK = 64   # rows between two additions to the sums over a row layout
    SHORT = 3000      # rows of a column that is shorter than the start of a stream of memory pays
    CACHED = 4_000_000  # entries of X that may be in cache


cdef class Storage:
    """X as it lies in memory, and what can be asked of one column (row) of it.

    The arrays must not change as long as the storage lives.

    Parameters
    ----------
    X : ndarray or scipy.sparse array or matrix of shape (n_samples, n_features)
        Used in place if it is float64 or float32 and dense with a unit stride, or CSC or CSR
        with sorted indices and no duplicates; copied once otherwise.
    check : callable, optional
        Raises where a value is not finite.  It is not called before `verify` is.
    """

    def __init__(self, object X, check=None):
        self._moments, self._check = {}, check
        if sparse.issparse(X):
            self._set_sparse(X)
        else:
            self._set_dense(np.asarray(X))

    def __reduce__(self):
        return Storage, (self.X,)

    def _set_dense(self, X):
        if X.ndim != 2:
            raise ValueError(f"X must have two dimensions, got {X.ndim}")
        cdef Py_ssize_t n = X.shape[0], p = X.shape[1], size
        if X.dtype not in (np.float64, np.float32) or not X.dtype.isnative or not X.flags.aligned:
            X = np.array(X, dtype=np.float32 if X.dtype == np.float32 else np.float64, order="K")
        size = X.itemsize
        if not _in_place(X):
            X = np.asfortranarray(X)
        if n <= 1 or X.strides[0] == size and (p <= 1 or X.strides[1] % size == 0):
            self.layout = DENSE_COLUMNS
            self.stride = X.strides[1] // size if p > 1 else n
        else:
            self.layout = DENSE_ROWS
            self.stride = X.strides[0] // size
        self.element = F32_I32 if X.dtype == np.float32 else F64_I32
        self.n_samples, self.n_features = n, p
        self.values = <const char*> <size_t> X.__array_interface__["data"][0]
        self.X, self._arrays = X, (X,)

    def _set_sparse(self, X):
        if X.ndim != 2:
            raise ValueError(f"X must have two dimensions, got {X.ndim}")
        if X.format not in ("csc", "csr"):
            X = X.tocsc()
        cdef bint columns = X.format == "csc"
        n, p = X.shape
        major, minor = (p, n) if columns else (n, p)
        indptr, indices = _one_index_type(X.indptr, X.indices)
        if len(indptr) != major + 1:
            raise ValueError(f"X must have {major + 1} index pointers, got {len(indptr)}")
        if not _is_sorted(indptr, indices, minor):
            X = X.__class__((X.data.copy(), X.indices.copy(), X.indptr.copy()), shape=X.shape)
            X.sum_duplicates()
            indptr, indices = _one_index_type(X.indptr, X.indices)
        data = X.data
        if data.dtype not in (np.float64, np.float32) or not data.dtype.isnative:
            data = data.astype(np.float64)
            X = X.__class__((data, X.indices, X.indptr), shape=X.shape)
        data = np.require(data, requirements=("C", "A"))
        self.layout = SPARSE_COLUMNS if columns else SPARSE_ROWS
        if indices.dtype == np.int32:
            self.element = F32_I32 if data.dtype == np.float32 else F64_I32
        else:
            self.element = F32_I64 if data.dtype == np.float32 else F64_I64
        self.n_samples, self.n_features = n, p
        self.values = <const char*> <size_t> data.__array_interface__["data"][0]
        self.indices = <const char*> <size_t> indices.__array_interface__["data"][0]
        self.indptr = <const char*> <size_t> indptr.__array_interface__["data"][0]
        self.X, self._arrays = X, (data, indices, indptr)

    def verify(self):
        """Check that all values are finite, where that is not known yet."""
        if self._check is not None:
            self._check()
            self._check = None

    @property
    def is_verified(self):
        """Whether `verify` has nothing left to do."""
        return self._check is None

    def known_finite(self):
        """`verify` need not look any more."""
        self._check = None

    @property
    def shape(self):
        """(n_samples, n_features)."""
        return self.n_samples, self.n_features

    @property
    def dtype(self):
        """float64 or float32."""
        return self._arrays[0].dtype

    @property
    def is_row_layout(self):
        """Whether rows, not columns, are contiguous."""
        return self.layout == DENSE_ROWS or self.layout == SPARSE_ROWS

    @property
    def issparse(self):
        """Whether only nonzero entries are stored."""
        return self.is_sparse()

    @property
    def nbytes(self):
        """Bytes of the arrays in use."""
        return sum(array.nbytes for array in self._arrays)

    @property
    def size(self):
        """Number of stored entries."""
        return self.n_stored()

    def columns(self):
        """The same X in a column layout: itself, or a copy that is made once and kept."""
        if not self.is_row_layout:
            return self
        self.verify()
        if self._columns is None:
            if self.is_sparse():
                data, indices, indptr = self._arrays
                self._columns = Storage(sparse.csr_array((data, indices, indptr),
                                                         shape=self.shape).tocsc())
            else:
                self._columns = Storage(_transposed(self.X))
        return self._columns

    def column(self, Py_ssize_t j):
        """Column j, dense, as float64 of shape (n_samples,)."""
        if not 0 <= j < self.n_features:
            raise IndexError(f"column {j} of {self.n_features}")
        if not self.is_sparse():
            return self.X[:, j].astype(np.float64)
        out = np.zeros(self.n_samples)
        data, indices, indptr = self._arrays
        if self.layout == SPARSE_ROWS:
            stored = np.flatnonzero(indices[:self.size] == j)
            out[np.searchsorted(indptr, stored, side="right") - 1] = data[stored]
        else:
            entries = slice(indptr[j], indptr[j + 1])
            out[indices[entries]] = data[entries]
        return out

    def rows(self, index):
        """Rows index of X, as an array of its own."""
        if not self.is_sparse():
            return self.X[index]
        kind = sparse.csr_array if self.layout == SPARSE_ROWS else sparse.csc_array
        return kind(self._arrays, shape=self.shape)[index]

    cdef void dot_many(self, const Py_ssize_t* columns, Py_ssize_t start, Py_ssize_t stop,
                       const double* shift,
                       const double* v, double* out) noexcept nogil:
        """out[k] = dot(j, shift[j], v) for start <= k < stop, j = columns[k] (NULL: k)."""
        cdef Py_ssize_t k = start, j, c
        cdef const double* x64[4]
        cdef const float* x32[4]
        cdef double four[4]
        if self.layout == DENSE_ROWS:
            while k < stop:
                self.dot_tile(columns, k, min(stop, k + TILE), shift, v, out)
                k += TILE
            return
        if self.layout == DENSE_COLUMNS and not (
                columns == NULL and _in_one_stream(self)):
            while k + 4 <= stop:
                for c in range(4):
                    j = columns[k + c] if columns != NULL else k + c
                    four[c] = shift[j]
                    x64[c] = (<const double*> self.values) + j * self.stride
                    x32[c] = (<const float*> self.values) + j * self.stride
                if self.element == F64_I32:
                    leaves.creg_dot4_f64(self.n_samples, x64, four, v, out + k)
                else:
                    leaves.creg_dot4_f32(self.n_samples, x32, four, v, out + k)
                k += 4
        while k < stop:
            j = columns[k] if columns != NULL else k
            out[k] = self.dot(j, shift[j], v)
            k += 1

    cdef void dot_tile(self, const Py_ssize_t* columns, Py_ssize_t start, Py_ssize_t stop,
                       const double* shift, const double* v, double* out) noexcept nogil:
        """The same of dense rows, for TILE columns at most."""
        cdef Py_ssize_t at[TILE]
        cdef Py_ssize_t i, k, begin = 0
        cdef double part[TILE]
        for k in range(start, stop):
            at[k - start] = columns[k] if columns != NULL else k
            out[k] = 0
        while begin < self.n_samples:
            for k in range(stop - start):
                part[k] = 0
            for i in range(begin, min(begin + ROW_BLOCK, self.n_samples)):
                for k in range(stop - start):
                    part[k] += (self.value_at(i * self.stride + at[k]) - shift[at[k]]) * v[i]
            for k in range(stop - start):
                out[start + k] += part[k]
            begin += ROW_BLOCK

    cdef double dot_across(self, Py_ssize_t j, double shift, const double* v) noexcept nogil:
        """dot(j, shift, v) of dense rows."""
        cdef Py_ssize_t i, begin = 0
        cdef double total = 0, part
        while begin < self.n_samples:
            part = 0
            for i in range(begin, min(begin + ROW_BLOCK, self.n_samples)):
                part += (self.value_at(i * self.stride + j) - shift) * v[i]
            total += part
            begin += ROW_BLOCK
        return total

    cdef void axpy4(self, const Py_ssize_t* columns, const double* a, const double* shift,
                    double* v) noexcept nogil:
        """axpy(j, a[k], shift[j], NULL, v) for k < 4, j = columns[k]."""
        cdef Py_ssize_t k, j
        cdef const double* x64[4]
        cdef const float* x32[4]
        cdef double four[4]
        for k in range(4):
            j = columns[k]
            four[k] = shift[j]
            x64[k] = (<const double*> self.values) + j * self.stride
            x32[k] = (<const float*> self.values) + j * self.stride
        if self.layout != DENSE_COLUMNS:
            for k in range(4):
                self.axpy(columns[k], a[k], four[k], NULL, v)
        elif self.element == F64_I32:
            leaves.creg_axpy4_f64(self.n_samples, a, x64, four, v)
        else:
            leaves.creg_axpy4_f32(self.n_samples, a, x32, four, v)

    cdef void axpy_across(self, Py_ssize_t j, double a, double shift, const double* s,
                          double* v) noexcept nogil:
        """axpy(j, a, shift, s, v) of dense rows."""
        cdef Py_ssize_t i
        for i in range(self.n_samples):
            v[i] += (a * s[i] if s != NULL else a) * (self.value_at(i * self.stride + j) - shift)

    cdef void add_rows(self, Py_ssize_t start, Py_ssize_t m, const double* shift, const double* a,
                       const double* q, double* out) noexcept nogil:
        """Dense rows: out_j += sum_i q_i d_ij, d_ij = x_ij - shift_j; given a: q_i (a_j d_ij)^2."""
        cdef const double* x64 = (<const double*> self.values) + start * self.stride
        cdef const float* x32 = (<const float*> self.values) + start * self.stride
        if self.element == F64_I32:
            if a == NULL:
                leaves.creg_rows_axpy_f64(m, self.n_features, x64, self.stride, shift, q, out)
            else:
                leaves.creg_rows_square_f64(m, self.n_features, x64, self.stride, shift, a, q, out)
        elif a == NULL:
            leaves.creg_rows_axpy_f32(m, self.n_features, x32, self.stride, shift, q, out)
        else:
            leaves.creg_rows_square_f32(m, self.n_features, x32, self.stride, shift, a, q, out)

    cdef void product_rows(self, Py_ssize_t start, Py_ssize_t stop, const double* shift,
                           bint shifted,
                           const double* a, double* out) noexcept nogil:
        """out_i = sum_j (x_ij - shift_j) a_j for start <= i < stop; any layout but CSC.

        out starts at zero; shifted is False where all shifts are zero.
        """
        cdef Py_ssize_t i, j, k
        if self.layout == DENSE_COLUMNS:
            for j in range(self.n_features):
                if a[j] == 0:
                    continue
                k = j * self.stride + start
                if self.element == F64_I32:
                    leaves.creg_axpy_f64(
                        stop - start, a[j], (<const double*> self.values) + k, shift[j], NULL,
                        out + start)
                else:
                    leaves.creg_axpy_f32(
                        stop - start, a[j], (<const float*> self.values) + k, shift[j], NULL,
                        out + start)
        elif self.layout == DENSE_ROWS:
            k = start * self.stride
            if self.element == F64_I32:
                leaves.creg_rows_dot_f64(stop - start, self.n_features,
                                         (<const double*> self.values) + k,
                                         self.stride, shift, a, out + start)
            else:
                leaves.creg_rows_dot_f32(stop - start, self.n_features,
                                         (<const float*> self.values) + k,
                                         self.stride, shift, a, out + start)
        else:
            for i in range(start, stop):
                out[i] = self.dot(i, 0, a)
                if shifted:
                    out[i] = 0
                    for k in range(self.start(i), self.start(i + 1)):
                        j = self.row_at(k)
                        out[i] += (self.value_at(k) - shift[j]) * a[j]

    cdef void correlate_rows(self, Py_ssize_t start, Py_ssize_t stop, const double* shift,
                             bint shifted,
                             const double* q, double* out) noexcept nogil:
        """out_j += sum over start <= i < stop of (x_ij - shift_j) q_i; row layouts only."""
        cdef Py_ssize_t i, j, k, m
        if self.layout == DENSE_ROWS:
            for k in range((stop - start + ROW_BLOCK - 1) // ROW_BLOCK):
                i = start + k * ROW_BLOCK
                m = min(<Py_ssize_t> ROW_BLOCK, stop - i)
                self.add_rows(i, m, shift, NULL, q + i, out)
            return
        for i in range(start, stop):
            if q[i] == 0:
                continue
            if not shifted:
                self.axpy(i, q[i], 0, NULL, out)
                continue
            for k in range(self.start(i), self.start(i + 1)):
                j = self.row_at(k)
                out[j] += q[i] * (self.value_at(k) - shift[j])

    cdef void fill(self, const Box* box, const double* shift, const double* scale,
                   const double* root, double* out) noexcept nogil:
        """out = root_i (x_ij - shift_j) scale_j over a box of dense X, in the order of X, one
        line every `pitch` entries; root = NULL: ones."""
        if self.element == F64_I32:
            _fill(<const double*> self.values, self.stride, self.layout == DENSE_ROWS, box, shift,
                  scale, root, out)
        else:
            _fill(<const float*> self.values, self.stride, self.layout == DENSE_ROWS, box, shift,
                  scale, root, out)


cdef void _fill(const Value* x, Py_ssize_t stride, bint by_rows, const Box* box,
                const double* shift, const double* scale, const double* root,
                double* out) noexcept nogil:
    cdef Py_ssize_t i, j, c = box.column, m = box.row_stop - box.row, p = box.column_stop - c
    cdef double ones[4]
    if by_rows:
        ones[0] = ones[1] = ones[2] = ones[3] = 1
        i = box.row
        while i < box.row_stop:
            if i + 4 <= box.row_stop:
                _shifted_rows(p, x + i * stride + c, stride, shift + c, scale + c,
                              root + i if root != NULL else ones, out, box.pitch)
                i += 4
                out += 4 * box.pitch
                continue
            _shifted_row(p, x + i * stride + c, shift + c, scale + c,
                         root[i] if root != NULL else 1.0, out)
            i += 1
            out += box.pitch
    else:
        if root != NULL:
            root += box.row
        for j in range(c, box.column_stop):
            _shifted(m, x + j * stride + box.row, stride if j + 1 < box.column_stop else 0,
                     shift[j], scale[j], root, out)
            out += box.pitch


cdef inline void _shifted(Py_ssize_t n, const Value* x, Py_ssize_t ahead, double shift, double a,
                          const double* root, double* out) noexcept nogil:
    if Value is double:
        leaves.creg_shifted_f64(n, x, ahead, shift, a, root, out)
    else:
        leaves.creg_shifted_f32(n, x, ahead, shift, a, root, out)


cdef inline void _shifted_row(Py_ssize_t p, const Value* x, const double* shift, const double* a,
                              double root, double* out) noexcept nogil:
    if Value is double:
        leaves.creg_row_shifted_f64(p, x, shift, a, root, out)
    else:
        leaves.creg_row_shifted_f32(p, x, shift, a, root, out)


cdef inline void _shifted_rows(Py_ssize_t p, const Value* x, Py_ssize_t stride,
                               const double* shift, const double* a, const double* root,
                               double* out, Py_ssize_t pitch) noexcept nogil:
    cdef const Value* four[4]
    four[0], four[1] = x, x + stride
    four[2], four[3] = x + 2 * stride, x + 3 * stride
    if Value is double:
        leaves.creg_four_shifted_f64(p, four, shift, a, root, out, pitch)
    else:
        leaves.creg_four_shifted_f32(p, four, shift, a, root, out, pitch)


cdef bint _in_one_stream(Storage X) noexcept nogil:
    """Whether short columns are read from memory, which wants them one after the other."""
    return X.n_samples <= SHORT and X.n_samples * X.n_features > CACHED


def _in_place(X):
    """Whether one axis of X has unit stride and the other a whole number of elements."""
    n, p = X.shape
    if n == 0 or p == 0:
        return X.flags.f_contiguous
    unit = [X.shape[k] <= 1 or X.strides[k] == X.itemsize for k in (0, 1)]
    whole = [X.shape[k] <= 1 or X.strides[k] % X.itemsize == 0 for k in (0, 1)]
    return unit[0] and whole[1] or unit[1] and whole[0]


def _transposed(X):
    """X in column order, copied by blocks of rows."""
    out = np.empty(X.shape, dtype=X.dtype, order="F")
    for start in range(0, len(X), COPY_ROWS):
        out[start:start + COPY_ROWS] = X[start:start + COPY_ROWS]
    return out


def _one_index_type(indptr, indices):
    """Both index arrays as int32 or int64, contiguous; the shorter one is copied if need be."""
    if indices.dtype not in (np.int32, np.int64) or not indices.dtype.isnative:
        indices = indices.astype(np.int64)
    if indices.dtype == np.int32 and len(indptr) and indptr.max() > np.iinfo(np.int32).max:
        indices = indices.astype(np.int64)
    indptr = np.require(indptr, dtype=indices.dtype, requirements=("C", "A"))
    return indptr, np.require(indices, requirements=("C", "A"))


def _is_sorted(indptr, indices, minor):
    """Whether indices increase, so that none is stored twice; ValueError if out of range."""
    if indices.dtype == np.int32:
        found = _order[int32_t](indptr, indices, minor)
    else:
        found = _order[int64_t](indptr, indices, minor)
    if found == OUT_OF_RANGE:
        raise ValueError("X has a sparse index that is out of range")
    return found == SORTED


cdef Order _order(const Index[::1] indptr, const Index[::1] indices, Py_ssize_t minor) noexcept:
    cdef Py_ssize_t major = indptr.shape[0] - 1, size = indices.shape[0], j, k
    cdef Order found = SORTED
    with nogil:
        if major < 0 or indptr[0] < 0 or indptr[major] > size:
            found = OUT_OF_RANGE
        for j in range(major):
            if found == OUT_OF_RANGE or indptr[j + 1] < indptr[j] or indptr[j + 1] > size:
                found = OUT_OF_RANGE
                break
            for k in range(indptr[j], indptr[j + 1]):
                if not 0 <= indices[k] < minor:
                    found = OUT_OF_RANGE
                    break
                if k > indptr[j] and indices[k] <= indices[k - 1]:
                    found = UNSORTED
    return found
