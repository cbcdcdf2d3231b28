"""What holds for every merge method that is found, on whole models: examples are drawn, methods discovered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import plugins
from compute.errors import UsageError
from compute.merging.dare import Dare
from compute.merging.merge import Job, merge_weights
from compute.merging.method import PACKAGE, method_info, method_options
from compute.merging.recipe import Recipe
from compute.weights.memory import InMemory, MemorySink

METHODS = plugins.names(PACKAGE)
DISCOVERED = pytest.mark.parametrize("method", METHODS)
IDEMPOTENT = pytest.mark.parametrize("method", [name for name in METHODS if method_info(name).idempotent])

Model = dict[str, torch.Tensor]

SHAPES = {
    "embeddings.word_embeddings.weight": (12, 4),
    "encoder.layer.0.dense.weight": (6, 4),
    "encoder.layer.0.dense.bias": (6,),
    "encoder.layer.1.dense.weight": (4, 6),
    "classifier.out_proj.weight": (3, 4),
    "scale": (),
}


def model(seed: int, spread: float = 1.0) -> Model:
    """Random tensors; some rows of the embeddings are those of every other seed, as in fine-tuned models."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: spread * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    tensors["embeddings.word_embeddings.weight"][seed % 5 :: 3] = 0.25
    return {**tensors, "position_ids": torch.arange(5)}


def experts(count: int) -> dict[str, Model]:
    return {f"expert-{number}": model(number + 1) for number in range(count)}


def count_for(method: str) -> int:
    """Three sources, or as many as the method takes."""
    most = method_info(method).sources[1]
    return min(3, most or 3)


def data_for(names: list[str]) -> dict[str, Any]:
    """Everything that a method may ask for, made up for the experts *names*; each has its own."""
    fisher, grams = {}, {}
    for name in names:
        generator = torch.Generator().manual_seed(len(name) + sum(name.encode()))
        values = {tensor: torch.rand(shape, generator=generator) + 0.1 for tensor, shape in SHAPES.items()}
        fisher[name] = InMemory(values)
        inputs = {
            tensor: torch.randn(9, shape[1], generator=generator) for tensor, shape in SHAPES.items() if len(shape) == 2
        }
        grams[name] = {tensor: (rows.T @ rows).numpy() for tensor, rows in inputs.items() if "encoder" in tensor}
    return {"fisher": fisher, "grams": grams, "entropy": pull}


def pull(parameters: Mapping[str, Any], step: int) -> tuple[float, dict[str, Any]]:
    """An objective that needs no network: the squared distance of all parameters from a half."""
    return (
        float(sum(((value - 0.5) ** 2).sum() for value in parameters.values())),
        {name: 2 * (value - 0.5) for name, value in parameters.items()},
    )


def quick(method: str) -> dict[str, Any]:
    """Options that make a method that learns learn quickly."""
    return {"steps": 4} if "steps" in method_options(method) else {}


def merged(
    base: Model, sources: Mapping[str, Model], recipe: Recipe, *, dtypes: bool = False, **how: Any
) -> dict[str, torch.Tensor]:
    whole = InMemory(base)
    sink = MemorySink(whole.tensors().values())
    data = data_for(list(sources))
    data = {name: data[name] for name in ("fisher", "grams", "entropy")}
    merge_weights(
        whole,
        {name: InMemory(expert) for name, expert in sources.items()},
        [Job(recipe, sink, data)],
        **{"threads": 1, **how},
    )
    return sink.torch()


def same(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor], **tolerance: float) -> bool:
    compare = (lambda a, b: torch.allclose(a, b, **tolerance)) if tolerance else torch.equal
    return left.keys() == right.keys() and all(compare(left[name], right[name]) for name in left)


def dares(*drops: Dare) -> Any:
    """Every method without DARE, and under each of *drops* those that merge task vectors."""
    pairs = [
        (method, drop) for method in METHODS for drop in (None, *drops) if drop is None or method_info(method).affine
    ]
    return pytest.mark.parametrize(("method", "dare"), pairs, ids=lambda part: getattr(part, "rescale", part))


