"""LassoCV and ElasticNetCV: the penalty chosen by cross-validation or a criterion."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Tags
from sklearn.utils.metadata_routing import MetadataRouter

from creg._choice.choice import Place, smallest, within_one_error
from creg._choice.folds import Fold, Rounds
from creg._choice.relaxed import blend
from creg._choice.search import Asked, Found, NoNoiseVarianceError, search
from creg._data.threads import single_blas
from creg._solution import Progress
from creg._splitting import routed, router, split_rows
from creg._validation import (
    Bounds,
    Matrix,
    Target,
    check_alphas,
    check_flag,
    check_number,
    check_options,
    check_penalty,
    check_weights,
    warn_unconverged,
)
from creg._validation_choice import (
    Rule,
    check_gammas,
    check_index,
    check_jobs,
    check_l1_criterion,
    check_l1_ratios,
    check_vector_target,
    complain_noise_variance,
)
from creg.design import Design, as_design
from creg.linear_model import L1Model
from creg.paths import L1_SOLVERS, collect

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class L1CV(L1Model):
    """The choice of LassoCV and ElasticNetCV."""

    _fitted = (
        *L1Model._fitted, "alpha_", "l1_ratio_", "gamma_", "alphas_", "mse_path_", "mse_mean_",
        "mse_se_", "alpha_min_", "alpha_1se_", "criterion_path_", "df_path_", "noise_variance_",
        "path_",
    )  # fmt: skip

    def fit(
        self, X: Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None, **params: Any
    ) -> Self:
        """Chooses the penalty and fits the model with it to all rows.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix or array, frame, or Design
        y : (n_samples,) or (n_samples, 1) array
        sample_weight : (n_samples,) array or float, optional
            Row weights >= 0, rescaled to sum to the number of rows of each fit; they weigh the
            errors of held-out rows too.
        **params
            With scikit-learn's metadata routing enabled: what the splitter asked for (`groups`).

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
        ConvergenceWarning
            Once, where a duality gap is above the tolerance: the worst alpha, and how many.
        """
        caller = type(self).__name__
        asked = self._asked()
        fit_intercept = check_flag("fit_intercept", self.fit_intercept)
        progress = Progress() if check_flag("verbose", self.verbose) else None
        design = as_design(X, caller, unread=True)
        n_samples, n_features = design.shape
        target = check_vector_target(y, n_samples, caller)
        weights = check_weights(sample_weight, n_samples)
        penalties = [
            check_penalty(
                n_features, l1_ratio=ratio, standardize=self.standardize, positive=self.positive,
                bounds=self.bounds, penalty_weights=self.penalty_weights,
            )
            for ratio in asked.ratios
        ]  # fmt: skip
        params = routed(self, params, weights, scores=False)["splitter"]
        rounds = Rounds(
            design.storage, np.ascontiguousarray(target.columns[:, 0]), weights, fit_intercept,
            penalties, asked.options,
        )  # fmt: skip
        folds: list[Fold] = []
        if asked.criterion == "cv" or isinstance(self.noise_variance, str):
            splits = split_rows(self.cv, design.storage.X, target.columns[:, 0], weights, params)
            folds = [Fold(counts, test) for counts, test in splits]
        try:
            with single_blas():
                found = search(rounds, asked, folds, progress)
        except NoNoiseVarianceError as error:
            raise complain_noise_variance(*error.args) from None
        finally:
            if progress is not None:
                progress.close()
        self._choose(design, target, asked, found)
        _warn(asked, found)
        return self

    def _asked(self) -> Asked:
        options = check_options(self.tol, self.max_iter, self.n_threads, self.solver, L1_SOLVERS)
        criterion = check_l1_criterion(self.criterion, self.rule, self.cv, self.noise_variance)
        ratios, several = check_l1_ratios(self._l1_ratio())
        noise = self.noise_variance
        return Asked(
            criterion=criterion,
            ratios=ratios,
            several=several,
            gammas=check_gammas(self.relax),
            alphas=check_alphas(self.alphas, l1_ratio=min(ratios)),
            eps=check_number("eps", self.eps, above=0, at_most=1),
            noise_variance=None if isinstance(noise, str) or noise is None else float(noise),
            options=options,
            n_jobs=check_jobs(self.n_jobs, options.n_threads),
        )

    def _choose(self, design: Design, target: Target, asked: Asked, found: Found) -> None:
        """The rule, and the fitted attributes, all at once."""
        alphas = [full.alphas for full in found.full]
        best = smallest(found.criterion, alphas)
        place = best
        more: dict[str, Any] = {}
        if found.error is not None:
            g, r, k = best.gamma, best.ratio, best.alpha
            within = within_one_error(found.criterion[g, r], found.error[g, r], k)
            more = {"alpha_min_": float(alphas[r][k]), "alpha_1se_": float(alphas[r][within])}
            if self.rule == "1se":
                place = replace(best, alpha=within)
        fitted = partial(self._fitted_at, design, target, asked, found, more)
        if callable(self.rule):
            shown = copy.copy(self)
            fitted(place, shown)
            index = check_index(self.rule(shown), len(alphas[place.ratio]))
            place = replace(place, alpha=index)
        fitted(place, self)

    def _fitted_at(
        self, design: Design, target: Target, asked: Asked, found: Found,
        more: dict[str, Any], place: Place, model: "L1CV",
    ) -> None:  # fmt: skip
        """The fitted attributes of `model`, chosen at `place`."""
        full, k = found.full[place.ratio], place.alpha
        problem, solutions = full.problem, full.solutions
        gap = float(solutions.dual_gaps[k])
        one_grid = not asked.several or not isinstance(asked.alphas, int)
        more = more | {
            "alpha_": float(full.alphas[k]),
            "l1_ratio_": asked.ratios[place.ratio],
            "alphas_": full.alphas if one_grid else np.array([f.alphas for f in found.full]),
            "path_": collect(solutions, full.alphas, design, problem, asked.ratios[place.ratio]),
            "dual_gap_": gap,
        }
        arrays = {"criterion_path_": found.criterion, "df_path_": found.df}
        if found.error is not None:
            arrays |= {"mse_mean_": found.criterion, "mse_se_": found.error}
        arrays["mse_path_"] = found.by_fold
        for name, values in arrays.items():
            if values is not None:
                more[name] = values[place.gamma] if asked.several else values[place.gamma, 0]
        if found.noise_variance is not None:
            more["noise_variance_"] = found.noise_variance
        if problem.penalty.standardize:
            more["scale_"] = problem.data.scale_
        solution = solutions[k]
        if asked.gammas is not None and full.refitted is not None:
            more["gamma_"] = asked.gammas[place.gamma]
            solution = blend(solutions, full.refitted, more["gamma_"])[k]
        model.publish(design, target, [solution], problem.penalty, **more)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the criterion against alpha.

        With cross-validation or leave-one-out: means and standard errors, and both rules marked;
        the number of nonzero coefficients is on top.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; None: a new figure.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before the first fit.
        ImportError
            Without matplotlib, which the extra ``creg[plot]`` installs.
        """
        from creg.plotting import plot_choice

        return plot_choice(self, ax)

    def get_metadata_routing(self) -> MetadataRouter:
        """Where metadata that `fit` is given go: to the splitter.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
        """
        return router(self, self.cv)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags


