"""Configs that were checked before: to check one again, unchanged, takes longer than to plan a thousand cells.

A config is remembered by the content of the whole package, in which profiles and the classes of configs lie, and by
what was asked for. It is kept as plain data; its classes check once more that their parts fit each other.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from compute.engine import files
from compute.engine.keys import hashed
from compute.engine.privacy import redacted
from compute.engine.versions import version
from compute.study import Study

MOST = 50
"""How many configs are remembered."""


class Checked:
    """The configs that were checked under one cache."""

    def __init__(self, index: Path) -> None:
        self.index = index
        self._entries: dict[str, Any] = files.read_json(index)
        self._changed = False

    def load(self, study: Study, profile: str, changes: Sequence[str]) -> Any:
        """Return a study's config, as `config.load` does and with its errors."""
        package = files.digests(Path(__file__).parent)
        key = hashed(["config", study.slug, profile, list(changes), sorted(package.items()), version("pydantic")])
        if key in self._entries:
            with suppress(AttributeError, ImportError, KeyError, TypeError):
                return thawed(self._entries[key])
        from compute import config

        found = config.load(study, profile, changes)
        with suppress(TypeError):
            self._put(key, frozen(found))
        return found

    def _put(self, key: str, tree: Any) -> None:
        text = json.dumps(tree)
        if redacted(text) == text:  # where somebody's data lie is not kept
            self._entries = dict([*self._entries.items()][1 - MOST :]) | {key: tree}
            self._changed = True

    def save(self) -> None:
        """Write what is new; a read-only cache is no reason to fail."""
        if self._changed:
            with suppress(OSError):
                files.write_atomically(self.index, json.dumps(self._entries).encode())
                self._changed = False


def frozen(value: object) -> Any:
    """Write a config as JSON data from which `thawed` makes the same; TypeError for what it cannot hold."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(frozen, value)]
    if type(value) is dict:
        return ["dict", *([frozen(name), frozen(item)] for name, item in value.items())]
    if is_dataclass(value) and not isinstance(value, type):
        members = {member.name: frozen(getattr(value, member.name)) for member in fields(value) if member.init}
        return {"class": f"{type(value).__module__}:{type(value).__qualname__}", "members": members}
    raise TypeError(f"a config holds a {type(value).__name__}")


def thawed(tree: Any) -> Any:
    """Make a config of what `frozen` wrote."""
    if isinstance(tree, Mapping):
        module, _, name = tree["class"].partition(":")
        members = {key: thawed(item) for key, item in tree["members"].items()}
        return getattr(importlib.import_module(module), name)(**members)
    if not isinstance(tree, list):
        return tree
    kind, *items = tree
    if kind == "dict":
        return {thawed(name): thawed(item) for name, item in items}
    return {"list": list, "tuple": tuple}[kind](map(thawed, items))
