"""Manifests of builds: which results stood when a build ended, so that builds can be compared and pinned.

builds/<id>.json    the results of a build that differed from the one before it
pins/<name>.json    a copy under a name, whose results are kept

Knows names, keys and digests; what a study or a claim is, others know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from compute.engine import files
from compute.engine.keys import hashed
from compute.engine.store import Stamp
from compute.errors import RecountError, UsageError, unknown

SCHEMA = 1
_TIME = "%Y%m%dT%H%M%S"
_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{4}")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,79}")
_LATEST = re.compile(r"latest(?:~(\d+))?")


@dataclass(frozen=True)
class Subject:
    """What was built: two builds of one subject differ by code, data and time alone."""

    studies: tuple[str, ...]
    profile: str
    changes: tuple[str, ...] = ()

    @cached_property
    def mark(self) -> str:
        """Four hexadecimal digits that end the ids of its builds."""
        return hashed(["subject", list(self.studies), self.profile, list(self.changes)])[:4]

    def __str__(self) -> str:
        """Say it for people."""
        return " ".join([", ".join(self.studies), f"({self.profile})", *(f"--set {item}" for item in self.changes)])


@dataclass(frozen=True)
class Manifest:
    """One build, as it ended."""

    when: str
    """UTC, ISO 8601, to the second."""
    subject: Subject
    cells: Mapping[str, Stamp]
    """Readable name → result; inputs before what depends on them."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Readable name → error."""
    blocked: tuple[str, ...] = ()
    verdicts: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    """Study → claim → `verdict` and `measured`."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Study → its config as plain data."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the command line said that enters no key, as the device."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """The versions, the machine and the state of the source under which it ran."""
    id: str = ""
    schema: int = SCHEMA

    @cached_property
    def content(self) -> str:
        """The hash over results and verdicts: builds with the same show the same."""
        return content(self.cells.values(), [*self.failures, *self.blocked], self.verdicts)

    def to_json(self) -> str:
        """Write the manifest as JSON."""
        members = {**vars(self), "subject": asdict(self.subject), "content": self.content}
        return json.dumps(members, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Read a manifest; ValueError if it is damaged or of another schema."""
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise ValueError(f"not a build manifest of schema {SCHEMA}")
        try:
            known = found.pop("content")
            subject = found["subject"]
            found["subject"] = Subject(tuple(subject["studies"]), subject["profile"], tuple(subject["changes"]))
            found["cells"] = {name: Stamp(*stamp) for name, stamp in found["cells"].items()}
            manifest = cls(**{**found, "blocked": tuple(found["blocked"])})
            manifest.__dict__["content"] = known
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a whole build manifest: {error}") from error
        return manifest


def content(stamps: Iterable[Stamp], lacking: Iterable[str], verdicts: Mapping[str, Any]) -> str:
    """Return the hash of what a build shows: its results, the names of cells that have none, the verdicts."""
    return hashed(["build", json.dumps([sorted(map(list, stamps)), sorted(lacking), verdicts], sort_keys=True)])


