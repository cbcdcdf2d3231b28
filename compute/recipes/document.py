"""What a recipe file says, checked: which models, merged how, into what. Reads no model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from compute import yaml_file
from compute.errors import UsageError, unknown
from compute.merging import presets
from compute.merging.dare import Dare
from compute.merging.recipe import Lines, Recipe
from compute.plugin_options import check_type
from compute.recipes import mergekit

Missing = Literal["refuse", "zero", "mean"]
Vocabulary = Literal["refuse", "align"]

WHOLE = ("base", "sources", "dtype", "missing", "vocabulary", "shard_size", "data", "merges")
"""Keys that hold for all merges of a file."""

DATA = ("fisher", "grams")
"""What files may hold of what a method must know from data."""

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
    data: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Safetensors, a file or folder, with what methods must know from data: by kind and source."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """The file's content, for the record."""

    def places(self) -> list[str]:
        """List the models and files that are named, as they are named."""
        models = [self.base, *(source.model for source in self.sources)]
        return [place for place in models if place] + [place for each in self.data.values() for place in each.values()]


def read(path: Path) -> Document:
    """Read a recipe, ours or mergekit's; UsageError, naming file and key, for what is wrong in it.

    Relative paths begin in the recipe's folder, those in mergekit's YAML in the current one, as they do there.
    """
    if not path.is_file():
        raise UsageError(f"no recipe {path}: name a YAML file; docs/guide/merge.md shows one")
    found = yaml_file.read(path)
    if not isinstance(found, dict):
        raise UsageError(f"{path.name}: a recipe is a mapping with the keys method, base and sources")
    try:
        if "merge_method" in found:  # whose relative paths begin in the current folder
            return _document(mergekit.translated(found), found, Path.cwd())
        return _document(found, found, path.parent)
    except (UsageError, ValueError) as error:
        raise UsageError(f"{path.name}: {error}") from error


def _document(said: Mapping[str, Any], found: Mapping[str, Any], folder: Path) -> Document:
    _check_keys("a recipe", said, (*WHOLE, *EACH))
    sources = _sources(said.get("sources"))
    base = None if said.get("base") is None else _text("base", said["base"])
    if _preset(said) in presets.WHOLE:
        base, sources, merges = _settled(said, sources)
    else:
        merges = _merges(said, sources)
    return Document(
        folder,
        base,
        sources,
        merges,
        dtype=_one_of("dtype", said.get("dtype"), (None, "float32", "float16", "bfloat16", "float64")),
        missing=_one_of("missing", said.get("missing", "refuse"), get_args(Missing)),
        vocabulary=_one_of("vocabulary", said.get("vocabulary", "refuse"), get_args(Vocabulary)),
        shard_size=size(said.get("shard_size")),
        data=_data(said.get("data"), [source.name for source in sources]),
        said=found,
    )


def _merges(said: Mapping[str, Any], sources: tuple[Source, ...]) -> dict[str, Recipe]:
    coefficients = tuple(source.coefficient for source in sources)
    variations = _mapping("merges", said.get("merges"))
    merges = {}
    for name, variation in variations.items():
        own = _mapping(f"merges.{name}", variation)
        _check_keys(f"merge {name}", own, EACH)
        merges[_folder_name(name)] = _recipe({**said, **own}, coefficients)
    return merges or {"": _recipe(said, coefficients)}


def _settled(said: Mapping[str, Any], sources: tuple[Source, ...]) -> tuple[str, tuple[Source, ...], dict[str, Recipe]]:
    """Return base, sources and the one merge of a preset that settles all of these by itself."""
    for key in ("base", "merges", "data", *(key for key in EACH if key not in ("method", "preset"))):
        if key in said:
            raise UsageError(f"{key}: preset {said['preset']} settles that itself, as it was published: leave it out")
    if "method" not in said:
        raise UsageError("no method: name one of `python -m compute list methods`")
    named = {source.name: source for source in sources}
    coefficients = [source.coefficient for source in sources]
    base, experts, recipe = presets.WHOLE[said["preset"]](list(named), coefficients, str(said["method"]))
    return named[base].model, tuple(named[name] for name in experts), {"": recipe}


def _recipe(said: Mapping[str, Any], coefficients: tuple[float, ...]) -> Recipe:
    if "method" not in said:
        raise UsageError("no method: name one of `python -m compute list methods`")
    method = _text("method", said["method"])
    options, dare = _mapping("options", said.get("options")), said.get("dare")
    if preset := _preset(said):
        options = {**presets.options(preset, method), **options}
        if dare is not None:
            dare = {**presets.options(preset, "dare"), **_mapping("dare", dare)}
    return Recipe(
        method,
        coefficients,
        options,
        dare=_part(Dare, "dare", dare),
        lines=_part(Lines, "lines", said.get("lines")),
        embeddings=_one_of("embeddings", said.get("embeddings", "merge"), ("merge", "base", "seen")),
        head=_one_of("head", said.get("head", "merge"), ("merge", "best")),
        seed=_whole("seed", said.get("seed", 0)),
    )


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
    models = [_text("model", item["model"]) for item in given]
    names = [_text("name", item["name"]) if "name" in item else "" for item in given]
    short = _short(models)
    names = [name or tail for name, tail in zip(names, short, strict=True)]
    if len(set(names)) < len(names):
        raise UsageError("the same source is named twice: add up its coefficients, or give it another `name`")
    return tuple(
        Source(model, name, _number("coefficient", item.get("coefficient", 1 / len(given))))
        for item, model, name in zip(given, models, names, strict=True)
    )


