"""Where labelled utterances come from: the phrasebook, local files, the hub. Knows no model and no score."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from compute.errors import UsageError, unknown

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("id", "locale", "partition", "scenario", "intent", "utt")
"""What every source gives, and what files must have."""

REVISIONS = {
    "mteb/amazon_massive_intent": "4672e20407010da34463acc759c162ca9734bca6",
    "AmazonScience/massive": "refs/convert/parquet",
}
"""The revision of a data set that is known to load, where none is asked for."""

Digest = Callable[[Path], str]


def file_digest(path: Path) -> str:
    """Hash the bytes of a file (sha256, hex)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Source(Protocol):
    """Labelled utterances in several locales.

    `identity` says what the data is (digests, revisions), never where it lies. `check` finds out before
    anything runs whether `load` would work. `load` gives the rows of one locale with `COLUMNS`.
    """

    def identity(self, digest: Digest = file_digest) -> object:
        """Describe the data as JSON data that changes whenever the data does."""

    def files(self) -> list[Path]:
        """List the local files that the data is read from."""

    def check(self, locales: Iterable[str]) -> None:
        """Raise UsageError if the data or one of *locales* is not there."""

    def load(self, locale: str) -> DataFrame:
        """Load the rows of *locale*, all partitions, with `COLUMNS`."""


@dataclass(frozen=True)
class PhrasebookData:
    """The parallel phrasebook that ships with the package; sizes are utterances an intent and partition."""

    seed: int
    train: int
    dev: int
    test: int
    held_out: int = 0

    def identity(self, digest: Digest = file_digest) -> object:
        """Name the phrasebook's digest, the seed and the sizes."""
        from compute.evaluation import phrasebook

        return {
            "phrasebook": phrasebook.digest(),
            "seed": self.seed,
            "sizes": [self.train, self.dev, self.test, self.held_out],
        }

    def files(self) -> list[Path]:
        """List no file: the phrasebook belongs to the package."""
        return []

    def check(self, locales: Iterable[str]) -> None:
        """Raise UsageError for a locale that the phrasebook lacks."""
        from compute.evaluation import phrasebook

        _check_known(locales, phrasebook.locales(), "the phrasebook")

    def load(self, locale: str) -> DataFrame:
        """Expand the phrasebook's templates in *locale*."""
        import pandas

        from compute.evaluation import phrasebook, rows

        sizes = {"train": self.train, "dev": self.dev, "test": self.test, "held_out": self.held_out}
        expanded = phrasebook.expand(locale, seed=self.seed, **sizes)
        return rows.checked(pandas.DataFrame(expanded), locale, "the phrasebook")


@dataclass(frozen=True)
class ParquetData:
    """One Parquet file with all locales, one row an utterance."""

    path: Path

    def identity(self, digest: Digest = file_digest) -> object:
        """Name the file's digest."""
        return {"parquet": digest(self.path)}

    def files(self) -> list[Path]:
        """List the file."""
        return [self.path]

    def check(self, locales: Iterable[str]) -> None:
        """Raise UsageError if the file, a column or a locale is missing."""
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet

        _check_file(self.path)
        try:
            found = pyarrow.parquet.read_schema(self.path).names
            check_columns(found, str(self.path))
            present = pyarrow.parquet.read_table(self.path, columns=["locale"])["locale"]
        except pyarrow.ArrowInvalid:
            raise UsageError(f"{self.path} is not a Parquet file: convert it, or give another") from None
        _check_known(locales, pyarrow.compute.unique(present).to_pylist(), str(self.path))

    def load(self, locale: str) -> DataFrame:
        """Load one locale's rows."""
        from compute.evaluation import rows

        self.check([locale])
        return rows.from_parquet(self.path, locale)


