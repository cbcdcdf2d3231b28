from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
from project import ADAPTERS, CHANGES_OF, REPOSITORY, Project, make

from compute import config as configs
from compute import study as studies
from compute.cells.honesty import notes
from compute.engine.cell import reachable
from compute.errors import UsageError

CHANGES = CHANGES_OF[ADAPTERS]
TINY = tuple(CHANGES[1::2])
HELD_OUT = 6


@cache
def cells(*changes: str) -> dict[str, str]:
    """The tiny study's cells with *changes*: keys by readable names, without what only tells equal names apart."""
    study = studies.load(ADAPTERS)
    config = configs.load(study, "mini", (*TINY, *changes))
    named = studies.readable_names(reachable(list(studies.wanted(study.results(config)))))
    return {cell.key: name.partition("~")[0] for name, cell in named.items()}


def touched(*changes: str) -> set[str]:
    """Names of the cells that the tiny study has after *changes*, and not before."""
    before = cells()
    return {name for key, name in cells(*changes).items() if key not in before}


def functions(names: set[str]) -> set[str]:
    return {name.partition("/")[0] for name in names}


# What a change touches


def test_a_lambda_more_runs_what_is_translated_with_it() -> None:
    names = touched("lambdas=[0.1, 0.5]")
    expected = {
        f"{function}/pertensor_ridge-{space}/{rest}"
        for space in ("factor", "delta")
        for function, rest in (
            ("answers", f"pertensor_ridge/{space}/anchors/6 tasks from math-dif-reversed"),
            ("pooled", "λ=0.5"),
        )
    }
    assert names == expected | {"left_out/factor/λ=0.5", "left_out/delta/λ=0.5"}


def test_an_option_of_one_method_runs_that_method_and_what_compares_it() -> None:
    names = touched("options={topk_global_ridge: {relative_lambda: 0.5}}")
    assert "answers/topk_global_ridge-factor/topk_global_ridge/factor/anchors/6 tasks from math-dif-reversed" in names
    comparing = {"document_gap", "domain_gap", "document_criterion"}
    assert {name for name in names if "topk_global_ridge" not in name} == {
        name for name in names if name.partition("/")[0] in comparing
    }
    assert functions(names) == {"answers", "score_of", "outcome", *comparing}


def test_an_option_of_the_declared_method_trains_nothing() -> None:
    names = touched("options={pertensor_ridge: {relative_lambda: 0.5}}")
    assert not functions(names) & {"taught", "trained", "grams", "task_data", "audited", "gate", "nearest_anchors"}
    assert {name for name in names if name.startswith("answers/")} == {
        name for name in names if name.startswith("answers/pertensor_ridge-")
    }


def test_another_draw_runs_that_draw() -> None:
    names = touched("draws=2")
    assert names
    assert {name for name in names if "draw 2" not in name} == {
        name for name in names if functions({name}) <= {"over_draws", "beside"}
    }
    assert {name for name in names if name.startswith("beside")} == {"beside/most anchors − fewest anchors"}


def test_longer_training_teaches_no_model_anew() -> None:
    names = touched("lora.steps=3")
    assert {"trained", "grams", "answers", "pooled"} <= functions(names)
    assert not functions(names) & {"taught", "task_data", "audited", "skills", "overlaps"}
    assert not any(name.startswith("answers/base/") for name in names)


def test_another_size_of_y_leaves_all_of_x() -> None:
    names = touched("models.y.layers=2")
    assert {name for name in names if name.startswith(("taught", "trained", "grams"))} == {
        "taught/Y", "trained/Y/shared/0/24 tasks from math-add-plain", "grams/Y/shared/0/factor",
        "grams/Y/shared/0/delta",
    }  # fmt: skip


def test_more_examples_to_train_on_teach_no_model_anew() -> None:
    names = touched("tasks.train=9")
    assert {"task_data", "trained"} <= functions(names)
    assert "taught" not in functions(names)


def test_what_is_asked_otherwise_is_trained_as_before() -> None:
    names = touched("new_tokens=4")
    assert "answers" in functions(names)
    assert not functions(names) & {"taught", "trained", "grams", "diagnosed", "left_out", "task_data"}


def test_another_beginning_is_trained_beside_the_first() -> None:
    names = touched("policies=[shared, independent]")
    trained = {name for name in names if name.startswith("trained/")}
    assert trained == {f"trained/{model}/independent/0/24 tasks from math-add-plain" for model in ("X", "Y")}
    assert not functions(names) & {"taught", "task_data", "document_gap", "outcome", "over_draws"}
    again = {name for name in touched("runs=2") if name.startswith("trained/")}
    assert again == {f"trained/{model}/shared/1/24 tasks from math-add-plain" for model in ("X", "Y")}


