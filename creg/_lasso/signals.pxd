cdef class Signals:
    cdef double work                 # multiplications since the last look
    cdef readonly bint caught
    cdef object _error

    cdef bint stop(self, double work) noexcept nogil
    cdef int check(self, double work) except -1 nogil
    cdef raise_caught(self)
    cdef void _look(self) noexcept
