from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from cells_for_tests import added, number
from engine_helpers import Builder, Package
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine_record import RECORD

from compute.engine.code import Code
from compute.engine.leases import Leases
from compute.engine.plan import Planner
from compute.engine.record import Record, Trace
from compute.engine.store import Stamp, Store
from compute.engine.upkeep import gc
from compute.engine.upkeep.builds import Builds, Manifest, Subject

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEYS = [f"{number:02x}" * 32 for number in range(5)]
TRACES = [Trace({"m:f": f"{number:02x}" * 32}, {}) for number in range(3)]
LARGE = np.zeros(200_000)


def commit(store: Store, key: str = KEYS[0], trace: Trace = TRACES[0], days: float = 100, value: Any = 1) -> Record:
    when = (NOW - timedelta(days=days)).isoformat()
    return store.commit(replace(RECORD, key=key, trace=trace, when=when, function=f"f{key[0]}"), value)


def collect(store: Store, roots: gc.Roots | None = None, days: float = 30, most: int | None = None) -> gc.Sweep:
    sweep = gc.choose(store, roots or gc.Roots(), gc.Rules(timedelta(days=days), most, NOW))
    gc.remove(store, sweep)
    return sweep


def there(store: Store) -> set[tuple[str, str]]:
    return {(record.key, record.trace.id) for record in store.all()}


def manifest(*records: Record, days: float = 100, subject: Subject | None = None) -> Manifest:
    when = (NOW - timedelta(days=days)).isoformat(timespec="seconds")
    stamps = {record.key: Stamp(record.key, record.trace.id, record.digest) for record in records}
    return Manifest(when, subject or Subject(("a",), "mini"), stamps)


results = st.dictionaries(st.tuples(st.sampled_from(KEYS), st.sampled_from(range(3))), st.integers(-5, 100), max_size=8)
wanted = st.builds(
    gc.Roots,
    st.dictionaries(st.sampled_from(KEYS), st.sets(st.sampled_from([trace.id for trace in TRACES]))),
    st.sets(st.sampled_from(KEYS), max_size=2),
)


def filled(store: Store, ages: dict[tuple[str, int], int]) -> dict[tuple[str, str], int]:
    """Commit results of these ages; return the ages by key and trace."""
    for (key, trace), days in ages.items():
        commit(store, key, TRACES[trace], days, value=days)
    return {(key, TRACES[trace].id): days for (key, trace), days in ages.items()}


@settings(max_examples=30)
@given(results, wanted, st.integers(0, 100), st.none() | st.integers(0, 60_000))
def test_what_is_wanted_stays_and_what_is_neither_wanted_nor_young_goes(
    ages: dict[tuple[str, int], int], roots: gc.Roots, keep: int, most: int | None
) -> None:
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        made = filled(store, ages)
        sweep = collect(store, roots, keep, most)
        left = there(store)
        reachable = {item for item in made if roots.wants(*item)}
        young = {item for item, days in made.items() if days <= keep}
        assert reachable <= left <= reachable | young
        if most is None:
            assert left == reachable | young
        elif left > reachable:
            assert sweep.left <= most, "young results go until the store is small enough"
        assert sweep.kept == len(left)
        for record in store.all():
            store.load(record)
        assert collect(store, roots, keep, most).results == (), "a second time nothing is left to do"


@settings(max_examples=30)
@given(results, st.integers(0, 60_000))
def test_the_oldest_goes_first(ages: dict[tuple[str, int], int], most: int) -> None:
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        made = filled(store, ages)
        collect(store, days=1000, most=most)
        left = [days for item, days in made.items() if store.find(*item)]
        gone = [days for item, days in made.items() if not store.find(*item)]
        assert not left or not gone or max(left) <= min(gone)


def size(store: Store) -> int:
    found = {path.stat().st_ino: path.stat() for path in store.root.rglob("*") if path.is_file()}
    return sum(stat.st_blocks * 512 for stat in found.values())


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(TRACES), st.booleans(), st.booleans()), max_size=6))
def test_what_it_says_it_frees_is_what_it_frees(made: list[tuple[str, Trace, bool, bool]]) -> None:
    with TemporaryDirectory() as folder:
        store, roots = Store(Path(folder)), gc.Roots()
        for key, trace, large, kept in made:
            commit(store, key, trace, value=LARGE if large else 1)
            if kept:
                roots.keys.setdefault(key, set()).add(trace.id)
        before = size(store)
        sweep = collect(store, roots)
        assert (sweep.before, sweep.left) == (before, size(store))
        assert sum(count for count, _ in sweep.by_function().values()) == len(sweep.results)


