"""The outer loop at one penalty: working set, certificate, stopping.

    repeat
        minimise over the working set                      (pivoting.pyx, coordinate_descent.pyx)
        recompute the residual, project, correlate          (one read of X)
        stop where the duality gap is at most the tolerance (certificate.pyx)
        screen: drop what Gap Safe proves to be zero
        add the largest violators

The working set is kept along a path.
"""

from libc.math cimport INFINITY, fabs, sqrt

import numpy as np

from creg._data.status cimport CONVERGED, INTERRUPTED, MAX_FEATURES, MAX_ITER, STALLED, Status
from creg._lasso.certificate cimport GRAM_ROUNDING
from creg._lasso.certifier cimport PROJECTED, Certifier, grown
from creg._lasso.active_set cimport ActiveSet
from creg._lasso.largest cimport keep_largest
from creg._lasso.penalty cimport (
    Penalty, limit, lower_of, ridge_of, threshold, upper_of, value,
)
from creg._lasso.pivoting cimport extrapolate, solve as pivot_until_consistent
from creg._lasso.signals cimport Signals
from creg._lasso.working_gram cimport WorkingGram

cdef double WORK_BETWEEN_SIGNALS = 2e7  # multiplications: about 10 to 40 ms
cdef Py_ssize_t LARGEST_ADDITION = 64
cdef double STEP = 0.8                  # of l1 on the way down to a far one
cdef double EPS = 2.220446049250313e-16
cdef double SMALL_SHARE = 0.005         # of the tolerance that rounding may take
cdef double LOOSE = 5e-9                # and of no more than this times ||y||^2
cdef long long MOST_SWEEPS = 500        # between two looks at what is not in the working set
cdef int MOST_STALLS = 3                # rounds that change nothing but rounding
cdef int MOST_BRIEF = 8                 # pivoting rounds that look at all features each


