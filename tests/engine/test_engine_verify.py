from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cells_for_tests import (
    dying,
    failing,
    identifier,
    noisy,
    number,
    of_hashes,
    random_number,
    sleeping,
    summed,
    threads,
)
from engine_helpers import Builder
from hypothesis import given
from hypothesis import strategies as st

from compute.engine.cell import Cell
from compute.engine.code import Code
from compute.engine.plan import Planner
from compute.engine.storage import codec
from compute.engine.store import Stamp, Store
from compute.engine.upkeep import verify as verification
from compute.engine.upkeep.clean import recomputed
from compute.engine.upkeep.compare import Deviation, Tolerance, compare
from compute.engine.upkeep.verify import Check, read, sample, state, tasks, verify
from compute.engine.work import Task

# -- two results compared ------------------------------------------------------------------------

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
TREES = st.recursive(LEAVES, lambda of: st.lists(of) | st.dictionaries(st.text(), of), max_leaves=10)


@given(TREES)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert compare(value, json.loads(json.dumps(value))) is None


@given(TREES, TREES)
def test_values_that_differ_are_seen_to_differ_whichever_is_the_stored_one(one: Any, other: Any) -> None:
    found = compare(one, other)
    assert (found is None) == (compare(other, one) is None)
    assert found is not None or told(one) == told(other)


def told(value: Any) -> Any:
    """Return a tree in which what is not a number is equal to itself, and True is not 1."""
    if isinstance(value, list):
        return [told(item) for item in value]
    if isinstance(value, dict):
        return {name: told(item) for name, item in value.items()}
    return repr(value) if value != value or isinstance(value, bool) else value


@given(st.floats(-1e300, 1e300), st.floats(-1, 1))
def test_a_number_is_near_exactly_within_the_tolerance(value: float, noise: float) -> None:
    tolerance = Tolerance(relative=1e-3, absolute=1e-3)
    allowed = tolerance.absolute + tolerance.relative * abs(value)
    inside = compare(value, value + 0.9 * noise * allowed, tolerance)
    assert inside is None or inside.near
    outside = compare(value, value + math.copysign(1.5 * allowed, noise), tolerance)
    assert outside is not None
    assert not outside.near


def changed(value: Any, **more: Any) -> Any:
    return {"scores": value, **more}


@pytest.mark.parametrize(
    ("stored", "again", "where"),
    [
        (1, 2, "result.scores"),
        (10**6, 10**6 + 1, "result.scores"),
        ([0.5, "a"], [0.5, "b"], "result.scores[1]"),
        ([1.0], [1.0, 2.0], "result.scores"),
        ({"a": 1.0}, {"b": 1.0}, "result.scores"),
        (True, 1, "result.scores"),
        (0.5, None, "result.scores"),
        (0.5, math.nan, "result.scores"),
        (math.inf, -math.inf, "result.scores"),
        (np.array([1, 2, 3]), np.array([1, 5, 3]), "result.scores[1]"),
        (np.zeros((2, 3)), np.eye(2, 3), "result.scores[0, 0]"),
        (np.zeros(2, "float32"), np.zeros(2, "float64"), "result.scores"),
        (np.array([0.5, 0.5]), np.array([0.5, math.nan]), "result.scores[1]"),
        (pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"a": [1.0, 3.0]}), "result.scores.a[1]"),
        (pd.DataFrame({"a": ["x", "y"]}), pd.DataFrame({"a": ["x", "z"]}), "result.scores.a[1]"),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}), "result.scores"),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1, 1]}), "result.scores"),
    ],
)
def test_a_difference_beyond_the_tolerance_is_named_by_its_place(stored: Any, again: Any, where: str) -> None:
    found = compare(changed(stored), changed(again))
    assert found is not None
    assert not found.near
    assert found.where == where


@pytest.mark.parametrize(
    ("stored", "again"),
    [
        ([1.0, 2.0], [1.0, 2.00002]),
        (np.array([[1.0], [2.0]]), np.array([[1.0], [2.00002]])),
        (pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"a": [1.0, 2.00002]})),
    ],
)
def test_the_largest_difference_within_the_tolerance_is_told(stored: Any, again: Any) -> None:
    found = compare(changed(stored), changed(again))
    assert found is not None
    assert found.near
    assert "[1" in found.where
    assert found.absolute == pytest.approx(2e-5, rel=1e-3)
    assert found.relative == pytest.approx(1e-5, rel=1e-3)


