"""Ridge at many alphas: from the user's units to a method of the right kind, and back."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from creg._data.storage import Storage
from creg._given import Options, Penalty
from creg._ridge.many import Fits, decomposed, krylov, one_by_one, squares
from creg._ridge.solver import prefers_iterations
from creg._ridge.system import RidgeSystem
from creg._ridge_problem import RidgeProblem
from creg._solution import Solution, Status

Float = NDArray[np.float64]

# Alphas up to which a Cholesky factor each costs less than one eigendecomposition, which takes
# as long as 8 (500 rows) to 16 (2000 rows) of them.
FEW, ROWS_FOR_ONE_MORE, MOST = 7, 170, 16
MAX_ITER = 10_000


class RidgePath(NamedTuple):
    """Fits of some targets at all alphas, in the user's units.

    Attributes
    ----------
    coefs : (n_targets, n_features, n_alphas)
    intercepts, r2 : (n_targets, n_alphas)
        r2 is the explained fraction of what the null model leaves.
    n_iters : (n_targets, n_alphas) int
    residuals, null_residuals : (n_targets, n_alphas)
        2-norms of X'S(y - Xw - b) - alpha V w at the end and at w = 0 where conjugate gradients
        were used; nan elsewhere.
    reads : float
    statuses : (n_targets, n_alphas) int
    """

    coefs: Float
    intercepts: Float
    r2: Float
    n_iters: NDArray[np.intp]
    residuals: Float
    null_residuals: Float
    reads: float
    statuses: NDArray[np.intp]


def solve_ridge_path(
    storage: Storage,
    Y: Float,
    alphas: Float,
    *,
    sample_weight: Float | None,
    fit_intercept: bool,
    penalty: Penalty,
    options: Options,
) -> RidgePath:
    """Ridge at alphas > 0 for the targets Y (n_samples, t).

    `options` gives the tolerance of conjugate gradients, as `solve_ridge` has it, and the threads.
    """
    direct = Options(n_threads=options.n_threads, solver="eigen")
    problem = RidgeProblem(storage, Y, sample_weight, fit_intercept, penalty, direct)
    system, effective = problem.solver.system(float(alphas[0]))
    members = list(range(Y.shape[1]))
    in_units = problem.targets.block(members)
    with problem.solver.blas_threads():
        if not system.n_columns:
            fits = Fits.empty(0, Y.shape[1], alphas.size)
            fits.loss[:] = squares(system, in_units)[:, None]
        elif effective == 0:
            fits = _repeated(problem, system, alphas, in_units)
        else:
            fits = _fits(problem, system, alphas, in_units, options)
        null = _null_losses(system, in_units)
    return _in_user_units(problem, system, alphas, fits, null)


def _fits(
    problem: RidgeProblem, system: RidgeSystem, alphas: Float, Y: Float, options: Options
) -> Fits:
    side = min(system.view.n_samples, system.n_columns)
    if prefers_iterations(system):
        return krylov(system, alphas, Y, options.tol, options.max_iter or MAX_ITER)
    cross = problem.cross_of_first
    known = cross[system.columns, None] if cross is not None and Y.shape[1] == 1 else None
    few = alphas.size <= min(FEW + side / ROWS_FOR_ONE_MORE, MOST)
    if few or not np.all(system.sigma > 0):
        return one_by_one(problem.solver, system, alphas, Y, known)
    return decomposed(problem.solver, system, alphas, Y, known)


def _repeated(problem: RidgeProblem, system: RidgeSystem, alphas: Float, Y: Float) -> Fits:
    """Nothing is penalised: least squares at every alpha."""
    once = one_by_one(problem.solver, system, np.zeros(1), Y, None)
    fits = Fits.empty(system.n_columns, Y.shape[1], alphas.size)
    fits.W[:], fits.loss[:] = once.W, once.loss
    return fits


def _null_losses(system: RidgeSystem, Y: Float) -> Float:
    """||y||^2 less what the unpenalised columns explain, (t,)."""
    free = system.sigma == 0
    if not free.any():
        return squares(system, Y)
    left_out = np.full(system.view.n_features, np.inf)
    left_out[system.columns[free]] = 0.0
    alone = RidgeProblem.solver_of(system, left_out)
    part, alpha = alone.system(0.0)
    return one_by_one(alone, part, np.array([alpha]), Y, None).loss[:, 0]


def _in_user_units(
    problem: RidgeProblem, system: RidgeSystem, alphas: Float, fits: Fits, null: Float
) -> RidgePath:
    view, targets = system.view, problem.targets
    count = null.size
    coefs = np.zeros((count, view.n_features, alphas.size))
    intercepts = np.zeros((count, alphas.size))
    residuals, nulls = np.full_like(intercepts, np.nan), np.full_like(intercepts, np.nan)
    mean = view.mean[system.columns]
    for k in range(count):
        values = targets.in_user_units(k, fits.W[:, k] * system.scale[:, None])
        coefs[k, system.columns] = values
        if view.centred:
            intercepts[k] = targets.mean[k] - mean @ values
        with np.errstate(over="ignore", under="ignore"):
            residuals[k] = targets.in_user_units(k, fits.residual[k]) * fits.factor
            nulls[k] = targets.in_user_units(k, fits.null_residual[k]) * fits.factor
    explained = np.where(null > 0, null, 1.0)[:, None]
    r2 = np.where(null[:, None] > 0, 1 - fits.loss / explained, 0.0)
    return RidgePath(
        coefs, intercepts, r2, fits.n_iter, residuals, nulls, system.reads, fits.status
    )


def fell_short(path: RidgePath, alphas: Float, tol: float) -> tuple[list[Solution], list[float]]:
    """The solves whose residual is above the tolerance, as what a warning is made of."""
    solutions, where = [], []
    for t, k in np.argwhere(path.residuals > tol * path.null_residuals):
        solutions.append(
            Solution(
                indices=np.empty(0, dtype=np.intp),
                values=np.empty(0),
                intercept=0.0,
                dual_gap=float(path.residuals[t, k]),
                null_objective=float(path.null_residuals[t, k]),
                n_iter=int(path.n_iters[t, k]),
                status=Status(int(path.statuses[t, k])),
                reads=0.0,
                method="cg",
            )
        )
        where.append(float(alphas[k]))
    return solutions, where
