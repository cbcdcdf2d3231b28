"""Opens stores: a folder, or a folder with any place that fsspec reaches behind it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from compute.engine.files import Remembered
from compute.engine.record import Record
from compute.engine.remotes.mirror import Mirror
from compute.engine.remotes.shelf import Folder, Shelf
from compute.engine.store import Store
from compute.errors import UsageError

SETTING = "RECOUNT_STORE"
"""The environment variable that names the store, a folder or URL. Workers inherit it; no key depends on it."""

_HERE = ("file://", "local://")


def open(
    address: str | Path,
    cache: Path | None = None,
    remembered: Remembered | None = None,
    expected: Callable[[], Iterable[str]] = tuple,
) -> Store:
    """Open the store at *address*: a folder or file:// URL, or any other URL with the folder *cache* before it.

    *expected* gives the keys that will be asked for (see `Mirror`). UsageError for a URL without *cache*, or one
    that holds a password.
    """
    if not is_remote(address):
        return Store(_folder(address), remembered)
    if cache is None:
        raise UsageError(f"{address} needs a folder here in front of it, and none was named")
    return Mirror(cache, shelf(address), remembered, expected)


def setting() -> str:
    """Return the address that the environment sets, or ""."""
    return os.environ.get(SETTING, "")


def named(address: str) -> str:
    """Return an address that means the same in any folder; UsageError for a URL that holds a password."""
    if not is_remote(address):
        return str(_folder(address))
    from compute.engine.remotes.remote import check

    check(address)
    return address


def environment() -> dict[str, str]:
    """Return what workers on other machines need set to reach the store."""
    return {SETTING: setting()} if is_remote(setting()) else {}


def at(root: Path) -> Store:
    """Open the store at *root* in a worker, with the place behind it that the environment sets."""
    address = setting()
    return _mirror(root, address) if is_remote(address) else Store(root)


@lru_cache(maxsize=4)
def _mirror(root: Path, address: str) -> Store:
    """Keep one object a process: it knows whether the place answers."""
    return open(address, root)


def hold(store: Store, record: Record) -> None:
    """See that the files of a result lie here, wherever its record was found."""
    if isinstance(store, Mirror):
        store.hold(record)


def send_left(store: Store) -> str:
    """Send what a store could not send before; return, in a line, what it could not send now either, or ""."""
    return store.send_left() if isinstance(store, Mirror) else ""


def shelf(address: str | Path) -> Shelf:
    """Return the results at a folder or URL, to copy to or from."""
    if not is_remote(address):
        return Folder(Store(_folder(address)))
    from compute.engine.remotes.remote import Remote

    return Remote(str(address))


def is_remote(address: str | Path) -> bool:
    """Tell a URL from a folder, which file:// names too."""
    return isinstance(address, str) and "://" in address and not address.startswith(_HERE)


def _folder(address: str | Path) -> Path:
    if isinstance(address, str) and address.startswith(_HERE):
        return Path(unquote(urlsplit(address).path))
    return Path(address).absolute()
