"""Bugs that users of this kind of library have met, one test or more for each.

A test's number names the bug class; its docstring says what holds here instead.
"""

import ast
import pickle
import re
import sys
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cases import (
    DTYPES,
    FORMATS,
    L1_SOLVERS,
    RIDGE_SOLVERS,
    as_format,
    assert_certified,
    checksum,
    fit,
    path_arguments,
    random_data,
    random_problem,
    read_only,
    run_python,
)
from reference import (
    Problem,
    alpha_max,
    dual_gap,
    exact,
    intercept,
    kkt_residual,
    null_objective,
    objective,
    ridge_by_lstsq,
    solve,
)
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import KFold

import creg

ROOT = Path(__file__).resolve().parents[1]
LAYOUTS = ("C", "F", "csc_array", "csr_array")
WEIGHTS = np.random.default_rng(99).choice([0.0, 0.5, 1.0, 3.0], 24)
MODELS = (
    creg.Lasso(0.1),
    creg.Lasso(0.1, solver="cd"),
    creg.ElasticNet(0.1),
    *(creg.Ridge(0.1, solver=solver) for solver in RIDGE_SOLVERS),
    creg.RidgeCV([0.1]),
    creg.RidgeCV([0.1], cv=2),
)


@pytest.fixture(params=MODELS, ids=str)
def model(request):
    """Each of MODELS in turn, unfitted."""
    return clone(request.param)


def dense(path, k):
    return path.coefs[:, [k]].toarray().ravel()


@cache
def weighted(kind: str, dtype: type, l1_ratio: float = 1.0) -> tuple[Problem, np.ndarray, float]:
    """A weighted problem, its optimal coef and intercept."""
    X, y = random_data(7, 24, 6, density=0.6)
    X, y = X.astype(dtype), y.astype(dtype)
    problem = Problem(X, y, 0.1, l1_ratio=l1_ratio, ridge=kind == "ridge", sample_weight=WEIGHTS)
    coef = ridge_by_lstsq(problem) if kind == "ridge" else solve(problem)
    return problem, coef.astype(float), float(intercept(problem, coef))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("solver", L1_SOLVERS)
@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
def test_trap_01_weights_count_for_every_format(l1_ratio, solver, layout, dtype) -> None:
    problem, coef, b = weighted("l1", dtype, l1_ratio)
    model = fit(problem, as_format(problem.X, layout, dtype), solver=solver, tol=1e-13)
    rtol = 1e-6 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(model.coef_, coef, rtol, rtol)
    np.testing.assert_allclose(model.intercept_, b, rtol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("solver", [*RIDGE_SOLVERS, "active_set"])
def test_trap_01_weights_count_in_ridge(solver, layout, dtype) -> None:
    problem, coef, b = weighted("ridge", dtype)
    model = fit(problem, as_format(problem.X, layout, dtype), solver=solver, tol=1e-13)
    rtol = 1e-9 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(model.coef_, coef, rtol, rtol)
    np.testing.assert_allclose(model.intercept_, b, rtol)


def test_trap_02_only_public_scikit_learn() -> None:
    """No private name of scikit-learn is imported, none of its estimators is a base."""
    for file in (ROOT / "creg").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                if name.split(".")[0] == "sklearn":
                    assert not any(part.startswith("_") for part in name.split(".")), name
    for cls in (creg.Lasso, creg.ElasticNet, creg.Ridge, creg.RidgeCV):
        ours = [c for c in cls.__mro__ if c.__module__.startswith("creg")]
        bases = {base for c in ours for base in c.__bases__} - set(ours) - {object}
        assert {base.__module__ for base in bases} <= {"sklearn.base"}


SCALES = [(1e-8, 1.0), (1.0, 1e-8), (1e8, 1e-8), (1e8, 1e8), (1e-5, 1e3)]
POWERS = [(2.0**a, 2.0**b) for a, b in [(-300, 0), (0, 300), (400, -400), (27, 27), (-40, 7)]]


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("solver", L1_SOLVERS)
def test_trap_03_no_absolute_tolerance(solver, layout, standardize) -> None:
    """(cX, dy) takes the same rounds to the same solution, bit for bit for powers of two."""
    X, y = random_data(3, 30, 20, density=0.7)
    y = y - 3

    def lasso(c, d):
        alpha = 0.03 * d * (1 if standardize else c)
        model = creg.Lasso(alpha, standardize=standardize, solver=solver)
        return model.fit(as_format(c * X, layout), d * y)

    base = lasso(1, 1)
    assert np.any(base.coef_)
    for c, d in SCALES:
        scaled = lasso(c, d)
        assert scaled.n_iter_ == base.n_iter_
        np.testing.assert_allclose(scaled.coef_ * (c / d), base.coef_, 1e-7, 1e-9)
        assert scaled.dual_gap_ / d**2 <= 1.01e-8 * np.var(y) / 2
    for c, d in POWERS:
        scaled = lasso(c, d)
        assert scaled.n_iter_ == base.n_iter_
        np.testing.assert_array_equal(scaled.coef_ * (c / d), base.coef_)
        assert scaled.intercept_ / d == base.intercept_


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("solver", ["auto", "cd"])
def test_trap_03_no_absolute_tolerance_in_an_elastic_net(solver, layout) -> None:
    X, y = random_data(3, 30, 20, density=0.7)
    base = creg.ElasticNet(0.05, solver=solver).fit(as_format(X, layout), y)
    for c in (2.0**-200, 2.0**200, 1e-7, 1e7):
        model = creg.ElasticNet(0.05 * c**2, solver=solver).fit(as_format(c * X, layout), c * y)
        rtol = 1e-7 if c in (1e-7, 1e7) else 0
        np.testing.assert_allclose(model.coef_, base.coef_, rtol)
        assert model.n_iter_ == base.n_iter_


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("solver", RIDGE_SOLVERS)
def test_trap_03_no_absolute_tolerance_in_ridge(solver, layout) -> None:
    X, y = random_data(3, 30, 20, density=0.7)
    base = creg.Ridge(0.5, solver=solver).fit(as_format(X, layout), y)
    for c, d in [*SCALES, *POWERS]:
        model = creg.Ridge(0.5 * c**2, solver=solver).fit(as_format(c * X, layout), d * y)
        rtol = 0 if (c, d) in POWERS else 1e-7
        np.testing.assert_allclose(model.coef_ * (c / d), base.coef_, rtol)
        assert model.n_iter_ == base.n_iter_


@pytest.mark.parametrize("magnitude", [1e-150, 1e150])
def test_trap_03_extreme_magnitudes(magnitude) -> None:
    X, y = random_data(3, 30, 20)
    base = creg.Lasso(0.05).fit(X, y)
    model = creg.Lasso(0.05 * magnitude).fit(X * magnitude, y)
    np.testing.assert_allclose(model.coef_ * magnitude, base.coef_, 1e-7, 1e-9)
    model = creg.Lasso(0.05 * magnitude).fit(X, y * magnitude)
    np.testing.assert_allclose(model.coef_ / magnitude, base.coef_, 1e-7, 1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("max_iter", [1, 10_000])
def test_trap_04_gap_is_of_the_documented_objective(max_iter, layout) -> None:
    X, y = random_data(4, 20, 10, density=0.7)
    problem = Problem(X, y, 0.02, l1_ratio=0.8, sample_weight=WEIGHTS[:20] + 0.5)
    model = fit(problem, as_format(X, layout), quiet=True, max_iter=max_iter, solver="cd")
    size = float(null_objective(problem))
    np.testing.assert_allclose(
        model.dual_gap_, float(dual_gap(problem, model.coef_)), 1e-6, 1e-13 * size
    )


@pytest.mark.parametrize("solver", L1_SOLVERS)
@pytest.mark.parametrize("tol", [0.0, 1e-12, 1e-6, 1e-2])
@pytest.mark.parametrize("max_iter", [1, 4, 10_000])
@pytest.mark.parametrize("alpha", [1e-9, 1e-3, 0.1])
def test_trap_05_a_warning_exactly_where_the_gap_is_too_large(alpha, max_iter, tol, solver) -> None:
    """The message names the gap and the tolerance on one scale."""
    X, y = random_data(5, 15, 20)
    problem = Problem(X, y, alpha)
    limit = tol * float(null_objective(problem))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = creg.Lasso(alpha, tol=tol, max_iter=max_iter, solver=solver).fit(X, y)
    too_large = model.dual_gap_ > limit * (1 + 1e-9)
    assert [w.category for w in caught] == [ConvergenceWarning] * too_large
    if too_large:
        numbers = re.findall(r"\d+\.?\d*(?:e[-+]?\d+)?", str(caught[0].message))
        values = [float(number) for number in numbers]
        ratios = [limit / model.dual_gap_ * 1.0]
        assert any(
            abs(b / a - ratios[0]) <= 0.06 * ratios[0] for a in values if a > 0 for b in values
        ), str(caught[0].message)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(20, 6), (6, 15)])
