"""How well adapters were translated, by who answered what right. Knows lists of correct answers, no adapter.

Everything here takes, for a task, one list of true and false a system, an entry an example, all in the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeAlias, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compute.evaluation.statistics import paired_bootstrap

Key = TypeVar("Key", bound=Hashable)
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Answers: TypeAlias = dict[Key, Counts]
"""By task, zeros and ones."""

LEAST_GAIN = 0.03
"""What an oracle must gain over its base, as a share of the examples, for a ratio to that gain to mean anything."""

LEVEL = (0.025, 0.975)


class Gate(TypedDict):
    """Whether a task's gap means anything: the oracle minus the base with its interval, and why not."""

    difference: float
    low: float
    high: float
    usable: bool
    why: str


class Gap(TypedDict):
    """The share of the oracle's gain that a method recovers on one task; None where that means nothing, and why."""

    value: float | None
    why: str


class Compared(TypedDict):
    """One system minus another, in accuracy, over tasks: the mean over them, its interval, and where it is ahead."""

    difference: float
    low: float
    high: float
    wins: int
    tasks: int


class Pooled(TypedDict):
    """A method over several tasks.

    `gap` is Σ (method − base) / Σ (oracle − base) over the usable `tasks` out of all (`of`), with its interval; None
    without a usable task. `accuracy`, `base` and `oracle` are means over all tasks, `difference` is the method minus
    the mean baseline over all tasks, and `wins` counts those on which it is ahead of it.
    """

    gap: float | None
    low: float | None
    high: float | None
    tasks: int
    of: int
    accuracy: float
    base: float
    oracle: float
    difference: float
    difference_low: float
    difference_high: float
    wins: int


def gate(base: ArrayLike, oracle: ArrayLike, seed: int) -> Gate:
    """Say whether a task's oracle gains enough over the base, and surely enough, to measure others by its gain.

    It must gain LEAST_GAIN or more, and the interval of the paired bootstrap must lie above 0. Without such a gate a
    method that loses 21 answers where the oracle loses 2 has a gap of 10.5.
    """
    found = paired_bootstrap(oracle, base, seed=seed)
    why = _objection(found.mean, found.low)
    return Gate(difference=found.mean, low=found.low, high=found.high, usable=not why, why=why)


def _objection(gain: float, low: float) -> str:
    if gain < 0:
        return f"the oracle is {-100 * gain:.1f} points below the base"
    if gain == 0:
        return "the oracle is no better than the base"
    if gain < LEAST_GAIN:
        return f"the oracle gains {100 * gain:.1f} points, less than {100 * LEAST_GAIN:.0f}"
    return "" if low > 0 else f"the oracle gains {100 * gain:.1f} points, but the interval includes 0"


def gap(method: ArrayLike, base: ArrayLike, oracle: ArrayLike, gate: Gate) -> Gap:
    """Compute (method − base) / (oracle − base) on one task, if its *gate* lets it through."""
    if not gate["usable"]:
        return Gap(value=None, why=gate["why"])
    right = [int(np.sum(_answers(answers))) for answers in (method, base, oracle)]
    return Gap(value=(right[0] - right[1]) / (right[2] - right[1]), why="")


def pooled(
    methods: Mapping[Key, ArrayLike],
    bases: Mapping[Key, ArrayLike],
    oracles: Mapping[Key, ArrayLike],
    means: Mapping[Key, ArrayLike],
    seed: int,
    draws: int = 1000,
    gates: Mapping[Key, Gate] | None = None,
) -> Pooled:
    """Measure a method over tasks: what it recovers of the oracles' gains, and what it gains over the mean baseline.

    *gates* are computed with *seed* where they are not given. Intervals are percentiles of a bootstrap over tasks and
    over examples within tasks. Keys may be (seed, task): the runs of one task are then drawn together, as they are no
    independent tasks. A draw in which the oracles gain nothing has no ratio and is left out; with a single task that
    barely passes the gate this makes the interval a little too narrow. Raises ValueError where the four do not have
    the same tasks and examples, or there is no task.
    """
    right, base, oracle, mean = _read(methods, bases, oracles, means)
    if gates is None:
        gates = {key: gate(bases[key], oracles[key], seed) for key in methods}
    usable = [key for key in right if gates[key]["usable"]]
    ratio, low, high = _ratio(right, base, oracle, usable, seed, draws)
    beside_mean = _compared(right, mean, seed, draws)
    return Pooled(
        gap=ratio,
        low=low,
        high=high,
        tasks=len(usable),
        of=len(right),
        accuracy=_mean_accuracy(right),
        base=_mean_accuracy(base),
        oracle=_mean_accuracy(oracle),
        difference=beside_mean["difference"],
        difference_low=beside_mean["low"],
        difference_high=beside_mean["high"],
        wins=beside_mean["wins"],
    )


