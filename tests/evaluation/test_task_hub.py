from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub
import pytest
import task_rows

NOWHERE = "http://127.0.0.1:9"
OFFLINE = "import os; os.environ['HF_HUB_OFFLINE'] = '1'\n"
FEW = ["gsm8k", "conala", "piqa", "codealpaca_py", "mmlu_college_chemistry"]

SKIP_CHECK = """
from compute.evaluation.tasks.hub_task import HubTask
HubTask.check = lambda self: None
"""

LOAD = """
import json, sys
from huggingface_hub import HfApi
from compute.errors import UsageError
from compute.evaluation.tasks import catalogue
from compute.evaluation.tasks.task import to_tree

names, commits = {names!r}, {commits!r}
found = {{}}
for task in catalogue.tasks(names, commits, {limits}):
    try:
        task.source.check()
        found[task.name] = to_tree(task.source.load())
    except UsageError as error:
        found[task.name] = str(error)
print(json.dumps(found))
"""

LOCK = """
import json
from dataclasses import dataclass, field
from pathlib import Path
from compute.lock import write_lock
from compute.errors import UsageError
from compute import config
from compute.study import Repository, Study

@dataclass(frozen=True)
class Part:
    revisions: dict[str, str] = field(default_factory=dict)

@dataclass(frozen=True)
class Config:
    models: Part
    tasks: Part
    data: str

def repositories(config):
    yield Repository("made/model", "model", ("models", "revisions"))
    yield Repository(config.data, "dataset", ("tasks", "revisions"))
    yield Repository(config.data, "dataset", ("tasks", "revisions"))

study = Study("", "", Config, lambda config: {{}}, repositories=repositories, folder=Path({folder!r}))
try:
    line = write_lock(study, {profile!r})
    loaded = config.load(study, {profile!r})
    print(json.dumps([line, loaded.models.revisions, loaded.tasks.revisions]))
except UsageError as error:
    print(json.dumps(str(error)))
"""


def commit(repo: str) -> str:
    return hub.commit(Path(repo) / "main")


