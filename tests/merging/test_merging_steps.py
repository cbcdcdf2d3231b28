"""The steps of merge methods, by examples that can be worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from compute.merging.steps import disjoint_merge, elect_sign, trim, trim_elect_merge, weighted_sum


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float32)


def test_a_weighted_sum_adds_each_row_times_its_coefficient() -> None:
    task_vectors = rows([1.0, 2.0, 3.0], [10.0, 20.0, 30.0])
    assert weighted_sum(task_vectors, torch.tensor([2.0, 0.5])).tolist() == [7.0, 14.0, 21.0]


def test_trimming_keeps_what_reaches_the_threshold_of_its_row() -> None:
    task_vectors = rows([3.0, -1.0, -4.0, 2.0], [0.1, 0.4, 0.2, -0.3])
    kept = trim(task_vectors, [3.0, 0.3])
    assert kept.tolist() == rows([3.0, 0.0, -4.0, 0.0], [0.0, 0.4, 0.0, -0.3]).tolist()
    assert task_vectors[0, 1] == -1.0, "the argument is left alone"


def test_the_elected_sign_is_that_of_the_sum() -> None:
    task_vectors = rows([1.0, 1.0, -1.0], [-3.0, 2.0, -1.0])
    assert elect_sign(task_vectors).tolist() == [-1.0, 1.0, -1.0]


def test_a_sum_of_zero_takes_the_sign_of_ties() -> None:
    task_vectors = rows([1.0, -1.0], [-1.0, -1.0])
    assert elect_sign(task_vectors).tolist() == [1.0, -1.0]
    assert elect_sign(task_vectors, tie=-1.0).tolist() == [-1.0, -1.0]
    assert elect_sign(task_vectors, tie=0.0).tolist() == [0.0, -1.0]


def test_votes_may_be_weighted() -> None:
    assert elect_sign(rows([1.0], [-3.0]), torch.tensor([0.9, 0.1])).tolist() == [1.0]


def test_the_disjoint_mean_averages_only_what_has_the_elected_sign() -> None:
    task_vectors = rows([1.0, -2.0, 0.0], [3.0, 4.0, 0.0], [-5.0, 2.0, 0.0])
    mean = disjoint_merge(task_vectors, torch.tensor([1.0, 1.0, 1.0]), torch.ones(3))
    assert mean.tolist() == [2.0, 3.0, 0.0]


def test_the_disjoint_mean_divides_by_the_coefficients_that_took_part() -> None:
    task_vectors = rows([1.0, -2.0], [4.0, 4.0])
    sign = torch.tensor([1.0, 1.0])
    assert disjoint_merge(task_vectors, sign, torch.tensor([0.5, 0.25])).tolist() == [2.0, 4.0]
    assert disjoint_merge(task_vectors, sign, torch.tensor([2.0, 1.0])).tolist() == [2.0, 4.0]


def test_an_entry_whose_only_voters_have_no_coefficient_stays_zero() -> None:
    assert disjoint_merge(rows([1.0], [0.0]), torch.tensor([1.0]), torch.tensor([0.0, 1.0])).tolist() == [0.0]


def test_a_column_without_an_elected_sign_stays_zero() -> None:
    assert disjoint_merge(rows([1.0], [-1.0]), torch.tensor([0.0]), torch.ones(2)).tolist() == [0.0]


@pytest.mark.parametrize(("divide", "expected"), [("weights", 2.0), ("count", 0.75), ("none", 1.5)])
def test_what_agrees_is_divided_by_weights_by_their_count_or_by_nothing(divide: Any, expected: float) -> None:
    merged = disjoint_merge(rows([1.0], [4.0], [-9.0]), torch.tensor([1.0]), torch.tensor([0.5, 0.25, 1.0]), divide)
    assert merged.tolist() == [expected]


@given(st.integers(0, 10_000), st.sampled_from(["weights", "count", "none"]), st.sampled_from([-1.0, 0.0, 1.0]))
def test_compiled_steps_give_the_bits_of_the_plain_ones(seed: int, divide: Any, tie: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(-4, 5, (3, 17)).astype(np.float32) * rng.choice(np.float32([0.1, 0.5, 1]))
    weights, limits = rng.random(3, dtype=np.float32), rng.random(3, dtype=np.float32) * 2
    votes = weights if seed % 2 else None
    plain, slow = torch.from_numpy(values), torch.from_numpy(weights)
    assert weighted_sum(values, weights).tolist() == weighted_sum(plain, slow).tolist()
    fused = trim_elect_merge(values, weights, thresholds=limits, votes=votes, tie=tie, divide=divide, scale=0.7)
    stepwise = trim_elect_merge(
        plain, slow, thresholds=limits, votes=None if votes is None else slow, tie=tie, divide=divide, scale=0.7
    )
    assert fused.tolist() == stepwise.tolist()
