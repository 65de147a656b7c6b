"""Problems in kernel units: design, target, weights and penalty, and the way back.

All that is known about units is here. With P the user's objective, n the number of rows and
weights s that sum to n, the kernels minimise

    P_k(u) = ||y_k - Z u||^2 / 2 + sum_j l1 a_j |u_j| + l2 b_j u_j^2 / 2   ( = n P / unit^2 )

    y_k = (y - mean) / unit,  z_j = (x_j - mean_j) scale_j,  coef_j = unit scale_j u_j,
    l1 = n alpha l1_ratio / unit,  a_j = v_j d_j,  l2 = n alpha (1 - l1_ratio),  b_j = v_j d_j^2,

d_j = scale_j, or scale_j sd_j = ||z_j|| / sqrt(n) where the penalty acts on standardised columns.
unit and scale_j are powers of two, so rescaled data take the same path bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, lru_cache
from math import inf, isinf
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from creg._data.threads import single_blas
from creg._data.vectors import centred_target
from creg._given import Data, Options, Penalty
from creg._lasso.narrow import NarrowSolver, NarrowTrace
from creg._lasso.trace import Trace, ZeroTrace
from creg._lasso.working_set import WorkingSetSolver
from creg._ridge.certified import CertifiedRidge
from creg._solution import Solution, Solutions, Status

Float = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
# Side up to which BLAS keeps to one thread by itself.
SMALL_FOR_BLAS = 64
# alpha_max is raised by this much, so that rounding lets no feature in at it.
ALPHA_MAX_SLACK = 1e-12


@lru_cache(maxsize=256)
def repeated(value: float, count: int) -> Float:
    """(count,), read-only, one number in memory."""
    return np.broadcast_to(value, count)


class L1Problem:
    """One target under one penalty, to be solved at any alphas.

    Parameters
    ----------
    data : Data
    y : (n_samples,) float64
    penalty : Penalty
    """

    def __init__(self, data: Data, y: Float, penalty: Penalty) -> None:
        self.data, self.penalty = data, penalty
        self.target, self.target_mean, self.unit = centred_target(
            y, data.weights, data.fit_intercept
        )
        in_columns = penalty.weights is not None and not penalty.weights.all()
        data.read(self.target, self.unit, in_columns)
        self._known_cross = data.known_cross(self.target)
        self._solvers: dict[bool, WorkingSetSolver] = {}
        self._ridge: CertifiedRidge | None = None

    @cached_property
    def _v(self) -> Float:
        """Penalty weights; 1 for features that are left out."""
        weights = self.penalty.weights
        if weights is None:
            return repeated(1.0, self.data.view.n_features)
        return np.where(np.isfinite(weights), weights, 1.0)

    @cached_property
    def _d(self) -> Float:
        view = self.data.view
        return np.sqrt(view.norm2 / view.sum_weights) if self.penalty.standardize else view.scale

    @cached_property
    def _a(self) -> Float:
        return self._d if self.penalty.weights is None else self._v * self._d

    @cached_property
    def _b(self) -> Float:
        if self.penalty.l1_ratio == 1.0:
            return repeated(0.0, self.data.view.n_features)
        return self._a * self._d

    @cached_property
    def _lower(self) -> Float:
        return self._bound_in_kernel_units(self.penalty.lower)

    @cached_property
    def _upper(self) -> Float:
        return self._bound_in_kernel_units(self.penalty.upper)

    def _bound_in_kernel_units(self, bound: float | Float) -> Float:
        """(n_features,); one number, repeated, where that is in all units the same."""
        scale = self.data.view.scale
        if _has_no_unit(bound):
            return repeated(bound, len(scale))
        return np.asarray(bound / scale / self.unit)

    @cached_property
    def _features(self) -> NDArray[np.intp]:
        """Those that may be nonzero."""
        takes_part = self.data.view.norm2 > 0
        if self.penalty.weights is not None:
            takes_part &= np.isfinite(self.penalty.weights)
        if not self._unbounded:
            takes_part &= (self._lower < 0) | (self._upper > 0)
        return np.flatnonzero(takes_part)

    @cached_property
    def _bounded(self) -> bool:
        """Whether some feature that may be nonzero has a bound."""
        if self._unbounded:
            return False
        j = self._features
        return bool(np.any(self._lower[j] > -np.inf) or np.any(self._upper[j] < np.inf))

    @property
    def _unbounded(self) -> bool:
        """Whether there are no bounds at all."""
        return _is_number(self.penalty.lower, -inf) and _is_number(self.penalty.upper, inf)

    @property
    def _plain(self) -> bool:
        """Neither bounds nor penalty weights."""
        return self.penalty.weights is None and self._unbounded

    @property
    def _unpenalised(self) -> NDArray[np.intp]:
        if self.penalty.weights is None:
            return np.empty(0, dtype=np.intp)
        return self._features[self._v[self._features] == 0.0]

    @cached_property
    def _nothing_penalised(self) -> bool:
        if self.penalty.weights is None:
            return not len(self._features)
        return not np.any(self._v[self._features])

    @cached_property
    def _null_model(self) -> tuple[Float, float]:
        """The residual of the best unpenalised fit within the bounds and half its square."""
        view, bare = self.data.view, self._unpenalised
        r = self.target
        if len(bare) and self._nothing_penalised:
            bare = bare[:0]
        if len(bare) and self.target.any():
            zeros = repeated(0.0, view.n_features)
            solver = WorkingSetSolver(
                view, self.target, zeros, zeros, self._lower, self._upper, bare
            )
            solver.solve(0.0, 0.0, 0.0, 1e-15, 10_000)
            r = self.target - view.product(solver.descent.coef)
        if not len(bare):
            return r, self._half_squared_target
        half = self._half_square(r)
        # what rounding leaves of a target that the unpenalised features explain
        return (r, half) if half > 1e-26 else (np.zeros_like(r), 0.0)

    def _half_square(self, r: Float) -> float:
        weights = self.data.view.weights
        return 0.5 * float(r @ r if weights is None else r @ (weights * r))

    def _base(self, alpha: float) -> float:
        """What tol is relative to at alpha: the null objective, which rounding keeps from 0."""
        whole = self._half_squared_target
        return whole if alpha == 0.0 else max(self._null_model[1], EPS * whole)

    @cached_property
    def _half_squared_target(self) -> float:
        return self._half_square(self.target)

    @cached_property
    def null_objective(self) -> float:
        """The objective with all penalised coefficients 0, in the user's units."""
        return self._null_model[1] * self.unit * self.unit / self.data.view.n_samples

    def _cross(self) -> Float:
        """Z'S y, read once."""
        if self._known_cross is None:
            self._known_cross = self.data.cross(self.target)
        return self._known_cross

    @cached_property
    def alpha_max(self) -> float:
        """The smallest alpha at which all penalised coefficients are zero (0: at any alpha)."""
        j = self._features[self._v[self._features] > 0.0]
        r, half = self._null_model
        if not len(j) or half == 0.0:
            return 0.0
        c = (self._cross() if r is self.target else self.data.view.correlations_of(r))[j]
        c[np.abs(c) <= 1e-14] = 0.0  # rounding: targets and columns have norms near 1
        upwards = np.where(self._upper[j] > 0, c, 0.0) / self._a[j]
        downwards = np.where(self._lower[j] < 0, -c, 0.0) / self._a[j]
        largest = max(0.0, float(upwards.max()), float(downwards.max()))
        if largest == 0.0:
            return 0.0
        alpha = largest / self.data.view.n_samples * self.unit / self.penalty.l1_ratio
        return alpha * (1.0 + ALPHA_MAX_SLACK)

    def solve_at(self, alpha: float, options: Options, start: Float | None = None) -> Solution:
        """Solve at one alpha: what `solve` yields."""
        coef = None if start is None else self._to_kernel(start)
        with self._single_blas():
            narrow = self._narrow_solver(options, coef)
            if narrow is None:
                return next(self._solve_generally([alpha], options, coef))
            if self._solve_narrow(narrow, alpha, options):
                return self._narrow_solution(narrow)
            return next(self._solve_generally([alpha], options, _finite(narrow.coef)))

    def solve(
        self, alphas: Sequence[float], options: Options, start: Float | None = None
    ) -> Iterator[Solution]:
        """Solve at each alpha, in the order given, each from the solution before.

        Parameters
        ----------
        alphas : sequence of float
            Descending for speed.
        options : Options
        start : (n_features,), optional
            Coefficients to begin from, in the user's units.
        """
        with self._single_blas():
            yield from self._solve_each(alphas, options, start)

    def _single_blas(self) -> AbstractContextManager[None]:
        view = self.data.view
        small = min(view.n_samples, view.n_features) <= SMALL_FOR_BLAS
        return nullcontext() if small else single_blas()

    def _solve_each(
        self, alphas: Sequence[float], options: Options, start: Float | None
    ) -> Iterator[Solution]:
        coef = None if start is None else self._to_kernel(start)
        narrow = self._narrow_solver(options, coef)
        done = 0
        if narrow is not None:
            while done < len(alphas) and self._solve_narrow(narrow, alphas[done], options):
                yield self._narrow_solution(narrow)
                done += 1
            coef = _finite(narrow.coef)
        yield from self._solve_generally(alphas[done:], options, coef)

    def _solve_generally(
        self, alphas: Sequence[float], options: Options, coef: Float | None
    ) -> Iterator[Solution]:
        for k, alpha in enumerate(alphas):
            following = alphas[k + 1] if k + 1 < len(alphas) else None
            if self._is_smooth(alpha):
                yield self._solve_smooth(alpha, options, following is None)
            else:
                yield self._solve_on_working_sets(alpha, following, len(alphas), options, coef)
                coef = None

    def _is_smooth(self, alpha: float) -> bool:
        """Whether there is neither an l1 penalty nor a bound."""
        if self._bounded:
            return False
        return alpha == 0.0 or self.penalty.l1_ratio == 0.0 or self._nothing_penalised

    def _narrow_solver(self, options: Options, coef: Float | None = None) -> NarrowSolver | None:
        """Where the features are few, the rows more, and pivoting is free to be used."""
        data, penalty = self.data, self.penalty
        view = data.view
        if not data.is_narrow or options.solver != "auto" or penalty.l1_ratio == 0.0:
            return None
        solver = NarrowSolver(
            view,
            self.target,
            data.gram,
            self._known_cross,
            self._a if penalty.weights is not None or penalty.standardize else None,
            self._b if penalty.l1_ratio < 1.0 else None,
            penalty.lower if _has_no_unit(penalty.lower) else self._lower,
            penalty.upper if _has_no_unit(penalty.upper) else self._upper,
            None if self._plain else self._features,
        )
        if not solver.usable:
            return None
        if coef is not None:
            solver.start(coef)
        return solver

    def _in_kernel_units(self, alpha: Any) -> tuple[Any, Any]:
        """(l1, l2) of a penalty, or of several."""
        n, ratio = self.data.view.n_samples, self.penalty.l1_ratio
        return alpha * ratio * n / self.unit, alpha * (1.0 - ratio) * n

    def _solve_narrow(self, solver: NarrowSolver, alpha: float, options: Options) -> bool:
        l1, l2 = self._in_kernel_units(alpha)
        tolerance = options.tol * solver.half_squared_target
        return bool(solver.solve(l1, l2, tolerance, options.max_iter))

    def _narrow_solution(self, solver: NarrowSolver) -> Solution:
        indices, values = solver.nonzero()
        return self._solution(
            indices,
            values,
            gap=solver.gap,
            null=solver.half_squared_target,
            loss=solver.half_squared_residual,
            n_iter=solver.n_iter,
            status=Status.CONVERGED,
            reads=solver.reads,
        )

    def solve_together(self, alphas: Float, options: Options, most: int | None) -> Solutions:
        """Solve at as many of the first alphas as can be done at once, if only at none."""
        path = self.begin(alphas, options, most)
        if path is None:
            return Solutions.of([])
        with self._single_blas():
            path.follow()
        return self.traced(path)

    def begin(
        self, alphas: Float, options: Options, most: int | None
    ) -> Trace | NarrowTrace | ZeroTrace | None:
        """A path that goes on by itself, without the GIL; None where every alpha is a fit.

        It ends after the first solution with more than `most` coefficients that are not zero.
        """
        if options.solver != "auto" or not alphas.all() or self._is_smooth(1.0):
            return None
        if self._half_squared_target == 0.0:
            return ZeroTrace(len(alphas))
        l1, l2 = self._in_kernel_units(alphas)
        most = self.data.view.n_features if most is None else most
        with self._single_blas():
            narrow = self._narrow_solver(options)
            if narrow is not None:
                tolerance = options.tol * narrow.half_squared_target
                return NarrowTrace(narrow, l1, l2, tolerance, options.max_iter, most)
            solver = self._solver(False, len(alphas), options)
        return Trace(solver, l1, l2, options.tol * self._base(1.0), options.max_iter, most)

    def traced(self, path: Trace | NarrowTrace | ZeroTrace) -> Solutions:
        """Its solutions so far."""
        known = isinstance(path, NarrowTrace)
        base = path.solver.half_squared_target if known else self._base(1.0)
        return self._solutions(path.result(), base)

    def _solutions(
        self, found: tuple[NDArray[np.intp], NDArray[np.intp], Float, Float], base: float
    ) -> Solutions:
        """In the user's units; the rest is the kernel's (`trace`)."""
        indptr, indices, values, facts = found
        view, unit, count = self.data.view, self.unit, len(facts)
        values, at_means = view.path_coefficients(indptr, indices, values, unit)
        factor = unit / view.n_samples * unit
        gaps, losses = np.multiply(facts[:, :2].T, factor)
        return Solutions(
            indptr=indptr,
            indices=indices,
            values=values,
            intercepts=self.target_mean - at_means if self.data.fit_intercept else np.zeros(count),
            dual_gaps=gaps,
            null_objectives=np.full(count, base * factor),
            n_iters=facts[:, 3].astype(np.intp),
            statuses=facts[:, 4].astype(np.intp),
            reads=facts[:, 2],
            losses=losses,
        )

    def _solve_smooth(self, alpha: float, options: Options, last: bool) -> Solution:
        """Ridge, or least squares of minimum norm, in closed form."""
        view, v, weights = self.data.view, self.penalty.weights, None
        if self._ridge is None:
            if v is not None or len(self._features) < view.n_features:
                weights = np.full(view.n_features, np.inf)
                weights[self._features] = self._v[self._features]
            self._ridge = CertifiedRidge(
                view, self.target, weights, self.penalty.standardize, options.n_threads
            )
        base = self._base(alpha)
        l2 = alpha * (1.0 - self.penalty.l1_ratio) * view.n_samples
        max_iter = 10_000 if options.max_iter is None else options.max_iter
        found = self._ridge.solve(l2, options.tol * base, max_iter, last)
        nonzero = np.flatnonzero(found.coef)
        return self._solution(
            nonzero,
            found.coef[nonzero],
            gap=found.gap,
            null=base,
            loss=found.half_squared_residual,
            n_iter=found.n_iter,
            status=found.status,
            reads=found.reads,
        )

    def _solve_on_working_sets(
        self,
        alpha: float,
        following: float | None,
        n_alphas: int,
        options: Options,
        coef: Float | None,
    ) -> Solution:
        known = (alpha == 0.0) in self._solvers
        depth = self.alpha_max / alpha if self.data.waits and alpha > 0.0 else inf
        solver = self._solver(alpha == 0.0, n_alphas, options, depth)
        reads = solver.reads if known else 0.0
        if coef is not None:
            solver.start(coef)
        if self._half_squared_target == 0.0:
            solver.start(np.zeros(len(self._a)))
        base = self._base(alpha)
        l1, l2 = self._in_kernel_units(alpha)
        gap, n_iter, status = solver.solve(
            l1,
            l2,
            l1 if following is None else self._in_kernel_units(following)[0],
            options.tol * base,
            options.max_iter,
        )
        nonzero = solver.nonzero()
        return self._solution(
            nonzero,
            solver.descent.coef[nonzero],
            gap=gap,
            null=base,
            loss=solver.half_squared_residual,
            n_iter=n_iter,
            status=Status(status),
            reads=solver.reads - reads,
        )

    def _solver(
        self, unpenalised: bool, n_alphas: int, options: Options, depth: float = inf
    ) -> WorkingSetSolver:
        """The solver of the penalised problem, or of plain least squares."""
        if unpenalised not in self._solvers:
            data = self.data
            zeros = repeated(0.0, data.view.n_features)
            pays = data.gram_pays(n_alphas, depth)
            self._solvers[unpenalised] = WorkingSetSolver(
                data.view,
                self.target,
                zeros if unpenalised else self._a,
                zeros if unpenalised else self._b,
                self._lower,
                self._upper,
                self._features,
                gram=data.gram if pays else None,
                cross=self._cross() if pays else self._known_cross,
                n_threads=options.n_threads,
                pivoting=options.solver == "auto",
            )
        return self._solvers[unpenalised]

    def _to_kernel(self, coef: Float) -> Float:
        """User's coefficients in kernel units, those that take no part 0."""
        out = np.zeros(len(coef))
        j = self._features
        out[j] = np.clip(
            coef[j] / self.data.view.scale[j] / self.unit, self._lower[j], self._upper[j]
        )
        return out

    def _solution(
        self,
        indices: NDArray[np.intp],
        values: Float,
        *,
        gap: float,
        null: float,
        loss: float,
        **facts: Any,
    ) -> Solution:
        """In the user's units; values, gap, null and loss are the kernel's."""
        view, unit = self.data.view, self.unit
        values, at_means = view.coefficients(indices, values, unit)
        factor = unit / view.n_samples
        return Solution(
            indices=indices,
            values=values,
            intercept=self.target_mean - at_means if self.data.fit_intercept else 0.0,
            dual_gap=gap * factor * unit,
            null_objective=null * factor * unit,
            loss=loss * factor * unit,
            **facts,
        )


def _finite(coef: Float) -> Float | None:
    """A state to begin from, if it is one."""
    return coef if np.isfinite(coef).all() else None


def _has_no_unit(bound: float | Float) -> TypeGuard[float]:
    """One number that is in all units the same."""
    return isinstance(bound, float) and (bound == 0.0 or isinf(bound))


def _is_number(bound: float | Float, number: float) -> bool:
    return isinstance(bound, float) and bound == number
