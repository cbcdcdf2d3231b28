"""Consensus, Iso-C, TSV-M, PCB, EMR, rows seen, base, best source and LiNeS on examples worked by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import UsageError
from compute.merging import spectra
from compute.merging.merge import merge
from compute.merging.recipe import Lines, Recipe

DEVICES = ["cpu", "torch:cpu"]
WORDS = "roberta.embeddings.word_embeddings.weight"


def merged(
    method: str, rows: list[Any], coefficients: tuple[float, ...], name: str = "weight", base: Any = 0.0, **options: Any
) -> Any:
    """Return the merge of one tensor whose experts are *rows*, the same with numpy and with torch."""
    experts = {f"e{n}": {name: torch.tensor(row, dtype=torch.float32)} for n, row in enumerate(rows)}
    whole = {name: torch.full_like(experts["e0"][name], base)}
    results = [merge(whole, experts, Recipe(method, coefficients, options), device=device)[name] for device in DEVICES]
    assert torch.allclose(*results, atol=1e-6)
    return results[0].tolist()


def approx(values: Any) -> Any:
    return pytest.approx(np.array(values), abs=1e-6)


# --- Consensus --------------------------------------------------------------------------------------------------------


def test_consensus_keeps_what_two_need_and_drops_what_one_or_none_needs() -> None:
    # By column: both need it (|τ| ≥ .4 |other|); selfish, as 1 < .4 · 10; none needs it, as they cancel in the third.
    rows = [[1.0, 10.0, 1.0], [2.0, 1.0, 1.0], [0.0, 0.0, -10.0]]
    assert merged("consensus", rows, (1, 1, 1)) == approx([3.0, 0.0, 0.0])


def test_consensus_of_one_needs_no_second() -> None:
    assert merged("consensus", [[1.0, -2.0]], (1,)) == approx([1.0, -2.0])


def test_consensus_takes_coefficients_and_scale_for_the_sum_and_not_for_the_masks() -> None:
    assert merged("consensus", [[1.0], [2.0]], (0.75, 0.25), scale=2.0) == approx([2.5])
    assert merged("consensus", [[1.0], [2.0]], (1.0, 0.0), scale=2.0) == approx([2.0])


@pytest.mark.parametrize(("agree", "kept"), [(0, 1), (1, 1), (2, 0), (3, 0), (9, 0)])
def test_consensus_of_an_entry_that_one_of_three_moved(agree: int, kept: int) -> None:
    assert merged("consensus", [[4.0], [0.0], [0.0]], (1, 1, 1), agree=agree) == approx([4.0 * kept])


def test_consensus_refuses_a_negative_lambda() -> None:
    with pytest.raises(ValueError, match="mask_lambda"):
        merged("consensus", [[1.0]], (1,), mask_lambda=-0.1)


# --- Singular values --------------------------------------------------------------------------------------------------


def test_iso_c_levels_the_singular_values() -> None:
    assert merged("iso_c", [[[3.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, -1.0]]], (1, 1)) == approx([[2, 0], [0, -2]])
    assert merged("iso_c", [[[3.0, 0.0], [0.0, 1.0]]], (0.5,), scale=3.0) == approx([[3, 0], [0, 3]])


@pytest.mark.parametrize("method", ["iso_c", "tsv_m"])
@pytest.mark.parametrize("name", ["bias", WORDS, "model.embed_tokens.weight"])
def test_other_tensors_and_word_embeddings_get_the_weighted_mean(method: str, name: str) -> None:
    rows = [[1.0, 2.0], [3.0, 8.0]] if name == "bias" else [[[1.0, 2.0]] * 4, [[3.0, 8.0]] * 4]
    mean = [2.5, 6.5] if name == "bias" else [[2.5, 6.5]] * 4
    assert merged(method, rows, (1, 3), name=name) == approx(mean)
    assert merged(method, rows, (0.1, 0.3), name=name, scale=2.0) == approx(2 * np.array(mean))


def test_a_tensor_of_three_dimensions_is_no_matrix() -> None:
    rows = np.arange(8.0).reshape(2, 1, 2, 2)
    assert merged("iso_c", rows.tolist(), (1, 1)) == approx(rows.mean(axis=0))


def test_tsv_m_adds_orthogonal_directions_as_they_are() -> None:
    rows = [[[2.0, 0.0], [0.0, 0.5]], [[0.0, 0.0], [0.0, 3.0]]]  # rank 1 each: 2 of the first, 3 of the second
    assert merged("tsv_m", rows, (1, 1)) == approx([[2, 0], [0, 3]])
    assert merged("tsv_m", rows, (0.5, 0.5), scale=2.0) == approx([[4, 0], [0, 6]])
    assert merged("tsv_m", rows, (1, 3)) == approx([[1, 0], [0, 4.5]])


def test_tsv_m_turns_directions_that_are_not_orthogonal_apart() -> None:
    # Right vectors at 0 and 60 degrees: the nearest orthogonal ones lie at -15 and 75.
    slanted = [math.cos(math.pi / 3), math.sin(math.pi / 3)]
    rows = [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], slanted]]
    turned = [[math.cos(angle), math.sin(angle)] for angle in (-math.pi / 12, 5 * math.pi / 12)]
    assert merged("tsv_m", rows, (1, 1)) == approx(turned)


def test_tsv_m_of_equal_experts_is_their_largest_part() -> None:
    rows = [[[3.0, 0.0], [0.0, 1.0]]] * 2
    assert merged("tsv_m", rows, (0.5, 0.5)) == approx([[3, 0], [0, 0]])


def test_tsv_m_of_a_matrix_too_small_for_the_sources_is_the_mean() -> None:
    assert merged("tsv_m", [[[1.0, 5.0]], [[3.0, 7.0]]], (1, 1)) == approx([[2, 6]])


def test_tsv_m_an_expert_that_did_not_move_a_matrix_turns_nothing() -> None:
    rows = [[[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]]
    assert merged("tsv_m", rows, (1, 1)) == approx([[1, 1], [1, 1]])


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (4, 4), (3, 7), (9, 2)])
def test_a_decomposition_multiplies_back_and_is_orthogonal(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)
    left, values, right = spectra.svd(matrix)
    assert left * values @ right == pytest.approx(matrix, abs=1e-12)
    assert left.T @ left == pytest.approx(np.eye(min(shape)), abs=1e-9)
    assert right @ right.T == pytest.approx(np.eye(min(shape)), abs=1e-12)
    assert values == pytest.approx(np.linalg.svd(matrix.astype(float), compute_uv=False), abs=1e-12)


def test_a_weak_direction_is_found_to_the_precision_of_fp32() -> None:
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    matrix = rotation * [1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5] @ rotation.T
    assert spectra.polar(matrix) == pytest.approx(np.eye(6), abs=1e-5)


def test_zeros_have_no_directions() -> None:
    left, values, right = spectra.svd(np.zeros((3, 2), np.float32))
    assert not left.any() and not values.any() and not right.any()


# --- PCB --------------------------------------------------------------------------------------------------------------


def test_pcb_of_one_source_drops_the_weakest_and_clamps_the_strongest() -> None:
    # Magnitudes 1 … 10: the ranks of a clip of 0.0001 clamp 10 to 9; the 5 of the highest scores begin at 6, which
    # itself counts nothing. What is left of one source is itself.
    rows = [[1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0, 9.0, -10.0]]
    assert merged("pcb", rows, (1,), density=0.5) == approx([0, 0, 0, 0, 0, 0, 7, -8, 9, -9])


def test_pcb_weighs_sources_by_their_scores() -> None:
    small = [[0.3, 0.2, 0.0, 0.0], [0.1, -0.2, 0.0, 0.4]]
    first, second = np.array(small)
    score = [np.exp(2 * x**2) * np.tanh(t * (first + second)) for x, t in
             [(np.array([1.0, 1.0, 0.0, 0.0]), first), (np.array([0.5, 1.0, 0.0, 1.0]), second)]]  # fmt: skip
    # n is 4: a magnitude is clamped to the second largest, .2 and .2, whose smallest is 0.
    balance = [(one - one.min()) / (one.max() - one.min()) for one in score]
    clamped = np.clip(small, -0.2, 0.2)
    expected = (balance * clamped).sum(axis=0) / np.maximum(sum(balance), 1e-12)
    assert merged("pcb", small, (1, 1), density=1.0) == approx(expected)
    assert merged("pcb", small, (0.5, 0.5), density=1.0, scale=1.2) == approx(1.2 * expected)
    assert merged("pcb", small, (1, 0), density=1.0) == approx(np.where(balance[0] > 0, clamped[0], 0))


def test_pcb_of_many_sources_stays_finite() -> None:
    rows = np.random.default_rng(0).standard_normal((120, 50)).tolist()
    assert np.isfinite(merged("pcb", rows, (1 / 120,) * 120)).all()


@pytest.mark.parametrize("options", [{"density": 0.0}, {"density": 1.5}, {"clip": -0.1}, {"clip": 0.5}])
def test_pcb_refuses_what_is_no_share(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="density"):
        merged("pcb", [[1.0, 2.0]], (1,), **options)


# --- EMR --------------------------------------------------------------------------------------------------------------

TASKS = [[1.0, -2.0, 3.0, 1.0], [3.0, 1.0, 1.0, -1.0]]
"""The elected signs are + - + 0; unified: 3, -2, 3, 0."""


@pytest.mark.parametrize(
    ("target", "expected"),
    [("e0", np.array([3, -2, 3, 0]) * 7 / 8), ("e1", np.array([3, 0, 3, 0]) * 6 / 6)],
)
def test_emr_is_unified_masked_and_rescaled_for_its_task(target: str, expected: Any) -> None:
    assert merged("emr", TASKS, (0.5, 0.5), target=target) == approx(expected)


def test_emr_is_for_the_source_of_the_largest_coefficient_unless_told() -> None:
    assert merged("emr", TASKS, (0.4, 0.6)) == merged("emr", TASKS, (0.5, 0.5), target="e1")
    assert merged("emr", TASKS, (0.5, 0.5)) == merged("emr", TASKS, (0.5, 0.5), target="e0")


def test_emr_rescales_over_the_whole_model() -> None:
    base = {"a": torch.zeros(1), "b": torch.zeros(1)}
    experts = {"x": {"a": torch.tensor([1.0]), "b": torch.tensor([2.0])},
               "y": {"a": torch.tensor([3.0]), "b": torch.tensor([1.0])}}  # fmt: skip
    found = merge(base, experts, Recipe("emr", (1, 0)))
    assert [found["a"].item(), found["b"].item()] == approx([3 * 3 / 5, 2 * 3 / 5])


def test_emr_of_a_source_that_agrees_nowhere_is_the_base() -> None:
    assert merged("emr", [[8.0], [4.0]], (1, 0), base=7.0) == approx([7.0])


def test_emr_names_the_sources_where_the_target_is_none() -> None:
    with pytest.raises(UsageError, match="target of emr 'e7': did you mean e"):
        merged("emr", TASKS, (1, 1), target="e7")


# --- Embeddings and heads ---------------------------------------------------------------------------------------------


def test_seen_rows_average_over_those_who_moved_a_row() -> None:
    rows = [[[2.0, 0.0], [4.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 8.0], [0.0, 0.0]]]
    assert merged("seen_rows", rows, (1, 3)) == approx([[2, 0], [1, 7], [0, 0]])


def test_a_row_that_only_a_source_without_a_coefficient_moved_stays_the_base() -> None:
    assert merged("seen_rows", [[[9.0], [9.0]], [[9.0], [2.0]]], (0, 1), base=9.0) == approx([[9], [2]])


def test_a_recipe_can_average_the_embeddings_alone_over_rows_seen() -> None:
    base = {WORDS: torch.zeros(3, 1), "w": torch.zeros(1)}
    experts = {"a": {WORDS: torch.tensor([[2.0], [4.0], [0.0]]), "w": torch.tensor([2.0])},
               "b": {WORDS: torch.tensor([[0.0], [8.0], [0.0]]), "w": torch.tensor([0.0])}}  # fmt: skip
    found = {kind: merge(base, experts, Recipe("average", (1, 1), embeddings=kind)) for kind in ("seen", "base")}
    assert found["seen"][WORDS].flatten().tolist() == [2, 6, 0]
    assert found["base"][WORDS].flatten().tolist() == [0, 0, 0]
    assert found["seen"]["w"].tolist() == found["base"]["w"].tolist() == [1]


def test_keep_base_keeps_the_base() -> None:
    assert merged("keep_base", [[1.0, 2.0], [3.0, 4.0]], (1, 1), base=5.0) == [5.0, 5.0]


@pytest.mark.parametrize(("coefficients", "best"), [((0.2, 0.5, 0.3), 2.0), ((0.4, 0.2, 0.4), 1.0), ((1, 1, 1), 1.0)])
def test_best_source_is_that_of_the_largest_coefficient(coefficients: tuple[float, ...], best: float) -> None:
    assert merged("best_source", [[1.0], [2.0], [3.0]], coefficients) == [best]


def test_best_source_of_several_is_the_first_by_name_whatever_their_order() -> None:
    experts = {name: {"w": torch.tensor([value])} for name, value in [("z", 1.0), ("b", 2.0), ("c", 3.0)]}
    assert merge({"w": torch.zeros(1)}, experts, Recipe("best_source", (1, 1, 1)))["w"].item() == 2


def test_a_recipe_can_take_the_head_from_the_best_source() -> None:
    base = {"classifier.weight": torch.zeros(1), "w": torch.zeros(1)}
    experts = {name: {"classifier.weight": torch.tensor([value]), "w": torch.tensor([value])}
               for name, value in [("a", 1.0), ("b", 3.0)]}  # fmt: skip
    found = merge(base, experts, Recipe("average", (0.4, 0.6), head="best"))
    assert [found["classifier.weight"].item(), found["w"].item()] == approx([3.0, 2.2])


# --- LiNeS ------------------------------------------------------------------------------------------------------------


@given(st.integers(2, 30), st.floats(0, 2), st.floats(0, 4))
def test_lines_rise_linearly_from_the_first_layer_to_the_last(layers: int, low: float, high: float) -> None:
    names = [f"roberta.encoder.layer.{number}.output.dense.weight" for number in range(layers)]
    factors = Lines(low, high).factors(names)
    alpha, beta = low, high - low
    assert [factors[name] for name in names] == pytest.approx([alpha + beta * n / (layers - 1) for n in range(layers)])


def test_lines_give_embeddings_the_first_factor_and_the_head_the_last() -> None:
    names = [WORDS, "roberta.encoder.layer.0.bias", "roberta.encoder.layer.2.bias", "classifier.dense.weight"]
    assert list(Lines(0.5, 2.0).factors(names).values()) == [0.5, 0.5, 2.0, 2.0]


def test_lines_of_one_layer_are_low() -> None:
    assert Lines(0.5).factors(["encoder.layer.0.bias"]) == {"encoder.layer.0.bias": 0.5}


def test_lines_need_layers() -> None:
    with pytest.raises(UsageError, match="layer"):
        Lines(0.5).factors(["bias"])
