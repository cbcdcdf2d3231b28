from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from cells_for_tests import Box, Text, halved, number, seeded
from engine_helpers import Builder

from compute.engine import machine
from compute.engine.machine import Meter, environment, source
from compute.engine.record import Cost, Record, Trace, _seal, readable
from compute.engine.store import Store
from compute.engine.work import Task, run

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
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize(("setting", "expected"), [("3", 3), ("2,1", 2)])
def test_the_threads_are_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, setting: str, expected: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert environment()["threads"] == expected


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize("setting", ["", "many"])
def test_an_unreadable_number_of_threads_is_no_failure(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert environment()["threads"] >= 1


def test_the_threads_are_what_torch_uses_once_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(get_num_threads=lambda: 5))  # type: ignore[arg-type]
    assert environment()["threads"] == 5


def test_an_accelerator_counts_also_when_it_was_first_used_after_other_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    environment()
    cuda = SimpleNamespace(
        is_available=lambda: True,
        get_device_name=lambda _: "a card",
        device_count=lambda: 2,
        get_device_properties=lambda _: SimpleNamespace(total_memory=10**9),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))  # type: ignore[arg-type]
    assert environment()["machine"]["accelerator"] == {"name": "a card", "count": 2, "memory": 10**9}


def test_a_record_tells_the_settings_and_the_commit_under_which_its_task_was_made(store: Store, log: str) -> None:
    cell = number(1, log)
    task = Task(cell, Trace({}, {}), {}, store.root, environment={"RECOUNT_PLANTED": "7"}, source={"commit": "abc"})
    try:
        record = run(task)
    finally:
        os.environ.pop("RECOUNT_PLANTED", None)
    assert isinstance(record, Record)
    assert record.environment["settings"] == {"RECOUNT_PLANTED": "7"}
    assert record.environment["git"] == {"commit": "abc"}


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def test_the_source_is_the_commit_of_the_folder_and_dirty_once_a_file_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_source", {})
    monkeypatch.setattr(machine, "SETTLED", 0.0)
    monkeypatch.chdir(tmp_path)
    assert source() is None
    git("init", "-q")
    (tmp_path / "a").write_text("1", encoding="utf-8")
    git("add", "a")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD")
    assert source() == {"commit": commit, "dirty": False}
    (tmp_path / "a").write_text("2", encoding="utf-8")
    assert source() == {"commit": commit, "dirty": True}


def test_the_source_is_not_asked_for_at_every_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(machine, "_source", {})
    monkeypatch.setattr(machine, "_git", lambda: asked.append(1))
    for _ in range(3):
        source()
    assert asked == [1]


def test_the_time_of_children_counts_as_time_on_a_core() -> None:
    meter = Meter()
    busy = "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert meter.cost().cpu_seconds >= 0.2


RESETTABLE = os.access("/proc/self/clear_refs", os.W_OK)


@pytest.mark.skipif(not RESETTABLE, reason="the kernel lets no process reset its mark")
def test_the_peak_of_memory_is_that_of_the_cell_and_not_of_those_before(
    in_another_process: Callable[..., str],
) -> None:
    printed = in_another_process(
        """
        from compute.engine.machine import Meter
        def peak(size):
            meter = Meter()
            bytearray(size)
            return meter.cost().peak_memory
        print(peak(300_000_000), peak(10))
        """
    )
    large, small = map(int, printed.split())
    assert large - small > 250_000_000
