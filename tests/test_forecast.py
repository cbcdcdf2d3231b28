"""The time left is told from what cells of the same function took."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from project import Project

from compute.cells.data import utterances
from compute.cells.models import tokenizer
from compute.engine.cell import Cell
from compute.evaluation.sources import PhrasebookData
from compute.forecast import Forecast, duration, price
from compute.locales import LOCALES


def test_what_was_never_seen_makes_the_forecast_a_lower_bound() -> None:
    source = PhrasebookData(0, 4, 2, 2)
    corpora = {locale: utterances(source, locale) for locale in ("sq-AL", "de-DE", "it-IT")}
    first, second, third = corpora.values()
    forecast = Forecast([first, second, third, tokenizer(corpora, 100)], lambda cell: None, width=2)
    forecast.took(first, 3.0)
    assert str(forecast) == "more than 3.0 s left", "two cells of 3 s on two workers, and one unknown"
    forecast.took(tokenizer(corpora, 100), 1.0)
    assert str(forecast) == "about 3.0 s left"
    forecast.took(second, None)
    assert str(forecast) == "about 1.5 s left", "a reused cell took no time, and says nothing of the others"
    forecast.took(third, 3.0)
    assert str(forecast) == ""


def locales(*codes: str) -> list[Cell]:
    return [utterances(PhrasebookData(0, 4, 2, 2), code) for code in codes]


def test_what_is_known_of_a_cell_counts_before_what_its_function_takes() -> None:
    big, small = locales("sq-AL", "de-DE")
    took = {big.key: 90.0, small.key: 10.0}
    forecast = Forecast([big, small], lambda cell: took[cell.key], width=1)
    assert str(forecast) == "about 1 min 40 s left"
    forecast.took(small, 1.0)
    assert str(forecast) == "about 1 min 30 s left"
    forecast.took(big, 200.0)
    assert str(forecast) == ""


def test_no_number_of_jobs_is_faster_than_the_longest_path() -> None:
    first, second = locales("sq-AL", "de-DE")
    last = tokenizer({"sq-AL": first, "de-DE": second}, 100)
    took = {first.key: 10.0, second.key: 2.0, last.key: 5.0}
    forecast = Forecast([first, second, last], lambda cell: took[cell.key], width=8)
    assert str(forecast) == "about 15.0 s left"
    forecast.took(first, 10.0)
    assert str(forecast) == "about 7.0 s left"


def test_a_plan_is_priced_as_it_would_run() -> None:
    corpora = dict(zip(("sq-AL", "de-DE", "it-IT"), locales("sq-AL", "de-DE", "it-IT"), strict=True))
    last = tokenizer(corpora, 100)
    took = dict(zip([cell.key for cell in (*corpora.values(), last)], (4.0, 3.0, 2.0, 1.0), strict=True))
    plan = [*corpora.values(), last]
    priced = {jobs: price(plan, lambda cell: took[cell.key], jobs) for jobs in (1, 2, 3)}
    assert [(p.work_seconds, p.path_seconds, p.wall_seconds) for p in priced.values()] == [
        (10.0, 5.0, 10.0),
        (10.0, 5.0, 6.0),
        (10.0, 5.0, 5.0),
    ]
    assert str(priced[2]) == "4 cells would run: 10.0 s of work, 5.0 s on the longest path, 6.0 s with --jobs 2"


def test_a_price_says_what_it_does_not_know() -> None:
    first, second = locales("sq-AL", "de-DE")
    some = price([first, second], lambda cell: 3.0 if cell == first else None, 1)
    assert (some.unknown, some.work_seconds) == (1, 3.0)
    assert "2 cells would run, 1 of them of unknown cost" in str(some)
    assert str(price([first], lambda cell: None, 1)) == "1 cell would run, none of a kind that ran before"
    assert str(price([], lambda cell: None, 1)) == "0 cells would run"


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=6), st.integers(1, 8))
def test_no_price_beats_the_path_or_the_work_shared_out(seconds: list[float], jobs: int) -> None:
    cells = locales(*sorted(LOCALES)[: len(seconds)])
    took = dict(zip([cell.key for cell in cells], seconds, strict=True))
    found = price(cells, lambda cell: took[cell.key], jobs)
    assert found.path_seconds <= found.wall_seconds <= found.work_seconds * (1 + 1e-9)
    assert found.wall_seconds >= found.work_seconds / jobs * (1 - 1e-9)


def test_durations_are_written_as_people_read_them() -> None:
    assert [duration(s) for s in (0.04, 59.9, 61, 3725)] == ["0.0 s", "59.9 s", "1 min 01 s", "1 h 02 min"]


STUDY = "dare-source-selection"


def test_a_dry_run_is_priced_by_what_earlier_builds_took(built: Project) -> None:
    changed = ("build", STUDY, "--dry-run", "--jobs", "2", "--set", "density=0.5")
    before = built.files()
    *lines, last = built.run(*changed, tiny=True).stdout.splitlines()
    assert lines
    assert all(re.search(r" \[\d+\.\d s\]$", line) for line in lines), "each function was seen at work"
    assert re.fullmatch(rf"{len(lines)} cells would run: .* of work, .* on the longest path, .* with --jobs 2", last)
    found = json.loads(built.run(*changed, "--json", tiny=True).stdout)
    assert len(found["cells"]) == found["price"]["cells"] == len(lines)
    assert found["price"]["path_seconds"] <= found["price"]["wall_seconds"] <= found["price"]["work_seconds"]
    assert {reason["kind"] for cell in found["cells"] for reason in cell["reasons"]} == {"missing", "input will run"}
    assert built.files() == before


def test_pages_are_written_from_what_is_there(copied: Callable[[], Project]) -> None:
    project = copied()
    results = sorted(project.root.glob("cache/results/*/*/*/record.json"))
    done = project.run("build", STUDY, "--no-compute", "--set", "density=0.5", tiny=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r" 0 computed, .* stale or missing; [1-9]\d* files written", done.stdout)
    assert sorted(project.root.glob("cache/results/*/*/*/record.json")) == results
    page = (project.root / "docs/studies" / STUDY / "index.md").read_text(encoding="utf-8")
    assert "rc-box--missing" in page


def test_json_is_for_dry_runs(project: Project) -> None:
    done = project.run("build", STUDY, "--json")
    assert done.returncode == 2
    assert "add --dry-run" in done.stderr


@pytest.mark.parametrize("given", ["gpu", "gpu=many"])
def test_a_resource_has_a_name_and_a_number(project: Project, given: str) -> None:
    done = project.run("build", STUDY, "--resource", given)
    assert done.returncode == 2
    assert f"--resource {given}: expected a name and a number" in done.stderr
