"""DARE: drop entries of a task vector at random and rescale the rest. Knows no merge method.

The fate of an entry is decided by (seed, source, tensor, index) alone: whichever other sources and tensors there
are, however the tensor is cut, and on which device. What is compiled is imported where it is needed: that takes longer
than merging a small model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from compute.merging.arrays import Array, is_numpy
from compute.merging.grid import Place, grain_rows

Rescale = Literal["density", "norm"]
"""What is kept is divided by the density, as in the paper, or scaled to the sum of magnitudes there was, as in
mergekit.
"""


@dataclass(frozen=True)
class Dare:
    """Drop each entry of every task vector with probability *drop_rate* (Yu et al. 2024).

    https://arxiv.org/abs/2311.03099, equations 2 and 3. Its density, in the words of other tools, is
    1 - drop_rate. With `rescale` "density" what is kept is divided by it, so that the mean over seeds is the
    task vector, as in the authors' code and PEFT; with "norm" each tensor of each source is scaled so that its sum of
    magnitudes is that before, as mergekit does, which differs where a tensor is small.

    Raises ValueError unless 0 <= drop_rate < 1.
    """

    drop_rate: float
    seed: int = 0
    rescale: Rescale = "density"

    def __post_init__(self) -> None:
        """Refuse a rate that leaves nothing."""
        if not 0 <= self.drop_rate < 1:
            raise ValueError(f"drop rate is the share of entries dropped, in [0, 1), not {self.drop_rate}")

    def apply(self, values: Array, place: Place, names: tuple[str, ...], factors: NDArray[Any] | None) -> Array:
        """Return the task vectors [N, rows, columns] of the sources *names* after dropping.

        *values* may be changed. *factors* [N] rescale what is kept; None: divide by the density.
        """
        rows = [self._row(row, place, name) for row, name in zip(values, names, strict=True)]
        if not is_numpy(values):
            import torch

            values = torch.stack(rows)
        if factors is not None:
            for row, factor in zip(values, factors, strict=True):
                row *= float(factor)
        return values

    def _row(self, row: Array, place: Place, name: str) -> Array:
        from compute.merging.lots import drop, dropped, stream

        key = stream(self.seed, name, place.tensor.name)
        density = 1 - self.drop_rate if self.rescale == "density" else 1.0
        if not is_numpy(row):
            return dropped(row, key, place.start, self.drop_rate, density)
        drop(row.reshape(-1), key, place.start, self.drop_rate, density)
        return row

    def magnitudes(self, values: Array, place: Place, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Return the sums of magnitudes of each grain of *values* [N, rows, columns]: [grains, before and after, N]."""
        step = grain_rows(place.tensor.columns)
        return np.array([
            [self._sums(row[first : first + step], place.start + first * place.tensor.columns, place.tensor.name, name)
             for row, name in zip(values, names, strict=True)]
            for first in range(0, place.rows, step)
        ]).transpose(0, 2, 1)  # fmt: skip

    def _sums(self, grain: Array, start: int, tensor: str, name: str) -> tuple[float, float]:
        from compute.merging.lots import dropped, magnitudes, stream

        key = stream(self.seed, name, tensor)
        if is_numpy(grain):
            return magnitudes(grain.reshape(-1), key, start, self.drop_rate)
        size, kept = grain.abs().double(), dropped(grain, key, start, self.drop_rate, 1.0).abs().double()
        return float(size.sum()), float(kept.sum())


def norm_factors(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factors [N] that give sums of magnitudes *after* the size *before*; 1 where nothing is left."""
    return np.where(after > 0, before / np.where(after > 0, after, 1), 1.0)
