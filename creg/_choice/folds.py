"""Folds, and the squared errors of paths on their held-out rows.

A fold is the same X under other row weights.  Of tall dense X the sums over the rows are made once:
a training set's are the sum of those of its parts, never the total less the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from creg._choice.relaxed import relaxed
from creg._choice.rows import dense_coefs, squared_errors
from creg._data.moments import Moments
from creg._data.storage import Storage
from creg._data.tall import Products, RowSums
from creg._given import Data, Options, Penalty
from creg._problem import L1Problem
from creg._solution import Solutions

Float = NDArray[np.float64]
Rows = NDArray[np.intp]

HELD = 4_000_000  # numbers of predictions and of columns for them held at a time
SPARE = 2_000_000  # numbers that sums over rows may take, however small X is
TABLE = 8  # times the number of rows: up to where numbers are looked up in a table


@dataclass(frozen=True)
class Fold:
    """Rows of one fold.

    Attributes
    ----------
    counts : (n_samples,)
        How often each row is trained on.
    test : intp array
        Held-out rows.
    """

    counts: Float
    test: Rows


@dataclass(frozen=True)
class Rounds:
    """What all fits of one choice share.

    Attributes
    ----------
    storage : Storage
    y : (n_samples,)
    weights : (n_samples,) or None
        Sample weights as given.
    fit_intercept : bool
    penalties : list of Penalty
        One for each l1_ratio.
    options : Options
    """

    storage: Storage
    y: Float
    weights: Float | None
    fit_intercept: bool
    penalties: list[Penalty]
    options: Options

    def weighted(self, counts: Float | None) -> Float | None:
        """The sample weights times `counts`."""
        if counts is None or self.weights is None:
            return self.weights if counts is None else counts
        return counts * self.weights

    def data(
        self, counts: Float | None, n_alphas: int, given: Products | None,
        moments: Moments | None = None,
    ) -> Data:  # fmt: skip
        """X under the sample weights times `counts`."""
        path = bool(n_alphas) and any(penalty.l1_ratio > 0 for penalty in self.penalties)
        return Data(
            self.storage, self.weighted(counts), self.fit_intercept,
            scaled=self.penalties[0].standardize, n_alphas=n_alphas if path else 0,
            n_threads=self.options.n_threads, given=given, moments=moments,
        )  # fmt: skip


@dataclass(frozen=True)
class FoldErrors:
    """One fold.

    Attributes
    ----------
    errors : (n_gammas, n_l1_ratios, n_alphas)
        Mean squared errors on the held-out rows, nan where their weights are all zero.
    solutions : list of Solutions
        One for each l1_ratio.
    """

    errors: Float
    solutions: list[Solutions]


class Statistics:
    """Sums over the rows of tall dense X for the full fit and each fold, where they pay."""

    def __init__(self, rounds: Rounds, folds: Sequence[Fold], n_alphas: int) -> None:
        self._rounds, self._sums = rounds, None
        data = rounds.data(None, n_alphas, None)
        storage = rounds.storage
        if not folds or storage.issparse or not n_alphas or not data.gram_pays(n_alphas):
            return
        owner = _patterns(folds, storage.n_samples)
        whole = np.bincount(owner)
        ends = np.cumsum(whole)
        if len(ends) * storage.n_features**2 > max(storage.size, SPARE):
            return
        order = np.argsort(owner, kind="stable")
        sets = np.split(order, ends[:-1])
        first = np.array([rows[0] for rows in sets])
        self._counts = np.array([fold.counts[first] for fold in folds])
        self._tests = [_held_out(fold, owner, whole) for fold in folds]
        y, weights = rounds.y, rounds.weights
        self._mean = float(np.average(y, weights=weights)) if rounds.fit_intercept else 0.0
        self._sums = RowSums(
            storage, weights, rounds.fit_intercept, y - self._mean, sets, rounds.options.n_threads
        )

    @property
    def known(self) -> bool:
        """Whether they do."""
        return self._sums is not None

    def of(self, fold: int | None) -> Products | None:
        """Of a fold's training rows, or of all rows, in the units of y."""
        if self._sums is None:
            return None
        counts = np.ones(self._counts.shape[1]) if fold is None else self._counts[fold]
        return self._sums.products(counts, float(self._rounds.storage.n_samples))

    def errors(self, fold: int, fit: Solutions) -> Float | None:
        """(n_alphas,) mean squared errors on a fold's held-out rows, where they are exact."""
        tested = self._tests[fold] if self._sums is not None else None
        if self._sums is None or tested is None:
            return None
        constants = fit.intercepts - self._mean
        return self._sums.mean_squares(tested, fit.indptr, fit.indices, fit.values, constants)


