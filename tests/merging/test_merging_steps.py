"""The steps of merge methods, by examples that can be worked by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from compute.merging.steps import disjoint_mean, drop_and_rescale, elect_sign, trim, weighted_sum


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float32)


def test_a_weighted_sum_adds_each_row_times_its_coefficient() -> None:
    task_vectors = rows([1.0, 2.0, 3.0], [10.0, 20.0, 30.0])
    assert weighted_sum(task_vectors, torch.tensor([2.0, 0.5])).tolist() == [7.0, 14.0, 21.0]


def test_trimming_keeps_the_largest_magnitudes_of_each_row() -> None:
    task_vectors = rows([3.0, -1.0, -4.0, 2.0], [0.1, 0.4, 0.2, -0.3])
    assert trim(task_vectors, 0.5).tolist() == rows([3.0, 0.0, -4.0, 0.0], [0.0, 0.4, 0.0, -0.3]).tolist()


def test_trimming_keeps_all_entries_that_tie_for_the_last_place() -> None:
    assert trim(rows([3.0, -2.0, 2.0, 1.0]), 0.5).tolist() == [[3.0, -2.0, 2.0, 0.0]]


def test_trimming_rounds_the_count_down_but_keeps_at_least_one() -> None:
    assert trim(rows([1.0, 2.0, 3.0]), 0.99).tolist() == [[0.0, 2.0, 3.0]]
    assert trim(rows([1.0, 2.0, 3.0]), 0.01).tolist() == [[0.0, 0.0, 3.0]]


def test_trimming_leaves_its_argument_alone() -> None:
    task_vectors = rows([1.0, 2.0])
    trim(task_vectors, 0.5)
    assert task_vectors.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("density", [0.0, -0.2, 1.1, float("nan")])
def test_a_density_outside_its_range_is_refused(density: float) -> None:
    with pytest.raises(ValueError, match="density is the share of entries kept"):
        trim(rows([1.0, 2.0]), density)


@given(st.integers(1, 60), st.integers(1, 100), st.integers(0, 9))
def test_trimming_different_magnitudes_keeps_exactly_the_count(n: int, percent: int, seed: int) -> None:
    shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(seed)) + 1.0
    kept = trim(shuffled[None], percent / 100)
    assert int((kept != 0).sum()) == max(1, int(percent / 100 * n))
    assert kept.max() == n


def test_the_elected_sign_is_that_of_the_sum() -> None:
    task_vectors = rows([1.0, 1.0, -1.0], [-3.0, 2.0, -1.0])
    assert elect_sign(task_vectors).tolist() == [-1.0, 1.0, -1.0]


def test_a_sum_of_zero_takes_the_sign_that_won_more_columns() -> None:
    assert elect_sign(rows([1.0, -1.0, -1.0], [-1.0, -1.0, -1.0])).tolist() == [-1.0, -1.0, -1.0]
    assert elect_sign(rows([1.0, 1.0, 1.0], [-1.0, 1.0, 1.0])).tolist() == [1.0, 1.0, 1.0]


def test_without_any_majority_nobody_is_elected() -> None:
    assert elect_sign(rows([1.0, 2.0, -2.0], [-1.0, -1.0, 1.0])).tolist() == [0.0, 1.0, -1.0]


def test_the_disjoint_mean_averages_only_what_has_the_elected_sign() -> None:
    task_vectors = rows([1.0, -2.0, 0.0], [3.0, 4.0, 0.0], [-5.0, 2.0, 0.0])
    mean = disjoint_mean(task_vectors, torch.tensor([1.0, 1.0, 1.0]), torch.ones(3))
    assert mean.tolist() == [2.0, 3.0, 0.0]


def test_the_disjoint_mean_divides_by_the_coefficients_that_took_part() -> None:
    task_vectors = rows([1.0, -2.0], [4.0, 4.0])
    sign = torch.tensor([1.0, 1.0])
    assert disjoint_mean(task_vectors, sign, torch.tensor([0.5, 0.25])).tolist() == [2.0, 4.0]
    assert disjoint_mean(task_vectors, sign, torch.tensor([2.0, 1.0])).tolist() == [2.0, 4.0]


def test_an_entry_whose_only_voters_have_no_coefficient_stays_zero() -> None:
    assert disjoint_mean(rows([1.0], [0.0]), torch.tensor([1.0]), torch.tensor([0.0, 1.0])).tolist() == [0.0]


def test_a_column_without_an_elected_sign_stays_zero() -> None:
    assert disjoint_mean(rows([1.0], [-1.0]), torch.tensor([0.0]), torch.ones(2)).tolist() == [0.0]


def test_kept_entries_are_divided_by_the_probability_of_keeping() -> None:
    keep = torch.tensor([True, False, True])
    assert drop_and_rescale(torch.tensor([1.0, 2.0, 3.0]), keep, 0.75).tolist() == [4.0, 0.0, 12.0]


@pytest.mark.parametrize("drop_rate", [1.0, -0.1, float("nan")])
def test_a_drop_rate_outside_its_range_is_refused(drop_rate: float) -> None:
    with pytest.raises(ValueError, match="drop rate is the share of entries dropped"):
        drop_and_rescale(torch.ones(2), torch.tensor([True, True]), drop_rate)