@pytest.mark.parametrize("standardize", [False, True])
def test_trap_06_alpha_zero_is_least_squares(standardize, shape, layout) -> None:
    """The minimum-norm one, for every estimator; the gap is valid there too."""
    X, y = random_data(6, *shape, density=0.8)
    for s in (None, np.arange(shape[0]) % 3 + 0.5):
        problem = Problem(X, y, 0.0, sample_weight=s, standardize=standardize)
        expected = ridge_by_lstsq(replace(problem, ridge=True)).astype(float)
        for model in (creg.Lasso(0), creg.ElasticNet(0, l1_ratio=0.3), creg.Ridge(0)):
            model.set_params(standardize=standardize)
            model.fit(as_format(X, layout), y, sample_weight=s)
            np.testing.assert_allclose(model.coef_, expected, 1e-8, 1e-9)
            if not isinstance(model, creg.Ridge):
                assert_certified(problem, model, 1e-8)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("weighted_rows", [False, True])
def test_trap_06_l1_ratio_zero_is_ridge(weighted_rows, layout) -> None:
    X, y = random_data(6, 20, 8, density=0.8)
    s = np.arange(20) % 3 + 0.5 if weighted_rows else None
    total = 20.0 if s is None else s.sum()
    net = creg.ElasticNet(0.3, l1_ratio=0, tol=1e-13).fit(as_format(X, layout), y, sample_weight=s)
    ridge = creg.Ridge(0.3 * total).fit(X, y, sample_weight=s)
    np.testing.assert_allclose(net.coef_, ridge.coef_, atol=1e-6)
    assert_certified(Problem(X, y, 0.3, l1_ratio=0.0, sample_weight=s), net)