def test_the_largest_difference_is_found_in_the_last_piece_of_a_large_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute.engine.upkeep.compare.CHUNK", 7)
    stored = np.ones((10, 10), "float32")
    again = stored.copy()
    again[0, 1], again[9, 8] = 1.00001, 1.00005
    found = compare(stored, again)
    assert found is not None
    assert (found.near, found.where) == (True, "result[9, 8]")


def test_tensors_are_compared_in_double_precision() -> None:
    torch = pytest.importorskip("torch")
    stored = torch.ones(3, dtype=torch.bfloat16)
    assert compare(stored, stored.clone()) is None
    found = compare(stored, torch.tensor([1, 1, 1.0078125], dtype=torch.bfloat16))
    assert found == Deviation("result[2]", what="1.0078125 instead of 1.0")
    whole = compare(torch.tensor([1, 2]), torch.tensor([1, 3]))
    assert whole == Deviation("result[1]", what="3 instead of 2")


def test_folders_are_compared_by_the_bytes_of_their_files(tmp_path: Path) -> None:
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "file").write_text(text, encoding="utf-8")
    assert compare(tmp_path / "a", tmp_path / "b") is None
    found = compare(tmp_path / "a", tmp_path / "c")
    assert found is not None
    assert found.where == "result/deep/file"


# -- results computed again ----------------------------------------------------------------------


def checked(store: Store, *cells: Cell, jobs: int = 2) -> dict[str, Check]:
    """Verify cells that were built, and return how they came out by name."""
    planner = Planner(store, Code())
    plan = planner.plan(cells)
    made = tasks(planner, plan, [plan.steps[cell.key] for cell in cells], {})
    return {check.task.cell.name: check for check in verify(made, jobs)}


def everything(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def known(store: Store, cell: Cell) -> verification.Verification | None:
    (record,) = store.others(cell.key)
    return read(store, Stamp(cell.key, record.trace.id, record.digest))


def test_each_cell_runs_again_in_a_process_of_its_own_and_no_result_is_replaced(build: Builder, log: str) -> None:
    steady, parts = number(1, log), summed([number(2, log), number(3, log)], 1)
    other = [identifier(), noisy(1.0), random_number(), of_hashes(("a", "b", "c", "d"))]
    cells = [steady, parts, *other]
    build(*cells)
    before = everything(build.store.root / "results")
    found = {name: check.outcome for name, check in checked(build.store, *cells).items()}
    assert found == {
        "number/1": "bit-exact",
        parts.name: "bit-exact",
        "identifier": "different",
        "noisy": "within tolerance",
        "random_number": "different",
        "of_hashes": "different",
    }
    assert everything(build.store.root / "results") == before
    assert Path(log).read_text(encoding="utf-8").splitlines().count("number 1") == 2
    assert Path(log).read_text(encoding="utf-8").splitlines().count("number 2") == 1, "inputs are read, not computed"
    assert not list((build.store.root / "tmp").iterdir())


def test_what_was_found_is_kept_and_counted(build: Builder, log: str) -> None:
    cells = [number(1, log), noisy(1.0)]
    build(*cells)
    assert known(build.store, cells[0]) is None
    seen = [state(build.store)]
    for _ in range(2):
        checked(build.store, *cells)
        seen.append(state(build.store))
    assert len(set(seen)) == 3
    steady, shaky = (known(build.store, cell) for cell in cells)
    assert steady is not None
    assert shaky is not None
    assert (steady.outcome, steady.times, str(steady)) == ("bit-exact", 2, "bit-exact ×2")
    assert (shaky.outcome, shaky.times) == ("within tolerance", 2)
    assert shaky.deviation is not None
    assert shaky.deviation["where"] == "result.score"
    assert 0 < shaky.deviation["relative"] < 1e-4
    assert steady.environment["machine"]["cores"] == os.cpu_count()


def test_one_difference_weighs_more_than_any_number_of_agreements(build: Builder, log: str) -> None:
    cell = failing(1, log)
    Path(log).with_name("mended").touch()
    build(cell)
    for outcome in ("bit-exact", "different", "bit-exact"):
        task = next(iter(checked(build.store, cell).values())).task
        verification._keep(Check(task, outcome, Deviation("result", what="2 instead of 1")))  # type: ignore[arg-type]
    found = known(build.store, cell)
    assert found is not None
    assert (found.outcome, str(found)) == ("different", "different 1 of 6 times")


def test_what_is_known_of_one_result_does_not_hold_for_the_next(build: Builder) -> None:
    cell = identifier()
    build(cell)
    checked(build.store, cell)
    assert known(build.store, cell) is not None
    record = build.store.others(cell.key)[0]
    assert read(build.store, Stamp(cell.key, record.trace.id, "another")) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"digest": 1}'])
