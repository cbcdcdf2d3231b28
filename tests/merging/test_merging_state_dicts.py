"""Merging whole state dicts: what is kept, what is refused, and what the scope of trimming changes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from compute.errors import UsageError
from compute.merging import merge as merging
from compute.merging.dare import Dare
from compute.merging.recipe import Recipe


def model(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A state dict with a large tensor, a small one, and a buffer that is not floating."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "embed.weight": torch.randn(20, 4, generator=generator).to(dtype),
        "positions": torch.arange(6),
        "head.bias": torch.randn(3, generator=generator).to(dtype),
    }


def experts(count: int = 3) -> dict[str, dict[str, Tensor]]:
    return {f"expert-{seed}": model(seed) for seed in range(1, count + 1)}


def merge(
    base: Any,
    experts: Any,
    coefficients: list[float],
    *,
    method: str,
    options: Any = None,
    drop_rate: float = 0.0,
    seed: int = 0,
) -> dict[str, Tensor]:
    dare = Dare(drop_rate, seed) if drop_rate else None
    return merging.merge(base, experts, Recipe(method, tuple(coefficients), options or {}, dare=dare))


def test_the_average_of_two_experts_lies_halfway() -> None:
    base = {"w": torch.tensor([1.0, 1.0, 1.0])}
    merged = merge(
        base,
        {"a": {"w": torch.tensor([1.0, 2.0, 3.0])}, "b": {"w": torch.tensor([3.0, 2.0, -1.0])}},
        [0.5, 0.5],
        method="average",
    )
    assert merged["w"].tolist() == [2.0, 2.0, 1.0]


def test_small_changes_of_a_bf16_model_are_merged_in_fp32() -> None:
    base = {"w": torch.zeros(1, dtype=torch.bfloat16)}
    parts = {str(i): {"w": torch.tensor([1.0 if i == 0 else 2**-9], dtype=torch.bfloat16)} for i in range(5)}
    merged = merge(base, parts, [1.0] * 5, method="task_arithmetic")
    assert merged["w"].tolist() == [1.0078125]  # added in bf16, each 2 ** -9 would be lost


def test_a_model_in_double_precision_is_merged_in_it() -> None:
    expert = {"w": torch.tensor([1 + 2**-40], dtype=torch.float64)}
    merged = merge({"w": torch.ones(1, dtype=torch.float64)}, {"a": expert}, [1.0], method="average")
    assert merged["w"].tolist() == [1 + 2**-40]


def test_gradients_are_not_followed() -> None:
    trained = {"w": torch.ones(2, requires_grad=True)}
    merged = merge({"w": torch.zeros(2, requires_grad=True)}, {"a": trained}, [1.0], method="average")
    assert merged["w"].tolist() == [1.0, 1.0]
    assert not merged["w"].requires_grad


# Scope


def test_trimming_the_whole_model_spares_the_tensors_that_moved_most() -> None:
    base = {"still": torch.zeros(4), "moved": torch.zeros(4)}
    expert = {"still": torch.tensor([0.1, 0.2, 0.3, 0.4]), "moved": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    by_scope = {
        scope: merge(base, {"a": expert}, [1.0], method="ties", options={"density": 0.5, "trim_scope": scope})
        for scope in ("model", "tensor")
    }
    assert by_scope["model"]["still"].tolist() == [0.0] * 4
    assert by_scope["model"]["moved"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert by_scope["tensor"]["still"].tolist() == pytest.approx([0.0, 0.0, 0.3, 0.4])
    assert by_scope["tensor"]["moved"].tolist() == [0.0, 0.0, 3.0, 4.0]


def test_the_model_is_the_default_scope_of_ties() -> None:
    default = merge(model(0), experts(), [1.0, 1.0, 1.0], method="ties")
    named = merge(model(0), experts(), [1.0, 1.0, 1.0], method="ties", options={"trim_scope": "model"})
    assert all(torch.equal(default[name], named[name]) for name in named)


# DARE before a method


def test_dare_drops_before_the_method_is_applied() -> None:
    base, expert = {"w": torch.zeros(1000)}, {"w": torch.ones(1000)}
    merged = merge(base, {"a": expert}, [1.0], method="average", drop_rate=0.75, seed=5)
    assert set(merged["w"].tolist()) == {0.0, 4.0}


def test_a_source_is_dropped_alike_whoever_else_is_merged() -> None:
    base = {"w": torch.zeros(100)}
    one, many = {"w": torch.ones(100)}, {name: {"w": torch.zeros(100)} for name in "bcd"}
    alone = merge(base, {"a": one}, [1.0], method="task_arithmetic", drop_rate=0.5, seed=5)
    last = merge(base, {**many, "a": one}, [1.0] * 4, method="task_arithmetic", drop_rate=0.5, seed=5)
    assert torch.equal(alone["w"], last["w"])


def test_every_source_is_dropped_by_its_own_mask() -> None:
    base, expert = {"w": torch.zeros(100)}, {"w": torch.ones(100)}
    both = {"a": expert, "b": expert}
    merged = merge(base, both, [0.5, 0.5], method="average", drop_rate=0.5, seed=5)
    assert set(merged["w"].tolist()) == {0.0, 1.0, 2.0}


def test_the_seed_changes_what_is_dropped() -> None:
    base, expert = {"w": torch.zeros(100)}, {"w": torch.ones(100)}
    first, second = (
        merge(base, {"a": expert}, [1.0], method="average", drop_rate=0.5, seed=seed)["w"] for seed in (0, 1)
    )
    assert not torch.equal(first, second)


# Refusals


def refusal(base: Any, expert: Any) -> str:
    with pytest.raises(UsageError) as error:
        merge(base, {"de-DE": expert}, [1.0], method="average")
    return str(error.value)


def test_a_tensor_of_another_shape_is_named_with_both_shapes() -> None:
    message = refusal({"head": torch.zeros(60, 2)}, {"head": torch.zeros(18, 2)})
    assert all(part in message for part in ("tensor head", "de-DE", "(18, 2)", "(60, 2)"))


def test_missing_and_extra_tensors_are_named() -> None:
    assert refusal({"a": torch.zeros(1), "head": torch.zeros(1)}, {"a": torch.zeros(1)}) == (
        "expert de-DE lacks tensors of the base model: head"
    )
    extra = {name: torch.zeros(1) for name in "abcdef"}
    assert refusal({"a": torch.zeros(1)}, extra) == (
        "expert de-DE has tensors that the base model lacks: b, c, d and 2 more"
    )


def test_buffers_that_are_not_floating_must_be_equal() -> None:
    message = refusal({"positions": torch.arange(3)}, {"positions": torch.arange(1, 4)})
    assert message.startswith("tensor positions of expert de-DE")
    assert "int64" in refusal({"w": torch.zeros(3)}, {"w": torch.zeros(3, dtype=torch.int64)})


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(number: float) -> None:
    message = refusal({"w": torch.zeros(2)}, {"w": torch.tensor([0.0, number])})
    assert message == "tensor w of expert de-DE has infinite or missing numbers"


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        ([1.0], "2 experts need as many coefficients, not 1"),
        ([1.0, -0.5], "coefficients must be finite, non-negative and not all zero: [1.0, -0.5]"),
        ([0.0, 0.0], "coefficients must be finite, non-negative and not all zero: [0.0, 0.0]"),
        ([1.0, float("nan")], "coefficients must be finite, non-negative and not all zero: [1.0, nan]"),
    ],
)
def test_coefficients_that_do_not_fit_are_refused(coefficients: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        merge(model(0), experts(2), coefficients, method="average")


def test_no_experts_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="average merges at least 1 experts, not 0"):
        merge(model(0), {}, [], method="average")


@pytest.mark.parametrize("drop_rate", [1.0, -0.1])
def test_a_drop_rate_outside_its_range_is_refused(drop_rate: float) -> None:
    with pytest.raises(ValueError, match="drop rate"):
        merge(model(0), experts(1), [1.0], method="average", drop_rate=drop_rate)


@pytest.mark.parametrize("density", [0.0, 1.5])
def test_a_density_outside_its_range_is_refused(density: float) -> None:
    with pytest.raises(ValueError, match="density"):
        merge(model(0), experts(1), [1.0], method="ties", options={"density": density})


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown option of ties 'desnity': did you mean density"):
        merge(model(0), experts(1), [1.0], method="ties", options={"desnity": 0.2})
