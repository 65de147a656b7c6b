"""Kernel units and the way back; scales, null objective, largest alpha; no l1 penalty."""

import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sparse
from cases import as_format, assert_certified, random_data, random_problem
from reference import Problem, alpha_max, null_objective, objective, ridge_by_lstsq

import creg
import creg._ridge.solver
from creg._data.design import DesignView
from creg._data.storage import Storage
from creg._data.vectors import centred_target
from creg._given import Data, Options, Penalty, rescaled, standard_deviations
from creg._problem import L1Problem
from creg._solution import Solution, Status

LAYOUTS = ("F", "C", "csc_array", "csr_array")
DIRECT = ("least squares", "ridge", "ridge with free features", "nothing penalised")


def kernel_problem(problem: Problem, layout: str = "F") -> L1Problem:
    """The problem below the public interface."""
    data = Data(Storage(as_format(problem.X, layout)), problem.sample_weight, problem.fit_intercept)
    penalty = Penalty(
        problem.l1_ratio,
        problem.penalty_weights,
        problem.lower,
        problem.upper,
        problem.standardize,
    )
    return L1Problem(data, problem.y, penalty)


def solve(problem: Problem, layout: str = "F", **options) -> Solution:
    made = kernel_problem(problem, layout)
    return next(iter(made.solve([problem.alpha], Options(**options))))


def elastic_net(seed: int, **more) -> Problem:
    problem = random_problem(seed, n=20, p=8)
    return replace(problem, ridge=False, alpha=min(problem.alpha, 1.0), **more)


# Units


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("kind", ["lasso", "elastic net", "bounds", *DIRECT])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("power", [(-30, 0), (0, 40), (333, -250), (-400, -300)])
def test_powers_of_two_change_no_bit(power, layout, kind, standardize) -> None:
    X, y = random_data(1, 25, 8, density=0.7)
    a, b = power
    v = {"ridge with free features": np.array([0, 1, 0, 1, 1, 2, np.inf, 1.0])}.get(kind)
    v = np.zeros(8) if kind == "nothing penalised" else v
    ratio = {"lasso": 1.0, "elastic net": 0.5, "bounds": 0.5}.get(kind, 0.0)
    bounds = (-0.3, 0.4) if kind == "bounds" else (-np.inf, np.inf)
    # the penalty on standardised columns does not know a
    c = 0 if standardize else a
    if ratio == 0.5:
        # l1 follows 2^(b + c), l2 follows 2^(2 c): one alpha for both
        b = c

    def at(a: int, b: int, c: int) -> Solution:
        alpha = 0.0 if kind == "least squares" else 0.03 * 2.0 ** (c + (b if ratio else c))
        problem = Problem(
            np.ldexp(X, a), np.ldexp(y, b), alpha,
            l1_ratio=ratio, penalty_weights=v, standardize=standardize,
            lower=np.ldexp(bounds[0], b - a), upper=np.ldexp(bounds[1], b - a),
        )  # fmt: skip
        return solve(problem, layout)

    base, other = at(0, 0, 0), at(a, b, c)
    np.testing.assert_array_equal(other.indices, base.indices)
    np.testing.assert_array_equal(np.ldexp(other.values, a - b), base.values)
    assert np.ldexp(other.intercept, -b) == base.intercept
    for name in ("dual_gap", "null_objective", "loss"):
        assert np.ldexp(getattr(other, name), -2 * b) == getattr(base, name)
    assert (other.n_iter, other.status) == (base.n_iter, base.status)


