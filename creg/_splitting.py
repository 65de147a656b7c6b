"""Rows of the folds of cross-validation, from anything that scikit-learn splits by."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from creg._validation import Float
from creg._validation_choice import check_fold


def split_rows(
    cv: Any, X: Any, y: ArrayLike, weights: Float | None, params: dict[str, Any]
) -> Iterator[tuple[Float, NDArray[np.intp]]]:
    """How often each row is trained on, (n_samples,), and the held-out rows of each fold.

    Raises
    ------
    ValueError
        Where a fold is empty, trains on nothing of positive weight, or no fold holds out
        any such row.
    """
    target = np.asarray(y)
    count, held_out = 0, False
    for k, (counts, rows) in enumerate(_each(cv, X, target, params)):
        if weights is not None and not np.any(weights[counts > 0]):
            raise ValueError(
                "sample_weight must be positive in some training row of every fold of cv; "
                f"got only zeros in fold {k}."
            )
        held_out |= weights is None or bool(weights[rows].any())
        count += 1
        yield counts, rows
    if not held_out:
        raise ValueError(
            "cv must give a fold with held-out rows of positive sample_weight; "
            f"got {count} folds without."
        )


def _each(
    cv: Any, X: Any, target: NDArray[Any], params: dict[str, Any]
) -> Iterator[tuple[Float, NDArray[np.intp]]]:
    """The same, before weights are looked at."""
    n, parts = len(target), 5 if cv is None else cv
    parts = int(parts) if isinstance(parts, Integral) else 0
    if not params and 2 <= parts <= n:
        # what KFold yields
        stop, (size, longer) = 0, divmod(n, parts)
        for k in range(parts):
            start, stop = stop, stop + size + (k < longer)
            counts = np.ones(n)
            counts[start:stop] = 0.0
            yield counts, np.arange(start, stop)
        return
    for k, (train, test) in enumerate(check_cv(cv, target).split(X, target, **params)):
        counts = np.bincount(check_fold(k, train, "training", n), minlength=n).astype(float)
        yield counts, check_fold(k, test, "held-out", n)


def routed(
    estimator: BaseEstimator, params: dict[str, Any], weights: Float | None, scores: bool
) -> dict[str, dict[str, Any]]:
    """What the splitter, and with `scores` the scorer, are given of the metadata that `fit` got."""
    if not get_config()["enable_metadata_routing"]:
        if params:
            raise ValueError(
                f"fit got {', '.join(sorted(params))}, which are only passed on with "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        return {"scorer": {} if weights is None else {"sample_weight": weights}, "splitter": {}}
    if weights is not None:
        params = params | {"sample_weight": weights}
    found = process_routing(estimator, "fit", **params)
    return {"scorer": found.scorer.score if scores else {}, "splitter": found.splitter.split}


def router(estimator: BaseEstimator, cv: Any, scorer: Any = None) -> MetadataRouter:
    """Where `fit` sends metadata: to itself, the splitter and the scorer."""
    made = MetadataRouter(owner=estimator).add_self_request(estimator)
    if scorer is not None:
        to_score = MethodMapping().add(caller="fit", callee="score")
        made.add(scorer=scorer, method_mapping=to_score)
    to_split = MethodMapping().add(caller="fit", callee="split")
    return made.add(splitter=check_cv(cv), method_mapping=to_split)
