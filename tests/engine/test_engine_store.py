from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_engine_record import RECORD

from compute.engine.record import Record, Trace
from compute.engine.storage import codec
from compute.engine.storage import scratch as scratch_module
from compute.engine.storage.codec import CodecError
from compute.engine.store import DamagedResult, Failure, Store

VALUE = {"scores": [1, 2.5], "array": np.arange(4.0)}


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


def commit(store: Store, value: object = VALUE, record: Record = RECORD, *, anew: bool = False) -> Record:
    return store.commit(record, value, anew=anew)


def found(store: Store) -> Record | None:
    return store.find(RECORD.key, RECORD.trace.id)


def payload(store: Store, name: str = codec.DOCUMENT) -> Path:
    return store.folder(RECORD.key, RECORD.trace.id) / name


def all_files(store: Store) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


def test_what_was_committed_is_found_and_loaded(store: Store) -> None:
    record = commit(store)
    assert found(store) == record
    assert record.size == sum(payload(store, name).stat().st_size for name in record.files)
    loaded = store.load(record)
    assert loaded["scores"] == VALUE["scores"]
    np.testing.assert_array_equal(loaded["array"], VALUE["array"])


def test_the_digest_depends_on_the_value_alone(store: Store) -> None:
    first = commit(store)
    other = commit(store, record=replace(RECORD, key="cd" * 32, name="other", when="2027-01-01T00:00:00+00:00"))
    changed = commit(store, {**VALUE, "scores": [1, 2.6]}, replace(RECORD, key="ef" * 32))
    assert first.digest == other.digest
    assert first.digest != changed.digest


def test_results_of_other_traces_stay(store: Store) -> None:
    commit(store, 1)
    later = replace(RECORD, trace=Trace({"m:f": "other"}, {}), when="2026-02-01T00:00:00+00:00")
    commit(store, 2, later)
    assert [store.load(record) for record in store.others(RECORD.key)] == [1, 2]
    assert {record.trace.id for record in store.all("train")} == {RECORD.trace.id, later.trace.id}
    assert list(store.all("other")) == []


@pytest.mark.parametrize("step", ["codec.write", "Record.to_json", "_publish"])
def test_an_end_before_the_record_leaves_nothing_visible(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*args: Any, **kwargs: Any) -> None:
        raise Killed

    owner: Any = {"codec.write": codec, "Record.to_json": Record, "_publish": Store}[step]
    monkeypatch.setattr(owner, step.rpartition(".")[2], killed)
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)  # the dead do not tidy up
    with pytest.raises(Killed):
        commit(store)
    assert found(store) is None
    assert list(store.all()) == []
    monkeypatch.undo()
    commit(store)
    assert found(store) is not None


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from test_engine_record import RECORD
    from compute.engine.record import Record
    from compute.engine.store import Store
    Record.to_json = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    Store(Path(sys.argv[1])).commit(RECORD, {"x": 1})
