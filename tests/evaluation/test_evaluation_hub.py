from __future__ import annotations

import gzip
import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HUB = runpy.run_path(str(Path(__file__).parents[1] / "hub.py"))
BY_LANGUAGE = "mteb/amazon_massive_intent"
BY_LOCALE = "AmazonScience/massive"
TEXTS = {"de-DE": "weck mich um {} uhr", "sq-AL": "më zgjo në orën {}", "zh-CN": "{}点叫醒我"}
NOWHERE = "http://127.0.0.1:9"
OFFLINE = "import os; os.environ['HF_HUB_OFFLINE'] = '1'\n"
SPLITS = {"train": "train", "validation": "dev", "test": "test"}


def utterances(locale: str) -> list[dict[str, Any]]:
    names = [("alarm_set", "alarm"), ("datetime_query", "datetime")]
    rows = [(split, intent, scenario) for split in SPLITS for intent, scenario in names]
    return [
        {
            "id": number,
            "locale": locale,
            "partition": SPLITS[split],
            "scenario": scenario,
            "intent": intent,
            "utt": TEXTS[locale].format(number),
        }
        for number, (split, intent, scenario) in enumerate(rows)
    ]


def write_by_language(folder: Path) -> None:
    """Lay out as the benchmark does: {split}/{language}.json.gz, every value a text, no scenario."""
    configs = []
    for locale in TEXTS:
        language = locale if locale.startswith("zh") else locale[:2]
        files = [{"split": split, "path": f"{split}/{language}.json.gz"} for split in SPLITS]
        configs.append({"config_name": language, "data_files": files})
        for split, partition in SPLITS.items():
            lines = [
                json.dumps(
                    {
                        "id": str(row["id"]),
                        "label": row["intent"],
                        "label_text": row["intent"],
                        "text": row["utt"],
                        "lang": language,
                    }
                )
                for row in utterances(locale)
                if row["partition"] == partition
            ]
            path = folder / split / f"{language}.json.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress("\n".join(lines).encode()))
    (folder / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n", encoding="utf-8")


def write_by_locale(folder: Path) -> None:
    """Lay out as the hub's conversion does: {locale}/{split}/0000.parquet, scenario and intent numbered."""
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features(
        {
            "id": Value("string"),
            "locale": Value("string"),
            "partition": Value("string"),
            "scenario": ClassLabel(names=["datetime", "alarm"]),
            "intent": ClassLabel(names=["datetime_query", "alarm_set"]),
            "utt": Value("string"),
        }
    )
    for locale in TEXTS:
        for split, partition in SPLITS.items():
            rows = [{**row, "id": str(row["id"])} for row in utterances(locale) if row["partition"] == partition]
            path = folder / locale / split / "0000.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            Dataset.from_list(rows, features=features).to_parquet(path)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("hub")
    write_by_language(root / "datasets" / BY_LANGUAGE / "4672e20407010da34463acc759c162ca9734bca6")
    write_by_locale(root / "datasets" / BY_LOCALE / "refs%2Fconvert%2Fparquet")
    with HUB["serve"](root) as address:
        yield address


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


LOAD = """
import json, sys
from compute.evaluation.sources import parse
source = parse({repo!r})
source.check({locales!r})
print(json.dumps([source.load(locale).to_dict("records") for locale in {locales!r}]))
"""

COMPLAINTS = """
import json
from compute.errors import UsageError
from compute.evaluation.sources import parse
found = []
for source, locale in {wrong!r}:
    try:
        parse(source).check([locale])
        found.append("no complaint")
    except UsageError as error:
        found.append(str(error))
print(json.dumps(found))
"""


@pytest.mark.parametrize("repo", [BY_LANGUAGE, BY_LOCALE])
def test_both_layouts_of_the_hub_give_the_same_rows(repo: str, endpoint: str, home: Path) -> None:
    locales = list(TEXTS)

    found = HUB["run"](LOAD.format(repo=repo, locales=locales), endpoint, home)

    assert found == [utterances(locale) for locale in locales]


def test_what_the_hub_lacks_is_named_before_anything_runs(endpoint: str, home: Path) -> None:
    wrong = [
        ("nobody/nothing@main", "de-DE"),
        (f"{BY_LANGUAGE}@0123456", "de-DE"),
        (BY_LANGUAGE, "da-DK"),
        (BY_LOCALE, "sq-AK"),
    ]

    repository, revision, language, locale = HUB["run"](COMPLAINTS.format(wrong=wrong), endpoint, home)

    assert "no data set 'nobody/nothing' on the hub" in repository
    assert "'mteb/amazon_massive_intent' has no revision '0123456'" in revision
    assert "unknown locale 'da-DK'" in language
    assert "unknown locale 'sq-AK': did you mean sq-AL?" in locale


def test_what_was_loaded_once_is_there_offline(endpoint: str, tmp_path: Path) -> None:
    for repo in (BY_LANGUAGE, BY_LOCALE):
        code = LOAD.format(repo=repo, locales=["de-DE", "zh-CN"])
        online = HUB["run"](code, endpoint, tmp_path)

        assert HUB["run"](OFFLINE + code, endpoint, tmp_path) == online


def test_a_hub_out_of_reach_is_a_clear_sentence_and_no_traceback(endpoint: str, tmp_path: Path) -> None:
    code = COMPLAINTS.format(wrong=[(BY_LANGUAGE, "de-DE"), (BY_LOCALE, "de-DE")])

    for complaint in HUB["run"](OFFLINE + code, endpoint, tmp_path):
        assert complaint.startswith("cannot fetch data set")
        assert "offline mode is enabled" in complaint


@pytest.mark.slow
def test_a_hub_that_refuses_to_answer_is_a_clear_sentence_too(tmp_path: Path) -> None:
    """The library tries again for some twenty seconds."""
    code = COMPLAINTS.format(wrong=[(BY_LANGUAGE, "de-DE")])

    (complaint,) = HUB["run"](code, NOWHERE, tmp_path)

    assert complaint.startswith("cannot fetch data set")
