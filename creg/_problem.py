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
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from creg._data.design import DesignView
from creg._data.statistics import gram
from creg._data.storage import Storage
from creg._data.tall import Products, products
from creg._data.threads import single_blas
from creg._lasso.working_set import WorkingSetSolver
from creg._ridge.certified import CertifiedRidge
from creg._solution import Solution, Status

Float = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
# Widest design whose whole Gram matrix is made: 8 p^2 bytes, 32 MB.
LARGEST_GRAM = 2000
# The same for a few alphas.
LARGEST_GRAM_OF_ONE = 300
# Side up to which BLAS keeps to one thread by itself.
SMALL_FOR_BLAS = 64
# alpha_max is raised by this much, so that rounding lets no feature in at it.
ALPHA_MAX_SLACK = 1e-12


@dataclass(frozen=True, slots=True)
class Penalty:
    """What is added to the squared error, but for its strength alpha.

    Attributes
    ----------
    l1_ratio : float
    weights : (n_features,) or None
        v: 0 leaves a feature unpenalised, inf leaves it out.
    lower, upper : float or (n_features,)
        On the user's coefficients.
    standardize : bool
        The penalty acts on the coefficients of the standardised columns.
    """

    l1_ratio: float = 1.0
    weights: Float | None = None
    lower: float | Float = -np.inf
    upper: float | Float = np.inf
    standardize: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """How to solve: see the estimators' parameters of the same names."""

    tol: float = 1e-8
    max_iter: int | None = 10_000
    n_threads: int = 1
    solver: str = "auto"


class Data:
    """What depends on X and the sample weights alone, shared by targets and penalties.

    Parameters
    ----------
    storage : Storage
    sample_weight : (n_samples,) or None
    fit_intercept : bool
    scaled : bool
        Whether `scale_` will be asked for.
    n_alphas : int
        Penalties with an l1 part that each target will be solved at.
    n_threads : int
    """

    def __init__(
        self,
        storage: Storage,
        sample_weight: Float | None,
        fit_intercept: bool,
        *,
        scaled: bool = False,
        n_alphas: int = 0,
        n_threads: int = 1,
    ) -> None:
        self.storage = storage
        self.weights = rescaled(sample_weight)
        self.fit_intercept = fit_intercept
        self.scaled = scaled
        self.n_threads = n_threads
        self._n_alphas = n_alphas
        self._products: Products | None = None
        self._first_target: Float | None = None

    def read(self, target: Float, in_columns: bool) -> None:
        """Before anything else: where the Gram matrix pays, all of it from one read of X.

        Dense rows stay as they are then, unless columns will be asked for (`in_columns`).
        """
        pays = self._n_alphas and not self.storage.issparse and self.gram_pays(self._n_alphas)
        if not pays or "view" in self.__dict__:
            return
        with single_blas():
            self._products = products(
                self.storage, self.weights, self.fit_intercept, target, self.n_threads
            )
        self._first_target = target
        if self._products is not None:
            storage = self.storage.columns() if in_columns else self.storage
            self.view = DesignView(
                storage, self.weights, self.fit_intercept, self._products.moments
            )

    @cached_property
    def view(self) -> DesignView:
        """X as the solvers see it."""
        return DesignView(self.storage.columns(), self.weights, centre=self.fit_intercept)

    @cached_property
    def scale_(self) -> Float:
        """`standard_deviations` of the columns."""
        return standard_deviations(self.view)

    def gram_pays(self, n_alphas: int) -> bool:
        """Whether Z'SZ is worth making, a product of p / 14 times the cost of a read of X.

        A path does without some 30 reads and most of the columns of Z'SZ, one alpha without 10
        to 20; where X is not tall the working set's own block costs less.
        """
        n, p = self.storage.shape
        if p * p > self.storage.size:
            return False
        if n_alphas >= 10:
            return p <= LARGEST_GRAM and 5 * n >= 6 * p
        return p <= LARGEST_GRAM_OF_ONE and n >= 3 * p

    @cached_property
    def gram(self) -> Float:
        """Z'SZ, (n_features, n_features)."""
        if self._products is not None:
            return self._products.gram
        with single_blas():
            return gram(self.view, self.n_threads)

    def cross(self, target: Float) -> Float:
        """Z'Sy of a target in kernel units."""
        if self._products is not None and target is self._first_target:
            return self._products.cross
        return self.view.correlations_of(target, self.n_threads)


