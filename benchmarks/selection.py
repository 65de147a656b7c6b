"""5-fold LassoCV of creg beside scikit-learn's, both at their defaults, on sets of CREG_DATA.

Both get the same X and y (centred; dense columns scaled to standard deviation 1, sparse X as it
is), fit an intercept, make their own grid of 100 alphas down to alpha_max/1000 (the same one) and
split the rows alike.  creg's duality gaps are at most 1e-8 of the null objective; scikit-learn's
are at most 2e-4 of it, unless it warns that it stopped short: the column says how often.

They run in alternation in one process; a first run of scikit-learn and of leave-one-out, in
processes of their own, is stopped at the time limit.  Beside it: creg's 5-fold choice, with 1
thread and with 2, and its approximate leave-one-out, over one path on the same alphas with as
many threads.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

GROUPS = {
    "wide and sparse": ("leukemia", "riboflavin", "prostate", "wheat", "debian", "insteval"),
    "tall": ("california", "diamonds", "communities"),
    "spectra": ("meats",),
}
QUICK = ("diabetes", "small", "wide")
LONG = 5.0  # seconds: such a first run that takes longer is not repeated


class Row(NamedTuple):
    """What was measured on one set."""

    name: str
    n_samples: int
    n_features: int
    creg_seconds: float
    sklearn_seconds: float  # the time limit, where stopped
    stopped: bool
    ratio: float
    path_seconds: float
    cv_over_path: float
    cv_over_path_2_threads: float
    alo_over_path: float
    alo_over_cv: float
    alo_stopped: bool
    gap: float  # creg's largest, over the null objective
    warnings: int  # scikit-learn's, of 501 fits
    alpha_ratio: float  # scikit-learn's chosen alpha over creg's
    error_ratio: float  # and its least cross-validated error over creg's


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0],
        epilog="\n".join((__doc__ or "").split("\n")[2:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sets", nargs="*", metavar="SET", help="default: those of the three groups")
    parser.add_argument("--quick", action="store_true", help="data of its own, medians of 3")
    parser.add_argument("--repeats", type=int, default=5, help="medians of so many; default 5")
    parser.add_argument(
        "--time-limit", type=float, default=600.0, help="seconds of those; default 600"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    return parser.parse_args()


def load(name: str) -> tuple[Any, Any]:
    import problems

    if name == "diabetes":
        return problems.diabetes()
    return problems.gaussian(name) if name in problems.SHAPES else problems.real(name)


def sklearn_choice(X: Any, y: Any) -> dict[str, float]:
    """Seconds, warnings and what was chosen."""
    from sklearn.linear_model import LassoCV

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        model = LassoCV(cv=5).fit(X, y)
        seconds = time.perf_counter() - start
    error = float(model.mse_path_.mean(axis=-1).min())
    return {"seconds": seconds, "warnings": len(caught), "alpha": model.alpha_, "error": error}


def first_run(run: Callable[[], Any], limit: float) -> Any:
    """What `run` returns, in a forked process; None where it takes longer than the limit."""
    context: Any = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(run()))
    process.start()
    sender.close()
    try:
        if not receiver.poll(limit):
            return None
        return receiver.recv()
    finally:
        process.kill()
        process.join()


def seconds_of(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(name: str, repeats: int, limit: float) -> Row:
    """All of one set, in alternation."""
    import numpy as np

    import creg

    X, y = load(name)
    theirs = first_run(lambda: sklearn_choice(X, y), limit)
    model = creg.LassoCV(n_threads=1).fit(X, y)
    alphas = model.alphas_
    runs: dict[str, Callable[[], Any]] = {
        "cv": lambda: creg.LassoCV(n_threads=1).fit(X, y),
        "path": lambda: creg.lasso_path(X, y, alphas=alphas, n_threads=1),
        "cv 2": lambda: creg.LassoCV(n_threads=2).fit(X, y),
        "path 2": lambda: creg.lasso_path(X, y, alphas=alphas, n_threads=2),
    }
    others: dict[str, Callable[[], Any]] = {
        "alo": lambda: creg.LassoCV(criterion="alo", n_threads=1).fit(X, y),
        "sklearn": lambda: sklearn_choice(X, y),
    }
    first = {"sklearn": theirs["seconds"] if theirs else None}
    first["alo"] = first_run(lambda: seconds_of(others["alo"]), limit)
    runs |= {label: others[label] for label, seconds in first.items() if 0 < (seconds or -1) < LONG}
    times: dict[str, list[float]] = {label: [] for label in runs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(repeats):
            for label, run in runs.items():
                times[label].append(seconds_of(run))
    at = {label: float(np.median(values)) for label, values in times.items()}
    at |= {label: seconds or limit for label, seconds in first.items() if label not in at}
    sklearn = at["sklearn"]
    null = float(np.var(y)) / 2
    return Row(
        name, *X.shape, at["cv"], sklearn, theirs is None, sklearn / at["cv"], at["path"],
        at["cv"] / at["path"], at["cv 2"] / at["path 2"], at["alo"] / at["path"],
        at["alo"] / at["cv"], first["alo"] is None,
        float(model.path_.dual_gaps.max()) / null, int(theirs["warnings"]) if theirs else -1,
        theirs["alpha"] / model.alpha_ if theirs else float("nan"),
        theirs["error"] / float(model.mse_mean_.min()) if theirs else float("nan"),
    )  # fmt: skip


def show(row: Row) -> str:
    over = ">" if row.stopped else ""
    alo = ">" if row.alo_stopped else ""
    rest = "| | | |"
    if not row.stopped:
        rest = f"| {row.warnings} | {row.alpha_ratio:.3g} | {row.error_ratio:.4f} |"
    return (
        f"| {row.name} | {row.n_samples:,} × {row.n_features:,} | {row.creg_seconds:.3g} "
        f"| {over}{row.sklearn_seconds:.3g} | {over}{row.ratio:.1f} | {row.cv_over_path:.2f} "
        f"| {row.cv_over_path_2_threads:.2f} | {alo}{row.alo_over_path:.2f} "
        f"| {alo}{row.alo_over_cv:.2f} | {row.gap:.0e} {rest}"
    )


def means(rows: list[Row]) -> dict[str, float]:
    """Geometric means of the ratios, by group and of all; at least these where some stopped."""
    import numpy as np

    groups = {label: [row for row in rows if row.name in names] for label, names in GROUPS.items()}
    groups["all"] = rows
    return {
        label: float(np.exp(np.mean([np.log(row.ratio) for row in chosen])))
        for label, chosen in groups.items()
        if chosen
    }


def main() -> int:
    options = arguments()
    # before NumPy is imported: its BLAS reads these once
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    import numpy as np
    import problems
    import sklearn

    import creg

    known = ["diabetes", *problems.SHAPES, *problems.real_names()]
    default = QUICK if options.quick else [name for names in GROUPS.values() for name in names]
    names = options.sets or default
    if unknown := sorted(set(names) - set(known)):
        print(f"unknown sets: {', '.join(unknown)}; known: {', '.join(known)}", file=sys.stderr)
        if not os.environ.get("CREG_DATA"):
            print("CREG_DATA names no folder of data sets", file=sys.stderr)
        return 2
    repeats = min(options.repeats, 3) if options.quick else options.repeats
    print(f"creg {creg.__version__}, scikit-learn {sklearn.__version__}, NumPy {np.__version__};")
    print(f"one thread but where it says 2, medians of {repeats}\n")
    print(
        "| set | n × p | creg, s | scikit-learn, s | ratio | CV / path | the same, 2 threads "
        "| ALO / path | ALO / CV | gap | its warnings | its alpha / creg's | its error / creg's |"
    )
    print("|---|---|" + "--:|" * 11, flush=True)
    rows = []
    for name in names:
        rows.append(measure(name, repeats, options.time_limit))
        print(show(rows[-1]), flush=True)
    print()
    for label, mean in means(rows).items():
        print(f"geometric mean of the ratios, {label}: {mean:.1f}")
    if options.json:
        report = {
            "repeats": repeats, "creg": creg.__version__, "scikit-learn": sklearn.__version__,
            "time_limit": options.time_limit, "geometric_means": means(rows),
            "sets": [row._asdict() for row in rows],
        }  # fmt: skip
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
