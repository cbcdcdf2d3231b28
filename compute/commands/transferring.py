"""What `push` and `pull` share: what is copied, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from compute import study as studies
from compute.commands.options import FAILED, write_json
from compute.errors import UsageError
from compute.report.formats import size

if TYPE_CHECKING:
    from compute.engine.remotes.transfer import Transfer


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what is copied."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Say how much would be copied; copy nothing."),
        click.option("--results", type=click.Choice(["current", "all"]), default="current", show_default=True,
                     help="What the studies show now, or all results."),
        click.option("--all", "everything", is_flag=True, help="All studies; so it is where none is named."),
    ):  # fmt: skip
        function = option(function)
    return function


def check(slugs: tuple[str, ...], everything: bool) -> None:
    """Refuse studies by name together with all."""
    if slugs and everything:
        raise UsageError(f"name the studies, or all by --all; known: {', '.join(studies.slugs())}")


def report(verb: str, way: str, done: Transfer, as_json: bool) -> None:
    """Tell what was copied, name what was damaged, and exit with 1 if something was."""
    if as_json:
        write_json({"copied": done.copied, "bytes": done.size, "there": done.there, "damaged": done.damaged})
    else:
        place = "there" if way == "to" else "here"
        click.echo(f"{verb} {done.copied} results ({size(done.size)}) {way} {done.address}; {done.there} were {place}")
    for line in done.damaged:
        click.echo(f"damaged: {line}", err=True)
    if done.damaged:
        raise click.exceptions.Exit(FAILED)