def _warn(asked: Asked, found: Found) -> None:
    """One warning for all that fell short."""
    pairs = [(full.solutions, full.alphas) for full in found.full]
    for fold in found.folds:
        pairs += [
            (solutions, full.alphas)
            for solutions, full in zip(fold.solutions, found.full, strict=True)
        ]
    solutions, alphas = [], []
    for along, at in pairs:
        if (along.dual_gaps > asked.options.tol * along.null_objectives).any():
            solutions += along.list()
            alphas += at.tolist()
    if solutions:
        warn_unconverged(solutions, alphas, asked.options)


class LassoCV(L1CV):
    """Lasso with alpha chosen by cross-validation, approximate leave-one-out or a criterion.

    The objective is that of `Lasso`. A fold is the same X under other row weights: nothing is
    copied, and every solve of every fold is certified as the last fit is.

    Parameters
    ----------
    eps : float in (0, 1]
        The smallest alpha of the grid over the largest.
    alphas : int or sequence of float
        How many alphas on the geometric grid that starts at `alpha_max` of all rows, or the alphas
        themselves (> 0). All folds share them.
    cv : int, splitter or iterable of (train, test), optional
        As in scikit-learn; None: 5 folds, not shuffled.
    criterion : {"cv", "alo", "aic", "bic", "ebic"}
        What is minimised.
        "cv": the squared error on held-out rows, weighted by `sample_weight`, averaged over folds
        that weigh the same (those whose held-out weights are all zero are left out).
        "alo": approximate leave-one-out, ``sum_i s_i (r_i / (1 - h_i))^2 / sum_i s_i`` with h the
        leverages of the active features; inf where some 1 - h_i <= 1e-10.
        "aic", "bic", "ebic": ``RSS / sigma^2 + n log(2 pi sigma^2) + k df`` with n the rows of
        positive weight and k = 2, log n, or log n + 2 log n_features.
    rule : {"min", "1se"} or callable
        "min": the best alpha. "1se": the largest whose mean is within one standard error of the
        best ("cv" and "alo"). A callable gets the estimator, fitted at the best alpha, and returns
        an index into `path_.alphas`.
    relax : bool, float in [0, 1], or sequence of such
        The share gamma of the penalised fit, the rest being the least-squares refit of its support
        (bounds kept; of minimum norm where it is not unique); True is 0. Errors, leverages and df
        are those of the blend. Several are chosen from together with alpha.
    noise_variance : float or "cv", optional
        sigma^2 of the information criteria. None: from least squares on all features, where there
        are more rows. "cv": ``RSS / (n - df - 1)`` at the alpha of the least cross-validated error.
    fit_intercept, standardize, positive, bounds, penalty_weights
        As in `Lasso`. With `standardize` each fold has scales of its own.
    solver, tol, max_iter, n_threads
        As in `Lasso`; of each solve.
    n_jobs : int, optional
        How many folds run at once, as threads, at most `n_threads`. None or -1: `n_threads`.
    verbose : bool
        Show progress on one line of standard error, where that is a terminal.

    Attributes
    ----------
    alpha_, l1_ratio_ : float
        What was chosen.
    gamma_ : float
        The share of the penalised fit, with `relax`.
    alphas_ : (n_alphas,) ndarray
        Descending.
    criterion_path_ : (n_alphas,) ndarray
        What was minimised; this and what follows at `gamma_`.
    mse_path_ : (n_alphas, n_folds) ndarray
        Errors on held-out rows; "cv" only. nan for folds that are left out.
    mse_mean_, mse_se_ : (n_alphas,) ndarray
        Mean error and its standard error, over folds or ("alo") over rows.
    alpha_min_, alpha_1se_ : float
        Of the two rules; "cv" and "alo".
    df_path_ : (n_alphas,) ndarray
        Degrees of freedom, the intercept not counted; not with "cv".
    noise_variance_ : float
        sigma^2 of the information criteria.
    path_ : Path
        All rows, without `relax`.
    dual_gap_ : float
        Of the penalised fit at `alpha_`.
    coef_, intercept_, n_iter_, sparse_coef_, scale_, n_features_in_, feature_names_in_
        As in `Lasso`.

    References
    ----------
    Rad and Maleki (2020), A scalable estimate of the out-of-sample prediction error via
    approximate leave-one-out cross-validation, Journal of the Royal Statistical Society B 82(4).
    Zou, Hastie and Tibshirani (2007), On the degrees of freedom of the lasso, Annals of
    Statistics 35(5).
    Chen and Chen (2008), Extended Bayesian information criteria for model selection with large
    model spaces, Biometrika 95(3).
    Hastie, Tibshirani and Tibshirani (2020), Best subset, forward stepwise or lasso?, Statistical
    Science 35(4).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from creg import LassoCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = LassoCV(rule="1se").fit(X, y)
    >>> model.alpha_ >= model.alpha_min_
    True
    """

    def __init__(
        self,
        *,
        eps: float = 1e-3,
        alphas: int | ArrayLike = 100,
        cv: Any = None,
        criterion: str = "cv",
        rule: Rule = "min",
        relax: bool | float | Sequence[float] = False,
        noise_variance: float | str | None = None,
        fit_intercept: bool = True,
        standardize: bool = False,
        positive: bool = False,
        bounds: Bounds = None,
        penalty_weights: ArrayLike | None = None,
        solver: str = "auto",
        tol: float = 1e-8,
        max_iter: int = 10_000,
        n_threads: int | None = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.eps = eps
        self.alphas = alphas
        self.cv = cv
        self.criterion = criterion
        self.rule = rule
        self.relax = relax
        self.noise_variance = noise_variance
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.positive = positive
        self.bounds = bounds
        self.penalty_weights = penalty_weights
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.n_threads = n_threads
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _l1_ratio(self) -> float:
        return 1.0


class ElasticNetCV(L1CV):
    """Elastic net with alpha, and l1_ratio if there are several, chosen as by `LassoCV`.

    The objective is that of `ElasticNet`.

    Parameters
    ----------
    l1_ratio : float in [0, 1] or sequence of such
        The share of the L1 penalty; of several the best is chosen. Where one of them is 0 the
        alphas must be given.
    eps, alphas, cv, criterion, rule, relax, noise_variance
        As in `LassoCV`. Each l1_ratio has a grid of its own; rules act within the best.
    fit_intercept, standardize, positive, bounds, penalty_weights
        As in `Lasso`.
    solver, tol, max_iter, n_threads, n_jobs, verbose
        As in `LassoCV`.

    Attributes
    ----------
    alphas_ : (n_alphas,) or (n_l1_ratios, n_alphas) ndarray
        The latter where several l1_ratios have grids of their own.
    criterion_path_, mse_mean_, mse_se_, df_path_ : (n_alphas,) or (n_l1_ratios, n_alphas) ndarray
    mse_path_ : (n_alphas, n_folds) or (n_l1_ratios, n_alphas, n_folds) ndarray
    path_ : Path
        At `l1_ratio_`.
    alpha_, l1_ratio_, gamma_, alpha_min_, alpha_1se_, noise_variance_, dual_gap_
        As in `LassoCV`.
    coef_, intercept_, n_iter_, sparse_coef_, scale_, n_features_in_, feature_names_in_
        As in `Lasso`.
    """

    def __init__(
        self,
        *,
        l1_ratio: float | Sequence[float] = 0.5,
        eps: float = 1e-3,
        alphas: int | ArrayLike = 100,
        cv: Any = None,
        criterion: str = "cv",
        rule: Rule = "min",
        relax: bool | float | Sequence[float] = False,
        noise_variance: float | str | None = None,
        fit_intercept: bool = True,
        standardize: bool = False,
        positive: bool = False,
        bounds: Bounds = None,
        penalty_weights: ArrayLike | None = None,
        solver: str = "auto",
        tol: float = 1e-8,
        max_iter: int = 10_000,
        n_threads: int | None = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.l1_ratio = l1_ratio
        self.eps = eps
        self.alphas = alphas
        self.cv = cv
        self.criterion = criterion
        self.rule = rule
        self.relax = relax
        self.noise_variance = noise_variance
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.positive = positive
        self.bounds = bounds
        self.penalty_weights = penalty_weights
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.n_threads = n_threads
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _l1_ratio(self) -> float | Sequence[float]:
        return self.l1_ratio
