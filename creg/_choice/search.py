"""All that is tried for one choice: paths on all rows and on each fold, and what they score.

Problems are prepared together where that takes little, and then followed, each without the GIL.
Where a path reads columns of X, those of several training sets share full reads of X, for the
means and norms of its columns and, if that pays, for their certificates.  Who shares with whom
does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from creg._along import Watch, solve_all_along
from creg._choice.choice import FullPath, across_folds, problems, smallest
from creg._choice.criteria import (
    information,
    leave_one_out,
    n_used,
    noise_variance,
    sums_of_squares,
)
from creg._choice.folds import Fold, FoldErrors, Rounds, Statistics, held_out_errors
from creg._choice.relaxed import relaxed
from creg._data.several import moments_of_several
from creg._data.threads import parallel
from creg._given import Data, Options, rescaled
from creg._problem import L1Problem
from creg._solution import Progress, Solution, Solutions

Float = NDArray[np.float64]

# Training sets that share reads.
TOGETHER = 6
# Numbers in all Gram blocks of their working sets up to which these stay in cache, and share of
# the entries of X from which on reading them again from memory costs more than is gained.
CACHED = 250_000
SHARE = 0.2
# Numbers in the Gram blocks of problems that are there at once.
LIVE = 16_000_000
# Entries of X from which on predictions are worth a thread.
LONG = 1_000_000


class NoNoiseVarianceError(Exception):
    """It was not given, and there are not more rows (first argument) than features (second)."""


@dataclass(frozen=True)
class Asked:
    """Parameters, checked."""

    criterion: str
    ratios: list[float]
    several: bool
    gammas: list[float] | None
    alphas: int | Float
    eps: float
    noise_variance: float | None
    options: Options
    n_jobs: int

    @property
    def n_alphas(self) -> int:
        """At each l1_ratio."""
        return self.alphas if isinstance(self.alphas, int) else len(self.alphas)


@dataclass(frozen=True)
class Found:
    """For every gamma, l1_ratio and alpha, in this order of axes."""

    full: list[FullPath]
    criterion: Float
    error: Float | None = None  # standard errors
    by_fold: Float | None = None  # with folds as the last axis
    df: Float | None = None
    noise_variance: float | None = None
    folds: Sequence[FoldErrors] = ()


def search(rounds: Rounds, asked: Asked, folds: Sequence[Fold], progress: Progress | None) -> Found:
    """Solve, and score by the criterion.

    Raises
    ------
    NoNoiseVarianceError
    """
    watch = None
    if progress is not None and progress.shown:
        count = (1 + len(folds)) * asked.n_alphas * len(asked.ratios)
        watch = partial(_show, progress, count)
    fits = _Fits(rounds, asked, folds, watch)
    results: list[Any] = [None] * (1 + len(folds))
    tasks: list[Callable[[], list[Any]]] = [partial(fits.solve, group) for group in fits.groups]
    for group, solved in zip(fits.groups, parallel(tasks, asked.n_jobs), strict=True):
        for k, one in zip(group, solved, strict=True):
            results[k] = one
    full, *errors = results
    if not folds:
        return _by_criterion(asked, full, None)
    by_fold = np.stack([fit.errors for fit in errors], axis=-1)
    mean, error = across_folds(by_fold)
    found = Found(full, mean, error, by_fold, folds=errors)
    return found if asked.criterion == "cv" else _by_criterion(asked, full, found)


def _show(progress: Progress, count: int, _: int, solution: Solution) -> None:
    """Of all the solves, not of one path's."""
    progress(count, solution)