def test_damaged_knowledge_is_none(build: Builder, log: str, text: str) -> None:
    cell = number(1, log)
    build(cell)
    checked(build.store, cell)
    (path,) = (build.store.root / "verified").glob("*/*.json")
    path.write_text(text, encoding="utf-8")
    assert known(build.store, cell) is None


def test_a_cell_that_fails_or_dies_is_reported_and_nothing_is_kept_of_it(build: Builder, log: str) -> None:
    cell = failing(1, log)
    mended = Path(log).with_name("mended")
    mended.touch()
    build(cell)
    mended.unlink()
    (check,) = checked(build.store, cell).values()
    assert (check.outcome, check.error) == ("failed", "ValueError: not mended yet")
    assert known(build.store, cell) is None
    assert build.store.failure(cell.key) is None, "the stored result is as good as before"


def test_a_process_that_dies_has_failed(store: Store) -> None:
    found = recomputed(Task(dying(1), Planner(store, Code()).trace(dying(1), {}), {}, store.root))
    assert "ended with code -9" in found.error  # type: ignore[union-attr]


def test_a_stored_result_that_was_damaged_is_no_agreement(build: Builder, log: str) -> None:
    cell = number(1, log)
    record = build(cell).records[cell.key]
    path = build.store.folder(cell.key, record.trace.id) / codec.DOCUMENT
    path.chmod(0o644)
    path.write_text("2", encoding="utf-8")
    (check,) = checked(build.store, cell).values()
    assert check.outcome == "failed"
    assert "damaged" in check.error


def test_a_cell_runs_on_one_thread_under_the_settings_of_its_task(build: Builder) -> None:
    cell = threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    build(cell)
    assert next(iter(checked(build.store, cell).values())).outcome == "bit-exact"


INTERRUPTED = """
    import sys
    from pathlib import Path
    from cells_for_tests import sleeping
    from compute.engine.code import Code
    from compute.engine.plan import Planner
    from compute.engine.store import Store
    from compute.engine.upkeep.verify import tasks, verify
    cell = sleeping(1, sys.argv[2])
    planner = Planner(Store(Path(sys.argv[1])), Code())
    plan = planner.plan([cell])
    try:
        list(verify(tasks(planner, plan, list(plan.steps.values()), {}), 2))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_an_interrupt_ends_the_cells_at_work_and_leaves_nothing(build: Builder, log: str) -> None:
    there = build(number(1, log)).records[number(1, log).key]
    cell = sleeping(1, log + "s")
    trace = Planner(build.store, Code()).trace(cell, {})
    build.store.commit(replace(there, key=cell.key, name=cell.name, trace=trace), None)
    folders = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    command = [sys.executable, "-c", textwrap.dedent(INTERRUPTED), str(build.store.root), log + "s"]
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": folders},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
        stderr=subprocess.PIPE,
        text=True,
    )
    note = Path(log + "s")
    while not (note.exists() and note.read_text(encoding="utf-8").strip()):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=50)
    assert (process.returncode, said) == (130, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text(encoding="utf-8")), 0)
    assert not list((build.store.root / "tmp").iterdir())


@given(st.integers(1, 60), st.floats(0.01, 1), st.integers(0, 2**32))
def test_a_sample_keeps_its_cells_when_others_come(count: int, share: float, offset: int) -> None:
    planner = Planner(Store(Path("/nonexistent")), Code())
    steps = [planner_step(planner, offset + place) for place in range(count + 20)]
    few, many = sample(steps[:count], share), sample(steps, share)
    assert few
    assert len(few) == 1 or {step.cell.key for step in few} <= {step.cell.key for step in many}
    assert sample(steps, 1.0) == steps


def planner_step(planner: Planner, x: int) -> Any:
    from compute.engine.plan import Step

    return Step(number(x, ""), None)
