from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from compute.evaluation.metrics import accuracy, macro_f1, wilson

labels = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1)


def test_accuracy_is_the_share_of_equal_entries() -> None:
    assert accuracy([1, 2, 3, 3], [1, 2, 2, 3]) == 0.75
    assert accuracy(["a"], ["b"]) == 0.0


def test_macro_f1_weighs_classes_alike_and_counts_one_that_is_only_predicted() -> None:
    # class 0: precision 1, recall 2/3, F1 0.8; class 1: 1/1, 1/1; class 2 is only predicted: 0
    assert macro_f1([0, 0, 0, 1], [0, 0, 2, 1]) == pytest.approx((0.8 + 1.0 + 0.0) / 3)


@given(labels)
def test_macro_f1_is_the_mean_of_precision_and_recall_combined_class_by_class(
    pairs: list[tuple[int, int]],
) -> None:
    truth, guess = map(np.array, zip(*pairs, strict=True))

    scores = []
    for name in set(truth) | set(guess):
        hits = int(((truth == name) & (guess == name)).sum())
        precision = hits / max(1, (guess == name).sum())
        recall = hits / max(1, (truth == name).sum())
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)

    assert macro_f1(truth, guess) == pytest.approx(np.mean(scores))


@pytest.mark.parametrize(("truth", "guess"), [([], []), ([1, 2], [1]), ([[1]], [[1]])])
def test_scores_of_nothing_or_of_unequal_lengths_are_refused(truth: list[int], guess: list[int]) -> None:
    for score in (accuracy, macro_f1):
        with pytest.raises(ValueError, match="expected two lists of one length"):
            score(truth, guess)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy_at_every_share_and_size(pair: tuple[int, int]) -> None:
    correct, n = pair

    for level in (0.5, 0.95, 0.99):
        expected = binomtest(correct, n).proportion_ci(level, method="wilson")
        assert wilson(correct, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("correct", "n"), [(1, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_what_is_no_share(correct: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"found correct={correct}, n={n}"):
        wilson(correct, n)
