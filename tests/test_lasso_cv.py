"""LassoCV and ElasticNetCV against loops of fits and scores, and against scikit-learn."""

import pickle
import warnings

import numpy as np
import pytest
import sklearn
import sklearn.linear_model as peer
from cases import as_format, checksum, random_data
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GroupKFold, KFold, RepeatedKFold, ShuffleSplit
from sklearn.utils.estimator_checks import parametrize_with_checks

from creg import Design, ElasticNet, ElasticNetCV, Lasso, LassoCV, enet_path, lasso_path
from creg._choice.folds import Statistics
from creg._splitting import split_rows

EXACT = {"tol": 1e-13}


@parametrize_with_checks([LassoCV(alphas=10), ElasticNetCV(alphas=10)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def by_hand(model, X, y, cv, sample_weight=None, gamma=None):
    """(n_alphas, n_folds) errors on held-out rows by one fit at a time."""
    ratio = getattr(model, "l1_ratio", 1.0)
    names = ("fit_intercept", "standardize", "positive", "bounds", "penalty_weights", "tol")
    settings = {name: getattr(model, name) for name in names}
    weights = np.ones(len(y)) if sample_weight is None else sample_weight
    errors = np.full((len(model.alphas_), cv.get_n_splits()), np.nan)
    for k, (train, test) in enumerate(cv.split(X, y)):
        if not weights[test].any():
            continue
        for a, alpha in enumerate(model.alphas_):
            fit = ElasticNet(alpha, l1_ratio=ratio, **settings)
            fit.fit(X[train], y[train], sample_weight=weights[train])
            errors[a, k] = mean_squared_error(
                y[test], fit.predict(X[test]), sample_weight=weights[test]
            )
    return errors


SHAPES = {"tall": (150, 12), "wide": (40, 90), "square": (60, 60)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", ["C", "F", "csc_array", "csr_array"])
@pytest.mark.parametrize("weighted", [False, True])
def test_errors_are_those_of_fits_and_scores(shape, layout, weighted) -> None:
    X, y = random_data(3, *SHAPES[shape], density=0.4 if layout.startswith("cs") else 1.0)
    weights = np.random.default_rng(5).integers(0, 4, len(y)).astype(float) if weighted else None
    cv = KFold(4, shuffle=True, random_state=1)
    model = LassoCV(cv=cv, alphas=8, **EXACT)
    model.fit(as_format(X, layout), y, sample_weight=weights)
    expected = by_hand(model, X, y, cv, weights)
    assert_allclose(model.mse_path_, expected, rtol=1e-6)
    assert_allclose(model.mse_mean_, expected.mean(axis=1), rtol=1e-6)
    assert_allclose(model.mse_se_, expected.std(axis=1, ddof=1) / 2, rtol=1e-5)
    assert_array_equal(model.criterion_path_, model.mse_mean_)
    assert model.alpha_ == model.alphas_[np.argmin(model.mse_mean_)] == model.alpha_min_


@pytest.mark.parametrize(
    "settings",
    [
        {"fit_intercept": False},
        {"standardize": True},
        {"positive": True},
        {"bounds": (-0.2, 0.3)},
        {"penalty_weights": np.r_[0.0, np.inf, np.linspace(0.5, 2, 10)]},
        {"standardize": True, "fit_intercept": False},
    ],
    ids="-".join,
)
@pytest.mark.parametrize("shape", [(30, 12), (200, 12), (24, 60)], ids=str)
def test_folds_are_fitted_as_the_estimator_would_be(settings, shape) -> None:
    X, y = random_data(8, *shape)
    if "penalty_weights" in settings:
        settings = {"penalty_weights": np.resize(settings["penalty_weights"], shape[1])}
    cv = ShuffleSplit(3, test_size=0.3, train_size=0.5, random_state=2)
    model = ElasticNetCV(l1_ratio=0.7, cv=cv, alphas=6, **EXACT, **settings).fit(X, y)
    assert_allclose(model.mse_path_, by_hand(model, X, y, cv), rtol=1e-6)
    again = ElasticNet(model.alpha_, l1_ratio=0.7, **EXACT, **settings).fit(X, y)
    assert_allclose(model.coef_, again.coef_, atol=1e-7)
    assert model.intercept_ == pytest.approx(again.intercept_, abs=1e-6)
    if settings.get("standardize"):
        assert_allclose(model.scale_, again.scale_, rtol=1e-14)


@pytest.mark.parametrize("layout", ["F", "csc_array"])
def test_a_value_that_is_not_finite_is_found_in_one_fold(layout) -> None:
    X, y = random_data(4, 30, 50)
    X[3, 7] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        LassoCV(alphas=[0.1, 0.01]).fit(as_format(X, layout), y)


@pytest.mark.parametrize("cv", [None, 2, 3, np.int64(7), 20])
def test_whole_numbers_split_as_scikit_learn(cv) -> None:
    X, y = random_data(4, 20, 3)
    folds = list(split_rows(cv, X, y, None, {}))
    expected = list(KFold(5 if cv is None else int(cv)).split(X))
    assert len(folds) == len(expected)
    for (counts, rows), (train, test) in zip(folds, expected, strict=True):
        assert_array_equal(np.flatnonzero(counts), train)
        assert_array_equal(rows, test)
        assert set(counts) == {0.0, 1.0}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", ["F", "csc_array"])
def test_a_constant_target_of_a_training_set(shape, layout) -> None:
    """Its coefficients are zero, whatever the alpha; the other folds are not touched."""
    X, y = random_data(3, *SHAPES[shape], density=0.4 if layout == "csc_array" else 1.0)
    held_out = np.arange(len(y)) < 10
    y[~held_out] = 0.7
    rows = np.arange(len(y))
    cv = [(rows[~held_out], rows[held_out]), (rows[::2], rows[1::2])]
    model = LassoCV(cv=cv, alphas=6, **EXACT).fit(as_format(X, layout), y)
    assert_allclose(model.mse_path_[:, 0], np.mean((y[:10] - 0.7) ** 2), rtol=1e-12)
    fits = [Lasso(a, **EXACT).fit(X[::2], y[::2]) for a in model.alphas_]
    expected = [mean_squared_error(y[1::2], fit.predict(X[1::2])) for fit in fits]
    assert_allclose(model.mse_path_[:, 1], expected, rtol=1e-6)


def test_a_path_of_a_constant_target_is_zero() -> None:
    X, _ = random_data(6, 30, 40)
    path = lasso_path(X, np.full(30, 2.5), alphas=[1.0, 0.1])
    assert path.coefs.nnz == 0
    assert_array_equal(path.intercepts, 2.5)
    assert_array_equal(path.dual_gaps, 0.0)


def test_errors_of_rows_that_are_held_out_twice() -> None:
    X, y = random_data(7, 60, 90, density=0.3)
    train, test = np.arange(40), np.r_[40:60, 45:50]
    for relax in (False, [0.0, 0.3, 1.0]):
        settings = {"alphas": [0.3, 0.1, 0.03], "relax": relax, **EXACT}
        found = [
            LassoCV(cv=[(train, rows)], **settings).fit(as_format(X, "csc_array"), y).mse_path_
            for rows in (test, test[:20], test[20:])
        ]
        if relax is False:
            assert_allclose(25 * found[0], 20 * found[1] + 5 * found[2], rtol=1e-9)
        dense = LassoCV(cv=[(train, test[:20])], **settings).fit(X, y).mse_path_
        assert_allclose(found[1], dense, rtol=1e-9)


def test_the_same_bits_for_any_number_of_threads() -> None:
    wide, tall = random_data(6, 40, 200), random_data(7, 9000, 40)
    for (X, y), settings in (
        (wide, {}), (wide, {"cv": 10}), (wide, {"criterion": "alo"}),
        (tall, {}), (tall, {"criterion": "alo"}),
    ):  # fmt: skip
        one, two = (LassoCV(n_threads=k, **settings).fit(X, y) for k in (1, 2))
        assert_array_equal(one.criterion_path_, two.criterion_path_)
        assert_array_equal(one.coef_, two.coef_)


def test_several_l1_ratios_and_scikit_learn() -> None:
    X, y = random_data(11, 80, 15)
    ratios = [0.2, 0.7, 1.0]
    ours = ElasticNetCV(l1_ratio=ratios, **EXACT).fit(X, y)
    theirs = peer.ElasticNetCV(l1_ratio=ratios, cv=5, tol=1e-12, max_iter=10**6).fit(X, y)
    assert_allclose(ours.alphas_, theirs.alphas_, rtol=1e-10)
    assert_allclose(ours.mse_path_, theirs.mse_path_, rtol=1e-6)
    assert ours.l1_ratio_ == theirs.l1_ratio_
    assert ours.alpha_ == pytest.approx(theirs.alpha_)
    assert ours.criterion_path_.shape == (3, 100)
    given = ElasticNetCV(l1_ratio=ratios, alphas=[0.1, 1.0, 0.01], **EXACT).fit(X, y)
    assert_array_equal(given.alphas_, [1.0, 0.1, 0.01])
    assert given.mse_path_.shape == (3, 3, 5)
    row = ratios.index(ours.l1_ratio_)
    assert_array_equal(ours.path_.alphas, ours.alphas_[row])
    assert ours.path_.l1_ratio == ours.l1_ratio_


def test_the_grid_is_that_of_the_fit() -> None:
    X, y = random_data(4, 50, 20)
    weights = np.random.default_rng(0).random(50)
    more = {"standardize": True, "penalty_weights": np.linspace(0.5, 2, 20)}
    model = LassoCV(**more).fit(X, y, sample_weight=weights)
    path = lasso_path(X, y, sample_weight=weights, **more)
    assert_allclose(model.alphas_, path.alphas, rtol=1e-13)
    assert_allclose(model.path_.coefs.toarray(), path.coefs.toarray(), atol=1e-6)
    assert not model.path_.coefs[:, [0]].nnz


def test_a_weight_of_zero_is_no_row_and_of_two_is_two() -> None:
    X, y = random_data(6, 40, 10)
    weights = np.tile([0.0, 1.0, 2.0, 1.0], 10)
    times = weights.astype(int)
    rows = np.repeat(np.arange(40), times)
    folds = [(np.flatnonzero(np.arange(40) % 5 != k), np.flatnonzero(np.arange(40) % 5 == k))
             for k in range(5)]  # fmt: skip
    repeated = [(np.flatnonzero(rows % 5 != k), np.flatnonzero(rows % 5 == k)) for k in range(5)]
    one = LassoCV(cv=folds, **EXACT).fit(X, y, sample_weight=weights)
    other = LassoCV(cv=repeated, **EXACT).fit(X[rows], y[rows])
    assert_allclose(one.alphas_, other.alphas_)
    assert_allclose(one.mse_path_, other.mse_path_, rtol=1e-6)
    # rows that a splitter gives twice are trained on twice
    doubled = [(np.r_[train, train[:9]], test) for train, test in folds]
    counts = np.stack([np.bincount(train, minlength=40) for train, _ in doubled])
    model = LassoCV(cv=doubled, alphas=[0.1], **EXACT).fit(X, y)
    for k, (_, test) in enumerate(folds):
        fit = Lasso(0.1, **EXACT).fit(X, y, sample_weight=counts[k])
        assert model.mse_path_[0, k] == pytest.approx(
            mean_squared_error(y[test], fit.predict(X[test]))
        )


def test_folds_without_held_out_weight_are_left_out() -> None:
    X, y = random_data(6, 40, 10)
    weights = np.r_[np.zeros(8), np.ones(32)]
    cv = KFold(5)
    model = LassoCV(cv=cv, alphas=5, **EXACT).fit(X, y, sample_weight=weights)
    assert_allclose(model.mse_path_, by_hand(model, X, y, cv, weights), rtol=1e-6)
    assert np.isnan(model.mse_path_[:, 0]).all()
    assert np.isfinite(model.mse_mean_).all()
    with pytest.raises(ValueError, match="held-out rows of positive sample_weight"):
        LassoCV(cv=[(np.arange(8, 40), np.arange(8))]).fit(X, y, sample_weight=weights)
    with pytest.raises(ValueError, match="training row"):
        LassoCV(cv=[(np.arange(8), np.arange(8, 40))]).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("cv", [RepeatedKFold(n_splits=3, n_repeats=4, random_state=0), 3])
def test_statistics_of_rows_equal_fits_by_weights(cv, monkeypatch) -> None:
    X, y = random_data(9, 400, 30, shift=50.0)
    weights = np.random.default_rng(1).random(400)
    fast = LassoCV(cv=cv, **EXACT).fit(X, y, sample_weight=weights)
    monkeypatch.setattr(Statistics, "of", lambda *_: None)
    monkeypatch.setattr(Statistics, "errors", lambda *_: None)
    slow = LassoCV(cv=cv, **EXACT).fit(np.asfortranarray(X), y, sample_weight=weights)
    assert_allclose(fast.mse_path_, slow.mse_path_, rtol=1e-7)


def test_a_constant_column_of_a_training_set_stays_out() -> None:
    """Its rows that vary are all held out at once."""
    X, y = random_data(2, 300, 6)
    X[:, 2] = 7.0
    X[:60, 2] += np.random.default_rng(0).normal(size=60)
    model = LassoCV(**EXACT).fit(X, y)
    assert_allclose(model.mse_path_, by_hand(model, X, y, KFold(5)), rtol=1e-6)


def test_rules() -> None:
    X, y = random_data(1, 60, 20)
    best = LassoCV().fit(X, y)
    larger = LassoCV(rule="1se").fit(X, y)
    k = int(np.argmin(best.mse_mean_))
    allowed = best.mse_mean_ <= best.mse_mean_[k] + best.mse_se_[k]
    assert larger.alpha_ == best.alpha_1se_ == best.alphas_[np.flatnonzero(allowed)[0]]
    assert larger.alpha_1se_ >= larger.alpha_min_ == best.alpha_
    seen = []

    def rule(model) -> int:
        seen.append((model.alpha_, model.path_, model.mse_mean_.shape))
        return 3

    chosen = LassoCV(rule=rule).fit(X, y)
    assert chosen.alpha_ == chosen.alphas_[3]
    assert seen[0][0] == best.alpha_
    assert_allclose(chosen.coef_, Lasso(chosen.alpha_).fit(X, y).coef_, atol=1e-4)
    for bad in (100, -1, 1.5, None, True):
        with pytest.raises(ValueError, match="rule must return an index"):
            LassoCV(rule=lambda _, bad=bad: bad).fit(X, y)


def test_ties_go_to_the_larger_alpha() -> None:
    X, y = random_data(1, 30, 5)
    largest = lasso_path(X, y, alphas=1).alphas[0]
    model = ElasticNetCV(l1_ratio=[0.5, 1.0], alphas=largest * np.array([9.0, 3.0, 5.0]))
    model.fit(X, y)
    assert model.alpha_ == 9.0 * largest
    assert model.alpha_1se_ == 9.0 * largest
    with_constant = LassoCV(alphas=7).fit(X, np.full(30, 2.5))
    assert with_constant.alpha_ == with_constant.alphas_[0]
    assert with_constant.intercept_ == 2.5
    assert not with_constant.coef_.any()


@pytest.mark.parametrize("criterion", ["aic", "bic"])
def test_criteria_are_those_of_scikit_learn(criterion) -> None:
    X, y = random_data(7, 100, 12)
    other = peer.LassoLarsIC(criterion=criterion).fit(X, y)
    model = LassoCV(criterion=criterion, alphas=other.alphas_[other.alphas_ > 0], **EXACT)
    model.fit(X, y)
    assert model.noise_variance_ == pytest.approx(other.noise_variance_)
    # their alphas are those at which a feature enters: rounding decides whether it counts
    price = 2 if criterion == "aic" else np.log(100)
    df = np.arange(len(model.alphas_))
    assert np.all((model.df_path_ == df) | (model.df_path_ == df + 1))
    expected = other.criterion_[other.alphas_ > 0] + price * (model.df_path_ - df)
    assert_allclose(model.criterion_path_, expected, rtol=1e-9)
    assert not hasattr(model, "mse_path_")
    assert not hasattr(model, "alpha_1se_")


def test_noise_variance() -> None:
    X, y = random_data(7, 40, 60)
    with pytest.raises(ValueError, match="noise_variance must be given"):
        LassoCV(criterion="bic").fit(X, y)
    given = LassoCV(criterion="ebic", noise_variance=1.5).fit(X, y)
    r = y[:, None] - given.path_.predict(X)
    n, p = X.shape
    expected = (
        (r**2).sum(axis=0) / 1.5
        + n * np.log(2 * np.pi * 1.5)
        + (np.log(n) + 2 * np.log(p)) * given.df_path_
    )
    assert_allclose(given.criterion_path_, expected, rtol=1e-6)
    assert_array_equal(given.df_path_, given.path_.n_nonzero)
    chosen = LassoCV(**EXACT).fit(X, y)
    k = int(np.argmin(chosen.mse_mean_))
    rss = ((y - chosen.path_.predict(X)[:, k]) ** 2).sum()
    by_cv = LassoCV(criterion="bic", noise_variance="cv", **EXACT).fit(X, y)
    variance = rss / (n - by_cv.df_path_[k] - 1)
    assert by_cv.noise_variance_ == pytest.approx(variance, rel=1e-6)


def test_approximate_leave_one_out_is_close_to_refits() -> None:
    X, y = random_data(13, 60, 8)
    model = ElasticNetCV(criterion="alo", l1_ratio=0.5, alphas=10, eps=1e-2, **EXACT).fit(X, y)
    left_out = np.empty(len(model.alphas_))
    for a, alpha in enumerate(model.alphas_):
        squares = []
        for i in range(60):
            keep = np.arange(60) != i
            # the penalty held: n alpha stays
            fit = ElasticNet(alpha * 60 / 59, l1_ratio=0.5, **EXACT).fit(X[keep], y[keep])
            squares.append((y[i] - fit.predict(X[[i]])[0]) ** 2)
        left_out[a] = np.mean(squares)
    assert_allclose(model.mse_mean_, left_out, rtol=0.05)
    assert abs(int(np.argmin(left_out)) - int(np.argmin(model.mse_mean_))) <= 1
    assert model.alpha_1se_ >= model.alpha_min_


def test_relaxed_fits() -> None:
    X, y = random_data(21, 70, 25)
    plain = LassoCV(**EXACT).fit(X, y)
    model = LassoCV(relax=[0.0, 0.5, 1.0], **EXACT).fit(X, y)
    assert model.criterion_path_.min() <= plain.criterion_path_.min() * (1 + 1e-9)
    k = int(np.flatnonzero(model.alphas_ == model.alpha_)[0])
    support = np.flatnonzero(model.path_.coefs[:, [k]].toarray())
    A = np.column_stack([np.ones(70), X[:, support]])
    refit = np.linalg.lstsq(A, y, rcond=None)[0]
    expected = model.gamma_ * model.path_.coefs[:, [k]].toarray().ravel()
    expected[support] += (1 - model.gamma_) * refit[1:]
    assert_allclose(model.coef_, expected, atol=1e-8)
    whole = LassoCV(relax=True, **EXACT).fit(X, y)
    assert whole.gamma_ == 0.0
    errors = []
    for train, test in KFold(5).split(X):
        path = lasso_path(X[train], y[train], alphas=whole.alphas_, **EXACT)
        support = np.flatnonzero(path.coefs[:, [40]].toarray())
        A = np.column_stack([np.ones(len(train)), X[np.ix_(train, support)]])
        b = np.linalg.lstsq(A, y[train], rcond=None)[0]
        errors.append(np.mean((y[test] - b[0] - X[np.ix_(test, support)] @ b[1:]) ** 2))
    assert_allclose(whole.mse_path_[40], errors, rtol=1e-7)
    same = LassoCV(relax=1.0, **EXACT).fit(X, y)
    assert_allclose(same.coef_, plain.coef_, atol=1e-10)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"criterion": "cp"}, "criterion must be"),
        ({"criterion": "aic", "cv": 5}, "cv must be None"),
        ({"criterion": "alo", "cv": 5}, "cv must be None"),
        ({"criterion": "bic", "rule": "1se"}, "rule must be"),
        ({"rule": "best"}, "rule must be"),
        ({"noise_variance": 1.0}, "noise_variance must be None"),
        ({"criterion": "alo", "noise_variance": 1.0}, "noise_variance must be None"),
        ({"criterion": "aic", "noise_variance": 0.0}, "noise_variance"),
        ({"criterion": "aic", "noise_variance": "loo"}, "noise_variance"),
        ({"relax": 1.5}, "relax"),
        ({"relax": []}, "relax"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"alphas": 0}, "alphas"),
        ({"alphas": [1.0, 0.0]}, "alphas"),
        ({"eps": 0.0}, "eps"),
        ({"cv": 1}, "n_splits"),
        ({"cv": [(np.arange(3), np.arange(99))]}, "cv must give"),
    ],
)
def test_parameters_that_are_refused(settings, words) -> None:
    X, y = random_data(0, 30, 4)
    model = LassoCV().fit(X, y)
    before = dict(vars(model))
    model.set_params(**settings)
    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(X, y)
    assert model.coef_ is before["coef_"]
    assert model.alpha_ == before["alpha_"]


