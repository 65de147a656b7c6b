"""Residuals along a path, in the user's units."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from creg._data.design import DesignView
from creg._problem import L1Problem
from creg._solution import Solutions

Float = NDArray[np.float64]
Index = NDArray[np.intp]

# Numbers of residuals, and of columns for them, held at a time.
HELD = 4_000_000
# mean^2 over variance from which on a sparse column is centred before it is multiplied.
HEAVY = 1e8


def residuals(problem: L1Problem, solutions: Solutions) -> Iterator[Float]:
    """y - b - Xw of each solution, (n_samples,), in the user's units; 0 in rows without weight."""
    for R in residual_blocks(problem, solutions):
        yield from R


def residual_blocks(problem: L1Problem, solutions: Solutions) -> Iterator[Float]:
    """(k, n_samples) of some solutions at a time."""
    view = problem.data.view
    target = problem.target * problem.unit
    used = None if view.weights is None else view.weights > 0
    step = max(1, min(32, HELD // max(view.n_samples, 1)))
    for start in range(0, len(solutions), step):
        stop = min(start + step, len(solutions))
        entries = slice(solutions.indptr[start], solutions.indptr[stop])
        features = np.unique(solutions.indices[entries])
        R = _products(view, features, solutions.dense(features, start, stop))
        np.subtract(target, R, out=R)
        if used is not None:
            R[:, ~used] = 0.0
        yield R


def _products(view: DesignView, features: Index, W: Float) -> Float:
    """W'(X - mean)' over some features, (k, n_samples)."""
    out = np.zeros((W.shape[1], view.n_samples))
    X, mean = view.storage.X, view.mean[features]
    if sparse.issparse(X):
        spread = view.norm2[features] / view.sum_weights
        heavy = np.square(mean * view.scale[features]) > HEAVY * spread
        light = ~heavy
        out += (X[:, features[light]] @ W[light]).T
        out -= (mean[light] @ W[light])[:, None]
        for j in np.flatnonzero(heavy):
            out += np.outer(W[j], view.storage.column(int(features[j])) - mean[j])
        return out
    step = max(64, HELD // 4 // max(len(features), 1))
    for start in range(0, view.n_samples, step):
        rows = X[start : start + step].T[features]
        rows = np.subtract(rows, mean[:, None], dtype=np.float64)
        np.matmul(W.T, rows, out=out[:, start : start + step])
    return out
