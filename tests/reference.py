"""A slow, obvious oracle: the objectives, the duality gap and the optimum in long double.

Nothing here imports creg. Data are dense and small; every formula is the textbook one. In the
kernel units used inside, with Z = sqrt(s)(X - m)/scale, eta = sqrt(s)(y - mean y):

    P(w) = 1/2 ||eta - Z w||^2 + l1 sum v_j |w_j| + 1/2 l2 sum v_j w_j^2,   lower <= w <= upper
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

LD = np.longdouble
EPS = LD(np.finfo(np.float64).eps)
FINE = np.finfo(LD).eps  # that of float64 where the platform has nothing longer
Array = np.ndarray[Any, Any]


def exact(values: Any) -> Array:
    """A dense long double copy of an array, sparse matrix or number."""
    return np.array(values.toarray() if hasattr(values, "toarray") else values, dtype=LD)


@dataclass(frozen=True)
class Problem:
    """One regression in the user's terms: Lasso and ElasticNet, or with `ridge` Ridge."""

    X: Any
    y: Any
    alpha: float = 1.0
    l1_ratio: float = 1.0
    ridge: bool = False
    sample_weight: Any = None
    penalty_weights: Any = None
    lower: Any = -np.inf
    upper: Any = np.inf
    fit_intercept: bool = True
    standardize: bool = False

    def at(self, alpha: float) -> Problem:
        return replace(self, alpha=alpha)

    @cached_property
    def dense(self) -> Array:
        return exact(self.X)

    @cached_property
    def target(self) -> Array:
        return exact(self.y)

    @cached_property
    def shape(self) -> tuple[int, int]:
        return self.dense.shape  # type: ignore[return-value]

    @cached_property
    def s(self) -> Array:
        """Row weights: summing to n for Lasso and ElasticNet, as given for Ridge."""
        n = self.shape[0]
        s = np.ones(n, LD) if self.sample_weight is None else exact(self.sample_weight)
        s = np.broadcast_to(s, (n,))
        return s if self.ridge else s * (n / s.sum())

    @cached_property
    def unit(self) -> Array:
        """Objective = unit * P."""
        return LD(2) if self.ridge else LD(1) / self.shape[0]

    @cached_property
    def mean(self) -> Array:
        p = self.shape[1]
        return (self.s @ self.dense) / self.s.sum() if self.fit_intercept else np.zeros(p, LD)

    @cached_property
    def y_mean(self) -> Array:
        return (self.s @ self.target) / self.s.sum() if self.fit_intercept else LD(0)

    @cached_property
    def constant(self) -> Array:
        """Columns constant over the rows of positive weight; without an intercept, all zero."""
        rows = self.dense[self.s > 0]
        if not self.fit_intercept:
            return np.all(rows == 0, axis=0)
        return np.max(np.abs(rows - self.mean), axis=0) <= 4 * EPS * np.abs(self.mean)

    @cached_property
    def centred(self) -> Array:
        return np.where(self.constant, LD(0), self.dense - self.mean)

    @cached_property
    def scale(self) -> Array:
        """The standard deviations (divisor n) that `standardize` divides by, else ones."""
        if not self.standardize:
            return np.ones(self.shape[1], LD)
        sd = np.sqrt(self.s @ self.centred**2 / self.s.sum())
        return np.where(self.constant, LD(1), sd)

    @cached_property
    def Z(self) -> Array:
        return np.sqrt(self.s)[:, None] * self.centred / self.scale

    @cached_property
    def eta(self) -> Array:
        y = self.target - self.y_mean
        if self.fit_intercept and np.max(np.abs(y[self.s > 0])) <= 4 * EPS * abs(self.y_mean):
            y = np.zeros_like(y)
        return np.sqrt(self.s) * y

    @cached_property
    def v(self) -> Array:
        v = np.ones(self.shape[1]) if self.penalty_weights is None else self.penalty_weights
        v = np.broadcast_to(exact(v), (self.shape[1],))
        return np.where(np.isinf(v), v, LD(0)) if self.alpha == 0 else v

    @cached_property
    def out(self) -> Array:
        """Features that take no part: infinite weight, constant, or both bounds zero."""
        return np.isinf(self.v) | self.constant | ((self.lo == 0) & (self.hi == 0))

    @cached_property
    def l1v(self) -> Array:
        n = self.shape[0]
        l1 = LD(0) if self.ridge else LD(self.alpha) * LD(self.l1_ratio) * n
        return np.where(np.isinf(self.v), LD(0), l1 * np.where(np.isinf(self.v), LD(0), self.v))

    @cached_property
    def l2v(self) -> Array:
        n = self.shape[0]
        l2 = LD(self.alpha) * (LD(1) if self.ridge else (1 - LD(self.l1_ratio)) * n)
        return l2 * np.where(np.isinf(self.v), LD(0), self.v)

    @cached_property
    def lo(self) -> Array:
        return np.broadcast_to(exact(self.lower), (self.shape[1],)) * self.scale

    @cached_property
    def hi(self) -> Array:
        return np.broadcast_to(exact(self.upper), (self.shape[1],)) * self.scale


