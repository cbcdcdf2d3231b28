"""What a plan will cost and how long a build will still take, from what its cells took in earlier builds and now."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from compute.engine.cell import Cell
from compute.engine.schedule import Schedule, paths

Seconds = Callable[[Cell], float | None]


def duration(seconds: float) -> str:
    """Write a duration as people read it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


@dataclass(frozen=True)
class Price:
    """What a plan costs at most: a cell whose inputs come out as before need not run."""

    cells: int
    unknown: int
    """Cells whose function was never seen at work: they count nothing, so that the rest is a lower bound."""
    work_seconds: float
    """Of all cells together."""
    path_seconds: float
    """Of the longest chain of cells that wait for each other: no number of jobs is faster."""
    wall_seconds: float
    """From the first to the last cell at this number of jobs."""
    jobs: int

    def __str__(self) -> str:
        """Say it in one line."""
        cells = f"{self.cells} cell{'' if self.cells == 1 else 's'} would run"
        if self.unknown == self.cells:
            return f"{cells}, none of a kind that ran before" if self.cells else cells
        least = f", {self.unknown} of them of unknown cost, the rest" if self.unknown else ""
        times = f"{duration(self.work_seconds)} of work, {duration(self.path_seconds)} on the longest path"
        return f"{cells}{least}: {times}, {duration(self.wall_seconds)} with --jobs {self.jobs}"


def price(cells: Sequence[Cell], seconds: Seconds, jobs: int) -> Price:
    """Price *cells*, which stand after their inputs, by the expected seconds of each."""
    known = {cell.key: found for cell in cells if (found := seconds(cell)) is not None}
    longest = max(paths(cells, lambda cell: known.get(cell.key, 0.0)).values(), default=0.0)
    wall = _wall(cells, known, jobs)
    return Price(len(cells), len(cells) - len(known), sum(known.values()), longest, wall, jobs)


def _wall(cells: Sequence[Cell], known: dict[str, float], jobs: int) -> float:
    """Carry the plan out in thought: each job takes what the schedule gives it."""
    schedule = Schedule(cells, lambda cell: known.get(cell.key, 0.0))
    planned = {cell.key for cell in cells}
    for cell in cells:
        schedule.add(cell, [item.key for item in cell.stored_inputs if item.key in planned])
    now, running = 0.0, list[tuple[float, str]]()
    while schedule or running:
        while len(running) < jobs and (next_cell := schedule.take()):
            heappush(running, (now + known.get(next_cell.key, 0.0), next_cell.key))
        now, done = heappop(running)
        schedule.arrived(done)
    return now


class Forecast:
    """The seconds that are left: of cells with a history by cell, of others by what their function takes now."""

    def __init__(self, cells: Sequence[Cell], seconds: Seconds, *, width: int) -> None:
        """Take the cells, each after its inputs, what they are expected to take, and how many run at a time."""
        self.width = width
        self._known = {cell.key: found for cell in cells if (found := seconds(cell)) is not None}
        self._work = sum(self._known.values())
        self._new = Counter(cell.function.name for cell in cells if cell.key not in self._known)
        self._seen: dict[str, list[float]] = defaultdict(list)
        whole = paths(cells, lambda cell: self._known.get(cell.key, 0.0))
        self._paths = sorted(((path, key) for key, path in whole.items()))
        self._done: set[str] = set()

    def took(self, cell: Cell, seconds: float | None) -> None:
        """Take a cell off; *seconds* is None if it was not computed."""
        self._done.add(cell.key)
        if cell.key in self._known:
            self._work -= self._known.pop(cell.key)
        else:
            self._new[cell.function.name] -= 1
        if seconds is not None:
            self._seen[cell.function.name].append(seconds)

    def __str__(self) -> str:
        """Say how long the rest will take; at least so long if some function was never seen at work."""
        new = +self._new
        if not new and not self._known:
            return ""
        seen = {name: self._seen[name] for name in new if name in self._seen}
        work = self._work + sum(new[name] * sum(took) / len(took) for name, took in seen.items())
        word = "about" if len(seen) == len(new) else "more than"
        return f"{word} {duration(max(work / self.width, self._longest()))} left"

    def _longest(self) -> float:
        """Return the longest path among the cells that are left: those at its beginning end first."""
        while self._paths and self._paths[-1][1] in self._done:
            self._paths.pop()
        return self._paths[-1][0] if self._paths else 0.0
