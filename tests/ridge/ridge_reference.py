"""Ridge the slow way: a Householder QR of the augmented, centred matrix in extended precision."""

import numpy as np


def least_squares(A, B):
    """argmin ||A w - B|| for A (n, p) of full column rank, in longdouble."""
    A = np.array(A, dtype=np.longdouble)
    B = np.array(B, dtype=np.longdouble)
    p = A.shape[1]
    for k in range(p):
        v = A[k:, k].copy()
        v[0] += np.copysign(np.sqrt(v @ v), v[0])
        v /= np.sqrt(v @ v)
        A[k:, k:] -= 2 * np.outer(v, v @ A[k:, k:])
        B[k:] -= 2 * np.outer(v, v @ B[k:])
    w = np.zeros((p, B.shape[1]), dtype=np.longdouble)
    for k in range(p - 1, -1, -1):
        w[k] = (B[k] - A[k, k + 1 : p] @ w[k + 1 :]) / A[k, k]
    return w


def centred(X, Y, s, fit_intercept):
    X, Y, s = (np.asarray(a, dtype=np.longdouble) for a in (X, Y, s))
    if not fit_intercept:
        return X, Y, np.zeros(X.shape[1], X.dtype), np.zeros(Y.shape[1], X.dtype)
    x_mean, y_mean = s @ X / s.sum(), s @ Y / s.sum()
    return X - x_mean, Y - y_mean, x_mean, y_mean


def ridge(X, Y, alphas, *, s=None, v=None, fit_intercept=True, standardize=False):
    """Coefficients (p, t) and intercepts (t,), longdouble; the answer has to be unique."""
    n, p = X.shape
    s = np.ones(n) if s is None else s
    v = np.ones(p) if v is None else v
    Xc, Yc, x_mean, y_mean = centred(X, Y, s, fit_intercept)
    spread = np.sqrt(s @ Xc**2 / s.sum())
    kept = (v < np.inf) & np.any(Xc[s > 0] != 0, axis=0)
    root = np.sqrt(np.asarray(s, dtype=np.longdouble))[:, None]
    scale = 1 / spread[kept]
    cost = v[kept] * (1 if standardize else scale**2)
    W = np.zeros((p, Y.shape[1]), dtype=np.longdouble)
    for k, alpha in enumerate(alphas):
        A, b = root * Xc[:, kept] * scale, root * Yc[:, [k]]
        if alpha > 0:
            A = np.vstack([A, np.diag(np.sqrt(np.longdouble(alpha) * cost))])
            b = np.vstack([b, np.zeros((A.shape[1], 1))])
        W[kept, k] = scale * least_squares(A, b)[:, 0]
    return W, y_mean - x_mean @ W
