from libc.stdint cimport int32_t

from creg._data.design cimport DesignView, Residual
from creg._lasso.signals cimport Signals


cdef class WorkingGram:
    cdef DesignView view
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t capacity      # leading dimension of G
    cdef readonly bint stored
    cdef int n_threads
    cdef readonly bint is_sparse           # and there is no whole
    cdef double* G                         # row-major, both triangles; NULL where not stored
    cdef Py_ssize_t* features
    cdef double entries                    # stored in X, of the columns
    cdef readonly long long columns_read   # of X, to build the block
    cdef const double* whole               # Z'SZ where it is at hand
    cdef Py_ssize_t whole_stride
    cdef double* columns                   # dense X: S^1/2 z_j, (n_samples, column_capacity)
    cdef Py_ssize_t column_capacity
    cdef const double* root_s
    cdef Py_ssize_t* row_head              # sparse X: the last chunk of a row's entries
    cdef int32_t* row_filled               # entries in it
    cdef Py_ssize_t n_chunks, chunk_capacity
    cdef Py_ssize_t* chunk_next            # the chunk before, -1 for none
    cdef int32_t* chunk_feature
    cdef double* chunk_value
    cdef double* offset                    # sparse X: what is subtracted from every entry
    cdef double* line                      # (capacity,)
    cdef Residual sum
    cdef Py_ssize_t* chosen                # (capacity,) columns of X
    cdef double* block                     # (new columns, size) products
    cdef Py_ssize_t block_capacity
    cdef dict _arrays
    cdef Signals signals                   # for what works on it

    cdef refer(self)
    cdef int add(self, const Py_ssize_t* features, Py_ssize_t count) except -1 nogil
    cdef const double* row(self, Py_ssize_t k) noexcept nogil
    cdef void add_rows(self, const Py_ssize_t* rows, const double* a, Py_ssize_t count,
                       double* out) noexcept nogil
    cdef forget_lines(self)
    cdef store_lines(self)
    cdef _reserve(self, Py_ssize_t size)
    cdef bint _has_block(self, Py_ssize_t count) noexcept nogil
    cdef _reserve_block(self, Py_ssize_t count)
    cdef Py_ssize_t _chunks_for(self, Py_ssize_t count) noexcept nogil
    cdef _reserve_rows(self, Py_ssize_t need)
    cdef void _copy(self, Py_ssize_t size) noexcept nogil
    cdef int _multiply(self, Py_ssize_t count) except -1 nogil
    cdef _multiply_in_parts(self, Py_ssize_t rows, Py_ssize_t count)
    cdef void _multiply_rows(self, Py_ssize_t start, Py_ssize_t stop,
                             Py_ssize_t count) noexcept nogil
    cdef void _insert(self, Py_ssize_t count) noexcept nogil
    cdef void _scatter(self, Py_ssize_t k, Py_ssize_t size, double* out) noexcept nogil
    cdef void _store(self, Py_ssize_t count, Py_ssize_t line, Py_ssize_t step) noexcept nogil
    cdef void _add_through_columns(self, const Py_ssize_t* rows, const double* a,
                                   Py_ssize_t count, double* out) noexcept nogil
    cdef void add_columns(self, const Py_ssize_t* rows, const double* a, Py_ssize_t count,
                          double* out) noexcept nogil
    cdef void _add_products(self, const double* q, double* out) noexcept nogil
    cdef void _add_through_design(self, const Py_ssize_t* rows, const double* a, Py_ssize_t count,
                                  double* out) noexcept nogil
    cdef double square_of(self, Py_ssize_t k) noexcept nogil
    cdef double cost(self) noexcept nogil
    cdef void multiply(self, const Py_ssize_t* rows, Py_ssize_t count, const double* x,
                       double* out) noexcept nogil
    cdef void _combine(self, const Py_ssize_t* columns, Py_ssize_t count,
                       const double* a) noexcept nogil
