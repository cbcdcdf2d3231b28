"""Reads a study's config: a profile's YAML file, then `key=value` changes, checked against its dataclass."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

# Looking for plug-ins among all installed packages takes longer than all the rest here.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
from pydantic import TypeAdapter, ValidationError

from compute import yaml_file
from compute.errors import UsageError, unknown
from compute.study import Study


def load(study: Study, profile: str, changes: Sequence[str] = ()) -> Any:
    """Return the study's config under *profile* with *changes*, each "key=value" with a dotted key.

    Raises UsageError for an unknown profile or key (with the nearest), a file that does not parse
    (with its line) and a value of the wrong type or outside its range.
    """
    if profile not in study.profiles():
        raise unknown(f"profile of {study.slug}", profile, study.profiles())
    path = study.folder / f"{profile}.yaml"
    adapter: TypeAdapter[Any] = TypeAdapter(study.config)
    lock = study.folder / f"{profile}.lock.yaml"
    written = _merged(yaml_file.read(path), yaml_file.read(lock) if lock.exists() else {})
    config = _validated(adapter, written, path.name)
    if not changes:
        return config
    values = adapter.dump_python(config, mode="json")
    try:
        for change in changes:
            _apply(values, change)
    except UsageError as error:
        raise UsageError(f"{study.slug}: {error}") from None  # which one of several that are opened together
    return _validated(adapter, values, "--set")


def _merged(values: Any, more: Any) -> Any:
    """Lay what a lock file pins over a profile."""
    if not isinstance(values, dict) or not isinstance(more, dict):
        return more
    return {**values, **{name: _merged(values.get(name, {}), item) for name, item in more.items()}}


def _validated(adapter: TypeAdapter[Any], values: Any, source: str) -> Any:
    """Check strictly, as JSON: "3" is no number, and a list is a tuple."""
    try:
        return adapter.validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise UsageError(f"{source}: {'; '.join(_sentence(item) for item in error.errors())}") from error


def _sentence(item: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "config"
    found = "" if item["type"] in ("missing", "missing_argument") else f", found {json.dumps(item['input'])[:80]}"
    return f"{where}: {item['msg']}{found}"


def _apply(values: dict[str, Any], change: str) -> None:
    """Set one value in place, where the dotted key leads."""
    key, equals, text = change.partition("=")
    if not equals:
        raise UsageError(f"--set {change!r}: expected key=value, as in --set seed=1")
    *parents, last = key.strip().split(".")
    place = values
    for depth, name in enumerate(parents):
        place = place[_known(place, name, parents[:depth])]
    if not (last in place or _open(place)):
        _known(place, last, parents)
    place[last] = _parsed(text, place.get(last))


def _known(place: Any, name: str, parents: Sequence[str]) -> str:
    if not isinstance(place, dict) or name not in place:
        known = [".".join([*parents, item]) for item in place] if isinstance(place, dict) else []
        raise unknown("config key", ".".join([*parents, name]), known)
    return name


def _open(place: Any) -> bool:
    """Whether a mapping takes new names: those from locale to number do."""
    return isinstance(place, dict) and bool(place) and all(isinstance(item, float) for item in place.values())


def _parsed(text: str, present: object) -> Any:
    """Read a value as YAML; where a list is expected, `a,b` is one too."""
    try:
        value = yaml_file.parse(text)
    except yaml.YAMLError as error:
        raise UsageError(f"--set …={text!r}: not a YAML value") from error
    if isinstance(present, list) and not isinstance(value, list):
        return [yaml_file.parse(part) for part in text.split(",")]
    return value
