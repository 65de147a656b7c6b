"""The command line: ``python -m creg [FILE --target COLUMN]``."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path as File
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from creg._io import BadFileError, Table, read_table
from creg._report import (
    L1_RATIOS,
    Report,
    Scaled,
    print_choice,
    print_table,
    print_times,
    report_l1,
    report_ridge,
)
from creg._validation import check_single_target
from creg.design import Design

PICTURES = ("creg-path.png", "creg-cv.png")
FOLDS = 5


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _fail(message)


def _fail(message: str) -> NoReturn:
    print(f"creg: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        table, title = _data(chosen.file, chosen.target)
        pictures = _pictures(chosen.plot)
        design, y = _checked(table)
        report = _report(design, y, chosen.model, chosen.cv)
        print(
            f"{title}: {design.shape[0]} rows, {design.shape[1]} features, "
            "columns scaled to standard deviation 1"
        )
        print_table(report, float(np.var(y)) / 2)
        print_choice(report, table.names)
        print_times(report)
        _draw(report, _names(table), pictures)
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
        description="Fits a whole regularisation path, chooses alpha by cross-validation, beside "
        "scikit-learn, and draws both.",
    )
    parser.add_argument(
        "file",
        nargs="?",
        help="CSV, Parquet, svmlight or npz file; without one: diabetes data that are built in",
    )
    parser.add_argument("--target", metavar="COLUMN", help="the column of FILE that is y")
    parser.add_argument("--model", choices=(*L1_RATIOS, "ridge"), default="lasso")
    parser.add_argument(
        "--cv",
        metavar="K",
        type=int,
        help=f"folds (default: {FOLDS}; for ridge: leave-one-out)",
    )
    parser.add_argument(
        "--plot",
        metavar="PICTURE",
        help="where to draw the path, the choice of alpha beside it with -cv before the ending "
        f"(default: {' and '.join(PICTURES)})",
    )
    return parser


def _pictures(plot: str | None) -> tuple[str, str]:
    if plot is None:
        return PICTURES
    file = File(plot)
    if not file.resolve().parent.is_dir():
        _fail(f"--plot {plot}: there is no such folder")
    return plot, str(file.with_name(f"{file.stem}-cv{file.suffix}"))


def _report(design: Design, y: NDArray[np.float64], model: str, folds: int | None) -> Report:
    rows = design.shape[0]
    if rows < 2:
        raise BadFileError("to choose alpha takes at least 2 rows; there is 1")
    if folds is not None and not 2 <= folds <= rows:
        raise BadFileError(f"--cv must be from 2 to the number of rows, {rows}; got {folds}")
    scaled = Scaled.of(design, y)
    if model in L1_RATIOS:
        return report_l1(scaled, L1_RATIOS[model], min(FOLDS, rows) if folds is None else folds)
    try:
        return report_ridge(scaled, folds)
    except ValueError as error:
        raise BadFileError(f"--model ridge: {error}") from error


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


def _draw(report: Report, names: Any, files: tuple[str, str]) -> None:
    try:
        import matplotlib
    except ImportError:
        print("No pictures: matplotlib is not installed (pip install 'creg[plot]')")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    from creg.plotting import Curves, draw_choice

    rules = {
        "minimum": float(report.alphas[report.minimum]),
        "one standard error": float(report.alphas[report.within]),
    }
    path, model = replace(report.path, feature_names=names), report.model
    curves = Curves(
        report.alphas[None], report.mean[None], report.error[None], 0,
        f"mean squared error, {report.measure}", "mean ± SE", [""], rules, model.alpha_,
        path.n_nonzero if path.l1_ratio > 0 else None,
    )  # fmt: skip
    for file, axes in zip(files, (path.plot(), draw_choice(curves, None)), strict=True):
        try:
            axes.figure.savefig(file, dpi=150)
        except (OSError, ValueError) as error:
            _fail(f"--plot {file}: {str(error).splitlines()[0]}")
    pyplot.close("all")
    print(f"pictures: {files[0]}, {files[1]}")


if __name__ == "__main__":
    sys.exit(main())