def recipe(method: str, count: int, **more: Any) -> Recipe:
    coefficients = (0.5, 0.3, 0.2)[:count]
    return Recipe(method, tuple(c / sum(coefficients) for c in coefficients), quick(method), seed=7, **more)


@dares(Dare(0.5, seed=3))
def test_sources_may_be_permuted_with_their_coefficients(method: str, dare: Dare | None) -> None:
    count = count_for(method)
    settled = recipe(method, count, dare=dare)
    named = list(experts(count).items())
    expected = merged(model(0), dict(named), settled)
    for order in ([2, 0, 1][-count:] if count == 3 else [1, 0], list(reversed(range(count)))):
        permuted = dataclasses.replace(settled, coefficients=tuple(settled.coefficients[i] for i in order))
        again = merged(model(0), dict(named[i] for i in order), permuted)
        assert same(again, expected, rtol=1e-4, atol=1e-5), order


@DISCOVERED
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_names_shapes_and_types_are_those_of_the_base(method: str, dtype: torch.dtype) -> None:
    def cast(tensors: Model) -> Model:
        return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}

    count = count_for(method)
    base = cast(model(0))
    result = merged(base, {name: cast(expert) for name, expert in experts(count).items()}, recipe(method, count))
    assert [(n, t.shape, t.dtype) for n, t in result.items()] == [(n, t.shape, t.dtype) for n, t in base.items()]
    assert all(tensor.isfinite().all() for tensor in result.values())


@dares(Dare(0.5), Dare(0.5, rescale="norm"))
def test_experts_that_learnt_nothing_give_the_base(method: str, dare: Dare | None) -> None:
    count = count_for(method)
    still = {name: model(0) for name in experts(count)}
    result = merged(model(0), still, recipe(method, count, dare=dare))
    assert same(result, model(0), rtol=1e-6, atol=1e-6)
    if dare or method_info(method).needs_base:
        assert same(result, model(0)), "not even rounding moves what nobody moved"


@IDEMPOTENT
def test_equal_experts_give_the_expert_where_nothing_is_dropped(method: str) -> None:
    count = count_for(method)
    neutral = {**quick(method), **method_info(method).neutral}
    settled = dataclasses.replace(recipe(method, count), options=neutral)
    result = merged(model(0), {name: model(1) for name in experts(count)}, settled)
    assert same(result, model(1), rtol=1e-4, atol=1e-5)


