"""Singular values: rank, least norm, and penalties of any size."""

import numpy as np
import pytest
import scipy.sparse as sparse
from ridge_reference import ridge

from creg._data.design import DesignView
from creg._data.storage import Storage
from creg._ridge.spectrum import minimum_norm, singular
from creg._ridge.system import RidgeSystem, Targets


def solved(X, Y, alpha, *, s=None, v=None, fit_intercept=True, standardize=False):
    view = DesignView(Storage(X), s, fit_intercept)
    system = RidgeSystem(view, v, standardize, 1)
    targets = Targets(Y, view.weights, fit_intercept)
    members = list(range(Y.shape[1]))
    W = singular(system, alpha, targets.block(members))
    coef = np.zeros((X.shape[1], Y.shape[1]))
    for k in members:
        coef[system.columns, k] = targets.in_user_units(k, W[:, k] * system.scale)
    return coef


def test_minimum_norm_is_that_of_the_pseudoinverse():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(30, 5)) @ rng.normal(size=(5, 9))
    B = rng.normal(size=(30, 2))
    np.testing.assert_allclose(
        minimum_norm(A, B, np.ones(9), 1e-12), np.linalg.lstsq(A, B, rcond=1e-12)[0], atol=1e-12
    )
    metric = np.geomspace(1e-2, 1e2, 9)
    truth = np.linalg.lstsq(A / metric, B, rcond=1e-12)[0] / metric[:, None]
    np.testing.assert_allclose(minimum_norm(A, B, metric, 1e-12), truth, atol=1e-11)


def test_minimum_norm_with_columns_that_cost_nothing():
    rng = np.random.default_rng(1)
    A = rng.normal(size=(20, 3))
    A = np.hstack([A, A[:, :1]])
    # all of the shared coefficient goes to the column that costs nothing
    w = minimum_norm(A, A[:, :1], np.array([1.0, 1, 1, 0]), 1e-12)
    np.testing.assert_allclose(w[:, 0], [0, 0, 0, 1], atol=1e-13)
    w = minimum_norm(A, A[:, :1], np.zeros(4), 1e-12)
    np.testing.assert_allclose(A @ w, A[:, :1], atol=1e-13)


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("shape", [(700, 10), (30, 12), (12, 30)])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_penalised(shape, fit_intercept, as_sparse):
    rng = np.random.default_rng(2)
    X, Y = rng.normal(size=shape) + 2, rng.normal(size=(shape[0], 2))
    if as_sparse:
        X[rng.random(shape) < 0.4] = 0
    s = rng.choice([0.0, 1.0, 3.0], shape[0])
    v = rng.uniform(1, 2, shape[1])
    v[[1, 5]], v[3] = 0, np.inf
    for alpha in (1e-6, 1e-2, 1e3):
        for standardize in (False, True):
            how = {"s": s, "v": v, "fit_intercept": fit_intercept, "standardize": standardize}
            truth = ridge(X, Y, [alpha, alpha], **how)[0].astype(float)
            coef = solved(sparse.csc_array(X) if as_sparse else X, Y, alpha, **how)
            np.testing.assert_allclose(coef, truth, atol=1e-12 * np.abs(truth).max())


@pytest.mark.parametrize("mean", [0.0, 1e3, 1e6, 1e8])
@pytest.mark.parametrize("kind", ["repeated", "combined"])
@pytest.mark.parametrize("spread", [0, 3])
def test_rank_does_not_depend_on_means_and_scales(kind, mean, spread):
    rng = np.random.default_rng(3)
    A = rng.normal(size=(200, 20))
    A = np.hstack([A, A[:, :20] if kind == "repeated" else A @ rng.normal(size=(20, 20)) / 5])
    scale = 10.0 ** rng.uniform(-spread, spread, 40)
    # numbers that a shift does not round
    A = np.round(A * 2.0**20) / 2.0**20 if kind == "repeated" else A
    X, Y = (A + mean) * scale, rng.normal(size=(200, 1))
    system = RidgeSystem(DesignView(Storage(X), None, True), None, False, 1)
    Z = system.rows(0, 200)
    values = np.linalg.svd(Z / np.linalg.norm(Z, axis=0), compute_uv=False)
    assert np.count_nonzero(values > system.rank_tolerance() * values[0]) == 20
    coef = solved(X, Y, 0.0)
    fitted = (X - X.mean(axis=0)) @ coef
    Ac = A - A.mean(axis=0)
    truth = Ac @ np.linalg.lstsq(Ac, Y - Y.mean(), rcond=1e-10)[0]
    np.testing.assert_allclose(fitted, truth, atol=1e-11 * (1 + 100 * mean))


@pytest.mark.parametrize("transpose", [False, True])
def test_least_norm_is_in_the_callers_columns(transpose):
    rng = np.random.default_rng(4)
    A = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 12))
    if transpose:
        A = np.ascontiguousarray(A.T)
    p = A.shape[1]
    X, Y = A * np.geomspace(1e-2, 1e2, p), rng.normal(size=(A.shape[0], 1))
    Xc, Yc = X - X.mean(axis=0), Y - Y.mean()
    truth = np.linalg.lstsq(Xc, Yc, rcond=1e-10)[0]
    np.testing.assert_allclose(solved(X, Y, 0.0), truth, atol=1e-10 * np.abs(truth).max())
    spread = X.std(axis=0)
    truth = np.linalg.lstsq(Xc / spread, Yc, rcond=1e-10)[0]
    got = solved(X, Y, 0.0, standardize=True) * spread[:, None]
    np.testing.assert_allclose(got, truth, atol=1e-10 * np.abs(truth).max())


@pytest.mark.parametrize("shape", [(60, 8), (8, 60)])
def test_small_penalties_are_still_seen(shape):
    # alpha of 1e-16 to 1e-22 of the largest eigenvalue: the Gram matrix knows nothing of it
    rng = np.random.default_rng(5)
    k = min(shape) - 1
    U = np.linalg.qr(rng.normal(size=(shape[0], k)))[0]
    V = np.linalg.qr(rng.normal(size=(shape[1], k)))[0]
    X = U * np.geomspace(1, 1e-9, k) @ V.T
    Y = U @ rng.normal(size=(k, 1))
    for alpha in (1e-12, 1e-16, 1e-18):
        truth = ridge(X, Y, [alpha])[0].astype(float)
        error = np.linalg.norm(solved(X, Y, alpha) - truth)
        assert error < 1e-15 / np.sqrt(alpha) * 100 * np.linalg.norm(truth)


@pytest.mark.parametrize("shape", [(40, 8), (12, 9)])
def test_dependent_columns_without_penalty(shape):
    rng = np.random.default_rng(8)
    X = rng.normal(size=shape)
    X[:, 4] = X[:, 3]
    Y = X[:, :5] @ rng.normal(size=(5, 2)) + rng.normal(size=(shape[0], 2))
    v = np.ones(shape[1])
    v[[2, 3, 4]] = 0
    system = RidgeSystem(DesignView(Storage(X), None, centre=False), v, False, 1)
    W = singular(system, 2.0, Y) * system.scale[:, None]
    once = np.delete(np.arange(shape[1]), 4)
    truth, _ = ridge(X[:, once], Y, [2.0, 2.0], v=v[once], fit_intercept=False)
    truth = truth.astype(float)
    np.testing.assert_allclose(W[3] + W[4], truth[3], rtol=1e-10)
    np.testing.assert_allclose(W[3], W[4], rtol=1e-10)
    np.testing.assert_allclose(np.delete(W, [3, 4], axis=0), np.delete(truth, 3, axis=0), rtol=1e-9)
