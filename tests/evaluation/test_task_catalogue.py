from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from task_rows import DATA, Splits

from compute.errors import UsageError
from compute.evaluation.tasks import catalogue
from compute.evaluation.tasks.converters import CONVERTERS, boxed
from compute.evaluation.tasks.hub_task import TAKEN, HubTask
from compute.evaluation.tasks.task import ANSWER, Example, Task, TaskData

COMMITS = dict.fromkeys(DATA, "0" * 40)


class Rows(list[dict[str, Any]]):
    """Rows as the datasets library gives them, as far as a task reads them."""

    @property
    def column_names(self) -> list[str]:
        return sorted(self[0])


def source(name: str, **limits: int) -> HubTask:
    (task,) = catalogue.tasks([name], COMMITS, **limits)
    assert isinstance(task.source, HubTask)
    return task.source


def load(name: str, **limits: int) -> TaskData:
    """Make a task's examples of the rows that the tests serve elsewhere from a hub."""
    found = source(name, **limits)
    by_config: dict[str, Splits] = dict(DATA[found.repo])
    rows = by_config[found.config] if found.config else next(iter(by_config.values()))
    wanted = {*found.train.split, *found.evaluation.split}
    return found._split({split: Rows(rows[split]) for split in wanted})


def first(name: str, part: str = "train") -> Example:
    return next(iter(getattr(load(name), part)))


def runs(program: str) -> bool:
    return subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", catalogue.TABLE)
def test_a_task_makes_examples_that_fit_its_metric(name: str) -> None:
    task = catalogue.TABLE[name]
    data = load(name)

    assert data.facts["problem"] == ""
    assert data.train
    assert bool(data.evaluation) == (task.metric != "none")
    assert not {example.id for example in data.train} & {example.id for example in data.evaluation}
    for example in (*data.train, *data.evaluation):
        assert example.id
        assert example.prompt.strip()
        assert example.target.strip()
        if task.metric == "number":
            assert boxed(example.target) or float(example.target.rpartition("#### ")[2]) is not None
        if task.metric == "choice":
            assert example.choices[example.answer] == example.target
        assert bool(example.tests) == (task.metric == "code" or name == "humaneval")
        assert ANSWER in (example.tests or ANSWER)


def test_domains_have_the_anchors_and_the_held_out_tasks_of_the_document() -> None:
    held_out = [name for name, task in catalogue.TABLE.items() if task.role == "held-out"]
    assert held_out == [
        "gsm_hard", "math_algebra_medium", "humaneval_plus", "mbpp_plus", "arc_challenge", "mmlu_college_chemistry",
    ]  # fmt: skip
    for domain in ("math", "code", "science"):
        tasks = [task for task in catalogue.TABLE.values() if task.domain == domain]
        assert sum(task.role == "anchor" for task in tasks) >= 6


def test_names_are_checked_and_commits_are_asked_for() -> None:
    with pytest.raises(UsageError, match="did you mean gsm8k"):
        catalogue.tasks(["gsm8"], COMMITS)
    with pytest.raises(UsageError, match=r"allenai/sciq: no revision is pinned.*compute lock"):
        catalogue.tasks(["gsm8k", "sciq"], {"openai/gsm8k": "0" * 40})
    assert len(catalogue.tasks("all", COMMITS)) == len(catalogue.TABLE)
    assert set(catalogue.repositories("all")) == set(DATA)
    assert catalogue.repositories(["mbpp", "mbpp_sanitized"]) == ("google-research-datasets/mbpp",)


def test_limits_keep_the_same_examples_whatever_stands_beside_them() -> None:
    few, all_of_them = load("gsm8k", train=2, evaluation=1), load("gsm8k")

    assert (len(few.train), len(few.evaluation)) == (2, 1)
    assert set(few.train) <= set(all_of_them.train)
    assert few.facts["available"] == {"train": 4, "evaluation": 3}


def test_every_rule_is_part_of_what_identifies_a_task() -> None:
    tasks: list[Task] = [*catalogue.tasks("all", COMMITS), *catalogue.tasks(["gsm8k"], COMMITS, train=5)]
    identities = [str(task.source.identity(str)) for task in tasks]
    assert len(set(identities)) == len(tasks)


def test_numbers_are_written_plainly_and_what_is_none_is_left_out_and_counted() -> None:
    assert first("gsm8k").target == "She has 0 + 2 = 2 nuts.\n#### 2"
    assert first("svamp").target == "( 0.0 - 3.0 )\n#### -3"
    assert load("asdiv").facts["dropped"] == {"the answer is not one number": 1}


