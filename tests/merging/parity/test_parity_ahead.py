"""Consensus, Iso-C, TSV-M, PCB, EMR and LiNeS against their formulas, worked out in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import references as reference
import torch
from references import Array

from compute.merging.merge import merge
from compute.merging.recipe import EMBEDDINGS, Lines, Recipe

WEIGHTS = (0.4, 0.3, 0.2, 0.1)
ONES = (1.0, 1.0, 1.0, 1.0)
ROUNDING = 1e-6
"""The results are float32 around 1 at most; the references float64."""
ROUNDING_OF_SVD = 1e-5

pytestmark = pytest.mark.parametrize("device", ["cpu", "torch:cpu"])


def moved(checkpoints: Any, recipe: Recipe, device: str) -> dict[str, Array]:
    """Return what our merge adds to the base."""
    experts = {f"ft{n}": state for n, state in enumerate(checkpoints.expert_states, 1)}
    merged = merge(checkpoints.base_state, experts, recipe, device=device)
    return {
        name: values.numpy().astype(float) - checkpoints.base_state[name].numpy() for name, values in merged.items()
    }


def furthest(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    assert found.keys() == expected.keys()
    return max(float(np.abs(found[name] - expected[name]).max(initial=0)) for name in expected)


def matrices(method: Any, vectors: Mapping[str, Array]) -> dict[str, Array]:
    """Return *method* of every tensor, the mean of word embeddings."""
    return {
        name: values.mean(axis=0) if EMBEDDINGS.search(name) else method(values) for name, values in vectors.items()
    }


@pytest.mark.parametrize("mask_lambda", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("agree", [1, 2, 3])
@pytest.mark.parametrize("weights", [ONES, WEIGHTS])
def test_consensus(checkpoints: Any, mask_lambda: float, agree: int, weights: tuple[float, ...], device: str) -> None:
    recipe = Recipe("consensus", weights, {"mask_lambda": mask_lambda, "agree": agree, "scale": 0.5})
    expected = reference.per_tensor(
        reference.consensus_task_arithmetic, checkpoints.vectors, mask_lambda, agree, [0.5 * one for one in weights]
    )
    assert furthest(moved(checkpoints, recipe, device), expected) < ROUNDING


def test_iso_c(checkpoints: Any, device: str) -> None:
    recipe = Recipe("iso_c", ONES, {"scale": 0.7})
    expected = {name: 0.7 * values for name, values in matrices(reference.iso_c, checkpoints.vectors).items()}
    assert furthest(moved(checkpoints, recipe, device), expected) < ROUNDING_OF_SVD


def test_iso_c_weighs_task_vectors(checkpoints: Any, device: str) -> None:
    weights = np.array(WEIGHTS)
    matrix = {name: values for name, values in checkpoints.vectors.items() if values.ndim == 3}
    weighted = {name: values * weights[:, None, None] for name, values in matrix.items() if not EMBEDDINGS.search(name)}
    found = moved(checkpoints, Recipe("iso_c", WEIGHTS), device)
    assert furthest({name: found[name] for name in weighted}, matrices(reference.iso_c, weighted)) < ROUNDING_OF_SVD


def test_tsv_m(checkpoints: Any, device: str) -> None:
    found = moved(checkpoints, Recipe("tsv_m", ONES, {"scale": 0.7}), device)
    expected = {name: 0.7 * values for name, values in matrices(reference.tsv_m, checkpoints.vectors).items()}
    single = {name for name, values in checkpoints.vectors.items() if values.ndim == 3 and min(values.shape[1:]) < 4}
    for name in single:  # No rank is left for a source: the code of the authors merges to the base, ours to the mean.
        assert not expected[name].any()
        expected[name] = 0.7 * checkpoints.vectors[name].mean(axis=0)
    assert single
    assert furthest(found, expected) < ROUNDING_OF_SVD


def test_tsv_m_of_weighted_task_vectors(checkpoints: Any, device: str) -> None:
    name = "roberta.encoder.layer.1.output.dense.weight"
    weighted = checkpoints.vectors[name] * 4 * np.array(WEIGHTS)[:, None, None]
    found = moved(checkpoints, Recipe("tsv_m", WEIGHTS), device)[name]
    assert np.abs(found - reference.tsv_m(weighted)).max() < ROUNDING_OF_SVD


@pytest.mark.parametrize("density", [0.05, 0.1, 0.5, 1.0])
def test_pcb_over_the_whole_model(checkpoints: Any, density: float, device: str) -> None:
    found = moved(checkpoints, Recipe("pcb", (0.25,) * 4, {"density": density}), device)
    assert furthest(found, reference.over_all(reference.pcb, checkpoints.vectors, density)) < ROUNDING


@pytest.mark.parametrize("density", [0.1, 0.5])
def test_pcb_by_tensor(checkpoints: Any, density: float, device: str) -> None:
    found = moved(checkpoints, Recipe("pcb", ONES, {"density": density, "trim_scope": "tensor"}), device)
    assert furthest(found, reference.per_tensor(reference.pcb, checkpoints.vectors, density)) < ROUNDING


@pytest.mark.parametrize("task", range(4))
def test_emr(checkpoints: Any, task: int, device: str) -> None:
    def own(vectors: Array) -> Array:
        unified, masks, rescalers = reference.emr(vectors)
        return rescalers[task] * masks[task] * unified

    found = moved(checkpoints, Recipe("emr", WEIGHTS, {"target": f"ft{task + 1}"}), device)
    assert furthest(found, reference.over_all(own, checkpoints.vectors)) < ROUNDING


@pytest.mark.parametrize(("low", "high"), [(0.25, 1.0), (1.0, 3.0), (0.0, 0.5)])
def test_lines(checkpoints: Any, low: float, high: float, device: str) -> None:
    plain = reference.per_tensor(reference.task_arithmetic, checkpoints.vectors, WEIGHTS)
    expected = reference.lines(plain, low, high - low, blocks=2)
    # The code of the authors, whose models have no head, gives all outside the blocks the first one's factor.
    head = {name: high * values for name, values in plain.items() if name.startswith("classifier.")}
    assert head
    found = moved(checkpoints, Recipe("task_arithmetic", WEIGHTS, lines=Lines(low, high)), device)
    assert furthest(found, expected | head) < ROUNDING


def test_a_matrix_that_is_rank_deficient_gets_no_directions_made_up(device: str) -> None:
    generator = torch.Generator().manual_seed(1)
    low = [torch.randn(12, 2, generator=generator) @ torch.randn(2, 8, generator=generator) for _ in range(2)]
    base = {"weight": torch.zeros(12, 8)}
    found = merge(base, {f"e{n}": {"weight": one} for n, one in enumerate(low)}, Recipe("iso_c", (1, 1)), device=device)
    left, values, right = np.linalg.svd(sum(one.double().numpy() for one in low))
    expected = values.mean() * left[:, :4] @ right[:4]
    assert np.abs(found["weight"].numpy() - expected).max() < ROUNDING_OF_SVD
