"""What a path reached, from its coefficients alone: the benchmarks measure all packages by it."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def relative_gaps(
    X: Any, y: Array, alphas: Array, coefs: Array, l1_ratio: float = 1.0
) -> tuple[Array, Array]:
    """Objectives and duality gaps over the null objective ||y||^2 / 2n, (n_alphas,) each.

    With l1 = n alpha l1_ratio and l2 = n alpha (1 - l1_ratio), the elastic net is the Lasso of
    [X; sqrt(l2) I] and [y; 0]. Its residual has |r|^2 + l2 |w|^2 as square and c = X'r - l2 w as
    gradient; the dual point is that residual times s, so that |s c_j| <= l1:
        gap = ((1 - s)^2 (|r|^2 + l2 |w|^2) / 2 + l1 |w|_1 - s w'c) / n
    """
    n = len(y)
    l1, l2 = n * alphas * l1_ratio, n * alphas * (1 - l1_ratio)
    residuals = y[:, None] - X @ coefs
    norms = np.abs(coefs).sum(axis=0)
    squares = np.einsum("ij,ij->j", residuals, residuals)
    squares += l2 * np.einsum("ij,ij->j", coefs, coefs)
    largest, products = np.zeros(len(alphas)), np.zeros(len(alphas))
    for k, coef in enumerate(coefs.T):
        gradient = X.T @ residuals[:, k] - l2[k] * coef
        largest[k] = np.abs(gradient).max()
        products[k] = coef @ gradient
    s = np.minimum(1.0, l1 / np.maximum(largest, np.finfo(float).tiny))
    null = y @ y / 2
    gaps = (1 - s) ** 2 * squares / 2 + l1 * norms - s * products
    return (squares / 2 + l1 * norms) / null, gaps / null


def relative_objectives(
    X: Any, y: Array, alphas: Array, coefs: Array, l1_ratio: float = 1.0
) -> Array:
    """The objectives alone, which take no product with X'."""
    n = len(y)
    residuals = y[:, None] - X @ coefs
    loss = np.einsum("ij,ij->j", residuals, residuals) / 2
    l1 = l1_ratio * np.abs(coefs).sum(axis=0)
    l2 = (1 - l1_ratio) / 2 * np.einsum("ij,ij->j", coefs, coefs)
    return (loss + n * alphas * (l1 + l2)) / (y @ y / 2)
