"""DARE before any method: what is dropped, what is kept, and what that may depend on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from merging_helpers import merged

from compute.merging.dare import Dare
from compute.merging.recipe import Recipe


def dropped(task_vector: Any, dare: Dare, *, source: str = "de-DE", name: str = "w") -> torch.Tensor:
    """What is left of one source's task vector."""
    values = torch.as_tensor(task_vector)
    base = {name: torch.zeros_like(values)}
    return merged(base, {source: {name: values}}, Recipe("task_arithmetic", (1.0,), dare=dare))[name]


def test_a_drop_rate_of_zero_changes_nothing() -> None:
    task_vector = torch.randn(3, 5)
    assert torch.equal(dropped(task_vector, Dare(0.0, seed=1)), task_vector)


def test_entries_are_dropped_or_divided_by_the_density() -> None:
    left = dropped(torch.ones(10_000), Dare(0.75, seed=1))
    assert set(left.tolist()) == {0.0, 4.0}
    assert float((left != 0).float().mean()) == pytest.approx(0.25, abs=0.02)


def test_rescaling_to_the_norm_keeps_the_sum_of_magnitudes_of_each_tensor() -> None:
    values = torch.randn(500, generator=torch.Generator().manual_seed(0))
    left = dropped(values, Dare(0.9, seed=1, rescale="norm"))
    assert 20 < int((left != 0).sum()) < 90
    assert float(left.abs().sum()) == pytest.approx(float(values.abs().sum()), rel=1e-5)
    ratios = (left / values)[left != 0]
    assert float(ratios.max() - ratios.min()) < 1e-4
    assert float(ratios.mean()) != pytest.approx(10.0, abs=1e-3), "it makes up for what chance dropped"


def test_a_tensor_whose_entries_are_all_dropped_stays_the_base() -> None:
    assert dropped(torch.ones(1), Dare(0.99, seed=1, rescale="norm")).tolist() == [0.0]


@given(st.integers(0, 2**63 - 1), st.text(max_size=8), st.text(min_size=1, max_size=8))
def test_the_same_seed_source_and_name_drop_the_same(seed: int, source: str, name: str) -> None:
    first, second = (dropped(torch.ones(40), Dare(0.5, seed), source=source, name=name) for _ in range(2))
    assert torch.equal(first, second)


def test_another_seed_source_or_name_drops_others() -> None:
    def kept(seed: int, source: str, name: str) -> tuple[float, ...]:
        return tuple(dropped(torch.ones(64), Dare(0.5, seed), source=source, name=name).tolist())

    assert len({kept(0, "a", "w"), kept(1, "a", "w"), kept(0, "b", "w"), kept(0, "a", "v"), kept(0, "aw", "v")}) == 5


@given(st.integers(1, 200), st.integers(0, 5))
def test_the_fate_of_an_entry_depends_on_its_index_not_on_the_size(size: int, seed: int) -> None:
    longer, shorter = dropped(torch.ones(200), Dare(0.5, seed)), dropped(torch.ones(size), Dare(0.5, seed))
    assert torch.equal(longer[:size], shorter)


def test_the_fate_of_an_entry_depends_neither_on_shape_nor_on_type() -> None:
    flat = dropped(torch.ones(12), Dare(0.5, seed=1))
    square = dropped(torch.ones(4, 3).T.contiguous().T, Dare(0.5, seed=1))
    double = dropped(torch.ones(12, dtype=torch.float64), Dare(0.5, seed=1))
    assert square.flatten().tolist() == flat.tolist() == double.tolist()
    assert double.dtype == torch.float64


def test_the_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    first = dropped(torch.ones(40), Dare(0.5, seed=1))
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)
    torch.manual_seed(2)
    assert torch.equal(dropped(torch.ones(40), Dare(0.5, seed=1)), first)


def test_a_source_is_dropped_alike_whoever_else_is_merged() -> None:
    base, one = {"w": torch.zeros(100)}, {"w": torch.ones(100)}
    many = {name: {"w": torch.zeros(100)} for name in "bcd"}
    dare = Dare(0.5, seed=5)
    alone = merged(base, {"a": one}, Recipe("task_arithmetic", (1.0,), dare=dare))
    last = merged(base, {**many, "a": one}, Recipe("task_arithmetic", (1.0,) * 4, dare=dare))
    assert torch.equal(alone["w"], last["w"])


def test_every_source_is_dropped_by_its_own_mask() -> None:
    expert = {"w": torch.ones(100)}
    both = merged({"w": torch.zeros(100)}, {"a": expert, "b": expert}, Recipe("average", (0.5, 0.5), dare=Dare(0.5)))
    assert set(both["w"].tolist()) == {0.0, 1.0, 2.0}


def test_ranking_sees_what_is_left() -> None:
    """After DARE, a density over what is not zero trims what is left and not what is gone."""
    values = torch.arange(1.0, 101.0)
    ties = Recipe("ties", (1.0,), {"density": 0.5, "density_over": "nonzero"}, dare=Dare(0.5, seed=1))
    left = merged({"w": torch.zeros(100)}, {"a": {"w": values}}, ties)["w"]
    before = dropped(values, Dare(0.5, seed=1), source="a")
    assert int((left != 0).sum()) == int((before != 0).sum()) // 2
    assert left[left != 0].min() > before[(before != 0) & (left == 0)].max()


@pytest.mark.parametrize("drop_rate", [1.0, 2.0, -0.5, float("nan")])
def test_a_drop_rate_outside_its_range_is_refused(drop_rate: float) -> None:
    with pytest.raises(ValueError, match="drop rate is the share of entries dropped"):
        Dare(drop_rate)
