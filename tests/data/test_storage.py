"""Layouts are used in place, whatever their strides; nothing of the caller's is touched."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
from layouts import FORMS, as_form, random_matrix
from scipy import sparse

from creg._data.design import DesignView
from creg._data.storage import Storage


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_columns(form, dtype, tmp_path):
    X = random_matrix(0, 9, 6).astype(dtype)
    given = as_form(X, form, tmp_path)
    storage = Storage(given)
    assert storage.shape == (9, 6)
    assert storage.dtype == dtype
    if form not in ("both sliced", "memmap"):
        assert storage.X is given
    columns = storage.columns()
    assert not columns.is_row_layout
    assert columns is storage.columns()
    assert (columns is storage) == (not storage.is_row_layout)
    again = pickle.loads(pickle.dumps(storage))
    for j in range(6):
        for one in (storage, columns, again):
            assert np.array_equal(one.column(j), X[:, j].astype(float))
    with pytest.raises(IndexError):
        storage.column(6)


@pytest.mark.parametrize(
    "form", [f for f in FORMS if f not in ("both sliced", "memmap", "read-only")]
)
def test_in_place(form, tmp_path):
    X = as_form(random_matrix(1, 9, 6), form, tmp_path)
    storage = Storage(X)
    if sparse.issparse(X):
        X.data[0] = 77
    else:
        X[0, 0] = 77
    assert 77 in [x for j in range(6) for x in storage.column(j)]


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1), (0, 3), (3, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_degenerate_shapes(shape, order):
    X = np.asarray(np.arange(np.prod(shape), dtype=float).reshape(shape), order=order)
    for given in (X, sparse.csc_array(X), sparse.csr_array(X)):
        storage = Storage(given)
        assert storage.shape == shape
        assert storage.columns().shape == shape
        assert all(np.array_equal(storage.column(j), X[:, j]) for j in range(shape[1]))


@pytest.mark.parametrize("dtype", [np.int32, bool, np.float16, ">f8", ">f4"])
def test_other_dtypes_are_converted_once(dtype):
    X = np.array([[1, 0, 1], [0, 1, 1]]).astype(dtype)
    storage = Storage(X)
    assert storage.dtype in (np.float64, np.float32)
    assert np.array_equal(storage.column(0), [1, 0])
    assert np.array_equal(Storage(sparse.csr_array(X.astype(float)).astype(int)).column(2), [1, 1])


def test_misaligned():
    raw = np.zeros(8 * 12 + 1, dtype=np.uint8)
    X = raw[1:].view(np.float64).reshape(4, 3)
    X[:] = np.arange(12).reshape(4, 3)
    assert np.array_equal(Storage(X).column(1), X[:, 1])


@pytest.mark.parametrize("kind", [sparse.csc_array, sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize("problem", ["duplicates", "unsorted", "explicit zeros"])
def test_not_canonical(kind, problem):
    dense = np.array([[1.0, 0, 3], [2, 5, 0], [0, 0, 4], [7, 0, 0]])
    X = kind(dense)
    data, indices, indptr = X.data, X.indices, X.indptr
    if problem == "duplicates":
        data = np.repeat(data / 2, 2)
        indices, indptr = np.repeat(indices, 2), 2 * indptr
    elif problem == "unsorted":
        order = np.concatenate([np.arange(a, b)[::-1] for a, b in pairwise(indptr)])
        data, indices = data[order], indices[order]
    else:
        data = data.copy()
        data[0] = dense[0, 0] = 0
    X = kind((data, indices, indptr), shape=X.shape)
    attributes = set(vars(X))
    arrays = [array.copy() for array in (X.data, X.indices, X.indptr)]
    ids = [id(X.data), id(X.indices), id(X.indptr)]
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    view = DesignView(Storage(X))
    assert [view.storage.column(j).tolist() for j in range(3)] == dense.T.tolist()
    np.testing.assert_allclose(view.mean, dense.mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(
        view.norm2, (((dense - dense.mean(axis=0)) * view.scale) ** 2).sum(axis=0), rtol=1e-14
    )
    assert set(vars(X)) == attributes
    assert ids == [id(X.data), id(X.indices), id(X.indptr)]
    assert all(map(np.array_equal, arrays, (X.data, X.indices, X.indptr)))


@pytest.mark.parametrize("kind", [sparse.csc_array, sparse.csr_array])
def test_indices_out_of_range(kind):
    X = kind(np.eye(3))
    broken = copy.copy(X)
    broken.indices = np.array([0, 1, 3], dtype=X.indices.dtype)
    with pytest.raises(ValueError, match="out of range"):
        Storage(broken)
    broken.indices, broken.indptr = X.indices, np.array([0, 1, 2, 9], dtype=X.indptr.dtype)
    with pytest.raises(ValueError, match="out of range"):
        Storage(broken)


@pytest.mark.parametrize("order", ["C", "F"])
def test_more_than_two_to_the_31_elements(order):
    line = np.random.default_rng(0).normal(size=47_000)
    strides = (0, 8) if order == "C" else (8, 0)
    X = np.lib.stride_tricks.as_strided(line, (47_000, 47_000), strides, writeable=False)
    storage = Storage(X)
    assert storage.X is X
    assert storage.size > 2**31
    assert storage.is_row_layout == (order == "C")
    expected = line if order == "F" else np.full(47_000, line[-1])
    assert np.array_equal(storage.column(46_999), expected)


def test_offsets_beyond_two_to_the_31(tmp_path):
    shape = (2, 2**30 + 5)
    X = np.memmap(tmp_path / "X", dtype=np.float32, mode="w+", shape=shape, order="F")
    X[:, -1] = 3, 4
    storage = Storage(X)
    assert np.array_equal(storage.column(shape[1] - 1), [3, 4])
    part = DesignView(Storage(X[:, 2**30 + 5 - 1 :: -(2**30 + 2)]))
    assert np.array_equal(part.mean, [3.5, 0])


def test_three_dimensions_are_refused():
    with pytest.raises(ValueError, match="two dimensions"):
        Storage(np.zeros((2, 2, 2)))
