"""Block pivoting on the working set: the factor, the ladder below it, dependent columns."""

import numpy as np
import pytest
from kernels import Kernel, mixed_kernel, random_kernel, solve_path
from scipy.linalg import hilbert


def assert_optimal(
    kernel: Kernel, path, l2: float = 0.0, tol: float = 1e-13, stationarity: float = 1e-7
) -> None:
    """Certified, feasible, and stationary: pivoting solves for the free features exactly."""
    for solved in path:
        assert solved.status == 0
        assert 0 <= solved.gap <= 0.5 * tol
        assert np.all((solved.coef >= kernel.lower) & (solved.coef <= kernel.upper))
        assert kernel.stationarity(solved.coef, solved.l1, l2) <= stationarity


def assert_factor(kernel: Kernel, solver, l2: float) -> None:
    """L L' = G_AA + l2 diag(b_A), A the features that are neither zero nor at a bound."""
    w = solver.descent.coef
    free = np.flatnonzero((w != 0) & (w != kernel.lower) & (w != kernel.upper))
    expected = kernel.gram[np.ix_(free, free)] + l2 * np.diag(kernel.b[free])
    L = solver.pivoting.factor.matrix()
    assert L.shape == expected.shape
    found = L @ L.T
    # norms differ, so the diagonals tell the order
    ours, theirs = np.argsort(np.diag(found)), np.argsort(np.diag(expected))
    np.testing.assert_allclose(
        found[np.ix_(ours, ours)], expected[np.ix_(theirs, theirs)], rtol=0, atol=1e-12 * 4
    )


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("gram", [False, True])
@pytest.mark.parametrize("layout", ["F", "csc"])
@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0.0, np.inf), (-0.05, 0.08)])
def test_factor_is_that_of_the_free_features(bounds, layout, gram, l2) -> None:
    for seed in range(8):
        kernel = random_kernel(
            seed,
            *((20, 50) if seed % 2 else (60, 25)),
            layout=layout,
            density=0.5 if layout == "csc" else 1.0,
            b=np.linspace(0.5, 2, 50 if seed % 2 else 25),
            lower=bounds[0],
            upper=bounds[1],
        )
        solver = kernel.solver(pivoting=True, gram=gram)
        # down, up and down again: features enter, leave and come back
        for l1 in kernel.l1_max * np.array([0.6, 0.3, 0.1, 0.05, 0.2, 0.5, 0.07]):
            assert_optimal(kernel, solve_path(solver, np.array([l1]), l2), l2)
            if not solver.pivoting.by_samples:
                assert_factor(kernel, solver, l2)
        assert solver.descent.n_sweeps == 0


@pytest.mark.parametrize("layout", ["F", "csc"])
def test_factor_after_many_features_left_at_once(layout) -> None:
    """More than a panel and a tile of them, with gaps from before."""
    kernel = random_kernel(5, 900, 700, correlation=1.0, layout=layout)
    solver = kernel.solver(pivoting=True)
    for level in (0.3, 0.002, 0.0035, 0.003, 0.0002, 0.02, 0.001, 0.2):
        path = solve_path(solver, kernel.l1_max * np.array([level]))
        assert_optimal(kernel, path)
        assert_factor(kernel, solver, 0.0)
    assert solver.pivoting.factor.n_deleted > 400


@pytest.mark.parametrize("l2", [0.0, 1e-4, 0.05])
def test_a_large_sparse_working_set_has_no_block(l2) -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((120, 2300)) * (rng.random((120, 2300)) < 0.05)
    X[:, 1200:1300] = X[:, 100:200]
    kernel = Kernel(X, X[:, :5].sum(axis=1) + rng.standard_normal(120), layout="csc")
    solver = kernel.solver(pivoting=True)
    solver.start(1e-3 * rng.standard_normal(2300) * (kernel.view.norm2 > 0))
    assert not solver.block.stored
    path = solve_path(solver, kernel.l1_max * np.array([0.5, 0.05, 0.01]), l2)
    # conjugate gradients leave e with sum e^2 / (2 l2) <= 1e-13 / 4
    left = np.sqrt(2 * 0.05 * 0.25e-13) / path[-1].l1
    assert_optimal(kernel, path, l2, stationarity=left if l2 == 0.05 else 1e-7)
    assert solver.pivoting.iterative == (l2 == 0.05)
    (other,) = solve_path(kernel.solver(pivoting=False), kernel.l1_max * np.array([0.05]), l2)
    objectives = [kernel.objective(coef, other.l1, l2) for coef in (path[1].coef, other.coef)]
    assert objectives[0] == pytest.approx(objectives[1], abs=1e-12)


