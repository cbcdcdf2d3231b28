"""Compares two classifiers on the same examples, by arithmetic alone. Knows who was right where, not why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Difference:
    """A difference of accuracies, first minus second, with its interval."""

    mean: float
    low: float
    high: float


def paired_bootstrap(
    a_correct: ArrayLike, b_correct: ArrayLike, *, seed: int, draws: int = 2000, level: float = 0.95
) -> Difference:
    """Bound the accuracy of *a* minus that of *b* by resampling examples, both on the same ones.

    An example's difference is -1, 0 or 1, so a draw of n examples is one multinomial draw of three counts:
    exact, and independent of n in time and memory. Percentile interval (Efron 1979; Koehn 2004 for pairs).
    """
    wins, losses, n = _discordant(a_correct, b_correct)
    counts = np.array([wins, losses, n - wins - losses])
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=draws)
    differences = (drawn[:, 0] - drawn[:, 1]) / n
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    return Difference((wins - losses) / n, float(low), float(high))


def bootstrap_means(correct: ArrayLike, *, seed: int, draws: int = 2000) -> NDArray[np.float64]:
    """Resample examples, the same for all systems: accuracies [draws, systems] from *correct* [systems, n].

    For statistics of several systems at once, such as the spread of their accuracies. Examples that the same
    systems get right are counted together, so that a draw is one multinomial draw of few counts.
    """
    answers = np.asarray(correct)
    if answers.ndim != 2 or not answers.size:
        raise ValueError(f"expected systems x examples, found shape {answers.shape}")
    patterns, counts = np.unique(answers, axis=1, return_counts=True)
    n = int(counts.sum())
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=draws)
    means: NDArray[np.float64] = drawn @ patterns.T / n
    return means


def mcnemar(a_correct: ArrayLike, b_correct: ArrayLike) -> float:
    """Compute the exact two-sided p value that *a* and *b* are equally often right (McNemar 1947).

    Under the null each example on which just one of them is right is a fair coin.
    """
    wins, losses, _ = _discordant(a_correct, b_correct)
    coins = wins + losses
    tail = sum(_fair_coins(coins, heads) for heads in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust *p_values* for being many, in their own order (Holm 1979): reject where the result is small."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, highest)
    return adjusted


def _discordant(a_correct: ArrayLike, b_correct: ArrayLike) -> tuple[int, int, int]:
    """Count where only *a* is right, where only *b* is, and all examples."""
    first, second = _answers(a_correct), _answers(b_correct)
    if first.shape != second.shape or not first.size:
        raise ValueError(f"expected answers to the same examples, found {first.size} and {second.size}")
    return int(np.sum(first & ~second)), int(np.sum(second & ~first)), first.size


def _answers(correct: ArrayLike) -> NDArray[np.bool_]:
    answers = np.asarray(correct)
    if answers.ndim != 1 or not np.isin(answers, (0, 1)).all():
        raise ValueError("expected one list of true and false, one entry an example")
    return answers.astype(bool)


def _fair_coins(n: int, heads: int) -> float:
    """Compute the probability of *heads* in *n* tosses, by logarithms so that large n do not overflow."""
    return exp(lgamma(n + 1) - lgamma(heads + 1) - lgamma(n - heads + 1) - n * log(2))
