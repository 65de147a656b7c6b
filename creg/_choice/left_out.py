"""Approximate leave-one-out errors along a path, without refits in between.

Of tall data the support is followed first, in coordinates; then each block of rows is taken once,
for all directions that come and go and for all residuals, while it is in cache.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from creg._choice.coordinates import Coordinates
from creg._choice.leverages import following, share_of_intercept, smoothers
from creg._choice.residuals import residuals
from creg._choice.rows import SIDES, LeftOut, combine, dense_coefs, tiles_pay
from creg._choice.supports import Supports
from creg._data.threads import parallel, pieces, single_blas
from creg._problem import L1Problem
from creg._solution import Solutions

Float = NDArray[np.float64]

# 1 - h_i up to which a row cannot be left out.
SATURATED = 1e-10
# Numbers in the columns of rows taken at a time.
BLOCK = 250_000
# Rows whose columns and products stay in cache, and products made at a time.
ROWS = 504
AT_ONCE = 32
# Parts of the rows for threads, whatever their number.
PARTS = 16


def left_out(problem: L1Problem, solutions: Solutions, l2: Float) -> tuple[Float, Float, Float]:
    """Degrees of freedom, mean squared errors, and their standard errors, of each solution.

    Parameters
    ----------
    problem : L1Problem
    solutions : Solutions
    l2 : (len(solutions),)
        n alpha (1 - l1_ratio).
    """
    view = problem.data.view
    used = view.n_samples if view.weights is None else np.count_nonzero(view.weights)
    out = LeftOut(len(solutions), view.weights, SATURATED)
    supports, space = following(problem, solutions)
    unit = 1.0
    if (
        isinstance(space, Coordinates)
        and not space.direct
        and not l2.any()
        and len(np.unique(solutions.indices)) == len(supports.features)
    ):
        unit = problem.unit
        with single_blas():
            df = _by_rows(problem, solutions, supports, space, out)
    else:
        df = np.empty(len(solutions))
        each = smoothers(problem, solutions, l2, leverages=True, along=(supports, space))
        for k, (r, (df[k], h)) in enumerate(zip(residuals(problem, solutions), each, strict=True)):
            out.add_one(k, r, h)
    means, errors = out.result(used)
    with np.errstate(over="ignore"):
        return df, unit * unit * means, unit * (unit * errors)


def _by_rows(
    problem: L1Problem, solutions: Solutions, supports: Supports, space: Coordinates, out: LeftOut
) -> Float:
    """Degrees of freedom; the errors, in kernel units, into `out`."""
    df, X, kinds, ends = _combinations(problem, solutions, supports, space)
    columns = space.columns
    eta, begin = columns.weighted(problem.target), share_of_intercept(columns.view)
    rows_of = columns.for_one_pass()
    step = max(BLOCK // columns.u, 64)

    def errors(first: int, last: int) -> LeftOut:
        part = LeftOut(len(solutions), columns.view.weights, SATURATED)
        products = np.empty((X.shape[1], ROWS + -ROWS % SIDES[1]))
        for block in range(first, last, step):
            rows = rows_of(block, min(block + step, last))
            for start in range(0, len(rows), ROWS):
                some = rows[start : start + ROWS]
                _combine(some, X, ends, products)
                at = block + start
                part.add_rows(products, kinds, eta, begin, at, at + len(some))
        return part

    tasks = [partial(errors, *part) for part in pieces(columns.n, PARTS, step)]
    for part in parallel(tasks, problem.data.n_threads):
        out.merge(part)
    return df


def _combine(rows: Float, X: Float, ends: NDArray[np.intp], out: Float) -> None:
    """X'rows', in the first places of `out`."""
    if tiles_pay():
        combine(rows, X, ends, out)
        return
    for k in range(0, X.shape[1], AT_ONCE):
        some = slice(k, k + AT_ONCE)
        top = int(ends[some].max())
        np.matmul(X[:top, some].T, rows[:, :top].T, out=out[some, : len(rows)])


def _combinations(
    problem: L1Problem, solutions: Solutions, supports: Supports, space: Coordinates
) -> tuple[Float, Float, NDArray[np.int8], NDArray[np.intp]]:
    """df; what is multiplied by the columns, in the order and of the kinds of LeftOut.

    Last, how many of the columns, in the order of their first entry, each of these may need.  They
    are filled up with zeros to whole tiles.
    """
    view, basis, back = space.columns.view, space.basis(supports.most), space.back
    assert back is not None
    u, df = len(supports.features), np.empty(len(supports))
    W = dense_coefs(
        solutions.indptr, solutions.indices, solutions.values, supports.features, view.n_features
    )
    W /= (problem.unit * view.scale[supports.features])[:, None]
    last = np.where(supports.masks.any(axis=1), u - supports.masks[:, ::-1].argmax(axis=1), 0)
    tops, parts, kinds, ends = last.tolist(), [], [], []
    for k in range(len(supports)):
        move = basis.move(supports.entering[k], supports.leaving[k])
        df[k] = basis.rank
        end = max(tops[max(k - 1, 0)], tops[k])
        if move.anew:
            kinds.append(2)
            ends.append(0)
        for sign, directions in move.changes:
            parts.append(directions)
            kinds += [int(sign)] * directions.shape[1]
            ends += [end] * directions.shape[1]
        kinds.append(0)
        ends.append(tops[k])
    spare = -len(kinds) % SIDES[0]
    kind, at = np.array(kinds, dtype=np.int8), np.array(ends + [0] * spare, dtype=np.intp)
    X = np.zeros((u, len(at)))
    X[:, np.flatnonzero(kind == 0)] = W
    if parts:
        X[:, np.flatnonzero(np.abs(kind) == 1)] = back @ np.hstack(parts)
    X[np.arange(u)[:, None] >= at] = 0.0  # but for rounding they are
    return df, X, kind, at
