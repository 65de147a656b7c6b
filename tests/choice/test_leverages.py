from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from along import EXACT, along, coefficients, dense, hat, make, scaled_weights
from cases import as_format, random_data

from creg._choice import basis, columns, sparse_basis
from creg._choice.basis import Basis
from creg._choice.leverages import smoothers
from creg._choice.supports import Supports
from creg._solution import Solutions

Array = np.ndarray[Any, Any]


def check(X: Any, y: Array, s: Array | None = None, intercept: bool = True,
          within: float = 1e-10, count: int = 12, **penalty: Any) -> list[float]:  # fmt: skip
    """Against the hat matrix at every alpha; returns df."""
    problem = make(X, y, s, intercept, **penalty)
    _, l2, solutions = along(problem, count)
    n, p = problem.data.storage.shape
    W = coefficients(solutions, p)
    lower, upper = (np.broadcast_to(penalty.get(b, sign * np.inf), p)
                    for b, sign in (("lower", -1), ("upper", 1)))  # fmt: skip
    found = []
    rescaled = scaled_weights(n, s)
    D = dense(X)
    centred = D - intercept * (rescaled @ D) / n
    variance = rescaled @ centred**2 / n
    v = np.broadcast_to(penalty.get("weights") if penalty.get("weights") is not None else 1.0, p)
    for k, (df, h) in enumerate(smoothers(problem, solutions, l2, leverages=True)):
        free = np.flatnonzero((W[k] != 0) & (W[k] > lower) & (W[k] < upper))
        shrink = None
        if l2[k] > 0:
            shrink = l2[k] * v[free] * (variance[free] if problem.penalty.standardize else 1.0)
        expected_df, expected = hat(X, s, intercept, free, shrink)
        assert df == pytest.approx(expected_df, abs=within * n)
        np.testing.assert_allclose(h, expected, atol=within, rtol=0)
        if s is not None:
            assert not h[s == 0].any()
        found.append(df)
    only = [df for df, h in smoothers(problem, solutions, l2, leverages=False) if h is None]
    np.testing.assert_allclose(only, found, atol=1e-9)
    return found


@pytest.mark.parametrize("shape", [(30, 8), (25, 60), (40, 39)])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.7, 0.02])
@pytest.mark.parametrize("weighted", [False, True])
def test_hat_matrix(shape: tuple[int, int], l1_ratio: float, weighted: bool) -> None:
    X, y = random_data(1, *shape)
    s = np.random.default_rng(2).choice([0.0, 0.5, 1.0, 3.0], len(y)) if weighted else None
    check(X, y, s, l1_ratio=l1_ratio)
    check(X, y, s, False, l1_ratio=l1_ratio, standardize=True)


