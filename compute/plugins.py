"""Finds plug-ins: one file, one function of the same name. Knows packages and names, not what they do."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from compute.errors import unknown


def names(package: str) -> list[str]:
    """List the plug-ins of *package*, sorted, without importing any of them.

    A plug-in is a module of the package whose name does not begin with an underscore.
    """
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [file for folder in folders for file in Path(folder).glob("*.py")]
    return sorted(file.stem for file in files if not file.stem.startswith("_"))


def check(package: str, name: str) -> str:
    """Return *name* if *package* has such a plug-in; else raise UsageError with the nearest names."""
    known = names(package)
    if name not in known:
        raise unknown(package.rsplit(".", 1)[-1].replace("_", " "), name, known)
    return name


def load(package: str, name: str) -> Callable[..., Any]:
    """Import the plug-in *name* of *package*: the function of the file's own name."""
    module = importlib.import_module(f"{package}.{check(package, name)}")
    function: Callable[..., Any] = getattr(module, name)
    return function