def _of_size(most: int, count: int) -> list[list[int]]:
    """range(count) in as few parts of at most so many as will do, of about the same size."""
    size = -(-count // -(-count // most))
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


class _Fits:
    """Number 0 is all rows, the others are the training sets of the folds."""

    def __init__(
        self, rounds: Rounds, asked: Asked, folds: Sequence[Fold], watch: Watch | None
    ) -> None:
        self._rounds, self._folds, self._watch = rounds, folds, watch
        self._n_alphas, self._gammas = asked.n_alphas, asked.gammas
        self._statistics = Statistics(rounds, folds, asked.n_alphas)
        self._moments: list[Any] = [None] * (1 + len(folds))
        self._shared, count = False, 1 + len(folds)
        read = self._read_columns(asked)
        if read:
            self._read_moments(rounds)
            self._shared = self._share(count)
        ready = read or (self._statistics.known and rounds.data(None, 0, None).is_narrow)
        self.groups = _of_size(TOGETHER if ready and self._fit_in(count) else 1, count)
        at_once = min(asked.n_jobs, len(self.groups))
        self._each_at_once = max(1, asked.n_jobs // at_once)
        each = replace(rounds.options, n_threads=max(1, asked.options.n_threads // at_once))
        self._rounds = replace(rounds, options=each)
        self._full = problems(rounds, self._data(0), asked.alphas, asked.eps)

    def _read_columns(self, asked: Asked) -> bool:
        """Whether paths will read columns of X, and their Gram matrix is not made."""
        data = self._rounds.data(None, self._n_alphas, None)
        known = data.is_narrow or data.gram_pays(self._n_alphas)
        return bool(self._folds) and asked.options.solver == "auto" and not known

    def _share(self, count: int) -> bool:
        """Whether reading fewer of them is worth it.

        What it costs is that working sets, of up to min(n, p) features, take turns in cache.
        """
        storage = self._rounds.storage
        blocks = count * min(storage.shape) ** 2
        return self._watch is None and blocks <= max(SHARE * storage.size, CACHED)

    def _fit_in(self, count: int) -> bool:
        """Whether problems of which enough is known may be prepared together.

        Threads then have nothing left to do but to follow paths, without the GIL.
        """
        blocks = min(TOGETHER, count) * min(self._rounds.storage.shape) ** 2
        return self._shared or (self._watch is None and blocks <= LIVE)

    def _read_moments(self, rounds: Rounds) -> None:
        storage = rounds.storage.columns()
        weights = []
        for counts in [None, *(fold.counts for fold in self._folds)]:
            scaled = rescaled(rounds.weighted(counts))
            weights.append(np.ones(storage.n_samples) if scaled is None else scaled)
        for group in _of_size(TOGETHER, len(weights)):
            found = moments_of_several(
                storage, [weights[k] for k in group], rounds.fit_intercept,
                rounds.options.n_threads,
            )  # fmt: skip
            for k, moments in zip(group, found, strict=True):
                self._moments[k] = moments
        if all(np.isfinite(moments.norm2).all() for moments in self._moments):
            storage.known_finite()  # a norm is finite where every value is
            rounds.storage.known_finite()
        else:
            rounds.storage.verify()

    def _data(self, k: int) -> Data:
        counts = self._folds[k - 1].counts if k else None
        given = self._statistics.of(k - 1 if k else None)
        return self._rounds.data(counts, self._n_alphas, given, self._moments[k])

    def solve(self, group: Sequence[int]) -> list[Any]:
        """The list of FullPath of all rows, or FoldErrors, of each."""
        rounds = self._rounds
        data = [self._data(k) if k else None for k in group]
        solved: list[list[tuple[L1Problem, Solutions]]] = [[] for _ in group]
        for penalty, (full, alphas) in zip(rounds.penalties, self._full, strict=True):
            fits = [full if d is None else L1Problem(d, rounds.y, penalty) for d in data]
            along = solve_all_along(
                fits, alphas, rounds.options, self._watch, self._each_at_once, share=self._shared
            )
            for out, problem, solutions in zip(solved, fits, along, strict=True):
                out.append((problem, solutions))
        tasks = [partial(self._scored, k, fits) for k, fits in zip(group, solved, strict=True)]
        long = rounds.storage.size > LONG or self._gammas is not None
        return parallel(tasks, self._each_at_once if long else 1)

    def _scored(self, k: int, fits: Sequence[tuple[L1Problem, Solutions]]) -> Any:
        rounds, gammas = self._rounds, self._gammas
        if k:
            return held_out_errors(rounds, self._folds, k - 1, fits, gammas, self._statistics)
        found = []
        for (problem, solutions), (_, alphas) in zip(fits, self._full, strict=True):
            refitted = None if gammas is None else relaxed(problem, solutions, rounds.options)
            found.append(FullPath(problem, alphas, solutions, refitted))
        return found


def _by_criterion(asked: Asked, full: list[FullPath], validated: Found | None) -> Found:
    """Without refits; `validated` is what the noise variance is to be from."""
    gammas = asked.gammas or [1.0]
    measure = leave_one_out if asked.criterion == "alo" else sums_of_squares
    scores = [
        measure(each.problem, each.solutions, _ridge_part(each), each.refitted, gammas)
        for each in full
    ]
    values = np.stack([score.values for score in scores], axis=1)
    df = np.stack([score.df for score in scores], axis=1)
    if asked.criterion == "alo":
        error = np.stack([score.errors for score in scores if score.errors is not None], axis=1)
        return Found(full, values, error, df=df)
    view = full[0].problem.data.view
    n, p, intercept = n_used(view), view.n_features, int(view.centred)
    if validated is not None:
        at = astuple(smallest(validated.criterion, [each.alphas for each in full]))
        variance: float | None = float(values[at]) / max(n - float(df[at]) - intercept, 1.0)
    else:
        variance = asked.noise_variance
        if variance is None:
            variance = noise_variance(full[0].problem)
    if variance is None:
        raise NoNoiseVarianceError(n, p)
    criterion = information(values, df, n, p, variance, asked.criterion)
    folds = () if validated is None else validated.folds
    return Found(full, criterion, df=df, noise_variance=variance, folds=folds)


def _ridge_part(full: FullPath) -> Float:
    """n alpha (1 - l1_ratio), of the kernels."""
    problem = full.problem
    return full.alphas * (1.0 - problem.penalty.l1_ratio) * problem.data.view.n_samples