@pytest.mark.parametrize("seed", range(60))
def test_null_objective_and_alpha_max(seed) -> None:
    problem = elastic_net(seed, l1_ratio=(1.0, 0.3)[seed % 2])
    made = kernel_problem(problem, LAYOUTS[seed % 4])
    size = float(problem.unit * (problem.eta @ problem.eta) / 2)
    expected = float(null_objective(problem))
    assert abs(made.null_objective - expected) <= 1e-11 * size
    assert made.alpha_max == pytest.approx(float(alpha_max(problem)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_alpha_max_is_where_the_first_feature_enters(seed) -> None:
    problem = elastic_net(seed, l1_ratio=(1.0, 0.3)[seed % 2])
    made = kernel_problem(problem)
    largest = made.alpha_max
    if largest == 0:
        return
    penalised = ~(problem.v == 0)
    there, below = made.solve([largest, 0.99 * largest], Options(tol=1e-12))
    assert not penalised[there.indices].any()
    assert penalised[below.indices].any()


def test_alpha_max_counts_open_directions_only() -> None:
    X, y = random_data(2, 30, 3)
    X, y = X - X.mean(axis=0), y - y.mean()
    slopes = X.T @ y / 30
    X = X * np.sign(slopes) * np.array([1, 1, -1])
    slopes = X.T @ y / 30
    both = kernel_problem(Problem(X, y))
    assert both.alpha_max == pytest.approx(np.abs(slopes).max(), rel=1e-10)
    up = kernel_problem(Problem(X, y, lower=0.0))
    assert up.alpha_max == pytest.approx(slopes.max(), rel=1e-10)
    down = kernel_problem(Problem(X, y, upper=0.0))
    assert down.alpha_max == pytest.approx(-slopes.min(), rel=1e-10)
    shut = kernel_problem(Problem(X, y, upper=np.zeros(3), lower=np.zeros(3)))
    assert shut.alpha_max == 0


def test_alpha_max_with_penalty_weights() -> None:
    X, y = random_data(3, 30, 4)
    slopes = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())) / 30
    v = np.array([0.5, 2.0, np.inf, 1.0])
    made = kernel_problem(Problem(X, y, penalty_weights=v))
    assert made.alpha_max == pytest.approx((slopes / v).max(), rel=1e-10)
    spread = X.std(axis=0)
    made = kernel_problem(Problem(X, y, penalty_weights=v, standardize=True))
    assert made.alpha_max == pytest.approx((slopes / spread / v).max(), rel=1e-10)


@pytest.mark.parametrize("seed", range(20))
def test_loss_is_that_of_the_coefficients(seed) -> None:
    problem = elastic_net(seed)
    solution = solve(problem, LAYOUTS[seed % 4])
    coef = solution.dense(8)
    bare = replace(problem, alpha=0.0)
    assert solution.loss == pytest.approx(float(objective(bare, coef)), rel=1e-9, abs=1e-12)
    assert solution.intercept == pytest.approx(
        float(problem.y_mean - problem.mean @ coef) if problem.fit_intercept else 0.0, abs=1e-10
    )


@pytest.mark.parametrize("factor", [0.25, 3.0, 1e-200, 1e200])
def test_sample_weights_are_rescaled(factor) -> None:
    s = np.array([1.0, 0.0, 2.0, 5.0])
    once = rescaled(s)
    assert once is not None
    assert once.sum() == pytest.approx(4)
    np.testing.assert_allclose(rescaled(factor * s), once, rtol=1e-15)
    assert rescaled(np.full(4, factor)) is None
    assert rescaled(None) is None


@pytest.mark.parametrize("kind", ["lasso", *DIRECT])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_weight_zero_drops_a_row_and_two_repeats_it(layout, kind) -> None:
    X, y = random_data(5, 24, 6, density=0.7)
    s = np.repeat([0.0, 1.0, 2.0], 8)
    rows = np.repeat(np.arange(24), s.astype(int))
    alpha = 0.0 if kind == "least squares" else 0.05
    v = {"ridge with free features": np.array([0, 1, 0, 1, 1, 2.0])}.get(kind)
    v = np.zeros(6) if kind == "nothing penalised" else v
    problem = Problem(
        X, y, alpha, l1_ratio=float(kind == "lasso"), penalty_weights=v, sample_weight=s
    )
    other = replace(problem, X=X[rows], y=y[rows], sample_weight=None)
    weighted, repeated = (solve(each, layout, tol=1e-14) for each in (problem, other))
    np.testing.assert_allclose(weighted.dense(6), repeated.dense(6), rtol=1e-6, atol=1e-9)
    assert weighted.null_objective == pytest.approx(repeated.null_objective, rel=1e-12)
    assert weighted.loss == pytest.approx(repeated.loss, rel=1e-9)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e150, 1e300])
