"""The predecessor's merges, against its steps written down once more in torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from merging_helpers import apply, merged

from compute.cells import models
from compute.errors import UsageError
from compute.merging import presets
from compute.merging.merginguriel import as_published, method_of
from compute.models import build, tokenizer
from compute.models.checkpoint import from_tree, to_tree
from compute.models.recipes import Architecture

Model = dict[str, torch.Tensor]

NAMES = ["fi-FI", "ar-SA", "nl-NL", "cy-GB", "fr-FR"]
SHARES = [0.15, 0.4, 0.1, 0.3, 0.05]
RANKED = ["ar-SA", "cy-GB", "fi-FI", "nl-NL", "fr-FR"]
WEIGHTS = [0.4, 0.3, 0.15, 0.1, 0.05]


def model(seed: int, spread: float = 1.0) -> Model:
    """60 entries: a multiple of five, of which it and we keep as many."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.Generator().manual_seed(99)
    shapes = {"encoder.weight": (6, 7), "encoder.bias": (6,), "head.weight": (3, 4)}
    return {
        name: torch.randn(shape, generator=common) + spread * torch.randn(shape, generator=generator)
        for name, shape in shapes.items()
    }


def experts(spread: float = 1.0) -> dict[str, Model]:
    return {name: model(number + 1, spread) for number, name in enumerate(NAMES)}


def ours(mode: str, sources: Mapping[str, Model], shares: list[float]) -> Model:
    base, others, recipe = as_published(list(sources), shares, mode)
    return merged(sources[base], {name: sources[name] for name in others}, recipe)


def flat(tensors: Model) -> torch.Tensor:
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def linear_there(ranked: list[torch.Tensor], weights: list[float]) -> torch.Tensor:
    shares = [weight / sum(weights[1:]) for weight in weights[1:]]
    return sum((share * vector for share, vector in zip(shares, ranked[1:], strict=True)), torch.zeros(()))


def task_arithmetic_there(ranked: list[torch.Tensor], weights: list[float]) -> torch.Tensor:
    total = torch.stack([vector - ranked[0] for vector in ranked[1:]]).sum(dim=0)
    return ranked[0] + sum(weights[1:]) / len(weights[1:]) * total


def ties_there(ranked: list[torch.Tensor], weights: list[float]) -> torch.Tensor:
    vectors = torch.stack([vector - ranked[0] for vector in ranked[1:]])
    dropped = int(vectors.shape[1] * 0.8)
    limits = vectors.abs().kthvalue(dropped, dim=1, keepdim=True).values
    vectors = torch.where(vectors.abs() >= limits, vectors, torch.zeros(()))
    sign = vectors.sum(dim=0).sign()
    sign[sign == 0] = sign.sum().sign()
    agrees = vectors.sign() * sign > 0
    mean = (vectors * agrees).sum(dim=0) / agrees.sum(dim=0).clamp(min=1)
    return ranked[0] + max(weights[1:]) * mean


def slerp_there(ranked: list[torch.Tensor], weights: list[float]) -> torch.Tensor:
    """Of one tensor, in float64."""
    result = ranked[0].double()
    for before, after, vector in zip(weights, weights[1:], ranked[1:], strict=False):
        t, new = before / (before + after), vector.double()
        cosine = (result / result.norm()) @ (new / new.norm())
        if abs(cosine) > 0.9995:
            result = (1 - t) * result + t * new
        else:
            angle = torch.arccos(cosine)
            result = (torch.sin((1 - t) * angle) * result + torch.sin(t * angle) * new) / torch.sin(angle)
    return result.float()


THERE = {"average": linear_there, "task_arithmetic": task_arithmetic_there, "ties": ties_there}


@pytest.mark.parametrize("mode", THERE)
@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_a_merge_is_that_of_the_predecessor(mode: str, spread: float) -> None:
    sources = experts(spread)
    expected = THERE[mode]([flat(sources[name]) for name in RANKED], WEIGHTS)
    torch.testing.assert_close(flat(ours(mode, sources, SHARES)), expected, rtol=1e-6, atol=1e-7)


