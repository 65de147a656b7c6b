"""Ridge beside the BLAS floor, its own solvers and scikit-learn, with an intercept.

The floor is one `dsyrk` and one `dpotrf` of the smaller side and one X'y, uncentred, on one thread.
scikit-learn's solver is the fastest whose relative residual ||X'(y - Xw - b) - alpha w|| is at
most 1e-10 (dense) or 1e-8 (sparse), recomputed here.  Contenders run in alternation in one
process; a value is a ratio of medians.  Real data sets need the folder CREG_DATA.
"""

import argparse
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

Run = Callable[[], Any]


class Value(NamedTuple):
    """One measured ratio and what is asked of it."""

    row: str
    what: str
    value: float
    asked: str
    note: str = ""

    @property
    def met(self) -> bool:
        if not self.asked:
            return True
        sign, bound = self.asked[0], float(self.asked[1:])
        return self.value >= bound if sign == ">" else self.value <= bound


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="patterns; default: all rows")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it all run?")
    parser.add_argument("--repeats", type=int, default=5, help="medians of so many; default 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    return parser.parse_args()


class _Plain(argparse.RawDescriptionHelpFormatter):
    pass


class Bench:
    """Times contenders in alternation and keeps what came out."""

    def __init__(self, quick: bool, repeats: int) -> None:
        self.quick, self.repeats = quick, 1 if quick else repeats
        self.values: list[Value] = []
        self.seconds: dict[str, dict[str, float]] = {}

    def time(self, row: str, runs: dict[str, Run]) -> dict[str, float]:
        """Median seconds of each."""
        import numpy as np

        taken: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(self.repeats):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                taken[name].append(time.perf_counter() - start)
        medians = {name: float(np.median(times)) for name, times in taken.items()}
        self.seconds.setdefault(row, {}).update(medians)
        return medians

    def report(self, row: str, what: str, value: float, asked: str = "", note: str = "") -> None:
        asked = "" if self.quick else asked
        found = Value(row, what, value, asked, note)
        self.values.append(found)
        bound = asked.replace(">", "≥ ").replace("<", "≤ ")
        verdict = "" if not asked else "yes" if found.met else "NO"
        figure = f"{value:.3g}" if value >= 1e-3 else f"{value:.1e}"
        print(f"| {row} | {what} | {figure} | {bound} | {verdict} | {note} |", flush=True)


# ------------------------------------------------------------------ data

DENSE = {
    "tall-100": (200_000, 100),
    "tall-300": (20_000, 300),
    "tall-1000": (50_000, 1000),
    "wide-300": (300, 50_000),
    "wide-2000": (2000, 20_000),
}
QUICK = {
    "tall-100": (2000, 20),
    "tall-300": (1000, 30),
    "tall-1000": (2000, 60),
    "wide-300": (30, 500),
    "wide-2000": (60, 600),
}


def dense(shape: tuple[int, int], order: str, correlated: bool) -> tuple[Any, Any]:
    """Gaussian X, or with an autoregression of 0.999 along the smaller side: cond 2000."""
    import numpy as np
    from scipy.signal import lfilter

    rng = np.random.default_rng(0)
    X = rng.standard_normal(shape)
    if correlated:
        X = lfilter([np.sqrt(1 - 0.999**2)], [1.0, -0.999], X, axis=int(shape[0] > shape[1]))
    X += 1.0
    few = min(20, shape[1])
    y = X[:, :few] @ np.linspace(1, -1, few) + rng.standard_normal(shape[0])
    return np.asarray(X, order=order), y


def sparse_data(name: str, quick: bool) -> tuple[Any, Any]:
    """A real set as stored, or a random one of density 1e-3, by rows."""
    import numpy as np
    from problems import _loader
    from scipy import sparse

    if name != "random":
        X, y = _loader(os.environ["CREG_DATA"]).load(name)
        return sparse.csr_array(X), y
    n, p = (2000, 1000) if quick else (100_000, 50_000)
    rng = np.random.default_rng(0)
    count = max(1, n * p // 1000)
    rows, columns = (rng.integers(0, k, count, dtype=np.int32) for k in (n, p))
    X = sparse.csr_array((rng.standard_normal(count), (rows, columns)), shape=(n, p))
    X.sum_duplicates()
    return X, X @ rng.standard_normal(p) + rng.standard_normal(n)


def mean_square(X: Any) -> float:
    """The mean squared norm of the centred columns."""
    import numpy as np

    mean = np.asarray(X.mean(axis=0)).ravel()
    return float((X.power(2).sum() - X.shape[0] * (mean @ mean)) / X.shape[1])


def residual(X: Any, y: Any, alpha: float, model: Any) -> float:
    """||X'(y - Xw - b) - alpha w|| over that at w = 0."""
    import numpy as np

    r = y - X @ model.coef_ - model.intercept_
    mean = np.asarray(X.mean(axis=0)).ravel()
    null = X.T @ (y - y.mean())
    gradient = X.T @ r - mean * r.sum() - alpha * model.coef_
    return float(np.linalg.norm(gradient) / np.linalg.norm(null))


# ------------------------------------------------------------------ contenders


def floor(X: Any, y: Any) -> Run:
    """`dsyrk`, `dpotrf` and X'y, in the order that X is in."""
    import numpy as np
    from scipy.linalg import blas, lapack

    n, p = X.shape
    A, trans = (X, 0) if X.flags.f_contiguous else (X.T, 1)  # Fortran order; A A' if trans == 0
    trans = trans ^ int(n > p)

    def run() -> Any:
        G = blas.dsyrk(1.0, A, trans=trans)
        G[np.diag_indices_from(G)] += 1e-3 * n
        return lapack.dpotrf(G, overwrite_a=1), X.T @ y

    return run


def creg_fit(X: Any, y: Any, alpha: float, weights: Any = None, **options: Any) -> Run:
    import creg

    model = creg.Ridge(alpha, **({"n_threads": 1} | options))
    return lambda: model.fit(X, y, sample_weight=weights)


def sklearn_fits(X: Any, y: Any, alpha: float, tols: tuple[float, ...], steps: int) -> Iterator:
    """(name, run) of scikit-learn's solvers that may be the fastest."""
    from scipy import sparse
    from sklearn.linear_model import Ridge

    kinds: list[tuple[str, float]] = [] if sparse.issparse(X) else [("cholesky", 1e-4)]
    kinds += [(solver, tol) for solver in ("sparse_cg", "lsqr") for tol in tols]
    for solver, tol in kinds:
        if sparse.issparse(X) and solver == "lsqr":
            tol /= 10
        model = Ridge(alpha, solver=solver, tol=tol, max_iter=steps)
        yield f"sklearn {solver} {tol:g}", lambda model=model: model.fit(X, y)


def fastest_sklearn(
    X: Any, y: Any, alpha: float, at_most: float, tols: tuple[float, ...], steps: int
) -> tuple[str, Run]:
    """The fastest whose residual is small enough, by one run of each."""
    best: tuple[float, str, Run] | None = None
    for name, run in sklearn_fits(X, y, alpha, tols, steps):
        start = time.perf_counter()
        model = run()
        seconds = time.perf_counter() - start
        if residual(X, y, alpha, model) <= at_most and (best is None or seconds < best[0]):
            best = (seconds, name, run)
    if best is None:
        raise RuntimeError("no solver of scikit-learn reached the residual")
    return best[1], best[2]


# ------------------------------------------------------------------ rows


def run_dense(bench: Bench, row: str, name: str, order: str) -> None:
    """On columns of condition 2000."""
    import numpy as np

    shape = (QUICK if bench.quick else DENSE)[name]
    X, y = dense(shape, order, correlated=True)
    alpha, small = 1e-3 * shape[0], min(shape)
    weights = np.random.default_rng(1).uniform(0.5, 1.5, shape[0])
    theirs, their_run = fastest_sklearn(X, y, alpha, 1e-10, (1e-10, 1e-12), 100)
    runs = {
        "floor": floor(X, y),
        "cholesky": creg_fit(X, y, alpha, solver="cholesky"),
        "weighted": creg_fit(X, y, alpha, weights, solver="cholesky"),
        "two threads": creg_fit(X, y, alpha, solver="cholesky", n_threads=2),
        "auto": creg_fit(X, y, alpha),
        "eigen": creg_fit(X, y, alpha, solver="eigen"),
        theirs: their_run,
    }
    if small > 500:
        del runs["eigen"]
    seconds = bench.time(row, runs)
    tall = shape[0] > shape[1]
    bound = "<1.25" if order == "F" and small <= 200 else "<1.15"
    bench.report(row, "cholesky / floor", seconds["cholesky"] / seconds["floor"], bound)
    bench.report(row, "weighted / floor", seconds["weighted"] / seconds["floor"], "<1.25")
    asked = ">1.3" if tall else ">1.15"
    bench.report(
        row, "scikit-learn / cholesky", seconds[theirs] / seconds["cholesky"], asked, theirs
    )
    asked = ">1.5" if small >= 500 else ">1"
    bench.report(row, "one thread / two", seconds["cholesky"] / seconds["two threads"], asked)
    ours = min(seconds[k] for k in ("cholesky", "eigen") if k in seconds)
    bench.report(row, "auto / best of ours", seconds["auto"] / ours, "<1.35")


def run_gaussian(bench: Bench, row: str, name: str, order: str) -> None:
    """On independent columns, where a few conjugate gradient steps do."""
    shape = (QUICK if bench.quick else DENSE)[name]
    X, y = dense(shape, order, correlated=False)
    alpha = 1e-3 * shape[0]
    theirs, their_run = fastest_sklearn(X, y, alpha, 1e-10, (1e-8, 1e-9, 1e-10, 1e-11), 100)
    runs = {
        "auto": creg_fit(X, y, alpha),
        "cholesky": creg_fit(X, y, alpha, solver="cholesky"),
        "cg": creg_fit(X, y, alpha, solver="cg", tol=1e-10),
        theirs: their_run,
    }
    seconds = bench.time(row, runs)
    found = residual(X, y, alpha, runs["auto"]())
    note = f"{theirs}; residual of auto {found:.0e}"
    bench.report(row, "scikit-learn / auto", seconds[theirs] / seconds["auto"], ">1", note)
    best = min(seconds["cholesky"], seconds["cg"])
    bench.report(row, "auto / best of ours", seconds["auto"] / best, "<1.35")


def run_float32(bench: Bench, row: str, name: str, order: str) -> None:
    """float32 against float64, and the error against float64 arithmetic on the same numbers."""
    import numpy as np

    import creg

    shape = (QUICK if bench.quick else DENSE)[name]
    X, y = dense(shape, order, correlated=False)
    X32 = X.astype(np.float32, order="K")
    alpha = 1e-3 * shape[0]
    runs = {
        "float64": creg_fit(X, y, alpha, solver="cholesky"),
        "float32": creg_fit(X32, y, alpha, solver="cholesky"),
    }
    seconds = bench.time(row, runs)
    asked = ">1.5" if shape[1] >= 1000 else ">1.15"
    bench.report(row, "float64 / float32", seconds["float64"] / seconds["float32"], asked)
    exact = creg.Ridge(alpha, solver="cholesky").fit(X32.astype(float), y).coef_
    path = creg.ridge_path(X32, y, [alpha]).coefs[:, 0] if hasattr(creg, "ridge_path") else exact
    found = np.linalg.norm(path - exact) / np.linalg.norm(exact)
    # coef_ is float32: half a unit in its last place is 6e-8
    bench.report(row, "error", float(found), "<1e-7")


def run_sparse(bench: Bench, row: str, name: str, share: float) -> None:
    """One alpha."""
    X, y = sparse_data(name, bench.quick)
    alpha = share * mean_square(X)
    tols = (1e-7, 1e-8, 1e-9)
    theirs, their_run = fastest_sklearn(X, y, alpha, 1e-8, tols, 20_000)
    runs = {
        "auto": creg_fit(X, y, alpha),
        "cg": creg_fit(X, y, alpha, solver="cg"),
        "csc": creg_fit(X.tocsc(), y, alpha),
        "two threads": creg_fit(X, y, alpha, n_threads=2),
        theirs: their_run,
    }
    seconds = bench.time(row, runs)
    model = runs["auto"]()
    note = f"{theirs}; {model.solver_}, {model.n_iter_} steps, "
    note += f"residual {residual(X, y, alpha, model):.0e}"
    asked = {"insteval": ">1.5", "random": ">1.2", "debian": ">1"}[name]
    bench.report(row, "scikit-learn / auto", seconds[theirs] / seconds["auto"], asked, note)
    bench.report(row, "scikit-learn / auto, CSC", seconds[theirs] / seconds["csc"])
    bench.report(row, "one thread / two", seconds["auto"] / seconds["two threads"], ">1.5")
    bench.report(row, "auto / cg", seconds["auto"] / seconds["cg"], "<1.35")


def run_sparse_path(bench: Bench, row: str, name: str) -> None:
    """20 alphas against conjugate gradients from the solution before."""
    import numpy as np

    import creg

    X, y = sparse_data(name, bench.quick)
    alphas = mean_square(X) * np.geomspace(10, 0.1, 20)
    runs = {
        "path": lambda: creg.ridge_path(X, y, alphas, n_threads=1),
        "warm starts": lambda: warm_started(X, y, alphas),
    }
    bench.repeats, before = min(bench.repeats, 3), bench.repeats
    seconds = bench.time(row, runs)
    bench.repeats = before
    ratio = seconds["warm starts"] / seconds["path"]
    path = runs["path"]()
    worst = max(
        residual(X, y, alpha, _Fitted(path.coefs[:, k], path.intercepts[k]))
        for k, alpha in enumerate(path.alphas)
    )
    bench.report(row, "warm starts / ridge_path", ratio, ">3", f"worst residual {worst:.0e}")


class _Fitted(NamedTuple):
    coef_: Any
    intercept_: float


def warm_started(X: Any, y: Any, alphas: Any) -> int:
    """Steps of creg's own conjugate gradients at each alpha from the solution at the last."""
    from creg._data.design import DesignView
    from creg._data.storage import Storage
    from creg._ridge.conjugate_gradient import conjugate_gradient
    from creg._ridge.system import RidgeSystem

    view = DesignView(Storage(X), None, True)
    system = RidgeSystem(view, None, False, 1)
    target, start, steps = (y - y.mean())[:, None], None, 0
    for alpha in sorted(alphas, reverse=True):
        end = conjugate_gradient(system, float(alpha), target, 1e-8, 10_000, start=start)
        start, steps = end.W, steps + int(end.n_iter[0])
    return steps


def run_path(bench: Bench, row: str, p: int) -> None:
    """100 alphas against a Cholesky factor for each, one Gram matrix in both."""
    import numpy as np
    from scipy.linalg import lapack

    import creg

    p = p // 10 if bench.quick else p
    X, y = dense((2 * p, p), "C", correlated=True)
    alphas = np.geomspace(1e3, 1e-3, 100) * p

    def choleskys() -> Any:
        Z, r = X - X.mean(axis=0), y - y.mean()
        G, c = Z.T @ Z, Z.T @ r
        coefs = np.empty((p, 100))
        for k, alpha in enumerate(alphas):
            A = G.copy(order="F")
            A.ravel(order="K")[:: p + 1] += alpha
            factor, _ = lapack.dpotrf(A, overwrite_a=1)
            coefs[:, k] = lapack.dpotrs(factor, c)[0]
        return coefs

    runs = {"path": lambda: creg.ridge_path(X, y, alphas, n_threads=1), "choleskys": choleskys}
    seconds = bench.time(row, runs)
    worst = float(np.abs(runs["path"]().coefs / choleskys() - 1).max())
    ratio = seconds["choleskys"] / seconds["path"]
    bench.report(row, "100 Choleskys / ridge_path", ratio, ">4", f"equal to {worst:.0e}")


def run_positive(bench: Bench, row: str, name: str) -> None:
    """Against scikit-learn's lbfgs at tol 1e-8."""
    import numpy as np
    from problems import _loader
    from sklearn.linear_model import Ridge

    X, y = _loader(os.environ["CREG_DATA"]).load(name)
    Z = X - X.mean(axis=0)
    alpha = 1e-5 * float(np.linalg.eigvalsh(Z.T @ Z)[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Ridge(alpha, positive=True, tol=1e-8)
        runs = {
            "creg": creg_fit(X, y, alpha, positive=True),
            "scikit-learn": lambda: model.fit(X, y),
        }
        bench.repeats, before = min(bench.repeats, 3), bench.repeats
        seconds = bench.time(row, runs)
        bench.repeats = before

    def objective(fit: Any) -> float:
        r = y - X @ fit.coef_ - fit.intercept_
        return float(r @ r + alpha * fit.coef_ @ fit.coef_)

    ours, theirs = (objective(run()) for run in runs.values())
    note = f"its objective is {theirs / ours - 1:.0e} above ours"
    ratio = seconds["scikit-learn"] / seconds["creg"]
    bench.report(row, "scikit-learn / creg", ratio, ">5", note)
    bench.report(row, "objective / scikit-learn's", ours / theirs, "<1")


def run_small(bench: Bench, row: str) -> None:
    """Ridge().fit on 50 x 10, 200 fits a run."""
    from sklearn.linear_model import Ridge

    import creg

    X, y = dense((50, 10), "C", correlated=False)
    y = X[:, 0] + y * 1e-3
    fits = {"creg": creg.Ridge(), "scikit-learn": Ridge()}

    def many(model: Any) -> Run:
        return lambda: [model.fit(X, y) for _ in range(200)]

    seconds = bench.time(row, {name: many(model) for name, model in fits.items()})
    micro = ", ".join(f"{name} {1e6 * s / 200:.0f} µs" for name, s in seconds.items())
    bench.report(
        row, "creg / scikit-learn", seconds["creg"] / seconds["scikit-learn"], "<0.5", micro
    )


def rows(real: bool) -> dict[str, tuple[Any, ...]]:
    """Function and arguments of each row, by name."""
    found: dict[str, tuple[Any, ...]] = {"small": (run_small,)}
    for name in DENSE:
        for order in "CF":
            found[f"dense-{name}-{order}"] = (run_dense, name, order)
    for name in DENSE:
        found[f"gaussian-{name}"] = (run_gaussian, name, "C")
    for name in ("tall-100", "tall-1000"):
        found[f"float32-{name}"] = (run_float32, name, "C")
    for name in ("random", "insteval", "debian") if real else ("random",):
        for share in (0.1, 1.0):
            found[f"sparse-{name}-{share:g}"] = (run_sparse, name, share)
        found[f"sparse-path-{name}"] = (run_sparse_path, name)
    for p in (300, 1000):
        found[f"path-{p}"] = (run_path, p)
    for name in ("communities", "california", "diamonds") if real else ():
        found[f"positive-{name}"] = (run_positive, name)
    return found


def main() -> int:
    options = arguments()
    # before NumPy is imported: its BLAS reads these once
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    import numpy as np
    import sklearn

    import creg

    known = rows(real="CREG_DATA" in os.environ)
    if options.list:
        print("\n".join(known))
        return 0
    chosen = [
        name
        for name in known
        if not options.rows or any(re.search(pattern, name) for pattern in options.rows)
    ]
    if not chosen:
        print(f"no row matches; known: {', '.join(known)}", file=sys.stderr)
        return 2
    if options.quick and not options.rows:
        chosen = [n for n in chosen if "insteval" not in n and "debian" not in n]
    bench = Bench(options.quick, options.repeats)
    print(f"creg {creg.__version__}, scikit-learn {sklearn.__version__}, NumPy {np.__version__};")
    print(f"medians of {bench.repeats}\n")
    print("| row | what | ratio | asked | met | |")
    print("|---|---|--:|--:|---|---|", flush=True)
    for name in chosen:
        function, *given = known[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(bench, name, *given)
    if options.json:
        report = {
            "repeats": bench.repeats, "creg": creg.__version__,
            "scikit-learn": sklearn.__version__, "seconds": bench.seconds,
            "values": [value._asdict() | {"met": value.met} for value in bench.values],
        }  # fmt: skip
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
