cdef class Factor:
    cdef readonly Py_ssize_t size
    cdef readonly long long n_appended, n_deleted
    cdef Py_ssize_t length         # rows of L, those of deleted features among them
    cdef Py_ssize_t capacity       # leading dimension of L
    cdef double* L                 # lower, column-major
    cdef object _buffer, _work, _slots
    cdef Py_ssize_t* slot          # (capacity,) the row of each feature, ascending
    cdef double* block             # (capacity, block_width) of a block being appended or deleted
    cdef double* column            # (capacity,)
    cdef double* rotations         # (PANEL, block_width, 2)
    cdef Py_ssize_t block_width    # columns that enter or leave at once

    cdef void open(self, Py_ssize_t k) noexcept nogil
    cdef Py_ssize_t append(self, double* corner, Py_ssize_t k, double tolerance,
                           unsigned char* accepted) noexcept nogil
    cdef void delete(self, const Py_ssize_t* gone, Py_ssize_t count) noexcept nogil
    cdef void solve(self, double* x) noexcept nogil
    cdef void clear(self, Py_ssize_t size) noexcept nogil
    cdef bint refactor(self, double tolerance) noexcept nogil
    cdef void _compact(self) noexcept nogil
    cdef void _spread(self, double* x) noexcept nogil
    cdef void _take_out(self, const Py_ssize_t* gone, Py_ssize_t count) noexcept nogil
    cdef void _rotate(self, Py_ssize_t first, Py_ssize_t count) noexcept nogil
    cdef void _find_rotations(self, Py_ssize_t start, Py_ssize_t stop,
                              Py_ssize_t count) noexcept nogil
