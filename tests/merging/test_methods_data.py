"""Fisher merging, RegMean and AdaMerging: by examples worked by hand, and by what each of them promises."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from compute.errors import UsageError
from compute.merging.merge import merge
from compute.merging.recipe import Recipe

State = dict[str, Tensor]
SHAPES = {"layer.weight": (3, 4), "layer.bias": (3,), "scale": ()}
DEVICES = pytest.mark.parametrize("device", ["cpu", "torch:cpu"])


def state(seed: int, around: State | None = None, dtype: torch.dtype = torch.float64) -> State:
    rng = torch.Generator().manual_seed(seed)
    noise = {name: torch.randn(shape, generator=rng, dtype=dtype) for name, shape in SHAPES.items()}
    return {name: (around[name] if around else 0) + values for name, values in noise.items()}


BASE = state(0)
EXPERTS = {name: state(seed, BASE) for seed, name in enumerate("abc", 1)}


def merged(
    method: str, data: Mapping[str, Any], *, device: str = "cpu", experts: Any = EXPERTS, **options: Any
) -> State:
    coefficients = options.pop("coefficients", (0.5, 0.3, 0.2)[: len(experts)])
    return merge(BASE, experts, Recipe(method, coefficients, options), data=data, device=device)


def assert_close(found: State, expected: State) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, msg=name)


def mean(coefficients: tuple[float, ...] = (0.5, 0.3, 0.2), experts: Any = EXPERTS) -> State:
    pairs = list(zip(coefficients, experts.values(), strict=True))
    return {name: sum(share * expert[name] for share, expert in pairs) for name in BASE}


# Fisher

FISHERS = {name: {key: values**2 for key, values in state(seed).items()} for seed, name in enumerate("abc", 11)}


@DEVICES
def test_fisher_weighs_each_entry_by_what_it_matters(device: str) -> None:
    base = {"w": torch.zeros(2)}
    experts = {"a": {"w": torch.tensor([1.0, 1.0])}, "b": {"w": torch.tensor([5.0, 5.0])}}
    fishers = {"a": {"w": torch.tensor([3.0, 0.0])}, "b": {"w": torch.tensor([1.0, 2.0])}}
    recipe = Recipe("fisher", (1.0, 1.0), {"epsilon": 0.0})
    assert merge(base, experts, recipe, data={"fisher": fishers}, device=device)["w"].tolist() == [2.0, 5.0]
    recipe = Recipe("fisher", (1.0, 3.0), {"epsilon": 1.0})
    assert merge(base, experts, recipe, data={"fisher": fishers}, device=device)["w"].tolist() == pytest.approx(
        [3.4, 4.6]
    )


@pytest.mark.parametrize("normalise", [False, True])
def test_fisher_averages_what_matters_to_nobody(normalise: bool) -> None:
    nothing = {name: {key: 0 * values for key, values in fisher.items()} for name, fisher in FISHERS.items()}
    assert_close(merged("fisher", {"fisher": nothing}, epsilon=0.0, normalise=normalise), mean())


def test_normalised_fisher_does_not_depend_on_the_scale_of_a_source() -> None:
    scales = {"a": 1.0, "b": 1e-15, "c": 1e15}
    scaled = {name: {key: scales[name] * values for key, values in FISHERS[name].items()} for name in FISHERS}
    expected = merged("fisher", {"fisher": FISHERS}, epsilon=0.0, normalise=True)
    assert_close(merged("fisher", {"fisher": scaled}, epsilon=0.0, normalise=True), expected)


def test_normalised_fisher_in_single_precision_bears_small_and_large_information() -> None:
    scales = {"a": 1e-25, "b": 1.0, "c": 1e15}
    scaled = {n: {key: (scales[n] * values).float() for key, values in FISHERS[n].items()} for n in FISHERS}
    experts = {name: {key: values.float() for key, values in expert.items()} for name, expert in EXPERTS.items()}
    base = {key: values.float() for key, values in BASE.items()}
    recipe = Recipe("fisher", (0.5, 0.3, 0.2), {"epsilon": 0.0, "normalise": True})
    found = merge(base, experts, recipe, data={"fisher": scaled})
    expected = merged("fisher", {"fisher": FISHERS}, epsilon=0.0, normalise=True)
    assert_close(found, {key: values.float() for key, values in expected.items()})


def test_a_large_epsilon_leaves_the_average() -> None:
    found = merged("fisher", {"fisher": FISHERS}, epsilon=1e12)
    for name, values in mean().items():
        torch.testing.assert_close(found[name], values, rtol=1e-9, atol=1e-9)


def test_fisher_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        merged("fisher", {"fisher": FISHERS}, epsilon=-1.0)
    with pytest.raises(UsageError, match="fisher needs fisher from data"):
        merged("fisher", {})
    with pytest.raises(UsageError, match=re.escape("information of expert c: there is that of a, b")):
        merged("fisher", {"fisher": {name: FISHERS[name] for name in "ab"}})


# RegMean


def gram(seed: int, tokens: int = 9, inner: int = 4) -> Tensor:
    inputs = torch.randn(tokens, inner, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return inputs.T @ inputs


GRAMS = {name: {"layer.weight": gram(seed)} for seed, name in enumerate("abc", 21)}


@DEVICES
def test_regmean_gives_outputs_nearest_to_the_experts(device: str) -> None:
    found = merged("regmean", {"grams": GRAMS}, alpha=1.0, device=device)

    def loss(weight: Tensor) -> Tensor:
        parts = []
        for share, name in zip((0.5, 0.3, 0.2), "abc", strict=True):
            change = weight - EXPERTS[name]["layer.weight"]
            parts.append(share * (change @ GRAMS[name]["layer.weight"] * change).sum())
        return torch.stack(parts).sum()

    weight = found["layer.weight"].requires_grad_()
    loss(weight).backward()
    assert loss(weight) < 0.9 * loss(mean()["layer.weight"])
    torch.testing.assert_close(weight.grad, torch.zeros_like(weight), rtol=0, atol=1e-3)


@DEVICES
def test_regmean_averages_what_is_no_linear_layer(device: str) -> None:
    found = merged("regmean", {"grams": GRAMS}, device=device)
    for name in ("layer.bias", "scale"):
        torch.testing.assert_close(found[name], mean()[name])


def test_without_what_is_off_the_diagonal_each_input_is_weighed_by_itself() -> None:
    found = merged("regmean", {"grams": GRAMS}, alpha=0.0)["layer.weight"]
    diagonals = torch.stack([GRAMS[name]["layer.weight"].diagonal() for name in "abc"])
    shares = diagonals * torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)[:, None]
    layers = torch.stack([EXPERTS[name]["layer.weight"] for name in "abc"])
    torch.testing.assert_close(found, (shares[:, None] * layers).sum(0) / shares.sum(0))


@pytest.mark.parametrize("alpha", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("tokens", [0, 1, 3, 9])
def test_regmean_stays_between_experts_however_few_tokens_there_are(alpha: float, tokens: int) -> None:
    same = gram(5, tokens).float()
    found = merged("regmean", {"grams": {name: {"layer.weight": same} for name in "abc"}}, alpha=alpha)
    torch.testing.assert_close(found["layer.weight"], mean()["layer.weight"], rtol=1e-4, atol=1e-4)


@DEVICES
def test_where_experts_saw_less_than_there_are_inputs_regmean_does_as_each_of_them_did(device: str) -> None:
    inputs = {name: torch.randn(1, 4, generator=torch.Generator().manual_seed(ord(name))) for name in "abc"}
    grams = {name: {"layer.weight": each.T @ each} for name, each in inputs.items()}
    found = merged("regmean", {"grams": grams}, alpha=1.0, device=device)["layer.weight"]
    for name, each in inputs.items():
        expected = each.double() @ EXPERTS[name]["layer.weight"].T
        torch.testing.assert_close(each.double() @ found.T, expected, rtol=1e-3, atol=1e-3)
    assert (found - mean()["layer.weight"]).abs().max() < 10


def test_an_input_that_is_always_zero_is_averaged_and_spoils_no_other() -> None:
    grams = {name: {"layer.weight": each["layer.weight"].clone()} for name, each in GRAMS.items()}
    for each in grams.values():
        each["layer.weight"][2] = each["layer.weight"][:, 2] = 0
    found = merged("regmean", {"grams": grams})["layer.weight"]
    torch.testing.assert_close(found[:, 2], mean()["layer.weight"][:, 2])
    kept = [0, 1, 3]
    smaller = {name: {"w": each["layer.weight"][kept][:, kept]} for name, each in grams.items()}
    experts = {name: {"w": expert["layer.weight"][:, kept]} for name, expert in EXPERTS.items()}
    expected = merge(
        {"w": BASE["layer.weight"][:, kept]}, experts, Recipe("regmean", (0.5, 0.3, 0.2)), data={"grams": smaller}
    )
    torch.testing.assert_close(found[:, kept], expected["w"])


@given(scale=st.floats(1e-20, 1e20), seed=st.integers(0, 50))
def test_equal_experts_give_the_expert_whatever_their_inputs(scale: float, seed: int) -> None:
    experts = dict.fromkeys("abc", EXPERTS["a"])
    grams = {name: {"layer.weight": scale * gram(seed + place)} for place, name in enumerate("abc")}
    assert_close(merged("regmean", {"grams": grams}, experts=experts), EXPERTS["a"])


def test_regmean_on_task_vectors_is_regmean_on_weights() -> None:
    data = {"grams": GRAMS}
    relative = Recipe("regmean", (0.5, 0.3, 0.2), embeddings="base")
    assert relative.needs_base
    assert_close(merge(BASE, EXPERTS, relative, data=data), merged("regmean", data))


def test_regmean_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="alpha"):
        merged("regmean", {"grams": GRAMS}, alpha=1.5)
    with pytest.raises(UsageError, match="no Gram matrices of expert c: there are those of a, b"):
        merged("regmean", {"grams": {name: GRAMS[name] for name in "ab"}})
    with pytest.raises(UsageError, match=r"no Gram matrix of expert b for layer.weight, while expert a has one"):
        merged("regmean", {"grams": {**GRAMS, "b": {}}})
    with pytest.raises(UsageError, match=re.escape("has shape (3, 3), expected (4, 4)")):
        merged("regmean", {"grams": {**GRAMS, "b": {"layer.weight": torch.eye(3)}}})
    with pytest.raises(UsageError, match="infinite or missing"):
        merged("regmean", {"grams": {**GRAMS, "b": {"layer.weight": torch.full((4, 4), torch.nan)}}})


# AdaMerging

INPUTS = torch.randn(20, 4, generator=torch.Generator().manual_seed(31), dtype=torch.float64)


def entropy(weights: Mapping[str, Tensor], step: int) -> Tensor:
    inputs = INPUTS[[(8 * step + place) % 20 for place in range(8)]]
    scores = ((inputs @ weights["layer.weight"].T + weights["layer.bias"]) * weights["scale"]).log_softmax(1)
    return -(scores.exp() * scores).sum(1).mean()


def objective(loss: Callable[[State, int], Tensor]) -> Callable[..., Any]:
    """Give *loss* as AdaMerging wants it: with its gradient by the weights, in arrays of the weights' own kind."""

    def call(weights: Mapping[str, Any], step: int) -> tuple[float, dict[str, Any]]:
        leaves = {name: torch.as_tensor(values).clone().requires_grad_() for name, values in weights.items()}
        found = loss(leaves, step)
        gradients = torch.autograd.grad(found, list(leaves.values()), allow_unused=True)
        named = zip(leaves, gradients, strict=True)
        return float(found.detach()), {name: gradient for name, gradient in named if gradient is not None}

    return call


