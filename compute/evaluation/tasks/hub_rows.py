"""Fetches the rows of a data set at a commit, and tells a missing network from data that are not as expected."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute.errors import RecountError, UsageError
from compute.evaluation.rows import no_progress_bars

if TYPE_CHECKING:
    from datasets import Dataset

FORMATS = {"parquet": "parquet", "json": "json", "jsonl": "json", "csv": "csv"}
"""What the datasets library calls the format of a file, by the end of its name."""


class BadDataError(RecountError):
    """The data set is there, but not as expected; the message is the reason for which its task is dropped."""


def check(repo: str, revision: str, config: str, files: Sequence[str]) -> None:
    """Raise UsageError unless the data set is in the local cache or the hub can be asked for it.

    What the hub answers is no error here: that a data set is gone is told by `load`, as a fact about its task.
    """
    from huggingface_hub import HfApi, errors

    if _is_cached(repo, revision, config, files):
        return
    try:
        HfApi().dataset_info(repo, revision=revision, timeout=30)
    except errors.RevisionNotFoundError:
        raise _no_revision(repo, revision) from None
    except errors.RepositoryNotFoundError:
        return
    except Exception as error:
        if _is_network(error):
            raise _no_network(repo, revision, error) from None
        raise


def _is_cached(repo: str, revision: str, config: str, files: Sequence[str]) -> bool:
    """Whether the hub's library has the files, or the datasets library has read the commit before."""
    from huggingface_hub import constants, try_to_load_from_cache

    if files:
        found = [try_to_load_from_cache(repo, name, revision=revision, repo_type="dataset") for name in files]
        return all(isinstance(path, str) for path in found)
    cache = Path(os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME) / "datasets")
    return any(path.is_dir() for path in cache.glob(f"*/{glob.escape(config)}*/*/{glob.escape(revision)}"))


def load(repo: str, revision: str, config: str, files: Mapping[str, str], splits: Sequence[str]) -> dict[str, Dataset]:
    """Return the rows of *splits*; BadDataError for data that are not as expected, UsageError without a network."""
    import datasets

    with _told_apart(repo, revision), no_progress_bars():
        if files:
            from huggingface_hub import hf_hub_download

            wanted = {split: files[split] for split in splits}
            local = {s: hf_hub_download(repo, n, revision=revision, repo_type="dataset") for s, n in wanted.items()}
            kind = FORMATS[next(iter(wanted.values())).rpartition(".")[2]]
            found = datasets.load_dataset(kind, data_files=local)
        else:
            found = datasets.load_dataset(repo, config or None, revision=revision)
            if not all(revision in file for file in _read(found)):
                # Without a network the library takes what it read last, whatever the revision.
                raise ConnectionError("only another revision is in the local cache")
    missing = [split for split in splits if split not in found]
    if missing:
        raise BadDataError(f"it has no split {missing[0]!r}, but {', '.join(sorted(found))}")
    return {split: found[split] for split in splits}


def _read(found: Mapping[str, Dataset]) -> list[str]:
    """List the files that rows are read from: the library names their folder by the commit."""
    return [file["filename"] for rows in found.values() for file in rows.cache_files]


@contextmanager
def _told_apart(repo: str, revision: str) -> Iterator[None]:
    """Turn whatever the libraries raise into one of two errors."""
    from huggingface_hub import errors

    try:
        yield
    except errors.RevisionNotFoundError:
        raise _no_revision(repo, revision) from None
    except Exception as error:
        if _is_network(error):
            raise _no_network(repo, revision, error) from None
        raise BadDataError(_first_line(_root(error))) from error


def _is_network(error: BaseException) -> bool:
    """Whether an error, or what caused it, is that no answer came."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import errors

    answered = (DatasetNotFoundError, errors.RepositoryNotFoundError, errors.EntryNotFoundError)
    unreachable = (ConnectionError, TimeoutError, errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, unreachable) or (
            isinstance(found, errors.HTTPError) and not isinstance(found, errors.HfHubHTTPError)
        ):
            return True
        if isinstance(found, answered):
            return False
        found = found.__cause__ or found.__context__
    return isinstance(error, errors.HfHubHTTPError)


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_line(error: BaseException) -> str:
    lines: list[Any] = str(error).strip().splitlines()
    return f"it cannot be read: {lines[0] if lines else type(error).__name__}"


def _no_network(repo: str, revision: str, error: BaseException) -> UsageError:
    return UsageError(
        f"needs the network: the data set {repo} at {revision[:12]} is not in the local cache and the hub does not"
        f" answer ({type(error).__name__}); connect, or fetch it once where there is a network and set HF_HOME"
    )


def _no_revision(repo: str, revision: str) -> UsageError:
    return UsageError(f"the data set {repo} has no revision {revision!r}: check the commit, or pin it anew")
