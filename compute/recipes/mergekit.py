"""Reads mergekit's YAML as a recipe of ours, for the methods that both have. Knows words, not tensors.

mergekit: https://github.com/arcee-ai/mergekit, docs/merge_methods.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.errors import UsageError, unknown
from compute.plugin_options import check_type

KNOWN = ("merge_method", "base_model", "models", "parameters", "dtype", "out_dtype")
"""Keys of a document that are understood."""

IGNORED = ("int8_mask",)
"""Parameters that say how mergekit computes, and change nothing that is computed here."""

FIXED: Mapping[str, Any] = {"filter_wise": False, "tol": 1e-5, "eps": 1e-8}
"""Parameters that are read only with the value that mergekit takes by default."""

RESCALES = ("dare_linear", "dare_ties", "della", "della_linear")
"""Methods that scale what is kept, as `rescale: true` says; the others do not, and neither can be changed here."""

SUMS: Mapping[str, tuple[str, Mapping[str, Any], bool]] = {
    "task_arithmetic": ("task_arithmetic", {}, False),
    "ties": ("ties", {"density": 1.0}, True),
    "dare_linear": ("task_arithmetic", {}, False),
    "dare_ties": ("ties", {"density": 1.0}, False),
    "breadcrumbs": ("breadcrumbs", {"density": 1.0}, False),
    "breadcrumbs_ties": ("breadcrumbs", {"density": 1.0, "ties": True}, False),
    "della": ("della", {"density": 1.0, "epsilon": 0.15}, True),
    "della_linear": ("della", {"density": 1.0, "epsilon": 0.15, "ties": False}, False),
}
"""Sums of task vectors: our method for each of theirs, their defaults, and whether they divide by the weights by
default.
"""

MEANS: Mapping[str, tuple[str, Mapping[str, Any], bool]] = {
    "linear": ("average", {}, True),
    "slerp": ("slerp", {}, True),
    "multislerp": ("multislerp", {}, True),
    "karcher": ("karcher", {}, True),
    "model_stock": ("model_stock", {}, True),
    "sce": ("sce", {"density": 1.0}, True),
}
"""The others, which weights of any scale leave as they are."""

METHODS = {**SUMS, **MEANS}

OPTIONS = {"lambda": "scale", "select_topk": "density", "max_iter": "iterations"}
"""Our words for their parameters, where they differ."""


def translated(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's keys for what *document* asks of mergekit.

    Raises UsageError, naming the key, for what has no counterpart here.
    """
    for key in document:
        if key not in KNOWN:
            raise UsageError(f"{key}: of mergekit's keys these are read here: {', '.join(KNOWN)}")
    method = document["merge_method"]
    if not isinstance(method, str) or method not in METHODS:
        raise unknown("method of mergekit that Recount has too", method, METHODS)
    base = document.get("base_model")
    models = _models(document, method, base)
    shared = _parameters("parameters", document)
    weights = _slerp(shared) if method == "slerp" else [_weight(item, shared) for item in models]
    return {
        "preset": "mergekit",
        "base": None if method in ("slerp", "linear", "karcher") else base,
        "sources": [
            {"model": item["model"], "coefficient": weight} for item, weight in zip(models, weights, strict=True)
        ],
        "dtype": document.get("out_dtype") or document.get("dtype"),
        **_method(method, shared, [_parameters(f"parameters of {item['model']}", item) for item in models]),
    }


def _models(document: Mapping[str, Any], method: str, base: str | None) -> list[Mapping[str, Any]]:
    """Return the models that are merged: without the base, but for `linear`, `karcher` and, as the first, `slerp`."""
    models = document.get("models")
    if not isinstance(models, list) or not all(isinstance(item, dict) and "model" in item for item in models):
        raise UsageError("models: expected a list of mappings with the key model")
    for item in models:
        if strange := [key for key in item if key not in ("model", "parameters")]:
            raise UsageError(f"{strange[0]} of {item['model']}: of a model's keys these are read: model, parameters")
    others = [item for item in models if item["model"] != base or method in ("linear", "karcher")]
    if method == "slerp":
        if base is None or len(others) != 1:
            raise UsageError("slerp: expected a base_model and one other model")
        return [{"model": base}, *others]
    return others


def _parameters(key: str, said: Mapping[str, Any]) -> dict[str, Any]:
    found = said.get("parameters")
    if found is not None and not isinstance(found, dict):
        raise UsageError(f"{key}: expected a mapping, found {found!r}")
    return dict(found or {})


def _slerp(shared: dict[str, Any]) -> list[float]:
    t = shared.pop("t", None)
    if isinstance(t, bool) or not isinstance(t, (int, float)):
        raise UsageError(f"t: a number is read here, not gradients or filters: {t!r}")
    check_type("t", t, float)
    return [1 - float(t), float(t)]


def _weight(model: Mapping[str, Any], shared: Mapping[str, Any]) -> float:
    weight = _parameters(f"parameters of {model['model']}", model).get("weight", shared.get("weight", 1.0))
    if isinstance(weight, bool) or not isinstance(weight, (int, float)):
        raise UsageError(f"weight of {model['model']}: a number is read here, not gradients or filters: {weight!r}")
    check_type(f"weight of {model['model']}", weight, float)
    return float(weight)


def _method(method: str, shared: Mapping[str, Any], each: list[dict[str, Any]]) -> dict[str, Any]:
    ours, defaults, normalized = METHODS[method]
    names = {*shared, *(name for own in each for name in own)} - {"weight", "t"}
    values = {name: _same(name, shared, each) for name in names}
    for name, expected in {**FIXED, "rescale": method in RESCALES}.items():
        if (value := values.pop(name, expected)) != expected:
            raise UsageError(f"{name}: {value} has no counterpart for {method}: only {expected} is read here")
    divided = _divided(method, values.pop("normalize", values.pop("normalize_weights", normalized)))
    said = {OPTIONS.get(name, name): value for name, value in values.items() if name not in IGNORED}
    found: dict[str, Any] = {"method": ours}
    if method.startswith("dare_"):
        density = said.pop("density", 1.0)
        check_type("density", density, float)
        found["dare"] = {"drop_rate": 1 - density}
    options = {**defaults, **divided, **said}
    if "epsilon" in options and options["density"] == 1:
        options["epsilon"] = 0.0  # nothing is dropped, whatever its rank
    return {**found, "options": options}


def _divided(method: str, normalized: bool) -> dict[str, Any]:
    """Return the options that say whether the sum of weights divides the result; refuse what has no counterpart."""
    if method in ("ties", "dare_ties", "della"):
        return {"divide": "weights" if normalized else "none"}
    if normalized != METHODS[method][2]:
        raise UsageError(
            f"normalize: {normalized} has no counterpart for {method}: scale the weights, or take another method"
        )
    return {}


def _same(name: str, shared: Mapping[str, Any], each: list[dict[str, Any]]) -> Any:
    """Return the one value that a parameter has for all models."""
    values = [own.get(name, shared.get(name)) for own in each] or [shared.get(name)]
    if any(value != values[0] for value in values):
        raise UsageError(f"{name}: one value for all models is read here, not {values}")
    if isinstance(values[0], (list, dict)):
        raise UsageError(f"{name}: a number is read here, not gradients or filters: {values[0]!r}")
    return values[0]
