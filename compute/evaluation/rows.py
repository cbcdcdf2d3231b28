"""Reads rows through the datasets library and checks each. Knows the columns, not what is done with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from compute.errors import UsageError
from compute.evaluation.sources import COLUMNS, check_columns

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame, Series

PARTITIONS = ("train", "dev", "test")


def from_parquet(path: Path, locale: str) -> DataFrame:
    """Read the rows of *locale* from one Parquet file of all locales."""
    only = {"columns": list(COLUMNS), "filters": [("locale", "==", locale)]}
    return checked(read("parquet", path, **only), locale, str(path))


def from_jsonl(path: Path, locale: str) -> DataFrame:
    """Read one locale's JSON lines."""
    return checked(read("json", path), locale, str(path))


def checked(frame: DataFrame, locale: str, where: str) -> DataFrame:
    """Return *frame* with `COLUMNS` only and whole numbers as ids.

    Raises UsageError that names the first row (counted from 1) and column that is not as expected.
    """
    check_columns([str(name) for name in frame.columns], where)
    frame = frame.loc[:, list(COLUMNS)].reset_index(drop=True)
    numbers = _whole_numbers(frame["id"])
    _refuse(frame, "id", numbers.isna(), "a whole number", where)
    _refuse(frame, "id", numbers.duplicated(), "an id that no earlier row has", where)
    _refuse(frame, "locale", frame["locale"] != locale, repr(locale), where)
    _refuse(frame, "partition", ~frame["partition"].isin(PARTITIONS), "train, dev or test", where)
    for column in ("scenario", "intent", "utt"):
        _refuse(frame, column, ~_texts(frame[column]), "a text", where)
    return frame.assign(id=numbers.astype("int64"))


def as_frame(dataset: Dataset) -> DataFrame:
    """Turn a data set into a frame, numbered classes into their names."""
    from datasets import ClassLabel

    frame: DataFrame = dataset.to_pandas()
    for name, feature in dataset.features.items():
        if isinstance(feature, ClassLabel):
            frame[name] = frame[name].map(dict(enumerate(feature.names)))
    return frame


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keep the progress bars of the datasets library and of the hub's off the terminal."""
    import datasets
    from huggingface_hub import utils

    shown = [library for library in (datasets, utils) if not library.are_progress_bars_disabled()]
    for library in shown:
        library.disable_progress_bars()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bars()


def read(kind: str, path: Path, **options: Any) -> DataFrame:
    """Read one file in the datasets library's format *kind*, unchecked; UsageError when it cannot be read.

    Its cache is one of its own: the library's would be keyed on the path and outlive the run.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    with TemporaryDirectory() as cache, no_progress_bars():
        try:
            dataset = load_dataset(kind, data_files=str(path), split="train", cache_dir=cache, **options)
        except DatasetGenerationError as error:
            raise UsageError(f"cannot read {path}: {_root(error)}; mend or replace the file") from None
        return as_frame(dataset)


def _whole_numbers(values: Series[Any]) -> Series[Any]:
    """Read ids, which MASSIVE writes as texts in JSON; NaN where there is no whole number."""
    import pandas

    numbers = pandas.to_numeric(values, errors="coerce")
    return numbers.where(numbers == numbers.round())


def _texts(values: Series[Any]) -> Series[bool]:
    return values.map(lambda value: isinstance(value, str) and bool(value.strip())).astype(bool)


def _refuse(frame: DataFrame, column: str, wrong: Series[bool], expected: str, where: str) -> None:
    if not wrong.any():
        return
    number = int(wrong.to_numpy().argmax())
    row = frame.iloc[number]
    others = f" (and {int(wrong.sum()) - 1} more rows)" if wrong.sum() > 1 else ""
    raise UsageError(
        f"{where}, row {number + 1} (id {row['id']}): column {column!r} should be {expected},"
        f" found {row[column]!r}{others}"
    )


def _root(error: BaseException) -> str:
    while error.__cause__:
        error = error.__cause__
    return str(error).split("\n", 1)[0][:200]
