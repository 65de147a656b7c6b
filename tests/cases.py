"""Problems for the tests, X in every layout, and the public estimators made from a Problem."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from reference import Problem, exact, null_objective, objective, solve
from scipy import sparse

DENSE = ("C", "F", "row_slice", "column_slice", "reversed")
SPARSE = ("csc_array", "csr_array", "csc_matrix", "csr_matrix", "csc_int64", "csr_int64", "coo")
FORMATS = DENSE + SPARSE
DTYPES = (np.float64, np.float32)
L1_SOLVERS = ("auto", "cd")
RIDGE_SOLVERS = ("auto", "cholesky", "eigen", "cg")


def as_format(X: Any, name: str, dtype: Any = np.float64) -> Any:
    """Dense X in one of FORMATS; the values are those of `dtype`."""
    X = np.asarray(X).astype(dtype)
    if name == "C":
        return np.ascontiguousarray(X)
    if name == "F":
        return np.asfortranarray(X)
    if name == "row_slice":
        return np.ascontiguousarray(np.repeat(X, 2, axis=0))[::2]
    if name == "column_slice":
        return np.asfortranarray(np.repeat(X, 2, axis=1))[:, ::2]
    if name == "reversed":
        return np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    kind, _, what = name.partition("_")
    made = getattr(sparse, f"{kind}_matrix" if what == "matrix" else f"{kind}_array")(X)
    if what == "int64":
        made.indices, made.indptr = made.indices.astype(np.int64), made.indptr.astype(np.int64)
    return made


def random_data(
    seed: int, n: int, p: int, *, density: float = 1.0, shift: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Correlated columns of unequal scale and a target that a few of them explain."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.5 * rng.normal(size=(n, 1))
    X = X * rng.uniform(0.5, 2, p) + shift * rng.normal(size=p)
    if density < 1:
        X[rng.random((n, p)) > density] = 0
    y = X @ np.where(rng.random(p) < 0.4, rng.normal(size=p), 0) + rng.normal(size=n) + 3
    return X, y


def random_problem(seed: int, n: int, p: int, *, unpenalised: bool = True) -> Problem:
    """A problem whose weights, bounds, mixture and scaling are drawn from the seed."""
    rng = np.random.default_rng([seed, 17])
    X, y = random_data(seed, n, p, density=rng.choice([1.0, 0.5]))
    weights = [0.0, 1.0, 1.0, 2.0, np.inf] if unpenalised else [0.5, 1.0, 2.0, np.inf]
    ridge = bool(rng.random() < 0.25)
    alpha = 10 ** rng.uniform(-2.5, 0)
    return Problem(
        X,
        y,
        alpha * n if ridge else alpha,
        l1_ratio=float(rng.choice([1.0, 1.0, 0.7, 0.05, 0.0])),
        ridge=ridge,
        sample_weight=rng.choice([0.0, 0.5, 1.0, 2.0, 3.0], n) if rng.random() < 0.5 else None,
        penalty_weights=rng.choice(weights, p) if rng.random() < 0.6 else None,
        lower=rng.choice([-np.inf, -0.3, 0.0], p) if rng.random() < 0.5 else -np.inf,
        upper=rng.choice([np.inf, 0.2, 5.0], p) if rng.random() < 0.5 else np.inf,
        fit_intercept=bool(rng.random() < 0.7),
        standardize=bool(rng.random() < 0.5),
    )


def estimator(problem: Problem, **more: Any) -> Any:
    """The unfitted public estimator of a problem; ElasticNet for every l1_ratio."""
    import creg

    shared: dict[str, Any] = {
        "fit_intercept": problem.fit_intercept,
        "standardize": problem.standardize,
        "penalty_weights": problem.penalty_weights,
    }
    if np.any(np.isfinite(problem.lower)) or np.any(np.isfinite(problem.upper)):
        shared["bounds"] = (problem.lower, problem.upper)
    shared |= more
    if problem.ridge:
        return creg.Ridge(problem.alpha, **shared)
    return creg.ElasticNet(problem.alpha, l1_ratio=problem.l1_ratio, **shared)


def fit(problem: Problem, X: Any = None, *, quiet: bool = False, **more: Any) -> Any:
    """The estimator fitted to the problem, X in another layout where given."""
    model = estimator(problem, **more)
    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore")
        return model.fit(
            problem.X if X is None else X, problem.y, sample_weight=problem.sample_weight
        )


def path_arguments(problem: Problem) -> dict[str, Any]:
    """The problem's arguments of `lasso_path` and `enet_path` but for X, y and l1_ratio."""
    return {
        "fit_intercept": problem.fit_intercept,
        "standardize": problem.standardize,
        "sample_weight": problem.sample_weight,
        "penalty_weights": problem.penalty_weights,
        "bounds": (problem.lower, problem.upper),
    }


def checksum(*arrays: Any) -> list[bytes]:
    """The bytes of arrays, sparse parts included, to show that nothing wrote to them."""
    found = []
    for array in arrays:
        if sparse.issparse(array) and hasattr(array, "indptr"):
            parts = [array.data, array.indices, array.indptr]
        elif sparse.issparse(array):
            parts = [array.data, array.row, array.col]
        else:
            parts = [np.asarray(array)]
        found += [part.tobytes() + str((part.dtype, part.shape)).encode() for part in parts]
    return found


def read_only(X: Any) -> Any:
    """X with no writable array behind it."""
    parts = [X.data, X.indices, X.indptr] if sparse.issparse(X) else [X]
    for part in parts:
        part.flags.writeable = False
    return X


def coef_rounding(problem: Problem, model: Any) -> float:
    """How much the objective can rise when a float64 solution is rounded to coef_'s dtype."""
    eps = np.finfo(model.coef_.dtype).eps
    X, w = np.abs(problem.dense), np.abs(exact(model.coef_))
    moved = eps * (X @ w)
    r = np.abs(problem.target - problem.dense @ exact(model.coef_) - exact(model.intercept_))
    scaled = w * problem.scale
    penalty = eps * np.sum(problem.l1v * scaled + problem.l2v * scaled**2)
    return float(problem.unit * (problem.s @ (r * moved + moved**2) + penalty))


def assert_certified(problem: Problem, model: Any, tol: float | None = None) -> None:
    """The fit is feasible, its gap bounds its error, and is within tol of the null objective."""
    best, size = optimum(problem), float(null_objective(problem))
    excess = float(objective(problem, model.coef_, model.intercept_) - best)
    slack = 2 * coef_rounding(problem, model)
    assert excess >= -slack
    assert excess <= model.dual_gap_ + slack
    dtype = model.coef_.dtype
    lower = np.broadcast_to(problem.lower, model.coef_.shape).astype(dtype)
    upper = np.broadcast_to(problem.upper, model.coef_.shape).astype(dtype)
    assert np.all((model.coef_ >= lower) & (model.coef_ <= upper))
    assert not np.any(model.coef_[np.isinf(problem.v) | problem.constant])
    if tol is not None:
        assert 0 <= model.dual_gap_ <= tol * size * (1 + 1e-9)


_optima: dict[int, tuple[Problem, Any]] = {}


def optimum(problem: Problem) -> Any:
    """The optimal objective, solved once per problem object."""
    if id(problem) not in _optima:
        _optima[id(problem)] = (problem, objective(problem, solve(problem)))
    return _optima[id(problem)][1]


def run_python(code: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """The code in a fresh interpreter that can import these helpers."""
    return subprocess.run(
        [sys.executable, "-c", code], env=environment(), text=True, check=False, **more
    )


def environment() -> dict[str, str]:
    here = str(Path(__file__).parent)
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
