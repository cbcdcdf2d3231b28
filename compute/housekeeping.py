"""What the store is kept for: manifests of builds, and the results that studies still want.

Knows studies and profiles; how results are compared or removed, `engine` knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from compute import study as studies
from compute.engine.build import Results
from compute.engine.privacy import redacted
from compute.engine.record import readable
from compute.engine.store import Stamp
from compute.engine.upkeep.builds import Builds, Manifest, Subject, content
from compute.errors import RecountError
from compute.report import site
from compute.session import Session

if TYPE_CHECKING:
    from compute.engine.upkeep.gc import Roots


def keep_build(session: Session, results: Results, settings: Mapping[str, Any]) -> Manifest | None:
    """Keep the manifest of a build whose pages were written; None if it differs in nothing from the last.

    *settings* are those of the command line that enter no key. Where it cannot be written, the build is no worse.
    """
    builds, subject, verdicts = Builds(session.cache), _subject(session), _verdicts(session)
    stamps = results.records.stamps
    failures = {redacted(session.names[key]): failure.error for key, failure in results.failures.items()}
    blocked = tuple(sorted(redacted(session.names[key]) for key in results.blocked))
    before = builds.newest(subject)
    if before and before.content == content(stamps.values(), [*failures, *blocked], verdicts):
        return None
    from compute.engine.machine import environment

    manifest = Manifest(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        subject=subject,
        cells=_named(session, stamps),
        failures=failures,
        blocked=blocked,
        verdicts=verdicts,
        config={opened.study.slug: readable(opened.config) for opened in session.opened},
        settings=readable(settings),
        environment=environment(),
    )
    with suppress(OSError):
        return builds.keep(manifest)
    return None


def _named(session: Session, stamps: Mapping[str, Stamp]) -> dict[str, Stamp]:
    """Return the results by readable name; a piece of the key tells apart what is called the same without folders."""
    named: dict[str, Stamp] = {}
    for name, cell in session.cells.items():
        if cell.key in stamps:
            told = redacted(name)
            named[f"{told}~{cell.key[:6]}" if told in named else told] = stamps[cell.key]
    return named


def _subject(session: Session) -> Subject:
    first = session.opened[0]
    slugs = sorted(item.study.slug for item in session.opened)
    return Subject(tuple(slugs), first.profile, tuple(map(redacted, first.changes)))


def _verdicts(session: Session) -> dict[str, dict[str, dict[str, str]]]:
    found = site.verdicts(session.root, session.cache)
    return {item.study.slug: readable(found.get(item.study.slug, {})) for item in session.opened}


@dataclass(frozen=True)
class Wanted:
    """What the studies want, and which profiles could not say."""

    roots: Roots
    closed: Mapping[str, str] = field(default_factory=dict)
    """"study, profile" → why it cannot be opened, and what is kept for it."""


def wanted(session: Session) -> Wanted:
    """Find the results that any study wants under any profile, and those that pinned builds name.

    A profile that cannot be opened, as where its data are elsewhere, wants what its last builds gave.
    """
    from compute.engine.upkeep.gc import Roots

    roots, closed = Roots(), {}
    builds = Builds(session.cache)
    for slug in studies.slugs():
        for profile in studies.load(slug).profiles():
            try:
                session.open([slug], profile)
                plan = session.planner().plan(studies.wanted(session.opened[-1].results))
            except RecountError as error:
                kept = _last_builds(builds, slug, profile)
                closed[f"{slug}, {profile}"] = _told(error, kept)
                roots.add_builds(kept)
            else:
                roots.add_plan(plan)
    roots.add_builds(builds.pins().values())
    return Wanted(roots, closed)


def _last_builds(builds: Builds, slug: str, profile: str) -> list[Manifest]:
    """Return the newest build of each subject with this study and profile."""
    newest: dict[Subject, Manifest] = {}
    for item in builds.all():
        if slug in item.subject.studies and item.subject.profile == profile:
            newest.setdefault(item.subject, item)
    return list(newest.values())


def _told(error: RecountError, kept: list[Manifest]) -> str:
    ids = ", ".join(item.id for item in kept)
    consequence = f"what it built last is kept: {ids}" if kept else "no build of it is known, nothing is kept for it"
    return f"{error}; {consequence}"
