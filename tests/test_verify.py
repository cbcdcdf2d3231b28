"""`verify` as a user calls it, what pages say of it afterwards, and that nothing anywhere betrays anybody."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from project import CHANGES, Project, make

STUDY = "dare-source-selection"
CHEAP = "share/*"


def results(project: Project) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (project.root / "cache/results").rglob("*") if path.is_file()}


def test_cells_are_computed_again_and_the_pages_tell(copied: Callable[[], Project]) -> None:
    project = copied()
    before = results(project)
    done = project.run("verify", CHEAP, "--sample", "0.1", "--json", tiny=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert 1 <= len(found) <= 3
    assert {item["outcome"] for item in found} == {"bit-exact"}
    assert f"[{len(found)}/{len(found)}]" in done.stderr
    assert results(project) == before
    build = project.run("build", STUDY, tiny=True)
    assert " 0 computed" in build.stdout
    assert " 0 files written" not in build.stdout
    page = (project.root / "docs/studies" / STUDY / "cells/share.md").read_text(encoding="utf-8")
    assert page.count("bit-exact ×1") == len(found)
    files = project.files()
    assert " 0 files written" in project.run("build", STUDY, tiny=True).stdout
    assert project.files() == files


def test_a_sample_is_the_same_every_time_and_people_read_a_table(copied: Callable[[], Project]) -> None:
    project = copied()
    first, second = (project.run("verify", CHEAP, "--sample", "0.1", tiny=True) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    words = [line.split()[:-1] for line in first.stdout.splitlines()[:4]]
    assert words == [["bit-exact"], ["within", "tolerance"], ["different"], ["failed"]]


def test_what_came_out_differently_is_named_and_the_exit_code_says_so(copied: Callable[[], Project]) -> None:
    project = copied()
    name = next(iter(json.loads(project.run("verify", CHEAP, "--sample", "0.01", "--json", tiny=True).stdout)))["cell"]
    shown = json.loads(project.run("show", name, "--json", tiny=True).stdout)[0]["record"]
    folder = project.root / "cache/results" / shown["key"][:2] / shown["key"] / shown["trace"]["id"]
    script = f"""
        from pathlib import Path
        from compute.engine.store import Store
        store = Store(Path("cache"))
        record = store.find({shown["key"]!r}, {shown["trace"]["id"]!r})
        value = store.load(record)
        store.commit(record, dict.fromkeys(value, 123.0), anew=True)
    """
    assert project.python("\n".join(line.strip() for line in script.splitlines())).returncode == 0
    assert folder.is_dir()
    done = project.run("verify", name, tiny=True)
    assert done.returncode == 1
    assert "different: result" in done.stderr
    assert "different: result.chosen is bool instead of float" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["verify", "--sample", "0"], 2, "sample"),
        (["verify", "no-such-cell"], 2, "no-such-cell"),
        (["verify", "--study", STUDY, "--set", "seed=77"], 1, "nothing to verify: none of"),
    ],
)
def test_what_cannot_be_verified_is_refused(project: Project, arguments: list[str], code: int, said: str) -> None:
    done = project.run(*arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_whole_study_is_bit_exact(copied: Callable[[], Project]) -> None:
    done = copied().run("verify", "--study", STUDY, tiny=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()[1:4]] == ["0", "0", "0"]


# -- nobody is betrayed --------------------------------------------------------------------------

PLANTED = {
    "HF_TOKEN": "hf-planted-token",
    "DATA_PASSWORD": "planted/pass&word",
    "USER": "alice-in-person",
    "LOGNAME": "alice-in-person",
}
HOST = "alices-machine"


@pytest.fixture
def alices(tmp_path: Path) -> tuple[Project, dict[str, str]]:
    """A project in the home of a user with a name, a host and tokens."""
    home = tmp_path / "alice-in-person"
    code = tmp_path / "path" / "sitecustomize.py"
    code.parent.mkdir()
    code.write_text(
        f"import platform, socket\nplatform.node = socket.gethostname = lambda: {HOST!r}\n", encoding="utf-8"
    )
    project = make(home / "project")
    shutil.copytree(Path(__file__).parents[1] / "compute", home / "package" / "compute")
    paths = f"{code.parent}:{home / 'package'}"
    return project, {**PLANTED, "HOME": str(home), "HOSTNAME": HOST, "PYTHONPATH": paths}


@pytest.mark.slow
def test_no_byte_of_cache_and_docs_betrays_user_host_home_or_token(alices: tuple[Project, dict[str, str]]) -> None:
    project, environment = alices
    secret = PLANTED["HF_TOKEN"]
    build = project.run("build", STUDY, tiny=True, **environment)
    assert build.returncode == 0, build.stderr
    verified = project.run("verify", "share/*", "--sample", "0.1", tiny=True, **environment)
    assert verified.returncode == 0, verified.stderr
    failing = ("--set", "models.finetuning.epochs=2", "--device", f"{secret} of alice-in-person at {HOST}")
    broken = project.run("build", STUDY, *CHANGES, *failing, **environment)
    assert broken.returncode == 1
    assert "FAILED" in broken.stderr
    searched = [path for top in ("cache", "docs") for path in (project.root / top).rglob("*") if path.is_file()]
    assert len(searched) > 300
    planted = [*PLANTED.values(), "alice-", HOST, str(project.root.parent)]
    found = {
        (str(path.relative_to(project.root)), word)
        for path in searched
        for word in planted
        if word.encode() in path.read_bytes() or word in str(path.relative_to(project.root))
    }
    assert not found, sorted(found)[:20]
    failures = [path.read_text(encoding="utf-8") for path in (project.root / "cache/failures").glob("*.json")]
    assert any("<secret> of <user> at <host>" in text for text in failures)
