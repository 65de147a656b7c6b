from creg._data.status cimport Status
from creg._lasso.active_set cimport ActiveSet

cdef Status solve(ActiveSet a, long long max_solves, bint refine, bint brief) noexcept nogil
cdef void extrapolate(ActiveSet a, double factor) noexcept nogil
