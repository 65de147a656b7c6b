"""Ridge by conjugate gradients on the normal equations, X in whatever layout it is.

    minimise ||y - Z T x||_S^2 + sum_j d_j x_j^2,      w = T x

T gives back the caller's columns up to one power of two (the standardised ones up to one factor),
so that the iterates are those of plain conjugate gradients from zero on the caller's equations.
The gradient is carried at first, one read of X for a step.  Where it is not what it seems at the
end, the residual y - Z T x is carried instead and its gradient computed anew in each step, which
loses less (Bjorck, Numerical Methods for Least Squares Problems, section 7.4).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from creg._data.normal import NormalProduct
from creg._ridge.krylov import ConjugateGradients
from creg._ridge.system import EPS, RidgeSystem
from creg._solution import Status

Float = NDArray[np.float64]

STRIDE = 3  # steps between two predictions
PROBE = 4  # steps of each variant before one of them is chosen
# How much smaller the residual of the preconditioned one has to be then: a few first steps rid it
# of what is large in few columns, by a factor of 3 where it is slower afterwards, of 15 where not.
MARGIN = 5.0
WIDTH = 8  # targets at once, sparse X
# Columns of X by rows, and entries for each, above which a step in the coefficients is the cheaper
# one: with 40,000 columns of 25 entries sample space takes 0.9 of the time, with 116,000 of 7 as
# long, with 150,000 of 13 or 133,000 of 12 it takes 1.1 and 1.2 times as long.
MANY, DENSE = 80_000, 7
EVEN = 4.0  # ratio of diagonal entries up to which scaling them to one is not worth a probe
TO_CONVERT = 12  # steps that a copy by rows takes back, one pass for two


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

    def gradient_at(self, Y: Float, x: Float) -> Float:
        """The same of R = Y - Z T x."""
        R = self.product(x)
        np.subtract(Y, R, out=R)
        return self.gradient(R, x)

    def square(self, R: Float) -> Float:
        """sum_i s_i R_i^2."""
        if isinstance(self._weights, float):
            return np.einsum("ij,ij->j", R, R)
        return np.einsum("ij,ij,ik->j", R, R, self._weights)

    def curvature(self, q: Float, x: Float) -> Float:
        """x'(T Z'S Z T + D) x, a sum of squares, for q = Z T x."""
        return self.square(q) + np.einsum("ij,ij->j", x, self.penalty * x)


def conjugate_gradient(
    system: RidgeSystem,
    alpha: float,
    Y: Float,
    tol: float,
    max_iter: int,
    *,
    start: Float | None = None,
    variants: bool = False,
) -> Iterates:
    """Solve for the centred targets Y (n_samples, t) at one alpha.

    Stops where the 2-norm of the recomputed gradient is at most `tol` times that at w = 0
    (converged), after `max_iter` steps, or where starting anew from the recomputed gradient no
    longer halves it (stalled).

    Parameters
    ----------
    start : (n_columns, t), optional
        Coefficients in kernel units to start from; zeros by default.
    variants : bool
        Let the equations in sample space, or a diagonal preconditioner, be used where they are
        expected to be faster.
    """
    equations = _Equations(system, alpha)
    count = Y.shape[1]
    zero = np.zeros((system.n_columns, count))
    n_iter = np.zeros(count, dtype=np.intp)
    status = np.full(count, Status.MAX_ITER, dtype=np.intp)
    gradient = equations.gradient(Y, zero)
    null = np.linalg.norm(gradient, axis=0)
    x, residual = zero, null.copy()
    if start is not None:
        x = start / equations.scales
        gradient = equations.gradient_at(Y, x)
        residual = np.linalg.norm(gradient, axis=0)
    status[residual <= tol * null] = Status.CONVERGED
    fresh = True
    while True:
        todo = np.flatnonzero((status == Status.MAX_ITER) & (n_iter < max_iter))
        if not todo.size:
            break
        part = Y if todo.size == count else Y[:, todo]
        target, budget = tol * null[todo], max_iter - n_iter[todo]
        if fresh:
            if variants and start is None:
                found = _best_variant(equations, system, part, gradient[:, todo], target, budget)
            else:
                found = _plain(equations, system, gradient[:, todo], target, budget)
            change, steps = found
            x[:, todo] += change
        else:
            x[:, todo], steps = _run(equations, part, x[:, todo], target, budget)
        fresh = False
        n_iter[todo] += steps
        before = residual[todo]
        residual[todo] = np.linalg.norm(equations.gradient_at(part, x[:, todo]), axis=0)
        status[todo[residual[todo] > 0.5 * before]] = Status.STALLED
        status[todo[n_iter[todo] >= max_iter]] = Status.MAX_ITER
        status[todo[residual[todo] <= tol * null[todo]]] = Status.CONVERGED
    return Iterates(equations.scales * x, n_iter, status, residual, null, 1 / equations.smallest)


def race(system: RidgeSystem, alpha: float, Y: Float, tol: float, worth: float) -> Iterates | None:
    """Conjugate gradients for dense X as long as they promise to take less than `worth` reads.

    Every few steps what is left is predicted from the last few; None where it is too much, or
    where the recomputed gradient is above `tol` times that at w = 0.
    """
    equations = _Equations(system, alpha)
    gradient = equations.gradient(Y, np.zeros((system.n_columns, 1)))
    null = np.linalg.norm(gradient, axis=0)
    if null[0] == 0:
        return None
    run = Variant(equations, system, gradient, jacobi=False)
    target = tol * null
    steps, before = 0, float(null[0])
    while run.norm[0] > target[0]:
        steps += STRIDE
        run.until(target, np.array([steps], dtype=np.intp))
        now = float(run.norm[0])
        if now > target[0]:
            rate = np.log(before / now) / STRIDE
            if not rate > 0 or steps + np.log(now / target[0]) / rate > worth:
                return None
        before = now
    residual = np.linalg.norm(equations.gradient_at(Y, run.x), axis=0)
    if not residual[0] <= tol * null[0]:
        return None
    status = np.array([Status.CONVERGED], dtype=np.intp)
    return Iterates(
        equations.scales * run.x, run.n_iter, status, residual, null, 1 / equations.smallest
    )


def _plain(
    equations: _Equations,
    system: RidgeSystem,
    gradient: Float,
    target: Float,
    budget: NDArray[np.intp],
) -> tuple[Float, NDArray[np.intp]]:
    """The change of x, and the steps taken, by a carried gradient: one read of X a step."""
    x, steps = np.empty_like(gradient), np.empty(gradient.shape[1], dtype=np.intp)
    for members in _groups(system, gradient.shape[1]):
        run = Variant(equations, system, gradient[:, members], jacobi=False)
        run.until(target[members], budget[members])
        x[:, members], steps[members] = run.x, run.n_iter
    return x, steps


def _best_variant(
    equations: _Equations,
    system: RidgeSystem,
    Y: Float,
    gradient: Float,
    target: Float,
    budget: NDArray[np.intp],
) -> tuple[Float, NDArray[np.intp]]:
    """The same, with the columns scaled to a unit diagonal where PROBE steps say so.

    In sample space where that is much the smaller one.
    """
    if not system.view.storage.issparse:
        return _plain(equations, system, gradient, target, budget)
    if Y.shape[1] == 1 and _sample_space_pays(equations, system):
        small = SampleSpace(equations, system, Y)
        small.until(target, budget)
        return small.x, small.n_iter
    x, steps = np.empty_like(gradient), np.empty(gradient.shape[1], dtype=np.intp)
    for members in _groups(system, gradient.shape[1]):
        part, goal, most = gradient[:, members], target[members], budget[members]
        run = Variant(equations, system, part, jacobi=False)
        run.until(goal, np.minimum(most, PROBE))
        taken = np.zeros_like(run.n_iter)
        if _steps_left(run, goal) > TO_CONVERT and not system.view.storage.is_row_layout:
            run.by_rows()
        # a fifth of the way in the probe's steps: the rest is soon done
        if np.any(run.norm > (goal * run.first**4) ** 0.2) and np.all(most > 8 * PROBE):
            other = Variant(equations, system, part, jacobi=True)
            if other.spread > EVEN:
                if run.converted:
                    other.by_rows()
                other.until(goal, np.full(len(goal), PROBE, dtype=np.intp))
                if MARGIN * np.max(other.norm / run.first) < np.max(run.norm / run.first):
                    run, other = other, run
                taken = other.n_iter
        run.until(goal, most - taken)
        x[:, members], steps[members] = run.x, run.n_iter + taken
    return x, steps


def _sample_space_pays(equations: _Equations, system: RidgeSystem) -> bool:
    """Whether vectors of the rows are worth the steps, a fifth more, that they take.

    Where X goes by rows, one pass makes a step in the coefficients, two in sample space.
    """
    storage, count = system.view.storage, system.n_columns
    small = 2 * system.view.n_samples <= count
    if storage.is_row_layout and count > MANY and storage.size > DENSE * count:
        return False
    D = equations.penalty
    return bool(small and D[0, 0] > 0 and np.all(D[0, 0] == D))


def _steps_left(run: "Variant", goal: Float) -> float:
    """Steps to be expected, by the rate of those taken."""
    with np.errstate(divide="ignore", invalid="ignore"):
        done, left = np.log(run.first / run.norm), np.log(run.norm / goal)
        steps = np.where(done > 0, run.n_iter * left / done, np.inf)
    return float(np.max(np.where(run.norm > goal, steps, 0.0)))


def _groups(system: RidgeSystem, count: int) -> list[slice]:
    """Targets that are worked on at once."""
    width = WIDTH if system.view.storage.issparse else 1
    return [slice(first, min(first + width, count)) for first in range(0, count, width)]


class Variant:
    """Conjugate gradients from x = 0 for a gradient given there.

    `jacobi` scales the columns so that the diagonal of the matrix is one.
    """

    def __init__(
        self, equations: _Equations, system: RidgeSystem, gradient: Float, *, jacobi: bool
    ) -> None:
        self._system = system
        scales, D = equations.scales[:, 0], equations.penalty[:, 0]
        self._factor, measure = np.ones_like(scales), None
        self.spread, self.converted = 1.0, False
        if jacobi:
            diagonal = scales**2 * system.view.norm2[system.columns] + D
            self.spread = float(diagonal.max() / diagonal.min())
            self._factor = 1 / np.sqrt(diagonal)
            measure = system.spread(1 / self._factor**2, 0.0)
        self._multiplier = system.spread(self._factor * scales, 0.0)
        self._width = gradient.shape[1]
        self._product = NormalProduct(system.view, self._multiplier, False, self._width)
        self._run = ConjugateGradients(
            self._product,
            system.spread(self._factor**2 * D, 1.0),
            system.spread(self._factor[:, None] * gradient, 0.0),
            measure,
        )
        self.first = self.norm

    def by_rows(self) -> None:
        """Go on with a copy of sparse X by rows, read once a step."""
        view, self.converted = self._system.view_by_rows, True
        self._product = NormalProduct(view, self._multiplier, False, self._width)
        self._run.take_over(self._product)

    def until(self, target: Float, budget: NDArray[np.intp]) -> None:
        """Steps until each norm is at most its target, `budget` of them in all at most."""
        before = int(self.n_iter.max())
        with self._product.threads(self._system.n_threads):
            self._run.run(target, budget)
        self._system.reads += int(self.n_iter.max()) - before

    @property
    def norm(self) -> Float:
        """Of the gradients in the caller's columns, (t,)."""
        return self._run.norm

    @property
    def n_iter(self) -> NDArray[np.intp]:
        return self._run.n_iter

    @property
    def x(self) -> Float:
        """(n_columns, t)."""
        return self._factor[:, None] * np.asarray(self._run.x)[self._system.columns]


