"""Ridge at several alphas by conjugate gradients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from creg._ridge.many import krylov
from creg._ridge.solver import step_work
from creg._ridge.system import RidgeSystem

Float = NDArray[np.float64]

TOLERANCE = 1e-8  # of the gradient against that at w = 0
EXPECTED_STEPS = 200
MAX_STEPS = 10_000


@dataclass(frozen=True)
class ManyIterates:
    """Where the iterations ended.

    Attributes
    ----------
    W : (n_columns, t, a)
        Coefficients in kernel units.
    shortfall : (a,)
        The largest gradient over that at w = 0 of any target.
    """

    W: Float
    shortfall: Float


def expected_work(system: RidgeSystem, n_alphas: int) -> float:
    """Multiply-adds of `solve_at_alphas` for one target."""
    if not np.all(system.sigma > 0):
        return EXPECTED_STEPS * n_alphas * step_work(system)
    shorter = min(system.n_columns, system.view.n_samples)
    return EXPECTED_STEPS * (step_work(system) + 4.0 * n_alphas * shorter)


def solve_at_alphas(
    system: RidgeSystem, alphas: Float, Y: Float, tol: float = TOLERANCE
) -> ManyIterates:
    """Solve for the centred targets Y (n_samples, t) at every alpha, in the user's units."""
    max_iter = min(max(1000, 10 * min(system.view.n_samples, system.n_columns)), MAX_STEPS)
    fits = krylov(system, alphas, Y, tol, max_iter)
    null = np.where(fits.null_residual > 0, fits.null_residual, 1.0)
    return ManyIterates(fits.W, np.max(fits.residual / null, axis=0))
