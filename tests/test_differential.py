"""The objective is no worse than scikit-learn's, on problems that hypothesis draws."""

import warnings

import numpy as np
import pytest
from cases import as_format
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import linear_model

import creg

LAYOUTS = st.sampled_from(["C", "F", "csc_array", "csr_array", "csc_int64"])


@st.composite
def regressions(draw, max_n=40, max_p=30):
    """(layout, X, y, weights or None); sparsity, scale and duplicates are drawn too."""
    n, p = draw(st.integers(2, max_n)), draw(st.integers(1, max_p))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.normal(size=(n, p)) * 10.0 ** draw(st.integers(-3, 3))
    if draw(st.booleans()):
        X[rng.random((n, p)) < 0.7] = 0
    if draw(st.booleans()):
        X = np.round(X / (np.abs(X).max() or 1) * 3)
    if draw(st.booleans()) and p > 1:
        X[:, -1] = X[:, 0]
    y = X @ np.where(rng.random(p) < 0.3, 1.0, 0.0) / (np.abs(X).max() or 1)
    y = y + rng.normal(size=n) * draw(st.sampled_from([0.0, 0.1, 1.0]))
    weights = rng.choice([0.0, 1.0, 2.0, 0.3], n) if draw(st.booleans()) else None
    if weights is not None and not weights.any():
        weights = np.ones(n)
    return draw(LAYOUTS), X, y, weights


def l1_objective(X, y, weights, coef, intercept, alpha, l1_ratio):
    s = np.ones(len(y)) if weights is None else weights * len(y) / np.sum(weights)
    penalty = l1_ratio * np.abs(coef).sum() + (1 - l1_ratio) / 2 * (coef @ coef)
    return s @ (y - X @ coef - intercept) ** 2 / (2 * len(y)) + alpha * penalty


def sizes(X, y, weights, fit_intercept):
    """The null objective and the largest gradient: the scales of gaps and of alphas."""
    s = np.ones(len(y)) if weights is None else weights * len(y) / np.sum(weights)
    centred = y - (np.average(y, weights=s) if fit_intercept else 0)
    shifted = X - (np.average(X, axis=0, weights=s) if fit_intercept else 0)
    return s @ centred**2 / (2 * len(y)), np.abs(shifted.T @ (s * centred)).max() / len(y)


@settings(max_examples=80)
@given(
    data=regressions(),
    fraction=st.sampled_from([0.9, 0.3, 0.03, 1e-3]),
    l1_ratio=st.sampled_from([1.0, 0.9, 0.5, 0.1]),
    positive=st.booleans(),
    fit_intercept=st.booleans(),
    solver=st.sampled_from(["auto", "cd"]),
)
def test_elastic_net(data, fraction, l1_ratio, positive, fit_intercept, solver) -> None:
    layout, X, y, weights = data
    null, top = sizes(X, y, weights, fit_intercept)
    alpha = fraction * top / l1_ratio
    if not alpha > 1e-12 * np.abs(X).max() * np.abs(y).max():
        return
    shared = {"l1_ratio": l1_ratio, "positive": positive, "fit_intercept": fit_intercept}
    ours = creg.ElasticNet(alpha, **shared, solver=solver)
    ours.fit(as_format(X, layout), y, sample_weight=weights)
    theirs = linear_model.ElasticNet(alpha, **shared, tol=1e-10, max_iter=100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X, y, sample_weight=weights)
    problem = X, y, weights
    at_ours = l1_objective(*problem, ours.coef_, ours.intercept_, alpha, l1_ratio)
    at_theirs = l1_objective(*problem, theirs.coef_, theirs.intercept_, alpha, l1_ratio)
    rounding = 1e-12 * (null + np.abs(y).max() ** 2)
    assert 0 <= ours.dual_gap_ <= 1e-8 * null + rounding
    assert at_ours <= at_theirs + ours.dual_gap_ + rounding
    assert not positive or ours.coef_.min() >= 0


@settings(max_examples=60)
@given(
    data=regressions(),
    exponent=st.integers(-4, 4),
    fit_intercept=st.booleans(),
    solver=st.sampled_from(["auto", "cholesky", "eigen", "cg"]),
)
def test_ridge(data, exponent, fit_intercept, solver) -> None:
    layout, X, y, weights = data
    alpha = 10.0**exponent * (np.sum(X**2) or 1.0) / X.shape[1]
    ours = creg.Ridge(alpha, fit_intercept=fit_intercept, solver=solver, tol=1e-12)
    ours.fit(as_format(X, layout), y, sample_weight=weights)
    theirs = linear_model.Ridge(alpha, fit_intercept=fit_intercept, solver="svd")
    theirs.fit(X, y, sample_weight=weights)
    size = np.linalg.norm(theirs.coef_) + 1e-12 * np.abs(y).max() / (np.abs(X).max() or 1)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-7 * size)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-7 * np.abs(y).max())


@settings(max_examples=25)
@given(
    data=regressions(max_n=25, max_p=15),
    l1_ratio=st.sampled_from([1.0, 0.5]),
    positive=st.booleans(),
)
def test_paths(data, l1_ratio, positive) -> None:
    layout, X, y, _ = data
    null, top = sizes(X, y, None, False)
    if not top > 1e-12 * np.abs(X).max() * np.abs(y).max():
        return
    shared = {"eps": 1e-2, "l1_ratio": l1_ratio, "positive": positive}
    if l1_ratio == 1 and not positive:
        ours = creg.lasso_path(as_format(X, layout), y, eps=1e-2, alphas=8, fit_intercept=False)
    else:
        ours = creg.enet_path(as_format(X, layout), y, **shared, alphas=8, fit_intercept=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, coefs, _ = linear_model.enet_path(
            X, y, **shared | {"alphas": ours.alphas}, tol=1e-10, max_iter=100_000
        )
    assert ours.alphas.shape == (8,)
    if not positive:
        np.testing.assert_allclose(ours.alphas[0], top / l1_ratio, rtol=1e-9)
        np.testing.assert_allclose(ours.alphas[-1], 1e-2 * ours.alphas[0], rtol=1e-9)
    for k, alpha in enumerate(ours.alphas):
        coef = ours.coefs[:, [k]].toarray().ravel()
        at_ours = l1_objective(X, y, None, coef, 0.0, alpha, l1_ratio)
        at_theirs = l1_objective(X, y, None, coefs[:, k], 0.0, alpha, l1_ratio)
        assert at_ours <= at_theirs + ours.dual_gaps[k] + 1e-12 * null
        assert ours.dual_gaps[k] <= 1.0000001e-8 * null


@pytest.mark.parametrize("sparse_x", [False, True])
@pytest.mark.parametrize("name", ["Lasso", "ElasticNet", "Ridge"])
def test_a_swapped_import_gives_the_same_model(name, sparse_x) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 12)), rng.normal(size=(60, 2))
    X[rng.random(X.shape) < 0.5] = 0
    given_x = as_format(X, "csr_array" if sparse_x else "C")
    ours = getattr(creg, name)(0.1, tol=1e-13).fit(given_x, y)
    theirs = getattr(linear_model, name)(0.1, tol=1e-13).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.predict(given_x), theirs.predict(X), atol=1e-6)
    np.testing.assert_allclose(ours.score(given_x, y), theirs.score(X, y), atol=1e-6)
