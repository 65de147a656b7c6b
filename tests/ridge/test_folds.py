"""RidgeCV's k-fold errors are those of a refit for each fold."""

import choice_reference
import numpy as np
import pytest
from cases import as_format
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)
from test_leave_one_out import problem

import creg
from creg._ridge import folds as folds_module

ALPHAS = np.array([1e-2, 1.0, 50.0])
SPLITTERS = {
    "int": 4,
    "shuffled": KFold(4, shuffle=True, random_state=0),
    "repeated": RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    "drawn": ShuffleSplit(3, random_state=0),
    "forward": TimeSeriesSplit(3),
    "leave one out": LeaveOneOut(),
}


def index_pairs(cv, X):
    return list((KFold(cv) if isinstance(cv, int) else cv).split(X))


def assert_path(model, X, Y, pairs, s=None, rtol=1e-8, **more) -> None:
    for k, alpha in enumerate(model.alphas_):
        wanted = choice_reference.held_out(X, Y, alpha, pairs, s=s, **more).mean()
        assert model.criterion_path_[k] == pytest.approx(wanted, rel=rtol)


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("shape", [(24, 5), (15, 22)])
@pytest.mark.parametrize("layout", ["C", "F", "csc_array", "csr_array"])
def test_errors_are_those_of_refits(layout, shape, splitter) -> None:
    X, Y, _, v = problem(21, *shape)
    cv = SPLITTERS[splitter]
    model = creg.RidgeCV(ALPHAS, cv=cv, penalty_weights=v).fit(as_format(X, layout), Y)
    assert_path(model, X, Y, index_pairs(cv, X), v=v)
    fit = creg.Ridge(model.alpha_, penalty_weights=v).fit(X, Y)
    np.testing.assert_allclose(model.coef_, fit.coef_, 0, 1e-10)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("free", [0, 2])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(30, 6), (16, 20), (16, 13)])
def test_settings(shape, fit_intercept, standardize, free, weighted) -> None:
    X, Y, s, v = problem(22, *shape, weighted=weighted, free=free)
    settings = {"fit_intercept": fit_intercept, "standardize": standardize}
    model = creg.RidgeCV(ALPHAS, cv=4, penalty_weights=v, **settings).fit(X, Y, sample_weight=s)
    assert_path(model, X, Y, index_pairs(4, X), s=s, v=v, **settings)


@pytest.fixture
def no_sums(monkeypatch):
    monkeypatch.setattr(folds_module.RowSums, "fit", lambda *_: None)


@pytest.mark.usefixtures("no_sums")
@pytest.mark.parametrize("standardize", [False, True])
def test_without_sums_the_same(standardize) -> None:
    X, Y, s, v = problem(23, 30, 6, weighted=True, free=1)
    model = creg.RidgeCV(ALPHAS, cv=4, penalty_weights=v, standardize=standardize)
    model.fit(X, Y, sample_weight=s)
    assert_path(model, X, Y, index_pairs(4, X), s=s, v=v, standardize=standardize)


def counted(monkeypatch, name):
    calls = []
    before = getattr(folds_module, name)
    monkeypatch.setattr(folds_module, name, lambda *a: calls.append(1) or before(*a))
    return calls


def test_which_way_folds_are_fitted(monkeypatch) -> None:
    """Tall data from sums, each row read once for all; wide from one outer product."""
    X, Y, _, _ = problem(24, 60, 6)
    rows = []
    before = folds_module.RowSums.of
    monkeypatch.setattr(
        folds_module.RowSums, "of", lambda self, r, w: rows.append(len(r)) or before(self, r, w)
    )
    creg.RidgeCV(ALPHAS, cv=5).fit(X, Y)
    assert rows == [12] * 5
    calls = counted(monkeypatch, "_by_outer")
    X, Y, _, _ = problem(24, 20, 40)
    creg.RidgeCV(ALPHAS, cv=5).fit(X, Y)
    assert len(calls) == 5
    assert len(rows) == 5


def test_sums_of_training_sets_are_not_differences() -> None:
    """A fold of huge rows leaves the fits without it as exact as they are alone."""
    X, Y, _, _ = problem(25, 40, 4)
    X[:10] *= 1e9
    model = creg.RidgeCV([0.1], cv=4).fit(X, Y)
    assert_path(model, X, Y, index_pairs(4, X), rtol=1e-6)


