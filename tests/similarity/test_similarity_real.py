"""REAL similarity: the orientation of the transfer matrix."""

from __future__ import annotations

import numpy as np
import pytest

from compute.similarity import real
from compute.similarity.selection.top_k import top_k


def test_the_row_of_a_target_holds_what_each_source_does_on_it() -> None:
    scores = np.array([[0.9, 0.2, 0.3], [0.4, 0.8, 0.5], [0.6, 0.1, 0.7]])
    similarity = real.similarity(scores)
    assert similarity[0].tolist() == [0.9, 0.4, 0.6]
    assert all(similarity[t, s] == scores[s, t] for t in range(3) for s in range(3))


def test_sources_are_chosen_by_what_they_do_on_the_target_not_by_where_its_own_expert_does_well() -> None:
    scores = np.array([[0.9, 0.8, 0.1], [0.2, 0.9, 0.3], [0.7, 0.4, 0.9]])
    assert top_k(real.similarity(scores), 0, [1, 2], 1, seed=0) == [2]


def test_the_result_is_a_copy() -> None:
    scores = np.eye(2)
    real.similarity(scores)[:] = 0
    assert (scores == np.eye(2)).all()


@pytest.mark.parametrize("score", [-0.1, 46.7, float("nan")])
def test_numbers_that_are_no_accuracies_are_refused(score: float) -> None:
    with pytest.raises(ValueError, match="accuracies from 0 to 1"):
        real.similarity(np.array([[1.0, score], [0.5, 1.0]]))


def test_a_matrix_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not of shape \(2, 3\)"):
        real.similarity(np.zeros((2, 3)))
