from creg._data.design cimport DesignView, Residual
from creg._data.several cimport LANES, SeveralVectors
from creg._lasso.coordinate_descent cimport Descent
from creg._lasso.references cimport References

cdef struct Lane:
    const Residual* residual
    const double* mean_shift
    const double* scale
    const double* offset
    const double* norm2
    const float* inverse_norm
    double inverse_length
    float* kept                # correlations of the reference to be
    double* exact              # where they are wanted as they are


cdef class SharedReads:
    cdef readonly double spent     # stored entries that all read in part since the last full read
    cdef readonly double full      # those of a full read
    cdef readonly Py_ssize_t n_reads
    cdef SeveralVectors vectors
    cdef list descents, references
    cdef bint waits[LANES]
    cdef Lane lanes[LANES]
    cdef Py_ssize_t n_lanes

    cdef read(self, Descent asking, int n_threads)
    cdef void _between(self, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
