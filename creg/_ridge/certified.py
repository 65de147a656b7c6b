"""Ridge and least squares of one target with a bound of the error, in the kernel's units."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from creg._data.design import DesignView
from creg._ridge.certificate import Certificate
from creg._ridge.cholesky import Dual, DualAt, PrimalAt, Projection
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
        self._projections: dict[int, Projection] = {}

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
        if not system.n_columns or not self._y.any():
            empty = np.zeros(system.n_columns)
            certificate = Certificate(system, alpha, self._y, empty)
            return self._certified(system, empty, certificate, 0.0, 1, tolerance, 0.0)
        with self._solver.blas_threads():
            steps = self._steps(system, alpha, max_iter)
            if steps:
                found = self._iterate(system, alpha, tolerance, steps)
                done = found.status == Status.CONVERGED or found.n_iter >= max_iter
                if done or affordable_steps(system) is None:
                    return found
            return self._direct(system, alpha, tolerance, last)

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
        before = system.reads
        target = TIGHTEST
        if alpha > 0:
            # ||T g||^2 / (2 min T^2 rho) bounds the error; T^2 rho = alpha v in units of min unit
            smallest = float(system.unit.min())
            scales = smallest / system.unit
            rho = scales * scales * system.penalty(alpha)
            null = np.linalg.norm(scales * system.correlations(self._y[:, None])[:, 0])
            if null > 0:
                target = float(np.sqrt(0.5 * rho[rho > 0].min(initial=np.inf) * tolerance) / null)
        target = min(max(target, TIGHTEST), LOOSEST)
        end = conjugate_gradient(system, alpha, self._y[:, None], target, steps)
        w = end.W[:, 0]
        certificate = Certificate(system, alpha, self._y, w)
        gap = self._cheap_gap(system, certificate, self._projection(system, alpha))
        n_iter = int(end.n_iter[0])
        found = self._certified(system, w, certificate, gap, n_iter, tolerance, before)
        if found.status == Status.CONVERGED or end.status[0] != Status.MAX_ITER:
            return found
        return replace(found, status=Status.MAX_ITER)

    def _direct(
        self, system: RidgeSystem, alpha: float, tolerance: float, last: bool
    ) -> Certified:
        before = system.reads
        factored = self._solver.factored(system, alpha, "cholesky", last)
        W, by_factor = solve_directly(factored, system, alpha, self._y[:, None])
        w = W[:, 0]
        certificate = Certificate(system, alpha, self._y, w)
        if isinstance(factored, PrimalAt):
            projection = None
        gap = certificate.at_zero()
        ...
