"""The command `pin`."""

from __future__ import annotations

from pathlib import Path

import click

from compute.commands import options
from compute.engine.upkeep.builds import Builds, Manifest
from compute.errors import UsageError
from compute.session import find_root


@click.command()
@click.argument("build", default="", metavar="[BUILD]")
@click.option("--name", default="", help="Pin the build under this name (default: the latest build).")
@click.option("--list", "listed", is_flag=True, help="List the pinned builds.")
@click.option("--remove", "removed", default="", metavar="NAME", help="Take a pin off; gc may then remove its results.")
@options.as_json
def command(build: str, name: str, listed: bool, removed: str, as_json: bool) -> None:
    """Keep the results of a build under a name, whatever gc removes."""
    builds = Builds(find_root(Path.cwd()) / "cache")
    if [bool(name), listed, bool(removed)].count(True) != 1 or (build and not name):
        raise UsageError("pin: say one of [BUILD] --name NAME, --list, --remove NAME")
    if name:
        manifest = builds.find(build or "latest")
        builds.pin(manifest, name)
        click.echo(f"{name}: build {manifest.id}, {len(manifest.cells)} results of {manifest.subject}")
    elif removed:
        builds.unpin(removed)
        click.echo(f"{removed} is no longer pinned")
    else:
        _print(builds.pins(), as_json)


def _print(pins: dict[str, Manifest], as_json: bool) -> None:
    if as_json:
        options.write_json({name: {"build": found.id, "when": found.when} for name, found in pins.items()})
        return
    for name, found in pins.items():
        click.echo(f"{name}  {found.id}  {len(found.cells)} results of {found.subject}")
