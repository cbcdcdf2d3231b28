"""Methods with a counterpart in mergekit that need no more than passes over the weights: ours against its real output,
and against the formulas worked out plainly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import references as reference
from references import Array

from compute.merging.lots import lots, stream
from compute.merging.merge import merge
from compute.merging.recipe import Recipe
from compute.merging.stream import Stream

WEIGHTS = (0.4, 0.3, 0.2, 0.1)
EQUAL = (1.0,) * 4
CLOSE = 1e-6
NAMES = ("ft1", "ft2", "ft3", "ft4")


def merged(checkpoints: Any, recipe: Recipe, states: Mapping[str, Any] | None = None) -> dict[str, Array]:
    """Return the weights that *recipe* makes of the checkpoints."""
    experts = states or dict(zip(NAMES, checkpoints.expert_states, strict=True))
    result = merge(checkpoints.base_state, dict(list(experts.items())[: len(recipe.coefficients)]), recipe)
    return {name: values.numpy().astype(float) for name, values in result.items()}


def arrays(state: Mapping[str, Any]) -> dict[str, Array]:
    return {name: values.numpy().astype(float) for name, values in state.items()}


def on_base(checkpoints: Any, vectors: Mapping[str, Array]) -> dict[str, Array]:
    return {name: values + checkpoints.base_state[name].numpy() for name, values in vectors.items()}


def apart(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Return the largest difference of two entries."""
    assert found.keys() == expected.keys()
    return max(float(np.abs(found[name] - expected[name]).max()) for name in expected)


@pytest.fixture(scope="session")
def weights(checkpoints: Any) -> dict[str, Array]:
    """The experts' weights [4, *shape] by tensor."""
    return {
        name: np.stack([state[name].numpy() for state in checkpoints.expert_states]) for name in checkpoints.base_state
    }


@pytest.fixture(scope="session")
def near(checkpoints: Any) -> Any:
    """The same checkpoints with experts whose entries differ from the base's by about 1e-4, as after fine-tuning."""
    base = checkpoints.base_state
    states = [
        {name: base[name] + 0.005 * (values - base[name]) for name, values in state.items()}
        for state in checkpoints.expert_states
    ]
    return replace(checkpoints, expert_states=states, vectors=reference.stacked(base, states))


# --- mergekit ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_slerp_of_mergekit(mergekit: Any, checkpoints: Any, t: float) -> None:
    config = checkpoints.config("slerp", count=1, t=t)
    config["models"].insert(0, {"model": str(checkpoints.base)})
    states = {"base": checkpoints.base_state, "ft1": checkpoints.expert_states[0]}
    ours = merged(checkpoints, Recipe("slerp", (1 - t, t)), states)
    assert apart(ours, arrays(mergekit(config))) < CLOSE


def test_slerp_without_a_limit_is_mergekit_s_nuslerp(mergekit: Any, checkpoints: Any) -> None:
    theirs = mergekit(checkpoints.config("nuslerp", base=False, count=2, each={"weight": [1.0, 3.0]}))
    assert apart(merged(checkpoints, Recipe("slerp", (1, 3), {"linear_above": 1.0})), arrays(theirs)) < CLOSE


@pytest.mark.parametrize("coefficients", [EQUAL, WEIGHTS])
def test_multislerp_of_mergekit(mergekit: Any, checkpoints: Any, coefficients: tuple[float, ...]) -> None:
    theirs = mergekit(checkpoints.config("multislerp", each={"weight": list(coefficients)}))
    assert apart(merged(checkpoints, Recipe("multislerp", coefficients)), arrays(theirs)) < CLOSE


def test_multislerp_without_a_base_is_the_first_guess_of_the_karcher_mean(mergekit: Any, checkpoints: Any) -> None:
    theirs = mergekit(checkpoints.config("multislerp", base=False, each={"weight": list(WEIGHTS)}))
    assert apart(merged(checkpoints, Recipe("karcher", WEIGHTS, {"iterations": 0})), arrays(theirs)) < CLOSE


def test_karcher_of_mergekit(mergekit: Any, checkpoints: Any) -> None:
    theirs = mergekit(checkpoints.config("karcher", base=False))
    assert apart(merged(checkpoints, Recipe("karcher", EQUAL)), arrays(theirs)) < 2e-6  # it stops early, in fp32


def test_model_stock_of_mergekit(mergekit: Any, checkpoints: Any) -> None:
    theirs = mergekit(checkpoints.config("model_stock"))
    assert apart(merged(checkpoints, Recipe("model_stock", WEIGHTS, {"clamp": False})), arrays(theirs)) < CLOSE


@pytest.mark.parametrize(("density", "gamma"), [(0.9, 0.01), (0.5, 0.1), (0.2, 0.0), (1.0, 0.0)])
@pytest.mark.parametrize("ties", [False, True])
def test_breadcrumbs_of_mergekit(mergekit: Any, checkpoints: Any, density: float, gamma: float, ties: bool) -> None:
    each = {"weight": list(WEIGHTS), "density": density, "gamma": gamma}
    theirs = mergekit(checkpoints.config("breadcrumbs_ties" if ties else "breadcrumbs", each=each))
    options = {"density": density, "gamma": gamma, "within": "tensor", "ties": ties}
    assert apart(merged(checkpoints, Recipe("breadcrumbs", WEIGHTS, options)), arrays(theirs)) < CLOSE


