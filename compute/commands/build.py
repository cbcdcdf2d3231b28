"""The command `build`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from compute import housekeeping
from compute import study as studies
from compute.commands import options, running
from compute.engine.plan import Plan, Step
from compute.engine.results import present_results
from compute.errors import UsageError
from compute.forecast import duration, price
from compute.session import Session, Settings


@click.command()
@options.slugs
@click.option("--all", "everything", is_flag=True, help="All studies.")
@options.config
@running.options
@click.option("--force", multiple=True, metavar="CELL", help="Run this cell in any case (name, prefix or glob).")
@click.option("--dry-run", is_flag=True, help="Say what would run and why; run nothing, write nothing.")
@click.option("--no-compute", is_flag=True, help="Write the pages from the results that are there; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the dry run as JSON, for programs.")
def command(
    slugs: tuple[str, ...],
    everything: bool,
    profile: str,
    changes: tuple[str, ...],
    settings: Settings,
    force: tuple[str, ...],
    dry_run: bool,
    no_compute: bool,
    as_json: bool,
) -> None:
    """Compute what is missing or stale, and write the pages.

    What a dry run prices is told from earlier builds, and the most that the build can cost: a cell whose inputs
    come out as before need not run.
    """
    if everything == bool(slugs):
        raise UsageError(f"name the studies, or all by --all; known: {', '.join(studies.slugs())}")
    if as_json and not dry_run:
        raise UsageError("--json prints what a dry run finds: add --dry-run, or ask `status --json` after the build")
    session = options.open_session(slugs, profile, changes)
    planner = session.planner(force)
    plan = session.plan(planner)
    if dry_run:
        _print_plan(session, plan, settings.jobs, as_json)
        return
    results = present_results(plan, session.store) if no_compute else running.compute(session, planner, plan, settings)
    written = session.write_pages(results)
    if not no_compute:
        housekeeping.keep_build(session, results, {"device": settings.device})
    session.save()
    click.echo(f"{running.summary(plan, results)}; {written} files written")
    running.exit_for(results)


def _print_plan(session: Session, plan: Plan, jobs: int, as_json: bool) -> None:
    """Print what would run, why, and what it will cost by what earlier builds took; "?" is what was never seen."""
    seconds, steps = session.history.seconds, plan.to_run
    priced = price([step.cell for step in steps], seconds, jobs)
    if as_json:
        cells = [_step(session, step) | {"seconds": seconds(step.cell)} for step in steps]
        options.write_json({"cells": cells, "price": asdict(priced)})
        return
    for step in steps:
        expected = seconds(step.cell)
        cost = "?" if expected is None else duration(expected)
        click.echo(f"{session.names[step.cell.key]}: {'; '.join(map(str, step.reasons))} [{cost}]")
    click.echo(priced)


def _step(session: Session, step: Step) -> dict[str, Any]:
    reasons = [asdict(reason) for reason in step.reasons]
    return {"cell": session.names[step.cell.key], "key": step.cell.key, "reasons": reasons}
