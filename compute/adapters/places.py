"""Where adapters lie: a folder or the hub. What tells them apart is content or a commit, never a path."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compute.adapters import peft_folder
from compute.adapters.adapter import Adapter
from compute.adapters.peft_config import CONFIG, PeftConfig, described
from compute.errors import UsageError

REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")
"""How the hub names a repository."""


@dataclass(frozen=True)
class FolderAdapter:
    """An adapter in a local folder, as PEFT's `save_pretrained` writes it."""

    path: Path

    def identity(self, digest: Callable[[Path], str]) -> object:
        """Name the digest of each file that the adapter is read from."""
        return {"adapter": {file.name: digest(file) for file in peft_folder.files(self.path)}}

    def check(self) -> None:
        """Raise UsageError if there is no adapter."""
        peft_folder.files(self.path)

    def described(self) -> PeftConfig:
        """Read the adapter's config alone; UsageError if it cannot be translated."""
        return described(self.path)

    def load(self) -> Adapter:
        """Read the adapter; UsageError if it cannot be translated."""
        return peft_folder.read(self.path)


@dataclass(frozen=True)
class HubAdapter:
    """An adapter in a repository of the hub at a commit."""

    repo: str
    revision: str
    subfolder: str | None = None

    def identity(self, digest: Callable[[Path], str]) -> object:
        """Name repository, commit and subfolder."""
        return {"repo": self.repo, "revision": self.revision, "subfolder": self.subfolder}

    def check(self) -> None:
        """Raise UsageError if the hub does not have it."""
        from compute.models.load import check_hub

        check_hub(self.repo, self.revision, self.subfolder, config=CONFIG)

    def folder(self) -> Path:
        """Return the local copy of the adapter's own files, fetched if they are not there yet."""
        from compute.models.load import fetched

        weights = ("adapter_model*.safetensors", peft_folder.PICKLE)
        return fetched(
            self.repo, self.revision, self.subfolder, config=CONFIG, weights=weights, others=("adapter_*.json",)
        )

    def described(self) -> PeftConfig:
        """Read the adapter's config; UsageError if it cannot be translated."""
        return described(self.folder())

    def load(self) -> Adapter:
        """Read the adapter; UsageError if it cannot be had or translated."""
        return peft_folder.read(self.folder())


AdapterPlace = FolderAdapter | HubAdapter


def place(named: str, beside: Path) -> AdapterPlace:
    """Find the adapter that is *named*: a folder, from *beside* on, or `org/name@commit` or `…@commit/subfolder`.

    Raises UsageError for what is neither.
    """
    try:
        folder = beside / Path(named).expanduser()
        is_folder = folder.is_dir()
    except (RuntimeError, ValueError) as error:  # ~somebody, or a name with a null character
        raise UsageError(f"no adapter {named!r}: write the path of a folder from / on") from error
    if is_folder:
        return FolderAdapter(folder)
    repo, _, rest = named.partition("@")
    revision, _, subfolder = rest.partition("/")
    if not REPOSITORY.fullmatch(repo) or ".." in subfolder.split("/"):
        raise UsageError(f"no adapter {named!r}: neither a folder nor org/name@commit")
    if not revision:
        raise UsageError(
            f"no adapter {named!r}: no such folder, and for the hub it lacks a commit: write {repo}@COMMIT, so that the"
            " same command always translates the same weights"
        )
    return HubAdapter(repo, revision, subfolder or None)
