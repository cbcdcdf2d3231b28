from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from functools import cache
from itertools import product
from math import prod
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.errors import UsageError
from compute.evaluation import phrasebook
from compute.evaluation.phrasebook import PARTITIONS, expand, locales, placeholders, read

EXPECTED = [
    *("ar-SA", "az-AZ", "cy-GB", "de-DE", "en-US", "fi-FI", "fr-FR"),
    *("it-IT", "sq-AL", "sw-KE", "th-TH", "tl-PH", "tr-TR", "vi-VN"),
]
COLUMNS = ["id", "locale", "partition", "scenario", "intent", "utt"]
SCRIPTS = {"ar-SA": "ARABIC", "th-TH": "THAI"}

every_locale = pytest.mark.parametrize("locale", locales())
few_examples = settings(max_examples=5, deadline=None)


@cache
def all_texts(locale: str) -> list[str]:
    """Fill every template with every combination of values."""
    phrases = read(locale)
    return [
        template.format(**dict(zip(names, values, strict=True)))
        for templates in phrases.intents.values()
        for template in templates
        for names in [placeholders(template)]
        for values in product(*(phrases.slots[name] for name in names))
    ]


def pieces(locale: str) -> list[str]:
    """List the templates and the values that texts are made of."""
    phrases = read(locale)
    return [text for texts in (*phrases.slots.values(), *phrases.intents.values()) for text in texts]


@cache
def drawn(locale: str) -> list[dict[str, object]]:
    return expand(locale, seed=3, train=12, dev=3, test=5)


