"""Supports refitted without penalty, and what lies between the two fits.

With Q = A W an orthonormal basis of the columns of a support, eta = S^1/2 y,

    u = W Q'eta ,   refined once:  u += W Q'(eta - A u) .

Where columns depend on each other, u minimises the 2-norm of coef (standardize: of coef_j sd_j)
among all that fit equally well.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from creg._choice.columns import ActiveColumns
from creg._choice.coordinates import coordinates
from creg._choice.supports import Supports
from creg._data.threads import single_blas
from creg._given import Options, Penalty
from creg._problem import L1Problem
from creg._solution import Solution, Solutions, Status

Float = NDArray[np.float64]
Index = NDArray[np.intp]


def relaxed(problem: L1Problem, solutions: Solutions, options: Options) -> Solutions:
    """Each support refitted by least squares within the bounds.

    Parameters
    ----------
    problem : L1Problem
    solutions : Solutions
    options : Options
        For the refits that a bound stops.
    """
    supports = Supports.of(solutions)
    found: list[Solution] = []
    with single_blas():
        refit = _Refit(problem, supports, options)
        for k in range(len(supports)):
            if k and not len(supports.entering[k]) and not len(supports.leaving[k]):
                found.append(replace(found[-1], n_iter=0, reads=0.0))
            else:
                found.append(refit.at(k))
    return Solutions.of(found)


class _Refit:
    def __init__(self, problem: L1Problem, supports: Supports, options: Options) -> None:
        self.problem, self.supports, self.options = problem, supports, options
        self.view = problem.data.view
        columns = ActiveColumns(self.view, supports.features, problem.data.known_gram)
        eta = columns.weighted(problem.target)
        self.half_null = 0.5 * float(eta @ eta)
        self.space = coordinates(columns)
        self.target, self.rest = self.space.target(eta)
        self.basis = self.space.basis(supports.most)

    def at(self, k: int) -> Solution:
        """The k-th support; in order, from the first on."""
        self.basis.move(self.supports.entering[k], self.supports.leaving[k])
        at = np.flatnonzero(self.supports.masks[k])
        support = self.supports.features[at]
        u = self._refined(at) if self.basis.rank == len(at) else self._shortest(at, support)
        residual = self.space.residual(self.target, at, u)
        left = self.space.projected(self.basis, residual)
        solution = self._solution(support, u, residual, left)
        if self._is_within(solution):
            return solution
        return self._bounded(support)

    def _refined(self, at: Index) -> Float:
        space, u = self.space, np.zeros(len(at))
        for _ in range(2):
            residual = space.residual(self.target, at, u)
            u += self.basis.combination(space.projected(self.basis, residual), at)
        return u

    def _shortest(self, at: Index, support: Index) -> Float:
        """In the units that the norm is taken in."""
        view = self.view
        unit = view.scale[support]
        if self.problem.penalty.standardize:
            unit = np.sqrt(view.norm2[support] / view.sum_weights)
        return self.space.shortest(self.target, at, unit, self.basis.rank)

    def _solution(self, support: Index, u: Float, residual: Float, left: Float) -> Solution:
        """In the user's units, from kernel units."""
        problem, unit = self.problem, self.problem.unit
        nonzero = u != 0
        values, at_means = self.view.coefficients(support[nonzero], u[nonzero], unit)
        factor = unit / self.view.n_samples * unit
        return Solution(
            indices=support[nonzero],
            values=values,
            intercept=problem.target_mean - at_means if problem.data.fit_intercept else 0.0,
            dual_gap=0.5 * float(left @ left) * factor,
            null_objective=self.half_null * factor,
            n_iter=1,
            status=Status.CONVERGED,
            reads=0.0,
            loss=0.5 * (self.rest + float(residual @ residual)) * factor,
        )

    def _is_within(self, solution: Solution) -> bool:
        lower, upper = self._bounds(solution.indices)
        return bool(np.all(solution.values >= lower) and np.all(solution.values <= upper))

    def _bounds(self, indices: Index) -> tuple[float | Float, float | Float]:
        lower, upper = self.problem.penalty.lower, self.problem.penalty.upper
        return (
            lower if isinstance(lower, float) else lower[indices],
            upper if isinstance(upper, float) else upper[indices],
        )

    def _bounded(self, support: Index) -> Solution:
        problem, penalty = self.problem, self.problem.penalty
        weights = np.full(self.view.n_features, np.inf)
        weights[support] = 0.0
        on_support = Penalty(
            1.0, weights, penalty.lower, penalty.upper, standardize=penalty.standardize
        )
        bounded = L1Problem(problem.data, problem.target * problem.unit, on_support)
        solution = bounded.solve_at(0.0, self.options)
        if problem.data.fit_intercept:
            solution.intercept += problem.target_mean
        return solution


def blend(penalised: Solutions, refitted: Solutions, gamma: float) -> Solutions:
    """gamma times the penalised coefficients plus 1 - gamma times the refitted ones.

    Its gaps are the larger ones of the two, its losses are nan.
    """
    if gamma == 1.0:
        return penalised
    if gamma == 0.0:
        return refitted
    count = len(penalised)
    parts = [(penalised, gamma), (refitted, 1.0 - gamma)]
    owners = np.concatenate([np.repeat(np.arange(count), s.n_nonzero) for s, _ in parts])
    indices = np.concatenate([s.indices for s, _ in parts])
    values = np.concatenate([share * s.values for s, share in parts])
    width = int(indices.max(initial=0)) + 1
    keys, where = np.unique(owners * width + indices, return_inverse=True)
    sums = np.bincount(where.ravel(), values, len(keys))
    keys, sums = keys[sums != 0], sums[sums != 0]
    return Solutions(
        indptr=np.searchsorted(keys, np.arange(count + 1) * width).astype(np.intp),
        indices=(keys % width).astype(np.intp),
        values=sums,
        intercepts=gamma * penalised.intercepts + (1.0 - gamma) * refitted.intercepts,
        dual_gaps=np.maximum(penalised.dual_gaps, refitted.dual_gaps),
        null_objectives=penalised.null_objectives,
        n_iters=penalised.n_iters + refitted.n_iters,
        statuses=np.maximum(penalised.statuses, refitted.statuses),
        reads=penalised.reads + refitted.reads,
        losses=np.full(count, np.nan),
    )
