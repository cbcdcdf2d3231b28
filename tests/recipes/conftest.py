from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from recipes_helpers import Zoo, make


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("models") / "zoo").root


@pytest.fixture
def zoo(models: Path, tmp_path: Path) -> Zoo:
    """Models of the test's own."""
    shutil.copytree(models, tmp_path / "zoo")
    return Zoo(tmp_path / "zoo")
