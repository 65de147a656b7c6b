"""Symmetric products of dense blocks against NumPy, on both sides of the widths of tiles."""

import numpy as np
import pytest

from creg._data.blocks import Blocks, tiles_are_faster
from creg._data.design import DesignView
from creg._data.single import misfit_products, single_gram
from creg._data.storage import Storage
from creg._data.threads import _shared, blas_may_be_wide

SHAPES = [(997, 9), (333, 14), (1000, 101), (700, 198), (640, 601)]  # 640 rows: two blocks and more


def data(shape, dtype, order, weighted):
    rng = np.random.default_rng(sum(shape))
    X = np.asarray(rng.standard_normal(shape), dtype=dtype, order=order)
    shift, scale = rng.standard_normal(shape[1]), 2.0 ** rng.integers(-2, 3, shape[1])
    root = np.sqrt(rng.uniform(0, 2, shape[0])) if weighted else None
    return X, shift, scale, root, rng.standard_normal(shape[0])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
def test_gram(shape, dtype, order, weighted):
    X, shift, scale, root, y = data(shape, dtype, order, weighted)
    B = np.column_stack([(X.astype(float) - shift) * scale, y, np.ones(len(y))])
    if weighted:
        B *= root[:, None]
    found = [Blocks(Storage(X), shift, scale, root, y, True).gram(t) for t in (1, 2)]
    error = np.abs(np.triu(found[0] - B.T @ B)).max()
    assert error < 1e-13 * np.abs(B.T @ B).max()
    np.testing.assert_array_equal(*map(np.triu, found))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("plain", [False, True])
def test_gram_of_some_rows(shape, order, weighted, plain):
    """One after the other from the same blocks; plain: in place."""
    X, shift, scale, root, y = data(shape, np.float64, order, weighted)
    if plain:
        shift, scale = np.zeros(shape[1]), np.ones(shape[1])
    B = np.column_stack([(X - shift) * scale, y, np.ones(len(y))])
    if weighted:
        B *= root[:, None]
    blocks = Blocks(Storage(X), shift, scale, root, y, True)
    for start, stop in [(0, 40), (40, 250), (250, shape[0]), (0, shape[0])]:
        part = B[start:stop]
        found = blocks.gram(2, (start, stop))
        assert np.abs(np.triu(found - part.T @ part)).max() < 1e-13 * np.abs(B.T @ B).max()


@pytest.mark.parametrize("ones", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("shape", [*SHAPES, (3000, 264)])
def test_gram_of_float32_products(shape, order, weighted, ones):
    X, shift, scale, root, y = data(shape, np.float32, order, weighted)
    shift = shift.astype(np.float32).astype(float)
    B = np.column_stack([(X.astype(float) - shift) * scale, y, *([np.ones(len(y))] * ones)])
    if weighted:
        B *= root[:, None]
    found = [single_gram(Storage(X), shift, scale, root, y, ones, t) for t in (1, 2)]
    lengths = np.linalg.norm(B, axis=0)
    assert np.all(np.abs(np.triu(found[0] - B.T @ B)) < 2e-6 * np.outer(lengths, lengths))
    np.testing.assert_array_equal(*map(np.triu, found))


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [shape[::-1] for shape in SHAPES])
def test_outer_gram(shape, dtype, order):
    X, shift, scale, root, _ = data(shape, dtype, order, True)
    B = (X.astype(float) - shift) * scale * root[:, None]
    found = [Blocks(Storage(X), shift, scale, root).outer_gram(False, t) for t in (1, 2)]
    assert np.abs(np.triu(found[0] - B @ B.T)).max() < 1e-13 * np.abs(B @ B.T).max()
    np.testing.assert_array_equal(*map(np.triu, found))


@pytest.mark.parametrize("order", "CF")
def test_rows_between_others(order):
    """X need not be contiguous; what lies between its lines is not looked at."""
    whole = np.full((150, 90), np.nan, order=order)
    X = whole[10:120, 5:35]
    X[:] = np.random.default_rng(0).standard_normal(X.shape)
    found = Blocks(Storage(X), np.zeros(30), np.ones(30)).gram(1)
    np.testing.assert_allclose(np.triu(found), np.triu(X.T @ X), atol=1e-12)


def test_tiles_have_a_range():
    assert not tiles_are_faster(1)
    assert not tiles_are_faster(100_000)


@pytest.mark.parametrize(
    ("architectures", "wide"),
    [
        (["Haswell", "Zen"], False),
        (["Haswell", "SkylakeX"], True),
        (["Cooperlake"], True),
        ([None], True),
        ([], False),
    ],
)
def test_wide_columns_leave_tiles_to_blas_where_it_may_be_as_wide(
    architectures, wide, monkeypatch
) -> None:
    class Controller:
        def info(self) -> list[dict[str, str]]:
            told = [{"architecture": name} if name else {} for name in architectures]
            return [{"user_api": "openmp"}, *({"user_api": "blas"} | one for one in told)]

    monkeypatch.setattr(_shared, "blas_controller", Controller())
    blas_may_be_wide.cache_clear()
    try:
        assert blas_may_be_wide() == wide
        assert tiles_are_faster(600) == (tiles_are_faster(500) and not wide)
    finally:
        blas_may_be_wide.cache_clear()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("shape", [(9, 1), (997, 9), (3003, 101), (700, 198)])
def test_products_of_a_misfit(shape, order, weighted):
    X, _, _, root, y = data(shape, np.float32, order, weighted)
    X += 3
    view = DesignView(Storage(X), None if root is None else root * root, True)
    s = np.ones(len(y)) if root is None else view.weights
    w = np.random.default_rng(0).standard_normal(shape[1])
    Z = (X.astype(float) - np.average(X.astype(float), axis=0, weights=s)) * view.scale
    misfit = s * (y - Z @ w)
    found, total = misfit_products(view, w, y, 1)
    size = np.abs(misfit).sum()
    np.testing.assert_allclose(found, Z.T @ misfit, rtol=0, atol=1e-13 * size)
    np.testing.assert_allclose(total, misfit.sum(), rtol=0, atol=1e-13 * size)
    again, _ = misfit_products(view, w, y, 2)
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize("order", "CF")
def test_a_misfit_of_rows_between_others(order):
    whole = np.full((1500, 90), np.nan, dtype=np.float32, order=order)
    X = whole[10:1120, 5:35]
    X[:] = np.random.default_rng(0).standard_normal(X.shape)
    y = X[:, 0].astype(float)
    view = DesignView(Storage(X), None, False)
    found, _ = misfit_products(view, np.zeros(30), y, 1)
    np.testing.assert_allclose(found / view.scale, X.T.astype(float) @ y, rtol=0, atol=1e-10)
