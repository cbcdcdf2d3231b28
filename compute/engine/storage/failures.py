"""The last failure of each cell, `failures/<key>.json`, kept until the cell succeeds."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from compute.engine import files


@dataclass(frozen=True)
class Failure:
    """A cell's last failure."""

    key: str
    name: str
    trace: str
    error: str
    traceback: str
    attempts: int
    when: str


class Failures:
    """The folder `failures/` as an object."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: str) -> Failure | None:
        """Return the last failure of *key*, if it has not succeeded since."""
        try:
            return Failure(**json.loads(self._path(key).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def keep(self, failure: Failure) -> Failure:
        """Keep a failure, counting the attempts."""
        before = self.find(failure.key)
        failure = replace(failure, attempts=(before.attempts if before else 0) + 1)
        with suppress(OSError):  # on a full disk it is still told, if not kept
            files.write_atomically(self._path(failure.key), json.dumps(asdict(failure), indent=1).encode())
        return failure

    def forget(self, key: str) -> None:
        """Drop what is kept of a failure: the cell has succeeded."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"
