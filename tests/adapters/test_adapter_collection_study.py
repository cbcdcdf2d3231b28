"""Adapters that were made elsewhere give the report: a collection is all that the study is handed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from adapter_collections import Shelf
from causal_networks import logits
from click.testing import CliRunner
from project import REPOSITORY, Project

from compute import config, study
from compute.adapters import peft_folder
from compute.adapters.adapter import Adapter, Factors, from_tree
from compute.adapters.attached import attach
from compute.adapters.peft_config import CONFIG
from compute.adapters.recipes import LoraRecipe
from compute.adapters.training import initial, train
from compute.cli import main
from compute.engine import files
from compute.engine.cell import Cell, reachable, replace_cells
from compute.errors import UsageError
from compute.evaluation.tasks import factorial
from compute.models import causal, causal_load
from compute.models.places import HubModel
from compute.models.prompts import encode
from compute.models.recipes import CausalArchitecture

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
"""PEFT reads an attribute that transformers renamed."""

SLUG = "adapter-translation"
MODELS = {
    "x": CausalArchitecture("qwen2", hidden=32, layers=3, heads=2, kv_heads=1, intermediate=48, max_length=16),
    "y": CausalArchitecture("llama", hidden=48, layers=2, heads=2, kv_heads=1, intermediate=64, max_length=16),
}
LORA = LoraRecipe(batch=8, learning_rate=0.01, steps=4, rank=4, alpha=8, max_length=16, together=9)
CHOSEN = slice(0, 18, 2)
ANSWERS = 12
FEWER = {
    "compared": "{mean: [factor], pertensor_ridge: [factor, delta], cross_lora: [delta], span_ceiling: [delta]}",
    "everywhere": "{mean: [factor], pertensor_ridge: [factor, delta], permuted: [delta]}",
    "lambdas": "[0.01]", "neighbours": "[2]", "anchor_counts": "[3]", "draws": "1",
    "max_length": "16", "new_tokens": "8", "models.together": "5",
}  # fmt: skip
"""Changes of the profile that make a build take seconds."""


def made() -> list[Any]:
    """Nine of the made tasks, as (name, domain, role, examples); two are held out."""
    found = factorial.tasks(0, 16, ANSWERS)[CHOSEN]
    roles = ["held-out" if number in (3, 7) else "anchor" for number in range(len(found))]
    return [(task, role, task.source.load()) for task, role in zip(found, roles, strict=True) if task.source]


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Models, adapters that were trained on them, and examples."""
    shelf, tasks = Shelf(tmp_path_factory.mktemp("elsewhere") / "collection"), made()
    for name, size in MODELS.items():
        model = causal.new(size, factorial.tokenizer(), seed=len(name))
        causal_load.save(model, shelf.folder / "models" / name)
        network = model.network()
        shown = {t.name: encode(model, [(one.prompt, one.target) for one in d.train], 16) for t, _, d in tasks}
        starts = {task: initial(network, LORA, 1) for task in shown}
        trained = train(network, shown, starts, LORA, seed=0, pad_id=model.pad_id)
        for task, adapter in trained.items():
            peft_folder.write(adapter, shelf.place(name, task), base_model=f"lab/{name}")
    for task, _, data in tasks:
        lines = [json.dumps({"id": e.id, "prompt": e.prompt, "target": e.target}) for e in data.evaluation]
        (shelf.folder / f"{task.name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    said = {
        t.name: {"domain": t.domain, "role": role, "metric": "exact", "data": f"{t.name}.jsonl"} for t, role, _ in tasks
    }
    (shelf.folder / "collection.yaml").write_text(json.dumps({"x": "models/x", "y": "models/y", "tasks": said}))
    return shelf


@pytest.fixture
def shelf(original: Shelf, tmp_path: Path) -> Shelf:
    return Shelf(Path(shutil.copytree(original.folder, tmp_path / "collection")))


def changes(shelf: Shelf, **more: str) -> list[str]:
    return [f"{key}={value}" for key, value in {"models.folder": str(shelf.folder), **FEWER, **more}.items()]


def build(project: Project, shelf: Shelf, *arguments: str) -> Any:
    sets = [part for change in changes(shelf) for part in ("--set", change)]
    return project.run("build", SLUG, "--profile", "collected", *sets, *arguments)