@dataclass(frozen=True)
class JsonlData:
    """A folder with one `{locale}.jsonl` a locale, all partitions in it, as MASSIVE was first published."""

    folder: Path

    def identity(self, digest: Digest = file_digest) -> object:
        """Name the digest of each locale's file."""
        return {"jsonl": {path.name: digest(path) for path in self.files()}}

    def files(self) -> list[Path]:
        """List the locales' files, sorted."""
        return sorted(self.folder.glob("*.jsonl"))

    def check(self, locales: Iterable[str]) -> None:
        """Raise UsageError if the folder, a locale's file or a key of its first row is missing."""
        wanted = list(locales)
        _check_known(wanted, [path.stem for path in self.files()], str(self.folder))
        for locale in wanted:
            path = self.folder / f"{locale}.jsonl"
            with path.open(encoding="utf-8") as file:
                check_columns(_keys(file.readline(), path), str(path))

    def load(self, locale: str) -> DataFrame:
        """Load one locale's rows."""
        from compute.evaluation import rows

        self.check([locale])
        return rows.from_jsonl(self.folder / f"{locale}.jsonl", locale)


@dataclass(frozen=True)
class HubData:
    """A MASSIVE data set of the hub at a revision; a commit stays, a branch or ref may move."""

    repo: str
    revision: str

    def identity(self, digest: Digest = file_digest) -> object:
        """Name the repository and the revision."""
        return {"hub": self.repo, "revision": self.revision}

    def files(self) -> list[Path]:
        """List no file: the hub's library keeps its own."""
        return []

    def check(self, locales: Iterable[str]) -> None:
        """Raise UsageError if the repository, the revision or a locale is missing."""
        from compute.evaluation import hub

        hub.check(self.repo, self.revision, list(locales))

    def load(self, locale: str) -> DataFrame:
        """Load one locale's rows."""
        from compute.evaluation import hub

        return hub.load(self.repo, self.revision, locale)


class Sizes(Protocol):
    """How many utterances an intent the phrasebook gives to each partition."""

    @property
    def train(self) -> int:
        """Count the utterances an intent to train on."""

    @property
    def dev(self) -> int:
        """Count those to choose by."""

    @property
    def test(self) -> int:
        """Count those to measure on."""

    @property
    def held_out(self) -> int:
        """Count what training never sees and tests do."""


@dataclass(frozen=True)
class DefaultSizes:
    """Sizes with which small models learn much, and not everything."""

    train: int = 30
    dev: int = 10
    test: int = 30
    held_out: int = 0


def parse(text: str, *, phrasebook: Sizes = DefaultSizes(), seed: int = 0) -> Source:
    """Read a source as it stands in a config or on the command line; raises UsageError if it is none.

    `phrasebook`, a `.parquet` file, a folder of `.jsonl` files, or `owner/name[@revision]` on the hub. The
    sizes and the *seed* are those of the phrasebook; no other source takes any.
    """
    path = Path(text).expanduser()
    if text == "phrasebook":
        sizes = phrasebook.train, phrasebook.dev, phrasebook.test, phrasebook.held_out
        return PhrasebookData(seed, *sizes)
    if path.suffix == ".parquet":
        return ParquetData(path)
    if text and path.is_dir():
        return JsonlData(path)
    if match := re.fullmatch(r"([\w-][\w.-]*/[\w.-]+?)(?:@(\S+))?", text):
        return HubData(match[1], _revision(match[1], match[2]))
    raise UsageError(
        f"{text!r} is no source of data: expected 'phrasebook', a .parquet file, an existing folder of .jsonl"
        f" files or 'owner/name@revision' on the hub"
    )


def check_columns(found: Sequence[str], where: str) -> None:
    """Raise UsageError, naming the first of `COLUMNS` that *found* lacks."""
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise UsageError(f"{where} has no column {missing[0]!r}: found {', '.join(found)}; rename or add it")


def _revision(repo: str, asked: str | None) -> str:
    revision = asked or REVISIONS.get(repo)
    if not revision:
        raise UsageError(f"{repo!r} needs a revision, since the hub's data may change: write {repo}@COMMIT")
    return revision


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"no file {path}: check the path, or get the data first")


def _check_known(wanted: Iterable[str], known: Iterable[str], where: str) -> None:
    present = list(known)
    for locale in wanted:
        if locale not in present:
            raise UsageError(f"{where} has no such locale: {unknown('locale', locale, present)}")


def _keys(line: str, path: Path) -> list[str]:
    try:
        return list(dict(json.loads(line)))
    except (ValueError, TypeError):
        raise UsageError(f"{path}, row 1: expected a JSON object, found {line.strip()[:40]!r}") from None
