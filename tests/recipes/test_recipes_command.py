"""The command `merge` as a user calls it: output, exit codes, what it loads, interrupts, the hub."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import hub
import pytest
from project import REPOSITORY, hear_interrupts
from recipes_helpers import Zoo, load_whole

from compute.commands import merge as command

AVERAGE = {"method": "average", "sources": ["de", "sq"]}


def started(zoo: Zoo, arguments: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    own = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(zoo.root / "cache")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=zoo.root, env={**os.environ, **own, **environment}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def merge(zoo: Zoo, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return started(zoo, ["-m", "compute", "merge", *arguments], **environment)


def test_an_average_loads_nothing_large(zoo: Zoo) -> None:
    zoo.recipe(AVERAGE)
    code = (
        "import sys; from compute.cli import main; main(['merge', 'recipe.yaml', 'out'], standalone_mode=False);"
        "large = {'numba', 'torch', 'pydantic', 'rich', 'transformers', 'tokenizers', 'pandas', 'huggingface_hub'};"
        "print(sorted(large & sys.modules.keys()))"
    )
    done = started(zoo, ["-c", code])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["out", "[]"]
    assert done.stderr == "", "no progress where nobody watches"
    load_whole(zoo.root / "out")


def test_a_dry_run_says_what_would_be_merged(zoo: Zoo) -> None:
    zoo.recipe({"method": "ties", "preset": "peft", "base": "base", "missing": "mean", "sources": ["de", "sq"],
                "merges": {"a": {}, "b": {"dare": {"drop_rate": 0.9}}}})  # fmt: skip
    done = merge(zoo, "recipe.yaml", "out", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    state = zoo.state("de")
    size = sum(tensor.numel() for tensor in state.values())
    assert (said["tensors"], said["parameters"]) == (len(state), size)
    assert (said["bytes_read"], said["bytes_written"]) == (3 * 4 * size, 2 * 4 * size)
    assert said["merges"]["a"]["options"]["trim_scope"] == "tensor"
    assert said["merges"]["b"]["dare"]["rescale"] == "density"
    assert said["sources"] == {"de": "de", "sq": "sq"}
    assert not (zoo.root / "out").exists()
    people = merge(zoo, "recipe.yaml", "out", "--dry-run").stdout
    assert f"parameters: {size}" in people
    assert "elect: equal" in people


def test_results_are_named_and_errors_told_in_a_line(zoo: Zoo) -> None:
    zoo.recipe({**AVERAGE, "merges": {"a": {}, "b": {"method": "karcher"}}})
    done = merge(zoo, "recipe.yaml", "out", "--json", "--threads", "1", "--shard-size", "20KB")
    assert json.loads(done.stdout) == ["out/a", "out/b"]
    assert len(list((zoo.root / "out/a").glob("model-*.safetensors"))) > 1
    again = merge(zoo, "recipe.yaml", "out")
    assert again.returncode == 2
    assert again.stderr.startswith("error: out is not empty")
    assert len(again.stderr.splitlines()) == 1


def test_progress_is_shown_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with command._progress(100) as watch:
        assert watch is None
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with command._progress(100) as watch:
        assert watch
        watch(50)
        watch(50)
    shown = capsys.readouterr().err
    assert "merging" in shown
    assert "100%" in shown


def test_an_interrupt_leaves_nothing(zoo: Zoo) -> None:
    """SIGINT comes while a chunk is merged."""
    zoo.recipe(AVERAGE)
    slow = (
        "import sys, time; from compute.merging import steps; import compute.merging.methods.average as average\n"
        "def wait(*_): open('began', 'w').close(); time.sleep(60)\n"
        "average.weighted_sum = wait\n"
        "from compute.cli import main; sys.exit(main(['merge', 'recipe.yaml', 'out', '--threads', '1']))"
    )
    before = {path.name for path in zoo.root.iterdir()}
    child = subprocess.Popen(
        [sys.executable, "-c", slow], cwd=zoo.root, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(zoo.root / "cache")},
    )  # fmt: skip
    until = time.monotonic() + 60
    while not (zoo.root / "began").exists() and time.monotonic() < until:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=60)
    assert (child.returncode, told) == (130, "interrupted: nothing was written to out\n")
    assert {path.name for path in zoo.root.iterdir()} - before - {"cache"} == {"began"}


def test_models_of_the_hub(zoo: Zoo, tmp_path: Path) -> None:
    """By commit, at the top of a repository or in a subfolder; what is not there is refused with a reason."""
    models = tmp_path / "hub/models/lab"
    shutil.copytree(zoo.root / "base", models / "base/main")
    for name in ("de", "sq"):
        shutil.copytree(zoo.root / name, models / f"experts/main/runs/{name}")
    base, experts = hub.commit(models / "base/main"), hub.commit(models / "experts/main")
    said = {"method": "ties", "missing": "zero", "base": f"lab/base@{base}",
            "sources": [f"lab/experts@{experts}/runs/de", f"lab/experts@{experts}/runs/sq"]}  # fmt: skip
    zoo.recipe(said)
    zoo.recipe({**said, "base": "base", "sources": ["de", "sq"]}, "local.yaml")
    with hub.serve(tmp_path / "hub") as endpoint:
        environment = hub.environment(endpoint, tmp_path / "home")
        done = merge(zoo, "recipe.yaml", "out", **environment)
        assert done.returncode == 0, done.stderr
        for wrong, reason in (
            ("lab/base", "it lacks a commit: write lab/base@COMMIT"),
            (f"lab/base@{'0' * 40}", "has no revision '0000"),
            (f"lab/nothing@{base}", "no model repository 'lab/nothing'"),
            (f"lab/experts@{experts}/runs/fr", "no config.json in 'lab/experts/runs/fr'"),
        ):
            zoo.recipe({**said, "base": wrong}, "wrong.yaml")
            refused = merge(zoo, "wrong.yaml", "refused", **environment)
            assert refused.returncode == 2
            assert reason in refused.stderr
    load_whole(zoo.root / "out")
    told = json.loads((zoo.root / "out/recount.json").read_text())
    assert told["file"]["base"] == f"lab/base@{base}"
    assert list(told["inputs"]["sources"]) == ["de", "sq"]
    local = merge(zoo, "local.yaml", "local")
    assert local.returncode == 0, local.stderr
    both = [json.loads((zoo.root / name / "recount.json").read_text()) for name in ("out", "local")]
    assert both[0]["inputs"] == both[1]["inputs"]