def penalty(problem: Problem, w: Array) -> Array:
    return np.sum(problem.l1v * np.abs(w) + problem.l2v * w**2 / 2)


def objective(problem: Problem, coef: Any, intercept: Any = None) -> Array:
    """The estimator's objective at (coef, intercept); the best intercept where it is None."""
    coef = exact(coef)
    r = problem.target - problem.dense @ coef
    if intercept is not None:
        r = r - exact(intercept)
    elif problem.fit_intercept:
        r = r - (problem.s @ r) / problem.s.sum()
    return problem.unit * (problem.s @ r**2 / 2 + penalty(problem, coef * problem.scale))


def residual(problem: Problem, coef: Any) -> Array:
    """eta - Z w, recomputed and so centred exactly."""
    return problem.eta - problem.Z @ (exact(coef) * problem.scale)


def project_off(columns: Array, r: Array) -> Array:
    """r minus its projection on the columns: pivoted Gram-Schmidt, twice, rank-revealing."""
    rest = columns.copy()
    size = np.sqrt(np.sum(columns**2, axis=0))
    basis: list[Array] = []
    while rest.shape[1]:
        norms = np.sqrt(np.sum(rest**2, axis=0)) / np.where(size > 0, size, LD(1))
        j = int(np.argmax(norms))
        if norms[j] < max(1e-15, 100 * FINE):
            break
        q = rest[:, j] / np.sqrt(rest[:, j] @ rest[:, j])
        for _ in range(2):
            for b in basis:
                q = q - b * (b @ q)
            q = q / np.sqrt(q @ q)
        basis.append(q)
        rest, size = np.delete(rest, j, axis=1), np.delete(size, j)
        rest = rest - np.outer(q, q @ rest)
    for _ in range(2):
        for q in basis:
            r = r - q * (q @ r)
    return r


def projected(problem: Problem, w: Array, r: Array) -> tuple[Array, Array]:
    """The dual direction and the mask F of unpenalised features projected out of it."""
    free = (problem.l1v == 0) & (problem.l2v == 0) & ~problem.out
    below, above = np.isinf(problem.lo), np.isinf(problem.hi)
    inside = (below | (w > problem.lo)) & (above | (w < problem.hi))
    F = free & (below | above) & inside
    while True:
        theta = project_off(problem.Z[:, F], r)
        c = problem.Z.T @ theta
        tiny = 100 * FINE * np.sqrt(np.sum(problem.Z**2, axis=0)) * np.sqrt(r @ r)
        more = free & ~F & ((above & (c > tiny)) | (below & (c < -tiny)))
        if not more.any():
            return theta, F | (free & (np.abs(c) <= tiny))
        F = F | more


def conjugate(problem: Problem, c: Array) -> Array:
    """h*_j(c_j) = max over l <= w <= u of c w - l1 v |w| - 1/2 l2 v w^2."""
    values = np.zeros(len(c), LD)
    for j in np.flatnonzero(~problem.out):
        b = problem.hi[j] if c[j] > 0 else -problem.lo[j]
        excess = abs(c[j]) - problem.l1v[j]
        if excess <= 0 or b == 0:
            continue
        if problem.l2v[j] > 0:
            x = min(excess / problem.l2v[j], b)
            values[j] = excess * x - problem.l2v[j] * x**2 / 2
        else:
            values[j] = excess * b  # infinite without a bound
    return values


