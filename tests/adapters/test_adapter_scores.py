from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.adapters import document, scores

Answers = dict[object, list[bool]]


def answered(right: int, n: int) -> list[bool]:
    return [index < right for index in range(n)]


def drawn(seed: int, tasks: int, n: int, share: float) -> Answers:
    rng = np.random.default_rng(seed)
    return {f"task {number}": (rng.random(n) < share).tolist() for number in range(tasks)}


@pytest.mark.parametrize(
    ("base", "oracle", "n", "why"),
    [
        (50, 40, 100, "the oracle is 10.0 points below the base"),
        (50, 50, 100, "the oracle is no better than the base"),
        (500, 512, 1000, "the oracle gains 1.2 points, less than 3"),
        (3, 4, 8, "the oracle gains 12.5 points, but the interval includes 0"),
        (97, 100, 100, "the oracle gains 3.0 points, but the interval includes 0"),
        (50, 70, 100, ""),
        (291, 300, 300, ""),
    ],
)
def test_the_gate_says_why_a_gap_means_nothing(base: int, oracle: int, n: int, why: str) -> None:
    found = scores.gate(answered(base, n), answered(oracle, n), seed=0)
    assert found["why"] == why
    assert found["usable"] == (not why)
    assert found["difference"] == pytest.approx((oracle - base) / n)


def test_a_loss_over_a_loss_is_a_gap_of_ten_that_the_gate_refuses() -> None:
    base, oracle, method = (answered(right, 375) for right in (210, 208, 189))
    assert document.document_rule(210 / 375, [189 / 375], 208 / 375) == pytest.approx(10.5)
    gate = scores.gate(base, oracle, seed=0)
    assert scores.gap(method, base, oracle, gate) == {"value": None, "why": "the oracle is 0.5 points below the base"}


