"""What a translation method tells about itself: title, source, role, demands. Knows no method and no adapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from compute import plugins
from compute.errors import UsageError
from compute.plugin_options import Option, bind, options_of

PACKAGE = "compute.adapters.methods"

Role = Literal["baseline", "translation", "control", "ceiling"]
"""What a method is for: to be beaten, to translate, to show that what is found is no artefact, or to bound it."""

Gives = Literal["weights", "adapter"]
"""What a method returns: weights of the anchors [groups of Y, anchors], or an adapter of model Y itself."""

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """Describe a translation method: its word in configs, title, source, role and demands."""

    name: str
    title: str
    source: str
    role: Role
    gives: Gives = "weights"
    needs_truth: bool = False
    needs_bases: bool = False


def translation_method(*, title: str, source: str, role: Role, **demands: Any) -> Callable[[Method], Method]:
    """Mark a function as a translation method: attach a MethodInfo as `function.info`, leave it alone otherwise.

    A function that gives weights takes a Problem (compute.adapters.problem) and returns the weights of the anchors in
    each group of Y, [gy, n] float64, which should sum to one in each. One that gives an adapter takes the Problem and a
    Material (compute.adapters.material). Keyword-only parameters are options. The demands:

    - `gives`: "weights", which work in every space, or "adapter".
    - `needs_truth`: the problem must know the task's own adapter on Y, so this is no translation.
    - `needs_bases`: the material must know the weights of both base models.
    """

    def attach(function: Method) -> Method:
        vars(function)["info"] = MethodInfo(function.__name__, title, source, role, **demands)
        return function

    return attach


def load_method(name: str) -> Callable[..., Any]:
    """Return the translation method *name* itself; raise UsageError if there is none."""
    return plugins.load(PACKAGE, name)


def method_info(name: str) -> MethodInfo:
    """Return what the translation method *name* tells about itself; raise UsageError if there is none."""
    info = vars(load_method(name)).get("info")
    if not isinstance(info, MethodInfo):
        raise UsageError(f"translation method {name!r} does not describe itself: put @translation_method above it")
    return info


def method_options(name: str) -> dict[str, Option]:
    """Return the options of the translation method *name*, from its signature, in their order there."""
    return options_of(load_method(name), ("Problem", "Material", "Adapter", "Floats"))


def bind_options(name: str, options: Mapping[str, object]) -> dict[str, object]:
    """Return all options of the translation method *name*: those given, and the defaults of the others.

    Raises UsageError for an option that the method does not have (with the nearest ones) or a value of the wrong type.
    """
    return bind(name, method_options(name), options)
