from creg._data.status cimport Status
from creg._lasso.active_set cimport ActiveSet

cdef Status follow(ActiveSet a, long long last) noexcept nogil
