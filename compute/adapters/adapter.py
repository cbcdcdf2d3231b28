"""A LoRA adapter as plain arrays. Knows no file, no network and no other adapter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Factors:
    """The LoRA of one module: ΔW = scale · B A (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    `a` is [rank, in], `b` is [out, rank]; `scale` is α/r, or α/√r where rank-stabilised.
    """

    a: Floats
    b: Floats
    scale: float

    @property
    def rank(self) -> int:
        """Count the rows of A."""
        return len(self.a)

    def delta(self) -> Floats:
        """Return ΔW [out, in]. Only for small modules: nothing here needs it at the size of real models."""
        return np.asarray(self.scale * (self.b @ self.a), np.float32)


class Place(NamedTuple):
    """Where a module stands: its layer, counted from 0, and what it is there, as ``self_attn.q_proj``."""

    layer: int
    kind: str


@dataclass(frozen=True)
class Adapter:
    """The LoRAs of all adapted modules, by the module's name in the model, in the order of layers."""

    modules: Mapping[str, Factors]

    @cached_property
    def places(self) -> dict[Place, str]:
        """The name of the module at each place, sorted by layer and kind."""
        return dict(sorted((place_of(name), name) for name in self.modules))

    def __getitem__(self, place: Place) -> Factors:
        return self.modules[self.places[place]]


def place_of(module: str) -> Place:
    """Read layer and kind off a module's name, as ``model.layers.3.self_attn.q_proj``; ValueError without a layer."""
    found = re.search(r"\.(\d+)\.(.+)$", module)
    if not found:
        raise ValueError(f"{module!r} names no layer: expected a name such as model.layers.0.self_attn.q_proj")
    return Place(int(found[1]), found[2])


def to_tree(adapter: Adapter) -> dict[str, Any]:
    """Turn an adapter into a tree of plain values whose leaves may be arrays, as the store keeps it."""
    return {name: {"a": one.a, "b": one.b, "scale": one.scale} for name, one in adapter.modules.items()}


def from_tree(tree: Mapping[str, Any]) -> Adapter:
    """Build the adapter that `to_tree` turned into *tree*."""
    return Adapter({name: Factors(one["a"], one["b"], one["scale"]) for name, one in tree.items()})
