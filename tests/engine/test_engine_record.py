from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
from cells_for_tests import Box, Text, failing, gathered, halved, length, number, seeded
from engine_helpers import Builder

from compute.engine import record as record_module
from compute.engine.record import Cost, Record, Trace, _seal, environment, readable, without_folders

RECORD = Record(
    key="ab" * 32,
    name="train/ñ",
    function="train",
    arguments={"x": [1, None, {"y": 0.5}]},
    trace=Trace({"m:f": "12"}, {"cd" * 32: "ef"}),
    digest="34",
    size=5,
    files={"value.json": "56"},
    cost=Cost(1.5, 1.25, 1000),
    seed=7,
    when="2026-01-01T00:00:00+00:00",
    environment={"python": "3.11.0"},
)


def test_a_record_comes_back_from_its_json() -> None:
    assert Record.from_json(RECORD.to_json()) == RECORD
    assert Record.from_json(RECORD.to_json().encode()) == RECORD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"schema": 2}',
        '{"schema": 1}',
        '{"schema": 1, "trace": [], "cost": {}}',
        "\x00",
    ],
)
def test_what_is_no_whole_record_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        Record.from_json(text)


@pytest.mark.parametrize("name", ["key", "trace", "digest", "environment"])
def test_a_record_that_lacks_a_member_or_has_one_too_many_is_refused(name: str) -> None:
    members = json.loads(RECORD.to_json())
    with pytest.raises(ValueError, match="bytes are not those"):
        Record.from_json(json.dumps({**members, "extra": 1}))
    del members[name]
    with pytest.raises(ValueError, match="bytes are not those"):
        Record.from_json(json.dumps(members))


def test_a_sealed_record_of_other_members_is_refused() -> None:
    members = {name: value for name, value in json.loads(RECORD.to_json()).items() if name not in ("seal", "key")}
    with pytest.raises(ValueError, match="not a whole record"):
        Record.from_json(json.dumps({**members, "seal": _seal(members)}))


def test_no_byte_of_a_record_can_change_unseen() -> None:
    text = RECORD.to_json()
    for place, letter in enumerate(text):
        if letter.isalnum():
            with pytest.raises(ValueError):
                Record.from_json(text[:place] + ("a" if letter != "a" else "b") + text[place + 1 :])


def test_the_id_of_a_trace_tells_code_and_inputs_apart() -> None:
    ids = {Trace(code, inputs).id for code in ({}, {"a": "1"}, {"a": "2"}) for inputs in ({}, {"a": "1"})}
    assert len(ids) == 6
    assert Trace({"a": "1", "b": "2"}, {}).id == Trace({"b": "2", "a": "1"}, {}).id


def test_arguments_are_readable_with_inputs_by_identity_and_sets_in_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    text = Text(tmp_path / "a")
    found = readable({"text": text, "set": {"b", "a", "c"}, "box": Box((1, None)), "cell": number(1, "log")})
    assert found == {
        "text": {"Text": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        "set": ["a", "b", "c"],
        "box": {"content": [1, None], "size": 3},
        "cell": {"cell": "number/1", "key": number(1, "log").key},
    }


def test_a_cell_that_is_not_kept_is_readable_with_its_arguments() -> None:
    inner = halved(3, "log")
    assert readable(inner) == {"cell": "halved/3", "key": inner.key, "arguments": {"x": 3, "log": "log"}}


def test_a_record_says_what_a_result_was_made_from(build: Builder) -> None:
    cell = seeded(7, "a")
    record = build(cell).records[cell.key]
    assert (record.key, record.name, record.function) == (cell.key, "seeded", "seeded")
    assert record.arguments == {"seed": 7, "name": "a"}
    assert record.seed == cell.seed
    assert build.store.load(record) == cell.seed
    assert record.cost.seconds >= 0
    assert record.cost.peak_memory > 1_000_000


@pytest.fixture
def alice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with a name, a machine, a token and a home."""
    home = tmp_path / "home" / "alice-in-person"
    home.mkdir(parents=True)
    names = {"HOME": str(home), "USER": "alice-in-person", "LOGNAME": "alice-in-person"}
    for name, value in {**names, "HF_TOKEN": "hf_planted_secret", "API_KEY": "planted_secret"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platform, "node", lambda: "alices-machine")
    record_module._machine.cache_clear()
    return home


def written(build: Builder) -> str:
    """Everything but the payloads that the store holds, with the names of its files."""
    texts = [f"{path.relative_to(build.store.root)} {path.read_text(encoding='utf-8')}" for path in files(build)]
    return "\n".join(texts)


def files(build: Builder) -> list[Path]:
    return [path for path in build.store.root.rglob("*.json") if path.name != "value.json"]


def test_no_token_user_host_or_folder_stands_in_a_record(build: Builder, alice: Path) -> None:
    data = alice / "project" / "a.txt"
    data.parent.mkdir()
    data.write_text("abc", encoding="utf-8")
    build(length(Text(data)), gathered(str(data)), number(1, str(data)))
    text = written(build)
    assert text.count('"key"') == 3
    for planted in ("alice", "planted", 'machine"', str(alice.parent), "alices-machine"):
        assert planted not in text.replace('"machine"', ""), planted


def test_no_token_user_host_or_folder_stands_in_a_failure(build: Builder, alice: Path) -> None:
    results = build(failing(1, str(alice / "log")), failing(2, str(alice / "no" / "log")))
    assert len(results.failures) == 2
    text = written(build)
    assert "No such file or directory: '~/no/log'" in text
    for planted in ("alice", "planted", str(alice.parent)):
        assert planted not in text, planted


def test_folders_are_shortened_wherever_they_stand(alice: Path) -> None:
    assert without_folders(f"in '{alice}/a' and {Path.cwd()}/b") == "in '~/a' and ./b"


@pytest.mark.parametrize(("setting", "expected"), [("3", 3), ("2,1", 2)])
def test_the_threads_are_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, setting: str, expected: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert environment()["threads"] == expected


@pytest.mark.parametrize("setting", ["", "many"])
def test_an_unreadable_number_of_threads_is_no_failure(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert environment()["threads"] >= 1


def test_an_accelerator_counts_also_when_it_was_first_used_after_other_cells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment()
    monkeypatch.setattr(record_module, "_accelerator", lambda: "a card")
    assert environment()["machine"]["accelerator"] == "a card"
