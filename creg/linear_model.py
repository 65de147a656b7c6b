"""The estimators for one penalty: Lasso, ElasticNet, Ridge."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from creg._data.design import DesignView
from creg._given import Data, Penalty, standard_deviations
from creg._problem import L1Problem
from creg._ridge_problem import solve_ridge
from creg._solution import Solution, raise_if_stopped, rounded
from creg._validation import (
    Bounds,
    Float,
    Matrix,
    Target,
    check_coef,
    check_features,
    check_flag,
    check_number,
    check_options,
    check_penalty,
    check_ridge_solver,
    check_target,
    check_target_alphas,
    check_weights,
    frame_names,
    read_matrix_for,
    warn_unconverged,
)
from creg.design import Design, as_design
from creg.paths import L1_SOLVERS

RIDGE_SOLVERS = ("auto", "cholesky", "eigen", "cg", "active_set")

_FITTED = (
    "coef_", "intercept_", "n_iter_", "dual_gap_", "scale_", "solver_", "n_features_in_",
    "feature_names_in_",
)  # fmt: skip


class LinearModel(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Predictions, and fitted attributes that appear together."""

    coef_: NDArray[Any]
    intercept_: float | NDArray[Any]
    _fitted: ClassVar[tuple[str, ...]] = _FITTED

    def predict(self, X: Matrix) -> NDArray[Any]:
        """Predictions for the rows of X.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix or array, frame, or Design

        Returns
        -------
        (n_samples,) or (n_samples, n_targets) ndarray

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before the first fit.
        ValueError, TypeError
            Where X is not as described or has other features than the fit saw.
        """
        check_is_fitted(self, "coef_")
        if isinstance(X, Design) or frame_names(X) is not None:
            owner, names = type(self).__name__, getattr(self, "feature_names_in_", None)
            design = as_design(X, owner)
            seen = design.shape, design.feature_names_in_
            check_features(*seen, self.n_features_in_, names, owner)
            X = design.storage.X
        else:
            X = read_matrix_for(self, X)
        product = X @ self.coef_.T
        return np.asarray(product + np.asarray(self.intercept_, dtype=product.dtype))

    def publish(
        self, design: Design, target: Target, solutions: list[Solution], penalty: Penalty,
        **more: Any,
    ) -> None:  # fmt: skip
        """Sets the fitted attributes, in the shapes that the target's shape asks for."""
        one = len(solutions) == 1
        coef = np.array([solution.dense(design.shape[1]) for solution in solutions])
        coef = rounded(coef, design.dtype, penalty.lower, penalty.upper)
        fitted: dict[str, Any] = {"coef_": coef[0] if one else coef, "intercept_": 0.0}
        if self.fit_intercept:
            intercepts = np.array([s.intercept for s in solutions])
            fitted["intercept_"] = float(intercepts[0]) if len(target.shape) == 1 else intercepts
        n_iter = [s.n_iter for s in solutions]
        fitted["n_iter_"] = n_iter[0] if one else np.array(n_iter)
        fitted["n_features_in_"] = design.shape[1]
        if design.feature_names_in_ is not None:
            fitted["feature_names_in_"] = design.feature_names_in_
        kept = {name: value for name, value in vars(self).items() if name not in self._fitted}
        self.__dict__ = kept | fitted | more

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class L1Model(LinearModel):
    """The fit of Lasso and ElasticNet."""

    def fit(self, X: Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fits the model.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix or array, frame, or Design
        y : (n_samples,) or (n_samples, n_targets) array
        sample_weight : (n_samples,) array or float, optional
            Row weights >= 0, rescaled to sum to n_samples.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Where a parameter or an argument is not as described; an earlier fit stays as it was.

        Warns
        -----
        ConvergenceWarning
            Where the duality gap is above the tolerance; the coefficients found are kept.
        """
        caller = type(self).__name__
        options = check_options(self.tol, self.max_iter, self.n_threads, self.solver, L1_SOLVERS)
        alpha = check_number("alpha", self.alpha, at_least=0)
        fit_intercept = check_flag("fit_intercept", self.fit_intercept)
        warm = check_flag("warm_start", self.warm_start)
        design = as_design(X, caller, unread=True)
        n_samples, n_features = design.shape
        target = check_target(y, n_samples, caller)
        weights = check_weights(sample_weight, n_samples)
        penalty = check_penalty(
            n_features,
            l1_ratio=self._l1_ratio(),
            standardize=self.standardize,
            positive=self.positive,
            bounds=self.bounds,
            penalty_weights=self.penalty_weights,
        )
        n_targets = target.columns.shape[1]
        starts = self._starts(n_targets, n_features) if warm else [None] * n_targets
        data = Data(
            design.storage, weights, fit_intercept, scaled=penalty.standardize,
            n_alphas=int(alpha > 0 and penalty.l1_ratio > 0), lone=n_targets == 1,
            n_threads=options.n_threads,
        )  # fmt: skip
        solutions = [
            raise_if_stopped(L1Problem(data, column, penalty).solve_at(alpha, options, start))
            for column, start in zip(target.columns.T, starts, strict=True)
        ]
        more = {"dual_gap_": _gaps(solutions)} | ({"scale_": data.scale_} if data.scaled else {})
        self.publish(design, target, solutions, penalty, **more)
        warn_unconverged(solutions, [alpha] * n_targets, options)
        return self

    @property
    def sparse_coef_(self) -> sparse.csr_array:
        """`coef_` in sparse form, (1, n_features) or (n_targets, n_features)."""
        check_is_fitted(self, "coef_")
        return sparse.csr_array(np.atleast_2d(self.coef_))

    def _starts(self, n_targets: int, n_features: int) -> list[Float] | list[None]:
        """The coefficients of the last fit, one vector a target, where their number fits."""
        coef = np.atleast_2d(getattr(self, "coef_", np.nan))
        if coef.shape != (n_targets, n_features) or not np.isfinite(coef).all():
            return [None] * n_targets
        return list(coef.astype(np.float64))

    def _l1_ratio(self) -> Any:
        raise NotImplementedError


def _gaps(solutions: list[Solution]) -> float | Float:
    gaps = np.array([solution.dual_gap for solution in solutions])
    return gaps if len(gaps) > 1 else float(gaps[0])


class Lasso(L1Model):
    """Least squares with an L1 penalty.

    Minimises over w and b, with n the number of rows and s rescaled to sum to n,
    ``1/(2 n) sum_i s_i (y_i - x_i w - b)^2 + alpha sum_j v_j |w_j|``
    subject to ``lower <= w <= upper``.

    Parameters
    ----------
    alpha : float
        Penalty, >= 0. 0 is least squares: the coefficients of minimum 2-norm where they are not
        unique.
    fit_intercept : bool
        Fit an intercept b, which is not penalised.
    standardize : bool
        Let the penalty act on the coefficients of the columns divided by their (weighted)
        standard deviations, divisor n; without an intercept by their root mean squares.
        `coef_` is for the columns as given.
    positive : bool
        The same as ``bounds=(0, inf)``.
    bounds : (lower, upper), optional
        Bounds of `coef_`, each a number or (n_features,), with lower <= 0 <= upper.
    penalty_weights : (n_features,) array, optional
        v >= 0; 0 leaves a feature unpenalised, inf leaves it out. Not rescaled.
    solver : {"auto", "cd"}
        "cd" is coordinate descent on working sets.
    tol : float
        The fit ends when the duality gap is at most tol times the objective of the null model
        (w = 0 but for unpenalised features, best intercept).
    max_iter : int
        Bound of the inner rounds for one target.
    warm_start : bool
        Start the next fit from `coef_` where the number of features is unchanged.
    n_threads : int, optional
        None: the cores that the process may use.

    Attributes
    ----------
    coef_ : (n_features,) or (n_targets, n_features) ndarray
        In X's dtype.
    intercept_ : float or (n_targets,) ndarray
    dual_gap_ : float or (n_targets,) ndarray
        Upper bound of objective minus optimum, rounding included.
    n_iter_ : int or (n_targets,) ndarray
    sparse_coef_ : csr_array
    scale_ : (n_features,) ndarray
        Column scales, with `standardize`.
    n_features_in_ : int
    feature_names_in_ : (n_features,) ndarray of str
        Where X was a frame.

    References
    ----------
    Tibshirani (1996), Regression shrinkage and selection via the lasso, Journal of the Royal
    Statistical Society B 58(1).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from creg import Lasso
    >>> X, y = load_diabetes(return_X_y=True)
    >>> int((Lasso(alpha=1.0).fit(X, y).coef_ != 0).sum())
    2
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        standardize: bool = False,
        positive: bool = False,
        bounds: Bounds = None,
        penalty_weights: ArrayLike | None = None,
        solver: str = "auto",
        tol: float = 1e-8,
        max_iter: int = 10_000,
        warm_start: bool = False,
        n_threads: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.positive = positive
        self.bounds = bounds
        self.penalty_weights = penalty_weights
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.n_threads = n_threads

    def _l1_ratio(self) -> float:
        return 1.0


class ElasticNet(L1Model):
    """Least squares with an L1 and a squared L2 penalty.

    Minimises over w and b, with n the number of rows and s rescaled to sum to n,
    ``1/(2 n) sum_i s_i (y_i - x_i w - b)^2 + alpha l1_ratio sum_j v_j |w_j|
    + alpha (1 - l1_ratio)/2 sum_j v_j w_j^2`` subject to ``lower <= w <= upper``.

    Parameters
    ----------
    alpha : float
        Penalty, >= 0. 0 is least squares: the coefficients of minimum 2-norm where they are not
        unique.
    l1_ratio : float in [0, 1]
        The share of the L1 penalty; 1 is the lasso, 0 is `Ridge` with alpha times the sum of the
        row weights.
    fit_intercept, standardize, positive, bounds, penalty_weights
        As in `Lasso`.
    solver, tol, max_iter, warm_start, n_threads
        As in `Lasso`.

    Attributes
    ----------
    coef_, intercept_, dual_gap_, n_iter_, sparse_coef_, scale_, n_features_in_, feature_names_in_
        As in `Lasso`.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        standardize: bool = False,
        positive: bool = False,
        bounds: Bounds = None,
        penalty_weights: ArrayLike | None = None,
        solver: str = "auto",
        tol: float = 1e-8,
        max_iter: int = 10_000,
        warm_start: bool = False,
        n_threads: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.positive = positive
        self.bounds = bounds
        self.penalty_weights = penalty_weights
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.n_threads = n_threads

    def _l1_ratio(self) -> float:
        return self.l1_ratio


class Ridge(LinearModel):
    """Least squares with a squared L2 penalty.

    Minimises over w and b ``sum_i s_i (y_i - x_i w - b)^2 + alpha sum_j v_j w_j^2`` subject to
    ``lower <= w <= upper``; the row weights s are not rescaled.

    Parameters
    ----------
    alpha : float or (n_targets,) array
        Penalty, >= 0, for all targets or for each. 0 is least squares: the coefficients of
        minimum 2-norm where they are not unique.
    fit_intercept, standardize, positive, bounds, penalty_weights
        As in `Lasso`.
    solver : {"auto", "cholesky", "eigen", "cg", "active_set"}
        "cg" is plain conjugate gradients on the normal equations from zero; "active_set" is what
        bounds use.
    tol : float
        For "cg": the 2-norm of ``X'S(y - Xw - b) - alpha V w`` is at most tol times that of
        w = 0. With bounds: the duality gap is at most tol times the objective of the null model.
    max_iter : int, optional
        Bound of the steps for one target; None: the solver's choice.
    n_threads : int, optional
        None: the cores that the process may use.

    Attributes
    ----------
    coef_ : (n_features,) or (n_targets, n_features) ndarray
        In X's dtype.
    intercept_ : float or (n_targets,) ndarray
    n_iter_ : int or (n_targets,) ndarray
        1 for a direct solve.
    solver_ : str
        The method used in the end: "cholesky", "eigen", "svd", "cg" or "active_set".
    dual_gap_ : float or (n_targets,) ndarray
        With bounds: upper bound of objective minus optimum, rounding included.
    scale_, n_features_in_, feature_names_in_
        As in `Lasso`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from creg import Ridge
    >>> X, y = load_diabetes(return_X_y=True)
    >>> Ridge(alpha=0.1).fit(X, y).coef_.shape
    (10,)
    """

    def __init__(
        self,
        alpha: float | ArrayLike = 1.0,
        *,
        fit_intercept: bool = True,
        standardize: bool = False,
        positive: bool = False,
        bounds: Bounds = None,
        penalty_weights: ArrayLike | None = None,
        solver: str = "auto",
        tol: float = 1e-8,
        max_iter: int | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.positive = positive
        self.bounds = bounds
        self.penalty_weights = penalty_weights
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.n_threads = n_threads

    def fit(self, X: Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fits the model.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix or array, frame, or Design
        y : (n_samples,) or (n_samples, n_targets) array
        sample_weight : (n_samples,) array or float, optional
            Row weights >= 0, as given.

        Returns
        -------
        self

        Raises and warns as `Lasso.fit`.
        """
        caller = type(self).__name__
        limits = (self.tol, self.max_iter, self.n_threads)
        options = check_options(*limits, self.solver, RIDGE_SOLVERS, unlimited=True)
        fit_intercept = check_flag("fit_intercept", self.fit_intercept)
        design = as_design(X, caller, unread=True)
        target = check_target(y, design.shape[0], caller)
        weights = check_weights(sample_weight, design.shape[0])
        penalty = check_penalty(
            design.shape[1],
            l1_ratio=0.0,
            standardize=self.standardize,
            positive=self.positive,
            bounds=self.bounds,
            penalty_weights=self.penalty_weights,
        )
        bounded = self.positive or self.bounds is not None
        check_ridge_solver(options.solver, bounded)
        alphas = check_target_alphas(self.alpha, target.columns.shape[1])
        solutions = solve_ridge(
            design.storage,
            target.columns,
            alphas,
            sample_weight=weights,
            fit_intercept=fit_intercept,
            penalty=penalty,
            options=options,
        )
        for solution in solutions:
            raise_if_stopped(solution)
        more: dict[str, Any] = {"solver_": solutions[0].method}
        if bounded:
            more["dual_gap_"] = _gaps(solutions)
        if penalty.standardize:
            view = DesignView(design.storage, weights, centre=fit_intercept)
            more["scale_"] = standard_deviations(view)
        self.publish(design, target, solutions, penalty, **more)
        warn_unconverged(solutions, alphas.tolist(), options)
        return self


def adaptive_weights(model: Any, *, power: float = 1.0) -> Float:
    """Penalty weights ``1 / |coef|^power`` for a second, adaptive fit.

    Parameters
    ----------
    model : fitted estimator or (n_features,) array
        A first fit of one target, or its coefficients. Where the estimator standardised, the
        coefficients of the scaled columns count.
    power : float
        > 0.

    Returns
    -------
    (n_features,) ndarray
        To be given as `penalty_weights`; inf where the coefficient is zero.

    References
    ----------
    Zou (2006), The adaptive lasso and its oracle properties, JASA 101(476).
    """
    power = check_number("power", power, above=0)
    if isinstance(model, BaseEstimator):
        check_is_fitted(model, "coef_")
    size = np.abs(check_coef("model", getattr(model, "coef_", model)))
    if isinstance(model, LinearModel):  # scale_ is something else in other libraries
        size *= getattr(model, "scale_", 1.0)
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(1 / size**power)
