"""What a recipe file says, checked: which models, merged how, into what. Reads no model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from compute import yaml_file
from compute.errors import UsageError, unknown
from compute.merging import presets
from compute.merging.dare import Dare
from compute.merging.recipe import Lines, Recipe
from compute.recipes import mergekit

Missing = Literal["refuse", "zero", "mean"]
Vocabulary = Literal["refuse", "align"]

WHOLE = ("base", "sources", "dtype", "missing", "vocabulary", "shard_size", "merges")
"""Keys that hold for all merges of a file."""

EACH = ("method", "preset", "options", "dare", "lines", "embeddings", "head", "seed")
"""Keys that each of several merges may say anew."""


@dataclass(frozen=True)
class Source:
    """An expert: where it is, what it is called (masks of DARE depend on it), and how much of it is merged."""

    model: str
    name: str
    coefficient: float


@dataclass(frozen=True)
class Document:
    """A recipe file: the models, and one or more merges of them by name ("" where there is one)."""

    folder: Path
    """Relative paths begin here."""
    base: str | None
    sources: tuple[Source, ...]
    merges: Mapping[str, Recipe]
    dtype: str | None = None
    missing: Missing = "refuse"
    """What stands for tensors that the base lacks, such as a head: nothing, zeros, or the mean of the experts'."""
    vocabulary: Vocabulary = "refuse"
    """What to do about vocabularies of different sizes: nothing, or match their tokens."""
    shard_size: int | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    """The file's content, for the record."""


def read(path: Path) -> Document:
    """Read a recipe, ours or mergekit's; UsageError, naming file and key, for what is wrong in it."""
    if not path.is_file():
        raise UsageError(f"no recipe {path}: name a YAML file; docs/guide/merge.md shows one")
    found = yaml_file.read(path)
    if not isinstance(found, dict):
        raise UsageError(f"{path.name}: a recipe is a mapping with the keys method, base and sources")
    said = mergekit.translated(found) if "merge_method" in found else found
    try:
        return _document(said, found, path.parent)
    except (UsageError, ValueError) as error:
        raise UsageError(f"{path.name}: {error}") from error


def _document(said: Mapping[str, Any], found: Mapping[str, Any], folder: Path) -> Document:
    _check_keys("a recipe", said, (*WHOLE, *EACH))
    sources = _sources(said.get("sources"))
    coefficients = tuple(source.coefficient for source in sources)
    variations = said.get("merges") or {"": {}}
    merges = {}
    for name, variation in _mapping("merges", variations).items():
        _check_keys(f"merge {name}", _mapping(f"merges.{name}", variation), EACH)
        merges[str(name)] = _recipe({**said, **variation}, coefficients)
    return Document(
        folder,
        said.get("base"),
        sources,
        merges,
        dtype=_one_of("dtype", said.get("dtype"), (None, "float32", "float16", "bfloat16", "float64")),
        missing=_one_of("missing", said.get("missing", "refuse"), get_args(Missing)),
        vocabulary=_one_of("vocabulary", said.get("vocabulary", "refuse"), get_args(Vocabulary)),
        shard_size=size(said.get("shard_size")),
        said=found,
    )


def _recipe(said: Mapping[str, Any], coefficients: tuple[float, ...]) -> Recipe:
    if "method" not in said:
        raise UsageError("no method: name one of `python -m compute list methods`")
    plain = Recipe(
        str(said["method"]),
        coefficients,
        _mapping("options", said.get("options") or {}),
        dare=_part(Dare, "dare", said.get("dare")),
        lines=_part(Lines, "lines", said.get("lines")),
        embeddings=_one_of("embeddings", said.get("embeddings", "merge"), ("merge", "base", "seen")),
        head=_one_of("head", said.get("head", "merge"), ("merge", "best")),
        seed=said.get("seed", 0),
    )
    return presets.applied(said["preset"], plain) if said.get("preset") else plain


def _sources(said: Any) -> tuple[Source, ...]:
    if not isinstance(said, list) or not said:
        raise UsageError("no sources: list at least one model to merge")
    given = [item if isinstance(item, dict) else {"model": item} for item in said]
    for item in given:
        _check_keys("a source", item, ("model", "name", "coefficient"))
        if "model" not in item:
            raise UsageError(f"a source without a model: {item}")
    if len({"coefficient" in item for item in given}) > 1:
        raise UsageError("some sources have a coefficient and others not: give one to all, or to none for equal ones")
    names = [str(item.get("name", Path(str(item["model"])).name)) for item in given]
    if len(set(names)) < len(names):
        names = [str(item.get("name", item["model"])) for item in given]
    if len(set(names)) < len(names):
        raise UsageError("the same source is named twice: add up its coefficients, or give it another `name`")
    return tuple(
        Source(str(item["model"]), name, _number("coefficient", item.get("coefficient", 1 / len(given))))
        for item, name in zip(given, names, strict=True)
    )


def with_shards(document: Document, said: str | None) -> Document:
    """Return *document* with another shard size, if one is *said*."""
    return dataclasses.replace(document, shard_size=size(said)) if said else document


def size(said: object) -> int | None:
    """Read a number of bytes such as 5GB or 500MB; None for None."""
    if said is None or isinstance(said, int):
        return said
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
    text = str(said).strip().upper()
    if text[-2:] in units and text[:-2].strip().replace(".", "", 1).isdigit():
        return int(float(text[:-2]) * units[text[-2:]])
    raise UsageError(f"shard size {said!r}: expected a number of bytes such as 500MB or 5GB")


def _part(kind: type[Any], key: str, said: Any) -> Any:
    if said is None:
        return None
    known = {field.name: field for field in dataclasses.fields(kind)}
    _check_keys(key, _mapping(key, said), tuple(known))
    try:
        return kind(**said)
    except TypeError as error:
        raise UsageError(f"{key}: {error}") from error


def _mapping(key: str, said: Any) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        raise UsageError(f"{key}: expected a mapping, found {said!r}")
    return said


def _number(key: str, said: Any) -> float:
    if isinstance(said, bool) or not isinstance(said, (int, float)):
        raise UsageError(f"{key}: expected a number, found {said!r}")
    return float(said)


def _one_of(key: str, said: Any, known: tuple[Any, ...]) -> Any:
    if said not in known:
        raise unknown(key, said, [str(name) for name in known if name])
    return said


def _check_keys(where: str, said: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in said:
        if key not in known:
            raise unknown(f"key of {where}", key, known)
