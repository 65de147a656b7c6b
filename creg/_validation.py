"""Arguments of the public functions to arrays: every sentence about bad input is written here."""

import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import isfinite, nan
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import check_array, validate_data

from creg._data.storage import Storage
from creg._data.threads import usable_threads
from creg._data.vectors import all_finite
from creg._given import Options, Penalty
from creg._solution import Solution, unconverged

Float: TypeAlias = NDArray[np.float64]
Names: TypeAlias = NDArray[np.object_]
Matrix: TypeAlias = Any  # an array, a sparse matrix or array, a frame, or a Design
Bounds: TypeAlias = tuple[Any, Any] | None

_READ: dict[str, Any] = {"accept_sparse": ["csc", "csr"], "dtype": [np.float64, np.float32]}

_NUMBERS = "biufc"  # kinds of dtypes
_SMALL = 100_000


class Target(NamedTuple):
    """y as columns, and the shape that it came in."""

    columns: Float  # (n_samples, n_targets), Fortran-ordered
    shape: tuple[int, ...]


class _Reader(BaseEstimator):
    """Takes the attributes that validation sets, so that no estimator has them too early."""


def check_number(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
) -> float:
    """A finite real number within limits, as a float."""
    is_number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    number = float(value) if is_number else nan
    if (
        isfinite(number)
        and (at_least is None or number >= at_least)
        and (above is None or number > above)
        and (at_most is None or number <= at_most)
    ):
        return number
    limits = [f">= {at_least:g}" if at_least is not None else ""]
    limits += [f"> {above:g}" if above is not None else ""]
    limits += [f"<= {at_most:g}" if at_most is not None else ""]
    wanted = f"{name} must be a finite number {' and '.join(filter(None, limits))}".rstrip()
    raise (ValueError if is_number else TypeError)(f"{wanted}; got {short(value)}.")


def check_integer(name: str, value: Any, *, at_least: int) -> int:
    """An integer within limits, as an int."""
    wanted = f"{name} must be an integer >= {at_least}"
    if not isinstance(value, Integral) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{wanted}; got {short(value)}.")
    if value < at_least:
        raise ValueError(f"{wanted}; got {value}.")
    return int(value)


def check_flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; got {short(value)}.")
    return bool(value)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in choices:
        kind = ValueError if isinstance(value, str) else TypeError
        listed = ", ".join(repr(choice) for choice in choices)
        raise kind(f"{name} must be one of {listed}; got {short(value)}.")
    return value


def check_options(
    tol: Any,
    max_iter: Any,
    n_threads: Any,
    solver: Any,
    solvers: Sequence[str],
    *,
    unlimited: bool = False,
) -> Options:
    """The settings of a solver; `max_iter` may be None where `unlimited`."""
    if max_iter is not None or not unlimited:
        max_iter = check_integer("max_iter", max_iter, at_least=1)
    return Options(
        tol=check_number("tol", tol, at_least=0),
        max_iter=max_iter,
        n_threads=check_threads(n_threads),
        solver=check_choice("solver", solver, solvers),
    )


def check_threads(n_threads: Any) -> int:
    """How many threads to use: None is what the process may use."""
    if n_threads is not None:
        n_threads = check_integer("n_threads", n_threads, at_least=1)
    return usable_threads(n_threads)


def read_matrix(X: Matrix, caller: str) -> tuple[Storage, Names | None]:
    """X checked (numeric, two-dimensional, not empty) as a storage, and feature names.

    That the values are finite may be left to `Storage.verify`.
    """
    if _is_plain(X):
        if X.size <= _SMALL:
            _check_finite(X, "X", caller)
            return Storage(X), None
        check = partial(assert_all_finite, X, input_name="X", estimator_name=caller)
        return Storage(X, check), None
    if _is_plain_sparse(X):
        _check_indices(X)
        _check_finite(X.data, "X", caller)
        return Storage(X), None
    reader = _Reader()
    with _naming("X"):
        checked = validate_data(reader, _numeric("X", X), estimator=caller, **_READ)
        if sparse.issparse(checked):
            _check_indices(checked)
    return Storage(checked), getattr(reader, "feature_names_in_", frame_names(X))


def read_matrix_for(fitted: BaseEstimator, X: Matrix) -> Any:
    """X checked as above, and for the features that a fitted estimator saw."""
    if (
        _is_plain(X)
        and X.shape[1] == fitted.n_features_in_
        and not hasattr(fitted, "feature_names_in_")
    ):
        _check_finite(X, "X", type(fitted).__name__)
        return X
    with _naming("X"):
        return validate_data(fitted, _numeric("X", X), reset=False, **_READ)


