from creg._data.storage cimport Storage

cdef enum:
    LANES = 8   # vectors at once

cdef enum Term:
    DOT         # (x_ij - shift_jk) v_ik
    SQUARE      # v_ik (x_ij - shift_jk)^2
    SUM         # v_ik, of sparse columns


cdef class SeveralVectors:
    cdef Storage storage
    cdef double* v            # (n_samples, LANES)
    cdef object _array

    cdef void fill(self, Py_ssize_t lane, const double* vector) noexcept nogil
    cdef void add_up(self, Py_ssize_t j, Term term, const double* shift,
                     double* out) noexcept nogil
    cdef void _add_up_stored(self, Py_ssize_t j, Term term, const double* shift,
                             double* out) noexcept nogil
