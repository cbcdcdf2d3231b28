"""A commit that ends at any of its steps leaves the whole result or none; a cache that cannot be written says so."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import pytest
from cells_for_tests import number
from engine_helpers import Builder
from test_engine_record import RECORD

from compute.engine.record import SCHEMA, Record, Trace
from compute.engine.store import DamagedResult, Store
from compute.errors import RecountError

FAULTS = """
    import errno, os, sys
    from pathlib import Path
    from test_engine_record import RECORD
    from compute.engine.store import Store

    VALUE = ["x" * 70_000, (1, 2.5)]
    base, how, before = Path(os.environ["BASE"]), os.environ["HOW"], os.environ["BEFORE"]
    cell = base / "model"
    cell.mkdir()
    (cell / "weights").write_bytes(bytes(70_000))

    def fault(step):
        "Commit in a process in which call number *step* on a file of the store ends it, or fails."
        left = step
        def count(event, args):
            nonlocal left
            if event != "import" and "cache" in str(args):
                left -= 1
                if left == 0 and how == "exit":
                    os._exit(9)
                if left == 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
        sync = os.fsync
        os.fsync = lambda descriptor: (count("fsync", "cache"), sync(descriptor))
        sys.addaudithook(count)
        try:
            Store(root).commit(RECORD, [*VALUE, cell], anew=before == "older")
        except OSError:
            os._exit(5)
        os._exit(0 if left > 0 else 7)

    def whole(store):
        "Whether a result is there; if so, as it should be."
        folders = list((store.root / "results").glob("*/*/*"))
        records = list(store.all())
        assert len(folders) == len(records) <= 1, folders
        for record in records:
            *found, folder = store.load(record)
            assert found in (VALUE, ["older"]) and (folder / "weights").stat().st_size == 70_000
        return bool(records)

    ends, step = {}, 0
    while ends.get(0) is None:
        step += 1
        root = base / f"cache-{step}"
        store = Store(root)
        if before == "older":
            store.commit(RECORD, ["older", cell])
        child = os.fork()
        if not child:
            fault(step)
        end = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        ends.setdefault(end, []).append(whole(store))
        store.sweep()
        assert list((root / "tmp").glob("*")) == []
        store.commit(RECORD, [*VALUE, cell], anew=True)
        assert whole(store)
    print({end: len(found) for end, found in ends.items()}, ends[0])
"""


@pytest.mark.parametrize("before", ["nothing", "older"])
@pytest.mark.parametrize(("how", "end"), [("exit", 9), ("error", 5)])
def test_an_end_at_any_step_leaves_the_whole_result_or_none(
    tmp_path: Path, in_another_process: Callable[..., str], how: str, end: int, before: str
) -> None:
    told = in_another_process(FAULTS, BASE=str(tmp_path), HOW=how, BEFORE=before)
    counts = {
        int(number): int(count)
        for number, count in (pair.split(": ") for pair in told[1 : told.index("}")].split(", "))
    }
    assert counts[end] > 15
    assert counts[0] == 1


LIMITED = """
    import os, resource
    from pathlib import Path
    from test_engine_codec import everything
    from test_engine_record import RECORD
    import numpy as np
    import pandas as pd
    import torch
    from compute.engine.store import Store

    folder = Path(os.environ["BASE"]) / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(bytes(200_000))
    rows = np.random.default_rng(0).random(20_000)
    values = ["x" * 100_000, rows, torch.tensor(rows), pd.DataFrame({"x": rows}), folder]
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    store = Store(Path(os.environ["BASE"]) / "cache")
    for value in values:
        try:
            store.commit(RECORD, {"small": everything(), "big": value})
        except Exception as error:
            print(type(error).__name__)
        assert store.find(RECORD.key, RECORD.trace.id) is None
        assert [path for path in store.root.rglob("*") if path.is_file()] == []
        assert list((store.root / "tmp").iterdir()) == []
    store.commit(RECORD, "small")
