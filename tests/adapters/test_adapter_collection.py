from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from adapter_collections import TASKS, Shelf, make
from hypothesis import given
from hypothesis import strategies as st
from project import REPOSITORY

from compute.adapters import collection
from compute.adapters.peft_config import CONFIG
from compute.adapters.recorded import Recorded
from compute.engine import files
from compute.errors import UsageError
from compute.evaluation.tasks.examples_file import ExamplesFile
from compute.evaluation.tasks.task import Metric
from compute.models.places import FolderModel, HubModel


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("shelf") / "collection").folder


@pytest.fixture
def shelf(original: Path, tmp_path: Path) -> Shelf:
    return Shelf(Path(shutil.copytree(original, tmp_path / "collection")))


def refused(shelf: Shelf) -> str:
    with pytest.raises(UsageError) as error:
        collection.opened(shelf.folder)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 1000
    return str(error.value)


def test_a_collection_tells_what_it_holds(shelf: Shelf) -> None:
    shelf.say(x="lab/small@0123")
    shelf.result("base", "gsm_hard", {"n": 4, "correct": "0110"})
    shelf.result("pertensor_ridge-delta", "gsm_hard", {"n": 4, "correct": [0, 1, 1, True], "ids": [1, 2, 3, "4"]})
    found = collection.opened(shelf.folder)
    assert [(task.name, task.domain, task.role) for task in found.tasks] == [(n, *rest) for n, rest in sorted_tasks()]
    assert [task.name for task in found.held_out] == ["gsm_hard"]
    assert found["gsm_hard"].y is None
    assert found["gsm8k"].y is not None
    assert (found.x, found.y) == (HubModel("lab/small", "0123"), None)
    assert found.unusable == {}
    recorded = found.results["pertensor_ridge-delta"]["gsm_hard"].load()
    assert recorded == {"n": 4, "correct": [False, True, True, True], "ids": ["1", "2", "3", "4"]}
    assert found.results["base"]["gsm_hard"].load()["ids"] == []
    with pytest.raises(UsageError, match="unknown task of the collection 'gsm8': did you mean gsm8k"):
        found["gsm8"]


def sorted_tasks() -> list[tuple[str, Any]]:
    return sorted(TASKS.items())


def test_what_is_held_out_may_have_its_own_adapter(shelf: Shelf) -> None:
    shutil.copytree(shelf.place("y", "gsm8k"), shelf.place("y", "gsm_hard"))
    assert collection.opened(shelf.folder)["gsm_hard"].y is not None


def test_a_base_model_may_be_a_folder_beside(shelf: Shelf) -> None:
    (shelf.folder / "models").mkdir()
    (shelf.folder / "models/config.json").write_text("{}")
    shelf.say(y="models")
    assert collection.opened(shelf.folder).y == FolderModel(shelf.folder / "models")


def test_an_adapter_that_cannot_be_translated_is_left_out_with_the_reason(shelf: Shelf) -> None:
    path = shelf.place("y", "mbpp") / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), "use_dora": True}))
    (shelf.place("x", "arc") / "adapter_model.safetensors").write_bytes(b"")
    found = collection.opened(shelf.folder)
    assert sorted(found.unusable) == ["arc", "mbpp"]
    assert "use_dora" in found.unusable["mbpp"]
    assert "not a whole safetensors file" in found.unusable["arc"]
    assert [task.name for task in found.anchors] == ["apps", "gsm8k", "svamp"]
    (shelf.place("x", "apps") / CONFIG).write_text("{")
    why = refused(shelf)
    assert "2 usable anchors, and at least 3 are needed; apps cannot be used" in why