@pytest.mark.parametrize("name", ["C", "F", "column_slice", "csc_array", "csr_array", "csr_int64"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_layouts(name: str, dtype: Any) -> None:
    X, y = random_data(3, 35, 20, density=0.4, shift=0.0)
    s = np.where(np.arange(35) % 5 == 0, 0.0, 1.0 + np.arange(35) % 3)
    for some in (None, s):
        for l1_ratio in (1.0, 0.5):
            check(as_format(X, name, dtype), y, some, l1_ratio=l1_ratio)


def test_bounds_and_unpenalised_features() -> None:
    X, y = random_data(4, 40, 12)
    v = np.where(np.arange(12) < 2, 0.0, 1.0)
    v[3] = np.inf
    for l1_ratio in (1.0, 0.3):
        check(X, y, l1_ratio=l1_ratio, lower=-0.2, upper=np.full(12, 0.3))
        check(X, y, l1_ratio=l1_ratio, lower=0.0)
        check(X, y, l1_ratio=l1_ratio, weights=v, standardize=True)
        check(np.column_stack([X, X[:, 0]]), y, l1_ratio=l1_ratio, weights=np.append(v, 0.0))


def test_dependent_columns_count_once() -> None:
    X, y = random_data(5, 30, 6)
    X = np.column_stack([X, X[:, :3], X[:, 0] + X[:, 1], np.ones(30)])
    problem = make(X, y)
    # supports that no solver would pick: all copies at once, and each alone
    rng = np.random.default_rng(0)
    supports = [np.flatnonzero(rng.random(10) < 0.6) for _ in range(40)]
    solutions = on_supports(supports)
    each = smoothers(problem, solutions, np.zeros(40), leverages=True)
    for support, (df, h) in zip(supports, each, strict=True):
        expected_df, expected = hat(X, None, True, support)
        assert df == pytest.approx(round(expected_df), abs=0)
        np.testing.assert_allclose(h, expected, atol=1e-12)


def on_supports(supports: list[Array]) -> Solutions:
    """Ones on each support."""
    count = len(supports)
    sizes = [len(support) for support in supports]
    some = np.ones(count)
    return Solutions(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp), np.concatenate(supports),
        np.ones(sum(sizes)), some, some, some, some.astype(np.intp), some.astype(np.intp), some,
        some,
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(40, 30), (60, 200), (300, 40)])
@pytest.mark.parametrize("spread", [0, 4, 7])
def test_supports_that_come_and_go(shape: tuple[int, int], spread: int) -> None:
    """Down to columns that nearly depend on each other."""
    n, p = shape
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, 5)) @ rng.normal(size=(5, p)) + 10.0**-spread * rng.normal(size=(n, p))
    problem = make(X, rng.normal(size=n))
    most, supports, support = min(n - 1, p) // 2, [], set()
    for _ in range(60):
        support ^= set(rng.choice(p, rng.integers(0, 6), replace=False).tolist())
        support = set(sorted(support)[:most])
        supports.append(np.array(sorted(support), dtype=np.intp))
    solutions = on_supports(supports)
    each = smoothers(problem, solutions, np.zeros(60), leverages=True)
    within = max(1e-12, 1e-14 * 10.0**spread)
    for support, (df, h) in zip(supports, each, strict=True):
        expected_df, expected = hat(X, None, True, support)
        assert df == round(expected_df)
        np.testing.assert_allclose(h, expected, atol=within)


def test_weight_zero_is_a_dropped_row_and_two_is_the_row_twice() -> None:
    X, y = random_data(6, 30, 50)
    s = np.tile([0.0, 1.0, 2.0], 10)
    for l1_ratio in (1.0, 0.4):
        problem = make(X, y, s, l1_ratio=l1_ratio)
        alphas, l2, solutions = along(problem)
        found = list(smoothers(problem, solutions, l2, leverages=True))
        rows = np.repeat(np.arange(30), s.astype(int))
        repeated = make(X[rows], y[rows], l1_ratio=l1_ratio)
        same = Solutions.of(list(repeated.solve(alphas.tolist(), EXACT)))
        expected = list(smoothers(repeated, same, l2, leverages=True))
        for (df, h), (df2, h2) in zip(found, expected, strict=True):
            assert df == pytest.approx(df2)
            np.testing.assert_allclose(np.bincount(rows, h2, 30), h, atol=1e-9)


def test_saturated_supports() -> None:
    X, y = random_data(7, 20, 100)
    df = check(X, y, count=30)
    assert max(df) >= 17


def test_columns_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = random_data(8, 200, 15)
    monkeypatch.setattr(columns, "LARGEST", 0)
    monkeypatch.setattr(columns, "BLOCK", 15 * 70)
    for l1_ratio in (1.0, 0.5):
        check(X, y, l1_ratio=l1_ratio)
        check(as_format(X, "csr_array"), y, l1_ratio=l1_ratio)
        near = X @ np.eye(15, 25) + 0.0
        near[:, 15:] = X[:, :10] + 1e-7 * np.sin(np.arange(2000.0).reshape(200, 10))
        check(near, y, l1_ratio=l1_ratio, within=1e-7)


def entries_only(monkeypatch: pytest.MonkeyPatch, trusted: float) -> None:
    """Sparse columns by their stored entries, however few."""
    monkeypatch.setattr(columns, "DENSE", 0)
    monkeypatch.setattr(columns, "SHARE", 0)
    monkeypatch.setattr(sparse_basis, "TRUSTED", trusted)


