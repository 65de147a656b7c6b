"""Lasso paths of creg beside scikit-learn's, on the real data sets of the folder CREG_DATA.

Both get the same X, y (centred; dense columns scaled to standard deviation 1, sparse X as it
is), the same 100 alphas down to alpha_max/100 and no intercept.  They run in alternation in one
process with the same number of threads.  This script computes objectives and duality gaps from
the coefficients alone, relative to the null objective ||y||^2 / 2n.

tol means the gap over the null objective to creg, and the gap over ||y||^2 / n, twice as much,
to scikit-learn: given the same number, scikit-learn may stop at twice the gap.
"""

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

DEFAULT_OUT = ("meats",)  # its columns correlate 1.0000: no tolerance brings scikit-learn to 1e-6


class Row(NamedTuple):
    """What was measured on one set; gaps and difference are relative to the null objective."""

    name: str
    n_samples: int
    n_features: int
    creg_seconds: float
    sklearn_seconds: float
    ratio: float
    creg_gap: float
    sklearn_gap: float
    difference: float  # the largest objective of creg minus scikit-learn's at the same alpha
    warnings: int


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0],
        epilog="\n".join((__doc__ or "").split("\n")[2:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="default: all but meats")
    parser.add_argument("--tol", type=float, default=1e-6, help="of creg; default 1e-6")
    parser.add_argument("--sklearn-tol", type=float, help="default: the same number")
    parser.add_argument("--threads", type=int, default=1, help="of both; default 1")
    parser.add_argument("--repeats", type=int, default=5, help="medians of so many; default 5")
    parser.add_argument("--solver", default="auto", help="creg's solver; default auto")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    return parser.parse_args()


def measure(name: str, options: argparse.Namespace) -> Row:
    """Run both on one set, in alternation."""
    import numpy as np
    from accuracy import relative_gaps
    from problems import alphas as grid
    from problems import real
    from scipy import sparse
    from sklearn.linear_model import lasso_path

    import creg

    X, y = real(name)
    alphas = grid(X, y)
    sklearn_tol = options.tol if options.sklearn_tol is None else options.sklearn_tol

    def with_creg() -> Any:
        return creg.lasso_path(
            X, y, alphas=alphas, fit_intercept=False, solver=options.solver,
            tol=options.tol, max_iter=100_000, n_threads=options.threads,
        ).coefs  # fmt: skip

    def with_sklearn() -> Any:
        return lasso_path(X, y, alphas=alphas, tol=sklearn_tol, max_iter=100_000)[1]

    seconds: dict[Any, list[float]] = {with_creg: [], with_sklearn: []}
    result: dict[Any, np.ndarray] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(options.repeats):
            for run, times in seconds.items():
                start = time.perf_counter()
                coefs = run()
                times.append(time.perf_counter() - start)
                result[run] = coefs.toarray() if sparse.issparse(coefs) else coefs
    ours, gaps = relative_gaps(X, y, alphas, result[with_creg])
    theirs, their_gaps = relative_gaps(X, y, alphas, result[with_sklearn])
    medians = [float(np.median(times)) for times in seconds.values()]
    return Row(
        name, *X.shape, *medians, medians[1] / medians[0], float(gaps.max()),
        float(their_gaps.max()), float((ours - theirs).max()), len(caught),
    )  # fmt: skip


def main() -> int:
    options = arguments()
    # before NumPy is imported: its BLAS reads these once
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    import numpy as np
    import sklearn
    from problems import real_names

    import creg

    known = real_names()
    if not known:
        print("CREG_DATA names no folder of data sets", file=sys.stderr)
        return 2
    names = options.sets or [name for name in known if name not in DEFAULT_OUT]
    if unknown := sorted(set(names) - set(known)):
        print(f"unknown sets: {', '.join(unknown)}; known: {', '.join(known)}", file=sys.stderr)
        return 2
    print(f"creg {creg.__version__}, scikit-learn {sklearn.__version__}, NumPy {np.__version__};")
    print(f"{options.threads} thread(s), medians of {options.repeats}, tol {options.tol:g}\n")
    print("| set | n × p | creg, s | scikit-learn, s | ratio | gap | its gap | objective − its |")
    print("|---|---|--:|--:|--:|--:|--:|--:|", flush=True)
    rows = []
    for name in names:
        row = measure(name, options)
        rows.append(row)
        print(
            f"| {name} | {row.n_samples:,} × {row.n_features:,} | {row.creg_seconds:.3g} "
            f"| {row.sklearn_seconds:.3g} | {row.ratio:.2f} | {row.creg_gap:.1e} "
            f"| {row.sklearn_gap:.1e} | {row.difference:.1e} |",
            flush=True,
        )
    ratios = [row.ratio for row in rows]
    mean = float(np.exp(np.mean(np.log(ratios))))
    print(f"\ngeometric mean of the ratios {mean:.2f}, least {min(ratios):.2f}")
    if options.json:
        report = {
            "tol": options.tol, "threads": options.threads, "repeats": options.repeats,
            "creg": creg.__version__, "scikit-learn": sklearn.__version__,
            "geometric_mean": mean, "sets": [row._asdict() for row in rows],
        }  # fmt: skip
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
