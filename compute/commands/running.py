"""What the commands that compute share: how cells are run, and how a build is told in the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from compute.commands.options import FAILED, cores
from compute.console import display
from compute.engine.build import Results
from compute.engine.plan import Plan, Planner
from compute.session import Session


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the settings that say how cells run; none of them enters a key."""
    for option in (
        click.option("--device", default="cpu", show_default=True, help="Where models compute, as cuda."),
        click.option("--jobs", type=click.IntRange(min=1), default=cores, help="Cells at a time."),
    ):
        function = option(function)
    return function


def compute(session: Session, planner: Planner, plan: Plan, device: str, jobs: int) -> Results:
    """Carry out a plan under a display."""
    os.environ["RECOUNT_DEVICE"] = device
    with display(len(plan.to_run), session.forecast(plan, jobs)) as observer:
        return session.compute(plan, planner, observer, jobs)


def summary(plan: Plan, results: Results) -> str:
    """Say in a line what a build did."""
    computed, failed, blocked = len(results.computed), len(results.failures), len(results.blocked)
    fresh = len(plan.steps) - computed - failed - blocked
    return f"{len(plan.steps)} cells: {computed} computed, {fresh} fresh, {failed} failed, {blocked} blocked"


def exit_for(results: Results) -> None:
    """Name what failed, and exit with 1 if not every cell has a result."""
    for failure in results.failures.values():
        click.echo(f"failed: {failure.name}: {failure.error}", err=True)
    if not results.whole:
        raise click.exceptions.Exit(FAILED)