def test_an_audit_that_remembers_is_asked_instead(shelf: Shelf) -> None:
    asked: list[Path] = []
    found = collection.opened(shelf.folder, lambda path: asked.append(path) or "")  # type: ignore[func-returns-value]
    assert found.unusable == {}
    assert sorted(asked) == sorted(path.parent for path in shelf.folder.glob(f"adapters/*/*/{CONFIG}"))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"tasks": None}, "tasks must map names to domain and role, not None"),
        ({"tasks": ["gsm8k"]}, "tasks must map names"),
        ({"task": {}}, "unknown key of the file 'task': did you mean tasks"),
        ({"x": "nowhere"}, "x is 'nowhere', neither a folder"),
        ({"x": "lab/small"}, "x is 'lab/small', neither a folder, from the collection on, nor org/name@commit"),
        ({"y": 3}, "y must be a folder or org/name@commit, not 3"),
        ({"y": "adapters"}, "no model in"),
        ({"y": "a\0b"}, "y is 'a.x00b', neither"),
    ],
)
def test_what_is_wrong_with_the_whole_is_named(fields: dict[str, Any], reason: str, shelf: Shelf) -> None:
    shelf.say(**fields)
    assert re.search(reason, refused(shelf))


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("gsm8k", {"role": "ancor"}, "task gsm8k must have the role anchor or held-out, found 'ancor'"),
        ("gsm8k", {"role": ["anchor"]}, "task gsm8k must have the role"),
        ("gsm8k", {"domain": None}, "task gsm8k must name its domain"),
        ("gsm8k", {"domian": "math"}, "unknown key of task gsm8k 'domian': did you mean domain"),
        ("gsm8k", {"metric": "numbr"}, "unknown metric of task gsm8k"),
        ("gsm8k", {"metric": "number", "data": "../data.jsonl"}, "data of task gsm8k must be a file below"),
        ("gsm8k", {"metric": "number", "data": "/etc/passwd"}, "data of task gsm8k must be a file below"),
        ("gsm8k", {"metric": "number", "data": "missing.jsonl"}, "no examples in"),
        ("gsm8k", {"data": "collection.yaml"}, "task gsm8k has data and no metric"),
        ("gsm_hard", {"role": "anchor"}, "anchor gsm_hard has no adapter on model Y: put it into adapters/y/gsm_hard"),
        ("new", {"domain": "math", "role": "anchor"}, "task new has no adapter on model X: put it into adapters/x/new"),
        ("../x/gsm8k", {"domain": "math", "role": "anchor"}, "cannot be a task's name"),
        ("..", {"domain": "math", "role": "anchor"}, "cannot be a task's name"),
        ("/etc", {"domain": "math", "role": "anchor"}, "cannot be a task's name"),
        ("a\nb", {"domain": "math", "role": "anchor"}, "cannot be a task's name"),
        ("x" * 300, {"domain": "math", "role": "anchor"}, "cannot be a task's name"),
        ("", {"domain": "math", "role": "anchor"}, "cannot be a task's name"),
        (3, {"domain": "math", "role": "anchor"}, "cannot be a task's name"),
    ],
)
def test_what_is_wrong_with_a_task_is_named(name: Any, fields: dict[str, Any], reason: str, shelf: Shelf) -> None:
    shelf.task(name, **fields)
    assert reason in refused(shelf)


def test_names_of_any_script_are_names(shelf: Shelf) -> None:
    for model in ("x", "y"):
        shutil.copytree(shelf.place(model, "gsm8k"), shelf.place(model, "算数 é"))
    shelf.task("算数 é", domain="数学", role="anchor")
    shelf.result("base", "算数 é", {"n": 1, "correct": "1"})
    assert "算数 é" in collection.opened(shelf.folder).results["base"]


