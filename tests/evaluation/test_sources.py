from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from compute.errors import UsageError
from compute.evaluation.sources import (
    COLUMNS,
    HubData,
    JsonlData,
    ParquetData,
    PhrasebookData,
    file_digest,
    parse,
)

MASSIVE = Path(__file__).parents[3] / "shared" / "data" / "massive.parquet"


def rows(locale: str) -> list[dict[str, Any]]:
    texts = {"train": "wake me at {}", "dev": "alarm at {}", "test": "set {}"}
    return [
        {
            "id": number,
            "locale": locale,
            "partition": partition,
            "scenario": "alarm",
            "intent": "alarm_set",
            "utt": f"{locale}: {text.format(number)}",
        }
        for number, (partition, text) in enumerate(texts.items())
    ]


def write(folder: Path, kind: str, table: list[dict[str, Any]]) -> ParquetData | JsonlData:
    """Write *table* as one Parquet file, or as one JSONL a locale with ids as texts."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "parquet":
        pd.DataFrame(table).to_parquet(folder / "data.parquet")
        return ParquetData(folder / "data.parquet")
    for locale in {row["locale"] for row in table}:
        own = [{**row, "id": str(row["id"]), "worker_id": "7"} for row in table if row["locale"] == locale]
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in own)
        (folder / f"{locale}.jsonl").write_text(text + "\n", encoding="utf-8")
    return JsonlData(folder)


both_kinds = pytest.mark.parametrize("kind", ["parquet", "jsonl"])


@both_kinds
def test_a_locale_is_loaded_whole_in_order_and_with_our_columns_only(kind: str, tmp_path: Path) -> None:
    source = write(tmp_path, kind, rows("de-DE") + rows("sq-AL"))

    frame = source.load("sq-AL")

    assert list(frame.columns) == list(COLUMNS)
    assert frame["id"].dtype == "int64"
    assert frame.to_dict("records") == rows("sq-AL")


@both_kinds
def test_what_the_data_is_does_not_depend_on_where_it_lies(kind: str, tmp_path: Path) -> None:
    here = write(tmp_path / "here", kind, rows("de-DE") + rows("sq-AL"))
    there = write(tmp_path / "there", kind, rows("de-DE") + rows("sq-AL"))
    other = write(tmp_path / "other", kind, rows("de-DE") + rows("sq-AL")[:2])

    assert here.identity() == there.identity() != other.identity()
    assert str(tmp_path) not in json.dumps(here.identity())
    assert here.load("de-DE").equals(there.load("de-DE"))


@both_kinds
def test_the_digest_of_files_may_be_given(kind: str, tmp_path: Path) -> None:
    source = write(tmp_path, kind, rows("de-DE"))

    identity = source.identity(lambda path: f"digest of {path.name}")

    assert all(f"digest of {path.name}" in json.dumps(identity) for path in source.files())


@both_kinds
def test_a_missing_locale_is_named_with_its_nearest(kind: str, tmp_path: Path) -> None:
    source = write(tmp_path, kind, rows("de-DE") + rows("sq-AL"))

    source.check(["de-DE", "sq-AL"])
    with pytest.raises(UsageError, match="unknown locale 'sq-AK': did you mean sq-AL"):
        source.check(["de-DE", "sq-AK"])


@both_kinds
@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named_with_those_found(kind: str, column: str, tmp_path: Path) -> None:
    if kind == "jsonl" and column in ("id", "locale"):
        pytest.skip("the writer of JSONL files needs it")
    kept = [{name: value for name, value in row.items() if name != column} for row in rows("de-DE")]
    source = write(tmp_path, kind, kept)

    with pytest.raises(UsageError, match=f"no column '{column}': found .*, "):
        source.check(["de-DE"])


@both_kinds
@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        ("id", 0, "column 'id' should be an id that no earlier row has, found"),
        ("partition", "validation", "column 'partition' should be train, dev or test, found 'validation'"),
        ("scenario", "", "column 'scenario' should be a text, found ''"),
        ("intent", None, "column 'intent' should be a text, found"),
        ("utt", " ", "column 'utt' should be a text, found ' '"),
    ],
)
def test_a_row_that_differs_is_named_and_not_skipped(
    kind: str, column: str, value: object, complaint: str, tmp_path: Path
) -> None:
    table = rows("de-DE")
    table[1] = {**table[1], column: value}
    source = write(tmp_path, kind, table)

    with pytest.raises(UsageError, match=r"row 2 \(id '?[01]'?\): ") as raised:
        source.load("de-DE")
    assert complaint in str(raised.value)


@pytest.mark.parametrize("number", ["seven", "1.5", None])
def test_an_id_that_is_no_whole_number_is_named(number: object, tmp_path: Path) -> None:
    lines = [{**row, "id": str(row["id"])} for row in rows("de-DE")]
    lines[2]["id"] = number
    (tmp_path / "de-DE.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

    with pytest.raises(UsageError, match=r"row 3 .*column 'id' should be a whole number"):
        JsonlData(tmp_path).load("de-DE")


def test_rows_of_another_locale_in_a_locales_file_are_named(tmp_path: Path) -> None:
    write(tmp_path, "jsonl", rows("de-DE"))
    (tmp_path / "de-DE.jsonl").rename(tmp_path / "da-DK.jsonl")

    with pytest.raises(UsageError, match=r"should be 'da-DK', found 'de-DE' \(and 2 more rows\)"):
        JsonlData(tmp_path).load("da-DK")


def test_files_that_are_not_what_they_are_called_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_text("id,utt\n", encoding="utf-8")
    (tmp_path / "de-DE.jsonl").write_text("id,utt\n", encoding="utf-8")

    with pytest.raises(UsageError, match="not a Parquet file"):
        ParquetData(tmp_path / "data.parquet").check(["de-DE"])
    with pytest.raises(UsageError, match="no file"):
        ParquetData(tmp_path / "none.parquet").check(["de-DE"])
    with pytest.raises(UsageError, match="row 1: expected a JSON object, found 'id,utt'"):
        JsonlData(tmp_path).check(["de-DE"])


def test_a_broken_line_further_down_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "jsonl", rows("de-DE"))
    with (tmp_path / "de-DE.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "9", "loc')

    with pytest.raises(UsageError, match=r"cannot read .*de-DE\.jsonl"):
        JsonlData(tmp_path).load("de-DE")


def test_a_source_is_read_from_what_stands_in_a_config(tmp_path: Path) -> None:
    assert parse("phrasebook", seed=3) == PhrasebookData(3, *_sizes(parse("phrasebook")))
    assert parse("some/where.parquet") == ParquetData(Path("some/where.parquet"))
    assert parse(str(tmp_path)) == JsonlData(tmp_path)
    assert parse("owner/name@0123abc") == HubData("owner/name", "0123abc")
    assert parse("AmazonScience/massive") == HubData("AmazonScience/massive", "refs/convert/parquet")
    assert parse("mteb/amazon_massive_intent").identity() == {
        "hub": "mteb/amazon_massive_intent",
        "revision": "4672e20407010da34463acc759c162ca9734bca6",
    }


@pytest.mark.parametrize("text", ["phrasebok", "owner/name", "a/b/c", "", "owner/name@", "/no/such/folder"])
def test_what_is_no_source_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected 'phrasebook'|needs a revision"):
        parse(text)


def test_the_phrasebook_is_identified_by_its_contents_seed_and_sizes() -> None:
    pytest.importorskip("compute.evaluation.phrasebook")
    first = PhrasebookData(seed=0, train=4, dev=2, test=3)
    changed = [
        PhrasebookData(seed=1, train=4, dev=2, test=3),
        PhrasebookData(seed=0, train=5, dev=2, test=3),
        PhrasebookData(seed=0, train=4, dev=2, test=3, held_out=1),
    ]

    identities = [json.dumps(source.identity()) for source in [first, *changed]]

    assert len(set(identities)) == 4
    assert first.files() == []


def test_the_phrasebook_loads_every_locale_it_claims() -> None:
    phrasebook = pytest.importorskip("compute.evaluation.phrasebook")
    source = PhrasebookData(seed=0, train=4, dev=2, test=3)

    source.check(phrasebook.locales())
    frame = source.load("sq-AL")

    assert set(frame["partition"]) == {"train", "dev", "test"}
    with pytest.raises(UsageError, match="unknown locale 'sq-AK'"):
        source.check(["sq-AK"])


def test_planning_with_sources_imports_nothing_heavy() -> None:
    code = (
        "import sys; from compute.evaluation import sources; import compute.models.recipes;"
        "source = sources.parse('phrasebook'); source.files();"
        "print(sorted({'torch', 'pandas', 'datasets', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)

    assert done.stdout.strip() == "[]"


def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")

    assert file_digest(tmp_path / "a").startswith("ba7816bf8f01cfea")


@pytest.mark.slow
@pytest.mark.skipif(not MASSIVE.is_file(), reason=f"needs MASSIVE 1.1 as {MASSIVE.name} in ../shared/data")
def test_every_intent_of_massive_is_called_after_its_scenario() -> None:
    """What the hub's layout without scenarios relies on."""
    pairs = pd.read_parquet(MASSIVE, columns=["scenario", "intent"]).drop_duplicates()

    assert len(pairs) == 60
    assert pairs["scenario"].nunique() == 18
    assert (pairs["intent"].str.split("_").str[0] == pairs["scenario"]).all()


@pytest.mark.slow
@pytest.mark.skipif(not MASSIVE.is_file(), reason=f"needs MASSIVE 1.1 as {MASSIVE.name} in ../shared/data")
def test_massive_itself_has_no_row_that_we_refuse() -> None:
    source = ParquetData(MASSIVE)

    for locale in ("sq-AL", "zh-CN", "ca-ES"):
        counts = source.load(locale)["partition"].value_counts().to_dict()
        assert counts == {"train": 11_514, "test": 2_974, "dev": 2_033}


def _sizes(source: object) -> tuple[int, int, int, int]:
    assert isinstance(source, PhrasebookData)
    return source.train, source.dev, source.test, source.held_out
