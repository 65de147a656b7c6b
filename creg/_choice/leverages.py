"""Degrees of freedom and leverages along a path.

With A the features that are free (nonzero, not at a bound), Z their columns in kernel units and
B = diag(b_A),

    H = S^1/2 Z_A (Z_A'S Z_A + l2 B)^-1 Z_A' S^1/2 ,    df = tr H ,    h_i = s_i / sum s + H_ii .
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from creg._choice.basis import Moves
from creg._choice.columns import ActiveColumns
from creg._choice.coordinates import Coordinates, Entries, coordinates
from creg._choice.rows import add_squares
from creg._choice.shrunken import shrunken
from creg._choice.supports import Supports
from creg._data.design import DesignView
from creg._data.threads import single_blas
from creg._problem import L1Problem
from creg._solution import Solutions

Float = NDArray[np.float64]
Smoother = tuple[float, Float | None]
Along = tuple[Supports, Coordinates | Entries]

# Solutions, or directions, that wait for one pass over the rows.
TOGETHER = 64


def following(problem: L1Problem, solutions: Solutions) -> Along:
    """The supports in the order of entry, and where their columns are worked with."""
    supports = Supports.free(problem, solutions, by_entry=True)
    data = problem.data
    with single_blas():
        columns = ActiveColumns(data.view, supports.features, data.known_gram)
        return supports, coordinates(columns)


def share_of_intercept(view: DesignView) -> Float:
    """s_i / sum s, or 0 where there is no intercept."""
    share = np.zeros(view.n_samples)
    if view.centred:
        share += (1.0 if view.weights is None else view.weights) / view.sum_weights
    return share


def smoothers(
    problem: L1Problem,
    solutions: Solutions,
    l2: Float,
    *,
    leverages: bool,
    along: Along | None = None,
) -> Iterator[Smoother]:
    """Degrees of freedom, the intercept not counted, and leverages of each solution.

    Parameters
    ----------
    problem : L1Problem
    solutions : Solutions
    l2 : (len(solutions),)
        n alpha (1 - l1_ratio), as the kernels have it; all 0 or all > 0.
    leverages : bool
    along : (Supports, Coordinates or Entries), optional
        What `following` returned.

    Yields
    ------
    df : float
    h : (n_samples,) or None
        The intercept's share included; 0 in rows without weight.
    """
    view = problem.data.view
    supports, space = following(problem, solutions) if along is None else along
    share = share_of_intercept(view) if leverages else None
    with single_blas():
        for df, h in _each(problem, supports, space, l2, share):
            if h is not None and view.weights is not None:
                h[view.weights == 0] = 0.0
            yield df, h


def _each(
    problem: L1Problem, supports: Supports, space: Coordinates | Entries, l2: Float,
    share: Float | None,
) -> Iterator[Smoother]:  # fmt: skip
    if not l2.any():
        yield from _projections(space, supports, share)
        return
    b = squared_penalty(problem, supports.features)
    for df, h in shrunken(space, supports.masks, b, l2, share is not None):
        yield df, None if h is None or share is None else h + share


def squared_penalty(problem: L1Problem, features: NDArray[np.intp]) -> Float:
    """b_j = v_j d_j^2 of these features."""
    view, penalty = problem.data.view, problem.penalty
    d2 = np.square(view.scale[features])
    if penalty.standardize:
        d2 = view.norm2[features] / view.sum_weights
    return d2 if penalty.weights is None else penalty.weights[features] * d2


def _projections(
    space: Coordinates | Entries, supports: Supports, share: Float | None
) -> Iterator[Smoother]:
    basis = space.basis(supports.most)
    if share is None:
        for entering, leaving in zip(supports.entering, supports.leaving, strict=True):
            basis.move(entering, leaving)
            yield float(basis.rank), None
        return
    if space.direct:
        h = share
        for entering, leaving in zip(supports.entering, supports.leaving, strict=True):
            move = basis.move(entering, leaving)
            h = after(share if move.anew else h, move.changes)
            yield float(basis.rank), h
        return
    projection = Projection(space, share)
    ranks, moves = [], []
    for k in range(len(supports)):
        moves.append(basis.move(supports.entering[k], supports.leaving[k]))
        ranks.append(float(basis.rank))
        if k == len(supports) - 1 or projection.is_due(moves):
            yield from zip(ranks, projection.after(moves), strict=True)
            ranks, moves = [], []


def after(h: Float, rows: list[tuple[float, Float]]) -> Float:
    """The diagonal with the squares of directions added, an array of its own."""
    h = h.copy()
    for sign, q in rows:
        add_squares(h, np.asfortranarray(q), sign)
    return h


class Projection:
    """The diagonal of a projection whose directions come and go, added to what it begins with.

    Directions are combinations of columns, a pass over whose rows serves several moves.
    """

    def __init__(self, space: Coordinates | Entries, begin: Float) -> None:
        self._space, self._begin, self._h = space, begin, begin

    def is_due(self, moves: list[Moves]) -> bool:
        """Whether enough directions wait for one pass over the rows."""
        if len(moves) >= TOGETHER:
            return True
        return sum(d.shape[1] for move in moves for _, d in move.changes) >= TOGETHER

    def after(self, moves: list[Moves]) -> Iterator[Float]:
        """(n,) after each move, an array of its own."""
        for move, changes in zip(moves, self._rows(moves), strict=True):
            self._h = after(self._begin if move.anew else self._h, changes)
            yield self._h

    def _rows(self, moves: list[Moves]) -> Iterator[list[tuple[float, Float]]]:
        """The signs and rows of each move's directions, in one pass."""
        signs = [sign for move in moves for sign, d in move.changes for _ in range(d.shape[1])]
        directions = [d for move in moves for _, d in move.changes]
        rows = np.empty((self._space.columns.n, len(signs)), order="F")
        if signs:
            for start, stop, part in self._space.products(np.hstack(directions)):
                rows[start:stop] = part
        end = 0
        for move in moves:
            start, end = end, end + sum(d.shape[1] for _, d in move.changes)
            yield [(signs[k], rows[:, k : k + 1]) for k in range(start, end)]
