"""The benchmark of the engine beside its peers: it runs, counts what ran, and tells a stale total from a true one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from project import REPOSITORY

ENGINE = REPOSITORY / "benchmarks" / "engine"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """The report on five values in the tools that are installed in any case, as text and as data."""
    out = tmp_path_factory.mktemp("benchmark") / "report.md"
    options = ["--sizes", "5", "--tools", "Recount", "joblib.Memory", "DVC", "--peers-here", "--repeats", "1"]
    done = run(*options, "--edits", "1", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    return out.read_text(encoding="utf-8"), json.loads(out.with_suffix(".json").read_bytes())


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ENGINE / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def steps(data: dict[str, Any], tool: str) -> dict[str, Any]:
    """Return what the one run of each step did, by step."""
    found = next(item for item in data["sizes"]["5"] if item["tool"] == tool)
    assert not found["stopped"]
    return {name: runs[0] for name, runs in found["steps"].items()}


@pytest.mark.slow
def test_recount_runs_what_must_run_and_is_never_stale(report: tuple[str, dict[str, Any]]) -> None:
    found = steps(report[1], "Recount")
    assert list(found) == ["cold", "no-op", "status", "value", "remark", "own", "helper"]
    assert [item["ran"] for item in found.values()] == [7, 0, 0, 3, 0, 7, 7]
    assert all(item["ran"] == item["expected"] and item["right"] for item in found.values())


@pytest.mark.slow
def test_a_stale_total_is_told(report: tuple[str, dict[str, Any]]) -> None:
    text, data = report
    found = steps(data, "joblib.Memory")
    assert not found["helper"]["right"]
    assert all(item["right"] for name, item in found.items() if name != "helper")
    assert "| joblib.Memory | 3 | 5 | 7 | 0 **stale** |" in text


@pytest.mark.slow
def test_a_tool_that_is_not_there_is_named_with_the_reason(report: tuple[str, dict[str, Any]]) -> None:
    text, data = report
    assert data["absent"] == {"DVC": "dvc is not installed beside this interpreter"}
    assert "**DVC** is not measured: dvc is not installed" in text


def test_every_tool_has_a_pinned_version_and_says_how_it_was_set_up() -> None:
    script = "import json; from tools import TOOLS; import install; pins = install.pinned()\n"
    script += "print(json.dumps([[tool.name, tool.note, pins.get(tool.distribution)] for tool in TOOLS]))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ENGINE, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert len(found) == 7
    assert all(note and (version or name == "Recount") for name, note, version in found)


def test_what_runs_too_long_is_stopped_and_told(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from measure import timed\n"
    script += "done = timed([sys.executable, '-c', 'import time; time.sleep(60)'], Path(sys.argv[1]), {}, 0.5)\n"
    script += "print(done.code, done.done)"
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=ENGINE, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]