def choices(rows: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return [(row["id"], row["partition"], row["scenario"], row["intent"]) for row in rows]


def test_the_fourteen_locales_are_there() -> None:
    assert locales() == EXPECTED


@every_locale
def test_a_locale_has_the_shape_of_the_reference(locale: str) -> None:
    phrases, reference = read(locale), read("en-US")
    assert list(phrases.intents) == list(reference.intents)
    assert {slot: len(values) for slot, values in phrases.slots.items()} == {
        slot: len(values) for slot, values in reference.slots.items()
    }
    assert [[sorted(placeholders(text)) for text in templates] for templates in phrases.intents.values()] == [
        [sorted(placeholders(text)) for text in templates] for templates in reference.intents.values()
    ]


def test_the_reference_is_large_enough() -> None:
    reference = read("en-US")
    assert Counter(len(templates) for templates in reference.intents.values()) == {10: 16}
    assert len({intent.split("/")[0] for intent in reference.intents}) == 8
    assert len(reference.slots) >= 10
    assert min(len(values) for values in reference.slots.values()) >= 8


@every_locale
def test_every_slot_is_used(locale: str) -> None:
    phrases = read(locale)
    used = {name for templates in phrases.intents.values() for text in templates for name in placeholders(text)}
    assert used == set(phrases.slots)


@every_locale
def test_no_text_of_a_locale_can_be_said_in_two_ways(locale: str) -> None:
    repeated = {text: times for text, times in Counter(all_texts(locale)).items() if times > 1}
    assert repeated == {}


@every_locale
def test_no_placeholder_is_left(locale: str) -> None:
    assert [text for text in all_texts(locale) if "{" in text or "}" in text] == []


@every_locale
def test_texts_are_lower_case_trimmed_and_composed(locale: str) -> None:
    wrong = [text for text in pieces(locale) if text != unicodedata.normalize("NFC", " ".join(text.lower().split()))]
    assert wrong == []


@every_locale
def test_letters_belong_to_the_script_of_the_locale(locale: str) -> None:
    script = SCRIPTS.get(locale, "LATIN")
    bare = [re.sub(r"\{.*?\}", "", text) for text in pieces(locale)]
    letters = {letter for text in bare for letter in text if letter.isalpha()}
    assert {letter for letter in letters if script not in unicodedata.name(letter)} == set()


@every_locale
def test_locales_differ_from_the_reference(locale: str) -> None:
    if locale != "en-US":
        same = set(all_texts(locale)) & set(all_texts("en-US"))
        assert same == set()


@every_locale
def test_all_locales_draw_the_same_combinations(locale: str) -> None:
    assert choices(drawn(locale)) == choices(drawn("en-US"))


@every_locale
def test_equal_ids_hold_equal_slot_values(locale: str) -> None:
    phrases, reference = read(locale), read("en-US")
    theirs = {row["id"]: row["utt"] for row in drawn("en-US")}
    pairs = 0
    for row in drawn(locale):
        if row["intent"] == "lists_remove":
            (index,) = [index for index, value in enumerate(reference.slots["list_from"]) if value in theirs[row["id"]]]
            assert phrases.slots["list_from"][index] in row["utt"]
            pairs += 1
    assert pairs == 20


def test_rows_carry_the_columns_of_massive() -> None:
    rows = expand("en-US", seed=0, train=2, dev=1, test=1)
    assert {tuple(row) for row in rows} == {tuple(COLUMNS)}
    assert {row["locale"] for row in rows} == {"en-US"}
    assert {type(row["id"]) for row in rows} == {int}
    assert "alarm/alarm_set" in {f"{row['scenario']}/{row['intent']}" for row in rows}


@few_examples
@given(
    locale=st.sampled_from(locales()),
    seed=st.integers(-5, 2**40),
    held_out=st.sampled_from([0, 2, 4, 5]),
    test=st.integers(0, 40),
)
def test_partitions_have_their_sizes_and_share_nothing(locale: str, seed: int, held_out: int, test: int) -> None:
    rows = expand(locale, seed=seed, train=60, dev=20, test=test, held_out=held_out)
    intents = len(read(locale).intents)
    sizes = Counter(row["partition"] for row in rows)
    assert sizes == Counter(train=60 * intents, dev=20 * intents, test=test * intents)
    assert len({row["utt"] for row in rows}) == len({row["id"] for row in rows}) == len(rows)


@few_examples
@given(seed=st.integers(0, 10**6), held_out=st.sampled_from([0, 4]))
def test_asking_for_more_of_one_partition_leaves_the_others_and_only_appends(seed: int, held_out: int) -> None:
    few = expand("en-US", seed=seed, train=5, dev=4, test=6, held_out=held_out)
    many = expand("en-US", seed=seed, train=50, dev=4, test=6, held_out=held_out)

    def of(rows: list[dict[str, object]], partition: str) -> list[dict[str, object]]:
        return [row for row in rows if row["partition"] == partition and row["intent"] == "alarm_set"]

    assert of(few, "dev") == of(many, "dev")
    assert of(few, "test") == of(many, "test")
    assert of(few, "train") == of(many, "train")[:5]


def templates_drawn(*, seed: int, held_out: int) -> dict[str, dict[str, set[int]]]:
    """Say from which templates the utterances of each partition and intent were made, by their ids."""
    phrases, owner = read("en-US"), []
    for templates in phrases.intents.values():
        for index, text in enumerate(templates):
            owner += [index] * prod(len(phrases.slots[name]) for name in placeholders(text))
    found: dict[str, dict[str, set[int]]] = {
        partition: {intent: set() for intent in phrases.intents} for partition in PARTITIONS
    }
    for row in expand("en-US", seed=seed, train=60, dev=20, test=20, held_out=held_out):
        found[row["partition"]][f"{row['scenario']}/{row['intent']}"].add(owner[row["id"]])
    return found


@few_examples
@given(seed=st.integers(0, 10**6))
def test_every_template_serves_every_partition_when_none_is_held_out(seed: int) -> None:
    for found in templates_drawn(seed=seed, held_out=0).values():
        assert set(map(len, found.values())) == {10}


@few_examples
@given(seed=st.integers(0, 10**6), held_out=st.integers(2, 5))
def test_held_out_templates_are_split_between_dev_and_test(seed: int, held_out: int) -> None:
    found = templates_drawn(seed=seed, held_out=held_out)
    for intent in read("en-US").intents:
        train, dev, test = (found[partition][intent] for partition in PARTITIONS)
        assert len(dev) == held_out // 2
        assert len(test) == held_out - held_out // 2
        assert train == set(range(10)) - dev - test
        assert not dev & test


def test_the_seed_changes_what_is_drawn() -> None:
    sizes = {"train": 5, "dev": 2, "test": 2}
    assert expand("en-US", seed=1, **sizes) != expand("en-US", seed=2, **sizes)
    assert expand("en-US", seed=1, **sizes) == expand("en-US", seed=1, **sizes)


def test_draws_do_not_depend_on_the_hash_seed_of_the_process() -> None:
    code = (
        "import json; from compute.evaluation.phrasebook import digest, expand;"
        "print(json.dumps([digest(), expand('de-DE', seed=7, train=9, dev=3, test=3, held_out=4)]))"
    )
    root = str(Path(phrasebook.__file__).parents[2])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "4242")
    }
    assert [json.loads(output)[0] for output in outputs] == [phrasebook.digest()]