@pytest.mark.parametrize("trusted", [0.0, 1e-11])
@pytest.mark.parametrize("shape", [(60, 12), (30, 50)])
def test_stored_entries(
    monkeypatch: pytest.MonkeyPatch, trusted: float, shape: tuple[int, int]
) -> None:
    entries_only(monkeypatch, trusted)
    monkeypatch.setattr(sparse_basis, "AT_ONCE", 2)
    X, y = random_data(13, *shape, density=0.3, shift=0.0)
    s = np.where(np.arange(len(y)) % 5 == 0, 0.0, 1.0 + np.arange(len(y)) % 3)
    for name, dtype in (("csc_array", np.float64), ("csr_array", np.float32)):
        A = as_format(X, name, dtype)
        for some in (None, s):
            for l1_ratio in (1.0, 0.5, 0.999999999):
                check(A, y, some, l1_ratio=l1_ratio)
            check(A, y, some, False, lower=-0.1)
            v = np.where(np.arange(shape[1]) < 3, 0.0, 2.0)
            check(A, y, some, False, weights=v, standardize=True, l1_ratio=0.5)


@pytest.mark.parametrize("trusted", [0.0, 1e-11])
def test_stored_entries_of_dependent_columns(
    monkeypatch: pytest.MonkeyPatch, trusted: float
) -> None:
    entries_only(monkeypatch, trusted)
    rng = np.random.default_rng(14)
    # one column for each level of two factors, and some columns twice
    codes = [rng.integers(0, 6, 50), rng.integers(0, 4, 50)]
    X = np.column_stack([code == level for code in codes for level in range(code.max() + 1)])
    X = np.column_stack([X, X[:, :3]]).astype(float)
    supports = [np.flatnonzero(rng.random(13) < rng.uniform(0.2, 1)) for _ in range(60)]
    problem = make(as_format(X, "csc_array"), rng.normal(size=50))
    each = smoothers(problem, on_supports(supports), np.zeros(60), leverages=True)
    for support, (df, h) in zip(supports, each, strict=True):
        expected_df, expected = hat(X, None, True, support)
        assert df == round(expected_df)
        np.testing.assert_allclose(h, expected, atol=1e-12)


def test_drift_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made anew at every deletion or never: the same projections."""
    X, y = random_data(9, 40, 60)
    problem = make(X, y)
    _, l2, solutions = along(problem, 30)
    followed = [h for _, h in smoothers(problem, solutions, l2, leverages=True)]
    monkeypatch.setattr(basis, "DRIFT", 0.0)
    anew = [h for _, h in smoothers(problem, solutions, l2, leverages=True)]
    np.testing.assert_allclose(followed, anew, atol=1e-12)


def test_basis_stays_orthonormal() -> None:
    rng = np.random.default_rng(10)
    Z = rng.normal(size=(50, 80))
    Z /= np.linalg.norm(Z, axis=0)
    found, active = Basis(Z, 1e-13, 40), np.zeros(80, dtype=bool)
    for _ in range(200):
        before = active.copy()
        active[rng.choice(80, 4)] ^= True
        active[np.flatnonzero(active)[40:]] = False
        found.move(np.flatnonzero(active > before), np.flatnonzero(before > active))
        assert found.rank == active.sum()
        np.testing.assert_allclose(found.Q.T @ found.Q, np.eye(found.rank), atol=1e-13)
        at = np.flatnonzero(active)
        np.testing.assert_allclose(Z[:, at] @ found.inverse(at), found.Q, atol=1e-11)


def test_free_supports_leave_out_what_is_at_a_bound() -> None:
    X, y = random_data(11, 40, 6)
    problem = make(X, y, lower=-0.1, upper=np.full(6, 0.2))
    _, _, solutions = along(problem)
    W = coefficients(solutions, 6)
    assert (W == 0.2).any() or (W == -0.1).any()
    supports = Supports.free(problem, solutions)
    before: set[int] = set()
    for k, w in enumerate(W):
        free = np.flatnonzero((w != 0) & (w > -0.1) & (w < 0.2))
        assert supports.features[supports.masks[k]].tolist() == free.tolist()
        after = before | set(supports.features[supports.entering[k]].tolist())
        before = after - set(supports.features[supports.leaving[k]].tolist())
        assert sorted(before) == free.tolist()


def test_no_support_at_all() -> None:
    X, _ = random_data(12, 10, 4)
    problem = make(X, np.full(10, 3.0))
    solutions = Solutions.of(list(problem.solve([1.0, 0.5], EXACT)))
    for l2 in (np.zeros(2), np.ones(2)):
        for df, h in smoothers(problem, solutions, l2, leverages=True):
            assert df == 0
            np.testing.assert_allclose(h, 0.1)
