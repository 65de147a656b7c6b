from creg._data.design cimport DesignView
from creg._lasso.certificate cimport DualPoint
from creg._lasso.coordinate_descent cimport Descent
from creg._lasso.references cimport References

cdef enum:
    PROJECTED = 2  # mark of a feature in the working set that is no candidate


cdef class Certifier:
    cdef readonly Descent descent
    cdef readonly References references
    cdef bint shares                    # full reads of X with other problems
    cdef bint may_ask                   # for one, where this certificate can wait for it
    cdef bint asks                      # and does: there is no gap yet
    cdef bint is_read                   # it has been: c is of this very residual, a reference
    cdef DesignView view
    cdef readonly double reads          # full reads of X
    cdef readonly long long n_checks, n_seen
    cdef readonly long long n_screened  # features dropped by Gap Safe, over all penalties
    cdef readonly double half_squared_residual
    cdef int n_threads
    cdef double working_error           # of <z_j, r>, over error_norm_j, in the working set
    cdef double far                     # a threshold so many times a correlation is far
    cdef double norm_y
    cdef int ridge_known                # whether all b_j > 0: 1 yes, -1 no, 0 not asked yet
    cdef object l1_weights, l2_weights, lower, upper
    cdef Py_ssize_t[::1] free           # projected
    cdef bint free_in_working
    cdef const double[::1] cross        # Z'Sy of every feature, or None
    cdef object bare                    # unpenalised with some bound
    cdef readonly object one_sided      # with one bound: projected in the dual only
    cdef Py_ssize_t n_one_sided
    cdef Py_ssize_t[::1] features       # the others
    cdef Py_ssize_t[::1] candidates
    cdef Py_ssize_t[::1] working, active  # with room for `reserve` features
    cdef unsigned char[::1] in_working
    cdef Py_ssize_t n_candidates, n_working
    cdef DualPoint dual

    cdef Py_ssize_t support(self) noexcept nogil
    cdef double common_ridge(self, Py_ssize_t n_free) except -1 nogil
    cdef bint _has_common_ridge(self) except -1
    cdef double certify(self, double tolerance) except? -1 nogil
    cdef double _certify_from_residual(self, double tolerance) except? -1 nogil
    cdef double _certify_one_sided(self) except *
    cdef double gap(self, bint with_rounding, double moved) noexcept nogil
    cdef _back_to_primal(self)
    cdef double rounding_of(self, double gap) noexcept nogil
    cdef int correlate_candidates(self, double tolerance) except -1 nogil
    cdef void consider_all(self) noexcept nogil
    cdef bint correlations_suffice(self, double tolerance) noexcept nogil
    cdef void _consider_near(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil
    cdef bint _pays_in_part(self, double cost) noexcept nogil
    cdef int _read_all(self) except -1 nogil
    cdef bint begin_to_share(self, Py_ssize_t count) noexcept
    cdef void screen(self, double gap) noexcept nogil
    cdef int correlate(self, const Py_ssize_t* features, Py_ssize_t count) except -1 nogil
    cdef reserve(self, Py_ssize_t count)


cpdef grown(array, Py_ssize_t size)