def test_target_in_kernel_units(scale, centre) -> None:
    y = scale * np.array([3.0, -1.0, 4.0, 1.0, -5.0])
    for s in (None, np.array([1.0, 0.0, 2.0, 1.0, 1.0])):
        target, mean, unit = centred_target(y, s, centre)
        size = np.sqrt(target @ target if s is None else s @ target**2)
        assert 1 <= size < 2
        assert np.frexp(unit)[0] == 0.5
        counts = np.ones(5, bool) if s is None else s > 0
        np.testing.assert_allclose((mean + unit * target)[counts], y[counts], rtol=1e-14)
        assert not target[~counts].any()
        assert (mean != 0) == centre


@pytest.mark.parametrize("value", [0.0, 0.1, 1e300, -1e-300])
def test_constant_target_is_zero_in_kernel_units(value) -> None:
    target, mean, unit = centred_target(np.full(7, value), None, True)
    assert not target.any()
    assert (mean, unit) == (value, 1.0)
    hidden = np.array([2.5, 2.5, 1e9, 2.5])
    target, mean, _ = centred_target(hidden, np.array([1.0, 0.5, 0.0, 3.0]), True)
    assert not target.any()
    assert mean == 2.5


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_standard_deviations(weighted, centre, layout) -> None:
    X, _ = random_data(6, 30, 5, density=0.6, shift=3)
    X[:, 2], X[:, 3] = (7.0 if centre else 0.0), X[:, 3] * 1e-200
    s = np.arange(30) % 4 + 0.0 if weighted else None
    view = DesignView(Storage(as_format(X, layout)), s, centre)
    mean = np.average(X, axis=0, weights=s) if centre else np.zeros(5)
    Xc = (X - mean) / np.abs(X).max(axis=0, initial=1e-300)
    truth = np.sqrt(np.average(Xc**2, axis=0, weights=s)) * np.abs(X).max(axis=0, initial=1e-300)
    truth[2] = 1
    np.testing.assert_allclose(standard_deviations(view), truth, rtol=1e-12)


def test_scales_of_ridge_need_no_columns() -> None:
    X = np.random.default_rng(0).normal(size=(20_000, 30))
    y = X[:, 0] + 1
    s = 0.5 + np.arange(20_000) % 3
    design = creg.Design(X)
    model = creg.Ridge(1.0, standardize=True).fit(design, y, sample_weight=s)
    tracemalloc.start()
    try:
        again = creg.Ridge(1.0, standardize=True).fit(design, y, sample_weight=s)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.6 * X.nbytes
    mean = np.average(X, axis=0, weights=s)
    np.testing.assert_allclose(
        model.scale_, np.sqrt(np.average((X - mean) ** 2, axis=0, weights=s)), rtol=1e-12
    )
    np.testing.assert_array_equal(again.scale_, model.scale_)


# Without an l1 penalty


