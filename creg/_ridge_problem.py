"""Ridge: from the user's units to a solver of the right kind, and back.

minimise  sum_i s_i (y_i - x_i'w - b)^2 + alpha sum_j v_j w_j^2   over w and b
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from creg._data.design import DesignView
from creg._data.storage import Storage
from creg._data.tall import products
from creg._data.threads import single_blas
from creg._data.wide import outer_products
from creg._given import Data, Options, Penalty
from creg._problem import L1Problem
from creg._ridge.cholesky import DualAt, PrimalAt
from creg._ridge.conjugate_gradient import Iterates, conjugate_gradient, race
from creg._ridge.small import solve_small
from creg._ridge.solver import (
    LARGEST_GRAM,
    RidgeSolver,
    affordable_steps,
    prefers_iterations,
    reads_for_gram,
    solve_directly,
)
from creg._ridge.system import RidgeSystem, Targets, Unreliable
from creg._solution import Solution, Status

Float = NDArray[np.float64]

TARGETS_AT_ONCE = 8  # bounds the vectors of n_samples held
RACE_TOL = 1e-10  # of conjugate gradients in place of a factor: what a factor would have reached
ROUGH_ROWS, ROUGH_COLUMNS = 8192, 64  # from which float32 products pay
SMALL = 50_000  # entries of X below which the reads that one product saves are not worth it


def solve_ridge(
    storage: Storage,
    Y: Float,
    alphas: Float,
    *,
    sample_weight: Float | None,
    fit_intercept: bool,
    penalty: Penalty,
    options: Options,
) -> list[Solution]:
    """Ridge for several targets that share everything which depends on X alone.

    Parameters
    ----------
    storage : Storage
    Y : (n_samples, n_targets) float64
    alphas : (n_targets,)
        >= 0.
    sample_weight : (n_samples,) or None
        >= 0, not rescaled.
    fit_intercept : bool
    penalty : Penalty
        Its `l1_ratio` is not looked at.
    options : Options
        `solver` is one of auto, cholesky, eigen, cg, active_set; bounds need auto or active_set.
        `max_iter` may be None. `tol` and `max_iter` act on cg and active_set.

    Returns
    -------
    list of Solution
        For "cg", `dual_gap` and `null_objective` are the 2-norms of X'S(y - Xw - b) - alpha V w at
        the end and at w = 0; for "active_set" they are in the units of Ridge's objective; nan
        for the direct methods, whose `n_iter` is 1.
    """
    alphas = np.asarray(alphas, dtype=np.float64)
    if options.solver == "active_set" or _bounded(penalty):
        return _active_set(storage, Y, alphas, sample_weight, fit_intercept, penalty, options)
    small = _small(storage, Y, alphas, sample_weight, fit_intercept, penalty, options)
    if small is not None:
        return [small]
    if _rough_may_do(storage, Y, alphas, penalty, options):
        with suppress(Unreliable):
            problem = RidgeProblem(
                storage, Y, sample_weight, fit_intercept, penalty, options, rough=True
            )
            return problem.solve_all(alphas)
    return RidgeProblem(storage, Y, sample_weight, fit_intercept, penalty, options).solve_all(
        alphas
    )


def _small(
    storage: Storage,
    Y: Float,
    alphas: Float,
    weights: Float | None,
    centre: bool,
    penalty: Penalty,
    options: Options,
) -> Solution | None:
    """One plain target on little data, where nothing is out of the ordinary."""
    n, p = storage.shape
    if n * p > SMALL or n <= p or Y.shape[1] > 1 or storage.issparse or weights is not None:
        return None
    if penalty.weights is not None or penalty.standardize or not alphas[0] > 0:
        return None
    if options.solver not in ("auto", "cholesky"):
        return None
    view = DesignView(storage, None, centre)
    found = solve_small(view, Y[:, 0], float(alphas[0]))
    if found is None:
        return None
    values = found[0] * view.scale
    nonzero = np.flatnonzero(values)
    return Solution(
        indices=nonzero,
        values=values[nonzero],
        intercept=float(found[1] - view.mean @ values) if centre else 0.0,
        dual_gap=np.nan,
        null_objective=np.nan,
        n_iter=1,
        status=Status.CONVERGED,
        reads=1.5,
        method="cholesky",
    )


def _bounded(penalty: Penalty) -> bool:
    return bool(np.any(np.asarray(penalty.lower) > -np.inf)) or bool(
        np.any(np.asarray(penalty.upper) < np.inf)
    )


class RidgeProblem:
    """Some targets and one design, in kernel units; `storage` and what follows as above."""

    def __init__(
        self,
        storage: Storage,
        Y: Float,
        weights: Float | None,
        centre: bool,
        penalty: Penalty,
        options: Options,
        *,
        rough: bool = False,
    ) -> None:
        self.rough = rough  # float32 products, refined
        self.targets = Targets(Y, weights, centre)
        self._first: Float | None = None  # its block, until it is used once more
        self.options = options
        moments, gram, self.cross_of_first = None, None, None
        self.kept = 1.0  # what of the trace of a Gram matrix was left when it was centred
        self.worth = 0.0  # reads that conjugate gradients may take before a Gram matrix is made
        if options.solver == "auto" and options.max_iter is None and not storage.issparse:
            self.worth = reads_for_gram(storage.n_samples, storage.n_features, Y.shape[1])
        if not self.worth and _gram_comes_first(storage, options.solver):
            with single_blas():
                moments, gram, self.cross_of_first = self._read(storage, weights, centre, penalty)
        view = DesignView(storage, weights, centre, moments)
        self.solver = RidgeSolver(
            view, penalty.weights, penalty.standardize, options.n_threads, gram, self.kept
        )

    def _read(
        self, storage: Storage, weights: Float | None, centre: bool, penalty: Penalty
    ) -> tuple[Any, Float | None, Float | None]:
        """Moments, the smaller Gram matrix and, of tall X, Z'Sy of the first target; or Nones."""
        n_threads = self.options.n_threads
        if storage.n_samples > storage.n_features:
            self._first = self.targets.block([0])
            first = self._first[:, 0]
            read = products(storage, weights, centre, first, n_threads, rough=self.rough)
            if read is None and self.rough:
                raise Unreliable
            return read or (None, None, None)
        roots = np.ones(storage.n_features)
        if penalty.weights is not None:
            with np.errstate(divide="ignore"):
                roots = np.where(penalty.weights > 0, 1 / np.sqrt(penalty.weights), 0.0)
        outer = outer_products(
            storage, weights, centre, roots, penalty.standardize, n_threads, in_place=True
        )
        if outer is None:
            return None, None, None
        moments, K, self.kept = outer
        return moments, K, None

    @staticmethod
    def solver_of(system: RidgeSystem, penalty_weights: Float) -> RidgeSolver:
        """A solver for the same design under other penalty weights."""
        return RidgeSolver(system.view, penalty_weights, False, system.n_threads)

    def solve_all(self, alphas: Float) -> list[Solution]:
        """In the order of the targets."""
        solutions: list[Solution | None] = [None] * alphas.size
        with self.solver.blas_threads():
            for k, solution in self.solve(alphas):
                solutions[k] = solution
        return [solution for solution in solutions if solution is not None]

    def solve(self, alphas: Float) -> Iterator[tuple[int, Solution]]:
        """All targets, those of one alpha together; (target, Solution) in any order."""
        distinct = np.unique(alphas)
        for asked in distinct:
            members = np.flatnonzero(alphas == asked)
            system, alpha = self.solver.system(asked)
            method = self.options.solver
            if not system.n_columns:
                yield from self._constant(system, members)
            elif method == "cg":
                yield from self._iterate(system, alpha, members, None)
            elif self.worth and alpha > 0 and (raced := self._raced(system, alpha)):
                yield 0, raced
            elif method == "auto" and prefers_iterations(system):
                yield from self._iterate_or_factor(system, alpha, members)
            else:
                yield from self._direct(system, alpha, members, last=distinct.size == 1)

    def _constant(
        self, system: RidgeSystem, members: NDArray[np.intp]
    ) -> Iterator[tuple[int, Solution]]:
        method = {"auto": "cholesky"}.get(self.options.solver, self.options.solver)
        for k in members:
            yield int(k), self._solution(system, int(k), np.zeros(0), method=method)

    def _direct(
        self, system: RidgeSystem, alpha: float, members: NDArray[np.intp], last: bool
    ) -> Iterator[tuple[int, Solution]]:
        method = "eigen" if self.options.solver == "eigen" else "cholesky"
        factored = self.solver.factored(system, alpha, method, last)
        if self.rough:
            yield self._refined(system, factored)
            return
        for part in _chunks(members):
            Y, cross = self._block(part), None
            if part == [0] and self.cross_of_first is not None:
                cross = self.cross_of_first[system.columns, None]
            W, by_factor = solve_directly(factored, system, alpha, Y, overwrite=True, cross=cross)
            used = method if by_factor else "svd"
            for column, k in enumerate(part):
                yield k, self._solution(system, k, W[:, column], method=used)

    def _block(self, members: list[int]) -> Float:
        """Targets in kernel units, to be overwritten."""
        if members == [0] and self._first is not None:
            Y, self._first = self._first, None
            return Y
        return self.targets.block(members)

    def _refined(
        self, system: RidgeSystem, factored: PrimalAt | DualAt | None
    ) -> tuple[int, Solution]:
        """The one target by a rough factor; Unreliable where refinement does not make it exact."""
        if not isinstance(factored, PrimalAt) or self.cross_of_first is None:
            raise Unreliable
        factored.rough = True
        cross = self.cross_of_first[system.columns, None]
        W = factored.solve(self._block([0]), overwrite=True, cross=cross)
        solution = self._solution(system, 0, W[:, 0], method="cholesky")
        # what the rounded means leave
        offset = float(self.targets.in_user_units(0, factored.offset)[0])
        return 0, replace(solution, intercept=solution.intercept + offset)

    def _iterate(
        self,
        system: RidgeSystem,
        alpha: float,
        members: NDArray[np.intp],
        max_iter: int | None,
    ) -> Iterator[tuple[int, Solution]]:
        if max_iter is None:
            max_iter = self.options.max_iter
        if max_iter is None:
            max_iter = max(1000, 10 * min(system.view.n_samples, system.n_columns))
        for part in _chunks(members):
            end = conjugate_gradient(
                system,
                alpha,
                self.targets.block(part),
                self.options.tol,
                max_iter,
                variants=self.options.solver == "auto",
            )
            for column, k in enumerate(part):
                yield k, self._iterated(system, k, end, column)

    def _iterated(self, system: RidgeSystem, k: int, end: Iterates, column: int) -> Solution:
        norms = np.array([end.residual[column], end.null_residual[column]])
        with np.errstate(over="ignore", under="ignore"):
            residual, null = self.targets.in_user_units(k, norms) * end.factor
        return self._solution(
            system,
            k,
            end.W[:, column],
            method="cg",
            dual_gap=float(residual),
            null_objective=float(null),
            n_iter=int(end.n_iter[column]),
            status=Status(int(end.status[column])),
        )

    def _raced(self, system: RidgeSystem, alpha: float) -> Solution | None:
        """Conjugate gradients for the one target, where they are much faster than a factor."""
        tol = min(self.options.tol, RACE_TOL)
        end = race(system, alpha, self.targets.block([0]), tol, self.worth)
        return None if end is None else self._iterated(system, 0, end, 0)

    def _iterate_or_factor(
        self, system: RidgeSystem, alpha: float, members: NDArray[np.intp]
    ) -> Iterator[tuple[int, Solution]]:
        """Conjugate gradients; where they have not converged for what a factor costs, that."""
        steps = affordable_steps(system)
        if self.options.max_iter is not None or steps is None:
            yield from self._iterate(system, alpha, members, None)
            return
        left = []
        for k, solution in self._iterate(system, alpha, members, steps):
            if solution.status == Status.CONVERGED:
                yield k, solution
            else:
                left.append(k)
        if left:
            yield from self._direct(system, alpha, np.array(left, dtype=np.intp), last=False)

    def _solution(self, system: RidgeSystem, k: int, w: Float, **ended: Any) -> Solution:
        values = self.targets.in_user_units(k, w * system.scale)
        nonzero = np.flatnonzero(values)
        intercept = 0.0
        if system.view.centred:
            mean = system.view.mean[system.columns]
            intercept = float(self.targets.mean[k] - mean @ values)
        facts = {
            "dual_gap": np.nan,
            "null_objective": np.nan,
            "n_iter": 1,
            "status": Status.CONVERGED,
            "reads": system.reads,
        }
        return Solution(
            indices=system.columns[nonzero],
            values=values[nonzero],
            intercept=intercept,
            **(facts | ended),
        )


