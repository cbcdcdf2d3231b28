"""Adapters drawn at random, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compute.adapters.adapter import Adapter, Factors, Place
from compute.adapters.problem import Problem, Space
from compute.adapters.spaces import grams, problem

SHAPES = {"self_attn.q_proj": (12, 10), "self_attn.v_proj": (6, 10)}
"""Outputs and inputs of each module."""


def drawn(seed: int, *, layers: int = 3, rank: int = 2, scale: float = 2.0) -> Adapter:
    """An adapter whose modules are named in no order."""
    rng = np.random.default_rng(seed)
    names = [(layer, kind) for layer in range(layers) for kind in SHAPES]
    factors = [
        Factors(normal(rng, rank, SHAPES[kind][1]), normal(rng, SHAPES[kind][0], rank), scale) for _, kind in names
    ]
    named = [(f"model.layers.{layer}.{kind}", one) for (layer, kind), one in zip(names, factors, strict=True)]
    return Adapter(dict(reversed(named)))


def normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.standard_normal(shape).astype(np.float32)


def family(seed: int, count: int, **options: float) -> dict[str, Adapter]:
    return {f"task {number}": drawn(1000 * seed + number, **options) for number in range(count)}  # type: ignore[arg-type]


def posed(x: dict[str, Adapter], y: dict[str, Adapter], space: Space, *, seed: int = 0, truth: bool = True) -> Problem:
    """The problem of translating the last adapter by all others; domains alternate."""
    *anchors, task = x
    domains = {name: ("math", "code")[number % 2] for number, name in enumerate(x)}
    return problem(grams(x, space), grams(y, space), task, anchors, domains, seed=seed, truth=truth)


def regauged(adapter: Adapter, rng: np.random.Generator) -> Adapter:
    """The same adapter by other factors, (B G, G⁻¹ A), with a G of condition 4 at most."""
    return Adapter({name: _regauged(one, rng) for name, one in adapter.modules.items()})


def _regauged(one: Factors, rng: np.random.Generator) -> Factors:
    left, _, right = np.linalg.svd(rng.standard_normal((one.rank, one.rank)))
    sizes = rng.uniform(0.5, 2, one.rank)
    turn, back = left * sizes @ right, right.T / sizes @ left.T
    return Factors((back @ one.a).astype(np.float32), (one.b @ turn).astype(np.float32), one.scale)


def scaled(adapter: Adapter, factor: float) -> Adapter:
    """All A and B times *factor*, so that ΔW is its square times as large."""
    return Adapter({name: Factors(factor * one.a, factor * one.b, one.scale) for name, one in adapter.modules.items()})


def deltas(adapter: Adapter) -> dict[Place, NDArray[np.float64]]:
    """ΔW of each place, in float64."""
    exact = {place: adapter[place] for place in adapter.places}
    return {place: one.scale * one.b.astype(np.float64) @ one.a for place, one in exact.items()}


def weighted(weights: Sequence[float], adapters: Sequence[Adapter], place: Place) -> NDArray[np.float64]:
    """Σ c_i ΔW_i at a place, whole."""
    return np.sum([c * deltas(one)[place] for c, one in zip(weights, adapters, strict=True)], axis=0)
