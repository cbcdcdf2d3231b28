"""Reads MASSIVE from the hub in either of its layouts. Knows repositories, not what is done with the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from compute.errors import UsageError, unknown
from compute.evaluation.rows import as_frame, checked, no_progress_bars

if TYPE_CHECKING:
    from pandas import DataFrame

PARTITIONS = {"train": "train", "validation": "dev", "test": "test"}
"""The hub's splits, in MASSIVE's words."""

WHOLE_NAMES = ("zh-CN", "zh-TW")
"""Locales that are not named by their language alone where languages name the subsets."""


def check(repo: str, revision: str, locales: Sequence[str]) -> None:
    """Raise UsageError unless *repo* has *revision*, and in it every one of *locales*."""
    with _named_errors(repo, revision):
        subsets = _subsets(repo, revision)
        for locale in locales:
            if _subset(locale, subsets) is None:
                _check_folder(repo, revision, locale, subsets)


def load(repo: str, revision: str, locale: str) -> DataFrame:
    """Load one locale: a subset named by language or locale, else the folder of that name."""
    import pandas
    from datasets import load_dataset

    with _named_errors(repo, revision), no_progress_bars():
        subset = _subset(locale, _subsets(repo, revision))
        place: dict[str, Any] = {"name": subset} if subset else {"data_dir": locale}
        splits = load_dataset(repo, revision=revision, **place)
    frames = [_in_our_words(as_frame(splits[split]), split, locale) for split in PARTITIONS if split in splits]
    return checked(pandas.concat(frames), locale, f"{repo}@{revision}")


def _in_our_words(frame: DataFrame, split: str, locale: str) -> DataFrame:
    """Rename the columns of the layout that is named by languages; leave MASSIVE's own as they are.

    That layout has no scenarios. All 60 intents of MASSIVE 1.1 are called after their scenario, one of 18:
    what stands before the first underscore is the scenario, without an exception.
    """
    if "label_text" not in frame.columns:
        return frame
    frame = frame.rename(columns={"label_text": "intent", "text": "utt"})
    spoken = frame["lang"].map(lambda found: locale if found in (locale, _language(locale)) else found)
    scenarios = frame["intent"].str.split("_").str[0]
    return frame.assign(locale=spoken, partition=PARTITIONS[split], scenario=scenarios)


def _language(locale: str) -> str:
    return locale if locale in WHOLE_NAMES else locale.split("-")[0]


def _subset(locale: str, subsets: Sequence[str]) -> str | None:
    return next((name for name in (locale, _language(locale)) if name in subsets), None)


def _subsets(repo: str, revision: str) -> list[str]:
    from datasets import get_dataset_config_names

    return list(get_dataset_config_names(repo, revision=revision))


def _check_folder(repo: str, revision: str, locale: str, subsets: Sequence[str]) -> None:
    from huggingface_hub import HfApi

    files = HfApi().list_repo_files(repo, revision=revision, repo_type="dataset")
    folders = {file.split("/")[0] for file in files if file.endswith(".parquet")}
    if locale not in folders:
        known = folders if subsets == ["default"] else subsets
        raise UsageError(f"{repo}@{revision} has no such locale: {unknown('locale', locale, known)}")


@contextmanager
def _named_errors(repo: str, revision: str) -> Iterator[None]:
    """Turn what the libraries raise for a wrong name or a missing network into one clear sentence."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except DatasetNotFoundError as error:
        if "evision" in str(error):
            raise UsageError(f"data set {repo!r} has no revision {revision!r}: check the commit") from None
        raise UsageError(
            f"no data set {repo!r} on the hub: check the name, or log in if it is private; local data is"
            f" given as a .parquet file or a folder of .jsonl files"
        ) from None
    except (ConnectionError, HfHubHTTPError) as error:
        first = str(error).strip().split("\n", 1)[0]
        raise UsageError(f"cannot fetch data set {repo!r} from the hub: {first}") from None
