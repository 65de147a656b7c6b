"""Ridge and least squares of one target with a bound of the error, in the kernel's units."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from creg._data.design import DesignView
from creg._ridge.certificate import Certificate
from creg._ridge.cholesky import DualAt, PrimalAt, Projection
from creg._ridge.conjugate_gradient import conjugate_gradient
from creg._ridge.solver import (
    RidgeSolver,
    affordable_steps,
    prefers_iterations,
    solve_directly,
)
from creg._ridge.system import RidgeSystem
from creg._solution import Status

Float = NDArray[np.float64]

LARGEST_BASIS = 20_000_000  # entries of a basis of unpenalised columns
TIGHTEST, LOOSEST = 1e-13, 1e-6  # relative residuals asked of conjugate gradients


@dataclass(frozen=True, slots=True)
class Certified:
    """Coefficients (n_features,), the bound of their error, and what it took."""

    coef: Float
    gap: float
    half_squared_residual: float
    n_iter: int
    status: Status
    reads: float


class CertifiedRidge:
    """minimise ||y - Z w||^2 / 2 + sum_j alpha v_j d_j^2 w_j^2 / 2 at any alphas, 0 included.

    Parameters
    ----------
    view : DesignView
    y : (n_samples,)
        Centred where the view is.
    penalty_weights : (n_features,) or None
        v; inf leaves a column out.
    standardize : bool
    n_threads : int
    """

    def __init__(
        self,
        view: DesignView,
        y: Float,
        penalty_weights: Float | None,
        standardize: bool,
        n_threads: int,
    ) -> None:
        self._view, self._y = view, y
        self._solver = RidgeSolver(view, penalty_weights, standardize, n_threads)
        self._projection: Projection | None = None

    def solve(self, alpha: float, tolerance: float, max_iter: int, last: bool) -> Certified:
        """The solution at alpha, of minimum norm where it is not unique.

        Parameters
        ----------
        alpha : float
        tolerance : float
            Of P(w) - min P.
        max_iter : int
            Bound of the conjugate gradient steps.
        last : bool
            No other alpha is to come.
        """
        system, alpha = self._solver.system(alpha)
        reads = system.reads
        if not system.n_columns or not self._y.any():
            nothing = np.zeros(system.n_columns)
            r = system.times_root_weights(self._y[:, None].copy())
            return self._found(system, nothing, 0.0, 0.5 * float(np.sum(r * r)), 1, tolerance)
        n_iter = 0
        with self._solver.blas_threads():
            steps = self._steps(system, alpha, max_iter)
            if steps:
                found = self._iterate(system, alpha, tolerance, steps)
                n_iter = found.n_iter
            if not steps or (
                found.status != Status.CONVERGED
                and n_iter < max_iter
                and affordable_steps(system) is not None
            ):
                found = self._factor(system, alpha, tolerance, last)
        return replace(found, n_iter=max(n_iter, found.n_iter), reads=system.reads - reads)

    def _steps(self, system: RidgeSystem, alpha: float, max_iter: int) -> int:
        """Conjugate gradient steps to try; 0 where a factor is better."""
        affordable = affordable_steps(system)
        if affordable is None:
            return max_iter
        # what certifies least squares of tall data is a factor
        tall = system.view.n_samples > system.n_columns
        if not prefers_iterations(system) or (alpha == 0 and tall):
            return 0
        return min(affordable, max_iter)

    def _iterate(
        self, system: RidgeSystem, alpha: float, tolerance: float, steps: int
    ) -> Certified:
        Y = self._y[:, None]
        target = _gradient_tolerance(system, alpha, Y, tolerance)
        end = conjugate_gradient(system, alpha, Y, target, steps)
        certificate = Certificate(system, alpha, self._y, end.W[:, 0])
        gap = min(certificate.at_zero(), self._by_duality(system, alpha, certificate, None))
        half, n_iter = certificate.half_squared_residual, int(end.n_iter[0])
        found = self._found(system, end.W[:, 0], gap, half, n_iter, tolerance)
        if found.status == Status.STALLED and n_iter >= steps:
            found = replace(found, status=Status.MAX_ITER)
        return found

    def _factor(self, system: RidgeSystem, alpha: float, tolerance: float, last: bool) -> Certified:
        factored = self._solver.factored(system, alpha, "cholesky", last)
        W, by_factor = solve_directly(factored, system, alpha, self._y[:, None])
        certificate = Certificate(system, alpha, self._y, W[:, 0])
        gap = certificate.at_zero()
        if by_factor and isinstance(factored, PrimalAt):
            gap = min(gap, certificate.by_factor(factored))
        elif alpha > 0:
            projection = factored.projection if isinstance(factored, DualAt) else None
            gap = min(gap, self._by_duality(system, alpha, certificate, projection))
        if gap > tolerance:
            gap = min(gap, certificate.by_decomposition())
        return self._found(system, W[:, 0], gap, certificate.half_squared_residual, 1, tolerance)

    def _by_duality(
        self,
        system: RidgeSystem,
        alpha: float,
        certificate: Certificate,
        projection: Projection | None,
    ) -> float:
        unpenalised = int(np.count_nonzero(system.sigma == 0))
        if alpha > 0 and unpenalised and projection is None:
            if (unpenalised + 1) * system.view.n_samples > LARGEST_BASIS:
                return np.inf
            if self._projection is None:
                self._projection = Projection(system)
            projection = self._projection
        return certificate.by_duality(projection)

    def _found(
        self,
        system: RidgeSystem,
        w: Float,
        gap: float,
        half_squared_residual: float,
        n_iter: int,
        tolerance: float,
    ) -> Certified:
        coef = np.zeros(system.view.n_features)
        coef[system.columns] = w
        status = Status.CONVERGED if gap <= tolerance else Status.STALLED
        return Certified(coef, gap, half_squared_residual, n_iter, status, 0.0)


def _gradient_tolerance(system: RidgeSystem, alpha: float, Y: Float, tolerance: float) -> float:
    """The relative residual at which the bound by duality is about half the tolerance.

    With T z_j = z_j min(unit) / unit_j that residual is ||T g|| / ||T Z'S y||, and
    sum_j g_j^2 / (2 rho_j) <= ||T g||^2 / (2 min_j T_j^2 rho_j).
    """
    if alpha == 0:
        return TIGHTEST
    scales = system.unit.min() / system.unit
    rho = scales * scales * system.penalty(alpha)
    null = float(np.linalg.norm(scales * system.correlations(Y)[:, 0]))
    if null == 0:
        return LOOSEST
    return float(
        np.clip(np.sqrt(tolerance * rho[rho > 0].min(initial=1e300)) / null, TIGHTEST, LOOSEST)
    )
