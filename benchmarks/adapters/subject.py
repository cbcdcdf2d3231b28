"""What is measured: adapters with the shapes of two models of three billion numbers, drawn at random."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from compute.adapters.adapter import Adapter, Factors

RANK, SCALE = 8, 2.0
ANCHORS, HELD_OUT = 24, 6
TASKS = tuple(f"task {number}" for number in range(ANCHORS + HELD_OUT))

KIB = 1024
"""Linux tells ru_maxrss in units of this many bytes."""


@dataclass(frozen=True)
class Shape:
    """Of a model: its layers, its width, and how wide the output of v_proj is."""

    layers: int
    width: int
    values: int


X = Shape(layers=36, width=2048, values=256)
"""Qwen2.5-3B's."""

Y = Shape(layers=28, width=3072, values=1024)
"""Llama-3.2-3B's."""


def adapters(shape: Shape, tasks: tuple[str, ...], seed: int, layers: int | None = None) -> dict[str, Adapter]:
    """Draw an adapter of q_proj and v_proj for each task; all begin with the same A, as adapters of one run do."""
    rng = np.random.default_rng(seed)
    modules: dict[str, dict[str, Factors]] = {task: {} for task in tasks}
    for layer in range(layers or shape.layers):
        for kind, outputs in (("q_proj", shape.width), ("v_proj", shape.values)):
            start = _normal(rng, RANK, shape.width)
            for task in tasks:
                a, b = start + np.float32(0.2) * _normal(rng, RANK, shape.width), _normal(rng, outputs, RANK)
                modules[task][f"model.layers.{layer}.self_attn.{kind}"] = Factors(a, b, SCALE)
    return {task: Adapter(found) for task, found in modules.items()}


def _normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape, np.float32)


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Return what *work* returns, and the wall and CPU seconds that it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def peak_bytes() -> int:
    """Return the largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
