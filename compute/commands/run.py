"""The command `run`."""

from __future__ import annotations

import click

from compute.commands import options, running
from compute.session import Settings


@click.command()
@click.argument("pattern", metavar="CELL")
@options.in_study
@options.config
@running.options
def command(pattern: str, slug: str, profile: str, changes: tuple[str, ...], settings: Settings) -> None:
    """Run one cell again (name, prefix or glob), with what it needs; the next build writes the pages."""
    session = options.open_session(slug, profile, changes)
    planner = session.planner([pattern])
    plan = planner.plan(session.find(pattern).values())
    results = running.compute(session, planner, plan, settings)
    session.save()
    click.echo(running.summary(plan, results))
    running.exit_for(results)