def test_conjugate_gradients_stop_at_the_gap_asked() -> None:
    rng = np.random.default_rng(8)
    X = rng.standard_normal((1500, 2600)) * (rng.random((1500, 2600)) < 0.02)
    kernel = Kernel(X, X @ rng.standard_normal(2600), layout="csc")
    steps, objectives = [], []
    for tol in (1e-4, 1e-12):
        solver = kernel.solver(pivoting=True)
        objectives.append([])
        for l1 in kernel.l1_max * np.geomspace(0.5, 0.005, 30):
            (solved,) = solve_path(solver, np.array([l1]), l2=5 * l1, tol=tol)
            assert solved.status == 0
            assert solved.gap <= 0.5 * tol
            objectives[-1].append(kernel.objective(solved.coef, l1, 5 * l1))
        assert solver.pivoting.iterative
        steps.append(solver.pivoting.n_steps)
    assert 0 < 2 * steps[0] < steps[1]
    excess = np.subtract(*objectives)
    assert np.all((excess <= 0.5e-4) & (excess >= -1e-12))


@pytest.mark.parametrize("layout", ["F", "csc"])
@pytest.mark.parametrize("l2", [1e-9, 1e-7])
def test_a_start_that_leads_nowhere_is_dropped(l2, layout) -> None:
    """Twenty times as many nonzeros as rows, beside a ridge that hardly counts."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((40, 800)) * (rng.random((40, 800)) < 0.1)
    kernel = Kernel(X, X[:, :5].sum(axis=1) + rng.standard_normal(40), layout=layout)
    solver = kernel.solver(pivoting=True)
    solver.start(1e-3 * rng.standard_normal(800) * (kernel.view.norm2 > 0))
    path = solve_path(solver, kernel.l1_max * np.array([0.5, 0.05, 0.01]), l2)
    assert_optimal(kernel, path, l2)
    solver.start(np.where(kernel.view.norm2 > 0, 1e30, 0.0))
    assert_optimal(kernel, solve_path(solver, kernel.l1_max * np.array([0.1]), l2), l2)


def test_factor_follows_another_l2() -> None:
    kernel = random_kernel(4, 25, 40)
    solver = kernel.solver(pivoting=True)
    l1 = 0.1 * kernel.l1_max
    for l2 in (0.0, 1.0, 0.01, 0.0):
        assert_optimal(kernel, solve_path(solver, np.array([l1]), l2), l2)
        assert_factor(kernel, solver, l2)


@pytest.mark.parametrize("seed", range(30))
def test_ways_of_solving_agree(seed) -> None:
    """Pivoting or coordinate descent, residual or Gram space: the same within the gaps."""
    kernel = mixed_kernel(seed + 100, *((30, 12), (12, 30), (16, 16))[seed % 3])
    l1s = kernel.l1_max * np.geomspace(0.9, 0.01, 6)
    l2 = 0.05 * (seed % 2)
    paths = [
        solve_path(kernel.solver(pivoting=pivoting, gram=gram), l1s, l2)
        for pivoting in (True, False)
        for gram in (False, True)
    ]
    for found in zip(*paths, strict=True):
        values = [kernel.objective(solved.coef, solved.l1, l2) for solved in found]
        assert all(solved.status == 0 for solved in found)
        assert max(values) - min(values) <= max(solved.gap for solved in found) + 1e-15


@pytest.mark.parametrize("seed", range(12))
def test_far_penalties_are_those_of_a_path(seed) -> None:
    kernel = mixed_kernel(seed + 300, *((15, 60), (40, 15))[seed % 2])
    l1s = kernel.l1_max * np.geomspace(0.9, 1e-3, 8)
    # what rounding leaves of the gap grows towards least squares
    tol = 1e-11
    path = solve_path(kernel.solver(pivoting=True), l1s, tol=tol)
    assert_optimal(kernel, path, tol=tol)
    for solved in path:
        (alone,) = solve_path(kernel.solver(pivoting=True), np.array([solved.l1]), tol=tol)
        assert_optimal(kernel, [alone], tol=tol)
        difference = kernel.objective(alone.coef, alone.l1, 0) - kernel.objective(
            solved.coef, solved.l1, 0
        )
        assert abs(difference) <= max(alone.gap, solved.gap) + 1e-15


def with_dependent_columns(seed: int, n: int, p: int, **more) -> Kernel:
    """Equal, mirrored, scaled and summed columns, a constant one and an empty one."""
    rng = np.random.default_rng([seed, 8])
    X = rng.normal(size=(n, p))
    X[:, 1], X[:, 2], X[:, 3] = X[:, 0], -X[:, 0], 3 * X[:, 0]
    X[:, 4] = X[:, 5] + X[:, 6]
    X[:, 7] = X[:, 8] - 2 * X[:, 9] + X[:, 5]
    X[:, 10], X[:, 11] = 1.0, 0.0
    X = X[:, rng.permutation(p)]
    return Kernel(X, X @ rng.normal(size=p) + rng.normal(size=n), **more)


@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0.0, np.inf), (-0.05, 0.08)])
@pytest.mark.parametrize("layout", ["F", "csc"])
@pytest.mark.parametrize("n", [8, 40])
def test_dependent_columns(n, layout, bounds) -> None:
    for seed in range(10):
        kernel = with_dependent_columns(seed, n, 20, layout=layout, lower=bounds[0])
        kernel.upper[:] = bounds[1]
        l1s = kernel.l1_max * np.geomspace(0.99, 1e-3, 15)
        solver = kernel.solver(pivoting=True)
        path = solve_path(solver, l1s)
        assert_optimal(kernel, path)
        # the factor holds independent columns only
        rank = np.linalg.matrix_rank(kernel.Z)
        assert solver.pivoting.factor.size <= rank <= n
        for solved in path:
            assert not np.any(solved.coef[kernel.view.norm2 == 0])
        assert solver.descent.n_sweeps == 0


@pytest.mark.parametrize("bounds", [(-0.05, np.inf), (-np.inf, 0.1), (-0.02, 0.02)])
def test_features_at_bounds_leave_them_beside_as_many_free_ones_as_rows(bounds) -> None:
    for seed in range(40):
        kernel = random_kernel(seed, 8, 60, lower=bounds[0], upper=bounds[1])
        solver = kernel.solver(pivoting=True)
        assert_optimal(kernel, solve_path(solver, kernel.l1_max * np.geomspace(0.99, 0.01, 12)))


def test_where_pivoting_fails_the_rungs_below_it_finish() -> None:
    """Strongly correlated columns at a far penalty: exchanges grow, and the answer is exact."""
    failures = 0
    for seed in range(60):
        kernel = random_kernel(seed, 30, 40, correlation=6.0)
        solver = kernel.solver(pivoting=True)
        assert_optimal(kernel, solve_path(solver, kernel.l1_max * np.array([0.5, 1e-3])))
        failures += solver.pivoting.n_failures
    assert failures > 0


def test_nearly_dependent_columns() -> None:
    """A Hilbert matrix: certified wherever the status says so, and never wrong."""
    kernel = Kernel(hilbert(15), np.cos(np.arange(15.0)), centre=False)
    path = solve_path(
        kernel.solver(pivoting=True), kernel.l1_max * np.geomspace(0.9, 1e-4, 20), tol=1e-10
    )
    for solved in path:
        assert solved.status == 0
        assert kernel.dual_excess(solved.coef, solved.l1, 0.0) <= 1e-3


def test_unpenalised_features_are_projected() -> None:
    for seed in range(20):
        a = np.random.default_rng(seed).choice([0.0, 1.0], 30)
        kernel = random_kernel(seed, 40, 30, a=a, b=a)
        l1s = kernel.l1_max * np.geomspace(0.9, 0.01, 8)
        path = solve_path(kernel.solver(pivoting=True), l1s)
        assert_optimal(kernel, path)
        for solved, other in zip(path, solve_path(kernel.solver(), l1s), strict=True):
            np.testing.assert_allclose(solved.coef, other.coef, rtol=0, atol=1e-5)
            assert np.abs(kernel.correlations(solved.coef)[a == 0]).max(initial=0) <= 1e-12


def test_a_far_fit_with_many_nonzeros_adds_few_in_vain() -> None:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((3000, 6000)) * (rng.random((3000, 6000)) < 0.01)
    w = rng.standard_normal(6000) * (rng.random(6000) < 0.3)
    kernel = Kernel(X, X @ w + rng.standard_normal(3000), layout="csc")
    solver = kernel.solver(pivoting=True)
    path = solve_path(solver, np.array([kernel.l1_max / 300]))
    assert_optimal(kernel, path)
    active = np.count_nonzero(path[0].coef)
    assert active > 1000
    assert solver.pivoting.factor.n_appended < 2 * active
