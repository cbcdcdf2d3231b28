"""What cells took in earlier builds: what a plan costs, what runs first, and what fits into memory is told from it."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from compute.engine.cell import Cell
from compute.engine.store import Store


class _Costs(NamedTuple):
    """Seconds and bytes: of each key's newest result, and of each function its mean seconds and most memory."""

    of_key: dict[str, tuple[float, int]]
    of_function: dict[str, tuple[float, int]]


class History:
    """Expected costs of cells, from the results that the store remembers; read when it is first asked."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def seconds(self, cell: Cell) -> float | None:
        """Return what the cell took under another trace, else the mean of its function; None if never seen."""
        found = self._expected(cell)
        return found and found[0]

    def memory(self, cell: Cell) -> int | None:
        """Return the bytes that the cell took under another trace, else the most of its function, else None."""
        found = self._expected(cell)
        return found and found[1]

    def _expected(self, cell: Cell) -> tuple[float, int] | None:
        costs = self._costs
        return costs.of_key.get(cell.key) or costs.of_function.get(cell.function.name)

    @cached_property
    def _costs(self) -> _Costs:
        of_key: dict[str, tuple[float, int]] = {}
        sums: dict[str, tuple[int, float, int]] = {}
        for key, function, seconds, memory in self.store.costs():
            of_key[key] = seconds, memory
            count, total, most = sums.get(function, (0, 0.0, 0))
            sums[function] = count + 1, total + seconds, max(most, memory)
        return _Costs(of_key, {name: (total / count, most) for name, (count, total, most) in sums.items()})