def test_l1_ratios_that_are_refused() -> None:
    X, y = random_data(0, 30, 4)
    for bad in ([], 1.5, [0.5, -0.1], [[0.5]]):
        with pytest.raises(ValueError, match="l1_ratio"):
            ElasticNetCV(l1_ratio=bad).fit(X, y)
    with pytest.raises(ValueError, match="l1_ratio is 0"):
        ElasticNetCV(l1_ratio=[0.0, 0.5]).fit(X, y)
    ridge = ElasticNetCV(l1_ratio=0.0, alphas=[1.0, 0.1], cv=3, **EXACT).fit(X, y)
    assert_allclose(ridge.mse_path_, by_hand(ridge, X, y, KFold(3)), rtol=1e-7)
    with pytest.raises(ValueError, match="one target"):
        LassoCV().fit(X, np.column_stack([y, y]))


@pytest.mark.parametrize("layout", ["F", "csc_array"])
def test_threads_and_jobs_change_nothing(layout) -> None:
    X, y = random_data(5, 50, 120, density=0.3 if layout != "F" else 1.0)
    X = as_format(X, layout)
    fits = [
        LassoCV(n_threads=threads, n_jobs=jobs, alphas=30).fit(X, y)
        for threads, jobs in ((1, None), (2, None), (3, 2), (2, -1), (4, 9))
    ]
    for other in fits[1:]:
        assert_allclose(other.mse_path_, fits[0].mse_path_, rtol=1e-6)
        assert other.alpha_ == fits[0].alpha_