def _short(models: list[str]) -> list[str]:
    """Return the shortest ends of the *models*' paths that tell them apart: masks must not depend on where they lie."""
    parts = [Path(model).parts for model in models]
    for count in range(1, max(map(len, parts)) + 1):
        tails = ["/".join(each[-count:]) for each in parts]
        if len(set(tails)) == len(set(parts)):
            return tails
    return models


def _data(said: Any, sources: list[str]) -> dict[str, dict[str, str]]:
    found = {}
    for kind, places in _mapping("data", said).items():
        _one_of("data", kind, DATA)
        given = {
            str(source): _text(f"data.{kind}.{source}", place)
            for source, place in _mapping(f"data.{kind}", places).items()
        }
        for source in given:
            if source not in sources:
                raise unknown(f"source in data.{kind}", source, sources)
        if lacking := [source for source in sources if source not in given]:
            raise UsageError(f"data.{kind} lacks the source {lacking[0]}: name a file or folder for each")
        found[str(kind)] = {source: given[source] for source in sources}
    return found


def with_shards(document: Document, said: str | None) -> Document:
    """Return *document* with another shard size, if one is *said*."""
    return dataclasses.replace(document, shard_size=size(said)) if said is not None else document


def size(said: object) -> int | None:
    """Read a number of bytes such as 5GB or 500MB; None for None."""
    if said is None:
        return None
    found = _bytes(str(said).strip().upper()) if isinstance(said, (int, str)) else 0
    if found < 1:
        raise UsageError(f"shard size {said!r}: expected a number of bytes such as 500MB or 5GB")
    return found


def _bytes(text: str) -> int:
    """Return how many bytes *text* means, 0 if it means none."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
    number, unit = (text[:-2].strip(), units[text[-2:]]) if text[-2:] in units else (text, 1)
    whole, _, part = number.partition(".")
    if not (whole + part).isdecimal() or (part and unit == 1):
        return 0
    return int(float(number) * unit) if part else int(whole) * unit


def _part(kind: type[Any], key: str, said: Any) -> Any:
    if said is None:
        return None
    known = {field.name: field for field in dataclasses.fields(kind)}
    _check_keys(key, _mapping(key, said), tuple(known))
    types = get_type_hints(kind)
    for name, value in said.items():
        check_type(f"{name} of {key}", value, types[name])
    try:
        return kind(**said)
    except TypeError as error:
        raise UsageError(f"{key}: {error}") from error


def _mapping(key: str, said: Any) -> Mapping[str, Any]:
    """Return a mapping; an empty one where nothing is said."""
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise UsageError(f"{key}: expected a mapping, found {said!r}")
    return said


def _number(key: str, said: Any) -> float:
    if isinstance(said, bool) or not isinstance(said, (int, float)):
        raise UsageError(f"{key}: expected a number, found {said!r}")
    try:
        return float(said)
    except OverflowError as error:
        raise UsageError(f"{key}: {error}") from error


def _whole(key: str, said: Any) -> int:
    if isinstance(said, bool) or not isinstance(said, int):
        raise UsageError(f"{key}: expected a whole number, found {said!r}")
    return said


def _text(key: str, said: Any) -> str:
    """Return a text; a whole number, as a name or folder may be, counts as one."""
    if isinstance(said, bool) or not isinstance(said, (str, int)) or said == "":
        raise UsageError(f"{key}: expected a text, found {said!r}")
    return str(said)


def _preset(said: Mapping[str, Any]) -> str | None:
    return None if said.get("preset") is None else _text("preset", said["preset"])


def _folder_name(name: Any) -> str:
    """Return the name of a merge; refuse what is no name of a folder."""
    text = str(name) if isinstance(name, (str, int)) else ""
    if not text.isprintable() or text.startswith(".") or not text.strip() or not set(text).isdisjoint("/\\"):
        raise UsageError(f"merges: {name!r} is to be the name of a folder")
    return text


def _one_of(key: str, said: Any, known: tuple[Any, ...]) -> Any:
    if said not in known:
        raise unknown(key, said, [str(name) for name in known if name])
    return said


def _check_keys(where: str, said: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in said:
        if key not in known:
            raise unknown(f"key of {where}", key, known)
