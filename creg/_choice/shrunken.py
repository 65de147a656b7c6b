"""Degrees of freedom and leverages where a squared penalty shrinks (l2 > 0).

Unpenalised columns are projected on first; of the others, divided by sqrt(b_j) and less that
projection, C remains:

    C'C + l2 I = L L',      H_ii = sum_k (C L'^-1)_ik^2      where C has fewer columns than rows,
    CC' + l2 I = K ,        H_ii = 1 - l2 (K^-1)_ii          otherwise,
    C = U diag(d) V',       H_ii = sum_k U_ik^2 d_k^2 / (d_k^2 + l2)

the last for several l2 on one support, and where l2 is too small for the squares.  Of sparse
columns, and with K = Z'SZ + l2 B,  H_ii = z_i'K^-1 z_i  from the stored entries of row i.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.linalg import lapack

from creg._choice.columns import EPS
from creg._choice.coordinates import Coordinates, Entries

Float = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]
Smoother = tuple[float, Float | None]

# Relative error of C'C + l2 I from which on C itself is decomposed.
LOST = 1e-10
# Work of a decomposition over that of a factor.
DECOMPOSITION = 8


def shrunken(
    space: Coordinates | Entries, masks: Mask, b: Float, l2: Float, leverages: bool
) -> Iterator[Smoother]:
    """For each mask of (n, u) and each l2 > 0 of (n,); b : (u,) squared penalties."""
    start = 0
    for stop in range(1, len(masks) + 1):
        if stop < len(masks) and np.array_equal(masks[stop], masks[start]):
            continue
        at = np.flatnonzero(masks[start])
        yield from _on_support(space, at, b[at], l2[start:stop], leverages)
        start = stop


def _on_support(
    space: Coordinates | Entries, at: Index, b: Float, l2: Float, leverages: bool
) -> Iterator[Smoother]:
    done = 0
    if isinstance(space, Entries):
        for smoother in _by_entries(space, at, b, l2, leverages):
            done += 1
            yield smoother
        if done == len(l2):
            return
        space = Coordinates(space.columns, space.columns.whole, None)
    Q, C = _split(space, at, b)
    if len(l2) < DECOMPOSITION and C.size and (space.direct or len(C) >= C.shape[1]):
        found = _factored(C, l2[done:])
    else:
        found = _decomposed(C, l2[done:])
    base = space.squares(Q, np.ones(Q.shape[1])) if leverages else None
    for df, directions, weights in found:
        h = None
        if base is not None:
            h = base + (weights if directions is None else space.squares(directions, weights))
        yield Q.shape[1] + df, h


def _split(space: Coordinates, at: Index, b: Float) -> tuple[Float, Float]:
    """A basis of the unpenalised columns, and C."""
    C, penalised = space.Z[:, at], b > 0
    Q = C[:, :0]
    if not penalised.all():
        Q, R, _ = linalg.qr(C[:, ~penalised], mode="economic", pivoting=True, check_finite=False)
        Q = Q[:, : np.count_nonzero(np.abs(R.diagonal()) > space.columns.tolerance)]
        C = C[:, penalised]
        C = C - Q @ (Q.T @ C)
    return Q, C / np.sqrt(b[penalised])


def _factored(C: Float, l2: Float) -> Iterator[tuple[float, Float | None, Float]]:
    """df and either directions with their weights or None with the diagonal of H."""
    n, m = C.shape
    K = C.T @ C if m <= n else C @ C.T
    if EPS * float(np.trace(K)) > LOST * l2.min():
        yield from _decomposed(C, l2)
        return
    for value in l2:
        shifted = K + value * np.eye(len(K))
        L = linalg.cholesky(shifted, lower=True, overwrite_a=True, check_finite=False)
        inverse, _ = lapack.dtrtri(L, lower=1)
        squares = np.square(inverse).sum(axis=0)
        df = len(K) - value * float(squares.sum())
        if m <= n:
            yield df, C @ inverse.T, np.ones(m)
        else:
            yield df, None, 1.0 - value * squares


def _decomposed(C: Float, l2: Float) -> Iterator[tuple[float, Float | None, Float]]:
    U, d, _ = np.linalg.svd(C, full_matrices=False)
    squares = np.square(d)
    for value in l2:
        shares = squares / (squares + value)
        yield float(shares.sum()), U, shares


def _by_entries(
    space: Entries, at: Index, b: Float, l2: Float, leverages: bool
) -> Iterator[Smoother]:
    """As far as K can be inverted."""
    G = space.sparse.gram(at)[at]
    for value in l2:
        K = G.copy()
        K[np.diag_indices_from(K)] += value * b
        size = np.sqrt(K.diagonal())
        L, info = lapack.dpotrf(K / size / size[:, None], lower=1, clean=1)
        if info != 0 or LOST * L.diagonal().min(initial=1.0) ** 2 < EPS:
            return
        inverse, _ = lapack.dpotri(L, lower=1, overwrite_c=1)
        inverse = (np.tril(inverse) + np.tril(inverse, -1).T) / size / size[:, None]
        df = len(at) - value * float(b @ inverse.diagonal())
        yield df, space.sparse.quadratic_forms(at, inverse) if leverages else None