@pytest.mark.parametrize(
    ("system", "task", "said", "reason"),
    [
        ("pertensor_rige-delta", "arc", {"n": 1, "correct": "1"}, "did you mean pertensor_ridge"),
        (
            "pertensor_ridge-detla",
            "arc",
            {"n": 1, "correct": "1"},
            "unknown system 'pertensor_ridge-detla': expected base",
        ),
        ("mean", "arc", {"n": 1, "correct": "1"}, "unknown system 'mean'"),
        ("base", "arcs", {"n": 1, "correct": "1"}, "unknown task of the collection 'arcs': did you mean arc"),
        ("base", "arc", {"n": 2, "correct": "1"}, "n is 2, and correct tells of 1 examples"),
        ("base", "arc", {"n": 0, "correct": ""}, "n is 0"),
        ("base", "arc", {"n": True, "correct": "1"}, "n is True"),
        ("base", "arc", {"correct": "1"}, "n is None"),
        ("base", "arc", {"n": 1, "correct": "2"}, "correct must be a text or a list of 0 and 1"),
        ("base", "arc", {"n": 1, "correct": ["1"]}, "correct must be"),
        ("base", "arc", {"n": 1, "correct": [[]]}, "correct must be"),
        ("base", "arc", {"n": 1, "correct": 1}, "correct must be"),
        ("base", "arc", {"n": 2, "correct": "10", "ids": ["a"]}, "1 ids, 1 of them distinct, for 2 examples"),
        ("base", "arc", {"n": 2, "correct": "10", "ids": ["a", "a"]}, "2 ids, 1 of them distinct"),
        ("base", "arc", {"n": 1, "correct": "1", "ids": [{}]}, "ids must be a list of texts"),
        ("base", "arc", {"n": 1, "corect": "1"}, "unknown key of results 'corect': did you mean correct"),
        ("base", "arc", [1], "expected a mapping with n and correct, found a list"),
        ("base", "arc", "{", "is no JSON"),
        ("base", "arc", "[" * 100_000, "is no JSON"),
        ("base", "arc", '{"n": 1' + "0" * 9999 + "}", "is no JSON"),
        ("oracle", "arc", {"n": 3, "correct": "110"}, "tells of 3 examples and"),
        ("oracle", "arc", {"n": 2, "correct": "11", "ids": ["b", "a"]}, "list other ids"),
    ],
)
def test_what_is_wrong_with_results_is_named(system: str, task: str, said: Any, reason: str, shelf: Shelf) -> None:
    shelf.result("mean-factor", "arc", {"n": 2, "correct": "11", "ids": ["a", "b"]})
    shelf.result(system, task, said)
    assert reason in refused(shelf)


def test_places_that_are_something_else_are_refused(shelf: Shelf) -> None:
    results = shelf.folder / "results"
    for made, reason in (
        (lambda: results.touch(), "expected a folder"),
        (lambda: results.symlink_to(results), "cannot be read"),
        (lambda: (results / "base/arc.json").mkdir(parents=True), "no results in"),
        (lambda: (results / "base").mkdir(parents=True) or (results / "base/arc.txt").touch(), "is no result"),
        (lambda: results.mkdir() or (results / "base").symlink_to(results / "base"), "is no folder"),
        (lambda: (results / "base").mkdir(parents=True) or (results / "base/arc.json").symlink_to("arc.json"), "no"),
    ):  # fmt: skip
        made()
        assert reason in refused(shelf)
        if results.is_dir() and not results.is_symlink():
            shutil.rmtree(results)
        else:
            results.unlink()


def test_an_adapter_that_is_a_file_or_a_loop_is_none(shelf: Shelf) -> None:
    shutil.rmtree(shelf.place("x", "arc"))
    shelf.place("x", "arc").symlink_to(shelf.place("x", "arc"))
    assert "task arc has no adapter on model X" in refused(shelf)
    shelf.place("x", "arc").unlink()
    shelf.place("x", "arc").touch()
    assert "task arc has no adapter on model X" in refused(shelf)


@pytest.mark.parametrize("text", ["", "[", "tasks: &a {gsm8k: *a}", "a: 1\na: 2", "\xff"])
def test_a_damaged_file_is_refused(text: str, shelf: Shelf) -> None:
    (shelf.folder / "collection.yaml").write_text(text, encoding="latin-1")
    assert "collection.yaml" in refused(shelf)


def test_a_folder_without_the_file_is_no_collection(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("loop", "nowhere", "."):
        with pytest.raises(UsageError, match=r"no collection in .*expected collection\.yaml"):
            collection.opened(tmp_path / name)


@given(st.lists(st.booleans(), min_size=1), st.booleans())
def test_results_are_read_as_they_were_written(tmp_path_factory: Any, correct: list[bool], text: bool) -> None:
    path = tmp_path_factory.mktemp("results") / "arc.json"
    said = "".join(str(int(one)) for one in correct) if text else [int(one) for one in correct]
    path.write_text(json.dumps({"n": len(correct), "correct": said}))
    assert Recorded(path).load()["correct"] == correct


def test_results_and_examples_are_known_by_content(tmp_path: Path) -> None:
    for name, text in (("a", "1"), ("b", "1"), ("c", "0")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"n": 1, "correct": text}))
    a, b, c = (Recorded(tmp_path / f"{name}.json").identity(files.digest) for name in "abc")
    assert a == b != c
    with pytest.raises(UsageError, match="no results in"):
        Recorded(tmp_path / "d.json").identity(files.digest)


