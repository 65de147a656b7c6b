"""Large sparse supports without a ridge: conjugate gradients in place of updates of a factor."""

import numpy as np
import pytest
from scipy import sparse

from creg._data.design import DesignView
from creg._data.storage import Storage
from creg._lasso.working_set import WorkingSetSolver

N, P = 4500, 6500


class Problem:
    """||y - Zw||^2 / 2 + l1 ||w||_1, sparse X with centred columns, ||y|| = 1."""

    def __init__(self, weighted: bool, upper: float, twins: int) -> None:
        rng = np.random.default_rng(4)
        X = sparse.random(N, P, 0.0008, "csc", random_state=rng, data_rvs=rng.standard_normal)
        if twins:
            first, other = X[:, :twins], X[:, twins : 2 * twins]
            X = sparse.hstack([first, first, other, first + other, X[:, 4 * twins :]], "csc")
        self.X = sparse.csc_array(X)
        self.s = rng.uniform(0.5, 1.5, N) if weighted else np.ones(N)
        y = self.X @ np.where(rng.random(P) < 0.9, rng.standard_normal(P), 0.0)
        y += 0.1 * rng.standard_normal(N)
        y -= np.average(y, weights=self.s)
        self.y = y / np.sqrt(self.s @ y**2)
        self.view = DesignView(Storage(self.X), self.s if weighted else None, centre=True)
        self.scale = self.view.scale * (self.view.norm2 > 0)
        self.lower, self.upper = np.full(P, -np.inf), np.full(P, upper)
        self.l1_max = np.abs(self.correlations(self.y)).max()

    def correlations(self, r: np.ndarray) -> np.ndarray:
        return self.scale * (self.X.T @ (self.s * (r - np.average(r, weights=self.s))))

    def solver(self, pivoting: bool) -> WorkingSetSolver:
        ones = np.ones(P)
        features = np.flatnonzero(self.view.norm2 > 0)
        return WorkingSetSolver(
            self.view, self.y, ones, ones, self.lower, self.upper, features, pivoting=pivoting
        )

    def gap(self, w: np.ndarray, l1: float) -> float:
        """P - D at the residual scaled until it is feasible; bounds take what is beyond."""
        r = self.y - self.X @ (self.scale * w)
        r -= np.average(r, weights=self.s)
        c = self.correlations(r)
        beyond = c[np.isinf(self.upper) | (c < 0)]
        theta = min(1.0, l1 / np.abs(beyond).max()) * r
        over = np.maximum(self.correlations(theta) - l1, 0.0)
        over *= np.where(np.isinf(self.upper), 0.0, self.upper)
        primal = 0.5 * self.s @ r**2 + l1 * np.abs(w).sum()
        return primal - (self.s @ (theta * self.y) - 0.5 * self.s @ theta**2 - over.sum())


@pytest.mark.parametrize("twins", [0, 200])
@pytest.mark.parametrize(("weighted", "upper"), [(False, np.inf), (True, np.inf), (False, 0.02)])
def test_a_lasso_with_a_large_support(weighted, upper, twins) -> None:
    problem = Problem(weighted, upper, twins)
    l1s = problem.l1_max * np.geomspace(0.9, 0.03, 20)
    solver = problem.solver(pivoting=True)
    iterated = False
    for k, l1 in enumerate(l1s):
        gap, _, status = solver.solve(l1, 0.0, l1s[min(k + 1, len(l1s) - 1)], 0.5e-8, 10_000)
        w = solver.descent.coef.copy()
        assert status == 0
        assert gap <= 0.5e-8
        assert problem.gap(w, l1) <= gap + 1e-12
        assert np.all(w <= problem.upper)
        iterated |= solver.pivoting.iterative
    assert np.count_nonzero(w) > 2048
    assert solver.pivoting.n_steps > 100
    assert iterated or weighted or twins
