"""How long a build will still take: from what cells of the same function took, now or in earlier builds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from compute.engine.cell import Cell
from compute.engine.record import Record


def duration(seconds: float) -> str:
    """Write a duration as people read it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Forecast:
    """The cells that are left by function, and the mean seconds of each function."""

    def __init__(self, cells: Iterable[Cell], history: Iterable[Record], *, width: int) -> None:
        self.left = Counter(cell.function.name for cell in cells)
        self.width = width
        self._seconds: dict[str, list[float]] = defaultdict(list)
        for record in history:
            self._seconds[record.function].append(record.cost.seconds)

    def took(self, cell: Cell, seconds: float | None) -> None:
        """Take a cell off; *seconds* is None if it was not computed."""
        self.left[cell.function.name] -= 1
        if seconds is not None:
            self._seconds[cell.function.name].append(seconds)

    def __str__(self) -> str:
        """Say how long the rest will take; at least so long if some function was never seen at work."""
        known = {name: count for name, count in self.left.items() if count and name in self._seconds}
        if not +self.left:
            return ""
        total = sum(count * sum(self._seconds[name]) / len(self._seconds[name]) for name, count in known.items())
        word = "about" if len(known) == len(+self.left) else "more than"
        return f"{word} {duration(total / self.width)} left"