def test_a_large_file_that_results_share_goes_with_the_last_of_them(store: Store) -> None:
    one, other = commit(store, KEYS[0], value=LARGE), commit(store, KEYS[1], value=LARGE)
    assert len(list((store.root / "objects").glob("*/*"))) == 1
    roots = gc.Roots({KEYS[1]: {other.trace.id}})
    first = collect(store, roots)
    assert [item.entry.key for item in first.results] == [one.key]
    assert first.freed < LARGE.nbytes
    np.testing.assert_array_equal(store.load(other), LARGE)
    assert collect(store).freed > LARGE.nbytes
    assert list((store.root / "objects").glob("*/*")) == []


def test_a_dry_choice_touches_nothing(store: Store) -> None:
    commit(store)
    before = {path: path.stat() for path in store.root.rglob("*")}
    sweep = gc.choose(store, gc.Roots(), gc.Rules(timedelta(0), 0, NOW))
    assert len(sweep.results) == 1
    assert {path: path.stat() for path in store.root.rglob("*")} == before


def test_a_result_of_the_future_counts_as_new(store: Store) -> None:
    commit(store, days=-400)
    assert collect(store, days=0).results == ()


def test_what_was_vouched_for_lately_is_young(store: Store) -> None:
    accepted = {"reason": "r", "when": (NOW - timedelta(days=1)).isoformat(), "under": "x"}
    old = commit(store)
    part = store.scratch()
    (part / "value.json").write_bytes((store.folder(old.key, old.trace.id) / "value.json").read_bytes())
    store.adopt(part, replace(old, trace=TRACES[1], accepted=accepted))
    collect(store)
    assert there(store) == {(old.key, TRACES[1].id)}


def test_what_was_built_lately_is_young_and_what_is_pinned_is_wanted(store: Store) -> None:
    built, pinned, old = (commit(store, key) for key in KEYS[:3])
    builds = Builds(store.root)
    builds.keep(manifest(built, days=3))
    builds.pin(manifest(pinned), "submitted")
    roots = gc.Roots()
    roots.add_builds(builds.pins().values())
    assert [item.entry.key for item in collect(store, roots).results] == [old.key]
    assert [item.entry.key for item in collect(store, roots, days=1).results] == [built.key]
    assert there(store) == {(pinned.key, pinned.trace.id)}


def test_old_manifests_go_but_the_last_of_each_subject_and_the_pinned(store: Store) -> None:
    builds = Builds(store.root)
    other = Subject(("b",), "mini")
    pinned, old, last = (builds.keep(manifest(days=days)) for days in (90, 80, 70))
    alone = builds.keep(manifest(days=100, subject=other))
    builds.pin(pinned, "p")
    sweep = collect(store)
    assert builds.ids() == sorted([alone.id, pinned.id, last.id])
    assert sweep.by_kind()["build"][0] == 1
    assert builds.read(old.id) is None


