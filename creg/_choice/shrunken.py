"""Degrees of freedom and leverages where a squared penalty shrinks (l2 > 0).

Unpenalised columns are projected on first; of the others, divided by sqrt(b_j) and less that
projection, C remains:

    C'C + l2 I = L L',      H_ii = sum_k (C L'^-1)_ik^2      where C has fewer columns than rows,
    CC' + l2 I = K ,        H_ii = 1 - l2 (K^-1)_ii          otherwise,
    C = U diag(d) V',       H_ii = sum_k U_ik^2 d_k^2 / (d_k^2 + l2)

the last for several l2 on one support, and where l2 is too small for the squares.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from creg._choice.columns import EPS, ActiveColumns

Float = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

# Relative error of C'C + l2 I from which on C itself is decomposed.
LOST = 1e-10
# Work of a decomposition over that of a factor.
DECOMPOSITION = 8


def shrunken(
    columns: ActiveColumns, masks: list[Mask], b: Float, l2: Float, leverages: bool
) -> Iterator[tuple[float, Float | None]]:
    """For each mask (u,) and each l2 > 0; b : (u,) squared penalties."""
    start = 0
    for stop in range(1, len(masks) + 1):
        if stop < len(masks) and np.array_equal(masks[stop], masks[start]):
            continue
        yield from _on_support(columns, masks[start], b, l2[start:stop], leverages)
        start = stop


def _on_support(
    columns: ActiveColumns, mask: Mask, b: Float, l2: Float, leverages: bool
) -> Iterator[tuple[float, Float | None]]:
    C = columns.whole[:, mask]
    penalised = b[mask] > 0
    base = np.zeros(columns.n)
    rank = 0
    if not penalised.all():
        Q = _orthonormal(C[:, ~penalised], columns.tolerance)
        C = C[:, penalised]
        C -= Q @ (Q.T @ C)
        base, rank = np.square(Q).sum(axis=1), Q.shape[1]
    C = C / np.sqrt(b[mask][penalised])
    for df, h in _ridge(C, l2):
        yield rank + df, base + h if leverages else None


def _ridge(C: Float, l2: Float) -> Iterator[tuple[float, Float]]:
    n, m = C.shape
    tall = m <= n
    if len(l2) < DECOMPOSITION and m:
        K = C.T @ C if tall else C @ C.T
        if EPS * float(np.trace(K)) <= LOST * l2.min():
            for value in l2:
                h = _by_factor(C, K, value, tall)
                yield float(h.sum()), h
            return
    U, d, _ = np.linalg.svd(C, full_matrices=False)
    squares = np.square(U)
    for value in l2:
        left = np.square(d) / (np.square(d) + value)
        yield float(left.sum()), squares @ left


def _by_factor(C: Float, K: Float, l2: float, tall: bool) -> Float:
    K = K + l2 * np.eye(len(K))
    L = linalg.cholesky(K, lower=True, overwrite_a=True, check_finite=False)
    if tall:
        rows = linalg.solve_triangular(L, C.T, lower=True, check_finite=False)
        return np.square(rows).sum(axis=0)
    inverse = linalg.solve_triangular(L, np.eye(len(L)), lower=True, check_finite=False)
    return 1.0 - l2 * np.square(inverse).sum(axis=0)


def _orthonormal(columns: Float, tolerance: float) -> Float:
    q, r, _ = linalg.qr(columns, mode="economic", pivoting=True, check_finite=False)
    pivots = np.abs(np.diag(r))
    return np.asarray(q[:, : np.count_nonzero(pivots > tolerance)])
