"""Ridge by conjugate gradients on the normal equations, X in whatever layout it is.

    minimise ||y - Z T x||_S^2 + sum_j d_j x_j^2,      w = T x

T gives back the caller's columns up to one power of two (the standardised ones up to one factor),
so that the iterates are those of plain conjugate gradients from zero on the caller's equations.
The residual y - Z T x is carried and its gradient computed anew in each step, which loses less than
carrying the gradient (Bjorck, Numerical Methods for Least Squares Problems, section 7.4).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from creg._ridge.system import EPS, RidgeSystem
from creg._solution import Status

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Iterates:
    """Where the iteration ended, one entry for each target.

    Attributes
    ----------
    W : (n_columns, t)
        Coefficients in kernel units.
    n_iter, status : (t,) int
    residual, null_residual : (t,)
        2-norms of X'S(y - Xw) - alpha V w, computed from X, at the end and at w = 0, both times
        `factor` for targets in kernel units.
    """

    W: Float
    n_iter: NDArray[np.intp]
    status: NDArray[np.intp]
    residual: Float
    null_residual: Float
    factor: float


class _Equations:
    def __init__(self, system: RidgeSystem, alpha: float) -> None:
        self._system = system
        # the caller's columns are z_j / scale_j, the standardised ones z_j / unit_j
        self.smallest = float(system.unit.min()) if system.n_columns else 1.0
        self.scales = (self.smallest / system.unit)[:, None]
        ratio = system.sigma / system.unit
        self.penalty = (((alpha * self.smallest) * self.smallest) * ratio * ratio)[:, None]
        weights = system.view.weights
        self._weights = 1.0 if weights is None else weights[:, None]

    def product(self, x: Float) -> Float:
        return self._system.product(self.scales * x)

    def gradient(self, R: Float, x: Float) -> Float:
        return self.scales * self._system.correlations(R) - self.penalty * x

    def square(self, R: Float) -> Float:
        """sum_i s_i R_i^2."""
        if isinstance(self._weights, float):
            return np.einsum("ij,ij->j", R, R)
        return np.einsum("ij,ij,ik->j", R, R, self._weights)

    def curvature(self, q: Float, x: Float) -> Float:
        """x'(T Z'S Z T + D) x, a sum of squares, for q = Z T x."""
        return self.square(q) + np.einsum("ij,ij->j", x, self.penalty * x)


def conjugate_gradient(
    system: RidgeSystem, alpha: float, Y: Float, tol: float, max_iter: int
) -> Iterates:
    """Solve for the centred targets Y (n_samples, t) at one alpha.

    Stops where the 2-norm of the recomputed gradient is at most `tol` times that at w = 0
    (converged), after `max_iter` steps, or where starting anew from the recomputed gradient no
    longer halves it (stalled).
    """
    equations = _Equations(system, alpha)
    count = Y.shape[1]
    x = np.zeros((system.n_columns, count))
    n_iter = np.zeros(count, dtype=np.intp)
    status = np.full(count, Status.MAX_ITER, dtype=np.intp)
    null = np.linalg.norm(equations.gradient(Y, x), axis=0)
    residual = null.copy()
    status[residual <= tol * null] = Status.CONVERGED
    while True:
        todo = np.flatnonzero((status == Status.MAX_ITER) & (n_iter < max_iter))
        if not todo.size:
            break
        part = Y if todo.size == count else Y[:, todo]
        x[:, todo], steps = _run(
            equations, part, x[:, todo], tol * null[todo], max_iter - n_iter[todo]
        )
        n_iter[todo] += steps
        R = equations.product(x[:, todo])
        np.subtract(part, R, out=R)
        before = residual[todo]
        residual[todo] = np.linalg.norm(equations.gradient(R, x[:, todo]), axis=0)
        status[todo[residual[todo] > 0.5 * before]] = Status.STALLED
        status[todo[n_iter[todo] >= max_iter]] = Status.MAX_ITER
        status[todo[residual[todo] <= tol * null[todo]]] = Status.CONVERGED
    return Iterates(equations.scales * x, n_iter, status, residual, null, 1 / equations.smallest)


def _run(
    equations: _Equations, Y: Float, x: Float, target: Float, budget: NDArray[np.intp]
) -> tuple[Float, NDArray[np.intp]]:
    """Steps from x until the carried gradient is at most target; x and the steps taken."""
    steps = np.zeros(Y.shape[1], dtype=np.intp)
    active = np.arange(Y.shape[1])
    result = x.copy()
    R = Y - equations.product(x) if np.any(x) else Y.copy(order="F")
    gradient = equations.gradient(R, x)
    direction = gradient.copy()
    squared = np.einsum("ij,ij->j", gradient, gradient)
    smallest = 1e-40 * squared
    steepest = np.zeros_like(squared)  # curvature along a unit vector
    while True:
        step = equations.product(direction)
        curvature = equations.curvature(step, direction)
        length = np.divide(squared, curvature, out=np.zeros_like(squared), where=curvature > 0)
        sizes = np.einsum("ij,ij->j", direction, direction)
        np.divide(curvature, sizes, out=curvature, where=sizes > 0)
        np.maximum(steepest, curvature, out=steepest)
        x += length * direction
        step *= length
        R -= step
        del step
        steps[active] += 1
        result[:, active] = x
        gradient = equations.gradient(R, x)
        previous, squared = squared, np.einsum("ij,ij->j", gradient, gradient)
        # what rounding leaves of the gradient of a residual of this size
        noise = (4 * EPS) ** 2 * steepest * equations.square(R)
        go_on = (
            (np.sqrt(squared) > target[active])
            & (squared > np.maximum(smallest, noise))
            & (steps[active] < budget[active])
            & (length > 0)
        )
        if not go_on.any():
            return result, steps
        direction = gradient + (squared / previous) * direction
        if not go_on.all():
            active = active[go_on]
            x, R, direction = x[:, go_on], R[:, go_on], direction[:, go_on]
            squared, smallest, steepest = squared[go_on], smallest[go_on], steepest[go_on]
