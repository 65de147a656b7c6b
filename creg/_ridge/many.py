"""Ridge at many alphas: from one decomposition of the smaller Gram matrix, or one Krylov space.

    n > p :  T Z'SZ T = Q diag(lambda) Q',  c = Q'T Z'Sy,       w = T Q c / (lambda + alpha)
    n <= p:  P K P = U diag(lambda) U',     c = U'P S^1/2 y,    u = U c / (lambda + alpha)

with T = V^-1/2 up to one factor, and K, P and u as in `cholesky`.  Where rounding of the Gram
matrix would show, at alphas far below lambda_1, the singular values of T Z take its place.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from creg._data.normal import NormalProduct
from creg._data.statistics import cross as cross_products
from creg._ridge.cholesky import Dual, Primal
from creg._ridge.conjugate_gradient import conjugate_gradient
from creg._ridge.krylov import ShiftedConjugateGradients
from creg._ridge.solver import RidgeSolver, solve_directly
from creg._ridge.spectrum import EigenFactor, are_apart, row_space, singular_at, svd, triangle
from creg._ridge.system import EPS, REFINED, RidgeSystem
from creg._solution import Status

Float = NDArray[np.float64]

# eps lambda_1 / (lambda_r + alpha), of which a hundred times is what the Gram matrix may lose:
# up to where that stands, and up to where one refinement from X makes up for it, or two do.
RESOLVED, ONCE, TWICE = 1e-10, 1e-8, 1e-6
ROWS = 512  # in a block of a refinement
AT_ONCE = 8  # vectors in one product


@dataclass
class Fits:
    """One target or several at all alphas, in kernel units.

    Attributes
    ----------
    W : (n_columns, t, n_alphas)
    loss : (t, n_alphas)
        ||y - Z w||^2.
    residual, null_residual : (t, n_alphas)
        2-norms of the gradient at the end and at w = 0 in the caller's columns, both times
        `factor`; nan where solved directly.
    n_iter, status : (t, n_alphas) int
    """

    W: Float
    loss: Float
    residual: Float
    null_residual: Float
    n_iter: NDArray[np.intp]
    status: NDArray[np.intp]
    factor: float = 1.0

    @classmethod
    def empty(cls, m: int, t: int, n_alphas: int) -> "Fits":
        """Zeros, solved directly."""
        shape = (t, n_alphas)
        return cls(
            W=np.zeros((m, *shape)),
            loss=np.zeros(shape),
            residual=np.full(shape, np.nan),
            null_residual=np.full(shape, np.nan),
            n_iter=np.ones(shape, dtype=np.intp),
            status=np.full(shape, Status.CONVERGED, dtype=np.intp),
        )


def squares(system: RidgeSystem, Y: Float) -> Float:
    """sum_i s_i y_i^2 of each column."""
    weights = system.view.weights
    if weights is None:
        return np.einsum("it,it->t", Y, Y)
    return np.einsum("it,it,i->t", Y, Y, weights)


def one_by_one(
    solver: RidgeSolver, system: RidgeSystem, alphas: Float, Y: Float, cross: Float | None
) -> Fits:
    """A factor for each alpha."""
    fits = Fits.empty(system.n_columns, Y.shape[1], alphas.size)
    for k, alpha in enumerate(alphas):
        factored = solver.factored(system, float(alpha), "cholesky", k == alphas.size - 1)
        W, _ = solve_directly(factored, system, float(alpha), Y, cross=cross)
        fits.W[:, :, k] = W
        fits.loss[:, k] = squares(system, Y - system.product(W))
    return fits


def decomposed(
    solver: RidgeSolver, system: RidgeSystem, alphas: Float, Y: Float, cross: Float | None
) -> Fits:
    """All alphas from eigenvalues; those that they do not resolve from singular values.

    Every column is penalised (sigma > 0).
    """
    fits = Fits.empty(system.n_columns, Y.shape[1], alphas.size)
    smallest = float(system.sigma.min())
    shifts = (alphas * smallest) * smallest
    equations = solver.equations(system)
    apart = are_apart(system.sigma)
    # of columns far apart, squares may be zeros and what is divided by them is not used
    with np.errstate(all="ignore" if apart else None):
        if isinstance(equations, Primal):
            resolved = _tall_eigen(equations, shifts, Y, cross, fits)
        else:
            resolved = _wide_eigen(equations, shifts, Y, fits)
    rest = np.flatnonzero(~resolved)
    if rest.size and apart:
        fits.W[:, :, rest] = singular_at(system, alphas[rest], Y)
        for k in rest:
            fits.loss[:, k] = squares(system, Y - system.product(fits.W[:, :, k]))
    elif rest.size:
        _singular(system, shifts, rest, Y, fits)
    return fits


def _tall_eigen(
    primal: Primal, shifts: Float, Y: Float, cross: Float | None, fits: Fits
) -> NDArray[np.bool_]:
    system = primal.system
    T = (system.sigma.min() / system.sigma)[:, None]
    A = primal.gram(last=True)
    A *= T
    A *= T[:, 0]
    factor = EigenFactor(A)
    values, Q = np.maximum(factor.values, 0.0), factor.vectors
    c = Q.T @ (T * (system.correlations(Y) if cross is None else cross))
    damped = 1.0 / (values[:, None] + shifts)
    _combine(T * Q, c, damped, fits.W)
    # ||y||^2 - 2 w'Z'y + w'Z'Zw
    gain = damped * damped * (values[:, None] + 2 * shifts)
    fits.loss[:] = np.maximum(squares(system, Y)[:, None] - (c * c).T @ gain, 0.0)
    lost = EPS * values[-1] / (values[0] + shifts)
    for above in (RESOLVED, ONCE):
        which = np.flatnonzero((lost > above) & (lost <= TWICE))
        if which.size:
            gradients = _gradients(system, shifts[which], which, Y, fits)
            for k, gradient in enumerate(gradients):
                change = (Q.T @ (T * gradient)) * damped[:, which]
                fits.W[:, k, which] += (T * Q) @ change
    return lost <= TWICE


def _gradients(
    system: RidgeSystem, shifts: Float, which: NDArray[np.intp], Y: Float, fits: Fits
) -> list[Float]:
    """Z'S(y - Zw) - alpha V w at those alphas from one read of X, and the losses, per target."""
    n = system.view.n_samples
    system.reads += 1
    target = system.times_root_weights(Y.copy(order="F"))
    sigma = (system.sigma / system.sigma.min())[:, None]
    found = []
    for k in range(Y.shape[1]):
        W = np.ascontiguousarray(fits.W[:, k, which])
        gradient = -(sigma * sigma) * W * shifts
        loss = np.zeros(which.size)
        for start in range(0, n, ROWS):
            stop = min(start + ROWS, n)
            block = system.rows(start, stop)
            rest = target[start:stop, [k]] - block @ W
            gradient += block.T @ rest
            loss += np.einsum("ia,ia->a", rest, rest)
        fits.loss[k, which] = loss
        found.append(gradient)
    return found