def aged(path: Path, text: str = "{}") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Look from a year on, so that what a test has just written is old."""
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC) + timedelta(days=365))
    yield


@pytest.mark.usefixtures("later")
def test_what_came_about_beside_removed_results_goes_with_them(store: Store) -> None:
    kept, gone = commit(store, KEYS[0], TRACES[0]), commit(store, KEYS[1], TRACES[1])
    beside = {}
    for name, record in (("kept", kept), ("gone", gone)):
        source = next(iter(record.trace.code.values()))
        beside[name] = [
            aged(store.root / "sources" / source[:2] / source),
            aged(store.root / "verified" / record.key / f"{record.trace.id}.json"),
            aged(store.root / "failures" / f"{record.key}.json"),
        ]
    aside = aged(store.root / "quarantine" / "abc-1" / "value.json")
    sweep = collect(store, gc.Roots({kept.key: {kept.trace.id}}))
    assert all(path.exists() for path in beside["kept"])
    assert not any(path.exists() for path in [*beside["gone"], aside, aside.parent])
    assert {name: count for name, (count, _) in sweep.by_kind().items()} == {
        "source of a definition": 1,
        "verification": 1,
        "failure": 1,
        "damaged result set aside": 1,
    }


def test_what_came_about_lately_stays(store: Store) -> None:
    paths = [aged(store.root / name) for name in ("sources/ab/abc", f"failures/{KEYS[0]}.json", "quarantine/x/y")]
    gc.remove(store, gc.choose(store, gc.Roots(), gc.Rules()))
    assert all(path.exists() for path in paths)


def test_a_result_of_another_version_of_the_tool_is_left_alone(store: Store) -> None:
    record = commit(store)
    path = store.folder(record.key, record.trace.id) / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "schema": 99}), encoding="utf-8")
    source = aged(store.root / "sources" / "00" / next(iter(record.trace.code.values())))
    os.utime(source, (0, 0))
    sweep = collect(store, days=0, most=0)
    assert sweep.results == ()
    assert path.exists()
    assert source.exists(), "its sources, too"


def test_what_joblib_keeps_in_the_same_folder_is_left_alone(store: Store) -> None:
    record = store.commit(replace(RECORD, arguments={"joblib": "m:f", "hash": "1"}), 1)
    assert collect(store, days=0, most=0).results == ()
    assert store.load(record) == 1


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("damage", [lambda path: path.write_text("{"), Path.unlink])
def test_a_damaged_record_is_judged_by_its_file(store: Store, damage: Any) -> None:
    record = commit(store, days=0)
    damage(store.folder(record.key, record.trace.id) / "record.json")
    sweep = collect(store)
    assert [item.entry.function for item in sweep.results] == ["(damaged)"]
    assert not store.folder(record.key, record.trace.id).exists()


def test_after_it_a_build_computes_nothing(build: Builder, log: str) -> None:
    total = added(number(1, log), number(2, log), log)
    build(total)
    build(added(number(1, log), number(3, log), log))
    roots = gc.Roots()
    roots.add_plan(Planner(build.store, Code()).plan([total]))
    sweep = collect(build.store, roots, days=-365_000)
    assert len(sweep.results) == 2
    assert build(total).computed == set()


def test_the_results_of_another_branch_stay_while_they_are_young(package: Package, build: Builder) -> None:
    package.write("cells", "from compute.engine.cell import cell\n\n@cell()\ndef f(x):\n    return x + 1\n")
    first = build(package.load().f(1))
    package.edit("cells", "x + 1", "x + 2")
    cell = package.load().f(1)
    build(cell)

    def swept(keep: timedelta) -> int:
        roots = gc.Roots()
        roots.add_plan(Planner(build.store, Code()).plan([cell]))
        sweep = gc.choose(build.store, roots, gc.Rules(keep))
        gc.remove(build.store, sweep)
        return len(sweep.results)

    assert swept(timedelta(days=30)) == 0
    package.edit("cells", "x + 2", "x + 1")
    assert build(cell).computed == set(), "back on the first branch"
    package.edit("cells", "x + 1", "x + 3")
    assert swept(timedelta(days=-1)) == 0, "no result is fresh: all of the key stay, for the last good value"
    assert len(build.store.others(cell.key)) == 2
    package.edit("cells", "x + 3", "x + 2")
    assert swept(timedelta(days=-1)) == 1
    assert first.records[cell.key] not in build.store.others(cell.key)


def test_a_reader_never_sees_a_part(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks between any two steps of a removal finds the whole result or none."""
    import shutil

    record = commit(store, value={"a": LARGE})
    seen = []
    real = shutil.rmtree

    def watched(path: Any, *args: Any, **kwargs: Any) -> None:
        seen.append(store.find(record.key, record.trace.id))
        real(path, *args, **kwargs)

    monkeypatch.setattr(shutil, "rmtree", watched)
    collect(store)
    assert seen
    assert set(seen) == {None}


def test_a_living_holder_of_this_machine_is_somebody_at_work(store: Store) -> None:
    here, other = Leases(store.root), Leases(store.root)
    assert not here.anybody()
    assert other.acquire(KEYS[0])
    assert here.anybody()
    assert not other.anybody(), "oneself is not another"
    other.close()
    assert not here.anybody()


def test_the_dead_are_not_at_work(store: Store, in_another_process: Any) -> None:
    in_another_process(
        f"""
        import os
        from pathlib import Path
        from compute.engine.leases import Leases
        Leases(Path({str(store.root)!r})).acquire("{KEYS[0]}")
        """
    )
    assert list((store.root / "leases" / "holders").iterdir()), "it ended without giving anything back"
    assert not Leases(store.root).anybody()


@pytest.mark.parametrize("beats", [True, False])
def test_a_holder_elsewhere_is_at_work_if_its_heart_beats(store: Store, beats: bool) -> None:
    elsewhere = Leases(store.root, machine="elsewhere")
    assert elsewhere.acquire(KEYS[0])
    [holder] = (store.root / "leases" / "holders").iterdir()
    os.utime(holder, (1, 1))  # its clock says nothing
    try:
        assert Leases(store.root).anybody(lambda seconds: elsewhere.beat() if beats else None) is beats
    finally:
        elsewhere.close()