@pytest.mark.parametrize("solver", L1_SOLVERS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("l1_ratio", [1.0, 0.2])
def test_trap_06_unpenalised_features(l1_ratio, layout, solver) -> None:
    X, y = random_data(16, 20, 8, density=0.8)
    X[:, 5] = X[:, 2]
    v = np.array([0, 1, 0, 1, 2, 0, np.inf, 1])
    problem = Problem(X, y, 0.2, l1_ratio=l1_ratio, penalty_weights=v)
    model = fit(problem, as_format(X, layout), solver=solver, tol=1e-12)
    assert_certified(problem, model, 1e-12)
    assert kkt_residual(problem, model.coef_) < 1e-6


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("mean", [1e3, 1e6, 1e8])
@pytest.mark.parametrize("solver", L1_SOLVERS)
def test_trap_07_large_column_means(solver, mean, layout) -> None:
    X, y = random_data(8, 24, 5, shift=0)
    X = X + mean * np.array([1, -1, 1, 0.5, 0])
    for s in (None, WEIGHTS):
        problem = Problem(X, y, 0.05, sample_weight=s)
        expected = solve(problem).astype(float)
        model = fit(problem, as_format(X, layout), solver=solver, tol=1e-13)
        np.testing.assert_allclose(model.coef_, expected, atol=1e-6)
        best = float(objective(problem, expected))
        # the long double objective itself is good to 2e-12 at means of 1e8
        assert float(objective(problem, model.coef_)) - best <= model.dual_gap_ + 1e-11


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("mean", [1e3, 1e6, 1e8])
@pytest.mark.parametrize("solver", RIDGE_SOLVERS)
def test_trap_07_large_column_means_in_ridge(solver, mean, layout) -> None:
    X, y = random_data(8, 24, 5, shift=0)
    X = X + mean * np.array([1, -1, 1, 0.5, 0])
    for s in (None, WEIGHTS):
        problem = Problem(X, y, 0.5, ridge=True, sample_weight=s)
        model = fit(problem, as_format(X, layout), solver=solver, tol=1e-12)
        np.testing.assert_allclose(model.coef_, ridge_by_lstsq(problem).astype(float), atol=1e-7)
        r = y - model.predict(as_format(X, layout))
        kept = np.ones(24) if s is None else s
        assert abs(kept @ r) <= 1e-6 * kept.sum()


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("mean", [0.0, 1e2, 1e4])
def test_trap_08_float32_accumulates_in_float64(mean, layout) -> None:
    X, y = random_data(9, 24, 6, shift=0)
    X = (X + mean).astype(np.float32)
    y = y.astype(np.float32).astype(float)
    problem = Problem(X, y, 0.1)
    given = as_format(X, layout, np.float32)
    model = fit(problem, given)
    assert model.coef_.dtype == model.predict(given).dtype == np.float32
    assert_certified(problem, model, 1e-8)
    np.testing.assert_allclose(model.coef_, solve(problem).astype(float), atol=1e-4)
    problem = replace(problem, ridge=True)
    for solver in RIDGE_SOLVERS:
        model = fit(problem, given, solver=solver)
        assert model.coef_.dtype == np.float32
        np.testing.assert_allclose(model.coef_, ridge_by_lstsq(problem).astype(float), 1e-6, 1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", FORMATS)
def test_trap_09_constant_columns_get_zero(model, layout, dtype) -> None:
    """Exactly, also where only the rows of positive weight agree, and where unpenalised."""
    X, y = random_data(9, 24, 7)
    s = np.where(np.arange(24) < 4, 0, 1.5)
    X[:, 0], X[:, 1], X[:, 2] = 0, 0.1, 1e6
    X[4:, 3] = 0.7
    given = as_format(X, layout, dtype)
    for standardize in (False, True):
        for v in (None, np.array([0, 0, 0, 0, 1, 1, 1.0])):
            model.set_params(standardize=standardize, penalty_weights=v)
            model.fit(given, y, sample_weight=s)
            assert not np.any(model.coef_[:4])
            assert np.all(np.isfinite(model.coef_))
            assert np.any(model.coef_[4:])
            if standardize:
                assert np.all((model.scale_ > 0) & (model.scale_ < 1e7))
    model.set_params(standardize=False, penalty_weights=None, fit_intercept=False)
    model.fit(given, y)
    assert model.coef_[0] == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_trap_09_columns_constant_but_for_rounding(layout) -> None:
    X, y = random_data(9, 24, 4)
    X[:, 1] = np.nextafter(1e6, np.where(np.arange(24) % 2, 2e6, 0))
    for standardize in (False, True):
        for model in (creg.Lasso(0.01), creg.Ridge(0.01), creg.Lasso(0), creg.Ridge(0)):
            model.set_params(standardize=standardize).fit(as_format(X, layout), y)
            assert model.coef_[1] == 0
            assert np.abs(model.coef_).max() < 100


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("standardize", [False, True])
def test_trap_10_weight_zero_is_a_dropped_row_and_two_is_twice(standardize, layout) -> None:
    X, y = random_data(10, 24, 7, density=0.7)
    s = np.array([0, 1, 2])[np.arange(24) % 3]
    X[s == 0] *= 1e3
    rows = np.repeat(np.arange(24), s)
    given, repeated = as_format(X, layout), as_format(X[rows], layout)
    shared = {"standardize": standardize, "tol": 1e-12}
    for model in (
        creg.Lasso(0.05, **shared),
        creg.Lasso(0.05, solver="cd", **shared),
        creg.ElasticNet(0.05, **shared),
        creg.Ridge(0.5, **shared),
        creg.Ridge(0.5, solver="cg", **shared),
        creg.Ridge(0.5, bounds=(-0.1, 0.3), **shared),
    ):
        one = clone(model).fit(given, y, sample_weight=s)
        two = model.fit(repeated, y[rows])
        np.testing.assert_allclose(one.coef_, two.coef_, atol=1e-7)
        np.testing.assert_allclose(one.intercept_, two.intercept_, atol=1e-6)
        if standardize:
            np.testing.assert_allclose(one.scale_, two.scale_, 1e-12)
    shared["alphas"] = 10
    one = creg.enet_path(given, y, sample_weight=s, **shared)
    two = creg.enet_path(repeated, y[rows], **shared)
    np.testing.assert_allclose(one.alphas, two.alphas, 1e-12)
    np.testing.assert_allclose(one.coefs.toarray(), two.coefs.toarray(), atol=1e-6)
    np.testing.assert_allclose(one.r2, two.r2, atol=1e-10)
    loose = [
        creg.Lasso(0.05, tol=1e-3, standardize=standardize).fit(*data)
        for data in ((given, y, s), (repeated, y[rows]))
    ]
    np.testing.assert_allclose(loose[0].dual_gap_, loose[1].dual_gap_, 1e-6, 1e-14)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("criterion", ["loo", "gcv", "evidence", "cv"])
def test_trap_10_choices_do_not_see_rows_of_weight_zero(criterion, layout) -> None:
    X, y = random_data(10, 24, 7, density=0.7)
    s = np.array([0.0, 1.0, 0.5])[np.arange(24) % 3]
    X[s == 0] *= 1e3
    used = np.flatnonzero(s)
    folds = [np.arange(24) % 4 == k for k in range(4)] if criterion == "cv" else None
    found = []
    for rows in (np.arange(24), used):
        cv = folds and [(np.flatnonzero(~f[rows]), np.flatnonzero(f[rows])) for f in folds]
        model = creg.RidgeCV(cv=cv, criterion="loo" if cv else criterion)
        found.append(model.fit(as_format(X[rows], layout), y[rows], sample_weight=s[rows]))
    np.testing.assert_allclose(found[0].alphas_, found[1].alphas_, 1e-9)
    np.testing.assert_allclose(found[0].criterion_path_, found[1].criterion_path_, 1e-7)
    assert found[0].df_ == pytest.approx(found[1].df_)
    np.testing.assert_allclose(found[0].coef_, found[1].coef_, atol=1e-9)


def test_trap_11_folds_without_held_out_weight_are_left_out() -> None:
    X, y = random_data(11, 24, 5)
    s = np.repeat([0.0, 1.0], [8, 16])
    model = creg.RidgeCV([0.1, 1.0], cv=3).fit(X, y, sample_weight=s)
    halves = [(np.arange(8), np.arange(8, 16)), (np.arange(8, 16), np.arange(8))]
    alone = creg.RidgeCV([0.1, 1.0], cv=halves).fit(X[8:], y[8:])
    np.testing.assert_allclose(model.criterion_path_, alone.criterion_path_, 1e-10)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_trap_12_sparse_weighted_with_intercept_equals_dense(model, fit_intercept) -> None:
    X, y = random_data(12, 40, 10, density=0.3)
    s = np.random.default_rng(0).uniform(0, 2, 40)
    model.set_params(fit_intercept=fit_intercept)
    if hasattr(model, "tol"):
        model.set_params(tol=1e-14)
    found = []
    for layout in FORMATS:
        model.fit(as_format(X, layout), y, sample_weight=s)
        found.append([*model.coef_, model.intercept_])
    np.testing.assert_allclose(found, np.tile(found[0], (len(FORMATS), 1)), atol=1e-10)


@pytest.mark.parametrize("layout", ["C", "F", "csc_array", "csr_array"])
def test_trap_13_read_only_and_mapped_arrays(layout, tmp_path) -> None:
    X, y = random_data(13, 30, 8, density=0.6)
    s = np.linspace(0, 2, 30)
    expected = creg.Lasso(0.1).fit(X, y, sample_weight=s).coef_
    given = read_only(as_format(X, layout))
    if layout in ("C", "F"):
        np.save(tmp_path / "X.npy", given)
        given = np.load(tmp_path / "X.npy", mmap_mode="r")
    else:
        np.save(tmp_path / "data.npy", given.data)
        given.data = np.load(tmp_path / "data.npy", mmap_mode="r")
    y, s = read_only(y), read_only(s)
    v, bounds = read_only(np.ones(8)), (read_only(np.full(8, -9.0)), read_only(np.full(8, 9.0)))
    model = creg.Lasso(0.1).fit(given, y, sample_weight=s)
    np.testing.assert_allclose(model.coef_, expected, 1e-9)
    for model in map(clone, (*MODELS, creg.Ridge(0.1, solver="active_set"))):
        model.set_params(penalty_weights=v).fit(given, y, sample_weight=s).predict(given)
    creg.lasso_path(given, y, sample_weight=s, penalty_weights=v, bounds=bounds, alphas=4)
    creg.Lasso(0.1, bounds=bounds, standardize=True).fit(creg.Design(given), y)
    creg.Ridge(0.1, bounds=bounds).fit(given, y)


@pytest.mark.parametrize("layout", [*LAYOUTS, "coo"])
def test_trap_14_inputs_are_not_mutated(layout) -> None:
    """Also where the call raises; test_robustness.py has every argument."""
    X, y = random_data(14, 20, 5, density=0.6)
    X, s = as_format(X, layout), np.ones(20)
    before = checksum(X, y, s)
    for model in map(clone, MODELS):
        model.fit(X, y, sample_weight=s)
        with pytest.raises(ValueError, match="sample_weight"):
            model.fit(X, y, sample_weight=-s)
    assert checksum(X, y, s) == before


def test_trap_15_offsets_beyond_two_to_the_31(tmp_path) -> None:
    """Columns 2^24 elements apart in a sparse file of 32 GB, of which little is touched."""
    n, p, step = 40, 240, 2**24
    try:
        store = np.memmap(tmp_path / "X.bin", np.float64, "w+", shape=(step * p,))
    except OSError as error:
        pytest.skip(f"no sparse file of {step * p * 8} bytes: {error}")
    X = np.lib.stride_tricks.as_strided(store, (n, p), (8, 8 * step))
    assert (p - 1) * step > 2**31
    small, y = random_data(15, n, p)
    X[:] = small
    for model in (creg.Lasso(0.3), creg.Ridge(1.0), creg.Ridge(1.0, solver="cg")):
        expected = model.fit(np.asfortranarray(small), y).coef_
        np.testing.assert_allclose(model.fit(X, y).coef_, expected, atol=1e-9)
        np.testing.assert_allclose(model.predict(X), model.predict(small))


@pytest.mark.parametrize("dtype", DTYPES)
def test_trap_16_any_sparse_matrix(model, dtype) -> None:
    """Unsorted, with duplicates or stored zeros, array or matrix, int32 or int64: one answer."""
    X, y = random_data(16, 20, 6, density=0.5)
    X = X.astype(dtype)
    expected = model.fit(X, y).coef_
    kinds = ["csc", "csr", "coo", "lil", "dok", "bsr", "dia"]
    given = [getattr(sparse, f"{k}_{t}")(X) for k in kinds for t in ("array", "matrix")]
    for kind in ("csc", "csr"):
        given.append(messy(as_format(X, f"{kind}_array", dtype), np.int32))
        given.append(messy(as_format(X, f"{kind}_array", dtype), np.int64))
    for one in given:
        seen = checksum(one) if hasattr(one, "indptr") else None
        np.testing.assert_allclose(model.fit(one, y).coef_, expected, atol=1e-5)
        assert seen is None or checksum(one) == seen


def messy(X, index_type):
    """The same values stored unsorted, one entry in two halves, with a stored zero."""
    outer = X.shape[1] if X.format == "csc" else X.shape[0]
    data, indices, indptr = [], [], [0]
    for k in range(outer):
        part = slice(X.indptr[k], X.indptr[k + 1])
        values, places = list(X.data[part][::-1]), list(X.indices[part][::-1])
        if values:
            values += [values[0] / 2]
            values[0] /= 2
            places += [places[0]]
        data += [0, *values]
        indices += [X.shape[0 if X.format == "csc" else 1] - 1, *places]
        indptr.append(len(data))
    made = type(X)(
        (np.array(data, X.dtype), np.array(indices, index_type), np.array(indptr, index_type)),
        shape=X.shape,
    )
    made.indices, made.indptr = made.indices.astype(index_type), made.indptr.astype(index_type)
    return made


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_trap_17_nan_and_inf_are_refused_by_name(model, layout, bad) -> None:
    X, y = random_data(17, 12, 4)
    s, broken = np.ones(12), X.copy()
    broken[7, 2] = bad
    bad_row = np.where(np.arange(12) == 3, bad, 1.0)
    good, broken = as_format(X, layout), as_format(broken, layout)
    with pytest.raises(ValueError, match=r"\bX\b"):
        model.fit(broken, y)
    with pytest.raises(ValueError, match=r"\by\b"):
        model.fit(good, bad_row)
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(good, y, sample_weight=bad_row)
    model.fit(good, y, sample_weight=s)
    with pytest.raises(ValueError, match=r"\bX\b"):
        model.predict(broken)
    with pytest.raises(ValueError, match=r"\bX\b"):
        creg.Design(broken)
    with pytest.raises(ValueError, match=r"\bX\b"):
        creg.lasso_path(broken, y)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(60, 20), (20, 60)])
