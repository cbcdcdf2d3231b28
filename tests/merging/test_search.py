from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.merging.search import Trial, grid, simplex, successive_halving

BUDGETS = st.lists(st.integers(1, 1000), min_size=1, max_size=5, unique=True).map(sorted)
SHARES = st.floats(0.01, 1.0)
SCORES = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


@given(scores=SCORES, budgets=BUDGETS, keep=SHARES)
def test_where_budgets_change_no_order_the_best_is_found(scores: list[int], budgets: list[int], keep: float) -> None:
    best, _ = successive_halving(range(len(scores)), lambda c, n: scores[c] * n, budgets=budgets, keep=keep)
    assert best == scores.index(max(scores))


@given(scores=SCORES, budget=st.integers(1, 100), keep=SHARES)
def test_one_budget_is_exhaustive_search(scores: list[int], budget: int, keep: float) -> None:
    best, history = successive_halving(range(len(scores)), lambda c, n: scores[c], budgets=[budget], keep=keep)
    assert best == scores.index(max(scores))
    assert history == [Trial(place, budget, score) for place, score in enumerate(scores)]


@given(count=st.integers(1, 30), budgets=BUDGETS, keep=SHARES, seed=st.integers(0, 9))
def test_whatever_the_scores_each_round_keeps_its_best(count: int, budgets: list[int], keep: float, seed: int) -> None:
    def score(candidate: int, budget: int) -> float:
        return hash((candidate, budget, seed)) % 7

    best, history = successive_halving(range(count), score, budgets=budgets, keep=keep)
    rounds = [[trial for trial in history if trial.budget == budget] for budget in budgets]
    assert [trial.candidate for trial in rounds[0]] == list(range(count))
    for before, after in pairwise(rounds):
        assert len(after) == pytest.approx(keep * len(before), abs=1)
        kept = {trial.candidate for trial in after}
        lost = [trial.score for trial in before if trial.candidate not in kept]
        assert min(trial.score for trial in before if trial.candidate in kept) >= max(lost, default=-math.inf)
    assert best == max(rounds[-1], key=lambda trial: trial.score).candidate
    assert all(trial.score == score(trial.candidate, trial.budget) for trial in history)


def test_of_equal_candidates_the_earlier_stay() -> None:
    best, history = successive_halving("abcd", lambda candidate, budget: 0.0, budgets=[1, 2, 3])
    assert best == "a"
    assert [(trial.candidate, trial.budget) for trial in history] == [
        *(("a", 1), ("b", 1), ("c", 1), ("d", 1)),
        *(("a", 2), ("b", 2)),
        ("a", 3),
    ]


@pytest.mark.parametrize(("keep", "kept"), [(0.1, 3), (1 / 3, 10), (0.34, 11), (0.001, 1), (1.0, 30)])
def test_a_share_is_rounded_up(keep: float, kept: int) -> None:
    _, history = successive_halving(range(30), lambda candidate, budget: candidate, budgets=[1, 2], keep=keep)
    assert len(history) == 30 + kept


def test_candidates_that_need_more_examples_may_win_if_they_are_kept() -> None:
    scores = {"quick": [0.6, 0.6], "slow": [0.5, 0.9], "poor": [0.1, 1.0]}
    best, _ = successive_halving(list(scores), lambda name, budget: scores[name][budget // 10], budgets=[1, 10])
    assert best == "slow"


def test_an_infinitely_bad_candidate_is_only_bad() -> None:
    best, _ = successive_halving([0, 1], lambda candidate, budget: [-math.inf, -3.0][candidate], budgets=[1])
    assert best == 1


def test_a_search_that_cannot_work_is_refused() -> None:
    def score(candidate: int, budget: int) -> float:
        return math.nan

    with pytest.raises(ValueError, match="no candidates"):
        successive_halving([], score, budgets=[1])
    for budgets in ([], [0, 1], [2, 2], [3, 1]):
        with pytest.raises(ValueError, match="budgets"):
            successive_halving([1], score, budgets=budgets)
    for keep in (0.0, -1.0, 1.1):
        with pytest.raises(ValueError, match="keep"):
            successive_halving([1], score, budgets=[1], keep=keep)
    with pytest.raises(ValueError, match="not a number"):
        successive_halving([1], score, budgets=[1])


def test_a_grid_is_every_combination() -> None:
    assert grid(density=[0.1, 0.2], scale=(1, 2)) == [
        {"density": 0.1, "scale": 1},
        {"density": 0.1, "scale": 2},
        {"density": 0.2, "scale": 1},
        {"density": 0.2, "scale": 2},
    ]
    assert grid() == [{}]
    assert grid(density=[]) == []


@given(size=st.integers(1, 8), count=st.integers(1, 20), seed=st.integers(0, 99), concentration=st.floats(0.1, 10))
def test_points_of_the_simplex_are_shares(size: int, count: int, seed: int, concentration: float) -> None:
    points = simplex(size, count, seed=seed, concentration=concentration)
    assert len(points) == count
    assert points[0] == (1 / size,) * size
    assert all(len(point) == size and min(point) >= 0 and sum(point) == pytest.approx(1) for point in points)
    assert points == simplex(size, count + 5, seed=seed, concentration=concentration)[:count]


def test_points_differ_by_seed_and_crowd_by_concentration() -> None:
    assert simplex(3, 5, seed=1) != simplex(3, 5, seed=2)
    spread = [max(max(point) for point in simplex(3, 50, concentration=about)) for about in (0.3, 1.0, 100.0)]
    assert spread == sorted(spread, reverse=True)


def test_a_simplex_that_cannot_be_is_refused() -> None:
    for size, count, concentration in ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.0)):
        with pytest.raises(ValueError, match="above 0"):
            simplex(size, count, concentration=concentration)
