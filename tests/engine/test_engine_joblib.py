"""Functions under `joblib.Memory(backend="recount")`: what plain joblib gets wrong, case by case."""

from __future__ import annotations

import datetime
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from engine_helpers import Package
from joblib import Memory, expires_after
from joblib.memory import NotMemorizedFunc

from compute.engine import joblib_backend
from compute.engine.storage import codec
from compute.engine.storage.codec import CodecError
from compute.engine.store import DamagedResult, Store
from compute.errors import UsageError

CELLS = """
    from joblib import Memory
    import compute.engine.joblib_backend
    from PACKAGE.helper import scaled

    memory = Memory(LOCATION, backend="recount", verbose=0)
    RAN = []

    @memory.cache
    def f(x):
        RAN.append(x)
        return scaled(x), [x]

    @memory.cache(ignore=["note"])
    def noted(x, note):
        RAN.append(note)
        return x

    @memory.cache
    def rows(count):
        RAN.append(count)
        return list(range(count))

    @memory.cache
    def unkeepable(x):
        return {"inner": [1, {x}]}

    class Model:
        def __init__(self, size):
            self.size = size
            self.fitted = memory.cache(self.fitted)

        def fitted(self, x):
            RAN.append(x)
            return scaled(x) + self.size

    def outer(y):
        @memory.cache
        def inner(x):
            RAN.append(x)
            return scaled(x)
        return inner

    def closing(y):
        @memory.cache
        def inner(x):
            return x + y
        return inner
"""
HELPER = """
    from PACKAGE import deep

    def scaled(x):
        return deep.FACTOR * x
"""


@dataclass
class Project:
    """A package with cached functions, and where their results lie."""

    package: Package
    location: Path

    def load(self) -> ModuleType:
        """Import the package afresh, as a new process would."""
        for name in [name for name in sys.modules if name.partition(".")[0] == self.package.name]:
            del sys.modules[name]
        return self.package.load()

    @property
    def store(self) -> Store:
        return Store(self.location)

    def files(self) -> list[Path]:
        return [path for path in self.location.rglob("*") if path.is_file()]


@pytest.fixture
def project(package: Package, tmp_path: Path) -> Project:
    location = tmp_path / "cache"
    package.write("cells", CELLS.replace("LOCATION", f"{str(location)!r}"))
    package.write("helper", HELPER)
    package.write("deep", "FACTOR = 2\n")
    return Project(package, location / "joblib")


def test_a_result_comes_from_the_store_in_the_next_process_too(project: Project) -> None:
    cells = project.load()
    assert not cells.f.check_call_in_cache(3)
    assert [cells.f(3), cells.f(3), cells.f(4)] == [(6, [3]), (6, [3]), (8, [4])]
    assert cells.RAN == [3, 4]
    assert cells.f.check_call_in_cache(x=3)
    cells = project.load()
    assert [cells.f(3), cells.f(x=4), cells.RAN] == [(6, [3]), (8, [4]), []]


def test_a_comment_or_a_function_beside_it_changes_nothing(project: Project) -> None:
    project.load().f(3)
    project.package.edit("cells", "RAN = []", "RAN = []\n\ndef more():\n    return 1\n")
    project.package.edit("cells", "def f(x):", "def f(x):\n    # a comment\n    'A docstring.'")
    project.package.edit("cells", 'backend="recount", verbose=0', 'backend="recount", verbose=1')
    cells = project.load()
    assert [cells.f(3), cells.RAN] == [(6, [3]), []]


@pytest.mark.parametrize(
    ("module", "old", "new", "value"),
    [
        ("cells", "return scaled(x), [x]", "return scaled(x) + 1, [x]", (7, [3])),
        ("helper", "deep.FACTOR * x", "deep.FACTOR * x * 10", (60, [3])),
        ("deep", "FACTOR = 2", "FACTOR = 5", (15, [3])),
    ],
)
def test_edited_code_computes_anew_and_the_older_state_finds_its_results_again(
    project: Project, module: str, old: str, new: str, value: object
) -> None:
    cells = project.load()
    assert [cells.f(3), cells.f(4)] == [(6, [3]), (8, [4])]
    project.package.edit(module, old, new)
    cells = project.load()
    assert not cells.f.check_call_in_cache(3)
    assert [cells.f(3), cells.RAN] == [value, [3]]
    project.package.edit(module, new, old)
    cells = project.load()
    assert [cells.f(3), cells.f(4), cells.RAN] == [(6, [3]), (8, [4]), []]


def test_the_code_that_runs_counts_also_where_the_file_has_been_edited_since(project: Project) -> None:
    cells = project.load()
    project.package.edit("deep", "FACTOR = 2", "FACTOR = 5")
    assert cells.f(3) == (6, [3])
    assert project.load().f(3) == (15, [3])


