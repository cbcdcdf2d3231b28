"""Recount's merges against mergekit's real output, from the same YAML, and against peft and the official code's
formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import references as reference
import torch
import yaml
from merging_helpers import merged
from safetensors.torch import load_file

from compute.merging.dare import Dare
from compute.merging.recipe import Recipe
from compute.recipes import document, run

WEIGHTS = [0.4, 0.3, 0.2, 0.1]
ROUNDING = 1e-6


@pytest.fixture
def ours(tmp_path: Path) -> Callable[[dict[str, Any]], dict[str, torch.Tensor]]:
    """Merge by a config of mergekit's, as the command does: read the file, write a folder, open it."""

    def merge(config: dict[str, Any]) -> dict[str, torch.Tensor]:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        (folder,) = run.run(document.read(path), tmp_path / "out", cache=tmp_path / "cache", threads=1)
        return load_file(folder / "model.safetensors")

    return merge


def apart(found: dict[str, Any], expected: dict[str, Any]) -> int:
    """Count the entries that differ by more than rounding."""
    assert found.keys() == expected.keys()
    return sum(int(((found[name] - expected[name]).abs() > ROUNDING).sum()) for name in expected)


@pytest.mark.parametrize(
    ("method", "more", "shared"),
    [
        ("linear", {"base": False}, {}),
        ("task_arithmetic", {}, {"lambda": 0.7}),
        ("ties", {}, {"density": 0.2}),
        ("ties", {}, {"density": 0.5, "normalize": False, "lambda": 1.3}),
        ("breadcrumbs", {}, {"density": 0.7, "gamma": 0.05}),
        ("breadcrumbs_ties", {}, {"density": 0.7, "gamma": 0.05}),
        ("multislerp", {}, {}),
        ("model_stock", {}, {}),
        ("sce", {}, {"select_topk": 0.3}),
    ],
    ids=str,
)
def test_the_same_yaml_gives_what_mergekit_gives(
    checkpoints: Any, mergekit: Any, ours: Any, method: str, more: dict[str, Any], shared: dict[str, Any]
) -> None:
    each = {} if method in ("model_stock", "sce") else {"weight": WEIGHTS}
    config = checkpoints.config(method, each=each, **more, **shared)
    found, expected = ours(config), mergekit(config)
    assert apart(found, expected) == 0, "no two magnitudes tie in these checkpoints"


def test_slerp_of_the_same_yaml_gives_what_mergekit_gives(checkpoints: Any, mergekit: Any, ours: Any) -> None:
    first, second = (str(path) for path in checkpoints.experts[:2])
    config = {"merge_method": "slerp", "base_model": first, "models": [{"model": first}, {"model": second}],
              "parameters": {"t": 0.3}, "dtype": "float32"}  # fmt: skip
    assert apart(ours(config), mergekit(config)) == 0


def test_what_ties_for_the_last_place_is_all_kept_here_and_counted(theirs: Any) -> None:
    """PEFT keeps exactly k, whichever come first; nothing else differs."""
    vectors = (task_vectors() * 4).round() / 4
    for row in vectors:
        ours = apply(row[None], Recipe("ties", (1.0,), {"density": 0.2}))
        exact = theirs.magnitude_based_pruning(row, 0.2)
        threshold = row.abs().sort().values[-int(0.2 * len(row))]
        ties = int((row.abs() == threshold).sum())
        beyond = int((row.abs() >= threshold).sum()) - int(0.2 * len(row))
        assert 0 < beyond < ties
        assert int((ours != exact).sum()) == beyond


@pytest.mark.parametrize(("method", "normalize"), [("dare_linear", False), ("dare_ties", False), ("dare_ties", True)])
def test_dare_gives_what_mergekit_gives_under_the_same_masks(
    checkpoints: Any, mergekit: Any, ours: Any, method: str, normalize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = checkpoints.config(method, each={"weight": WEIGHTS, "density": 0.4}, normalize=normalize)
    expected = mergekit(config)
    masks = {name: values.numpy() for name, values in mergekit.masks.items()}

    def drop(self: Dare, values: Any, place: Any, names: Any, factors: Any) -> Any:
        flat = masks[place.tensor.name].reshape(len(names), -1)[:, place.start : place.start + place.size]
        kept = values * flat.reshape(values.shape)
        return kept if factors is None else kept * np.float32(factors)[:, None, None]

    def sums(self: Dare, values: Any, place: Any, names: Any) -> Any:
        kept = drop(self, values, place, names, None)
        return np.abs([values, kept]).sum(axis=(2, 3), dtype=np.float64)[None]  # as one grain: these tensors are small

    monkeypatch.setattr(Dare, "apply", drop)
    monkeypatch.setattr(Dare, "magnitudes", sums)
    assert apart(ours(config), expected) == 0


@pytest.fixture(scope="module")
def theirs() -> Any:
    """PEFT's merge functions."""
    from peft.utils import merge_utils

    return merge_utils


def task_vectors(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 1024, generator=torch.Generator().manual_seed(seed))


def apply(vectors: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    base = {"w": torch.zeros(vectors.shape[1])}
    return merged(base, {str(i): {"w": row} for i, row in enumerate(vectors)}, recipe)["w"]


@pytest.mark.parametrize("density", [0.1, 0.2, 0.5, 0.9])
def test_ties_as_peft_has_it(theirs: Any, density: float) -> None:
    vectors, weights = task_vectors(), torch.tensor(WEIGHTS)
    options = {"density": density, "trim_scope": "tensor", "tie": "positive", "divide": "count"}
    expected = theirs.ties(list(vectors), weights, density)
    assert torch.allclose(apply(vectors, Recipe("ties", tuple(WEIGHTS), options)), expected, atol=ROUNDING)


def test_task_arithmetic_as_peft_has_it(theirs: Any) -> None:
    expected = theirs.task_arithmetic(list(task_vectors()), torch.tensor(WEIGHTS))
    assert torch.allclose(apply(task_vectors(), Recipe("task_arithmetic", tuple(WEIGHTS))), expected, atol=ROUNDING)


@pytest.mark.parametrize("keep", [100, 205, 512, 1000])
def test_ties_as_its_authors_have_it(keep: int) -> None:
    vectors = task_vectors(seed=keep)
    official = Recipe("ties", (1.0,) * 4, {"density": keep / 1024, "one_more": True})
    expected = reference.ties_official(vectors.numpy(), keep / 1024)
    assert np.allclose(apply(vectors, official).numpy(), expected, atol=ROUNDING)


def test_the_presets_disagree_as_their_originals_do() -> None:
    """With equal experts PEFT's result is N times smaller, as it divides weights that sum to one by their count."""
    from compute.merging import presets

    equal = task_vectors()[:1].expand(4, -1)
    by_preset = {
        name: apply(equal, Recipe("ties", (0.25,) * 4, {"density": 0.5, **presets.options(name, "ties")}))
        for name in ("official", "peft", "mergekit")
    }
    assert torch.allclose(by_preset["mergekit"], 4 * by_preset["peft"], atol=1e-5)
    assert int((by_preset["official"] != by_preset["mergekit"]).sum()) == 1, "the authors keep one entry more"


def test_dare_divides_by_the_density_as_its_authors_and_peft_do() -> None:
    vectors = task_vectors()[:1]
    left = apply(vectors, Recipe("task_arithmetic", (1.0,), dare=Dare(0.9, seed=1)))
    kept = left != 0
    assert torch.allclose(left[kept], vectors[0][kept] / 0.1)
