"""Whole regularisation paths: lasso_path, enet_path, ridge_path; alpha_max."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from creg._along import Watch, geometric_grid, solve_along
from creg._given import Data, Options
from creg._problem import L1Problem
from creg._ridge_path import fell_short, solve_ridge_path
from creg._solution import Progress, Solutions, rounded
from creg._validation import (
    Bounds,
    Float,
    Matrix,
    check_alphas,
    check_flag,
    check_integer,
    check_number,
    check_options,
    check_penalty,
    check_single_target,
    check_target,
    check_weights,
    warn,
    warn_unconverged,
)
from creg.design import Design, as_design
from creg.path import Path

L1_SOLVERS = ("auto", "cd")


def lasso_path(
    X: Matrix,
    y: ArrayLike,
    *,
    eps: float = 1e-3,
    alphas: int | Sequence[float] | Float = 100,
    fit_intercept: bool = True,
    standardize: bool = False,
    sample_weight: ArrayLike | None = None,
    penalty_weights: ArrayLike | None = None,
    positive: bool = False,
    bounds: Bounds = None,
    solver: str = "auto",
    tol: float = 1e-8,
    max_iter: int = 10_000,
    max_features: int | None = None,
    n_threads: int | None = None,
    verbose: bool = False,
) -> Path:
    """Lasso fits along a descending sequence of penalties, each with its duality gap.

    `enet_path` with ``l1_ratio=1``, which says what the parameters and results are.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from creg import lasso_path
    >>> X, y = load_diabetes(return_X_y=True)
    >>> path = lasso_path(X, y)
    >>> path.coefs.shape
    (10, 100)
    """
    return enet_path(
        X, y, l1_ratio=1.0, eps=eps, alphas=alphas, fit_intercept=fit_intercept,
        standardize=standardize, sample_weight=sample_weight, penalty_weights=penalty_weights,
        positive=positive, bounds=bounds, solver=solver, tol=tol, max_iter=max_iter,
        max_features=max_features, n_threads=n_threads, verbose=verbose,
    )  # fmt: skip


def enet_path(
    X: Matrix,
    y: ArrayLike,
    *,
    l1_ratio: float = 0.5,
    eps: float = 1e-3,
    alphas: int | Sequence[float] | Float = 100,
    fit_intercept: bool = True,
    standardize: bool = False,
    sample_weight: ArrayLike | None = None,
    penalty_weights: ArrayLike | None = None,
    positive: bool = False,
    bounds: Bounds = None,
    solver: str = "auto",
    tol: float = 1e-8,
    max_iter: int = 10_000,
    max_features: int | None = None,
    n_threads: int | None = None,
    verbose: bool = False,
) -> Path:
    """Elastic-net fits along a descending sequence of penalties, each with its duality gap.

    At each alpha it minimises, over w and b,
    ``1/(2 n) sum_i s_i (y_i - x_i w - b)^2 + alpha l1_ratio sum_j v_j |w_j|
    + alpha (1 - l1_ratio)/2 sum_j v_j w_j^2`` subject to ``lower <= w <= upper``.

    Parameters
    ----------
    X : (n_samples, n_features) array, sparse matrix or array, frame, or Design
    y : (n_samples,) or (n_samples, 1) array
    l1_ratio : float in [0, 1]
        The share of the L1 penalty.
    eps : float in (0, 1]
        The smallest alpha of the grid over the largest.
    alphas : int or sequence of float
        How many alphas on the geometric grid that starts at `alpha_max`, or the alphas
        themselves (> 0).
    fit_intercept : bool
    standardize : bool
        Let the penalty act on the coefficients of the columns divided by their standard
        deviations. The results are for the columns as given.
    sample_weight : (n_samples,) array, optional
        Row weights s >= 0, rescaled to sum to n_samples.
    penalty_weights : (n_features,) array, optional
        v >= 0; 0 leaves a feature unpenalised, inf leaves it out.
    positive : bool
        The same as ``bounds=(0, inf)``.
    bounds : (lower, upper), optional
        Each a number or (n_features,), with lower <= 0 <= upper.
    solver : {"auto", "cd"}
        "cd" is coordinate descent on working sets.
    tol : float
        A fit ends when its duality gap is at most tol times the objective of the null model
        (w = 0 but for unpenalised features).
    max_iter : int
        Bound of the inner rounds at one alpha.
    max_features : int, optional
        Stop before the first alpha with more nonzero coefficients than this, with a UserWarning.
    n_threads : int, optional
        None: the cores that the process may use.
    verbose : bool
        Show progress on one line of standard error, where that is a terminal.

    Returns
    -------
    Path

    Raises
    ------
    ValueError, TypeError
        Names the argument that is not as described.

    Warns
    -----
    ConvergenceWarning
        Once, where the gap is above the tolerance at some alpha; names the worst one.

    References
    ----------
    Friedman, Hastie and Tibshirani (2010), Regularization paths for generalized linear models
    via coordinate descent, Journal of Statistical Software 33(1).
    """
    watch = Progress() if check_flag("verbose", verbose) else None
    return trace(
        X, y, watch, eps=eps, alphas=alphas, max_features=max_features,
        options=check_options(tol, max_iter, n_threads, solver, L1_SOLVERS),
        l1_ratio=l1_ratio, fit_intercept=fit_intercept, sample_weight=sample_weight,
        standardize=standardize, penalty_weights=penalty_weights, positive=positive, bounds=bounds,
    )  # fmt: skip


def ridge_path(
    X: Matrix,
    y: ArrayLike,
    alphas: Sequence[float] | Float,
    *,
    fit_intercept: bool = True,
    standardize: bool = False,
    sample_weight: ArrayLike | None = None,
    penalty_weights: ArrayLike | None = None,
    n_threads: int | None = None,
) -> Path:
    """Ridge fits at many penalties, for little more than the cost of one.

    Minimises at each alpha ``sum_i s_i (y_i - x_i w - b)^2 + alpha sum_j v_j w_j^2``, as `Ridge`
    does: from one eigendecomposition of the Gram matrix of the smaller side, from a Cholesky
    factor each where alphas are few, and for large sparse X from one Krylov space.

    Parameters
    ----------
    X : (n_samples, n_features) array, sparse matrix or array, frame, or Design
    y : (n_samples,) or (n_samples, n_targets) array
    alphas : sequence of float
        > 0, in any order.
    fit_intercept : bool
    standardize : bool
        Let the penalty act on the coefficients of the columns divided by their standard
        deviations. The results are for the columns as given.
    sample_weight : (n_samples,) array or float, optional
        Row weights s >= 0, as given.
    penalty_weights : (n_features,) array, optional
        v >= 0; 0 leaves a feature unpenalised, inf leaves it out.
    n_threads : int, optional
        None: the cores that the process may use.

    Returns
    -------
    Path
        With `alphas` descending and dense `coefs`, (n_features, n_alphas), or (n_targets,
        n_features, n_alphas) for several targets; `intercepts`, `n_nonzero`, `n_iters`, `r2` and
        `dual_gaps` then have a row for each target. `dual_gaps` is nan where alphas were
        solved directly (`n_iters` is 1 there), and where conjugate gradients were used
        ``|X'S(y - Xw - b) - alpha V w|^2 / (alpha min v)``, an upper bound of objective minus
        optimum (nan where some v is 0).

    Raises
    ------
    ValueError, TypeError
        Names the argument that is not as described.

    Warns
    -----
    ConvergenceWarning
        Where conjugate gradients stop above 1e-8 of the gradient at w = 0; names the worst alpha.

    References
    ----------
    Frommer and Maass (1999), Fast CG-based methods for Tikhonov-Phillips regularization, SIAM
    Journal on Scientific Computing 20(5).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from creg import ridge_path
    >>> X, y = load_diabetes(return_X_y=True)
    >>> ridge_path(X, y, [0.01, 0.1, 1.0]).coefs.shape
    (10, 3)
    """
    options = check_options(1e-8, None, n_threads, "auto", L1_SOLVERS, unlimited=True)
    check_flag("fit_intercept", fit_intercept)
    wanted = check_alphas(alphas, l1_ratio=0.0)
    design = as_design(X, "ridge_path", unread=True)
    target = check_target(y, design.shape[0], "ridge_path")
    weights = check_weights(sample_weight, design.shape[0])
    penalty = check_penalty(
        design.shape[1], l1_ratio=0.0, standardize=standardize, positive=False, bounds=None,
        penalty_weights=penalty_weights,
    )  # fmt: skip
    found = solve_ridge_path(
        design.storage, target.columns, np.asarray(wanted), sample_weight=weights,
        fit_intercept=fit_intercept, penalty=penalty, options=options,
    )  # fmt: skip
    least = 1.0 if penalty.weights is None else float(penalty.weights.min())
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        gaps = found.residuals * (found.residuals / (np.asarray(wanted) * least))
    gaps[~np.isfinite(gaps)] = np.nan
    one = target.columns.shape[1] == 1
    coefs = found.coefs[0] if one else found.coefs
    per_alpha: dict[str, Any] = {
        "intercepts": found.intercepts,
        "dual_gaps": gaps,
        "n_iters": found.n_iters,
        "n_nonzero": np.count_nonzero(found.coefs, axis=1),
        "r2": found.r2,
    }
    path = Path(
        alphas=np.asarray(wanted),
        coefs=coefs.astype(design.dtype, copy=False),
        l1_ratio=0.0,
        feature_names=design.feature_names_in_,
        reads=float(found.reads),
        **{name: values[0] if one else values for name, values in per_alpha.items()},
    )
    short, where = fell_short(found, path.alphas, options.tol)
    if short:
        warn_unconverged(short, where, options)
    return path


def alpha_max(
    X: Matrix,
    y: ArrayLike,
    *,
    l1_ratio: float = 1.0,
    fit_intercept: bool = True,
    standardize: bool = False,
    sample_weight: ArrayLike | None = None,
    penalty_weights: ArrayLike | None = None,
    positive: bool = False,
    bounds: Bounds = None,
) -> float:
    """The smallest alpha (>= 0) at which all penalised coefficients are zero.

    Parameters
    ----------
    X, y, l1_ratio, fit_intercept, standardize, sample_weight, penalty_weights, positive, bounds
        As in `enet_path`; l1_ratio > 0. Only directions that the bounds leave open count.
    """
    check_number("l1_ratio", l1_ratio, above=0, at_most=1)
    problem, _ = _problem(
        X, y, "alpha_max", l1_ratio=l1_ratio, fit_intercept=fit_intercept,
        sample_weight=sample_weight, standardize=standardize, penalty_weights=penalty_weights,
        positive=positive, bounds=bounds,
    )  # fmt: skip
    return float(problem.alpha_max)


def trace(
    X: Matrix,
    y: Any,
    watch: Watch | None,
    *,
    eps: Any,
    alphas: Any,
    max_features: Any,
    options: Options,
    **model: Any,
) -> Path:
    """The path of `enet_path`; `watch` is called after each alpha with how many there are."""
    ratio = check_number("eps", eps, above=0, at_most=1)
    wanted = check_alphas(alphas, l1_ratio=model["l1_ratio"])
    most = None if max_features is None else check_integer("max_features", max_features, at_least=1)
    n_alphas = wanted if isinstance(wanted, int) else len(wanted)
    problem, design = _problem(X, y, "a path", n_alphas, options.n_threads, **model)
    if isinstance(wanted, int):
        wanted = geometric_grid(problem.alpha_max, wanted, ratio)
    try:
        solutions = solve_along(problem, wanted, options, most, watch)
    finally:
        if isinstance(watch, Progress):
            watch.close()
    path = collect(solutions, wanted[: len(solutions)], design, problem, model["l1_ratio"])
    if len(solutions) < len(wanted):
        warn(
            f"The path ends after {len(solutions)} of {len(wanted)} alphas: at the next one more "
            f"than max_features={most} coefficients are nonzero.",
            UserWarning,
        )
    if np.any(solutions.dual_gaps > options.tol * solutions.null_objectives):
        warn_unconverged(solutions.list(), path.alphas.tolist(), options)
    return path


def _problem(
    X: Matrix, y: Any, caller: str, n_alphas: int = 0, n_threads: int = 1, **model: Any
) -> tuple[L1Problem, Design]:
    """Everything that does not depend on alpha."""
    sample_weight, fit_intercept = model.pop("sample_weight"), model.pop("fit_intercept")
    check_flag("fit_intercept", fit_intercept)
    design = as_design(X, caller, unread=True)
    target = check_single_target(y, design.shape[0], caller)
    weights = check_weights(sample_weight, design.shape[0])
    penalty = check_penalty(design.shape[1], **model)
    if penalty.l1_ratio == 0:
        n_alphas = 0
    data = Data(
        design.storage, weights, fit_intercept, scaled=penalty.standardize, n_alphas=n_alphas,
        n_threads=n_threads,
    )  # fmt: skip
    return L1Problem(data, target, penalty), design


def collect(
    solutions: Solutions, alphas: Float, design: Design, problem: L1Problem, l1_ratio: float
) -> Path:
    """The path of solutions that are in the user's units, in X's dtype."""
    indices = solutions.indices
    shape, penalty = (design.shape[1], len(solutions)), problem.penalty
    lower, upper = (
        b if isinstance(b, float) else b[indices] for b in (penalty.lower, penalty.upper)
    )
    values = rounded(solutions.values, design.dtype, lower, upper)
    coefs = sparse.csc_array((values, indices, solutions.indptr), shape=shape)
    null = problem.null_objective
    return Path(
        alphas=alphas,
        coefs=coefs,
        intercepts=solutions.intercepts,
        dual_gaps=solutions.dual_gaps,
        n_iters=solutions.n_iters,
        n_nonzero=solutions.n_nonzero,
        r2=1 - solutions.losses / null if null > 0 else np.zeros(len(solutions)),
        l1_ratio=float(l1_ratio),
        feature_names=design.feature_names_in_,
        reads=float(solutions.reads.sum()),
    )