def test_trap_18_cg_says_when_it_stops_short(shape, layout) -> None:
    X, y = random_data(18, *shape)
    X = X * 10.0 ** np.linspace(-2, 2, shape[1])
    given = as_format(X, layout)
    with pytest.warns(ConvergenceWarning):
        model = creg.Ridge(1e-3, solver="cg", max_iter=2).fit(given, y)
    assert model.n_iter_ == 2
    assert model.solver_ == "cg"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = creg.Ridge(1.0, solver="cg", tol=1e-6).fit(given, y)
    assert model.n_iter_ > 2
    problem = Problem(X, y, 1.0, ridge=True)

    def gradient(coef):
        g = problem.Z.T @ (problem.eta - problem.Z @ coef) - coef
        return np.sqrt(g @ g)

    start = gradient(np.zeros(shape[1]))
    assert gradient(exact(model.coef_)) <= 1.001e-6 * start


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
@pytest.mark.parametrize("solver", ["auto", "cholesky", "eigen"])
def test_trap_19_rank_is_decided_at_any_scale(solver, shape, scale) -> None:
    X, y = random_data(19, *shape)
    X[:, -1] = X[:, 0] + X[:, 1]
    X[:, -2] = X[:, 2]
    base = Problem(X, y, 0.0, ridge=True)
    expected = ridge_by_lstsq(base).astype(float)
    for layout in LAYOUTS:
        model = creg.Ridge(0, solver=solver).fit(as_format(X * scale, layout), y)
        np.testing.assert_allclose(model.coef_ * scale, expected, 1e-7, 1e-8)


