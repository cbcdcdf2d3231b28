"""Sees to it that a task is computed by the code that it was planned with, or not at all.

A project may be edited while a build runs. A process that imported its modules before goes on with the code that
was planned; one that imports them afterwards would compute something else, and commit it under the wrong trace.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from compute import STARTED
from compute.engine.cell import Cell
from compute.engine.code import Code
from compute.engine.files import Remembered
from compute.engine.record import Record
from compute.engine.store import Failure
from compute.engine.work import Task, run
from compute.errors import RecountError, UsageError


class OtherCodeError(RecountError):
    """This process has other code than a task was planned with; its words name what differs."""


State = tuple[int, ...]


class Loaded:
    """The project's code as this process has it, whatever the files have become since."""

    def __init__(self, since: float, remembered: Remembered | None = None) -> None:
        self.code = Code(remembered)
        self._since = since
        """Seconds since the epoch: no module of the project was imported before."""
        self._seen: dict[str, State] = {}
        self._sure: set[str] = set()
        """Modules that were imported as they were read for the fingerprint."""

    def check(self, modules: Iterable[str]) -> None:
        """Raise OtherCodeError if a module's file changed between its reading for the fingerprint and its import."""
        for module in sorted(set(modules) - self._sure):
            path = self.code.modules.file(module)
            if path is not None and self._changed(module, path):
                raise OtherCodeError(f"{module}, which was edited")

    def compare(self, cell: Cell, code: Mapping[str, str]) -> None:
        """Raise OtherCodeError, naming the first definitions that differ, if the code here is not *code*."""
        found = self.code.parts(cell)
        if differing := sorted(name for name in {*code, *found} if code.get(name) != found.get(name)):
            raise OtherCodeError(", ".join(differing[:3]) + (" …" if len(differing) > 3 else ""))

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
def loaded(index: Path | None = None) -> Loaded:
    """Return what this process knows of its own code; *index* has what others read off unchanged files."""
    return Loaded(STARTED, Remembered(index))


def modules_of(code: Mapping[str, str]) -> set[str]:
    """Return the modules among the parts of a trace."""
    return {name.partition(":")[0] for name in code if ":" in name}


def run_as_planned(task: Task) -> Record | Failure:
    """Compute a task as `work.run` does; where its code was edited since it was planned, it fails instead."""
    return guarded(task, loaded(task.root / "index" / "code.json"))


def guarded(task: Task, here: Loaded) -> Record | Failure:
    """Compute a task if the code *here* is, and stays until the result is committed, what it was planned with."""

    def check() -> None:
        try:
            here.check(modules_of(task.trace.code))
            here.compare(task.cell, task.trace.code)
        except OtherCodeError as error:
            raise UsageError(f"the code changed while the build ran ({error}); build again") from None

    return run(task, check)