def _gram_comes_first(storage: Storage, solver: str) -> bool:
    """Whether all that is needed of X comes from one read of it, with its Gram matrix."""
    n, p = storage.shape
    if storage.issparse or min(n, p) > LARGEST_GRAM or n * p <= SMALL:
        return False
    return solver != "cg"


def _rough_may_do(
    storage: Storage, Y: Float, alphas: Float, penalty: Penalty, options: Options
) -> bool:
    """Whether float32 products are worth their refinement, and everything else is plain."""
    n, p = storage.shape
    return (
        storage.dtype == np.float32
        and _gram_comes_first(storage, options.solver)
        and n > max(p, ROUGH_ROWS)
        and p >= ROUGH_COLUMNS
        and Y.shape[1] == 1
        and bool(alphas[0] > 0)
        and options.solver != "eigen"
        and not penalty.standardize
    )


def _chunks(members: NDArray[np.intp]) -> Iterator[list[int]]:
    for start in range(0, members.size, TARGETS_AT_ONCE):
        yield [int(k) for k in members[start : start + TARGETS_AT_ONCE]]


def _active_set(
    storage: Storage,
    Y: Float,
    alphas: Float,
    sample_weight: Float | None,
    fit_intercept: bool,
    penalty: Penalty,
    options: Options,
) -> list[Solution]:
    """Ridge at alpha is the elastic net without l1 at alpha / sum s, times 2 sum s."""
    data = Data(
        storage, sample_weight, fit_intercept, scaled=penalty.standardize, n_alphas=alphas.size,
        n_threads=options.n_threads,
    )  # fmt: skip
    total = float(Y.shape[0]) if sample_weight is None else float(sample_weight.sum())
    penalty = replace(penalty, l1_ratio=0.0)
    if options.max_iter is None:
        options = replace(options, max_iter=10_000)
    options = replace(options, solver="auto")
    with single_blas():
        return [
            _in_units_of_ridge(
                next(iter(L1Problem(data, np.ascontiguousarray(y), penalty).solve([a], options))),
                2 * total,
            )
            for y, a in zip(Y.T, (alphas / total).tolist(), strict=True)
        ]


def _in_units_of_ridge(solution: Solution, factor: float) -> Solution:
    return replace(
        solution,
        dual_gap=factor * solution.dual_gap,
        null_objective=factor * solution.null_objective,
        method="active_set",
    )