@pytest.mark.parametrize(
    "sizes, found",
    [
        ({"train": 9999, "dev": 1, "test": 1}, "train utterances.*found 9999"),
        ({"train": 1, "dev": -1, "test": 1}, "dev utterances.*found -1"),
        ({"train": 1, "dev": 1, "test": 1, "held_out": 1}, "held_out.*found 1"),
        ({"train": 1, "dev": 1, "test": 1, "held_out": 10}, "held_out.*found 10"),
        ({"train": 1, "dev": 1, "test": 1, "held_out": -2}, "held_out.*found -2"),
    ],
)
def test_what_does_not_exist_cannot_be_drawn(sizes: dict[str, int], found: str) -> None:
    with pytest.raises(UsageError, match=found):
        expand("en-US", seed=0, **sizes)


SMALL = {
    "slots": {"time": [f"at {hour}" for hour in range(8)], "date": [f"on day {day}" for day in range(8)]},
    "intents": {
        "alarm/alarm_set": ["wake me {time}", "alarm {date} {time}"],
        "alarm/alarm_remove": ["no {date}"],
    },
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(phrasebook, "FOLDER", tmp_path)
    write(tmp_path, "en-US", SMALL)
    return tmp_path


def write(folder: Path, locale: str, data: object) -> None:
    text = data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False)
    (folder / f"{locale}.yaml").write_text(text, encoding="utf-8")


def changed(part: str, **names: object) -> dict[str, dict[str, object]]:
    data: dict[str, dict[str, object]] = {key: dict(value) for key, value in SMALL.items()}
    data[part] |= {name.replace("__", "/"): value for name, value in names.items()}
    return data


def test_a_new_file_is_a_new_locale(folder: Path) -> None:
    write(folder, "xx-XX", SMALL)
    assert locales() == ["en-US", "xx-XX"]
    assert read("xx-XX") == read("en-US")


@pytest.mark.parametrize(
    "data, found",
    [
        ("slots: [\nintents: }", "xx-XX.yaml, line 2: not valid YAML"),
        ("just a text", "xx-XX.yaml: expected the two keys 'slots' and 'intents', found str"),
        ({"slots": SMALL["slots"]}, "xx-XX.yaml: expected the two keys.*found .'slots'"),
        (changed("intents", alarm__alarm_remove=["no {dat}"]), "alarm/alarm_remove.*did you mean date"),
        (changed("intents", alarm__alarm_remove=["no {date"]), "alarm/alarm_remove.*expected '}'"),
        (changed("intents", alarm__alarm_remove=["no alarm"]), "one slot or more, each once"),
        (changed("intents", alarm__alarm_remove=["no {date} {date}"]), "one slot or more, each once"),
        (changed("intents", alarm__alarm_remove=["no {time}"]), "not parallel.*alarm/alarm_remove.*differ"),
        (changed("intents", alarm__alarm_remove=["a {date}", "b {date}"]), "expected 1 texts, found 2"),
        (changed("intents", alarm__alarm_remove=[]), "expected 1 texts, found 0"),
        (changed("intents", alarm=["no {date}"]), "expected an intent as 'scenario/intent', found 'alarm'"),
        (changed("intents", alarm__alarm_query=["any {date}"]), "not parallel.*in this order"),
        (changed("slots", date=["on day 1"]), "xx-XX.yaml: slot 'date' has 1 values, expected 8 or more"),
        (changed("slots", date=[f"d{day}" for day in range(9)]), "'date': expected 8 texts, found 9"),
        (changed("slots", date=["twice"] * 8), "'date' lists 'twice' more than once"),
        (changed("slots", date=list(range(8))), "slots 'date' to be a list of texts; quote each one"),
        (changed("slots", date="tomorrow"), "slots 'date' to be a list of texts"),
        ({**SMALL, "slots": None}, "expected 'slots' to map names to lists, found None"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_name(folder: Path, data: object, found: str) -> None:
    write(folder, "xx-XX", data)
    with pytest.raises(UsageError, match=found):
        read("xx-XX")


def test_an_unknown_locale_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UsageError, match=r"unknown phrasebook locale 'en-UK': did you mean en-US"):
        read("en-UK")


def test_a_text_that_two_intents_share_is_refused(folder: Path) -> None:
    write(folder, "en-US", changed("intents", alarm__alarm_query=["no {date}"]))
    with pytest.raises(UsageError, match=r"'no on day .' is both alarm_remove .id .* and alarm_query .id .*reword"):
        expand("en-US", seed=0, train=5, dev=2, test=1)


def test_the_digest_follows_names_and_bytes(folder: Path) -> None:
    before = phrasebook.digest()
    (folder / "en-US.yaml").rename(folder / "en-GB.yaml")
    renamed = phrasebook.digest()
    write(folder, "en-GB", changed("intents", alarm__alarm_remove=["never {date}"]))
    assert len({before, renamed, phrasebook.digest()}) == 3
