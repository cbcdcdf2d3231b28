from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compute.merging.merge import merge
from compute.merging.recipe import Recipe
from compute.merging.sphere import lengths_and_cosines, spherical_mean

ZERO = [0.0, 0.0]


def merged(method: str, base: list[Any], *experts: list[Any], coefficients: Any = None, **options: Any) -> Any:
    states = {f"expert-{number}": {"weight": torch.tensor(expert)} for number, expert in enumerate(experts)}
    recipe = Recipe(method, tuple(coefficients or [1.0] * len(experts)), options)
    return merge({"weight": torch.tensor(base)}, states, recipe)["weight"].tolist()


# --- SLERP ------------------------------------------------------------------------------------------------------------


def test_slerp_goes_along_the_arc() -> None:
    assert merged("slerp", ZERO, [1.0, 0.0], [0.0, 1.0]) == pytest.approx([np.sqrt(0.5)] * 2)
    third = [np.cos(np.pi / 6), np.sin(np.pi / 6)]
    assert merged("slerp", ZERO, [1.0, 0.0], [0.0, 1.0], coefficients=(2, 1)) == pytest.approx(third)


def test_slerp_begins_and_ends_with_an_expert_whatever_the_base() -> None:
    assert merged("slerp", [9.0, 9.0], [1.0, 0.5], [0.0, 3.0], coefficients=(1, 0)) == [1.0, 0.5]
    assert merged("slerp", [9.0, 9.0], [1.0, 0.5], [0.0, 3.0], coefficients=(0, 1)) == [0.0, 3.0]


def test_slerp_is_linear_where_there_is_next_to_no_angle() -> None:
    near, far = [1.0, 0.01], [1.0, 0.1]  # cosines of .99995 and .995
    assert merged("slerp", ZERO, [1.0, 0.0], near) == pytest.approx([1.0, 0.005])
    assert merged("slerp", ZERO, [1.0, 0.0], far)[0] > 1.001
    assert merged("slerp", ZERO, [1.0, 0.0], far, linear_above=0.99) == pytest.approx([1.0, 0.05])
    assert merged("slerp", ZERO, [1.0, 0.0], near, linear_above=1.0)[0] > 1.00001


def test_slerp_is_linear_where_there_is_no_arc_or_not_one_alone() -> None:
    assert merged("slerp", ZERO, [3.0, 1.0], [3.0, 1.0], linear_above=1.0) == [3.0, 1.0]
    assert merged("slerp", ZERO, [3.0, 1.0], [-3.0, -1.0], coefficients=(3, 1)) == [1.5, 0.5]
    assert merged("slerp", ZERO, [3.0, 1.0], ZERO) == [1.5, 0.5]
    assert merged("slerp", ZERO, ZERO, ZERO) == ZERO


def test_slerp_merges_two() -> None:
    with pytest.raises(ValueError, match="slerp merges 2 experts, not 3"):
        Recipe("slerp", (1, 1, 1))


# --- Karcher mean -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["karcher", "multislerp"])
@pytest.mark.parametrize("coefficients", [(1, 1), (3, 1), (1, 0)])
def test_of_two_of_one_length_the_karcher_mean_is_slerp(method: str, coefficients: tuple[float, ...]) -> None:
    pair = ([1.0, 0.0, 2.0], [0.0, -2.0, 1.0])
    expected = merged("slerp", [0.0] * 3, *pair, coefficients=coefficients)
    found = merged(method, [0.0] * 3, *pair, coefficients=coefficients, iterations=100)
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_karcher_mean_has_the_mean_length() -> None:
    assert merged("karcher", ZERO, [1.0, 0.0], [0.0, 3.0]) == pytest.approx([np.sqrt(2)] * 2)
    found = merged("karcher", ZERO, [1.0, 0.0], [0.0, 3.0], coefficients=(3, 1))
    assert found == pytest.approx([1.5 * np.cos(np.pi / 8), 1.5 * np.sin(np.pi / 8)])


def test_the_first_guess_is_the_direction_of_the_mean() -> None:
    experts = ([1.0, 0.0], [0.0, 1.0])
    length = np.hypot(3, 1)
    expected = [3 / length, 1 / length]
    assert merged("karcher", ZERO, *experts, coefficients=(3, 1), iterations=0) == pytest.approx(expected)
    assert merged("multislerp", ZERO, *experts, coefficients=(3, 1)) == pytest.approx(expected)


def test_multislerp_turns_around_the_base() -> None:
    base = [10.0, -10.0]
    assert merged("multislerp", base, [11.0, -10.0], [10.0, -7.0]) == pytest.approx([10 + np.sqrt(2), np.sqrt(2) - 10])