def _patterns(folds: Sequence[Fold], n_samples: int) -> Rows:
    """(n_samples,) numbers from 0 on, equal for rows that play the same part in every fold."""
    owner, count = np.full(n_samples, -1, dtype=np.intp), 1
    for k, fold in enumerate(folds):
        owner[fold.test] = k
    if owner.min() >= 0 and all(
        np.array_equal(fold.counts, owner != k) for k, fold in enumerate(folds)
    ):
        return owner  # each row is held out once
    owner[:] = 0
    for fold in folds:
        part = 2 * fold.counts.astype(np.intp)
        part[fold.test] += 1
        width = int(part.max()) + 1
        if count * width > TABLE * n_samples:
            owner = _numbered(owner, count)
            count = int(owner.max()) + 1
        owner = owner * width + part
        count *= width
    return _numbered(owner, count)


def _numbered(owner: Rows, count: int) -> Rows:
    """Numbers below `count`, in their order without gaps."""
    if count > TABLE * len(owner):
        return np.unique(owner, return_inverse=True)[1].reshape(-1)
    seen = np.bincount(owner, minlength=count) > 0
    return (np.cumsum(seen) - 1)[owner]


def _held_out(fold: Fold, owner: Rows, whole: Rows) -> NDArray[np.bool_] | None:
    """Which patterns make up the held-out rows, if none of those is there twice.

    whole : how many rows each pattern has
    """
    tested = np.bincount(owner[fold.test], minlength=len(whole))
    return tested > 0 if np.all((tested == 0) | (tested == whole)) else None


def held_out_errors(
    rounds: Rounds,
    folds: Sequence[Fold],
    number: int,
    fits: Sequence[tuple[L1Problem, Solutions]],
    gammas: Sequence[float] | None,
    statistics: Statistics,
) -> FoldErrors:
    """Of a fold; fits : for each l1_ratio."""
    errors = []
    for problem, solutions in fits:
        known = statistics.errors(number, solutions) if gammas is None else None
        if known is not None:
            errors.append(known[None])
            continue
        both = [solutions]
        if gammas is not None:
            both.append(relaxed(problem, solutions, rounds.options))
        errors.append(_errors(rounds, folds[number].test, both, gammas or [1.0]))
    return FoldErrors(np.array(errors).swapaxes(0, 1), [solutions for _, solutions in fits])


def _errors(
    rounds: Rounds, rows: Rows, fits: Sequence[Solutions], gammas: Sequence[float]
) -> Float:
    """(n_gammas, n_alphas) mean squared errors of gamma first + (1 - gamma) last fit."""
    n_alphas = len(fits[0])
    weights = np.ones(len(rows)) if rounds.weights is None else rounds.weights[rows]
    total, sums = float(weights.sum()), np.zeros((len(gammas), n_alphas))
    if not total:
        return np.full_like(sums, np.nan)
    used = np.zeros(rounds.storage.n_features, dtype=bool)
    for fit in fits:
        used[fit.indices] = True
    columns = np.flatnonzero(used)
    coefs = [dense_coefs(fit.indptr, fit.indices, fit.values, columns, len(used)) for fit in fits]
    if _by_entries(rounds.storage, rows, n_alphas):
        for k, gamma in enumerate(gammas):
            share = (gamma, 1.0 - gamma)[: len(fits)]
            sums[k] = squared_errors(
                rounds.storage, rows, columns, _mixed(share, coefs), rounds.y[rows],
                _mixed(share, [fit.intercepts for fit in fits]), weights,
            )  # fmt: skip
        return sums / total
    start = 0
    for part in _parts(rounds.storage, rows, columns, n_alphas):
        here = slice(start, start + part.shape[0])
        start = here.stop
        values = [part @ W + fit.intercepts for W, fit in zip(coefs, fits, strict=True)]
        for k, gamma in enumerate(gammas):
            mixed = values[0] if gamma == 1 else gamma * values[0] + (1 - gamma) * values[-1]
            r = rounds.y[rows[here], None] - mixed
            sums[k] += np.einsum("i,ia,ia->a", weights[here], r, r)
    return sums / total


def _by_entries(storage: Storage, rows: Rows, n_alphas: int) -> bool:
    """Whether stored entries of columns are to be walked through."""
    if not storage.issparse or storage.is_row_layout or len(rows) * n_alphas > HELD:
        return False
    return int(np.bincount(rows).max(initial=0)) <= 1


def _mixed(shares: Sequence[float], arrays: Sequence[Float]) -> Float:
    """The sum of each share of its array, without the last where its share is none."""
    if len(arrays) == 1 or shares[0] == 1.0:
        return arrays[0]
    return shares[0] * arrays[0] + shares[1] * arrays[1]


def _parts(storage: Storage, rows: Rows, columns: Rows, n_alphas: int) -> Iterator[Any]:
    """These rows of these columns, some rows at a time."""
    X = storage.X
    if sparse.issparse(X):
        X = X[:, columns].tocsr() if X.format == "csc" else X
    step = max(64, HELD // max(len(columns), n_alphas, 1))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        part = X[_range(some)]
        if part.shape[1] != len(columns):
            part = part[:, columns]
        yield part if sparse.issparse(part) else part.astype(np.float64, copy=False)


def _range(rows: Rows) -> slice | Rows:
    """The rows, as a slice if they are one."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows) and np.all(np.diff(rows) == 1):
        return slice(first, last + 1)
    return rows
