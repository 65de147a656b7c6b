"""Ctrl-C in the middle of a pivoting that takes thousands of solves without the GIL."""

import signal
import threading

import numpy as np
import pytest
from kernels import Kernel, solve_path
from test_engine import assert_optimal


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX timers")
@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals go to main threads"
)
def test_a_long_pivoting_ends_at_a_signal() -> None:
    rng = np.random.default_rng(0)
    X = np.cumsum(rng.standard_normal((1000, 1000)), axis=1)
    kernel = Kernel(
        X, X @ rng.standard_normal(1000) + rng.standard_normal(1000), lower=-0.01, upper=0.02
    )
    start = np.clip(1e-3 * rng.standard_normal(1000), -0.01, 0.02)
    l1 = np.array([1e-5 * kernel.l1_max])

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    def solve_under_timer():
        signal.setitimer(signal.ITIMER_REAL, 1e-3)
        solve_path(solver, l1)

    solver = kernel.solver(pivoting=True)
    solver.start(start)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        with pytest.raises(Stop):
            solve_under_timer()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    done = solver.pivoting.n_solves

    whole = kernel.solver(pivoting=True)
    whole.start(start)
    assert_optimal(kernel, solve_path(whole, l1))
    assert whole.pivoting.n_solves > 1000
    assert done < whole.pivoting.n_solves / 2
    # what was interrupted can go on
    solver.start(start)
    assert_optimal(kernel, solve_path(solver, l1))
