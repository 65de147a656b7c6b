from creg._data.design cimport DesignView, Residual

cdef enum:
    KEPT = 3


cdef class References:
    cdef DesignView view
    cdef readonly Py_ssize_t size
    cdef readonly double spent     # stored entries read in part since the last full pass
    cdef readonly double full      # those of a full pass
    cdef Py_ssize_t next
    cdef double* u[KEPT]           # S^1/2 r_k
    cdef float* c[KEPT]            # <z_j, r_k> / (||z_j|| ||r_k||)
    cdef double length[KEPT]       # ||r_k||
    cdef double products[KEPT][KEPT]
    cdef double* present           # S^1/2 r
    cdef const double* inverse_root  # s^-1/2; NULL: ones
    cdef const float* inverse_norm  # 1 / ||z_j||, 0 for constant columns
    cdef double unit               # of up and low
    cdef float* up                 # a_j / ||z_j||, what <z_j, r> / (l1 ||z_j||) may reach
    cdef float* low
    cdef double inverse            # 1 / (l1 unit)
    cdef double square             # ||r||^2 of the last r that was combined or stored
    cdef dict _arrays

    cdef double combine(self, const Residual* r, double* h) noexcept nogil
    cdef Py_ssize_t candidates(self, const Residual* r, Py_ssize_t* out) noexcept nogil
    cdef void set_l1(self, double l1) noexcept nogil
    cdef void settle(self, Py_ssize_t j) noexcept nogil
    cdef double cost(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil
    cdef float* begin(self, const Residual* r, double* inverse_length) noexcept nogil
    cdef void store(self, const Residual* r, const double* correlations) noexcept nogil
    cdef const double* weigh(self, const Residual* r) noexcept nogil
