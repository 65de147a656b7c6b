from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from along import EXACT, along, coefficients, dense, hat, make, scaled_weights
from cases import as_format, random_data
from sklearn.linear_model import LassoLarsIC, lars_path

import creg
from creg._choice import columns
from creg._choice import residuals as blocks
from creg._choice.criteria import (
    information,
    leave_one_out,
    noise_variance,
    residual_squares,
    residuals,
    sums_of_squares,
)
from creg._choice.relaxed import relaxed
from creg._solution import Solutions

Array = np.ndarray[Any, Any]
FORMATS = ["C", "F", "csc_array", "csr_array"]


def exact_residuals(X: Any, y: Array, solutions: Solutions) -> Array:
    """(n, n_samples)."""
    wide = dense(X).astype(np.longdouble)
    W = coefficients(solutions, wide.shape[1]).astype(np.longdouble)
    return np.asarray(y - W @ wide.T - solutions.intercepts[:, None], dtype=float)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_residuals(name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "HELD", 700)
    X, y = random_data(1, 150, 30, density=0.5)
    s = np.tile([0.0, 1.0, 2.0], 50)
    for some in (None, s):
        A = as_format(X, name, dtype)
        problem = make(A, y, some)
        _, _, solutions = along(problem, 20)
        found = np.array(list(residuals(problem, solutions)))
        expected = exact_residuals(A, y, solutions)
        if some is not None:
            expected[:, s == 0] = 0
        np.testing.assert_allclose(found, expected, atol=1e-12)
        weights = scaled_weights(150, some)
        rss = residual_squares(problem, solutions)
        factor = 1.0 if some is None else 100 / 150
        np.testing.assert_allclose(rss, factor * expected**2 @ weights, rtol=1e-8)
        solutions.losses[:] = np.nan
        np.testing.assert_allclose(residual_squares(problem, solutions), rss, rtol=1e-8)


@pytest.mark.parametrize("name", FORMATS)
def test_residuals_of_columns_with_large_means(name: str) -> None:
    X, y = random_data(2, 60, 5)
    X[:, :2] += 1e7
    A = as_format(X, name)
    problem = make(A, y)
    _, _, solutions = along(problem)
    centred = X - X.mean(0, dtype=np.longdouble)
    expected = (y - y.mean()) - coefficients(solutions, 5) @ centred.T
    found = np.array(list(residuals(problem, solutions)))
    np.testing.assert_allclose(found, expected.astype(float), atol=1e-8)


@pytest.mark.parametrize("kind", ["aic", "bic"])
@pytest.mark.parametrize("shape", [(60, 10), (30, 50)])
def test_information_is_that_of_scikit_learn(kind: str, shape: tuple[int, int]) -> None:
    X, y = random_data(3, *shape)
    reference = LassoLarsIC(criterion=kind, noise_variance=1.7).fit(X, y)
    alphas = reference.alphas_[reference.alphas_ > 1e-3]
    problem = make(X, y)
    solutions = Solutions.of(list(problem.solve(alphas.tolist(), EXACT)))
    sums = sums_of_squares(problem, solutions, np.zeros(len(alphas)))
    found = information(sums.values, sums.df, len(y), X.shape[1], 1.7, kind)
    # at a knot the coefficient that enters is 0 up to rounding on either side
    _, _, coefs = lars_path(X - X.mean(0), y - y.mean(), method="lasso")
    sizes = np.sum(np.abs(coefs) > np.finfo(float).eps, axis=0)[: len(alphas)]
    later = np.flatnonzero(sums.df[0] == sizes)
    assert len(later) > 4
    expected = reference.criterion_[: len(alphas)]
    np.testing.assert_allclose(found[0, later], expected[later], rtol=1e-7)


def test_extended_bic() -> None:
    rss, df = np.array([50.0, 20.0, 0.0]), np.array([0.0, 2.0, 9.0])
    bic = information(rss, df, 40, 300, 2.0, "bic")
    np.testing.assert_allclose(bic, rss / 2 + 40 * np.log(4 * np.pi) + np.log(40) * df)
    ebic = information(rss, df, 40, 300, 2.0, "ebic")
    np.testing.assert_allclose(ebic - bic, 2 * np.log(300) * df)


