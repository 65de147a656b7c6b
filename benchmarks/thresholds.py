"""What the thresholds of Ridge's conjugate gradients on sparse data rest on.

First: the time of a step on X by columns, on X by rows, and of the copy by rows; and the steps
that repay it.  Then: steps to a residual of 1e-8 on the columns as they are and scaled to a unit
diagonal (Jacobi), where the diagonal varies by more and more.  Real data sets need the folder
CREG_DATA.
"""

import os
import time
from collections.abc import Callable
from typing import Any


def seconds(run: Callable[[], Any], repeats: int = 15) -> float:
    """The median."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[repeats // 2]


def copies(name: str) -> None:
    import numpy as np
    from ridge import sparse_data
    from scipy import sparse

    from creg._data.design import DesignView
    from creg._data.normal import NormalProduct
    from creg._data.storage import Storage

    X = sparse_data(name, quick=False)[0]
    d = np.random.default_rng(0).standard_normal(X.shape[1])

    def step(layout: Any) -> float:
        product = NormalProduct(DesignView(Storage(layout), None, True), np.ones(X.shape[1]))
        return 1e3 * seconds(lambda: product.product(d))

    by_columns = X.tocsc()
    columns, rows = step(by_columns), step(X)
    copy = 1e3 * seconds(lambda: sparse.csr_array(by_columns))
    steps = copy / (columns - rows) if columns > rows else np.inf
    print(f"| {name} | {columns:.2f} | {rows:.2f} | {copy:.1f} | {steps:.0f} |", flush=True)


def diagonals(spread: float) -> None:
    import numpy as np
    from ridge import mean_square
    from scipy import sparse

    from creg._data.design import DesignView
    from creg._data.storage import Storage
    from creg._ridge.conjugate_gradient import Variant, _Equations
    from creg._ridge.system import RidgeSystem

    rng = np.random.default_rng(0)
    X = sparse.random_array((20_000, 2000), density=5e-3, rng=rng, format="csr")
    X = sparse.csr_array(X @ sparse.diags_array(spread ** rng.uniform(0, 0.5, 2000)))
    y = X @ rng.standard_normal(2000) + rng.standard_normal(20_000)
    system = RidgeSystem(DesignView(Storage(X), None, True), None, False, 1)
    equations = _Equations(system, 0.01 * mean_square(X))
    gradient = equations.gradient((y - y.mean())[:, None], np.zeros((2000, 1)))
    found = []
    for jacobi in (False, True):
        run = Variant(equations, system, gradient, jacobi=jacobi)
        run.until(1e-8 * np.linalg.norm(gradient, axis=0), np.array([10_000]))
        found.append((run.spread, int(run.n_iter[0])))
    print(f"| {found[1][0]:.1f} | {found[0][1]} | {found[1][1]} |", flush=True)


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    print("| X | ms a step by columns | by rows | ms to copy | steps that repay it |")
    print("|---|--:|--:|--:|--:|")
    for name in ("random", "insteval", "debian") if "CREG_DATA" in os.environ else ("random",):
        copies(name)
    print("\n| diagonal varies by | steps as it is | Jacobi |\n|--:|--:|--:|")
    for spread in (1, 2, 4, 8, 16, 64, 256):
        diagonals(spread)


if __name__ == "__main__":
    main()
