"""Ridge at all alphas on the training rows of each fold, and predictions for the others.

A fold is the design with other row weights.  Three ways to fit it:

- tall dense data: from sums over disjoint sets of rows about one shift.  A training set is the sum
  of the others' sums, never the total less its own.
- where columns are more: from one S^1/2 Z D Z'S^1/2, the part of its training rows centred anew.
- else from X with the fold's weights: a decomposition, or conjugate gradients where that is large.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.linalg import blas, cho_factor, cho_solve, lapack

from creg._data.design import DesignView
from creg._ridge.decomposition import RESOLVED, Decomposition, Wide, decompose, eigen
from creg._ridge.many_alphas import solve_at_alphas
from creg._ridge.penalised import BLOCK_BYTES, Penalised
from creg._ridge.system import EPS, RidgeSystem, Targets

Float = NDArray[np.float64]
Rows = NDArray[np.intp]

HEAVY = 100  # W d^2 over the centred square above which the difference loses too much
INDEPENDENT = 1e-6  # reciprocal condition of unpenalised columns for their Schur complement
SPARED = 1e-2  # share of the trace that centring anew must leave
COEFFICIENTS = 4_000_000  # numbers held at a time
SPARE_BYTES = 64_000_000  # that sums may take, however small X is


@dataclass(frozen=True)
class Fold:
    """Rows.

    Attributes
    ----------
    weights : (n_samples,)
        Of the training rows, 0 elsewhere.
    test : intp array
        Held-out rows.
    """

    weights: Float
    test: Rows


@dataclass(frozen=True)
class Part:
    """Fits at some of the alphas: predict(rows) gives (n_rows, t, a) in the user's units."""

    alphas: slice
    predict: Callable[[Rows], Float]
    shortfall: Float | None = None  # by iterations: what is left of the gradient at each alpha


@dataclass(frozen=True)
class Outer:
    """Z diag(smallest / sigma)^2 Z' over all rows, unweighted.

    Of columns that are all penalised on the scale that they are given in.
    """

    K: Float
    smallest: float

    def factor(self, design: Penalised) -> float:
        """To the units of another design of the same columns."""
        return (design.smallest / self.smallest) ** 2

    def part(self, design: Penalised) -> Float | None:
        """S^1/2 K S^1/2 of a design with other row weights, in its units, over its rows, new.

        None where it is not wide, or too little is left once its means have been removed.
        """
        if not design.is_wide:
            return None
        K = self.K.copy() if design.used is None else self.K[np.ix_(design.used, design.used)]
        root = design.weighted(np.ones((self.K.shape[0], 1)))
        K *= self.factor(design) * root
        K *= root[:, 0]
        trace = float(np.trace(K))
        if design.system.view.centred:
            q = root[:, 0] / np.linalg.norm(root)
            if not trace - float(q @ K @ q) > SPARED * trace:
                return None
        return K


@dataclass(frozen=True)
class FoldProblem:
    """What all folds share.

    Attributes
    ----------
    view : DesignView
        Of all rows.
    X
        The same in a layout that rows can be taken of.
    Y : (n_samples, t)
    penalty_weights : (n_features,) or None
    standardize : bool
    n_threads : int
    """

    view: DesignView
    X: Any
    Y: Float
    penalty_weights: Float | None
    standardize: bool
    n_threads: int

    def of(self, fold: Fold) -> tuple[RidgeSystem, Targets]:
        """The system and the targets of the fold's training rows."""
        own = DesignView(
            self.view.storage, fold.weights, self.view.centred, n_threads=self.n_threads
        )
        system = RidgeSystem(own, self.penalty_weights, self.standardize, self.n_threads)
        return system, Targets(self.Y, own.weights, own.centred)


