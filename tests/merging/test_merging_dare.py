"""DARE: what is dropped, what is kept, and what that may depend on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compute.merging.dare import dare


def test_a_drop_rate_of_zero_changes_nothing() -> None:
    task_vector = torch.randn(3, 5)
    assert torch.equal(dare({"w": task_vector}, drop_rate=0.0, seed=1, source="de-DE")["w"], task_vector)


def test_entries_are_dropped_or_divided_by_the_density() -> None:
    dropped = dare({"w": torch.ones(10_000)}, drop_rate=0.75, seed=1, source="de-DE")["w"]
    assert set(dropped.tolist()) == {0.0, 4.0}
    assert float((dropped != 0).float().mean()) == pytest.approx(0.25, abs=0.02)


def test_the_mean_over_seeds_is_the_task_vector() -> None:
    task_vector = torch.tensor([1.0, -2.0, 0.5])
    draws = [dare({"w": task_vector}, drop_rate=0.5, seed=seed, source="de-DE")["w"] for seed in range(4000)]
    assert torch.allclose(torch.stack(draws).mean(dim=0), task_vector, atol=0.1)


@given(st.integers(0, 2**63 - 1), st.text(max_size=8), st.text(max_size=8))
def test_the_same_seed_source_and_name_drop_the_same(seed: int, source: str, name: str) -> None:
    first, second = (dare({name: torch.ones(40)}, drop_rate=0.5, seed=seed, source=source)[name] for _ in range(2))
    assert torch.equal(first, second)


def test_another_seed_source_or_name_drops_others() -> None:
    def kept(seed: int, source: str, name: str) -> tuple[float, ...]:
        return tuple(dare({name: torch.ones(64)}, drop_rate=0.5, seed=seed, source=source)[name].tolist())

    masks = {kept(0, "a", "w"), kept(1, "a", "w"), kept(0, "b", "w"), kept(0, "a", "v"), kept(0, "aw", "")}
    assert len(masks) == 5


def test_a_mask_does_not_depend_on_the_other_tensors() -> None:
    tensors = {name: torch.ones(50) for name in "uvw"}
    alone = dare({"w": tensors["w"]}, drop_rate=0.5, seed=1, source="a")["w"]
    together = dare(dict(reversed(tensors.items())), drop_rate=0.5, seed=1, source="a")["w"]
    assert torch.equal(alone, together)


@given(st.integers(1, 200), st.integers(0, 5))
def test_the_fate_of_an_entry_depends_on_its_index_not_on_the_size(size: int, seed: int) -> None:
    longer = dare({"w": torch.ones(200)}, drop_rate=0.5, seed=seed, source="a")["w"]
    shorter = dare({"w": torch.ones(size)}, drop_rate=0.5, seed=seed, source="a")["w"]
    assert torch.equal(longer[:size], shorter)


def test_the_fate_of_an_entry_depends_neither_on_shape_nor_on_type() -> None:
    flat = dare({"w": torch.ones(12)}, drop_rate=0.5, seed=1, source="a")["w"]
    square = dare({"w": torch.ones(4, 3).T.contiguous().T}, drop_rate=0.5, seed=1, source="a")["w"]
    double = dare({"w": torch.ones(12, dtype=torch.float64)}, drop_rate=0.5, seed=1, source="a")["w"]
    assert square.flatten().tolist() == flat.tolist() == double.tolist()
    assert double.dtype == torch.float64


def test_the_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    first = dare({"w": torch.ones(40)}, drop_rate=0.5, seed=1, source="a")["w"]
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)
    torch.manual_seed(2)
    assert torch.equal(dare({"w": torch.ones(40)}, drop_rate=0.5, seed=1, source="a")["w"], first)


def test_the_mask_is_pinned() -> None:
    dropped = dare({"w": torch.ones(12)}, drop_rate=0.5, seed=0, source="de-DE")["w"]
    assert dropped.tolist() == [2.0, 2.0, 2.0, 2.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 0.0, 2.0]


@pytest.mark.parametrize("drop_rate", [1.0, 2.0, -0.5])
def test_a_drop_rate_outside_its_range_is_refused(drop_rate: float) -> None:
    with pytest.raises(ValueError, match="drop rate is the share of entries dropped"):
        dare({"w": torch.ones(2)}, drop_rate=drop_rate, seed=0, source="a")
