"""What alpha may be chosen by without refits.

    aic, bic, ebic   RSS / sigma^2 + n log(2 pi sigma^2) + k df
    leave-one-out    sum_i s_i e_i^2 / sum s,   e_i = r_i / (1 - h_i)

n counts the rows of positive weight; RSS = sum_i s_i r_i^2 with weights that sum to n.  Between a
penalised fit and its refit, residuals, e_i and df are blended as the coefficients are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf, log, pi

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from creg._choice.columns import ActiveColumns
from creg._choice.coordinates import pivoted_triangle, projected
from creg._choice.left_out import SATURATED, left_out
from creg._choice.leverages import smoothers
from creg._choice.relaxed import blend
from creg._choice.residuals import residual_blocks, residuals
from creg._choice.supports import Supports
from creg._data.design import DesignView
from creg._data.threads import single_blas
from creg._problem import L1Problem
from creg._solution import Solutions

Float = NDArray[np.float64]
Index = NDArray[np.intp]
Errors = tuple[Float, Float]

EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)
# Pivot of Z'SZ at unit norms below which the rows decide about the rank.
UNCLEAR = 1e-9
# Share of a square that is left, from which on it may be had as a difference.
DIFFERENCE = 1e-4
# Numbers that several operations are made on in turn.
IN_CACHE = 50_000


@dataclass(frozen=True)
class Scores:
    """One row for each gamma, one column for each solution.

    Attributes
    ----------
    values : (n_gammas, n)
        Mean squared leave-one-out errors, or residual sums of squares.
    errors : (n_gammas, n) or None
        Standard errors of the former.
    df : (n_gammas, n)
    """

    values: Float
    errors: Float | None
    df: Float


def n_used(view: DesignView) -> int:
    """Rows of positive weight."""
    weights = view.weights
    return int(view.n_samples if weights is None else np.count_nonzero(weights))


def residual_squares(problem: L1Problem, solutions: Solutions) -> Float:
    """RSS, (len(solutions),), in squared units of y."""
    view = problem.data.view
    rss = 2.0 * n_used(view) * solutions.losses
    missing = np.flatnonzero(np.isnan(rss))
    if len(missing):
        share, weights = n_used(view) / view.sum_weights, view.weights
        for k, r in enumerate(residuals(problem, solutions)):
            rss[k] = share * float(r @ r if weights is None else r @ (weights * r))
    return rss


def information(rss: Float, df: Float, n: int, p: int, noise_variance: float, kind: str) -> Float:
    """The criterion of that kind, of the shape of `rss`.

    Parameters
    ----------
    rss, df : ndarray
    n : int
        Rows of positive weight.
    p : int
        Features, whether in the model or not.
    noise_variance : float
        >= 0
    kind : {"aic", "bic", "ebic"}
    """
    price = {"aic": 2.0, "bic": log(n), "ebic": log(n) + 2.0 * log(max(p, 1))}[kind]
    variance = max(noise_variance, TINY)
    with np.errstate(over="ignore"):
        return np.asarray(rss / variance + n * log(2.0 * pi * variance) + price * df)


def noise_variance(problem: L1Problem) -> float | None:
    """RSS / (n - rank - 1) of least squares on all features; None where n <= p + 1.

    Without an intercept n - rank, and n <= p. Features that the penalty leaves out stay out.
    """
    data, view = problem.data, problem.data.view
    n, ones = n_used(view), int(data.fit_intercept)
    if n <= view.n_features + ones:
        return None
    taking_part = view.norm2 > 0
    if problem.penalty.weights is not None:
        taking_part &= problem.penalty.weights < np.inf
    columns = ActiveColumns(view, np.flatnonzero(taking_part), data.known_gram)
    cross = data.known_cross(problem.target)
    with single_blas():
        rank, rest = _least_squares(
            columns,
            columns.weighted(problem.target),
            None if cross is None else cross[columns.features],
        )
    mean_square = rest * n / view.sum_weights / (n - rank - ones)
    null = float(problem.null_objective)
    return float(max(mean_square * problem.unit * problem.unit, 2.0 * EPS * EPS * null, TINY))


def _least_squares(columns: ActiveColumns, eta: Float, cross: Float | None) -> tuple[int, float]:
    """The rank of the columns and the square of what they leave of eta; cross : Z'S^1/2 eta."""
    if not columns.u:
        return 0, float(eta @ eta)
    stored = columns.sparse
    gram = columns.gram if stored is None else stored.gram(np.arange(columns.u))
    norms = np.sqrt(gram.diagonal())
    scaled = gram / norms / norms[:, None]
    T, order, rank, _ = lapack.dpstrf(scaled, tol=EPS * max(columns.n, columns.u))
    T = np.triu(T[:rank, :rank])
    if np.square(T.diagonal()).min(initial=1.0) < UNCLEAR:
        _, back = pivoted_triangle(columns)
        return back.shape[1], projected(columns, back, eta)[1]
    back = np.zeros((columns.u, rank))
    back[order[:rank] - 1] = lapack.dtrtri(T)[0]
    back /= norms[:, None]
    if cross is not None:
        explained, whole = back.T @ cross, float(eta @ eta)
        rest = whole - float(explained @ explained)
        if rest > DIFFERENCE * whole:
            return rank, rest
    return rank, projected(stored or columns, back, eta)[1]


