"""Many alphas at once against one at a time in extended precision."""

import numpy as np
import pytest
from cases import as_format
from ridge_reference import ridge
from scipy import sparse

from creg import _ridge_path, _ridge_problem
from creg._data.storage import Storage
from creg._given import Options, Penalty
from creg._ridge_path import fell_short, solve_ridge_path


@pytest.fixture(autouse=True)
def _every_read_counts(monkeypatch):
    """Small data go the way of large ones."""
    monkeypatch.setattr(_ridge_problem, "SMALL", 0)


def path(X, Y, alphas, *, s=None, fit_intercept=True, n_threads=1, max_iter=None, **penalty):
    return solve_ridge_path(
        Storage(X),
        Y,
        np.asarray(alphas, dtype=float),
        sample_weight=s,
        fit_intercept=fit_intercept,
        penalty=Penalty(l1_ratio=0.0, **penalty),
        options=Options(tol=1e-8, max_iter=max_iter, n_threads=n_threads),
    )


def data(n, p, targets=2, mean=3.0):
    rng = np.random.default_rng([n, p])
    X = rng.normal(size=(n, p)) * np.geomspace(1, 10, p) + mean
    X[:, 1] = 2.5  # constant
    return X, X[:, :3].sum(axis=1)[:, None] + rng.normal(size=(n, targets)), rng


def error(found, wanted):
    wanted = wanted.astype(float)
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


@pytest.mark.parametrize("layout", ["C", "F", "csr_array", "csc_array"])
@pytest.mark.parametrize("shape", [(60, 15), (15, 60)])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("count", [3, 25])
def test_against_one_at_a_time(count, fit_intercept, standardize, shape, layout):
    X, Y, rng = data(*shape)
    if not fit_intercept:
        X[:, 1] = 0
    s = rng.choice([0.5, 1.0, 2.5], shape[0])
    s[::7] = 0
    v = rng.uniform(0.5, 2, shape[1])
    v[4] = np.inf
    alphas = np.geomspace(1e4, 1e-2, count)
    found = path(
        as_format(X, layout), Y, alphas, s=s, fit_intercept=fit_intercept, weights=v,
        standardize=standardize,
    )  # fmt: skip
    for k, alpha in enumerate(alphas):
        W, b = ridge(X, Y, [alpha, alpha], s=s, v=v, fit_intercept=fit_intercept,
                     standardize=standardize)  # fmt: skip
        assert error(found.coefs[:, :, k].T, W) < 1e-10
        np.testing.assert_allclose(found.intercepts[:, k], b.astype(float), atol=1e-8)
        R = Y - X @ W - b
        y_mean = s @ Y / s.sum() if fit_intercept else 0
        wanted = 1 - s @ (R * R) / (s @ (Y - y_mean) ** 2)
        np.testing.assert_allclose(found.r2[:, k], wanted.astype(float), atol=1e-9)
    assert not found.coefs[:, [1, 4]].any()
    assert np.all(found.n_iters == 1)
    assert np.all(np.isnan(found.residuals))


@pytest.mark.parametrize("shape", [(80, 12), (12, 80)])
@pytest.mark.parametrize("cond", [1e2, 1e5, 1e7])
def test_down_to_tiny_alphas(shape, cond):
    """Where the Gram matrix does not resolve the alphas: refined, or by singular values."""
    rng = np.random.default_rng(int(np.log10(cond)))
    n, p = shape
    small = min(shape)
    U, _ = np.linalg.qr(rng.normal(size=(n, small)))
    V, _ = np.linalg.qr(rng.normal(size=(p, small)))
    X = U @ np.diag(np.geomspace(1, 1 / cond, small)) @ V.T
    y = X @ rng.normal(size=(p, 1)) + 1e-3 * rng.normal(size=(n, 1))
    alphas = np.geomspace(1, 1e-12, 30)
    found = path(X, y, alphas, fit_intercept=False)
    for k, alpha in enumerate(alphas):
        W, _ = ridge(X, y, [alpha], fit_intercept=False)
        # what float64 data may lose: eps times the condition of the penalised problem
        assert error(found.coefs[:, :, k].T, W) < 1e-9 + 1e-15 / np.sqrt(alpha)


