"""Bad input: the named error, nothing fitted, nothing written to."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

import creg
from creg import Design, ElasticNet, Lasso, Ridge, alpha_max, enet_path, lasso_path

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 4))
Y = RNG.normal(size=20)


def with_value(array, value):
    array = array.astype(np.result_type(array, type(value)))
    array.flat[7] = value
    return array


BAD_X = [
    (with_value(X, np.nan), ValueError, "X contains NaN"),
    (with_value(X, np.inf), ValueError, "X contains infinity"),
    (sparse.csc_array(with_value(X, np.nan)), ValueError, "X contains NaN"),
    (sparse.csr_array(with_value(X, -np.inf)), ValueError, "X contains infinity"),
    (with_value(X.astype(np.float32), np.float32("nan")), ValueError, "X contains NaN"),
    (X[0], ValueError, r"X: Expected 2D array"),
    (X[None], ValueError, "X"),
    (X[:0], ValueError, r"X: Found array with 0 sample"),
    (X[:, :0], ValueError, r"X: Found array with 0 feature"),
    (X + 1j, ValueError, "X: Complex data not supported"),
    (sparse.csc_array(X + 1j), ValueError, "X: Complex data not supported"),
    (X.astype(str), TypeError, "X must hold numbers; got dtype <U"),
    ([["a", "b"]] * 20, TypeError, "X must hold numbers"),
    ([["1", "2"]] * 20, TypeError, "X must hold numbers"),
    (X.astype("datetime64[s]"), TypeError, "X must hold numbers; got dtype datetime64"),
    ([[1, 2], [3]] * 10, ValueError, "X"),
    (pd.DataFrame({"a": ["u"] * 20}), TypeError, r"X \(column 'a'\) must hold numbers; got 'u'"),
    (pd.DataFrame({"a": X[:, 0], "b": ["1"] * 20}), TypeError, r"X \(column 'b'\) must hold"),
    (pl.DataFrame({"a": X[:, 0], "b": ["1"] * 20}), TypeError, r"X \(column 'b'\) must hold"),
    (pd.DataFrame({"a": pd.to_datetime(["2020-01-01"] * 20)}), TypeError, "X .* must hold numbers"),
    (np.array([["1", 2]] * 20, dtype=object), TypeError, "X must hold numbers; got '1'"),
    (None, TypeError, "X must hold numbers; got None"),
    (3.0, ValueError, "X: Expected 2D array"),
    (sparse.coo_array(np.ones(20)), ValueError, "X"),
]
BAD_Y = [
    (with_value(Y, np.nan), ValueError, "y contains NaN"),
    (with_value(Y, np.inf), ValueError, "y contains infinity"),
    (Y[:-1], ValueError, r"y must have shape \(20,\) or .*; got shape \(19,\)"),
    (Y[:, None, None], ValueError, r"y must have shape .*; got shape \(20, 1, 1\)"),
    (np.ones((20, 0)), ValueError, "y must have shape"),
    (3.0, ValueError, r"y must have shape .*; got shape \(\)"),
    (None, ValueError, "requires y to be passed, but the target y is None"),
    (Y + 1j, ValueError, "y: Complex data not supported"),
    (Y.astype(str), TypeError, "y must hold numbers"),
    (["a"] * 20, TypeError, "y must hold numbers"),
    (np.array(["1"] * 20, dtype=object), TypeError, "y must hold numbers; got '1'"),
    (pd.Series(["1"] * 20), TypeError, "y must hold numbers"),
    (pl.Series(["1"] * 20), TypeError, "y must hold numbers"),
    (sparse.csc_array(Y[:, None]), TypeError, "y must be dense"),
]
BAD_WEIGHTS = [
    (with_value(np.ones(20), np.nan), ValueError, "sample_weight contains NaN"),
    (with_value(np.ones(20), np.inf), ValueError, "sample_weight contains infinity"),
    (with_value(np.ones(20), -1.0), ValueError, "sample_weight must be >= 0; got -1 in row 7"),
    (np.zeros(20), ValueError, "sample_weight must be positive in at least one row"),
    (np.ones(19), ValueError, r"sample_weight must have shape \(20,\).*; got shape \(19,\)"),
    (np.ones((20, 1)), ValueError, r"sample_weight must have shape \(20,\)"),
    (0.0, ValueError, "sample_weight must be a finite number > 0; got 0.0"),
    (np.ones(20) + 1j, ValueError, "sample_weight: Complex data not supported"),
    (["a"] * 20, TypeError, "sample_weight must hold numbers"),
]
BAD_PARAMETERS = [
    ({"alpha": -1}, ValueError, "alpha must be a finite number >= 0; got -1"),
    ({"alpha": np.nan}, ValueError, "alpha must be a finite number >= 0; got nan"),
    ({"alpha": np.inf}, ValueError, "alpha must be a finite number >= 0; got inf"),
    ({"alpha": "1"}, TypeError, "alpha must be"),
    ({"alpha": True}, TypeError, "alpha must be a finite number"),
    ({"alpha": 1j}, TypeError, "alpha must be"),
    ({"tol": -1e-3}, ValueError, "tol must be a finite number >= 0; got -0.001"),
    ({"tol": None}, TypeError, "tol must be"),
    ({"max_iter": 0}, ValueError, "max_iter must be an integer >= 1; got 0"),
    ({"max_iter": 1.5}, TypeError, "max_iter must be an integer >= 1; got 1.5"),
    ({"n_threads": 0}, ValueError, "n_threads must be an integer >= 1; got 0"),
    ({"n_threads": 2.0}, TypeError, "n_threads must be an integer"),
    ({"solver": "svd"}, ValueError, "solver must be one of 'auto'.*; got 'svd'"),
    ({"solver": None}, TypeError, "solver must be one of"),
    ({"fit_intercept": 1}, TypeError, "fit_intercept must be True or False; got 1"),
    ({"standardize": "yes"}, TypeError, "standardize must be True or False; got 'yes'"),
    ({"positive": None}, TypeError, "positive must be True or False; got None"),
    ({"bounds": 3}, TypeError, r"bounds must be a pair \(lower, upper\); got 3"),
    ({"bounds": "ab"}, TypeError, "bounds must be a pair"),
    ({"bounds": (0, 1, 2)}, ValueError, "bounds must be a pair .*; got 3 entries"),
    ({"bounds": (1, 2)}, ValueError, "bounds must hold 0, .*; got 1 as lower bound"),
    ({"bounds": (-2, -1)}, ValueError, "bounds must hold 0, .*; got -1 as upper bound"),
    ({"bounds": (np.nan, 1)}, ValueError, r"bounds\[0\] must be a number .*; got nan"),
    ({"bounds": (0, np.full(4, np.nan))}, ValueError, r"bounds\[1\] must hold no NaN"),
    ({"bounds": (0, np.ones(3))}, ValueError, r"bounds\[1\] must have shape \(4,\)"),
    ({"bounds": (None, 1)}, TypeError, r"bounds\[0\]"),
    ({"bounds": (-1, 1), "positive": True}, ValueError, "bounds must have 0 as lower bound"),
    ({"penalty_weights": np.ones(3)}, ValueError, r"penalty_weights must have shape \(4,\)"),
    ({"penalty_weights": 1.0}, ValueError, r"penalty_weights must have shape \(4,\)"),
    ({"penalty_weights": [1, 1, -1, 1]}, ValueError, "penalty_weights must be >= 0; got -1 for"),
    ({"penalty_weights": [1, 1, np.nan, 1]}, ValueError, "penalty_weights must hold no NaN"),
    ({"penalty_weights": ["a"] * 4}, TypeError, "penalty_weights must hold numbers"),
]
L1_PARAMETERS = [
    ({"warm_start": 1}, TypeError, "warm_start must be True or False"),
    ({"alpha": np.ones(1)}, TypeError, r"alpha must be .*; got an array of shape \(1,\)"),
    ({"max_iter": None}, TypeError, "max_iter must be an integer"),
    ({"solver": "cg"}, ValueError, "solver must be one of 'auto', 'cd'; got 'cg'"),
]
RIDGE_PARAMETERS = [
    ({"alpha": np.ones(2)}, ValueError, r"alpha must be a number or have shape \(1,\)"),
    ({"alpha": [-1.0]}, ValueError, "alpha must be >= 0; got -1"),
    ({"solver": "cg", "positive": True}, ValueError, "solver must be 'auto' or 'active_set'"),
    ({"solver": "cd"}, ValueError, "solver must be one of"),
]
PATH_ARGUMENTS = [
    ({"alphas": 0}, ValueError, "alphas must be an integer >= 1; got 0"),
    ({"alphas": 2.5}, TypeError, "alphas must be an integer >= 1 or a sequence"),
    ({"alphas": True}, TypeError, "alphas must be"),
    ({"alphas": []}, ValueError, "alphas must be"),
    ({"alphas": [1.0, 0.0]}, ValueError, "alphas must be .*; got 0 among them"),
    ({"alphas": [1.0, np.nan]}, ValueError, "alphas contains NaN"),
    ({"alphas": [[1.0]]}, ValueError, "alphas must be"),
    ({"eps": 0}, ValueError, "eps must be a finite number > 0 and <= 1; got 0"),
    ({"eps": 2}, ValueError, "eps must be"),
    ({"max_features": 0}, ValueError, "max_features must be an integer >= 1"),
    ({"verbose": 1}, TypeError, "verbose must be True or False"),
    ({"l1_ratio": -0.1}, ValueError, "l1_ratio must be a finite number >= 0 and <= 1; got -0.1"),
    ({"l1_ratio": 1.5}, ValueError, "l1_ratio must be"),
    ({"l1_ratio": "a"}, TypeError, "l1_ratio must be"),
    ({"l1_ratio": np.array([0.5, 0.1])}, TypeError, "l1_ratio must be"),
]
MODELS = [Lasso, ElasticNet, Ridge]


def refused(model, kind, words, *data, **weights):
    with pytest.raises(kind, match=words):
        model.fit(*data, **weights)
    assert not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("bad", "kind", "words"), BAD_X)
def test_x(model, bad, kind, words):
    refused(model(), kind, words, bad, Y)


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize(("bad", "kind", "words"), BAD_X)
def test_x_elsewhere(bad, kind, words):
    for use in (
        lambda: Design(bad),
        lambda: lasso_path(bad, Y),
        lambda: alpha_max(bad, Y),
        lambda: Lasso().fit(X, Y).predict(bad),
        lambda: lasso_path(X, Y, alphas=2).predict(bad),
    ):
        with pytest.raises(kind, match=words):
            use()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("bad", "kind", "words"), BAD_Y)
def test_y(model, bad, kind, words):
    refused(model(), kind, words, X, bad)
    with pytest.raises(kind, match=words):
        lasso_path(X, bad)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("bad", "kind", "words"), BAD_WEIGHTS)
def test_sample_weight(model, bad, kind, words):
    refused(model(), kind, words, X, Y, sample_weight=bad)
    with pytest.raises(kind, match=words):
        alpha_max(X, Y, sample_weight=bad)


@pytest.mark.parametrize(
    ("model", "bad", "kind", "words"),
    [(m, *case) for m in MODELS for case in BAD_PARAMETERS]
    + [(m, *case) for m in MODELS[:2] for case in L1_PARAMETERS]
    + [(Ridge, *case) for case in RIDGE_PARAMETERS]
    + [(ElasticNet, *case) for case in PATH_ARGUMENTS if "l1_ratio" in case[0]],
)
def test_parameters_of_estimators(model, bad, kind, words):
    refused(model(**bad), kind, words, X, Y)


@pytest.mark.parametrize(
    ("bad", "kind", "words"),
    [c for c in BAD_PARAMETERS if "alpha" not in c[0]] + PATH_ARGUMENTS,
)
def test_arguments_of_paths(bad, kind, words):
    with pytest.raises(kind, match=words):
        enet_path(X, Y, **bad)
    if not bad.keys() & {"tol", "max_iter", "n_threads", "solver", "alphas", "eps"} and not (
        bad.keys() & {"max_features", "verbose", "l1_ratio"}
    ):
        with pytest.raises(kind, match=words):
            alpha_max(X, Y, **bad)


@pytest.mark.parametrize("alpha", [-1, np.nan, "a", None, [1.0]])
def test_alpha_of_a_path(alpha):
    path = lasso_path(X, Y, alphas=3)
    with pytest.raises((TypeError, ValueError), match="alpha must be"):
        path.coef_at(alpha)


@pytest.mark.parametrize("fmt", ["csc", "csr"])
@pytest.mark.parametrize(
    ("part", "at", "value"),
    [("indices", 3, 1000), ("indices", 3, -1), ("indptr", 1, 10**6), ("indptr", 0, 2)],
)
def test_sparse_indices_that_lead_out_of_the_matrix(fmt, part, at, value):
    broken = sparse.csc_array(X).asformat(fmt)
    getattr(broken, part)[at] = value
    with pytest.raises(ValueError, match="X must be a valid sparse matrix"):
        Lasso().fit(broken, Y)


def test_nothing_is_written_to_where_input_is_refused():
    bad, y, weights = with_value(X, np.nan), Y.copy(), np.ones(20)
    for array in (bad, y, weights):
        array.flags.writeable = False
    refused(Lasso(), ValueError, "X", bad, y, sample_weight=weights)
    np.testing.assert_array_equal(y, Y)


def test_what_is_not_refused():
    v, bounds = [1, np.inf, 0, 2], (-np.inf, np.full(4, 0.0))
    for model in (Lasso(0.1), ElasticNet(np.float32(0.1)), Ridge(1)):
        for given in (X.astype(object), X.astype(np.float16), X > 0, X[:1], X.tolist()):
            assert np.isfinite(model.fit(given, Y[: len(given)]).coef_).all()
        model.set_params(penalty_weights=v, bounds=bounds).fit(X, (Y > 0).tolist(), [1] * 20)
        assert model.coef_.max() <= 0
        assert model.coef_[1] == 0
        model.set_params(bounds=(0, 2.0), positive=True, tol=1e-8).fit(X, Y)
        assert model.coef_.min() >= 0


def test_every_sentence_about_input_stands_in_one_file():
    folder = creg.__path__[0]
    for name in ("design", "linear_model"):
        with open(f"{folder}/{name}.py", encoding="utf-8") as file:
            assert not re.search(r"raise (Value|Type)Error", file.read())