def test_a_result_that_cannot_be_kept_raises_and_leaves_nothing(project: Project) -> None:
    cells = project.load()
    for _ in range(2):
        with pytest.raises(CodecError, match=r"result\.inner\[1\]: a builtins\.set is not kept"):
            cells.unkeepable(3)
        assert not cells.unkeepable.check_call_in_cache(3)
        assert project.files() == []


def test_a_full_disk_raises_and_leaves_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    cells = project.load()
    monkeypatch.setattr(codec, "write", full)
    with pytest.raises(OSError, match="No space left"):
        cells.f(3)
    assert project.files() == []


def damage_document(project: Project, change: Callable[[bytes], bytes]) -> None:
    (path,) = project.location.rglob(codec.DOCUMENT)
    path.write_bytes(change(path.read_bytes()))


def test_flipped_bits_are_never_served_but_computed_anew(project: Project) -> None:
    cells = project.load()
    cells.f(3)
    damage_document(project, lambda data: data.replace(b"6", b"7"))
    assert [cells.f(3), cells.RAN] == [(6, [3]), [3, 3]]
    assert len(list((project.location / "quarantine").iterdir())) == 1
    assert [cells.f(3), cells.RAN] == [(6, [3]), [3, 3]]


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: b""], ids=["cut", "empty"])
def test_a_truncated_result_is_not_said_to_be_there(project: Project, change: Callable[[bytes], bytes]) -> None:
    cells = project.load()
    cells.f(3)
    damage_document(project, change)
    assert not cells.f.check_call_in_cache(3)
    assert [cells.f(3), cells.f(3), cells.RAN] == [(6, [3]), (6, [3]), [3, 3]]


def test_a_shelved_result_that_is_damaged_later_is_not_served(project: Project) -> None:
    cells = project.load()
    shelved = cells.f.call_and_shelve(3)
    damage_document(project, lambda data: data.replace(b"6", b"7"))
    with pytest.raises(DamagedResult):
        shelved.get()


KILLED = """
    import os, signal, sys
    from joblib import Memory
    import compute.engine.joblib_backend
    from compute.engine.record import Record
    from engine_helpers import Builder

    memory = Memory(sys.argv[1], backend="recount", verbose=0)
    Record.to_json = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    memory.cache(os.path.join)("a", "b")
"""


def started(source: str, *arguments: str, **more: Any) -> subprocess.Popen[str]:
    folders = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), *arguments],
        env={**os.environ, "PYTHONPATH": folders},
        text=True,
        **more,
    )


def test_what_a_killed_process_leaves_is_invisible_and_swept_by_the_next(tmp_path: Path) -> None:
    assert started(KILLED, str(tmp_path)).wait() == -signal.SIGKILL
    root = tmp_path / "joblib"
    assert len(list((root / "tmp").iterdir())) == 1
    memory = Memory(str(tmp_path), backend="recount", verbose=0)
    assert list((root / "tmp").iterdir()) == []
    assert not memory.cache(os.path.join).check_call_in_cache("a", "b")


def test_a_result_has_the_types_that_the_function_gave(project: Project) -> None:
    cells = project.load()
    first, second = cells.f(np.float64(3)), cells.f(np.float64(3))
    assert (first, type(second), type(second[0])) == (second, tuple, np.float64)


def test_neither_pickles_nor_arguments_are_kept(project: Project) -> None:
    cells = project.load()
    cells.noted(1, note="hf_abcdefghijklmnopqrstuvwxyz")
    cells.f(["a-very-secret-word"])
    for path in project.files():
        data = path.read_bytes()
        assert b"hf_abcdef" not in data
        if path.name == "record.json":
            assert b"a-very-secret-word" not in data
        assert not data.startswith(b"\x80"), "a pickle"


def test_ignored_arguments_do_not_count(project: Project) -> None:
    cells = project.load()
    assert [cells.noted(1, note="a"), cells.noted(1, note="b"), cells.RAN] == [1, 1, ["a"]]


def test_a_shelved_result_is_that_of_its_own_code_wherever_it_is_read(project: Project) -> None:
    first = project.load().f.call_and_shelve(3)
    project.package.edit("deep", "FACTOR = 2", "FACTOR = 5")
    cells = project.load()
    second, again = cells.f.call_and_shelve(3), cells.f.call_and_shelve(3)
    assert [item.get() for item in (first, second, again)] == [(6, [3]), (15, [3]), (15, [3])]
    assert cells.RAN == [3]
    travelled = pickle.loads(pickle.dumps([first, again]))
    assert [item.get() for item in travelled] == [(6, [3]), (15, [3])]
    first.clear()
    with pytest.raises(KeyError, match="may have been cleared"):
        first.get()
    assert again.get() == (15, [3])
    assert again.duration >= 0