CHOICE = {"prompt": "Which?", "target": "B", "choices": ["A", "B"], "answer": 1}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_examples_are_read_by_what_their_metric_needs(tmp_path: Path) -> None:
    train = {"prompt": "One?", "target": "1", "split": "train", "id": "first"}
    found = ExamplesFile(lines(tmp_path / "a.jsonl", train, "", {"prompt": "Two?", "target": "2"}), "number").load()
    assert [(each.id, each.target) for each in found.train] == [("first", "1")]
    assert [(each.id, each.target) for each in found.evaluation] == [("3", "2")]
    (example,) = ExamplesFile(lines(tmp_path / "b.jsonl", CHOICE), "choice").load().evaluation
    assert (example.choices, example.answer) == (("A", "B"), 1)


@pytest.mark.parametrize(
    ("metric", "rows", "reason"),
    [
        ("number", ["{"], "line 1: no JSON"),
        ("number", [{"prompt": "a", "target": "1"}, "\"text\""], "line 2: expected a mapping, found a str"),
        ("number", ["[" * 100_000], "line 1: no JSON"),
        ("number", [], "holds no examples"),
        ("number", [{"prompt": "a", "target": "1", "split": "train"}], "holds no examples to be measured by"),
        ("number", [{"prompt": "", "target": "1"}], "prompt must be a text"),
        ("number", [{"prompt": "a", "target": 1}], "target must be a text, not 1"),
        ("number", [{"prompt": "a"}], "target is empty"),
        ("number", [{"prompt": "a", "target": "1", "answer": "1"}], "what to write is target"),
        ("number", [{"prompt": "a", "target": "1", "anser": 1}], "unknown key of an example 'anser'"),
        ("number", [{"prompt": "a", "target": "1", "split": "test"}], "split must be train or evaluation"),
        ("number", [{"prompt": "a", "target": "1", "id": []}], "id must be a text or a number"),
        ("number", [{"prompt": "a", "target": "1", "id": "2"}, {"prompt": "a", "target": "1"}], "id '2' comes twice"),
        ("choice", [{**CHOICE, "answer": 2}], "a choice needs at least two choices"),
        ("choice", [{**CHOICE, "answer": True}], "a choice needs at least two choices"),
        ("choice", [{**CHOICE, "choices": ["A"]}], "a choice needs at least two choices"),
        ("choice", [{**CHOICE, "choices": ["A", 2]}], "choices must be a list of texts"),
        ("choice", [{**CHOICE, "choices": "AB"}], "choices must be a list of texts"),
        ("code", [{"prompt": "a", "target": "b", "tests": "assert True"}], "tests must be a program with {{answer}}"),
    ],
)  # fmt: skip
def test_a_wrong_example_is_named_with_its_line(metric: Metric, rows: list[Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        ExamplesFile(lines(tmp_path / "a.jsonl", *rows), metric).load()
    assert reason in str(error.value)
    assert "a.jsonl" in str(error.value)


def test_results_tell_of_the_examples_that_come_along(shelf: Shelf) -> None:
    lines(shelf.folder / "arc.jsonl", CHOICE, CHOICE)
    shelf.task("arc", metric="choice", data="arc.jsonl")
    shelf.result("base", "arc", {"n": 3, "correct": "101"})
    assert "base/arc.json tells of 3 examples and" in refused(shelf)
    shelf.result("base", "arc", {"n": 2, "correct": "10"})
    entry = collection.opened(shelf.folder)["arc"]
    assert (entry.metric, entry.data) == ("choice", ExamplesFile(shelf.folder / "arc.jsonl", "choice"))


def test_a_collection_is_opened_without_torch(shelf: Shelf) -> None:
    code = (
        "import sys; from pathlib import Path; from compute.adapters import collection;"
        f"collection.opened(Path({str(shelf.folder)!r}));"
        "print(sorted({'torch', 'transformers', 'peft', 'pandas', 'numba', 'huggingface_hub'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