def dual_gap(problem: Problem, coef: Any) -> Array:
    """P - D in the units of the estimator's objective, best of three dual points."""
    w = exact(coef) * problem.scale
    r = residual(problem, coef)
    theta, F = projected(problem, w, r)
    c = problem.Z.T @ theta
    c[F] = 0
    unbounded = np.where(c > 0, np.isinf(problem.hi), np.isinf(problem.lo))
    limits = ~F & ~problem.out & (problem.l2v == 0) & unbounded & (np.abs(c) > problem.l1v)
    s_f = min([LD(1), *(problem.l1v[limits] / np.abs(c[limits]))])
    # the scale at which features inside their bounds are stationary
    inside = np.where(c > 0, w < problem.hi, w > problem.lo) & ~F & ~problem.out
    reach = problem.l1v + np.where(c * w > 0, problem.l2v * np.abs(w), 0)
    beyond = inside & (problem.l1v > 0) & (np.abs(c) > reach)
    s_i = min([s_f, *(reach[beyond] / np.abs(c[beyond]))])
    best = LD(np.inf)
    for s in {s_f, s_i, LD(1)}:
        conj = conjugate(problem, s * c)
        conj = np.where(limits & (np.abs(s * c) <= problem.l1v * (1 + LD(EPS))), LD(0), conj)
        terms = problem.l1v * np.abs(w) + problem.l2v * w**2 / 2 + conj - w * s * c
        gap = np.sum((r - s * theta) ** 2) / 2 + np.sum(terms[~F & ~problem.out])
        best = min(best, gap)
    return problem.unit * best


def dual_gap_by_difference(problem: Problem, coef: Any, theta: Array) -> Array:
    """P(w) - D(theta) literally, for a theta given; inf where it is infeasible."""
    w = exact(coef) * problem.scale
    r = residual(problem, coef)
    D = theta @ problem.eta - theta @ theta / 2 - np.sum(conjugate(problem, problem.Z.T @ theta))
    return problem.unit * (r @ r / 2 + penalty(problem, w) - D)


def gap_rounding(problem: Problem, coef: Any) -> Array:
    """One float64 ulp of the numbers that a gap is summed from."""
    w = exact(coef) * problem.scale
    r = residual(problem, coef)
    return problem.unit * EPS * (r @ r + np.abs(w) @ np.abs(problem.Z.T @ r))


def kkt_residual(problem: Problem, coef: Any) -> Array:
    """Largest distance of the gradient from the subdifferential, over ||z_j|| ||eta||."""
    w = exact(coef) * problem.scale
    c = problem.Z.T @ residual(problem, coef) - problem.l2v * w
    low = np.where(w > 0, problem.l1v, np.where(w < 0, -problem.l1v, -problem.l1v))
    high = np.where(w < 0, -problem.l1v, problem.l1v)
    low = np.where(w <= problem.lo, -LD(np.inf), low)
    high = np.where(w >= problem.hi, LD(np.inf), high)
    wrong = np.maximum(np.maximum(low - c, c - high), 0)
    size = np.sqrt(np.sum(problem.Z**2, axis=0)) * np.sqrt(problem.eta @ problem.eta)
    inside = np.all((w >= problem.lo) & (w <= problem.hi) | problem.out)
    if not inside or np.any(w[np.isinf(problem.v)] != 0):
        return LD(np.inf)
    relative = wrong / np.where(size > 0, size, LD(1))
    return np.max(relative[~problem.out], initial=LD(0))


def lstsq(A: Array, b: Array) -> Array:
    """Minimum-norm least squares, float64 with refinement in long double."""
    inverse = np.linalg.pinv(A.astype(float), rcond=1e-13).astype(LD)
    x = np.zeros(A.shape[1], LD)
    for _ in range(4):
        x = x + inverse @ (b - A @ x)
    return x


def solve(problem: Problem, max_rounds: int = 500) -> Array:
    """The optimal coef: Gram-space coordinate descent, and Newton steps inside the orthant."""
    Z, lo, hi, l1v, l2v = problem.Z, problem.lo, problem.hi, problem.l1v, problem.l2v
    G, w, active = Z.T @ Z, np.zeros(problem.shape[1], LD), np.flatnonzero(~problem.out)
    size = problem.unit * (problem.eta @ problem.eta) / 2
    b = Z.T @ problem.eta
    for _ in range(max_rounds):
        c = b - G @ w
        for _ in range(5):
            for j in active:
                g = c[j] + G[j, j] * w[j]
                new = np.sign(g) * max(abs(g) - l1v[j], LD(0)) / (G[j, j] + l2v[j])
                new = min(max(new, lo[j]), hi[j])
                if new != w[j]:
                    c = c - G[:, j] * (new - w[j])
                    w[j] = new
        w = _newton(problem, w)
        if dual_gap(problem, w / problem.scale) <= FINE * size:
            break
    return np.where(problem.out, LD(0), w / problem.scale)