def test_information_without_noise_is_not_nan() -> None:
    for kind in ("aic", "bic", "ebic"):
        found = information(np.array([1.0, 0.0]), np.array([0.0, 3.0]), 10, 5, 0.0, kind)
        assert not np.isnan(found).any()
        assert np.argmin(found) == 1


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_noise_variance(intercept: bool, name: str) -> None:
    X, y = random_data(4, 40, 6)
    y = 1e4 * y
    D = np.column_stack([X, np.ones(40)]) if intercept else X
    r = y - D @ np.linalg.lstsq(D, y)[0]
    found = noise_variance(make(as_format(X, name), y, None, intercept))
    assert found == pytest.approx(r @ r / (40 - 6 - intercept), rel=1e-10)


def test_noise_variance_of_weights_and_of_features_left_out() -> None:
    X, y = random_data(5, 40, 6)
    s = np.tile([0.0, 1.0, 2.0, 1.0], 10)
    v = np.array([1.0, np.inf, 0.0, 2.0, 1.0, 1.0])
    kept = np.isfinite(v)
    D = np.column_stack([X[:, kept], np.ones(40)]) * np.sqrt(s)[:, None]
    r = np.sqrt(s) * y - D @ np.linalg.lstsq(D, np.sqrt(s) * y)[0]
    found = noise_variance(make(X, y, s, weights=v, lower=0.0))
    assert found == pytest.approx(r @ r * (30 / 40) / (30 - 5 - 1), rel=1e-10)
    # dependent columns take no degrees of freedom
    twice = np.column_stack([X, X[:, 0], np.ones(40)])
    D = np.column_stack([X, np.ones(40)])
    r = y - D @ np.linalg.lstsq(D, y)[0]
    assert noise_variance(make(twice, y)) == pytest.approx(r @ r / 33, rel=1e-10)


def test_noise_variance_of_columns_that_nearly_depend_on_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y = random_data(13, 60, 5)
    near = np.column_stack([X, X[:, 0] + 1e-6 * np.sin(np.arange(60.0) ** 2), X[:, 1]])
    D = np.column_stack([near[:, :6], np.ones(60)])
    r = y - D @ np.linalg.lstsq(D, y)[0]
    for name in ("F", "csc_array"):
        A = as_format(near, name)
        assert noise_variance(make(A, y)) == pytest.approx(r @ r / 53, rel=1e-6)
    monkeypatch.setattr(columns, "DENSE", 0)
    monkeypatch.setattr(columns, "SHARE", 0)
    X[np.random.default_rng(0).random(X.shape) < 0.5] = 0
    D = np.column_stack([X, np.ones(60)])
    r = y - D @ np.linalg.lstsq(D, y)[0]
    twice = as_format(np.column_stack([X, X[:, 2]]), "csr_array")
    assert noise_variance(make(twice, y)) == pytest.approx(r @ r / 54, rel=1e-10)


def test_noise_variance_needs_rows() -> None:
    X, y = random_data(6, 12, 11)
    assert noise_variance(make(X, y)) is None
    assert noise_variance(make(X, y, None, False)) is not None
    assert noise_variance(make(X[:, :10], y)) is not None
    assert noise_variance(make(X[:, :10], y, np.where(np.arange(12) < 1, 0.0, 1.0))) is None


def brute_force(X: Array, y: Array, s: Array, alpha: float, **model: Any) -> Array:
    """Errors of n refits, each with the weight of a row set to 0 and n alpha held."""
    errors = np.zeros(len(y))
    for i in np.flatnonzero(s):
        w = s.copy()
        w[i] = 0
        # a fit rescales its weights to sum to n: the loss grows by that, and so must alpha
        fit = creg.ElasticNet(alpha=alpha * s.sum() / w.sum(), tol=1e-14, **model)
        errors[i] = y[i] - fit.fit(X, y, sample_weight=w).predict(X[i : i + 1])[0]
    return errors


@pytest.mark.parametrize("intercept", [True, False])
def test_leave_one_out_is_exact_where_supports_and_signs_stay(intercept: bool) -> None:
    """Every feature active throughout: an elastic net that is nearly ridge."""
    X, y = random_data(7, 30, 4)
    y = y + X @ np.array([3.0, -4.0, 4.0, 5.0])
    s = np.tile([0.0, 1.0, 2.0], 10)
    for l1_ratio, alpha in ((0.01, 0.5), (0.5, 0.05), (1.0, 0.02)):
        problem = make(X, y, s, intercept, l1_ratio=l1_ratio)
        solutions = Solutions.of(list(problem.solve([alpha], EXACT)))
        assert solutions.n_nonzero[0] == 4
        found = leave_one_out(problem, solutions, np.array([30 * alpha * (1 - l1_ratio)]))
        e = brute_force(X, y, s, alpha, l1_ratio=l1_ratio, fit_intercept=intercept)
        assert found.values[0, 0] == pytest.approx(s @ e**2 / s.sum(), rel=1e-9)