@given(st.integers(0, 10**6), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_ties_keeps_and_averages_the_very_entries(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randint(-40, 41, (count, 35), generator=generator).float()
    weights = sorted((torch.rand(count, generator=generator) + 0.1).tolist(), reverse=True)
    weights = [weight / sum(weights) for weight in weights]
    sources = {str(number): {"w": vector} for number, vector in enumerate(vectors)}
    expected = ties_there(list(vectors), weights)
    torch.testing.assert_close(ours("ties", sources, weights)["w"], expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(("entries", "lacking"), [(35, 0), (36, 1), (38, 1), (40, 0)])
def test_ties_keeps_one_entry_less_where_five_does_not_divide_their_number(entries: int, lacking: int) -> None:
    vectors = torch.stack([torch.zeros(entries), torch.arange(1.0, entries + 1)])
    there = ties_there(list(vectors), [0.5, 0.5]).count_nonzero()
    found = ours("ties", {"a": {"w": vectors[0]}, "b": {"w": vectors[1]}}, [0.5, 0.5])["w"].count_nonzero()
    assert there - found == lacking


@pytest.mark.parametrize("spread", [3.0, 1e-3], ids=["wide", "close"])
def test_slerp_is_folded_as_the_predecessor_does_the_largest_weight_first(spread: float) -> None:
    sources = experts(spread)
    result = ours("slerp", sources, SHARES)
    for name, tensor in result.items():
        expected = slerp_there([sources[source][name].flatten() for source in RANKED], WEIGHTS)
        torch.testing.assert_close(tensor.flatten(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("coefficients", "counted"),
    [([0.2] * 5, [0.06, 0.06, 0.125, 0.25, 0.5]), (WEIGHTS, [0.02, 0.03, 0.09, 0.20, 0.67])],
)
def test_under_slerp_the_last_counts_most(coefficients: list[float], counted: list[float]) -> None:
    close = (1000 + torch.eye(5)).double()
    found = apply("slerp_fold", close, coefficients, against="previous") - 1000
    assert found.tolist() == pytest.approx(counted, abs=5e-3)


def test_folded_with_all_that_came_before_close_experts_give_their_weighted_average() -> None:
    found = apply("slerp_fold", (1000 + torch.eye(5)).double(), SHARES) - 1000
    assert found.tolist() == pytest.approx(SHARES, abs=1e-9)


def test_two_experts_are_folded_as_slerp_merges_them() -> None:
    pair = torch.tensor([[1.0, 2.0, 0.0], [0.5, -1.0, 2.0]])
    torch.testing.assert_close(apply("slerp_fold", pair, [0.3, 0.7]), apply("slerp", pair, [0.3, 0.7]))


def test_a_tensor_of_zeros_has_no_direction_and_is_mixed_in() -> None:
    found = apply("slerp_fold", torch.tensor([[2.0, 4.0], [0.0, 0.0], [2.0, 4.0]]), [0.5, 0.25, 0.25])
    assert found.tolist() == pytest.approx([1.5, 3.0])


def test_the_largest_is_the_base_and_the_others_follow_by_weight() -> None:
    base, others, recipe = as_published(NAMES, [10 * share for share in SHARES], "similarity")
    assert (base, others) == ("ar-SA", ("cy-GB", "fi-FI", "nl-NL", "fr-FR"))
    assert recipe.method == "average"
    assert recipe.coefficients == pytest.approx(WEIGHTS[1:])


def test_of_equal_coefficients_the_first_is_the_base() -> None:
    assert as_published(NAMES, [0.2] * 5, "average").base == "fi-FI"
    assert as_published(NAMES, [0.2] * 5, "average").experts == tuple(NAMES[1:])


def test_sources_without_a_coefficient_are_left_out() -> None:
    assert as_published(["a", "b", "c"], [0.0, 0.7, 0.3], "task_arithmetic") == as_published(
        ["b", "c"], [0.7, 0.3], "task_arithmetic"
    )


def test_the_scales_are_the_largest_and_the_mean_of_the_others_weights() -> None:
    ties, added = as_published(NAMES, SHARES, "ties").recipe, as_published(NAMES, SHARES, "task_arithmetic").recipe
    assert ties.options["scale"] == pytest.approx(0.3)
    assert (ties.options["density"], ties.options["trim_scope"]) == (0.2, "model")
    assert added.options["scale"] == pytest.approx(0.15)
    assert set(ties.coefficients) == set(added.coefficients) == {1.0}


def test_slerp_merges_the_largest_too() -> None:
    base, others, recipe = as_published(NAMES, SHARES, "slerp")
    assert (base, others) == ("ar-SA", tuple(RANKED))
    assert recipe.coefficients == pytest.approx(WEIGHTS)


def test_its_regmean_is_its_weighted_average() -> None:
    assert as_published(NAMES, SHARES, "regmean") == as_published(NAMES, SHARES, "similarity")


@pytest.mark.parametrize(
    ("method", "reason"),
    [("fisher", "fisher is not reproduced: it needs"), ("uriel", "two fixed models"), ("tie", "did you mean ties?")],
)
def test_other_modes_are_refused_with_the_reason(method: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason.replace("?", r"\?")):
        as_published(NAMES, SHARES, method)


def test_coefficients_that_leave_nothing_to_merge_are_refused() -> None:
    with pytest.raises(UsageError, match="at least two sources coefficients above zero, not 1"):
        as_published(["a", "b"], [1.0, 0.0], "ties")
    with pytest.raises(ValueError, match="non-negative"):
        as_published(["a", "b"], [1.0, -0.5], "ties")


def test_every_method_of_a_mode_stands_for_itself() -> None:
    assert [method_of(mode) for mode in ("slerp", "slerp_fold", "regmean", "ties")] == [
        "slerp_fold",
        "slerp_fold",
        "average",
        "ties",
    ]


def test_the_preset_is_one_of_a_whole_merge() -> None:
    assert presets.WHOLE["merginguriel"](NAMES, SHARES, "ties") == as_published(NAMES, SHARES, "ties")
    with pytest.raises(UsageError, match="preset merginguriel takes one of the sources for the base"):
        presets.options("merginguriel", "ties")


def test_a_misspelt_preset_finds_it() -> None:
    with pytest.raises(UsageError, match="did you mean merginguriel"):
        presets.options("merginguri", "ties")


@dataclass
class Handle:
    tree: Any
    loaded: int = 0

    def load(self) -> Any:
        self.loaded += 1
        return self.tree


@pytest.fixture(scope="module")
def trees() -> dict[str, Any]:
    texts = ["wake me at five", "play some jazz", "what time is it"]
    words = tokenizer.train(texts, vocabulary=60)
    architecture = Architecture(hidden=8, layers=1, heads=2, vocabulary=60, max_length=8)
    start = to_tree(build.new_base(architecture, words, ["alarm", "music", "time"], seed=0))
    generator = torch.Generator().manual_seed(1)

    def tuned(tensor: torch.Tensor) -> torch.Tensor:
        moved = tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
        return moved if tensor.is_floating_point() else tensor

    return {
        name: {**start, "tensors": {key: tuned(tensor) for key, tensor in start["tensors"].items()}} for name in NAMES
    }


@pytest.mark.parametrize("mode", [*THERE, "slerp"])
def test_the_cell_merges_as_published_and_loads_only_the_chosen(mode: str, trees: dict[str, Any]) -> None:
    handles = {name: Handle(tree) for name, tree in trees.items()} | {"never": Handle(None)}
    result = models.merged_as_published.function(handles, NAMES, SHARES, method_of(mode))
    assert [handle.loaded for handle in handles.values()] == [1, 1, 1, 1, 1, 0]
    tensors = {name: tree["tensors"] for name, tree in trees.items()}
    expected = ours(mode, tensors, SHARES)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in result["tensors"].items())
    assert from_tree(result).labels == ("alarm", "music", "time")
    assert {k: v for k, v in result.items() if k != "tensors"} == {
        k: v for k, v in trees["ar-SA"].items() if k != "tensors"
    }


def test_the_cell_wants_the_name_of_the_code_that_runs(trees: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="merginguriel's slerp is slerp_fold here"):
        models.merged_as_published.function({name: Handle(t) for name, t in trees.items()}, NAMES, SHARES, "slerp")


def test_the_cell_counts_its_own_method_and_no_other(trees: dict[str, Any]) -> None:
    from compute.engine.code import Code

    cell = models.merged_as_published({}, NAMES, SHARES, "slerp_fold")
    code = Code()
    parts = {name.partition(":")[0] for name in code.parts(cell)}
    assert {part for part in parts if part.startswith("compute.merging.methods.slerp")} == {
        "compute.merging.methods.slerp_fold"
    }
    assert not code.widened(cell)