def _check_finite(array: NDArray[Any], name: str, caller: str | None) -> None:
    """An array of float64 or float32; what is small is not worth scikit-learn's preparations."""
    if array.size > _SMALL or not array.flags.aligned or not all_finite(array):
        assert_all_finite(array, input_name=name, estimator_name=caller)


def frame_names(X: Any) -> Names | None:
    """Names of the columns where they are a list of strings: polars.

    scikit-learn before 1.9 does not see them.
    """
    names = getattr(X, "columns", None)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return np.array(names, dtype=object)


def _is_plain(X: Any) -> bool:
    """An array that needs no conversion: only its values are to be looked at."""
    return (
        type(X) in (np.ndarray, np.memmap)
        and X.ndim == 2
        and X.size > 0
        and X.dtype in (np.float64, np.float32)
    )


def _is_plain_sparse(X: Any) -> bool:
    """The same of a sparse X."""
    return (
        type(X) in (sparse.csc_array, sparse.csr_array, sparse.csc_matrix, sparse.csr_matrix)
        and X.ndim == 2
        and min(X.shape) > 0
        and X.data.ndim == 1
        and X.dtype in (np.float64, np.float32)
        and X.indices.dtype == X.indptr.dtype
        and X.indices.dtype in (np.int32, np.int64)
    )


def check_features(
    shape: tuple[int, int], names: Names | None, n_features: int, expected: Names | None, owner: str
) -> None:
    """The shape and feature names of a Design against those of what is to predict from it."""
    if shape[1] != n_features:
        raise ValueError(
            f"X has {shape[1]} features, but {owner} is expecting {n_features} features as input."
        )
    if names is not None and expected is not None and not np.array_equal(names, expected):
        odd = next(k for k in range(n_features) if names[k] != expected[k])
        raise ValueError(
            f"The feature names of X must be those that {owner} was fitted with, in that order; "
            f"feature {odd} is {names[odd]!r} and was {expected[odd]!r}."
        )


def check_target(y: Any, n_samples: int, caller: str) -> Target:
    """y (n_samples,) or (n_samples, n_targets) as float64 columns."""
    if y is None:
        raise ValueError(f"{caller} requires y to be passed, but the target y is None.")
    if sparse.issparse(y):
        raise TypeError("y must be dense; got a sparse matrix.")
    y = _float_array("y", y)
    if y.ndim not in (1, 2) or y.shape[0] != n_samples or (y.ndim == 2 and y.shape[1] == 0):
        raise ValueError(
            f"y must have shape ({n_samples},) or ({n_samples}, n_targets), "
            f"as X has {n_samples} rows; got shape {y.shape}."
        )
    return Target(np.asfortranarray(y.reshape(n_samples, -1)), y.shape)


def check_single_target(y: Any, n_samples: int, caller: str) -> Float:
    """y of one target, (n_samples,) or (n_samples, 1), as a vector."""
    target = check_target(y, n_samples, caller)
    if target.columns.shape[1] != 1:
        raise ValueError(
            f"y must be one target, of shape ({n_samples},) or ({n_samples}, 1), for {caller}; "
            f"got shape {target.shape}."
        )
    return target.columns[:, 0]


