"""Which cell runs next: those whose inputs are there, the longest way to the end first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from heapq import heappop, heappush

from compute.engine.cell import Cell

LOOK = 8
"""So many cells of one kind are tried in a row for one that fits, before those of other kinds are."""

FIRST = (float("-inf"), -1)

Urgency = tuple[float, int]
"""The negative of a cell's path (see `paths`), then its place in the plan."""
Entry = tuple[Urgency, str, Cell]


def paths(cells: Sequence[Cell], seconds: Callable[[Cell], float | None]) -> dict[str, float]:
    """Return by key the expected seconds from each cell's start to the end of the last that needs it.

    *cells* stand after their inputs. What was never seen is taken to last as long as the others on average.
    """
    known = {cell.key: found for cell in cells if (found := seconds(cell)) is not None}
    usual = sum(known.values()) / len(known) if known else 1.0
    after: dict[str, float] = {}
    whole: dict[str, float] = {}
    for cell in reversed(cells):
        whole[cell.key] = after.get(cell.key, 0.0) + known.get(cell.key, usual)
        for item in cell.stored_inputs:
            after[item.key] = max(after.get(item.key, 0.0), whole[cell.key])
    return whole


class Schedule:
    """The cells that wait for inputs, and those that are ready, by urgency."""

    def __init__(self, cells: Sequence[Cell], seconds: Callable[[Cell], float | None]) -> None:
        """Know the urgency of *cells*, which stand after their inputs; none of them is in the schedule yet."""
        whole = paths(cells, seconds)
        self._urgency = {cell.key: (-whole[cell.key], place) for place, cell in enumerate(cells)}
        self._missing: dict[str, int] = {}
        self._waiters: dict[str, list[Cell]] = {}
        self._ready: dict[object, list[Entry]] = {}
        """A heap for each kind of need, so that thousands that wait for one device do not hide the rest."""

    def __bool__(self) -> bool:
        """Whether any cell waits or is ready."""
        return bool(self._missing or self._ready)

    def add(self, cell: Cell, missing: Collection[str] = (), *, first: bool = False) -> None:
        """Take a cell in, which waits for the results of the keys that are *missing*."""
        if missing:
            self._missing[cell.key] = len(missing)
            for key in missing:
                self._waiters.setdefault(key, []).append(cell)
        else:
            self._push(cell, FIRST if first else self._urgency.get(cell.key, FIRST))

    def arrived(self, key: str) -> None:
        """Tell those that waited for *key* that its result is there."""
        for cell in self._waiting_for(key):
            self._missing[cell.key] -= 1
            if not self._missing[cell.key]:
                del self._missing[cell.key]
                self._push(cell, self._urgency.get(cell.key, FIRST))

    def lost(self, key: str) -> list[Cell]:
        """Let those go that waited for *key*, whose result will not come, and return them."""
        cells = list(self._waiting_for(key))
        for cell in cells:
            del self._missing[cell.key]
        return cells

    def take(self, fits: Callable[[Cell], bool] = lambda cell: True) -> Cell | None:
        """Take the most urgent ready cell that *fits* out; None if there is none."""
        for kind, heap in sorted(self._ready.items(), key=lambda item: item[1][0][:2]):
            passed: list[Entry] = []
            while heap and len(passed) < LOOK and not fits(heap[0][2]):
                passed.append(heappop(heap))
            found = heappop(heap)[2] if heap and len(passed) < LOOK else None
            for entry in passed:
                heappush(heap, entry)
            if not heap:
                del self._ready[kind]
            if found:
                return found
        return None

    def _waiting_for(self, key: str) -> Iterator[Cell]:
        return (cell for cell in self._waiters.pop(key, ()) if cell.key in self._missing)

    def _push(self, cell: Cell, urgency: Urgency) -> None:
        kind = tuple(sorted(cell.function.resources.items()))
        heappush(self._ready.setdefault(kind, []), (urgency, cell.key, cell))
