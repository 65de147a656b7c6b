"""The outer loop: budgets, starts, repeatability, threads, layouts, units."""

import numpy as np
import pytest
from kernels import Kernel, random_kernel, solve_path

from creg._data.storage import Storage
from creg._given import Data, Options, Penalty
from creg._problem import L1Problem

GRID = np.geomspace(0.99, 0.01, 12)
WAYS = [(True, False), (True, True), (False, False), (False, True)]


@pytest.mark.parametrize(("pivoting", "gram"), WAYS)
@pytest.mark.parametrize("layout", ["F", "csc", "f32"])
def test_repeated_runs_have_the_same_bits(layout, pivoting, gram) -> None:
    kernel = random_kernel(1, 30, 45, layout=layout, correlation=2.0)
    runs = [
        solve_path(kernel.solver(pivoting=pivoting, gram=gram), kernel.l1_max * GRID)
        for _ in range(2)
    ]
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one.coef, other.coef)
        assert (one.gap, one.status, one.reads) == (other.gap, other.status, other.reads)


@pytest.mark.parametrize("free", [0, 2])
@pytest.mark.parametrize("layout", ["F", "csc", "f32"])
def test_correlations_with_y_that_are_known_change_no_bit(layout, free) -> None:
    kernel = random_kernel(4, 30, 50, layout=layout, correlation=1.0, weights=np.arange(30.0) + 1)
    kernel.a[:free] = 0.0
    paths = [
        solve_path(kernel.solver(pivoting=True, known=known), kernel.l1_max * GRID)
        for known in (False, True)
    ]
    for one, other in zip(*paths, strict=True):
        np.testing.assert_array_equal(one.coef, other.coef)
        assert (one.gap, one.reads) == (other.gap, other.reads)


@pytest.mark.parametrize("pivoting", [True, False])
@pytest.mark.parametrize("layout", ["F", "csc"])
def test_threads_change_no_bit(layout, pivoting) -> None:
    """Large enough that full reads of X are split."""
    kernel = random_kernel(2, 60, 8000, layout=layout)
    l1s = kernel.l1_max * np.geomspace(0.99, 0.3, 4)
    paths = [
        solve_path(kernel.solver(pivoting=pivoting, n_threads=n_threads), l1s, tol=1e-8)
        for n_threads in (1, 2)
    ]
    for one, two in zip(*paths, strict=True):
        np.testing.assert_array_equal(one.coef, two.coef)
        assert one.gap == two.gap


