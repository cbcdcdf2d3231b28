"""Training adapters: together as alone and as by PEFT, each on its own examples, from the seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from causal_networks import WORDS, network, same
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from compute.adapters import training
from compute.adapters.adapter import Adapter
from compute.adapters.attached import attach
from compute.adapters.recipes import LoraRecipe
from compute.adapters.training import initial, train
from compute.models.prompts import Encoded

KINDS = ("qwen2", "llama")
RECIPE = LoraRecipe(batch=4, learning_rate=5e-3, steps=5, rank=4, alpha=8, together=8)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def shared(kind: str) -> Any:
    return network(kind)


def examples(count: int, seed: int, shortest: int = 9, longest: int = 9) -> Encoded:
    """Rows of tokens whose last three are the first again, one further."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(shortest, longest + 1, count)
    rows = [rng.integers(0, WORDS, length - 3) for length in lengths]
    return Encoded([[*row.tolist(), *((row[:3] + 1) % WORDS).tolist()] for row in rows], (lengths - 3).tolist(), 0)


def trained(of: Any, tasks: Mapping[str, Encoded], recipe: LoraRecipe = RECIPE, seed: int = 0) -> dict[str, Adapter]:
    start = initial(of, recipe, 1)
    return train(of, tasks, dict.fromkeys(tasks, start), recipe, seed=seed, pad_id=0)


def equal(one: Mapping[str, Adapter], other: Mapping[str, Adapter]) -> bool:
    return list(one) == list(other) and all(same(one[task], other[task]) for task in one)


def in_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "attach_by_peft", lambda of, one: attach(of, [one]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("together", [2, 5])
def test_tasks_trained_together_get_the_same_bits_as_by_peft(kind: str, together: int) -> None:
    tasks = {f"task {seed}": examples(11, seed) for seed in range(5)}
    alone = trained(shared(kind), tasks, replace(RECIPE, together=1))
    assert equal(trained(shared(kind), tasks, replace(RECIPE, together=together)), alone)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_of_one_gets_the_same_bits_as_peft(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = {"task": examples(11, 0)}
    by_peft = trained(shared(kind), tasks)
    in_the_stack(monkeypatch)
    assert equal(trained(shared(kind), tasks), by_peft)


@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, steps=None, epochs=2)])
def test_tasks_of_other_sizes_and_lengths_do_not_touch_each_other(recipe: LoraRecipe) -> None:
    sizes = {"a": 6, "b": 11, "c": 12, "d": 9}
    tasks = {name: examples(size, size, shortest=5, longest=12) for name, size in sizes.items()}
    alone = trained(shared("qwen2"), tasks, replace(recipe, together=1))
    assert equal(trained(shared("qwen2"), tasks, recipe), alone)