class Linear:
    """Predictions ((x - shift)'M + constant) 2^exponent + mean over some columns."""

    def __init__(self, X: Any, columns: Rows, shift: Float, M: Float, targets: Targets) -> None:
        self._X, self._columns, self._shift, self._targets = X, columns, shift, targets
        self._shape = M.shape[1:]
        self._M = np.ascontiguousarray(M.reshape(M.shape[0], M.shape[1] * M.shape[2]))
        self.constant: Float | float = 0.0

    def __call__(self, rows: Rows) -> Float:
        part = taken(self._X, rows)
        if self._columns.size < part.shape[1]:
            part = part[:, self._columns]
        if sparse.issparse(part):
            out = part @ self._M - self._shift @ self._M
        else:
            out = np.subtract(part, self._shift, dtype=np.float64) @ self._M
        return in_user_units(out.reshape(rows.size, *self._shape) + self.constant, self._targets)


def taken(X: Any, rows: Rows) -> Any:
    """Those rows, not copied where they are next to each other in a dense X."""
    if rows.size and rows[-1] - rows[0] + 1 == rows.size and np.all(np.diff(rows) == 1):
        return X[rows[0] : rows[-1] + 1]
    return X[rows]


def in_user_units(values: Float, targets: Targets) -> Float:
    """Predictions (n_rows, t, a) of centred targets in kernel units, written over."""
    for k in range(values.shape[1]):
        values[:, k] = targets.in_user_units(k, values[:, k]) + targets.mean[k]
    return values


