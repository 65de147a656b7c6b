"""Coordinate descent: one sweep over two verbs, correlation(j) and step(j, delta).

Either verb works on a residual (a column of X a step) or on the Gram matrix (a row of it a
step); the penalty is that of penalty.pxd.  The minimiser of one coordinate with the others
fixed is, with u = <z_j, r> + ||z_j||^2 w_j,

    w_j = clip( soft(u, t_j) / (||z_j||^2 + rho_j), lower_j, upper_j )

Friedman, Hastie & Tibshirani, "Regularization paths for generalized linear models via
coordinate descent" (JSS 33, 2010).  Past iterates are extrapolated as in Bertrand & Massias,
"Anderson acceleration of coordinate descent" (AISTATS 2021).
"""

from libc.math cimport INFINITY, fmax, fmin, sqrt
from libc.string cimport memcpy

import numpy as np

from creg._data cimport leaves
from creg._data.design cimport DesignView
from creg._data.status cimport CONVERGED, INTERRUPTED, MAX_ITER, STALLED, Status
from creg._lasso.certificate cimport DualPoint, duality_gap
from creg._lasso.penalty cimport (
    Penalty, lower_of, minimiser, ridge_of, threshold, upper_of, value,
)

cdef enum:
    DEPTH = 5    # differences that an extrapolation combines
    ROUNDS = 3


