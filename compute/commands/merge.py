"""The command `merge`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from compute.commands import options


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, cuda:1.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads that read, merge and write; default: the cores.")
@click.option("--shard-size", metavar="SIZE", help="Split the weights into files of at most this size, as 5GB.")
@options.as_json
def command(recipe: Path, out: Path, device: str, threads: int | None, shard_size: str | None, as_json: bool) -> None:
    """Merge models outside any study: RECIPE, a file of ours or mergekit's, into the folder OUT."""
    from compute.recipes import document, run

    read = document.read(recipe)
    sized = document.with_shards(read, shard_size)
    folders = run.run(sized, out, cache=options.cache(), device=device, threads=threads)
    click.echo(json.dumps([str(folder) for folder in folders]) if as_json else "\n".join(map(str, folders)))
