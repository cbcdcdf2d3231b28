"""What commands share: options, opening studies, and the ways to print."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from compute import study as studies
from compute.engine import stores
from compute.errors import UsageError
from compute.session import Session, find_root

USAGE, FAILED, INTERRUPTED = 2, 1, 130


def config(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say under which config studies are opened, and from which store."""
    for option in (
        click.option(
            "--store",
            callback=_use_store,
            expose_value=False,
            metavar="URL",
            help=f"Where results are kept, a folder or URL as s3://bucket/folder; also {stores.SETTING}.",
        ),
        click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change one config value."),
        click.option("--profile", default="mini", show_default=True, help="The named config."),
    ):
        function = option(function)
    return function


def _use_store(context: click.Context, option: click.Parameter, address: str | None) -> None:
    """Set the store for this run and its workers."""
    if address:
        os.environ[stores.SETTING] = stores.named(address)


as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON for programs.")
slugs = click.argument("slugs", nargs=-1, metavar="[STUDY]...")
in_study = click.option("--study", "slug", default="", help="Look in this study alone.")


def open_session(slugs: Sequence[str] | str, profile: str, changes: Sequence[str]) -> Session:
    """Open the studies of these slugs, or all if none is named, in the project around the current folder."""
    named = [slugs] if isinstance(slugs, str) and slugs else slugs
    session = Session(find_root(Path.cwd()))
    session.open(named or studies.slugs(), profile, changes)
    return session


def cache() -> Path:
    """Return where to keep what is learnt of files: the project's cache, or the user's own outside any project."""
    try:
        return find_root(Path.cwd()) / "cache"
    except UsageError:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "recount"


def stop(line: str, code: int) -> NoReturn:
    """End with one line on standard error and an exit code."""
    click.echo(line, err=True)
    raise click.exceptions.Exit(code)


def write_json(data: Any) -> None:
    """Print data for programs."""
    click.echo(json.dumps(data, indent=1, ensure_ascii=False))


def yaml(data: Any) -> str:
    """Write data for people."""
    from yaml import safe_dump

    text: str = safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return text.rstrip()


def cores() -> int:
    """Return how many cells run at a time where nobody says."""
    return os.cpu_count() or 1