cdef class WorkingSetSolver(Certifier):
    """Solves one problem at any sequence of penalties, each from the last state.

    Everything is in kernel units: P(w) = ||y - Zw||^2 / 2 + sum_j l1 a_j |w_j| + l2 b_j w_j^2 / 2
    on lower <= w <= upper.

    Parameters
    ----------
    view, y, l1_weights, l2_weights, lower, upper, features, gram, cross, n_threads
        As for Certifier.
    pivoting : bool
        Minimise over the working set by block pivoting, coordinate descent being the next resort.
    """

    def __init__(self, view, y, l1_weights, l2_weights, lower, upper, features,
                 *, gram=None, cross=None, int n_threads=1, bint pivoting=False):
        super().__init__(view, y, l1_weights, l2_weights, lower, upper, features, gram, cross,
                         n_threads)
        self.best_coef, self.signals = np.empty(len(self.working)), Signals()
        self.chosen, self.excess = np.empty(16, dtype=np.intp), np.empty(16)
        if pivoting:
            self.block = WorkingGram(view, gram, n_threads)
            self.signals = self.block.signals
            self.pivoting = ActiveSet(self.block, self.norm_y)
            self.free_in_working = True
            if gram is None:
                self.references = self._make_references(features)
            if len(self.free):
                self.work_on(self.free)
                np.asarray(self.in_working)[self.free] = PROJECTED
        self.work_on(self.bare)

    def start(self, coef):
        """Begin from coefficients in kernel units, within the bounds."""
        features = np.asarray(self.features)
        np.copyto(self.descent.coef, coef)
        self.work_on(features[coef[features] != 0.0])
        self.descent.refresh(&self.active[0], self.support())
        if self.pivoting is not None:
            self._correlate_working()
            self._to_pivoting(0)
            self.pivoting.classify(0)
        self.half_squared_residual = 0.5 * self.descent.squared_residual(
            &self.active[0], self.support())
        self.l1_in_force = 0.0

    def solve(self, double l1, double l2, double next_l1, double tolerance, long long max_iter):
        """Solve at one penalty.

        Parameters
        ----------
        l1, l2 : float
        next_l1 : float
            The next l1 of a path (features that it is likely to need are added), or l1.
        tolerance : float
            On the gap.
        max_iter : int
            On the linear solves and sweeps.

        Returns
        -------
        gap : float
        n_iter : int
        status : int
        """
        cdef Status status
        with nogil:
            status = self.run(l1, l2, next_l1, tolerance, max_iter)
        return self.gap_reached, self.iterations, <int> status

    cdef Status run(self, double l1, double l2, double next_l1, double tolerance,
                    long long max_iter) except? MAX_FEATURES nogil:
        """As `solve`, the gap and the iterations left in the attributes.

        Where it `asks` for a read of X, there is no solution yet: `go_on` once it `is_read`.
        """
        cdef double before = self.l1_before, here = self.l1_in_force
        self.first = self.n_iter()
        self.l1_ahead, self.tolerance, self.last = next_l1, tolerance, self.first + max_iter
        self.target, self.status, self.stalls, self.may_ask = 0.8 * tolerance, CONVERGED, 0, False
        if self.descending:
            self._resume_pivoting()
        if self.pivoting is not None:
            self.pivoting.allowance = 0.25 * tolerance
        self._begin(l1, l2, self.last)
        if self.pivoting is not None:
            self.l1_before = here
            extrapolate(self.pivoting,
                        (here - l1) / (before - here) if before > here > l1 else 0.0)
        self.far = 1.001 * min(max(l1 / next_l1 if next_l1 > 0.0 else 1.0, 1.0), 1.0 / STEP)
        return self.go_on()

    cdef Status go_on(self) except? MAX_FEATURES nogil:
        """The rounds of `run`."""
        cdef double gap, l1 = self.l1_in_force, tolerance = self.tolerance
        cdef bint worse
        while True:
            if self.n_working and not self.is_read:
                self.status = self._minimise(self.target, self.last - self.n_iter())
            self.may_ask = self.shares
            gap = self._check(tolerance)
            self.may_ask = False
            if self.asks:
                return self.status
            self._check_signals()
            if gap <= tolerance:
                self._add(self.l1_ahead / l1 if l1 > 0.0 else 1.0, max(4, self.support() // 4))
                return self._end(CONVERGED, gap)
            if self.status == INTERRUPTED and self.n_iter() < self.last:
                self._add(1.0, max(LARGEST_ADDITION, self.n_working // 2))
                continue
            worse = self.pivoting is not None and not self._keep_best(gap)
            if self.n_iter() >= self.last:
                return self._end(MAX_ITER, gap)
            if worse and not self.descending:
                self._begin_descending()
                continue
            if self.pivoting is None:
                self.screen(gap)
            if self._add(1.0, max(LARGEST_ADDITION, self.n_working // 2)):
                self.target, self.stalls = max(0.8 * tolerance, 0.05 * gap), 0
            elif self.target > 0.8 * tolerance:
                self.target = 0.8 * tolerance
            elif self.status == MAX_ITER and self.rounding_of(gap) <= tolerance:
                continue
            elif self.status == STALLED or self.stalls >= MOST_STALLS:
                if self.pivoting is None or self.descending or self.rounding_of(gap) > tolerance:
                    return self._end(STALLED, gap)
                self._begin_descending()
                self.stalls = 0
            else:
                self.stalls += 1
                self.target *= 0.1
                self.refine = True

    cdef Status _end(self, Status status, double gap) except? MAX_FEATURES nogil:
        """With the best state at this penalty."""
        if self.pivoting is not None and status != CONVERGED and not gap <= self.best_gap:
            self._begin_descending()
            gap = self._check(self.tolerance)
        self.gap_reached, self.iterations = gap, self.n_iter() - self.first
        return status

    cdef int _check_signals(self) except -1 nogil:
        """Multiplications of a certificate: in X, for the residual, and those of the bounds."""
        cdef double read = (self.reads - self.reads_checked) * self.view.storage.n_stored()
        self.reads_checked = self.reads
        self.signals.check(
            read + <double> self.view.n_samples * self.n_working + 4.0 * self.view.n_features)

    cdef int _begin(self, double l1, double l2, long long last) except -1 nogil:
        """Approach the penalties; from nothing where the state is worse than nothing."""
        self.n_brief = 0
        self.far = 1.01 / STEP
        self.best_objective, self.best_gap = INFINITY, INFINITY
        self._approach(l1, l2, last)
        if self.pivoting is not None and not self._objective() <= (
                1.0 + 1e-9) * 0.5 * self.norm_y * self.norm_y and self._can_be_zero():
            with gil:
                self.start(np.zeros(self.view.n_features))
            self._approach(l1, l2, last)
        self._keep_best(INFINITY)
        self.n_brief = MOST_BRIEF

    cdef bint _can_be_zero(self) noexcept nogil:
        cdef Py_ssize_t k, j
        for k in range(self.n_working):
            j = self.working[k]
            if not lower_of(&self.descent.penalty, j) <= 0.0 <= upper_of(&self.descent.penalty, j):
                return False
        return True

    cdef double _objective(self) noexcept nogil:
        cdef Py_ssize_t k, j
        cdef double objective = self.half_squared_residual
        cdef const Penalty* penalty = &self.descent.penalty
        for k in range(self.n_working):
            j = self.working[k]
            objective += value(self.descent.w[j], threshold(penalty, j), ridge_of(penalty, j))
        return objective

    cdef int _set_penalty(self, double l1, double l2, double reach) except -1 nogil:
        """The penalties in force; candidates will be those that may violate at the l1 `reach`."""
        self.descent.penalty.l1, self.descent.penalty.l2 = l1, l2
        if self.references is None or self.references.size == 0:
            self.consider_all()
        if self.references is not None:
            self.references.set_l1(reach)
        if self.pivoting is not None:
            self._set_thresholds(l2 != self.l2_in_force)
        self.l1_in_force, self.l2_in_force = l1, l2

    cdef int _approach(self, double l1, double l2, long long last) except -1 nogil:
        """Set the penalties, a far l1 by loose solves on the way, so that the working set grows in
        the right order (a support that is grown at once soon has more features than the solution,
        and the rank)."""
        cdef double level = self.l1_in_force, reach
        cdef Status status
        if self.pivoting is None or l1 <= 0.0:
            return self._set_penalty(l1, l2, l1)
        if level == 0.0:
            self._set_penalty(l1, l2, l1)
            self._check(INFINITY)
            level = self._largest_ratio()
        while level * STEP > l1 and self.n_iter() < last:
            level *= STEP
            reach = max(level * STEP, l1)
            self._set_penalty(level, l2, reach)
            self._add(1.0, max(LARGEST_ADDITION, self.n_working // 2))
            status = self._pivot(last - self.n_iter())
            self._check(INFINITY)
            if status != CONVERGED:
                break
        self._set_penalty(l1, l2, l1)
        self._add(1.0, max(LARGEST_ADDITION, self.n_working // 2))

    cdef double _largest_ratio(self) noexcept nogil:
        """The largest |c_j| / a_j among the candidates, on open sides: the l1 of this state."""
        cdef Py_ssize_t k, j
        cdef double c, a, largest = 0.0
        cdef const Penalty* penalty = &self.descent.penalty
        for k in range(self.n_candidates):
            j = self.candidates[k]
            c = self.descent.c[j]
            a = penalty.l1_weights[j * penalty.l1_step]
            if a > 0.0 and limit(c, lower_of(penalty, j), upper_of(penalty, j)) > 0.0:
                largest = max(largest, fabs(c) / a)
        return largest

    cdef double _check(self, double tolerance) except? -1 nogil:
        """The gap; pivoting goes on from correlations that are exact."""
        cdef double gap = self.certify(tolerance)
        cdef Py_ssize_t k
        if self.asks:
            return gap
        if self.working_error == 0.0 and self.pivoting is not None:
            self.pivoting.drift = 0.0
        cdef bint left_bound = False
        if self.pivoting is not None and not self.descending:
            for k in range(self.n_working):
                left_bound |= (not self.pivoting.is_free(k)
                               and self.pivoting.w[k] != self.descent.w[self.working[k]])
                self.pivoting.w[k] = self.descent.w[self.working[k]]
                self.pivoting.c[k] = self.descent.c[self.working[k]]
            self.pivoting.is_behind = False
            if left_bound:
                self.pivoting.classify(0)
        return gap

    cdef bint _keep_best(self, double gap) noexcept nogil:
        """Remember this state if its objective is no worse than the best at this penalty."""
        cdef Py_ssize_t k
        cdef double objective = self._objective()
        if not objective < INFINITY:
            if self.best_objective == INFINITY:
                self.n_best = 0
            return False
        if objective > self.best_objective * (1.0 + 1e-9):
            return False
        if objective <= self.best_objective:
            self.best_objective, self.best_gap = objective, gap
            self.n_best = self.n_working
            for k in range(self.n_working):
                self.best_coef[k] = self.descent.w[self.working[k]]
        return True

    cdef void _back_to_best(self) noexcept nogil:
        """The coefficients of the best state at this penalty."""
        cdef Py_ssize_t k
        for k in range(self.n_working):
            self.descent.w[self.working[k]] = self.best_coef[k] if k < self.n_best else 0.0
        self.descent.refresh(&self.active[0], self.support())

    cdef void _begin_descending(self) noexcept nogil:
        """From the best state at this penalty, by coordinate descent until the next."""
        self._back_to_best()
        self.descending = True

    def nonzero(self):
        """The features with nonzero coefficients, in ascending order."""
        cdef Py_ssize_t size = self.support()
        return np.sort(np.asarray(self.active)[:size])

    cdef long long n_iter(self) noexcept nogil:
        """Linear solves and sweeps so far."""
        return self.descent.n_sweeps + (0 if self.pivoting is None else self.pivoting.n_solves)

    def work_on(self, features):
        """Into the working set."""
        cdef Py_ssize_t[::1] chosen = np.asarray(features, dtype=np.intp)
        if chosen.shape[0]:
            self._enter(&chosen[0], chosen.shape[0])

    cdef _make_room(self, Py_ssize_t count):
        """For a working set of so many."""
        if count > self.working.shape[0]:
            self.reserve(2 * count)
            self.best_coef = grown(self.best_coef, len(self.working))
        if count > self.descent.capacity:
            self.descent.reserve(count)

    cdef int _enter(self, const Py_ssize_t* chosen, Py_ssize_t count) except -1 nogil:
        cdef Py_ssize_t k, j, first = self.n_working
        if first + count > min(self.working.shape[0], self.descent.capacity):
            with gil:
                self._make_room(first + count)
        for k in range(count):
            j = chosen[k]
            if not self.in_working[j]:
                self.in_working[j] = 1
                self.working[self.n_working] = j
                self.n_working += 1
                if self.references is not None:
                    self.references.settle(j)
        if self.pivoting is not None and self.n_working > first:
            self.block.add(&self.working[first], self.n_working - first)
            self.pivoting.extend()
            self._to_pivoting(first)
            if first == 0 or not threshold(&self.descent.penalty, self.working[first]) > 0.0:
                self.pivoting.classify(first)

    cdef void _to_pivoting(self, Py_ssize_t first) noexcept nogil:
        """Coefficients, correlations and penalties of the working set from position `first` on."""
        cdef const Penalty* penalty = &self.descent.penalty
        cdef Py_ssize_t k, j
        for k in range(first, self.n_working):
            j = self.working[k]
            self.pivoting.w[k], self.pivoting.c[k] = self.descent.w[j], self.descent.c[j]
            self.pivoting.t[k], self.pivoting.rho[k] = threshold(penalty, j), ridge_of(penalty, j)
            self.pivoting.lower[k] = lower_of(penalty, j)
            self.pivoting.upper[k] = upper_of(penalty, j)
            self.pivoting.norm[k] = sqrt(self.descent.norm2[j])
            self.pivoting.error_norm[k] = self.descent.error_norm[j]

    cdef int _set_thresholds(self, bint factor_changes) except -1 nogil:
        """The penalties of the working set; with another l2 the factor is another too."""
        cdef Py_ssize_t k
        for k in range(self.n_working):
            self.pivoting.t[k] = threshold(&self.descent.penalty, self.working[k])
            self.pivoting.rho[k] = ridge_of(&self.descent.penalty, self.working[k])
        factor_changes |= self.pivoting.choose_space(self.common_ridge(self.pivoting.factor.size))
        if factor_changes:
            self.pivoting.refactor()
        else:
            self.pivoting.begin_penalty()

    cdef bint correlations_suffice(self, double tolerance) noexcept nogil:
        """Rounding of c by way of the Gram block: each change of w_k errs by at most

            eps (8 + n/64 + |W|) error_norm_j error_norm_k |change|
        """
        cdef double error, size = 0.0
        cdef Py_ssize_t k
        if self.pivoting is None or self.descending or self.pivoting.is_behind:
            return False
        for k in range(self.n_working):
            size += fabs(self.pivoting.w[k]) * self.pivoting.error_norm[k]
        error = GRAM_ROUNDING * EPS * (8.0 + self.view.n_samples / 64.0 + self.n_working) * (
            self.pivoting.drift + self.norm_y + size)
        if tolerance < INFINITY:
            tolerance = min(tolerance, LOOSE * self.norm_y * self.norm_y)
        if not error * size <= SMALL_SHARE * tolerance:
            return False
        for k in range(self.n_working):
            self.descent.c[self.working[k]] = self.pivoting.c[k]
        self.working_error = error
        return True

    cdef void _correlate_working(self) noexcept nogil:
        """<z_j, r> of the working set from the residual at hand."""
        self.descent.correlate(&self.working[0], self.n_working)

    cdef Status _pivot(self, long long max_solves) except? MAX_FEATURES nogil:
        """Minimise over the working set by pivoting."""
        cdef Status status
        cdef Py_ssize_t k
        cdef bint brief = self.n_brief > 0 and <double> self.pivoting.factor.size * \
            self.pivoting.factor.size > self.view.storage.n_stored() and not self.refine
        if brief and self.n_brief == MOST_BRIEF:
            self.pivoting.forget_counts()
        status = pivot_until_consistent(self.pivoting, max_solves, self.refine, brief)
        self.signals.check(0.0)
        if brief and status == STALLED:
            self.n_brief = 0
            self._back_to_best()
            self._resume_pivoting()
            return self._pivot(max_solves)
        self.refine = False
        self.n_brief -= brief
        for k in range(self.n_working):
            if not fabs(self.pivoting.w[k]) < INFINITY:
                self._resume_pivoting()
                return STALLED
        for k in range(self.n_working):
            self.descent.w[self.working[k]] = self.pivoting.w[k]
        return status

    cdef void _resume_pivoting(self) noexcept nogil:
        """Coordinate descent was the resort of the last penalty: its solution is where to go on."""
        self.descent.refresh(&self.active[0], self.support())
        self._correlate_working()
        self._to_pivoting(0)
        self.pivoting.drift, self.pivoting.is_behind = 0.0, False
        self.pivoting.classify(0)
        self.descending = False

    cdef Status _minimise(self, double target, long long max_iter) except? MAX_FEATURES nogil:
        """Minimise over the working set; where pivoting stalls by coordinate descent."""
        cdef Status status
        if self.pivoting is not None and not self.descending:
            status = self._pivot(max_iter)
            if status != STALLED:
                return status
            self._begin_descending()
        return self._descend(target, min(max_iter, MOST_SWEEPS))

    cdef Status _descend(self, double target, long long max_sweeps) except? MAX_FEATURES nogil:
        """Coordinate descent on the working set, with signals checked on the way."""
        cdef Status status
        cdef long long last = self.descent.n_sweeps + max_sweeps
        cdef double before
        while True:
            before = self.descent.work
            status = self.descent.minimise(
                &self.working[0], self.n_working, &self.active[0], target,
                last - self.descent.n_sweeps, WORK_BETWEEN_SIGNALS)
            self.signals.check(self.descent.work - before)
            if status != INTERRUPTED:
                return status

    cdef bint _violates(self, Py_ssize_t j, double ratio, double* excess) noexcept nogil:
        """Whether |c_j| > ratio t_j on an open side, outside of the working set; by how much."""
        cdef const Penalty* penalty = &self.descent.penalty
        cdef double c = self.descent.c[j], t
        if self.in_working[j]:
            return False
        t = threshold(penalty, j) * ratio * (1.0 + 1e-9)
        excess[0] = (fabs(c) - t) / sqrt(self.descent.norm2[j])
        return fabs(c) > t and limit(c, lower_of(penalty, j), upper_of(penalty, j)) > 0.0

    cdef Py_ssize_t _add(self, double ratio, Py_ssize_t most) except -1 nogil:
        """Add at most `most` candidates with |c_j| > ratio t_j, the largest first."""
        cdef Py_ssize_t k, found = 0
        cdef double e
        for k in range(self.n_candidates):
            if self._violates(self.candidates[k], ratio, &e):
                if found == self.chosen.shape[0]:
                    with gil:
                        self.chosen = grown(self.chosen, 2 * found)
                        self.excess = grown(self.excess, 2 * found)
                self.chosen[found], self.excess[found] = self.candidates[k], e
                found += 1
        if found > most:
            keep_largest(&self.excess[0], &self.chosen[0], found, most)
            found = most
        if found:
            self._enter(&self.chosen[0], found)
        return found