def _combine(Q: Float, c: Float, damped: Float, W: Float) -> None:
    """W_k = Q (c_k damped) for each target k."""
    for k in range(c.shape[1]):
        W[:, k] = Q @ (c[:, [k]] * damped)


def _wide_eigen(dual: Dual, shifts: Float, Y: Float, fits: Fits) -> NDArray[np.bool_]:
    system = dual.system
    factor = EigenFactor(dual.gram(last=True))
    values, U = factor.values, factor.vectors
    target = dual.projection.off(system.times_root_weights(Y.copy(order="F")))
    c = U.T @ target
    resolved = EPS * values[-1] <= RESOLVED * dual.left * (values[0] + shifts)
    damped = 1.0 / (np.maximum(values, EPS * values[-1])[:, None] + shifts)
    for k in range(c.shape[1]):
        u = dual.projection.off(np.asfortranarray(U @ (c[:, [k]] * damped)))
        fits.loss[k] = np.einsum("ia,ia->a", u, u) * shifts * shifts
        W = dual.inverse * correlations(system, system.over_root_weights(u))
        fits.W[:, k] = W
        # Z'S^1/2 u loses what u has off the span of Z: much at a small alpha and a poor fit
        lost = 2 * EPS * np.linalg.norm(u, axis=0)
        for metric in (1.0, 1.0 / np.sqrt(dual.inverse)):
            length = np.linalg.norm(metric * W, axis=0)
            resolved &= lost * np.linalg.norm(metric * dual.inverse) <= REFINED * length
    return resolved


