"""The oracle against scikit-learn, scipy and brute force: a wrong oracle proves nothing."""

from dataclasses import replace

import numpy as np
import pytest
from cases import random_problem
from reference import (
    FINE,
    LD,
    Problem,
    alpha_max,
    conjugate,
    dual_gap,
    dual_gap_by_difference,
    enumerate_signs,
    intercept,
    kkt_residual,
    null_objective,
    objective,
    project_off,
    residual,
    ridge_by_lstsq,
    solve,
)
from scipy.optimize import lsq_linear, minimize, nnls
from sklearn import linear_model


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
def test_optimum_is_scikit_learns(l1_ratio, fit_intercept, weighted) -> None:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(30, 8)) + 2, rng.normal(size=30) + 5
    s = rng.uniform(0, 2, 30) if weighted else None
    problem = Problem(X, y, 0.05, l1_ratio=l1_ratio, sample_weight=s, fit_intercept=fit_intercept)
    model = linear_model.ElasticNet(
        alpha=0.05, l1_ratio=l1_ratio, fit_intercept=fit_intercept, tol=1e-14, max_iter=100_000
    ).fit(X, y, sample_weight=s)
    coef = solve(problem)
    np.testing.assert_allclose(coef.astype(float), model.coef_, atol=1e-9)
    np.testing.assert_allclose(float(intercept(problem, coef)), model.intercept_, atol=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [30, 6])
def test_ridge_is_scikit_learns(n, weighted) -> None:
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(n, 10)), rng.normal(size=n)
    s = rng.uniform(0, 2, n) if weighted else None
    problem = Problem(X, y, 0.7, ridge=True, sample_weight=s)
    model = linear_model.Ridge(alpha=0.7, solver="cholesky").fit(X, y, sample_weight=s)
    np.testing.assert_allclose(ridge_by_lstsq(problem).astype(float), model.coef_, rtol=1e-9)
    np.testing.assert_allclose(solve(problem).astype(float), model.coef_, rtol=1e-9)
    np.testing.assert_allclose(
        float(objective(problem, model.coef_, model.intercept_)),
        np.sum((1 if s is None else s) * (y - model.predict(X)) ** 2)
        + 0.7 * np.sum(model.coef_**2),
        rtol=1e-12,
    )


@pytest.mark.parametrize("seed", range(40))
def test_optimum_is_the_best_sign_pattern(seed) -> None:
    problem = random_problem(seed, n=9, p=4)
    coef, brute = solve(problem), enumerate_signs(problem)
    low = min(objective(problem, coef), objective(problem, brute))
    size = float(null_objective(problem))
    assert objective(problem, coef) - low <= 1e-13 * size
    assert objective(problem, brute) - low <= 1e-10 * size
    assert kkt_residual(problem, coef) < 1e-12


@pytest.mark.parametrize("seed", range(60))
def test_gap_at_the_optimum_is_zero_and_elsewhere_a_bound(seed) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, n=14, p=7)
    coef = solve(problem)
    best, size = objective(problem, coef), null_objective(problem)
    assert -10 * FINE * size <= dual_gap(problem, coef) <= 1e-14 * size
    lower = np.broadcast_to(problem.lower, 7)
    upper = np.broadcast_to(problem.upper, 7)
    for noise in (1e-6, 1e-2, 1.0):
        other = np.clip(coef + noise * rng.normal(size=7), lower, upper)
        other = np.where(problem.out, 0, other)
        gap = dual_gap(problem, other)
        assert gap >= objective(problem, other) - best - 1e-15 * size
        assert np.isfinite(gap)