"""


@pytest.mark.slow
def test_a_file_that_grows_past_what_the_disk_takes_leaves_nothing(
    tmp_path: Path, in_another_process: Callable[..., str]
) -> None:
    told = in_another_process(LIMITED, BASE=str(tmp_path)).split()
    assert len(told) == 5
    assert "CodecError" not in told


def test_a_full_disk_fails_the_cell_by_name_and_keeps_the_others(
    build: Builder, monkeypatch: pytest.MonkeyPatch, log: str
) -> None:
    written = Path.write_bytes
    full = True

    def write(self: Path, data: bytes) -> int:
        if full and data == b"13":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return written(self, data)

    monkeypatch.setattr(Path, "write_bytes", write)
    lost, kept = number(13, log), number(14, log)
    results = build(lost, kept)
    assert results.failures[lost.key].error.startswith("OSError: [Errno 28] No space left on device")
    assert build.store.load(results.records[kept.key]) == 14
    full = False
    assert build.value(lost) == 13


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let this process be one that may read *folder*, but not write: for root, modes do not count."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for path in paths:
            path.chmod(0o755)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach."""
    folder = Path(mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_cache_that_cannot_be_written_is_read_and_says_in_one_line_what_is_wrong(open_folder: Path) -> None:
    store = Store(open_folder / "cache")
    record = store.commit(RECORD, {"x": "y" * 100_000})
    store.fail(failure := make_failure())
    with read_only(open_folder):
        assert store.load(record) == {"x": "y" * 100_000}
        assert store.stamp(record.key, record.trace.id) == (record.key, record.trace.id, record.digest)
        assert store.sweep() == 0
        assert store.fail(failure).attempts == 2  # told, if not kept
        with pytest.raises(RecountError, match=r"^cache/ cannot be written \(Permission denied\), so no result could"):
            store.check_writable()
        with pytest.raises(PermissionError):
            store.commit(replace(RECORD, key="cd" * 32), 1)
    store.check_writable()
    assert list((store.root / "tmp").iterdir()) == []


def make_failure() -> object:
    from test_engine_store import FAILURE

    return FAILURE


def test_a_damaged_result_in_a_cache_that_cannot_be_written_is_not_served_either(open_folder: Path) -> None:
    store = Store(open_folder / "cache")
    record = store.commit(RECORD, [1])
    (store.folder(record.key, record.trace.id) / "value.json").write_text("[2]", encoding="utf-8")
    with (
        read_only(open_folder),
        pytest.raises(DamagedResult, match=r"was damaged and cannot be set aside \(Permission"),
    ):
        store.load(record)


def test_a_build_that_could_keep_nothing_does_not_begin(open_folder: Path, log: str) -> None:
    build = Builder(Store(open_folder / "cache"))
    build(kept := number(1, log))
    with read_only(open_folder):
        assert build.value(kept) == 1
        with pytest.raises(RecountError, match=r"^cache/ cannot be written"):
            build(kept, number(2, log))
    assert Path(log).read_text(encoding="utf-8") == "number 1\n"


def test_records_of_a_future_schema_lie_beside_ours_untouched(store: Store) -> None:
    future = store.folder(RECORD.key, "f" * 16)
    future.mkdir(parents=True)
    text = json.dumps({"schema": SCHEMA + 1, "key": RECORD.key, "trace": {"id": "f" * 16}, "new": [1]})
    (future / "record.json").write_text(text, encoding="utf-8")
    (future / "value.new").write_text("new", encoding="utf-8")
    assert store.find(RECORD.key, "f" * 16) is None
    assert store.stamp(RECORD.key, "f" * 16) is None
    record = store.commit(RECORD, 1)
    store.commit(RECORD, 2, anew=True)
    assert store.others(RECORD.key) == list(store.all()) == [store.find(RECORD.key, record.trace.id)]
    store.sweep()
    assert (future / "record.json").read_text(encoding="utf-8") == text
    assert (future / "value.new").read_text(encoding="utf-8") == "new"


def at(when: str, code: str) -> Record:
    return replace(RECORD, when=when, trace=Trace({"m:f": code}, {}))


def test_with_a_clock_that_was_set_back_nothing_is_lost_and_the_order_is_the_same_for_all(store: Store) -> None:
    times = ["2026-03-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"]
    for value, when in enumerate(times):
        store.commit(at(when, str(value)), value)
    assert [store.load(record) for record in store.others(RECORD.key)] == [1, 2, 0]
    store.commit(at(times[1], "0"), "again")
    assert [store.load(record) for record in store.others(RECORD.key)] == [1, 2, 0]
    store.commit(at(times[1], "0"), "anew", anew=True)
    assert sorted(map(str, (store.load(record) for record in store.others(RECORD.key)))) == ["1", "2", "anew"]
    orders = [[record.trace.id for record in Store(store.root).others(RECORD.key)] for _ in range(3)]
    assert orders[0] == orders[1] == orders[2]
