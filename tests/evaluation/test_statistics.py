from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control

from compute.evaluation.statistics import bootstrap_means, holm, mcnemar, paired_bootstrap

answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def discordant(wins: int, losses: int, both: int) -> tuple[list[bool], list[bool]]:
    first = [True] * wins + [False] * losses + [True] * both
    second = [False] * wins + [True] * losses + [True] * both
    return first, second


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (5, 5), (3, 12), (40, 61), (700, 650), (1500, 1200)])
def test_mcnemar_is_the_exact_two_sided_binomial_test(wins: int, losses: int) -> None:
    expected = binomtest(wins, wins + losses, 0.5).pvalue if wins + losses else 1.0

    assert mcnemar(*discordant(wins, losses, 100)) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_by_hand() -> None:
    # one of five coins shows heads: 2 * (1 + 5) / 32
    assert mcnemar(*discordant(1, 4, 7)) == pytest.approx(0.375)


@given(answers)
def test_examples_on_which_both_agree_change_no_p_value(pairs: list[tuple[bool, bool]]) -> None:
    first, second = zip(*pairs, strict=True)

    assert mcnemar(first, second) == pytest.approx(mcnemar([*first, True], [*second, True]))
    assert mcnemar(first, second) == pytest.approx(mcnemar(second, first))


def test_the_bootstrap_centres_on_the_difference_and_finds_its_normal_interval() -> None:
    first, second = discordant(300, 200, 2500)
    deviation = np.std(np.subtract(first, second, dtype=float)) / np.sqrt(3000)

    found = paired_bootstrap(first, second, seed=1, draws=20_000)

    assert found.mean == pytest.approx(100 / 3000)
    assert found.low == pytest.approx(found.mean - 1.96 * deviation, abs=deviation / 20)
    assert found.high == pytest.approx(found.mean + 1.96 * deviation, abs=deviation / 20)


def test_counting_outcomes_draws_from_the_same_distribution_as_drawing_examples() -> None:
    first, second = map(np.array, discordant(9, 4, 17))
    rng = np.random.default_rng(0)
    picked = rng.integers(0, 30, size=(20_000, 30))
    naive = (first[picked].mean(1) - second[picked].mean(1)).round(9)

    drawn = bootstrap_means(np.stack([first, second]), seed=2, draws=20_000)

    for quantile in (0.025, 0.25, 0.5, 0.75, 0.975):
        assert np.quantile(drawn[:, 0] - drawn[:, 1], quantile) == pytest.approx(
            np.quantile(naive, quantile), abs=0.034
        )
    assert (drawn[:, 0] - drawn[:, 1]).std() == pytest.approx(naive.std(), rel=0.03)


@given(answers, st.integers(0, 2**32))
def test_the_bootstrap_is_a_function_of_its_seed_and_turns_round_with_its_systems(
    pairs: list[tuple[bool, bool]], seed: int
) -> None:
    first, second = zip(*pairs, strict=True)

    found = paired_bootstrap(first, second, seed=seed, draws=200)

    assert found == paired_bootstrap(first, second, seed=seed, draws=200)
    assert found.low <= found.high
    assert paired_bootstrap(second, first, seed=seed, draws=200).mean == -found.mean


def test_systems_that_never_differ_differ_by_exactly_nothing() -> None:
    found = paired_bootstrap([True, False, True], [True, False, True], seed=0)

    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


def test_a_more_certain_level_gives_a_wider_interval() -> None:
    first, second = discordant(30, 20, 50)

    narrow = paired_bootstrap(first, second, seed=0, level=0.5)
    wide = paired_bootstrap(first, second, seed=0, level=0.99)

    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("first", "second"), [([], []), ([True], [True, False]), ([[True]], [[True]]), ([0.5], [1])])
def test_answers_that_cannot_be_paired_are_refused(first: list[bool], second: list[bool]) -> None:
    for compare in (mcnemar, lambda a, b: paired_bootstrap(a, b, seed=0)):
        with pytest.raises(ValueError, match="expected"):
            compare(first, second)


def test_bootstrap_means_centre_on_each_systems_accuracy() -> None:
    correct = np.random.default_rng(0).random((4, 500)) < np.array([[0.1], [0.5], [0.8], [1.0]])

    drawn = bootstrap_means(correct, seed=0, draws=4000)

    assert drawn.shape == (4000, 4)
    assert drawn.mean(axis=0) == pytest.approx(correct.mean(axis=1), abs=0.003)
    assert set(drawn[:, 3]) == {1.0}
    with pytest.raises(ValueError, match="systems x examples"):
        bootstrap_means(correct[0], seed=0)


def test_holm_by_hand() -> None:
    # sorted .01 .02 .03 .04 times 4 3 2 1 gives .04 .06 .06 .04, made monotone: .04 .06 .06 .06
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_bonferronis_bound_at_most_and_benjamini_hochbergs_at_least(p_values: list[float]) -> None:
    adjusted = np.array(holm(p_values))

    assert (adjusted <= np.minimum(1, np.multiply(p_values, len(p_values))) + 1e-12).all()
    assert (adjusted >= false_discovery_control(p_values) - 1e-12).all()
    assert (np.argsort(adjusted[np.argsort(p_values)], kind="stable") == np.arange(len(p_values))).all()