def test_a_forced_call_replaces_the_result(project: Project) -> None:
    cells = project.load()
    cells.f(3)
    (before,) = project.store.all()
    value, metadata = cells.f.call(3)
    assert (value, cells.RAN) == ((6, [3]), [3, 3])
    cells.f.call(4)
    assert cells.f(4) == (8, [4])
    assert {record.key for record in project.store.all()} > {before.key}
    assert metadata["duration"] >= 0


def test_a_callback_can_let_results_expire(project: Project) -> None:
    module = project.load()
    seen: list[dict[str, Any]] = []
    lasting = module.memory.cache(module.rows.func, cache_validation_callback=expires_after(days=1))
    short = module.memory.cache(module.rows.func, cache_validation_callback=expires_after(seconds=-1))
    asked = module.memory.cache(
        module.rows.func, cache_validation_callback=lambda metadata: seen.append(metadata) or True
    )
    assert [lasting(2), lasting(2), module.RAN] == [[0, 1], [0, 1], [2]]
    assert [asked(2), short(2), module.RAN] == [[0, 1], [0, 1], [2, 2]]
    assert abs(seen[0]["time"] - time.time()) < 60
    assert seen[0]["duration"] >= 0


def test_clearing_one_function_leaves_the_others(project: Project) -> None:
    cells = project.load()
    cells.f(3)
    cells.rows(3)
    cells.f.clear(warn=False)
    assert not cells.f.check_call_in_cache(3)
    assert cells.rows.check_call_in_cache(3)
    assert [cells.f(3), cells.f(3), cells.RAN] == [(6, [3]), (6, [3]), [3, 3, 3]]


def test_clearing_all_leaves_results_of_cells_in_the_same_store(project: Project) -> None:
    from test_engine_record import RECORD

    cells = project.load()
    cells.f(3)
    kept = project.store.commit(RECORD, "of a cell")
    cells.memory.clear(warn=False)
    assert list(project.store.all()) == [kept]
    cells.memory.reduce_size(items_limit=0)
    assert project.store.load(kept) == "of a cell"


def test_clearing_gives_the_space_of_large_results_back(project: Project) -> None:
    cells = project.load()
    cells.rows(100_000)
    assert len(list((project.location / "objects").glob("*/*"))) == 1
    cells.rows.clear(warn=False)
    assert project.files() == []


def test_size_is_reduced_by_when_results_were_made_not_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = project.load()
    for day in (3, 1, 2):
        clock = type(
            "Clock", (datetime.datetime,), {"now": lambda zone, day=day: datetime.datetime(2026, 1, day, tzinfo=zone)}
        )
        monkeypatch.setattr(joblib_backend, "datetime", clock)
        cells.rows(day)
    monkeypatch.undo()
    for path in project.files():
        os.utime(path, (time.time() + path.stat().st_size, 0))
    cells.memory.reduce_size(items_limit=2)
    assert [cells.rows.check_call_in_cache(day) for day in (1, 2, 3)] == [False, True, True]
    cells.memory.reduce_size(age_limit=datetime.timedelta(days=1))
    assert list(project.store.all()) == []
    cells.rows(5)
    cells.memory.reduce_size(bytes_limit="1G", age_limit=datetime.timedelta(days=1))
    assert cells.rows.check_call_in_cache(5)


def test_methods_count_with_their_object_and_its_class(project: Project) -> None:
    cells = project.load()
    assert [cells.Model(1).fitted(3), cells.Model(1).fitted(3), cells.Model(2).fitted(3)] == [7, 7, 8]
    assert cells.RAN == [3, 3]
    project.package.edit("cells", "scaled(x) + self.size", "scaled(x) - self.size")
    assert project.load().Model(1).fitted(3) == 5
    project.package.edit("deep", "FACTOR = 2", "FACTOR = 5")
    cells = project.load()
    assert [cells.Model(1).fitted(3), cells.Model(1).fitted(3), cells.RAN] == [14, 14, [3]]


def test_a_function_in_a_function_counts_with_it(project: Project) -> None:
    cells = project.load()
    assert [cells.outer(1)(3), cells.outer(2)(3), cells.RAN] == [6, 6, [3]]
    project.package.edit("deep", "FACTOR = 2", "FACTOR = 5")
    assert project.load().outer(1)(3) == 15


def test_what_no_key_can_tell_is_refused_when_it_is_decorated(project: Project) -> None:
    import functools

    cells = project.load()
    with pytest.raises(UsageError, match=r"closing\.<locals>\.inner reads 'y' of the function around it"):
        cells.closing(1)
    with pytest.raises(UsageError, match="<lambda> cannot be told from others of its kind"):
        cells.memory.cache(lambda x: x)
    with pytest.raises(UsageError, match="partial cannot be told"):
        cells.memory.cache(functools.partial(max, 3))