def test_inputs_stay_as_they_are() -> None:
    X, y = random_data(5, 60, 8)
    for layout in ("C", "F", "csc_array", "csr_array"):
        made, weights = as_format(X, layout), np.arange(60.0)
        parts = (made,) if layout in "CF" else (made.data, made.indices, made.indptr)
        before = checksum(*parts, y, weights)
        for criterion in ("cv", "alo", "bic"):
            LassoCV(criterion=criterion, alphas=5, relax=[0, 1]).fit(made, y, weights)
        assert checksum(*parts, y, weights) == before


def test_design_frames_and_dtypes() -> None:
    pandas = pytest.importorskip("pandas")
    X, y = random_data(5, 60, 8)
    frame = pandas.DataFrame(X, columns=[f"x{k}" for k in range(8)])
    model = LassoCV(alphas=9).fit(frame, y)
    assert list(model.feature_names_in_) == list(model.path_.feature_names) == list(frame.columns)
    assert_allclose(LassoCV(alphas=9).fit(Design(X), y).coef_, model.coef_)
    single = LassoCV(alphas=9).fit(X.astype(np.float32), y)
    assert single.coef_.dtype == single.predict(X.astype(np.float32)).dtype == np.float32
    assert_allclose(single.mse_path_, model.mse_path_, rtol=1e-3)
    with pytest.warns(DataConversionWarning):
        column = LassoCV(alphas=9).fit(X, y[:, None])
    assert column.coef_.shape == (8,)
    assert isinstance(column.intercept_, float)
    integer = LassoCV(alphas=9).fit(np.rint(3 * X).astype(int), y)
    assert np.isfinite(integer.mse_path_).all()