class Values:
    """The results of cells, each computed once, in this process."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def of(self, cell: Cell) -> Any:
        if cell.key not in self._known:
            given = {
                name: replace_cells(value, (lambda one: Handle(one, self)) if name in cell.function.lazy else self.of)
                for name, value in cell.arguments.items()
            }
            self._known[cell.key] = cell.function.function(
                **{**given, **({} if cell.seed is None else {"seed": cell.seed})}
            )
        return self._known[cell.key]

    def rows(self, found: Any) -> list[dict[str, Any]]:
        """What a result of the study holds."""
        if isinstance(found, Cell):
            return list(self.of(found))
        return [{name: self.of(one) if isinstance(one, Cell) else one for name, one in row.items()} for row in found]


@dataclass(frozen=True)
class Handle:
    cell: Cell
    values: Values

    def load(self) -> Any:
        return self.values.of(self.cell)

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.cell.key,)


def results(shelf: Shelf, **more: str) -> dict[str, Any]:
    opened = study.load(SLUG)
    return dict(opened.results(config.load(opened, "collected", changes(shelf, **more))))


def cells(found: Mapping[str, Any]) -> list[Cell]:
    return reachable(list(study.wanted(found)))


def named(found: Mapping[str, Any]) -> set[str]:
    return {cell.function.name for cell in cells(found)}


def forget_models(shelf: Shelf) -> None:
    """Take models and examples out of a collection."""
    shutil.rmtree(shelf.folder / "models")
    said = yaml.safe_load((shelf.folder / "collection.yaml").read_text())
    shelf.say(x=None, y=None, tasks={n: {k: t[k] for k in ("domain", "role")} for n, t in said["tasks"].items()})


def record(shelf: Shelf, system: str, tasks: Sequence[str], right: int, **more: Any) -> None:
    for task in tasks:
        shelf.result(system, task, {"n": 40, "correct": [1] * right + [0] * (40 - right), **more})


TASKS = [task.name for task, _, _ in made()]
HELD_OUT = [task.name for task, role, _ in made() if role == "held-out"]


def test_models_and_examples_are_asked_and_nothing_is_trained(shelf: Shelf) -> None:
    found = results(shelf)
    assert not {"trained", "taught", "recorded"} & named(found)
    assert {name for name, rows in found.items() if isinstance(rows, list) and not rows} == {"skills"}
    answers = [cell.name for cell in cells(found) if cell.function.name == "answers"]
    for system in ("base", "oracle", "mean-factor", "pertensor_ridge-delta", "cross_lora-delta", "permuted-delta"):
        assert any(name.startswith(f"answers/{system}/") for name in answers), system


@pytest.mark.slow
def test_every_task_is_asked_as_a_model_that_was_made_here_would_be(shelf: Shelf) -> None:
    found, values = results(shelf), Values()
    told = {name: values.rows(rows) for name, rows in found.items()}
    assert [row["task"] for row in told["tasks"]] == TASKS
    assert {row["base"]["n"] for row in told["tasks"]} == {ANSWERS}
    assert {(row["method"], row["task"]) for row in told["main"]} == {
        (method, task) for method in ("mean", "pertensor_ridge", "cross_lora", "span_ceiling") for task in HELD_OUT
    }
    lacking = {name for name, rows in told.items() if not rows}
    assert lacking == {"skills", "overlaps"}
    assert {row["policy"] for row in told["starts"] + told["initialisation"]} == {"as found"}
    assert all(row["found"]["shared"] for row in told["starts"])


def test_recorded_results_are_taken_and_what_nobody_recorded_is_absent(shelf: Shelf) -> None:
    forget_models(shelf)
    for system, right in {"base": 10, "oracle": 30, "mean-factor": 15, "pertensor_ridge-delta": 20}.items():
        record(shelf, system, HELD_OUT, right)
    record(shelf, "span_ceiling-delta", HELD_OUT[:1], 25)
    found = results(shelf)
    assert named(found) & {"answers", "trained", "translated", "task_data"} == set()
    values = Values()
    told = {name: values.rows(rows) for name, rows in found.items()}
    assert sorted(row["task"] for row in told["tasks"]) == sorted(HELD_OUT)
    assert [(row["label"], row["score"]["accuracy"]) for row in told["main"]] == [
        ("mean", 15 / 40)] * 2 + [("pertensor_ridge, ΔW", 20 / 40)] * 2  # fmt: skip
    assert {row["gap"]["value"] for row in told["main"] if row["method"] != "mean"} == {0.5}
    assert [row["pool"] for row in told["pools"]] == ["all"] * 2
    for name in (
        "document",
        "criteria",
        "methods",
        "anchors",
        "neighbours",
        "lambdas",
        "initialisation",
        "comparisons",
    ):
        assert told[name] == [], name
    (missing,) = [row["note"] for row in told["notes"] if row["kind"] == "failure"]
    assert missing == f"what was recorded of span_ceiling-delta was left out: there is nothing for {HELD_OUT[1]}."


def test_results_by_all_other_tasks_have_a_name_of_their_own(shelf: Shelf) -> None:
    forget_models(shelf)
    for system in ("base", "oracle", "mean-factor-others", "pertensor_ridge-delta-others"):
        record(shelf, system, TASKS, 30 if system == "oracle" else 10)
    told = results(shelf)
    assert [row["label"] for row in told["methods"]] == ["mean", "pertensor_ridge, ΔW"]
    assert told["main"] == []
    values = Values()
    assert values.of(told["methods"][1]["pooled"])["of"] == len(TASKS)


def test_ids_may_be_noted_for_some_systems_alone(shelf: Shelf) -> None:
    forget_models(shelf)
    record(shelf, "base", HELD_OUT, 10, ids=list(range(40)))
    for system in ("oracle", "mean-factor", "pertensor_ridge-delta"):
        record(shelf, system, HELD_OUT, 30)
    assert len(Values().rows(results(shelf)["main"])) == 4


def test_results_about_other_examples_than_those_that_come_along_are_refused(shelf: Shelf) -> None:
    shelf.result("base", TASKS[0], {"n": ANSWERS, "correct": [1] * ANSWERS, "ids": list(range(ANSWERS))})
    with pytest.raises(UsageError, match="list other ids: ask all systems the same"):
        results(shelf)


def test_adapters_alone_tell_of_their_weights(shelf: Shelf) -> None:
    forget_models(shelf)
    values, found = Values(), results(shelf)
    told = {name: values.rows(rows) for name, rows in found.items()}
    assert len(told["starts"]) == len(told["diagnostics"]) == 2
    assert {row["task"] for row in told["selections"]} == set(HELD_OUT)
    assert sum(row["times"] for row in told["hubs"]) == 2 * 3 * len(TASKS)
    for name in ("tasks", "main", "document", "methods", "pools", "lambdas", "comparisons", "data"):
        assert told[name] == [], name
    assert named(found) & {"answers", "pooled", "translated"} == set()


def test_an_adapter_that_means_more_takes_its_task_out(shelf: Shelf) -> None:
    forget_models(shelf)
    path = shelf.place("x", TASKS[0]) / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), "use_dora": True}))
    values = Values()
    (note,) = [row["note"] for row in values.rows(results(shelf)["notes"]) if row["kind"] == "failure"]
    assert note.startswith(f"{TASKS[0]} was left out: adapters/x/{TASKS[0]}/{CONFIG}: use_dora is True: ")
    assert TASKS[0] not in {row["anchor"] for row in values.rows(results(shelf)["hubs"])}


@pytest.mark.parametrize(
    ("model", "change", "how"),
    [
        ("y", lambda modules: dict(list(modules.items())[:-1]), r"on model Y lacks self_attn.v_proj of layer 1"),
        ("x", lambda modules: {n: Factors(f.a[:2], f.b[:, :2], f.scale) for n, f in modules.items()},
         r"on model X has 32 × 32 of rank 2 at self_attn.q_proj of layer 0, and most have 32 × 32 of rank 4"),
    ],
)  # fmt: skip
def test_an_adapter_unlike_the_others_takes_its_task_out(model: str, change: Any, how: str, shelf: Shelf) -> None:
    forget_models(shelf)
    place = shelf.place(model, TASKS[2])
    adapter = Adapter(change(peft_folder.read(place).modules))
    shutil.rmtree(place)
    peft_folder.write(adapter, place, base_model="lab/other")
    (note,) = [row["note"] for row in Values().rows(results(shelf)["notes"]) if row["kind"] == "failure"]
    assert note.startswith(f"{TASKS[2]} was left out: its adapter {how}"), note


def test_too_few_anchors_of_one_kind_are_refused(shelf: Shelf) -> None:
    for rank, task in enumerate([task for task in TASKS if task not in HELD_OUT][:5]):
        place, keep = shelf.place("y", task), 1 + rank % 3
        modules = peft_folder.read(place).modules
        shutil.rmtree(place)
        cut = {name: Factors(one.a[:keep], one.b[:, :keep], one.scale) for name, one in modules.items()}
        peft_folder.write(Adapter(cut), place, base_model="lab/y")
    with pytest.raises(UsageError, match=r"fewer than 3 anchors are left, without .* and most have .* of rank 4"):
        results(shelf)


def test_too_few_anchors_and_no_folder_are_one_line(shelf: Shelf, project: Project) -> None:
    for task in TASKS[:6]:
        shutil.rmtree(shelf.place("y", task))
        shelf.task(task, role="held-out")
    for place, line in (
        (shelf.folder, "2 usable anchors, and at least 3 are needed"),
        (shelf.folder / "no", "no collection in"),
    ):
        done = project.run("build", SLUG, "--profile", "collected", "--set", f"models.folder={place}")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert line in done.stderr


def test_without_a_collection_all_else_works(project: Project) -> None:
    assert "adapter-translation  collected" in project.run("list", "profiles").stdout
    done = project.run("build", "--all", "--dry-run")
    assert done.returncode == 0, done.stderr
    refused = project.run("build", SLUG, "--profile", "collected")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "--set models.folder=PATH" in refused.stderr


def test_a_model_that_nobody_has_is_told_of_before_anything_runs(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[HubModel] = []
    monkeypatch.setattr(HubModel, "check", lambda self: asked.append(self))
    opened = study.load(SLUG)
    shelf.say(x="lab/x@0123456", y="lab/y@0123456")
    opened.check(config.load(opened, "collected", changes(shelf)))
    assert asked == [HubModel("lab/y", "0123456")]
    forget_models(shelf)
    shelf.say(y="lab/y@0123456")
    opened.check(config.load(opened, "collected", changes(shelf)))
    assert len(asked) == 1


def test_what_only_training_needs_is_refused(shelf: Shelf) -> None:
    with pytest.raises(UsageError, match="lora: needed for models that are made or found"):
        results(shelf, lora="{batch: 1, learning_rate: 0.1, steps: 1}")


@pytest.mark.parametrize(
    ("method", "space"), [("pertensor_ridge", "delta"), ("mean", "factor"), ("cross_lora", "delta")]
)
def test_the_command_and_the_study_translate_alike(method: str, space: str, shelf: Shelf, tmp_path: Path) -> None:
    task = HELD_OUT[0]
    told = ["--collection", str(shelf.folder), "--method", method, "--space", space]
    done = CliRunner().invoke(main, ["translate", str(shelf.place("x", task)), str(tmp_path / "out"), *told])
    assert done.exit_code == 0, done.output
    made = peft_folder.read(tmp_path / "out")
    (cell,) = [
        one for row in results(shelf)["main"] if (row["method"], row["space"], row["task"]) == (method, space, task)
        for one in row["score"].inputs
    ]  # fmt: skip
    ours = from_tree(Values().of(cell.arguments["adapters"])[task])
    assert ours.modules.keys() == made.modules.keys()
    for name, factors in ours.modules.items():
        assert np.allclose(factors.delta(), made.modules[name].delta(), atol=1e-5), name
    assert_peft_agrees(shelf.folder / "models/y", made, tmp_path / "out")


def assert_peft_agrees(base: Path, made: Adapter, folder: Path) -> None:
    """PEFT opens the folder on Y, and says what our own way to attach it says."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    ids = torch.arange(3, 13).reshape(2, 5)
    plain, network = (AutoModelForCausalLM.from_pretrained(base).eval() for _ in range(2))
    before = logits(plain, ids)
    with attach(plain, [made]):
        ours = logits(plain, ids)
    theirs = logits(PeftModel.from_pretrained(network, folder).eval(), ids)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert not torch.allclose(ours, before, atol=1e-4)


