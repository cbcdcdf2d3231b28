"""Writes the generated part of docs/: each study's pages if what they show changed, index, reference, assets.

Light to import: the libraries that draw and write are loaded only when a page must be written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute.engine import files
from compute.engine.build import Results
from compute.engine.keys import hashed
from compute.engine.record import readable
from compute.engine.upkeep import verify
from compute.engine.versions import version

if TYPE_CHECKING:
    from compute.engine.cell import Cell
    from compute.engine.code import Code
    from compute.engine.store import Store
    from compute.report.pages import Outcome
    from compute.session import Opened

SHOWN = 2
"""Raised when pages show something of the cache that they did not show before."""

INDEX, REFERENCE = "", "/reference"
"""Under which names the manifest has what is no study."""

LIBRARIES = ("altair", "jinja2", "mkdocs-material", "pandas", "vl-convert-python")


def write(root: Path, cache: Path, code: Code, store: Store, opened: Sequence[Opened], results: Results) -> int:
    """Bring docs/ up to date with *results*; return how many files were written or removed.

    What was written for what is kept in a manifest under the cache; a page whose inputs and files are as
    they were is not even looked at.
    """
    manifest = Manifest(root, cache / "index" / "pages.json")
    common = [part for item in _sources(root) for part in item] + [version(name) or "" for name in LIBRARIES]
    count = 0
    for item in opened:
        write_study = partial(_written, "study", root, store, code, item, results)
        count += manifest.bring(item.study.slug, _digest(item, store, results, common), write_study)
    summaries = manifest.summaries()
    count += manifest.bring(INDEX, hashed([common, summaries]), partial(_written, "index", root, summaries))
    count += manifest.bring(REFERENCE, hashed(common), partial(_written, "reference", root))
    manifest.save()
    return count


def _written(what: str, *arguments: Any) -> Outcome:
    """Write a study, the index or the reference; only then is loaded what writes."""
    from compute.report import pages

    write: Callable[..., Outcome] = getattr(pages, f"write_{what}")
    return write(*arguments)


def verdicts(root: Path, cache: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Return, for each study that has pages, what they say of its claims: `verdict` and `measured` by name."""
    summaries = Manifest(root, cache / "index" / "pages.json").summaries()
    return {slug: summary.get("claims", {}) for slug, summary in summaries.items()}


def _digest(item: Opened, store: Store, results: Results, common: list[str]) -> str:
    """Return the digest of all that a study's pages show."""
    cells = [_seen(cell, store, results) for cell in item.cells]
    config = json.dumps(readable(item.config), sort_keys=True, default=str)
    seen = [SHOWN, item.profile, list(item.changes), config, cells, verify.state(store), common]
    return hashed(["page", *seen])


def _seen(cell: Cell, store: Store, results: Results) -> list[Any]:
    """Tell what a page shows of a cell: its result and record, or why there is none and what there was before.

    A record is another when its result was accepted or computed anew. Only what lacks a result costs a look
    into the store.
    """
    if stamp := results.records.stamps.get(cell.key):
        return [*stamp, *store.written(stamp)]
    failure = results.failures.get(cell.key) or store.failure(cell.key)
    former = [record.to_json() for record in store.others(cell.key)[-1:]]
    return [cell.key, results.state(cell), *([failure.when, failure.attempts] if failure else []), *former]


def _sources(root: Path) -> list[tuple[str, str]]:
    """Return what every page depends on, each file with its digest: templates, and the whole package.

    Pages show the source of cells, and the reference every module and plug-in; comments and docstrings, which
    make no cell run, are seen there.
    """
    folders = (root / "templates", Path(__file__).parents[1])
    return [item for folder in folders for item in files.digests(folder).items()]


class Manifest:
    """For each study, and for the index and the reference: its inputs' digest, its files, its summary."""

    def __init__(self, root: Path, path: Path) -> None:
        self.docs = root / "docs"
        self.path = path
        self.entries: dict[str, Any] = files.read_json(path)
        self._before = json.dumps(self.entries, sort_keys=True)

    def bring(self, name: str, digest: str, write: Callable[[dict[str, str]], Outcome]) -> int:
        """Let the pages of *name* be written unless they lie there as of *digest*; return how many files changed.

        `write` gets the files of the former build with their digests.
        """
        if self.fresh(name, digest):
            return 0
        written = write(dict(self.entries.get(name, {}).get("files", {})))
        self.put(name, digest, written.manifest, written.summary)
        return written.changed

    def fresh(self, name: str, digest: str) -> bool:
        """Whether what was written for *name* had this digest and lies there untouched."""
        entry = self.entries.get(name, {})
        return bool(entry) and entry["digest"] == digest and all(map(self._untouched, entry["stamps"].items()))

    def _untouched(self, item: tuple[str, list[int]]) -> bool:
        path = self.docs / item[0]
        return path.is_file() and files.stamp(path) == item[1]

    def put(self, name: str, digest: str, written: dict[str, str], summary: dict[str, Any]) -> None:
        """Note what was written for *name*."""
        stamps = {file: files.stamp(self.docs / file) for file in written}
        self.entries[name] = {"digest": digest, "files": written, "stamps": stamps, "summary": summary}

    def summaries(self) -> dict[str, Any]:
        """Return the summaries of all studies that have pages, by slug."""
        return {name: self.entries[name]["summary"] for name in sorted(self.entries) if name not in (INDEX, REFERENCE)}

    def save(self) -> None:
        """Write the manifest if it changed; in a cache that cannot be written, pages are written again next time."""
        if json.dumps(self.entries, sort_keys=True) != self._before:
            with suppress(OSError):
                files.write_atomically(self.path, json.dumps(self.entries).encode())
