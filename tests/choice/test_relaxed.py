from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from along import EXACT, along, coefficients, dense, make, scaled_weights
from cases import as_format, random_data
from scipy.optimize import lsq_linear

from creg._choice import columns, sparse_basis
from creg._choice.relaxed import blend, relaxed
from creg._problem import L1Problem
from creg._solution import Solutions

Array = np.ndarray[Any, Any]


def refits(
    X: Any, y: Array, s: Array | None = None, intercept: bool = True, **penalty: Any
) -> tuple[L1Problem, Solutions, Solutions]:
    problem = make(X, y, s, intercept, **penalty)
    _, _, solutions = along(problem)
    return problem, solutions, relaxed(problem, solutions, EXACT)


def rows(X: Any, y: Array, s: Array | None, intercept: bool) -> tuple[Array, Array, Array, float]:
    """S^1/2 X and S^1/2 y, centred; the means."""
    weights = scaled_weights(len(y), s)
    mean = intercept * (weights @ dense(X)) / weights.sum()
    level = intercept * float(weights @ y) / weights.sum()
    root = np.sqrt(weights)
    return root[:, None] * (dense(X) - mean), root * (y - level), mean, level


def check(X: Any, y: Array, s: Array | None = None, intercept: bool = True,
          within: float = 1e-9, **penalty: Any) -> None:  # fmt: skip
    problem, solutions, found = refits(X, y, s, intercept, **penalty)
    p = problem.data.storage.shape[1]
    A, b, mean, level = rows(X, y, s, intercept)
    lower, upper = (np.broadcast_to(penalty.get(name, sign * np.inf), p)
                    for name, sign in (("lower", -1), ("upper", 1)))  # fmt: skip
    sd = np.linalg.norm(A, axis=0) / np.sqrt(len(y))
    unit = sd if problem.penalty.standardize else np.ones(p)
    for before, after in zip(solutions.list(), found.list(), strict=True):
        support = before.indices
        expected = np.zeros(p)
        if len(support):
            Z = A[:, support] / unit[support]
            expected[support] = np.linalg.lstsq(Z, b, rcond=1e-10)[0] / unit[support]
            low, high = lower[support], upper[support]
            if np.any(expected[support] < low) or np.any(expected[support] > high):
                within_bounds = lsq_linear(A[:, support], b, (low, high), tol=1e-14, method="bvls")
                expected[support] = within_bounds.x
        np.testing.assert_allclose(after.dense(p), expected, atol=within)
        assert np.all(after.values != 0)
        assert after.intercept == pytest.approx(level - mean @ expected, abs=10 * within)
        r = b - A @ expected
        assert after.loss == pytest.approx(r @ r / (2 * len(y)), rel=1e-8, abs=1e-12)
        assert after.dual_gap <= 1e-10 * after.null_objective


@pytest.mark.parametrize("shape", [(30, 8), (25, 60)])
@pytest.mark.parametrize("weighted", [False, True])
def test_least_squares_on_each_support(shape: tuple[int, int], weighted: bool) -> None:
    X, y = random_data(1, *shape)
    s = np.random.default_rng(2).choice([0.0, 0.5, 1.0, 3.0], len(y)) if weighted else None
    check(X, y, s, within=1e-7)
    check(X, y, s, False, within=1e-7, standardize=True)
    check(X, y, s, l1_ratio=0.9, within=1e-7)


