"""The document's weighting rule, by hand and by its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.sinkhorn import sinkhorn_weights


def test_one_iteration_divides_rows_and_then_columns() -> None:
    weights = sinkhorn_weights(np.array([[1.0, 1.0], [3.0, 1.0]]), iterations=1, epsilon=0.0)
    # Rows: [1/2, 1/2], [3/4, 1/4]; columns sum to 5/4 and 3/4.
    assert weights.tolist() == [pytest.approx([0.4, 2 / 3]), pytest.approx([0.6, 1 / 3])]


def test_only_the_largest_of_each_row_are_kept_and_ties_with_them() -> None:
    similarity = np.array([[1.0, 0.5, 0.2], [0.7, 1.0, 0.7], [0.1, 0.2, 1.0]])
    kept = sinkhorn_weights(similarity, keep=2, iterations=0) > 0
    assert kept.tolist() == [[True, True, False], [True, True, True], [False, True, True]]


def test_the_diagonal_is_kept_where_it_is_the_largest() -> None:
    assert sinkhorn_weights(np.array([[1.0, 0.5], [0.5, 1.0]]), keep=1, epsilon=0.0).tolist() == [
        [1.0, 0.0],
        [0.0, 1.0],
    ]


def test_a_source_that_resembles_everyone_loses_weight() -> None:
    similarity = np.array([[1.0, 0.9, 0.8], [0.1, 1.0, 0.1], [0.1, 0.9, 1.0]])
    weights = sinkhorn_weights(similarity)
    assert similarity[0, 1] > similarity[0, 2]
    assert weights[0, 1] < weights[0, 2]


@given(st.integers(1, 30), st.integers(0, 50), st.integers(1, 25))
def test_columns_sum_to_one_and_the_argument_is_left_alone(n: int, seed: int, keep: int) -> None:
    similarity = np.random.default_rng(seed).uniform(0.1, 1, (n, n))
    np.fill_diagonal(similarity, 1.0)
    before = similarity.copy()
    weights = sinkhorn_weights(similarity, keep=keep)
    assert weights.sum(axis=0) == pytest.approx(np.ones(n), abs=1e-6)
    assert (weights >= 0).all()
    assert (similarity == before).all()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.array([[1.0, -0.1], [0.2, 1.0]]), "non-negative"),
        (np.array([[1.0, np.nan], [0.2, 1.0]]), "finite"),
    ],
)
def test_matrices_that_do_not_fit_are_refused(matrix: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sinkhorn_weights(matrix)


def test_keeping_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="keep must be at least 1"):
        sinkhorn_weights(np.eye(2), keep=0)
