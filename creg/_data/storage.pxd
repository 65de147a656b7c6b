"""Raw verbs for each layout, dtype and index type of X: the only file that knows them."""

from libc.stdint cimport int32_t, int64_t

from creg._data cimport leaves

cdef enum:
    THREAD_WORK = 800_000          # stored entries below which a pass stays on one thread
    DENSE_THREAD_WORK = 3_000_000  # the same where they are read in order

cdef enum Layout:
    DENSE_COLUMNS
    DENSE_ROWS
    SPARSE_COLUMNS
    SPARSE_ROWS

cdef enum Element:
    F64_I32
    F64_I64
    F32_I32
    F32_I64

cdef struct Box:
    Py_ssize_t row, row_stop, column, column_stop
    Py_ssize_t pitch               # entries from one line of the copy to the next


cdef class Storage:
    cdef readonly Py_ssize_t n_samples
    cdef readonly Py_ssize_t n_features
    cdef readonly Layout layout
    cdef readonly Element element  # dense layouts: F64_I32 or F32_I32
    cdef Py_ssize_t stride         # dense: elements from one column (row) to the next
    cdef const char* values
    cdef const char* indices
    cdef const char* indptr
    cdef readonly object X         # what was given, or the copy that had to be made of it
    cdef object _arrays            # the arrays that the pointers above point into
    cdef object _columns
    cdef dict _moments             # of unweighted columns, by centring: see DesignView
    cdef object _check             # raises where values are not finite; None once they are known

    cdef inline bint is_float32(self) noexcept nogil:
        return self.element >= F32_I32

    cdef inline bint is_sparse(self) noexcept nogil:
        return self.layout >= SPARSE_COLUMNS

    cdef inline Py_ssize_t start(self, Py_ssize_t j) noexcept nogil:
        """Sparse layouts: where the entries of column (row) j begin."""
        if self.element == F64_I32 or self.element == F32_I32:
            return (<const int32_t*> self.indptr)[j]
        return <Py_ssize_t> (<const int64_t*> self.indptr)[j]

    cdef inline Py_ssize_t row_at(self, Py_ssize_t k) noexcept nogil:
        """Sparse layouts: the row (column) of stored entry k."""
        if self.element == F64_I32 or self.element == F32_I32:
            return (<const int32_t*> self.indices)[k]
        return <Py_ssize_t> (<const int64_t*> self.indices)[k]

    cdef inline double value_at(self, Py_ssize_t k) noexcept nogil:
        """Entry k of the array of values."""
        if self.is_float32():
            return (<const float*> self.values)[k]
        return (<const double*> self.values)[k]

    cdef inline Py_ssize_t count(self, Py_ssize_t j) noexcept nogil:
        """How many entries of column (row) j are stored."""
        if self.layout == DENSE_COLUMNS:
            return self.n_samples
        if self.layout == DENSE_ROWS:
            return self.n_features
        return self.start(j + 1) - self.start(j)

    cdef inline Py_ssize_t n_stored(self) noexcept nogil:
        """Stored entries."""
        if self.is_sparse():
            return self.start(
                self.n_samples if self.layout == SPARSE_ROWS else self.n_features)
        return self.n_samples * self.n_features

    cdef inline double dot(self, Py_ssize_t j, double shift, const double* v) noexcept nogil:
        """sum over the stored entries of column j of (x_ij - shift) v_i (not of sparse rows)."""
        cdef Py_ssize_t k, count
        if self.layout == DENSE_ROWS:
            return self.dot_across(j, shift, v)
        if self.layout == DENSE_COLUMNS:
            if self.element == F64_I32:
                return leaves.creg_dot_f64(
                    self.n_samples, (<const double*> self.values) + j * self.stride, shift, v)
            return leaves.creg_dot_f32(
                self.n_samples, (<const float*> self.values) + j * self.stride, shift, v)
        k = self.start(j)
        count = self.start(j + 1) - k
        if self.element == F64_I32:
            return leaves.creg_sparse_dot_f64_i32(
                count, (<const double*> self.values) + k, (<const int32_t*> self.indices) + k,
                shift, v)
        if self.element == F64_I64:
            return leaves.creg_sparse_dot_f64_i64(
                count, (<const double*> self.values) + k, (<const int64_t*> self.indices) + k,
                shift, v)
        if self.element == F32_I32:
            return leaves.creg_sparse_dot_f32_i32(
                count, (<const float*> self.values) + k, (<const int32_t*> self.indices) + k,
                shift, v)
        return leaves.creg_sparse_dot_f32_i64(
            count, (<const float*> self.values) + k, (<const int64_t*> self.indices) + k, shift, v)

    cdef inline void axpy(self, Py_ssize_t j, double a, double shift, const double* s,
                          double* v) noexcept nogil:
        """v_i += a s_i (x_ij - shift) over the stored entries of column j; s = NULL: ones."""
        cdef Py_ssize_t k, count
        if self.layout == DENSE_ROWS:
            self.axpy_across(j, a, shift, s, v)
            return
        if self.layout == DENSE_COLUMNS:
            if self.element == F64_I32:
                leaves.creg_axpy_f64(
                    self.n_samples, a, (<const double*> self.values) + j * self.stride, shift, s, v)
            else:
                leaves.creg_axpy_f32(
                    self.n_samples, a, (<const float*> self.values) + j * self.stride, shift, s, v)
            return
        k = self.start(j)
        count = self.start(j + 1) - k
        if self.element == F64_I32:
            leaves.creg_sparse_axpy_f64_i32(
                count, a, (<const double*> self.values) + k, (<const int32_t*> self.indices) + k,
                shift, s, v)
        elif self.element == F64_I64:
            leaves.creg_sparse_axpy_f64_i64(
                count, a, (<const double*> self.values) + k, (<const int64_t*> self.indices) + k,
                shift, s, v)
        elif self.element == F32_I32:
            leaves.creg_sparse_axpy_f32_i32(
                count, a, (<const float*> self.values) + k, (<const int32_t*> self.indices) + k,
                shift, s, v)
        else:
            leaves.creg_sparse_axpy_f32_i64(
                count, a, (<const float*> self.values) + k, (<const int64_t*> self.indices) + k,
                shift, s, v)

    cdef inline double square(self, Py_ssize_t j, double a, double shift,
                              const double* s) noexcept nogil:
        """sum over the stored entries of column j of s_i (a (x_ij - shift))^2."""
        cdef Py_ssize_t k, count
        if self.layout == DENSE_COLUMNS:
            if self.element == F64_I32:
                return leaves.creg_square_f64(
                    self.n_samples, a, (<const double*> self.values) + j * self.stride, shift, s)
            return leaves.creg_square_f32(
                self.n_samples, a, (<const float*> self.values) + j * self.stride, shift, s)
        k = self.start(j)
        count = self.start(j + 1) - k
        if self.element == F64_I32:
            return leaves.creg_sparse_square_f64_i32(
                count, a, (<const double*> self.values) + k, (<const int32_t*> self.indices) + k,
                shift, s)
        if self.element == F64_I64:
            return leaves.creg_sparse_square_f64_i64(
                count, a, (<const double*> self.values) + k, (<const int64_t*> self.indices) + k,
                shift, s)
        if self.element == F32_I32:
            return leaves.creg_sparse_square_f32_i32(
                count, a, (<const float*> self.values) + k, (<const int32_t*> self.indices) + k,
                shift, s)
        return leaves.creg_sparse_square_f32_i64(
            count, a, (<const float*> self.values) + k, (<const int64_t*> self.indices) + k, shift,
            s)

    cdef void dot_tile(self, const Py_ssize_t* columns, Py_ssize_t start, Py_ssize_t stop,
                       const double* shift, const double* v, double* out) noexcept nogil
    cdef double dot_across(self, Py_ssize_t j, double shift, const double* v) noexcept nogil
    cdef void axpy4(self, const Py_ssize_t* columns, const double* a, const double* shift,
                    double* v) noexcept nogil
    cdef void axpy_across(self, Py_ssize_t j, double a, double shift, const double* s,
                          double* v) noexcept nogil
    cdef void dot_many(self, const Py_ssize_t* columns, Py_ssize_t start, Py_ssize_t stop,
                       const double* shift,
                       const double* v, double* out) noexcept nogil
    cdef void add_rows(self, Py_ssize_t start, Py_ssize_t m, const double* shift, const double* a,
                       const double* q, double* out) noexcept nogil
    cdef void product_rows(self, Py_ssize_t start, Py_ssize_t stop, const double* shift,
                           bint shifted,
                           const double* a, double* out) noexcept nogil
    cdef void correlate_rows(self, Py_ssize_t start, Py_ssize_t stop, const double* shift,
                             bint shifted,
                             const double* q, double* out) noexcept nogil
    cdef void fill(self, const Box* box, const double* shift, const double* scale,
                   const double* root, double* out) noexcept nogil