def test_it_can_be_cloned_pickled_and_fitted_again() -> None:
    X, y = random_data(5, 60, 8)
    model = LassoCV(relax=[0, 1]).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))
    assert not hasattr(clone(model), "coef_")
    model.set_params(relax=False, criterion="bic").fit(X, y)
    for name in ("gamma_", "mse_path_", "alpha_min_"):
        assert not hasattr(model, name)
    assert model.sparse_coef_.shape == (1, 8)


def test_one_warning_names_the_worst() -> None:
    X, y = random_data(5, 60, 30)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LassoCV(max_iter=1, solver="cd", tol=1e-12).fit(X, y)
    (warning,) = caught
    assert issubclass(warning.category, ConvergenceWarning)
    assert "in " in str(warning.message)
    assert " of 600 solves, the worst at alpha=" in str(warning.message)


def test_metadata_are_routed_to_the_splitter() -> None:
    X, y = random_data(5, 60, 8)
    groups = np.arange(60) % 7
    with pytest.raises(ValueError, match="enable_metadata_routing"):
        LassoCV(cv=GroupKFold(4)).fit(X, y, groups=groups)
    with sklearn.config_context(enable_metadata_routing=True):
        model = LassoCV(cv=GroupKFold(4), alphas=6, **EXACT).fit(X, y, groups=groups)
    folds = list(GroupKFold(4).split(X, y, groups))
    assert_allclose(model.mse_path_, LassoCV(cv=folds, alphas=6, **EXACT).fit(X, y).mse_path_)


