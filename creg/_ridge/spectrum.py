"""Ridge by decompositions: eigenvalues of the Gram matrix, and below it singular values of X.

The singular values are those of R, Z = Q R made by blocks of rows (n > p), or of Z itself (n <= p);
rank is decided on columns at unit norm, and where the answer is not unique the one with the least
sum_j sigma_j^2 w_j^2 is taken: at alpha = 0 the least norm of the caller's coefficients.
"""

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.linalg import lapack

from creg._ridge.cholesky import Projection
from creg._ridge.system import EPS, RidgeSystem

Float = NDArray[np.float64]

APART = 1e6  # ratio of penalties' roots from which singular values lose the small columns
UNPENALISED = 1e-8  # share of the penalised columns in a null direction that is none of theirs


class EigenFactor:
    """A = Q diag(values) Q', Q (`vectors`) written over A; `values` ascend."""

    def __init__(self, A: Float) -> None:
        if A.shape[0] == 1:  # some versions ask dsyevd for too small a workspace
            self.values, self.vectors = A[0].copy(), np.ones((1, 1))
        else:
            self.values, self.vectors = scipy.linalg.eigh(
                A.T, lower=False, driver="evd", overwrite_a=True, check_finite=False
            )
        self.rcond = max(float(self.values[0]), 0.0) / float(self.values[-1])

    def solve(self, rhs: Float) -> Float:
        """A^-1 rhs."""
        return self.vectors @ ((self.vectors.T @ rhs) / self.values[:, None])


def singular(system: RidgeSystem, alpha: float, Y: Float) -> Float:
    """Coefficients in kernel units, (n_columns, t), of the centred targets Y (n_samples, t)."""
    if system.view.n_samples > system.n_columns:
        return _tall(system, alpha, Y)
    return _wide(system, alpha, Y)


def are_apart(sigma: Float) -> bool:
    """Whether columns differ so much in size that plain singular values lose the small ones."""
    return bool(sigma.size) and float(sigma.max()) > APART * float(sigma.min())


def minimum_norm(A: Float, B: Float, metric: Float, tolerance: float) -> Float:
    """Least squares ||A w - B||, of all solutions the one with the least ||metric * w||.

    Parameters
    ----------
    A : (k, m), B : (k, t)
    metric : (m,)
        >= 0.
    tolerance : float
        Singular values of A at unit column norms below it times the largest are zeros.
    """
    norms = np.linalg.norm(A, axis=0)
    norms[norms == 0] = 1.0
    U, values, Vt = svd(A / norms)
    rank = int(np.count_nonzero(values > tolerance * values[0])) if values.size else 0
    w = Vt[:rank].T @ ((U[:, :rank].T @ B) / values[:rank, None])
    if rank < A.shape[1]:
        null = _complement(Vt[:rank])
        w = _least(w, null, metric / norms)
    return w / norms[:, None]


def svd(A: Float) -> tuple[Float, Float, Float]:
    try:
        return scipy.linalg.svd(A, full_matrices=False, check_finite=False)
    except np.linalg.LinAlgError:
        return scipy.linalg.svd(A, full_matrices=False, check_finite=False, lapack_driver="gesvd")


def _complement(rows: Float) -> Float:
    """Orthonormal columns that span what the orthonormal rows (r, m) do not."""
    if not rows.shape[0]:
        return np.eye(rows.shape[1])
    return scipy.linalg.qr(rows.T, check_finite=False)[0][:, rows.shape[0] :]


