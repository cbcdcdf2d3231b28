"""The benchmark of translating adapters runs, and judges nothing when it only tries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from project import REPOSITORY


@pytest.mark.slow
def test_every_part_runs_without_scikit_learn(tmp_path: Path) -> None:
    out = tmp_path / "report.md"
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "adapters" / "run.py"), "--small", "--alone"]
    done = subprocess.run([*command, "--rounds", "1", "--out", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text, found = out.read_text(encoding="utf-8"), json.loads(out.with_suffix(".json").read_bytes())
    lanes = [lane for part in found["parts"].values() for lane in part]
    assert (len(found["parts"]), len(lanes)) == (3, 8)
    assert all(lane["runs"] and not lane["problem"] for lane in lanes)
    assert "not judged" in text
    assert "met" not in text.replace("method", "")
