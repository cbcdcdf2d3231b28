from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_engine_record import RECORD

from compute.engine.record import Record, Trace
from compute.engine.storage import codec, objects
from compute.engine.store import DamagedResult, Store
from compute.engine.upkeep.inventory import Inventory

BIG = np.arange(20_000.0)
VALUE = {"small": [1, 2], "weights": BIG}
OTHER = replace(RECORD, trace=Trace({"m:f": "other"}, {}))
THIRD = replace(RECORD, key="cd" * 32)


def weights(store: Store, record: Record = RECORD) -> Path:
    return store.folder(record.key, record.trace.id) / codec.ARRAYS


def all_objects(store: Store) -> list[Path]:
    return sorted((store.root / "objects").glob("*/*"))


def taken(store: Store) -> int:
    """Bytes on the disk, what has several names counted once."""
    stats = [path.stat() for path in store.root.rglob("*") if path.is_file()]
    return sum({stat.st_ino: stat.st_size for stat in stats}.values())


def damage(path: Path) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"!")


def test_a_large_file_is_kept_once_whoever_has_it(store: Store) -> None:
    for record in (RECORD, OTHER, THIRD):
        store.commit(record, VALUE)
    assert len({weights(store, record).stat().st_ino for record in (RECORD, OTHER, THIRD)}) == 1
    assert [path.stat().st_nlink for path in all_objects(store)] == [4]
    assert taken(store) < 2 * BIG.nbytes
    (document,) = {(store.folder(r.key, r.trace.id) / codec.DOCUMENT).stat().st_nlink for r in (RECORD, OTHER)}
    assert document == 1


def test_a_payload_that_was_linked_from_another_result_stays_as_it_is(store: Store) -> None:
    record = store.commit(RECORD, VALUE)
    part = store.scratch()
    for name in record.files:
        (part / name).hardlink_to(store.folder(record.key, record.trace.id) / name)
    adopted = store.adopt(part, replace(record, trace=OTHER.trace))
    assert sorted(path.name for path in store.folder(record.key, OTHER.trace.id).iterdir()) == sorted(
        [*record.files, "record.json"]
    )
    store.load(adopted)


def test_files_of_a_folder_and_adopted_ones_are_shared_too(store: Store, tmp_path: Path) -> None:
    model = tmp_path / "model" / "deep"
    model.mkdir(parents=True)
    (model / "weights.bin").write_bytes(bytes(objects.LARGE))
    (model / "almost.bin").write_bytes(bytes(objects.LARGE - 1))
    record = store.commit(RECORD, tmp_path / "model")
    part = store.scratch()
    codec.write(tmp_path / "model", part)
    adopted = store.adopt(part, replace(record, trace=OTHER.trace))
    found = [store.load(one) / "deep" for one in (record, adopted)]
    assert found[0] != found[1]
    assert len({(folder / "weights.bin").stat().st_ino for folder in found}) == 1
    assert len({(folder / "almost.bin").stat().st_ino for folder in found}) == 2
    assert len(all_objects(store)) == 1
    assert (model / "weights.bin").stat().st_nlink == 1
    assert os.access(model / "weights.bin", os.W_OK)


def test_large_files_are_read_only_for_all_who_could_read_them(store: Store) -> None:
    before = os.umask(0o077)
    try:
        store.commit(RECORD, VALUE)
    finally:
        os.umask(before)
    assert weights(store).stat().st_mode & 0o777 == 0o400
    store.commit(THIRD, {"x": np.zeros(20_000)})
    assert weights(store, THIRD).stat().st_mode & 0o222 == 0


def test_damage_through_one_link_is_noticed_in_all_and_healed(store: Store) -> None:
    records = [store.commit(record, VALUE) for record in (RECORD, OTHER)]
    damage(weights(store))
    for record in records:
        with pytest.raises(DamagedResult):
            store.load(record)
        assert store.find(record.key, record.trace.id) is None
    assert all_objects(store) == []
    for record in (RECORD, OTHER):
        np.testing.assert_array_equal(store.load(store.commit(record, VALUE))["weights"], BIG)
    assert len(all_objects(store)) == 1


def test_a_damaged_object_is_never_linked_again_even_before_anyone_noticed(store: Store) -> None:
    first = store.commit(RECORD, VALUE)
    damage(weights(store))
    second = store.commit(THIRD, VALUE)
    np.testing.assert_array_equal(store.load(second)["weights"], BIG)
    with pytest.raises(DamagedResult):
        store.load(first)
    np.testing.assert_array_equal(store.load(second)["weights"], BIG)
    assert weights(store, THIRD).stat().st_nlink == 2