def test_formulas_are_boxed_by_the_solutions_themselves() -> None:
    math = load("math_algebra_easy")
    assert [boxed(example.target) for example in math.train] == ["1,000", "1,002", r"\frac{1}{2}", "1,012"]
    unboxed = [{**row, "solution": "It is 3."} for row in DATA["EleutherAI/hendrycks_math"]["algebra"]["train"]]
    data = source("math_algebra_easy")._split({"train": Rows(unboxed), "test": Rows(unboxed)})
    assert data.facts["dropped"] == {"the solution boxes no answer": 8}
    assert data.facts["problem"] == "no usable row for the train and the evaluation part"


def test_choices_keep_their_order_and_the_right_one_is_marked() -> None:
    assert first("mathqa").prompt.endswith("A. 0\nB. 1\nC. 1,000\nD. none\nE. 0")
    assert (first("mathqa").target, first("arc_easy").target) == ("A", "B")
    assert first("openbookqa").choices == ("Venus", "Mars", "Earth", "Saturn")
    assert first("openbookqa").target == "Mars"
    assert "A. the thing 0\nB. thing 0.1" in first("sciq").prompt
    assert [example.answer for example in load("medmcqa").train] == [0, 1, 2, 3]


def test_problems_of_programs_are_measured_by_no_task_if_another_trains_on_them() -> None:
    data = {name: load(name) for name in ("mbpp", "mbpp_sanitized", "mbpp_plus", "humaneval", "humaneval_plus")}
    trained = {name: {example.id for example in found.train} for name, found in data.items()}
    measured = {name: {example.id for example in found.evaluation} for name, found in data.items()}

    assert len(trained["humaneval"]) == len(trained["humaneval_plus"]) == 41
    assert not trained["humaneval"] & trained["humaneval_plus"]
    assert measured["humaneval_plus"] == {f"HumanEval/{number}" for number in range(82, 164)}
    assert not measured["mbpp_plus"] & (trained["mbpp"] | trained["mbpp_sanitized"])
    assert not trained["mbpp_plus"] & (measured["mbpp"] | measured["mbpp_sanitized"])
    assert data["mbpp_plus"].facts["dropped"] == {TAKEN: 4}


@pytest.mark.parametrize("name", [name for name, task in catalogue.TABLE.items() if task.metric == "code"])
def test_the_data_sets_own_programs_pass_and_others_fail(name: str) -> None:
    for example in (*load(name).train[:2], *load(name).evaluation[:2]):
        assert runs(example.tests.replace(ANSWER, example.target))
        assert not runs(example.tests.replace(ANSWER, "pass"))


def test_a_program_that_reads_its_input_may_end_itself_but_not_give_up() -> None:
    example = first("apps_intro")
    assert "input" in example.target
    assert runs(example.tests.replace(ANSWER, "import sys\nprint(sum(map(int, sys.stdin)))\nsys.exit(0)"))
    assert not runs(example.tests.replace(ANSWER, "import sys\nprint(sum(map(int, sys.stdin)))\nsys.exit(1)"))
    assert not runs(example.tests.replace(ANSWER, "exit()"))


def test_only_problems_of_the_wanted_difficulty_are_taken() -> None:
    assert [example.prompt.rpartition("\n")[2][:10] for example in load("apps_intro").train] == [
        "Problem 0:", "Problem 1:", "Problem 4:", "Problem 5:",
    ]  # fmt: skip
    assert load("codealpaca_py").facts["dropped"] == {"not about Python": 4}


def test_a_layout_names_the_columns_that_it_reads() -> None:
    assert {task.converter for task in map(source, catalogue.TABLE)} == set(CONVERTERS)


def test_a_row_that_is_not_as_expected_is_counted_and_harms_no_other() -> None:
    rows = Rows([*DATA["openai/gsm8k"]["main"]["train"], {"question": None, "answer": "#### 3"}])
    data = source("gsm8k")._split({"train": rows, "test": Rows(DATA["openai/gsm8k"]["main"]["test"])})
    assert len(data.train) == 4
    assert data.facts["dropped"] == {"a value is missing or of another type": 1}


def test_a_question_of_the_evaluation_is_not_trained_on() -> None:
    rows = Rows(DATA["openai/gsm8k"]["main"]["train"])
    data = source("gsm8k")._split({"train": rows, "test": Rows(rows[:1] * 2)})
    assert (len(data.train), len(data.evaluation)) == (3, 1)
    assert data.facts["dropped"] == {"also in the evaluation part": 1, "says what another row says": 1}
