"""Shows a build while it runs: a live display on a terminal, one plain line an event elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from compute.engine.cell import Cell
from compute.engine.record import Record
from compute.engine.store import Failure

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def duration(seconds: float) -> str:
    """Write a duration as people read it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Lines:
    """One plain line an event."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self.total = total
        self.stream = stream
        self.done = 0
        self.began = time.monotonic()

    def started(self, cell: Cell) -> None:
        """Say nothing: a line when it is done is enough."""

    def finished(self, cell: Cell, record: Record) -> None:
        """Report a computed cell with its seconds."""
        self._line(f"computed {cell.name} in {duration(record.cost.seconds)}")

    def reused(self, cell: Cell, record: Record) -> None:
        """Report a cell that need not run after all."""
        self._line(f"unchanged {cell.name}: its inputs came out as before")

    def failed(self, cell: Cell, failure: Failure) -> None:
        """Report a failure with its error."""
        self._line(f"FAILED {cell.name}: {failure.error} (attempt {failure.attempts})")

    def blocked(self, cell: Cell, by: Cell) -> None:
        """Report a cell that cannot run."""
        self._line(f"blocked {cell.name} by {by.name}")

    def _line(self, text: str) -> None:
        self.done += 1
        left = (time.monotonic() - self.began) / self.done * (self.total - self.done)
        about = f", about {duration(left)} left" if self.done < self.total else ""
        self.stream.write(f"[{self.done}/{self.total}{about}] {text}\n")
        self.stream.flush()


class Live(Lines):
    """A bar with rate and time left, the cells at work beneath it, failures above."""

    def __init__(self, total: int, stream: TextIO, progress: Progress) -> None:
        super().__init__(total, stream)
        self.progress = progress
        self.whole = progress.add_task("cells", total=total, rate="")
        self.at_work: dict[str, TaskID] = {}

    def started(self, cell: Cell) -> None:
        """Show the cell at work."""
        self.at_work[cell.key] = self.progress.add_task(f"  {cell.name}", total=None, rate="")

    def finished(self, cell: Cell, record: Record) -> None:
        """Take the cell off the display."""
        self._step(cell)

    def reused(self, cell: Cell, record: Record) -> None:
        """Count the cell."""
        self._step(cell)

    def failed(self, cell: Cell, failure: Failure) -> None:
        """Leave a line above the display."""
        self.progress.console.print(f"FAILED {cell.name}: {failure.error}", style="red", markup=False)
        self._step(cell)

    def blocked(self, cell: Cell, by: Cell) -> None:
        """Count the cell."""
        self._step(cell)

    def _step(self, cell: Cell) -> None:
        self.done += 1
        if cell.key in self.at_work:
            self.progress.remove_task(self.at_work.pop(cell.key))
        rate = self.done / max(time.monotonic() - self.began, 1e-9)
        self.progress.update(self.whole, completed=self.done, rate=f"{rate:.1f} cells/s")


@contextmanager
def display(total: int) -> Iterator[Lines]:
    """Give an observer for *total* cells, fit for where standard error goes."""
    if total == 0 or not sys.stderr.isatty() or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        yield Lines(total, sys.stderr)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Live(total, sys.stderr, progress)
