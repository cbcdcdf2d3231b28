"""An observer of builds that says nothing."""

from __future__ import annotations

from compute.engine.cell import Cell
from compute.engine.record import Record
from compute.engine.store import Failure


class Silent:
    def started(self, cell: Cell) -> None:
        pass

    def finished(self, cell: Cell, record: Record) -> None:
        pass

    def reused(self, cell: Cell, record: Record) -> None:
        pass

    def failed(self, cell: Cell, failure: Failure) -> None:
        pass

    def blocked(self, cell: Cell, by: Cell) -> None:
        pass

    def elsewhere(self, cell: Cell) -> None:
        pass

    def noticed(self, text: str) -> None:
        pass
