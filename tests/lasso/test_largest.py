"""The violators that enter the working set: the largest, by a stable sort."""

import numpy as np
import pytest

from creg._lasso.largest import largest


@pytest.mark.parametrize("count", [1, 2, 7, 64, 1001])
@pytest.mark.parametrize("values", [3, 10**6])
def test_the_largest_are_those_of_a_stable_sort(count, values) -> None:
    rng = np.random.default_rng(count)
    key = rng.integers(0, values, count).astype(float)
    key[0] = np.inf
    item = np.sort(rng.choice(10 * count, count, replace=False))
    for most in {1, count // 3 + 1, count}:
        order = np.argsort(key, kind="stable")[count - most :]
        np.testing.assert_array_equal(largest(key.copy(), item.copy(), most), np.sort(item[order]))
