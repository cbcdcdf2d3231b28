"""The command `why`."""

from __future__ import annotations

import click

from compute.commands import options


@click.command()
@click.argument("pattern", metavar="CELL")
@options.in_study
@options.config
@options.as_json
def command(pattern: str, slug: str, profile: str, changes: tuple[str, ...], as_json: bool) -> None:
    """Say why a cell will run, against the nearest result that exists."""
    from compute.explain import explanation

    session = options.open_session(slug, profile, changes)
    plan = session.plan()
    found = [explanation(session.store, plan.steps[cell.key]) for cell in session.find(pattern).values()]
    if as_json:
        options.write_json([item.as_data() for item in found])
        return
    for item in found:
        click.echo("\n".join(item.lines()))
