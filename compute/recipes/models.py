"""Finds the models that a recipe names, in folders or on the hub, and opens their weights. Knows no merge."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute.engine import files
from compute.errors import UsageError
from compute.weights.safetensors_files import ModelFolder, SafetensorsFile, open_folder
from compute.weights.weights import Weights

REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")
"""How the hub names a repository."""


@dataclass(frozen=True)
class Model:
    """A model folder with its weights opened, what its config.json says, and the digest of both."""

    folder: Path
    weights: ModelFolder
    config: Mapping[str, Any]
    digest: str


def open_model(model: str, beside: Path) -> Model:
    """Open a model by its folder, from *beside* on, or its id on the hub, `org/name@commit` or `…@commit/subfolder`.

    Raises UsageError where there is none, or its files are damaged.
    """
    folder = _folder(model, beside)
    weights = open_folder(folder)
    config = folder / "config.json"
    found = (*weights.files, *([config] if config.is_file() else []))
    return Model(folder, weights, _config(config), joined([files.digest(file) for file in found]))


def open_numbers(place: str, beside: Path) -> tuple[Weights, str]:
    """Open numbers beside weights, such as Fisher information, and their digest: a safetensors file or a folder."""
    path = beside / Path(place).expanduser()
    if path.is_file():
        return SafetensorsFile(path), files.digest(path)
    opened = open_folder(path)
    return opened, joined([files.digest(file) for file in opened.files])


def joined(digests: list[str]) -> str:
    """Return one digest for many."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _folder(model: str, beside: Path) -> Path:
    path = beside / Path(model).expanduser()
    if path.is_dir():
        return path.resolve()
    repo, _, place = model.partition("@")
    revision, _, subfolder = place.partition("/")
    if not REPOSITORY.fullmatch(repo):
        raise UsageError(f"no model {model!r}: neither a folder, from {beside.name or beside} on, nor org/name@commit")
    if not revision:
        raise UsageError(
            f"no model {model!r}: no such folder, and for the hub it lacks a commit: write {repo}@COMMIT, so that the"
            " same recipe always merges the same weights"
        )
    from compute.models.places import HubModel

    return HubModel(repo, revision, subfolder or None).folder()


def _config(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is no JSON ({error}): fetch or write it again") from error
    if not isinstance(said, dict):
        raise UsageError(f"{path}: expected a mapping: fetch or write it again")
    return said
