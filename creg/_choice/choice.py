"""One alpha, l1_ratio and gamma out of all that were tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from creg._along import geometric_grid
from creg._choice.folds import Rounds
from creg._given import Data
from creg._problem import L1Problem
from creg._solution import Solutions

Float = NDArray[np.float64]


@dataclass(frozen=True)
class FullPath:
    """All rows, at one l1_ratio.

    Attributes
    ----------
    problem : L1Problem
    alphas : (n_alphas,)
        Descending.
    solutions : Solutions
    refitted : Solutions or None
        Its supports without penalty.
    """

    problem: L1Problem
    alphas: Float
    solutions: Solutions
    refitted: Solutions | None


def problems(
    rounds: Rounds, data: Data, wanted: int | Float, eps: float
) -> list[tuple[L1Problem, Float]]:
    """All rows, and the alphas, for each l1_ratio: a grid of its own or the alphas given."""
    found = []
    for penalty in rounds.penalties:
        problem = L1Problem(data, rounds.y, penalty)
        alphas = wanted
        if isinstance(alphas, int):
            alphas = geometric_grid(problem.alpha_max, alphas, eps)
        found.append((problem, alphas))
    return found


@dataclass(frozen=True)
class Place:
    """Positions among the gammas, the l1_ratios and the (descending) alphas."""

    gamma: int
    ratio: int
    alpha: int


def smallest(values: Float, alphas: Sequence[Float]) -> Place:
    """Where `values` (n_gammas, n_l1_ratios, n_alphas) is least; of equals at the largest alpha.

    Raises
    ------
    ValueError
        Where none is a number.
    """
    if np.isnan(values).all():
        raise ValueError("every value of the criterion is nan: no alpha can be chosen.")
    ties = np.argwhere(values == np.nanmin(values))
    at = max(ties, key=lambda tie: alphas[tie[1]][tie[2]])
    return Place(*(int(k) for k in at))


def within_one_error(mean: Float, error: Float, best: int) -> int:
    """The position of the largest alpha with a mean within one standard error of the best."""
    allowed = mean[best] + (error[best] if np.isfinite(error[best]) else 0.0)
    return int(np.flatnonzero(mean[: best + 1] <= allowed)[0])


def across_folds(errors: Float) -> tuple[Float, Float]:
    """Mean and standard error over the last axis, folds that are nan left out."""
    valid, missing = errors, np.isnan(errors)
    if missing.any():
        valid = errors[..., ~missing.all(axis=tuple(range(errors.ndim - 1)))]
    count = valid.shape[-1]
    mean = valid.mean(axis=-1)
    if count < 2:
        return mean, np.full(mean.shape, np.nan)
    unit = float(valid.max()) or 1.0  # squares of errors may overflow
    return mean, (valid / unit).std(axis=-1, ddof=1) * (unit / np.sqrt(count))
