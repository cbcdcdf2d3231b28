"""The command `list`."""

from __future__ import annotations

import click

from compute.commands import options


@click.command()
@click.argument("what", type=click.Choice(["studies", "cells", "locales", "methods", "profiles"]))
@options.in_study
@options.config
@options.as_json
def command(what: str, slug: str, profile: str, changes: tuple[str, ...], as_json: bool) -> None:
    """List what there is."""
    from compute import listing

    session = options.open_session(slug, profile, changes) if what == "cells" else None
    rows = listing.rows(what, session)
    options.write_json(rows) if as_json else click.echo("\n".join("  ".join(map(str, row.values())) for row in rows))