def learnt(loss: Callable[[State, int], Tensor] = entropy, **options: Any) -> tuple[State, dict[str, np.ndarray]]:
    found: dict[str, np.ndarray] = {}
    result = merged("adamerging", {"entropy": objective(loss), "learned": found.update}, **options)
    return result, found


def plain(
    loss: Callable[[State, int], Tensor], vectors: dict[str, Tensor], steps: int, layerwise: bool, start: Tensor
) -> dict[str, Tensor]:
    """AdaMerging as its equations say it: automatic differentiation through the merge itself."""
    raw = (start.repeat(len(BASE), 1) if layerwise else start.clone()).requires_grad_()
    adam = torch.optim.Adam([raw], lr=1e-2, betas=(0.9, 0.999))

    def coefficients() -> dict[str, Tensor]:
        return dict(zip(BASE, raw.clamp(0, 1).expand(len(BASE), -1), strict=True))

    for step in range(steps):
        found = coefficients()
        weights = {name: BASE[name] + torch.tensordot(found[name], vectors[name], dims=1) for name in BASE}
        adam.zero_grad()
        loss(weights, step).backward()
        adam.step()
    return {name: row.detach() for name, row in coefficients().items()}


VECTORS = {name: torch.stack([expert[name] - BASE[name] for expert in EXPERTS.values()]) for name in BASE}


