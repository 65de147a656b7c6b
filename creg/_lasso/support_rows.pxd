from libc.stdint cimport uint32_t

from creg._lasso.working_gram cimport WorkingGram


cdef class SupportRows:
    cdef WorkingGram gram
    cdef Py_ssize_t entries        # that there is room for
    cdef Py_ssize_t size           # columns
    cdef Py_ssize_t n_products, n_before  # with these columns, with those before
    cdef bint is_copied
    cdef Py_ssize_t* held          # (size,) the columns, as positions in the working set
    cdef Py_ssize_t* row           # (n_samples,) in the order of their entries
    cdef Py_ssize_t* start         # (n_samples + 1,) of each in that order
    cdef Py_ssize_t* next          # (n_samples,) workspace
    cdef Py_ssize_t* tally         # (size,) workspace
    cdef uint32_t* column          # of an entry, its place among those held
    cdef double* value
    cdef dict _arrays

    cdef reserve(self)
    cdef void hold(self, const Py_ssize_t* active, Py_ssize_t count) noexcept nogil
    cdef void _copy(self) noexcept nogil
    cdef void _arrange(self) noexcept nogil
    cdef void multiply(self, const double* p, double* out) noexcept nogil
