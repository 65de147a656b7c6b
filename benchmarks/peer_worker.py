"""One package in a process of its own: `peers.py` asks and it answers, a line of JSON each.

    {"load": NAME}                                  -> {}
    {"run": FILE, "alphas", "l1_ratio", "tol", "single"} -> {"seconds", "reads"}, FILE the coefs
    {"floor": true}                                 -> {"seconds"} of one product X'X

and {"error": ...} where something went wrong.  The first line tells the version, or what is
missing.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.linalg import blas

ENOUGH = 0.05  # seconds; what takes less is run again, and the median counts
DISTRIBUTIONS = {
    "creg": "creg", "sklearn": "scikit-learn", "celer": "celer", "adelie": "adelie",
    "skglm": "skglm",
}  # fmt: skip


class Problem(NamedTuple):
    """What a package is asked to solve; single: an estimator's fit at the one alpha."""

    X: Any
    y: np.ndarray
    alphas: np.ndarray
    l1_ratio: float
    tol: float
    single: bool


class Task(NamedTuple):
    """What is timed, and what makes (n_features, n_alphas) coefficients of its result."""

    call: Callable[[], Any]
    coefs: Callable[[Any], Any]


def estimator(module: Any, problem: Problem, **more: Any) -> Task:
    """Lasso or ElasticNet; creg, scikit-learn and celer give them the same parameters."""
    more |= {"alpha": problem.alphas[0], "tol": problem.tol, "fit_intercept": False}
    if problem.l1_ratio == 1:
        model = module.Lasso(**more)
    else:
        model = module.ElasticNet(l1_ratio=problem.l1_ratio, **more)
    return Task(
        lambda: model.fit(problem.X, problem.y), lambda fitted: np.reshape(fitted.coef_, (-1, 1))
    )


def creg_task(problem: Problem, threads: int) -> Task:
    import creg

    if problem.single:
        return estimator(creg, problem, n_threads=threads)
    return Task(
        lambda: creg.enet_path(
            problem.X, problem.y, alphas=problem.alphas, l1_ratio=problem.l1_ratio,
            fit_intercept=False, tol=problem.tol, n_threads=threads,
        ),
        lambda path: path.coefs,
    )  # fmt: skip


def sklearn_task(problem: Problem, _threads: int) -> Task:
    from sklearn import linear_model

    if problem.single:
        return estimator(linear_model, problem, max_iter=100_000, copy_X=False)
    return Task(
        lambda: linear_model.enet_path(
            problem.X, problem.y, alphas=problem.alphas, l1_ratio=problem.l1_ratio,
            tol=problem.tol, max_iter=100_000, copy_X=False,
        ),
        lambda result: result[1],
    )  # fmt: skip


def celer_task(problem: Problem, _threads: int) -> Task:
    import celer

    if problem.single:
        return estimator(celer, problem, max_iter=1000)
    return Task(
        lambda: celer.celer_path(
            problem.X, problem.y, "lasso", alphas=problem.alphas, l1_ratio=problem.l1_ratio,
            tol=problem.tol, prune=1, max_iter=1000,
        ),
        lambda result: result[1],
    )  # fmt: skip


def skglm_task(problem: Problem, _threads: int) -> Task:
    from skglm.datafits import Quadratic
    from skglm.penalties import L1, L1_plus_L2
    from skglm.solvers import AndersonCD
    from skglm.utils.jit_compilation import compiled_clone

    first = problem.alphas[0]
    penalty = L1(first) if problem.l1_ratio == 1 else L1_plus_L2(first, problem.l1_ratio)
    datafit, penalty = compiled_clone(Quadratic()), compiled_clone(penalty)
    solver = AndersonCD(max_iter=1000, fit_intercept=False, tol=problem.tol)
    return Task(
        lambda: solver.path(problem.X, problem.y, datafit, penalty, problem.alphas),
        lambda result: result[1],
    )


def adelie_task(problem: Problem, threads: int) -> Task:
    import adelie

    make = adelie.matrix.sparse if sparse.issparse(problem.X) else adelie.matrix.dense
    X, glm = make(problem.X, n_threads=threads), adelie.glm.gaussian(problem.y)
    return Task(
        lambda: adelie.grpnet(
            X, glm, lmda_path=problem.alphas, alpha=problem.l1_ratio, intercept=False,
            tol=problem.tol, max_iters=10**9, early_exit=False, progress_bar=False,
            n_threads=threads,
        ),
        lambda state: state.betas.T,
    )  # fmt: skip


