"""Whole paths of L1 problems: the grid of alphas, and the solutions along it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from creg._data.threads import single_blas
from creg._given import Options
from creg._lasso.trace import trace_together
from creg._problem import L1Problem
from creg._solution import Solution, Solutions, raise_if_stopped

Float = NDArray[np.float64]
Watch: TypeAlias = Callable[[int, Solution], None]


def geometric_grid(largest: float, count: int, eps: float) -> Float:
    """Alphas from the largest down to eps times it; where it is 0, tiny ones as scikit-learn's."""
    if largest == 0:  # constant y
        return np.full(count, np.finfo(np.float64).resolution)
    return np.geomspace(largest, max(eps * largest, np.nextafter(0, 1)), count)


def solve_along(
    problem: L1Problem, alphas: Float, options: Options, most: int | None, watch: Watch | None
) -> Solutions:
    """Solved at each alpha, but for the first with more than `most` coefficients and the rest."""
    solutions, start = [], None
    if watch is None:
        together = problem.solve_together(alphas, options, most)
        count = len(together)
        if count == len(alphas) and (most is None or together.n_nonzero[-1] <= most):
            return together
        solutions = together.list()
        if most is not None and count and together.n_nonzero[-1] > most:
            return Solutions.of(solutions[:-1])
        if count:
            start = solutions[-1].dense(problem.data.view.n_features)
    for solution in problem.solve(alphas[len(solutions) :].tolist(), options, start):
        raise_if_stopped(solution)
        if most is not None and len(solution.indices) > most:
            break
        solutions.append(solution)
        if watch:
            watch(len(alphas), solution)
    return Solutions.of(solutions)


def solve_all_along(
    problems: Sequence[L1Problem],
    alphas: Float,
    options: Options,
    watch: Watch | None,
    at_once: int = 1,
) -> list[Solutions]:
    """The same for several problems over one X.

    Where no one watches, they share reads of X and are solved by up to `at_once` threads.
    """
    if len(problems) == 1 or watch is not None:
        return [solve_along(problem, alphas, options, None, watch) for problem in problems]
    each = replace(options, n_threads=max(1, options.n_threads // min(at_once, len(problems))))
    paths = [
        problem.trace(alphas, each, None) if problem.reads_columns(alphas, options) else None
        for problem in problems
    ]
    with single_blas():
        shared = [path for path in paths if path is not None]
        trace_together(shared, options.n_threads, at_once)
    return [
        solve_along(problem, alphas, options, None, None) if path is None else problem.traced(path)
        for problem, path in zip(problems, paths, strict=True)
    ]
