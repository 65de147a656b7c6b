cdef void keep_largest(double* key, Py_ssize_t* item, Py_ssize_t count,
                       Py_ssize_t most) noexcept nogil
