"""What each way of choosing alpha buys: errors on rows kept aside, and what is selected.

Two problems: the diabetes study with all interactions up to degree 3 (442 x 285; a third of the
rows is kept aside, at random each time), and made-up data with 10 features in truth out of 2,000
in 200 rows, correlated 0.5 from neighbour to neighbour, with a third of the variance noise.  An
error is the mean squared one on new rows over that of the mean of y: 1 is no use, 0 is perfect.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import creg

if __package__:  # asv imports every module of the folder
    from benchmarks import problems
else:
    import problems

TRUE = np.arange(50, 2000, 195)  # the features that count
RATIOS = [0.5, 0.8, 1.0]
Ways = dict[str, Callable[[Any, Any], Any]]


def adaptive(X: Any, y: Any) -> Any:
    """A Lasso whose penalty spares what a first fit found large."""
    first = creg.LassoCV(standardize=True).fit(X, y)
    weights = creg.adaptive_weights(first)
    if np.isinf(weights).all():
        return first
    return creg.LassoCV(standardize=True, rule="1se", penalty_weights=weights).fit(X, y)


def adaptive_bic(X: Any, y: Any) -> Any:
    """The same with BIC both times, at the noise variance of the first fit."""
    first = creg.LassoCV(standardize=True, criterion="bic", noise_variance="cv").fit(X, y)
    weights = creg.adaptive_weights(first)
    if np.isinf(weights).all():
        return first
    return creg.LassoCV(
        standardize=True, criterion="bic", noise_variance=first.noise_variance_,
        penalty_weights=weights,
    ).fit(X, y)  # fmt: skip


def ways() -> Ways:
    def lasso(**options: Any) -> Callable[[Any, Any], Any]:
        return lambda X, y: creg.LassoCV(standardize=True, **options).fit(X, y)

    return {
        "`LassoCV()`": lasso(),
        '`rule="1se"`': lasso(rule="1se"),
        '`criterion="alo"`': lasso(criterion="alo"),
        '`criterion="alo", rule="1se"`': lasso(criterion="alo", rule="1se"),
        '`criterion="bic"`': lasso(criterion="bic", noise_variance="cv"),
        '`criterion="ebic"`': lasso(criterion="ebic", noise_variance="cv"),
        "`relax=True`": lasso(relax=True),
        "`relax=[0, 0.5, 1]`": lasso(relax=[0.0, 0.5, 1.0]),
        '`relax=[0, 0.5, 1], rule="1se"`': lasso(relax=[0.0, 0.5, 1.0], rule="1se"),
        'adaptive weights, `rule="1se"`': adaptive,
        'adaptive weights, `criterion="bic"`': adaptive_bic,
        "`ElasticNetCV`, 3 values of `l1_ratio`": lambda X, y: creg.ElasticNetCV(
            l1_ratio=RATIOS, standardize=True
        ).fit(X, y),
        "`RidgeCV()`": lambda X, y: creg.RidgeCV(standardize=True).fit(X, y),
    }


def diabetes(seed: int) -> tuple[Any, Any, Any, Any]:
    """X and y to fit and to test."""
    X, y = problems.diabetes()
    order = np.random.default_rng(seed).permutation(len(y))
    test, train = order[: len(y) // 3], order[len(y) // 3 :]
    return np.asfortranarray(X[train]), y[train], X[test], y[test]


def made_up(seed: int) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((2200, 2000))
    for j in range(1, X.shape[1]):
        X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * X[:, j]
    signal = X[:, TRUE] @ np.tile([1.0, -1.0], len(TRUE) // 2)
    y = signal + np.sqrt(len(TRUE) / 2) * rng.standard_normal(len(X))
    return np.asfortranarray(X[:200]), y[:200], X[200:], y[200:]


def measure(data: Callable[[int], tuple[Any, Any, Any, Any]], repeats: int) -> dict[str, Any]:
    """For each way: means of the error, of what is selected, found and false, and of seconds."""
    found: dict[str, list[list[float]]] = {name: [] for name in ways()}
    for seed in range(repeats):
        X, y, X_new, y_new = data(seed)
        null = float(np.mean((y_new - y.mean()) ** 2))
        for name, fit in ways().items():
            start = perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                model = fit(X, y)
            seconds = perf_counter() - start
            error = float(np.mean((y_new - model.predict(X_new)) ** 2)) / null
            chosen = np.flatnonzero(model.coef_)
            right = np.intersect1d(chosen, TRUE).size
            found[name].append([error, chosen.size, right, chosen.size - right, seconds])
    keys = ("error", "nonzero", "right", "wrong", "seconds")
    result = {}
    for name, rows in found.items():
        values = np.array(rows)
        result[name] = dict(zip(keys, values.mean(axis=0).tolist(), strict=True))
        result[name]["error_se"] = float(values[:, 0].std(ddof=1) / np.sqrt(repeats))
    return result


def show(title: str, result: dict[str, Any], truth: bool) -> None:
    print(f"\n{title}\n")
    print("| | error | nonzero |" + (" true | false |" if truth else "") + " ms |")
    print("|---|--:|--:|" + ("--:|--:|" if truth else "") + "--:|")
    for name, row in result.items():
        selected = f" {row['right']:.1f} | {row['wrong']:.1f} |" if truth else ""
        print(
            f"| {name} | {row['error']:.3f} ± {row['error_se']:.3f} | {row['nonzero']:.0f} |"
            f"{selected} {1e3 * row['seconds']:.0f} |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0],
        epilog="\n".join((__doc__ or "").split("\n")[2:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=20, help="default 20")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    options = parser.parse_args()
    if options.repeats < 2:
        parser.error("--repeats must be at least 2")
    results = {}
    for title, data, truth in (
        ("diabetes, 295 rows × 285 features", diabetes, False),
        ("made up, 200 rows × 2,000 features, 10 of them true", made_up, True),
    ):
        results[title] = measure(data, options.repeats)
        show(title, results[title], truth)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
