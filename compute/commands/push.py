"""The command `push`."""

from __future__ import annotations

import click

from compute.commands import options, transferring
from compute.engine import stores
from compute.engine.record import Record
from compute.session import Session


@click.command()
@click.argument("url")
@options.slugs
@transferring.options
@options.config
@click.option("--force", is_flag=True, help="Write also what is there already, as to mend what is damaged there.")
@options.as_json
def command(
    url: str,
    slugs: tuple[str, ...],
    everything: bool,
    results: str,
    profile: str,
    changes: tuple[str, ...],
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Copy results to another store: a folder, or a URL as s3://bucket/folder."""
    transferring.check(slugs, everything)
    from compute.engine.remotes.transfer import push

    session = options.open_session(slugs, profile, changes)
    records = session.store.all() if results == "all" else _current(session)
    done = push(session.store, stores.shelf(url), records, replace=force, dry_run=dry_run)
    session.save()
    transferring.report("would push" if dry_run else "pushed", "to", done, as_json)


def _current(session: Session) -> list[Record]:
    return [session.store.record(stamp) for stamp in session.plan().fresh.values()]
