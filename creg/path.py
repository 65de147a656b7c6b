"""Whole regularisation paths: the functions that compute them and the `Path` they return."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from creg._along import Watch, geometric_grid, solve_along
from creg._archive import File, read, write
from creg._given import Data, Options
from creg._problem import L1Problem
from creg._solution import Progress, Solutions, rounded
from creg._validation import (
    Bounds,
    Float,
    Matrix,
    Names,
    check_alphas,
    check_features,
    check_flag,
    check_integer,
    check_number,
    check_options,
    check_penalty,
    check_single_target,
    check_weights,
    warn,
    warn_unconverged,
)
from creg.design import Design, as_design

if TYPE_CHECKING:
    from matplotlib.axes import Axes

L1_SOLVERS = ("auto", "cd")

_DENSE_LIMIT = 1e9  # bytes


@dataclass(frozen=True, eq=False, repr=False)
class Path:
    """The fits of one target at a descending sequence of penalties.

    It unpacks as scikit-learn's: ``alphas, coefs, dual_gaps = path``, with dense `coefs`.

    Attributes
    ----------
    alphas : (n_alphas,) ndarray
        Penalties, descending.
    coefs : (n_features, n_alphas) csc_array
        Coefficients, one column for each alpha, in X's dtype (an ndarray for ridge paths).
    intercepts : (n_alphas,) ndarray
        0 where none is fitted.
    dual_gaps : (n_alphas,) ndarray
        Upper bounds of objective minus optimum, rounding included.
    n_iters : (n_alphas,) ndarray of int
        Inner rounds used at each alpha.
    n_nonzero : (n_alphas,) ndarray of int
        Nonzero coefficients.
    r2 : (n_alphas,) ndarray
        Explained fraction of the sum of squares that the null model leaves (0 where it leaves
        none).
    l1_ratio : float
    feature_names : (n_features,) ndarray of str, or None
    reads : float
        Full reads of X that the path took.
    """

    alphas: Float
    coefs: Any
    intercepts: Float
    dual_gaps: Float
    n_iters: NDArray[np.intp]
    n_nonzero: NDArray[np.intp]
    r2: Float
    l1_ratio: float
    feature_names: Names | None
    reads: float

    def __repr__(self) -> str:
        n_features, n_alphas = self.coefs.shape
        ends = f" from {self.alphas[0]:.6g} to {self.alphas[-1]:.6g}" if n_alphas else ""
        most = f", up to {self.n_nonzero.max()} nonzero" if n_alphas else ""
        return f"Path({n_alphas} alphas{ends}, {n_features} features{most})"

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yields alphas, dense coefs and dual_gaps.

        Raises
        ------
        MemoryError
            Where dense `coefs` would take more than 1 GB; `.coefs` is the sparse form.
        """
        coefs = self.coefs
        if sparse.issparse(coefs):
            size = coefs.shape[0] * coefs.shape[1] * coefs.dtype.itemsize
            if size > _DENSE_LIMIT:
                raise MemoryError(
                    f"unpacking this path would make dense coefficients of {size / 1e9:.1f} GB; "
                    "take .alphas, .coefs (sparse) and .dual_gaps"
                )
            coefs = coefs.toarray()
        return iter((self.alphas, coefs, self.dual_gaps))

    def coef_at(self, alpha: float) -> tuple[NDArray[Any], float]:
        """Coefficients and intercept at any penalty.

        Parameters
        ----------
        alpha : float
            Between two fits the result is linear in alpha: exact for the lasso where the active
            set does not change. Below the smallest alpha it is the last fit, above the largest
            the first.

        Returns
        -------
        coef : (n_features,) ndarray
        intercept : float

        Raises
        ------
        ValueError, TypeError
            Where alpha is not a number >= 0, or the path has no alphas.
        """
        k, share = self._place(alpha)
        coef = (1 - share) * self._column(k)
        intercept = (1 - share) * self.intercepts[k]
        if share:
            coef += share * self._column(k + 1)
            intercept += share * self.intercepts[k + 1]
        return coef.astype(self.coefs.dtype, copy=False), float(intercept)

    def predict(self, X: Matrix, alpha: float | None = None) -> NDArray[Any]:
        """Predictions for the rows of X.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix or array, frame, or Design
        alpha : float, optional
            One penalty, as in `coef_at`; None: all `alphas`.

        Returns
        -------
        (n_samples, n_alphas) or, for one alpha, (n_samples,) ndarray
        """
        design = as_design(X, "Path")
        check_features(
            design.shape,
            design.feature_names_in_,
            self.coefs.shape[0],
            self.feature_names,
            "Path",
        )
        coefs, intercepts = (self.coefs, self.intercepts) if alpha is None else self.coef_at(alpha)
        product = design.storage.X @ coefs
        if sparse.issparse(product):
            product = product.toarray()
        return np.asarray(product + np.asarray(intercepts, dtype=product.dtype))

    def plot(
        self,
        ax: "Axes | None" = None,
        x: Literal["alpha", "l1_norm", "fraction"] = "alpha",
        names: Sequence[str] | None = None,
    ) -> "Axes":
        """Draws the coefficients along the path.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; None: a new figure.
        x : {"alpha", "l1_norm", "fraction"}
            The horizontal axis: the penalty (logarithmic, decreasing to the right), the sum of
            the absolute coefficients, or that as a fraction of its largest value.
        names : sequence of str, optional
            Labels of the features; None: `feature_names`, or their numbers.

        Raises
        ------
        ImportError
            Without matplotlib, which the extra ``creg[plot]`` installs.
        """
        from creg.plotting import plot_path

        return plot_path(self, ax, x, names)

    def save(self, file: File) -> None:
        """Writes the path to an ``.npz`` file that holds no pickles.

        Parameters
        ----------
        file : path or file opened for writing bytes
            A name is used as it is, with no ending added.
        """
        write(file, {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, file: File) -> Self:
        """Reads a path that `save` wrote; a ValueError where `file` holds none."""
        return cls(**read(file))

    def _column(self, k: int) -> NDArray[Any]:
        column = self.coefs[:, [k]]
        return np.asarray(column.toarray() if sparse.issparse(column) else column).ravel()

    def _place(self, alpha: float) -> tuple[int, float]:
        """k and t with alpha = (1 - t) alphas[k] + t alphas[k + 1], within the ends."""
        alpha = check_number("alpha", alpha, at_least=0)
        if not len(self.alphas):
            raise ValueError("the path must have at least one alpha; it was stopped before any.")
        after = int(np.searchsorted(-self.alphas, -alpha, side="right"))
        if after in (0, len(self.alphas)):
            return max(after - 1, 0), 0.0
        larger, smaller = self.alphas[after - 1], self.alphas[after]
        return after - 1, float((larger - alpha) / (larger - smaller))


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
