"""Problems in kernel units for the L1 solver, and their optimality conditions by numpy alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from creg._data.design import DesignView
from creg._data.storage import Storage
from creg._lasso.working_set import WorkingSetSolver

Array = np.ndarray[Any, Any]


@dataclass
class Kernel:
    """P(w) = ||y - Zw||^2 / 2 + sum_j l1 a_j |w_j| + l2 b_j w_j^2 / 2 on lower <= w <= upper."""

    X: Array
    target: Array
    weights: Array | None = None
    a: Array | float = 1.0
    b: Array | float = 1.0
    lower: Array | float = -np.inf
    upper: Array | float = np.inf
    centre: bool = True
    layout: str = "F"
    view: DesignView = field(init=False)

    def __post_init__(self) -> None:
        make = {"F": np.asfortranarray, "csc": sparse.csc_array, "f32": np.asfortranarray}
        X = self.X.astype(np.float32) if self.layout == "f32" else self.X
        self.X = X.astype(float)
        self.view = DesignView(Storage(make[self.layout](X)), self.weights, centre=self.centre)
        p = X.shape[1]
        self.a, self.b, self.lower, self.upper = (
            np.ascontiguousarray(np.broadcast_to(v, p), dtype=float)
            for v in (self.a, self.b, self.lower, self.upper)
        )

    @cached_property
    def s(self) -> Array:
        return np.ones(len(self.X)) if self.weights is None else self.weights

    @cached_property
    def Z(self) -> Array:
        """Columns centred twice, so that rounding of the mean does not show."""
        Z = self.X
        for _ in range(2 if self.centre else 0):
            Z = Z - np.average(Z, axis=0, weights=self.s)
        return Z * self.view.scale * (self.view.norm2 > 0)

    @cached_property
    def y(self) -> Array:
        y = self.target - np.average(self.target, weights=self.s) * self.centre
        return y / np.sqrt(self.s @ y**2)

    @cached_property
    def features(self) -> Array:
        live = (self.view.norm2 > 0) & ((self.lower < 0) | (self.upper > 0))
        return np.flatnonzero(live)

    @cached_property
    def gram(self) -> Array:
        return np.ascontiguousarray(self.Z.T @ (self.s[:, None] * self.Z))

    @cached_property
    def l1_max(self) -> float:
        """The smallest l1 with all penalised coefficients zero, unpenalised features aside."""
        j = self.features[self.a[self.features] > 0]
        c = self.correlations(np.zeros(len(self.a)))[j] / self.a[j]
        return max(
            np.max(np.where(self.upper[j] > 0, c, 0), initial=0),
            np.max(np.where(self.lower[j] < 0, -c, 0), initial=0),
        )

    def solver(self, *, gram: bool = False, known: bool = False, **more: Any) -> WorkingSetSolver:
        return WorkingSetSolver(
            self.view,
            self.y,
            self.a,
            self.b,
            self.lower,
            self.upper,
            self.features,
            gram=self.gram if gram else None,
            cross=self.view.correlations_of(self.y) if gram or known else None,
            **more,
        )

    def residual(self, w: Array) -> Array:
        return self.y - self.Z @ w

    def correlations(self, w: Array) -> Array:
        return self.Z.T @ (self.s * self.residual(w))

    def objective(self, w: Array, l1: float, l2: float) -> float:
        r = self.residual(w)
        return float(0.5 * self.s @ r**2 + l1 * self.a @ abs(w) + 0.5 * l2 * self.b @ w**2)

    def dual_excess(self, w: Array, l1: float, l2: float) -> float:
        """max_j |c_j - l2 b_j w_j| / (l1 a_j) - 1 on sides where there is room, or 0."""
        return self._excess(w, l1, l2, np.ones(len(w)), -np.ones(len(w)), room=1e-4)

    def stationarity(self, w: Array, l1: float, l2: float) -> float:
        """The same for c_j - l2 b_j w_j = l1 a_j sign(w_j) where w_j is not zero."""
        return self._excess(w, l1, l2, np.where(w >= 0, 1, -1), np.where(w <= 0, -1, 1), 0.0)

    def _excess(
        self, w: Array, l1: float, l2: float, upwards: Array, downwards: Array, room: float
    ) -> float:
        j = self.features
        g = (self.correlations(w) - l2 * self.b * w)[j]
        # without a threshold relative to the smallest correlation that counts
        t, unit = l1 * self.a[j], l1 * np.where(self.a[j] > 0, self.a[j], 1.0)
        up = np.where(self.upper[j] - w[j] > room, g - t * upwards[j], 0.0)
        down = np.where(w[j] - self.lower[j] > room, t * downwards[j] - g, 0.0)
        return float(np.max(np.maximum(up, down) / unit, initial=0.0))


def random_kernel(
    seed: int, n: int, p: int, *, correlation: float = 0.5, density: float = 1.0, **more: Any
) -> Kernel:
    """Columns of unequal norms that share a factor, and a target that a few of them explain."""
    rng = np.random.default_rng([seed, n, p])
    X = rng.normal(size=(n, p)) + correlation * rng.normal(size=(n, 1))
    X = X * rng.uniform(0.5, 2.0, p) * rng.choice([-1.0, 1.0], p)
    if density < 1:
        X[rng.random((n, p)) > density] = 0
    y = X @ np.where(rng.random(p) < 0.2, rng.normal(size=p), 0.0) + rng.normal(size=n)
    return Kernel(X, y, **more)


def mixed_kernel(seed: int, n: int, p: int, **more: Any) -> Kernel:
    """Layout, row weights, penalty weights and bounds drawn from the seed."""
    rng = np.random.default_rng([seed, 5])
    sparse_X = rng.random() < 0.4
    more = {
        "layout": "csc" if sparse_X else str(rng.choice(["F", "F", "f32"])),
        "density": 0.4 if sparse_X else 1.0,
        "correlation": float(rng.choice([0.0, 0.5, 3.0])),
        "weights": rng.choice([0.0, 0.5, 1.0, 3.0], n) if rng.random() < 0.4 else None,
        "a": 10.0 ** rng.uniform(-1, 1, p) if rng.random() < 0.4 else 1.0,
        "lower": rng.choice([-np.inf, -0.05, 0.0], p) if rng.random() < 0.3 else -np.inf,
        "upper": rng.choice([np.inf, 0.1], p) if rng.random() < 0.3 else np.inf,
        "centre": bool(rng.random() < 0.7),
    } | more
    if more["weights"] is not None and np.count_nonzero(more["weights"]) < 2:
        more["weights"] = None
    return random_kernel(seed, n, p, **more)


@dataclass(frozen=True)
class Solved:
    """What one solve of a path left behind."""

    l1: float
    coef: Array
    gap: float
    status: int
    reads: float


def solve_path(
    solver: WorkingSetSolver,
    l1s: Array,
    l2: float = 0.0,
    tol: float = 1e-13,
    max_iter: int = 100_000,
) -> list[Solved]:
    """Solve at each l1 in turn; the target has norm 1, so tol is on the gap over ||y||^2 / 2."""
    found, reads = [], solver.reads
    for k, l1 in enumerate(l1s):
        following = l1s[min(k + 1, len(l1s) - 1)]
        gap, _, status = solver.solve(l1, l2, following, 0.5 * tol, max_iter)
        coef = solver.descent.coef.copy()
        found.append(Solved(l1, coef, gap, status, solver.reads - reads))
        reads = solver.reads
    return found
