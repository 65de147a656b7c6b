"""Lasso, ElasticNet, Ridge against scikit-learn, in shapes, values and manners."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from scipy import sparse
from sklearn import config_context
from sklearn import linear_model as peer
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from creg import Design, ElasticNet, Lasso, Ridge, adaptive_weights

MODELS = [Lasso(alpha=0.05), ElasticNet(alpha=0.05), Ridge(alpha=0.5)]
PEERS = [
    peer.Lasso(alpha=0.05, tol=1e-12, max_iter=100_000),
    peer.ElasticNet(alpha=0.05, tol=1e-12, max_iter=100_000),
    peer.Ridge(alpha=0.5),
]
PAIRS = list(zip(MODELS, PEERS, strict=True))
FORMATS = {
    "F": np.asfortranarray,
    "C": np.ascontiguousarray,
    "csc": sparse.csc_array,
    "csr": sparse.csr_matrix,
    "coo": sparse.coo_array,
    "list": lambda X: X.tolist(),
    "frame": lambda X: pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])]),
}


def named(model):
    return type(model).__name__


def problem(n=60, p=8, targets=None, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * (rng.random((n, p)) < 0.6) + 0.3
    W = rng.normal(size=(p, targets or 1)) * (rng.random((p, targets or 1)) < 0.5)
    Y = X @ W + 0.3 * rng.normal(size=(n, targets or 1)) + 2.0
    return X, Y if targets else Y[:, 0]


@parametrize_with_checks([Lasso(), ElasticNet(), Ridge()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(("model", "other"), PAIRS, ids=named)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("targets", [None, 1, 3])
def test_shapes_and_values_are_those_of_scikit_learn(model, other, fit_intercept, targets):
    X, y = problem(targets=targets)
    model = clone(model).set_params(fit_intercept=fit_intercept).fit(X, y)
    other = clone(other).set_params(fit_intercept=fit_intercept).fit(X, y)
    assert model.coef_.shape == other.coef_.shape
    assert np.shape(model.intercept_) == np.shape(other.intercept_)
    assert model.predict(X).shape == other.predict(X).shape
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=0, atol=2e-4)
    np.testing.assert_allclose(model.intercept_, other.intercept_, rtol=0, atol=2e-4)
    np.testing.assert_allclose(model.predict(X), X @ model.coef_.T + model.intercept_)
    assert model.score(X, y) == pytest.approx(other.score(X, y), abs=1e-5)
    assert np.shape(model.n_iter_) == ((3,) if targets == 3 else ())
    if not isinstance(model, Ridge):
        assert np.shape(model.dual_gap_) == np.shape(other.dual_gap_)
        assert model.sparse_coef_.format == "csr"
        assert model.sparse_coef_.shape == other.sparse_coef_.shape
        np.testing.assert_array_equal(model.sparse_coef_.toarray(), np.atleast_2d(model.coef_))


@pytest.mark.parametrize("model", MODELS, ids=named)
@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_gives_the_same_fit(model, fmt):
    X, y = problem()
    given = FORMATS[fmt](X)
    truth, fit = clone(model).fit(X, y), clone(model).fit(given, y)
    np.testing.assert_allclose(fit.coef_, truth.coef_, rtol=0, atol=1e-4)
    np.testing.assert_allclose(fit.predict(given), truth.predict(X), rtol=0, atol=1e-3)


@pytest.mark.parametrize("model", MODELS, ids=named)
@pytest.mark.parametrize("given", [np.float32, np.float64, np.int64, bool])
def test_coef_and_predictions_have_the_dtype_of_x(model, given):
    X, y = problem()
    X = (X * 4).astype(given)
    wanted = np.float32 if given == np.float32 else np.float64
    model = clone(model).fit(X, y)
    assert model.coef_.dtype == wanted
    assert model.predict(X).dtype == wanted
    assert isinstance(model.intercept_, float)


@pytest.mark.parametrize("model", MODELS, ids=named)
@pytest.mark.parametrize("fmt", ["F", "C", "csc", "frame"])
def test_nothing_is_written_to(model, fmt):
    X, y = problem(targets=2)
    weights = np.linspace(0, 1, len(y))
    given = FORMATS[fmt](X)
    before = given.copy()
    for array in (y, weights, *([given] if isinstance(given, np.ndarray) else [])):
        array.flags.writeable = False
    clone(model).set_params(standardize=True).fit(given, y, sample_weight=weights).predict(given)
    difference = (given - before) if fmt != "csc" else (given - before).toarray()
    assert not np.any(difference)


@pytest.mark.parametrize(("model", "other"), PAIRS, ids=named)
def test_memory_maps(model, other, tmp_path):
    X, y = problem()
    np.save(tmp_path / "X.npy", np.asfortranarray(X))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    model = clone(model).fit(mapped, y)
    np.testing.assert_allclose(model.coef_, clone(other).fit(X, y).coef_, rtol=0, atol=2e-4)


@pytest.mark.parametrize(("model", "other"), PAIRS, ids=named)
def test_weights_act_as_in_scikit_learn(model, other):
    X, y = problem()
    weights = np.random.default_rng(1).integers(0, 3, len(y)).astype(float)
    weighted = clone(model).fit(X, y, sample_weight=weights)
    truth = clone(other).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(weighted.coef_, truth.coef_, rtol=0, atol=2e-4)
    scaled = clone(model).fit(X, y, sample_weight=7.0)
    truth = clone(other).fit(X, y, sample_weight=7.0)
    np.testing.assert_allclose(scaled.coef_, truth.coef_, rtol=0, atol=2e-4)


@pytest.mark.parametrize(("model", "other"), PAIRS, ids=named)
def test_standardize_is_a_fit_of_scaled_columns(model, other):
    X, y = problem()
    X = X * np.logspace(-2, 2, X.shape[1])
    fit = clone(model).set_params(standardize=True).fit(X, y)
    truth = make_pipeline(StandardScaler(), clone(other)).fit(X, y)
    np.testing.assert_allclose(fit.scale_, X.std(axis=0), rtol=1e-10)
    np.testing.assert_allclose(fit.coef_ * fit.scale_, truth[-1].coef_, rtol=0, atol=2e-4)
    np.testing.assert_allclose(fit.predict(X), truth.predict(X), rtol=0, atol=1e-3)
    bare = clone(fit).set_params(fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(bare.scale_, np.sqrt(np.mean(X**2, axis=0)), rtol=1e-10)
    assert not hasattr(fit.set_params(standardize=False).fit(X, y), "scale_")


@pytest.mark.parametrize(("model", "other"), PAIRS, ids=named)
def test_positive_and_bounds(model, other):
    X, y = problem()
    positive = clone(model).set_params(positive=True).fit(X, y)
    truth = clone(other).set_params(positive=True).fit(X, y)
    np.testing.assert_allclose(positive.coef_, truth.coef_, rtol=0, atol=2e-4)
    upper = np.full(X.shape[1], 0.25)
    bounded = clone(model).set_params(bounds=(-0.1, upper)).fit(X, y)
    assert bounded.coef_.min() >= -0.1
    assert bounded.coef_.max() <= 0.25
    gradient = X.T @ (y - bounded.predict(X))
    assert np.all(gradient[bounded.coef_ == 0.25] >= 0)
    assert np.all(gradient[bounded.coef_ == -0.1] <= 0)
    assert bounded.dual_gap_ >= 0


def test_penalty_weights_scale_the_columns_of_a_lasso():
    X, y = problem()
    v = np.linspace(0.5, 3, X.shape[1])
    v[2] = np.inf
    fit = Lasso(0.05, penalty_weights=v).fit(X, y)
    truth = clone(PEERS[0]).fit(X / v, y).coef_ / v
    np.testing.assert_allclose(fit.coef_, truth, rtol=0, atol=2e-4)
    assert fit.coef_[2] == 0


def test_an_unpenalised_feature_has_no_gradient():
    X, y = problem()
    v = np.ones(X.shape[1])
    v[0] = 0
    for model in MODELS:
        fit = clone(model).set_params(penalty_weights=v, tol=1e-12).fit(X, y)
        assert abs(X[:, 0] @ (y - fit.predict(X))) < 1e-3
        assert fit.coef_[0] != 0


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_alpha_zero_is_least_squares(model):
    X, y = problem()
    fit = clone(model).set_params(alpha=0, tol=1e-13).fit(X, y)
    truth = peer.LinearRegression().fit(X, y)
    np.testing.assert_allclose(fit.coef_, truth.coef_, rtol=0, atol=1e-5)


def test_elastic_net_without_l1_is_ridge():
    X, y = problem()
    fit = ElasticNet(alpha=0.1, l1_ratio=0, tol=1e-13).fit(X, y)
    truth = peer.Ridge(alpha=0.1 * len(y)).fit(X, y)
    np.testing.assert_allclose(fit.coef_, truth.coef_, rtol=0, atol=1e-5)


def test_one_alpha_for_each_target_of_ridge():
    X, Y = problem(targets=3)
    alphas = np.array([0.1, 1.0, 10.0])
    fit = Ridge(alpha=alphas).fit(X, Y)
    np.testing.assert_allclose(fit.coef_, peer.Ridge(alpha=alphas).fit(X, Y).coef_, atol=1e-8)
    assert fit.solver_ in ("cholesky", "eigen", "svd", "cg")


@pytest.mark.parametrize("solver", ["cholesky", "eigen", "cg"])
def test_ridge_solvers_agree(solver):
    X, y = problem()
    fit = Ridge(solver=solver, tol=1e-12).fit(X, y)
    np.testing.assert_allclose(fit.coef_, peer.Ridge().fit(X, y).coef_, atol=1e-6)


@pytest.mark.parametrize("model", MODELS[:2], ids=named)
def test_warm_start_ends_at_the_same_certificate(model):
    X, y = problem(targets=2)
    warm = clone(model).set_params(warm_start=True)
    for alpha in (0.5, 0.1, 0.05):
        warm.set_params(alpha=alpha).fit(X, y)
    np.testing.assert_allclose(warm.coef_, clone(model).fit(X, y).coef_, rtol=0, atol=1e-4)
    warm.fit(X[:, :5], y[:, 0])
    cold = clone(model).fit(X[:, :5], y[:, 0])
    np.testing.assert_allclose(warm.coef_, cold.coef_, rtol=0, atol=1e-4)


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_a_refused_fit_leaves_everything_as_it_was(model):
    X, y = problem()
    bad = X.copy()
    bad[3, 2] = np.nan
    new = clone(model)
    with pytest.raises(ValueError, match="NaN"):
        new.fit(bad, y)
    assert vars(new) == vars(clone(model))
    with pytest.raises(NotFittedError):
        new.predict(X)
    fitted = clone(model).fit(X, y)
    before = dict(vars(fitted))
    for arguments in ((bad, y), (X[:, :3], y[:-1]), (X, np.full(len(y), np.inf))):
        with pytest.raises(ValueError, match=r"X|y"):
            fitted.fit(*arguments)
        assert vars(fitted).keys() == before.keys()
        assert all(vars(fitted)[name] is before[name] for name in before)


def test_an_interrupted_fit_leaves_everything_as_it_was(monkeypatch):
    X, y = problem()
    model = Lasso(0.05).fit(X, y)
    before = dict(vars(model))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("creg.linear_model.L1Problem", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:, :4], y)
    assert all(vars(model)[name] is before[name] for name in before)


def test_one_warning_names_gap_and_tolerance_and_keeps_the_fit():
    X, Y = problem(n=40, p=60, targets=3)
    model = Lasso(1e-3, max_iter=1, tol=1e-14)
    with pytest.warns(ConvergenceWarning, match=r"gap is .* above the tolerance .*tol") as caught:
        model.fit(X, Y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.any(model.coef_)


def test_no_warning_where_the_gap_is_within_the_tolerance():
    X, Y = problem(targets=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = Lasso(0.05).fit(X, Y)
    null = np.square(Y - Y.mean(axis=0)).sum(axis=0) / (2 * len(Y))
    assert np.all(model.dual_gap_ <= 1e-8 * null * (1 + 1e-9))


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_pipeline_search_and_pickle(model):
    X, y = problem()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), clone(model)),
        {f"{named(model).lower()}__alpha": [0.01, 0.1, 1.0]},
    ).fit(X, y)
    restored = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(restored.predict(X), search.predict(X))
    fits = Parallel(n_jobs=2)(delayed(clone(model).fit)(X, y) for _ in range(2))
    np.testing.assert_array_equal(fits[0].coef_, fits[1].coef_)


def test_metadata_routing_passes_the_weights_on():
    X, y = problem()
    weights = np.random.default_rng(0).random(len(y))
    with config_context(enable_metadata_routing=True):
        model = (
            Lasso(0.05).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        )
        result = cross_validate(model, X, y, params={"sample_weight": weights}, cv=2)
    half = np.arange(len(y)) < len(y) // 2
    first = Lasso(0.05).fit(X[~half], y[~half], weights[~half])
    expected = first.score(X[half], y[half], weights[half])
    assert result["test_score"][0] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_feature_names(library):
    frames = pytest.importorskip(library)
    X, y = problem(p=3)
    frame = frames.DataFrame(dict(zip("abc", X.T, strict=True)))
    model = Lasso(0.05).fit(frame, y)
    assert list(model.feature_names_in_) == list("abc")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a", "c"]])
    assert not hasattr(model.fit(X, y), "feature_names_in_")


def test_adaptive_weights():
    X, y = problem()
    X = X * np.logspace(-1, 1, X.shape[1])
    first = Ridge(standardize=True).fit(X, y)
    np.testing.assert_allclose(
        adaptive_weights(first, power=2), 1 / np.abs(first.coef_ * X.std(axis=0)) ** 2
    )
    np.testing.assert_array_equal(adaptive_weights([0.0, -2.0]), [np.inf, 0.5])
    second = Lasso(0.05, penalty_weights=adaptive_weights(Lasso(0.1).fit(X, y))).fit(X, y)
    assert second.coef_[Lasso(0.1).fit(X, y).coef_ == 0].any() == np.False_
    with pytest.raises(NotFittedError):
        adaptive_weights(Lasso())
    with pytest.raises(ValueError, match="model"):
        adaptive_weights(np.ones((2, 2)))


def test_adaptive_weights_of_a_model_that_calls_something_else_its_scale():
    X, y = problem()
    model = peer.HuberRegressor().fit(X, y)
    np.testing.assert_allclose(adaptive_weights(model), 1 / np.abs(model.coef_))


def test_a_warm_start_from_what_is_not_finite_begins_at_zero():
    X, y = problem()
    model = Lasso(0.05, warm_start=True).fit(X, y)
    coef, model.coef_ = model.coef_, np.full_like(model.coef_, np.nan)
    np.testing.assert_allclose(model.fit(X, y).coef_, coef)


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_bounds_hold_in_single_precision(model):
    X, y = problem()
    y -= 2 * X[:, 0] + 2 * X[:, 1]
    fit = clone(model).set_params(bounds=(-0.3, 0.7)).fit(X.astype(np.float32), y)
    assert fit.coef_.dtype == np.float32
    assert np.isclose(fit.coef_.min(), -0.3)
    assert np.all(fit.coef_.astype(np.float64) >= -0.3)
    assert np.all(fit.coef_.astype(np.float64) <= 0.7)


def test_a_design_in_place_of_x():
    X, y = problem()
    for model in MODELS:
        with_design = clone(model).fit(Design(X), y)
        np.testing.assert_array_equal(with_design.coef_, clone(model).fit(X, y).coef_)
        np.testing.assert_array_equal(with_design.predict(Design(X)), with_design.predict(X))
