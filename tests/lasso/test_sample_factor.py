"""Elastic nets with more free features than samples are solved for in the space of the samples."""

import numpy as np
import pytest
from kernels import Kernel, random_kernel, solve_path
from test_engine import assert_optimal


def wide_kernel(seed: int = 0, n: int = 20, p: int = 300, **options) -> Kernel:
    return random_kernel(
        seed, n, p, b=np.linspace(0.5, 2, p), correlation=0.3, **{"layout": "F"} | options
    )


@pytest.mark.parametrize("layout", ["F", "f32"])
@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0.0, np.inf), (-0.01, 0.02)])
@pytest.mark.parametrize("weights", [False, True])
def test_solutions_are_optimal(bounds, layout, weights) -> None:
    kernel = wide_kernel(
        layout=layout,
        lower=bounds[0],
        upper=bounds[1],
        weights=np.arange(20) % 4 / 2.0 if weights else None,
        a=np.linspace(1, 3, 300),
    )
    solver = kernel.solver(pivoting=True)
    # down, up and down again, far and near
    for level in (0.5, 0.2, 0.05, 0.02, 0.019, 0.01, 0.3, 0.9, 0.02, 0.001):
        l1 = kernel.l1_max * level
        assert_optimal(kernel, solve_path(solver, np.array([l1]), 40 * l1), 40 * l1)
    assert solver.pivoting.by_samples
    assert not solver.block.stored
    assert np.count_nonzero(solver.descent.coef) > 2 * kernel.view.n_samples
    assert solver.descent.n_sweeps == 0


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_coordinate_descent(seed) -> None:
    kernel = wide_kernel(seed)
    l1s = kernel.l1_max * np.geomspace(0.9, 0.003, 8)
    solver = kernel.solver(pivoting=True)
    for l1 in l1s:
        (ours,) = solve_path(solver, np.array([l1]), 5 * l1)
        (theirs,) = solve_path(kernel.solver(pivoting=False), np.array([l1]), 5 * l1)
        np.testing.assert_allclose(ours.coef, theirs.coef, rtol=0, atol=1e-6)
    assert solver.pivoting.by_samples


def test_ridge_that_falls_away_brings_the_block_back() -> None:
    """Down to an l2 that the space of the samples would not resolve, and to none."""
    kernel = wide_kernel(3)
    solver = kernel.solver(pivoting=True)
    l1 = 0.01 * kernel.l1_max
    for l2, by_samples in (
        (0.5, True), (0.1, True), (1e-5, True), (1e-9, False), (0.0, False), (0.1, False),
        (0.2, True),
    ):  # fmt: skip
        assert_optimal(kernel, solve_path(solver, np.array([l1]), l2), l2)
        assert solver.pivoting.by_samples == by_samples, l2
        assert solver.block.stored != by_samples


def test_a_feature_without_ridge_keeps_the_block() -> None:
    b = np.ones(300)
    b[17] = 0.0
    kernel = random_kernel(1, 20, 300, b=b, layout="F")
    solver = kernel.solver(pivoting=True)
    for level in (0.3, 0.03, 0.01):
        l1 = kernel.l1_max * level
        assert_optimal(kernel, solve_path(solver, np.array([l1]), 9 * l1), 9 * l1)
    assert np.count_nonzero(solver.descent.coef) > 2 * kernel.view.n_samples
    assert not solver.pivoting.by_samples
    assert solver.block.stored


def test_repeated_columns_share_their_coefficient() -> None:
    kernel = wide_kernel(2)
    X = np.hstack([kernel.X, kernel.X[:, :100]])
    kernel = Kernel(X, kernel.target)
    solver = kernel.solver(pivoting=True)
    for level in (0.5, 0.1, 0.02, 0.005):
        l1 = kernel.l1_max * level
        assert_optimal(kernel, solve_path(solver, np.array([l1]), 4 * l1), 4 * l1)
    assert solver.pivoting.by_samples
    coef = solver.descent.coef
    np.testing.assert_allclose(coef[:100], coef[300:], rtol=0, atol=1e-10)


@pytest.mark.parametrize("ratio", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("tol", [1e-5, 1e-8, 1e-11])
def test_gaps_are_true_however_small_the_l2(ratio, tol) -> None:
    """Correlations follow a solve by way of M, whose rounding grows with M / l2."""
    kernel = wide_kernel(5, n=25, p=200)
    s, a, b = (np.asarray(v, dtype=np.longdouble) for v in (kernel.s, np.ones(200), kernel.b))
    Z, y = kernel.Z.astype(np.longdouble), kernel.y.astype(np.longdouble)

    def objective(w: np.ndarray, l1: float, l2: float) -> np.longdouble:
        r = y - Z @ w
        return s @ r**2 / 2 + l1 * (a @ abs(w)) + l2 * (b @ w**2) / 2

    l1s, l2 = kernel.l1_max * np.geomspace(0.1, 0.001, 60), ratio
    solver, tight = kernel.solver(pivoting=True), kernel.solver(pivoting=True)
    solve_path(solver, l1s[-1:], 1.0)  # a large support: in the samples' space from here on
    path = solve_path(solver, l1s, l2, tol)
    assert solver.pivoting.by_samples
    for loose, best in zip(path, solve_path(tight, l1s, l2, 1e-14), strict=True):
        assert loose.status == 0
        excess = objective(loose.coef, loose.l1, l2) - objective(best.coef, best.l1, l2)
        assert excess <= loose.gap + 1e-17
