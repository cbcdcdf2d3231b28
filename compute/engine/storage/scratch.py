"""Temporary folders of a store, named by machine and process, so that those of the dead can be swept."""

from __future__ import annotations

import os
import platform
import shutil
import uuid
from hashlib import sha256
from pathlib import Path


class Scratch:
    """The folder `tmp/` as an object."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def name(self) -> Path:
        """Return a path that nobody else uses, where nothing is yet."""
        return self.folder / f"{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"

    def make(self) -> Path:
        """Make an empty folder."""
        made = self.name()
        made.mkdir(parents=True)
        return made

    def discard(self, folder: Path) -> None:
        """Delete a folder of the store so that nobody ever sees a part of it; FileNotFoundError if there is none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        old = self.name()
        folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)

    def sweep(self) -> int:
        """Remove what processes of this machine that no longer live have left behind; return how many."""
        left = [part for part in self.folder.glob(f"{_machine()}-*") if not _alive(part.name.split("-")[1])]
        for part in left:
            shutil.rmtree(part, ignore_errors=True)
        return len(left)


def _machine() -> str:
    """Tell this machine from others that share the folder, without its name."""
    return sha256(platform.node().encode()).hexdigest()[:8]


def _alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