def test_a_method_that_reads_base_models_tells_which(shelf: Shelf, tmp_path: Path) -> None:
    place, told = str(shelf.place("x", HELD_OUT[0])), ["--collection", str(shelf.folder), "--method"]
    for method in ("cross_lora", "mean"):
        assert CliRunner().invoke(main, ["translate", place, str(tmp_path / method), *told, method]).exit_code == 0
    inputs = json.loads((tmp_path / "cross_lora/recount.json").read_text())["inputs"]
    weights = shelf.folder / "models/y/model.safetensors"
    assert inputs["bases"]["y"]["folder"][weights.name] == files.sha256(weights)
    assert inputs["bases"].keys() == {"x", "y"}
    assert "bases" not in json.loads((tmp_path / "mean/recount.json").read_text())["inputs"]


@pytest.mark.slow
def test_the_whole_page_is_built_and_only_what_changed_again(shelf: Shelf, project: Project) -> None:
    done = build(project, shelf)
    assert done.returncode == 0, done.stderr
    assert "0 failed, 0 blocked" in done.stdout
    page = (project.root / "docs/studies/adapter-translation/index.md").read_text(encoding="utf-8")
    assert "They are those of the collection `collection`." in page
    moved = Shelf(Path(shutil.move(shelf.folder, shelf.folder.parent / "moved")))
    assert "0 computed" in build(project, moved).stdout
    edited = shelf.folder.parent / "moved/adapters/y" / TASKS[0]
    adapter = peft_folder.read(edited)
    shutil.rmtree(edited)
    again = Adapter({name: Factors(f.a, 1.5 * f.b, f.scale) for name, f in adapter.modules.items()})
    peft_folder.write(again, edited, base_model="lab/y")
    done = build(project, moved)
    computed = {name for name in done.stderr.splitlines() if " computed " in name}
    assert done.returncode == 0, done.stderr
    assert not [line for line in computed if "answers/base" in line or "start_audit/X" in line or "grams/X" in line]
    assert [line for line in computed if "grams/Y" in line]
    assert sum("answers/oracle" in line for line in computed) == 1


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [False, True])
def test_a_page_without_models_has_no_failed_cell(recorded: bool, shelf: Shelf, project: Project) -> None:
    forget_models(shelf)
    for system in ("base", "oracle", "mean-factor", "pertensor_ridge-delta") if recorded else ():
        record(shelf, system, HELD_OUT, 30 if system == "oracle" else 10)
    done = build(project, shelf)
    assert done.returncode == 0, done.stderr
    page = (project.root / "docs/studies/adapter-translation/index.md").read_text(encoding="utf-8")
    assert "cannot be told" in page
    assert ("No answers were measured" in page) != recorded
    assert ("75.0" in page) == recorded


