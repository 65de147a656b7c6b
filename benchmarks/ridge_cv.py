"""RidgeCV beside scikit-learn's, exact leave-one-out over the same 100 alphas, with an intercept.

Both get the same dense X (C order), targets and alphas, from 1e-6 to 10 times the largest
eigenvalue of X'X, and run in alternation in one process with the same number of threads; a ratio
is one of medians.  A run of scikit-learn's that takes longer than 10 s is made once.  The last
columns compare the results: relative differences of the best leave-one-out error and of the
coefficients, the largest.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

# n_samples, n_features, the least ratio asked for
SHAPES = [(50_000, 500, 20.0), (20_000, 300, 20.0), (200, 20_000, 4.0), (2_000, 2_000, 1.5)]
QUICK = [(500, 20, 0.0), (40, 200, 0.0), (100, 100, 0.0)]
TARGETS = (1, 10)
LONG = 10.0


class Row(NamedTuple):
    """What was measured for one shape and number of targets."""

    n_samples: int
    n_features: int
    n_targets: int
    creg_seconds: float
    sklearn_seconds: float
    ratio: float
    asked: float
    error_difference: float
    coef_difference: float


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0],
        epilog="\n".join((__doc__ or "").split("\n")[2:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: does it all run?")
    parser.add_argument("--repeats", type=int, default=3, help="medians of so many; default 3")
    parser.add_argument("--threads", type=int, default=1, help="of both; default 1")
    parser.add_argument("--shapes", nargs="+", metavar="NxP", help="default: all four")
    parser.add_argument("--alone", action="store_true", help="without scikit-learn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    return parser.parse_args()


def problem(n: int, p: int, n_targets: int) -> tuple[Any, Any, Any]:
    """X with a decaying spectrum and means, targets, alphas."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p)) * np.geomspace(1, 1e-2, p) + rng.standard_normal(p)
    Y = X[:, :10] @ rng.standard_normal((10, n_targets)) + rng.standard_normal((n, n_targets))
    sample = X[rng.choice(n, min(n, 400), replace=False)]
    largest = np.linalg.norm(sample - sample.mean(axis=0), 2) ** 2 * n / len(sample)
    return X, Y[:, 0] if n_targets == 1 else Y, largest * np.geomspace(10, 1e-6, 100)


def measure(n: int, p: int, asked: float, n_targets: int, options: argparse.Namespace) -> Row:
    """Run both in alternation."""
    import numpy as np
    from sklearn.linear_model import RidgeCV

    import creg

    X, y, alphas = problem(n, p, n_targets)
    models = {"creg": creg.RidgeCV(alphas, n_threads=options.threads)}
    if not options.alone:
        models["sklearn"] = RidgeCV(alphas)
    seconds: dict[str, list[float]] = {"creg": [], "sklearn": []}
    for _ in range(options.repeats):
        for name, model in models.items():
            if name == "creg" or not seconds[name] or seconds[name][-1] < LONG:
                start = time.perf_counter()
                model.fit(X, y)
                seconds[name].append(time.perf_counter() - start)
    ours, theirs = models["creg"], models.get("sklearn")
    errors = coefs = np.nan
    if theirs is not None:
        coefs = float(np.abs(ours.coef_ / theirs.coef_ - 1).max())
        errors = float(abs(ours.best_score_ / theirs.best_score_ - 1))
    mine = float(np.median(seconds["creg"]))
    other = float(np.median(seconds["sklearn"])) if seconds["sklearn"] else np.nan
    return Row(n, p, n_targets, mine, other, other / mine, asked, errors, coefs)


def main() -> int:
    options = arguments()
    # before NumPy is imported: its BLAS reads these once
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    import numpy as np
    import sklearn

    import creg

    shapes = QUICK if options.quick else SHAPES
    if options.shapes:
        wanted = {tuple(int(side) for side in shape.split("x")) for shape in options.shapes}
        shapes = [shape for shape in SHAPES if shape[:2] in wanted]
    if not shapes:
        known = ", ".join(f"{n}x{p}" for n, p, _ in SHAPES)
        print(f"no such shape; known: {known}", file=sys.stderr)
        return 2
    print(f"creg {creg.__version__}, scikit-learn {sklearn.__version__}, NumPy {np.__version__};")
    print(f"{options.threads} thread(s), medians of {options.repeats}\n")
    print("| n × p | targets | creg, s | scikit-learn, s | ratio | asked | errors | coefs |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    rows = []
    for n, p, asked in shapes:
        for n_targets in TARGETS:
            row = measure(n, p, asked, n_targets, options)
            rows.append(row)
            print(
                f"| {n:,} × {p:,} | {n_targets} | {row.creg_seconds:.3g} "
                f"| {row.sklearn_seconds:.3g} | {row.ratio:.2f} | {asked:g} "
                f"| {row.error_difference:.0e} | {row.coef_difference:.0e} |",
                flush=True,
            )
    if options.json:
        report = {
            "threads": options.threads, "repeats": options.repeats, "creg": creg.__version__,
            "scikit-learn": sklearn.__version__, "rows": [row._asdict() for row in rows],
        }  # fmt: skip
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
