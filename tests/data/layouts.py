"""Every form that X may have, and the dense truth in extended precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

DENSE = (
    "F",
    "C",
    "columns sliced",
    "rows sliced",
    "reversed",
    "both sliced",
    "read-only",
    "memmap",
)
SPARSE = (
    "csc_array",
    "csr_array",
    "csc_matrix",
    "csr_matrix",
    "csc int64",
    "csr int64",
    "csc mixed",
)
FORMS = DENSE + SPARSE


def as_form(X: np.ndarray, form: str, folder: Path) -> Any:
    """X in the given form; sparse forms store no zeros."""
    if form == "F":
        return np.asfortranarray(X)
    if form == "C":
        return np.ascontiguousarray(X)
    if form == "columns sliced":
        return np.asfortranarray(np.repeat(X, 3, axis=1))[:, ::3]
    if form == "rows sliced":
        return np.repeat(X, 2, axis=0)[1::2]
    if form == "reversed":
        return np.asfortranarray(X[:, ::-1])[:, ::-1]
    if form == "both sliced":
        return np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2]
    if form == "read-only":
        X = np.array(X, order="F")
        X.flags.writeable = False
        return X
    if form == "memmap":
        np.save(folder / "X.npy", X)
        return np.load(folder / "X.npy", mmap_mode="r")
    kind, _, index = form.partition(" ")
    made = getattr(sparse, kind if "_" in kind else kind + "_array")(X)
    if index:
        made.indices = made.indices.astype(np.int64 if index == "int64" else np.int32)
        made.indptr = made.indptr.astype(np.int64)
    return made


def random_matrix(seed: int, n: int, p: int, shift: float = 0.0) -> np.ndarray:
    """Columns with mean/std of about `shift`: full, half empty, nearly full, empty, constant."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + shift * rng.uniform(0.5, 1.0, size=p)
    X[rng.random((n, p)) < np.linspace(0, 1, p) ** 2] = 0
    X[:, 1] = shift + 1
    X[:, 2] = 0
    if n > 1:
        X[n // 2, 3] = 0
    return X


def row_weights(seed: int, n: int, kind: str | None) -> np.ndarray | None:
    """None, positive weights, or weights of which a third are zero."""
    if kind is None:
        return None
    rng = np.random.default_rng(seed + 1)
    weights = rng.uniform(0.1, 2.0, size=n)
    if kind == "zeros":
        weights[rng.random(n) < 0.35] = 0
        weights[0], weights[-1] = 0.0, 1.0
    return weights


class Truth:
    """Z = (X - m) diag(scale), weights and norms in long double."""

    def __init__(self, X: Any, weights: np.ndarray | None, centre: bool, scale: np.ndarray) -> None:
        dense = X.toarray() if sparse.issparse(X) else np.asarray(X)
        self.X = dense.astype(np.longdouble)
        s = np.ones(len(dense)) if weights is None else weights
        self.s = s.astype(np.longdouble)
        self.W = self.s.sum()
        self.mean = self.s @ self.X / self.W if centre else np.zeros(dense.shape[1], np.longdouble)
        self.Z = (self.X - self.mean) * scale
        self.norm = np.sqrt(self.s @ self.Z**2)
        eps = np.finfo(float).eps
        self.constant = self.norm <= np.sqrt(self.W) * 4 * eps * abs(self.mean) * scale
        self.Z[:, self.constant] = 0
        self.centre = centre

    def centred(self, r: np.ndarray) -> np.ndarray:
        return r - self.s @ r / self.W if self.centre else r.astype(np.longdouble)