def test_tasks_may_start_from_adapters_of_their_own() -> None:
    of, tasks = shared("llama"), {name: examples(8, 0) for name in ("a", "b")}
    start = {name: initial(of, RECIPE, seed) for seed, name in enumerate(tasks)}
    together = train(of, tasks, start, RECIPE, seed=0, pad_id=0)
    assert equal(together, train(of, tasks, start, replace(RECIPE, together=1), seed=0, pad_id=0))
    assert not np.array_equal(*(one.modules["model.layers.0.self_attn.q_proj"].a for one in together.values()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_and_the_name_of_a_task_decide_its_adapter(kind: str) -> None:
    of, tasks = shared(kind), {"a": examples(9, 0), "b": examples(9, 0)}
    first = trained(of, tasks)
    assert equal(trained(of, dict(tasks)), first)
    assert equal({"b": first["b"], "a": first["a"]}, trained(of, {"b": tasks["b"], "a": tasks["a"]}))
    assert not same(first["a"], first["b"])
    assert not same(first["a"], trained(of, tasks, seed=1)["a"])


@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_is_as_before_and_what_it_learned_lowers_the_loss(kind: str, together: int) -> None:
    of = network(kind)
    weights = {name: tensor.clone() for name, tensor in of.state_dict().items()}
    task = examples(40, 0)
    found = trained(of, {"a": task, "b": task}, replace(RECIPE, steps=60, batch=16, together=together))["a"]
    assert all(torch.equal(tensor, weights[name]) for name, tensor in of.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in of.parameters())
    assert not of.training
    assert loss(of, found, task) < 0.8 * loss(of, initial(of, RECIPE, 1), task)


def loss(of: Any, one: Adapter, task: Encoded) -> float:
    labels = torch.tensor([[-100] * start + row[start:] for row, start in zip(task.ids, task.starts, strict=True)])
    with attach(of, [one]), torch.no_grad():
        return float(of(input_ids=torch.tensor(task.ids), labels=labels).loss)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_that_of_a_plain_training_loop_with_peft(kind: str) -> None:
    from peft import LoraConfig, get_peft_model

    of, task = network(kind), examples(4, 0, shortest=5, longest=9)
    recipe = replace(RECIPE, steps=3)
    start = initial(of, recipe, 1)
    found = trained(of, {"task": task, "other": examples(4, 1)}, recipe)["task"]

    model = get_peft_model(of, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]))
    layers = {name: of.get_submodule(name) for name in start.modules}
    for name, layer in layers.items():
        layer.lora_A["default"].weight.data = torch.tensor(start.modules[name].a)
        layer.lora_B["default"].weight.data = torch.tensor(start.modules[name].b)
    optimizer = torch.optim.AdamW([weight for weight in of.parameters() if weight.requires_grad], weight_decay=0.0)
    width = max(map(len, task.ids))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in task.ids])
    place, lengths, starts = torch.arange(width), torch.tensor([*map(len, task.ids)]), torch.tensor(task.starts)
    mask = place < lengths[:, None]
    labels = ids.masked_fill(~mask | (place < starts[:, None]), -100)
    for step in range(3):
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * (3 - step) / 3
        model(input_ids=ids, attention_mask=mask.long(), labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, layer in layers.items():
        np.testing.assert_allclose(found.modules[name].a, layer.lora_A["default"].weight.detach(), atol=2e-4)
        np.testing.assert_allclose(found.modules[name].b, layer.lora_B["default"].weight.detach(), atol=2e-4)


def test_recomputed_activations_change_nothing() -> None:
    of, tasks = network("llama"), {name: examples(8, seed) for seed, name in enumerate("ab")}
    for together in (1, 2):
        recipe = replace(RECIPE, together=together)
        assert equal(trained(of, tasks, replace(recipe, checkpointing=True)), trained(of, tasks, recipe))
    assert not of.training
    assert not any(getattr(module, "gradient_checkpointing", False) for module in of.modules())


def test_a_network_in_bfloat16_trains_adapters_in_float32() -> None:
    of, tasks = network("qwen2", torch.bfloat16), {name: examples(8, seed) for seed, name in enumerate("ab")}
    recipe = replace(RECIPE, dtype="bfloat16")
    found = trained(of, tasks, recipe)
    assert equal(found, trained(of, tasks, replace(recipe, together=1)))
    factors = found["a"].modules["model.layers.1.self_attn.v_proj"]
    assert factors.a.dtype == factors.b.dtype == np.float32
    assert factors.b.any()
    with pytest.raises(ValueError, match="trains on a network in float32: found one in bfloat16"):
        trained(of, tasks)


def test_only_so_many_examples_and_tokens_are_looked_at() -> None:
    of, task = shared("llama"), examples(12, 0)
    few = Encoded([row[:7] for row in task.ids[:5]], task.starts[:5], 0)
    assert equal(trained(of, {"a": task}, replace(RECIPE, examples=5, max_length=7)), trained(of, {"a": few}))


@given(count=st.integers(1, 30), batch=st.integers(1, 8), amount=st.integers(1, 6), seed=st.integers(0, 99))
def test_examples_are_shown_evenly(count: int, batch: int, amount: int, seed: int) -> None:
    by_epoch = training._steps(count, LoraRecipe(batch, 1.0, epochs=amount), seed)
    shown = torch.cat(by_epoch).bincount(minlength=count)
    assert (shown == amount).all()
    assert len(by_epoch) == amount * -(-count // batch)
    by_step = training._steps(count, LoraRecipe(batch, 1.0, steps=amount), seed)
    assert [len(rows) for rows in by_step] == [batch] * amount
    shown = torch.cat(by_step).bincount(minlength=count)
    assert shown.max() - shown.min() <= 1


@given(steps=st.integers(1, 50), warmup=st.floats(0, 0.99))
def test_the_rate_rises_then_falls(steps: int, warmup: float) -> None:
    factor = training._warmup_and_decay(steps, warmup)
    rates = [factor(step) for step in range(steps)]
    top = rates.index(max(rates))
    assert 0 < min(rates) <= max(rates) == 1
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)


def test_an_adapter_starts_as_peft_starts_it() -> None:
    of = shared("qwen2")
    start = initial(of, RECIPE, 3)
    assert same(start, initial(of, RECIPE, 3))
    assert not same(start, initial(of, RECIPE, 4))
    assert [*start.modules][:2] == ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"]
    drawn = np.concatenate([one.a.ravel() for one in start.modules.values()])
    bound = of.config.hidden_size**-0.5
    assert 0.95 * bound < abs(drawn).max() <= bound
    assert abs(drawn.mean()) < 0.1 * bound
    assert all(not one.b.any() and one.scale == 2.0 and one.rank == 4 for one in start.modules.values())


def test_a_recipe_says_how_long_once() -> None:
    checked: TypeAdapter[LoraRecipe] = TypeAdapter(LoraRecipe)
    assert checked.validate_python({"batch": 8, "learning_rate": 2e-4, "epochs": 1}).scale == 2.0
    with pytest.raises(ValidationError, match=r"one of steps and epochs.*found neither"):
        checked.validate_python({"batch": 8, "learning_rate": 2e-4})
    with pytest.raises(ValidationError, match="found both, steps = 3 and epochs = 1"):
        checked.validate_python({"batch": 8, "learning_rate": 2e-4, "steps": 3, "epochs": 1})
    with pytest.raises(ValidationError, match="targets"):
        checked.validate_python({"batch": 8, "learning_rate": 2e-4, "steps": 3, "targets": []})


def test_a_task_without_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="no example"):
        trained(shared("llama"), {"a": Encoded([], [], 0)})
