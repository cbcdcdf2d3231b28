"""Whatever is edited, built, killed or damaged, in any order: what is served is true, and nothing finished is lost.

A build must return what the functions give when called directly. A call is computed once for each state of the code
and inputs that it reaches; each kill and each damaged file may cost one computation more, and no other event any.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from engine_helpers import Builder, Package
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from compute.engine.cell import Cell
from compute.engine.store import Store

HELPER = "FACTOR = {factor}\n\n\ndef scaled(x):\n    return x * FACTOR\n"
OFFSET = "STEP = {offset}\n\n\ndef shifted(x):\n    return x + STEP\n"
CELLS = """
    from compute.engine.cell import cell
    from PACKAGE import helper, offset
    from PACKAGE.offset import shifted

    RAN = []

    @cell(label="{x}")
    def leaf(x):
        RAN.append(["leaf", x, helper.FACTOR])
        return helper.scaled(x)

    @cell(store=False)
    def inside(part):
        return shifted(part)

    @cell(label="{x}")
    def parity(part, x):
        RAN.append(["parity", x, part, offset.STEP])
        return shifted(part) % 2

    @cell()
    def total(parts, xs):
        RAN.append(["total", xs, parts])
        return sum(parts)
"""
STEPS = ("rename", "replace", "mkdir", "link", "unlink", "rmdir", "fsync", "open")
"""The calls to the system at which a build can be killed here."""
KILLED = 9


def die_at(step: int, die: Callable[[], Any]) -> None:
    """Let this process *die* in place of the *step*-th call that changes the file system, from now on."""
    left = step

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                die()
            return real(*arguments, **options)

        return call

    for name in STEPS:
        setattr(os, name, dying(getattr(os, name)))


class StoreMachine(RuleBasedStateMachine):
    """A small study, its code, config and store, and what a person, or a power cut, may do to them."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.package = Package(root / "sources")
        self.store = Store(root / "cache")
        self.log = root / "log"
        self.log.touch()
        self.factor, self.offset, self.xs, self.accidents = 1, 0, [0, 1, 2], 0
        sys.path.insert(0, str(self.package.folder))
        self.package.write("__init__", "")
        self.package.write("cells", CELLS)
        self._write()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            sys.path.remove(str(self.package.folder))
            for name in [name for name in sys.modules if name.partition(".")[0] == self.package.name]:
                del sys.modules[name]
            self.folder.cleanup()

    def _write(self) -> None:
        """Write the code as it is now; the next build imports it anew, as a new process would."""
        self.package.write("helper", HELPER.format(factor=self.factor))
        self.package.write("offset", OFFSET.format(offset=self.offset))

    # -- what happens ----------------------------------------------------------------------------

    @rule(factor=st.sampled_from([1, 2, 3]))
    def edit_a_constant(self, factor: int) -> None:
        self.factor = factor
        self._write()

    @rule(offset=st.sampled_from([0, 1, 2]))
    def edit_a_helper(self, offset: int) -> None:
        self.offset = offset
        self._write()

    @rule(xs=st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True))
    def edit_the_config(self, xs: list[int]) -> None:
        self.xs = xs

    @rule()
    def build(self) -> None:
        leaves = [x * self.factor for x in self.xs]
        truth = sum(leaves) + sum((leaf + 2 * self.offset) % 2 for leaf in leaves)
        assert self._in_a_process() == truth, "a stale or broken result was served"
        before = self.log.read_bytes()
        assert self._in_a_process() == truth
        assert self.log.read_bytes() == before, "a build right after another computed something"
        self._count()

    @rule(step=st.integers(0, 60))
    def build_and_be_killed(self, step: int) -> None:
        if self._in_a_process(step) is None:
            self.accidents += 1
        self._count()

    @precondition(lambda self: any(self.store.root.glob("results/*/*/*/record.json")))
    @rule(how=st.sampled_from(["flip", "truncate", "delete"]), record=st.booleans(), number=st.integers(0, 30))
    def damage(self, how: str, record: bool, number: int) -> None:
        found = sorted(self.store.root.glob(f"results/*/*/*/{'record' if record else 'value'}.json"))
        if not found:
            return
        path = found[number % len(found)]
        data = bytearray(path.read_bytes())
        if how == "delete":
            path.unlink()
        else:
            data[len(data) // 2] ^= 1
            path.write_bytes(data if how == "flip" else data[: len(data) // 2])
        self.accidents += 1

    # -- how a build runs, and what it may cost --------------------------------------------------

    def _in_a_process(self, step: int | None = None) -> Any:
        """Build in a process of its own, which is killed at *step*; return the result, or None if it was killed."""
        answer = self.log.with_name("answer")
        child = os.fork()
        if child == 0:
            try:
                answer.write_text(json.dumps(self._built(step)), encoding="utf-8")
                os._exit(0)
            except BaseException:  # noqa: BLE001 - the child ends here, whatever happens
                import traceback

                traceback.print_exc()
            os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in ((0, KILLED) if step is not None else (0,))
        return json.loads(answer.read_text(encoding="utf-8")) if code == 0 else None

    def _built(self, step: int | None) -> Any:
        with patch.object(sys, "dont_write_bytecode", True):
            cells = self.package.load("cells")
        importlib.invalidate_caches()
        wanted = self._wanted(cells)

        class Noting(list[object]):
            def append(self, line: object) -> None:
                with open(log, "a", encoding="utf-8") as file:  # noqa: PTH123 - Path.open would count as a step
                    file.write(json.dumps(line) + "\n")

        log = str(self.log)
        cells.RAN = Noting()
        self.store.sweep()
        if step is not None:
            die_at(step, lambda: os._exit(KILLED))
        build = Builder(self.store)
        for _ in range(5):  # as a user does: damage that shows only when a result is shown mends with the next build
            results = build(wanted)
            assert results.whole
            try:
                return self.store.load(results.records[wanted.key])
            except Exception:  # noqa: BLE001 - DamagedResult, and nothing is served
                continue
        raise AssertionError("a damaged result did not mend")

    def _wanted(self, cells: Any) -> Cell:
        leaves = {x: cells.leaf(x) for x in self.xs}
        parities = [cells.parity(cells.inside(leaf), x) for x, leaf in leaves.items()]
        wanted: Cell = cells.total([*leaves.values(), *parities], self.xs)
        return wanted

    def _count(self) -> None:
        ran = self.log.read_text(encoding="utf-8").splitlines()
        assert len(ran) <= len(set(ran)) + self.accidents, "a finished computation was done again"


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
