"""Where finished models lie: the hub or a folder. What tells them apart is a commit or the content, never a path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compute.errors import UsageError

if TYPE_CHECKING:
    from compute.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class HubModel:
    """A model repository of the hub at a commit."""

    repo: str
    revision: str
    subfolder: str | None = None

    def identity(self, digest: Callable[[Path], str]) -> object:
        """Name repository, commit and subfolder."""
        return {"repo": self.repo, "revision": self.revision, "subfolder": self.subfolder}

    def check(self) -> None:
        """Raise UsageError if the hub does not have it."""
        from compute.models.load import check_hub

        check_hub(self.repo, self.revision, self.subfolder)

    def folder(self) -> Path:
        """Return the local copy of the model's own files, fetched if they are not there yet."""
        from compute.models.load import fetched

        return fetched(self.repo, self.revision, self.subfolder)

    def load(self) -> Checkpoint:
        """Load the model."""
        from compute.models.load import from_hub

        return from_hub(self.repo, self.revision, self.subfolder)


@dataclass(frozen=True)
class FolderModel:
    """A model in a local folder, as `save_pretrained` writes it."""

    path: Path
    subfolder: str | None = None

    def identity(self, digest: Callable[[Path], str]) -> object:
        """Name the digest of each file of the model's own folder."""
        self.check()
        files = sorted(file for file in self._folder.iterdir() if file.is_file())
        return {"folder": {file.name: digest(file) for file in files}}

    def check(self) -> None:
        """Raise UsageError if there is no model."""
        if not (self._folder / "config.json").is_file():
            raise UsageError(f"no model in {self._folder}: expected a config.json there; check path and subfolder")

    def load(self) -> Checkpoint:
        """Load the model."""
        from compute.models.load import from_folder

        return from_folder(self.path, self.subfolder)

    @property
    def _folder(self) -> Path:
        return self.path / (self.subfolder or "")


Place = HubModel | FolderModel


def is_folder(name: str) -> bool:
    """Whether a model is named by a path rather than as a repository."""
    return name.startswith((".", "/", "~")) or Path(name).is_dir()
