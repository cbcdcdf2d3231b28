"""Computes a task that arrived from another machine, if this process has the same code as the sender.

Runs in a worker of a cluster, which may have started before the project was edited, or lie in another checkout.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import psutil

from compute.engine import stores
from compute.engine.code import Code
from compute.engine.executors import ONE_THREAD, Outcome, Stopped
from compute.engine.store import DamagedResult
from compute.engine.work import Task, run


class OtherCodeError(Exception):
    """This process has other code than the sender; its words name what differs."""


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
    modules = {name.partition(":")[0] for name in code if ":" in name}
    here = loaded()
    here.check(modules)  # before the task imports them
    try:
        task: Task = pickle.loads(payload)
    except (ImportError, AttributeError, TypeError) as error:
        raise OtherCodeError(f"{type(error).__name__}: {error}") from error
    found = here.code.parts(task.cell)
    here.check(modules)
    if differing := sorted(name for name in {*code, *found} if code.get(name) != found.get(name)):
        raise OtherCodeError(", ".join(differing[:3]) + (" …" if len(differing) > 3 else ""))
    return task


def _served(task: Task) -> Outcome:
    """Compute a task, unless another sender's task, or a worker that died too late, left its result."""
    os.environ.update(task.environment)
    if not stores.environment() and not task.root.is_dir():
        raise Stopped(f"a worker has no folder {task.root}: the store must lie where all machines see it, or at a URL")
    known = None if task.anew or task.into else stores.at(task.root).find(task.cell.key, task.trace.id)
    return known or run(task)


State = tuple[int, ...]


class Loaded:
    """The project's code as this process has it, whatever the files have become since."""

    def __init__(self, since: float) -> None:
        self.code = Code()
        self._since = since
        """When the process started, in seconds since the epoch."""
        self._seen: dict[str, State] = {}
        self._sure: set[str] = set()
        """Modules that were imported as they were read for the fingerprint."""

    def check(self, modules: Iterable[str]) -> None:
        """Raise OtherCodeError if a module's file changed between its reading for the fingerprint and its import."""
        for module in sorted(set(modules) - self._sure):
            path = self.code.modules.file(module)
            if path is not None and self._changed(module, path):
                raise OtherCodeError(f"{module}, which was edited")

    def _changed(self, module: str, path: Path) -> bool:
        """Whether the file is another than when this was first asked, which was before it was read."""
        status = path.stat()
        now = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        imported = module in sys.modules
        if module not in self._seen:
            self._seen[module] = now
            return imported and status.st_ctime > self._since
        if self._seen[module] != now:
            return True
        if imported:
            self._sure.add(module)
        return False


@cache
def loaded() -> Loaded:
    """Return what this process knows of its own code."""
    return Loaded(psutil.Process().create_time())