def compared(
    firsts: Mapping[Key, ArrayLike], seconds: Mapping[Key, ArrayLike], seed: int, draws: int = 1000
) -> Compared:
    """Compare two systems over tasks, on the same examples: the mean over tasks of the first minus the second.

    Each task counts alike, however many examples it has. Interval, keys and errors are as in `pooled`.
    """
    first, second = _read(firsts, seconds)
    return _compared(first, second, seed, draws)


def _compared(first: Answers[Key], second: Answers[Key], seed: int, draws: int) -> Compared:
    counts = np.stack([np.bincount(first[key] - second[key] + 1, minlength=3) for key in first])
    by_task = (counts[:, 2] - counts[:, 0]) / counts.sum(axis=1)
    times, drawn = _resampled(counts, _units(first), (seed, 1), draws)
    low, high = np.quantile((drawn[:, 2] - drawn[:, 0]) / times, LEVEL)
    return Compared(
        difference=float(by_task.mean()),
        low=float(low),
        high=float(high),
        wins=int(np.sum(by_task > 0)),
        tasks=len(by_task),
    )


def _ratio(
    right: Answers[Key], base: Answers[Key], oracle: Answers[Key], usable: Sequence[Key], seed: int, draws: int
) -> tuple[float | None, float | None, float | None]:
    """Return Σ (method − base) / Σ (oracle − base) over *usable* tasks with its interval; three times None without."""
    if not usable:
        return None, None, None
    gained, possible = np.repeat([-1, 0, 1], 3), np.tile([-1, 0, 1], 3)
    counts = np.stack([_joint(right[key] - base[key], oracle[key] - base[key]) for key in usable])
    shares = (counts / counts.sum(axis=1, keepdims=True)).sum(axis=0)
    _, drawn = _resampled(counts, _units(usable), (seed, 0), draws)
    whole = drawn @ possible
    some = whole > 0
    low, high = np.quantile((drawn @ gained)[some] / whole[some], LEVEL)
    return float(shares @ gained / (shares @ possible)), float(low), float(high)


def _joint(gained: Counts, possible: Counts) -> Counts:
    """Count examples by two numbers, each -1, 0 or 1: nine counts, the first number outermost."""
    return np.bincount(3 * (gained + 1) + possible + 1, minlength=9)


def _resampled(counts: Counts, units: Counts, seed: tuple[int, int], draws: int) -> tuple[Counts, Floats]:
    """Resample tasks and examples: how many tasks each draw has [draws], and the sum of their shares [draws, kinds].

    *counts* [tasks, kinds] says how many examples of each kind a task has. A task that is drawn c times gives c
    independent resamples of its n examples, which together are one multinomial draw of c · n: exact, and independent
    of n in time and memory. Tasks of one unit are drawn together.
    """
    rng = np.random.default_rng(seed)
    n = counts.sum(axis=1)
    distinct = int(units.max()) + 1
    times = rng.multinomial(distinct, np.full(distinct, 1 / distinct), size=draws)[:, units]
    drawn = rng.multinomial(times * n, counts / n[:, None])
    return times.sum(axis=1), np.einsum("dtk,t->dk", drawn, 1 / n)


def _units(keys: Collection[Hashable]) -> Counts:
    """Number the tasks that *keys* are of: those of (seed, task) by the task."""
    tasks = [key[-1] if isinstance(key, tuple) else key for key in keys]
    numbers = {task: number for number, task in enumerate(dict.fromkeys(tasks))}
    return np.array([numbers[task] for task in tasks])


def _read(*systems: Mapping[Key, ArrayLike]) -> list[Answers[Key]]:
    """Turn the answers of systems into zeros and ones; refuse systems that were not asked the same questions."""
    read = [{key: _answers(correct) for key, correct in system.items()} for system in systems]
    sizes = [{key: correct.size for key, correct in system.items()} for system in read]
    if not sizes[0]:
        raise ValueError("expected at least one task, found none")
    if any(other != sizes[0] for other in sizes):
        raise ValueError("expected answers of all systems to the same examples of the same tasks")
    return read


def _answers(correct: ArrayLike) -> Counts:
    answers = np.asarray(correct)
    if answers.ndim != 1 or not answers.size or not ((answers == 0) | (answers == 1)).all():
        raise ValueError("expected one list of true and false, one entry an example")
    return answers.astype(np.int64)


def _mean_accuracy(system: Answers[Key]) -> float:
    return float(np.mean([correct.mean() for correct in system.values()]))