def standard_deviations(view: DesignView) -> Float:
    """Of the columns, divisor sum s; root mean squares if not centred; 1 for constant columns."""
    spread = np.sqrt(view.norm2 / view.sum_weights) / view.scale
    return np.where(view.norm2 > 0, spread, 1.0)


def rescaled(sample_weight: Float | None) -> Float | None:
    """Weights that sum to the number of rows; None where they are all equal."""
    if sample_weight is None or np.all(sample_weight == sample_weight[0]):
        return None
    largest = sample_weight.max()
    shares = sample_weight / largest
    return np.asarray(shares * (len(shares) / shares.sum()))


def centred_target(y: Float, weights: Float | None, centre: bool) -> tuple[Float, float, float]:
    """(y_k, mean, unit): y = mean + unit y_k, 1 <= ||y_k|| < 2, or y_k = 0 for a constant y."""
    y = np.asarray(y, dtype=np.float64)
    seen = y if weights is None else y[weights > 0]
    mean = 0.0
    if centre:
        shifted = y - seen[0]
        mean = float(seen[0] + np.average(shifted, weights=weights))
    centred = y - mean
    if weights is not None:
        centred[weights == 0] = 0.0
    largest = float(np.abs(centred).max())
    if largest == 0.0 or (centre and largest <= 4 * EPS * abs(mean)):
        return np.zeros_like(centred), mean, 1.0
    unit = float(2.0 ** np.floor(np.log2(largest)))
    centred /= unit
    squares = centred * centred if weights is None else weights * centred * centred
    factor = float(2.0 ** np.floor(0.5 * np.log2(squares.sum())))
    centred /= factor
    return centred, mean, unit * factor


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
        data.read(self.target, penalty.weights is not None and not penalty.weights.all())
        view = data.view
        p = view.n_features
        self._scale, self._mean = view.scale, view.mean
        d = np.sqrt(view.norm2 / view.sum_weights) if penalty.standardize else self._scale
        takes_part = view.norm2 > 0
        self._v, self._a = np.broadcast_to(1.0, p), d
        if penalty.weights is not None:
            finite = np.isfinite(penalty.weights)
            takes_part &= finite
            self._v = np.where(finite, penalty.weights, 1.0)
            self._a = self._v * d
        self._b = np.broadcast_to(0.0, p) if penalty.l1_ratio == 1.0 else self._a * d
        self._lower, self._upper = (
            self._bound_in_kernel_units(bound) for bound in (penalty.lower, penalty.upper)
        )
        takes_part &= (self._lower < 0) | (self._upper > 0)
        self._features = np.flatnonzero(takes_part)
        j = self._features
        self._bounded = bool(np.any(self._lower[j] > -np.inf) or np.any(self._upper[j] < np.inf))
        self._solvers: dict[bool, WorkingSetSolver] = {}
        self._ridge: CertifiedRidge | None = None

    def _bound_in_kernel_units(self, bound: float | Float) -> Float:
        """(n_features,); one number, repeated, where that is in all units the same."""
        scale = self.data.view.scale
        if isinstance(bound, float) and (bound == 0.0 or np.isinf(bound)):
            return np.broadcast_to(bound, len(scale))
        return np.asarray(bound / scale / self.unit)

    @property
    def _unpenalised(self) -> NDArray[np.intp]:
        if self.penalty.weights is None:
            return self._features[:0]
        return self._features[self._v[self._features] == 0.0]

    @property
    def _nothing_penalised(self) -> bool:
        if self.penalty.weights is None:
            return not len(self._features)
        return not np.any(self._v[self._features])

    @cached_property
    def _null_model(self) -> tuple[Float, float]:
        """The residual of the best unpenalised fit within the bounds and half its square."""
        view, bare = self.data.view, self._unpenalised
        r = self.target
        if self._nothing_penalised:
            bare = bare[:0]
        if len(bare) and self.target.any():
            zeros = np.broadcast_to(0.0, view.n_features)
            solver = WorkingSetSolver(
                view, self.target, zeros, zeros, self._lower, self._upper, bare
            )
            solver.solve(0.0, 0.0, 0.0, 1e-15, 10_000)
            r = self.target - view.product(solver.descent.coef)
        half = self._half_square(r)
        # what rounding leaves of a target that the unpenalised features explain
        return (r, half) if half > 1e-26 or not len(bare) else (np.zeros_like(r), 0.0)

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

    @cached_property
    def alpha_max(self) -> float:
        """The smallest alpha at which all penalised coefficients are zero (0: at any alpha)."""
        j = self._features[self._v[self._features] > 0.0]
        r, half = self._null_model
        if not len(j) or half == 0.0:
            return 0.0
        c = self.data.cross(r)[j]
        upwards = np.where(self._upper[j] > 0, c, 0.0) / self._a[j]
        downwards = np.where(self._lower[j] < 0, -c, 0.0) / self._a[j]
        largest = max(0.0, float(upwards.max()), float(downwards.max()))
        if largest <= 1e-14:
            return 0.0
        alpha = largest / self.data.view.n_samples * self.unit / self.penalty.l1_ratio
        return alpha * (1.0 + ALPHA_MAX_SLACK)

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
        view = self.data.view
        alone = min(view.n_samples, view.n_features) > SMALL_FOR_BLAS
        with single_blas() if alone else nullcontext():
            yield from self._solve_each(alphas, options, start)

    def _solve_each(
        self, alphas: Sequence[float], options: Options, start: Float | None
    ) -> Iterator[Solution]:
        smooth = self.penalty.l1_ratio == 0.0 or self._nothing_penalised
        coef = None if start is None else self._to_kernel(start)
        for k, alpha in enumerate(alphas):
            following = alphas[k + 1] if k + 1 < len(alphas) else None
            if not self._bounded and (smooth or alpha == 0.0):
                yield self._solve_smooth(alpha, options, following is None)
            else:
                yield self._solve_on_working_sets(alpha, following, len(alphas), options, coef)
                coef = None

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
        return self._solution(
            found.coef,
            np.flatnonzero(found.coef),
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
        n, ratio = self.data.view.n_samples, self.penalty.l1_ratio
        known = (alpha == 0.0) in self._solvers
        solver = self._solver(alpha == 0.0, n_alphas, options)
        reads = solver.reads if known else 0.0
        if coef is not None:
            solver.start(coef)
        if self._half_squared_target == 0.0:
            solver.start(np.zeros(len(self._a)))
        base = self._base(alpha)
        l1 = alpha * ratio * n / self.unit
        gap, n_iter, status = solver.solve(
            l1,
            alpha * (1.0 - ratio) * n,
            l1 if following is None else following * ratio * n / self.unit,
            options.tol * base,
            options.max_iter,
        )
        return self._solution(
            solver.descent.coef,
            solver.nonzero(),
            gap=gap,
            null=base,
            loss=solver.half_squared_residual,
            n_iter=n_iter,
            status=Status(status),
            reads=solver.reads - reads,
        )

    def _solver(self, unpenalised: bool, n_alphas: int, options: Options) -> WorkingSetSolver:
        """The solver of the penalised problem, or of plain least squares."""
        if unpenalised not in self._solvers:
            data = self.data
            zeros = np.broadcast_to(0.0, len(self._a))
            pays = data.gram_pays(n_alphas)
            self._solvers[unpenalised] = WorkingSetSolver(
                data.view,
                self.target,
                zeros if unpenalised else self._a,
                zeros if unpenalised else self._b,
                self._lower,
                self._upper,
                self._features,
                gram=data.gram if pays else None,
                cross=data.cross(self.target) if pays else None,
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
        coef: Float,
        indices: NDArray[np.intp],
        *,
        gap: float,
        null: float,
        loss: float,
        **facts: Any,
    ) -> Solution:
        """In the user's units; gap, null and loss are the kernel's."""
        n_samples, unit = self.data.view.n_samples, self.unit
        values = coef.take(indices) * self._scale.take(indices) * unit
        intercept = 0.0
        if self.data.fit_intercept:
            intercept = self.target_mean - float(values @ self._mean.take(indices))
        gap, null, loss = [u * unit / n_samples * unit for u in (gap, null, loss)]
        return Solution(
            indices=indices,
            values=values,
            intercept=intercept,
            dual_gap=gap,
            null_objective=null,
            loss=loss,
            **facts,
        )
