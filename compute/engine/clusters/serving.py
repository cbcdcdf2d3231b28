"""Computes a task that arrived from another machine, if this process has the same code as the sender.

Runs in a worker of a cluster, which may have started before the project was edited, or lie in another checkout.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping

from compute.engine import stores
from compute.engine.executors import ONE_THREAD, Outcome, Stopped
from compute.engine.loaded import OtherCodeError, guarded, loaded, modules_of
from compute.engine.store import DamagedResult
from compute.engine.work import Task

Answer = Outcome | DamagedResult | Stopped | OtherCodeError


def serve(payload: bytes, code: Mapping[str, str], threads: int) -> bytes:
    """Compute the pickled task *payload*, planned under *code*; return an Answer, pickled, and raise none.

    *threads* is how many tasks this process takes at a time: cells share its environment, so one at most.
    """
    if threads != 1:
        return pickle.dumps(Stopped(f"a worker has {threads} threads; start it with --nworkers {threads} --nthreads 1"))
    os.environ.update(ONE_THREAD, TOKENIZERS_PARALLELISM="false")
    return pickle.dumps(_answer(payload, code))


def _answer(payload: bytes, code: Mapping[str, str]) -> Answer:
    try:
        return _served(_checked(payload, code))
    except (DamagedResult, Stopped, OtherCodeError) as error:
        error.__context__ = error.__cause__ = None
        return error.with_traceback(None)  # its words travel, not what led to it


def _checked(payload: bytes, code: Mapping[str, str]) -> Task:
    """Read a task; OtherCodeError unless what this process has imported, or will, is what *code* says."""
    modules = modules_of(code)
    here = loaded()
    here.check(modules)  # before the task imports them
    try:
        task: Task = pickle.loads(payload)
    except (ImportError, AttributeError, TypeError) as error:
        raise OtherCodeError(f"{type(error).__name__}: {error}") from error
    here.compare(task.cell, code)
    here.check(modules)
    return task


def _served(task: Task) -> Outcome:
    """Compute a task, unless another sender's task, or a worker that died too late, left its result."""
    os.environ.update(task.environment)
    if not stores.environment() and not task.root.is_dir():
        raise Stopped(f"a worker has no folder {task.root}: the store must lie where all machines see it, or at a URL")
    known = None if task.anew or task.into else stores.at(task.root).find(task.cell.key, task.trace.id)
    return known or guarded(task, loaded())
