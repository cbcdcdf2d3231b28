"""What cells that run side by side on this machine may take together: memory, and things that there are few of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from compute.engine.cell import Cell
from compute.engine.history import History

GROUPS = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Return the bytes that can be taken without swapping, on this machine and in this container or batch job."""
    import psutil

    return min([int(psutil.virtual_memory().available), *group_memory(GROUPS, _own_group())])


def group_memory(groups: Path, own: str) -> list[int]:
    """Return what is left to the control group *own*, and to each of those around it, that has a limit."""
    left = []
    folder = groups / own.strip("/")
    for group in (folder, *folder.parents):
        with suppress(OSError, ValueError):  # a group without a limit says "max"
            most, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
            facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            left.append(most - used + int(facts.get("inactive_file", 0)))
        if group == groups:
            break
    return left


def _own_group() -> str:
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                return line[3:]
    return ""


def taken_memory() -> int:
    """Return the bytes that the processes below this one hold by now."""
    import psutil

    total = 0
    for child in psutil.Process().children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.Error:
            continue
    return total


class Limits:
    """Says whether a cell may start beside those that run. One alone always may."""

    def __init__(
        self,
        history: History,
        resources: Mapping[str, float] | None = None,
        *,
        available: Callable[[], int] = available_memory,
        taken: Callable[[], int] = taken_memory,
    ) -> None:
        """Take how many there are of each resource; of those not named there is one."""
        self.history = history
        self.resources = dict(resources or {})
        self._available = available
        self._taken = taken

    def fits(self, cell: Cell, running: Iterable[Cell]) -> bool:
        """Say whether *cell* may start beside those *running*."""
        beside = list(running)
        return all(self._left(name, need, beside) for name, need in cell.function.resources.items()) and (
            not beside or self._room(cell, beside)
        )

    def _left(self, name: str, need: float, beside: list[Cell]) -> bool:
        used = sum(item.function.resources.get(name, 0) for item in beside)
        return not used or used + need <= self.resources.get(name, 1)

    def _room(self, cell: Cell, beside: list[Cell]) -> bool:
        """Compare the memory that is expected to be taken with what is there; what is taken already counts once."""
        need = self.history.memory(cell)
        if not need:
            return True
        need += sum(self.history.memory(item) or 0 for item in beside)
        available = self._available()
        return need <= available or need - self._taken() <= available
