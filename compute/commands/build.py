"""The command `build`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from compute import study as studies
from compute.commands import options, running
from compute.engine.plan import Step
from compute.errors import UsageError
from compute.session import Session


@click.command()
@options.slugs
@click.option("--all", "everything", is_flag=True, help="All studies.")
@options.config
@running.options
@click.option("--force", multiple=True, metavar="CELL", help="Run this cell in any case (name, prefix or glob).")
@click.option("--dry-run", is_flag=True, help="Say what would run and why; run nothing, write nothing.")
def command(
    slugs: tuple[str, ...],
    everything: bool,
    profile: str,
    changes: tuple[str, ...],
    jobs: int,
    device: str,
    force: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Compute what is missing or stale, and write the pages."""
    if everything == bool(slugs):
        raise UsageError(f"name the studies, or all by --all; known: {', '.join(studies.slugs())}")
    session = options.open_session(slugs, profile, changes)
    planner = session.planner(force)
    plan = session.plan(planner)
    if dry_run:
        _print_steps(session, plan.to_run)
        return
    results = running.compute(session, planner, plan, device, jobs)
    written = session.write_pages(results)
    session.save()
    click.echo(f"{running.summary(plan, results)}; {written} files written")
    running.exit_for(results)


def _print_steps(session: Session, steps: Sequence[Step]) -> None:
    for step in steps:
        click.echo(f"{session.names[step.cell.key]}: {'; '.join(map(str, step.reasons))}")
    click.echo(f"{len(steps)} cells would run")
