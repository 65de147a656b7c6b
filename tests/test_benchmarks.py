"""What the benchmarks say a path reached is what the oracle says."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference import Problem, dual_gap, objective, solve
from scipy import sparse

import creg

FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "accuracy.py"
L1_RATIOS = (1.0, 0.5, 0.1)


@pytest.fixture(scope="module")
def accuracy() -> Any:
    if not FILE.is_file():
        pytest.skip("the benchmarks are not beside the tests")
    spec = importlib.util.spec_from_file_location("accuracy", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def data(seed: int) -> tuple[Any, Any, Any, Any]:
    """X, y, three alphas and coefficients that are nothing special, some of them zero."""
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((9, 6)), rng.standard_normal(9)
    coefs = 0.3 * rng.standard_normal((6, 3)) * (rng.random((6, 3)) < 0.6)
    return X, y, np.abs(X.T @ y).max() / 9 * np.array([1.0, 0.3, 0.01]), coefs


def problems(X: Any, y: Any, alphas: Any, l1_ratio: float) -> list[Problem]:
    return [Problem(X, y, alpha, l1_ratio, fit_intercept=False) for alpha in alphas]


def augmented_gap(problem: Problem, coef: Any) -> float:
    """The gap of the Lasso on [X; sqrt(l2) I] and [y; 0], in the units of the problem."""
    n, p = problem.X.shape
    l1 = n * problem.alpha * problem.l1_ratio
    l2 = n * problem.alpha * (1 - problem.l1_ratio)
    X = np.vstack([problem.X, np.sqrt(l2) * np.eye(p)])
    y = np.concatenate([problem.y, np.zeros(p)])
    return float(dual_gap(Problem(X, y, l1 / (n + p), fit_intercept=False), coef) * (n + p) / n)


def unscaled_gap(problem: Problem, coef: Any) -> float:
    """P - D at the residual itself, where the conjugate of the elastic net is finite."""
    n = len(problem.y)
    l1 = n * problem.alpha * problem.l1_ratio
    l2 = n * problem.alpha * (1 - problem.l1_ratio)
    if l2 == 0:
        return np.inf
    r = problem.y - problem.X @ coef
    beyond = np.maximum(np.abs(problem.X.T @ r) - l1, 0)
    dual = r @ problem.y - r @ r / 2 - beyond @ beyond / (2 * l2)
    return float(objective(problem, coef)) - dual / n


@pytest.mark.parametrize("layout", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("l1_ratio", L1_RATIOS)
@pytest.mark.parametrize("seed", range(10))
def test_objectives_and_gaps_are_the_oracles(accuracy, seed, l1_ratio, layout) -> None:
    X, y, alphas, coefs = data(seed)
    null = y @ y / (2 * len(y))
    cases = list(zip(problems(X, y, alphas, l1_ratio), coefs.T, strict=True))
    expected = [float(objective(problem, coef)) for problem, coef in cases]
    gaps = [min(augmented_gap(*case), unscaled_gap(*case)) for case in cases]
    arguments = (layout(X), y, alphas, coefs, l1_ratio)
    objectives, found = accuracy.relative_gaps(*arguments)
    np.testing.assert_allclose(objectives * null, expected, rtol=1e-12)
    np.testing.assert_allclose(accuracy.relative_objectives(*arguments), objectives, rtol=1e-12)
    np.testing.assert_allclose(found * null, gaps, rtol=1e-11)


@pytest.mark.parametrize("l1_ratio", L1_RATIOS)
@pytest.mark.parametrize("seed", range(10))
def test_gap_bounds_the_distance_from_the_optimum(accuracy, seed, l1_ratio) -> None:
    X, y, alphas, coefs = data(seed)
    best = [solve(problem) for problem in problems(X, y, alphas, l1_ratio)]
    optima = np.array(best, dtype=float).T
    lowest, none = accuracy.relative_gaps(X, y, alphas, optima, l1_ratio)
    objectives, gaps = accuracy.relative_gaps(X, y, alphas, coefs, l1_ratio)
    assert np.all(np.abs(none) < 1e-13)
    assert np.all(gaps >= objectives - lowest - 1e-13)


def test_the_choice_is_measured_on_a_set_that_comes_along(tmp_path) -> None:
    script = FILE.with_name("selection.py")
    if not script.is_file():
        pytest.skip("the benchmarks are not beside the tests")
    root = str(Path(creg.__file__).parents[1])
    environment = {k: v for k, v in os.environ.items() if k != "CREG_DATA"} | {"PYTHONPATH": root}

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(script), *more]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    file = tmp_path / "out.json"
    done = run("small", "--repeats", "1", "--json", str(file))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(file.read_text())["sets"]
    assert (row["n_samples"], row["n_features"]) == (100, 20)
    assert 0 <= row["gap"] <= 1e-8
    assert row["error_ratio"] == pytest.approx(1, abs=0.01)
    assert row["ratio"] == pytest.approx(row["sklearn_seconds"] / row["creg_seconds"])
    assert "| small |" in done.stdout
    none = run("nothing")
    assert none.returncode == 2
    assert "unknown sets: nothing" in none.stderr
