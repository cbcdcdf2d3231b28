from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from compute.errors import UsageError
from compute.evaluation.tasks import factorial
from compute.evaluation.tasks.task import Task, from_tree, to_tree

TASKS = factorial.tasks(seed=1)


@pytest.mark.parametrize(
    ("domain", "operation", "form", "text", "answer"),
    [
        ("math", "add", "plain", "347", "77"),
        ("math", "dif", "plain", "140", "30"),
        ("math", "max", "reversed", "249", "94"),
        ("math", "first", "reversed", "249", "92"),
        ("code", "reverse", "plain", "abc", "cba"),
        ("code", "rotate", "shifted", "abj", "cab"),
        ("code", "swap", "plain", "abc", "bac"),
        ("code", "copy", "shifted", "aij", "bja"),
    ],
)
def test_answers_follow_operation_and_format(domain: str, operation: str, form: str, text: str, answer: str) -> None:
    assert factorial.pair(domain, operation, form, text, shown=(False, False)) == (f"??{text}=", answer)


def test_science_asks_for_one_property_of_both_entities() -> None:
    table = factorial.facts()

    for number, operation in enumerate(factorial.PROPERTIES):
        _, answer = factorial.pair("science", operation, "plain", "AB7", shown=(True, True))
        assert answer == f"{table['A'][number]}{table['B'][number]}7"


def test_there_are_24_tasks_and_each_held_out_combines_what_anchors_have() -> None:
    assert len({task.name for task in TASKS}) == 24
    assert Counter((task.domain, task.role) for task in TASKS) == {
        (domain, role): count for domain in factorial.DOMAINS for role, count in (("anchor", 6), ("held-out", 2))
    }
    anchors = {tuple(task.name.split("-")) for task in TASKS if task.role == "anchor"}
    for domain, operation, form in (task.name.split("-") for task in TASKS if task.role == "held-out"):
        assert any(one[:2] == (domain, operation) for one in anchors)
        assert any((one[0], one[2]) == (domain, form) for one in anchors)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_hides_its_tags_and_shares_no_input_with_its_evaluation(task: Task) -> None:
    data = task.source.load()

    assert (len(data.train), len(data.evaluation)) == (120, 64)
    assert len({one.id for one in (*data.train, *data.evaluation)}) == 184
    assert all(one.prompt == f"??{one.id}=" for one in (*data.train, *data.evaluation))
    assert from_tree(to_tree(data)) == data
    assert data.facts["dataset"] == "made by Recount"
    assert data.facts["problem"] == ""


def test_tasks_of_a_domain_are_told_apart_by_their_answers_alone() -> None:
    for one, other in pairwise(task for task in TASKS if task.domain == "code"):
        mine, theirs = (task.source.load().evaluation for task in (one, other))
        assert [example.prompt for example in mine] == [example.prompt for example in theirs]
        assert sum(a.target == b.target for a, b in zip(mine, theirs, strict=True)) < 16


def test_the_seed_decides_and_is_all_that_an_identity_beside_the_sizes_names() -> None:
    task, same, other = (factorial.tasks(seed)[0].source for seed in (1, 1, 2))

    assert task.load() == same.load() != other.load()
    assert task.identity(_no_file) == same.identity(_no_file) != other.identity(_no_file)


def test_lessons_and_checks_never_ask_what_a_task_is_evaluated_on() -> None:
    lessons = factorial.Lessons(seed=1)
    evaluated = {example.id for task in TASKS for example in task.source.load().evaluation}
    checked = {prompt[2:-1] for pairs in lessons.checks().values() for prompt, _ in pairs}
    asked = {prompt[2:-1] for prompt, _ in lessons.draw(5000, seed=0)}

    assert not evaluated & checked
    assert not (evaluated | checked) & asked


def test_lessons_tell_three_quarters_of_the_tags_and_follow_their_seed() -> None:
    lessons = factorial.Lessons(seed=1)
    drawn = lessons.draw(4000, seed=0)

    hidden = sum(prompt[:2].count("?") for prompt, _ in drawn) / 8000
    assert 0.22 < hidden < 0.28
    assert drawn == lessons.draw(4000, seed=0) != lessons.draw(4000, seed=1)
    assert len(lessons.checks()) == 24
    assert not any("?" in prompt for pairs in lessons.checks().values() for prompt, _ in pairs)


@pytest.mark.parametrize(("sizes", "what"), [((10_000, 64), "training"), ((10, 240), "evaluation")])
def test_more_examples_than_there_are_inputs_are_refused(sizes: tuple[int, int], what: str) -> None:
    with pytest.raises(UsageError, match=rf"{what} examples of math are too many"):
        factorial.tasks(0, *sizes)[0].source.load()


@given(st.text(alphabet=factorial.alphabet(), max_size=12))
def test_the_tokenizer_gives_every_text_of_the_alphabet_back_a_character_a_token(text: str) -> None:
    words = Tokenizer.from_str(factorial.tokenizer())
    ids = words.encode(text).ids

    assert len(ids) == len(text)
    assert words.decode(ids) == text


def test_pad_and_end_come_first_and_are_special() -> None:
    words = Tokenizer.from_str(factorial.tokenizer())

    assert words.encode("ab</s>").ids[-1] == words.token_to_id("</s>") == 1
    assert words.token_to_id("<pad>") == 0
    assert words.decode([1, 0, 2]) == factorial.alphabet()[0]


def _no_file(path: Path) -> str:
    raise AssertionError(path)
