"""A store, builds, packages to edit, and clean processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_helpers import Builder, Package

from compute.engine.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def build(store: Store) -> Builder:
    return Builder(store)


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Return where the cells note that they ran."""
    return str(tmp_path / "log")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    made = Package(tmp_path / "sources")
    made.write("__init__", "")
    monkeypatch.syspath_prepend(tmp_path / "sources")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield made
    for name in [name for name in sys.modules if name.partition(".")[0] == made.name]:
        del sys.modules[name]


@pytest.fixture
def in_another_process() -> Callable[..., str]:
    """Run Python source in a clean process and return what it prints."""

    def run(source: str, **environment: str) -> str:
        folders = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)],
            env={**os.environ, "PYTHONPATH": folders, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
