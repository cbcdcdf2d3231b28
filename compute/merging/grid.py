"""How tensors are cut: into chunks of whole rows to stream, and into grains to sum. Knows shapes alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compute.weights.weights import TensorInfo

GRAIN = 1 << 16
"""Entries that are summed as one, whatever the size of a chunk: so that sums do not depend on it."""

CHUNK = 1 << 20
"""Entries of all sources together in one chunk: 4 MB in fp32, which the cache close to a core can hold."""


@dataclass(frozen=True, slots=True)
class Place:
    """Some whole rows of a tensor."""

    tensor: TensorInfo
    row: int
    rows: int

    @property
    def start(self) -> int:
        """Return the index of the first entry in the flattened tensor."""
        return self.row * self.tensor.columns

    @property
    def size(self) -> int:
        """Count the entries."""
        return self.rows * self.tensor.columns


def places(tensor: TensorInfo, entries: int) -> Iterator[Place]:
    """Cut *tensor* into chunks of about *entries* entries, each of whole grains of whole rows."""
    grain = grain_rows(tensor.columns)
    step = grain * max(1, entries // (grain * max(1, tensor.columns)))
    for row in range(0, tensor.rows, step):
        yield Place(tensor, row, min(step, tensor.rows - row))


def grain_rows(columns: int) -> int:
    """Return how many rows of that many *columns* are summed as one."""
    return max(1, GRAIN // max(1, columns))