def blocks(language: str) -> list[str]:
    """The code blocks of the guide in one language."""
    text = (REPOSITORY / "docs/guide/adapters.md").read_text(encoding="utf-8")
    return [found.replace("\\\n", " ") for found in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def test_the_guide_is_followed_to_the_letter(original: Shelf, project: Project) -> None:
    (said,), (result, example) = blocks("yaml"), blocks("json")
    shelf = Shelf(project.root / "collection")
    entries = yaml.safe_load(said)["tasks"]
    for (name, entry), like in zip(entries.items(), TASKS, strict=False):
        for model in ("x", "y"):
            shutil.copytree(original.place(model, like), shelf.place(model, name))
        if "data" in entry:
            (shelf.folder / entry["data"]).parent.mkdir()
            rows = [json.dumps({**json.loads(example), "id": number}) for number in range(1, 5)]
            (shelf.folder / entry["data"]).write_text("\n".join(rows), encoding="utf-8")
        for system in ("base", "oracle", "mean-factor", "pertensor_ridge-delta", "pertensor_ridge-delta-others"):
            shelf.result(system, name, json.loads(result))
    shutil.copytree(original.folder / "models/y", shelf.folder / "models/llama")
    (shelf.folder / "collection.yaml").write_text(said, encoding="utf-8")
    shutil.copytree(original.place("x", TASKS[-1]), project.root / "adapters/new-task")
    first, second, *reports = blocks("sh")
    for number, command in enumerate((first, second)):
        words = shlex.split(command.replace("translated", f"translated-{number}"))
        done = project.run(*words[3:])
        assert done.returncode == 0, done.stderr
        assert peft_folder.read(project.root / f"translated-{number}").modules
    for command in reports:
        done = project.run(*shlex.split(command)[3:], "--dry-run")
        assert done.returncode == 0, done.stderr
        assert "recorded" in done.stdout
        assert "trained" not in done.stdout


def test_nothing_is_written_among_the_adapters_of_the_collection(shelf: Shelf) -> None:
    said = ["translate", str(shelf.place("x", HELD_OUT[0])), str(shelf.place("y", "new")), "--collection"]
    done = CliRunner().invoke(main, [*said, str(shelf.folder)])
    assert (done.exit_code, shelf.place("y", "new").exists()) == (2, False)
    assert "lies among the adapters of the collection" in str(done.exception) + done.output