@pytest.mark.parametrize("shape", [(40, 4), (20, 30)])
def test_sorted_rows_and_columns_constant_in_a_training_set(shape) -> None:
    X, Y, _, _ = problem(26, *shape)
    X[:, 0] = np.sort(X[:, 0])
    X[:, 1] = 0.0
    X[: shape[0] // 4, 1] = np.arange(shape[0] // 4) + 1.0
    X[:, 2] += np.arange(shape[0]) // (shape[0] // 4) * 1e4
    model = creg.RidgeCV(ALPHAS, cv=4).fit(X, Y)
    assert_path(model, X, Y, index_pairs(4, X), rtol=1e-6)


@pytest.mark.parametrize("mean", [1e3, 1e6])
@pytest.mark.parametrize("shape", [(40, 4), (16, 30)])
def test_large_means(shape, mean) -> None:
    X, Y, _, _ = problem(27, *shape)
    model = creg.RidgeCV(ALPHAS, cv=4).fit(X + mean, Y + mean)
    plain = creg.RidgeCV(ALPHAS, cv=4).fit(X, Y)
    np.testing.assert_allclose(model.criterion_path_, plain.criterion_path_, 1e-14 * mean + 1e-10)


@pytest.mark.parametrize("shape", [(40, 10), (15, 30)])
@pytest.mark.parametrize("condition", [1e4, 1e7])
def test_small_alphas(shape, condition) -> None:
    rng = np.random.default_rng(28)
    k = min(shape)
    U, V = (np.linalg.qr(rng.normal(size=(m, k)))[0] for m in shape)
    X = (U * np.geomspace(1, 1 / condition, k)) @ V.T
    Y = (X @ rng.normal(size=shape[1]) + 0.1 * rng.normal(size=shape[0]))[:, None]
    model = creg.RidgeCV([1e-6, 1e-10, 1e-12], cv=4).fit(X, Y)
    assert_path(model, X, Y, index_pairs(4, X), rtol=1e-6)


@pytest.mark.parametrize("layout", ["C", "csc_array"])
@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
def test_conjugate_gradients_give_the_same(shape, layout, monkeypatch) -> None:
    X, Y, s, v = problem(29, *shape, weighted=True, free=1)
    direct = creg.RidgeCV(ALPHAS, cv=3, penalty_weights=v).fit(X, Y, sample_weight=s)
    monkeypatch.setattr("creg._ridge_choice.RidgeChoice._iterates", lambda *_: True)
    model = creg.RidgeCV(ALPHAS, cv=3, penalty_weights=v)
    model.fit(as_format(X, layout), Y, sample_weight=s)
    np.testing.assert_allclose(model.criterion_path_, direct.criterion_path_, 1e-4)
    np.testing.assert_allclose(model.coef_, direct.coef_, 0, 1e-5)
    assert not hasattr(model, "df_")
    grid = creg.RidgeCV(cv=3).fit(X, X @ np.ones(shape[1])).alphas_
    assert len(grid) == 100
    assert np.isfinite(grid).all()


def test_folds_without_held_out_weight_are_left_out() -> None:
    X, Y, _, _ = problem(30, 20, 4)
    s = np.ones(20)
    s[:5] = 0
    model = creg.RidgeCV(ALPHAS, cv=4).fit(X, Y, sample_weight=s)
    assert_path(model, X, Y, index_pairs(4, X)[1:], s=s)


def test_weight_zero_is_a_dropped_row_and_two_is_twice() -> None:
    X, Y, _, _ = problem(31, 20, 4)
    s = np.random.default_rng(0).choice([0.0, 1.0, 2.0], 20)
    rows = np.repeat(np.arange(20), s.astype(int))
    pairs = index_pairs(4, X)
    repeated = [(np.flatnonzero(np.isin(rows, a)), np.flatnonzero(np.isin(rows, b)))
                for a, b in pairs]  # fmt: skip
    model = creg.RidgeCV(ALPHAS, cv=pairs).fit(X, Y, sample_weight=s)
    twice = creg.RidgeCV(ALPHAS, cv=repeated).fit(X[rows], Y[rows])
    np.testing.assert_allclose(model.criterion_path_, twice.criterion_path_, 1e-9)
    np.testing.assert_allclose(model.coef_, twice.coef_, 0, 1e-9)


def test_rows_drawn_more_than_once_count_as_often() -> None:
    X, Y, _, _ = problem(32, 20, 4)
    rng = np.random.default_rng(0)
    pairs = [(rng.integers(0, 20, 20), np.arange(5)) for _ in range(3)]
    model = creg.RidgeCV(ALPHAS, cv=pairs).fit(X, Y)
    assert_path(model, X, Y, pairs)


def test_groups_and_masks() -> None:
    X, Y, _, _ = problem(33, 20, 4)
    pairs = list(GroupKFold(3).split(X, Y, np.arange(20) % 5))
    masks = [(np.isin(np.arange(20), a), np.isin(np.arange(20), b)) for a, b in pairs]
    model = creg.RidgeCV(ALPHAS, cv=pairs).fit(X, Y)
    assert_path(model, X, Y, pairs)
    np.testing.assert_array_equal(
        creg.RidgeCV(ALPHAS, cv=masks).fit(X, Y).criterion_path_, model.criterion_path_
    )
