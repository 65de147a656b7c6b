"""Ridge from the Gram matrix of the smaller side, by a Cholesky factor.

    n > p :  (Z'SZ + alpha V) w = Z'S y
    n <= p:  (K + alpha I) u = S^1/2 y,  K = S^1/2 Z V^-1 Z'S^1/2,  w = V^-1 Z'S^1/2 u

What is not penalised (the intercept, columns with v_j = 0) is projected out of the second, and
K raised there, so that it stays definite as alpha goes to 0.
Both are refined by residuals from X where the condition asks for it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from creg._data.statistics import gram, outer_gram
from creg._ridge.system import (
    EPS,
    MAX_REFINEMENTS,
    REFINE_BELOW,
    REFINED,
    Factor,
    RidgeSystem,
    Unreliable,
    orthonormal,
    solve_refined,
)

Float = NDArray[np.float64]

BLOCK = 256  # columns of the factor made at a time: what Ctrl-C waits for


class CholeskyFactor:
    """L L' = A, written over A (C order).

    Raises
    ------
    Unreliable
        A is not positive definite.
    """

    def __init__(self, A: Float) -> None:
        norm = lapack.dlange("1", A.T)
        if A.shape[0] <= 2 * BLOCK:
            _, info = lapack.dpotrf(A.T, lower=0, clean=0, overwrite_a=1)
            if info:
                raise Unreliable
        else:
            _factor_by_blocks(A)
        self._factor = A.T
        self.rcond = float(lapack.dpocon(self._factor, norm, uplo="U")[0])

    def solve(self, rhs: Float) -> Float:
        """A^-1 rhs."""
        return lapack.dpotrs(self._factor, rhs, lower=0)[0]


def _factor_by_blocks(A: Float) -> None:
    # left-looking, on the lower triangle
    size = A.shape[0]
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        for top in range(start, size, 8 * BLOCK):
            rows = slice(top, min(top + 8 * BLOCK, size))
            A[rows, start:stop] -= A[rows, :start] @ A[start:stop, :start].T
        L, info = lapack.dpotrf(A[start:stop, start:stop], lower=1, clean=1)
        if info:
            raise Unreliable
        A[start:stop, start:stop] = L
        if stop < size:
            A[stop:, start:stop] = blas.dtrsm(
                1.0, L, A[stop:, start:stop], side=1, lower=1, trans_a=1
            )


def _at_unit_diagonal(A: Float, diagonal: Float) -> Float:
    """A + diag(diagonal), scaled from both sides to a unit diagonal, over A; the scales."""
    diagonal = A.diagonal() + diagonal
    if not np.all((diagonal > 0) & (diagonal < np.inf)):
        raise Unreliable
    scales = 1.0 / np.sqrt(diagonal)
    A *= scales[:, None]
    A *= scales
    np.fill_diagonal(A, 1.0)
    return scales


class Primal:
    """Normal equations in the coefficients; `whole` is Z'SZ where it is known, to be kept."""

    def __init__(self, system: RidgeSystem, whole: Float | None = None) -> None:
        self.system = system
        self._gram = whole if whole is None else self._of_columns(whole)

    def at(self, alpha: float, make: Callable[[Float], Factor], last: bool) -> "PrimalAt":
        """Factored at one alpha; `last` gives the Gram away."""
        return PrimalAt(self.system, self.gram(last), alpha, make)

    def gram(self, last: bool) -> Float:
        """Z'SZ of the columns that take part, to be overwritten; `last` gives it away."""
        system = self.system
        if self._gram is None:
            system.reads += 1
            self._gram = self._of_columns(gram(system.view, system.n_threads))
        A = self._gram if last else self._gram.copy()
        if last:
            self._gram = None
        return A

    def _of_columns(self, whole: Float) -> Float:
        columns = self.system.columns
        return whole if self.system.every_column else whole[np.ix_(columns, columns)]


