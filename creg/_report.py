"""The work of the command line: a path, the choice of alpha, and the same by scikit-learn."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import linear_model as peer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold

from creg._given import Data, Options
from creg._solution import Progress, Solution
from creg._validation import check_threads
from creg.design import Design
from creg.lasso_cv import ElasticNetCV, LassoCV
from creg.model_selection import RidgeCV
from creg.path import Path
from creg.paths import ridge_path, trace

TOL = 1e-6
N_ALPHAS = 100
EPS = 1e-2
ROWS = 12  # of the printed table, those of the rules aside
FAR = 1e-2  # of the chosen alpha of ridge: where table and pictures end
LARGEST = 8  # coefficients that are printed
L1_RATIOS = {"lasso": 1.0, "elasticnet": 0.5}

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Scaled:
    """The problem as both libraries get it: columns scaled and, where dense, centred."""

    X: Any
    y: Float

    @classmethod
    def of(cls, design: Design, y: Any) -> "Scaled":
        """From X and y as given, y of one target."""
        data = Data(design.storage, None, True, scaled=True)
        X, scale = design.storage.X, data.scale_
        if sparse.issparse(X):
            scaled = sparse.csc_array(X @ sparse.diags_array(1 / scale))
        else:
            scaled = np.asfortranarray((X - data.view.mean) / scale)
        return cls(scaled, np.asarray(y, dtype=np.float64).ravel())

    @property
    def null_objective(self) -> float:
        """That of the intercept alone, in the units of the elastic net."""
        return float(np.var(self.y)) / 2


@dataclass(frozen=True)
class Report:
    """A path, how its alpha was chosen, and the same by scikit-learn; coefficients as scaled.

    Attributes
    ----------
    path : Path
    seconds : sequence of float
        When each of its fits was there; those of ridge are at the same time.
    alphas, mean, error, peer_mean : (n_alphas,)
        Those of the path, errors of cross-validation, their standard errors, and scikit-learn's;
        those of ridge end far below the alpha chosen.
    minimum, within : int
        Where the rules are on them: the least error, and one standard error from it.
    coef, intercept : (n_features,), float
        At the minimum.
    model : estimator
        What chose.
    measure : str
        "5 folds" or "leave-one-out".
    note : str
        Of the path.
    choice_seconds, peer_seconds : float
    peer_name : str
    unconverged : int
        Warnings of scikit-learn.
    """

    path: Path
    seconds: Sequence[float]
    alphas: Float
    mean: Float
    error: Float
    peer_mean: Float
    minimum: int
    within: int
    coef: Float
    intercept: float
    model: Any
    measure: str
    note: str
    choice_seconds: float
    peer_seconds: float
    peer_name: str
    unconverged: int


@dataclass
class _Clock(Progress):
    """The seconds after each alpha."""

    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.started = perf_counter()

    def __call__(self, count: int, solution: Solution) -> None:
        self.seconds.append(perf_counter() - self.started)
        super().__call__(count, solution)


def report_l1(scaled: Scaled, ratio: float, folds: int) -> Report:
    """The L1 path on one grid, and `folds`-fold cross-validation on it."""
    clock = _Clock()
    options = Options(tol=TOL, n_threads=check_threads(None))
    design = Design(scaled.X)
    name = "LassoCV" if ratio == 1 else "ElasticNetCV"
    mixed: dict[str, Any] = {} if ratio == 1 else {"l1_ratio": ratio}
    with _one_line_warnings():
        path = trace(
            design, scaled.y, clock, eps=EPS, alphas=N_ALPHAS, max_features=None, options=options,
            l1_ratio=ratio, fit_intercept=True, sample_weight=None, standardize=False,
            penalty_weights=None, positive=False, bounds=None,
        )  # fmt: skip
        started = perf_counter()
        kind = LassoCV if ratio == 1 else ElasticNetCV
        model = kind(alphas=path.alphas, cv=folds, tol=TOL, verbose=True, **mixed)
        model.fit(design, scaled.y)
        seconds = perf_counter() - started
    # a gap relative to ||y||^2 there is half of one relative to the null objective
    other = getattr(peer, name)(alphas=path.alphas, cv=folds, tol=TOL / 2, max_iter=10_000, **mixed)
    with _peer_at_work(name) as work:
        other.fit(scaled.X, scaled.y)
    alphas = list(model.alphas_)
    return Report(
        path, clock.seconds, path.alphas, model.mse_mean_, model.mse_se_,
        other.mse_path_.mean(axis=-1), alphas.index(model.alpha_min_),
        alphas.index(model.alpha_1se_), model.coef_, float(model.intercept_), model,
        f"{folds} folds", f"; reads of X: {path.reads:.0f}", seconds, work.seconds, name,
        work.unconverged,
    )  # fmt: skip


def report_ridge(scaled: Scaled, folds: int | None) -> Report:
    """Ridge by leave-one-out, or by folds, and its fits at a few of the alphas."""
    errors: list[float] = []

    def squared_error(model: Any, X: Any, y: Any) -> float:
        errors.append(float(np.mean(np.square(y - model.predict(X)))))
        return -errors[-1]

    design, started = Design(scaled.X), perf_counter()
    with _one_line_warnings():
        if folds is None:
            model = RidgeCV(store_cv_results=True).fit(design, scaled.y)
            single = model.cv_results_.T
        else:
            model = RidgeCV(cv=folds, scoring=squared_error).fit(design, scaled.y)
            single = np.reshape(errors, (folds, -1)).T
        seconds = perf_counter() - started
        mean, error = single.mean(axis=1), single.std(axis=1, ddof=1) / np.sqrt(single.shape[1])
        minimum = model.alphas_.tolist().index(model.alpha_)
        within = int(np.argmax(mean <= mean[minimum] + error[minimum]))
        kept = model.alphas_ >= FAR * model.alpha_
        started = perf_counter()
        path = ridge_path(design, scaled.y, model.alphas_[kept])
        at_once = perf_counter() - started
    with _peer_at_work("RidgeCV") as work:
        name, others = _peer_ridge(scaled, model.alphas_, folds)
    return Report(
        path, [at_once] * len(path.alphas), path.alphas, mean[kept], error[kept], others[kept],
        minimum, within, model.coef_, float(model.intercept_), model,
        "leave-one-out" if folds is None else f"{folds} folds", "", seconds, work.seconds, name,
        work.unconverged,
    )  # fmt: skip


def _peer_ridge(scaled: Scaled, alphas: Float, folds: int | None) -> tuple[str, Float]:
    if folds is None:
        fitted = peer.RidgeCV(alphas, store_cv_results=True).fit(scaled.X, scaled.y)
        return "RidgeCV", fitted.cv_results_.mean(axis=0)
    search = GridSearchCV(
        peer.Ridge(tol=TOL), {"alpha": alphas}, cv=KFold(folds), scoring="neg_mean_squared_error"
    )
    search.fit(scaled.X, scaled.y)
    return "GridSearchCV of Ridge", -search.cv_results_["mean_test_score"]


@dataclass
class _Work:
    seconds: float = 0.0
    unconverged: int = 0


@contextmanager
def _peer_at_work(name: str) -> Iterator[_Work]:
    """Times scikit-learn, counts its warnings, and says meanwhile what is awaited."""
    work, shown = _Work(), sys.stderr.isatty()
    if shown:
        print(f"scikit-learn's {name} ...", end="", file=sys.stderr, flush=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        started = perf_counter()
        yield work
        work.seconds = perf_counter() - started
    work.unconverged = sum(issubclass(w.category, ConvergenceWarning) for w in caught)
    if shown:
        print(f" {work.seconds:.1f} s", file=sys.stderr)


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"creg: {' '.join(str(warning.message).split())}", file=sys.stderr)


def _rows(count: int, *rules: int) -> list[int]:
    """Which alphas the table shows: some, evenly, and those of the rules."""
    return sorted({*np.linspace(0, count - 1, ROWS).round().astype(int).tolist(), *rules})


def print_table(report: Report, null: float) -> None:
    """Some rows of the path with the errors of cross-validation, scikit-learn's beside them."""
    path = report.path
    rows = _rows(len(report.alphas), report.minimum, report.within)
    print(f"{'':60}gap / null               | scikit-learn's")
    print(
        "          alpha  nonzeros      R2  CV error ±       SE   objective   seconds"
        "  |     CV error"
    )
    for k in rows:
        rule = "min" if k == report.minimum else "1se" if k == report.within else ""
        gap = "-" if np.isnan(path.dual_gaps[k]) else f"{path.dual_gaps[k] / (null or 1.0):.1e}"
        print(
            f"{rule:4}{path.alphas[k]:11.5g}{path.n_nonzero[k]:10d}{path.r2[k]:8.4f}"
            f"{report.mean[k]:10.5g} ± {report.error[k]:8.3g}{gap:>12}{report.seconds[k]:10.3f}"
            f"  | {report.peer_mean[k]:12.5g}"
        )