def test_another_seed_is_another_study() -> None:
    names = touched("seed=1")
    assert {"taught", "task_data", "trained", "answers", "pooled"} <= functions(names)
    assert len(names & set(cells().values())) == len(set(cells().values())) - len(
        {name for key, name in cells().items() if key in cells("seed=1")}
    )


def test_methods_come_and_go_by_themselves() -> None:
    more = "everywhere={mean: [factor], pertensor_ridge: [delta], permuted: [delta], nearest: [factor]}"
    assert touched(more) == {
        "answers/nearest-factor/nearest/factor/all others/24 tasks from math-add-plain",
        "pooled/nearest-factor/everywhere",
    }


def test_smaller_groups_are_other_cells_with_the_same_tasks() -> None:
    groups = [name for name in touched("lora.together=8") if name.startswith("trained/Y/")]
    assert sorted(groups) == [
        f"trained/Y/shared/0/8 tasks from {first}"
        for first in ("code-reverse-plain", "math-add-plain", "science-mass-plain")
    ]


# What is refused

COMPARED = "compared={mean: [factor], pertensor_ridge: [delta]}"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["compared={mean: [factor], pertensor_rigde: [delta]}"], ["pertensor_rigde", "pertensor_ridge"]),
        (["everywhere={men: [factor]}"], ["men", "mean"]),
        (["compared={mean: [factor], pertensor_ridge: [dleta]}"], ["dleta", "delta"]),
        (["space=weights"], ["space", "delta", "weights"]),
        (["compared={pertensor_ridge: [delta]}"], ["compared", "mean: [factor]"]),
        (["compared={mean: [delta], pertensor_ridge: [delta]}"], ["compared", "mean: [factor]"]),
        (["primary=global_ridge", COMPARED], ["declared method", "global_ridge: [delta]"]),
        (["space=factor", COMPARED], ["declared method", "pertensor_ridge: [factor]"]),
        (["lambdas=[-0.1]"], ["lambdas", "greater than 0"]),
        (["lambdas=[0]"], ["lambdas", "greater than 0"]),
        (["lora.together=0"], ["lora.together", "greater than 0"]),
        (["lora.epochs=1"], ["steps", "epochs"]),
        (["lora.targets=[]"], ["targets"]),
        (["runs=0"], ["runs", "found 0"]),
        (["draws=0"], ["draws", "found 0"]),
        (["anchor_counts=[1]"], ["anchor_counts", "2"]),
        (["neighbours=[0]"], ["neighbours", "found 0"]),
        (["policies=[sharde]"], ["policies", "shared"]),
        (["policies=[]"], ["policies", "at least 1 item"]),
        (["options={mean: {relative_lambda: 1}}"], ["relative_lambda", "mean"]),
        (["options={pertensor_ridge: {relative_lambda: much}}"], ["relative_lambda", "float", "much"]),
        (["options={pertensor_rigde: {}}"], ["pertensor_rigde", "pertensor_ridge"]),
        (["models.x.heads=3"], ["16", "3 heads"]),
        (["models.x.kind=gpt2"], ["models", "qwen2"]),
        (["models.kind=borrowed"], ["models", "made"]),
        (["tasks={kind: hub, train: 8, evaluation: 8}"], ["made tasks alone"]),
        (["tasks=null"], ["tasks: needed"]),
        (["lora.step=3"], ["unknown config key", "lora.steps"]),
        (["seed=first"], ["seed", "integer"]),
    ],
)
def test_a_mistake_in_a_config_is_told_in_a_line(changes: list[str], says: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        cells(*changes)
    assert "\n" not in str(refused.value)
    for part in says:
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("change", "says"), [("tasks.train=5000", "training"), ("tasks.evaluation=5000", "evaluation")]
)
def test_more_examples_than_there_are_are_refused_before_anything_runs(change: str, says: str) -> None:
    study = studies.load(ADAPTERS)
    with pytest.raises(UsageError, match=f"5000 {says} examples of math are too many"):
        study.check(configs.load(study, "mini", (*TINY, change)))


def test_what_is_refused_writes_nothing(project: Project) -> None:
    before = project.files()
    for change in ("compared={mean: [factor]}", "tasks.train=5000"):
        done = project.run("build", ADAPTERS, *CHANGES, "--set", change)
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1
        assert {name for name in project.files() if "index" not in name} == {
            name for name in before if "index" not in name
        }


# What is told honestly


