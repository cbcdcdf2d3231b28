"""Pages of a study of which a part is there: what is lacking is said, and counts nowhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import patchy_study
import pytest
from engine_observer import Silent
from hypothesis import given
from hypothesis import strategies as st
from patchy_study import listing, score, twice

from compute.engine.build import Build, Results, fresh_results
from compute.engine.cell import Cell
from compute.engine.code import Code
from compute.engine.compare import Deviation
from compute.engine.executors import Serial
from compute.engine.plan import Planner
from compute.engine.record import Record, Trace
from compute.engine.store import Store
from compute.engine.verify import Check, _keep
from compute.engine.work import Task
from compute.report import pages
from compute.report.absence import STATES, Absent, Former, brief
from compute.report.assemble import Assembled, AssembledRow
from compute.report.boxes import Boxes
from compute.report.jinja import environment
from compute.report.verdicts import judge
from compute.session import Opened
from compute.study import wanted

REPOSITORY = Path(__file__).parents[2]
FOLDER = "docs/studies/patchy-study"


@dataclass
class Site:
    """The patchy study's pages in a folder of their own."""

    root: Path
    opened: Opened = field(init=False)

    def __post_init__(self) -> None:
        (self.root / "templates").symlink_to(REPOSITORY / "templates")
        self.store, self.code = Store(self.root / "cache"), Code()
        self.planner = Planner(self.store, self.code)
        config = patchy_study.Config()
        changes = ("locales=sq-AL,sw-KE",)
        self.opened = Opened(patchy_study.study, "mini", changes, config, dict(patchy_study.results(config)))

    def build(self, *cells: Cell) -> Results:
        """Compute some cells; the rest of the study is left as it is."""
        plan = self.planner.plan(cells)
        return Build(plan, self.planner, Serial(), Silent()).run()

    def once(self, cell: Cell, value: Any, when: str) -> Record:
        """Keep a result that other code gave for the same call, some time ago."""
        here = self.build(score("de-DE")).records[score("de-DE").key]
        trace = Trace({**self.code.parts(cell), "elsewhere:helper": "12"}, {})
        record = replace(here, key=cell.key, name=cell.name, trace=trace, when=when)
        return self.store.commit(record, value)

    def write(self, results: Results | None = None) -> str:
        """Write the pages, without computing if no results are given, and return the report."""
        whole = results or fresh_results(self.planner.plan(wanted(self.opened.results)), self.store)
        pages.write_study(self.root, self.store, self.code, self.opened, whole, {})
        return self.read("index.md")

    def read(self, name: str) -> str:
        return (self.root / FOLDER / name).read_text(encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    patchy_study.drawn.clear()
    return Site(tmp_path)


def boxes(page: str) -> dict[str, str]:
    """Return the boxes of a page by what their titles say."""
    found = re.findall(r'<div class="rc-box.*?</div>', page, re.DOTALL)
    return {re.sub(r"<[^>]*>", "", box.split("</p>")[0]).strip(): box for box in found}


def rows(page: str, table: str) -> list[str]:
    body = page.split(f'id="table-{table}"')[1].split("<tbody>")[1].split("</tbody>")[0]
    return body.strip().splitlines()


OLD = {"accuracy": 0.91, "low": 0.9, "high": 0.92}


def test_each_state_has_a_box_that_tells_why_since_when_and_what_mends_it(site: Site) -> None:
    site.build(score("sq-AL"))
    site.once(score("sw-KE"), OLD, "2026-01-02T03:04:05+00:00")
    site.build(score("vi-VN"))
    site.build(score("vi-VN"))
    found = boxes(site.write())
    command = "python -m compute build patchy-study --profile mini --set locales=sq-AL,sw-KE"
    failed, blocked, stale = (
        found[f"{name}"] for name in ("failed score/vi-VN", "blocked twice/vi-VN", "stale score/sw-KE")
    )
    assert "ValueError: no data for vi-VN" in failed
    assert "2 attempts" in failed
    assert re.search(r"since 20\d\d-\d\d-\d\d \d\d:\d\d UTC", failed)
    assert "Traceback" in failed
    assert "it needs score/vi-VN, which failed: ValueError: no data for vi-VN" in blocked
    assert "since 20" in blocked
    assert "<p>code changed: elsewhere:helper</p>" in stale
    assert "last good value of 2026-01-02, under other code: accuracy 0.91, low 0.9, high 0.92" in stale
    missing = found["missing 2 results"]
    assert "score/fr-FR" in missing
    assert "never computed under this config" in missing
    for box in (failed, blocked, stale, missing):
        assert command in box
    for box in (failed, blocked, stale):
        assert re.search(r'href="cells/\w+/#c-[0-9a-f]{12}"', box)


def test_cells_that_lack_for_the_same_reason_share_a_box(site: Site) -> None:
    site.once(score("sw-KE"), OLD, "2026-01-02T03:04:05+00:00")
    found = boxes(site.write())
    missing = found["missing 4 results"]
    for name in ("score/sq-AL", "score/vi-VN", "score/fr-FR", "listing"):
        assert f"{name}: no earlier result" in missing
    assert "never computed under this config" in missing
    results = site.build(twice(score("vi-VN")), twice(twice(score("vi-VN"))))
    opened = replace(site.opened, results={**site.opened.results, "more": [{"a": twice(twice(score("vi-VN")))}]})
    site.opened = opened
    blocked = boxes(site.write(results))["blocked 2 results"]
    assert "it needs score/vi-VN, which failed: ValueError: no data for vi-VN" in blocked
    assert "since 20" in blocked
    assert "twice/twice" not in blocked or "twice/vi-VN: since" in blocked


def test_of_many_boxes_the_first_are_shown_and_the_rest_counted(site: Site) -> None:
    cells = [score(f"l{place}") for place in range(8)]
    absences = [Absent(cell, "stale", f"because of {cell.name}") for cell in cells]
    macros = environment(site.root).get_template("macros.md.j2").module
    found = boxes(Boxes(macros, site.opened).of([*absences, *absences]))
    assert list(found) == [*(f"stale score/l{place}" for place in range(5)), "note and 3 more"]
    assert "3 stale" in found["note and 3 more"]


def test_a_row_that_is_not_fresh_shows_its_last_good_value_last_marked_and_counts_nowhere(site: Site) -> None:
    site.build(score("sq-AL"), score("fr-FR"), listing())
    site.once(score("sw-KE"), OLD, "2026-01-02T03:04:05+00:00")
    page = site.write()
    shown = rows(page, "scores")
    assert [re.findall(r'rc-code">([\w-]+)<', row)[0] for row in shown] == ["sq-AL", "de-DE", "fr-FR", "sw-KE", "vi-VN"]
    stale = shown[3]
    assert 'class="rc-former" title="of 2026-01-02, under other code"' in stale
    assert "91.0 %" in stale
    assert "[90.0, 92.0]" in stale
    assert 'class="rc-number" data-sort=""' in stale
    assert "<strong>" not in stale
    assert "<strong>" in shown[0], "the best of what is fresh"
    assert "† last good value" in page.split('id="table-scores"')[1].split("</figcaption>")[0]
    assert "†" not in page.split('id="table-listing"')[1].split("</table>")[0]
    assert site.read("data/scores.csv").splitlines()[4:] == ["sw-KE,,,", "vi-VN,,,"]


def test_a_table_of_one_cell_shows_its_last_good_rows(site: Site) -> None:
    site.once(listing(), [{"locale": "sw-KE", "rank": 3}, {"locale": "de-DE", "rank": 4}], "2026-01-02T03:04:05+00:00")
    page = site.write()
    assert [re.findall(r">(\d\.\d\d)<", row) for row in rows(page, "listing")] == [["3.00"], ["4.00"]]
    assert all(row.count("rc-former") == 2 for row in rows(page, "listing"))
    assert "stale listing" in boxes(page)
    assert site.read("data/listing.csv").splitlines()[1:] == [",", ","]


def test_no_figure_and_no_claim_is_given_what_is_not_fresh(site: Site) -> None:
    site.build(score("sq-AL"), score("fr-FR"))
    site.once(score("sw-KE"), OLD, "2026-01-02T03:04:05+00:00")
    page = site.write()
    (frame,) = patchy_study.drawn
    assert list(frame["locale"]) == ["sq-AL", "de-DE", "fr-FR"]
    assert "not drawn: 2 of 5 results are missing (1 missing, 1 stale)" in boxes(page)["note All scores."]
    claim = page.split('id="claim-half"')[1].split("</div>")[0]
    assert "cannot be told" in claim
    assert "2 of 5 results are missing (1 missing, 1 stale)" in claim
    assert "rows" not in claim


def test_an_error_in_a_figure_of_whole_results_is_an_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patchy_study, "FAILING", "none")
    results = site.build(*wanted(site.opened.results))
    with pytest.raises(KeyError):
        site.write(results)


