"""What a method that makes an adapter itself may look at, beside the inner products. Knows no method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compute.adapters.adapter import Adapter

Weight = Callable[[str], NDArray[np.float32]]
"""Reads the weight [out, in] of a base model's module by the module's name, as model.layers.0.self_attn.q_proj."""


@dataclass(frozen=True)
class Material:
    """The adapters behind a problem: *query* of the task on X, *anchors* on Y in the problem's order, base weights.

    `base_x` and `base_y` are None unless the method needs them.
    """

    query: Adapter
    anchors: Mapping[str, Adapter]
    base_x: Weight | None = None
    base_y: Weight | None = None
