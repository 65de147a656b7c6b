"""ridge_path and what it returns, as users see them."""

import io
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge as Peer

import creg
from creg import Path, Ridge, ridge_path

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 10)) + 2.0
Y = X[:, :3] @ np.array([2.0, -1.0, 0.5]) + RNG.normal(size=80)
YY = np.column_stack([Y, X[:, 4] - Y, RNG.normal(size=80)])
ALPHAS = np.geomspace(1e-2, 1e3, 30)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_against_scikit_learn(layout):
    given = layout(X)
    if isinstance(given, pd.DataFrame):
        given.columns = [f"f{j}" for j in range(10)]
    path = ridge_path(given, Y, ALPHAS)
    np.testing.assert_array_equal(path.alphas, ALPHAS[::-1])
    assert path.coefs.shape == (10, 30)
    assert path.l1_ratio == 0
    for k, alpha in enumerate(path.alphas):
        peer = Peer(alpha).fit(X, Y)
        np.testing.assert_allclose(path.coefs[:, k], peer.coef_, rtol=1e-9, atol=1e-12)
        assert path.intercepts[k] == pytest.approx(peer.intercept_)
        assert path.r2[k] == pytest.approx(peer.score(X, Y))
    assert (path.feature_names is not None) == isinstance(given, pd.DataFrame)


def test_several_targets():
    path = ridge_path(X, YY, ALPHAS)
    assert path.coefs.shape == (3, 10, 30)
    for name in ("intercepts", "dual_gaps", "n_iters", "n_nonzero", "r2"):
        assert getattr(path, name).shape == (3, 30)
    one = ridge_path(X, YY[:, 1], ALPHAS)
    np.testing.assert_allclose(path.coefs[1], one.coefs, rtol=1e-10, atol=1e-13)
    alpha = float(path.alphas[7])
    fit = Ridge(alpha, solver="cholesky").fit(X, YY)
    coef, intercept = path.coef_at(alpha)
    np.testing.assert_allclose(coef, fit.coef_, rtol=1e-10)
    np.testing.assert_allclose(intercept, fit.intercept_)
    np.testing.assert_allclose(path.predict(X, alpha), fit.predict(X))
    everything = path.predict(sparse.csr_array(X))
    assert everything.shape == (80, 3, 30)
    np.testing.assert_allclose(everything[:, :, 7], fit.predict(X))
    assert "10 features" in repr(path)
    with pytest.raises(ValueError, match="one target"):
        path.plot()


@pytest.mark.parametrize("target", [Y, YY, Y[:, None]])
def test_saved_and_loaded(target):
    path = ridge_path(X, target, ALPHAS)
    file = io.BytesIO()
    path.save(file)
    file.seek(0)
    again = Path.load(file)
    np.testing.assert_array_equal(again.coefs, path.coefs)
    np.testing.assert_array_equal(again.r2, path.r2)
    alphas, coefs, gaps = path
    assert coefs.shape == path.coefs.shape
    assert len(alphas) == 30
    assert np.all(np.isnan(gaps))


def test_float32_and_options():
    path = ridge_path(X.astype(np.float32), Y, ALPHAS, standardize=True, n_threads=2)
    assert path.coefs.dtype == np.float32
    s = np.linspace(0.5, 2, 80)
    v = np.linspace(1, 2, 10)
    path = ridge_path(X, Y, ALPHAS, sample_weight=s, penalty_weights=v, fit_intercept=False)
    assert not path.intercepts.any()
    fit = Ridge(path.alphas[3], penalty_weights=v, fit_intercept=False).fit(X, Y, s)
    np.testing.assert_allclose(path.coefs[:, 3], fit.coef_, rtol=1e-9)


def test_gaps_of_conjugate_gradients_bound_the_excess(monkeypatch):
    monkeypatch.setattr("creg._ridge_path.prefers_iterations", lambda system: True)
    v = np.linspace(1, 2, 10)
    path = ridge_path(sparse.csr_array(X), Y, ALPHAS, penalty_weights=v)
    for k, alpha in enumerate(path.alphas):

        def objective(coef, intercept, alpha=alpha):
            r = Y - X @ coef - intercept
            return r @ r + alpha * coef @ (v * coef)

        best = Ridge(alpha, penalty_weights=v, solver="cholesky").fit(X, Y)
        lowest = objective(best.coef_, best.intercept_)
        excess = objective(path.coefs[:, k], path.intercepts[k]) - lowest
        assert excess <= path.dual_gaps[k] + 1e-13 * lowest
    assert np.all(path.dual_gaps < 1e-9 * lowest)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"alphas": 5}, "alphas"),
        ({"alphas": [1.0, 0.0]}, "alphas"),
        ({"alphas": [1.0], "sample_weight": -np.ones(80)}, "sample_weight"),
        ({"alphas": [1.0], "penalty_weights": np.ones(3)}, "penalty_weights"),
    ],
)
def test_bad_input(wrong, match):
    with pytest.raises((ValueError, TypeError), match=match):
        ridge_path(X, Y, **wrong)


def test_large_dense_data_by_what_converges_fast():
    """auto: conjugate gradients where they promise to be fast, a factor where they do not."""
    rng = np.random.default_rng(1)
    easy = np.linalg.qr(rng.normal(size=(1700, 850)))[0] + 0.001 * rng.normal(size=(1700, 850))
    easy *= 40
    y = easy[:, 0] + rng.normal(size=1700)
    fit = Ridge(3.0).fit(easy, y)
    assert fit.solver_ == "cg"
    exact = Ridge(3.0, solver="cholesky").fit(easy, y)
    np.testing.assert_allclose(fit.coef_, exact.coef_, rtol=0, atol=1e-9)
    hard = np.cumsum(easy, axis=1)
    fit = Ridge(3.0).fit(hard, y)
    assert fit.solver_ == "cholesky"
    # a bound on steps is not one on a race
    assert Ridge(3.0, max_iter=1000).fit(easy, y).solver_ == "cholesky"


def test_early_stopping_regularises():
    """Steps of cg from zero: coefficients grow, the loss falls, and the ridge path lies below."""
    rng = np.random.default_rng(2)
    A = rng.normal(size=(100, 40)) @ np.diag(np.geomspace(1, 0.05, 40))
    y = A @ rng.normal(size=40) + rng.normal(size=100)
    path = ridge_path(A, y, np.geomspace(1e4, 1e-4, 400))
    lengths = np.linalg.norm(path.coefs, axis=0)
    losses = np.sum((y[:, None] - path.predict(A)) ** 2, axis=0)
    found = []
    for k in range(1, 9):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = Ridge(0.0, solver="cg", max_iter=k).fit(A, y)
        assert fit.n_iter_ == k
        r = y - fit.predict(A)
        found.append((np.linalg.norm(fit.coef_), r @ r))
    size, loss = np.array(found).T
    assert np.all(np.diff(size) > 0)
    assert np.all(np.diff(loss) < 0)
    # of all coefficients of a length those of the ridge path have the least loss
    at_length = np.interp(size, lengths, losses)
    assert np.all(loss >= at_length * (1 - 1e-4))
    # and those of early stopping come closer with every step
    excess = loss / at_length - 1
    assert np.all(np.diff(excess) < 0)
    assert excess[0] < 0.6
    assert excess[-1] < 0.15


def test_public_name():
    assert "ridge_path" in creg.__all__
