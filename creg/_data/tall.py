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

from creg._data.blocks import Blocks
from creg._data.moments import Moments
from creg._data.quadratic import squares_along
from creg._data.single import single_gram
from creg._data.storage import Storage
from creg._data.sums import Sums

Float = NDArray[np.float64]
Rows = NDArray[np.intp]

# Rows of the sample that the shift is from: places, and neighbours at each.
PLACES = 16
NEIGHBOURS = 8
# W d^2 over the centred square above which the difference loses too much.
HEAVY = 100.0
# n mean^2 over the centred square up to which nothing need be subtracted.
LIGHT = 3.0
# Bytes of rows taken out of X at once.
GATHERED = 4_000_000
# What rounding may be, relative to magnitudes, and may take of a mean square.
ROUNDING, VISIBLE = 1e-14, 1e-8
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
            if not np.isfinite(C.diagonal()).all():
                storage.verify()
                return None
            storage.known_finite()
            sums = Sums(C, shift, unit, total, centre)
            if sums.doubtful(heavy):
                return None
            if not sums.doubtful(LIGHT):
                break
            # the sample misled: once more about the means themselves
            shift = sums.means
    return Products(*sums.products())


class RowSums:
    """C over disjoint sets of rows about one shift: that of any union is a sum of them.

    Parameters
    ----------
    storage, weights, centre, n_threads
        As for `products`.
    y : (n_samples,)
        The target about a number near its means.
    sets : list of intp arrays
        Rows, ascending; none twice.
    """

    def __init__(
        self, storage: Storage, weights: Float | None, centre: bool, y: Float,
        sets: list[Rows], n_threads: int,
    ) -> None:  # fmt: skip
        self.storage, self._centre = storage, centre
        self._sets = sets if weights is None else [rows[weights[rows] > 0] for rows in sets]
        with np.errstate(over="ignore", invalid="ignore"):
            self._shift, self._unit = _shift_and_unit(storage, weights, centre)
            root = None if weights is None else np.sqrt(weights)
            whole = Blocks(storage, self._shift, self._unit, root, y, centre)
            self._sums = np.array(
                [self._sum(whole, rows, root, y, n_threads) for rows in self._sets]
            )
        self._totals = np.array(
            [len(rows) if weights is None else weights[rows].sum() for rows in sets]
        )
        if not np.isfinite(self._sums.diagonal(axis1=1, axis2=2)).all():
            storage.verify()
        storage.known_finite()

    def products(self, counts: Float, total: float) -> Products | None:
        """Of the sets, each counted so often, row weights rescaled to a sum of `total`."""
        factor = total / float(counts @ self._totals)
        with np.errstate(over="ignore", invalid="ignore"):
            flat = self._sums.reshape(len(counts), -1)
            C = np.dot(counts * factor, flat).reshape(self._sums.shape[1:])
            sums = Sums(C, self._shift, self._unit, total, self._centre)
            # what is rare may be in no row of these sets
            for j in sums.doubtful(LIGHT):
                value = self._constant(j, counts > 0)
                if value is None:
                    return None
                sums.hold(j, value)
            return Products(*sums.products())

    def _constant(self, j: int, sets: NDArray[np.bool_]) -> float | None:
        """The one value of a column in some of the sets, if it is about its mean."""
        if not self._centre:
            return None
        chosen = (rows for rows, wanted in zip(self._sets, sets, strict=True) if wanted)
        values = np.concatenate([self.storage.X[rows, j] for rows in chosen])
        return float(values[0]) if np.all(values == values[0]) else None

    def mean_squares(
        self, sets: NDArray[np.bool_], indptr: Rows, indices: Rows, values: Float, constants: Float
    ) -> Float | None:
        """Weighted means over the rows of some sets of (y_i - x_i'w - constant)^2, (k,).

        None where rounding may show.

        Parameters
        ----------
        sets : (n_sets,) bool
        indptr, indices, values : ndarray
            Coefficients w as in CSC, (n_features, k), indices ascending.
        constants : (k,)
        """
        chosen = np.flatnonzero(sets)
        one = len(chosen) == 1
        weight = float(self._totals[chosen[0]] if one else self._totals[chosen].sum())
        if not weight:
            return None
        C = self._sums[chosen[0]] if one else self._sums[chosen].sum(axis=0)
        squares, magnitudes = squares_along(
            C, self._shift, self._unit, indptr, indices, values, constants
        )
        if (ROUNDING * magnitudes * magnitudes <= VISIBLE * squares).all():
            return np.asarray(squares / weight)
        return None

    def _sum(
        self, whole: Blocks, rows: Rows, root: Float | None, y: Float, n_threads: int
    ) -> Float:
        """C of some rows; `whole` is of all."""
        if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
            return np.asarray(whole.gram(n_threads, (int(rows[0]), int(rows[-1]) + 1)))
        storage = self.storage
        width = storage.n_features + 1 + self._centre
        total = np.zeros((width, width))
        step = max(64, GATHERED // (8 * storage.n_features))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            part = Blocks(
                Storage(storage.X[some]), self._shift, self._unit,
                None if root is None else root[some], y[some], self._centre,
            )  # fmt: skip
            total += part.gram(n_threads)
        return total


def _shift_and_unit(storage: Storage, weights: Float | None, centre: bool) -> tuple[Float, Float]:
    """Means of a few rows of positive weight (zeros if not centred), and powers of two.

    Zeros and ones, so that X need not be copied, where that loses little.
    """
    p = storage.n_features
    rows, s = _sample(storage.X, weights)
    shift = np.zeros(p)
    if centre:
        # a constant column comes out as exactly that
        apart = rows - rows[0]
        shift = rows[0] + (apart.mean(axis=0) if s is None else s @ apart / s.sum())
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
    starts = np.arange(PLACES) * max(count - NEIGHBOURS, 0) // (PLACES - 1)
    chosen = (starts[:, None] + np.arange(NEIGHBOURS)).reshape(-1)
    if starts[1] < NEIGHBOURS:
        chosen = np.arange(count)
    if seen is not None:
        chosen = seen[chosen]
    rows = X[chosen].astype(np.float64)
    return rows, None if weights is None else weights[chosen]
