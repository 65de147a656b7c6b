"""Problems solved along a grid, and projections by their definition."""

from __future__ import annotations

from typing import Any

import numpy as np

from creg._data.storage import Storage
from creg._given import Data, Options, Penalty
from creg._problem import L1Problem
from creg._solution import Solutions

Array = np.ndarray[Any, Any]
EXACT = Options(tol=1e-14)


def make(
    X: Any, y: Array, s: Array | None = None, intercept: bool = True, **penalty: Any
) -> L1Problem:
    scaled = penalty.get("standardize", False)
    return L1Problem(Data(Storage(X), s, intercept, scaled=scaled), y, Penalty(**penalty))


def along(
    problem: L1Problem, count: int = 12, eps: float = 1e-3, options: Options = EXACT
) -> tuple[Array, Array, Solutions]:
    """alphas, l2 and solutions."""
    largest = problem.alpha_max or 1.0
    alphas = np.geomspace(largest, eps * largest, count)
    solutions = Solutions.of(list(problem.solve(alphas.tolist(), options)))
    l2 = problem.data.view.n_samples * alphas * (1 - problem.penalty.l1_ratio)
    return alphas, l2, solutions


def coefficients(solutions: Solutions, p: int) -> Array:
    """(n, p)."""
    return np.array([solution.dense(p) for solution in solutions.list()])


def dense(X: Any) -> Array:
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=float)


def scaled_weights(n: int, weights: Array | None) -> Array:
    """Summing to n."""
    return np.ones(n) if weights is None else weights * (n / weights.sum())


def hat(
    X: Any, weights: Array | None, intercept: bool, free: Array, shrink: Array | None = None
) -> tuple[float, Array]:
    """df and the diagonal of S^1/2 Z (Z'SZ + diag(shrink))^+ Z'S^1/2 plus the intercept's share.

    shrink : of each of the free columns, in the user's units; None: 0.
    """
    n = len(dense(X))
    s = scaled_weights(n, weights)
    Z = dense(X)[:, free]
    for _ in range(2 if intercept else 0):
        Z = Z - s @ Z / s.sum()
    Z = np.sqrt(s)[:, None] * Z
    if shrink is None:
        size = np.linalg.norm(Z, axis=0)
        U, d, _ = np.linalg.svd(Z / np.where(size > 0, size, 1), full_matrices=False)
        H = U[:, d > 1e-9] @ U[:, d > 1e-9].T
    else:
        rows = np.vstack([Z, np.diag(np.sqrt(shrink))])  # least squares on appended rows
        H = (rows @ np.linalg.pinv(rows, rcond=1e-13))[:n, :n]
    return float(np.trace(H)), np.diag(H) + intercept * s / s.sum()
