"""Selection rules: each by an example, and all by their laws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from compute import plugins
from compute.similarity.selection.random_k import random_k
from compute.similarity.selection.sinkhorn import sinkhorn
from compute.similarity.selection.top_k import top_k

RULES = plugins.names("compute.similarity.selection")
DISCOVERED = pytest.mark.parametrize("rule", RULES)
Request = tuple[NDArray[np.float64], int, list[int], int, int]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A similarity matrix with many ties, a target, candidates without it, k and a seed."""
    n = draw(st.integers(2, 7))
    row = st.lists(st.integers(1, 4).map(lambda quarters: quarters / 4), min_size=n, max_size=n)
    matrix = np.array(draw(st.lists(row, min_size=n, max_size=n)))
    target = draw(st.integers(0, n - 1))
    others = [index for index in range(n) if index != target]
    candidates = draw(st.lists(st.sampled_from(others), min_size=1, unique=True))
    return matrix, target, candidates, draw(st.integers(1, len(candidates))), draw(st.integers(0, 99))


def select(rule: str, request: Request) -> list[int]:
    matrix, target, candidates, k, seed = request
    selected: list[int] = plugins.load("compute.similarity.selection", rule)(matrix, target, candidates, k, seed=seed)
    return selected


@DISCOVERED
@given(request=requests())
def test_k_different_candidates_are_chosen(rule: str, request: Request) -> None:
    selected = select(rule, request)
    assert len(selected) == len(set(selected)) == request[3]
    assert set(selected) <= set(request[2])


@DISCOVERED
@given(request=requests())
def test_the_target_is_never_chosen_when_it_is_no_candidate(rule: str, request: Request) -> None:
    assert request[1] not in select(rule, request)


@DISCOVERED
@given(request=requests())
def test_the_order_of_candidates_does_not_matter(rule: str, request: Request) -> None:
    matrix, target, candidates, k, seed = request
    assert select(rule, (matrix, target, candidates[::-1], k, seed)) == select(rule, request)


@DISCOVERED
@given(request=requests())
def test_asking_for_more_adds_to_the_choice(rule: str, request: Request) -> None:
    matrix, target, candidates, k, seed = request
    every = select(rule, (matrix, target, candidates, len(candidates), seed))
    assert every[:k] == select(rule, request)


@DISCOVERED
def test_the_target_may_be_chosen_when_it_is_a_candidate(rule: str) -> None:
    assert sorted(select(rule, (np.eye(3), 1, [0, 1, 2], 3, 0))) == [0, 1, 2]


@DISCOVERED
@pytest.mark.parametrize(
    ("target", "candidates", "k", "message"),
    [
        (0, [1, 2], 3, "cannot choose 3 sources from 2 candidates"),
        (0, [1, 2], 0, "k must be at least 1 source"),
        (0, [1, 1], 1, "candidates must differ"),
        (0, [1, 3], 1, r"must lie in 0 to 2, not \[3\]"),
        (0, [1, -1], 1, r"must lie in 0 to 2, not \[-1\]"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(
    rule: str, target: int, candidates: list[int], k: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        select(rule, (np.eye(3), target, candidates, k, 0))


@DISCOVERED
def test_matrices_that_cannot_be_ranked_are_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="square"):
        select(rule, (np.ones((2, 3)), 0, [1], 1, 0))
    with pytest.raises(ValueError, match="finite"):
        select(rule, (np.array([[1.0, np.nan], [0.5, 1.0]]), 0, [1], 1, 0))


def test_the_most_similar_are_chosen_and_the_lower_index_wins_a_tie() -> None:
    similarity = np.tile([0.5, 0.9, 0.9, 0.2, 0.9], (5, 1))
    assert top_k(similarity, 0, [4, 3, 2, 1], 3, seed=0) == [1, 2, 4]


@given(requests(), st.integers(0, 99))
def test_the_seed_plays_no_part_in_the_choice_of_the_most_similar(request: Request, seed: int) -> None:
    matrix, target, candidates, k, first = request
    assert top_k(matrix, target, candidates, k, seed=seed) == top_k(matrix, target, candidates, k, seed=first)


def test_similarity_decides_among_sources_without_sinkhorn_weight() -> None:
    ramp = np.tile(np.linspace(0.1, 1.0, 30), (30, 1))
    assert sinkhorn(ramp, 0, [1, 2, 3], 3, seed=0) == [3, 2, 1]


def test_random_choice_depends_on_seed_and_target() -> None:
    similarity, candidates = np.ones((50, 50)), list(range(2, 50))
    first = random_k(similarity, 0, candidates, 5, seed=0)
    assert random_k(similarity, 0, candidates, 5, seed=0) == first
    assert random_k(similarity, 0, candidates, 5, seed=1) != first
    assert random_k(similarity, 1, candidates, 5, seed=0) != first


def test_random_choice_is_even() -> None:
    counts = Counter(random_k(np.ones((5, 5)), 0, [1, 2, 3, 4], 1, seed=seed)[0] for seed in range(2000))
    assert all(count == pytest.approx(500, abs=80) for count in (counts[source] for source in (1, 2, 3, 4)))


def test_one_candidate_less_leaves_the_other_choices() -> None:
    similarity, candidates = np.ones((20, 20)), list(range(1, 20))
    chosen = random_k(similarity, 0, candidates, 6, seed=3)
    without = [candidate for candidate in candidates if candidate != chosen[2]]
    assert random_k(similarity, 0, without, 5, seed=3) == [*chosen[:2], *chosen[3:]]
