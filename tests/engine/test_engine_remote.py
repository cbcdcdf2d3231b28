from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from cells_for_tests import added, doubled, number
from engine_helpers import Builder
from test_engine_record import RECORD

from compute.engine import stores
from compute.engine.executors import Processes
from compute.engine.record import Record, Trace
from compute.engine.remotes import mirror as mirrors
from compute.engine.remotes.mirror import Mirror
from compute.engine.remotes.remote import Remote, Unreachable
from compute.engine.remotes.shelf import Folder, Shelf
from compute.engine.remotes.transfer import pull, push
from compute.engine.storage import codec
from compute.engine.storage.codec import DOCUMENT, CodecError
from compute.engine.store import DamagedResult, Store
from compute.errors import RecountError, UsageError

RESULT = (RECORD.key, RECORD.trace.id)
BIG = "x" * 100_000


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


@pytest.fixture
def url() -> Iterator[str]:
    address = f"memory://{uuid.uuid4().hex}/results of mine"
    yield address
    memory = fsspec.filesystem("memory")
    if memory.exists(address):
        memory.rm(address, recursive=True)


@pytest.fixture
def remote(url: str) -> Remote:
    return Remote(url)


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(tmp_path / "other")


@pytest.fixture(params=["remote", "folder"])
def shelf(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Shelf:
    return Remote(url) if request.param == "remote" else Folder(Store(tmp_path / "shelf"))


def commit(store: Store, value: object = BIG, record: Record = RECORD) -> Record:
    return store.commit(record, value)


def there(url: str) -> dict[str, bytes]:
    """Every file at a URL by its path from there."""
    memory = fsspec.filesystem("memory")
    base = memory._strip_protocol(url)
    return {path.removeprefix(base + "/"): memory.cat_file(path) for path in memory.find(base)}


def write(url: str, name: str, data: bytes) -> None:
    fsspec.filesystem("memory").pipe_file(f"{url}/{name}", data)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


# -- whole results or none ---------------------------------------------------------------------


def test_what_was_put_is_listed_and_got_with_the_same_record(store: Store, other: Store, shelf: Shelf) -> None:
    record = commit(store, {"a": [1, 2.5], "text": BIG})
    assert shelf.results() == {}
    assert shelf.put(record, store) == record.size
    assert list(shelf.results()) == [RESULT]
    assert shelf.records([RESULT, ("cd" * 32, RECORD.trace.id)]) == {RESULT: record}
    assert shelf.get(record, other) == record.size
    assert other.find(*RESULT) == record
    assert other.load(record) == {"a": [1, 2.5], "text": BIG}


def test_folders_within_results_travel_too(store: Store, other: Store, shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "model" / "deep").mkdir(parents=True)
    (tmp_path / "model" / "deep" / "record.json").write_text("{}", encoding="utf-8")
    record = commit(store, {"model": tmp_path / "model"})
    shelf.put(record, store)
    shelf.get(record, other)
    assert other.load(record)["model"].joinpath("deep", "record.json").read_text(encoding="utf-8") == "{}"


def test_a_file_lies_there_once_and_the_record_is_written_last(
    store: Store, remote: Remote, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = commit(store)
    again = commit(store, record=replace(RECORD, key="cd" * 32))
    written: list[str] = []
    put = remote._fs.put_file
    monkeypatch.setattr(remote._fs, "put_file", lambda here, path: (written.append(path), put(here, path)))
    assert remote.put(record, store) == record.size
    assert remote.put(again, store) == 0
    assert [path.rpartition("/")[2] for path in written] == [record.files[DOCUMENT], "record.json", "record.json"]
    digest = record.files[DOCUMENT]
    assert sorted(there(url)) == [
        f"objects/{digest[:2]}/{digest}",
        f"results/ab/{RECORD.key}/{RECORD.trace.id}/record.json",
        f"results/cd/{'cd' * 32}/{RECORD.trace.id}/record.json",
    ]


def test_an_end_between_payload_and_record_leaves_nothing_visible(
    store: Store, other: Store, remote: Remote, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = commit(store)

    def killed(self: Record) -> str:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Record, "to_json", killed)
        remote.put(record, store)
    assert len(there(url)) == 1
    assert (remote.results(), remote.records([RESULT])) == ({}, {})
    assert remote.put(record, store) == 0  # the payload is there already
    remote.get(record, other)
    assert other.load(record) == BIG


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", None], ids=["empty", "cut", "bytes", "another's"])
def test_a_record_that_was_written_in_part_is_none(store: Store, remote: Remote, url: str, data: bytes | None) -> None:
    remote.put(commit(store), store)
    [name] = [name for name in there(url) if name.startswith("results")]
    write(url, name, data if data is not None else replace(RECORD, key="cd" * 32).to_json().encode())
    assert remote.records([RESULT]) == {}


def flip(data: bytes) -> bytes:
    return data[:50] + bytes([data[50] ^ 1]) + data[51:]


@pytest.mark.parametrize("damage", [flip, lambda data: data[:-1], lambda data: b""], ids=["flip", "cut", "empty"])
def test_a_damaged_object_is_named_and_not_kept_and_mended_by_force(
    store: Store, other: Store, remote: Remote, url: str, damage: Callable[[bytes], bytes]
) -> None:
    record = commit(store)
    remote.put(record, store)
    [name] = [name for name in there(url) if name.startswith("objects")]
    write(url, name, damage(there(url)[name]))
    with pytest.raises(DamagedResult, match=rf"train/ñ: value.json of result abababababab .* at memory.*{name}"):
        remote.get(record, other)
    assert files(other.root) == []
    assert remote.put(record, store, replace=True) == record.size
    remote.get(record, other)
    assert other.load(record) == BIG


def test_a_missing_object_is_damage(store: Store, other: Store, remote: Remote, url: str) -> None:
    record = commit(store)
    remote.put(record, store)
    fsspec.filesystem("memory").rm(f"{url}/objects", recursive=True)
    with pytest.raises(DamagedResult, match="is missing at"):
        remote.get(record, other)
    assert files(other.root) == []


def test_an_object_that_was_written_in_part_is_written_again(store: Store, remote: Remote, url: str) -> None:
    record = commit(store)
    write(url, f"objects/{record.files[DOCUMENT][:2]}/{record.files[DOCUMENT]}", b"part")
    assert remote.put(record, store) == record.size


def test_what_is_damaged_here_is_not_sent(store: Store, shelf: Shelf) -> None:
    record = commit(store)
    path = store.folder(*RESULT) / DOCUMENT
    path.unlink()
    path.write_bytes(b"1")
    with pytest.raises(DamagedResult, match="train/ñ"):
        shelf.put(record, store)
    assert shelf.results() == {}


@pytest.mark.parametrize(
    "name",
    ["../../escaped", "/tmp/escaped", "a/../../escaped", "a//b", "./a", "..\\escaped", "a\\b", "C:/escaped", "",
     "record.json", "a\0b"],
)  # fmt: skip
def test_a_record_that_names_files_elsewhere_is_refused(
    store: Store, other: Store, remote: Remote, url: str, name: str
) -> None:
    record = commit(store)
    remote.put(record, store)
    hostile = replace(record, files={**record.files, name: record.files[DOCUMENT]})
    write(url, f"results/ab/{RECORD.key}/{RECORD.trace.id}/record.json", hostile.to_json().encode())
    [found] = remote.records([RESULT]).values()
    with pytest.raises(DamagedResult, match="is refused"):
        remote.get(found, other)
    assert files(other.root) == []
    assert not list(other.root.parent.glob("*escaped*"))


@pytest.mark.parametrize("digest", ["", "../x", "AB" * 32, "ab" * 31])
def test_a_record_with_a_digest_that_is_none_is_refused(store: Store, remote: Remote, digest: str) -> None:
    with pytest.raises(DamagedResult, match="is refused"):
        remote.get(replace(RECORD, files={DOCUMENT: digest}), store)


def test_a_record_without_a_document_is_refused(store: Store, remote: Remote) -> None:
    with pytest.raises(DamagedResult, match=r"names no value\.json"):
        remote.get(replace(RECORD, files={}), store)


@pytest.mark.parametrize(
    "document",
    [
        {"$recount": "folder", "is": "../.."},
        {"$recount": "folder", "is": "/"},
        {"$recount": "folder", "is": "part-1.folder/.."},
        {"$recount": "frame", "is": "../part-1.parquet"},
        {"$recount": "scalar", "is": "/etc/hostname", "type": "fromfile"},
        {"$recount": "_init__", "is": "/"},
        {"$recount": ["folder"], "is": "/"},
    ],
)
def test_a_payload_that_reaches_outside_is_refused(tmp_path: Path, document: object) -> None:
    (tmp_path / DOCUMENT).write_text(json.dumps([document]), encoding="utf-8")
    with pytest.raises(CodecError, match=r"value\.json"):
        codec.read(tmp_path)


def test_what_else_lies_there_is_no_result(remote: Remote, url: str) -> None:
    for name in ("README.md", "results/ab/notes.txt", f"results/ab/{RECORD.key}/../record.json"):
        write(url, name, b"{}")
    assert remote.results() == {}


def test_two_that_push_at_once_both_succeed(store: Store, tmp_path: Path, other: Store, url: str) -> None:
    stores_ = [store, Store(tmp_path / "second")]
    records = [commit(stores_[0], "one"), commit(stores_[1], "two")]
    barrier, errors = threading.Barrier(2), []

    def run(number: int) -> None:
        barrier.wait()
        try:
            Remote(url).put(records[number], stores_[number])
        except RecountError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    [found] = Remote(url).records([RESULT]).values()
    assert found in records
    Remote(url).get(found, other)
    assert other.load(found) == ["one", "two"][records.index(found)]


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["s3://key:secret@bucket/a", "https://host/a?signature=secret"])
def test_an_address_with_a_secret_is_refused_without_repeating_it(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        stores.open(address, tmp_path)
    assert "secret" not in str(error.value)
    with pytest.raises(UsageError):
        stores.named(address)


def test_an_unknown_kind_of_address_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing://x is no address of a store"):
        stores.open("nothing://x", tmp_path).stamp(*RESULT)


def test_folders_and_file_urls_are_plain_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "with space"
    for address in (folder, str(folder), folder.as_uri()):
        store = stores.open(address)
        assert (type(store), store.root) == (Store, folder)
    monkeypatch.chdir(tmp_path)
    assert stores.named("with space") == str(folder)
    with pytest.raises(UsageError):
        stores.open("memory://x")


def test_a_plain_store_imports_no_file_systems(in_another_process: Callable[..., str], tmp_path: Path) -> None:
    script = f"""
        import sys
        from pathlib import Path
        from compute.engine import stores, work
        stores.open("memory://somewhere", Path({str(tmp_path)!r})).root
        stores.at(Path({str(tmp_path)!r})).all()
        print([name for name in ("fsspec", "s3fs", "asyncio") if name in sys.modules])
    """
    assert in_another_process(script) == "[]"


# -- a mirror ------------------------------------------------------------------------------------


@pytest.fixture
def mirror(tmp_path: Path, url: str) -> Mirror:
    return opened(tmp_path / "cache", url)


def opened(root: Path, url: str) -> Mirror:
    found = stores.open(url, root)
    assert isinstance(found, Mirror)
    return found


class Counted(Remote):
    """Counts what is asked."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[str] = []

    def results(self) -> Any:
        self.asked.append("results")
        return super().results()

    def records(self, results: Any) -> Any:
        results = list(results)
        self.asked.append(f"{len(results)} records")
        return super().records(results)

    def get(self, record: Record, into: Store) -> int:
        self.asked.append("get")
        return super().get(record, into)


class Silent(Remote):
    """Does not answer."""

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise Unreachable("the store does not answer: connection refused")

    results = records = get = put = _refuse


def test_a_commit_goes_through_and_another_machine_reads_it(mirror: Mirror, url: str, tmp_path: Path) -> None:
    record = commit(mirror)
    elsewhere = opened(tmp_path / "elsewhere", url)
    assert elsewhere.stamp(*RESULT) == (*RESULT, record.digest)
    assert (elsewhere.find(*RESULT), elsewhere.others(RECORD.key)) == (record, [record])
    assert not (elsewhere.root / "results").exists()  # the payload comes when it is asked for
    assert elsewhere.load(record) == BIG
    assert Store(elsewhere.root).load(record) == BIG


def test_what_is_nowhere_is_none(mirror: Mirror) -> None:
    assert (mirror.stamp(*RESULT), mirror.find(*RESULT), mirror.others(RECORD.key)) == (None, None, [])


def test_a_plan_asks_once_and_what_it_learnt_is_remembered(store: Store, url: str, tmp_path: Path) -> None:
    records = [commit(store, number, replace(RECORD, key=f"{number:064x}")) for number in range(5)]
    shelf = Counted(url)
    for record in records:
        shelf.put(record, store)
    keys = [record.key for record in records[:4]]
    first = Mirror(tmp_path / "new", shelf, expected=lambda: keys)
    stamps = [first.stamp(key, RECORD.trace.id) for key in keys]
    assert [stamp and stamp.digest for stamp in stamps] == [record.digest for record in records[:4]]
    assert shelf.asked == ["results", "4 records"]
    assert [first.find(key, RECORD.trace.id) for key in keys] == records[:4]
    assert shelf.asked == ["results", "4 records"]
    second = Mirror(tmp_path / "new", shelf, expected=lambda: keys)
    assert [second.stamp(key, RECORD.trace.id) for key in keys] == stamps
    assert shelf.asked == ["results", "4 records", "results"]


def test_a_record_that_was_written_again_there_is_not_taken_from_memory(
    store: Store, other: Store, remote: Remote, tmp_path: Path
) -> None:
    remote.put(commit(store, 1), store)
    first = Mirror(tmp_path / "new", remote).stamp(*RESULT)
    changed = commit(other, 2)
    remote.put(changed, other, replace=True)
    second = Mirror(tmp_path / "new", remote).stamp(*RESULT)
    assert first != second
    assert second == (*RESULT, changed.digest)


def test_what_was_missing_a_moment_ago_is_asked_for_again_a_moment_later(
    store: Store, other: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Counted(url)
    mirror = Mirror(store.root, shelf)
    assert [mirror.find(*RESULT), mirror.find(*RESULT)] == [None, None]
    assert shelf.asked == ["1 records"]
    shelf.put(commit(other), other)
    monkeypatch.setattr(mirrors, "AGAIN", 0.0)
    assert mirror.find(*RESULT)


def test_what_is_here_asks_nothing(store: Store, url: str) -> None:
    record, shelf = commit(store), Counted(url)
    mirror = Mirror(store.root, shelf)
    assert mirror.stamp(*RESULT)
    assert mirror.find(*RESULT) == record
    assert mirror.load(record) == BIG
    assert shelf.asked == []


def test_what_is_damaged_here_is_healed_from_there(mirror: Mirror) -> None:
    record = commit(mirror)
    path = mirror.folder(*RESULT) / DOCUMENT
    path.unlink()
    path.write_bytes(b"1")
    assert mirror.load(record) == BIG
    assert Store(mirror.root).load(record) == BIG
    assert len(list((mirror.root / "quarantine").iterdir())) == 1


def test_what_is_damaged_there_is_missing_until_it_is_computed_anew(mirror: Mirror, url: str, tmp_path: Path) -> None:
    record = commit(mirror)
    [name] = [name for name in there(url) if name.startswith("objects")]
    write(url, name, flip(there(url)[name]))
    elsewhere = opened(tmp_path / "elsewhere", url)
    assert elsewhere.stamp(*RESULT)
    with pytest.raises(DamagedResult):
        elsewhere.load(record)
    assert (elsewhere.stamp(*RESULT), elsewhere.find(*RESULT)) == (None, None)
    assert opened(elsewhere.root, url).stamp(*RESULT) is None
    commit(elsewhere)
    assert opened(tmp_path / "third", url).load(record) == BIG


def test_a_result_that_could_not_be_sent_is_kept_told_and_sent_later(store: Store, url: str, tmp_path: Path) -> None:
    silent = Mirror(store.root, Silent(url))
    record = commit(Store(store.root), 1)  # known here, so that nothing needs to be asked
    silent.adopt(copied(store, record), record)
    commit(silent, 2, replace(RECORD, trace=Trace({"m:f": "new"}, {})))
    assert len(list(silent.all())) == 2
    told = silent.send_left()
    assert told.startswith(f"2 results are kept here but were not sent to {url}: the store does not answer")
    assert "\n" not in told
    answering = opened(store.root, url)
    assert answering.send_left() == ""
    assert len(Remote(url).results()) == 2
    assert silent.send_left() == ""


def copied(store: Store, record: Record) -> Path:
    part = store.scratch()
    for name in record.files:
        (part / name).write_bytes((store.folder(record.key, record.trace.id) / name).read_bytes())
    return part


def test_a_silent_place_is_asked_once_a_minute(store: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    silent = Silent(url)
    monkeypatch.setattr(silent, "records", lambda results: (asked.append(1), silent._refuse()))
    mirror = Mirror(store.root, silent)
    for number_ in range(3):
        mirror._send(commit(store, number_, replace(RECORD, key=f"{number_:064x}")))
    assert len(asked) == 1
    monkeypatch.setattr(mirrors, "PATIENCE", -1.0)
    mirror._silent_until = 0.0
    for number_ in range(3, 5):
        mirror._send(commit(store, number_, replace(RECORD, key=f"{number_:064x}")))
    assert len(asked) == 3


def test_a_build_over_a_mirror_computes_nothing_that_lies_there(
    mirror: Mirror, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(stores.SETTING, url)
    log = str(tmp_path / "log")
    wanted = doubled(x=added(a=number(x=1, log=log), b=2, log=log), log=log)
    assert Builder(mirror).value(wanted) == 6
    elsewhere = Builder(opened(tmp_path / "elsewhere", url))
    assert elsewhere(wanted).computed == set()
    assert elsewhere.value(wanted) == 6
    assert Path(log).read_text(encoding="utf-8").split() == ["number", "1", "added", "doubled"]


def test_a_damaged_input_there_is_computed_again(
    mirror: Mirror, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(stores.SETTING, url)
    log = str(tmp_path / "log")
    base = number(x=1, log=log)
    Builder(mirror)(base)
    [name] = [name for name in there(url) if name.startswith("objects")]
    write(url, name, b"2")
    elsewhere = Builder(opened(tmp_path / "elsewhere", url))
    assert elsewhere.value(doubled(x=base, log=log)) == 2
    assert elsewhere.diary.failed_ == []
    assert there(url)[name] == b"1"


# -- copying many --------------------------------------------------------------------------------


def test_push_and_pull_copy_what_is_lacking(store: Store, other: Store, shelf: Shelf) -> None:
    records = [commit(store, number, replace(RECORD, key=f"{number:064x}")) for number in range(20)]
    planned = push(store, shelf, records[:5], replace=False, dry_run=True)
    assert (planned.copied, planned.size, shelf.results()) == (5, sum(record.size for record in records[:5]), {})
    assert push(store, shelf, records[:5], replace=False, dry_run=False).copied == 5
    done = push(store, shelf, records, replace=False, dry_run=False)
    assert (done.copied, done.there, done.damaged) == (15, 5, [])
    assert pull(other, shelf, records[:3], dry_run=True).copied == 3
    assert pull(other, shelf, records[:3], dry_run=False).copied == 3
    done = pull(other, shelf, records, dry_run=False)
    assert (done.copied, done.there, done.size) == (17, 3, sum(record.size for record in records[3:]))
    assert [other.load(record) for record in records] == list(range(20))


def test_what_is_damaged_is_named_and_the_rest_copied(store: Store, other: Store, remote: Remote, url: str) -> None:
    records = [commit(store, number, replace(RECORD, key=f"{number:064x}")) for number in range(5)]
    push(store, remote, records, replace=False, dry_run=False)
    write(url, f"objects/{records[2].files[DOCUMENT][:2]}/{records[2].files[DOCUMENT]}", b"9")
    done = pull(other, remote, records, dry_run=False)
    assert (done.copied, len(done.damaged)) == (4, 1)
    assert records[2].files[DOCUMENT] in done.damaged[0]
    assert push(store, remote, records, replace=True, dry_run=False).copied == 5
    assert pull(other, remote, records, dry_run=False).copied == 1


# -- S3 ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server on this machine, with credentials that it does not look at."""
    from moto.server import ThreadedMotoServer

    made = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    yield f"http://{host}:{port}"
    made.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(name)
    return f"s3://{name}/recount"


@pytest.mark.slow
def test_s3_keeps_results(store: Store, other: Store, bucket: str) -> None:
    records = [commit(store, number, replace(RECORD, key=f"{number:064x}")) for number in range(8)]
    records.append(commit(store, BIG * 10))
    remote = Remote(bucket)
    assert push(store, remote, records, replace=False, dry_run=False).copied == 9
    assert push(store, Remote(bucket), records, replace=False, dry_run=False).there == 9
    assert all(Remote(bucket).results().values())
    assert pull(other, Remote(bucket), Remote(bucket).records(remote.results()).values(), dry_run=False).copied == 9
    assert other.load(records[-1]) == BIG * 10


@pytest.mark.slow
def test_workers_reach_s3(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(stores.SETTING, bucket)
    log = str(tmp_path / "log")
    Builder(opened(tmp_path / "first", bucket))(number(x=1, log=log), number(x=2, log=log), executor=Processes(2))
    assert len(Remote(bucket).results()) == 2
    second = Builder(opened(tmp_path / "second", bucket))
    sums = [added(a=number(x=1, log=log), b=2, log=log), added(a=number(x=2, log=log), b=2, log=log)]
    results = second(*sums, executor=Processes(2))
    assert results.computed == {cell.key for cell in sums}
    assert sorted(second.store.load(results.records[cell.key]) for cell in sums) == [3, 4]
    assert len(Remote(bucket).results()) == 4


@pytest.mark.slow
def test_s3_damage_is_named_and_nothing_kept(store: Store, other: Store, bucket: str) -> None:
    record = commit(store)
    Remote(bucket).put(record, store)
    path = f"{bucket}/objects/{record.files[DOCUMENT][:2]}/{record.files[DOCUMENT]}"
    for damaged in (BIG[:-1].encode(), b"y" * record.size):
        fsspec.filesystem("s3").pipe_file(path, damaged)
        with pytest.raises(DamagedResult, match="does not have the bytes"):
            Remote(bucket).get(record, other)
        assert files(other.root) == []


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from compute.engine.record import Record
    from compute.engine.remotes.remote import Remote
    from compute.engine.store import Store
    store = Store(Path(sys.argv[1]))
    [record] = store.all()
    Record.to_json = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    Remote(sys.argv[2]).put(record, store)
"""


@pytest.mark.slow
def test_a_push_that_was_killed_before_the_record_left_nothing_visible(store: Store, other: Store, bucket: str) -> None:
    record = commit(store)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(store.root), bucket],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert Remote(bucket).results() == {}
    assert fsspec.filesystem("s3").exists(f"{bucket}/objects/{record.files[DOCUMENT][:2]}/{record.files[DOCUMENT]}")
    assert Remote(bucket).put(record, store) == 0
    Remote(bucket).get(record, other)
    assert other.load(record) == BIG


@pytest.mark.slow
def test_a_bucket_that_does_not_exist_is_told_in_a_line(store: Store, bucket: str) -> None:
    missing = Remote("s3://no-such-bucket-here/recount")
    with pytest.raises(RecountError, match=r"s3://no-such-bucket-here/recount.*(?i:bucket)") as error:
        missing.results()
    assert "\n" not in str(error.value)
    with pytest.raises(RecountError, match="s3://no-such-bucket-here/recount"):
        missing.put(commit(store), store)


@pytest.mark.slow
def test_a_refused_connection_is_told_in_a_line(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    remote = Remote(bucket, endpoint_url=f"http://127.0.0.1:{port}", config_kwargs={"retries": {"max_attempts": 0}})
    with pytest.raises(Unreachable, match=f"the store {bucket} does not answer or refuses: ") as error:
        remote.results()
    assert "\n" not in str(error.value)


def test_a_record_there_is_the_same_json_as_here(store: Store, remote: Remote, url: str) -> None:
    remote.put(commit(store), store)
    [name] = [name for name in there(url) if name.startswith("results")]
    assert json.loads(there(url)[name]) == json.loads((store.folder(*RESULT) / "record.json").read_bytes())