def told(**changes: Any) -> list[tuple[str, str]]:
    """Notes on two tasks on which all went well, but for *changes*."""
    good = {
        "gates": {"a": {"usable": True, "why": ""}, "b": {"usable": True, "why": ""}},
        "oracles": {"a": {"n": 100, "failed": 0}, "b": {"n": 100, "failed": 0}},
        "audits": {"a": {"status": "ok", "reason": ""}, "b": {"status": "ok", "reason": ""}},
        "domains": {"a": "math", "b": "code"},
        "anchors": ["a", "b"],
        "primary": [{"wins": 2, "of": 2}],
        "least": 1,
        "left_out": {},
    }
    return [(found["kind"], found["note"]) for found in notes.function(**{**good, **changes})]


def test_where_all_went_well_that_is_said_and_no_more() -> None:
    ((kind, note),) = told()
    assert kind == "scope"
    assert "On every task the trained adapter clearly beats the base" in note


@pytest.mark.parametrize(
    ("changes", "kind", "parts"),
    [
        ({"left_out": {"c": "its adapter lies nowhere"}}, "failure", ["c was left out", "its adapter lies nowhere"]),
        ({"audits": {"a": {"status": "dropped", "reason": "no rows"}}}, "failure", ["a was dropped", "no rows"]),
        ({"audits": {"a": {"status": "degraded", "reason": "few"}}}, "failure", ["a was degraded", "few"]),
        ({"gates": {"a": {"usable": False, "why": "it lost"}}}, "power", ["No gap is given for a", "it lost"]),
        ({"oracles": {"a": {"n": 20, "failed": 0}}}, "power", ["a is measured by 20 examples", "5 points"]),
        ({"oracles": {"a": {"n": 50, "failed": 3}}}, "metric", ["Of 50 answers to a, 3 could not be read"]),
        ({"least": 2}, "power", ["The domain math has 1 anchors, fewer than 2"]),
        ({"anchors": ["a"]}, "power", ["The domain code has 0 anchors, fewer than 1"]),
        ({"skills": [{"model": "X", "skill": "s", "accuracy": 0.5}]}, "failure", ["Model X knows s to 50 %"]),
        ({"gates": {}}, "scope", ["No answers were measured"]),
        ({"primary": [{"wins": 1, "of": 2}]}, "scope", ["beats the mean on 1 of 2 tasks"]),
    ],
)
def test_what_happened_is_told(changes: dict[str, Any], kind: str, parts: list[str]) -> None:
    assert any(kind == of and all(part in note for part in parts) for of, note in told(**changes)), told(**changes)


def test_of_a_task_that_was_left_out_no_grain_and_no_answers_are_told() -> None:
    nothing = {"accuracy": None, "failed": None, "cut": None, "n": 0, "why": "it was left out"}
    assert told(oracles={"a": nothing, "b": {"n": 100, "failed": 0}}) == told()


def test_an_anchor_that_was_dropped_is_not_counted_and_one_without_data_is() -> None:
    found = told(audits={"a": {"status": "dropped", "reason": "no rows"}})
    assert ("power", "The domain math has 0 anchors, fewer than 1: under-powered.") in found
    assert not any("domain code" in note for _, note in found)
    assert told(primary=[]) == told()


