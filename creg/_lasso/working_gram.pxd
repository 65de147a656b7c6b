from libc.stdint cimport int32_t

from creg._data.design cimport DesignView
from creg._lasso.active_set cimport ActiveSet


cdef class WorkingGram:
    cdef DesignView view
    cdef ActiveSet pivoting
    cdef readonly Py_ssize_t size
    cdef Py_ssize_t* features
    cdef readonly long long columns_read   # of X, to build the block
    cdef const double* whole               # Z'SZ where it is at hand
    cdef Py_ssize_t whole_stride
    cdef double* columns                   # dense X: S^1/2 z_j, (n_samples, capacity)
    cdef Py_ssize_t capacity
    cdef const double* root_s
    cdef Py_ssize_t* row_head              # sparse X: the last chunk of a row's entries
    cdef int32_t* row_filled               # entries in it
    cdef Py_ssize_t n_chunks, chunk_capacity
    cdef Py_ssize_t* chunk_next            # the chunk before, -1 for none
    cdef int32_t* chunk_feature
    cdef double* chunk_value
    cdef double* offset                    # sparse X: what is subtracted from every entry
    cdef double* block                     # (new columns, size) products
    cdef Py_ssize_t block_capacity
    cdef dict _arrays

    cdef add(self, const Py_ssize_t* features, Py_ssize_t count)
    cdef _reserve(self, Py_ssize_t count)
    cdef void _copy(self, Py_ssize_t size) noexcept nogil
    cdef void _multiply(self, Py_ssize_t count) noexcept nogil
    cdef void _scatter(self, Py_ssize_t count) noexcept nogil
    cdef void _store(self, Py_ssize_t count) noexcept nogil
    cdef _reserve_rows(self, Py_ssize_t count)
