from __future__ import annotations

import json
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner, Result
from project import CHANGES, Project

from compute.cli import main
from compute.engine import stores
from compute.engine.remotes.remote import Remote
from compute.engine.store import Store

STUDY = "dare-source-selection"


@pytest.fixture
def memory() -> Iterator[str]:
    url = f"memory://{uuid.uuid4().hex}/results"
    yield url
    found = fsspec.filesystem("memory")
    if found.exists(url):
        found.rm(url, recursive=True)


Here = Callable[..., Result]


@pytest.fixture
def here(copied: Callable[[], Project], monkeypatch: pytest.MonkeyPatch) -> Here:
    """Run the command line in this process, in a project that was built: memory:// is one process's alone."""
    monkeypatch.chdir(copied().root)
    monkeypatch.setenv(stores.SETTING, "")  # what --store sets ends with the test
    return lambda *arguments: CliRunner().invoke(main, [*arguments, STUDY, *CHANGES])


def results(root: Path) -> int:
    return len(list(root.glob("results/*/*/*/record.json")))


def test_after_a_pull_from_a_folder_a_build_computes_nothing(copied: Callable[[], Project], tmp_path: Path) -> None:
    project, url = copied(), (tmp_path / "shared store").as_uri()
    count = results(project.root / "cache")
    pushed = project.run("push", url, STUDY, tiny=True)
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.startswith(f"pushed {count} results (")
    assert project.run("push", url, STUDY, tiny=True).stdout.startswith("pushed 0 results (0 B) to ")
    shutil.rmtree(project.root / "cache")
    told = json.loads(project.run("pull", url, STUDY, "--dry-run", "--json", tiny=True).stdout)
    assert (told["copied"], told["there"], told["damaged"]) == (count, 0, [])
    assert results(project.root / "cache") == 0
    pulled = project.run("pull", url, STUDY, tiny=True)
    assert pulled.stdout.startswith(f"pulled {count} results ("), pulled.stderr
    built = project.run("build", STUDY, tiny=True)
    assert f"{count} cells: 0 computed, {count} fresh" in built.stdout, built.stderr


def test_after_a_pull_from_a_url_nothing_would_run(here: Here, memory: str) -> None:
    count = results(Path("cache"))
    assert f"would push {count} results" in here("push", memory, "--dry-run").output
    assert not fsspec.filesystem("memory").exists(memory)
    assert f"pushed {count} results" in here("push", memory).output
    again = here("push", memory)
    assert again.output == f"pushed 0 results (0 B) to {memory}; {count} were there\n"
    shutil.rmtree("cache")
    assert f"pulled {count} results" in here("pull", memory).output
    assert here("build", "--dry-run").output == "0 cells would run\n"
    assert here("pull", memory).output == f"pulled 0 results (0 B) from {memory}; {count} were here\n"


def test_a_build_over_a_url_takes_what_is_there(here: Here, memory: str) -> None:
    count = results(Path("cache"))
    here("push", memory)
    shutil.rmtree("cache")
    status = here("status", "--store", memory)
    assert f"{count} of {count} cells fresh" in status.output
    assert results(Path("cache")) == 0  # records alone were read
    built = here("build", "--store", memory)
    assert f"{count} cells: 0 computed, {count} fresh" in built.output
    assert results(Path("cache")) > 0  # what the pages show


def test_a_build_over_a_url_sends_what_it_computes(here: Here, memory: str) -> None:
    store = Store(Path("cache"))
    quickest = min(store.all(), key=lambda record: record.cost.seconds)
    store.remove(quickest)
    built = here("build", "--store", memory, "--jobs", "1")
    assert " 1 computed" in built.output
    assert list(Remote(memory).results()) == [(quickest.key, quickest.trace.id)]


def test_all_results_are_those_that_no_study_shows_too(here: Here, memory: str) -> None:
    count = results(Path("cache"))

    def elsewise(*arguments: str) -> int:
        """Push or pull under another config, with which this one shares some results, and return how many."""
        return int(json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)["copied"])

    shared = elsewise("push", memory, STUDY)
    assert shared < count
    assert elsewise("push", memory, "--results", "all") == count - shared
    shutil.rmtree("cache")
    assert elsewise("pull", memory, STUDY) == shared
    assert elsewise("pull", memory, "--results", "all") == count - shared


def test_what_is_damaged_there_is_named_and_the_rest_pulled(here: Here, memory: str) -> None:
    count, found = results(Path("cache")), fsspec.filesystem("memory")
    here("push", memory)
    path = found.find(f"{memory}/objects")[0]
    found.pipe_file(path, b"")
    shutil.rmtree("cache")
    pulled = here("pull", memory)
    assert pulled.exit_code == 1
    assert f"objects/{'/'.join(path.split('/')[-2:])}" in pulled.output
    assert "damaged: " in pulled.output
    assert 0 < results(Path("cache")) < count
    lacking = json.loads(here("pull", memory, "--json").stdout)
    assert (lacking["copied"], lacking["there"]) == (0, results(Path("cache")))


def test_force_mends_what_is_damaged_there(here: Here, memory: str) -> None:
    count, found = results(Path("cache")), fsspec.filesystem("memory")
    here("push", memory)
    found.pipe_file(found.find(f"{memory}/objects")[0], b"")
    assert f"pushed {count} results" in here("push", memory, "--force").output
    shutil.rmtree("cache")
    assert here("pull", memory).exit_code == 0


def test_a_folder_is_a_store_too(here: Here, tmp_path: Path) -> None:
    count, shared = results(Path("cache")), tmp_path / "shared"
    here("push", str(shared))
    shutil.rmtree("cache")
    built = here("build", "--store", str(shared))
    assert f"{count} cells: 0 computed, {count} fresh" in built.output
    assert not Path("cache", "results").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["push", "s3://key:secret@bucket/x"], 2, "holds a password"),
        (["build", "--store", "s3://key:secret@bucket/x", "--all"], 2, "holds a password"),
        (["pull", "nothing://x"], 2, "is no address of a store"),
        (["push", "memory://x", "--all", STUDY], 2, "name the studies, or all"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(project: Project, arguments: list[str], code: int, told: str) -> None:
    done = project.run(*arguments)
    assert done.returncode == code
    assert told in done.stderr
    assert "secret" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_refused_connection_is_one_line(project: Project) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    aws = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for command in (["pull", "s3://bucket/x"], ["build", "dare-source-selection", "--store", "s3://bucket/x"]):
        done = project.run(*command, tiny=True, **aws)
        assert done.returncode == 1, done.stderr
        assert done.stderr.startswith("error: the store s3://bucket/x does not answer or refuses: ")
        assert done.stderr.count("\n") == 1