# Builds


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which the tiny study was built once."""
    project = make(tmp_path_factory.mktemp("adapters") / "project")
    done = project.run("build", ADAPTERS, tiny=ADAPTERS)
    assert done.returncode == 0, done.stderr
    assert " 0 failed, 0 blocked;" in done.stdout
    return project


@pytest.fixture
def copy(whole: Project, tmp_path: Path) -> Project:
    shutil.copytree(whole.root, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")


def page(project: Project) -> str:
    return (project.root / "docs/studies" / ADAPTERS / "index.md").read_text(encoding="utf-8")


def computed(stderr: str) -> set[str]:
    """Names of the cells that a build says it computed."""
    return {name.partition("~")[0] for name in re.findall(r"computed (.+) in [\d.]+ s$", stderr, re.MULTILINE)}


def digests(project: Project) -> dict[str, str]:
    found = project.root.glob("cache/results/*/*/*/record.json")
    records = [json.loads(path.read_text(encoding="utf-8")) for path in found]
    return {f"{record['name']} {record['key']}": record["digest"] for record in records}


@pytest.mark.slow
def test_the_page_has_all_its_parts(whole: Project) -> None:
    text = page(whole)
    for heading in (
        "It begins with the initialisation", "Experiment 1", "Experiment 2", "Experiment 3",
        "Every task, left out once", "How much to regularise", "The data", "Honest notes", "Claims",
        "What the published numbers imply",
    ):  # fmt: skip
        assert re.search(rf"^## .*{heading}", text, re.MULTILINE), heading
    assert text.count('<figure class="rc-table"') >= 20
    assert text.count('<figure class="rc-figure"') >= 8
    assert text.count('class="rc-claim ') == len(studies.load(ADAPTERS).claims)
    assert "rc-box--failed" not in text


@pytest.mark.slow
@pytest.mark.slow
def test_the_audit_of_the_data_can_be_had_as_json(whole: Project) -> None:
    text = (whole.root / "docs/studies" / ADAPTERS / "data/data.json").read_text(encoding="utf-8")
    rows = {row["task"]: row for row in json.loads(text)}
    assert len(rows) == 24
    assert all(row["audit_status"] == "degraded" for row in rows.values())  # eight questions each
    assert len({row["audit_digest_train"] for row in rows.values()}) == 24


def test_published_numbers_stand_on_the_page_and_notes_say_how_small_it_is(whole: Project) -> None:
    text = page(whole)
    assert "gsm_hard" in text.replace("&#95;", "_")
    assert all(number in text for number in ("−0.000", "0.057", "1.333", "0.83, 0.14, −0.42, 0.10, 0.54, 0.00"))
    assert "only 8 examples to measure by" in text
    rows = (whole.root / "docs/studies" / ADAPTERS / "data/main.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + HELD_OUT * 9


@pytest.mark.slow
def test_every_number_leads_to_a_cell_that_is_shown(whole: Project) -> None:
    folder = whole.root / "docs/studies" / ADAPTERS
    links = set(re.findall(r'href="cells/(\w+)/#(c-[0-9a-f]{12})"', page(whole)))
    assert {"score_of", "pooled", "outcome", "gate", "audited", "diagnosed"} <= {function for function, _ in links}
    for function, anchor in links:
        assert f'id="{anchor}"' in (folder / "cells" / f"{function}.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_second_build_computes_nothing_touches_nothing_and_imports_nothing_heavy(whole: Project) -> None:
    before = whole.files()
    script = (
        "import sys\nfrom compute.cli import main\n"
        f"main({['build', ADAPTERS, *CHANGES]!r}, standalone_mode=False)\n"
        "print(sorted({'torch', 'pandas', 'altair', 'transformers', 'peft', 'datasets'} & set(sys.modules)))"
    )
    done = whole.python(script)
    assert done.returncode == 0, done.stderr
    assert " 0 computed, " in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
    assert whole.files() == before


@pytest.mark.slow
def test_after_a_change_exactly_what_it_touches_is_computed(copy: Project) -> None:
    done = copy.run("build", ADAPTERS, *CHANGES, "--set", "lambdas=[0.1, 0.5]")
    assert done.returncode == 0, done.stderr
    assert computed(done.stderr) == touched("lambdas=[0.1, 0.5]")
    back = copy.run("build", ADAPTERS, tiny=ADAPTERS)
    assert " 0 computed, " in back.stdout


@pytest.mark.slow
def test_a_method_that_fails_takes_nothing_else_with_it(copy: Project) -> None:
    done = copy.run("build", ADAPTERS, *CHANGES, "--set", "options={topk_global_ridge: {relative_lambda: -1}}")
    assert done.returncode == 1
    assert " 1 failed, " in done.stdout
    assert "relative_lambda must be above 0" in done.stderr
    assert "rc-box--" in page(copy)
    assert 'id="table-methods"' in page(copy)


@pytest.mark.slow
def test_a_killed_build_goes_on_and_ends_in_the_same_bytes(project: Project, whole: Project) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "compute", "build", ADAPTERS, *CHANGES],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not any(name.startswith("answers/") for name in digests(project)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(timeout=60)
    psutil.wait_procs(children, timeout=20)
    kept = digests(project)
    done = project.run("build", ADAPTERS, tiny=ADAPTERS)
    assert done.returncode == 0, done.stderr
    assert len(computed(done.stderr)) <= len(digests(whole)) - len(kept)
    assert digests(project) == digests(whole)
    assert page(project).count("rc-box--failed") == 0


@pytest.mark.slow
def test_tasks_in_other_groups_come_out_the_same(copy: Project) -> None:
    """Scores of tasks that were trained and asked eight at a time are those of all at a time."""
    done = copy.run("build", ADAPTERS, *CHANGES, "--set", "lora.together=8")
    assert done.returncode == 0, done.stderr
    shown = [
        json.loads(copy.run("show", "score_of", "--json", *more, tiny=ADAPTERS).stdout)
        for more in ([], ["--set", "lora.together=8"])
    ]
    one, other = ({cell["cell"]: cell["record"]["digest"] for cell in found} for found in shown)
    assert len(one) > 100
    assert sorted(one.values()) == sorted(other.values())