def test_the_last_good_value_of_a_failed_cell_is_that_of_the_newest_whole_result(site: Site) -> None:
    site.once(score("vi-VN"), OLD, "2026-01-02T03:04:05+00:00")
    results = site.build(score("vi-VN"))
    page = site.write(results)
    assert "last good value of 2026-01-02, under other code" in boxes(page)["failed score/vi-VN"]
    (record,) = site.store.others(score("vi-VN").key)
    payload = site.store.folder(record.key, record.trace.id) / "value.json"
    payload.chmod(0o644)
    payload.write_text("{}", encoding="utf-8")
    again = boxes(site.write(results))["failed score/vi-VN"]
    assert "0.91" not in again


def states(count: int) -> Sequence[Absent]:
    return [Absent(score(f"l{place}"), STATES[place % 4]) for place in range(count)]


@given(st.integers(0, 6), st.integers(0, 6))
def test_a_claim_is_judged_if_and_only_if_nothing_lacks(there: int, lacking: int) -> None:
    whole = [AssembledRow({"score_accuracy": 0.5}, {}, (), {}, (score(f"w{place}"),)) for place in range(there)]
    former = {"score_accuracy": Former(0.5, "2026-01-02T03:04:05+00:00", "other code")}
    partial = [AssembledRow({}, {}, (item,), former, (item.cell,)) for item in states(lacking)]
    judged = judge(patchy_study.half, {"scores": Assembled((*whole, *partial))}, ()) if there or lacking else None
    if judged and lacking:
        assert judged.verdict == "cannot be told"
        assert judged.why.startswith(f"{lacking} of {there + lacking} result")
    elif judged:
        assert (judged.verdict, judged.measured) == ("holds", f"{there} rows")