def test_gap_terms_are_the_difference_of_the_objectives() -> None:
    for seed in range(20):
        problem = random_problem(seed, n=12, p=5, unpenalised=False)
        coef = np.where(problem.out, 0, 0.5 * solve(problem).astype(float))
        r = residual(problem, coef)
        c = problem.Z.T @ r
        unlimited = (problem.l2v > 0) | problem.out
        limits = ~unlimited & np.where(c > 0, np.isinf(problem.hi), np.isinf(problem.lo))
        s = min([LD(1), *(problem.l1v[limits] / np.abs(c[limits]))])
        inside = np.where(c > 0, coef < problem.upper, coef > problem.lower)
        inside &= ~problem.out & (problem.l1v > 0)
        w = coef * problem.scale
        reach = problem.l1v + np.where(c * w > 0, problem.l2v * np.abs(w), 0)
        s_i = min([LD(1), *(reach[inside] / np.abs(c[inside]))])
        scales = (s * (1 - 100 * FINE), min(s, s_i) * (1 - 100 * FINE), LD(1))
        literal = min(dual_gap_by_difference(problem, coef, s * r) for s in scales)
        np.testing.assert_allclose(float(dual_gap(problem, coef)), float(literal), rtol=1e-12)


def test_conjugate_by_a_grid() -> None:
    problem = random_problem(5, n=12, p=6)
    w = np.linspace(-50, 50, 400_001)
    c = np.random.default_rng(0).normal(size=6) * 5
    for j in np.flatnonzero(~problem.out & ((problem.l2v > 0) | (np.abs(c) < problem.l1v))):
        inside = w[(w >= float(problem.lo[j])) & (w <= float(problem.hi[j]))]
        values = c[j] * inside - float(problem.l1v[j]) * np.abs(inside)
        values -= float(problem.l2v[j]) / 2 * inside**2
        np.testing.assert_allclose(float(conjugate(problem, c)[j]), values.max(), atol=1e-3)


def test_projection_is_rank_revealing() -> None:
    rng = np.random.default_rng(3)
    A = rng.normal(size=(10, 3)).astype(LD)
    A = np.column_stack([A, A[:, 0] + A[:, 1], 1e-9 * A[:, 2]])
    r = project_off(A, rng.normal(size=10).astype(LD))
    assert np.max(np.abs(A.T @ r)) < 1000 * FINE
    assert r @ r > 0.1


def test_bounded_least_squares_is_scipys() -> None:
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(20, 6)), rng.normal(size=20)
    problem = Problem(X, y, 0.0, lower=-0.1, upper=0.2, fit_intercept=False)
    expected = lsq_linear(X, y, (-0.1, 0.2), tol=1e-14).x
    np.testing.assert_allclose(solve(problem).astype(float), expected, atol=1e-7)
    positive = Problem(X, y, 0.0, lower=0.0, fit_intercept=False)
    np.testing.assert_allclose(solve(positive).astype(float), nnls(X, y)[0], atol=1e-10)


def test_bounded_elastic_net_is_l_bfgs_bs() -> None:
    rng = np.random.default_rng(6)
    X, y = rng.normal(size=(25, 5)), rng.normal(size=25)
    problem = Problem(X, y, 0.1, l1_ratio=0.4, lower=-0.05, upper=0.1, standardize=True)

    def value(x):
        return float(objective(problem, x[:5] - x[5:]))

    box = [(0, 0.1)] * 5 + [(0, 0.05)] * 5
    found = minimize(value, np.zeros(10), bounds=box, tol=1e-13)
    assert objective(problem, solve(problem)) <= found.fun + 1e-12
    np.testing.assert_allclose(float(objective(problem, solve(problem))), found.fun, rtol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_alpha_max_is_where_coefficients_leave_zero(seed) -> None:
    problem = random_problem(seed, n=14, p=5)
    problem = replace(problem, l1_ratio=0.5, ridge=False)
    top = float(alpha_max(problem))
    penalised = problem.at(1.0).v > 0
    if top == 0:
        return
    assert not np.any(np.abs(solve(problem.at(top * 1.0001))[penalised]) > 1e-15)
    assert np.any(np.abs(solve(problem.at(top * 0.99))[penalised]) > 1e-9)