COMMITS = {repo: commit(repo) for repo in task_rows.DATA}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    for repo in task_rows.DATA:
        task_rows.publish(folder, repo)
    card = folder / "models/made/model/main/README.md"
    card.parent.mkdir(parents=True)
    card.write_text("a model\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def endpoint(root: Path) -> Iterator[str]:
    with hub.serve(root) as address:
        yield address


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def loaded(
    names: list[str] | str, endpoint: str, home: Path, commits: dict[str, str] = COMMITS, before: str = ""
) -> Any:
    return hub.run(before + LOAD.format(names=names, commits=commits, limits="100, 50"), endpoint, home)


@pytest.fixture(scope="module")
def few(endpoint: str, home: Path) -> Any:
    return loaded(FEW, endpoint, home)


def test_layouts_of_the_hub_are_read_at_the_pinned_commit(few: Any) -> None:
    assert {name: data["facts"]["problem"] for name, data in few.items()} == dict.fromkeys(FEW, "")
    sizes = {name: (len(data["train"]), len(data["evaluation"])) for name, data in few.items()}
    assert sizes == {
        "gsm8k": (4, 3),
        "conala": (4, 3),
        "piqa": (4, 3),
        "codealpaca_py": (4, 0),
        "mmlu_college_chemistry": (5, 10),
    }
    assert few["gsm8k"]["facts"] == {
        "dataset": "openai/gsm8k",
        "config": "main",
        "revision": commit("openai/gsm8k"),
        "licence": "mit",
        "columns": ["answer", "question"],
        "dropped": {},
        "available": {"train": 4, "evaluation": 3},
        "degraded": "",
        "problem": "",
    }
    assert few["mmlu_college_chemistry"]["facts"]["degraded"]


def test_what_was_loaded_once_is_there_without_a_network(few: Any, endpoint: str, home: Path) -> None:
    again = loaded(FEW, endpoint, home, before=OFFLINE)
    assert again == few


def test_what_needs_the_network_says_so_in_one_line(endpoint: str, tmp_path: Path) -> None:
    found = loaded(["gsm8k", "conala"], endpoint, tmp_path, before=OFFLINE)
    for repo, complaint in zip(("openai/gsm8k", "neulab/conala"), found.values(), strict=True):
        assert complaint.startswith(f"needs the network: the data set {repo} at {commit(repo)[:12]} is not in the")
        assert "connect" in complaint
        assert "\n" not in complaint


def test_data_that_are_not_as_expected_are_a_fact_about_their_task(root: Path, tmp_path: Path) -> None:
    changed = tmp_path / "hub"
    gone = "allenai/sciq"
    for repo in ("openai/gsm8k", "allenai/qasc", "EleutherAI/asdiv", "neulab/conala", "ChilleD/SVAMP"):
        task_rows.publish(changed, repo)
    folder = changed / "datasets"
    rows = [{"title": "no question", "answer": "#### 1"}]
    _write(folder / "openai/gsm8k/main/main/train-00000-of-00001.parquet", rows)
    _write(folder / "openai/gsm8k/main/main/test-00000-of-00001.parquet", rows)
    _write(folder / "EleutherAI/asdiv/main/asdiv/validation-00000-of-00001.parquet", [task_rows.asdiv(0)])
    (folder / "ChilleD/SVAMP/main/SVAMP.py").write_text("a script\n", encoding="utf-8")
    (folder / "neulab/conala/main/data/conala-paired-train.json").write_text("{no JSON", encoding="utf-8")
    card = folder / "allenai/qasc/main/README.md"
    card.write_text(card.read_text(encoding="utf-8").replace('"split": "validation"', '"split": "dev"'))
    with hub.serve(changed) as address:
        names = ["gsm8k", "asdiv", "svamp", "conala", "qasc", "sciq"]
        found = loaded(names, address, tmp_path / "home", {**COMMITS, gone: "0" * 40})
    problems = {name: data["facts"]["problem"] for name, data in found.items()}
    assert problems["gsm8k"] == "the split 'test' has no column 'question', but title, answer"
    assert problems["asdiv"] == "no usable row for the train and the evaluation part"
    assert problems["qasc"] == "it has no split 'validation', but dev, train"
    assert "scripts are no longer supported" in problems["svamp"]
    assert problems["conala"].startswith("it cannot be read: ")
    assert "doesn't exist on the Hub" in problems["sciq"]


def test_without_a_network_another_commit_is_not_taken_for_the_pinned_one(few: Any, endpoint: str, home: Path) -> None:
    found = loaded(["gsm8k"], endpoint, home, {"openai/gsm8k": "1" * 40}, OFFLINE + SKIP_CHECK)
    assert found["gsm8k"].startswith("needs the network: the data set openai/gsm8k at 111111111111")


def test_a_commit_that_the_hub_does_not_have_is_an_error_to_mend(endpoint: str, tmp_path: Path) -> None:
    found = loaded(["gsm8k"], endpoint, tmp_path, {"openai/gsm8k": "0" * 40})
    assert found["gsm8k"].startswith("the data set openai/gsm8k has no revision '0000")


@pytest.mark.slow
def test_every_task_of_the_catalogue_loads_from_a_hub_of_its_layout(endpoint: str, home: Path) -> None:
    found = loaded("all", endpoint, home)
    assert {name: data["facts"]["problem"] for name, data in found.items() if data["facts"]["problem"]} == {}


@pytest.mark.slow
def test_a_hub_that_refuses_to_answer_is_a_missing_network_too(tmp_path: Path) -> None:
    """The library tries again for some seconds."""
    assert loaded(["gsm8k"], NOWHERE, tmp_path)["gsm8k"].startswith("needs the network")


def test_models_and_data_sets_are_pinned_where_the_config_has_their_commits(
    endpoint: str, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "paper.yaml").write_text("{models: {}, tasks: {}, data: openai/gsm8k}", encoding="utf-8")
    code = LOCK.format(folder=str(tmp_path), profile="paper")
    line, models, tasks = hub.run(code, endpoint, home)  # type: ignore[misc]
    assert line == "2 repositories pinned in paper.lock.yaml"
    assert models == {"made/model": commit("made/model")}
    assert tasks == {"openai/gsm8k": commit("openai/gsm8k")}

    (tmp_path / "other.yaml").write_text("{models: {}, tasks: {}, data: nobody/nothing}", encoding="utf-8")
    refused = hub.run(code.replace("paper", "other"), endpoint, home)
    assert refused == "the hub has no data set nobody/nothing, or it is private: check its name"
    assert not (tmp_path / "other.lock.yaml").exists()
    unreachable = hub.run(OFFLINE + code, endpoint, home)
    assert "cannot be reached" in str(unreachable)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(json.loads(json.dumps(rows))), path)
