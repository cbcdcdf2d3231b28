"""Reads MASSIVE from the hub in either of its layouts. Knows repositories, not what is done with the rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from compute.errors import UsageError, unknown
from compute.evaluation.rows import checked, no_progress_bars, read

if TYPE_CHECKING:
    from pandas import DataFrame

PARTITIONS = {"train": "train", "validation": "dev", "test": "test"}
"""The hub's splits, in MASSIVE's words."""

WHOLE_NAMES = ("zh-CN", "zh-TW")
"""Locales that are not named by their language alone where languages name the files."""

FORMATS = {".parquet": "parquet", ".json": "json", ".jsonl": "json"}
"""What the datasets library calls the format of a file."""

NAME = re.compile(r"[a-z]{2}(-[A-Z]{2})?")
"""A language or a locale, where a folder or a file is named by it."""


def check(repo: str, revision: str, locales: Sequence[str]) -> None:
    """Raise UsageError unless *repo* has *revision*, and in it every one of *locales*.

    Asks the hub only for what the local cache does not hold, so that what was loaded once is there offline.
    """
    cached = _cached(repo, revision)
    if all(_is_whole(cached, locale) for locale in locales):
        return
    files = _listed(repo, revision)
    known = {name for file in files for name in _names(file)}
    for locale in locales:
        if not known & set(_called(locale)):
            raise UsageError(f"{repo}@{revision} has no such locale: {unknown('locale', locale, known)}")


def load(repo: str, revision: str, locale: str) -> DataFrame:
    """Load the files of one locale: they or a folder of theirs are named by it or by its language."""
    import pandas
    from huggingface_hub import snapshot_download

    check(repo, revision, [locale])
    wanted = [pattern for name in _called(locale) for pattern in (f"{name}/*", f"*/{name}/*", f"*/{name}.*")]
    with _named_errors(repo, revision), no_progress_bars():
        folder = Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=wanted))
    frames = [
        _in_our_words(read(_format(path), path), _split(path.relative_to(folder).as_posix()), locale)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and set(_names(path.relative_to(folder).as_posix())) & set(_called(locale))
    ]
    rows = pandas.concat(frames)
    order = rows["partition"].map(list(PARTITIONS.values()).index)
    return checked(rows.iloc[order.argsort(kind="stable")], locale, f"{repo}@{revision}")


def _in_our_words(frame: DataFrame, split: str, locale: str) -> DataFrame:
    """Rename the columns of the layout that is named by languages; leave MASSIVE's own as they are.

    That layout has no scenarios. All 60 intents of MASSIVE 1.1 are called after their scenario, one of 18:
    what stands before the first underscore is the scenario, without an exception.
    """
    if "label_text" not in frame.columns:
        return frame
    frame = frame.rename(columns={"label_text": "intent", "text": "utt"})
    spoken = frame["lang"].map(lambda found: locale if found in _called(locale) else found)
    scenarios = frame["intent"].str.split("_").str[0]
    return frame.assign(locale=spoken, partition=PARTITIONS[split], scenario=scenarios)


def _called(locale: str) -> tuple[str, ...]:
    """List what a locale's files may be called."""
    return (locale,) if locale in WHOLE_NAMES else (locale, locale.split("-")[0])


def _names(file: str) -> list[str]:
    """List the languages and locales by which a data file or a folder of its is named."""
    parts = [part.split(".")[0] for part in PurePosixPath(file).parts]
    return [part for part in parts if NAME.fullmatch(part)] if _format(Path(file)) and _split(file) else []


def _format(path: Path) -> str:
    return next((FORMATS[suffix] for suffix in path.suffixes if suffix in FORMATS), "")


def _split(file: str) -> str:
    return next((split for split in PARTITIONS if re.search(rf"\b{split}\b", file)), "")


def _is_whole(files: Iterable[str], locale: str) -> bool:
    """Say whether all splits of *locale* are among *files*."""
    own = {_split(file) for file in files if set(_names(file)) & set(_called(locale))}
    return own == PARTITIONS.keys()


def _cached(repo: str, revision: str) -> list[str]:
    from huggingface_hub import errors, snapshot_download

    try:
        folder = Path(snapshot_download(repo, repo_type="dataset", revision=revision, local_files_only=True))
    except errors.IncompleteSnapshotError as error:
        folder = Path(error.snapshot_path)
    except (errors.LocalEntryNotFoundError, errors.HFValidationError):
        return []
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _listed(repo: str, revision: str) -> list[str]:
    from huggingface_hub import HfApi

    with _named_errors(repo, revision):
        return list(HfApi().list_repo_files(repo, repo_type="dataset", revision=revision))


@contextmanager
def _named_errors(repo: str, revision: str) -> Iterator[None]:
    """Turn what the library raises for a wrong name or a missing network into one clear sentence."""
    from huggingface_hub import errors

    try:
        yield
    except errors.RepositoryNotFoundError:
        raise UsageError(
            f"no data set {repo!r} on the hub: check the name, or log in if it is private; local data is"
            f" given as a .parquet file or a folder of .jsonl files"
        ) from None
    except errors.RevisionNotFoundError:
        raise UsageError(f"data set {repo!r} has no revision {revision!r}: check the commit") from None
    except (errors.HTTPError, errors.HFValidationError, OSError) as error:
        first = str(error).strip().split("\n", 1)[0]
        raise UsageError(f"cannot fetch data set {repo!r} from the hub: {first}") from None
