"""The command line: ``python -m creg [FILE --target COLUMN]``."""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path as File
from time import perf_counter
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import linear_model as peer
from sklearn.exceptions import ConvergenceWarning

from creg._given import Data, Options
from creg._io import BadFileError, Table, read_table
from creg._solution import Progress, Solution
from creg._validation import check_single_target, check_threads
from creg.design import Design
from creg.linear_model import Ridge
from creg.path import Path
from creg.paths import trace

TOL = 1e-6
N_ALPHAS = 100
EPS = 1e-2
ROWS = 12  # of the printed table
PICTURE = "creg-path.png"
L1_RATIOS = {"lasso": 1.0, "elasticnet": 0.5}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _fail(message)


def _fail(message: str) -> NoReturn:
    print(f"creg: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


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


@dataclass(frozen=True)
class _Fits:
    """A path, when each of its fits was there, and the same by scikit-learn."""

    path: Path
    seconds: Sequence[float]
    note: str
    scaled: "_Scaled"
    peer_coefs: NDArray[np.float64]
    peer_seconds: float
    peer_name: str
    peer_unconverged: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        table, title = _data(chosen.file, chosen.target)
        if not File(chosen.plot).resolve().parent.is_dir():
            _fail(f"--plot {chosen.plot}: there is no such folder")
        design, y = _checked(table)
        ratio = L1_RATIOS.get(chosen.model)
        fits = _ridge(design, y) if ratio is None else _l1(design, y, ratio)
        print(f"{title}: {design.shape[0]} rows, {design.shape[1]} features, standardised")
        _print_table(fits)
        _picture(replace(fits.path, feature_names=_names(table)), chosen.plot)
        sys.stdout.flush()
    except BadFileError as error:
        _fail(str(error))
    except MemoryError:
        _fail("there is not enough memory for this")
    except KeyboardInterrupt:
        print("creg: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads the table has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m creg",
        description="Fits a whole regularisation path, beside scikit-learn's, and draws it.",
    )
    parser.add_argument(
        "file",
        nargs="?",
        help="CSV, Parquet, svmlight or npz file; without one: diabetes data that are built in",
    )
    parser.add_argument("--target", metavar="COLUMN", help="the column of FILE that is y")
    parser.add_argument("--model", choices=(*L1_RATIOS, "ridge"), default="lasso")
    parser.add_argument(
        "--plot", metavar="PICTURE", default=PICTURE, help=f"where to draw (default: {PICTURE})"
    )
    return parser


def _data(file: str | None, target: str | None) -> tuple[Table, str]:
    if file is not None:
        return read_table(file, target), file
    if target is not None:
        raise BadFileError("--target needs a FILE")
    from sklearn.datasets import load_diabetes
    from sklearn.preprocessing import PolynomialFeatures

    data = load_diabetes()
    products = PolynomialFeatures(degree=3, include_bias=False)
    X = np.asfortranarray(products.fit_transform(data.data))
    names = list(products.get_feature_names_out(data.feature_names))
    return Table(X, data.target, names), "diabetes with interactions up to degree 3"


def _checked(table: Table) -> tuple[Design, NDArray[np.float64]]:
    try:
        design = Design(table.X)
        return design, check_single_target(table.y, design.shape[0], "creg")
    except (ValueError, TypeError) as error:
        raise BadFileError(str(error).splitlines()[0]) from error


def _names(table: Table) -> NDArray[np.object_] | None:
    return None if table.names is None else np.array(table.names, dtype=object)


@dataclass(frozen=True)
class _Scaled:
    """The problem as scikit-learn gets it: columns scaled and, where dense, centred."""

    X: Any
    y: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, design: Design, y: Any) -> "_Scaled":
        data = Data(design.storage, None, True, scaled=True)
        X, scale = design.storage.X, data.scale_
        if sparse.issparse(X):
            scaled = sparse.csc_array(X @ sparse.diags_array(1 / scale))
        else:
            scaled = np.asfortranarray((X - data.view.mean) / scale)
        y = np.asarray(y, dtype=np.float64).ravel()
        return cls(scaled, y - y.mean(), scale)

    def objectives(self, coefs: Any, alphas: Any, ratio: float) -> NDArray[np.float64]:
        """The objective at the best intercepts, for coefficients of the scaled columns."""
        residuals = self.y[:, None] - np.asarray(self.X @ coefs)
        residuals -= residuals.mean(axis=0)
        l1, l2 = np.abs(coefs).sum(axis=0), np.square(coefs).sum(axis=0)
        loss = np.square(residuals).sum(axis=0) / (2 * len(self.y))
        return np.asarray(loss + alphas * (ratio * l1 + (1 - ratio) / 2 * l2))

    @property
    def null_objective(self) -> float:
        return float(self.y @ self.y) / (2 * len(self.y))