@DEVICES
@pytest.mark.parametrize("layerwise", [False, True])
@pytest.mark.parametrize("start", [0.3, 0.0, 0.97])
def test_adamerging_is_descent_through_the_merge_step_by_step(device: str, layerwise: bool, start: float) -> None:
    shares = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64) * (3 * start or 1)
    for steps in (1, 2, 40):
        expected = plain(entropy, VECTORS, steps, layerwise, shares)
        options = {"layerwise": layerwise, "start": start, "learning_rate": 1e-2, "steps": steps}
        result, found = learnt(device=device, **options)
        for name in BASE:
            np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-6)
            weights = BASE[name] + torch.tensordot(expected[name], VECTORS[name], dims=1)
            torch.testing.assert_close(result[name], weights, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layerwise", [False, True])
def test_the_first_step_goes_down_the_numeric_gradient(layerwise: bool) -> None:
    at = torch.tensor([0.45, 0.27, 0.18], dtype=torch.float64)

    def quadratic(weights: State, step: int) -> Tensor:
        return torch.stack([((values - 1) ** 2).sum() for values in weights.values()]).sum()

    def loss_at(rows: Mapping[str, Tensor]) -> float:
        weights = {name: BASE[name] + torch.tensordot(rows[name], VECTORS[name], dims=1) for name in BASE}
        return float(quadratic(weights, 0))

    _, found = learnt(quadratic, layerwise=layerwise, steps=1, learning_rate=1e-3)
    for source in range(3):
        for moved in [[name] for name in BASE] if layerwise else [list(BASE)]:
            up, down = ({name: at.clone() for name in BASE} for _ in range(2))
            for name in moved:
                up[name][source] += 1e-5
                down[name][source] -= 1e-5
            slope = loss_at(up) - loss_at(down)
            # Adam's first step is as long as the learning rate, against the sign of the gradient.
            assert found[moved[0]][source] == pytest.approx(float(at[source]) - 1e-3 * np.sign(slope), abs=1e-8)


def test_adamerging_makes_a_classifier_surer() -> None:
    before, _ = learnt(steps=0)
    everywhere = {step: float(entropy(before, step)) for step in range(5)}
    for layerwise in (False, True):
        after, _ = learnt(steps=200, layerwise=layerwise, learning_rate=5e-3)
        assert sum(float(entropy(after, step)) for step in everywhere) < 0.9 * sum(everywhere.values())


def test_with_one_tensor_layerwise_is_taskwise() -> None:
    def loss(weights: State, step: int) -> Tensor:
        return entropy({**BASE, **weights}, step)

    def one(layerwise: bool) -> Tensor:
        experts = {name: {"layer.weight": expert["layer.weight"]} for name, expert in EXPERTS.items()}
        recipe = Recipe("adamerging", (1 / 3,) * 3, {"layerwise": layerwise, "steps": 20})
        base = {"layer.weight": BASE["layer.weight"]}
        return merge(base, experts, recipe, data={"entropy": objective(loss)})["layer.weight"]

    assert torch.equal(one(True), one(False))


@DEVICES
def test_the_gradient_is_the_same_in_pieces(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def some(weights: State, step: int) -> Tensor:
        """Nothing depends on the first two rows of the layer."""
        return entropy({**weights, "layer.weight": weights["layer.weight"] * torch.tensor([[0.0], [0.0], [1.0]])}, step)

    _, expected = learnt(some, steps=5, device=device)
    monkeypatch.setattr("compute.merging.methods.adamerging.PIECE", {True: 3, False: 3})
    _, found = learnt(some, steps=5, device=device)
    for name, row in expected.items():
        np.testing.assert_allclose(found[name], row, rtol=1e-12)


def test_coefficients_stop_at_one_and_at_zero() -> None:
    def away(weights: State, step: int) -> Tensor:
        direction = VECTORS["layer.weight"]
        both = [(weights["layer.weight"] * direction[source]).sum() for source in (0, 1)]
        return 10 * both[1] - 10 * both[0]

    _, found = learnt(away, steps=200, learning_rate=1e-2)
    assert set(np.concatenate(list(found.values())).tolist()) >= {0.0, 1.0}
    assert all((row >= 0).all() and (row <= 1).all() for row in found.values())


def test_without_a_gradient_nothing_moves() -> None:
    _, found = learnt(lambda weights, step: weights["scale"] ** 2, steps=3)
    np.testing.assert_allclose(found["layer.weight"], [0.45, 0.27, 0.18], rtol=1e-15)
    assert (found["scale"] != found["layer.weight"]).all()


def test_without_steps_a_start_of_zero_is_the_weighted_average() -> None:
    result, _ = learnt(steps=0, start=0.0, coefficients=(5.0, 3.0, 2.0))
    assert_close(result, mean())


def test_coefficients_learnt_before_give_the_same_merge_without_an_objective() -> None:
    for trimmed in (False, True):
        result, found = learnt(steps=5, trimmed=trimmed, density=0.5)
        again = merged("adamerging", {"entropy": None, "coefficients": found}, trimmed=trimmed, density=0.5)
        assert all(torch.equal(result[name], again[name]) for name in BASE)


def test_trimmed_task_vectors_are_those_that_ties_would_merge() -> None:
    result, _ = learnt(steps=0, start=0.4, trimmed=True, density=0.5, coefficients=(1.0, 1.0, 1.0))
    recipe = Recipe("ties", (0.4,) * 3, {"density": 0.5, "one_more": True, "divide": "none"})
    assert_close(result, merge(BASE, EXPERTS, recipe))


def test_trimmed_task_vectors_are_learnt_with() -> None:
    _, large = learnt(steps=10, trimmed=True, density=0.3)
    _, all_of_them = learnt(steps=10)
    assert any((large[name] != all_of_them[name]).any() for name in BASE)
    assert large.keys() == all_of_them.keys() == BASE.keys()


def test_adamerging_does_not_depend_on_the_order_of_tensors_or_on_when_it_runs() -> None:
    def backwards(tensors: State) -> State:
        return dict(reversed(tensors.items()))

    result, _ = learnt(steps=10, layerwise=False)
    experts = {name: backwards(expert) for name, expert in EXPERTS.items()}
    recipe = Recipe("adamerging", (0.5, 0.3, 0.2), {"steps": 10, "layerwise": False})
    again = merge(backwards(BASE), experts, recipe, data={"entropy": objective(entropy)})
    assert all(torch.equal(result[name], again[name]) for name in BASE)


def test_adamerging_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        learnt(steps=-1)
    with pytest.raises(ValueError, match="must not be negative"):
        learnt(start=-0.1)
    with pytest.raises(UsageError, match="adamerging needs entropy from data"):
        merged("adamerging", {})
    with pytest.raises(UsageError, match="nan at step 0"):
        learnt(lambda weights, step: weights["scale"] * torch.nan, steps=2)
