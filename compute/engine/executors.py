"""Where tasks run: in this process, or in local worker processes. Knows tasks, not what they compute."""

from __future__ import annotations

import os
import threading
import time
import warnings
from concurrent.futures import BrokenExecutor, Future
from typing import Any, Protocol

from compute.engine.record import Record
from compute.engine.store import DamagedResult, Failure
from compute.engine.work import Task, run

Outcome = Record | Failure

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Workers side by side compute on one thread each: two threads on two busy cores are far slower."""


class Executor(Protocol):
    """Runs tasks: `submit` starts one, `width` says how many at a time, `close` ends the workers."""

    width: int

    def submit(self, task: Task) -> Future[Outcome]:
        """Start a task and return its future outcome.

        The future raises DamagedResult for an input that must be computed again, and BrokenExecutor if
        the worker died.
        """

    def close(self) -> None:
        """End what was started."""


class Serial:
    """Runs each task at once, in this process."""

    width = 1

    def submit(self, task: Task) -> Future[Outcome]:
        """Compute now; the future is done when this returns."""
        future: Future[Outcome] = Future()
        try:
            future.set_result(run(task))
        except DamagedResult as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing to end."""


class Processes:
    """Runs tasks in *jobs* worker processes of joblib's loky, one thread each."""

    def __init__(self, jobs: int) -> None:
        self.width = jobs
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
            future: Future[Outcome] = self._pool.submit(run, task)
        except BrokenExecutor:
            self._pool = self._started()
            future = self._pool.submit(run, task)
        return future

    def close(self) -> None:
        """End the workers, also in the middle of a task."""
        self._pool.shutdown(wait=True, kill_workers=True)


def _end_with(parent: int) -> None:
    """End this worker soon after its parent: one that was killed could not tell it to."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def local(jobs: int) -> Executor:
    """Return the executor for *jobs* computations at a time on this machine."""
    if jobs == 1:
        os.environ.update(ONE_THREAD)
        return Serial()
    return Processes(jobs)