def test_options_for_pickles_are_refused(tmp_path: Path) -> None:
    for options in ({"mmap_mode": "r"}, {"compress": True}):
        with pytest.raises(UsageError, match="is for pickles, and there are none; leave it out"):
            Memory(tmp_path, backend="recount", verbose=0, **options)
    with pytest.raises(UsageError, match="mmap_mode is for pickles"):
        Memory(tmp_path, backend="recount", verbose=0).cache(os.path.join, mmap_mode="r")


def test_without_a_location_nothing_is_kept() -> None:
    cached = Memory(None, backend="recount", verbose=0).cache(os.path.join)
    assert isinstance(cached, NotMemorizedFunc)
    assert cached("a", "b") == "a/b"


def test_what_is_installed_counts_by_its_text_and_release(tmp_path: Path) -> None:
    cached = Memory(tmp_path, backend="recount", verbose=0).cache(np.linalg.norm)
    cached(3.0)
    (record,) = Store(tmp_path).all()
    assert record.trace.code["numpy"] == np.__version__
    assert len(record.trace.code) == 2


def test_coroutines_are_cached_too(project: Project) -> None:
    import asyncio

    project.package.write(
        "cells",
        CELLS.replace("LOCATION", repr(str(project.location))).replace("def f(x)", "async def f(x)"),
    )
    cells = project.load()
    assert [asyncio.run(cells.f(3)), asyncio.run(cells.f(3)), cells.RAN] == [(6, [3]), (6, [3]), [3]]


SCRIPT = """
    import sys
    from joblib import Memory, Parallel, delayed
    import compute.engine.joblib_backend

    memory = Memory(sys.argv[1], backend="recount", verbose=0)

    def helper(x):
        return 2 * x

    @memory.cache
    def doubled(x):
        with open(sys.argv[2] if len(sys.argv) > 2 else LOG, "a") as file:
            file.write(f"{x}\\n")
        return helper(x)

    if __name__ == "__main__":
        print([doubled(1), *Parallel(n_jobs=2)(delayed(doubled)(x) for x in (1, 2, 3))])
"""


def run_script(path: Path, source: str, *arguments: str) -> str:
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    folders = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        env={**os.environ, "PYTHONPATH": folders},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_functions_of_a_script_count_with_their_helpers_in_workers_too(tmp_path: Path) -> None:
    log, location = tmp_path / "log", str(tmp_path / "cache")
    source = SCRIPT.replace("LOG", repr(str(log)))
    assert run_script(tmp_path / "script.py", source, location) == "[2, 2, 4, 6]"
    assert run_script(tmp_path / "script.py", source, location) == "[2, 2, 4, 6]"
    assert sorted(log.read_text(encoding="utf-8").split()) == ["1", "2", "3"]
    edited = source.replace("2 * x", "3 * x")
    assert run_script(tmp_path / "script.py", edited, location) == "[3, 3, 6, 9]"
    assert run_script(tmp_path / "script.py", source, location) == "[2, 2, 4, 6]"
    assert len(log.read_text(encoding="utf-8").split()) == 6
    assert len(list((tmp_path / "cache" / "joblib" / "results").glob("*/*/*"))) == 6
    folder = str(tmp_path).encode()
    assert not any(folder in path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())


@pytest.mark.slow
def test_many_workers_may_compute_the_same_and_every_result_is_whole(project: Project) -> None:
    from joblib import Parallel, delayed

    project.package.edit("cells", "return list(range(count))", "return list(range(count * 10_000))")
    cells = project.load()
    folder = str(project.package.folder)
    tasks = [delayed(call_in_worker)(folder, cells.__name__, 2 + number % 3) for number in range(24)]
    lengths = Parallel(n_jobs=4)(tasks)
    assert sorted(lengths) == sorted((2 + number % 3) * 10_000 for number in range(24))
    assert [len(cells.rows(count)) for count in (2, 3, 4)] == [20_000, 30_000, 40_000]
    assert cells.RAN == []
    assert len(list(project.store.all())) == 3
    assert list((project.location / "tmp").iterdir()) == []


def call_in_worker(folder: str, module: str, count: int) -> int:
    import importlib

    if folder not in sys.path:
        sys.path.insert(0, folder)
    return len(importlib.import_module(module).rows(count))


def test_threads_that_ask_at_once_all_get_whole_results(project: Project) -> None:
    cells = project.load()
    barrier, found = threading.Barrier(4), []

    def ask() -> None:
        barrier.wait()
        found.extend(cells.rows(count) for count in (100, 200))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, found)) == [100] * 4 + [200] * 4
    assert len(list(project.store.all())) == 2


def test_joblib_is_not_loaded_by_the_engine_itself(in_another_process: Callable[..., str]) -> None:
    source = "import sys; import compute.engine.build, compute.engine.store; print('joblib' in sys.modules)"
    assert in_another_process(source) == "False"
