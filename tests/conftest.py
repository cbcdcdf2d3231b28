"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from project import Project, make


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
    import shutil

    def copy() -> Project:
        shutil.copytree(built.root, tmp_path / "copy", symlinks=True)
        return Project(tmp_path / "copy")

    return copy