@given(st.integers(0, 40), st.integers(60, 100), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_the_oracle_recovers_all_and_the_base_nothing(base: int, oracle: int, other: int) -> None:
    start, end, method = answered(base, 100), answered(oracle, 100), answered(other, 100)
    gate = scores.gate(start, end, seed=0)
    assert scores.gap(end, start, end, gate)["value"] == 1
    assert scores.gap(start, start, end, gate)["value"] == 0
    assert scores.gap(method, start, end, gate)["value"] == pytest.approx((other - base) / (oracle - base))


def test_pooled_oracles_recover_all_and_bases_nothing_in_every_draw() -> None:
    base, oracle = drawn(0, 5, 60, 0.2), drawn(1, 5, 60, 0.9)
    best, worst = (scores.pooled(method, base, oracle, base, seed=0, draws=200) for method in (oracle, base))
    assert (best["gap"], best["low"], best["high"], best["wins"]) == (1, 1, 1, 5)
    assert (worst["gap"], worst["low"], worst["high"], worst["wins"]) == (0, 0, 0, 0)
    assert (worst["difference"], worst["difference_low"], worst["difference_high"]) == (0, 0, 0)
    assert best["accuracy"] == best["oracle"]


def test_pooling_is_as_in_a_slow_reference() -> None:
    tasks, n, draws = 6, 40, 4000
    method, base, oracle, mean = (drawn(seed, tasks, n, share) for seed, share in enumerate((0.5, 0.2, 0.9, 0.25)))
    found = scores.pooled(method, base, oracle, mean, seed=0, draws=draws)
    columns = np.array([[system[task] for task in method] for system in (method, base, oracle, mean)], float)
    rng, gaps, gains = np.random.default_rng(5), [], []
    for _ in range(draws):
        chosen = rng.integers(tasks, size=tasks)
        examples = rng.integers(n, size=(tasks, n))
        m, b, o, a = columns[:, chosen[:, None], examples].mean(axis=2)
        gaps.append((m - b).sum() / (o - b).sum())
        gains.append((m - a).mean())
    m, b, o, a = columns.mean(axis=2)
    assert found["gap"] == pytest.approx((m - b).sum() / (o - b).sum())
    assert found["difference"] == pytest.approx((m - a).mean())
    assert found["wins"] == int((m > a).sum())
    assert (found["tasks"], found["of"]) == (tasks, tasks)
    assert [found["accuracy"], found["base"], found["oracle"]] == pytest.approx([m.mean(), b.mean(), o.mean()])
    assert [found["low"], found["high"]] == pytest.approx(np.quantile(gaps, [0.025, 0.975]), abs=0.015)
    ends = [found["difference_low"], found["difference_high"]]
    assert ends == pytest.approx(np.quantile(gains, [0.025, 0.975]), abs=0.015)


def test_tasks_of_unequal_sizes_count_alike() -> None:
    first = {"small": answered(8, 8), "large": answered(0, 800)}
    second = {"small": answered(0, 8), "large": answered(0, 800)}
    assert scores.compared(first, second, seed=0)["difference"] == 0.5


def test_only_usable_tasks_make_the_gap_and_all_make_the_difference() -> None:
    base = {"good": answered(10, 100), "flat": answered(50, 100)}
    oracle = {"good": answered(90, 100), "flat": answered(50, 100)}
    method = {"good": answered(50, 100), "flat": answered(30, 100)}
    found = scores.pooled(method, base, oracle, base, seed=0)
    assert (found["gap"], found["tasks"], found["of"]) == (0.5, 1, 2)
    assert found["difference"] == pytest.approx(0.1)


def test_without_a_usable_task_there_is_no_gap() -> None:
    flat = {"flat": answered(50, 100)}
    found = scores.pooled({"flat": answered(60, 100)}, flat, flat, flat, seed=0)
    assert (found["gap"], found["low"], found["high"], found["tasks"]) == (None, None, None, 0)
    assert found["difference"] == pytest.approx(0.1)


def test_runs_of_one_task_are_no_independent_tasks() -> None:
    """Where tasks differ and runs repeat them, more runs must not narrow the interval as more tasks would."""
    first = {"good": answered(90, 100), "bad": answered(10, 100), "so-so": answered(50, 100)}
    second = {task: answered(50, 100) for task in first}
    runs = [{(run, task): right for run in range(8) for task, right in system.items()} for system in (first, second)]
    others = [{f"{run} {task}": right for (run, task), right in system.items()} for system in runs]
    widths = []
    for a, b in ((first, second), runs, others):
        found = scores.compared(a, b, seed=0)
        widths.append(found["high"] - found["low"])
    assert widths[1] > 0.85 * widths[0]
    assert widths[2] < 0.5 * widths[0]


def test_the_same_seed_gives_the_same_and_gates_may_be_given() -> None:
    method, base, oracle, mean = (drawn(seed, 4, 50, share) for seed, share in enumerate((0.5, 0.2, 0.9, 0.3)))
    gates = {task: scores.gate(base[task], oracle[task], seed=3) for task in method}
    one, two = (scores.pooled(method, base, oracle, mean, 3, gates=given) for given in (None, gates))
    assert one == two
    assert one != scores.pooled(method, base, oracle, mean, 4)
    assert {type(value) for value in one.values()} <= {int, float}


def test_systems_that_were_asked_other_questions_are_refused() -> None:
    base = {"a": answered(1, 4)}
    with pytest.raises(ValueError, match="same examples"):
        scores.compared({"a": answered(1, 5)}, base, seed=0)
    with pytest.raises(ValueError, match="same examples"):
        scores.pooled(base, base, {"b": answered(1, 4)}, base, seed=0)
    with pytest.raises(ValueError, match="at least one task"):
        scores.compared({}, {}, seed=0)
    with pytest.raises(ValueError, match="true and false"):
        scores.compared({"a": [2, 0, 1, 0]}, base, seed=0)


def test_the_documents_rule_takes_the_best_and_gives_up_only_where_nothing_can_be_divided() -> None:
    assert document.document_rule(0.5, [0.25, 0.75], 1.0) == 0.5
    assert document.document_rule(0.5, [0.25, 0.75], 0.25) == -1.0
    assert document.document_rule(0.5, [0.75], 0.5) is None
    assert document.document_average([1.0, None, 2.0]) == 1.5
    assert document.document_average([None]) is None
    assert document.document_criterion([0.5, 0.5], [[0.75, 0.25], [0.25, 0.0]]) == 0.0


def test_the_largest_of_many_normals() -> None:
    assert document.expected_maximum(1) == pytest.approx(0, abs=1e-12)
    assert document.expected_maximum(2) == pytest.approx(1 / math.sqrt(math.pi))
    assert document.expected_maximum(3) == pytest.approx(1.5 / math.sqrt(math.pi))
    assert document.expected_maximum(6) == pytest.approx(1.2672, abs=1e-4)
    drawn = np.random.default_rng(0).binomial(300, 0.3, size=(4000, 6)).max(axis=1).mean() / 300 - 0.3
    assert document.expected_luck(6, 0.3, 300) == pytest.approx(drawn, rel=0.05)
    assert NormalDist().cdf(document.expected_maximum(40)) > 0.97
    with pytest.raises(ValueError, match="at least one"):
        document.expected_maximum(0)
