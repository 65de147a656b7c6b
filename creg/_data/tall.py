"""All that is known of tall dense X in p-space, in one read of it.

With a shift a near the means, powers of two u that bring the columns to a size near one and

    B = S^1/2 [ (X - 1 a') diag(u), y, 1 ] ,   C = B'B ,   W = sum s ,   d = C_1X / W

the means are a + d / u and the centred products C_XX - W d d' and C_Xy - d C_1y.  Sampled rows are
rows of X, so W d_j^2 is at most W over their weight times the centred C_jj; where it is large
nevertheless, a is replaced by the means, or the difference is not taken.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from creg._data.blocks import Blocks, centred_in_place
from creg._data.moments import Moments
from creg._data.single import single_gram
from creg._data.storage import Storage

Float = NDArray[np.float64]

# Rows of the sample that the shift is from: places, and neighbours at each.
PLACES = 16
NEIGHBOURS = 8
# W d^2 over the centred square above which the difference loses too much.
HEAVY = 100.0
# n mean^2 over the centred square up to which nothing need be subtracted.
LIGHT = 3.0
# Squares between these lost nothing to underflow or overflow.
SMALL, LARGE = 1e-200, 1e200


class Products(NamedTuple):
    """What a DesignView has to know of the columns, Z'SZ and Z'Sy."""

    moments: Moments
    gram: Float
    cross: Float


def products(
    storage: Storage,
    weights: Float | None,
    centre: bool,
    y: Float,
    n_threads: int,
    *,
    rough: bool = False,
) -> Products | None:
    """Of dense X and y, in one read; None where that would lose accuracy.

    Parameters
    ----------
    storage : Storage
        Dense; that its values are finite is seen on the way.
    weights : (n_samples,) or None
    centre : bool
    y : (n_samples,)
    n_threads : int
        The result does not depend on it.
    rough : bool
        Multiply float32 X in float32, to about 1e-8; means, norms and products are no better.

    Raises
    ------
    Whatever the storage's check raises where a value is not finite.
    """
    p = storage.n_features
    root = None if weights is None else np.sqrt(weights)
    with np.errstate(over="ignore", invalid="ignore"):
        shift, unit = _shift_and_unit(storage, weights, centre)
        total = float(storage.n_samples if weights is None else weights.sum())
        for heavy in (HEAVY, LIGHT):
            if rough:
                shift = shift.astype(np.float32).astype(np.float64)
                C = single_gram(storage, shift, unit, root, y, centre, n_threads)
            else:
                C = Blocks(storage, shift, unit, root, y, centre).gram(n_threads)
            squares = C.diagonal()[:p].copy()
            if not np.isfinite(squares).all():
                storage.verify()
                return None
            storage.known_finite()
            d = C[:p, p + 1] / total if centre else np.zeros(p)
            excess = total * d * d
            live = squares > 0
            squares -= excess
            if np.any(excess > heavy * squares) or np.any(
                live & ~((squares > SMALL) & (squares < LARGE))
            ):
                return None
            if not np.any(excess > LIGHT * squares):
                break
            # the sample misled: once more about the means themselves
            shift = shift + d / unit
    moments = Moments.of_sums(shift + d / unit, squares, unit, total)
    factor = np.where(moments.norm2 > 0, moments.scale / unit, 0.0)
    cross = C[:p, p] * factor
    if centre:
        cross -= d * factor * C[p, p + 1]
    G = centred_in_place(C, p, total, d, factor)
    np.fill_diagonal(G, moments.norm2)
    return Products(moments, G, cross)


def _shift_and_unit(storage: Storage, weights: Float | None, centre: bool) -> tuple[Float, Float]:
    """Means of a few rows of positive weight (zeros if not centred), and powers of two.

    Zeros and ones, so that X need not be copied, where that loses little.
    """
    p = storage.n_features
    rows, s = _sample(storage.X, weights)
    shift = np.zeros(p)
    if centre:
        # a constant column comes out as exactly that
        shift = rows[0] + np.average(rows - rows[0], axis=0, weights=s)
    size = np.abs(rows - shift).max(axis=0)
    free = weights is None and storage.dtype == np.float64  # to stay where it is
    if free and np.all((size == 0) | _moderate(size)):
        doubtful = np.flatnonzero(np.abs(shift) > size)
        if len(doubtful) <= p // 8 and all(_is_light(storage.X[:, j]) for j in doubtful):
            return np.zeros(p), np.ones(p)
    exponent = np.frexp(np.where((size > 0) & np.isfinite(size), size, 0.5))[1]
    return shift, np.ldexp(1.0, -np.clip(exponent, -1000, 1000))


def _is_light(x: NDArray[Any]) -> bool:
    """Whether n mean^2 is small against the centred square."""
    total, square = float(x.sum()), float(x @ x)
    return total * total / len(x) <= LIGHT * (square - total * total / len(x))


def _moderate(size: Float) -> NDArray[np.bool_]:
    return (size > SMALL**0.5) & (size < LARGE**0.5)


def _sample(X: Any, weights: Float | None) -> tuple[Float, Float | None]:
    """Rows from PLACES places, NEIGHBOURS next to each other at each, as float64; weights."""
    seen = None if weights is None else np.flatnonzero(weights)
    count = len(X) if seen is None else len(seen)
    starts = np.linspace(0, max(count - NEIGHBOURS, 0), PLACES).astype(np.intp)
    chosen = np.unique(np.minimum(starts[:, None] + np.arange(NEIGHBOURS), count - 1))
    if seen is not None:
        chosen = seen[chosen]
    rows = X[chosen].astype(np.float64)
    return rows, None if weights is None else weights[chosen]
