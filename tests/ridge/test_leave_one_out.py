"""RidgeCV's leave-one-out errors are those of n refits."""

import choice_reference
import numpy as np
import pytest
from cases import as_format, random_data

import creg
from creg._ridge.criteria import compressed

ALPHAS = np.array([1e-3, 0.1, 3.0, 1e3])


def problem(seed, n, p, targets=2, weighted=False, free=0):
    X, y = random_data(seed, n, p, density=0.7)
    rng = np.random.default_rng([seed, 1])
    Y = y[:, None] + rng.normal(size=(n, targets))
    s = rng.choice([0.0, 0.5, 1.0, 3.0], n) if weighted else None
    v = rng.uniform(0.5, 2.0, p)
    v[:free] = 0
    return X, Y, s, v


def squares(X, Y, s, alphas, **more):
    model = creg.RidgeCV(alphas, store_cv_results=True, **more).fit(X, Y, sample_weight=s)
    return model, model.cv_results_


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("free", [0, 2])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(25, 6), (12, 20), (12, 11), (12, 12)])
def test_errors_are_those_of_refits(shape, fit_intercept, standardize, free, weighted) -> None:
    X, Y, s, v = problem(1, *shape, weighted=weighted, free=free)
    settings = {"fit_intercept": fit_intercept, "standardize": standardize}
    model, found = squares(X, Y, s, ALPHAS, penalty_weights=v, **settings)
    total = np.ones(len(Y)) if s is None else s
    for k, alpha in enumerate(ALPHAS):
        wanted = choice_reference.leave_one_out(X, Y, alpha, s=s, v=v, **settings) ** 2
        np.testing.assert_allclose(found[:, :, k], wanted, 1e-7, 1e-10 * wanted.max())
        mean = np.average(wanted, axis=0, weights=total).mean()
        assert model.criterion_path_[k] == pytest.approx(mean, rel=1e-8)


@pytest.mark.parametrize("layout", ["C", "F", "csc_array", "csr_array", "row_slice"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(25, 6), (12, 20)])
def test_every_layout_gives_the_same_errors(shape, dtype, layout) -> None:
    X, Y, s, v = problem(2, *shape, weighted=True, free=1)
    X = X.astype(dtype)
    given = as_format(X, layout, dtype)
    model = creg.RidgeCV(ALPHAS, penalty_weights=v).fit(given, Y, sample_weight=s)
    plain = creg.RidgeCV(ALPHAS, penalty_weights=v).fit(X.astype(float), Y, sample_weight=s)
    np.testing.assert_allclose(model.criterion_path_, plain.criterion_path_, 1e-10)
    assert model.coef_.dtype == dtype
    np.testing.assert_allclose(model.coef_, plain.coef_, 0, 1e-6 if dtype == np.float32 else 1e-10)


@pytest.mark.parametrize("layout", ["csc_array", "csr_array"])
def test_nearly_full_sparse_columns_far_from_zero(layout) -> None:
    X, Y, _, _ = problem(3, 40, 5)
    X = X + 1e5
    X[0, 1] = 0.0
    model = creg.RidgeCV([1.0]).fit(as_format(X, layout), Y)
    plain = creg.RidgeCV([1.0]).fit(X, Y)
    assert model.criterion_path_[0] == pytest.approx(plain.criterion_path_[0], rel=1e-6)


def with_condition(rng, n, p, condition):
    k = min(n, p)
    U, V = (np.linalg.qr(rng.normal(size=(m, k)))[0] for m in (n, p))
    return (U * np.geomspace(1, 1 / condition, k)) @ V.T


# relative error of the largest of the errors; ten times what was seen
STABLE = [
    (40, 10, 1e5, 1e-2, 1e-13), (40, 10, 1e5, 1e-6, 2e-11), (40, 10, 1e5, 1e-8, 3e-11),
    (40, 10, 1e5, 1e-10, 1e-10), (40, 10, 1e5, 1e-12, 2e-10),
    (40, 10, 1e7, 1e-6, 2e-11), (40, 10, 1e7, 1e-8, 3e-11), (40, 10, 1e7, 1e-10, 1e-9),
    (40, 10, 1e7, 1e-12, 2e-9),
    (16, 30, 1e2, 1e-6, 4e-12), (16, 30, 1e2, 1e-8, 4e-12), (16, 30, 1e2, 1e-10, 4e-12),
    (16, 30, 1e2, 1e-12, 4e-12),
    (16, 30, 1e7, 1e-6, 1e-9), (16, 30, 1e7, 1e-8, 1e-11), (16, 30, 1e7, 1e-10, 3e-11),
    (16, 30, 1e7, 1e-12, 3e-10),
]  # fmt: skip


