"""Estimators that choose their penalty."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.utils.metadata_routing import MetadataRouter

from creg._given import Options, Penalty, standard_deviations
from creg._ridge.folds import Fold
from creg._ridge.many_alphas import TOLERANCE
from creg._ridge.solver import LARGEST_GRAM
from creg._ridge_choice import Asked, Chosen, RidgeChoice
from creg._splitting import routed, router, split_rows
from creg._validation import (
    Float,
    Matrix,
    Target,
    check_flag,
    check_penalty,
    check_target,
    check_threads,
    check_weights,
    warn,
    warn_unconverged,
)
from creg._validation_choice import (
    check_given_alphas,
    check_ridge_criterion,
    check_side,
)
from creg.design import Design, as_design
from creg.linear_model import LinearModel

STILL = 1e-2  # of the largest criterion: a slope over log alpha that leaves little to be gained


class RidgeCV(LinearModel):
    """Ridge regression with alpha chosen by leave-one-out, GCV, the evidence, or cross-validation.

    Minimises over w and b ``sum_i s_i (y_i - x_i w - b)^2 + alpha sum_j v_j w_j^2``, as `Ridge`.
    Without `cv` one decomposition of X serves all alphas, and X is not copied.

    Parameters
    ----------
    alphas : (n_alphas,) array, optional
        Penalties, > 0. None: 100 alphas in geometric progression, from 10 times the largest
        eigenvalue of X'SX (centred, in units of the penalty) down to a hundredth of the smallest.
    criterion : {"loo", "gcv", "evidence"}
        "loo": the mean squared error of exact leave-one-out predictions, weighted by the row
        weights.
        "gcv": generalised cross-validation, ``||(I - H) y||^2 / n / (1 - tr H / n)^2``, with the
        weighted norm, n the rows of positive weight, and the intercept in H.
        "evidence": the marginal likelihood of ``w ~ N(0, sigma^2 / alpha)``, maximised over
        sigma^2, with a flat prior on the intercept and on unpenalised coefficients.
    scoring : str or callable, optional
        A scorer in place of the squared error, with "loo" (of all leave-one-out predictions) or
        `cv` (of each fold). Row weights are passed on to it.
    cv : int, splitter or iterable of (train, test), optional
        Cross-validation in place of leave-one-out, as in scikit-learn. Folds weigh the same; those
        whose held-out rows have no weight are left out.
    store_cv_results : bool
        Keep `cv_results_`; with "loo" and "gcv".
    alpha_per_target : bool
        Choose an alpha for each target.
    fit_intercept, standardize, penalty_weights
        As in `Ridge`. Leave-one-out and GCV keep the scales of all rows; a fold has its own.
    n_threads : int, optional
        None: the cores that the process may use.

    Attributes
    ----------
    alpha_ : float or (n_targets,) ndarray
        With `alpha_per_target` and several targets, one for each.
    alphas_ : (n_alphas,) ndarray
        As given, or the grid, descending.
    criterion_path_ : (n_alphas,) or (n_targets, n_alphas) ndarray
        The criterion, or the scores, at each alpha: means over targets (the evidence: sums), or
        with `alpha_per_target` of each.
    best_score_ : float or (n_targets,) ndarray
        At `alpha_`, the larger the better: minus the error, the log evidence, or the score.
    df_ : float or (n_targets,) ndarray
        Effective degrees of freedom ``tr H`` at `alpha_`, the intercept not counted. Not where
        conjugate gradients were used.
    noise_variance_ : float or (n_targets,) ndarray
        sigma^2 of the evidence.
    cv_results_ : (n_samples, n_alphas) or (n_samples, n_targets, n_alphas) ndarray
        Squared errors of the rows, or with `scoring` their leave-one-out predictions.
    coef_, intercept_, n_iter_, scale_, n_features_in_, feature_names_in_
        As in `Ridge`.

    Notes
    -----
    Of equal criteria the one of the largest alpha is taken. Where n_samples and n_features both
    exceed 15,000 nothing is decomposed, and `cv` has to be given; large sparse X is then solved by
    conjugate gradients at each alpha, and the default grid ends at 1e-6 of the largest eigenvalue.

    References
    ----------
    Allen (1974), The relationship between variable selection and data augmentation and a method
    for prediction, Technometrics 16(1).
    Golub, Heath & Wahba (1979), Generalized cross-validation as a method for choosing a good ridge
    parameter, Technometrics 21(2).
    MacKay (1992), Bayesian interpolation, Neural Computation 4(3).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from creg import RidgeCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = RidgeCV(alphas=[0.001, 0.01, 0.1, 1.0]).fit(X, y)
    >>> model.alpha_
    0.01
    """

    _fitted = (
        *LinearModel._fitted, "alpha_", "alphas_", "criterion_path_", "best_score_", "df_",
        "noise_variance_", "cv_results_",
    )  # fmt: skip

    def __init__(
        self,
        alphas: ArrayLike | None = None,
        *,
        criterion: str = "loo",
        scoring: str | Callable[..., float] | None = None,
        cv: Any = None,
        store_cv_results: bool = False,
        alpha_per_target: bool = False,
        fit_intercept: bool = True,
        standardize: bool = False,
        penalty_weights: ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.alphas = alphas
        self.criterion = criterion
        self.scoring = scoring
        self.cv = cv
        self.store_cv_results = store_cv_results
        self.alpha_per_target = alpha_per_target
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.penalty_weights = penalty_weights
        self.n_threads = n_threads

    def fit(
        self, X: Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None, **params: Any
    ) -> Self:
        """Chooses alpha and fits the model.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix or array, frame, or Design
        y : (n_samples,) or (n_samples, n_targets) array
        sample_weight : (n_samples,) array or float, optional
            Row weights >= 0, as given.
        **params
            With scikit-learn's metadata routing enabled: what the splitter (such as `groups`) and
            the scorer asked for.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Where a parameter or an argument is not as described, or could not act beside another;
            an earlier fit stays as it was.

        Warns
        -----
        UserWarning
            Where the best alpha is at an end of the default grid, and the criterion not flat there.
        ConvergenceWarning
            Where conjugate gradients stopped short.
        """
        caller = type(self).__name__
        store = check_flag("store_cv_results", self.store_cv_results)
        criterion = check_ridge_criterion(self.criterion, self.scoring, self.cv, store)
        per_target = check_flag("alpha_per_target", self.alpha_per_target)
        fit_intercept = check_flag("fit_intercept", self.fit_intercept)
        alphas, n_threads = check_given_alphas(self.alphas), check_threads(self.n_threads)
        design = as_design(X, caller, unread=True)
        n_samples, n_features = design.shape
        target = check_target(y, n_samples, caller)
        weights = check_weights(sample_weight, n_samples)
        penalty = check_penalty(
            n_features, l1_ratio=0.0, standardize=self.standardize, positive=False, bounds=None,
            penalty_weights=self.penalty_weights,
        )  # fmt: skip
        metadata = routed(self, params, weights, scores=self.scoring is not None)
        score = None
        if self.scoring is not None:
            scorer = check_scoring(self, scoring=self.scoring)
            score = _Scores(scorer, np.asarray(y, dtype=float), per_target, metadata["scorer"])
        asked = Asked(alphas, criterion, per_target, store, score)
        problem = RidgeChoice(
            design.storage, target.columns, weights, fit_intercept, penalty, n_threads
        )
        if self.cv is None:
            used = n_samples if weights is None else int(np.count_nonzero(weights))
            check_side(used, _taking_part(penalty, n_features), LARGEST_GRAM)
            chosen = problem.choose(asked)
        else:
            design.storage.verify()
            splits = split_rows(self.cv, design.storage.X, y, weights, metadata["splitter"])
            folds = [
                Fold(counts if weights is None else counts * weights, test)
                for counts, test in splits
            ]
            chosen = problem.choose_by_folds(asked, folds)
        self._publish(design, target, problem, asked, chosen)
        return self

    def _publish(
        self, design: Design, target: Target, problem: RidgeChoice, asked: Asked, chosen: Chosen
    ) -> None:
        at = np.arange(len(chosen.best)), chosen.best
        each = asked.per_target and target.columns.shape[1] > 1

        def shaped(values: NDArray[Any]) -> Any:
            return np.array(values) if each else values[0].item()

        score = chosen.criterion[at]
        more = {
            "alphas_": chosen.alphas,
            "alpha_": shaped(chosen.alphas[chosen.best]),
            "criterion_path_": chosen.criterion if each else chosen.criterion[0],
            "best_score_": shaped(score if asked.maximised else -score),
        }
        if chosen.degrees is not None:
            more["df_"] = shaped(chosen.degrees)
        if chosen.noise_variance is not None:
            more["noise_variance_"] = shaped(chosen.noise_variance)
        if chosen.rows is not None:
            one = len(target.shape) == 1
            rows = chosen.rows[:, 0] if one else chosen.rows
            more["cv_results_"] = rows.astype(design.dtype, copy=False)
        if problem.penalty.standardize:
            more["scale_"] = standard_deviations(problem.view)
        self.publish(design, target, chosen.solutions, problem.penalty, **more)
        _warn(asked, chosen)

    def get_metadata_routing(self) -> MetadataRouter:
        """Where metadata that `fit` is given go: to the scorer and to the splitter.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
        """
        scorer = None if self.scoring is None else check_scoring(self, scoring=self.scoring)
        return router(self, self.cv, scorer)


def _taking_part(penalty: Penalty, n_features: int) -> int:
    if penalty.weights is None:
        return n_features
    return int(np.count_nonzero(penalty.weights < np.inf))


class _Predictions(RegressorMixin, BaseEstimator):
    """Stands for a model where a scorer is given predictions in place of X."""

    def fit(self, _X: Any, _y: Any) -> Self:
        """Nothing."""
        return self

    def predict(self, X: Any) -> Any:
        """X, which are predictions."""
        return X


class _Scores:
    """A scorer applied to predictions, with the metadata of their rows."""

    def __init__(
        self, scorer: Callable[..., float], y: Float, per_target: bool, params: dict[str, Any]
    ) -> None:
        self._scorer, self._y, self._per_target, self._params = scorer, y, per_target, params

    def __call__(self, rows: NDArray[np.intp], predictions: Float) -> Float:
        """(1, a), or (t, a) where each target has its own, for predictions (n_rows, t, a)."""
        y, n = self._y[rows], len(self._y)
        params = {
            name: np.asarray(value)[rows] if np.shape(value)[:1] == (n,) else value
            for name, value in self._params.items()
        }
        model = _Predictions()
        scores = []
        for at in np.moveaxis(predictions, 2, 0):
            if self._per_target:
                targets = y.reshape(len(y), -1)
                pairs = [(at[:, k], targets[:, k]) for k in range(at.shape[1])]
            else:
                pairs = [(at.reshape(y.shape), y)]
            scores.append([float(self._scorer(model, *pair, **params)) for pair in pairs])
        return np.array(scores).T


def _warn(asked: Asked, chosen: Chosen) -> None:
    """One warning of a kind: iterations that stopped short, and a grid that may be too short."""
    short = [(left, alpha) for alpha, left in chosen.shortfalls if left > TOLERANCE]
    if short:
        left, alpha = max(short)
        warn(
            f"Not converged in {len(short)} of {len(chosen.shortfalls)} solves, the worst at "
            f"alpha={alpha:.6g}: the residual of the normal equations is {left:.3g} times that of "
            f"w = 0, above the tolerance {TOLERANCE:.3g}; give larger alphas.",
            ConvergenceWarning,
        )
    else:
        best = np.broadcast_to(chosen.alphas[chosen.best], len(chosen.solutions))
        warn_unconverged(chosen.solutions, best.tolist(), Options(max_iter=None))
    if chosen.is_rounded:
        warn(
            "The columns of X differ so much in size that the criterion is rounding at the "
            "smallest alphas; the coefficients are exact at the alpha chosen. standardize=True "
            "or larger alphas give a criterion that can be relied on.",
            UserWarning,
        )
    if asked.alphas is None:
        path = np.where(np.isfinite(chosen.criterion), chosen.criterion, 0.0)
        scale = np.max(np.abs(path), axis=1)
        for end, beside, word in ((0, 1, "larger"), (-1, -2, "smaller")):
            step = abs(np.log(chosen.alphas[end] / chosen.alphas[beside]))
            moves = np.abs(path[:, end] - path[:, beside]) > STILL * step * scale
            if np.any(moves & (chosen.best == np.arange(chosen.alphas.size)[end])):
                warn(
                    f"The best alpha is at the end of the default grid, {chosen.alphas[end]:.6g}, "
                    f"and the criterion still changes there; {word} ones, given as alphas, may be "
                    "better.",
                    UserWarning,
                )