@dares(Dare(0.5, rescale="norm"))
def test_the_result_depends_neither_on_chunks_nor_threads_nor_the_order_of_tensors(
    method: str, dare: Dare | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.merging.grid.GRAIN", 8)  # small tensors then have several grains
    count = count_for(method)
    settled, sources = recipe(method, count, dare=dare), experts(count)
    expected = merged(model(0), sources, settled, entries=1)
    for how in ({"entries": 7}, {"entries": 60}, {"entries": 10**6}, {"entries": 40, "threads": 3}):
        assert same(merged(model(0), sources, settled, **how), expected), how
    turned = {name: dict(reversed(expert.items())) for name, expert in sources.items()}
    again = merged(dict(reversed(model(0).items())), turned, settled)
    assert same(dict(reversed(again.items())), expected), "order of tensors"


@dares(Dare(0.3))
def test_another_device_gives_the_same_up_to_rounding(method: str, dare: Dare | None) -> None:
    count = count_for(method)
    device = "cuda" if torch.cuda.is_available() else "torch:cpu"
    sources = experts(count)
    settled = recipe(method, count, dare=dare)
    expected = merged(model(0), sources, settled)
    assert same(merged(model(0), sources, settled, device=device), expected, rtol=1e-4, atol=1e-5)


@DISCOVERED
def test_inputs_are_left_alone_and_share_no_memory_with_the_result(method: str) -> None:
    count = count_for(method)
    base, sources = model(0), experts(count)
    for tensor in merged(base, sources, recipe(method, count)).values():
        tensor.fill_(7)
    assert same(base, model(0))
    assert all(same(expert, experts(count)[name]) for name, expert in sources.items())


@DISCOVERED
def test_merging_several_at_once_gives_what_each_gives_alone(method: str) -> None:
    count = count_for(method)
    sources, base = experts(count), InMemory(model(0))
    recipes = [recipe(method, count), recipe("average", count, dare=Dare(0.5)), recipe("average", count)]
    sinks = [MemorySink(base.tensors().values()) for _ in recipes]
    jobs = [Job(each, sink, data_for(list(sources))) for each, sink in zip(recipes, sinks, strict=True)]
    merge_weights(base, {name: InMemory(expert) for name, expert in sources.items()}, jobs, threads=1)
    for each, sink in zip(recipes, sinks, strict=True):
        assert same(sink.torch(), merged(model(0), sources, each))


@DISCOVERED
def test_every_option_has_a_default_and_a_type(method: str) -> None:
    for name, option in method_options(method).items():
        assert option.default is not None, name
        kinds = getattr(option.type, "__args__", None) or (option.type,)
        assert (
            isinstance(option.default, (int, float))
            if option.type is float
            else (option.default in kinds or isinstance(option.default, kinds[0]))
        ), name


@DISCOVERED
def test_a_method_tells_its_paper_its_equation_and_what_it_agrees_with(method: str) -> None:
    text = plugins.load(PACKAGE, method).__doc__ or ""
    paper = method_info(method).paper
    assert not paper or paper.startswith("https://")
    assert len(text) > 120, "equation, shapes and references belong into the docstring"


@pytest.mark.parametrize("method", [name for name in METHODS if not method_info(name).affine])
def test_what_merges_weights_refuses_what_changes_task_vectors(method: str) -> None:
    with pytest.raises(UsageError, match="merges weights, and DARE changes task vectors"):
        recipe(method, 2, dare=Dare(0.5))


@DISCOVERED
@pytest.mark.parametrize("policy", ["base", "seen"])
def test_a_policy_for_embeddings_changes_them_alone(method: str, policy: Any) -> None:
    count = count_for(method)
    sources, scope = experts(count), "embeddings.word_embeddings.weight"
    result = merged(model(0), sources, recipe(method, count, embeddings=policy))
    if policy == "base":
        assert torch.equal(result[scope], model(0)[scope])
    if method_info(method).scope == "tensor" and "trim_scope" not in method_options(method):
        plain = merged(model(0), sources, recipe(method, count))
        assert all(torch.equal(result[name], plain[name]) for name in plain if name != scope)


@DISCOVERED
def test_a_policy_for_the_head_takes_that_of_the_largest_coefficient(method: str) -> None:
    count = count_for(method)
    result = merged(model(0), experts(count), recipe(method, count, head="best"))
    expected = experts(count)["expert-0"]["classifier.out_proj.weight"]
    assert torch.allclose(result["classifier.out_proj.weight"], expected, atol=1e-6)


@given(st.integers(0, 5), st.sampled_from([0.3, 0.5, 0.9]))
@settings(max_examples=10, deadline=None)
def test_the_mean_of_dare_over_seeds_tends_to_the_task_vector(expert: int, rate: float) -> None:
    base, one = model(0), {"a": model(expert + 1)}
    draws = [merged(base, one, Recipe("task_arithmetic", (1.0,), dare=Dare(rate, seed=seed))) for seed in range(400)]
    for name in ("encoder.layer.0.dense.weight", "classifier.out_proj.weight"):
        mean = torch.stack([draw[name] for draw in draws]).mean(dim=0)
        error = (one["a"][name] - base[name]).abs() * np.sqrt(rate / (1 - rate) / 400)
        assert ((mean - one["a"][name]).abs() <= 5 * error + 1e-6).all()
