"""Pages of a study of which a part is there: what is lacking is said, and counts nowhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import patchy_study
import pytest
from hypothesis import given
from hypothesis import strategies as st
from patchy_site import OLD, Site
from patchy_study import listing, score, twice

from compute.engine.upkeep.compare import Deviation
from compute.engine.upkeep.verify import Check, _keep
from compute.engine.work import Task
from compute.report.absence import STATES, Absent, Former, brief
from compute.report.assemble import Assembled, AssembledRow
from compute.report.boxes import Boxes
from compute.report.jinja import environment
from compute.report.verdicts import judge
from compute.study import wanted


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
    missing = found["missing score/fr-FR"]
    assert "never computed under this config" in missing
    for box in (failed, blocked, stale, missing):
        assert command in box
    for box in (failed, blocked, stale):
        assert re.search(r'href="cells/\w+/#c-[0-9a-f]{12}"', box)


def test_cells_that_lack_for_the_same_reason_share_a_box(site: Site) -> None:
    site.once(score("sw-KE"), OLD, "2026-01-02T03:04:05+00:00")
    found = boxes(site.write())
    missing = found["missing 5 results"]
    for name in ("twice/de-DE", "score/sq-AL", "score/vi-VN", "score/fr-FR", "listing"):
        assert f"{name}: no earlier result" in missing
    assert "never computed under this config" in missing
    results = site.build(twice(score("vi-VN")), twice(twice(score("vi-VN"))))
    opened = replace(site.opened, results={**site.opened.results, "more": [{"a": twice(twice(score("vi-VN")))}]})
    site.opened = opened
    blocked = boxes(site.write(results))["blocked 2 results"]
    assert "it needs score/vi-VN, which failed: ValueError: no data for vi-VN" in blocked
    assert "since 20" in blocked
    assert "twice/vi-VN: since" in blocked


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


def test_a_report_that_cannot_do_without_what_is_absent_is_written_plainly(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own" / "patchy_study"
    folder.mkdir(parents=True)
    needy = '{% extends "base.md.j2" %}{% block body %}{{ results.listing.rows[0].values.rank }}{% endblock %}'
    (folder / "report.md.j2").write_text(needy, encoding="utf-8")
    site.opened = replace(site.opened, study=replace(site.opened.study, folder=folder, figures=()))
    page = site.write()
    assert "note The report cannot be written as its author meant it" in boxes(page)
    assert rows(page, "scores")
    monkeypatch.setattr(patchy_study, "FAILING", "none")
    whole = site.write(site.build(*wanted(site.opened.results)))
    assert "as its author meant it" not in whole
    assert "\n1\n" in whole


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
