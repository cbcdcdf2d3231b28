"""Finds the models that a recipe names, in folders or on the hub, and opens their weights. Knows no merge."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
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


class Inputs:
    """The files that a merge reads: their digests, and whether they are the same in the end."""

    def __init__(self) -> None:
        self._seen: dict[Path, list[int]] = {}

    def digest(self, found: Iterable[Path]) -> str:
        """Return one digest for the content of all files *found*, and note how they look."""
        known = list(found)
        self._seen |= {file: _looks(file) for file in known}  # before they are read
        return joined([files.digest(file) for file in known])

    def check_unchanged(self) -> None:
        """Raise UsageError for a file that is another one by now: the digests would tell of what was not merged."""
        for file, looks in self._seen.items():
            try:
                same = _looks(file) == looks
            except OSError:
                same = False
            if not same:
                raise UsageError(
                    f"{file} changed while it was merged: nothing was written; merge again once it is settled"
                )


def _looks(file: Path) -> list[int]:
    """Return size, time of modification and inode: a link made to a file, as caches do, is no change of it."""
    size, modified, _, inode = files.stamp(file)
    return [size, modified, inode]


def open_model(model: str, beside: Path, inputs: Inputs) -> Model:
    """Open a model by its folder, from *beside* on, or its id on the hub, `org/name@commit` or `…@commit/subfolder`.

    Raises UsageError where there is none, or its files are damaged.
    """
    folder = _folder(model, beside)
    weights = open_folder(folder)
    config = folder / "config.json"
    found = (*weights.files, *([config] if config.is_file() else []))
    return Model(folder, weights, _config(config), inputs.digest(found))


def open_numbers(place: str, beside: Path, inputs: Inputs) -> tuple[Weights, str]:
    """Open numbers beside weights, such as Fisher information, and their digest: a safetensors file or a folder."""
    path = _local(place, beside)
    if path.is_file():
        return SafetensorsFile(path), inputs.digest([path])
    opened = open_folder(path)
    return opened, inputs.digest(opened.files)


def joined(digests: list[str]) -> str:
    """Return one digest for many."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _local(place: str, beside: Path) -> Path:
    try:
        return beside / Path(place).expanduser()
    except RuntimeError as error:  # ~somebody
        raise UsageError(f"no home folder for {place!r}: write the path from / on") from error


def _folder(model: str, beside: Path) -> Path:
    path = _local(model, beside)
    if path.is_dir():
        return path.resolve()
    repo, _, place = model.partition("@")
    revision, _, subfolder = place.partition("/")
    if not REPOSITORY.fullmatch(repo) or ".." in subfolder.split("/"):
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
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON ({error}): fetch or write it again") from error
    if not isinstance(said, dict):
        raise UsageError(f"{path}: expected a mapping: fetch or write it again")
    labels = said.get("id2label", {})
    if not isinstance(labels, dict) or not all(number.isdecimal() for number in labels):
        raise UsageError(f"{path}: expected id2label to map numbers to labels, found {labels!r}: write it again")
    return said
