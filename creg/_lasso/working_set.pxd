from creg._data.status cimport Status
from creg._lasso.active_set cimport ActiveSet
from creg._lasso.certifier cimport Certifier
from creg._lasso.working_gram cimport WorkingGram


cdef class WorkingSetSolver(Certifier):
    cdef readonly ActiveSet pivoting    # None: coordinate descent alone
    cdef readonly WorkingGram block
    cdef readonly long long n_screened  # features dropped by Gap Safe, over all penalties
    cdef bint descending                # pivoting stalled at this penalty
    cdef bint refine                    # solve once more, from correlations that are exact
    cdef int n_brief                    # brief rounds left at this penalty
    cdef double l1_in_force, l2_in_force
    cdef double l1_before               # in force before those
    cdef double[::1] best_coef          # of the working set, at this penalty
    cdef Py_ssize_t n_best
    cdef double best_objective, best_gap
    cdef Py_ssize_t[::1] chosen         # violators, by how much
    cdef double[::1] excess
    cdef double gap_reached             # at the last penalty
    cdef long long iterations           # for it

    cdef Status run(self, double l1, double l2, double next_l1, double tolerance,
                    long long max_iter) except *
    cdef _begin(self, double l1, double l2, long long last)
    cdef bint _can_be_zero(self) noexcept
    cdef double _objective(self) noexcept
    cdef _set_penalty(self, double l1, double l2, double reach)
    cdef _approach(self, double l1, double l2, long long last)
    cdef double _largest_ratio(self) noexcept
    cdef double _check(self, double tolerance) except *
    cdef bint _keep_best(self, double gap) except -1
    cdef _back_to_best(self)
    cdef _begin_descending(self)
    cdef long long n_iter(self) noexcept
    cdef _enter(self, const Py_ssize_t* chosen, Py_ssize_t count)
    cdef void _to_pivoting(self, Py_ssize_t first) noexcept
    cdef _set_thresholds(self, bint factor_changes)
    cdef void _correlate_working(self) noexcept
    cdef Status _pivot(self, long long max_solves) except *
    cdef _resume_pivoting(self)
    cdef Status _minimise(self, double target, long long max_iter) except *
    cdef Status _descend(self, double target, long long max_sweeps) except *
    cdef _screen(self, double gap)
    cdef bint _violates(self, Py_ssize_t j, double ratio, double* excess) noexcept nogil
    cdef Py_ssize_t _add(self, double ratio, Py_ssize_t most) except -1