"""


def test_what_a_killed_process_left_is_invisible_and_swept(store: Store) -> None:
    import textwrap

    folders = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(store.root)],
        env={**os.environ, "PYTHONPATH": folders},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert found(store) is None
    assert len(all_files(store)) == 1
    mine = store.scratch()
    assert store.sweep() == 1
    assert all_files(store) == []
    assert mine.is_dir()


def test_left_overs_of_another_machine_are_not_swept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_module.platform, "node", lambda: "another-machine")
    monkeypatch.setattr(scratch_module.os, "getpid", lambda: 2**22 + 1)
    theirs = store.scratch()
    assert "another" not in theirs.name
    monkeypatch.undo()
    assert store.sweep() == 0
    assert theirs.is_dir()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def add_beside(path: Path) -> None:
    path.with_name("more").touch()


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink, add_beside], ids=["flip", "cut", "delete", "add"])
@pytest.mark.parametrize("name", [codec.DOCUMENT, codec.ARRAYS])
def test_a_damaged_payload_is_never_served(store: Store, damage: Callable[[Path], None], name: str) -> None:
    record = commit(store)
    damage(payload(store, name))
    with pytest.raises(
        DamagedResult, match="train/ñ: stored result abababababab was damaged and is set aside under cache/q"
    ):
        store.load(record)
    assert found(store) is None
    assert len(list((store.root / "quarantine").iterdir())) == 1
    assert store.load(commit(store))["scores"] == VALUE["scores"]


def test_damage_deep_in_a_folder_is_noticed_also_in_a_file_named_like_a_record(store: Store, tmp_path: Path) -> None:
    (tmp_path / "model" / "deep").mkdir(parents=True)
    (tmp_path / "model" / "deep" / "record.json").write_text("{}", encoding="utf-8")
    record = commit(store, {"model": tmp_path / "model"})
    store.load(record)["model"].joinpath("deep", "record.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DamagedResult):
        store.load(record)


def test_a_result_that_is_gone_is_damaged_too(store: Store) -> None:
    record = commit(store)
    shutil.rmtree(store.folder(record.key, record.trace.id))
    with pytest.raises(DamagedResult):
        store.load(record)


def test_a_result_that_was_replaced_meanwhile_is_not_set_aside(store: Store) -> None:
    old = commit(store, 1)
    new = commit(store, 2, anew=True)
    with pytest.raises(DamagedResult):
        store.load(old)
    assert found(store) == new
    assert store.load(new) == 2


def rewrite(store: Store, change: Callable[[dict[str, Any]], Any]) -> None:
    path = payload(store, "record.json")
    members = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(change(members)), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda members: {},
        lambda members: {**members, "schema": 0},
        lambda members: {**members, "key": "cd" * 32},
        lambda members: {**members, "trace": {**members["trace"], "id": "0" * 16}},
        lambda members: {**members, "trace": 3},
    ],
    ids=["empty", "schema", "key", "trace id", "no trace"],
)
def test_a_record_that_is_not_its_own_is_missing_and_mended(
    store: Store, change: Callable[[dict[str, Any]], Any]
) -> None:
    commit(store, 1)
    rewrite(store, change)
    assert found(store) is None
    assert store.load(commit(store, 2)) == 2


@pytest.mark.parametrize("damage", [truncate, Path.unlink, lambda path: path.write_bytes(b"\xff\x00")])
def test_a_damaged_record_is_missing_and_mended(store: Store, damage: Callable[[Path], None]) -> None:
    commit(store, 1)
    damage(payload(store, "record.json"))
    assert found(store) is None
    assert store.others(RECORD.key) == []
    assert store.load(commit(store, 2)) == 2


def test_a_record_whose_promise_was_altered_is_none(store: Store) -> None:
    commit(store, 1)
    rewrite(store, lambda members: {**members, "files": {codec.DOCUMENT: "0" * 64}})
    assert found(store) is None


def test_the_first_of_two_commits_stays(store: Store) -> None:
    first = commit(store, 1)
    assert commit(store, 2, replace(RECORD, when="2027-01-01T00:00:00+00:00")) == first
    assert store.load(first) == 1


def test_a_commit_anew_replaces(store: Store) -> None:
    commit(store, 1)
    second = commit(store, 2, replace(RECORD, when="2027-01-01T00:00:00+00:00"), anew=True)
    assert found(store) == second
    assert store.load(second) == 2


def test_of_commits_at_the_same_time_one_stays_and_all_succeed(store: Store) -> None:
    barrier, records = threading.Barrier(8), []

    def run(number: int) -> None:
        barrier.wait()
        records.append(commit(store, number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records) == 8
    assert {record.digest for record in records} == {commit(store, -1).digest}
    assert list((store.root / "tmp").iterdir()) == []


def test_a_commit_leaves_nothing_but_the_result(store: Store) -> None:
    commit(store)
    commit(store, anew=True)
    folder = f"results/ab/{RECORD.key}/{RECORD.trace.id}"
    assert all_files(store) == [f"{folder}/{name}" for name in ("arrays.safetensors", "record.json", "value.json")]


def test_a_value_that_cannot_be_kept_leaves_nothing(store: Store) -> None:
    with pytest.raises(CodecError):
        commit(store, {"array": np.zeros(3), "object": object()})
    assert all_files(store) == []
    assert found(store) is None


@pytest.mark.parametrize("name", ["value.json", "record.json"])
def test_a_full_disk_raises_and_leaves_no_part(store: Store, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    opened = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if "w" in mode and self.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space left"):
        commit(store)
    monkeypatch.undo()
    assert all_files(store) == []
    assert list((store.root / "tmp").iterdir()) == []
    assert found(store) is None


@pytest.mark.parametrize(("seconds", "flushed"), [(0.5, False), (60.0, True)])
def test_what_took_long_is_flushed_before_it_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch, seconds: float, flushed: bool
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        assert found(store) is None
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    commit(store, VALUE, replace(RECORD, cost=replace(RECORD.cost, seconds=seconds)))
    assert ({"value.json", "arrays.safetensors", "record.json"} <= set(synced)) == flushed


FAILURE = Failure(RECORD.key, "train/ñ", "trace", "ValueError: no", "Traceback …", 0, "2026-01-01T00:00:00+00:00")


def test_failures_count_attempts_until_they_are_forgotten(store: Store) -> None:
    assert store.failure(RECORD.key) is None
    assert [store.fail(FAILURE).attempts for _ in range(3)] == [1, 2, 3]
    assert store.failure(RECORD.key) == replace(FAILURE, attempts=3)
    store.forget_failure(RECORD.key)
    store.forget_failure(RECORD.key)
    assert store.failure(RECORD.key) is None
    assert store.fail(FAILURE).attempts == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": 1, "more": 2}', "null", "\x00"])
def test_a_damaged_failure_is_none(store: Store, text: str) -> None:
    store.fail(FAILURE)
    (store.root / "failures" / f"{RECORD.key}.json").write_text(text, encoding="utf-8")
    assert store.failure(RECORD.key) is None


def test_a_failure_on_a_full_disk_is_told_if_not_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert store.fail(FAILURE).attempts == 1
    assert all_files(store) == []


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert (found(store), store.others(RECORD.key), list(store.all()), store.sweep()) == (None, [], [], 0)