def print_choice(report: Report, names: Sequence[str] | None) -> None:
    """Both rules, and the largest coefficients at the minimum."""
    path = report.path
    print(f"\nchosen by {report.measure}:")
    for name, k in (("minimum", report.minimum), ("one standard error", report.within)):
        count = path.n_nonzero[k]
        print(
            f"  {name:20} alpha {report.alphas[k]:.5g}, {count} nonzero, "
            f"CV error {report.mean[k]:.5g} ± {report.error[k]:.3g}"
        )
    order = np.argsort(-np.abs(report.coef), kind="stable")[:LARGEST]
    order = order[report.coef[order] != 0]
    print(f"\nlargest coefficients at the minimum (intercept {report.intercept:.6g}):")
    for j in order:
        name = f"feature {j}" if names is None else names[j]
        print(f"  {' '.join(name.split())[:40]:40} {report.coef[j]:11.5g}")
    if not len(order):
        print("  none")


def print_times(report: Report) -> None:
    """Both libraries in a line each, how far their errors differ, and the path alone."""
    scale = np.where(report.mean > 0, report.mean, 1.0)
    apart = float(np.max(np.abs(report.peer_mean - report.mean) / scale))
    fell = f"; {report.unconverged} of its fits did not converge" if report.unconverged else ""
    count, name = len(report.model.alphas_), type(report.model).__name__
    print(
        f"\ncreg          {report.choice_seconds:8.3f} s for {name}: {count} alphas, "
        f"{report.measure} and all rows ({report.seconds[-1]:.3f} s for "
        f"{len(report.path.alphas)} fits to all rows alone{report.note})"
    )
    print(
        f"scikit-learn  {report.peer_seconds:8.3f} s for the same by {report.peer_name}, "
        f"{report.peer_seconds / report.choice_seconds:.1f} times as long; "
        f"its CV errors differ by at most {apart:.0e} of creg's{fell}"
    )
