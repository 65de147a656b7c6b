"""`dual_gap_` is what it says: P - D recomputed in long double, and a bound on the error."""

import numpy as np
import pytest
from cases import (
    L1_SOLVERS,
    as_format,
    assert_certified,
    coef_rounding,
    fit,
    optimum,
    path_arguments,
    random_problem,
)
from reference import Problem, dual_gap, null_objective, objective

import creg

LAYOUTS = ("F", "C", "csc_array", "csr_array")


def assert_gap_is_exact(problem, coef, gap) -> None:
    """Equal to the long double gap up to rounding in the numbers that it is made of."""
    expected = float(dual_gap(problem, coef))
    norms = np.sqrt(np.sum(problem.Z**2, axis=0))
    size = np.sqrt(problem.eta @ problem.eta) + np.abs(coef * problem.scale) @ norms
    rounding = 1e-13 * float(problem.unit * size**2)
    assert gap >= 0
    assert abs(gap - expected) <= 1e-6 * expected + rounding


@pytest.mark.parametrize("solver", L1_SOLVERS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(40))
def test_gap_of_a_converged_fit(seed, layout, solver) -> None:
    problem = random_problem(seed, n=16, p=7)
    if problem.ridge and np.all(np.isinf(problem.lower) & np.isinf(problem.upper)):
        problem = random_problem(seed + 1000, n=16, p=7)
    more = {} if problem.ridge else {"solver": solver}
    model = fit(problem, as_format(problem.X, layout), tol=1e-10, **more)
    if hasattr(model, "dual_gap_"):
        assert_certified(problem, model, 1e-10)
        assert_gap_is_exact(problem, model.coef_, model.dual_gap_)


@pytest.mark.parametrize("solver", L1_SOLVERS)
@pytest.mark.parametrize("max_iter", [1, 2, 5])
@pytest.mark.parametrize("seed", range(40))
def test_gap_where_the_fit_stops_early(seed, max_iter, solver) -> None:
    problem = random_problem(seed, n=16, p=9)
    more = {} if problem.ridge else {"solver": solver}
    layout = LAYOUTS[seed % 4]
    X = as_format(problem.X, layout)
    model = fit(problem, X, quiet=True, tol=1e-13, max_iter=max_iter, **more)
    if hasattr(model, "dual_gap_"):
        assert_certified(problem, model)
        assert_gap_is_exact(problem, model.coef_, model.dual_gap_)


@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize("seed", range(20))
def test_gap_at_loose_tolerances(seed, tol) -> None:
    problem = random_problem(seed + 200, n=20, p=12)
    model = fit(problem, tol=tol)
    if hasattr(model, "dual_gap_"):
        assert_certified(problem, model, tol)
        assert_gap_is_exact(problem, model.coef_, model.dual_gap_)


@pytest.mark.parametrize("max_iter", [1, 10_000])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(10))
def test_gap_of_float32_is_of_the_solution_before_rounding(seed, layout, max_iter) -> None:
    from dataclasses import replace

    problem = random_problem(seed + 300, n=16, p=7)
    problem = replace(
        problem, X=problem.X.astype(np.float32), y=problem.y.astype(np.float32).astype(float)
    )
    X = as_format(problem.X, layout, np.float32)
    model = fit(problem, X, quiet=max_iter == 1, tol=1e-7, max_iter=max_iter)
    if hasattr(model, "dual_gap_"):
        assert model.coef_.dtype == np.float32
        assert_certified(problem, model, 1e-7 if max_iter > 1 else None)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(12))
def test_every_gap_of_a_path(seed, layout) -> None:
    problem = random_problem(seed + 400, n=16, p=9)
    if problem.ridge or problem.l1_ratio == 0:
        problem = random_problem(seed + 4000, n=16, p=9)
    if problem.ridge or problem.l1_ratio == 0:
        return
    path = creg.enet_path(
        as_format(problem.X, layout),
        problem.y,
        l1_ratio=problem.l1_ratio,
        alphas=6,
        tol=1e-9,
        **path_arguments(problem),
    )
    for k, alpha in enumerate(path.alphas):
        at = problem.at(float(alpha))
        coef = path.coefs[:, [k]].toarray().ravel()
        assert_gap_is_exact(at, coef, path.dual_gaps[k])
        excess = float(objective(at, coef, path.intercepts[k]) - optimum(at))
        assert excess <= path.dual_gaps[k] + 1e-14 * float(null_objective(at))
        assert path.dual_gaps[k] <= 1e-9 * float(null_objective(at)) * (1 + 1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gap_of_several_targets(layout) -> None:
    problem = random_problem(3, n=18, p=6)
    Y = np.column_stack([problem.y, problem.y[::-1], np.full(18, 2.5)])
    model = creg.Lasso(0.05, tol=1e-3).fit(as_format(problem.X, layout), Y)
    assert model.dual_gap_.shape == model.n_iter_.shape == (3,)
    from reference import Problem

    for k in range(3):
        one = Problem(problem.X, Y[:, k], 0.05)
        assert_gap_is_exact(one, model.coef_[k], model.dual_gap_[k])
    assert model.dual_gap_[2] == 0


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_gap_of_badly_scaled_unpenalised_columns(scale) -> None:
    problem = random_problem(7, n=20, p=6)
    X = problem.X * np.array([scale, 1, 1 / scale, 1, 1, 1])
    from reference import Problem

    badly = Problem(X, problem.y, 0.1, penalty_weights=np.array([0, 0, 0, 1, 1, 1]))
    model = fit(badly, tol=1e-9)
    assert_certified(badly, model, 1e-9)
    assert coef_rounding(badly, model) < 1e-9


@pytest.mark.parametrize("scale", [1e-100, 1e46, 1e50, 1e100])
def test_references_beyond_the_range_of_float32(scale) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 50))
    y = X[:, :5].sum(axis=1) + 0.1 * rng.normal(size=20)
    problem = Problem(X * scale, y, 0.01 * np.abs(X.T @ (y - y.mean())).max() / 20 * scale)
    assert_certified(problem, fit(problem, tol=1e-10), 1e-10)


@pytest.mark.parametrize("count", [25, 50])
def test_references_of_penalty_weights_beyond_the_range_of_float32(count) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 50))
    y = X[:, :5].sum(axis=1) + 0.1 * rng.normal(size=20)
    v = np.where(np.arange(50) < count, 1e-60, 1.0)
    alpha = 0.01 * np.abs(X.T @ (y - y.mean())).max() / 20 * 1e60
    problem = Problem(X, y, alpha, penalty_weights=v)
    assert_certified(problem, fit(problem, tol=1e-10), 1e-10)