@pytest.mark.parametrize("pivoting", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("l2", [0.0, 0.2])
def test_sparse_and_dense_paths_are_one(l2, centre, weighted, pivoting) -> None:
    weights = np.resize([1.0, 0.0, 2.0], 25) if weighted else None
    more = {"density": 0.3, "weights": weights, "centre": centre}
    dense, sparse = (random_kernel(3, 25, 40, layout=name, **more) for name in ("F", "csc"))
    l1s = dense.l1_max * GRID
    for one, other in zip(
        solve_path(dense.solver(pivoting=pivoting), l1s, l2),
        solve_path(sparse.solver(pivoting=pivoting), l1s, l2),
        strict=True,
    ):
        # descent stops within the gap, pivoting at the optimum
        np.testing.assert_allclose(one.coef, other.coef, rtol=0, atol=1e-11 if pivoting else 1e-5)
        assert one.status == other.status == 0


@pytest.mark.parametrize(("pivoting", "gram"), WAYS)
def test_starts_lead_to_the_same_solution(pivoting, gram) -> None:
    kernel = random_kernel(5, 25, 30, lower=-0.3, upper=0.4)
    l1 = 0.05 * kernel.l1_max
    (cold,) = solve_path(kernel.solver(pivoting=pivoting, gram=gram), np.array([l1]))
    rng = np.random.default_rng(7)
    for start in (cold.coef, np.zeros(30), np.clip(rng.normal(size=30), -0.3, 0.4)):
        solver = kernel.solver(pivoting=pivoting, gram=gram)
        solver.start(start)
        (warm,) = solve_path(solver, np.array([l1]))
        assert warm.status == 0
        values = [kernel.objective(w, l1, 0.0) for w in (warm.coef, cold.coef)]
        assert abs(values[0] - values[1]) <= max(warm.gap, cold.gap) + 1e-15


@pytest.mark.parametrize(("pivoting", "gram"), WAYS)
@pytest.mark.parametrize("max_iter", [1, 2, 3, 10])
def test_budgets_are_kept_and_the_gap_is_true(max_iter, pivoting, gram) -> None:
    for seed in range(10):
        kernel = random_kernel(seed, 25, 30, correlation=2.0)
        l1 = 0.01 * kernel.l1_max
        (best,) = solve_path(kernel.solver(pivoting=True), np.array([l1]))
        solver = kernel.solver(pivoting=pivoting, gram=gram)
        gap, n_iter, status = solver.solve(l1, 0.0, l1, 0.5e-13, max_iter)
        assert n_iter <= max_iter
        assert status in (0, 1)
        assert (status == 0) == (gap <= 0.5e-13)
        excess = kernel.objective(solver.descent.coef, l1, 0.0) - kernel.objective(
            best.coef, l1, 0.0
        )
        assert excess <= gap + 1e-15


def test_the_working_set_is_kept_along_a_path() -> None:
    """The Gram block reads a column once, however often its feature leaves and comes back."""
    kernel = random_kernel(6, 30, 80)
    solver = kernel.solver(pivoting=True)
    path = solve_path(solver, kernel.l1_max * np.array([0.5, 0.05] * 4))
    assert solver.block.columns_read == solver.block.size == solver.pivoting.size < 80
    np.testing.assert_allclose(path[1].coef, path[7].coef, rtol=0, atol=1e-13)


def test_nothing_to_solve() -> None:
    constant = Kernel(np.ones((5, 3)), np.arange(5.0))
    for pivoting in (True, False):
        solver = constant.solver(pivoting=pivoting)
        gap, _, status = solver.solve(0.1, 0.0, 0.1, 1e-13, 100)
        assert gap <= 1e-13
        assert status == 0
        assert not solver.descent.coef.any()


def problem(X, y, standardize: bool, layout=np.asfortranarray) -> L1Problem:
    data = Data(Storage(layout(X)), None, fit_intercept=True)
    return L1Problem(data, y, Penalty(standardize=standardize))


@pytest.mark.parametrize("solver", ["auto", "cd"])
def test_any_scale_of_the_data_gives_the_same_path(solver) -> None:
    """X and y times any constant, alpha with them: the same iterations, scaled coefficients."""
    kernel = random_kernel(8, 30, 40)
    X, y = kernel.X, kernel.target
    alphas = problem(X, y, standardize=True).alpha_max * np.geomspace(0.9, 0.02, 8)
    options = Options(solver=solver, tol=1e-10)
    for a, b in ((1e-8, 1e8), (3.0, 0.7), (1e100, 1e-90)):
        first = problem(X, y, standardize=True)
        other = problem(a * X, b * y, standardize=True)
        assert other.alpha_max == pytest.approx(b * first.alpha_max, rel=1e-11)
        solutions = zip(first.solve(alphas, options), other.solve(b * alphas, options), strict=True)
        for one, two in solutions:
            assert one.status == two.status == 0
            np.testing.assert_array_equal(one.indices, two.indices)
            np.testing.assert_allclose(one.values, two.values * (a / b), rtol=0, atol=1e-4)
            if solver == "auto":
                np.testing.assert_allclose(one.values, two.values * (a / b), rtol=1e-8)
                assert one.n_iter == two.n_iter


@pytest.mark.parametrize(("pivoting", "gram"), WAYS)
@pytest.mark.parametrize("tol", [1e-15, 1e-17, 0.0])
def test_a_gap_that_is_rounding_ends_the_search(tol, pivoting, gram) -> None:
    """No budget is spent on what sums of this length cannot resolve."""
    kernel = random_kernel(3, 400, 60)
    solver = kernel.solver(pivoting=pivoting, gram=gram)
    l1 = 0.1 * kernel.l1_max
    gap, n_iter, status = solver.solve(l1, 0.0, l1, tol, 1_000_000)
    assert status == 2
    assert tol < gap < 1e-12
    assert n_iter <= 5000
