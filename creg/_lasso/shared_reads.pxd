from creg._data.design cimport Residual
from creg._data.several cimport LANES, SeveralVectors

cdef struct Lane:
    const Residual* residual
    const double* mean_shift
    const double* scale
    const double* offset
    const double* norm2
    const float* inverse_norm
    double inverse_length
    float* kept                # correlations of the reference to be
    double* exact              # and as they are


cdef class SharedReads:
    cdef readonly Py_ssize_t n_reads
    cdef SeveralVectors vectors
    cdef list problems
    cdef Lane lanes[LANES]
    cdef Py_ssize_t n_lanes

    cdef void _between(self, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