class PrimalAt:
    """Z'SZ + alpha V, factored at a unit diagonal."""

    def __init__(
        self, system: RidgeSystem, A: Float, alpha: float, make: Callable[[Float], Factor]
    ) -> None:
        self._system = system
        self._penalty = system.penalty(alpha)[:, None]
        self._scales = _at_unit_diagonal(A, self._penalty[:, 0])[:, None]
        self._factor = make(A)
        self._rcond_min = system.rank_tolerance() ** 2 if alpha == 0 else 0.0
        self.rough = False  # whether the Gram matrix is good to 1e-7 alone
        self.offset = np.zeros(1)  # weighted means of the last residuals, of that of the means

    @property
    def rcond(self) -> float:
        """Estimated reciprocal condition at a unit diagonal, a lower bound of eigenvalues there."""
        return self._factor.rcond

    def length(self, g: Float, error: Float) -> tuple[float, float]:
        """sqrt(g'A^-1 g), and what g +- error may add to it; for g (n_columns,)."""
        scaled = self._scales * g[:, None]
        length = np.sqrt(max(float(scaled[:, 0] @ self._factor.solve(scaled)[:, 0]), 0.0))
        return length, float(np.linalg.norm(self._scales[:, 0] * error) / np.sqrt(self.rcond))

    def solve(self, Y: Float, overwrite: bool = False, cross: Float | None = None) -> Float:
        """Coefficients in kernel units, (n_columns, t), of the centred targets (n_samples, t).

        With `overwrite` Y may come back centred once more; `cross` is Z'SY where it is known.
        """
        system, scales = self._system, self._scales

        def residual(x: Float) -> tuple[Float, Float]:
            W = scales * x
            if self.rough:
                gradient, self.offset = system.misfit_products(W, Y)
                return scales * (gradient - self._penalty * W), np.zeros(1)
            R = system.product(W)
            np.subtract(Y, R, out=R)
            right = scales * (system.correlations(R, overwrite=True) - self._penalty * W)
            return right, np.linalg.norm(system.times_root_weights(R), axis=0)

        right = scales * (system.correlations(Y, overwrite) if cross is None else cross)
        if self.rough:
            return scales * _solve_roughly(self._factor, right, residual)
        return scales * solve_refined(self._factor, right, residual, self._rcond_min)


def _solve_roughly(
    factor: Factor, rhs: Float, residual: Callable[[Float], tuple[Float, Float]]
) -> Float:
    """A x = rhs with a factor of A to about 1e-7, by residuals until that does not show."""
    if not factor.rcond > REFINE_BELOW:
        raise Unreliable
    x, first = factor.solve(rhs), 0.0
    for step in range(MAX_REFINEMENTS):
        change = factor.solve(residual(x)[0])
        x += change
        length = float(np.linalg.norm(x))
        # of x before, and about the factor that this correction is wrong by
        size = float(np.linalg.norm(change)) / length if length > 0 else 0.0
        if step == 0:
            first = size
        if size * first <= REFINED / 100:
            return x
    raise Unreliable


class Projection:
    """Off the directions that cost nothing: the intercept's and unpenalised columns."""

    def __init__(self, system: RidgeSystem) -> None:
        self.penalised = np.flatnonzero(system.sigma > 0)
        self.free = np.flatnonzero(system.sigma == 0)
        self.columns = system.dense_columns(self.free)
        n = system.view.n_samples
        root = np.ones(n) if system.root_weights is None else system.root_weights
        directions = [root[:, None]] if system.view.centred else []
        self.basis = orthonormal(np.hstack([*directions, self.columns]), system.rank_tolerance())

    def off(self, R: Float) -> Float:
        """R projected, twice, over R."""
        for _ in range(2):
            R -= self.basis @ (self.basis.T @ R)
        return R

    def off_both_sides(self, K: Float) -> None:
        """P K P over K, P the projection."""
        N = self.basis
        for _ in range(2):
            half = K @ N
            half -= 0.5 * N @ (N.T @ half)
            for top in range(0, K.shape[0], BLOCK):
                rows = slice(top, top + BLOCK)
                K[rows] -= N[rows] @ half.T + half[rows] @ N.T

    def complete(self, system: RidgeSystem, W: Float, Y: Float) -> Float:
        """Fit the unpenalised columns to what the others leave of Y, refined once, into W."""
        if self.free.size:
            norms = np.linalg.norm(self.columns, axis=0)[:, None]
            for _ in range(2):
                rest = system.times_root_weights(Y - system.product(W))
                W[self.free] += np.linalg.lstsq(self.columns / norms.T, rest)[0] / norms
        return W


