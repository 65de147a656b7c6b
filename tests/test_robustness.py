"""What surrounds a fit: Ctrl-C, fork, joblib, threads, and inputs that nothing writes to."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from cases import L1_SOLVERS, as_format, checksum, environment, random_data, run_python
from sklearn.exceptions import NotFittedError

import creg

LAYOUTS = ("C", "F", "csc_array", "csr_array")

INTERRUPTED = """
import json, sys, time
import numpy as np
import creg
from cases import as_format, checksum

rng = np.random.default_rng(0)
{data}
X = as_format(X, {layout!r})
before = checksum(X, y)
model = None
print("ready", flush=True)
try:
    {call}
    stopped = None
except KeyboardInterrupt:
    stopped = time.monotonic()
unfitted = model is None or not [a for a in vars(model) if a.endswith("_")]
print(json.dumps([stopped, checksum(X, y) == before, unfitted]))
"""
WIDE = "X = rng.normal(size=(200, 4000)); y = rng.normal(size=200)"
TALL = "X = rng.normal(size=(3000, 150)); y = rng.normal(size=3000)"
HUGE = "X = rng.normal(size=(4000, 4000)); y = rng.normal(size=(4000, 3))"
LONG = [
    (WIDE, "creg.lasso_path(X, y, alphas=10**6, eps=1e-3)"),
    (TALL, "creg.enet_path(X, y, alphas=10**6, eps=1e-6)"),
    (
        WIDE + "; y = rng.normal(size=(200, 20000))",
        "model = creg.Lasso(0.02); model.fit(X, y)",
    ),
    (
        WIDE + "; X = X @ rng.normal(size=(4000, 4000))",
        "model = creg.Lasso(1e-9, tol=0, max_iter=10**9, solver='cd'); model.fit(X, y)",
    ),
    (
        HUGE + "; y = rng.normal(size=(4000, 2000))",
        "model = creg.Ridge(1e-9, solver='cg', tol=0, max_iter=10**9); model.fit(X, y)",
    ),
    (
        WIDE,
        "model = creg.LassoCV(alphas=10**6, n_threads=3, n_jobs=2); model.fit(X, y)",
    ),
]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("case", "layout"),
    [*zip(range(6), ["F", "csr_array", "F", "csr_array", "F", "F"], strict=True)],
)
def test_ctrl_c_stops_a_fit(case, layout) -> None:
    data, call = LONG[case]
    code = INTERRUPTED.format(data=data, call=call, layout=layout)
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.7)
        assert child.poll() is None
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=30)
    finally:
        child.kill()
    stopped, untouched, unfitted = json.loads(out)
    assert stopped is not None, "the call ended by itself"
    assert stopped - sent < 2
    assert untouched
    assert unfitted


FORKED = """
import os, sys
import numpy as np
import creg

rng = np.random.default_rng(0)
X, y = rng.normal(size=(2000, 300)), rng.normal(size=2000)

def fits():
    lasso = creg.Lasso(0.01, n_threads=2).fit(X, y)
    ridge = creg.Ridge(1.0, n_threads=2).fit(X, np.column_stack([y, y[::-1]]))
    return lasso.coef_.tobytes() + ridge.coef_.tobytes()

