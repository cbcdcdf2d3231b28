"""Shows a build while it runs: a live display on a terminal, one plain line an event elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from compute.engine.cell import Cell
from compute.engine.record import Record
from compute.engine.store import Failure
from compute.forecast import Forecast, duration

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID


class Lines:
    """One plain line an event."""

    def __init__(self, total: int, forecast: Forecast, stream: TextIO) -> None:
        self.total = total
        self.forecast = forecast
        self.stream = stream
        self.done = 0
        self.began = time.monotonic()
        self.since = datetime.now(UTC).isoformat(timespec="seconds")

    def started(self, cell: Cell) -> None:
        """Say nothing: a line when it is done is enough."""

    def finished(self, cell: Cell, record: Record) -> None:
        """Report a computed cell with its seconds."""
        self._count(cell, record.cost.seconds, f"computed {cell.name} in {duration(record.cost.seconds)}")

    def reused(self, cell: Cell, record: Record) -> None:
        """Report a cell that need not run after all."""
        why = "another build computed it" if record.when >= self.since else "its inputs came out as before"
        self._count(cell, None, f"unchanged {cell.name}: {why}")

    def failed(self, cell: Cell, failure: Failure) -> None:
        """Report a failure with its error."""
        self._count(cell, None, f"FAILED {cell.name}: {failure.error} (attempt {failure.attempts})")

    def blocked(self, cell: Cell, by: Cell) -> None:
        """Report a cell that cannot run."""
        self._count(cell, None, f"blocked {cell.name} by {by.name}")

    def elsewhere(self, cell: Cell) -> None:
        """Say nothing: a line follows when its result is there."""

    def noticed(self, text: str) -> None:
        """Report what is not as it should be."""
        self.stream.write(f"note: {text}\n")
        self.stream.flush()

    def _count(self, cell: Cell, seconds: float | None, text: str) -> None:
        self.done += 1
        self.forecast.took(cell, seconds)
        self._show(cell, text)

    def _show(self, cell: Cell, text: str) -> None:
        left = f", {self.forecast}" if self.done < self.total else ""
        self.stream.write(f"[{self.done}/{self.total}{left}] {text}\n")
        self.stream.flush()


class Live(Lines):
    """A bar with rate and time left, the cells at work beneath it, failures above."""

    def __init__(self, total: int, forecast: Forecast, stream: TextIO, progress: Progress) -> None:
        super().__init__(total, forecast, stream)
        self.progress = progress
        self.whole = progress.add_task("cells", total=total, count=f"0/{total}", rate="", left="")
        self.at_work: dict[str, TaskID] = {}

    def started(self, cell: Cell) -> None:
        """Show the cell at work."""
        self._at_work(cell, f"  {cell.name}")

    def elsewhere(self, cell: Cell) -> None:
        """Show the cell that another build has at work."""
        self._at_work(cell, f"  {cell.name} (another build)")

    def noticed(self, text: str) -> None:
        """Report above the bars what is not as it should be."""
        self.progress.console.print(f"note: {text}", markup=False, highlight=False)

    def _at_work(self, cell: Cell, text: str) -> None:
        self._rest(cell)
        self.at_work[cell.key] = self.progress.add_task(text, total=None, count="", rate="", left="")

    def _rest(self, cell: Cell) -> None:
        if cell.key in self.at_work:
            self.progress.remove_task(self.at_work.pop(cell.key))

    def _show(self, cell: Cell, text: str) -> None:
        if text.startswith("FAILED"):
            self.progress.console.print(text, style="red", markup=False)
        self._rest(cell)
        rate = f"{self.done / max(time.monotonic() - self.began, 1e-9):.1f} cells/s"
        count = f"{self.done}/{self.total}"
        self.progress.update(self.whole, completed=self.done, count=count, rate=rate, left=str(self.forecast))


@contextmanager
def display(total: int, forecast: Forecast) -> Iterator[Lines]:
    """Give an observer for *total* cells, fit for where standard error goes."""
    if total == 0 or not sys.stderr.isatty() or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        yield Lines(total, forecast, sys.stderr)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(*columns(), console=Console(stderr=True), transient=True) as progress:
        yield Live(total, forecast, sys.stderr, progress)


def columns() -> list[ProgressColumn]:
    """Return the columns of the live display."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    shown = ("{task.fields[count]}", "{task.fields[rate]}", "{task.fields[left]}")
    return [TextColumn("{task.description}"), BarColumn(), *map(TextColumn, shown), TimeElapsedColumn()]
