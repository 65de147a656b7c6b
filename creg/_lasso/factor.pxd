cdef class Factor:
    cdef readonly Py_ssize_t size
    cdef Py_ssize_t capacity       # leading dimension of L
    cdef double* L                 # lower, column-major
    cdef object _buffer, _work
    cdef double* block             # (capacity, k) of a block being appended
    cdef double* column            # (capacity,)
    cdef Py_ssize_t block_width

    cdef Py_ssize_t append(self, double* cross, double* corner, Py_ssize_t k, double tolerance,
                           unsigned char* accepted) noexcept nogil
    cdef void delete(self, Py_ssize_t q) noexcept nogil
    cdef void solve(self, double* x) noexcept nogil
    cdef bint refactor(self, double tolerance) noexcept nogil
