"""The outer loop at one penalty: working set, certificate, stopping.

    repeat
        minimise over the working set                      (pivoting.pyx, coordinate_descent.pyx)
        recompute the residual, project, correlate          (one read of X)
        stop where the duality gap is at most the tolerance (certificate.pyx)
        screen: drop what Gap Safe proves to be zero
        add the largest violators

The working set is kept along a path.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY, fabs, sqrt

import numpy as np

from creg._data.design cimport DesignView
from creg._data.status cimport CONVERGED, INTERRUPTED, MAX_ITER, STALLED, Status
from creg._lasso.certificate cimport DualPoint, duality_gap, is_screened
from creg._lasso.coordinate_descent cimport Descent
from creg._lasso.active_set cimport ActiveSet
from creg._lasso.pivoting cimport solve as pivot_until_consistent
from creg._lasso.references cimport References
from creg._lasso.working_gram cimport WorkingGram

from creg._lasso.projection import projection_basis

cdef double EPS = 2.220446049250313e-16
cdef double WORK_BETWEEN_SIGNALS = 2e7  # multiplications: about 10 to 40 ms
cdef Py_ssize_t LARGEST_ADDITION = 64
cdef int MOST_STALLS = 3                # rounds that change nothing but rounding
cdef unsigned char PROJECTED = 2        # in the working set without being a candidate


cdef class WorkingSetSolver:
    """Solves one problem at any sequence of penalties, each from the last state.

    Everything is in kernel units: P(w) = ||y - Zw||^2 / 2 + sum_j l1 a_j |w_j| + l2 b_j w_j^2 / 2
    on lower <= w <= upper.

    Parameters
    ----------
    view : DesignView
        In a column layout.
    y : ndarray of shape (n_samples,)
    l1_weights, l2_weights : ndarray of shape (n_features,)
        a and b.  Features with a = b = 0 and no bound are projected.
    lower, upper : ndarray of shape (n_features,)
    features : ndarray of intp
        Those that may be nonzero.
    gram, cross : ndarray, optional
        Z'SZ and Z'Sy, to sweep in Gram space.
    n_threads : int
        For reads of all of X.
    pivoting : bool
        Minimise over the working set by block pivoting, coordinate descent being the next resort.
    """

    cdef readonly Descent descent
    cdef readonly ActiveSet pivoting     # None: coordinate descent alone
    cdef readonly WorkingGram block
    cdef readonly References references
    cdef DesignView view
    cdef readonly double reads          # full reads of X
    cdef readonly long long n_screened  # features dropped by Gap Safe, over all penalties
    cdef readonly double half_squared_residual
    cdef int n_threads
    cdef bint descending                # pivoting stalled at this penalty
    cdef bint refine                    # solve once more, from correlations that are exact
    cdef double norm_y, l2_in_force
    cdef object l1_weights, l2_weights, l1, l2, lower, upper
    cdef Py_ssize_t[::1] free           # projected
    cdef readonly object one_sided      # unpenalised with one bound: projected in the dual only
    cdef Py_ssize_t[::1] features       # the others
    cdef const double[::1] norm
    cdef Py_ssize_t[::1] candidates, working, active
    cdef unsigned char[::1] in_working
    cdef double[::1] correlations
    cdef Py_ssize_t n_candidates, n_working
    cdef DualPoint dual

    def __init__(self, DesignView view, y, l1_weights, l2_weights, lower, upper, features,
                 *, gram=None, cross=None, int n_threads=1, bint pivoting=False):
        cdef Py_ssize_t p = view.n_features
        self.view, self.n_threads = view, n_threads
        self.descent = Descent(view, y, gram, cross)
        self.norm_y = sqrt(self.descent.squared_y)
        self.l1_weights, self.l2_weights = l1_weights, l2_weights
        self.lower, self.upper = lower, upper
        self.l1, self.l2 = np.zeros(p), np.zeros(p)
        self.descent.set_penalty(self.l1, self.l2, lower, upper)
        self.norm = np.sqrt(view.norm2)
        self.candidates = np.empty(p + 1, dtype=np.intp)
        self.working = np.empty(p + 1, dtype=np.intp)
        self.active = np.empty(p + 1, dtype=np.intp)
        self.in_working = np.zeros(p, dtype=np.uint8)
        self.correlations = np.empty(p + 1)
        self.reads = gram is not None
        if pivoting:
            self.pivoting = ActiveSet(self.norm_y)
            self.block = WorkingGram(view, self.pivoting, gram)
            if gram is None:
                self.references = self._make_references(features)
        self._classify(np.ascontiguousarray(features, dtype=np.intp))

    def _classify(self, features):
        """Unpenalised features: projected without a bound, always in the working set with one."""
        bare = (self.l1_weights[features] == 0.0) & (self.l2_weights[features] == 0.0)
        below, above = np.isinf(self.lower[features]), np.isinf(self.upper[features])
        free = features[bare & below & above]
        if len(free):
            self.descent.set_projection(free, *projection_basis(self.view, free))
        self.free = free
        self.features = features[~(bare & below & above)]
        self.one_sided = features[bare & (below ^ above)]
        if self.pivoting is not None:
            self._work_on(free)
            np.asarray(self.in_working)[free] = PROJECTED
        self._work_on(features[bare & ~(below & above)])

    def _make_references(self, features):
        """References that know on which sides which features may violate."""
        up, low = np.full((2, self.view.n_features), np.inf)
        up[features] = np.where(self.upper[features] > 0.0, self.l1_weights[features], np.inf)
        low[features] = np.where(self.lower[features] < 0.0, self.l1_weights[features], np.inf)
        return References(self.view, self.norm, up, low)

    def start(self, coef):
        """Begin from coefficients in kernel units, within the bounds."""
        features = np.asarray(self.features)
        np.copyto(self.descent.coef, coef)
        self._work_on(features[coef[features] != 0.0])
        self.descent.refresh(&self.active[0], self._support())
        if self.pivoting is not None:
            self._correlate_working()
            self._to_pivoting(0)
            self.pivoting.classify(0)

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
            On the sweeps.

        Returns
        -------
        gap : float
        n_iter : int
        status : int
        """
        cdef long long first = self.n_iter()
        cdef double gap, target = 0.8 * tolerance
        cdef Status status = CONVERGED
        cdef int stalls = 0
        np.multiply(self.l1_weights, l1, out=self.l1)
        np.multiply(self.l2_weights, l2, out=self.l2)
        self._consider(self.features)
        if self.pivoting is not None:
            if self.descending:
                self._resume_pivoting()
            self._set_thresholds(l2 != self.l2_in_force)
        if self.references is not None:
            self.references.set_l1(l1)
        self.l2_in_force = l2
        while True:
            if self.n_working:
                status = self._minimise(target, max_iter - (self.n_iter() - first))
            gap = self._certify(tolerance)
            if gap <= tolerance:
                self._add(next_l1 / l1 if l1 > 0.0 else 1.0, max(4, self._support() // 4))
                status = CONVERGED
                break
            if self.n_iter() - first >= max_iter:
                status = MAX_ITER
                break
            if self.pivoting is None:
                self._screen(gap)
            if self._add(1.0, max(LARGEST_ADDITION, self.n_working // 2)):
                target, stalls = max(0.8 * tolerance, 0.05 * gap), 0
            elif target > 0.8 * tolerance:
                target = 0.8 * tolerance
            elif status == STALLED or stalls >= MOST_STALLS:
                status = STALLED
                break
            else:
                stalls += 1
                target *= 0.1
                self.refine = True
        return gap, self.n_iter() - first, <int> status

    cdef long long n_iter(self) noexcept:
        """Linear solves and sweeps so far."""
        return self.descent.n_sweeps + (0 if self.pivoting is None else self.pivoting.n_solves)

    def _work_on(self, features):
        """Into the working set."""
        cdef Py_ssize_t j, first = self.n_working
        for j in features:
            if not self.in_working[j]:
                self.in_working[j] = 1
                self.working[self.n_working] = j
                self.n_working += 1
                if self.references is not None:
                    self.references.settle(j)
        self.descent.reserve(self.n_working)
        if self.pivoting is not None and self.n_working > first:
            self.block.add(self.working[first:self.n_working])
            self._to_pivoting(first)
            if first == 0 or not self.descent.penalty.l1[self.working[first]] > 0.0:
                self.pivoting.classify(first)

    cdef void _to_pivoting(self, Py_ssize_t first) noexcept:
        """Coefficients, correlations and penalties of the working set from position `first` on."""
        cdef ActiveSet pivoting = self.pivoting
        cdef Descent descent = self.descent
        cdef Py_ssize_t k, j
        for k in range(first, self.n_working):
            j = self.working[k]
            pivoting.w[k], pivoting.c[k] = descent.w[j], descent.c[j]
            pivoting.t[k], pivoting.rho[k] = descent.penalty.l1[j], descent.penalty.l2[j]
            pivoting.lower[k], pivoting.upper[k] = descent.penalty.lower[j], descent.penalty.upper[j]
            pivoting.norm[k] = self.norm[j]

    cdef void _set_thresholds(self, bint factor_changes) noexcept:
        """The penalties of the working set; with another l2 the factor is another too."""
        cdef Py_ssize_t k
        for k in range(self.n_working):
            self.pivoting.t[k] = self.descent.penalty.l1[self.working[k]]
            self.pivoting.rho[k] = self.descent.penalty.l2[self.working[k]]
        if factor_changes:
            self.pivoting.refactor()

    cdef void _correlate_working(self) noexcept:
        """<z_j, r> of the working set from the residual at hand."""
        self.descent.correlate(&self.working[0], self.n_working)

    cdef Status _pivot(self, double target, long long max_solves) except *:
        """Minimise over the working set by pivoting, or where that stalls by descent."""
        cdef Status status
        cdef Py_ssize_t k
        with nogil:
            status = pivot_until_consistent(self.pivoting, max_solves, self.refine)
        self.refine = False
        for k in range(self.n_working):
            self.descent.w[self.working[k]] = self.pivoting.w[k]
        PyErr_CheckSignals()
        if status == STALLED:
            self.descent.refresh(&self.active[0], self._support())
            self.descending = True
            status = self._descend(target, max_solves)
        return status

    cdef _resume_pivoting(self):
        """Coordinate descent was the resort of the last penalty: its solution is where to go on."""
        self.descent.refresh(&self.active[0], self._support())
        self._correlate_working()
        self._to_pivoting(0)
        self.pivoting.classify(0)
        self.descending = False

    cdef Py_ssize_t _support(self) noexcept:
        """Features with nonzero coefficients, the projected ones among them, into `active`."""
        cdef Py_ssize_t j, found
        found = self.descent.support(&self.working[0], self.n_working, &self.active[0])
        if self.pivoting is None:
            for j in self.free:
                self.active[found] = j
                found += self.descent.w[j] != 0.0
        return found

    cdef Status _minimise(self, double target, long long max_iter) except *:
        """Minimise over the working set."""
        if self.pivoting is None or self.descending:
            return self._descend(target, max_iter)
        return self._pivot(target, max_iter)

    cdef Status _descend(self, double target, long long max_sweeps) except *:
        """Coordinate descent on the working set, with signals checked on the way."""
        cdef Status status
        cdef long long last = self.descent.n_sweeps + max_sweeps
        while True:
            with nogil:
                status = self.descent.minimise(
                    &self.working[0], self.n_working, &self.active[0], target,
                    last - self.descent.n_sweeps, WORK_BETWEEN_SIGNALS)
            PyErr_CheckSignals()
            if status != INTERRUPTED:
                return status

    cdef double _certify(self, double tolerance) except *:
        """The gap of the present coefficients; <z_j, r> of all candidates becomes exact."""
        cdef Descent descent = self.descent
        cdef double gap
        if not descent.in_gram_space:
            gap = self._certify_from_residual()
            if self.pivoting is not None and not self.descending:
                self._to_pivoting(0)
            return gap
        if not descent.rank and not len(self.one_sided):
            descent.refresh(&self.active[0], self._support())
            gap = self._gap(True)
            if gap <= tolerance or self._gap(False) > tolerance:
                return gap
        descent.in_gram_space = False
        try:
            gap = self._certify_from_residual()
        finally:
            descent.in_gram_space = True
        if self.pivoting is not None and not self.descending:
            self._to_pivoting(0)
        return gap

    cdef double _certify_from_residual(self) except *:
        """The gap from a residual and correlations that are computed from X at once."""
        cdef Descent descent = self.descent
        cdef double gap
        descent.refresh(&self.active[0], self._support())
        if len(self.one_sided):
            return self._certify_one_sided()
        if descent.rank:
            descent.project()
            descent.refresh(&self.active[0], self._support())
            descent.project()
            descent.correlate(&self.free[0], self.free.shape[0])
        self._correlate_candidates()
        return self._gap(True)

    cdef double _certify_one_sided(self) except *:
        """As above, with unpenalised features that have one bound.

        Those not at their bound are projected too; so are, one after the other, those at it
        whose correlation points to the open side.  The step of the projection is taken in the
        primal where it stays within the bounds; else only theta = r - B g moves by ||g||.
        """
        cdef Descent descent = self.descent
        cdef double gap
        coef, lower, upper = descent.coef, self.lower, self.upper
        one_sided = self.one_sided
        joined = one_sided[(coef[one_sided] != lower[one_sided])
                           & (coef[one_sided] != upper[one_sided])]
        features = np.asarray(self.features)
        while True:
            free = np.union1d(np.asarray(self.free), joined)
            basis, solve = projection_basis(self.view, free)
            moved = 0.0
            for _ in range(3):
                descent.refresh(&self.active[0], self._support())
                shift = basis.T @ self._weighted_residual()
                moved = float(np.linalg.norm(shift))
                step = coef[free] + solve @ shift
                if np.any(step < lower[free]) or np.any(step > upper[free]):
                    break
                coef[free] = step
                self._work_on(joined)
            self._subtract(basis @ shift)
            self._subtract(basis @ (basis.T @ self._weighted_residual()))
            self._consider(features)
            self._correlate_candidates()
            at_bound = np.setdiff1d(one_sided, free)
            c = descent.gradient[at_bound]
            open_side = np.where(c > 0.0, upper[at_bound], -lower[at_bound])
            error = 1e-12 * self.norm_y
            joining = at_bound[(np.abs(c) > error) & np.isinf(open_side)]
            if not len(joining):
                break
            joined = np.union1d(joined, joining)
        seen = np.asarray(self.candidates)[:self.n_candidates].copy()
        self._consider(seen[~np.isin(seen, np.union1d(free, at_bound[np.isinf(open_side)]))])
        if len(self.free):
            descent.correlate(&self.free[0], self.free.shape[0])
        gap = self._gap(True, moved)
        self._consider(seen)
        return gap

    def _consider(self, features):
        """Make these the candidates."""
        self.n_candidates = len(features)
        np.asarray(self.candidates)[:len(features)] = features

    def _weighted_residual(self):
        return np.asarray(<double[:self.view.n_samples]> self.descent.residual.q)

    def _subtract(self, r):
        """Take r off the residual."""
        q = self._weighted_residual()
        q -= r if self.view.weights is None else self.view.weights * r
        self.view.recentre(&self.descent.residual)

    cdef double _gap(self, bint with_rounding, double moved=0.0) except *:
        """The gap over the candidates from the gradient at hand.

        Rounding: a sum of n terms errs by at most eps (8 + n/64) of its magnitude
        (leaves.h); in Gram space the magnitudes are those of y and of each w_j z_j.
        """
        cdef Descent descent = self.descent
        cdef DualPoint* dual = &self.dual
        cdef Py_ssize_t k, j, size = self._support()
        cdef double magnitude = self.norm_y, sums = EPS * (8.0 + self.view.n_samples / 64.0)
        for k in range(size):
            j = self.active[k]
            magnitude += fabs(descent.w[j]) * self.norm[j]
        self.half_squared_residual = 0.5 * descent.squared_residual(&self.active[0], size)
        dual.residual_norm = sqrt(2.0 * self.half_squared_residual)
        dual.residual_error = EPS * (4.0 + size) * magnitude if with_rounding else 0.0
        dual.residual_error += moved
        dual.error = sums * dual.residual_norm if with_rounding else 0.0
        if descent.in_gram_space and with_rounding:
            dual.error = (sums + EPS * size) * magnitude
            dual.residual_norm = sqrt(2.0 * self.half_squared_residual + sums * magnitude * magnitude)
        duality_gap(&descent.penalty, descent.w, descent.c, descent.error_norm,
                    &self.candidates[0], self.n_candidates, dual)
        return dual.gap

    cdef _correlate_candidates(self):
        """<z_j, r> of every candidate; with references, of those that may violate."""
        cdef Py_ssize_t k, p = self.view.n_features
        cdef double cost
        cdef References references = self.references
        if references is None:
            self._correlate(&self.candidates[0], self.n_candidates)
            return
        if references.size:
            self.n_candidates = references.candidates(&self.descent.residual, &self.candidates[0])
            cost = references.cost(&self.candidates[0], self.n_candidates)
            if references.spent + cost <= references.full:
                references.spent += cost
                for k in range(self.n_working):
                    if self.in_working[self.working[k]] != PROJECTED:
                        self.candidates[self.n_candidates] = self.working[k]
                        self.n_candidates += 1
                self._correlate(&self.candidates[0], self.n_candidates)
                return
        self._correlate(NULL, p)
        references.store(&self.descent.residual, self.descent.c)
        self._consider(self.features)

    cdef _correlate(self, const Py_ssize_t* features, Py_ssize_t count):
        """<z_j, r> of the listed features (NULL: all), on threads where that pays."""
        cdef Py_ssize_t k
        self.reads += <double> count / self.view.n_features
        self.view.correlations_threaded(&self.descent.residual, features, count,
                                        &self.correlations[0], self.n_threads)
        for k in range(count):
            self.descent.c[k if features == NULL else features[k]] = self.correlations[k]

    cdef _screen(self, double gap):
        """Drop candidates that Gap Safe proves to be zero: |<z_j, theta*> - s c_j| is at most
        ||z_j|| sqrt(2 gap).  They leave the working set too: the gap of the problem that is left
        presumes that they stay zero."""
        cdef Py_ssize_t k, j, kept = 0
        cdef double radius = sqrt(2.0 * gap), scale = self.dual.scale
        cdef Descent descent = self.descent
        if len(self.one_sided) or not gap < INFINITY:
            return
        for k in range(self.n_candidates):
            j = self.candidates[k]
            if descent.w[j] == 0.0 and descent.penalty.l1[j] > 0.0 and is_screened(
                    scale * descent.c[j],
                    self.norm[j] * radius + self.dual.error * descent.error_norm[j],
                    descent.penalty.l1[j], descent.penalty.lower[j], descent.penalty.upper[j]):
                self.n_screened += 1
                self.in_working[j] = 0
                continue
            self.candidates[kept] = j
            kept += 1
        self.n_candidates = kept
        kept = 0
        for k in range(self.n_working):
            self.working[kept] = self.working[k]
            kept += self.in_working[self.working[k]]
        self.n_working = kept

    cdef Py_ssize_t _add(self, double ratio, Py_ssize_t limit) except -1:
        """Add at most `limit` candidates with |c_j| > ratio t_j, the largest first."""
        cdef Py_ssize_t k, j, found = 0
        cdef double c, t
        cdef Descent descent = self.descent
        for k in range(self.n_candidates):
            j = self.candidates[k]
            c, t = descent.c[j], descent.penalty.l1[j] * ratio * (1.0 + 1e-9)
            if self.in_working[j] or not (
                    (c > t and descent.penalty.upper[j] > 0.0)
                    or (-c > t and descent.penalty.lower[j] < 0.0)):
                continue
            self.active[found] = j
            self.correlations[found] = (fabs(c) - t) / self.norm[j]
            found += 1
        if found == 0:
            return 0
        chosen = np.asarray(self.active)[:found].copy()
        if found > limit:
            order = np.argsort(np.asarray(self.correlations)[:found], kind="stable")
            chosen = np.sort(chosen[order[found - limit:]])
        self._work_on(chosen)
        return len(chosen)