def check_weights(sample_weight: Any, n_samples: int) -> Float | None:
    """Row weights (n_samples,), >= 0 and not all zero; one number stands for all rows."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        weight = check_number("sample_weight", sample_weight, above=0)
        return np.full(n_samples, weight)
    if sparse.issparse(sample_weight):
        raise TypeError("sample_weight must be dense; got a sparse matrix.")
    weights = _float_array("sample_weight", sample_weight)
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight must have shape ({n_samples},), as X has {n_samples} rows; "
            f"got shape {weights.shape}."
        )
    if weights.min() < 0:
        row = int(weights.argmin())
        raise ValueError(f"sample_weight must be >= 0; got {weights[row]:g} in row {row}.")
    if not weights.any():
        raise ValueError("sample_weight must be positive in at least one row; got only zeros.")
    return weights


def check_penalty(
    n_features: int,
    *,
    l1_ratio: Any,
    standardize: Any,
    positive: Any,
    bounds: Any,
    penalty_weights: Any,
) -> Penalty:
    """What the penalty and the bounds are, for so many features."""
    lower, upper = _check_bounds(bounds, check_flag("positive", positive), n_features)
    return Penalty(
        l1_ratio=check_number("l1_ratio", l1_ratio, at_least=0, at_most=1),
        weights=_check_penalty_weights(penalty_weights, n_features),
        lower=lower,
        upper=upper,
        standardize=check_flag("standardize", standardize),
    )


def check_alphas(alphas: Any, *, l1_ratio: Any) -> int | Float:
    """How many alphas on the grid, or the alphas themselves, > 0, in descending order."""
    if isinstance(alphas, Integral) and not isinstance(alphas, (bool, np.bool_)):
        if check_number("l1_ratio", l1_ratio, at_least=0, at_most=1) == 0:
            raise ValueError(
                "alphas must be a sequence of the alphas themselves where l1_ratio is 0, as no "
                f"alpha makes all coefficients zero there; got {alphas}."
            )
        return check_integer("alphas", alphas, at_least=1)
    wanted = "alphas must be an integer >= 1 or a sequence of finite numbers > 0"
    if np.ndim(alphas) != 1 or np.size(alphas) == 0:
        raise (TypeError if np.ndim(alphas) == 0 else ValueError)(f"{wanted}; got {short(alphas)}.")
    return np.sort(positive_array("alphas", alphas, wanted))[::-1].copy()


def positive_array(name: str, values: Any, wanted: str) -> Float:
    """Finite numbers > 0; `wanted` begins the complaint."""
    array = _float_array(name, values)
    if array.min() <= 0:
        raise ValueError(f"{wanted}; got {array.min():g} among them.")
    return array


def check_target_alphas(alpha: Any, n_targets: int) -> Float:
    """One alpha >= 0 for all targets, or one for each, as (n_targets,)."""
    if np.ndim(alpha) == 0 and not isinstance(alpha, np.ndarray):
        return np.full(n_targets, check_number("alpha", alpha, at_least=0))
    values = _float_array("alpha", alpha)
    if values.shape not in ((n_targets,), (1,), ()):
        raise ValueError(
            f"alpha must be a number or have shape ({n_targets},), one for each target; "
            f"got shape {values.shape}."
        )
    if values.min() < 0:
        raise ValueError(f"alpha must be >= 0; got {values.min():g} among them.")
    return np.full(n_targets, values)


def check_ridge_solver(solver: str, bounded: bool) -> None:
    """Bounds need a solver that knows them."""
    if bounded and solver not in ("auto", "active_set"):
        raise ValueError(
            f"solver must be 'auto' or 'active_set' with bounds or positive=True; got {solver!r}."
        )


def check_coef(name: str, coef: Any) -> Float:
    """One finite coefficient for each feature, as a new array."""
    vector = _float_array(name, coef)
    if vector.ndim != 1:
        raise ValueError(
            f"{name} must have coefficients of one target, of shape (n_features,); "
            f"got shape {vector.shape}."
        )
    return vector.copy()


def check_names(name: str, names: Any, n_features: int) -> list[str]:
    """One label for each feature."""
    if isinstance(names, str) or not hasattr(names, "__len__"):
        raise TypeError(f"{name} must be a sequence of strings; got {short(names)}.")
    if len(names) != n_features:
        raise ValueError(f"{name} must hold {n_features} names; got {len(names)}.")
    return [str(label) for label in names]


def _check_penalty_weights(penalty_weights: Any, n_features: int) -> Float | None:
    if penalty_weights is None:
        return None
    weights = _vector("penalty_weights", penalty_weights, n_features)
    if weights.min() < 0:
        j = int(weights.argmin())
        raise ValueError(f"penalty_weights must be >= 0; got {weights[j]:g} for feature {j}.")
    return weights


def _check_bounds(
    bounds: Any, positive: bool, n_features: int
) -> tuple[float | Float, float | Float]:
    if bounds is None:
        return (0.0 if positive else -np.inf), np.inf
    if isinstance(bounds, (str, bytes, dict, set)) or not hasattr(bounds, "__len__"):
        raise TypeError(f"bounds must be a pair (lower, upper); got {short(bounds)}.")
    if len(bounds) != 2:
        raise ValueError(f"bounds must be a pair (lower, upper); got {len(bounds)} entries.")
    lower, upper = (
        _check_bound(f"bounds[{k}]", bound, n_features) for k, bound in enumerate(bounds)
    )
    for sign, bound, side in ((1, lower, "lower"), (-1, upper, "upper")):
        if np.any(sign * np.asarray(bound) > 0):
            worst = float(sign * np.max(sign * np.asarray(bound)))
            raise ValueError(
                f"bounds must hold 0, lower <= 0 <= upper; got {worst:g} as {side} bound."
            )
    if positive and np.any(np.asarray(lower) != 0):
        raise ValueError(
            "bounds must have 0 as lower bound where positive=True; "
            f"got {np.min(np.asarray(lower)):g}."
        )
    return lower, upper


def _check_bound(name: str, bound: Any, n_features: int) -> float | Float:
    if isinstance(bound, Real) and not isinstance(bound, (bool, np.bool_)):
        if np.isnan(float(bound)):
            raise ValueError(f"{name} must be a number or an array of them; got nan.")
        return float(bound)
    return _vector(name, bound, n_features)


def _vector(name: str, value: Any, n_features: int) -> Float:
    """One number for each feature, infinities allowed."""
    vector = _float_array(name, value, finite=False)
    if vector.shape != (n_features,):
        raise ValueError(
            f"{name} must have shape ({n_features},), as X has {n_features} features; "
            f"got shape {vector.shape}."
        )
    if np.isnan(vector).any():
        j = int(np.isnan(vector).argmax())
        raise ValueError(f"{name} must hold no NaN; got one for feature {j}.")
    return vector


def _float_array(name: str, value: Any, *, finite: bool = True) -> Float:
    """A dense array of any shape as float64, not copied where it is one."""
    if type(value) is np.ndarray and value.dtype == np.float64:
        if finite:
            _check_finite(value, name, None)
        return value
    with _naming(name):
        array: Float = check_array(
            _numeric(name, value),
            dtype=np.float64,
            ensure_2d=False,
            allow_nd=True,
            ensure_all_finite=finite,
            ensure_min_samples=0,
            ensure_min_features=0,
            input_name=name,
        )
    return array


def _numeric(name: str, value: Any) -> Any:
    """The value, where what it holds stands for numbers; a list as an array."""
    if value is None:
        raise TypeError(f"{name} must hold numbers; got None.")
    if isinstance(value, (list, tuple)):
        value = np.asarray(value)
    if hasattr(value, "dtypes") and hasattr(value, "columns"):
        for k, dtype in enumerate(value.dtypes):
            if getattr(dtype, "kind", "O") not in _NUMBERS:
                column = value.iloc[:, k] if hasattr(value, "iloc") else value[:, k]
                _refuse_texts(f"{name} (column {value.columns[k]!r})", column)
    elif getattr(getattr(value, "dtype", None), "kind", "O") not in _NUMBERS:
        _refuse_texts(name, value)
    return value


def _refuse_texts(name: str, value: Any) -> None:
    """Text and dates, which a conversion might take for numbers."""
    array = np.asarray(value)
    if array.dtype.kind in "USVMmT":
        raise TypeError(f"{name} must hold numbers; got dtype {array.dtype}.")
    text = next((v for v in array.flat if isinstance(v, (str, bytes))), None)
    if text is not None:
        raise TypeError(f"{name} must hold numbers; got {short(text)}.")


def _check_indices(X: Any) -> None:
    """Row and column numbers of a sparse X within its shape: the kernels trust them."""
    major, minor = X.shape if X.format == "csr" else X.shape[::-1]
    stored = X.indptr[-1] if len(X.indptr) == major + 1 else -1
    if not (
        X.indptr[0] == 0
        and 0 <= stored <= min(len(X.indices), len(X.data))
        and np.all(X.indptr[1:] >= X.indptr[:-1])
        and (stored == 0 or (X.indices[:stored].min() >= 0 and X.indices[:stored].max() < minor))
    ):
        raise ValueError(
            "X must be a valid sparse matrix; got indices or indptr that lead out of its "
            f"shape {X.shape}."
        )


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Puts the name of the argument before a complaint that does not have it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if re.search(rf"\b{re.escape(name)}", str(error)):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {error}") from error


def short(value: Any) -> str:
    """A value as it is named in a sentence."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def warn(message: str, category: type[Warning]) -> None:
    """A warning that points at the first frame outside this package."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "creg":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def warn_unconverged(solutions: Sequence[Solution], alphas: Sequence[float], o: Options) -> None:
    """The one ConvergenceWarning of a public call, where it is due."""
    message = unconverged(solutions, alphas, o.tol, o.max_iter)
    if message:
        warn(message, ConvergenceWarning)
