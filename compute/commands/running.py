"""What the commands that compute share: how cells are run and interrupted, and how a build is told in the end."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from compute.commands.options import FAILED, cores, stop
from compute.console import display
from compute.engine.build import Results
from compute.engine.plan import Plan, Planner
from compute.errors import UsageError
from compute.session import Session, Settings

PATIENCE = 5.0
"""Seconds after an interrupt from which on another one ends the process at once."""

INTERRUPTED = "interrupted: what was finished is kept; the same command goes on from there"


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how cells run, and pass them on as `settings`; none of them enters a key."""

    @functools.wraps(function)
    def bundled(*args: Any, resource: tuple[str, ...], **rest: Any) -> Any:
        given = {name: rest.pop(name) for name in ("device", "jobs", "executor", "scheduler")}
        return function(*args, settings=Settings(**given, resources=_resources(resource)), **rest)

    for option in (
        click.option("--device", default="cpu", show_default=True, help="Where models compute, as cuda."),
        click.option(
            "--resource",
            multiple=True,
            metavar="NAME=NUMBER",
            help="How many there are of what cells ask for, as gpu=2; one of each, if not said.",
        ),
        click.option("--scheduler", default="", metavar="ADDRESS", help="Join this scheduler of dask.distributed."),
        click.option(
            "--executor",
            type=click.Choice(["local", "dask"]),
            default="local",
            show_default=True,
            help="Where cells run: processes here, or workers of dask.distributed.",
        ),
        click.option("--jobs", type=click.IntRange(min=1), default=cores, help="Cells at a time."),
    ):
        bundled = option(bundled)
    return bundled


def _resources(given: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise UsageError(f"--resource {text}: expected a name and a number, as gpu=2") from None
    return found


def compute(session: Session, planner: Planner, plan: Plan, settings: Settings) -> Results:
    """Carry out a plan under a display; Ctrl-C and SIGTERM end all that runs, and the program in a line."""
    try:
        with _interruptible(), display(len(plan.to_run), session.forecast(plan, settings.jobs)) as observer:
            return session.compute(plan, planner, observer, settings)
    except KeyboardInterrupt as error:
        stop(INTERRUPTED, 128 + (error.args[0] if error.args else signal.SIGINT))


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn the first signal into KeyboardInterrupt with its number; hear no other while we clean up behind it."""
    since: list[float] = []

    def heard(number: int, frame: FrameType | None) -> None:
        if since:
            if time.monotonic() - since[0] > PATIENCE:
                os._exit(128 + number)
            return
        since.append(time.monotonic())
        raise KeyboardInterrupt(number)

    here = threading.current_thread() is threading.main_thread()
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, heard) for number in numbers} if here else {}
    try:
        yield
    finally:
        for number, handler in before.items():  # once interrupted, an exit on its way is not disturbed any more
            signal.signal(number, signal.SIG_IGN if since else handler)


def summary(plan: Plan, results: Results) -> str:
    """Say in a line what a build did."""
    computed, failed, blocked = len(results.computed), len(results.failures), len(results.blocked)
    lacking = len(plan.steps) - len(results.records) - failed - blocked
    fresh = len(results.records) - computed
    told = f"{len(plan.steps)} cells: {computed} computed, {fresh} fresh, {failed} failed, {blocked} blocked"
    return f"{told}, {lacking} stale or missing" if lacking else told


def exit_for(results: Results) -> None:
    """Name what failed, and exit with 1 if not every cell has a result."""
    for failure in results.failures.values():
        click.echo(f"failed: {failure.name}: {failure.error}", err=True)
    if not results.whole:
        raise click.exceptions.Exit(FAILED)
