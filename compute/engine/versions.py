"""The versions of installed distributions, without the cost of importing what lists them in full."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

_FOLDER = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)\.(?:dist-info|egg-info)")


@cache
def version(name: str) -> str | None:
    """Return the version of a distribution, or None if it is not installed."""
    return _listed().get(_normal(name)) or _asked(name)


@cache
def _listed() -> dict[str, str]:
    """Read the versions off the names of the folders beside the packages; the first on the path counts."""
    found: dict[str, str] = {}
    for folder in map(Path, sys.path):
        if folder.is_dir():
            for entry in folder.iterdir():
                if match := _FOLDER.fullmatch(entry.name):
                    found.setdefault(_normal(match["name"]), match["version"])
    return found


def _asked(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as ask

    try:
        return ask(name)
    except PackageNotFoundError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
