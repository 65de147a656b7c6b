"""Counting cores, running functions, surviving a fork."""

import os
import threading
import time

import pytest

from creg._data import threads
from creg._data.threads import (
    check_stopped,
    parallel,
    pieces,
    single_blas,
    usable_threads,
)


def test_usable_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert usable_threads(7) == 7
    cores = usable_threads(None)
    assert 1 <= cores <= (os.cpu_count() or 1)
    for value, expected in (("1", 1), ("1,2", 1), ("100000", cores), ("", cores), ("-3", cores)):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert usable_threads(None) == expected


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/a/b", {"a/b/cpu.max": "150000 100000", "a/cpu.max": "max 100000"}, 2),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "300000 100000"}, 3),
        ("3:cpu,cpuacct:/x", {"cpu,cpuacct/x/cpu.cfs_quota_us": "200000",
                              "cpu,cpuacct/x/cpu.cfs_period_us": "100000"}, 2),
        ("3:cpu:/x", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, None),
        ("0::/gone", {}, None),
    ],
)  # fmt: skip
def test_control_groups(membership, files, expected, tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(membership + "\n")
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    cores = threads._cgroup_cores(str(tmp_path))
    assert cores == (float("inf") if expected is None else expected)


def test_pieces():
    assert pieces(10, 3, 4) == [(0, 4), (4, 8), (8, 10)]
    assert pieces(0, 3) == []
    assert pieces(5, 100) == [(k, k + 1) for k in range(5)]


@pytest.mark.parametrize("n_threads", [1, 2, 8])
def test_results_in_order_and_nested(n_threads):
    def outer(k):
        return lambda: (k, sum(parallel([lambda j=j: j for j in range(10)], n_threads)))

    assert parallel([outer(k) for k in range(20)], n_threads) == [(k, 45) for k in range(20)]
    assert parallel([], n_threads) == []


def test_one_thread_starts_none():
    assert set(parallel([threading.get_ident] * 5, 1)) == {threading.get_ident()}


def test_an_exception_is_raised_once_all_have_ended():
    running, done = [], []

    def slow():
        running.append(1)
        time.sleep(0.02)
        done.append(1)

    def fails():
        raise ArithmeticError("seven")

    with pytest.raises(ArithmeticError, match="seven"):
        parallel([slow, slow, fails] + [slow] * 50, 3)
    assert len(running) == len(done) < 50
    assert parallel([int] * 3, 3) == [0, 0, 0]


def test_what_runs_is_told_to_stop():
    """The error is that of the function that failed, not of those that were told."""
    begun = threading.Event()

    def runs():
        begun.set()
        while True:
            parallel([check_stopped], 1)
            time.sleep(0.001)

    def fails():
        begun.wait()
        raise KeyboardInterrupt

    for functions in ([runs, fails], [fails, runs]):
        begun.clear()
        with pytest.raises(KeyboardInterrupt):
            parallel(functions, 2)
    check_stopped()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_after_use():
    parallel([int] * 4, 2)
    child = os.fork()
    if child == 0:
        os._exit(0 if parallel([int] * 4, 2) == [0] * 4 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_single_blas_is_counted():
    from threadpoolctl import threadpool_info

    def blas():
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    before = blas()
    with single_blas():
        with single_blas():
            assert set(blas()) <= {1}
        assert set(blas()) <= {1}
    assert blas() == before