class SampleSpace:
    """Conjugate gradients for (S^1/2 Z T^2 Z'S^1/2 + d I) u = S^1/2 y, x = T Z'S^1/2 u.

    For D = d I, sparse X and one target.  The norm is that of the gradient at x, T Z'S^1/2 r for
    the residual r here.
    """

    def __init__(self, equations: _Equations, system: RidgeSystem, Y: Float) -> None:
        self._system, self._equations = system, equations
        view, order = system.view_by_counts
        multiplier = system.spread(equations.scales[:, 0], 0.0)[order]
        self._product = NormalProduct(view, multiplier, True)
        shift = np.full(system.view.n_samples, equations.penalty[0, 0])
        target = system.times_root_weights(Y.copy(order="F"))
        self._run = ConjugateGradients(self._product, shift, target, None, True)

    def until(self, target: Float, budget: NDArray[np.intp]) -> None:
        """Steps until the norm is at most its target, `budget` of them at most."""
        with self._product.threads(self._system.n_threads):
            self._run.run(target, budget)
        self._system.reads += int(self.n_iter[0]) + 1

    @property
    def n_iter(self) -> NDArray[np.intp]:
        return self._run.n_iter

    @property
    def x(self) -> Float:
        """(n_columns, 1)."""
        u = self._system.over_root_weights(np.array(self._run.x))
        return self._equations.scales * self._system.correlations(u, overwrite=True)


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
