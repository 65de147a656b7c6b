"""The certificate of a state: residual, projection, correlations, gap.

The duality gap presumes a residual and correlations that are computed at once from X and the
coefficients (in Gram space: from the Gram matrix, with a bound of its rounding).
"""

from libc.math cimport INFINITY, fabs, sqrt
from libc.string cimport memcpy

import numpy as np

from creg._data.design cimport DesignView
from creg._lasso.certificate cimport (
    ENOUGH, GRAM_ROUNDING, DualPoint, duality_gap, is_screened,
)
from creg._lasso.coordinate_descent cimport Descent
from creg._lasso.penalty cimport Penalty, lower_of, threshold, upper_of
from creg._lasso.references cimport References

from creg._lasso.projection import projection_basis

cdef double EPS = 2.220446049250313e-16


cdef class Certifier:
    """Coefficients, working set and candidates of one problem, and the gap at them.

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
    gram, cross : ndarray or None
        Z'SZ and Z'Sy, to sweep in Gram space; or Z'Sy alone, which spares its first read.
    n_threads : int
        For reads of all of X.
    """

    def __init__(self, DesignView view, y, l1_weights, l2_weights, lower, upper, features,
                 gram, cross, int n_threads):
        cdef Py_ssize_t p = view.n_features
        self.view, self.n_threads, self.far = view, n_threads, 2.0
        self.descent = Descent(view, y, gram, cross if gram is not None else None)
        self.norm_y = sqrt(self.descent.squared_y)
        self.half_squared_residual = 0.5 * self.descent.squared_y
        self.l1_weights, self.l2_weights = l1_weights, l2_weights
        self.lower, self.upper = lower, upper
        self.descent.set_penalty(l1_weights, l2_weights, lower, upper)
        self.candidates = np.empty(p + 1, dtype=np.intp)
        self.in_working = np.zeros(p, dtype=np.uint8)
        self.reads = gram is not None
        features = np.ascontiguousarray(features, dtype=np.intp)
        bare = features[(l1_weights[features] == 0.0) & (l2_weights[features] == 0.0)]
        self.features, self.bare, self.free, self.one_sided = features, bare, bare, bare
        if len(bare):
            below, above = np.isinf(lower[bare]), np.isinf(upper[bare])
            self.free, self.one_sided = bare[below & above], bare[below ^ above]
            self.features = features[~np.isin(features, bare[below & above])]
            self.bare = bare[~(below & above)]
            self.n_one_sided = len(self.one_sided)
        moved = len(self.free) or len(self.one_sided)  # y is projected before it is first read
        self.cross = None if gram is not None or moved else cross
        self.working = np.empty(0, dtype=np.intp)
        self.reserve(16)
        if len(self.free):
            self.descent.set_projection(self.free, *projection_basis(view, np.asarray(self.free)))

    def _make_references(self, features):
        """References that know on which sides which features may violate."""
        closed = np.ones(self.view.n_features, dtype=bool)
        closed[features] = False
        return References(
            self.view, self.l1_weights, closed | (self.upper == 0.0), closed | (self.lower == 0.0))

    cdef bint begin_to_share(self, Py_ssize_t count) noexcept:
        """Full reads of X are to be shared with so many problems from now on, the first at once;
        not where the residual of a certificate is projected."""
        if self.references is None or self.descent.rank or self.n_one_sided:
            return False
        self.references.full /= count
        self.shares = self.asks = True
        self.descent.refresh(&self.active[0], self.support())
        return True

    cdef reserve(self, Py_ssize_t count):
        """Room for a working set of so many."""
        self.working = grown(self.working, count)
        self.active = np.empty(count + len(self.free), dtype=np.intp)

    cdef Py_ssize_t support(self) noexcept nogil:
        """Features with nonzero coefficients, the projected ones among them, into `active`."""
        cdef Py_ssize_t k, j, found
        found = self.descent.support(&self.working[0], self.n_working, &self.active[0])
        if not self.free_in_working:
            for k in range(self.free.shape[0]):
                j = self.free[k]
                self.active[found] = j
                found += self.descent.w[j] != 0.0
        return found

    cdef double common_ridge(self, Py_ssize_t n_free) except -1 nogil:
        """l2 where all b_j > 0, which is asked once there are more free features than samples;
        else 0."""
        if not self.descent.penalty.l2 > 0.0:
            return 0.0
        if self.ridge_known == 0 and n_free > self.view.n_samples:
            with gil:
                self.ridge_known = 1 if self._has_common_ridge() else -1
        return self.descent.penalty.l2 if self.ridge_known == 1 else 0.0

    cdef bint _has_common_ridge(self) except -1:
        return np.all(np.asarray(self.l2_weights)[np.asarray(self.features)] > 0.0)

    cdef double certify(self, double tolerance) except? -1 nogil:
        """The gap of the present coefficients; <z_j, r> of all candidates becomes exact."""
        cdef double gap
        self.working_error, self.dual.enough = 0.0, tolerance / ENOUGH
        if not self.descent.in_gram_space:
            return self._certify_from_residual(tolerance)
        if not self.descent.rank and not self.n_one_sided:
            self.descent.refresh(&self.active[0], self.support())
            gap = self.gap(True, 0.0)
            if gap <= tolerance or self.gap(False, 0.0) > tolerance:
                return gap
        self.descent.in_gram_space = False
        try:
            return self._certify_from_residual(tolerance)
        finally:
            self.descent.in_gram_space = True

    cdef double _certify_from_residual(self, double tolerance) except? -1 nogil:
        """The gap from a residual that is computed from X at once, and correlations with it."""
        cdef double gap
        self.descent.refresh(&self.active[0], self.support())
        if self.n_one_sided:
            with gil:
                return self._certify_one_sided()
        if self.descent.rank:
            self.descent.project()
            self.descent.refresh(&self.active[0], self.support())
            self.descent.project()
            self.descent.correlate(&self.free[0], self.free.shape[0])
        self.correlate_candidates(-1.0 if self.descent.rank else tolerance)
        if self.asks:
            return INFINITY
        gap = self.gap(True, 0.0)
        if gap > tolerance and self.working_error > 0.0:
            self.working_error = 0.0
            self.descent.correlate(&self.working[0], self.n_working)
            self.reads += <double> self.n_working / self.view.n_features
            gap = self.gap(True, 0.0)
        return gap

    cdef bint correlations_suffice(self, double tolerance) noexcept nogil:
        """Whether <z_j, r> of the working set is known well enough for a gap of this size; then
        it is there, and `working_error` is what it may err by."""
        return False

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
                descent.refresh(&self.active[0], self.support())
                shift = basis.T @ self._weighted_residual()
                moved = float(np.linalg.norm(shift))
                step = coef[free] + solve @ shift
                if np.any(step < lower[free]) or np.any(step > upper[free]):
                    break
                coef[free] = step
            self._subtract(basis @ shift)
            self._subtract(basis @ (basis.T @ self._weighted_residual()))
            self.consider(features)
            self.correlate_candidates(-1.0)
            at_bound = np.setdiff1d(one_sided, free)
            c = descent.gradient[at_bound]
            open_side = np.where(c > 0.0, upper[at_bound], -lower[at_bound])
            error = self._rounding(at_bound)
            joining = at_bound[(np.abs(c) > error) & np.isinf(open_side)]
            if not len(joining):
                break
            joined = np.union1d(joined, joining)
        seen = np.asarray(self.candidates)[:self.n_candidates].copy()
        self.consider(seen[~np.isin(seen, np.union1d(
            free, at_bound[np.isinf(open_side) | (np.abs(c) <= error)]))])
        if len(self.free):
            descent.correlate(&self.free[0], self.free.shape[0])
        gap = self.gap(True, moved)
        self.consider(seen)
        self._back_to_primal()
        return gap

    cdef _back_to_primal(self):
        """The residual and correlations of the coefficients, where those of theta were."""
        cdef Descent descent = self.descent
        cdef Py_ssize_t size = self.support()
        descent.refresh(&self.active[0], size)
        self.half_squared_residual = 0.5 * descent.squared_residual(&self.active[0], size)
        if descent.gram != NULL:
            descent.correlate(&self.features[0], self.features.shape[0])
        else:
            descent.correlate(&self.working[0], self.n_working)

    def _rounding(self, features):
        """What of <z_j, r> may be rounding."""
        norm = np.sqrt(self.view.norm2[features] + self.view.sum_weights * np.square(
            (np.asarray(self.view._offset) * self.view.scale)[features]))
        return EPS * (8.0 + self.view.n_samples / 64.0) * norm * sqrt(
            self.descent.view.squared_norm(&self.descent.residual))

    cdef void consider_all(self) noexcept nogil:
        """Make all features the candidates."""
        cdef Py_ssize_t k
        self.n_candidates = self.features.shape[0]
        for k in range(self.n_candidates):
            self.candidates[k] = self.features[k]

    def consider(self, features):
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

    cdef double gap(self, bint with_rounding, double moved) noexcept nogil:
        """The gap over the candidates from the gradient at hand.

        Rounding: a sum of n terms errs by at most eps (8 + n/64) of its magnitude
        (leaves.h); in Gram space the magnitudes are those of y and of each w_j z_j.
        """
        cdef DualPoint* dual = &self.dual
        cdef Py_ssize_t k, j, size = self.support()
        self.n_checks += 1
        self.n_seen += self.n_candidates
        cdef double magnitude = self.norm_y, sums = EPS * (8.0 + self.view.n_samples / 64.0)
        for k in range(size):
            j = self.active[k]
            magnitude += fabs(self.descent.w[j]) * self.descent.error_norm[j]
        self.half_squared_residual = 0.5 * self.descent.squared_residual(&self.active[0], size)
        dual.residual_norm = sqrt(2.0 * self.half_squared_residual)
        dual.residual_error = EPS * (4.0 + size) * magnitude if with_rounding else 0.0
        dual.error = max(sums * dual.residual_norm, self.working_error) if with_rounding else 0.0
        if self.descent.in_gram_space and with_rounding:
            sums *= GRAM_ROUNDING
            dual.error = (sums + EPS * size) * magnitude
            dual.residual_norm = sqrt(
                2.0 * self.half_squared_residual + sums * magnitude * magnitude)
        duality_gap(&self.descent.penalty, self.descent.w, self.descent.c, self.descent.error_norm,
                    &self.candidates[0], self.n_candidates, dual)
        # what projecting moved is orthogonal to theta
        dual.gap += 0.5 * moved * moved * (1.0 + 16.0 * EPS)
        return dual.gap

    cdef double rounding_of(self, double gap) noexcept nogil:
        """What of the last gap stands for rounding: no more solves will lower that."""
        return 0.0 if self.n_one_sided else gap - self.gap(False, 0.0)

    cdef int correlate_candidates(self, double tolerance) except -1 nogil:
        """<z_j, r> of every candidate; with references, of those that may violate.

        tolerance : what the gap is for; below 0 nothing but correlations with the residual will do
        """
        cdef Py_ssize_t k, read, p = self.view.n_features
        cdef double cost
        if self.references is None:
            return self.correlate(&self.candidates[0], self.n_candidates)
        if self.references.size and not self.is_read:
            self.n_candidates = self.references.candidates(
                &self.descent.residual, &self.candidates[0])
            if self.n_candidates + self.n_working > p:
                # not a number in the residual: every feature is beyond its bound
                self.correlate(NULL, p)
                self.consider_all()
                return 0
            cost = self.references.cost(&self.candidates[0], self.n_candidates)
            if self._pays_in_part(cost):
                read = self.n_candidates
                for k in range(self.n_working):
                    if self.in_working[self.working[k]] != PROJECTED:
                        self.candidates[self.n_candidates] = self.working[k]
                        self.n_candidates += 1
                if not self.correlations_suffice(tolerance):
                    read = self.n_candidates
                self.correlate(&self.candidates[0], read)
                self._consider_near(&self.candidates[0], self.n_candidates)
                return 0
        if not self.is_read:
            self._read_all()
        if self.asks:
            return 0
        self.is_read = False
        self._consider_near(
            &self.features[0] if self.features.shape[0] else NULL, self.features.shape[0])

    cdef bint _pays_in_part(self, double cost) noexcept nogil:
        """Whether so many stored entries are read before a full read is due; they are counted."""
        if self.references.spent + cost > self.references.full:
            return False
        self.references.spent += cost
        return True

    cdef int _read_all(self) except -1 nogil:
        """<z_j, r> of every column, and the residual a reference; or the wish for them."""
        if self.may_ask:
            self.asks = True
            return 0
        if self.references.size == 0 and self.cross is not None and not self.support():
            memcpy(self.descent.c, &self.cross[0], self.view.n_features * sizeof(double))
            self.reads += 1.0
        else:
            self.correlate(NULL, self.view.n_features)
        self.references.store(&self.descent.residual, self.descent.c)

    cdef void _consider_near(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil:
        """Make those the candidates whose known correlation is not far below its threshold, and
        the working set; `features` may be the candidates."""
        cdef const Penalty* penalty = &self.descent.penalty
        cdef const double* c = self.descent.c
        cdef const double* error_norm = self.descent.error_norm
        cdef double slack = 1e-9 * sqrt(self.references.square)
        cdef Py_ssize_t k, j, kept = 0
        for k in range(count):
            j = features[k]
            self.candidates[kept] = j
            kept += self.in_working[j] == 1 or not (
                fabs(c[j]) * self.far + slack * error_norm[j] <= threshold(penalty, j))
        self.n_candidates = kept

    cdef void screen(self, double gap) noexcept nogil:
        """Drop candidates that Gap Safe proves to be zero: |<z_j, theta*> - s c_j| is at most
        ||z_j|| sqrt(2 gap).  They leave the working set too: the gap of the problem that is left
        presumes that they stay zero."""
        cdef Py_ssize_t k, j, kept = 0
        cdef double t, radius = sqrt(2.0 * gap), scale = self.dual.scale
        cdef const Penalty* penalty = &self.descent.penalty
        if self.n_one_sided or not gap < INFINITY:
            return
        for k in range(self.n_candidates):
            j = self.candidates[k]
            t = threshold(penalty, j)
            if self.descent.w[j] == 0.0 and t > 0.0 and is_screened(
                    scale * self.descent.c[j],
                    sqrt(self.descent.norm2[j]) * radius
                    + self.dual.error * self.descent.error_norm[j],
                    t, lower_of(penalty, j), upper_of(penalty, j)):
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

    cdef int correlate(self, const Py_ssize_t* features, Py_ssize_t count) except -1 nogil:
        """<z_j, r> of the listed features (NULL: all), on threads where that pays."""
        self.reads += <double> count / self.view.n_features
        return self.view.correlate_threaded(
            &self.descent.residual, features, count, self.descent.c, self.n_threads)


cpdef grown(array, Py_ssize_t size):
    """A copy with room for `size` entries."""
    out = np.empty(size, dtype=np.asarray(array).dtype)
    out[:len(array)] = array
    return out
