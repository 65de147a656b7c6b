cdef class Vectors:
    cdef readonly Py_ssize_t size      # features in the working set
    cdef readonly Py_ssize_t capacity
    cdef double norm_y                 # the scale of correlations
    cdef double* w
    cdef double* c                     # <z_j, r>
    cdef double* t                     # thresholds
    cdef double* rho
    cdef double* lower
    cdef double* upper
    cdef double* norm
    cdef double* error_norm            # what rounding in c is proportional to
    cdef double* delta                 # gradient shift at which an earlier state is optimal
    cdef double* shift                 # the part of delta in force
    cdef double* d                     # a step, or a column
    cdef double* kept_w
    cdef double* kept_c
    cdef double* earlier_w             # at the penalty before
    cdef signed char* state
    cdef signed char* kept_state
    cdef signed char* target           # states to move to
    cdef unsigned char* dependent
    cdef unsigned char* accepted
    cdef Py_ssize_t* active            # (factor.size,) positions in the working set, in L's order
    cdef Py_ssize_t* changed
    cdef Py_ssize_t* spare
    cdef Py_ssize_t* leaving
    cdef double* corner                # (factor.block_width, factor.block_width)
    cdef bytearray _vectors            # what these pointers point into

    cdef _make_vectors(self, Py_ssize_t capacity, Py_ssize_t width)
    cdef void keep(self) noexcept nogil
