from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from compute.engine import files
from compute.engine.files import Remembered, write_atomically
from compute.engine.versions import version
from compute.errors import UsageError


class Work:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, path: Path) -> str:
        self.times += 1
        return path.read_text(encoding="utf-8").upper()


def aged(path: Path, text: str, seconds: float = 60) -> Path:
    path.write_text(text, encoding="utf-8")
    os.utime(path, (time.time() - seconds, time.time() - seconds))
    return path


def test_work_on_an_unchanged_file_is_done_once_also_over_processes(tmp_path: Path) -> None:
    path, work, index = aged(tmp_path / "a", "one"), Work(), tmp_path / "index" / "files.json"
    first = Remembered(index)
    assert [first.of(path, work), first.of(path, work)] == ["ONE", "ONE"]
    first.save()
    assert Remembered(index).of(path, work) == "ONE"
    assert work.times == 1


def test_a_file_that_is_remembered_was_seen_as_it_was(tmp_path: Path) -> None:
    path, remembered = aged(tmp_path / "a", "one"), Remembered(tmp_path / "cache" / "index" / "files.json")
    assert remembered.seen(path) == []
    remembered.of(path, Work())
    assert remembered.seen(path) == files.stamp(path)
    assert remembered.seen(path, "other work") == []


def test_a_changed_file_is_noticed_also_with_the_same_size_and_times(tmp_path: Path) -> None:
    path, work, remembered = aged(tmp_path / "a", "one"), Work(), Remembered()
    remembered.of(path, work)
    times = path.stat().st_mtime_ns
    path.write_text("two", encoding="utf-8")
    os.utime(path, ns=(times, times))
    assert remembered.of(path, work) == "TWO"


def test_a_file_of_this_moment_is_not_remembered_for_it_may_change_within_one_tick(tmp_path: Path) -> None:
    path, work, remembered = aged(tmp_path / "a", "one", seconds=0), Work(), Remembered()
    remembered.of(path, work)
    remembered.of(path, work)
    assert work.times == 2


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    path, remembered = aged(tmp_path / "a", "one"), Remembered()

    def read_then_change(path: Path) -> str:
        found = path.read_text(encoding="utf-8")
        aged(path, "two")
        return found

    assert remembered.of(path, read_then_change) == "one"
    assert remembered.of(path, Work()) == "TWO"


def test_different_kinds_of_work_are_kept_apart(tmp_path: Path) -> None:
    path, remembered = aged(tmp_path / "a", "one"), Remembered()
    assert remembered.of(path, Work(), "upper") == "ONE"
    assert remembered.of(path, lambda path: "other", "other") == "other"


@pytest.mark.parametrize("damage", ["", "{", "[]", "3", '{"PATH?": 3}', '{"PATH?": []}', '{"PATH?": [1, 2, 3]}'])
def test_a_damaged_index_is_begun_anew(tmp_path: Path, damage: str) -> None:
    path, index = aged(tmp_path / "a", "one"), tmp_path / "index.json"
    index.write_text(damage.replace("PATH", str(path)), encoding="utf-8")
    assert Remembered(index).of(path, Work()) == "ONE"


def test_an_index_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    remembered = Remembered(tmp_path / "file" / "index.json")
    remembered.of(aged(tmp_path / "a", "one"), Work())
    remembered.save()
    assert (tmp_path / "file").is_file()
    assert remembered.of(tmp_path / "a", Work()) == "ONE"


def test_the_digest_of_an_input_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_digest_of_a_missing_input_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file 'b\.csv'"):
        files.digest(tmp_path / "b.csv")


def test_an_interrupted_write_leaves_the_old_bytes_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "a", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["torch", "PyYAML", "types_PyYAML", "Jinja2", "typing.extensions"])
def test_the_version_of_a_library_is_what_the_standard_library_says(name: str) -> None:
    from importlib import metadata

    assert version(name) == metadata.version(name)


def test_the_version_of_what_is_not_installed_is_none() -> None:
    assert version("no-such-distribution") is None