def _l1(design: Design, y: Any, ratio: float) -> _Fits:
    """The L1 path on one grid, by creg and by scikit-learn."""
    clock = _Clock()
    options = Options(tol=TOL, n_threads=check_threads(None))
    with _one_line_warnings():
        path = trace(
            design, y, clock, eps=EPS, alphas=N_ALPHAS, max_features=None, options=options,
            l1_ratio=ratio, fit_intercept=True, sample_weight=None, standardize=True,
            penalty_weights=None, positive=False, bounds=None,
        )  # fmt: skip
    scaled = _Scaled.of(design, y)
    # a gap relative to ||y||^2 there is half of one relative to the null objective
    settings: dict[str, Any] = {"l1_ratio": ratio, "tol": TOL / 2, "max_iter": 10_000}
    with _peer_at_work("lasso_path") as work:
        if sparse.issparse(scaled.X):
            name, coefs = "warm-started fits", _peer_fits(scaled, path.alphas, settings)
        else:
            name = "lasso_path" if ratio == 1 else "enet_path"
            coefs = peer.enet_path(scaled.X, scaled.y, alphas=path.alphas, **settings)[1]
    note = f", {path.reads:.0f} reads of X"
    return _Fits(path, clock.seconds, note, scaled, coefs, work.seconds, name, work.unconverged)


def _peer_fits(scaled: _Scaled, alphas: NDArray[Any], settings: dict[str, Any]) -> Any:
    """scikit-learn's path functions do not centre sparse columns; its estimators do."""
    model = peer.ElasticNet(warm_start=True, **settings)
    coefs = np.empty((scaled.X.shape[1], len(alphas)))
    for k, alpha in enumerate(alphas):
        coefs[:, k] = model.set_params(alpha=alpha).fit(scaled.X, scaled.y).coef_
    return coefs


def _ridge(design: Design, y: Any) -> _Fits:
    """Ridge at a few alphas, from a hundred times the columns' sum of squares downwards."""
    alphas = design.shape[0] * np.logspace(2, -4, ROWS)
    fits, seconds, started = [], [], perf_counter()
    with _one_line_warnings():
        for alpha in alphas:
            fits.append(Ridge(alpha, standardize=True).fit(design, y))
            seconds.append(perf_counter() - started)
    scaled = _Scaled.of(design, y)
    coefs = np.column_stack([fit.coef_ for fit in fits])
    residuals = scaled.y[:, None] - np.asarray(scaled.X @ (coefs * scaled.scale[:, None]))
    residuals -= residuals.mean(axis=0)
    squares = float(scaled.y @ scaled.y)
    path = Path(
        alphas=alphas,
        coefs=coefs,
        intercepts=np.array([fit.intercept_ for fit in fits]),
        dual_gaps=np.full(len(alphas), np.nan),
        n_iters=np.array([fit.n_iter_ for fit in fits]),
        n_nonzero=np.count_nonzero(coefs, axis=0),
        r2=1 - np.square(residuals).sum(axis=0) / squares if squares else np.zeros(len(alphas)),
        l1_ratio=0.0,
        feature_names=None,
        reads=np.nan,
    )
    with _peer_at_work("Ridge") as work:
        others = [peer.Ridge(alpha, tol=TOL).fit(scaled.X, scaled.y).coef_ for alpha in alphas]
    note, other = f" by {fits[-1].solver_}", np.column_stack(others)
    return _Fits(path, seconds, note, scaled, other, work.seconds, "Ridge", work.unconverged)


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


def _print_table(fits: _Fits) -> None:
    """Some rows of the path, and below them both libraries in a line each."""
    path, scaled = fits.path, fits.scaled
    null = scaled.null_objective or 1.0
    coefs = path.coefs.toarray() if sparse.issparse(path.coefs) else path.coefs
    # Ridge's alpha is that of the elastic net without l1 times the number of rows
    alphas = path.alphas if path.l1_ratio else path.alphas / len(scaled.y)
    ours = scaled.objectives(coefs * scaled.scale[:, None], alphas, path.l1_ratio)
    excess = (scaled.objectives(fits.peer_coefs, alphas, path.l1_ratio) - ours) / null
    theirs = np.count_nonzero(fits.peer_coefs, axis=0)
    print("                                                       |  scikit-learn")
    print("      alpha  nonzeros      R2  gap / null objective   s |  nonzeros  objective - creg's")
    for k in np.unique(np.linspace(0, len(path.alphas) - 1, ROWS).round().astype(int)):
        gap = "-" if np.isnan(path.dual_gaps[k]) else f"{path.dual_gaps[k] / null:.1e}"
        print(
            f"{path.alphas[k]:11.5g}{path.n_nonzero[k]:10d}{path.r2[k]:8.4f}{gap:>16}"
            f"{fits.seconds[k]:10.3f} |{theirs[k]:10d}{excess[k]:21.1e}"
        )
    ends = f"its objectives less creg's: {excess.min():.1e} to {excess.max():.1e}"
    fell = (
        f"; {fits.peer_unconverged} of its fits did not converge" if fits.peer_unconverged else ""
    )
    count, seconds = len(path.alphas), fits.seconds[-1]
    print(f"creg          {seconds:8.3f} s for {count} alphas{fits.note}")
    print(
        f"scikit-learn  {fits.peer_seconds:8.3f} s for the same by {fits.peer_name}, "
        f"{fits.peer_seconds / seconds:.1f} times as long; {ends} of the null objective{fell}"
    )


def _picture(path: Path, file: str) -> None:
    try:
        import matplotlib
    except ImportError:
        print("No picture: matplotlib is not installed (pip install 'creg[plot]')")
        return
    matplotlib.use("Agg")
    try:
        path.plot().figure.savefig(file, dpi=150)
    except (OSError, ValueError) as error:
        _fail(f"--plot {file}: {str(error).splitlines()[0]}")
    print(f"Picture: {file}")


if __name__ == "__main__":
    sys.exit(main())