@pytest.mark.parametrize("solver", RIDGE_SOLVERS)
@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
@pytest.mark.parametrize("alpha", [1e-10, 1e-6])
def test_trap_19_nearly_equal_columns(alpha, shape, solver) -> None:
    X, y = random_data(19, *shape)
    X[:, -1] = X[:, 0] + 1e-7 * X[:, 1]
    problem = Problem(X, y, alpha, ridge=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = fit(problem, solver=solver)
    best = float(objective(problem, ridge_by_lstsq(problem)))
    size = float(problem.unit * (problem.eta @ problem.eta)) / 2
    assert float(objective(problem, model.coef_)) - best <= 1e-8 * size


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("weighted_rows", [False, True])
@pytest.mark.parametrize("shape", [(16, 5), (9, 15)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_trap_20_leave_one_out_is_a_refit_for_each_row(
    layout, shape, weighted_rows, integer
) -> None:
    """Down to 1e-12 of the spectrum, more or fewer rows than columns, integers too."""
    rng = np.random.default_rng(20)
    X, y = rng.integers(-4, 5, shape), rng.integers(0, 50, shape[0])
    if not integer:
        X, y = X + rng.normal(size=shape), y + rng.normal(size=shape[0])
    s = rng.choice([0.5, 1.0, 2.0], shape[0]) if weighted_rows else np.ones(shape[0])
    largest = np.linalg.norm(X - X.mean(axis=0), 2) ** 2
    alphas = largest * np.array([1e3, 1.0, 1e-4, 1e-8, 1e-12])
    model = creg.RidgeCV(alphas, store_cv_results=True)
    model.fit(as_format(X, layout, X.dtype), y, sample_weight=s)
    for k, alpha in enumerate(alphas):
        wanted = []
        for row in range(shape[0]):
            kept = np.arange(shape[0]) != row
            problem = Problem(X[kept], y[kept], alpha, ridge=True, sample_weight=s[kept])
            coef = ridge_by_lstsq(problem)
            wanted.append(float(y[row] - X[row] @ coef - intercept(problem, coef)) ** 2)
        np.testing.assert_allclose(model.cv_results_[:, k], wanted, 1e-6, 1e-8 * max(wanted))
        assert model.criterion_path_[k] == pytest.approx(np.average(wanted, weights=s), rel=1e-7)


@pytest.mark.parametrize("solver", L1_SOLVERS)
@pytest.mark.parametrize("block", range(4))
def test_trap_21_no_feature_is_screened_out_wrongly(block, solver) -> None:
    """On a hundred random problems a path satisfies the conditions of all features."""
    for seed in range(25 * block, 25 * block + 25):
        rng = np.random.default_rng(seed)
        n, p = int(rng.integers(5, 30)), int(rng.integers(20, 120))
        X = rng.normal(size=(n, p)) + rng.choice([0.0, 3.0]) * rng.normal(size=(n, 1))
        if seed % 3 == 0:
            X[rng.random((n, p)) < 0.7] = 0
        y = X[:, :3].sum(axis=1) + 0.1 * rng.normal(size=n)
        given = as_format(X, LAYOUTS[seed % 4])
        path = creg.lasso_path(given, y, alphas=5, eps=1e-2, tol=1e-13, solver=solver)
        assert np.all(path.dual_gaps >= 0)
        Z, null = X - X.mean(axis=0), np.var(y) / 2
        for k, alpha in enumerate(path.alphas):
            coef = dense(path, k)
            c = Z.T @ (y - y.mean() - Z @ coef) / n
            slack = 1e-5 * np.sqrt(2 * null) * np.sqrt(np.mean(Z**2, axis=0))
            assert np.all(np.abs(c) <= alpha + slack)
            on = coef != 0
            assert np.all(np.abs(c - alpha * np.sign(coef))[on] <= slack[on])


GUARDED = """
import ctypes, mmap, sys
import numpy as np
import creg
from cases import as_format, random_data
from scipy import sparse

libc, kept = ctypes.CDLL(None, use_errno=True), []

def guarded(array, at_end):
    "A copy whose first or last byte borders on a page that must not be touched."
    flat = array.ravel(order="K")
    page, size = mmap.PAGESIZE, -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    store = mmap.mmap(-1, size + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(store))
    for edge in (start, start + page + size):
        assert libc.mprotect(ctypes.c_void_p(edge), page, 0) == 0
    kept.append(store)
    offset = page + (size - array.nbytes if at_end else 0)
    copy = np.frombuffer(store, array.dtype, array.size, offset)
    copy[:] = flat
    return copy.reshape(array.shape, order="F" if array.flags.f_contiguous else "C")

for at_end in (True, False):
    for n, p in ((37, 21), (9, 50)):
        X, y = random_data(1, n, p, density=0.5)
        for dtype in (np.float64, np.float32):
            for layout in ("C", "F", "csc_array", "csr_int64"):
                given = as_format(X, layout, dtype)
                if sparse.issparse(given):
                    for part in ("data", "indices", "indptr"):
                        setattr(given, part, guarded(getattr(given, part), at_end))
                else:
                    given = guarded(given, at_end)
                target, s = guarded(y, at_end), guarded(np.ones(n), at_end)
                for solver in ("auto", "cd"):
                    creg.ElasticNet(0.05, solver=solver).fit(given, target, s).predict(given)
                for solver in ("auto", "cholesky", "eigen", "cg"):
                    creg.Ridge(0.1, solver=solver).fit(given, target, s).predict(given)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="protects pages with mprotect")
def test_trap_22_nothing_beyond_the_ends_is_read() -> None:
    assert run_python(GUARDED).returncode == 0


def test_trap_22_nothing_uninitialised_is_read() -> None:
    """Results do not depend on what the heap held before."""
    X, y = random_data(22, 30, 40, density=0.5)
    expected = None
    for k in range(4):
        garbage = [np.full(size, np.nan) for size in (30, 40, 1200, 1600) for _ in range(20)]
        del garbage
        found = []
        for layout in LAYOUTS:
            for model in map(clone, MODELS):
                model.fit(as_format(X, layout), y)
                found.append(model.coef_.copy())
            found.append(creg.lasso_path(as_format(X, layout), y, alphas=5).coefs.toarray())
        bits = [array.tobytes() for array in found]
        assert expected is None or bits == expected, k
        expected = bits


@pytest.mark.parametrize("solver", L1_SOLVERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_trap_23_warm_equals_cold(layout, solver) -> None:
    """Through changes of penalty, target, dtype, features and number of targets."""
    warm = creg.Lasso(1.0, warm_start=True, solver=solver, tol=1e-12)
    X, y = random_data(23, 25, 12, density=0.7)
    Y = np.column_stack([y, y[::-1]])
    v = np.where(np.arange(12) < 6, np.inf, 1.0)
    for alpha, columns, target, dtype, weights in [
        (0.5, 12, y, np.float64, None),
        (0.01, 12, y, np.float64, None),
        (0.01, 12, y[::-1], np.float64, None),
        (0.01, 12, y, np.float64, v),
        (0.3, 7, y, np.float64, None),
        (0.1, 7, y, np.float32, None),
        (0.1, 7, Y, np.float64, None),
        (0.05, 7, Y, np.float64, None),
        (0.05, 7, y, np.float64, None),
    ]:
        given = as_format(X[:, :columns], layout, dtype)
        warm.set_params(alpha=alpha, penalty_weights=weights).fit(given, target)
        cold = creg.Lasso(alpha, tol=1e-12, penalty_weights=weights).fit(given, target)
        np.testing.assert_allclose(warm.coef_, cold.coef_, atol=1e-5)
        assert np.all(warm.dual_gap_ <= 1e-12 * np.var(target, axis=0) / 2 * 1.0001)
    again = warm.fit(given, target)
    assert again.n_iter_ <= cold.n_iter_


GRIDS = [random_problem(seed, n=20, p=6) for seed in range(25, 45)]
GRIDS = [replace(p, ridge=False, l1_ratio=max(p.l1_ratio, 0.3)) for p in GRIDS]
GRIDS = [p for p in GRIDS if alpha_max(p) > 0]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("problem", GRIDS, ids=[str(k) for k in range(len(GRIDS))])
def test_trap_25_the_first_alpha_gives_exact_zeros_and_the_second_does_not(problem, layout) -> None:
    given, arguments = as_format(problem.X, layout), path_arguments(problem)
    shared = arguments | {"l1_ratio": problem.l1_ratio}
    path = creg.enet_path(given, problem.y, alphas=30, **shared)
    top = float(alpha_max(problem))
    np.testing.assert_allclose(path.alphas[0], top, 1e-9)
    np.testing.assert_allclose(creg.alpha_max(given, problem.y, **shared), top, 1e-9)
    penalised = problem.at(1.0).v > 0
    assert not np.any(dense(path, 0)[penalised])
    assert np.any(dense(path, 1)[penalised])
    model = fit(problem.at(creg.alpha_max(given, problem.y, **shared)), given)
    assert not np.any(model.coef_[penalised])


def test_trap_26_never_fewer_alphas_than_asked() -> None:
    X, y = random_data(26, 15, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for more in ({}, {"eps": 1e-10}, {"max_iter": 1}, {"tol": 0}, {"tol": 0.5}):
            path = creg.lasso_path(X, y, alphas=50, **more)
            assert path.coefs.shape == (40, 50)
            assert len(path.alphas) == len(path.dual_gaps) == len(path.intercepts) == 50
            assert np.all(np.diff(path.alphas) < 0)
    asked = [1e-9, 0.5, 0.2]
    np.testing.assert_array_equal(creg.lasso_path(X, y, alphas=asked).alphas, [0.5, 0.2, 1e-9])
    with pytest.warns(UserWarning, match="max_features"):
        path = creg.lasso_path(X, y, alphas=50, max_features=5)
    assert 1 < len(path.alphas) < 50
    assert path.n_nonzero.max() <= 5


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("cls", [creg.Lasso, creg.ElasticNet, creg.Ridge])
def test_trap_27_shapes_are_scikit_learns(cls, fit_intercept) -> None:
    X, y = random_data(27, 12, 4)
    for target, coef, number, predicted in [
        (y, (4,), (), (12,)),
        (y[:, None], (4,), (1,), (12,)),
        (np.column_stack([y, y, y]), (3, 4), (3,), (12, 3)),
    ]:
        model = cls(0.1, fit_intercept=fit_intercept).fit(X, target)
        assert model.coef_.shape == coef
        assert np.shape(model.intercept_) == (number if fit_intercept else ())
        assert model.predict(X).shape == predicted
        assert np.isscalar(model.score(X, target))
        if cls is not creg.Ridge:
            assert model.sparse_coef_.shape == (coef if len(coef) == 2 else (1, 4))
            assert model.sparse_coef_.format == "csr"
            per_target = (3,) if len(coef) == 2 else ()
            assert np.shape(model.dual_gap_) == np.shape(model.n_iter_) == per_target


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8, bool])
def test_trap_28_integers_are_upcast(model, integer) -> None:
    rng = np.random.default_rng(28)
    X, y = rng.integers(0, 2 if integer is bool else 5, (30, 5)).astype(integer), np.arange(30)
    expected = model.fit(X.astype(float), y.astype(float)).coef_
    for given in (X, np.asfortranarray(X), sparse.csc_array(X), sparse.csr_matrix(X), X.tolist()):
        model.fit(given, y)
        assert model.coef_.dtype == np.float64
        np.testing.assert_allclose(model.coef_, expected, 1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_trap_31_pickles(layout, tmp_path) -> None:
    X, y = random_data(31, 20, 6, density=0.6)
    given = as_format(X, layout)
    for model in map(clone, MODELS):
        model.fit(given, y)
        again = pickle.loads(pickle.dumps(model))
        assert repr(again) == repr(model)
        np.testing.assert_array_equal(again.predict(given), model.predict(given))
        again.fit(given, y)
        np.testing.assert_array_equal(again.coef_, model.coef_)
    design = creg.Design(given)
    expected = creg.Lasso(0.1).fit(design, y).coef_
    copy = pickle.loads(pickle.dumps(design))
    np.testing.assert_array_equal(creg.Lasso(0.1).fit(copy, y).coef_, expected)
    path = creg.lasso_path(given, y, alphas=5)
    path.save(tmp_path / "path.npz")
    for again in (pickle.loads(pickle.dumps(path)), creg.path.Path.load(tmp_path / "path.npz")):
        np.testing.assert_array_equal(again.coefs.toarray(), path.coefs.toarray())
        np.testing.assert_array_equal(again.predict(X), path.predict(X))


def test_trap_32_no_unsafe_compiler_flags() -> None:
    files = [ROOT / "setup.py", ROOT / "pyproject.toml"]
    files += [f for f in (ROOT / "creg").rglob("*") if f.suffix in {".pyx", ".pxd", ".c", ".h"}]
    if not files[0].is_file():
        pytest.skip("the sources are not beside the tests")
    for file in files:
        text = file.read_text(encoding="utf-8")
        for flag in ("march=native", "mtune=native", "fast-math", "Ofast", "unsafe-math"):
            assert flag not in text, file


def test_trap_33_the_intercept_is_free_and_order_is_that_of_the_columns(model) -> None:
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    X, y = random_data(33, 30, 5, density=0.7)
    if hasattr(model, "tol"):
        model.set_params(tol=1e-12)
    base = clone(model).fit(X, y)
    names = ["z", "a", "10", "9", "b"]
    frames = [
        pd.DataFrame(X, columns=names),
        pl.DataFrame(X, schema=names),
        pd.DataFrame({name: X[:, k] for k, name in enumerate(names)}),
        pd.DataFrame(X, columns=names, index=np.arange(30)[::-1]),
    ]
    for given in [*frames, *(as_format(X, layout) for layout in FORMATS)]:
        model.fit(given, y)
        np.testing.assert_allclose(model.coef_, base.coef_, atol=1e-9)
        np.testing.assert_allclose(model.intercept_, base.intercept_, atol=1e-9)
        if not isinstance(given, np.ndarray) and not sparse.issparse(given):
            assert list(model.feature_names_in_) == names
    model.fit(X, y + 1e6)
    np.testing.assert_allclose(model.coef_, base.coef_, atol=1e-6)
    np.testing.assert_allclose(model.intercept_ - 1e6, base.intercept_, atol=1e-6)


@pytest.mark.parametrize("solver", L1_SOLVERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_trap_35_ambiguous_solutions_are_the_same_every_time(layout, solver) -> None:
    X, y = random_data(35, 12, 9, density=0.8)
    X = np.column_stack([X, X, -X[:, :3], X[:, 0] + X[:, 1]])
    given = as_format(X, layout)
    for l1_ratio in (1.0, 0.5):
        problem = Problem(X, y, 0.05, l1_ratio=l1_ratio)
        models = [fit(problem, given, solver=solver) for _ in range(3)]
        assert_certified(problem, models[0], 1e-8)
        assert len({m.coef_.tobytes() for m in models}) == 1
    threads = [creg.Lasso(0.05, solver=solver, n_threads=k).fit(given, y) for k in (1, 2)]
    np.testing.assert_array_equal(threads[0].coef_, threads[1].coef_)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_trap_37_constant_targets_and_single_rows(model, layout) -> None:
    X, y = random_data(37, 10, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (0.0, 0.1, -1e10, 1e-300):
            model.fit(as_format(X, layout), np.full(10, value))
            assert not np.any(model.coef_)
            assert abs(model.intercept_ - value) <= 1e-15 * abs(value)
            assert getattr(model, "dual_gap_", 0) == 0
        if getattr(model, "cv", None) is None:
            one = as_format(X[:1], layout)
            model.fit(one, y[:1])
            assert not np.any(model.coef_)
            assert model.intercept_ == y[0]
            model.set_params(fit_intercept=False).fit(one, y[:1])
            assert np.all(np.isfinite(model.coef_))
        model.fit(as_format(X, layout), np.zeros(10))
        assert not np.any(model.coef_)
        model.set_params(fit_intercept=True)
        model.fit(as_format(np.ones((10, 2)), layout), y)
        assert not np.any(model.coef_)
        np.testing.assert_allclose(model.intercept_, y.mean())
    for rows, columns in ((0, 4), (10, 0), (0, 0)):
        with pytest.raises(ValueError, match=r"\bX\b|sample|feature"):
            model.fit(as_format(X[:rows, :columns], layout), y[:rows])


def test_trap_37_grids_without_a_gradient() -> None:
    """Constant y, constant X, or nothing penalised: finite, of the length asked for."""
    X, y = random_data(37, 10, 4)
    for given in (
        (X, np.full(10, 3.0)),
        (X, np.zeros(10)),
        (np.ones((10, 4)), y),
        (X[:1], y[:1]),
    ):
        assert creg.alpha_max(*given) == 0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            path = creg.lasso_path(*given, alphas=7)
        assert path.alphas.shape == (7,)
        assert np.all(np.isfinite(path.alphas) & (path.alphas > 0))
        assert path.coefs.nnz == 0
        assert np.all(np.isfinite(path.r2))
    path = creg.lasso_path(X, y, alphas=7, penalty_weights=np.zeros(4))
    assert np.all(path.alphas > 0)
    assert path.alphas.shape == (7,)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_trap_38_the_score_of_a_fold_is_the_metric_on_it(layout) -> None:
    X, y = random_data(38, 24, 5)
    X, s = as_format(X, layout), np.random.default_rng(0).uniform(0.5, 2, 24)
    folds = list(KFold(3).split(y))
    for scoring in (None, "neg_mean_squared_error"):
        model = creg.RidgeCV([0.1, 10.0], cv=folds, scoring=scoring).fit(X, y, sample_weight=s)
        for k, alpha in enumerate([0.1, 10.0]):
            fold_scores = []
            for train, test in folds:
                fit = creg.Ridge(alpha).fit(X[train], y[train], sample_weight=s[train])
                fold_scores.append(
                    mean_squared_error(y[test], fit.predict(X[test]), sample_weight=s[test])
                )
            assert abs(model.criterion_path_[k]) == pytest.approx(np.mean(fold_scores), rel=1e-9)
