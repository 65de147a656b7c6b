"""Data of known shapes for the benchmarks, and what they share."""

import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import PolynomialFeatures

# name -> (n_samples, n_features, density)
SHAPES = {
    "wide": (200, 5_000, 1.0),
    "tall": (20_000, 100, 1.0),
    "sparse": (5_000, 20_000, 0.002),
    "small": (100, 20, 1.0),
}


def gaussian(name: str, dtype: str = "float64") -> tuple[Any, np.ndarray]:
    """X (F order or CSC) with correlated columns and y of 20 of them plus noise."""
    n, p, density = SHAPES[name]
    rng = np.random.default_rng(0)
    if density < 1:
        # scikit-learn's solver takes 32-bit indices alone, and scipy may keep what it is given.
        rows = rng.integers(0, n, (p, round(density * n)), dtype=np.int32)
        columns = np.repeat(np.arange(p, dtype=np.int32), rows.shape[1])
        values = rng.random(rows.size)
        X = sparse.csc_array((values, (rows.ravel(), columns)), shape=(n, p))
    else:
        X = np.asfortranarray(rng.standard_normal((n, p)) + 0.5 * rng.standard_normal((n, 1)))
    y = X[:, :20] @ np.linspace(1, -1, 20) + 0.1 * rng.standard_normal(n)
    return X.astype(dtype), y


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """The diabetes study with all interactions up to degree 3, standardised: 442 x 285."""
    X, y = load_diabetes(return_X_y=True)
    X = PolynomialFeatures(3, include_bias=False).fit_transform(X / X.std(axis=0))
    return np.asfortranarray((X - X.mean(axis=0)) / X.std(axis=0)), y


@cache
def _loader(folder: str) -> Any:
    spec = importlib.util.spec_from_file_location("real_data", Path(folder) / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def real_names() -> list[str]:
    """The names of the data sets in the folder that CREG_DATA names; none where it is not set."""
    folder = os.environ.get("CREG_DATA")
    return list(_loader(folder).names()) if folder else []


def real(name: str) -> tuple[Any, np.ndarray]:
    """One of them, ready for a path without an intercept.

    y and dense columns are centred, dense columns scaled to standard deviation 1; sparse X is as
    it is.
    """
    X, y = _loader(os.environ["CREG_DATA"]).load(name)
    if not sparse.issparse(X):
        scale = X.std(axis=0)
        X = np.asfortranarray((X - X.mean(axis=0)) / np.where(scale > 0, scale, 1.0))
    return X, y - y.mean()


def alphas(X: Any, y: np.ndarray, ratio: float = 0.01, count: int = 100) -> np.ndarray:
    """A geometric grid from the first alpha with all coefficients zero, no intercept."""
    largest = np.abs(X.T @ y).max() / len(y)
    return largest * np.geomspace(1.0, ratio, count)
