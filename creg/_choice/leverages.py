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
from creg._choice.shrunken import shrunken
from creg._choice.supports import Supports
from creg._data.threads import single_blas
from creg._problem import L1Problem
from creg._solution import Solutions

Float = NDArray[np.float64]
Smoother = tuple[float, Float | None]

# Solutions, or directions, that wait for one pass over the rows.
TOGETHER = 64


def smoothers(
    problem: L1Problem, solutions: Solutions, l2: Float, *, leverages: bool
) -> Iterator[Smoother]:
    """Degrees of freedom, the intercept not counted, and leverages of each solution.

    Parameters
    ----------
    problem : L1Problem
    solutions : Solutions
    l2 : (len(solutions),)
        n alpha (1 - l1_ratio), as the kernels have it; all 0 or all > 0.
    leverages : bool

    Yields
    ------
    df : float
    h : (n_samples,) or None
        The intercept's share included; 0 in rows without weight.
    """
    view = problem.data.view
    supports = Supports.free(problem, solutions)
    share = np.zeros(view.n_samples)
    if view.centred:
        share += (1.0 if view.weights is None else view.weights) / view.sum_weights
    with single_blas():
        for df, h in _each(problem, supports, l2, leverages):
            if h is not None:
                h = h + share
                if view.weights is not None:
                    h[view.weights == 0] = 0.0
            yield df, h


def _each(problem: L1Problem, supports: Supports, l2: Float, leverages: bool) -> Iterator[Smoother]:
    data = problem.data
    space = coordinates(ActiveColumns(data.view, supports.features, data.known_gram))
    if not l2.any():
        yield from _projections(space, supports, leverages)
        return
    b = squared_penalty(problem, supports.features)
    yield from shrunken(space, supports.masks, b, l2, leverages)


def squared_penalty(problem: L1Problem, features: NDArray[np.intp]) -> Float:
    """b_j = v_j d_j^2 of these features."""
    view, penalty = problem.data.view, problem.penalty
    d2 = np.square(view.scale[features])
    if penalty.standardize:
        d2 = view.norm2[features] / view.sum_weights
    return d2 if penalty.weights is None else penalty.weights[features] * d2


def _projections(
    space: Coordinates | Entries, supports: Supports, leverages: bool
) -> Iterator[Smoother]:
    basis, projection = space.basis(supports.most), Projection(space)
    ranks, moves = [], []
    for k in range(len(supports)):
        move = basis.move(supports.entering[k], supports.leaving[k])
        if not leverages:
            yield float(basis.rank), None
            continue
        ranks.append(float(basis.rank))
        moves.append(move)
        if k == len(supports) - 1 or projection.is_due(moves):
            yield from zip(ranks, projection.after(moves), strict=True)
            ranks, moves = [], []


class Projection:
    """The diagonal of a projection whose directions come and go."""

    def __init__(self, space: Coordinates | Entries) -> None:
        self._space = space
        self._h = np.zeros(space.columns.n)

    def is_due(self, moves: list[Moves]) -> bool:
        """Whether enough directions wait for one pass over the rows."""
        if self._space.direct or len(moves) >= TOGETHER:
            return True
        return sum(d.shape[1] for move in moves for _, d in move.changes) >= TOGETHER

    def after(self, moves: list[Moves]) -> Iterator[Float]:
        """(n,) after each move."""
        changes = [change for move in moves for change in move.changes]
        if self._space.direct:
            rows = iter([directions for _, directions in changes])
        else:
            rows = self._over_rows([directions for _, directions in changes])
        for move in moves:
            if move.anew:
                self._h[:] = 0.0
            for sign, _ in move.changes:
                q = next(rows)
                squares = np.einsum("ij,ij->i", q, q)
                self._h += squares if sign > 0 else -squares
            yield self._h

    def _over_rows(self, directions: list[Float]) -> Iterator[Float]:
        """Q_U d, (n, k), of each, in one pass."""
        if not directions:
            return
        ends = np.cumsum([d.shape[1] for d in directions])
        rows = np.empty((self._space.columns.n, ends[-1]), order="F")
        for start, stop, part in self._space.products(np.hstack(directions)):
            rows[start:stop] = part
        yield from np.split(rows, ends[:-1], axis=1)