def test_setting_a_result_aside_keeps_the_objects_that_are_sound(store: Store) -> None:
    record = store.commit(RECORD, VALUE)
    store.commit(THIRD, VALUE)
    (store.folder(record.key, record.trace.id) / codec.DOCUMENT).write_text("{}", encoding="utf-8")
    with pytest.raises(DamagedResult):
        store.load(record)
    assert len(all_objects(store)) == 1


def test_objects_without_a_result_are_found_and_may_go_at_any_time(store: Store) -> None:
    kept, gone = store.commit(RECORD, VALUE), store.commit(THIRD, {"x": np.zeros(20_000)})
    assert list(Inventory(store.root).orphans()) == []
    lone = weights(store, THIRD).stat().st_ino
    store.remove(gone)
    store.remove(gone)
    assert store.find(gone.key, gone.trace.id) is None
    (left,) = Inventory(store.root).orphans()
    assert left.path.stat().st_ino == lone
    left.path.unlink()
    for path in all_objects(store):
        path.unlink()
    np.testing.assert_array_equal(store.load(kept)["weights"], BIG)
    store.commit(OTHER, VALUE)
    assert len(all_objects(store)) == 1


def test_an_object_that_goes_while_it_is_linked_is_made_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.commit(RECORD, VALUE)
    digest = objects.files.sha256

    def swept(path: Path) -> str:
        found = digest(path)
        if path.parent.parent.name == "objects":
            path.unlink()
        return found

    monkeypatch.setattr(objects.files, "sha256", swept)
    record = store.commit(THIRD, VALUE)
    monkeypatch.undo()
    assert len(all_objects(store)) == 1
    np.testing.assert_array_equal(store.load(record)["weights"], BIG)


@pytest.mark.parametrize("reason", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV])
def test_where_there_are_no_links_files_stay_in_their_folders(
    store: Store, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    asked: list[object] = []

    def refuse(*args: object) -> None:
        asked.append(args)
        raise OSError(reason, "no links")

    monkeypatch.setattr(os, "link", refuse)
    for record in (RECORD, THIRD):
        np.testing.assert_array_equal(store.load(store.commit(record, VALUE))["weights"], BIG)
    assert len(asked) == 1
    assert all_objects(store) == []
    assert weights(store).stat().st_nlink == 1


def test_other_errors_of_a_link_are_raised_and_leave_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        store.commit(RECORD, VALUE)
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def refusing_second(reason: int) -> Callable[..., None]:
    """Stand for `os.link` where an object takes no more links, but new files do."""
    link = os.link

    def linked(source: Any, target: Any) -> None:
        if Path(source).parent.parent.name == "objects":
            raise OSError(reason, "no more links")
        link(source, target)

    return linked


@pytest.mark.parametrize(("reason", "there"), [(errno.EMLINK, 2), (errno.EPERM, 1)])
def test_an_object_that_takes_no_link_costs_no_result(
    store: Store, monkeypatch: pytest.MonkeyPatch, reason: int, there: int
) -> None:
    first = store.commit(RECORD, VALUE)
    monkeypatch.setattr(os, "link", refusing_second(reason))
    second = store.commit(THIRD, VALUE)
    assert weights(store, THIRD).stat().st_nlink == there
    for record in (first, second):
        np.testing.assert_array_equal(store.load(record)["weights"], BIG)
    assert len(all_objects(store)) == 1


COMMITTING = """
    import sys
    from dataclasses import replace
    from pathlib import Path
    import numpy as np
    from test_engine_objects import VALUE
    from test_engine_record import RECORD
    from compute.engine.store import Store
    store = Store(Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(12):
        key = f"{number % 4:02x}" * 32 if number % 2 else f"{sys.argv[2]}{number:062x}"
        record = store.commit(replace(RECORD, key=key), VALUE)
        assert (store.load(record)["weights"] == VALUE["weights"]).all()
"""


@pytest.mark.slow
def test_many_processes_may_commit_the_same_bytes_at_once(store: Store) -> None:
    folders = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(COMMITTING), str(store.root), f"{number:02x}"],
            env={**os.environ, "PYTHONPATH": folders},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    ends = [process.communicate("go\n") for process in started]
    assert [process.returncode for process in started] == [0] * 8, ends
    records = list(store.all())
    assert len(records) == 8 * 6 + 2
    for record in records:
        np.testing.assert_array_equal(store.load(record)["weights"], BIG)
    (only,) = all_objects(store)
    assert only.stat().st_nlink == len(records) + 1
    assert list((store.root / "tmp").iterdir()) == []