def _least(w: Float, null: Float, metric: Float) -> Float:
    """The w + null t with the least ||metric * .||, for metrics of any spread."""
    largest = float(metric.max())
    if not largest > 0 or not null.shape[1]:
        return w
    if not np.all(metric > 0):
        # what is null in the unpenalised columns alone stays as it is
        _, values, Vt = svd(null[metric > 0])
        null = null @ Vt[: np.count_nonzero(values > UNPENALISED)].T
    if not null.shape[1]:
        return w
    metric = (metric / largest)[:, None]
    # rows in descending size: Householder QR with pivoting is then accurate row by row
    N = metric * null
    order = np.argsort(-np.max(np.abs(N), axis=1), kind="stable")
    Q, R, pivots = scipy.linalg.qr(N[order], mode="economic", pivoting=True, check_finite=False)
    diagonal = np.abs(np.diag(R))
    rank = int(np.count_nonzero(diagonal > 1e-290))
    t = np.zeros((null.shape[1], w.shape[1]))
    t[pivots[:rank]] = scipy.linalg.solve_triangular(
        R[:rank, :rank], Q[:, :rank].T @ (metric * w)[order], check_finite=False
    )
    return w - null @ t


def singular_at(system: RidgeSystem, alphas: Float, Y: Float) -> Float:
    """The same at alphas > 0, (n_columns, t, a), reading tall X once."""
    m = system.n_columns
    W = np.empty((m, Y.shape[1], alphas.size))
    is_tall = system.view.n_samples > m
    if is_tall:
        R = triangle(system, 0.0, system.times_root_weights(Y.copy(order="F")))
    for k, alpha in enumerate(alphas):
        W[:, :, k] = (
            _from_triangle(system, _penalised(R, system, float(alpha)))
            if is_tall
            else _wide(system, float(alpha), Y)
        )
    return W


def _tall(system: RidgeSystem, alpha: float, Y: Float) -> Float:
    target = system.times_root_weights(Y.copy(order="F"))
    return _from_triangle(system, triangle(system, alpha, target))


def _from_triangle(system: RidgeSystem, R: Float) -> Float:
    m = system.n_columns
    return minimum_norm(R[:m, :m], R[:m, m:], system.sigma, system.rank_tolerance())


def triangle(system: RidgeSystem, alpha: float, target: Float) -> Float:
    """R of a QR of [S^1/2 Z, target], below it rows that stand for the penalty, by blocks."""
    n, m = system.view.n_samples, system.n_columns
    R = np.zeros((0, m + target.shape[1]))
    step = max(2 * R.shape[1], 256)
    for start in range(0, n, step):
        stop = min(start + step, n)
        block = np.empty((R.shape[0] + stop - start, R.shape[1]), order="F")
        block[: R.shape[0]] = R
        block[R.shape[0] :, :m] = system.rows(start, stop)
        block[R.shape[0] :, m:] = target[start:stop]
        R = _triangle(block)
    system.reads += 1
    return _penalised(R, system, alpha) if alpha > 0 else R


def _penalised(R: Float, system: RidgeSystem, alpha: float) -> Float:
    """R of a QR of R and below it sqrt(alpha) sigma, as rows of X whose target is 0."""
    extra = np.zeros((system.n_columns, R.shape[1]))
    np.fill_diagonal(extra, np.sqrt(system.penalty(alpha)))
    return _triangle(np.asfortranarray(np.vstack([R, extra])))


def _triangle(block: Float) -> Float:
    """R of a QR of the block, which is overwritten."""
    factor = lapack.dgeqrf(block, overwrite_a=1)[0]
    return np.triu(factor[: min(factor.shape)])


def _wide(system: RidgeSystem, alpha: float, Y: Float) -> Float:
    projection = Projection(system)
    target = projection.off(system.times_root_weights(Y.copy(order="F")))
    W = np.zeros((system.n_columns, Y.shape[1]))
    which = projection.penalised
    sigma = system.sigma[which]
    A = projection.off(system.dense_columns(which))
    system.reads += 1
    if alpha == 0:
        W[which] = _wide_least_squares(A, target, sigma, system.rank_tolerance())
    else:
        smallest = float(sigma.min())
        if are_apart(sigma):
            W[which] = _graded(A, target, smallest / sigma, np.sqrt(alpha) * smallest)
            return projection.complete(system, W, Y)
        A *= smallest / sigma
        penalty = (alpha * smallest) * smallest
        Q, U, values = row_space(A)
        kept = values > EPS * max(A.shape) * values[0]
        damped = np.zeros((values.size, 1))
        np.divide(values, values**2 + penalty, out=damped[:, 0], where=kept)
        W[which] = (smallest / sigma)[:, None] * (Q @ (damped * (U.T @ target)))
    return projection.complete(system, W, Y)