def correlations(system: RidgeSystem, R: Float) -> Float:
    """Z'SR, many columns."""
    system.reads += 0.5
    full = cross_products(system.view, R, system.n_threads)
    return full if system.every_column else full[system.columns]


def _singular(
    system: RidgeSystem, shifts: Float, which: NDArray[np.intp], Y: Float, fits: Fits
) -> None:
    T = system.sigma.min() / system.sigma
    target = system.times_root_weights(Y.copy(order="F"))
    m, n = system.n_columns, system.view.n_samples
    if n > m:
        R = triangle(system, 0.0, target)
        U, values, Vt = svd(R[:m, :m] * T)
        Q, c = Vt.T, U.T @ R[:m, m:]
    else:
        Q, U, values = row_space(system.dense_columns(np.arange(m)) * T)
        system.reads += 1
        c = U.T @ target
    kept = values > EPS * max(n, m) * values[0]
    shift = shifts[which]
    square = (values * values)[:, None]
    damped = np.zeros((values.size, shift.size))
    np.divide(1.0, square + shift, out=damped, where=kept[:, None])
    for k in range(Y.shape[1]):
        fits.W[:, k, which] = (T[:, None] * Q) @ ((values * c[:, k])[:, None] * damped)
        gain = square * damped * damped * (square + 2 * shift)
        loss = float(target[:, k] @ target[:, k]) - (c[:, k] ** 2) @ gain
        fits.loss[k, which] = np.maximum(loss, 0.0)


def krylov(system: RidgeSystem, alphas: Float, Y: Float, tol: float, max_iter: int) -> Fits:
    """All alphas of each target from one Krylov space, that of the smallest alpha.

    In sample space where that is much the smaller one.  Where some column is not penalised, or a
    residual computed anew is above `tol` times that of w = 0, conjugate gradients go on from what
    is there.
    """
    fits = Fits.empty(system.n_columns, Y.shape[1], alphas.size)
    order = np.argsort(alphas, kind="stable")
    penalised = bool(np.all(system.sigma > 0))
    for k in range(Y.shape[1]):
        _krylov_one(system, alphas, order, Y[:, [k]], k, fits, tol, max_iter, penalised)
    return fits


def _krylov_one(
    system: RidgeSystem,
    alphas: Float,
    order: NDArray[np.intp],
    y: Float,
    k: int,
    fits: Fits,
    tol: float,
    max_iter: int,
    penalised: bool,
) -> None:
    fits.n_iter[k] = 0
    if penalised:
        shifted = Shifted(system, alphas[order], y)
        n_iter = shifted.solve(tol, max_iter)
        fits.W[:, k, order] = shifted.W
        fits.n_iter[k, order] = n_iter
        residual, fits.loss[k, order] = shifted.measured()
        fits.residual[k, order] = residual
        fits.null_residual[k] = shifted.null
        fits.factor = shifted.factor
    start: Float | None = None
    for a in order[::-1]:
        if penalised and fits.residual[k, a] <= tol * fits.null_residual[k, a]:
            start = fits.W[:, [k], a]
            continue
        if penalised:
            start = fits.W[:, [k], a]
        end = conjugate_gradient(system, float(alphas[a]), y, tol, max_iter, start=start)
        start = end.W
        fits.W[:, k, a] = end.W[:, 0]
        fits.n_iter[k, a] += end.n_iter[0]
        fits.status[k, a] = end.status[0]
        fits.residual[k, a], fits.null_residual[k, a] = end.residual[0], end.null_residual[0]
        fits.factor = end.factor
        fits.loss[k, a] = squares(system, y - system.product(end.W))[0]


