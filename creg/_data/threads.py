"""Threads: how many, the pool that runs kernels, and BLAS kept to one thread meanwhile."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
# OpenBLAS's names of its kernels
WITH_512_BITS = ("SkylakeX", "Cooperlake", "SapphireRapids")


class _Shared:
    """What the threads of this process share; made anew in a forked child, where none lives on."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pool: ThreadPoolExecutor | None = None
        self.blas_holders = 0
        self.blas_controller: Any = None
        self.blas_limiter: Any = None

    def submit(self, function: Callable[[], None], count: int) -> list[Future[None]]:
        """Up to count helpers; fewer while the interpreter shuts down."""
        helpers: list[Future[None]] = []
        with self.lock:
            if self.pool is None:
                self.pool = ThreadPoolExecutor(256, thread_name_prefix="creg")
        with suppress(RuntimeError):
            helpers.extend(self.pool.submit(function) for _ in range(count))
        return helpers

    def controller(self) -> Any:
        """Of the BLAS libraries that are loaded; to be asked for with the lock held."""
        if self.blas_controller is None:
            import scipy.linalg.cython_blas  # noqa: F401  (loads the library to be limited)
            from threadpoolctl import ThreadpoolController

            self.blas_controller = ThreadpoolController()
        return self.blas_controller


_shared = _Shared()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.__init__)  # type: ignore[misc]


def usable_threads(n_threads: int | None = None) -> int:
    """`n_threads`, or where it is None the usable cores, at most OMP_NUM_THREADS."""
    if n_threads is not None:
        return n_threads
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return int(max(1, min(cores, _cgroup_cores(), _environment_limit())))


def _environment_limit() -> float:
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else math.inf


@cache
def _cgroup_cores(root: str = "/") -> float:
    """The cores that the CPU quota of this process's control group amounts to."""
    base = Path(root, "sys/fs/cgroup")
    limit = math.inf
    try:
        lines = Path(root, "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return limit
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            limit = min(limit, _least_quota(base, path))
        elif "cpu" in controllers.split(","):
            limit = min(limit, _least_quota(base / controllers, path))
    return limit


def _least_quota(base: Path, path: str) -> float:
    """The smallest quota, in cores, from the group up to the root of its hierarchy."""
    group = base / path.strip("/")
    folders = [group, *(parent for parent in group.parents if parent.is_relative_to(base))]
    return min(_quota(folder) for folder in folders)


def _quota(folder: Path) -> float:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        return math.ceil(int(quota) / int(period)) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # no such controller, or "max"
        return math.inf


def pieces(count: int, parts: int, multiple: int = 1) -> list[tuple[int, int]]:
    """At most `parts` ranges that cover range(count), of equal size, a multiple of `multiple`."""
    size = -(-count // max(parts, 1))
    size = max(-(-size // multiple) * multiple, 1)
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def parallel(functions: Sequence[Callable[[], T]], n_threads: int) -> list[T]:
    """The results of all functions, run by at most n_threads threads, the caller's among them.

    The caller works through the same queue as its helpers and waits for none that has not
    begun, so calls may be nested.  The first exception stops what has not begun and is raised
    once everything that runs has ended.
    """
    if n_threads <= 1 or len(functions) <= 1:
        return [function() for function in functions]
    queue = _Queue(functions)
    helpers = _shared.submit(queue.run, min(n_threads, len(functions)) - 1)
    try:
        queue.run()
    except BaseException:
        queue.stop()
        raise
    finally:
        _settle(helpers, queue.stop)
    if queue.errors:
        raise queue.first_error()
    return [queue.results[k] for k in range(len(functions))]


class StoppedError(Exception):
    """Another function of the same `parallel` has failed, or was interrupted."""


_running = threading.local()


def check_stopped() -> None:
    """To be called now and then by what runs long: signals reach the main thread alone.

    Raises
    ------
    StoppedError
        Where the work under way on this thread is not wanted any more.
    """
    queue: _Queue | None = getattr(_running, "queue", None)
    while queue is not None:
        if queue.stopped:
            raise StoppedError
        queue = queue.outer


class _Queue:
    """Functions handed out one at a time, in order."""

    def __init__(self, functions: Sequence[Callable[[], Any]]) -> None:
        self._functions = functions
        self._tasks = iter(range(len(functions)))
        self._lock = threading.Lock()
        self.outer: _Queue | None = getattr(_running, "queue", None)
        self.stopped = False
        self.results: dict[int, Any] = {}
        self.errors: dict[int, BaseException] = {}

    def _next(self) -> int | None:
        with self._lock:
            return next(self._tasks, None)

    def stop(self) -> None:
        self.stopped = True
        with self._lock:
            self._tasks = iter(range(0))

    def run(self) -> None:
        before = getattr(_running, "queue", None)
        _running.queue = self
        try:
            self._work()
        finally:
            _running.queue = before

    def first_error(self) -> BaseException:
        """Of the function that comes first, but for those that were stopped by another's."""
        own = [k for k, error in self.errors.items() if not isinstance(error, StoppedError)]
        return self.errors[min(own or self.errors)]

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                self.results[task] = self._functions[task]()
            except BaseException as error:
                self.errors[task] = error
                self.stop()


def _settle(helpers: list[Future[None]], stop: Callable[[], None]) -> None:
    """Wait for the helpers that have begun, through interrupts: they use the caller's arrays.

    An interrupt makes them `stop`.
    """
    running = [helper for helper in helpers if not helper.cancel()]
    interrupt: KeyboardInterrupt | None = None
    while running:
        try:
            running = list(wait(running).not_done)
        except KeyboardInterrupt as error:
            interrupt = error
            stop()
    if interrupt is not None:
        raise interrupt


@contextmanager
def helpers(
    function: Callable[[], None], count: int, release: Callable[[], None]
) -> Iterator[None]:
    """Up to count threads run a function that ends once `release` has been called, at the end."""
    started = _shared.submit(function, count)
    try:
        yield
    finally:
        release()
        _settle(started, release)


@contextmanager
def single_blas() -> Iterator[None]:
    """BLAS on one thread inside the context; the limit is the whole process's, so holders count.

    Entering costs about 12 us, 1 ms the first time.
    """
    with _shared.lock:
        if _shared.blas_holders == 0:
            _shared.blas_limiter = _shared.controller().limit(limits=1, user_api="blas")
        _shared.blas_holders += 1
    try:
        yield
    finally:
        with _shared.lock:
            _shared.blas_holders -= 1
            if _shared.blas_holders == 0:
                _shared.blas_limiter.restore_original_limits()


@cache
def blas_may_be_wide() -> bool:
    """Whether a BLAS that is loaded has kernels of 512-bit vectors, or does not tell."""
    with _shared.lock:
        loaded = [lib for lib in _shared.controller().info() if lib["user_api"] == "blas"]
    return any(lib.get("architecture", WITH_512_BITS[0]) in WITH_512_BITS for lib in loaded)