class Builds:
    """The manifests of a store."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "builds"
        self.pinned = root / "pins"

    def ids(self) -> list[str]:
        """List the builds, oldest first."""
        return sorted(path.stem for path in self.folder.glob("*.json") if _ID.fullmatch(path.stem))

    def read(self, build: str) -> Manifest | None:
        """Return a manifest by its id; None if it is gone, damaged or of another schema."""
        return _read(self.folder / f"{build}.json")

    def all(self) -> Iterator[Manifest]:
        """Walk the manifests, newest first."""
        return (found for build in reversed(self.ids()) if (found := self.read(build)))

    def newest(self, subject: Subject) -> Manifest | None:
        """Return the last build of *subject*, reading no manifest of another."""
        own = (build for build in reversed(self.ids()) if build.endswith(subject.mark))
        return next((found for build in own if (found := self.read(build)) and found.subject == subject), None)

    def keep(self, manifest: Manifest) -> Manifest:
        """Write a manifest under an id of its own, which sorts after those of its subject before it."""
        before = self.newest(manifest.subject)
        when = datetime.fromisoformat(manifest.when)
        if before:  # the clock may have been set back
            when = max(when, _time_of(before.id) + timedelta(seconds=1))
        while (self.folder / f"{_id(when, manifest.subject)}.json").exists():
            when += timedelta(seconds=1)
        kept = Manifest(**{**_members(manifest), "id": _id(when, manifest.subject)})
        files.write_atomically(self.folder / f"{kept.id}.json", kept.to_json().encode())
        return kept

    # -- names -----------------------------------------------------------------------------------

    def find(self, name: str) -> Manifest:
        """Return the build that *name* means: a pin, an id, the beginning of one, `latest` or `latest~1`.

        UsageError with the nearest if there is none.
        """
        if match := _LATEST.fullmatch(name):
            return self.back(int(match[1] or 0))
        pins = self.pins()
        if name in pins:
            return pins[name]
        fitting = [build for build in self.ids() if name and build.startswith(name)]
        if len(fitting) > 1:
            raise UsageError(f"build {name!r} may be {', '.join(fitting[:5])}: say more of its id")
        found = self.read(fitting[0]) if fitting else None
        if found is None:
            raise unknown("build", name, [*pins, *self.ids()[-20:], "latest"])
        return found

    def back(self, steps: int) -> Manifest:
        """Return the newest build, or the one *steps* before it of the same studies and profile."""
        newest = next(self.all(), None)
        if newest is None:
            raise UsageError("no build is known yet: run build first")
        same = (item for item in self.all() if _alike(item, newest))
        found = next((item for number, item in enumerate(same) if number == steps), None)
        if found is None:
            raise UsageError(f"there are fewer than {steps + 1} builds of {newest.subject}")
        return found

    # -- pins ------------------------------------------------------------------------------------

    def pins(self) -> dict[str, Manifest]:
        """Return the pinned builds by name; RecountError for one that cannot be read: what it keeps is not known."""
        found = {}
        for name in self._pinned():
            manifest = _read(self.pinned / f"{name}.json")
            if manifest is None:
                raise RecountError(f"pin {name!r} cannot be read: remove it by pin --remove {name}, and pin again")
            found[name] = manifest
        return found

    def _pinned(self) -> list[str]:
        return sorted(path.stem for path in self.pinned.glob("*.json") if _NAME.fullmatch(path.stem))

    def pin(self, manifest: Manifest, name: str) -> None:
        """Give a build a name, under which its results are kept; UsageError if the name is no good or taken."""
        if not _NAME.fullmatch(name) or _LATEST.fullmatch(name) or _ID.fullmatch(name):
            raise UsageError(f"pin {name!r}: expected letters, digits, '.', '_' and '-', and neither latest nor an id")
        known = self.pins().get(name)
        if known and known.id != manifest.id:
            raise UsageError(f"pin {name!r} is build {known.id}: remove it first, by pin --remove {name}")
        files.write_atomically(self.pinned / f"{name}.json", manifest.to_json().encode())

    def unpin(self, name: str) -> None:
        """Take a name off; UsageError with the nearest if there is none."""
        if name not in self._pinned():
            raise unknown("pin", name, self._pinned())
        (self.pinned / f"{name}.json").unlink()

    def remove(self, build: str) -> None:
        """Forget a build; what was pinned stays under its name."""
        (self.folder / f"{build}.json").unlink(missing_ok=True)


def _read(path: Path) -> Manifest | None:
    try:
        return Manifest.from_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _members(manifest: Manifest) -> dict[str, Any]:
    return {name: value for name, value in vars(manifest).items() if name != "content"}


def _id(when: datetime, subject: Subject) -> str:
    return f"{when.astimezone(UTC).strftime(_TIME)}-{subject.mark}"


def _time_of(build: str) -> datetime:
    return datetime.strptime(build.partition("-")[0], _TIME).replace(tzinfo=UTC)


def _alike(one: Manifest, other: Manifest) -> bool:
    return (one.subject.studies, one.subject.profile) == (other.subject.studies, other.subject.profile)
