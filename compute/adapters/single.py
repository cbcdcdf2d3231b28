"""Translates one adapter of model X by the anchors of a collection, and tells what was done. Writes no file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from compute.adapters.adapter import Adapter
from compute.adapters.collection import Collection
from compute.adapters.diagnostics import same_start
from compute.adapters.material import Material
from compute.adapters.method import bind_options, load_method, method_info
from compute.adapters.places import AdapterPlace
from compute.adapters.problem import Problem, Space
from compute.adapters.spaces import grams, problem
from compute.adapters.translate import translate
from compute.engine import files
from compute.errors import UsageError
from compute.models.places import FolderModel, HubModel
from compute.weights.safetensors_files import open_folder
from compute.weights.weights import find

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from compute.adapters.material import Weight


@dataclass(frozen=True)
class Request:
    """How an adapter is to be translated; `domain` is that of its task, where a method looks at it."""

    method: str = "pertensor_ridge"
    space: Space = "delta"
    options: Mapping[str, object] = field(default_factory=dict)
    domain: str = ""
    seed: int = 0


class Translated(NamedTuple):
    """An adapter of model Y, what model that is ("" where nothing says), and what is to be told of it, plain values.

    `inputs` are the identities of all that went in; `warnings` are sentences.
    """

    adapter: Adapter
    base_model: str
    found: dict[str, Any]
    inputs: dict[str, Any]
    warnings: list[str]


def translated(collection: Collection, place: AdapterPlace, name: str, request: Request) -> Translated:
    """Translate the adapter at *place*, which is called *name* in errors, by the usable anchors of *collection*.

    Raises UsageError where the request cannot be met, adapters do not fit together, or files change meanwhile.
    """
    options = bind_options(request.method, request.options)
    _check_method(request.method, collection)
    before = _identities(collection, place, request.method)
    query = place.load()
    x, y = ({task.name: getattr(task, model).load() for task in collection.anchors} for model in ("x", "y"))
    name = f"{name}, which is translated" if name in x else name
    posed = _problem(collection, {**x, name: query}, y, name, request)
    bases = _bases(collection) if method_info(request.method).needs_bases else (None, None)
    made = translate(request.method, options, posed, Material(query, y, *bases), request.space)
    if _identities(collection, place, request.method) != before:
        raise UsageError("models or adapters changed while they were read: translate again once they are settled")
    names, models = _named_bases(collection, place)
    warnings = [*_about_method(request), *_about_starts(request, {**x, name: query}, y), *names, *_about_query(before)]
    return Translated(made, models, _found(request, options, posed, made, y), before, warnings)


def _check_method(method: str, collection: Collection) -> None:
    """Refuse a method that asks for what a collection cannot tell, before anything is read."""
    info = method_info(method)
    if info.needs_truth:
        raise UsageError(
            f"{method} needs the task's own adapter on Y, which is what is looked for: choose another method"
        )
    if info.needs_bases and (collection.x is None or collection.y is None):
        raise UsageError(f"{method} needs the weights of both base models: name them as x and y in collection.yaml")


def _problem(
    collection: Collection, x: Mapping[str, Adapter], y: Mapping[str, Adapter], name: str, request: Request
) -> Problem:
    """Compare the adapters of each model, the one to be translated with those of X."""
    domains = {task.name: task.domain for task in collection.anchors}
    if request.domain and request.domain not in domains.values():
        known = ", ".join(sorted(set(domains.values())))
        raise UsageError(f"no anchor is of the domain {request.domain!r}: the collection has {known}")
    ours, theirs = grams(x, request.space), grams(y, request.space)
    return problem(ours, theirs, name, list(y), {**domains, name: request.domain}, seed=request.seed)


def _found(
    request: Request, options: Mapping[str, object], posed: Problem, made: Adapter, anchors: Mapping[str, Adapter]
) -> dict[str, Any]:
    """Say what was done, and how large the result is beside what it was made of."""
    norms = np.sqrt(grams(anchors, "delta").values.sum(axis=0).diagonal())
    norm, mean = math.sqrt(float(grams({"made": made}, "delta").values.sum())), float(norms.mean())
    found: dict[str, Any] = {"anchors": list(posed.anchors), "modules": len(made.modules)}
    found["ranks"] = sorted({factors.rank for factors in made.modules.values()})
    if method_info(request.method).gives == "weights":
        weights = load_method(request.method)(posed, **options)
        with np.errstate(divide="ignore"):
            found["effective_anchors"] = round(float(np.mean(1 / np.sum(weights**2, axis=1))), 2)
    return {
        **found,
        "norm": round(norm, 6),
        "norm_of_anchors": round(mean, 6),
        "ratio": round(norm / mean, 4) if mean else None,
    }


def _about_method(request: Request) -> list[str]:
    role = method_info(request.method).role
    return (
        [] if role == "translation" else [f"{request.method} is no translation: it is a {role} to compare others with"]
    )


def _about_starts(request: Request, x: Mapping[str, Adapter], y: Mapping[str, Adapter]) -> list[str]:
    """Warn where sums of factors may mean nothing: they do only if all adapters of a model began from one A."""
    if request.space == "delta":
        return []
    starts = {model: same_start(adapters) for model, adapters in (("X", x), ("Y", y))}
    return [
        f"whether the adapters of model {model} began from the same A: {start.why}; factors of separate starts do not"
        " add up, so take the space delta"
        for model, start in starts.items()
        if not start.shared
    ]


def _about_query(inputs: Mapping[str, Any]) -> list[str]:
    twins = [name for name, anchor in inputs["anchors"].items() if anchor["x"] == inputs["adapter"]]
    return [f"the adapter is that of the anchor {name}, which so takes part in its own translation" for name in twins]


def _named_bases(collection: Collection, place: AdapterPlace) -> tuple[list[str], str]:
    """Compare which base models the adapters say they are of; return warnings, and what model Y is called."""
    x = [task.x.described().base for task in collection.anchors] + [place.described().base]
    y = [task.y.described().base for task in collection.anchors if task.y]
    warnings = [
        f"adapters of model {model} name different base models, {', '.join(sorted(set(bases) - {''}))}: if these are"
        " not the same weights, the translation means nothing"
        for model, bases in (("X", x), ("Y", y))
        if len(set(bases) - {""}) > 1
    ]
    return warnings, _called(collection.y, y)


def _called(base: FolderModel | HubModel | None, said: Iterable[str]) -> str:
    """Return the name of model Y: what the collection pins, else what most adapters say, else the folder."""
    if isinstance(base, HubModel):
        return base.repo
    counted = Counter(name for name in said if name).most_common(1)
    return counted[0][0] if counted else str(base.path) if base else ""


def _identities(collection: Collection, place: AdapterPlace, method: str) -> dict[str, Any]:
    """Return what tells all inputs apart: digests of files, or commits; of base models where the method reads them."""
    anchors = {
        task.name: {"x": task.x.identity(files.digest), "y": task.y.identity(files.digest) if task.y else None}
        for task in collection.anchors
    }
    found = {"adapter": place.identity(files.digest), "anchors": anchors}
    if not method_info(method).needs_bases:
        return found
    models = {"x": collection.x, "y": collection.y}
    return {**found, "bases": {name: base.identity(files.digest) for name, base in models.items() if base}}


def _bases(collection: Collection) -> tuple[Weight, Weight]:
    found = [_weight(base) for base in (collection.x, collection.y) if base]
    return found[0], found[1]


def _weight(base: FolderModel | HubModel) -> Weight:
    """Give what reads the weight of one module of a base model at a time."""
    weights = open_folder(base.folder() if isinstance(base, HubModel) else base.path / (base.subfolder or ""))

    def read(module: str) -> NDArray[np.float32]:
        info = find(weights.tensors(), f"{module}.weight")
        if len(info.shape) != 2:
            raise UsageError(
                f"{weights.files[0]}: {info.name} has the shape {list(info.shape)}, and is no linear module"
            )
        found = np.empty(info.size, np.float32)
        weights.read(info.name, 0, found)
        return found.reshape(info.shape)

    return read