def rscript(*arguments: str) -> str:
    done = subprocess.run(["Rscript", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Rscript: {done.stderr.strip()[-300:]}")
    return done.stdout


def glmnet(problem: Problem) -> tuple[float, Any]:
    """Seconds and coefficients of R's glmnet.

    With lambda and alpha glmnet minimises RSS/2n + lambda (alpha |b|_1 + (1 - alpha)/2 |b|^2)
    where y has standard deviation 1 (elsewhere its l2 part depends on that). For y/s and b = w/s
    that is ours over s^2 if lambda alpha = a rho/s and lambda (1 - alpha) = a (1 - rho).
    """
    X, scale, rho = problem.X, float(np.sqrt(np.mean(problem.y**2))), problem.l1_ratio
    total = rho / scale + 1 - rho
    n, p = X.shape
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        if sparse.issparse(X):
            X.indices.astype(np.int32).tofile(here / "i")
            X.indptr.astype(np.int32).tofile(here / "p")
            X.data.tofile(here / "x")
        else:
            X.T.tofile(here / "x")
        (problem.y / scale).tofile(here / "y")
        (problem.alphas * total).tofile(here / "lambdas")
        seconds = float(rscript(
            str(Path(__file__).with_name("glmnet.R")), folder, str(n), str(p),
            str(X.nnz if sparse.issparse(X) else -1), str(len(problem.alphas)),
            repr(rho / scale / total), repr(problem.tol),
        ))  # fmt: skip
        i, ends = (np.fromfile(here / name, np.int32) for name in ("beta_i", "beta_p"))
        values = scale * np.fromfile(here / "beta_x")
    return seconds, sparse.csc_matrix((values, i, ends), shape=(p, len(problem.alphas)))


TASKS = {
    "creg": creg_task, "sklearn": sklearn_task, "celer": celer_task, "adelie": adelie_task,
    "skglm": skglm_task,
}  # fmt: skip


def median_seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """The median of as many calls as it takes for `ENOUGH`, and the last result."""
    times: list[float] = []
    while sum(times) < ENOUGH:
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), result


class Package:
    """A package, the number of threads, and the data set that is loaded."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads = name, threads
        self.X: Any = None
        self.y = np.empty(0)

    def version(self) -> str:
        """Or an ImportError, also where it is installed and does not work."""
        if self.name != "glmnet":
            importlib.import_module(self.name)
            module = sys.modules[self.name]
            return getattr(module, "__version__", None) or version(DISTRIBUTIONS[self.name])
        if shutil.which("Rscript") is None:
            raise ImportError("no Rscript")
        try:
            return rscript("-e", 'library(glmnet); cat(format(packageVersion("glmnet")))')
        except RuntimeError as error:
            raise ImportError("R has no glmnet") from error

    def load(self, name: str) -> None:
        """Read the set and compile what a package compiles on first use."""
        import problems

        X, self.y = problems.real(name)
        self.X = sparse.csc_matrix(X, copy=False) if sparse.issparse(X) else X
        if self.name == "glmnet":
            return
        small = np.random.default_rng(0).standard_normal((20, 10))
        y = small[:, 0] - small.mean(axis=1)
        small = sparse.csc_matrix(small) if sparse.issparse(X) else np.asfortranarray(small)
        for l1_ratio in (1.0, 0.5):
            alphas = problems.alphas(small, y, count=5) / l1_ratio
            problem = Problem(small, y, alphas, l1_ratio, 1e-6, False)
            TASKS[self.name](problem, self.threads).call()

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        alphas = np.array(request["alphas"])
        parts = (request["l1_ratio"], request["tol"], request["single"])
        problem = Problem(self.X, self.y, alphas, *parts)
        if self.name == "glmnet":
            seconds, coefs = glmnet(problem)
            result = None
        else:
            task = TASKS[self.name](problem, self.threads)
            seconds, result = median_seconds(task.call)
            coefs = task.coefs(result)
        coefs = sparse.csc_matrix(coefs)
        if coefs.shape != (self.X.shape[1], len(alphas)):
            raise RuntimeError(f"coefficients of shape {coefs.shape}")
        sparse.save_npz(request["run"], coefs, compressed=False)
        return {"seconds": seconds, "reads": getattr(result, "reads", None)}

    def floor(self) -> dict[str, Any]:
        """One X'X and X'y by NumPy's BLAS."""

        def products() -> Any:
            return blas.dsyrk(1.0, self.X, trans=1), self.X.T @ self.y

        return {"seconds": median_seconds(products)[0]}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "load" in request:
            self.load(request["load"])
            return {}
        return self.run(request) if "run" in request else self.floor()


def main() -> None:
    # What packages print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    package = Package(sys.argv[1], int(sys.argv[2]))
    try:
        print(json.dumps({"version": package.version()}), file=answers)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), file=answers)
        return
    for line in sys.stdin:
        try:
            answer = package.answer(json.loads(line))
        except Exception as error:  # whatever a package raises is reported, and the next asked
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
