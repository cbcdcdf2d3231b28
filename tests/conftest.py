"""Fixtures that all tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from project import Project, make

# A busy machine is no failure: the time that one example takes says nothing about a law. Continuous integration
# draws the same examples every time, so that a change is judged by what it changes.
settings.register_profile("unhurried", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("unhurried")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make(tmp_path / "project")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which the tiny study was built once; tests that change it copy it."""
    made = make(tmp_path_factory.mktemp("built") / "project")
    done = made.run("build", "dare-source-selection", tiny=True)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def copied(built: Project, tmp_path: Path) -> Callable[[], Project]:
    def copy() -> Project:
        shutil.copytree(built.root, tmp_path / "copy", symlinks=True)
        return Project(tmp_path / "copy")

    return copy
