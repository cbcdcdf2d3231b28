"""What a translation may look at: inner products of adapters, group by group. Knows no adapter and no method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compute.adapters.adapter import Place

Floats = NDArray[np.float64]

Space = Literal["factor", "b", "delta"]
"""What an adapter is compared and combined by: A and B each, B alone (A is then the anchors' mean), or ΔW = s B A,
which does not change where the factors do, (B G, G⁻¹ A)."""


class Group(NamedTuple):
    """One tensor of an adapter: where it stands and which it is, A, B or delta."""

    place: Place
    part: Literal["A", "B", "delta"]


@dataclass(frozen=True)
class Grams:
    """Inner products of the adapters of one model, a matrix a group.

    `tasks` names the adapters in the order of rows and columns; `values` is [groups, tasks, tasks], float64.
    """

    tasks: tuple[str, ...]
    groups: tuple[Group, ...]
    values: Floats


@dataclass(frozen=True)
class Problem:
    """One adapter of model X to be translated to model Y, by anchors: tasks with adapters on both models.

    With n anchors, X's groups gx and Y's groups gy; all inner products are float64 and not centred:

    - `anchors`: names of the anchors, in the order of all that follows; `domains` of each; `domain` of the task.
    - `x` [gx, n, n] among the anchors on X, `query` [gx, n] of the task's adapter on X with the anchors there,
      `norm` [gx] of the task's adapter with itself.
    - `y` [gy, n, n] among the anchors on Y. The task's own adapter on Y plays no part.
    - `match` [gy]: the group of X that stands for each group of Y.
    - `truth` [gy, n], of the task's own adapter on Y with the anchors there, and `size` [gy], of it with itself: for
      ceilings and diagnostics alone; None for methods that do not ask for it.
    - `seed`: of whatever a method draws at random.
    """

    anchors: tuple[str, ...]
    domains: tuple[str, ...]
    domain: str
    x: Floats
    query: Floats
    norm: Floats
    y: Floats
    match: NDArray[np.int64]
    seed: int = 0
    truth: Floats | None = None
    size: Floats | None = None

    def __len__(self) -> int:
        """Count the anchors."""
        return len(self.anchors)

    @property
    def groups(self) -> int:
        """Count the groups of Y, which weights are wanted for."""
        return len(self.match)

    def restricted(self, chosen: NDArray[np.int64]) -> Problem:
        """Return the problem with the anchors at the places *chosen* alone."""
        return replace(
            self,
            anchors=tuple(self.anchors[place] for place in chosen),
            domains=tuple(self.domains[place] for place in chosen),
            x=self.x[:, chosen][:, :, chosen],
            query=self.query[:, chosen],
            y=self.y[:, chosen][:, :, chosen],
            truth=None if self.truth is None else self.truth[:, chosen],
        )
