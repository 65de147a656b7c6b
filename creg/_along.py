"""Whole paths of L1 problems: the grid of alphas, and the solutions along it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from creg._data.threads import parallel, single_blas
from creg._given import Options
from creg._lasso.trace import Trace, trace_together
from creg._problem import L1Problem
from creg._solution import Solution, Solutions, raise_if_stopped

Float = NDArray[np.float64]
Watch: TypeAlias = Callable[[int, Solution], None]


def geometric_grid(largest: float, count: int, eps: float) -> Float:
    """Alphas from the largest down to eps times it; where it is 0, tiny ones as scikit-learn's."""
    if largest == 0:  # constant y
        return np.full(count, np.finfo(np.float64).resolution)
    ends = largest, max(eps * largest, np.nextafter(0, 1))
    # as np.geomspace, which takes three times as long
    grid = 10.0 ** np.linspace(np.log10(ends[0]), np.log10(ends[1]), count)
    grid[0], grid[-1] = ends[0], ends[0] if count == 1 else ends[1]
    return np.asarray(grid)


def solve_along(
    problem: L1Problem, alphas: Float, options: Options, most: int | None, watch: Watch | None
) -> Solutions:
    """Solved at each alpha, but for the first with more than `most` coefficients and the rest."""
    traced = watch is None
    together = problem.solve_together(alphas, options, most) if traced else Solutions.of([])
    return _continued(problem, together, alphas, options, most, watch)


def _continued(
    problem: L1Problem, together: Solutions, alphas: Float, options: Options, most: int | None,
    watch: Watch | None,
) -> Solutions:  # fmt: skip
    """From the solutions at the first alphas on."""
    count, start = len(together), None
    beyond = most is not None and count > 0 and bool(together.n_nonzero[-1] > most)
    if count == len(alphas) and not beyond:
        return together
    solutions = together.list()
    if beyond:
        return Solutions.of(solutions[:-1])
    if count:
        start = solutions[-1].dense(problem.data.view.n_features)
    for solution in problem.solve(alphas[count:].tolist(), options, start):
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
    *,
    share: bool = False,
) -> list[Solutions]:
    """The same for several problems over one X, none of them cut short.

    Where no one watches, up to `at_once` threads solve them; with `share`, those that read columns
    of X share the reads.
    """
    if watch is not None:
        return [solve_along(problem, alphas, options, None, watch) for problem in problems]
    each = replace(options, n_threads=max(1, options.n_threads // min(at_once, len(problems))))
    paths = [problem.begin(alphas, each, None) for problem in problems]
    shared = [path for path in paths if share and isinstance(path, Trace)]
    with single_blas():
        trace_together(shared, options.n_threads, at_once)
        alone = [path for path in paths if path is not None and path not in shared]
        parallel([path.follow for path in alone], at_once)
    found = [
        Solutions.of([]) if path is None else p.traced(path)
        for p, path in zip(problems, paths, strict=True)
    ]
    tasks = [
        partial(_continued, problem, together, alphas, each, None, None)
        for problem, together in zip(problems, found, strict=True)
    ]
    whole = all(len(together) == len(alphas) for together in found)
    return parallel(tasks, 1 if whole else at_once)