def test_a_verified_result_has_its_badge_and_the_report_counts(site: Site) -> None:
    made = [score("sq-AL"), score("sw-KE"), score("fr-FR"), listing()]
    results = site.build(*made)
    outcomes = (
        ("bit-exact", None),
        ("within tolerance", Deviation("result.accuracy", 1e-7, 2.1e-7, 0.1)),
        ("different", Deviation("result.low", what="0.3 instead of 0.4")),
    )
    for cell, (outcome, deviation) in zip(made, outcomes, strict=False):
        task = Task(cell, results.records[cell.key].trace, {}, site.store.root)
        for _ in range(2):
            _keep(Check(task, outcome, deviation, environment={}))  # type: ignore[arg-type]
    page = site.write()
    line = next(line for line in page.splitlines() if line.startswith("| Verified"))
    assert "3 of 11 cells" in line
    for badge in ("good", "accent", "bad"):
        assert f"rc-badge--{badge}" in line
    assert "off by no more than 3e-7" in line
    cells = site.read("cells/score.md")
    for words in ("bit-exact ×2", "within 3e-7 ×2", "different 2 of 2 times", "0.3 instead of 0.4"):
        assert words in cells


def test_a_result_that_nobody_verified_says_how(site: Site) -> None:
    site.build(listing())
    assert "`python -m compute verify --study patchy-study --profile mini`" in site.write()


def test_an_accepted_result_says_so_with_reason_and_day(site: Site) -> None:
    results = site.build(score("sq-AL"))
    (record,) = [results.records[score("sq-AL").key]]
    accepted = {"reason": "only a name <changed>", "when": "2026-01-02T03:04:05+00:00", "under": "0123456789abcdef"}
    site.store.commit(replace(record, accepted=accepted), site.store.load(record), anew=True)
    page = site.write()
    line = next(line for line in page.splitlines() if "rc-badge--accepted" in line)
    for part in ("score/sq-AL", "2026-01-02", "only a name &#60;changed&#62;", f"#c-{record.key[:12]}"):
        assert part in line
    cells = site.read("cells/score.md")
    assert "only a name &lt;changed&gt;" in cells
    assert "0123456789abcdef" in cells


def test_a_page_names_nobody(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from compute.engine import privacy

    monkeypatch.setenv("PLANTED_TOKEN", "sw-KE-planted")
    privacy.forget()
    config = patchy_study.Config(("sw-KE-planted", "fr-FR"))
    site.opened = replace(
        site.opened, changes=("locales=sw-KE-planted",), config=config, results=dict(patchy_study.results(config))
    )
    page = site.write(site.build(score("sw-KE-planted")))
    shown = [page.split("<table")[0], *(site.read(f"cells/{name}.md") for name in ("score", "twice"))]
    assert not [text for text in shown if "planted" in text], "what a study itself puts into its rows is its own"
    privacy.forget()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.1235"), ("x" * 80, "x" * 60), ([1, 2], "2 items"), (True, "True"), (None, "None"),
     ({"a": 1.0, "b": [1]}, "a 1 …"), ({}, "")],
)  # fmt: skip
def test_a_value_is_said_in_a_few_words(value: Any, text: str) -> None:
    assert brief(value) == text


def test_a_cell_of_what_is_blocked_by_a_blocked_one_names_the_failure(site: Site) -> None:
    deep = twice(twice(score("vi-VN")))
    results = site.build(deep)
    from compute.report.absence import Absences

    found = Absences(site.store, site.code, results).of(deep)
    assert found is not None
    assert (found.state, found.why) == ("blocked", "it needs score/vi-VN, which failed: ValueError: no data for vi-VN")
