"""A page is written anew exactly when something that it shows has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from patchy_site import OLD, Site
from patchy_study import score

from compute.engine.build import fresh_results
from compute.engine.store import Store
from compute.engine.upkeep.verify import Check, _keep
from compute.engine.work import Task
from compute.report.site import _digest
from compute.study import wanted

FRESH = score("sq-AL")
ACCEPTED = {"reason": "no change", "when": "2026-01-02T03:04:05+00:00", "under": "0123456789abcdef"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.build(FRESH, score("de-DE"))
    made.build(score("vi-VN"))
    return made


def digest(site: Site) -> str:
    """Return the digest of what the pages show, as another process would work it out."""
    site.planner.store = site.store = Store(site.root / "cache")
    results = fresh_results(site.planner.plan(wanted(site.opened.results)), site.store)
    return _digest(site.opened, site.store, results, [])


def accepted(site: Site) -> None:
    (record,) = site.store.others(FRESH.key)
    site.store.commit(replace(record, accepted=ACCEPTED), site.store.load(record), anew=True)


def computed_anew(site: Site) -> None:
    (record,) = site.store.others(FRESH.key)
    later = replace(record, when="2027-01-02T03:04:05+00:00", accepted=None)
    site.store.commit(later, site.store.load(record), anew=True)


def verified(site: Site) -> None:
    (record,) = site.store.others(FRESH.key)
    _keep(Check(Task(FRESH, record.trace, {}, site.store.root), "bit-exact"))


def failed_again(site: Site) -> None:
    site.build(score("vi-VN"))


def made_under_other_code(site: Site) -> None:
    site.once(score("fr-FR"), OLD, "2026-01-02T03:04:05+00:00")


def built(site: Site) -> None:
    site.build(score("fr-FR"))


CHANGES = (accepted, computed_anew, verified, failed_again, made_under_other_code, built)


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_page_shows_changes_its_digest(site: Site, change: Callable[[Site], None]) -> None:
    before = digest(site)
    assert digest(site) == before
    change(site)
    after = digest(site)
    assert after != before
    assert digest(site) == after


def test_a_result_that_was_accepted_and_then_computed_is_seen_to_be(site: Site) -> None:
    seen = [digest(site)]
    for change in (accepted, computed_anew, accepted):
        change(site)
        seen.append(digest(site))
    assert len(set(seen)) == 4


def test_what_no_page_shows_changes_nothing(site: Site) -> None:
    before = digest(site)
    site.build(score("another"))
    assert digest(site) == before
