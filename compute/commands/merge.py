"""The command `merge`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import click

from compute.commands import options


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, cuda:1.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads that read, merge and write; default: the cores.")
@click.option("--shard-size", metavar="SIZE", help="Split the weights into files of at most this size, as 5GB.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be merged, and write nothing.")
@options.as_json
def command(
    recipe: Path, out: Path, device: str, threads: int | None, shard_size: str | None, dry_run: bool, as_json: bool
) -> None:
    """Merge models outside any study: RECIPE, a file of ours or mergekit's, into the folder OUT."""
    from compute.recipes import document, result, run

    read = document.with_shards(document.read(recipe), shard_size)
    result.check_free(out)
    try:
        prepared = run.prepare(read, cache=options.cache())
        if dry_run:
            _say(prepared.summary(), as_json)
            return
        with _progress(prepared.written) as watch:
            folders = run.carry_out(prepared, out, cache=options.cache(), device=device, threads=threads, watch=watch)
    except KeyboardInterrupt:
        options.stop(f"interrupted: nothing was written to {out}", options.INTERRUPTED)
    _say([str(folder) for folder in folders], as_json)


def _say(found: Any, as_json: bool) -> None:
    if as_json:
        options.write_json(found)
    else:
        click.echo("\n".join(found) if isinstance(found, list) else options.yaml(found))


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None] | None]:
    """Show on a terminal how many of *total* bytes are written."""
    if not sys.stderr.isatty():
        yield None
        return
    lock = Lock()
    with click.progressbar(length=total, label="merging", file=sys.stderr, update_min_steps=total // 200) as bar:

        def watch(count: int) -> None:
            with lock:
                bar.update(count)

        yield watch