def test_saturated_fits_are_not_chosen() -> None:
    """As many features as rows: leave-one-out and the criteria stay numbers or inf."""
    X, y = random_data(3, 20, 60)
    alo = LassoCV(criterion="alo", eps=1e-5).fit(X, y)
    assert not np.isnan(alo.criterion_path_).any()
    assert np.count_nonzero(alo.coef_) < 19
    for criterion in ("bic", "ebic"):
        model = LassoCV(criterion=criterion, noise_variance="cv", eps=1e-5).fit(X, y)
        assert np.isfinite(model.criterion_path_).all()
        assert np.count_nonzero(model.coef_) < 19


def test_paths_and_ratios_of_the_elastic_net() -> None:
    X, y = random_data(3, 50, 30)
    model = ElasticNetCV(l1_ratio=[0.3], alphas=12, **EXACT).fit(X, y)
    assert model.mse_path_.shape == (12, 5)
    assert model.alphas_.shape == (12,)
    path = enet_path(X, y, l1_ratio=0.3, alphas=12, **EXACT)
    assert_allclose(model.path_.coefs.toarray(), path.coefs.toarray(), atol=1e-8)
    assert model.dual_gap_ <= 1e-13 * np.var(y)


@pytest.mark.parametrize("criterion", ["cv", "alo", "bic"])
@pytest.mark.parametrize(
    "factors", [(2.0**-480, 1.0), (2.0**480, 1.0), (1.0, 2.0**480), (1.0, 2.0**-480)]
)
def test_units_change_nothing(criterion, factors) -> None:
    X, y = random_data(3, 50, 12)
    of_X, of_y = factors
    one = LassoCV(criterion=criterion).fit(X, y)
    other = LassoCV(criterion=criterion).fit(of_X * X, of_y * y)
    assert other.alpha_ == pytest.approx(one.alpha_ * of_X * of_y, rel=1e-12)
    assert_allclose(other.coef_ * (of_X / of_y), one.coef_, rtol=1e-9)
    if criterion != "bic":
        assert_allclose(other.mse_se_ / of_y / of_y, one.mse_se_, rtol=1e-9)


def test_progress_counts_the_solves_of_all_folds(monkeypatch, capsys) -> None:
    X, y = random_data(3, 50, 12)
    quiet = LassoCV(alphas=10, verbose=True, n_threads=1).fit(X, y)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    shown = LassoCV(alphas=10, verbose=True, n_threads=1).fit(X, y)
    lines = capsys.readouterr().err.strip().split("\r")
    assert len(lines) == 60
    assert lines[-1].startswith("60/60 alphas")
    assert_allclose(shown.mse_path_, quiet.mse_path_, rtol=1e-6)
