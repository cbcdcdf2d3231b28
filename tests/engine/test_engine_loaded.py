"""Code that is edited while a build runs is never passed off as the code that was planned."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_helpers import Package

CELLS = """
    from pathlib import Path
    from compute.engine.cell import cell

    @cell()
    def first(file):
        Path(file).write_text("FACTOR = 3\\n")  # as its author might, while it runs
        return 1

    @cell()
    def second(one):
        from PACKAGE import helper
        return one * helper.FACTOR

    @cell()
    def third(one):
        return one + 1
"""
BUILD = """
    import sys
    sys.path.insert(0, {sources!r})
    from pathlib import Path
    from compute.engine.build import Build
    from compute.engine.code import Code
    from compute.engine.executors import local
    from compute.engine.plan import Planner
    from compute.engine.store import Store
    from engine_helpers import Diary
    from {package} import cells

    if __name__ == "__main__":
        one = cells.first({file!r})
        wanted = [cells.second(one), cells.third(one)]
        store = Store(Path({cache!r}))
        planner = Planner(store, Code())
        planner.code.parts(wanted[0])  # read now; a cell that waits for others is read when it starts
        results = Build(planner.plan(wanted), planner, local({jobs}), Diary()).run()
        print(" ".join(sorted(item.error for item in results.failures.values())) or "whole")
        print([store.load(results.records[cell.key]) for cell in wanted if cell.key in results.records])
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cell_whose_code_was_edited_since_the_plan_fails_and_the_next_build_computes_it(
    package: Package, in_another_process: Callable[..., str], jobs: int
) -> None:
    package.write("helper", "FACTOR = 2\n")
    package.write("cells", CELLS)
    package.age()
    folder = package.folder
    names = {"sources": str(folder), "package": package.name, "file": str(package.path("helper")), "jobs": jobs}
    script = BUILD.format(**names, cache=str(folder / "cache"))
    here = Path(__file__)
    environment = {"PYTHONPATH": os.pathsep.join([str(folder), str(here.parent), str(here.parents[2])])}
    said, values = in_another_process(script, **environment).splitlines()
    assert "the code changed while the build ran" in said
    assert "helper" in said
    assert values == "[2]", "what does not reach the edited code goes on"
    said, values = in_another_process(script, **environment).splitlines()
    assert (said, values) == ("whole", "[3, 2]")
