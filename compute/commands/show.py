"""The command `show`."""

from __future__ import annotations

import click

from compute.commands import options


@click.command()
@click.argument("pattern", metavar="CELL")
@options.in_study
@options.config
@options.as_json
def command(pattern: str, slug: str, profile: str, changes: tuple[str, ...], as_json: bool) -> None:
    """Show a cell: its arguments, code, inputs, and the record and value of its result."""
    from compute.explain import described

    session = options.open_session(slug, profile, changes)
    plan = session.plan()
    found = [described(session, plan.steps[cell.key]) for cell in session.find(pattern).values()]
    options.write_json(found) if as_json else click.echo("\n\n".join(map(options.yaml, found)))
