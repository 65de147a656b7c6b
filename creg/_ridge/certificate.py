"""How far a ridge or least-squares solution may be from the optimum, rounding included.

    P(w) = ||y - Z w||^2 / 2 + sum_j rho_j w_j^2 / 2,     r = y - Z w,     g = Z'S r - rho w

P is quadratic, so P(w) - min P = g'(Z'SZ + rho)^+ g / 2. From above, without a factor, with F the
columns with rho_j = 0, Pi the projection on their span and r - Pi r the dual point:

    P(w) - min P <= ||Pi r||^2 / 2 + sum_{j not in F} (<z_j, r - Pi r> - rho_j w_j)^2 / (2 rho_j)
    P(w) - min P <= P(w)                                        (the dual point 0)
"""

import numpy as np
import scipy.linalg
import scipy.sparse as sparse
from numpy.typing import NDArray

from creg._ridge.cholesky import PrimalAt, Projection
from creg._ridge.spectrum import triangle
from creg._ridge.system import EPS, RidgeSystem

Float = NDArray[np.float64]


class Certificate:
    """Bounds for one target at one set of coefficients.

    Parameters
    ----------
    system : RidgeSystem
    alpha : float
        0: rho = 0.
    y : (n_samples,)
        Centred where the view is.
    w : (n_columns,)

    Attributes
    ----------
    half_squared_residual : float
        ||r||^2 / 2.
    """

    def __init__(self, system: RidgeSystem, alpha: float, y: Float, w: Float) -> None:
        view = system.view
        self._system, self._alpha, self._w = system, alpha, w
        self._rho = system.penalty(alpha) if alpha > 0 else np.zeros(system.n_columns)
        residual = y[:, None] - system.product(w[:, None])
        if view.centred:
            s = view.weights
            residual -= residual.mean() if s is None else s @ residual[:, 0] / view.sum_weights
        self._residual = system.times_root_weights(residual)
        size = float(np.linalg.norm(self._residual))
        self.half_squared_residual = 0.5 * size * size
        # a sum of n terms errs by at most eps (8 + n / 64) of its magnitude
        self._sums = EPS * (8.0 + view.n_samples / 64.0)
        self._norms = np.sqrt(view.norm2[system.columns] + _implicit(system))
        magnitude = float(np.linalg.norm(system.times_root_weights(y[:, None].copy())))
        magnitude += float(np.abs(w) @ self._norms)
        self._residual_error = EPS * (4.0 + np.count_nonzero(w)) * magnitude

    def at_zero(self) -> float:
        """P(w)."""
        penalty = 0.5 * float(self._w @ (self._rho * self._w))
        size = np.sqrt(2.0 * self.half_squared_residual) + self._residual_error
        return (0.5 * size * size + penalty) * (1.0 + 16.0 * EPS)

    def by_duality(self, projection: Projection | None) -> float:
        """The bound at r - Pi r; `projection` is needed where some rho_j, not all, is 0."""
        penalised = self._rho > 0
        if not penalised.any():
            return self.at_zero()
        point, moved = self._residual.copy(), 0.0
        if projection is not None and projection.free.size:
            point = projection.off(point)
            moved = float(np.linalg.norm(self._residual - point))
        gradient, error = self._gradient(point)
        with np.errstate(over="ignore", divide="ignore"):
            excess = (np.abs(gradient) + error)[penalised]
            total = 0.5 * float(np.sum((excess / self._rho[penalised]) * excess))
        size = moved + self._residual_error
        return (0.5 * size * size + total) * (1.0 + 16.0 * EPS)

    def by_factor(self, factored: PrimalAt) -> float:
        """The exact form, by a factor of Z'SZ + rho; inf where that is too close to singular."""
        gradient, error = self._gradient(self._residual)
        slack = self._sums + EPS * self._system.n_columns
        if not factored.rcond > 2.0 * slack:
            return np.inf
        length, moved = factored.length(gradient, error)
        return self._squared(length, moved, slack / factored.rcond)

    def by_decomposition(self) -> float:
        """The exact form from R, Z = Q R; for n_samples <= n_columns at alpha = 0, from Q."""
        system = self._system
        tolerance = system.rank_tolerance()
        if system.view.n_samples > system.n_columns:
            nothing = np.zeros((system.view.n_samples, 0))
            R = triangle(system, self._alpha, nothing)
            norms = np.linalg.norm(R, axis=0)
            inverse, order, _ = _pivoted(R / norms, tolerance)
            gradient, error = self._gradient(self._residual)
            length = float(np.linalg.norm(inverse.T @ (gradient / norms)[order]))
            spread = float(np.linalg.norm(inverse))
            moved = spread * float(np.linalg.norm(error / norms))
            return self._squared(length, moved, EPS * system.n_columns * spread)
        if self._alpha > 0:
            return np.inf
        columns = system.dense_columns(np.arange(system.n_columns))
        system.reads += 1
        columns /= np.linalg.norm(columns, axis=0)
        inverse, _, basis = _pivoted(columns, tolerance)
        size = float(np.linalg.norm(self._residual))
        error = (self._sums + EPS * np.linalg.norm(inverse)) * np.sqrt(basis.shape[1]) * size
        return self._squared(float(np.linalg.norm(basis.T @ self._residual)), float(error), 0.0)

    def _gradient(self, point: Float) -> tuple[Float, Float]:
        """<z_j, point> - rho_j w_j, and how far off rounding may be; `point` is S^1/2 u."""
        c = self._system.correlations(self._system.over_root_weights(point))[:, 0]
        pull = self._rho * self._w
        size = float(np.linalg.norm(point))
        error = self._sums * size * self._norms + 4.0 * EPS * np.abs(pull)
        return c - pull, error

    def _squared(self, length: float, moved: float, relative: float) -> float:
        if not relative < 0.5:
            return np.inf
        size = length / (1.0 - relative) + moved + self._residual_error
        return 0.5 * size * size * (1.0 + 16.0 * EPS)


def _implicit(system: RidgeSystem) -> Float:
    """sum_s (mean_j scale_j)^2 of columns that are centred by one scalar, 0 of the others."""
    view, columns = system.view, system.columns
    X = view.storage.X
    if not sparse.issparse(X):
        return np.zeros(columns.size)
    offset = view.mean[columns] * system.scale
    if X.format == "csc":
        offset[np.diff(X.indptr)[columns] >= view.n_samples] = 0.0
    return view.sum_weights * offset * offset


def _pivoted(A: Float, tolerance: float) -> tuple[Float, NDArray[np.intp], Float]:
    """R^-1, columns and Q of a QR of those columns of A that count for its rank."""
    Q, R, order = scipy.linalg.qr(A, mode="economic", pivoting=True, check_finite=False)
    pivots = np.abs(np.diag(R))
    rank = int(np.count_nonzero(pivots > tolerance * pivots[0]))
    inverse = scipy.linalg.solve_triangular(R[:rank, :rank], np.eye(rank), check_finite=False)
    return inverse, order[:rank], Q[:, :rank]
