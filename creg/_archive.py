"""Paths in ``.npz`` files without pickles."""

import os
import zlib
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
from scipy import sparse

File: TypeAlias = str | os.PathLike[str] | IO[bytes]

_FORMAT = 1
_PER_ALPHA = ("alphas", "intercepts", "dual_gaps", "n_iters", "n_nonzero", "r2")
_NUMBERS = ("l1_ratio", "reads")
_STORED = ("data", "indices", "indptr")  # of sparse coefs
_UNREADABLE = (ValueError, TypeError, AttributeError, KeyError, EOFError, BadZipFile, zlib.error)


def write(file: File, fields: dict[str, Any]) -> None:
    """Writes the fields of a path; a name is used as it is."""
    parts: dict[str, Any] = {"creg_path": np.array(_FORMAT)}
    parts |= {name: fields[name] for name in _PER_ALPHA + _NUMBERS}
    coefs, names = fields["coefs"], fields["feature_names"]
    if sparse.issparse(coefs):
        parts |= {name: getattr(coefs, name) for name in _STORED}
        parts["shape"] = np.array(coefs.shape)
    else:
        parts["coefs"] = coefs
    if names is not None:
        parts["feature_names"] = names.astype(str)
    with _opened(file, "wb") as opened:
        np.savez(opened, **parts)


def read(file: File) -> dict[str, Any]:
    """The fields of a path that `write` wrote."""
    with _opened(file, "rb") as opened:
        try:
            with np.load(opened, allow_pickle=False) as parts:
                return _fields(parts)
        except _UNREADABLE as error:
            raise ValueError(f"file must be one written by Path.save; got {file!r}.") from error


def _opened(file: File, mode: str) -> AbstractContextManager[Any]:
    return open(file, mode) if isinstance(file, (str, os.PathLike)) else nullcontext(file)


def _fields(parts: Any) -> dict[str, Any]:
    """What an archive holds, checked against each other."""
    if int(parts["creg_path"]) != _FORMAT:
        raise ValueError("another format")
    if "coefs" in parts:
        coefs = parts["coefs"]
    else:
        stored = tuple(parts[name] for name in _STORED)
        coefs = sparse.csc_array(stored, shape=tuple(parts["shape"]))
        coefs.check_format(full_check=True)
    names = parts["feature_names"].astype(object) if "feature_names" in parts else None
    fields = {name: parts[name] for name in _PER_ALPHA}
    *targets, n_features, n_alphas = coefs.shape
    shapes = {array.shape for name, array in fields.items() if name != "alphas"}
    if (
        shapes != {(*targets, n_alphas)}
        or fields["alphas"].shape != (n_alphas,)
        or (names is not None and names.shape != (n_features,))
    ):
        raise ValueError("arrays of different lengths")
    fields |= {name: float(parts[name]) for name in _NUMBERS}
    return fields | {"coefs": coefs, "feature_names": names}
