"""Problems of few features: pivoting on all of them at once, in Gram space.

With the whole Gram matrix at hand and few features there is nothing to gain from a working set.
What a fit then costs is one pass for Z'S y and arithmetic on arrays of n_features.  Where this
does not do (unpenalised features, a penalty at which pivoting stalls or rounding hides the
optimum) the general solver takes over.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from libc.math cimport fabs, sqrt
from libc.string cimport memcpy, memset

import numpy as np

from creg._data.design cimport DesignView, Residual
from creg._data.status cimport CONVERGED
from creg._lasso.active_set cimport ActiveSet
from creg._lasso.certificate cimport ENOUGH, GRAM_ROUNDING, DualPoint, duality_gap
from creg._lasso.penalty cimport Penalty, limit
from creg._lasso.pivoting cimport solve as pivot_until_consistent
from creg._lasso.working_gram cimport WorkingGram


cdef enum:
    FEW_SOLVES = 30        # and 4 a feature, that one without steps may take
    AT_ONCE = 64           # features up to which a far penalty needs no steps
    TURN = 16              # penalties between two looks at signals

cdef double EPS = 2.220446049250313e-16
cdef double STEP = 0.7     # of l1 on the way down to a far one


cdef class NarrowSolver:
    """One problem of few features, to be solved at any sequence of penalties.

    In kernel units: P(w) = ||y - Zw||^2 / 2 + sum_j l1 a_j |w_j| + l2 b_j w_j^2 / 2.

    Parameters
    ----------
    view : DesignView
        In a column layout.
    y : ndarray of shape (n_samples,)
    gram : ndarray of shape (n_features, n_features)
        Z'SZ.
    cross : ndarray of shape (n_features,) or None
        Z'S y, where it is known.
    a, b : ndarray of shape (n_features,) or None
        None: the view's scales; zeros.
    lower, upper : float or ndarray of shape (n_features,)
    features : ndarray of intp or None
        Those that may be nonzero; None: all whose norm is not zero.

    Attributes
    ----------
    usable : bool
        False where some feature has no penalty, or none may be nonzero.
    half_squared_target, half_squared_residual : float
    n_iter : int
        Linear solves of the last penalty.
    gap : float
    reads : float
        Full reads of X for the last penalty (the first: one for Z'S y).
    """

    cdef DesignView view
    cdef ActiveSet active
    cdef Penalty penalty
    cdef DualPoint dual
    cdef Residual residual             # y - Z w where that was needed
    cdef const double* y
    cdef const double* l1_weights
    cdef const double* l2_weights
    cdef double* cross                 # Z'S y
    cdef double* error_norm
    cdef double* support               # coefficients that are not zero, and where they are
    cdef Py_ssize_t* at
    cdef Py_ssize_t* features
    cdef Py_ssize_t count              # of features
    cdef double* w                     # the coefficients, and <z_j, r>: those of the active set
    cdef double* c
    cdef bint begun
    cdef readonly bint usable
    cdef readonly double gap
    cdef readonly double half_squared_target
    cdef readonly double half_squared_residual
    cdef readonly double reads
    cdef readonly long long n_iter
    cdef bytearray _buffer             # what the pointers refer to
    cdef const double[::1] _y, _l1_weights, _l2_weights

    def __init__(self, DesignView view, const double[::1] y, gram, cross,
                 a, b, lower, upper, features):
        cdef Py_ssize_t n = view.n_samples, p = view.n_features
        cdef Py_ssize_t size = (n + 6 * p) * sizeof(double)
        cdef WorkingGram block
        cdef bytearray buffer = PyByteArray_FromStringAndSize(NULL, size)
        cdef double* room = <double*> PyByteArray_AS_STRING(buffer)
        cdef const double[::1] l1_weights = view._scale if a is None else a
        self.view, self.y, self.l1_weights = view, &y[0], &l1_weights[0]
        memset(room, 0, size)
        self.residual.q = room
        self.cross, self.error_norm = room + n, room + n + p
        self.support, self.at = room + n + 2 * p, <Py_ssize_t*> (room + n + 3 * p)
        self.features, self.l2_weights = <Py_ssize_t*> (room + n + 4 * p), room + n + 5 * p
        self._y, self._l1_weights, self._buffer = y, l1_weights, buffer
        if b is not None:
            self._set_l2_weights(b)
        view.fill_residual(self.y, NULL, 0, self.features, &self.residual)
        self.half_squared_target = 0.5 * view.squared_norm(&self.residual)
        self.usable = True
        self._correlate_target(cross)
        block = WorkingGram(view, gram)
        block.refer()
        self.active = ActiveSet(block, sqrt(2.0 * self.half_squared_target))
        self.active.extend()
        self.w, self.c = self.active.w, self.active.c
        self._choose(features)
        self._set_bounds(lower, upper)

    cdef _correlate_target(self, const double[::1] known):
        cdef Py_ssize_t p = self.view.n_features
        if known is None:
            self.view.correlations_between(&self.residual, NULL, 0, p, self.cross)
        else:
            memcpy(self.cross, &known[0], p * sizeof(double))

    cdef _set_l2_weights(self, const double[::1] b):
        self.l2_weights = &b[0]
        self._l2_weights = b

    cdef _choose(self, listed):
        """The features that take part: the others may not leave zero."""
        cdef Py_ssize_t j, k, p = self.view.n_features
        cdef const Py_ssize_t[::1] features
        cdef ActiveSet active = self.active
        if listed is not None:
            features = listed
            self.count = features.shape[0]
            for k in range(self.count):
                self.features[k] = features[k]
        else:
            for j in range(p):
                self.features[self.count] = j
                self.count += self.view._norm2[j] > 0.0
        for k in range(self.count):
            self.usable &= self.l1_weights[self.features[k]] > 0.0
        self.usable &= self.count > 0
        for j in range(p):
            active.norm[j] = sqrt(self.view._norm2[j])
            active.c[j] = self.cross[j]
            self.error_norm[j] = active.norm[j]
            if self.view._offset[j] != 0.0:
                self.error_norm[j] = sqrt(self.view._norm2[j] + self.view.sum_weights * (
                    self.view._offset[j] * self.view._scale[j]) ** 2)

    cdef _set_bounds(self, lower, upper):
        """Those of the active set, which the penalty refers to."""
        cdef Penalty* penalty = &self.penalty
        cdef Py_ssize_t k, j
        cdef double[2] same
        cdef const double[::1] low, high
        cdef bint one_low = isinstance(lower, float), one_high = isinstance(upper, float)
        if one_low:
            same[0] = lower
        else:
            low = lower
        if one_high:
            same[1] = upper
        else:
            high = upper
        for k in range(self.count):
            j = self.features[k]
            self.active.lower[j] = same[0] if one_low else low[j]
            self.active.upper[j] = same[1] if one_high else high[j]
        penalty.lower, penalty.upper = self.active.lower, self.active.upper
        penalty.l1_weights, penalty.l2_weights = self.l1_weights, self.l2_weights
        penalty.l1_step = penalty.l2_step = penalty.lower_step = penalty.upper_step = 1

    def start(self, const double[::1] coef):
        """Begin from coefficients within the bounds, 0 for features that take no part."""
        memcpy(self.w, &coef[0], self.active.size * sizeof(double))
        self._correlate()
        self._set_l1(1.0)  # whatever is 0 has a threshold to pass
        self.active.classify(0)
        self.penalty.l1 = 0.0

    cpdef bint solve(self, double l1, double l2, double tolerance, long long max_iter) except -1:
        """Solve at one penalty, from the last state; False where the general solver should."""
        cdef bint done
        with nogil:
            done = self._solve(l1, l2, tolerance, max_iter)
        self.active.gram.signals.raise_caught()
        return done

    def trace(self, const double[::1] l1, const double[::1] l2, double tolerance,
              long long max_iter, Py_ssize_t most):
        """Solve at each penalty in turn, for as long as `solve` can.

        It ends after the first solution with more than `most` coefficients that are not zero.

        Returns
        -------
        indptr, indices, values : ndarray
            The coefficients, columns of a CSC array.
        facts : ndarray of shape (k, 5)
            gap, half the squared residual, reads, n_iter, status.
        """
        cdef Py_ssize_t k = 0, size = 0, stop, m = l1.shape[0], p = self.view.n_features
        cdef Py_ssize_t[::1] indptr = np.zeros(m + 1, dtype=np.intp)
        cdef Py_ssize_t[::1] indices = np.empty(2 * TURN * p, dtype=np.intp)
        cdef double[::1] values = np.empty(2 * TURN * p)
        cdef double[:, ::1] facts = np.zeros((m, 5))
        cdef bint going = True
        while going and k < m:
            stop = min(k + TURN, m)
            if indptr[k] + TURN * p > values.shape[0]:
                indices, values = grown(indices), grown(values)
            with nogil:
                while going and k < stop:
                    if not self._solve(l1[k], l2[k], tolerance, max_iter):
                        going = False
                        break
                    size = self._support()
                    memcpy(&indices[indptr[k]], self.at, size * sizeof(Py_ssize_t))
                    memcpy(&values[indptr[k]], self.support, size * sizeof(double))
                    facts[k, 0], facts[k, 1] = self.gap, self.half_squared_residual
                    facts[k, 2], facts[k, 3] = self.reads, <double> self.n_iter
                    k += 1
                    indptr[k] = indptr[k - 1] + size
                    going = size <= most
            self.active.gram.signals.raise_caught()
        size = indptr[k]
        return (indptr.base[:k + 1], indices.base[:size].copy(), values.base[:size].copy(),
                facts.base[:k])

    def nonzero(self):
        """The features with nonzero coefficients, in ascending order, and these."""
        cdef Py_ssize_t k, size = self._support()
        cdef Py_ssize_t[::1] indices = np.empty(size, dtype=np.intp)
        cdef double[::1] values = np.empty(size)
        for k in range(size):
            indices[k], values[k] = self.at[k], self.support[k]
        return indices.base, values.base

    @property
    def coef(self):
        """The coefficients (a copy)."""
        return np.array(<double[:self.view.n_features]> self.w)

    cdef Py_ssize_t _support(self) noexcept nogil:
        """The coefficients that are not zero into `support` and `at`; returns how many."""
        cdef Py_ssize_t k, size = 0
        for k in range(self.view.n_features):
            self.at[size], self.support[size] = k, self.w[k]
            if self.w[k] != 0.0:
                size += 1
        return size

    cdef bint _solve(self, double l1, double l2, double tolerance,
                     long long max_iter) noexcept nogil:
        cdef long long first = self.active.n_solves
        cdef bint refine = False
        if not l1 > 0.0:
            return False
        self.reads = 0.0 if self.begun else 1.0
        self.begun = True
        self.dual.enough = tolerance / ENOUGH
        self._set_l2(l2)
        if not self._reach(l1, first, max_iter):
            return False
        for _ in range(2):
            if pivot_until_consistent(
                    self.active, max_iter - (self.active.n_solves - first), refine,
                    False) != CONVERGED:
                return False
            self.n_iter = self.active.n_solves - first
            self._correlate()
            if self._certify(True) <= tolerance:
                return True
            if self._certify(False) <= tolerance and self._certify_from_residual() <= tolerance:
                return True
            refine = True
        return False

    cdef bint _reach(self, double l1, long long first, long long max_iter) noexcept nogil:
        """Pivot at l1: few features at once, by steps where that is no matter of a few rounds."""
        cdef long long few = FEW_SOLVES + 4 * self.count
        cdef Py_ssize_t k
        if self.count > AT_ONCE:
            self._approach(l1, first + max_iter)
            few = max_iter
        self._set_l1(l1)
        if pivot_until_consistent(self.active, min(few, first + max_iter - self.active.n_solves),
                                  False, False) == CONVERGED:
            return True
        for k in range(self.active.size):
            self.w[k], self.c[k] = 0.0, self.cross[k]
        self._set_l1(self._largest_ratio())
        self.active.classify(0)
        self._approach(l1, first + max_iter)
        self._set_l1(l1)
        return True

    cdef void _set_l1(self, double l1) noexcept nogil:
        cdef Py_ssize_t k
        self.penalty.l1 = l1
        for k in range(self.active.size):
            self.active.t[k] = l1 * self.l1_weights[k]

    cdef void _set_l2(self, double l2) noexcept nogil:
        """With another l2 the factor is another too."""
        cdef Py_ssize_t k
        if l2 == self.penalty.l2:
            return
        self.penalty.l2 = l2
        for k in range(self.active.size):
            self.active.rho[k] = l2 * self.l2_weights[k]
        self.active.refactor()

    cdef void _approach(self, double l1, long long last) noexcept nogil:
        """A far l1 by steps: correlated features that are let in at once leave one by one."""
        cdef double level = self.penalty.l1 if self.penalty.l1 > 0.0 else self._largest_ratio()
        while level * STEP > l1:
            level *= STEP
            self._set_l1(level)
            if pivot_until_consistent(
                    self.active, last - self.active.n_solves, False, False) != CONVERGED:
                return

    cdef double _largest_ratio(self) noexcept nogil:
        """The largest |c_j| / a_j on open sides."""
        cdef Py_ssize_t k, j
        cdef double c, largest = 0.0
        for k in range(self.count):
            j = self.features[k]
            c = self.c[j]
            if limit(c, self.active.lower[j], self.active.upper[j]) > 0.0:
                largest = max(largest, fabs(c) / self.l1_weights[j])
        return largest

    cdef void _correlate(self) noexcept nogil:
        """c = Z'S y - G w, afresh."""
        cdef Py_ssize_t k, size = self._support()
        memcpy(self.c, self.cross, self.active.size * sizeof(double))
        for k in range(size):
            self.support[k] = -self.support[k]
        self.active.gram.add_rows(self.at, self.support, size, self.c)

    cdef double _certify(self, bint with_rounding) noexcept nogil:
        """The gap; as in Certifier, ||r||^2 = ||y||^2 - sum_j w_j (<z_j, y> + c_j)."""
        cdef Py_ssize_t k, size = 0
        cdef double square = 2.0 * self.half_squared_target, magnitude = self.active.norm_y
        cdef double sums = GRAM_ROUNDING * self._sums()
        for k in range(self.active.size):
            if self.w[k] != 0.0:
                square -= self.w[k] * (self.cross[k] + self.c[k])
                magnitude += fabs(self.w[k]) * self.error_norm[k]
                size += 1
        square = square if square > 0.0 else 0.0
        self.half_squared_residual = 0.5 * square
        self.dual.residual_norm = sqrt(square)
        self.dual.residual_error = self.dual.error = 0.0
        if with_rounding:
            self.dual.residual_norm = sqrt(square + sums * magnitude * magnitude)
            self.dual.residual_error = EPS * (4.0 + size) * magnitude
            self.dual.error = (sums + EPS * size) * magnitude
        return self._gap()

    cdef double _certify_from_residual(self) noexcept nogil:
        """The gap from a residual and correlations that are computed from X."""
        cdef Py_ssize_t k, size = self._support()
        cdef double magnitude = self.active.norm_y
        self.view.fill_residual(self.y, self.w, size, self.at, &self.residual)
        self.view.correlations_between(&self.residual, NULL, 0, self.active.size, self.c)
        self.reads += 1.0
        for k in range(size):
            magnitude += fabs(self.support[k]) * self.error_norm[self.at[k]]
        self.half_squared_residual = 0.5 * self.view.squared_norm(&self.residual)
        self.dual.residual_norm = sqrt(2.0 * self.half_squared_residual)
        self.dual.residual_error = EPS * (4.0 + size) * magnitude
        self.dual.error = self._sums() * self.dual.residual_norm
        return self._gap()

    cdef double _sums(self) noexcept nogil:
        """The relative error of a sum over the rows (leaves.h)."""
        return EPS * (8.0 + self.view.n_samples / 64.0)

    cdef double _gap(self) noexcept nogil:
        duality_gap(&self.penalty, self.w, self.c, self.error_norm, self.features,
                    self.count, &self.dual)
        self.gap = self.dual.gap
        return self.gap


class NarrowTrace:
    """A path of a NarrowSolver, to be followed as a `Trace` is.

    Parameters
    ----------
    solver : NarrowSolver
    *arguments
        Of its `trace`.
    """

    def __init__(self, solver, *arguments):
        self.solver, self._arguments, self._found = solver, arguments, None

    def follow(self):
        """To its end; False: it waits for nothing."""
        self._found = self.solver.trace(*self._arguments)
        return False

    def result(self):
        """As of `NarrowSolver.trace`."""
        return self._found


cdef grown(array):
    """A copy with twice the room."""
    out = np.empty(2 * len(array), dtype=np.asarray(array).dtype)
    out[:len(array)] = array
    return out
