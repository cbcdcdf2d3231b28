from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.evaluation.tasks import splits
from compute.evaluation.tasks.audit import FEWEST, audit, overlapping, underpowered
from compute.evaluation.tasks.task import Example, TaskData

WORDS = ["red", "hen", "box", "sun", "map", "cup", "oak", "fig", "ink", "jar", "key", "log"]
FACTS = {
    "dataset": "a/b",
    "config": "",
    "revision": "0" * 40,
    "licence": "mit",
    "columns": ["x"],
    "dropped": {"odd": 2},
}
HOW = "Answer this question as well as you can, with one word.\n\n"


def example(question: str, target: str = "yes", name: str = "") -> Example:
    return Example(name or splits.digest(question)[:16], HOW + question, target)


def questions(seed: int, count: int = 40) -> list[Example]:
    rng = random.Random(seed)
    return [example(" ".join(rng.choices(WORDS, k=12)) + "?") for _ in range(count)]


def data(train: Sequence[Example] = (), evaluation: Sequence[Example] = (), **facts: object) -> TaskData:
    return TaskData(train, evaluation, {**FACTS, **facts})


def test_an_audit_says_where_from_how_many_and_whether_they_serve() -> None:
    found = audit(data(questions(0), questions(1)), "number")
    assert found["status"] == "ok"
    assert (found["n_train"], found["n_evaluation"]) == (40, 40)
    assert (found["dataset"], found["licence"], found["left_out"]) == ("a/b", "mit", {"odd": 2})
    assert found["digest_train"] == audit(data(questions(0)), "none")["digest_train"]
    assert found["digest_train"] != found["digest_evaluation"]


def test_what_cannot_be_used_is_dropped_and_what_says_little_is_degraded() -> None:
    assert audit(data(problem="no column"), "number")["status"] == "dropped"
    assert audit(data(problem="no column"), "number")["reason"] == "no column"
    few = audit(data(questions(0), questions(1, FEWEST - 1), degraded="small"), "choice")
    assert (few["status"], few["reason"]) == ("degraded", "only 29 examples to measure by; small")
    assert audit(data(questions(0), questions(1, FEWEST)), "choice")["status"] == "ok"
    assert audit(data(questions(0)), "none")["status"] == "ok"


@given(st.integers(0, 5), st.sampled_from(["id", "prompt", "target", "tests"]))
def test_the_digest_of_a_part_tells_any_change(place: int, field: str) -> None:
    examples = questions(0, 6)
    changed = [*examples]
    changed[place] = dataclasses.replace(changed[place], **{field: "something else"})
    assert splits.content(examples) == splits.content(list(examples))
    assert splits.content(examples) != splits.content(changed)


def test_domains_without_enough_anchors_are_named() -> None:
    rows = [
        *({"domain": "math", "role": "anchor", "status": "ok"} for _ in range(6)),
        *({"domain": "code", "role": "anchor", "status": "degraded"} for _ in range(5)),
        {"domain": "code", "role": "anchor", "status": "dropped"},
        {"domain": "art", "role": "held-out", "status": "ok"},
    ]
    assert underpowered(rows) == {"art": 0, "code": 5}


def test_the_same_and_near_questions_are_found_in_the_training_of_anchors() -> None:
    story = "Ann has {} nuts in the old red box and gives {} of them to the small hen today."
    held_out = [example(story.format(3, 2), "1"), example("Is it late?", "no"), *questions(2)]
    anchors = {
        "same": data([example(story.format(3, 2).upper(), "1"), *questions(3)]),
        "figures": data([example(story.format("17,000", 4.5), "2"), *questions(4)]),
        "apart": data(questions(5)),
        "short": data([example("Is it late?", "yes"), *questions(6)]),
    }
    assert overlapping(anchors, {"task": data(evaluation=held_out)}) == [
        {"anchor": "same", "task": "task", "exact": 1, "near": 0},
        {"anchor": "figures", "task": "task", "exact": 0, "near": 1},
    ]


def test_what_all_prompts_say_is_no_overlap() -> None:
    ask = [Example(str(n), f"{HOW}{word}?\nThink of what you know of it.", "yes") for n, word in enumerate(WORDS)]
    assert overlapping({"a": data(ask[:6])}, {"b": data(evaluation=ask[6:])}) == []


def test_a_task_is_not_compared_with_itself_and_pairs_come_in_the_order_given() -> None:
    tasks = {name: data(questions(0), questions(0)) for name in ("b", "a", "c")}
    pairs = [(row["anchor"], row["task"]) for row in overlapping(tasks, tasks)]
    assert pairs == [("b", "a"), ("b", "c"), ("a", "b"), ("a", "c"), ("c", "b"), ("c", "a")]


@given(st.integers(0, 100), st.floats(0.1, 0.9))
def test_parts_by_hash_are_whole_and_stay_when_rows_are_added(seed: int, cut: float) -> None:
    few, more = questions(seed, 20), questions(seed, 40)
    for examples in (few, more):
        for item in examples:
            assert splits.within(item, (0.0, cut)) != splits.within(item, (cut, 1.0))
    assert [item for item in more[:20] if splits.within(item, (0.0, cut))] == [
        item for item in few if splits.within(item, (0.0, cut))
    ]


def test_about_the_wanted_share_falls_into_a_part() -> None:
    found = [splits.within(item, (0.0, 0.7)) for item in questions(0, 2000)]
    assert sum(found) / 2000 == pytest.approx(0.7, abs=0.04)


@given(st.integers(0, 50))
def test_a_limit_keeps_the_order_and_smaller_ones_are_within_larger(limit: int) -> None:
    examples = questions(0)
    kept = splits.at_most(examples, limit)
    assert len(kept) == min(limit, 40)
    assert kept == [item for item in examples if item in kept]
    assert set(kept) <= set(splits.at_most(examples, limit + 1))
    assert splits.at_most(examples, None) == examples
