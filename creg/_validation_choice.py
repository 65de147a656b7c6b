"""Arguments of the estimators that choose their penalty, and every sentence about bad ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from creg._validation import Float, check_choice, positive_array, short


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
