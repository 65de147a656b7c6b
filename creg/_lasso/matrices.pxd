cdef bint factorise(Py_ssize_t n, double* A, Py_ssize_t pitch) noexcept nogil
cdef void solve_lines(Py_ssize_t m, Py_ssize_t n, double* B, Py_ssize_t b_pitch, const double* L,
                      Py_ssize_t pitch) noexcept nogil
cdef void add_outer(Py_ssize_t n, Py_ssize_t k, double sign, const double* A, Py_ssize_t a_pitch,
                    double* C, Py_ssize_t pitch) noexcept nogil
cdef void solve(Py_ssize_t n, const double* L, Py_ssize_t pitch, double* x) noexcept nogil
cdef void cross_products(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const double* A,
                         const double* B, Py_ssize_t pitch, double* out) noexcept nogil
