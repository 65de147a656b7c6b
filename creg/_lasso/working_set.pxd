from creg._data.status cimport MAX_FEATURES, Status
from creg._lasso.active_set cimport ActiveSet
from creg._lasso.certifier cimport Certifier
from creg._lasso.signals cimport Signals
from creg._lasso.working_gram cimport WorkingGram


cdef class WorkingSetSolver(Certifier):
    cdef readonly ActiveSet pivoting    # None: coordinate descent alone
    cdef readonly WorkingGram block
    cdef Signals signals
    cdef double reads_checked           # of X, when signals were looked at last
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
    # the penalty that is under way
    cdef double l1_ahead, tolerance, target
    cdef long long first, last          # iterations
    cdef Status status
    cdef int stalls

    cdef Status run(self, double l1, double l2, double next_l1, double tolerance,
                    long long max_iter) except? MAX_FEATURES nogil
    cdef Status go_on(self) except? MAX_FEATURES nogil
    cdef Status _end(self, Status status, double gap) except? MAX_FEATURES nogil
    cdef int _check_signals(self) except -1 nogil
    cdef int _begin(self, double l1, double l2, long long last) except -1 nogil
    cdef bint _can_be_zero(self) noexcept nogil
    cdef double _objective(self) noexcept nogil
    cdef int _set_penalty(self, double l1, double l2, double reach) except -1 nogil
    cdef int _approach(self, double l1, double l2, long long last) except -1 nogil
    cdef double _largest_ratio(self) noexcept nogil
    cdef double _check(self, double tolerance) except? -1 nogil
    cdef bint _keep_best(self, double gap) noexcept nogil
    cdef void _back_to_best(self) noexcept nogil
    cdef void _begin_descending(self) noexcept nogil
    cdef long long n_iter(self) noexcept nogil
    cdef _make_room(self, Py_ssize_t count)
    cdef int _enter(self, const Py_ssize_t* chosen, Py_ssize_t count) except -1 nogil
    cdef void _to_pivoting(self, Py_ssize_t first) noexcept nogil
    cdef int _set_thresholds(self, bint factor_changes) except -1 nogil
    cdef void _correlate_working(self) noexcept nogil
    cdef Status _pivot(self, long long max_solves) except? MAX_FEATURES nogil
    cdef void _resume_pivoting(self) noexcept nogil
    cdef Status _minimise(self, double target, long long max_iter) except? MAX_FEATURES nogil
    cdef Status _descend(self, double target, long long max_sweeps) except? MAX_FEATURES nogil
    cdef bint _violates(self, Py_ssize_t j, double ratio, double* excess) noexcept nogil
    cdef Py_ssize_t _add(self, double ratio, Py_ssize_t most) except -1 nogil
