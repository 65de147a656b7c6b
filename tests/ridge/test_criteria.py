"""GCV is that of the hat matrix, the evidence that of the multivariate normal density."""

import choice_reference
import numpy as np
import pytest
from test_leave_one_out import problem

import creg

ALPHAS = np.array([1e-2, 0.5, 20.0])
SHAPES = [(20, 5), (10, 16), (10, 9), (10, 10)]
CASES = [
    (fit_intercept, free, weighted)
    for fit_intercept in (True, False)
    for free in (0, 2)
    for weighted in (False, True)
]


def data(seed, shape, free, weighted):
    X, Y, s, v = problem(seed, *shape, weighted=weighted, free=free)
    return X, Y, np.ones(len(Y)) if s is None else s, v


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("fit_intercept", "free", "weighted"), CASES)
def test_gcv_is_that_of_the_hat_matrix(shape, fit_intercept, free, weighted) -> None:
    X, Y, s, v = data(11, shape, free, weighted)
    settings = {"penalty_weights": v, "fit_intercept": fit_intercept}
    model = creg.RidgeCV(
        ALPHAS, criterion="gcv", alpha_per_target=True, store_cv_results=True, **settings
    ).fit(X, Y, sample_weight=s)
    n = np.count_nonzero(s)
    for k, alpha in enumerate(ALPHAS):
        H = choice_reference.hat_matrix(X, alpha, s=s, v=v, fit_intercept=fit_intercept)
        residual = (np.eye(len(s)) - H) @ (np.sqrt(s)[:, None] * Y)
        wanted = (residual**2).sum(axis=0) / n / (1 - np.trace(H) / n) ** 2
        np.testing.assert_allclose(model.criterion_path_[:, k], wanted, 1e-9)
        used = s > 0
        each = (residual / np.sqrt(np.where(used, s, 1))[:, None] / (1 - np.trace(H) / n)) ** 2
        np.testing.assert_allclose(model.cv_results_[used][:, :, k], each[used], 1e-7, 1e-9)
        if k == model.criterion_path_[0].argmin():
            assert model.df_[0] == pytest.approx(np.trace(H) - fit_intercept, rel=1e-9)
    shared = creg.RidgeCV(ALPHAS, criterion="gcv", **settings).fit(X, Y, sample_weight=s)
    np.testing.assert_allclose(shared.criterion_path_, model.criterion_path_.mean(axis=0))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("fit_intercept", "free", "weighted"), CASES)
def test_evidence_is_the_density(shape, fit_intercept, free, weighted) -> None:
    X, Y, s, v = data(12, shape, free, weighted)
    settings = {"penalty_weights": v, "fit_intercept": fit_intercept, "alpha_per_target": True}
    used = s > 0
    for alpha in ALPHAS:
        model = creg.RidgeCV([alpha], criterion="evidence", **settings)
        model.fit(X, Y, sample_weight=s)
        for k, y in enumerate(Y.T):

            def density(variance, y=y, alpha=alpha):
                return choice_reference.log_evidence(
                    X[used], y[used], alpha, variance, s=s[used], v=v, fit_intercept=fit_intercept
                )

            variance = model.noise_variance_[k]
            assert model.best_score_[k] == pytest.approx(density(variance), rel=1e-7, abs=1e-7)
            assert density(variance) >= max(density(0.99 * variance), density(1.01 * variance))


@pytest.mark.parametrize("shape", SHAPES)
def test_standardised_columns(shape) -> None:
    """Of the criteria those of the scaled columns, the density of free ones as given."""
    X, Y, s, v = data(13, shape, 0, True)
    scaled = X / choice_reference.spread(X, s, True)
    for criterion in ("gcv", "evidence"):
        model = creg.RidgeCV(ALPHAS, criterion=criterion, standardize=True, penalty_weights=v)
        other = creg.RidgeCV(ALPHAS, criterion=criterion, penalty_weights=v)
        model.fit(X, Y, sample_weight=s)
        other.fit(scaled, Y, sample_weight=s)
        np.testing.assert_allclose(model.criterion_path_, other.criterion_path_, 1e-10)


@pytest.mark.parametrize("criterion", ["gcv", "evidence"])
@pytest.mark.parametrize("scale", [2.0**-300, 2.0**300])
def test_units_of_the_target(criterion, scale) -> None:
    X, Y, _, _ = data(14, (20, 5), 0, False)
    model = creg.RidgeCV(ALPHAS, criterion=criterion).fit(X, Y[:, 0])
    other = creg.RidgeCV(ALPHAS, criterion=criterion).fit(X, Y[:, 0] * scale)
    assert model.alpha_ == other.alpha_
    if criterion == "gcv":
        np.testing.assert_array_equal(model.criterion_path_ * scale**2, other.criterion_path_)
    else:
        moved = model.criterion_path_ - 19 * np.log(scale)
        np.testing.assert_allclose(other.criterion_path_, moved, 1e-12)


@pytest.mark.parametrize("criterion", ["loo", "gcv", "evidence"])
def test_limits_as_alpha_vanishes_where_rows_are_fewer(criterion) -> None:
    X, Y, _, _ = data(15, (10, 30), 0, False)
    alphas = [1e-8, 1e-12, 1e-60, 1e-200]
    path = creg.RidgeCV(alphas, criterion=criterion).fit(X, Y).criterion_path_
    np.testing.assert_allclose(path[1:], path[-1], 1e-9)


@pytest.mark.parametrize("criterion", ["loo", "gcv", "evidence"])
@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_duplicated_columns_are_columns_of_half_the_penalty(criterion, shape) -> None:
    X, Y, _, _ = data(16, shape, 0, False)
    twice = np.hstack([X, X])
    alphas = np.geomspace(1e-13, 1e3, 9)
    model = creg.RidgeCV(alphas, criterion=criterion).fit(twice, Y)
    wanted = creg.RidgeCV(alphas / 2, criterion=criterion).fit(X, Y)
    np.testing.assert_allclose(model.criterion_path_, wanted.criterion_path_, 1e-6)
    np.testing.assert_allclose(model.predict(twice), wanted.predict(X), 1e-6, 1e-8)
