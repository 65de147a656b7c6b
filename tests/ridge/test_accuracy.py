"""Ridge where columns lie far from zero, or apart in size, against extended precision."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from ridge_reference import least_squares, ridge

import creg
from creg._data.storage import Storage
from creg._problem import Options, Penalty
from creg._ridge_problem import solve_ridge


def fit(X, y, alpha, solver, s=None):
    solution = solve_ridge(
        Storage(X),
        y[:, None],
        np.array([alpha]),
        sample_weight=s,
        fit_intercept=True,
        penalty=Penalty(l1_ratio=0.0, weights=None),
        options=Options(tol=1e-13, max_iter=None, solver=solver),
    )[0]
    return solution.dense(X.shape[1]), solution


def truth(X, y, alpha, s=None):
    """Of columns less their first row, an exact difference where they are far from zero."""
    return ridge(X - X[0], y[:, None], [alpha], s=s)[0][:, 0].astype(float)


def wide_truth(X, y, alpha, s=None):
    """The same from the equations in sample space."""
    s = np.ones(len(X), np.longdouble) if s is None else s.astype(np.longdouble)
    Z = (X - X[np.argmax(s > 0)]).astype(np.longdouble)
    Z = np.sqrt(s)[:, None] * (Z - s @ Z / s.sum())
    eta = np.sqrt(s) * (y - s @ y / s.sum())
    u = least_squares(Z @ Z.T + alpha * np.eye(len(X)), eta[:, None])
    return (Z.T @ u)[:, 0].astype(float)


def correlated(n, p, *, trend=False, seed=0):
    """Columns of standard deviation about 1 whose correlations have a condition of about 1e5."""
    rng = np.random.default_rng([seed, n, p])
    Q = np.linalg.qr(rng.normal(size=(p, p)))[0]
    X = rng.normal(size=(n, p)) @ (Q * np.geomspace(1, 3e-3, p)) @ Q.T
    X /= X.std(axis=0)
    if trend:
        X += np.linspace(-2, 2, n)[:, None] * rng.choice([-1, 1], p)
    return X, X[:, :4] @ rng.normal(size=4) + rng.normal(size=n)


@pytest.mark.parametrize("ratio", [1.0, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12])
@pytest.mark.parametrize("trend", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_tall_means(order, trend, ratio):
    X, y = correlated(3000, 20, trend=trend)
    X = np.asarray(X + ratio * np.random.default_rng(1).uniform(0.5, 1, 20), order=order)
    expected = truth(X, y, 0.1)
    for solver in ("cholesky", "eigen"):
        found, solution = fit(X, y, 0.1, solver)
        assert solution.method == solver
        assert np.linalg.norm(found - expected) < 1e-10 * np.linalg.norm(expected)


@pytest.mark.parametrize("ratio", [1.0, 5.0, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("weighted", [False, True])
def test_wide_means(weighted, order, ratio):
    X, y = correlated(1700, 30)
    X, y = np.asarray((X + ratio).T, order=order), y[:30]
    s = np.random.default_rng(2).choice([0.0, 1.0, 2.0], 30) if weighted else None
    expected = wide_truth(X, y, 0.1, s)
    found, solution = fit(X, y, 0.1, "cholesky", s)
    assert solution.method == "cholesky"
    assert np.linalg.norm(found - expected) < 1e-10 * np.linalg.norm(expected)


@pytest.mark.parametrize("n", [2560, 20_000])
@pytest.mark.parametrize("far", [1e2, 1e3])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_sample_of_rows_that_misleads(order, far, n):
    # all rows that a shift may be taken from lie far from the others
    X, y = correlated(n, 8)
    starts = np.linspace(0, n - 8, 16).astype(int)
    rows = (starts[:, None] + np.arange(8)).ravel()
    X[rows] += far * np.random.default_rng(3).uniform(0.5, 1, 8)
    X = np.asarray(X, order=order)
    expected = truth(X, y, 0.1)
    found, _ = fit(X, y, 0.1, "cholesky")
    assert np.linalg.norm(found - expected) < 1e-10 * np.linalg.norm(expected)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_first_row_that_misleads(order):
    X, y = correlated(1700, 30)
    X, y = X.T.copy(), y[:30]
    X[0] += 1e3
    expected = wide_truth(X[::-1], y[::-1], 0.1)
    found, _ = fit(np.asarray(X, order=order), y, 0.1, "cholesky")
    assert np.linalg.norm(found - expected) < 1e-9 * np.linalg.norm(expected)


@pytest.mark.parametrize("shape", [(60, 12), (420, 120)])
@pytest.mark.parametrize("solver", ["auto", "cholesky", "eigen"])
@pytest.mark.parametrize("digits", [100, 150])
def test_columns_apart_in_size(digits, solver, shape):
    rng = np.random.default_rng(4)
    scale = 10.0 ** rng.uniform(-digits, digits, shape[1])
    X, y = rng.normal(size=shape) * scale, rng.normal(size=shape[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for alpha in (1.0, 1e-150):
            found, _ = fit(X, y, alpha, solver)
            expected = ridge(X, y[:, None], [alpha])[0][:, 0]
            size = np.abs(expected) * scale
            error = np.abs(found - expected) * scale
            assert np.max(error) < 1e-9 * np.max(size)


def exact_in_sample_space(X, y, alpha):
    """Coefficients times the largest entry of their column, in rational arithmetic."""
    columns = [[Fraction(float(v)) for v in x] for x in X.T]
    columns = [[v - sum(x) / len(x) for v in x] for x in columns]
    target = [Fraction(float(v)) for v in y]
    target = [v - sum(target) / len(target) for v in target]
    n = len(y)
    K = [
        [sum(x[i] * x[k] for x in columns) + Fraction(alpha) * (i == k) for k in range(n)]
        + [target[i]]
        for i in range(n)
    ]
    for k in range(n):
        for i in range(n):
            if i != k:
                factor = K[i][k] / K[k][k]
                K[i] = [a - factor * b for a, b in zip(K[i], K[k], strict=True)]
    u = [K[i][n] / K[i][i] for i in range(n)]
    return np.array(
        [
            float(sum(a * b for a, b in zip(x, u, strict=True)) * Fraction(float(largest)))
            for x, largest in zip(columns, np.abs(X).max(axis=0), strict=True)
        ]
    )


@pytest.mark.parametrize("digits", [3, 10, 100, 150])
@pytest.mark.parametrize("order", ["C", "F"])
def test_wide_columns_apart_in_size(order, digits):
    rng = np.random.default_rng([6, digits])
    X = rng.normal(size=(7, 18)) * 10.0 ** rng.uniform(-digits, digits, 18)
    X[:, 4] = 2 * X[:, 3]  # what is left of it once the other is there is rounding
    y = rng.normal(size=7)
    X = np.asarray(X, order=order)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for alpha in (1.0, 1e-150):
            expected = exact_in_sample_space(X, y, alpha)
            for solver in ("auto", "cholesky", "eigen"):
                found = fit(X, y, alpha, solver)[0] * np.abs(X).max(axis=0)
                assert np.max(np.abs(found - expected)) < 1e-9 * np.max(np.abs(expected))


def apart(shape, digits):
    """Columns up to 10^(2 digits) apart, of wide X two of them multiples; and a target."""
    rng = np.random.default_rng([6, digits])
    X = rng.normal(size=shape) * 10.0 ** rng.uniform(-digits, digits, shape[1])
    if shape[0] < shape[1]:
        X[:, 4] = 2 * X[:, 3]
    return X, rng.normal(size=shape[0])


@pytest.mark.parametrize("digits", [3, 7, 10, 30, 100, 150])
@pytest.mark.parametrize("shape", [(7, 18), (18, 7)])
@pytest.mark.parametrize("largest", [1.0, 1e-150])
def test_path_of_columns_apart_in_size(largest, shape, digits):
    X, y = apart(shape, digits)
    alphas = largest * np.geomspace(1, 1e-3, 30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = creg.ridge_path(X, y, alphas)
    for k in (0, 29):
        expected = exact_in_sample_space(X, y, alphas[k])
        found = path.coefs[:, k] * np.abs(X).max(axis=0)
        assert np.max(np.abs(found - expected)) < 1e-9 * np.max(np.abs(expected))


@pytest.mark.parametrize("digits", [3, 7, 10, 30, 100, 150])
@pytest.mark.parametrize("shape", [(7, 18), (18, 7)])
@pytest.mark.parametrize("alpha", [1.0, 1e-12, 1e-150])
def test_choice_of_columns_apart_in_size(alpha, shape, digits):
    """Coefficients that are exact, and a criterion that is right or warned of."""
    X, y = apart(shape, digits)
    expected = exact_in_sample_space(X, y, alpha)
    squares = 0.0
    for i in range(len(y)):
        k = np.arange(len(y)) != i
        coef = exact_in_sample_space(X[k], y[k], alpha) / np.abs(X[k]).max(axis=0)
        squares += (y[i] - y[k].mean() - (X[i] - X[k].mean(axis=0)) @ coef) ** 2
    for cv in (None, 3):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = creg.RidgeCV([alpha], cv=cv).fit(X, y)
        assert all("differ so much in size" in str(w.message) for w in caught)
        found = model.coef_ * np.abs(X).max(axis=0)
        assert np.max(np.abs(found - expected)) < 1e-9 * np.max(np.abs(expected))
        if cv is None and not caught:
            assert abs(model.criterion_path_[0] * len(y) / squares - 1) < 1e-7


@pytest.mark.parametrize("solver", ["auto", "cholesky", "eigen"])
@pytest.mark.parametrize("shape", [(60, 12), (12, 60)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_no_warning_at_any_size(order, shape, solver):
    rng = np.random.default_rng(5)
    v = np.where(rng.random(shape[1]) < 0.2, 0.0, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for digits in (100, 250, 300):
            X = rng.normal(size=shape) * 10.0 ** rng.uniform(-digits, digits, shape[1])
            for weights in (None, v):
                for alpha in (1.0, 1e-200, 0.0):
                    solution = solve_ridge(
                        Storage(np.asarray(X, order=order)),
                        rng.normal(size=(shape[0], 1)),
                        np.array([alpha]),
                        sample_weight=None,
                        fit_intercept=True,
                        penalty=Penalty(l1_ratio=0.0, weights=weights),
                        options=Options(tol=1e-8, max_iter=None, solver=solver),
                    )[0]
                    assert np.isfinite(solution.dense(shape[1])).all()
