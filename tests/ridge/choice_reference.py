"""The criteria by which alpha is chosen, the slow way: refits, hat matrices, densities."""

import numpy as np
from ridge_reference import ridge
from scipy.stats import multivariate_normal


def spread(X, s, fit_intercept):
    """What columns are divided by where they are standardised."""
    mean = s @ X / s.sum() if fit_intercept else np.zeros(X.shape[1])
    return np.sqrt(s @ (X - mean) ** 2 / s.sum())


def leave_one_out(X, Y, alpha, *, s=None, v=None, fit_intercept=True, standardize=False):
    """y_i minus what the fit without row i predicts for it, (n, t), by n refits."""
    n, p = X.shape
    s = np.ones(n) if s is None else s
    v = np.ones(p) if v is None else v
    if standardize:  # on the scale of all rows
        v = v * spread(X, s, fit_intercept) ** 2
    errors = np.empty(Y.shape)
    for i in range(n):
        without = np.where(np.arange(n) == i, 0.0, s)
        kept = without > 0
        coef, intercept = ridge(
            X[kept], Y[kept], [alpha] * Y.shape[1], s=without[kept], v=v,
            fit_intercept=fit_intercept,
        )  # fmt: skip
        errors[i] = Y[i] - (X[i] @ coef + intercept)
    return errors


def held_out(X, Y, alpha, folds, *, s=None, **more):
    """Mean squared errors of held-out rows, (n_folds, t)."""
    s = np.ones(len(X)) if s is None else s
    errors = []
    for train, test in folds:
        weights = np.bincount(train, minlength=len(X)) * s
        kept = weights > 0
        coef, intercept = ridge(X[kept], Y[kept], [alpha] * Y.shape[1], s=weights[kept], **more)
        squares = (Y[test] - X[test] @ coef - intercept) ** 2
        errors.append(np.average(squares.astype(float), axis=0, weights=s[test]))
    return np.array(errors)


def hat_matrix(X, alpha, *, s, v, fit_intercept):
    """H of the weighted rows: S^1/2 fitted = H S^1/2 y."""
    root = np.sqrt(s)[:, None]
    A, cost = root * X, v
    if fit_intercept:
        A, cost = np.hstack([root, A]), np.concatenate([[0.0], v])
    return A @ np.linalg.solve(A.T @ A + alpha * np.diag(cost), A.T)


def log_evidence(X, y, alpha, variance, *, s, v, fit_intercept):
    """log p(y): the density of y at some free coefficients over their posterior density there."""
    free = [np.ones((len(y), 1))] if fit_intercept else []
    M = np.hstack([*free, X[:, v == 0]])
    P = X[:, v > 0]
    covariance = variance * (np.diag(1 / s) + P @ np.diag(1 / v[v > 0]) @ P.T / alpha)
    if not M.shape[1]:
        return multivariate_normal.logpdf(y, np.zeros(len(y)), covariance)
    precision = M.T @ np.linalg.solve(covariance, M)
    best = np.linalg.solve(precision, M.T @ np.linalg.solve(covariance, y))
    at = best + 0.1
    prior_and_likelihood = multivariate_normal.logpdf(y, M @ at, covariance)
    return prior_and_likelihood - multivariate_normal.logpdf(at, best, np.linalg.inv(precision))
