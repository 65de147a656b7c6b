"""Reference residuals and Gap Safe screening leave out no feature that violates."""

import numpy as np
import pytest
from kernels import Kernel, mixed_kernel, random_kernel, solve_path

SHAPES = ((2, 30), (3, 40), (5, 60), (8, 60), (12, 80))


def assert_no_violator(kernel: Kernel, path, l2: float = 0.0, tol: float = 1e-13) -> None:
    root = np.sqrt(kernel.s)
    for solved in path:
        assert solved.status == 0
        assert 0 <= solved.gap <= 0.5 * tol
        # gap >= (1 - s)^2 ||r||^2 / 2, s the scale at which r is feasible, or with l2 (b = 1)
        # gap >= (excess l1 a_j)^2 / (2 l2)
        per_root = 1 / np.linalg.norm(kernel.residual(solved.coef) * root)
        per_root += np.sqrt(l2) / (solved.l1 * kernel.a.min())
        excess = kernel.dual_excess(solved.coef, solved.l1, l2)
        assert excess <= 1e-6 + np.sqrt(2 * solved.gap) * per_root


@pytest.mark.parametrize("part", range(10))
def test_references_skip_no_violator(part) -> None:
    """Correlations of all columns are computed anew, by numpy, after each of 1200 solves."""
    reads = solves = 0.0
    for seed in range(60 * part, 60 * part + 60):
        kernel = mixed_kernel(seed, *SHAPES[seed % 5])
        solver = kernel.solver(pivoting=True)
        path = solve_path(solver, kernel.l1_max * np.geomspace(0.999, 0.02, 20))
        assert_no_violator(kernel, path)
        assert 1 <= solver.references.size <= 3
        assert 0 <= solver.references.spent <= solver.references.full
        reads += solver.reads
        solves += len(path)
    # each solve checks all features at least once
    assert reads < 0.5 * solves


@pytest.mark.parametrize("part", range(10))
def test_screening_drops_no_violator(part) -> None:
    screened = 0
    for seed in range(1000 + 60 * part, 1060 + 60 * part):
        kernel = mixed_kernel(seed, *SHAPES[seed % 5])
        solver = kernel.solver()
        assert solver.references is None
        assert_no_violator(kernel, solve_path(solver, kernel.l1_max * np.geomspace(0.99, 0.02, 10)))
        screened += solver.n_screened
    assert screened > 1000


@pytest.mark.parametrize("pivoting", [True, False])
def test_no_violator_at_alphas_in_any_order(pivoting) -> None:
    """References, screening and working set of one penalty are no proof at another."""
    rng = np.random.default_rng(3)
    for seed in range(40):
        kernel = mixed_kernel(seed + 2000, *SHAPES[seed % 5])
        l1s = kernel.l1_max * 10 ** rng.uniform(-2, 0.1, 10)
        l2 = float(rng.choice([0.0, 0.01, 1.0]))
        assert_no_violator(kernel, solve_path(kernel.solver(pivoting=pivoting), l1s, l2), l2)


def test_nearly_all_columns_are_left_unread() -> None:
    kernel = random_kernel(1, 40, 2000)
    solver = kernel.solver(pivoting=True)
    path = solve_path(solver, kernel.l1_max * np.geomspace(0.999, 0.1, 40))
    assert_no_violator(kernel, path)
    assert solver.reads < 0.25 * len(path)
    assert solver.block.columns_read < 400
    # the references are refreshed before partial passes cost more than a full one
    assert solver.references.full == 40 * 2000 + 4 * 2000
    assert solver.references.spent <= solver.references.full


def test_thresholds_on_a_tie() -> None:
    """Mirrored and equal columns reach their thresholds together."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(9, 12))
    kernel = Kernel(np.hstack([X, -X, X]), rng.normal(size=9))
    for pivoting in (True, False):
        path = solve_path(
            kernel.solver(pivoting=pivoting), kernel.l1_max * np.geomspace(1, 0.01, 30)
        )
        assert not path[0].coef.any()
        assert_no_violator(kernel, path)


def test_one_sided_features_count_on_their_side_only() -> None:
    for seed in range(20):
        kernel = random_kernel(seed, 8, 60, lower=0.0)
        solver = kernel.solver(pivoting=True)
        path = solve_path(solver, kernel.l1_max * np.geomspace(0.999, 0.05, 10))
        assert_no_violator(kernel, path)
        assert all(np.all(solved.coef >= 0) for solved in path)


@pytest.mark.parametrize("gram", [True, False])
def test_gram_space_needs_no_references(gram) -> None:
    kernel = random_kernel(2, 60, 10)
    solver = kernel.solver(pivoting=True, gram=gram)
    assert (solver.references is None) == gram
    l1s = kernel.l1_max * np.geomspace(0.999, 0.01, 20)
    tol = 1e-11 if gram else 1e-13  # Gram space has the larger allowance for rounding
    assert_no_violator(kernel, solve_path(solver, l1s, tol=tol), tol=tol)
    if gram:
        # the Gram matrix itself counts as one
        assert solver.reads == 1
