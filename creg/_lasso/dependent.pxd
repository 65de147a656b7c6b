from creg._lasso.active_set cimport ActiveSet

cdef bint exchange_worst(ActiveSet a) noexcept nogil
cdef bint exchange_dependent(ActiveSet a, Py_ssize_t worst, double s) noexcept nogil
