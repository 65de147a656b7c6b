"""The span of the unpenalised features, which a dual point must be orthogonal to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

if TYPE_CHECKING:
    from creg._data.design import DesignView

EPS = float(np.finfo(np.float64).eps)


def projection_basis(
    view: DesignView, features: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A basis B of the span of the listed columns with B'SB = I, and C with Z_F C = B.

    The rank is that of a pivoted QR with diagonal entries above
    ``eps * max(n, f) * (1 + max |mean| / std)`` of the largest; dependent columns get zero rows in
    C.  Rows of weight zero of B are zero: they meet only weighted residuals.
    """
    n, f = view.n_samples, len(features)
    columns = np.empty((n, f), order="F")
    unit = np.zeros(view.n_features)
    for k, j in enumerate(features):
        unit[j] = 1.0
        columns[:, k] = view.product(unit)
        unit[j] = 0.0
    weights = view.weights
    if view.centred and f:
        # a rounded mean leaves an offset that matters where mean / std is near 1 / eps
        columns -= np.average(columns, axis=0, weights=weights)
    if weights is not None:
        columns *= np.sqrt(weights)[:, None]
    q, r, order = linalg.qr(columns, mode="economic", pivoting=True, overwrite_a=True)
    diagonal = np.abs(np.diagonal(r))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(view.norm2[features] / view.sum_weights)
        ratio = np.nan_to_num(np.abs(view.mean * view.scale)[features] / spread, posinf=0.0)
    limit = EPS * max(n, f) * (1.0 + ratio.max(initial=0.0)) * diagonal.max(initial=0.0)
    rank = int(np.count_nonzero(diagonal > limit))
    solve = np.zeros((f, rank))
    if rank:  # some versions refuse an empty triangle
        solve[order[:rank]] = linalg.solve_triangular(r[:rank, :rank], np.eye(rank))
    basis = q[:, :rank]
    if weights is not None:
        positive = weights > 0
        basis[~positive] = 0.0
        basis[positive] /= np.sqrt(weights[positive])[:, None]
    return np.asfortranarray(basis), np.ascontiguousarray(solve)