first = fits()
child = os.fork()
if child == 0:
    os._exit(0 if fits() == first else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(status or (fits() != first))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_after_a_fit_fits_again() -> None:
    assert run_python(FORKED, timeout=60).returncode == 0


def fitted(X, y, kind):
    """The numbers of a fit (top level, so that loky can send it to a process)."""
    if kind == "lasso":
        model = creg.Lasso(0.02).fit(X, y)
    elif kind == "ridge":
        model = creg.Ridge(2.0).fit(X, y)
    else:
        path = creg.lasso_path(X, y, alphas=10)
        return np.vstack([path.coefs.toarray(), path.intercepts])
    return np.append(model.coef_, model.intercept_)


@pytest.mark.parametrize("layout", ["C", "F", "csc_array"])
def test_loky_with_read_only_memory_maps(layout) -> None:
    X, y = random_data(1, 400, 80, density=1.0 if layout != "csc_array" else 0.3)
    X = as_format(X, layout)
    kinds = ["lasso", "ridge", "path"]
    with joblib.parallel_config("loky", n_jobs=2, max_nbytes=1000):
        found = joblib.Parallel()(joblib.delayed(fitted)(X, y, kind) for kind in kinds)
    for kind, numbers in zip(kinds, found, strict=True):
        # BLAS has other threads there, and may split its sums differently
        np.testing.assert_allclose(numbers, fitted(X, y, kind), 1e-9, 1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_results_do_not_depend_on_the_number_of_threads(layout) -> None:
    X, y = random_data(2, 3000, 250, density=0.5)
    X = as_format(X, layout)
    Y = np.column_stack([y, y[::-1], y**2])
    for make in (
        lambda k: creg.Lasso(0.05, n_threads=k),
        lambda k: creg.ElasticNet(0.05, n_threads=k, solver="cd"),
        lambda k: creg.Ridge(1.0, n_threads=k, solver="cg"),
    ):
        one, two = make(1).fit(X, Y), make(2).fit(X, Y)
        np.testing.assert_array_equal(one.coef_, two.coef_)
        np.testing.assert_array_equal(one.intercept_, two.intercept_)
    for solver in ("cholesky", "eigen"):
        one, two = (creg.Ridge(1.0, solver=solver, n_threads=k).fit(X, Y) for k in (1, 2))
        # BLAS may split its sums differently
        np.testing.assert_allclose(one.coef_, two.coef_, 1e-9, 1e-12)
    one, two = (creg.lasso_path(X, y, alphas=8, n_threads=k) for k in (1, 2))
    assert (one.coefs != two.coefs).nnz == 0


def test_one_thread_starts_none() -> None:
    code = (
        "import threading, numpy as np, creg\n"
        "X = np.random.default_rng(0).normal(size=(20000, 100)); y = X.sum(1)\n"
        "creg.Lasso(0.1, n_threads=1).fit(X, y); creg.Ridge(n_threads=1).fit(X, y)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    assert run_python(code).returncode == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_python_threads_fit_at_once(layout) -> None:
    X, y = random_data(3, 500, 100, density=0.5)
    given = as_format(X, layout)
    jobs = [(kind, k) for k in range(6) for kind in ("lasso", "ridge", "path")]

    def run(job, design):
        return fitted(design, np.roll(y, job[1]), job[0])

    expected = [run(job, creg.Design(given)) for job in jobs]
    shared = creg.Design(given)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, jobs, [shared] * len(jobs)))
    for one, other in zip(found, expected, strict=True):
        # equal up to rounding: BLAS may use fewer threads beside others
        np.testing.assert_allclose(one, other, 1e-8, 1e-10)


@pytest.mark.parametrize("solver", L1_SOLVERS)
@pytest.mark.parametrize("layout", [*LAYOUTS, "coo", "csc_int64"])
def test_inputs_are_never_written_to(layout, solver) -> None:
    X, y = random_data(4, 40, 12, density=0.4)
    X, s, v = as_format(X, layout), np.full(40, 0.5), np.linspace(0, 2, 12)
    bounds = (np.full(12, -1.0), np.full(12, 2.0))
    before = checksum(X, y, s, v, *bounds)
    shared = {"penalty_weights": v, "bounds": bounds, "standardize": True}
    creg.ElasticNet(0.1, solver=solver, **shared).fit(X, y, sample_weight=s).predict(X)
    creg.lasso_path(X, y, sample_weight=s, solver=solver, alphas=5, **shared)
    creg.Ridge(0.1, **shared).fit(X, y, sample_weight=s).score(X, y, sample_weight=s)
    creg.Ridge(0.1, penalty_weights=v).fit(X, y, sample_weight=s)
    creg.alpha_max(X, y, sample_weight=s, **shared)
    assert checksum(X, y, s, v, *bounds) == before


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("estimator", [creg.Lasso, creg.ElasticNet, creg.Ridge])
def test_a_refused_fit_changes_nothing(estimator, layout) -> None:
    X, y = random_data(5, 30, 6)
    X = as_format(X, layout)
    bad_y, bad_s = y.copy(), np.ones(30)
    bad_y[3], bad_s[2] = np.nan, -1.0
    before = checksum(X, y, bad_y, bad_s)
    fresh, fitted = estimator(), estimator(0.1).fit(X, y)
    kept = dict(vars(fitted))
    for call in (
        lambda m: m.fit(X, bad_y),
        lambda m: m.fit(X, y[:-1]),
        lambda m: m.fit(X, y, sample_weight=bad_s),
        lambda m: m.set_params(tol=-1.0).fit(X, y),
    ):
        for model in (fresh, fitted):
            with pytest.raises(ValueError, match=r"\by\b|sample_weight|tol"):
                call(model)
            model.set_params(tol=1e-8)
    assert checksum(X, y, bad_y, bad_s) == before
    assert not [name for name in vars(fresh) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        fresh.predict(X)
    assert vars(fitted).keys() == kept.keys()
    for name, value in vars(fitted).items():
        assert value is kept[name] or value == kept[name]