cdef class Descent:
    """The state of a descent: coefficients, residual or gradient, penalty.

    Parameters
    ----------
    view : DesignView
        The design, in a column layout.
    y : ndarray of shape (n_samples,)
        The target, centred where the view is.
    gram, cross : ndarray or None
        Z'SZ and Z'Sy; given both, sweeps run in Gram space.
    """

    def __init__(self, DesignView view, const double[::1] y, object gram=None, object cross=None):
        cdef Py_ssize_t n = view.n_samples, p = view.n_features
        cdef double[::1] coef = np.zeros(p), gradient = np.zeros(p)
        cdef double[::1] q = np.empty(n), saved = np.empty((n if gram is None else max(n, p)) + 1)
        cdef const double[::1] norm2 = view.norm2
        cdef const double[::1] error_norm = np.sqrt(
            view.norm2 + view.sum_weights * np.square(np.asarray(view._offset) * view.scale))
        cdef const double[:, ::1] gram_view
        cdef const double[::1] cross_view
        self.view, self.n_features = view, p
        self.coef, self.gradient = coef.base, gradient.base
        self.w, self.c, self.y = &coef[0], &gradient[0], &y[0]
        self.norm2, self.error_norm = &norm2[0], &error_norm[0]
        self.residual.q, self.saved = &q[0], &saved[0]
        self._kept = {"arrays": (coef, gradient, q, saved, norm2, error_norm, y)}
        self.in_gram_space = gram is not None
        if self.in_gram_space:
            gram_view, cross_view = gram, cross
            self.gram, self.cross = &gram_view[0, 0], &cross_view[0]
            self._kept["gram"] = (gram_view, cross_view)
        view.fill_residual(self.y, self.w, 0, NULL, &self.residual)
        self.squared_y = view.squared_norm(&self.residual)
        self.refresh(NULL, 0)
        self.reserve(16)

    def set_penalty(self, const double[:] l1_weights, const double[:] l2_weights,
                    const double[:] lower, const double[:] upper):
        """Weights and bounds per feature; the arrays are referred to, and l1 and l2 zero so far."""
        cdef Penalty* penalty = &self.penalty
        penalty.l1_weights, penalty.l1_step = &l1_weights[0], l1_weights.strides[0] // 8
        penalty.l2_weights, penalty.l2_step = &l2_weights[0], l2_weights.strides[0] // 8
        penalty.lower, penalty.lower_step = &lower[0], lower.strides[0] // 8
        penalty.upper, penalty.upper_step = &upper[0], upper.strides[0] // 8
        penalty.l1 = penalty.l2 = 0.0
        self._kept["penalty"] = (l1_weights, l2_weights, lower, upper)

    def set_projection(self, const Py_ssize_t[::1] free, const double[::1, :] basis,
                       const double[:, ::1] solve):
        """The projected features; basis (n_samples, rank), solve (n_free, rank)."""
        cdef double[::1] work = np.empty(basis.shape[1] + 1)
        self.n_free, self.rank = free.shape[0], basis.shape[1]
        if self.rank == 0:
            self.n_free = 0
            return
        self.free, self.basis, self.solve = &free[0], &basis[0, 0], &solve[0, 0]
        self.projection = &work[0]
        self._kept["projection"] = (free, basis, solve, work)

    cdef reserve(self, Py_ssize_t count):
        """Room for the past iterates of lists of up to `count` features."""
        cdef double[::1] iterates
        self.capacity = 2 * count
        iterates = np.empty((DEPTH + 2) * self.capacity)
        self.iterates = &iterates[0]
        self.kept = &iterates[(DEPTH + 1) * self.capacity]
        self._kept["iterates"] = iterates

    cdef void step(self, Py_ssize_t j, double delta) noexcept nogil:
        """w_j += delta, and the residual or the gradient with it."""
        self.w[j] += delta
        if self.in_gram_space:
            leaves.creg_add(self.n_features, -delta, self.gram + j * self.n_features, self.c)
            self.work += self.n_features
        else:
            self.view.step(j, -delta, &self.residual)
            self.work += self.view.storage.count(j)

    cdef double sweep(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil:
        """Minimise over each coordinate of the list in turn.

        Returns sum_j (||z_j||^2 + rho_j) delta_j^2 / 2, a lower bound of the decrease.
        """
        cdef Py_ssize_t k, j
        cdef double old, new, curvature, rho, decrease = 0.0
        for k in range(count):
            j = features[k]
            old, curvature, rho = self.w[j], self.norm2[j], ridge_of(&self.penalty, j)
            new = minimiser(self.correlation(j) + curvature * old, curvature, old,
                            threshold(&self.penalty, j), rho,
                            lower_of(&self.penalty, j), upper_of(&self.penalty, j))
            if new != old:
                self.step(j, new - old)
                self.w[j] = new
                decrease += 0.5 * (curvature + rho) * (new - old) * (new - old)
            if not self.in_gram_space:
                self.work += self.view.storage.count(j)
        if self.rank:
            decrease += 0.5 * self.project()
        self.work += count
        self.n_sweeps += 1
        return decrease

    cdef double project(self) noexcept nogil:
        """Minimise over the projected features together: w_F += solve basis'S r.

        Returns the square of what it took off the residual.
        """
        cdef Py_ssize_t k, f
        cdef Py_ssize_t n = self.view.n_samples, p = self.n_features
        cdef double g, delta, moved = 0.0
        if self.in_gram_space:
            # basis'S r = solve' c_F
            for k in range(self.rank):
                self.projection[k] = 0.0
                for f in range(self.n_free):
                    self.projection[k] += self.solve[f * self.rank + k] * self.c[self.free[f]]
        else:
            self.view.recentre(&self.residual)
            for k in range(self.rank):
                self.projection[k] = leaves.creg_inner(n, self.basis + k * n, self.residual.q)
        for k in range(self.rank):
            g = self.projection[k]
            moved += g * g
            if not self.in_gram_space:
                if self.view.s == NULL:
                    leaves.creg_add(n, -g, self.basis + k * n, self.residual.q)
                else:
                    leaves.creg_axpy_f64(n, -g, self.basis + k * n, 0.0, self.view.s,
                                         self.residual.q)
        for f in range(self.n_free):
            delta = 0.0
            for k in range(self.rank):
                delta += self.solve[f * self.rank + k] * self.projection[k]
            self.w[self.free[f]] += delta
            if self.in_gram_space:
                leaves.creg_add(p, -delta, self.gram + self.free[f] * p, self.c)
        self.work += 2.0 * self.rank * (p if self.in_gram_space else n)
        return moved

    cdef void refresh(self, const Py_ssize_t* support, Py_ssize_t count) noexcept nogil:
        """Recompute the residual, or in Gram space c = Z'S y - G w, from w on its support."""
        cdef Py_ssize_t k, p = self.n_features
        if not self.in_gram_space:
            self.view.fill_residual(self.y, self.w, count, support, &self.residual)
            for k in range(count):
                self.work += self.view.storage.count(support[k])
            return
        memcpy(self.c, self.cross, p * sizeof(double))
        for k in range(count):
            leaves.creg_add(p, -self.w[support[k]], self.gram + support[k] * p, self.c)
        self.work += p * count

    cdef void correlate(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil:
        """c_j = <z_j, r> for the listed features (in Gram space it is always at hand)."""
        cdef Py_ssize_t k
        if self.in_gram_space:
            return
        for k in range(count):
            self.c[features[k]] = self.view.correlation(features[k], &self.residual)
            self.work += self.view.storage.count(features[k])

    cdef double squared_residual(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil:
        """||r||^2; in Gram space ||y||^2 - sum over the support (listed) of w_j (b_j + c_j)."""
        cdef Py_ssize_t k, j
        cdef double total
        if not self.in_gram_space:
            self.work += self.view.n_samples
            return self.view.squared_norm(&self.residual)
        total = self.squared_y
        for k in range(count):
            j = features[k]
            total -= self.w[j] * (self.cross[j] + self.c[j])
        for k in range(self.n_free):
            j = self.free[k]
            total -= self.w[j] * (self.cross[j] + self.c[j])
        return fmax(total, 0.0)

    cdef double objective(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil:
        """P(w) where the list holds the support (but for projected features)."""
        cdef Py_ssize_t k, j
        cdef double total = 0.5 * self.squared_residual(features, count)
        for k in range(count):
            j = features[k]
            total += value(self.w[j], threshold(&self.penalty, j), ridge_of(&self.penalty, j))
        return total

    cdef Py_ssize_t support(self, const Py_ssize_t* features, Py_ssize_t count,
                            Py_ssize_t* out) noexcept nogil:
        """The listed features with nonzero coefficients, into out; returns how many."""
        cdef Py_ssize_t k, found = 0
        for k in range(count):
            out[found] = features[k]
            found += self.w[features[k]] != 0.0
        return found

    cdef bint extrapolate(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil:
        """Move to the combination of the last DEPTH iterates whose residual is least.

        z solves (D'D) z = 1 for the differences D of iterates; weights z / sum z.  The move is
        kept only where it lowers the objective.
        """
        cdef double weights[DEPTH]
        cdef double before, new
        cdef Py_ssize_t k, i, j, size
        if count == 0 or not anderson_weights(self.iterates, count, weights):
            return False
        before = self.objective(features, count)
        size = self.n_features if self.in_gram_space else self.view.n_samples
        memcpy(self.saved, self.c if self.in_gram_space else self.residual.q, size * sizeof(double))
        self.saved[size] = self.residual.total
        for k in range(count):
            j = features[k]
            new = 0.0
            for i in range(DEPTH):
                new += weights[i] * self.iterates[(i + 1) * count + k]
            new /= sqrt(self.norm2[j])
            new = fmax(lower_of(&self.penalty, j), fmin(upper_of(&self.penalty, j), new))
            self.kept[k] = self.w[j]
            if new != self.w[j]:
                self.step(j, new - self.w[j])
                self.w[j] = new
        if self.objective(features, count) < before:
            return True
        memcpy(self.c if self.in_gram_space else self.residual.q, self.saved, size * sizeof(double))
        self.residual.total = self.saved[size]
        for k in range(count):
            self.w[features[k]] = self.kept[k]
        return False

    cdef Status minimise(self, const Py_ssize_t* features, Py_ssize_t count, Py_ssize_t* active,
                         double target, long long max_sweeps, double max_work) noexcept nogil:
        """Sweeps over the list until the gap of the problem restricted to it is at most target.

        Each round is a sweep over the list and up to ROUNDS times DEPTH over its support
        (`active`: workspace) and an extrapolation.  STALLED: not one coefficient moved;
        INTERRUPTED: max_work done.
        """
        cdef long long last_sweep = self.n_sweeps + max_sweeps, round = 0
        cdef double last_work = self.work + max_work, decrease
        cdef bint fixed
        cdef Py_ssize_t size
        while True:
            decrease = self.sweep(features, count)
            fixed = not (decrease > 0.0 and decrease < INFINITY)
            if not fixed:
                size = self.support(features, count, active)
                for _ in range(ROUNDS):
                    if decrease <= 1e-2 * target or self.n_sweeps >= last_sweep:
                        break
                    decrease = self.descend(active, size, 1e-4 * target, last_sweep)
            round += 1
            if fixed or decrease <= target or round % 2 == 0:
                if self.restricted_gap(features, count) <= target:
                    return CONVERGED
                if fixed:
                    return STALLED
            if self.n_sweeps >= last_sweep:
                return MAX_ITER
            if self.work >= last_work:
                return INTERRUPTED

    cdef double descend(self, const Py_ssize_t* active, Py_ssize_t size, double small,
                        long long last_sweep) noexcept nogil:
        """DEPTH sweeps over the support and an extrapolation; the decrease of the last sweep."""
        cdef Py_ssize_t i
        cdef double decrease = 0.0
        self.record(active, size, 0)
        for i in range(1, DEPTH + 1):
            decrease = self.sweep(active, size)
            if decrease <= small or self.n_sweeps >= last_sweep:
                return decrease
            self.record(active, size, i)
        self.extrapolate(active, size)
        return decrease

    cdef void record(self, const Py_ssize_t* features, Py_ssize_t count,
                     Py_ssize_t i) noexcept nogil:
        """Iterate i of an extrapolation: ||z_j|| w_j, so that the columns' scales do not matter."""
        cdef Py_ssize_t k
        for k in range(count):
            self.iterates[i * count + k] = self.w[features[k]] * sqrt(self.norm2[features[k]])

    cdef double restricted_gap(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil:
        """The gap of the problem restricted to the list, rounding aside."""
        cdef DualPoint dual
        if not self.in_gram_space:
            self.view.recentre(&self.residual)
        self.correlate(features, count)
        dual.residual_norm = sqrt(self.squared_residual(features, count))
        dual.residual_error = dual.error = dual.enough = 0.0
        duality_gap(&self.penalty, self.w, self.c, self.error_norm, features, count, &dual)
        return dual.gap


cdef bint anderson_weights(const double* iterates, Py_ssize_t count,
                           double* weights) noexcept nogil:
    """Solve (D'D + 1e-12 tr I) z = 1 by elimination and normalise; False where it is singular."""
    cdef double matrix[DEPTH][DEPTH + 1]
    cdef double trace = 0.0, factor, total = 0.0
    cdef const double* u
    cdef const double* v
    cdef Py_ssize_t i, j, k
    for i in range(DEPTH):
        u = iterates + i * count
        for j in range(i + 1):
            v = iterates + j * count
            factor = 0.0
            for k in range(count):
                factor += (u[count + k] - u[k]) * (v[count + k] - v[k])
            matrix[i][j] = factor
            matrix[j][i] = factor
        matrix[i][DEPTH] = 1.0
        trace += matrix[i][i]
    if trace == 0.0:
        return False
    for i in range(DEPTH):
        matrix[i][i] += 1e-12 * trace
    for i in range(DEPTH):
        for j in range(i + 1, DEPTH):
            factor = matrix[j][i] / matrix[i][i]
            for k in range(i, DEPTH + 1):
                matrix[j][k] -= factor * matrix[i][k]
    for i in range(DEPTH - 1, -1, -1):
        for k in range(i + 1, DEPTH):
            matrix[i][DEPTH] -= matrix[i][k] * weights[k]
        if not matrix[i][i] > 0.0:
            return False
        weights[i] = matrix[i][DEPTH] / matrix[i][i]
        total += weights[i]
    if not (total > 0.0 or total < 0.0):
        return False
    for i in range(DEPTH):
        weights[i] /= total
    return True
