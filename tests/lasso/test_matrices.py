"""Products, Cholesky factors and systems with them, against extended precision."""

import numpy as np
import pytest

from creg._lasso.matrices import crossed, factorised

SIZES = [1, 2, 7, 8, 9, 23, 24, 25, 62, 127, 128, 129, 257, 400]


def definite(rng: np.random.Generator, n: int) -> np.ndarray:
    X = rng.standard_normal((n, n + 10))
    return X @ X.T


def padded(A: np.ndarray, extra: int, fill: float) -> tuple[np.ndarray, np.ndarray]:
    """A column-major copy within an array with more rows, and that array."""
    whole = np.full((len(A) + extra, A.shape[1]), fill, order="F")
    whole[: len(A)] = A
    return whole[: len(A)], whole


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("m", [1, 8, 31])
@pytest.mark.parametrize("extra", [0, 3])
def test_factor_and_solutions(n, m, extra) -> None:
    rng = np.random.default_rng(n + m)
    A = definite(rng, n)
    B, x = rng.standard_normal((m, n)), rng.standard_normal(n)
    # what lies above the diagonal is nobody's business
    lower = np.where(np.tri(n, dtype=bool), A, np.nan)
    L, around_L = padded(lower, extra, 7.0)
    solved, around_B = padded(B, extra, 7.0)
    found = x.copy()
    assert factorised(L, solved, found)

    exact = np.tril(L).astype(np.longdouble)
    eps, scale = 4e-16 * (n + 8), abs(A).max()
    assert abs(exact @ exact.T - A).max() <= eps * scale
    assert abs(solved @ exact.T - B).max() <= eps * (abs(solved) @ abs(exact.T)).max()
    bound = eps * (abs(exact) @ (abs(exact.T) @ abs(found))).max()
    assert abs(exact @ (exact.T @ found) - x).max() <= bound
    assert (around_L[n:] == 7.0).all()
    assert (around_B[m:] == 7.0).all()


@pytest.mark.parametrize("n", SIZES)
def test_what_is_not_definite_is_told(n) -> None:
    rng = np.random.default_rng(n)
    for place in {0, n // 2, n - 1}:
        for value in (0.0, -1.0, np.nan):
            A = np.asfortranarray(definite(rng, n))
            A[place, place] = value
            assert not factorised(A, np.zeros((1, n), order="F"), np.zeros(n))


def test_a_row_of_zeros_gives_zeros() -> None:
    """As rows of features taken out do, being rows of the identity."""
    A = np.asfortranarray(np.eye(40))
    B = np.asfortranarray(np.r_[np.zeros((1, 40)), np.ones((1, 40))])
    x = np.arange(40.0)
    assert factorised(A, B, x)
    np.testing.assert_array_equal(A, np.eye(40))
    np.testing.assert_array_equal(B, [[0.0] * 40, [1.0] * 40])
    np.testing.assert_array_equal(x, np.arange(40.0))


@pytest.mark.parametrize("k", [1, 7, 8, 62, 255, 256, 257, 600])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 30), (3, 7), (24, 8), (25, 65), (40, 130)])
def test_products_of_columns(m, n, k) -> None:
    rng = np.random.default_rng(k)
    A, B = (np.asfortranarray(rng.standard_normal((k, columns))) for columns in (m, n))
    out = np.full((m, n), np.nan, order="F")
    crossed(A, B, out)
    exact = A.T.astype(np.longdouble) @ B.astype(np.longdouble)
    bound = 2e-16 * (8 + k / 8) * (abs(A.T) @ abs(B))
    assert np.all(abs(out - exact) <= bound)


def test_a_product_with_itself_is_symmetric() -> None:
    A = np.asfortranarray(np.random.default_rng(0).standard_normal((300, 50)))
    out = np.empty((50, 50), order="F")
    crossed(A, A, out)
    np.testing.assert_array_equal(out, out.T)
