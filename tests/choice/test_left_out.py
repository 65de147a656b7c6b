"""Leave-one-out errors by blocks of rows against those of one solution after the other."""

import numpy as np
import pytest
from along import along, make
from cases import random_data
from numpy.testing import assert_allclose

from creg._choice import columns, left_out
from creg._choice.leverages import following, smoothers
from creg._choice.residuals import residuals


def one_by_one(problem, solutions, l2):
    """Means and standard errors from leverages and residuals, by numpy."""
    weights = problem.data.view.weights
    s = np.ones(problem.data.view.n_samples) if weights is None else weights
    used = s > 0
    s = s[used] / s.sum()
    means, errors = [], []
    each = smoothers(problem, solutions, l2, leverages=True)
    for r, (_, h) in zip(residuals(problem, solutions), each, strict=True):
        squares = (r[used] / (1 - h[used])) ** 2
        means.append(s @ squares)
        errors.append(np.sqrt(s @ (squares - means[-1]) ** 2 / (len(s) - 1)))
    return np.array(means), np.array(errors)


@pytest.mark.parametrize("rows", [7, 64, 10_000])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("tiles", [False, True])
def test_blocks_of_rows(rows, weighted, intercept, tiles, monkeypatch) -> None:
    X, y = random_data(5, 150, 20)
    X[:, 3] = X[:, 2] + 0.05 * X[:, 3]  # comes and goes
    s = np.random.default_rng(1).choice([0.0, 0.5, 2.0], len(y)) if weighted else None
    problem = make(X, 1e3 * y, s, intercept)
    _, l2, solutions = along(problem, 40)
    supports, space = following(problem, solutions)
    assert not space.direct
    assert sum(map(len, supports.leaving)) > 0
    if not tiles:
        monkeypatch.setattr(left_out, "tiles_pay", lambda: False)
    monkeypatch.setattr(left_out, "ROWS", rows)
    monkeypatch.setattr(left_out, "AT_ONCE", 5)
    monkeypatch.setattr(left_out, "BLOCK", 1000)
    monkeypatch.setattr(left_out, "PARTS", 2)
    monkeypatch.setattr(columns, "BLOCK", 1000)
    df, means, errors = left_out.left_out(problem, solutions, l2)
    expected, spread = one_by_one(problem, solutions, l2)
    assert_allclose(means, expected, rtol=1e-10)
    assert_allclose(errors, spread, rtol=1e-9)
    assert_allclose(df, [d for d, _ in smoothers(problem, solutions, l2, leverages=False)])


@pytest.mark.parametrize("weighted", [False, True])
def test_a_row_that_no_other_explains(weighted) -> None:
    """A column with one entry: without that row its coefficient is anything."""
    X, y = random_data(6, 80, 6)
    X[:, 4] = 0.0
    X[11, 4] = 1.0
    y[11] += 100.0
    s = None
    if weighted:
        s = np.ones(80)
        s[:3] = 0.0
    problem = make(X, y, s)
    _, l2, solutions = along(problem, 30)
    _, means, errors = left_out.left_out(problem, solutions, l2)
    has = np.array([4 in solutions[k].indices for k in range(30)])
    assert has.any()
    assert not has.all()
    assert np.isinf(means[has]).all()
    assert np.isinf(errors[has]).all()
    assert np.isfinite(means[~has]).all()
    assert np.isfinite(errors[~has]).all()
