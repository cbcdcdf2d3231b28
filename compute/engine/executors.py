"""Where tasks run: in this process, or in local worker processes. Knows tasks, not what they compute."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Set
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from typing import Any, Protocol

from compute.engine.loaded import run_as_planned
from compute.engine.record import Record
from compute.engine.store import DamagedResult, Failure
from compute.engine.work import Task, run
from compute.errors import RecountError, UsageError, unknown

Outcome = Record | Failure
Compute = Callable[[Task], Outcome]

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Workers side by side compute on one thread each: two threads on two busy cores are far slower."""


class Stopped(RecountError):  # noqa: N818 - it says what happened, as KeyboardInterrupt does
    """The executor cannot go on, and no cell is to blame: the build ends; what was finished is kept."""


class Executor(Protocol):
    """Runs tasks: `submit` starts one, `width` says how many at a time, `close` ends the workers."""

    width: int

    def submit(self, task: Task) -> Future[Outcome]:
        """Start a task and return its future outcome.

        The future raises DamagedResult for an input that must be computed again, and BrokenExecutor if
        the worker died. Stopped, raised here or by the future, ends the build.
        """

    def close(self) -> None:
        """End what was started."""


class Serial:
    """Runs each task at once, in this process."""

    width = 1
    _others: Set[int] | None = None
    """Children of this process that no cell started."""

    def __init__(self, compute: Compute = run) -> None:
        self._compute = compute

    def submit(self, task: Task) -> Future[Outcome]:
        """Compute now; the future is done when this returns. An interrupt ends what the cell started."""
        if self._others is None:
            self._others = _children()
        future: Future[Outcome] = Future()
        try:
            future.set_result(self._compute(task))
        except DamagedResult as error:
            future.set_exception(error)
        except BaseException:
            _end_children(self._others)
            raise
        return future

    def close(self) -> None:
        """Nothing to end."""


class Processes:
    """Runs tasks in *jobs* worker processes of joblib's loky, one thread each."""

    def __init__(self, jobs: int, compute: Compute = run) -> None:
        self.width = jobs
        self._compute = compute
        self._pool = self._started()

    def _started(self) -> Any:
        from joblib.externals.loky import get_reusable_executor

        # A worker that has grown is replaced by a new one between two tasks: nothing that a user should hear of.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        environment = {**ONE_THREAD, "TOKENIZERS_PARALLELISM": "false"}
        return get_reusable_executor(
            max_workers=self.width, timeout=None, env=environment, initializer=_end_with, initargs=(os.getpid(),)
        )

    def submit(self, task: Task) -> Future[Outcome]:
        """Queue the task for a worker; where one has died, all are started anew."""
        try:
            future: Future[Outcome] = self._pool.submit(self._compute, task)
        except BrokenExecutor:
            self._pool = self._started()
            future = self._pool.submit(self._compute, task)
        return future

    def close(self) -> None:
        """End the workers, also in the middle of a task."""
        self._pool.shutdown(wait=True, kill_workers=True)


def _end_with(parent: int) -> None:
    """End this worker, and what its cell started, soon after its parent: one that was killed could not tell it to.

    Ctrl-C reaches all processes of a terminal; the parent alone answers it, and ends the rest.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        _end_children()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _children() -> set[int]:
    import psutil

    return {child.pid for child in psutil.Process().children(recursive=True)}


def _end_children(but: Set[int] = frozenset()) -> None:
    """Kill the processes below this one."""
    for process in _children() - but:
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)


def make(kind: str, jobs: int, scheduler: str = "") -> Executor:
    """Return the executor of a kind, "local" or "dask"; *scheduler* is the address of one of dask's that runs."""
    if kind == "dask":
        from compute.engine.clusters.distributed import Dask

        return Dask(jobs, scheduler)
    if kind != "local":
        raise unknown("executor", kind, ["local", "dask"])
    if scheduler:
        raise UsageError(f"--scheduler {scheduler} is for --executor dask alone: add it, or leave both out")
    return local(jobs)


def local(jobs: int) -> Executor:
    """Return the executor for *jobs* computations at a time on this machine."""
    if jobs == 1:
        os.environ.update(ONE_THREAD)
        return Serial(run_as_planned)
    return Processes(jobs, run_as_planned)
