"""Files of data for the command line: each reader returns X, y and feature names."""

import csv
import re
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Float: TypeAlias = NDArray[np.float64]


class Table(NamedTuple):
    """What a file holds."""

    X: Any
    y: Any
    names: list[str] | None


class BadFileError(Exception):
    """A file that cannot be used, said in one line."""


def read_table(file: str, target: str | None) -> Table:
    """X, y and feature names of a CSV, Parquet, svmlight or npz file, told by its ending."""
    path = Path(file)
    ending = path.suffix.lower()
    try:
        exists = path.exists()
    except OSError as error:
        raise BadFileError(f"{file[:60]}...: {error.strerror}") from error
    if not exists:
        raise BadFileError(f"{file}: no such file")
    if ending not in _WITH_NAMES | _WITHOUT_NAMES:
        known = ", ".join([*_WITH_NAMES, *_WITHOUT_NAMES])
        raise BadFileError(f"{file}: the ending must be one of {known}")
    if target is not None and ending in _WITHOUT_NAMES:
        raise BadFileError(f"--target is for CSV and Parquet files; {file} says itself what y is")
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise BadFileError(f"{file}: the file is empty")
        if ending in _WITH_NAMES:
            return _WITH_NAMES[ending](path, target)
        return _WITHOUT_NAMES[ending](path)
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BadFileError(f"{file}: {reason}") from error


def _read_csv(path: Path, target: str | None) -> Table:
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = re.sub('"[^"]*("|$)', "", file.readline())
        delimiter = max(",;\t", key=first.count)
        file.seek(0)
        rows = csv.reader(file, delimiter=delimiter)
        header = [name.strip() for name in next(rows, [])]
    if header and all(_is_number(name) for name in header):
        raise BadFileError(f"{path}: the first line must hold the names of the columns")
    place = _place(path, header, target)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file, warnings.catch_warnings():
            for _ in range(rows.line_num):
                next(file)
            warnings.simplefilter("ignore")  # of no rows, which are refused below
            cells = np.loadtxt(file, delimiter=delimiter, quotechar='"', comments=None, ndmin=2)
    except ValueError as error:
        raise BadFileError(_csv_fault(path, header, delimiter) or f"{path}: {error}") from error
    if cells.size == 0:
        raise BadFileError(f"{path}: there is no row below the header")
    if cells.shape[1] != len(header):
        raise BadFileError(_csv_fault(path, header, delimiter) or f"{path}: rows and header differ")
    return _split(path, cells, header, place)


def _csv_fault(path: Path, header: list[str], delimiter: str) -> str | None:
    """The first cell that is no number, or row that has not one cell for each name."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file, delimiter=delimiter)
        next(rows)
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                return f"{path}: line {rows.line_num} has {len(row)} cells, not {len(header)}"
            for name, cell in zip(header, row, strict=True):
                if not _is_number(cell):
                    kind = f"text ({cell[:30]!r})" if cell.strip() else "an empty cell"
                    return f"{path}: column {name!r} holds {kind} in line {rows.line_num}"
    return None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path, target: str | None) -> Table:
    try:
        from pyarrow import parquet, types
    except ImportError as error:
        raise BadFileError(
            f"{path}: Parquet needs pyarrow, which is not installed: pip install 'creg[io]'"
        ) from error
    table = parquet.read_table(path)
    header = list(table.column_names)
    place = _place(path, header, target)
    cells = np.empty((table.num_rows, len(header)), order="F")
    for k, (name, column) in enumerate(zip(header, table.columns, strict=True)):
        kind = column.type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            raise BadFileError(f"{path}: column {name!r} holds {kind}, not numbers")
        if column.null_count:
            raise BadFileError(f"{path}: column {name!r} holds {column.null_count} missing values")
        cells[:, k] = column.to_numpy()
    if not table.num_rows:
        raise BadFileError(f"{path}: the table has no rows")
    return _split(path, cells, header, place)


def _place(path: Path, header: list[str], target: str | None) -> int:
    listed = ", ".join(header[:10]) + (", ..." if len(header) > 10 else "")
    if target is None:
        raise BadFileError(f"{path}: say which column is y: --target COLUMN, one of {listed}")
    if target not in header:
        raise BadFileError(f"{path}: there is no column {target!r}; the columns are {listed}")
    if header.count(target) > 1:
        raise BadFileError(f"{path}: {header.count(target)} columns are named {target!r}")
    if len(header) == 1:
        raise BadFileError(f"{path}: there is no column beside {target!r}")
    return header.index(target)


def _split(path: Path, cells: Float, header: list[str], place: int) -> Table:
    wrong = ~np.isfinite(cells).all(axis=0)
    if wrong.any():
        k = int(wrong.argmax())
        row = int((~np.isfinite(cells[:, k])).argmax())
        raise BadFileError(
            f"{path}: column {header[k]!r} holds {cells[row, k]} in row {row + 1} below the header"
        )
    X = np.asfortranarray(np.delete(cells, place, axis=1))
    return Table(X, cells[:, place].copy(), header[:place] + header[place + 1 :])


def _read_npz(path: Path) -> Table:
    with np.load(path, allow_pickle=False) as parts:
        if "y" not in parts or not ("X" in parts or "indptr" in parts):
            held = ", ".join(parts.files) or "nothing"
            raise BadFileError(
                f"{path}: it must hold arrays X and y, or y and those of scipy.sparse.save_npz; "
                f"it holds {held}"
            )
        y = parts["y"]
        X = parts.get("X")
    return Table(sparse.load_npz(path) if X is None else X, y, None)


def _read_svmlight(path: Path) -> Table:
    from sklearn.datasets import load_svmlight_file

    X, y = load_svmlight_file(str(path))
    if not X.shape[0]:
        raise BadFileError(f"{path}: there are no rows")
    return Table(X, y, None)


_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, OverflowError, NotImplementedError, BadZipFile,
    zlib.error, csv.Error,
)  # fmt: skip
_WITH_NAMES: dict[str, Callable[[Path, str | None], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
}
_WITHOUT_NAMES: dict[str, Callable[[Path], Table]] = {
    ".npz": _read_npz,
    ".svm": _read_svmlight,
    ".svmlight": _read_svmlight,
    ".libsvm": _read_svmlight,
}
