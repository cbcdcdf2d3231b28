"""Adapters attached to networks: what PEFT gives, what each gives alone, and the network untouched afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from causal_networks import adapter, logits, network, same, tokens
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.adapters.adapter import Adapter
from compute.adapters.attached import attach, attach_by_peft, targets_of
from compute.errors import UsageError

KINDS = ("qwen2", "llama")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def shared(kind: str) -> Any:
    return network(kind)


def by_peft(of: Any, one: Adapter, ids: torch.Tensor) -> torch.Tensor:
    attached = attach_by_peft(of, one)
    try:
        return logits(of, ids)
    finally:
        attached.detach()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [2.0, 0.7])
def test_an_attached_adapter_gives_what_peft_gives(kind: str, dtype: torch.dtype, scale: float) -> None:
    of = network(kind, dtype)
    ids = tokens(5, 9)
    base = logits(of, ids)
    with attach(of, [adapter(of, 1, scale=scale)]):
        found = logits(of, ids)
    assert found.dtype == dtype
    assert torch.equal(found, by_peft(of, adapter(of, 1, scale=scale), ids))
    assert not torch.equal(found, base)


@given(
    kind=st.sampled_from(KINDS),
    count=st.integers(1, 6),
    rows=st.integers(1, 5),
    length=st.integers(1, 12),
    rank=st.integers(1, 8),
)
@settings(max_examples=12)
def test_adapters_asked_in_one_pass_give_what_each_gives_alone(
    kind: str, count: int, rows: int, length: int, rank: int
) -> None:
    of = shared(kind)
    adapters = [adapter(of, seed, rank) for seed in range(count)]
    ids = tokens(count * rows, length, rank)
    with attach(of, adapters):
        together = logits(of, ids)
    for place, one in enumerate(adapters):
        mine = slice(place * rows, (place + 1) * rows)
        with attach(of, [one]):
            torch.testing.assert_close(together[mine], logits(of, ids[mine]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_asked_in_one_pass_give_the_same_bits_as_alone(kind: str) -> None:
    of = network(kind, hidden_size=64, intermediate_size=160)
    adapters = [adapter(of, seed, 8, scale=1.0 + seed) for seed in range(7)]
    ids = tokens(7 * 16, 11)
    with attach(of, adapters):
        together = logits(of, ids).split(16)
    for one, found, rows in zip(adapters, together, ids.split(16), strict=True):
        assert torch.equal(found, by_peft(of, one, rows))


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_that_changes_nothing_gives_the_base(kind: str) -> None:
    of = shared(kind)
    ids = tokens(4, 7)
    zero = adapter(of, 0)
    for one in zero.modules.values():
        one.b[:] = 0
    with attach(of, [zero, zero]):
        assert torch.equal(logits(of, ids), logits(network(kind), ids))


@pytest.mark.parametrize("attaching", [lambda of, one: attach(of, [one]), attach_by_peft])
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_is_as_before_once_adapters_are_detached(kind: str, attaching: Any) -> None:
    of = network(kind)
    ids = tokens(4, 7)
    modules, weights, base = dict(of.named_modules()), dict(of.state_dict()), logits(of, ids)
    own, drawn = set(vars(of)), torch.random.get_rng_state()
    attaching(of, adapter(of, 1)).detach()
    assert dict(of.named_modules()) == modules
    assert of.state_dict().keys() == weights.keys()
    assert all(
        tensor is weights[name] or torch.equal(tensor, weights[name]) for name, tensor in of.state_dict().items()
    )
    assert torch.equal(logits(of, ids), base)
    assert set(vars(of)) == own
    assert torch.equal(torch.random.get_rng_state(), drawn)


@pytest.mark.parametrize("kind", KINDS)
def test_a_swap_is_attaching_anew(kind: str) -> None:
    of = shared(kind)
    ids = tokens(4, 7)
    adapters = [adapter(of, seed) for seed in range(4)]
    with attach(of, adapters[2:]):
        wanted = logits(of, ids)
    with attach(of, adapters[:2]) as attached:
        before = attached.parameters()
        attached.swap(adapters[2:])
        assert all(now is then for now, then in zip(attached.parameters(), before, strict=True))
        assert torch.equal(logits(of, ids), wanted)
        attached.swap([adapter(of, 9, rank=2)])
        other = logits(of, ids)
    assert torch.equal(other, by_peft(of, adapter(of, 9, rank=2), ids))


def test_a_swap_does_not_write_into_the_adapter_that_was_attached() -> None:
    of = shared("llama")
    first, second = adapter(of, 1), adapter(of, 2)
    with attach(of, [first]) as attached:
        attached.swap([second])
        assert same(attached.adapters()[0], second)
    assert same(first, adapter(of, 1))


def test_some_of_the_adapters_can_be_asked_alone() -> None:
    of = shared("qwen2")
    ids = tokens(4, 7)
    adapters = [adapter(of, seed, scale=1.0 + seed) for seed in range(3)]
    with attach(of, [adapters[2], adapters[0]]):
        wanted = logits(of, ids)
    with attach(of, adapters) as attached:
        attached.only([2, 0])
        assert torch.equal(logits(of, ids), wanted)
        attached.only(None)
        assert logits(of, tokens(3, 7)).shape[0] == 3


def test_adapters_come_back_as_they_were_attached() -> None:
    of = shared("qwen2")
    adapters = [adapter(of, seed, scale=1.0 + seed) for seed in range(3)]
    with attach(of, adapters) as attached:
        assert all(same(one, back) for one, back in zip(adapters, attached.adapters(), strict=True))
    in_peft = attach_by_peft(of, adapters[1])
    assert same(in_peft.adapters()[0], adapters[1])
    in_peft.detach()


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_write_in_one_pass_what_each_writes_alone(kind: str) -> None:
    of = network(kind)
    of.generation_config.pad_token_id = 0
    adapters = [adapter(of, seed) for seed in range(3)]
    ids = tokens(6, 5)

    def written(rows: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = of.generate(rows, attention_mask=torch.ones_like(rows), max_new_tokens=4, do_sample=False)
        return found

    with attach(of, adapters):
        together = written(ids).split(2)
    for one, found, rows in zip(adapters, together, ids.split(2), strict=True):
        with attach(of, [one]):
            assert torch.equal(written(rows), found)


def test_modules_are_found_by_the_ends_of_their_names() -> None:
    of = shared("llama")
    found = targets_of(of, ("v_proj", "self_attn.q_proj"))
    assert list(found)[:2] == ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"]
    assert len(found) == 4
    with pytest.raises(UsageError, match="no linear module named 'proj'"):
        targets_of(of, ("q_proj", "proj"))


def test_adapters_that_do_not_fit_are_refused() -> None:
    of = shared("llama")
    one = adapter(of, 0)
    larger = network("llama", hidden_size=64)
    with pytest.raises(UsageError, match=r"does not fit .*layers.0.self_attn.q_proj.*from 32 to 32.*from 64 to 64"):
        attach(larger, [one])
    with pytest.raises(UsageError, match="does not fit"):
        attach_by_peft(larger, one)
    with pytest.raises(UsageError, match=r"no linear module of that name"):
        attach(network("llama", num_hidden_layers=1), [one])
    with pytest.raises(UsageError, match=r"one rank: .* \[2, 4\]"):
        attach(of, [one, adapter(of, 0, rank=2)])
    fewer = Adapter({name: factors for name, factors in one.modules.items() if name.endswith("q_proj")})
    with pytest.raises(UsageError, match=r"same modules: .*v_proj"):
        attach(of, [one, fewer])


def test_a_batch_that_cannot_be_shared_out_is_refused() -> None:
    of = shared("llama")
    with attach(of, [adapter(of, 0), adapter(of, 1)]), pytest.raises(ValueError, match=r"5 rows .* among 2 adapters"):
        logits(of, tokens(5, 4))
