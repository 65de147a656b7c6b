"""Arguments of the estimators that choose their penalty, and every sentence about bad ones."""

from collections.abc import Callable
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import DataConversionWarning

from creg._validation import (
    Float,
    Target,
    check_choice,
    check_integer,
    check_number,
    check_single_target,
    check_target,
    positive_array,
    short,
    warn,
)


def check_given_alphas(alphas: Any) -> Float | None:
    """The alphas, > 0, in the order given; None for a grid."""
    if alphas is None:
        return None
    wanted = "alphas must be None or a sequence of finite numbers > 0"
    if np.ndim(alphas) != 1 or np.size(alphas) == 0:
        raise (TypeError if np.ndim(alphas) == 0 else ValueError)(f"{wanted}; got {short(alphas)}.")
    return positive_array("alphas", alphas, wanted).copy()


def check_ridge_criterion(criterion: Any, scoring: Any, cv: Any, store: bool) -> str:
    """What RidgeCV minimises, with nothing beside it that could not act."""
    criterion = check_choice("criterion", criterion, ("loo", "gcv", "evidence"))
    if cv is not None and criterion != "loo":
        raise ValueError(
            f"cv must be None with criterion={criterion!r}, which holds out no rows; got {cv!r}."
        )
    if scoring is not None and criterion != "loo":
        raise ValueError(
            f"scoring must be None with criterion={criterion!r}, which is no score of predictions; "
            f"got {short(scoring)}."
        )
    if store and cv is not None:
        raise ValueError("store_cv_results must be False where cv is given; got True.")
    if store and criterion == "evidence":
        raise ValueError(
            "store_cv_results must be False with criterion='evidence', which is no sum over rows; "
            "got True."
        )
    return criterion


def check_side(n_samples: int, n_features: int, largest: int) -> None:
    """Whether the smaller side of X can be decomposed."""
    if min(n_samples, n_features) > largest:
        raise ValueError(
            f"X has {n_samples} rows of positive weight and {n_features} features, and without "
            f"cv= the smaller side is decomposed, which must be at most {largest}; give cv= (such "
            "as cv=5) for cross-validation, which does without where it is larger."
        )


def check_fold(number: int, rows: Any, kind: str, n_samples: int) -> NDArray[np.intp]:
    """Row numbers (or a mask) of one side of one fold of `cv`."""
    try:
        chosen = np.arange(n_samples)[np.asarray(rows)]
    except IndexError:
        chosen = np.zeros(0, dtype=np.intp)
    if chosen.ndim != 1 or chosen.size == 0:
        raise ValueError(
            f"cv must give one or more row numbers below {n_samples} for each side of a fold; "
            f"the {kind} rows of fold {number} are {short(rows)}."
        )
    return chosen


CRITERIA = ("cv", "alo", "aic", "bic", "ebic")
INFORMATION = ("aic", "bic", "ebic")
Rule: TypeAlias = "str | Callable[[Any], int]"


def check_l1_criterion(criterion: Any, rule: Any, cv: Any, noise_variance: Any) -> str:
    """What LassoCV and ElasticNetCV minimise, with nothing beside it that could not act."""
    criterion = check_choice("criterion", criterion, CRITERIA)
    if not callable(rule):
        check_choice("rule", rule, ("min", "1se"))
    if isinstance(noise_variance, str):
        check_choice("noise_variance", noise_variance, ("cv",))
    elif noise_variance is not None:
        check_number("noise_variance", noise_variance, above=0)
    if noise_variance is not None and criterion not in INFORMATION:
        raise ValueError(
            f"noise_variance must be None with criterion={criterion!r}, which needs none; "
            f"got {noise_variance!r}."
        )
    by_cv = isinstance(noise_variance, str)
    if cv is not None and criterion != "cv" and not by_cv:
        raise ValueError(
            f"cv must be None with criterion={criterion!r}, which holds out no rows; "
            f"got {short(cv)}."
        )
    if rule == "1se" and criterion in INFORMATION:
        raise ValueError(
            f"rule must be 'min' or a callable with criterion={criterion!r}, which has no standard "
            "error; got '1se'."
        )
    return criterion


def check_l1_ratios(l1_ratio: Any) -> tuple[list[float], bool]:
    """The l1_ratios, and whether a sequence of several was given."""
    if np.ndim(l1_ratio) == 0 and not isinstance(l1_ratio, np.ndarray):
        return [check_number("l1_ratio", l1_ratio, at_least=0, at_most=1)], False
    if np.ndim(l1_ratio) != 1 or np.size(l1_ratio) == 0:
        raise ValueError(
            f"l1_ratio must be a number in [0, 1] or a sequence of such; got {short(l1_ratio)}."
        )
    ratios = [check_number("l1_ratio", value, at_least=0, at_most=1) for value in l1_ratio]
    return ratios, len(ratios) > 1


def check_gammas(relax: Any) -> list[float] | None:
    """Shares of the penalised fit to be tried; None where it alone is wanted."""
    if isinstance(relax, (bool, np.bool_)):
        return [0.0] if relax else None
    if np.ndim(relax) == 0 and not isinstance(relax, np.ndarray):
        return [check_number("relax", relax, at_least=0, at_most=1)]
    if np.ndim(relax) != 1 or np.size(relax) == 0:
        raise ValueError(
            f"relax must be a bool, a number in [0, 1] or a sequence of such; got {short(relax)}."
        )
    return [check_number("relax", value, at_least=0, at_most=1) for value in relax]


def check_vector_target(y: Any, n_samples: int, caller: str) -> Target:
    """One target; a column, (n_samples, 1), is taken for a vector with scikit-learn's warning."""
    target = check_target(y, n_samples, caller)
    if len(target.shape) == 1:
        return target
    if target.columns.shape[1] != 1:
        check_single_target(y, n_samples, caller)
    warn(
        "A column-vector y was passed when a 1d array was expected: change the shape of y to "
        "(n_samples,), for example by ravel().",
        DataConversionWarning,
    )
    return target._replace(shape=(n_samples,))


def check_jobs(n_jobs: Any, n_threads: int) -> int:
    """How many folds at once: None and -1 are n_threads, which is also the most."""
    if n_jobs is None or (isinstance(n_jobs, Integral) and n_jobs == -1):
        return n_threads
    return min(check_integer("n_jobs", n_jobs, at_least=1), n_threads)


def check_index(index: Any, n_alphas: int) -> int:
    """What a rule returned: a position on the path."""
    if isinstance(index, Integral) and not isinstance(index, bool):
        position = int(index)
        if 0 <= position < n_alphas:
            return position
    raise ValueError(
        f"rule must return an index into path_.alphas, from 0 to {n_alphas - 1}; "
        f"got {short(index)}."
    )


def complain_noise_variance(n_samples: int, n_features: int) -> ValueError:
    """Where least squares leaves no residuals to estimate it from."""
    return ValueError(
        "noise_variance must be given, as a number or 'cv', where the rows of positive weight "
        f"({n_samples}) are not more than the features ({n_features}) and the intercept: least "
        "squares leaves nothing to estimate it from."
    )