class RowSums:
    """Sums over disjoint sets of rows of B'B, B = S^1/2 [(X - 1 shift') diag(unit), Y, 1].

    Parameters
    ----------
    system : RidgeSystem
        Of all rows, dense: shift and unit are its means and scales.
    standardize : bool
    targets : Targets
    """

    def __init__(self, system: RidgeSystem, standardize: bool, targets: Targets) -> None:
        self.system, self.targets, self._standardize = system, targets, standardize
        view = system.view
        self.X = view.storage.X
        self.shift, self.unit = view.mean[system.columns], system.scale
        self.Y = targets.block(range(targets.mean.size))

    def of(self, rows: Rows, weights: Float) -> Float:
        """Over these rows, of (n_samples,) weights."""
        m, t = self.system.n_columns, self.Y.shape[1]
        size = m + t + 1
        out = np.zeros((size, size), order="F")
        step = max(64, BLOCK_BYTES // (8 * size))
        order: Literal["C", "F"] = "F" if self.X.flags.f_contiguous else "C"
        for start in range(0, rows.size, step):
            some = rows[start : start + step]
            B = np.empty((some.size, size), order=order)
            part = taken(self.X, some)
            np.subtract(part if m == part.shape[1] else part[:, self.system.columns],
                        self.shift, out=B[:, :m])  # fmt: skip
            B[:, :m] *= self.unit
            B[:, m:-1], B[:, -1] = self.Y[some], 1.0
            if np.any(weights[some] != 1):
                B *= np.sqrt(weights[some])[:, None]
            by_columns = order == "F"
            out = blas.dsyrk(
                1.0, B if by_columns else B.T, trans=int(by_columns), beta=1.0, c=out, overwrite_c=1
            )
        out += np.triu(out, 1).T
        return out

    def fit(self, C: Float, alphas: Float, train: Rows) -> Linear | None:
        """All alphas from the sums over the training rows; None where these lost too much."""
        system, t = self.system, self.Y.shape[1]
        m, total = system.n_columns, float(C[-1, -1])
        d, dy = np.zeros(m), np.zeros(t)
        if system.view.centred:
            d, dy = C[:m, -1] / total, C[m:-1, -1] / total
        G = C[:m, :m] - np.outer(total * d, d)
        c = C[:m, m:-1] - np.outer(total * d, dy)
        live = self._live(G.diagonal(), total * d * d, train)
        if live is None:
            return None
        spread = np.sqrt(G.diagonal().clip(0) / total)
        ratio = system.sigma / system.unit
        sigma = ratio * spread if self._standardize else system.sigma
        coef = _at_alphas(G, c, np.where(live, sigma, np.inf), alphas)
        if coef is None:
            return None
        fit = Linear(self.X, system.columns, self.shift, self.unit[:, None, None] * coef,
                     self.targets)  # fmt: skip
        fit.constant = dy[:, None] - np.einsum("j,jta->ta", d, coef)
        return fit

    def _live(self, squares: Float, excess: Float, train: Rows) -> NDArray[np.bool_] | None:
        """Columns that are not constant; None where a centred square has cancelled."""
        live = squares > 0
        for j in np.flatnonzero(excess > HEAVY * squares.clip(0)):
            x = self.X[train, self.system.columns[j]]
            if x.min() < x.max():
                return None
            live[j] = False
        return live


def _at_alphas(G: Float, c: Float, sigma: Float, alphas: Float) -> Float | None:
    """(m, t, a) coefficients from Z'SZ and Z'Sy at penalties alpha sigma^2; None: not exactly."""
    out = np.zeros((*c.shape, alphas.size))
    free = np.flatnonzero(sigma == 0)
    which = np.flatnonzero((sigma > 0) & (sigma < np.inf))
    A, b = G[np.ix_(which, which)], c[which]
    if free.size:
        F, cross = G[np.ix_(free, free)], G[np.ix_(free, which)]
        scales = 1 / np.sqrt(F.diagonal())
        factor = _cholesky(F * scales * scales[:, None])
        if factor is None:
            return None
        on_free = scales[:, None] * cho_solve(factor, scales[:, None] * np.hstack([cross, c[free]]))
        before = A.diagonal().copy()
        A -= cross.T @ on_free[:, : which.size]
        b = b - cross.T @ on_free[:, which.size :]
        if np.any(A.diagonal() < INDEPENDENT * before):
            return None
    if which.size:
        smallest = float(sigma[which].min())
        ratio = (smallest / sigma[which])[:, None]
        A *= ratio
        A *= ratio[:, 0]
        scaled = np.clip((alphas * smallest) * smallest, 1e-250, 1e250)
        values, Q = eigen(A)
        if EPS * values[-1] > RESOLVED * (values[0] + scaled.min()):
            return None
        w = (Q.T @ (ratio * b))[:, :, None] / (values[:, None, None] + scaled)
        out[which] = ratio[:, :, None] * np.tensordot(Q, w, 1)
    if free.size:
        fitted = np.tensordot(on_free[:, : which.size], out[which], 1)
        out[free] = on_free[:, which.size :, None] - fitted
    return out


def _cholesky(F: Float) -> tuple[Float, bool] | None:
    try:
        factor = cho_factor(F)
    except np.linalg.LinAlgError:
        return None
    rcond = lapack.dpocon(factor[0], np.linalg.norm(F, 1))[0]
    return factor if rcond > INDEPENDENT else None


def disjoint(folds: Sequence[Fold], room: int) -> tuple[list[Rows], list[list[int]]] | None:
    """Sets of rows of which every training set is a union, and which; None where more than `room`.

    Rows that no fold tells apart are one set.
    """
    weights = np.max([fold.weights for fold in folds], axis=0)
    signs = np.array([fold.weights > 0 for fold in folds]).T
    for k, fold in enumerate(folds):
        if np.any(fold.weights[signs[:, k]] != weights[signs[:, k]]):
            return None  # rows that are drawn more than once
    used = np.flatnonzero(weights > 0)
    kinds, which = np.unique(np.packbits(signs[used], axis=1), axis=0, return_inverse=True)
    if len(kinds) > room:
        return None
    which = which.ravel()
    sets = [used[which == k] for k in range(len(kinds))]
    return sets, [
        [k for k, rows in enumerate(sets) if signs[rows[0], f]] for f in range(len(folds))
    ]


class FoldSums:
    """The sums of every training set, from those of disjoint sets of rows where there are few.

    Parameters
    ----------
    sums : RowSums
    folds : sequence of Fold
    """

    def __init__(self, sums: RowSums, folds: Sequence[Fold]) -> None:
        self._sums, self._folds = sums, folds
        size = 8 * (sums.system.n_columns + sums.Y.shape[1] + 1) ** 2
        room = max(SPARE_BYTES, sums.X.nbytes // 4) // size
        found = disjoint(folds, min(room, 2 * len(folds)))
        self._parts: list[Float] = []
        if found is not None:
            sets, self._unions = found
            weights = np.max([fold.weights for fold in folds], axis=0)
            self._parts = [sums.of(rows, weights) for rows in sets]

    def fit(self, k: int, alphas: Float) -> Part | None:
        """Fold k at all alphas; None where the sums lost too much."""
        weights = self._folds[k].weights
        train = np.flatnonzero(weights)
        if self._parts:
            first, *others = self._unions[k]
            C = self._parts[first].copy()
            for other in others:
                C += self._parts[other]
        else:
            C = self._sums.of(train, weights)
        fit = self._sums.fit(C, alphas, train)
        return None if fit is None else Part(slice(None), fit)


def fit_by_rows(
    problem: FoldProblem, fold: Fold, alphas: Float, outer: Outer | None
) -> Iterator[Part]:
    """From X with the fold's weights, or from the part of the outer products that is its own."""
    system, targets = problem.of(fold)
    design = Penalised(system)
    scaled = design.in_kernel_units(alphas)
    K = None if outer is None else outer.part(design)
    by_outer = K is not None
    Y = targets.block(range(targets.mean.size))
    found, _ = decompose(design, Y, lambda _: scaled, K)
    if outer is not None and by_outer and isinstance(found, Wide) and not found.is_exact:
        yield _by_outer(found, scaled, targets, outer, fold.weights)
    else:
        yield from _by_columns(found, scaled, targets, problem.X)


def _by_outer(found: Wide, alphas: Float, targets: Targets, outer: Outer, weights: Float) -> Part:
    rows, count = np.flatnonzero(weights), targets.mean.size
    s = weights[rows]
    q = np.stack([found.dual(alphas, [k]) for k in range(count)], axis=1)
    q *= np.sqrt(s)[:, None, None] * outer.factor(found.design)
    flat = np.ascontiguousarray(q.reshape(rows.size, count * alphas.size))
    offset = np.zeros(flat.shape[1])
    if found.design.system.view.centred:
        offset = (s / s.sum()) @ outer.K[np.ix_(rows, rows)] @ flat

    def predict(test: Rows) -> Float:
        fitted = outer.K[np.ix_(test, rows)] @ flat - offset
        return in_user_units(fitted.reshape(test.size, count, alphas.size), targets)

    return Part(slice(None), predict)


def _by_columns(found: Decomposition, alphas: Float, targets: Targets, X: Any) -> Iterator[Part]:
    system, count = found.design.system, targets.mean.size
    step = max(1, COEFFICIENTS // max(system.n_columns * count, 1))
    for start in range(0, alphas.size, step):
        some = slice(start, min(start + step, alphas.size))
        width = some.stop - some.start
        W = np.empty((system.n_columns, count, width))
        for k in range(count):
            W[:, k] = found.design.spread(found.coefficients(alphas[some], [k]))
            found.design.free_coefficients(W[:, k], found.Y[:, [k]])
        yield Part(some, linear(system, W, targets, X))


def linear(system: RidgeSystem, W: Float, targets: Targets, X: Any) -> Linear:
    """Predictions from coefficients in kernel units, (n_columns, t, a)."""
    mean = system.view.mean[system.columns]
    return Linear(X, system.columns, mean, system.scale[:, None, None] * W, targets)


def fit_by_iterations(problem: FoldProblem, fold: Fold, alphas: Float) -> Iterator[Part]:
    """By conjugate gradients, some alphas at a time."""
    system, targets = problem.of(fold)
    Y = targets.block(range(targets.mean.size))
    step = max(1, COEFFICIENTS // max(system.n_columns * Y.shape[1], 1))
    for start in range(0, alphas.size, step):
        some = slice(start, min(start + step, alphas.size))
        end = solve_at_alphas(system, alphas[some], Y)
        yield Part(some, linear(system, end.W, targets, problem.X), end.shortfall)
