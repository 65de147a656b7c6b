"""Ridge in kernel units, shared by its solvers.

    minimise  sum_i s_i (y_i - z_i'w)^2 + alpha sum_j sigma_j^2 w_j^2

over the columns that take part; z_j = scale_j (x_j - mean_j) has a norm in [1, 2), and
coef_j = scale_j w_j.
sigma_j = sqrt(v_j) scale_j, or sqrt(v_j) ||z_j|| / sqrt(sum s) where the columns are standardised.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import scipy.linalg
import scipy.sparse as sparse
from numpy.typing import NDArray

from creg._data.design import DesignView
from creg._data.single import misfit_products
from creg._data.storage import Storage

Float = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)

REFINE_BELOW = 1e-6  # reciprocal condition above which the first solve stands
RCOND_MIN = 1e-14  # below it no refinement contracts
MAX_REFINEMENTS = 4
REFINED = 1e-9  # relative error with which a refined solution is let through


class Unreliable(ArithmeticError):
    """The Gram matrix has lost what the answer depends on."""


class Factor(Protocol):
    """A symmetric matrix, solved with."""

    rcond: float

    def solve(self, rhs: Float) -> Float:
        """A^-1 rhs."""


class RidgeSystem:
    """Which columns take part, and what is paid for each.

    Parameters
    ----------
    view : DesignView
    penalty_weights : (n_features,) or None
        v; inf leaves a column out. None: ones.
    standardize : bool
    n_threads : int
    """

    def __init__(
        self, view: DesignView, penalty_weights: Float | None, standardize: bool, n_threads: int
    ) -> None:
        self.view = view
        self.n_threads = n_threads
        self.reads = 0.0
        taking_part = view.norm2 > 0
        if penalty_weights is not None:
            taking_part &= penalty_weights < np.inf
        self.columns = np.flatnonzero(taking_part)
        self.every_column = self.columns.size == view.n_features
        self.scale = view.scale[self.columns]
        if standardize:
            self.unit = np.sqrt(view.norm2[self.columns] / view.sum_weights)
        else:
            self.unit = self.scale
        self.sigma = self.unit
        if penalty_weights is not None:
            self.sigma = np.sqrt(penalty_weights[self.columns]) * self.unit

    @property
    def n_columns(self) -> int:
        return int(self.columns.size)

    @cached_property
    def root_weights(self) -> Float | None:
        """S^1/2, (n_samples,); made on use, as the Gram matrix comes first."""
        return None if self.view.weights is None else np.sqrt(self.view.weights)

    @cached_property
    def sparse_rows(self) -> sparse.csr_array:
        """Sparse X by rows."""
        return sparse.csr_array(self.view.storage.X)

    @cached_property
    def view_by_rows(self) -> DesignView:
        """The view of sparse X by rows."""
        return self.view.of(Storage(self.sparse_rows))

    @cached_property
    def view_by_counts(self) -> tuple[DesignView, NDArray[np.intp]]:
        """The view of sparse X, stored columns in the order of ascending counts, and their order.

        Loops over short columns are as fast as their ends can be foretold.
        """
        X = self.view.storage.X
        if self.view.storage.is_row_layout:
            return self.view, np.arange(self.view.n_features)
        order = np.argsort(np.diff(X.indptr), kind="stable")
        return self.view.of(Storage(sparse.csc_array(X)[:, order]), order), order

    def spread(self, values: Float, elsewhere: float) -> Float:
        """Of the columns that take part, over all features: (n_features, ...)."""
        if self.every_column:
            return values
        out = np.full((self.view.n_features, *values.shape[1:]), elsewhere)
        out[self.columns] = values
        return out

    def penalty(self, alpha: float) -> Float:
        """alpha sigma^2, without overflow on the way and at most 1e300."""
        with np.errstate(over="ignore"):
            return np.minimum((alpha * self.sigma) * self.sigma, 1e300)

    def rank_tolerance(self) -> float:
        """Singular values of the columns at unit norm below it, relatively, are rounding of X."""
        view = self.view
        if not self.n_columns:
            return EPS
        norm = np.sqrt(view.norm2[self.columns] / view.sum_weights)
        worst = float(np.max(np.abs(view.mean[self.columns]) * self.scale / norm))
        return min(EPS * max(view.n_samples, self.n_columns) * (1 + worst), 1e-2)

    def product(self, W: Float) -> Float:
        """Z W, (n_samples, t), for W (n_columns, t)."""
        self.reads += 0.5
        full = W
        if not self.every_column:
            full = np.zeros((self.view.n_features, W.shape[1]))
            full[self.columns] = W
        if full.shape[1] == 1:
            return self.view.product(np.ascontiguousarray(full[:, 0]), self.n_threads)[:, None]
        return self.view.product(full, self.n_threads)

    def correlations(self, R: Float, overwrite: bool = False) -> Float:
        """Z'S R, (n_columns, t), for R (n_samples, t); `overwrite` as in the view's."""
        self.reads += 0.5
        if R.shape[1] == 1:
            full = self.view.correlations_of(R[:, 0], self.n_threads, overwrite)[:, None]
        else:
            full = self.view.correlations_of(R, self.n_threads, overwrite)
        return full if self.every_column else full[self.columns]

    def misfit_products(self, W: Float, Y: Float) -> tuple[Float, Float]:
        """Z'S(Y - ZW) and the weighted means of Y - ZW, for dense float32 X and one target.

        The means are for a view that is centred: 0 elsewhere.
        """
        self.reads += 1
        view = self.view
        w = self.spread(W, 0.0)[:, 0]
        full, total = misfit_products(view, w, np.ascontiguousarray(Y[:, 0]), self.n_threads)
        mean = total / view.sum_weights if view.centred else 0.0
        return full[self.columns, None], np.array([mean])

    def times_root_weights(self, R: Float) -> Float:
        """S^1/2 R, written over R."""
        if self.root_weights is not None:
            R *= self.root_weights[:, None]
        return R

    def over_root_weights(self, R: Float) -> Float:
        """S^-1/2 R, zero in rows without weight."""
        if self.root_weights is None:
            return R
        used = self.root_weights[:, None] > 0
        return np.divide(R, self.root_weights[:, None], out=np.zeros_like(R), where=used)

    def rows(self, start: int, stop: int) -> Float:
        """Rows of S^1/2 Z over the columns that take part, dense, new."""
        X = self.view.storage.X
        part = self.sparse_rows[start:stop].toarray() if sparse.issparse(X) else X[start:stop]
        if not self.every_column:
            part = part[:, self.columns]
        return self._to_kernel_units(part, slice(None), slice(start, stop))

    def dense_columns(self, which: NDArray[np.intp]) -> Float:
        """Columns `which` (positions among those that take part) of S^1/2 Z, dense, new."""
        part = self.view.storage.X[:, self.columns[which]]
        if sparse.issparse(part):
            part = part.toarray()
        return self._to_kernel_units(part, which, slice(None))

    def _to_kernel_units(
        self, stored: NDArray[np.floating], which: NDArray[np.intp] | slice, rows: slice
    ) -> Float:
        part: Float = np.array(stored, dtype=np.float64)
        part -= self.view.mean[self.columns[which]]
        part *= self.scale[which]
        if self.root_weights is not None:
            part *= self.root_weights[rows, None]
        return part


class Targets:
    """Y, centred where there is an intercept, each column at a magnitude of about 1.

    Attributes
    ----------
    mean : (n_targets,)
        Weighted means, 0 without an intercept.
    exponent : (n_targets,) int
        (y - mean) 2^-exponent is what `block` gives.
    """

    def __init__(self, Y: Float, weights: Float | None, centre: bool) -> None:
        self._Y = Y
        self._weights = weights
        self._unused = None if weights is None else weights == 0
        count = Y.shape[1]
        self.mean = np.zeros(count)
        self.exponent = np.zeros(count, dtype=int)
        self._first = np.zeros(count, dtype=int)
        self._middle = np.zeros(count)
        for k in range(count):
            self._prepare(k, centre)

    def _prepare(self, k: int, centre: bool) -> None:
        first = int(np.frexp(self._largest(self._Y[:, k]))[1])
        y = _scaled(self._Y[:, k], -first)
        self._first[k] = first
        if centre:
            middle = self._average(y)
            y -= middle
            correction = self._average(y)
            y -= correction
            middle += correction
            if self._largest(y) <= 4 * EPS * abs(middle):
                y[:] = 0.0
            self._middle[k] = middle
            self.mean[k] = np.ldexp(middle, first)
        largest = self._largest(y)
        self.exponent[k] = first + int(np.frexp(largest)[1]) if largest > 0 else _CONSTANT

    def _largest(self, y: Float) -> float:
        y = self._where_used(y)
        return max(float(y.max()), -float(y.min()))

    def _average(self, y: Float) -> float:
        if self._weights is None:
            return float(y.mean())
        return float(self._weights @ self._where_used(y)) / float(self._weights.sum())

    def _where_used(self, y: Float) -> Float:
        return y if self._unused is None else np.where(self._unused, 0.0, y)

    def block(self, members: Sequence[int]) -> Float:
        """Those targets in kernel units, (n_samples, len(members)), new."""
        out = np.zeros((self._Y.shape[0], len(members)), order="F")
        for column, k in enumerate(members):
            if self.exponent[k] == _CONSTANT:
                continue
            y = out[:, column]
            _scaled(self._Y[:, k], -int(self._first[k]), out=y)
            y -= self._middle[k]
            _scaled(y, int(self._first[k] - self.exponent[k]), out=y)
            if self._unused is not None:
                y[self._unused] = 0.0
        return out

    def in_user_units(self, k: int, values: Float) -> Float:
        """values 2^exponent."""
        if self.exponent[k] == _CONSTANT:
            return np.zeros_like(values)
        return np.ldexp(values, self.exponent[k])


def _scaled(y: Float, exponent: int, out: Float | None = None) -> Float:
    """y 2^exponent, by a multiplication where that factor is a normal number: it is vector code."""
    if abs(exponent) > 1022:
        return np.ldexp(y, exponent, out=out)
    return np.multiply(y, 2.0**exponent, out=out)


_CONSTANT = -(2**20)


def solve_refined(
    factor: Factor, rhs: Float, residual: Callable[[Float], tuple[Float, Float]], rcond_min: float
) -> Float:
    """Solve A x = rhs with a factor of A, then improve x by residuals computed from X.

    Parameters
    ----------
    factor : Factor
    rhs : (k, t)
    residual : function of x
        rhs - A x evaluated from X, and the (t,) norms that its rounding is relative to.
    rcond_min : float
        Below it the factor is not trusted.

    Raises
    ------
    Unreliable
        The corrections do not contract.
    """
    if not factor.rcond >= max(rcond_min, RCOND_MIN):
        raise Unreliable
    x = factor.solve(rhs)
    if factor.rcond > REFINE_BELOW:
        return x
    size = np.inf
    for _ in range(MAX_REFINEMENTS):
        right, misfit = residual(x)
        change = factor.solve(right)
        x += change
        length = np.linalg.norm(x, axis=0)
        length[length == 0] = 1.0
        previous, size = size, float(np.max(np.linalg.norm(change, axis=0) / length))
        # least squares cannot be had better than eps (cond + cond^2 misfit / ||x||)
        limit = EPS / np.sqrt(factor.rcond) + EPS / factor.rcond * float(np.max(misfit / length))
        if size <= max(1e-12, min(limit, REFINED)):
            return x
        if not size < previous / 4:
            raise Unreliable
    if size > REFINED:
        raise Unreliable
    return x


def orthonormal(columns: Float, tolerance: float) -> Float:
    """Orthonormal basis of the span of columns, by their rank at unit norm."""
    norms = np.linalg.norm(columns, axis=0)
    columns = columns[:, norms > 0] / norms[norms > 0]
    if not columns.shape[1]:
        return np.zeros((columns.shape[0], 0))
    Q, R, _ = scipy.linalg.qr(columns, mode="economic", pivoting=True, check_finite=False)
    pivots = np.abs(np.diag(R))
    return np.ascontiguousarray(Q[:, : np.count_nonzero(pivots > tolerance * pivots[0])])
