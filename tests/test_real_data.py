"""Every alpha of a path on real data is certified, and scikit-learn finds nothing better."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn import linear_model

import creg

SETS = (
    *("ads", "california", "colon", "communities", "debian", "diamonds"),
    *("insteval", "leukemia", "prostate", "riboflavin", "wheat"),
)
Load = Callable[[str], tuple[Any, Any]]


def scaled(X: Any, standardize: bool) -> tuple[Any, np.ndarray]:
    """Means and, as standardize divides by them, standard deviations of the columns."""
    mean = np.asarray(X.mean(axis=0)).ravel()
    if not standardize:
        return mean, np.ones(X.shape[1])
    if sparse.issparse(X):
        sd = np.sqrt(np.asarray((X**2).mean(axis=0)).ravel() - mean**2)
    else:
        sd = X.std(axis=0)
    return mean, np.where(sd > 0, sd, 1.0)


def residuals(X: Any, y: np.ndarray, path: Any) -> np.ndarray:
    """y - X w - b for every alpha."""
    fitted = X @ path.coefs
    return y[:, None] - path.intercepts - (fitted.toarray() if sparse.issparse(X) else fitted)


def objectives(X: Any, y: np.ndarray, path: Any, sd: np.ndarray) -> np.ndarray:
    """The Lasso objective at each alpha, coefficients and intercept as returned."""
    r = residuals(X, y, path)
    l1 = np.asarray(np.abs(path.coefs).T @ sd).ravel()
    return np.sum(r**2, axis=0) / (2 * len(y)) + path.alphas * l1


def gap_in_numpy(X: Any, y: np.ndarray, path: Any, k: int, mean, sd) -> float:
    """P - D of alpha k by the scaled residual, centred again, in float64."""
    coef = path.coefs[:, [k]].toarray().ravel()
    r = y - X @ coef
    r = r - r.mean()
    c = (X.T @ r - mean * r.sum()) / sd
    theta = min(1.0, len(y) * path.alphas[k] / np.abs(c).max()) * r
    centred = y - y.mean()
    P = r @ r / 2 + len(y) * path.alphas[k] * (sd @ np.abs(coef))
    return (P - (theta @ centred - theta @ theta / 2)) / len(y)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("name", SETS)
def test_every_alpha_is_certified(name: str, standardize: bool, load_real: Load) -> None:
    X, y = load_real(name)
    # standardized, rare words let ten thousand columns in before alpha_max / 100
    eps = 0.2 if (name, standardize) == ("debian", True) else 1e-2
    path = creg.lasso_path(X, y, eps=eps, alphas=100, standardize=standardize, tol=1e-6)
    null = np.var(y) / 2
    mean, sd = scaled(X, standardize)
    assert path.alphas.shape == (100,)
    assert path.n_nonzero[0] == 0
    assert path.n_nonzero[1] > 0
    assert np.all(path.dual_gaps <= 1e-6 * null * (1 + 1e-9))
    found = objectives(X, y, path, sd)
    r2 = 1 - np.sum(residuals(X, y, path) ** 2, axis=0) / np.sum((y - y.mean()) ** 2)
    np.testing.assert_allclose(path.r2, r2, atol=1e-9)
    for k in (1, 50, 99):
        np.testing.assert_allclose(
            path.dual_gaps[k], gap_in_numpy(X, y, path, k, mean, sd), rtol=1e-3, atol=5e-9 * null
        )
        if X.shape[0] * X.shape[1] < (5e6 if sparse.issparse(X) else 1e6):
            assert found[k] <= scikit_learn(X, y, path.alphas[k], standardize, mean, sd) + (
                path.dual_gaps[k] + 1e-12 * null
            )


def scikit_learn(X: Any, y: Any, alpha: float, standardize: bool, mean: Any, sd: Any) -> float:
    """scikit-learn's objective at one alpha."""
    if standardize:
        X = X @ sparse.diags_array(1 / sd) if sparse.issparse(X) else (X - mean) / sd
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = linear_model.Lasso(alpha, tol=1e-9, max_iter=3000).fit(X, y)
    r = y - model.predict(X)
    return float(r @ r / (2 * len(y)) + alpha * np.abs(model.coef_).sum())


@pytest.mark.parametrize("standardize", [False, True])
def test_columns_that_correlate_to_one(standardize: bool, load_real: Load) -> None:
    X, y = load_real("meats")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = creg.lasso_path(
            X, y, eps=1e-2, alphas=20, standardize=standardize, tol=1e-6, max_iter=2000
        )
    assert path.alphas.shape == (20,)
    certified = np.all(path.dual_gaps <= 1e-6 * np.var(y) / 2 * (1 + 1e-9))
    assert certified == (not caught)
    mean, sd = scaled(X, standardize)
    for k in (1, 10, 19):
        np.testing.assert_allclose(
            path.dual_gaps[k],
            gap_in_numpy(X, y, path, k, mean, sd),
            rtol=1e-3,
            atol=1e-9 * np.var(y),
        )


@pytest.mark.parametrize("name", ["colon", "communities", "ads", "california"])
def test_ridge_solves_its_normal_equations(name: str, load_real: Load) -> None:
    X, y = load_real(name)
    for standardize in (False, True):
        model = creg.Ridge(1.0, standardize=standardize).fit(X, y)
        _, sd = scaled(X, standardize)
        r = y - X @ model.coef_ - model.intercept_
        mean = np.asarray(X.mean(axis=0)).ravel()

        def gradient(r, coef, mean=mean, sd=sd):
            return (X.T @ r - mean * r.sum()) / sd - coef * sd

        start = np.linalg.norm(gradient(y - y.mean(), 0 * model.coef_))
        assert np.linalg.norm(gradient(r, model.coef_)) <= 1e-8 * start
