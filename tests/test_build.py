"""A build as a user sees it: complete, then idle, then only what a change touches."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable

import pytest
from project import CHANGES, REPOSITORY, Project

STUDY = "dare-source-selection"
HEAVY = (
    "torch",
    "pandas",
    "altair",
    "joblib",
    "transformers",
    "jinja2",
    "yaml",
    "numpy",
    "fsspec",
    "distributed",
    "psutil",
)


def counted(text: str) -> dict[str, int]:
    """Read the summary line of a build."""
    return {word: int(number) for number, word in re.findall(r"(\d+) (computed|fresh|failed|blocked|files)", text)}


def test_a_build_writes_the_page_with_all_its_parts(built: Project) -> None:
    page = (built.root / "docs/studies" / STUDY / "index.md").read_text(encoding="utf-8")
    assert page.count('<figure class="rc-table"') >= 10
    assert page.count('<figure class="rc-figure"') >= 3
    assert page.count('class="rc-claim ') == 9
    assert "11.63" in page, "published numbers stand beside measured ones"
    assert "ar-SA, cy-GB, fi-FI" in page, "the document's sources come out exactly"
    assert (built.root / "docs/studies" / STUDY / "data/primary.csv").is_file()


def test_every_number_leads_to_a_cell_that_is_shown(built: Project) -> None:
    folder = built.root / "docs/studies" / STUDY
    links = re.findall(r'href="cells/(\w+)/#(c-[0-9a-f]{12})"', (folder / "index.md").read_text(encoding="utf-8"))
    assert len(links) > 100
    for function, anchor in set(links):
        assert f'id="{anchor}"' in (folder / "cells" / f"{function}.md").read_text(encoding="utf-8")


def test_a_second_build_computes_nothing_and_touches_no_file(built: Project) -> None:
    before = built.files()
    done = built.run("build", STUDY, tiny=True)
    assert done.returncode == 0, done.stderr
    counts = counted(done.stdout)
    assert counts.pop("fresh") > 50
    assert set(counts.values()) == {0}
    assert built.files() == before


def test_a_build_without_changes_imports_nothing_heavy(built: Project) -> None:
    script = (
        "import sys\nfrom compute.cli import main\n"
        f"main({['build', STUDY, *CHANGES]!r}, standalone_mode=False)\n"
        f"print('imported', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = built.python(script)
    assert done.returncode == 0, done.stderr
    assert "imported []" in done.stdout


def test_a_changed_density_runs_only_what_depends_on_it(copied: Callable[[], Project]) -> None:
    project = copied()
    dry = project.run("build", STUDY, "--dry-run", "--set", "density=0.5", tiny=True)
    names = [line.partition(":")[0] for line in dry.stdout.splitlines()[:-1]]
    assert names
    touched = re.compile(r"^(logits|evaluation|goal)/ties/|^(pooled_difference|replicates|spreads)/")
    assert all(touched.match(name) for name in names), names
    done = project.run("build", STUDY, "--set", "density=0.5", tiny=True)
    assert done.returncode == 0, done.stderr
    assert 0 < counted(done.stdout)["computed"] <= len(names)
    back = project.run("build", STUDY, tiny=True)
    assert counted(back.stdout)["computed"] == 0, "the first results are still there"


def test_why_names_the_value_that_changed(built: Project) -> None:
    done = built.run("why", "logits/ties/*", "--set", "density=0.5", tiny=True)
    assert done.returncode == 0, done.stderr
    assert "model.options.density: 0.2 → 0.5" in done.stdout


def test_a_rerun_cell_comes_out_the_same_and_nothing_else_runs(copied: Callable[[], Project]) -> None:
    project = copied()
    done = project.run("run", "evaluation/de-DE/on/sq-AL/test", tiny=True)
    assert done.returncode == 0, done.stderr
    assert counted(done.stdout)["computed"] == 1
    again = project.run("build", STUDY, tiny=True)
    assert counted(again.stdout)["computed"] == 0


def test_programs_can_read_status_and_cells(built: Project) -> None:
    cells = json.loads(built.run("list", "cells", "--json", tiny=True).stdout)
    status = json.loads(built.run("status", "--json", tiny=True).stdout)
    assert {item["cell"] for item in cells} == {item["cell"] for item in status}
    assert all(item["fresh"] for item in status)
    shown = json.loads(built.run("show", "base", "--json", tiny=True).stdout)
    assert shown[0]["record"]["digest"]
    assert "compute.models.train:pretrain" in shown[0]["code"]


def test_a_failing_cell_blocks_only_its_dependents_and_the_page_says_so(project: Project) -> None:
    broken = ("--set", "models.architecture.heads=5")  # 16 is no multiple of 5: the base cannot be built
    done = project.run("build", STUDY, *broken, tiny=True)
    assert done.returncode == 1
    counts = counted(done.stdout)
    assert counts["failed"] == 1
    assert counts["blocked"] > 10
    assert counts["computed"] >= 7, "utterances, tokenizer and typology do not need the base"
    page = (project.root / "docs/studies" / STUDY / "index.md").read_text(encoding="utf-8")
    assert "rc-box--failed" in page
    assert "rc-box--blocked" in page
    assert "cannot be told" in page
    again = project.run("status", *broken, tiny=True)
    assert "failed before" in again.stdout


@pytest.mark.parametrize("what", ["studies", "locales", "methods", "profiles"])
def test_lists_are_for_people_and_programs(project: Project, what: str) -> None:
    assert project.run("list", what).stdout.strip()
    assert json.loads(project.run("list", what, "--json").stdout)


def test_a_new_plugin_runs_nothing_and_is_on_its_reference_page(copied: Callable[[], Project]) -> None:
    project = copied()
    shutil.copytree(REPOSITORY / "compute", project.root / "compute")
    here = {"PYTHONPATH": str(project.root)}
    project.run("build", STUDY, tiny=True, **here)
    folder = project.root / "compute/merging/methods"
    code = (folder / "average.py").read_text(encoding="utf-8").replace("def average", "def middling")
    (folder / "middling.py").write_text(code, encoding="utf-8")
    done = project.run("build", STUDY, tiny=True, **here)
    assert counted(done.stdout)["computed"] == 0
    assert "## `middling`" in (project.root / "docs/reference/merge-methods.md").read_text(encoding="utf-8")
