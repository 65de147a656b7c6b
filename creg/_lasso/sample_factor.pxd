from creg._lasso.working_gram cimport WorkingGram


cdef class SampleFactor:
    cdef WorkingGram gram
    cdef Py_ssize_t n, size          # samples; features in M
    cdef double l2                   # that L is for; below 0: none
    cdef double* M                   # (n, n) column-major, the lower triangle
    cdef double* L
    cdef double* block               # (n, WIDTH) columns that enter or leave
    cdef double* v                   # (n,)
    cdef double* product             # (capacity,) Z_W'v of the last solve
    cdef double rounding             # of v, in units of eps times sums of n
    cdef signed char* member         # (capacity,) of M
    cdef Py_ssize_t capacity
    cdef Py_ssize_t gone             # features taken out of M since it was built
    cdef object _space, _features

    cdef reserve(self, Py_ssize_t capacity)
    cdef bint solve(self, const Py_ssize_t* rows, Py_ssize_t count, const double* rho, double l2,
                    double* x) noexcept nogil
    cdef double _trace(self) noexcept nogil
    cdef bint _follow(self, const Py_ssize_t* rows, Py_ssize_t count, const double* rho,
                      double l2) noexcept nogil
    cdef void _add(self, signed char which, double sign, const double* rho,
                   double l2) noexcept nogil