class Shifted:
    """One target at ascending alphas; every column penalised.

    Parameters
    ----------
    system : RidgeSystem
    alphas : (n_alphas,)
        > 0, ascending.
    y : (n_samples, 1)
        Centred, in kernel units.
    """

    def __init__(self, system: RidgeSystem, alphas: Float, y: Float) -> None:
        self.system, self.y = system, y
        smallest = float(system.sigma.min())
        self.shifts = (alphas * smallest) * smallest
        self.T = smallest / system.sigma
        self.gradient = system.correlations(y)[:, 0]  # Z'Sy
        unit = float(system.unit.min())
        self.measure = unit / system.unit  # of a gradient over z_j, in the caller's columns
        self.factor = 1 / unit
        self.null = float(np.linalg.norm(self.measure * self.gradient))
        n, m = system.view.n_samples, system.n_columns
        self.dual = 2 * n < m and system.view.storage.issparse
        self.W = np.zeros((m, alphas.size))

    def solve(self, tol: float, max_iter: int) -> NDArray[np.intp]:
        """W at all alphas; steps until each was done."""
        if self.null == 0:
            return np.zeros(self.shifts.size, dtype=np.intp)
        if self.dual:
            return self._in_sample_space(tol, max_iter)
        system = self.system
        product = NormalProduct(system.view, self._spread(self.T))
        run = ShiftedConjugateGradients(product, self.shifts, self._spread(self.T * self.gradient))
        # a gradient over T z_j is at most max(measure / T) times as long over the caller's columns
        target = tol * self.null / float(np.max(self.measure / self.T))
        with product.threads(system.n_threads):
            run.run(target, max_iter)
        system.reads += int(run.n_iter.max())
        self.W = self.T[:, None] * np.asarray(run.x).T[system.columns]
        return run.n_iter

    def _in_sample_space(self, tol: float, max_iter: int) -> NDArray[np.intp]:
        """On the relative residual there, which late in a run is the larger one."""
        system = self.system
        view, order = system.view_by_counts
        product = NormalProduct(view, self._spread(self.T)[order], True)
        target = system.times_root_weights(self.y.copy())[:, 0]
        run = ShiftedConjugateGradients(product, self.shifts, target)
        with product.threads(system.n_threads):
            run.run(tol * float(np.linalg.norm(target)), max_iter)
        system.reads += int(run.n_iter.max())
        U = system.over_root_weights(np.asfortranarray(np.asarray(run.x).T))
        self.W = (self.T * self.T)[:, None] * correlations(system, U)
        return run.n_iter

    def measured(self) -> tuple[Float, Float]:
        """Norms of the gradients computed anew, in the caller's columns, and the losses."""
        system, count = self.system, self.shifts.size
        residual, loss = np.empty(count), np.empty(count)
        total = float(squares(system, self.y)[0])
        width = AT_ONCE if system.view.storage.issparse else 1
        smallest = float(system.sigma.min())
        for first in range(0, count, width):
            part = slice(first, min(first + width, count))
            W, shift = self.W[:, part], self.shifts[part]
            product = NormalProduct(
                system.view, self._spread(np.ones(system.n_columns)), False, W.shape[1]
            )
            with product.threads(system.n_threads):
                image, square = product.product(self._spread(W))
            system.reads += 1
            pull = (system.sigma / smallest)[:, None] ** 2 * shift * W
            rest = self.gradient[:, None] - image[system.columns] - pull
            residual[part] = np.linalg.norm(self.measure[:, None] * rest, axis=0)
            loss[part] = total - 2 * self.gradient @ W + square
        return residual, np.maximum(loss, 0.0)

    def _spread(self, values: Float) -> Float:
        system = self.system
        if system.every_column:
            return values
        out = np.zeros((system.view.n_features, *values.shape[1:]))
        out[system.columns] = values
        return out
