"""Alphas that span the spectrum."""

from collections.abc import Callable

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Float = NDArray[np.float64]

COUNT = 100
TOP = 10.0  # times lambda_1
BELOW_LAST = 0.01  # times the last eigenvalue
LAST = 1e-14  # of lambda_1, below it eigenvalues are rounding
LOWEST = 1e-10  # of lambda_1
LOWEST_ITERATED = 1e-6  # the same where every alpha is solved by iterations
LANCZOS_STEPS = 20


def default_alphas(values: Float) -> Float:
    """Descending, in the units of the eigenvalues, which are ascending."""
    largest = float(values[-1]) if values.size else 0.0
    if not largest > 0:
        return np.geomspace(1e-3, 1e-6, COUNT)  # no alpha makes a difference
    last = float(values[values > LAST * largest][0])
    return np.geomspace(TOP * largest, max(BELOW_LAST * last, LOWEST * largest), COUNT)


def iterated_alphas(product: Callable[[Float], Float], start: Float) -> Float:
    """The same from products with A'A alone, which tell lambda_1 within a per cent or so."""
    largest = largest_eigenvalue(product, start)
    if not largest > 0:
        return np.geomspace(1e-3, 1e-6, COUNT)
    return np.geomspace(TOP * largest, LOWEST_ITERATED * largest, COUNT)


def largest_eigenvalue(product: Callable[[Float], Float], start: Float) -> float:
    """By Lanczos steps with full orthogonalisation, from below."""
    norm = float(np.linalg.norm(start))
    if norm == 0:
        return 0.0
    basis = [start / norm]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(min(LANCZOS_STEPS, start.size)):
        v = product(basis[-1])
        diagonal.append(float(v @ basis[-1]))
        for u in basis:
            v = v - (u @ v) * u
        norm = float(np.linalg.norm(v))
        if norm <= 1e-12 * abs(diagonal[0]):
            break
        beside.append(norm)
        basis.append(v / norm)
    size = len(diagonal)
    return float(scipy.linalg.eigvalsh_tridiagonal(diagonal, beside[: size - 1])[-1])