def _graded(A: Float, B: Float, grades: Float, root: float) -> Float:
    """w = G z for the z with the least ||A G z - B||^2 + root^2 ||z||^2, G = diag(grades).

    For A (n, m), columns near unit norm, overwritten, whose grades differ by any factor.  With
    A G = Q R, columns in the order of what is left of them, D = |diag R| and T = R / D,

        z = T' (T T' + root^2 D^-2)^-1 D^-1 Q'B

    where entries of T, and a Cholesky factor at unit diagonal, are right to their own size.
    """
    left = np.linalg.norm(A, axis=0)
    noise = EPS * max(A.shape) * left
    pivots: list[int] = []
    B = B.copy()
    for k in range(min(A.shape)):
        left = np.linalg.norm(A[k:], axis=0)
        A[k:, left <= noise] = 0.0
        left[left <= noise] = 0.0
        left[pivots] = 0.0
        j = int(np.argmax(left * grades))
        if not left[j] > 0:
            break
        pivots.append(j)
        v = A[k:, j] / left[j]
        sign = 1.0 if v[0] >= 0 else -1.0
        v[0] += sign
        for M in (A, B):
            M[k:] -= np.outer(v, (v @ M[k:]) / (sign * v[0]))
        A[k + 1 :, j] = 0.0
    k = len(pivots)
    if not k:
        return np.zeros((A.shape[1], B.shape[1]))
    R = A[:k]
    D = R[np.arange(k), pivots]
    sizes = np.abs(D) * grades[pivots]
    with np.errstate(under="ignore", over="ignore", divide="ignore"):
        T = (R / D[:, None]) * (grades / grades[pivots][:, None])
        units = 1.0 / np.hypot(1.0, np.minimum(root / sizes, 1e150))
        M = (T @ T.T - np.eye(k)) * units[:, None] * units
        np.fill_diagonal(M, np.square(units) * (np.einsum("ij,ij->i", T, T) - 1.0) + 1.0)
        right = B[:k] * (np.sign(D) / np.hypot(sizes, root))[:, None]
        try:
            x = scipy.linalg.cho_solve(scipy.linalg.cho_factor(M, check_finite=False), right)
        except np.linalg.LinAlgError:
            x = np.linalg.lstsq(M, right)[0]
        return grades[:, None] * (T.T @ (units[:, None] * x))


def row_space(A: Float) -> tuple[Float, Float, Float]:
    """Q, U, values with A = U diag(values) Q', for A (n, m), n <= m."""
    Q, R = scipy.linalg.qr(A.T, mode="economic", check_finite=False)
    V, values, Ut = svd(R)
    return Q @ V, Ut.T, values


def _wide_least_squares(A: Float, B: Float, metric: Float, tolerance: float) -> Float:
    norms = np.linalg.norm(A, axis=0)
    norms[norms == 0] = 1.0
    A = A / norms
    Q, U, values = row_space(A)
    rank = int(np.count_nonzero(values > tolerance * values[0]))
    # the solutions are Q_r' w = right, w of the columns at unit norm
    right = (U[:, :rank].T @ B) / values[:rank, None]
    if rank == norms.size:
        return Q @ right / norms[:, None]
    metric = metric / norms
    Q = Q[:, :rank] * (metric.min() / metric)[:, None]
    order = np.argsort(-np.max(np.abs(Q), axis=1), kind="stable")
    basis, R, pivots = scipy.linalg.qr(Q[order], mode="economic", pivoting=True, check_finite=False)
    z = basis @ scipy.linalg.solve_triangular(R, right[pivots], trans="T", check_finite=False)
    w = np.empty_like(z)
    w[order] = z
    return w * (metric.min() / metric / norms)[:, None]
