"""The command `pull`."""

from __future__ import annotations

from collections.abc import Iterable

import click

from compute.commands import options, transferring
from compute.engine import stores
from compute.engine.plan import Planner
from compute.engine.record import Record
from compute.engine.remotes.mirror import Mirror
from compute.engine.remotes.shelf import Shelf
from compute.session import Session


@click.command()
@click.argument("url")
@options.slugs
@transferring.options
@options.config
@options.as_json
def command(
    url: str,
    slugs: tuple[str, ...],
    everything: bool,
    results: str,
    profile: str,
    changes: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Copy results that are lacking here from another store: a folder, or a URL as s3://bucket/folder."""
    transferring.check(slugs, everything)
    from compute.engine.remotes.transfer import pull

    session, shelf = options.open_session(slugs, profile, changes), stores.shelf(url)
    records = shelf.records(shelf.results()).values() if results == "all" else _current(session, shelf)
    done = pull(session.store, shelf, records, dry_run=dry_run)
    session.save()
    transferring.report("would pull" if dry_run else "pulled", "from", done, as_json)


def _current(session: Session, shelf: Shelf) -> Iterable[Record]:
    """Return the results that the studies need, as a plan finds them when that place lies behind the store."""
    behind = Mirror(session.store.root, shelf, expected=session.keys)
    plan = session.plan(Planner(behind, session.code))
    return [behind.record(stamp) for stamp in plan.fresh.values()]