def test_leave_one_out_is_near_refits_along_a_path() -> None:
    X, y = random_data(8, 60, 90)
    problem = make(X, y)
    alphas, l2, solutions = along(problem, 6, 0.05)
    found = leave_one_out(problem, solutions, l2)
    for k, alpha in enumerate(alphas):
        e = brute_force(X, y, np.ones(60), alpha, l1_ratio=1.0)
        assert found.values[0, k] == pytest.approx(np.mean(e**2), rel=0.25)
        spread = np.std(e**2, ddof=1) / np.sqrt(60)
        assert found.errors is not None
        assert found.errors[0, k] == pytest.approx(spread, rel=0.6)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_leave_one_out_by_its_formula(l1_ratio: float) -> None:
    X, y = random_data(9, 40, 15)
    s = np.tile([0.0, 1.0, 2.0, 0.5], 10)
    problem = make(X, y, s, l1_ratio=l1_ratio, lower=-0.4)
    _, l2, solutions = along(problem)
    refitted = relaxed(problem, solutions, EXACT)
    gammas = [1.0, 0.3, 0.0]
    found = leave_one_out(problem, solutions, l2, refitted, gammas)
    first, second = (exact_residuals(X, y, fit) for fit in (solutions, refitted))
    assert found.errors is not None
    for k in range(len(solutions)):
        df, e = [], []
        for fit, r, shrink in ((solutions[k], first[k], l2[k]), (refitted[k], second[k], 0.0)):
            free = fit.indices[fit.values > -0.4]
            penalty = np.full(len(free), shrink) if shrink else None
            trace, h = hat(X, s, True, free, penalty)
            df.append(trace)
            e.append(r / (1 - h))
        for g, gamma in enumerate(gammas):
            squares = (gamma * e[0] + (1 - gamma) * e[1]) ** 2
            mean = s @ squares / s.sum()
            assert found.values[g, k] == pytest.approx(mean, rel=1e-7)
            assert found.df[g, k] == pytest.approx(gamma * df[0] + (1 - gamma) * df[1], abs=1e-8)
            variance = s @ (squares - mean) ** 2 / s.sum() * 30 / 29
            assert found.errors[g, k] == pytest.approx(np.sqrt(variance / 30), rel=1e-6)
        sums = sums_of_squares(problem, solutions, l2, refitted, gammas)
        np.testing.assert_allclose(sums.df, found.df, atol=1e-8)
        r = 0.3 * first[k] + 0.7 * second[k]
        assert sums.values[1, k] == pytest.approx(s @ r**2 * 30 / s.sum(), rel=1e-8)


def test_weight_zero_is_a_dropped_row() -> None:
    X, y = random_data(10, 40, 60)
    s = np.where(np.arange(40) % 4 == 0, 0.0, 1.0)
    results = []
    for problem in (make(X, y, s), make(X[s > 0], y[s > 0])):
        alphas, l2, solutions = along(problem)
        found = leave_one_out(problem, solutions, l2)
        rss = residual_squares(problem, solutions)
        results.append([alphas, found.values[0], found.errors[0], found.df[0], rss])  # type: ignore[index]
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7)


def test_saturation_is_infinite_and_never_nan() -> None:
    X, y = random_data(11, 15, 60)
    problem = make(X, y, l1_ratio=1.0)
    _, l2, solutions = along(problem, 40, 1e-6)
    refitted = relaxed(problem, solutions, EXACT)
    found = leave_one_out(problem, solutions, l2, refitted, [1.0, 0.5, 0.0])
    assert found.errors is not None
    for values in (found.values, found.errors, found.df):
        assert not np.isnan(values).any()
    assert found.df.max() == 14
    assert np.isinf(found.values[:, found.df[0] == 14]).all()
    assert np.isfinite(found.values[0, :5]).all()
    sums = sums_of_squares(problem, solutions, l2, refitted, [1.0, 0.5, 0.0])
    for kind in ("aic", "bic", "ebic"):
        assert np.isfinite(information(sums.values, sums.df, 15, 60, 0.5, kind)).all()


def test_constant_target() -> None:
    X, _ = random_data(12, 20, 4)
    problem = make(X, np.full(20, 2.0))
    solutions = Solutions.of(list(problem.solve([1.0, 0.1], EXACT)))
    found = leave_one_out(problem, solutions, np.zeros(2))
    np.testing.assert_array_equal(found.values, 0)
    variance = noise_variance(problem)
    assert variance is not None
    assert not np.isnan(information(np.zeros(2), np.zeros(2), 20, 4, variance, "bic")).any()