@pytest.mark.parametrize(("n", "p", "condition", "ratio", "bound"), STABLE)
def test_small_alphas_are_stable(n, p, condition, ratio, bound) -> None:
    """Down to 1e-12 of the largest eigenvalue, with weights and an intercept."""
    rng = np.random.default_rng(int(np.log10(condition)) + n)
    X = with_condition(rng, n, p, condition) + rng.normal(size=p)
    y = (X @ rng.normal(size=p) + 0.1 * rng.normal(size=n))[:, None]
    s = rng.uniform(0.5, 2, n)
    centred = np.sqrt(s)[:, None] * (X - s @ X / s.sum())
    alpha = ratio * np.linalg.norm(centred, 2) ** 2
    found = np.sqrt(squares(X, y, s, [alpha])[1][:, :, 0])
    wanted = np.abs(choice_reference.leave_one_out(X, y, alpha, s=s))
    assert np.max(np.abs(found - wanted)) <= bound * wanted.max()


@pytest.mark.parametrize("shape", [(30, 5), (8, 20)])
@pytest.mark.parametrize("layout", ["C", "csc_array"])
def test_alphas_without_end(shape, layout) -> None:
    """The limits are least squares of least norm and the mean."""
    X, Y, _, _ = problem(5, *shape)
    path = creg.RidgeCV([1e300, 1e30, 1e-30, 1e-300], standardize=True).fit(as_format(X, layout), Y)
    assert np.isfinite(path.criterion_path_).all()
    null = np.mean(choice_reference.leave_one_out(X[:, :0], Y, 1.0) ** 2)
    np.testing.assert_allclose(path.criterion_path_[:2], null, 1e-10)
    assert path.criterion_path_[2] == pytest.approx(path.criterion_path_[3], rel=1e-10)


def test_alphas_are_compressed_where_rows_are_many() -> None:
    """Fewer terms, the same sums; tiny alphas of a long spectrum are left as they are."""
    values, alphas = np.geomspace(1e-4, 1.0, 200), np.geomspace(1e-6, 10.0, 100)
    left, right = compressed(values, alphas, 10_000)
    assert right is not None
    assert left.shape[1] < 50
    whole = (values[:, None] + 1e-6) / (values[:, None] + alphas)
    np.testing.assert_allclose(left @ right, whole, 0, 1e-13)
    assert compressed(values, alphas, 100)[1] is None


def test_compressed_alphas_give_the_same_errors() -> None:
    X, Y, _, _ = problem(6, 3000, 30, targets=3)
    alphas = np.geomspace(1e-3, 1e6, 100)
    together = creg.RidgeCV(alphas).fit(X, Y).criterion_path_
    one_by_one = [creg.RidgeCV([alpha]).fit(X, Y).criterion_path_[0] for alpha in alphas[::9]]
    np.testing.assert_allclose(together[::9], one_by_one, 1e-11)


@pytest.mark.parametrize("wide", [False, True])
def test_rows_without_weight_are_predicted_by_the_fit(wide) -> None:
    X, Y, s, v = problem(7, 12, 20 if wide else 4, weighted=True, free=1)
    _, found = squares(X, Y, s, [0.5], penalty_weights=v)
    fit = creg.Ridge(0.5, penalty_weights=v).fit(X, Y, sample_weight=s)
    out = s == 0
    wanted = (Y - fit.predict(X))[out] ** 2
    np.testing.assert_allclose(found[out][:, :, 0], wanted, 1e-9, 1e-12)
    fewer = squares(X[~out], Y[~out], s[~out], [0.5], penalty_weights=v)[1]
    np.testing.assert_allclose(found[~out], fewer, 1e-9, 1e-12)


@pytest.mark.parametrize("wide", [False, True])
def test_a_row_that_cannot_be_left_out_has_an_infinite_error(wide) -> None:
    """It alone tells an unpenalised coefficient."""
    X, Y, _, _ = problem(8, 12, 20 if wide else 4)
    X[:, 0] = 0.0
    X[3, 0] = 2.0
    v = np.ones(X.shape[1])
    v[0] = 0.0
    _, found = squares(X, Y, None, [0.5, 2.0], penalty_weights=v)
    assert np.all(np.isinf(found[3]))
    assert np.all(np.isfinite(np.delete(found, 3, axis=0)))


def test_an_outlying_row_of_a_wide_design() -> None:
    X, Y, _, _ = problem(9, 10, 25)
    X[4] *= 1e6
    alphas = np.geomspace(1e-2, 1e2, 5)
    _, found = squares(X, Y, None, alphas)
    for k, alpha in enumerate(alphas):
        wanted = choice_reference.leave_one_out(X, Y, alpha) ** 2
        np.testing.assert_allclose(found[:, :, k], wanted, 1e-5, 0)
