"""Fisher merging and RegMean against their formulas, on whole tiny checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import references
import torch
from conftest import Checkpoints

from compute.merging.merge import merge
from compute.merging.recipe import Recipe

COEFFICIENTS = (0.4, 0.3, 0.2, 0.1)
NAMES = ("ft1", "ft2", "ft3", "ft4")
CLOSE = {"rtol": 1e-5, "atol": 1e-7}

State = dict[str, torch.Tensor]


def merged(checkpoints: Checkpoints, method: str, data: dict[str, Any], device: str, **options: Any) -> State:
    experts = dict(zip(NAMES, checkpoints.expert_states, strict=True))
    return merge(checkpoints.base_state, experts, Recipe(method, COEFFICIENTS, options), data=data, device=device)


def random_like(state: State, seed: int) -> State:
    rng = torch.Generator().manual_seed(seed)
    return {name: torch.rand(values.shape, generator=rng) ** 8 for name, values in state.items()}


@pytest.mark.parametrize("device", ["cpu", "torch:cpu"])
@pytest.mark.parametrize("epsilon", [1e-6, 1e-2])
@pytest.mark.parametrize("normalise", [False, True])
def test_fisher(checkpoints: Checkpoints, epsilon: float, normalise: bool, device: str) -> None:
    fishers = {name: random_like(checkpoints.base_state, seed) for seed, name in enumerate(NAMES)}
    found = merged(checkpoints, "fisher", {"fisher": fishers}, device, epsilon=epsilon, normalise=normalise)
    squares = [sum(float((values.double() ** 2).sum()) for values in fishers[name].values()) for name in NAMES]
    norms = np.sqrt(squares) if normalise else None
    for name, values in found.items():
        experts = [state[name].numpy() for state in checkpoints.expert_states]
        each = [fishers[source][name].numpy() for source in NAMES]
        expected = references.fisher(experts, each, COEFFICIENTS, least=epsilon, norms=norms)
        np.testing.assert_allclose(values, expected, **CLOSE)


@pytest.mark.parametrize("device", ["cpu", "torch:cpu"])
@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.9])
def test_regmean(checkpoints: Checkpoints, alpha: float, device: str) -> None:
    layers = [name for name, values in checkpoints.base_state.items() if ".layer." in name and values.ndim == 2]
    assert layers
    grams = {source: {name: gram(checkpoints, source, name) for name in layers} for source in NAMES}
    found = merged(checkpoints, "regmean", {"grams": grams}, device, alpha=alpha)
    for name, values in found.items():
        experts = [state[name].numpy() for state in checkpoints.expert_states]
        if name in layers:
            each = [grams[source][name].numpy() for source in NAMES]
            expected = references.regmean(experts, each, alpha, COEFFICIENTS)
        else:
            expected = references.average(experts, COEFFICIENTS)
        np.testing.assert_allclose(values, expected, **CLOSE)


def gram(checkpoints: Checkpoints, source: str, name: str) -> torch.Tensor:
    rng = torch.Generator().manual_seed(NAMES.index(source))
    inputs = torch.randn(50, checkpoints.base_state[name].shape[1], generator=rng)
    return inputs.T @ inputs
