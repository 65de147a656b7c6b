"""float32 products, refined: as exact as float64 arithmetic on the same numbers, or not used."""

import numpy as np
import pytest

from creg import _ridge_problem
from creg._data.storage import Storage
from creg._given import Options, Penalty
from creg._ridge_problem import solve_ridge


@pytest.fixture(autouse=True)
def _few_rows_will_do(monkeypatch):
    monkeypatch.setattr(_ridge_problem, "SMALL", 0)
    monkeypatch.setattr(_ridge_problem, "ROUGH_ROWS", 100)
    monkeypatch.setattr(_ridge_problem, "ROUGH_COLUMNS", 2)


def fit(X, y, alpha, s=None, **penalty):
    (solution,) = solve_ridge(
        Storage(X),
        y[:, None],
        np.array([alpha]),
        sample_weight=s,
        fit_intercept=True,
        penalty=Penalty(l1_ratio=0.0, **penalty),
        options=Options(max_iter=None, solver="cholesky"),
    )
    return solution.dense(X.shape[1]), solution.intercept


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("mean", [0.0, 10.0, 1e4])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [1e-3, 3.0])
def test_as_exact_as_float64(alpha, weighted, mean, order):
    rng = np.random.default_rng(0)
    X = np.asarray(rng.normal(size=(3000, 20)) + mean, dtype=np.float32, order=order)
    X[:, 3] = 2.5  # constant
    y = X[:, :3].sum(axis=1).astype(float) + rng.normal(size=3000)
    s = rng.choice([0.0, 1.0, 2.5], 3000) if weighted else None
    v = np.linspace(0.5, 2, 20)
    coef, intercept = fit(X, y, alpha, s, weights=v)
    wanted, offset = fit(X.astype(np.float64), y, alpha, s, weights=v)
    assert np.linalg.norm(coef - wanted) < 1e-11 * np.linalg.norm(wanted)
    assert intercept == pytest.approx(offset, rel=1e-9, abs=1e-9 * (1 + mean))
    assert coef[3] == 0


def test_columns_that_float32_does_not_tell_apart():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 8)).astype(np.float32)
    X[:, 7] = X[:, 6] * (1 + 1e-4 * rng.normal(size=3000).astype(np.float32))
    y = rng.normal(size=3000)
    coef, _ = fit(X, y, 1e-9)
    wanted, _ = fit(X.astype(np.float64), y, 1e-9)
    assert np.linalg.norm(coef - wanted) < 1e-9 * np.linalg.norm(wanted)