class Dual:
    """The equations in sample space.

    `outer` is S^1/2 (X - 1 mean') V^-1 (X - 1 mean')' S^1/2 where it is known, to be kept (of
    columns divided by their deviations where standardised), `kept` the share of what it was made
    from, as its rounding goes.
    """

    def __init__(self, system: RidgeSystem, outer: Float | None = None, kept: float = 1.0) -> None:
        self.system = system
        self._outer = outer
        self.projection = Projection(system)
        penalised = self.projection.penalised
        self.smallest = float(system.sigma[penalised].min())
        root = np.zeros((system.n_columns, 1))
        np.divide(self.smallest, system.sigma[:, None], out=root, where=system.sigma[:, None] > 0)
        # 1 / v_j, and how long the vectors of it and of its square roots are
        self.inverse = root * root
        self.lengths = float(np.linalg.norm(self.inverse)), float(np.linalg.norm(root))
        self.root_inverse = root
        # share of trace K that projections leave: what rounding is worse by
        self.left = kept if outer is not None else 1.0
        self._gram: Float | None = None

    def at(self, alpha: float, make: Callable[[Float], Factor], last: bool) -> "DualAt":
        """Factored at one alpha; `last` gives the Gram away."""
        return DualAt(self, self.gram(last), alpha, make)

    def gram(self, last: bool) -> Float:
        """P K P, raised off what it projects on, to be overwritten; `last` gives it away."""
        if self._gram is None:
            self._gram = self._make_gram()
        K = self._gram if last else self._gram.copy()
        if last:
            self._gram = None
        return K

    def _make_gram(self) -> Float:
        system, projection = self.system, self.projection
        K, self._outer = self._outer, None
        if K is None:
            full = np.zeros(system.view.n_features)
            full[system.columns] = self.inverse[:, 0]
            system.reads += 1
            K = outer_gram(system.view, full, system.n_threads)
        else:
            K *= self.smallest
            K *= self.smallest
        if projection.free.size:
            before = float(np.trace(K))
            projection.off_both_sides(K)
            self.left *= float(np.trace(K)) / before
        # eigenvectors that no right-hand side holds: any eigenvalue will do
        level = float(np.trace(K)) / K.shape[0] or 1.0
        N = projection.basis
        for top in range(0, K.shape[0], BLOCK):
            K[top : top + BLOCK] += level * N[top : top + BLOCK] @ N.T
        if system.root_weights is not None:
            unused = np.flatnonzero(system.root_weights == 0)
            K[unused, unused] += level
        return K


class DualAt:
    """P K P + alpha I, factored at a unit diagonal."""

    def __init__(self, dual: Dual, K: Float, alpha: float, make: Callable[[Float], Factor]) -> None:
        self._dual = dual
        self._alpha = (alpha * dual.smallest) * dual.smallest
        self._scales = _at_unit_diagonal(K, np.full(K.shape[0], self._alpha))[:, None]
        self._factor = make(K)
        self._factor.rcond *= dual.left
        self._rcond_min = dual.system.rank_tolerance() ** 2 if alpha == 0 else 0.0

    @property
    def projection(self) -> Projection:
        """Off what is not penalised."""
        return self._dual.projection

    def _check_cancellation(self, W: Float, u: Float) -> None:
        """Z'S^1/2 u loses what u has off the span of Z: much at a small alpha and a poor fit."""
        lost = 2 * EPS * np.linalg.norm(u, axis=0)
        root = self._dual.root_inverse
        scaled = np.divide(W, root, out=np.zeros_like(W), where=root > 0)
        for V, inverse in zip((W, scaled), self._dual.lengths, strict=True):
            if np.any(lost * inverse > REFINED * np.sqrt(np.einsum("ij,ij->j", V, V))):
                raise Unreliable

    def solve(self, Y: Float) -> Float:
        """Coefficients in kernel units, (n_columns, t), of the centred targets (n_samples, t)."""
        system, projection = self._dual.system, self._dual.projection
        target = projection.off(system.times_root_weights(Y.copy(order="F")))
        lengths = np.linalg.norm(target, axis=0)

        def coefficients(x: Float) -> tuple[Float, Float]:
            u = projection.off(self._scales * x)
            return self._dual.inverse * system.correlations(system.over_root_weights(u)), u

        def residual(x: Float) -> tuple[Float, Float]:
            W, u = coefficients(x)
            R = projection.off(system.times_root_weights(Y - system.product(W)))
            return self._scales * (R - self._alpha * u), lengths

        x = solve_refined(self._factor, self._scales * target, residual, self._rcond_min)
        W, u = coefficients(x)
        self._check_cancellation(W, u)
        return projection.complete(system, W, Y)
