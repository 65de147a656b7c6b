"""RidgeCV: parameters, what is refused, attributes, manners."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from cases import as_format, checksum, random_data, read_only
from scipy import sparse
from sklearn import config_context
from sklearn import linear_model as peer
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import make_scorer, mean_absolute_error, mean_squared_error
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import creg
from creg import Design, Ridge, RidgeCV

ALPHAS = np.geomspace(1e-2, 1e3, 7)


def data(n=40, p=6, targets=None, seed=41):
    X, y = random_data(seed, n, p)
    if targets is None:
        return X, y
    rng = np.random.default_rng(seed)
    return X, y[:, None] + np.arange(1, targets + 1) * rng.normal(size=(n, targets))


@parametrize_with_checks([RidgeCV(), RidgeCV(cv=3)])
def test_scikit_learn_checks(estimator, check) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


@pytest.mark.parametrize("targets", [None, 1, 3])
@pytest.mark.parametrize("per_target", [False, True])
@pytest.mark.parametrize("scoring", [None, "r2", "neg_mean_absolute_error"])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_leave_one_out_is_scikit_learns(fit_intercept, scoring, per_target, targets) -> None:
    X, y = data(targets=targets)
    settings = {
        "alphas": ALPHAS, "fit_intercept": fit_intercept, "scoring": scoring,
        "alpha_per_target": per_target, "store_cv_results": True,
    }  # fmt: skip
    ours = RidgeCV(**settings).fit(X, y)
    if targets != 3:
        settings["alpha_per_target"] = False
    theirs = peer.RidgeCV(**settings).fit(X, y)
    for name in ("alpha_", "best_score_", "coef_", "intercept_", "cv_results_"):
        mine, other = np.asarray(getattr(ours, name)), np.asarray(getattr(theirs, name))
        assert mine.shape == other.shape, name
        np.testing.assert_allclose(mine, other, 1e-7, 1e-8, err_msg=name)
    several = per_target and targets == 3
    assert ours.criterion_path_.shape == ((3, 7) if several else (7,))
    assert np.shape(ours.df_) == ((3,) if several else ())
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X))
    assert not hasattr(ours, "noise_variance_")


@pytest.mark.parametrize("targets", [None, 1, 3])
@pytest.mark.parametrize("scoring", ["r2", "neg_mean_squared_error"])
def test_cross_validation_is_scikit_learns(scoring, targets) -> None:
    X, y = data(targets=targets)
    settings = {"alphas": ALPHAS, "cv": 4, "scoring": scoring}
    ours, theirs = RidgeCV(**settings).fit(X, y), peer.RidgeCV(**settings).fit(X, y)
    for name in ("alpha_", "best_score_", "coef_", "intercept_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), 1e-8, 1e-9)
    plain = RidgeCV(ALPHAS, cv=4).fit(X, y)
    if scoring != "r2":
        np.testing.assert_allclose(plain.criterion_path_, -ours.criterion_path_)
        assert plain.best_score_ == pytest.approx(ours.best_score_)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cv", [None, 4])
def test_weights_are_given_to_the_scorer(cv, weighted) -> None:
    X, y = data()
    s = np.linspace(0, 2, len(y)) if weighted else None
    score = RidgeCV(ALPHAS, cv=cv, scoring="neg_mean_squared_error").fit(X, y, sample_weight=s)
    plain = RidgeCV(ALPHAS, cv=cv).fit(X, y, sample_weight=s)
    np.testing.assert_allclose(score.criterion_path_, -plain.criterion_path_)


def test_a_callable_score() -> None:
    X, y = data()
    scorer = make_scorer(mean_absolute_error, greater_is_better=False)
    model = RidgeCV(ALPHAS, scoring=scorer, store_cv_results=True).fit(X, y)
    wanted = [-mean_absolute_error(y, column) for column in model.cv_results_.T]
    np.testing.assert_allclose(model.criterion_path_, wanted)
    assert model.best_score_ == max(wanted)
    by_hand = RidgeCV(ALPHAS, scoring=lambda m, X, y: -np.mean(abs(y - m.predict(X)))).fit(X, y)
    np.testing.assert_allclose(by_hand.criterion_path_, wanted)


def test_targets_have_alphas_of_their_own_in_folds_too() -> None:
    X, Y = data(targets=3)
    for scoring in (None, "neg_mean_squared_error"):
        model = RidgeCV(ALPHAS, cv=4, alpha_per_target=True, scoring=scoring).fit(X, Y)
        for k, y in enumerate(Y.T):
            one = RidgeCV(ALPHAS, cv=4, scoring=scoring).fit(X, y)
            assert model.alpha_[k] == one.alpha_
            assert model.best_score_[k] == pytest.approx(one.best_score_)
            assert model.df_[k] == pytest.approx(one.df_)
            np.testing.assert_allclose(model.coef_[k], one.coef_)


@pytest.mark.parametrize("criterion", ["loo", "gcv", "evidence"])
@pytest.mark.parametrize("shape", [(40, 6), (15, 30)])
@pytest.mark.parametrize("standardize", [False, True])
def test_the_fit_is_that_of_ridge(criterion, shape, standardize) -> None:
    X, Y = data(*shape, targets=3)
    rng = np.random.default_rng(0)
    s, v = rng.choice([0.0, 1.0, 2.0], len(Y)), rng.choice([0.0, 1.0, 2.0, np.inf], shape[1])
    settings = {"standardize": standardize, "penalty_weights": v}
    model = RidgeCV(ALPHAS, criterion=criterion, alpha_per_target=True, **settings)
    model.fit(X, Y, sample_weight=s)
    fit = Ridge(model.alpha_, **settings).fit(X, Y, sample_weight=s)
    np.testing.assert_allclose(model.coef_, fit.coef_, 1e-9, 1e-10)
    np.testing.assert_allclose(model.intercept_, fit.intercept_, 1e-9)
    assert not np.any(model.coef_[:, np.isinf(v)])
    assert list(model.n_iter_) == [1, 1, 1]
    assert hasattr(model, "scale_") == standardize
    if standardize:
        np.testing.assert_allclose(model.scale_, fit.scale_, 1e-13)
    best = model.criterion_path_ if criterion == "evidence" else -model.criterion_path_
    chosen = np.searchsorted(ALPHAS, model.alpha_)
    np.testing.assert_array_equal(best[np.arange(3), chosen], best.max(axis=1))
    np.testing.assert_array_equal(model.best_score_, best.max(axis=1))
    assert hasattr(model, "noise_variance_") == (criterion == "evidence")


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"cv": 3, "criterion": "gcv"}, ["cv", "gcv"]),
        ({"cv": 3, "criterion": "evidence"}, ["cv", "evidence"]),
        ({"scoring": "r2", "criterion": "gcv"}, ["scoring", "gcv"]),
        ({"scoring": "r2", "criterion": "evidence"}, ["scoring", "evidence"]),
        ({"store_cv_results": True, "cv": 3}, ["store_cv_results", "cv"]),
        ({"store_cv_results": True, "criterion": "evidence"}, ["store_cv_results", "evidence"]),
        ({"criterion": "aic"}, ["criterion", "aic"]),
        ({"alphas": [1.0, 0.0]}, ["alphas", "0"]),
        ({"alphas": [1.0, -2.0]}, ["alphas", "-2"]),
        ({"alphas": [1.0, np.nan]}, ["alphas"]),
        ({"alphas": []}, ["alphas"]),
        ({"alphas": [[1.0]]}, ["alphas"]),
        ({"cv": 1}, ["n_splits"]),
        ({"cv": [([0, 99], [1])]}, ["cv", "training", "fold 0"]),
        ({"cv": [([0, 3], [1]), ([0, 1], [])]}, ["cv", "held-out", "fold 1"]),
        ({"penalty_weights": [1.0]}, ["penalty_weights"]),
        ({"n_threads": 0}, ["n_threads"]),
        ({"scoring": "nonsense"}, ["nonsense"]),
    ],
)
def test_what_cannot_be_is_refused_by_name(settings, names) -> None:
    X, y = data()
    model = RidgeCV(**settings)
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  (its words are looked at below)
        model.fit(X, y)
    assert all(name in str(refusal.value) for name in names)
    with pytest.raises(NotFittedError):
        model.predict(X)


@pytest.mark.parametrize(
    "settings", [{"alphas": 1.0}, {"criterion": 1}, {"alpha_per_target": 1}, {"standardize": "no"},
                 {"store_cv_results": None}, {"fit_intercept": 2}],
)  # fmt: skip
def test_what_is_of_the_wrong_type_is_refused_by_name(settings) -> None:
    with pytest.raises(TypeError, match=next(iter(settings))):
        RidgeCV(**settings).fit(*data())


def test_decompositions_that_are_too_large_name_cv(monkeypatch) -> None:
    X, y = data(15, 30)
    monkeypatch.setattr("creg.model_selection.LARGEST_GRAM", 10)
    with pytest.raises(ValueError, match="cv="):
        RidgeCV(ALPHAS).fit(X, y)
    s = np.where(np.arange(15) < 10, 1.0, 0.0)
    RidgeCV(ALPHAS).fit(X, y, sample_weight=s)


def test_folds_without_weights_are_refused_by_name() -> None:
    X, y = data()
    s = np.where(np.arange(40) < 10, 1.0, 0.0)
    with pytest.raises(ValueError, match=r"sample_weight.*fold 0"):
        RidgeCV(ALPHAS, cv=4).fit(X, y, sample_weight=s)
    with pytest.raises(ValueError, match="held-out"):
        RidgeCV(ALPHAS, cv=[(np.arange(20), np.arange(20, 40))]).fit(X, y, sample_weight=s)


def test_a_refused_fit_leaves_an_earlier_one_and_a_new_fit_leaves_nothing_of_it() -> None:
    X, y = data()
    model = RidgeCV(ALPHAS, criterion="evidence").fit(X, y)
    coef, variance = model.coef_, model.noise_variance_
    with pytest.raises(ValueError, match="X"):
        model.fit(np.where(X[3, 2] == X, np.nan, X), y)
    assert model.coef_ is coef
    assert model.noise_variance_ == variance
    model.set_params(criterion="loo", store_cv_results=True, standardize=True).fit(X, y)
    assert not hasattr(model, "noise_variance_")
    model.set_params(store_cv_results=False, standardize=False).fit(X, y)
    assert not hasattr(model, "cv_results_")
    assert not hasattr(model, "scale_")


def test_alphas_are_followed_in_the_order_given_and_ties_go_to_the_largest() -> None:
    X, y = data()
    order = np.array([3, 0, 6, 1, 5, 2, 4])
    model, sorted_ = RidgeCV(ALPHAS[order]).fit(X, y), RidgeCV(ALPHAS).fit(X, y)
    np.testing.assert_array_equal(model.alphas_, ALPHAS[order])
    np.testing.assert_allclose(model.criterion_path_, sorted_.criterion_path_[order])
    assert model.alpha_ == sorted_.alpha_
    for criterion in ("loo", "gcv", "evidence"):
        flat = RidgeCV(ALPHAS[order], criterion=criterion).fit(X, np.full(40, 3.0))
        assert flat.alpha_ == ALPHAS[-1]
        assert not flat.coef_.any()
        assert flat.intercept_ == 3.0


@pytest.mark.parametrize("shape", [(60, 6), (20, 40)])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("cv", [None, 4])
def test_the_default_grid_spans_the_spectrum(shape, standardize, cv) -> None:
    X, y = data(*shape)
    model = RidgeCV(standardize=standardize, cv=cv).fit(X, y)
    Z = X - X.mean(axis=0)
    if standardize:
        Z = Z / Z.std(axis=0)
    values = np.linalg.svd(Z, compute_uv=False) ** 2
    values = values[values > 1e-14 * values[0]]
    assert model.alphas_.shape == model.criterion_path_.shape == (100,)
    np.testing.assert_allclose(model.alphas_[[0, -1]], [10 * values[0], values[-1] / 100])
    np.testing.assert_allclose(np.diff(np.log(model.alphas_), 2), 0, atol=1e-9)
    assert model.alpha_ in model.alphas_


@pytest.mark.parametrize("scale", [1e-140, 1e-100, 1e100, 1e140])
@pytest.mark.parametrize("shape", [(40, 6), (15, 30)])
@pytest.mark.parametrize("cv", [None, 4])
def test_any_unit_of_the_columns(shape, scale, cv) -> None:
    X, y = data(*shape)
    plain, model = RidgeCV(cv=cv).fit(X, y), RidgeCV(cv=cv).fit(X * scale, y)
    assert np.argmin(plain.criterion_path_) == np.argmin(model.criterion_path_)
    np.testing.assert_allclose(model.criterion_path_, plain.criterion_path_, 1e-8)
    np.testing.assert_allclose(model.predict(X * scale), plain.predict(X), 1e-8)


@pytest.mark.parametrize("scale", [1e-200, 1e-100, 1e100, 1e200])
@pytest.mark.parametrize("cv", [None, 4])
def test_any_unit_of_the_target(scale, cv) -> None:
    X, y = data()
    plain, model = RidgeCV(ALPHAS, cv=cv).fit(X, y), RidgeCV(ALPHAS, cv=cv).fit(X, y * scale)
    assert model.alpha_ == plain.alpha_
    np.testing.assert_allclose(model.coef_ / scale, plain.coef_, 1e-9)


def test_targets_of_unlike_units_share_an_alpha() -> None:
    X, Y = data(targets=2)
    both = RidgeCV(ALPHAS).fit(X, Y * [1e-100, 1.0])
    assert both.alpha_ == RidgeCV(ALPHAS).fit(X, Y[:, 1]).alpha_


def test_nothing_that_is_penalised_varies() -> None:
    X, y = data()
    for same in (np.ones((40, 2)), np.hstack([np.ones((40, 2)), X[:, :1]])):
        v = np.array([1.0, 1.0, 0.0])[: same.shape[1]]
        for settings in ({}, {"criterion": "gcv"}, {"criterion": "evidence"}, {"cv": 4}):
            model = RidgeCV(penalty_weights=v, **settings).fit(same, y)
            assert np.isfinite(model.alphas_).all()
            assert np.isfinite(model.criterion_path_).all()
            assert not model.coef_[:2].any()
            fit = Ridge(1.0, penalty_weights=v).fit(same, y)
            np.testing.assert_allclose(model.coef_, fit.coef_)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("p", [1, 2, 5])
@pytest.mark.parametrize("criterion", ["loo", "gcv", "evidence"])
def test_very_few_rows(n, p, criterion) -> None:
    X, y = data(n, p)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        model = RidgeCV(criterion=criterion).fit(X, y)
    assert np.isfinite(model.alpha_)
    assert np.isfinite(model.coef_).all()
    if n == 1:
        assert not model.coef_.any()
    padded = np.vstack([X, np.ones((4, p))]), np.append(y, np.zeros(4))
    s = np.repeat([1.0, 0.0], [n, 4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        same = RidgeCV(criterion=criterion).fit(*padded, sample_weight=s)
    np.testing.assert_allclose(same.criterion_path_, model.criterion_path_, 1e-6)
    if n != 2:  # leaving out one of two rows tells nothing of alpha but by rounding
        np.testing.assert_allclose(same.coef_, model.coef_, 1e-9)


@pytest.mark.parametrize("layout", ["C", "F", "csc_array", "csr_array"])
@pytest.mark.parametrize("shape", [(40, 6), (15, 30)])
@pytest.mark.parametrize("cv", [None, 4])
def test_nothing_is_written_to(layout, shape, cv) -> None:
    X, Y = data(*shape, targets=5)
    X = read_only(as_format(X, layout))
    s, v, alphas = np.linspace(0, 1, len(Y)), np.linspace(0, 1, shape[1]), ALPHAS.copy()
    before = checksum(X, Y, s, v, alphas)
    for array in (Y, s, v, alphas):
        array.flags.writeable = False
    for criterion in ("loo", "gcv", "evidence") if cv is None else ("loo",):
        RidgeCV(alphas, cv=cv, criterion=criterion, penalty_weights=v).fit(X, Y, sample_weight=s)
    assert checksum(X, Y, s, v, alphas) == before


@pytest.mark.parametrize("cv", [None, 4])
def test_frames_lists_designs_and_integers(cv) -> None:
    X, y = data()
    X = np.round(4 * X)
    truth = RidgeCV(ALPHAS, cv=cv).fit(X, y)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    for given in (frame, X.tolist(), Design(X), Design(frame), X.astype(int), sparse.coo_array(X)):
        model = RidgeCV(ALPHAS, cv=cv).fit(given, y)
        assert model.alpha_ == truth.alpha_
        np.testing.assert_allclose(model.criterion_path_, truth.criterion_path_, 1e-10)
        np.testing.assert_allclose(model.predict(given), truth.predict(X))
    model = RidgeCV(ALPHAS, cv=cv).fit(frame, pd.Series(y))
    assert list(model.feature_names_in_) == list("abcdef")


def test_manners() -> None:
    X, y = data()
    model = RidgeCV(ALPHAS, criterion="gcv").fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert str(clone(model).get_params()) == str(model.get_params())
    pipe = make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(X, y)
    assert pipe.score(X, y) > 0
    assert creg.RidgeCV is RidgeCV


def test_threads_change_nothing() -> None:
    X, Y = data(3000, 40, targets=3)
    for settings in ({}, {"criterion": "gcv"}, {"cv": 3}):
        one, two = (RidgeCV(ALPHAS, n_threads=k, **settings).fit(X, Y) for k in (1, 2))
        np.testing.assert_allclose(one.criterion_path_, two.criterion_path_, 1e-12)


def test_splitters_are_given_their_metadata() -> None:
    X, y = data()
    groups = np.arange(40) % 7
    model = RidgeCV(ALPHAS, cv=GroupKFold(3))
    with pytest.raises(ValueError, match=r"groups.*enable_metadata_routing"):
        model.fit(X, y, groups=groups)
    wanted = RidgeCV(ALPHAS, cv=list(GroupKFold(3).split(X, y, groups))).fit(X, y)
    with config_context(enable_metadata_routing=True):
        model.fit(X, y, groups=groups)
        np.testing.assert_array_equal(model.criterion_path_, wanted.criterion_path_)
        for cv in (3, KFold(3).split(X), list(KFold(3).split(X))):
            same = RidgeCV(ALPHAS, cv=cv).fit(X, y)
            assert same.alpha_ == RidgeCV(ALPHAS, cv=3).fit(X, y).alpha_
        with pytest.raises(TypeError, match="groups"):
            RidgeCV(ALPHAS, cv=KFold(3)).fit(X, y, groups=groups)


def test_scorers_are_given_what_they_ask_for() -> None:
    X, y = data()
    s = np.linspace(1, 2, 40)
    scorer = make_scorer(mean_squared_error, greater_is_better=False)
    with config_context(enable_metadata_routing=True):
        asking = RidgeCV(ALPHAS, scoring=scorer.set_score_request(sample_weight=True))
        weighted = asking.fit(X, y, sample_weight=s).criterion_path_
        scorer = make_scorer(mean_squared_error, greater_is_better=False)
        not_asking = RidgeCV(ALPHAS, scoring=scorer.set_score_request(sample_weight=False))
        plain = not_asking.fit(X, y, sample_weight=s).criterion_path_
        RidgeCV(ALPHAS).fit(X, y, sample_weight=s)
    model = RidgeCV(ALPHAS, store_cv_results=True).fit(X, y, sample_weight=s)
    np.testing.assert_allclose(-weighted, model.criterion_path_)
    np.testing.assert_allclose(-plain, model.cv_results_.mean(axis=0))


def test_an_end_of_the_default_grid_is_said_where_the_criterion_still_moves() -> None:
    X, y = data(12, 40)
    rng = np.random.default_rng(4)
    with pytest.warns(UserWarning, match=r"end of the default grid.*larger"):
        RidgeCV(criterion="gcv").fit(rng.normal(size=(12, 400)), rng.normal(size=12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RidgeCV().fit(*data())
        RidgeCV(alphas=[1e-9, 1e9]).fit(X, y)


def test_iterations_that_stop_short_are_said(monkeypatch) -> None:
    X, y = data()
    X[:, 5] = X[:, 4] + 1e-9 * X[:, 5]
    monkeypatch.setattr("creg._ridge_choice.RidgeChoice._iterates", lambda *_: True)
    monkeypatch.setattr("creg._ridge.many_alphas.MAX_STEPS", 2)
    with pytest.warns(ConvergenceWarning, match=r"in 4 of 4 solves.*alpha"):
        RidgeCV([1e-9], cv=4).fit(X, y)
