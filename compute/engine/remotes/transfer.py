"""Copies results between the store at work and another place, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from compute.engine import stores
from compute.engine.record import Record
from compute.engine.remotes.shelf import Shelf
from compute.engine.store import DamagedResult, Store

WIDTH = 8
"""Results at a time: most of the time goes by waiting for answers."""


@dataclass
class Transfer:
    """What was copied, or would be."""

    address: str
    copied: int = 0
    size: int = 0
    """Bytes; files that were there already do not count."""
    there: int = 0
    """Results that needed no copy."""
    damaged: list[str] = field(default_factory=list)
    """A sentence for each result that was not copied because its bytes are not those of its record."""


def push(store: Store, shelf: Shelf, records: Iterable[Record], *, replace: bool, dry_run: bool) -> Transfer:
    """Copy results from *store* to *shelf* that are not there, or all of them to *replace* those."""
    there = {} if replace else shelf.results()

    def send(record: Record) -> int:
        stores.hold(store, record)
        return shelf.put(record, store, replace=replace)

    done, wanted = Transfer(shelf.address), list(records)
    lacking = [record for record in wanted if (record.key, record.trace.id) not in there]
    done.there = len(wanted) - len(lacking)
    return _copy(done, lacking, _size if dry_run else send)


def pull(store: Store, shelf: Shelf, records: Iterable[Record], *, dry_run: bool) -> Transfer:
    """Copy results from *shelf* to *store* that are not here."""
    here = Store(store.root)  # without what may lie behind it
    done, wanted = Transfer(shelf.address), list(records)
    lacking = [record for record in wanted if here.stamp(record.key, record.trace.id) is None]
    done.there = len(wanted) - len(lacking)
    return _copy(done, lacking, _size if dry_run else lambda record: shelf.get(record, store))


def _size(record: Record) -> int:
    return record.size


def _copy(done: Transfer, records: list[Record], one: Callable[[Record], int]) -> Transfer:
    """Copy each; a damaged one is noted and the rest still copied, any other error ends it."""
    with ThreadPoolExecutor(WIDTH) as pool:
        futures = [pool.submit(one, record) for record in records]
        try:
            for future in as_completed(futures):
                try:
                    done.size += future.result()
                    done.copied += 1
                except DamagedResult as error:
                    done.damaged.append(str(error))
        finally:
            pool.shutdown(cancel_futures=True)
    done.damaged.sort()
    return done