@pytest.mark.parametrize("method", ["karcher", "multislerp"])
def test_zeros_count_for_the_length_alone(method: str) -> None:
    assert merged(method, ZERO, [2.0, 0.0], ZERO) == pytest.approx([1.0, 0.0])
    assert merged(method, ZERO, ZERO, ZERO) == ZERO
    assert merged(method, ZERO, [2.0, 0.0], ZERO, coefficients=(0, 1)) == ZERO


@pytest.mark.parametrize("method", ["karcher", "multislerp"])
def test_directions_that_cancel_out_are_averaged(method: str) -> None:
    assert merged(method, [0.0], [1.0], [-3.0]) == [-1.0]
    corners = ([1.0, 0.0], [-0.5, np.sqrt(0.75)], [-1.0, -np.sqrt(3)])
    assert merged(method, ZERO, *corners) == pytest.approx(np.mean(corners, axis=0), abs=1e-7)


def test_what_lies_opposite_does_not_pull() -> None:
    assert merged("karcher", [0.0], [1.0], [3.0], [-2.0]) == pytest.approx([2.0])


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 10**6))
def test_at_the_karcher_mean_the_pulls_balance(count: int, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=size) + random.normal(size=(count, size)) * 0.2
    weights = random.random(count) + 0.1
    mean = spherical_mean(vectors @ vectors.T, weights, 100) @ vectors
    lengths, _ = lengths_and_cosines(vectors @ vectors.T)
    units = vectors / lengths[:, None]
    if (units @ units.T).min() < 0:  # the mean need not be one alone
        return
    assert np.linalg.norm(mean) == pytest.approx(weights @ lengths / weights.sum())
    towards = np.clip(units @ mean / np.linalg.norm(mean), -1, 1)
    logs = (units - towards[:, None] * mean / np.linalg.norm(mean)) / np.sinc(np.arccos(towards) / np.pi)[:, None]
    assert weights @ logs == pytest.approx(np.zeros(size), abs=1e-7)


# --- Model stock ------------------------------------------------------------------------------------------------------


def test_model_stock_goes_as_far_as_the_experts_agree() -> None:
    half = [np.cos(np.pi / 3), np.sin(np.pi / 3)]  # cosine ½: t = 2 · ½ / (1 + ½) = ⅔
    assert merged("model_stock", ZERO, [1.0, 0.0], half) == pytest.approx([0.5, half[1] / 3])
    assert merged("model_stock", ZERO, [1.0, 0.0], [0.0, 1.0]) == ZERO
    assert merged("model_stock", ZERO, [1.0, 0.5], [1.0, 0.5]) == [1.0, 0.5]


def test_model_stock_takes_the_mean_cosine_of_all_pairs() -> None:
    experts = ([1.0, 0.0], [1.0, 0.0], [0.0, 1.0])  # cosines 1, 0, 0: t = 3 · ⅓ / (1 + 2 · ⅓) = ⅗
    assert merged("model_stock", ZERO, *experts) == pytest.approx([0.4, 0.2])


def test_coefficients_of_model_stock_say_who_takes_part_and_no_more() -> None:
    experts = ([1.0, 0.0], [0.5, 0.5], [3.0, -1.0])
    equal = merged("model_stock", ZERO, *experts[:2])
    assert merged("model_stock", ZERO, *experts[:2], coefficients=(0.9, 0.1)) == equal
    assert merged("model_stock", ZERO, *experts, coefficients=(0.9, 0.1, 0)) == equal
    assert merged("model_stock", ZERO, *experts, coefficients=(0, 0, 0.1)) == [3.0, -1.0]


def test_model_stock_keeps_the_base_where_experts_disagree() -> None:
    apart = ([1.0, 0.0], [-0.5, np.sqrt(0.75)])  # cosine -½: t = -1 / ½ = -2
    assert merged("model_stock", ZERO, *apart) == ZERO
    assert merged("model_stock", ZERO, *apart, clamp=False) == pytest.approx([-0.5, -np.sqrt(0.75)])
    assert merged("model_stock", ZERO, [1.0, 0.0], [-2.0, 0.0], clamp=False) == ZERO


def test_model_stock_of_what_hardly_moved_is_that_of_what_moved_far() -> None:
    experts = np.array([[1.0, 0.0], [0.8, 0.6]])
    large = merged("model_stock", ZERO, *experts.tolist())
    assert merged("model_stock", ZERO, *(1e-6 * experts).tolist()) == pytest.approx([1e-6 * x for x in large])


def test_a_negative_number_of_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more, not -1"):
        spherical_mean(np.eye(2), [1.0, 1.0], -1)