@pytest.mark.parametrize("name", ["C", "F", "csc_array", "csr_array"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_layouts(name: str, dtype: Any) -> None:
    X, y = random_data(3, 35, 20, density=0.4, shift=0.0)
    s = np.where(np.arange(35) % 5 == 0, 0.0, 1.0)
    for some in (None, s):
        check(as_format(X, name, dtype), y, some, within=1e-7)


@pytest.mark.parametrize("trusted", [0.0, 1e-11])
def test_stored_entries(monkeypatch: pytest.MonkeyPatch, trusted: float) -> None:
    monkeypatch.setattr(columns, "DENSE", 0)
    monkeypatch.setattr(columns, "SHARE", 0)
    monkeypatch.setattr(sparse_basis, "TRUSTED", trusted)
    X, y = random_data(3, 35, 20, density=0.3, shift=0.0)
    twice = np.column_stack([X, X[:, :4]])
    for some in (None, np.where(np.arange(35) % 5 == 0, 0.0, 1.0)):
        check(as_format(X, "csr_array"), y, some, within=1e-7)
        for standardize in (False, True):
            check(as_format(twice, "csc_array"), y, some, l1_ratio=0.5, standardize=standardize,
                  within=1e-7)  # fmt: skip


def test_bounds() -> None:
    X, y = random_data(4, 40, 12)
    check(X, y, lower=0.0, within=1e-7)
    check(X, y, lower=-0.2, upper=np.full(12, 0.3), within=1e-7)
    check(X, y, np.tile([0.0, 1.0], 20), lower=-0.2, upper=0.3, standardize=True, within=1e-7)


def test_least_norm_where_columns_depend_on_each_other() -> None:
    X, y = random_data(5, 30, 5)
    X = np.column_stack([X, 2 * X[:, 0], X[:, 1] + X[:, 2], X[:, 3]])
    for standardize in (False, True):
        check(X, y, l1_ratio=0.5, standardize=standardize, within=1e-8)
        check(X, y, l1_ratio=0.5, weights=np.zeros(8), standardize=standardize, within=1e-8)


def test_more_features_than_rows() -> None:
    """Elastic-net supports that interpolate: the shortest of many fits."""
    X, y = random_data(6, 12, 60)
    problem, solutions, found = refits(X, y, l1_ratio=0.1)
    assert solutions.n_nonzero.max() > 12
    assert found.losses[-1] < 1e-20 * found.null_objectives[-1]
    check(X, y, l1_ratio=0.1, within=1e-8)
    assert problem.penalty.l1_ratio == 0.1


def test_unpenalised_features_and_offsets() -> None:
    X, y = random_data(7, 40, 10)
    v = np.where(np.arange(10) < 3, 0.0, 1.0)
    check(X, y, weights=v, within=1e-8)
    check(X + 1e5, 1e3 * y + 1e6, within=1e-5)
    check(1e-6 * X, y, within=1e-3)


def test_weight_two_is_the_row_twice() -> None:
    X, y = random_data(8, 30, 50)
    s = np.tile([0.0, 1.0, 2.0], 10)
    at = np.repeat(np.arange(30), s.astype(int))
    _, _, found = refits(X, y, s)
    _, _, expected = refits(X[at], y[at])
    np.testing.assert_allclose(coefficients(found, 50), coefficients(expected, 50), atol=1e-8)
    np.testing.assert_allclose(found.intercepts, expected.intercepts, atol=1e-8)


def test_blend() -> None:
    X, y = random_data(9, 30, 12)
    _, first, second = refits(X, y, lower=-0.3)
    W1, W2 = coefficients(first, 12), coefficients(second, 12)
    for gamma in (0.0, 0.25, 0.5, 1.0):
        found = blend(first, second, gamma)
        expected = gamma * W1 + (1 - gamma) * W2
        np.testing.assert_allclose(coefficients(found, 12), expected, atol=1e-15)
        np.testing.assert_allclose(
            found.intercepts, gamma * first.intercepts + (1 - gamma) * second.intercepts
        )
        for solution in found.list():
            assert np.all(np.diff(solution.indices) > 0)
            assert np.all(solution.values != 0)
    assert blend(first, second, 1.0) is first
    assert blend(first, second, 0.0) is second
    nothing = Solutions.of([])
    assert len(blend(nothing, nothing, 0.5)) == 0


def test_inputs_are_not_written_to() -> None:
    X, y = random_data(10, 30, 12)
    problem = make(X, y)
    _, _, solutions = along(problem)
    before = solutions.values.copy(), solutions.indices.copy(), problem.target.copy()
    found = relaxed(problem, solutions, EXACT)
    blend(solutions, found, 0.5)
    after = solutions.values, solutions.indices, problem.target
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