def leave_one_out(
    problem: L1Problem,
    solutions: Solutions,
    l2: Float,
    refitted: Solutions | None = None,
    gammas: Sequence[float] = (1.0,),
) -> Scores:
    """Approximate leave-one-out errors.

    Parameters
    ----------
    problem : L1Problem
    solutions : Solutions
    l2 : (len(solutions),)
        n alpha (1 - l1_ratio).
    refitted : Solutions, optional
        Their supports without penalty; with it, one row for each gamma.
    gammas : sequence of float
    """
    if refitted is None:
        df_of, means, errors_of = left_out(problem, solutions, l2)
        tiled = (np.tile(row, (len(gammas), 1)) for row in (means, errors_of, df_of))
        return Scores(*tiled)
    weights = problem.data.view.weights
    s = np.ones(problem.data.view.n_samples) if weights is None else weights[weights > 0]
    s = s / s.sum()
    shape = (len(gammas), len(solutions))
    values, errors, df = np.empty(shape), np.empty(shape), np.empty(shape)
    start = 0
    for first, second in _left_out(problem, solutions, l2, refitted):
        some = slice(start, start + len(first[0]))
        start = some.stop
        for g, gamma in enumerate(gammas):
            df[g, some], e = _between(first, second, gamma)
            values[g, some], errors[g, some] = _mean_squares(e, s)
    return Scores(values, errors, df)


def _left_out(
    problem: L1Problem, solutions: Solutions, l2: Float, refitted: Solutions
) -> Iterator[tuple[Errors, Errors]]:
    """Of some solutions at a time, and of their refits."""
    each = smoothers(problem, solutions, l2, leverages=True)
    others = None
    if l2.any() or not _alike(problem, solutions, refitted):
        others = smoothers(problem, refitted, np.zeros_like(l2), leverages=True)
    both = (_few(residual_blocks(problem, fit)) for fit in (solutions, refitted))
    for R, R2 in zip(*both, strict=True):
        one = list(islice(each, len(R)))
        other = one if others is None else list(islice(others, len(R)))
        yield _errors(problem, R, one), _errors(problem, R2, other)


def _few(blocks: Iterator[Float]) -> Iterator[Float]:
    """So many rows of each block that what is made of them stays in cache."""
    for block in blocks:
        step = max(1, IN_CACHE // block.shape[1])
        for start in range(0, len(block), step):
            yield block[start : start + step]


def _alike(problem: L1Problem, solutions: Solutions, refitted: Solutions) -> bool:
    """Whether the same features are free in both."""
    one, other = (Supports.free(problem, fit) for fit in (solutions, refitted))
    return np.array_equal(one.features, other.features) and np.array_equal(one.masks, other.masks)


def _errors(problem: L1Problem, R: Float, found: list[tuple[float, Float | None]]) -> Errors:
    """df, (k,), and e, (k, rows used), from residuals; inf where a row cannot be left out."""
    weights = problem.data.view.weights
    left = np.array([h for _, h in found])
    np.subtract(1.0, left, out=left)
    if weights is not None:
        R, left = R[:, weights > 0], left[:, weights > 0]
    e = np.divide(R, left, out=np.full(R.shape, inf), where=left > SATURATED)
    return np.array([df for df, _ in found]), e


def _between(first: Errors, second: Errors, gamma: float) -> Errors:
    """df and errors of a blend."""
    if gamma == 1.0:
        return first
    if gamma == 0.0:
        return second
    rest = 1.0 - gamma
    return gamma * first[0] + rest * second[0], gamma * first[1] + rest * second[1]


def _mean_squares(e: Float, s: Float) -> tuple[Float, Float]:
    """sum_i s_i e_i^2 of the rows of e, weights that sum to 1, and their standard errors."""
    squares = np.square(e)
    means, n = squares @ s, len(s)
    finite = np.isfinite(means)
    unit = float(means.max(initial=0.0, where=finite)) or 1.0  # the next squares may overflow
    with np.errstate(invalid="ignore"):
        squares -= means[:, None]
        squares /= unit
        np.square(squares, out=squares)
    variances = squares @ s / max(n - 1, 1)
    return means, np.where(finite & (n > 1), unit * np.sqrt(variances), inf)


def sums_of_squares(
    problem: L1Problem,
    solutions: Solutions,
    l2: Float,
    refitted: Solutions | None = None,
    gammas: Sequence[float] = (1.0,),
) -> Scores:
    """RSS and df, for `information`; the parameters are those of `leave_one_out`."""
    fits = [(solutions, l2)]
    if refitted is not None and (l2.any() or not _alike(problem, solutions, refitted)):
        fits.append((refitted, np.zeros_like(l2)))
    dfs = [
        np.array([df for df, _ in smoothers(problem, fit, at, leverages=False)]) for fit, at in fits
    ]
    values, df = np.empty((len(gammas), len(solutions))), np.empty((len(gammas), len(solutions)))
    for g, gamma in enumerate(gammas):
        share = 1.0 if refitted is None else gamma
        mixed = solutions if refitted is None else blend(solutions, refitted, gamma)
        values[g] = residual_squares(problem, mixed)
        df[g] = share * dfs[0] + (1.0 - share) * dfs[-1]
    return Scores(values, None, df)