@pytest.mark.parametrize(("method", "options"), [("della", {}), ("della_linear", {"ties": False})])
def test_della_of_mergekit(
    mergekit: Any, checkpoints: Any, monkeypatch: pytest.MonkeyPatch, method: str, options: dict[str, Any]
) -> None:
    each = {"weight": list(WEIGHTS), "density": 0.5, "epsilon": 0.15}
    theirs = arrays(mergekit(checkpoints.config(method, each=each)))

    def drawn(self: Any, name: str, place: Any, precision: Any) -> Array:
        mask = mergekit.masks[place.tensor.name].numpy().reshape((4, place.tensor.rows, place.tensor.columns))
        kept: Array = 1 - mask[:, place.row : place.row + place.rows]  # a lot of 0 keeps, one of 1 drops
        return kept

    monkeypatch.setattr(Stream, "extra", drawn)
    options |= {"density": 0.5, "epsilon": 0.15, "rescale": "norm"}
    assert apart(merged(checkpoints, Recipe("della", WEIGHTS, options)), theirs) < CLOSE


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_sce_of_mergekit(mergekit: Any, checkpoints: Any, density: float) -> None:
    theirs = mergekit(checkpoints.config("sce", select_topk=density))
    options = {"density": density, "least_energy": 1e-6}
    assert apart(merged(checkpoints, Recipe("sce", EQUAL, options)), arrays(theirs)) < CLOSE


# --- The formulas worked out plainly ----------------------------------------------------------------------------------


@pytest.mark.parametrize("linear_above", [0.9995, 0.5])
def test_slerp(checkpoints: Any, weights: Any, linear_above: float) -> None:
    expected = {
        name: reference.slerp(first, second, 0.75, linear_above) for name, (first, second, *_) in weights.items()
    }
    assert apart(merged(checkpoints, Recipe("slerp", (1, 3), {"linear_above": linear_above})), expected) < CLOSE


def test_karcher(checkpoints: Any, weights: Any) -> None:
    expected = reference.per_tensor(reference.karcher, weights, WEIGHTS)
    assert apart(merged(checkpoints, Recipe("karcher", WEIGHTS)), expected) < CLOSE


def test_karcher_of_small_angles(near: Any) -> None:
    stacks = {name: np.stack([state[name].numpy() for state in near.expert_states]) for name in near.base_state}
    assert (
        apart(merged(near, Recipe("karcher", WEIGHTS)), reference.per_tensor(reference.karcher, stacks, WEIGHTS))
        < CLOSE
    )


@pytest.mark.parametrize(("iterations", "formula"), [(0, reference.multislerp), (100, reference.karcher)])
def test_multislerp(checkpoints: Any, iterations: int, formula: Callable[..., Array]) -> None:
    expected = on_base(checkpoints, reference.per_tensor(formula, checkpoints.vectors, WEIGHTS))
    assert apart(merged(checkpoints, Recipe("multislerp", WEIGHTS, {"iterations": iterations})), expected) < CLOSE


def test_model_stock(checkpoints: Any, near: Any) -> None:
    for each in (checkpoints, near):
        expected = on_base(each, reference.per_tensor(reference.model_stock, each.vectors))
        assert apart(merged(each, Recipe("model_stock", WEIGHTS, {"clamp": False})), expected) < CLOSE


@pytest.mark.parametrize(("density", "gamma"), [(0.5, 0.1), (0.8, 0.2), (0.3, 0.0)])
def test_breadcrumbs(checkpoints: Any, density: float, gamma: float) -> None:
    options = {"density": density, "gamma": gamma}
    vectors = reference.per_tensor(reference.breadcrumbs_official, checkpoints.vectors, WEIGHTS, **options)
    assert apart(merged(checkpoints, Recipe("breadcrumbs", WEIGHTS, options)), on_base(checkpoints, vectors)) < CLOSE


@pytest.mark.parametrize(("density", "epsilon"), [(0.5, 0.05), (0.3, 0.25), (0.9, 0.1)])
def test_della(checkpoints: Any, density: float, epsilon: float) -> None:
    options = {"density": density, "epsilon": epsilon}
    expected = {
        name: reference.della_official(values, drawn(name, values.shape), WEIGHTS, **options)
        for name, values in checkpoints.vectors.items()
    }
    ours = merged(checkpoints, Recipe("della", WEIGHTS, options, seed=7))
    assert apart(ours, on_base(checkpoints, expected)) < CLOSE


def drawn(tensor: str, shape: tuple[int, ...]) -> Array:
    """Return the lots [N, *shape] of the experts under seed 7."""
    rows = np.empty((shape[0], int(np.prod(shape[1:]))), dtype=np.float32)
    for row, source in zip(rows, NAMES, strict=True):
        lots(stream(7, source, tensor), 0, row)
    return rows.reshape(shape).astype(float)


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_sce(checkpoints: Any, near: Any, density: float) -> None:
    for each in (checkpoints, near):
        expected = on_base(each, reference.per_tensor(reference.sce, each.vectors, density=density))
        assert apart(merged(each, Recipe("sce", EQUAL, {"density": density})), expected) < CLOSE