def without_l1(kind: str, seed: int, shape: tuple[int, int]) -> Problem:
    rng = np.random.default_rng([seed, 5])
    n, p = shape
    X, y = random_data(seed, n, p, density=0.8)
    what = ("plain", "repeated columns", "combined columns", "repeated rows")[seed % 4]
    if what == "repeated columns":
        X[:, 1], X[:, 3] = X[:, 0], X[:, 4]
    elif what == "combined columns":
        X[:, 2] = X[:, 0] - X[:, 1]
    elif what == "repeated rows":
        X[1:4] = X[0]
    if kind == "least squares":
        ratio, alpha, v = (1.0, 0.4, 0.0)[seed % 3], 0.0, rng.choice([0.0, 1.0, 3.0, np.inf], p)
    else:
        ratio, alpha, v = 0.0, 10 ** rng.uniform(-3, 1), None
    if kind == "ridge with free features":
        v = rng.choice([0.0, 1.0, 2.0, np.inf], p)
        v[:6] = [0, 0, 1, 0, 0, 2]
    elif kind == "nothing penalised":
        ratio, v = (1.0, 0.4, 0.0)[seed % 3], rng.choice([0.0, np.inf], p)
    return Problem(
        X, y, alpha, l1_ratio=ratio, penalty_weights=v,
        sample_weight=rng.choice([0.0, 0.5, 1.0, 2.0], n) if seed % 2 else None,
        fit_intercept=bool(rng.random() < 0.7), standardize=bool(rng.random() < 0.5),
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(30, 7), (8, 20), (16, 16)])
@pytest.mark.parametrize("kind", DIRECT)
@pytest.mark.parametrize("seed", range(16))
def test_closed_form(seed, kind, shape) -> None:
    problem = without_l1(kind, seed, shape)
    solution = solve(problem, LAYOUTS[(seed // 4) % 4])
    coef = solution.dense(shape[1])
    if kind != "ridge with free features":
        as_zero = replace(problem, alpha=0.0) if kind == "nothing penalised" else problem
        truth = ridge_by_lstsq(as_zero).astype(float)
        np.testing.assert_allclose(coef, truth, rtol=1e-7, atol=1e-8 * np.abs(truth).max())
    best = objective(problem, ridge_by_lstsq(problem))
    size = float(problem.unit * (problem.eta @ problem.eta) / 2)
    # the difference in extended precision: that of the rounded objectives may be an ulp
    assert objective(problem, coef) - best <= solution.dual_gap + 1e-17 * size
    assert solution.dual_gap <= 1e-17 * size
    assert (solution.n_iter, solution.status) == (1, Status.CONVERGED)
    null = float(null_objective(problem))
    assert solution.null_objective == pytest.approx(null, rel=1e-10, abs=1e-15 * size)


@pytest.mark.parametrize("estimator", [creg.Lasso(), creg.ElasticNet(l1_ratio=0.0)])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_zero_target_is_certified_exactly(alpha, estimator) -> None:
    X, _ = random_data(8, 20, 6)
    Y = np.column_stack([np.zeros(20), np.full(20, 0.1)])
    model = estimator.set_params(alpha=alpha).fit(X, Y)
    assert not model.coef_.any()
    np.testing.assert_array_equal(model.dual_gap_, 0)
    np.testing.assert_array_equal(model.intercept_, [0, 0.1])


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_target_explained_by_unpenalised_features(l1_ratio) -> None:
    X, _ = random_data(9, 20, 6)
    y = 3 * X[:, 0] - X[:, 1] + 2
    v = np.array([0, 0, 1, 1, 1, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = creg.ElasticNet(0.1, l1_ratio=l1_ratio, penalty_weights=v).fit(X, y)
    np.testing.assert_allclose(model.coef_, [3, -1, 0, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_least_squares_ends_a_path(layout) -> None:
    X, y = random_data(10, 12, 20, density=0.8)
    problem = Problem(X, y, 0.0)
    made = kernel_problem(problem, layout)
    *_, last = made.solve([0.5, 0.05, 0.0], Options())
    truth = ridge_by_lstsq(problem).astype(float)
    np.testing.assert_allclose(last.dense(20), truth, rtol=1e-8, atol=1e-10)


def test_several_alphas_share_the_equations() -> None:
    X, y = random_data(11, 40, 6)
    made = kernel_problem(Problem(X, y, l1_ratio=0.0))
    for alpha, solution in zip(
        (3.0, 0.3, 0.0), made.solve([3.0, 0.3, 0.0], Options()), strict=True
    ):
        truth = ridge_by_lstsq(Problem(X, y, alpha, l1_ratio=0.0)).astype(float)
        np.testing.assert_allclose(solution.dense(6), truth, rtol=1e-9)


def test_bounds_are_kept_without_an_l1_penalty() -> None:
    X, y = random_data(12, 30, 6)
    for alpha in (0.0, 0.2):
        problem = Problem(X, y, alpha, l1_ratio=0.0, lower=0.0, upper=0.5)
        model = creg.ElasticNet(alpha, l1_ratio=0.0, bounds=(0, 0.5)).fit(X, y)
        assert_certified(problem, model, 1e-8)


# Conjugate gradients, where no Gram matrix is made


@pytest.fixture
def no_gram(monkeypatch) -> None:
    monkeypatch.setattr(creg._ridge.solver, "LARGEST_GRAM", 2)


@pytest.mark.usefixtures("no_gram")
@pytest.mark.parametrize("kind", DIRECT)
@pytest.mark.parametrize("shape", [(40, 9), (9, 40)])
def test_iterations_are_certified(shape, kind) -> None:
    for seed in (4, 8, 12):
        problem = without_l1(kind, seed, shape)
        solution = solve(problem, "csc_array")
        gap, null = solution.dual_gap, solution.null_objective
        best = objective(problem, ridge_by_lstsq(problem))
        assert float(objective(problem, solution.dense(shape[1]))) - best <= gap + 1e-14 * null
        assert solution.n_iter > 1
        if shape[0] > shape[1] and kind in ("least squares", "nothing penalised"):
            # nothing bounds the residual's share in the span of X
            assert solution.status != Status.CONVERGED
            assert gap >= solution.loss
        else:
            assert solution.status == Status.CONVERGED
            assert gap <= 1e-8 * null


@pytest.mark.usefixtures("no_gram")
def test_iterations_that_end_early_say_so() -> None:
    X, y = random_data(13, 40, 12)
    with pytest.warns(UserWarning, match="increase max_iter"):
        model = creg.ElasticNet(1e-4, l1_ratio=0.0, max_iter=2).fit(X, y)
    assert model.n_iter_ == 2
    problem = Problem(X, y, 1e-4, l1_ratio=0.0)
    assert_certified(problem, model)


def test_iterations_give_way_to_a_factor(monkeypatch) -> None:
    monkeypatch.setattr(creg._ridge.solver, "SMALL_GRAM", 1)
    monkeypatch.setattr(creg._ridge.solver, "SPARSE_STEPS", 2)
    rng = np.random.default_rng(3)
    X = sparse.csc_array(np.where(rng.random((60, 30)) < 0.2, rng.random((60, 30)), 0))
    y = X @ np.arange(30.0) + 1
    made = kernel_problem(Problem(X.toarray(), y, 1e-9, l1_ratio=0.0), "csc_array")
    solution = next(iter(made.solve([1e-9], Options())))
    assert solution.status == Status.CONVERGED
    truth = ridge_by_lstsq(Problem(X.toarray(), y, 1e-9, l1_ratio=0.0)).astype(float)
    np.testing.assert_allclose(solution.dense(30), truth, rtol=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("depth", "made"), [(3.0, False), (1000.0, True)])
def test_a_lone_fit_of_tall_data_makes_the_gram_matrix_for_small_alphas(
    depth, made, weighted
) -> None:
    X, y = random_data(5, 600, 140)
    X = np.asfortranarray(X)
    weights = np.arange(600.0) % 3 if weighted else None
    alone = Data(Storage(X), rescaled(weights), True, n_alphas=1, lone=True)
    problem = L1Problem(alone, y, Penalty())
    options = Options(tol=1e-12)
    found = problem.solve_at(problem.alpha_max / depth, options)
    assert (alone.known_gram is not None) == made
    data = Data(Storage(X), rescaled(weights), True, n_alphas=100)
    other = L1Problem(data, y, Penalty()).solve_at(problem.alpha_max / depth, options)
    assert data.known_gram is not None
    np.testing.assert_array_equal(found.indices, other.indices)
    np.testing.assert_allclose(found.values, other.values, rtol=1e-9)
    assert found.intercept == pytest.approx(other.intercept, rel=1e-9)
    assert found.status == other.status == Status.CONVERGED
