"""A page, with its published numbers, verdicts and boxes, comes out as in the golden file.

After a change that is meant: UPDATE_GOLDEN=1 python -m pytest tests/report/test_golden.py, and read the diff.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import golden_study
import pytest
from engine_observer import Silent

from compute.engine.build import Build
from compute.engine.code import Code
from compute.engine.executors import Serial
from compute.engine.plan import Planner
from compute.engine.store import Store
from compute.report import pages
from compute.session import Opened
from compute.study import wanted

GOLDEN = Path(__file__).parents[1] / "golden"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def written(tmp_path: Path) -> dict[str, str]:
    """Build the golden study, and return its pages with what differs from run to run taken out."""
    (tmp_path / "templates").symlink_to(REPOSITORY / "templates")
    store, code = Store(tmp_path / "cache"), Code()
    planner = Planner(store, code)
    config = golden_study.Config()
    opened = Opened(golden_study.study, "mini", (), config, dict(golden_study.results(config)))
    plan = planner.plan(wanted(opened.results))
    results = Build(plan, planner, Serial(), Silent()).run()
    pages.write_study(tmp_path, store, code, opened, results, {})
    folder = tmp_path / "docs/studies/golden-study"
    return {str(path.relative_to(folder)): steady(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def steady(path: Path) -> str:
    """Return a page without times, machines, versions and digests."""
    text = path.read_text(encoding="utf-8").split("## How this page was made")[0]
    text = re.sub(r"<pre><code>Traceback.*?</code></pre>", "<pre><code>Traceback …</code></pre>", text, flags=re.DOTALL)
    text = re.sub(r"since [0-9-]{10} [0-9:]{5} UTC", "since then", text)
    return re.sub(r"c-[0-9a-f]{12}", "c-…", text)


def test_the_report_is_the_golden_one(written: dict[str, str]) -> None:
    path = GOLDEN / "report.md"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(written["index.md"], encoding="utf-8")
    assert path.read_text(encoding="utf-8") == written["index.md"]


def test_the_files_are_those_and_no_others(written: dict[str, str]) -> None:
    cells = {f"cells/{name}" for name in ("index.md", "score.md", "score.json", "doubled.md", "doubled.json")}
    assert set(written) == {"index.md", "data/whole.csv", "data/broken.csv", *cells}


def test_the_download_holds_what_the_table_shows_unrounded(written: dict[str, str]) -> None:
    assert written["data/whole.csv"].splitlines() == [
        "locale,score_accuracy,score_low,score_high,published_accuracy",
        "sq-AL,0.25,0.2,0.3,0.25",
        f"sw-KE,0.4,{0.4 - 0.05},0.45,{39.99 / 100}",
    ]