def test_unpenalised_columns_and_nothing_penalised():
    X, Y, _ = data(50, 12)
    v = np.ones(12)
    v[[2, 3]] = 0
    alphas = np.geomspace(1e8, 1, 12)
    found = path(X, Y, alphas, weights=v)
    for k, alpha in enumerate(alphas):
        W, _ = ridge(X, Y, [alpha, alpha], v=v)
        assert error(found.coefs[:, :, k].T, W) < 1e-9
    # the null model has those two
    assert np.all(found.r2[:, 0] < 1e-3)
    assert np.all(np.diff(found.r2, axis=1) > 0)
    least = path(X, Y, alphas[:3], weights=np.zeros(12))
    np.testing.assert_allclose(least.coefs, np.repeat(least.coefs[:, :, :1], 3, axis=2))
    A = np.delete(np.hstack([X, np.ones((50, 1))]), 1, axis=1)
    wanted = np.linalg.lstsq(A, Y)[0][:-1]
    np.testing.assert_allclose(np.delete(least.coefs[:, :, 0], 1, axis=1), wanted.T, rtol=1e-8)


@pytest.mark.parametrize("layout", ["csr_array", "csc_array"])
@pytest.mark.parametrize("shape", [(120, 30), (30, 120), (60, 80)])
@pytest.mark.parametrize("unpenalised", [False, True])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_krylov(n_threads, unpenalised, shape, layout, monkeypatch):
    monkeypatch.setattr(_ridge_path, "prefers_iterations", lambda system: True)
    rng = np.random.default_rng(shape)
    X = rng.normal(size=shape) * (rng.random(shape) < 0.2)
    Y = X[:, :2] + rng.normal(size=(shape[0], 2))
    s = rng.choice([0.0, 1.0, 2.5], shape[0])
    v = rng.uniform(0.5, 2, shape[1])
    if unpenalised:
        v[2] = 0
    alphas = np.geomspace(100, 0.5, 9)
    found = path(as_format(X, layout), Y, alphas, s=s, weights=v, n_threads=n_threads)
    assert np.all(found.residuals <= 1e-8 * found.null_residuals)
    assert np.all(found.n_iters > 1)
    for k, alpha in enumerate(alphas):
        W, b = ridge(X, Y, [alpha, alpha], s=s, v=v)
        assert error(found.coefs[:, :, k].T, W) < 1e-5
        np.testing.assert_allclose(found.intercepts[:, k], b.astype(float), atol=1e-5)
        gradient = X.T @ (s[:, None] * (Y - X @ found.coefs[:, :, k].T - found.intercepts[:, k]))
        gradient -= alpha * v[:, None] * found.coefs[:, :, k].T
        # both are rounded where the residual is tiny
        np.testing.assert_allclose(
            np.linalg.norm(gradient, axis=0), found.residuals[:, k],
            rtol=0.05, atol=1e-11 * found.null_residuals.max(),
        )  # fmt: skip
    assert fell_short(found, alphas, 1e-8) == ([], [])


def test_krylov_that_falls_short_says_so(monkeypatch):
    monkeypatch.setattr(_ridge_path, "prefers_iterations", lambda system: True)
    rng = np.random.default_rng(0)
    X = sparse.csr_array(rng.random((200, 50)) * (rng.random((200, 50)) < 0.1))
    found = path(X, rng.normal(size=(200, 1)), [1e-2, 1e-6], max_iter=3)
    solutions, alphas = fell_short(found, np.array([1e-2, 1e-6]), 1e-8)
    assert alphas == [1e-2, 1e-6]
    assert all(solution.method == "cg" for solution in solutions)


def test_constant_targets_and_columns():
    X, Y, _ = data(30, 8)
    found = path(X, np.full((30, 1), 4.0), [1.0, 0.1])
    assert not found.coefs.any()
    np.testing.assert_array_equal(found.intercepts, 4.0)
    np.testing.assert_array_equal(found.r2, 0)
    found = path(np.full((30, 2), 7.0), Y, [1.0, 0.1])
    assert not found.coefs.any()
    np.testing.assert_allclose(found.r2, 0, atol=1e-15)