def _newton(problem: Problem, w: Array) -> Array:
    """Minimise over the free features with their signs, as far as signs and bounds allow."""
    smooth = (problem.l1v == 0) & (w > problem.lo) & (w < problem.hi)
    free = ((w != 0) & (w > problem.lo) & (w < problem.hi)) | smooth
    A = np.flatnonzero(free & ~problem.out)
    if not len(A):
        return w
    sign = np.where(problem.l1v[A] == 0, LD(0), np.sign(w[A]))
    r = problem.eta - problem.Z @ w
    g = problem.Z[:, A].T @ r - problem.l2v[A] * w[A] - problem.l1v[A] * sign
    H = problem.Z[:, A].T @ problem.Z[:, A] + np.diag(problem.l2v[A])
    d = lstsq(H, g)
    step = LD(1)
    for j, dj, sj in zip(A, d, sign, strict=True):
        top = LD(0) if sj < 0 else problem.hi[j]
        bottom = LD(0) if sj > 0 else problem.lo[j]
        if dj > 0 and np.isfinite(top):
            step = min(step, (top - w[j]) / dj)
        if dj < 0 and np.isfinite(bottom):
            step = min(step, (bottom - w[j]) / dj)
    new = w.copy()
    new[A] = np.clip(w[A] + step * d, problem.lo[A], problem.hi[A])
    new[A[(np.abs(new[A]) <= 10 * FINE * np.abs(w[A])) & (sign != 0)]] = 0

    def P(x: Array) -> Array:
        return np.sum((problem.eta - problem.Z @ x) ** 2) / 2 + penalty(problem, x)

    return new if P(new) <= P(w) else w


def enumerate_signs(problem: Problem) -> Array:
    """The optimal coef of a tiny problem: the best of all sign patterns (5^p of them)."""
    p, Z = problem.shape[1], problem.Z.astype(float)
    best, best_w = np.inf, np.zeros(p)
    l1v, l2v = problem.l1v.astype(float), problem.l2v.astype(float)
    lo, hi = problem.lo.astype(float), problem.hi.astype(float)
    eta = problem.eta.astype(float)
    choices = []
    for j in range(p):
        bounds = [] if problem.out[j] else [b for b in (lo[j], hi[j]) if np.isfinite(b)]
        signs = [] if problem.out[j] else ["+", "-"] if l1v[j] > 0 else ["+"]
        choices.append([0.0, *bounds, *signs])
    for pattern in product(*choices):
        A = np.array([j for j in range(p) if isinstance(pattern[j], str)], dtype=int)
        w = np.array([0.0 if isinstance(x, str) else x for x in pattern])
        sign = np.array([1.0 if pattern[j] == "+" else -1.0 for j in A])
        H = Z[:, A].T @ Z[:, A] + np.diag(l2v[A])
        w[A] = np.linalg.lstsq(H, Z[:, A].T @ (eta - Z @ w) - l1v[A] * sign, rcond=None)[0]
        if np.any(w > hi) or np.any(w < lo):
            continue
        value = np.sum((eta - Z @ w) ** 2) / 2 + np.sum(l1v * np.abs(w) + l2v * w**2 / 2)
        if value < best:
            best, best_w = value, w
    return best_w / problem.scale.astype(float)


def ridge_by_lstsq(problem: Problem) -> Array:
    """Ridge without bounds: least squares of [Z; sqrt(l2 v)], the minimum norm at alpha 0."""
    keep = np.flatnonzero(~problem.out)
    rows = np.diag(np.sqrt(problem.l2v[keep]))
    A = np.vstack([problem.Z[:, keep], rows])
    coef = np.zeros(problem.shape[1], LD)
    coef[keep] = lstsq(A, np.concatenate([problem.eta, np.zeros(len(keep), LD)]))
    return coef / problem.scale


def intercept(problem: Problem, coef: Any) -> Array:
    return problem.y_mean - problem.mean @ exact(coef) if problem.fit_intercept else LD(0)


def null_coef(problem: Problem) -> Array:
    """The null model: unpenalised features at their bounded least squares, all others zero."""
    unpenalised = (problem.v == 0) & ~problem.out
    if np.all((problem.v == 0) | np.isinf(problem.v)):
        return np.zeros(problem.shape[1], LD)
    weights = np.where(unpenalised, 0.0, np.inf)
    return solve(replace(problem, penalty_weights=weights, alpha=1.0, l1_ratio=1.0))


def null_objective(problem: Problem) -> Array:
    r = residual(problem, null_coef(problem))
    return problem.unit * (r @ r) / 2


def alpha_max(problem: Problem) -> Array:
    """The smallest alpha with every penalised coefficient zero."""
    problem = problem.at(1.0)
    c = problem.Z.T @ residual(problem, null_coef(problem))
    open_side = np.where(c > 0, problem.hi > 0, problem.lo < 0)
    counts = (problem.v > 0) & ~problem.out & open_side
    slopes = np.abs(c[counts]) / (problem.shape[0] * LD(problem.l1_ratio) * problem.v[counts])
    return np.max(slopes, initial=LD(0))
