"""What a ridge penalty is chosen by, for all alphas of one decomposition.

    leave-one-out   e_i = r_i / (1 - h_i),  exact with intercept, weights and unpenalised columns
                    tall:  h_i = n_i + sum_k T_ik^2 / (lambda_k + alpha),  T = A Q
                    wide:  e_i = (sum_k u_ik d_k / (lambda_k + alpha))
                               / (sum_k u_ik^2 / (lambda_k + alpha))
    GCV             n RSS / tr(I - H)^2
    evidence        N (log 2 pi sigma^2 + 1) + sum_k log(1 + lambda_k / alpha) - sum_i log s_i
                    + log det M'SM = -2 log p(y),
                    N sigma^2 = rest + sum_k d_k^2 alpha / (lambda_k + alpha)

n_i is the leverage of what is free, N the directions that it leaves.  Nothing is subtracted from
||y||^2, and where no direction is left over, alpha cancels before it can vanish.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from creg._ridge.decomposition import Decomposition, Tall, Wide
from creg._ridge.system import EPS

Float = NDArray[np.float64]

ROUNDED = 1e-13  # error of (lambda + least alpha) / (lambda + alpha) in fewer terms
LEAST_SAVED = 0.85  # share of the terms that fewer must be to be worth the while
SATURATED = 1e-13  # of 1 - h_i, below it the row cannot be left out


@dataclass(frozen=True)
class Errors:
    """Leave-one-out (or GCV) errors of targets in kernel units.

    Attributes
    ----------
    squares : (t, a)
        sum_i s_i e_i^2.
    each : (n, t, a) or None
        sqrt(s_i) e_i over the rows used, where they are kept.
    """

    squares: Float
    each: Float | None


def gcv(found: Decomposition, alphas: Float) -> Float:
    """(t, a): n RSS / tr(I - H)^2, in kernel units."""
    d2 = np.square(found.coordinates)
    left = _left(found, alphas)
    traces = found.n_rest + left.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        out = found.design.n * (found.rest[:, None] + d2.T @ np.square(left)) / np.square(traces)
    return np.where(traces > 0, out, np.inf)


def evidence(found: Decomposition, alphas: Float) -> tuple[Float, Float]:
    """log p(y) and the maximising noise variance, each (t, a), for targets in kernel units."""
    design, values = found.design, found.values[:, None]
    d2 = np.square(found.coordinates)
    N = design.n_left
    if N == 0:
        return np.zeros((d2.shape[1], alphas.size)), np.zeros((d2.shape[1], alphas.size))
    variance = (found.rest[:, None] + d2.T @ _left(found, alphas)) / N
    with np.errstate(divide="ignore"):
        minus_twice = N * (np.log(2 * np.pi) + 1 + np.log(variance)) + design.log_determinant
    weights = design.system.view.weights
    if weights is not None:
        minus_twice -= float(np.log(weights[weights > 0]).sum())
    if _cancels(found):
        # `_left` is without alpha / (least + alpha), whose N logarithms are among those of the sum
        least = found.values[0]
        minus_twice += np.log1p((values - least) / (least + alphas)).sum(axis=0)
        variance *= alphas / (least + alphas)
    else:
        minus_twice += np.log1p(values / alphas).sum(axis=0)
    return -0.5 * minus_twice, variance


def _cancels(found: Decomposition) -> bool:
    return found.n_rest == 0 and found.values.size > 0


def _left(found: Decomposition, alphas: Float) -> Float:
    """alpha / (lambda + alpha), (k, a), over its largest value where all directions have one."""
    values = found.values[:, None]
    numerator = found.values[0] + alphas if _cancels(found) else alphas
    return numerator / (values + alphas)


def leave_one_out(
    found: Decomposition, alphas: Float, *, keep: bool = False, average: bool = False
) -> Errors:
    """Leave-one-out errors in one pass over the rows.

    Parameters
    ----------
    found : Decomposition
    alphas : (a,)
    keep : bool
        Whether the errors of the rows are wanted.
    average : bool
        Divide by the mean of 1 - h_i in place of each: the errors of GCV.
    """
    n, count = found.design.n, found.coordinates.shape[1]
    each = np.empty((n, count, alphas.size)) if keep else None
    rows = rows_of(found, alphas)
    means = rows.mean_left() if average else None

    def task(start: int, stop: int) -> Float:
        e, left = rows.block(start, stop)
        with np.errstate(divide="ignore", invalid="ignore"):
            e /= left[:, None] if means is None else means
        if means is None and not np.all(left > 0):
            e[np.broadcast_to(left[:, None] <= 0, e.shape)] = np.inf
        if each is not None:
            each[start:stop] = e
        return np.einsum("ita,ita->ta", e, e)

    width = max(found.values.size, count * alphas.size)
    parts = found.design.over_rows(width, task)
    squares = np.zeros((count, alphas.size))
    for part in parts:
        squares += part
    return Errors(squares, each)


class _Rows:
    """r_i and 1 - h_i (or both times one factor) by blocks of rows."""

    def __init__(self, found: Decomposition, alphas: Float) -> None:
        self.eta, self.alphas, self.values = found.eta, alphas, found.values
        self.n_rest = found.n_rest
        self.count = found.coordinates.shape[1]
        values = found.values
        least = float(values[0] + alphas.min()) if values.size else 1.0
        self.least = least
        self.root = np.sqrt(least / (values + alphas.min()))
        self.left, self.right = self.factors()

    def factors(self) -> tuple[Float, Float | None]:
        """(k, r) and (r, a): (lambda + least alpha) / (lambda + alpha); None for r = a."""
        raise NotImplementedError

    def mean_left(self) -> Float:
        """The mean of 1 - h_i, (a,)."""
        raise NotImplementedError

    def block(self, start: int, stop: int) -> tuple[Float, Float]:
        """r_i of the rows, (rows, t, a), and 1 - h_i, (rows, a)."""
        raise NotImplementedError

    def with_targets(self, coordinates: Float) -> Float:
        """(k, t r): the terms of all targets side by side."""
        terms = coordinates[:, :, None] * self.left[:, None, :]
        return np.ascontiguousarray(terms.reshape(terms.shape[0], terms.shape[1] * terms.shape[2]))

    def sums(self, T: Float, terms: Float) -> tuple[Float, Float]:
        """sum_k T_ik c_k g_ka, (rows, t, a), and sum_k T_ik^2 g_ka, (rows, a)."""
        fitted = (T @ terms).reshape(T.shape[0] * self.count, self.left.shape[1])
        squares = np.square(T) @ self.left
        if self.right is not None:
            fitted, squares = fitted @ self.right, squares @ self.right
        return fitted.reshape(T.shape[0], self.count, self.alphas.size), squares


class _TallRows(_Rows):
    def __init__(self, found: Tall, alphas: Float) -> None:
        super().__init__(found, alphas)
        self.design = found.design
        self.rotation = self.design.rotated(found.vectors * self.root)
        c = np.sqrt(found.values[:, None]) * found.coordinates
        self.terms = self.with_targets(c * self.root[:, None] / self.least)
        self.leverage = np.square(self.design.basis).sum(axis=1)

    def factors(self) -> tuple[Float, Float | None]:
        return compressed(self.values, self.alphas, self.eta.shape[0])

    def mean_left(self) -> Float:
        left = self.alphas / (self.values[:, None] + self.alphas)
        return np.asarray((self.n_rest + left.sum(axis=0)) / self.eta.shape[0])

    def block(self, start: int, stop: int) -> tuple[Float, Float]:
        T = self.design.times(start, stop, *self.rotation)
        fitted, squares = self.sums(T, self.terms)
        e = np.subtract(self.eta[start:stop, :, None], fitted, out=fitted)
        free = 1 - self.leverage[start:stop, None]
        squares /= self.least
        left = np.subtract(free, squares, out=squares)
        left[left <= SATURATED] = 0.0
        return e, left


class _WideRows(_Rows):
    def __init__(self, found: Wide, alphas: Float) -> None:
        super().__init__(found, alphas)
        self.U = found.unreflected(found.vectors * self.root)
        self.terms = self.with_targets(found.coordinates * self.root[:, None])
        self.free = 1 - np.square(found.design.basis).sum(axis=1)

    def factors(self) -> tuple[Float, Float | None]:
        # small sums count here, and relative errors: nothing is left out
        whole = (self.values[:, None] + self.alphas.min()) / (self.values[:, None] + self.alphas)
        return whole, None

    def mean_left(self) -> Float:
        left = self.least / (self.values[:, None] + self.alphas)
        return np.asarray(left.sum(axis=0) / self.eta.shape[0])

    def block(self, start: int, stop: int) -> tuple[Float, Float]:
        e, left = self.sums(self.U[start:stop], self.terms)
        left[self.free[start:stop] <= SATURATED] = 0.0
        return e, left


def rows_of(found: Decomposition, alphas: Float) -> _Rows:
    if isinstance(found, Tall):
        return _TallRows(found, alphas)
    assert isinstance(found, Wide)
    return _WideRows(found, alphas)


def compressed(values: Float, alphas: Float, n: int) -> tuple[Float, Float | None]:
    """Factors (k, r) and (r, a) of (lambda + least) / (lambda + alpha), least the smallest alpha.

    1 / (lambda + alpha) has a low rank.  The entries are at most 1 and so are the sums that they
    weigh, of squares or of products with eta: what counts is the error, not relative to the entry.
    """
    count = alphas.size
    shifted = values[:, None] + alphas.min()
    whole = shifted / (values[:, None] + alphas)
    if n < 10 * count or min(values.size, count) < 20:
        return whole, None
    U, singular, Vt = np.linalg.svd(whole, full_matrices=False)
    rank = int(np.count_nonzero(singular > 4 * EPS * singular[0]))
    left, right = np.ascontiguousarray(U[:, :rank] * singular[:rank]), Vt[:rank]
    if rank > LEAST_SAVED * count or np.max(np.abs(left @ right - whole)) > ROUNDED:
        return whole, None
    return left, right
