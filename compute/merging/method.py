"""What a merge method tells about itself: title, paper, demands, options. Knows no method and no tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from compute import plugins
from compute.errors import UsageError
from compute.plugin_options import Option, bind, options_of

PACKAGE = "compute.merging.methods"

Scope = Literal["model", "tensor"]
"""What a method looks at as one: all parameters of the model together, or each tensor by itself."""

TrimScope = Scope
"""The scope as an option of a method that ranks entries."""

Over = Literal["all", "nonzero"]
"""What a density is a share of: all entries, or those that moved at all."""

Extra = Literal["lots", "fisher"]
"""What else a method gets for each entry of each source: a uniform number in [0, 1), or its Fisher information."""

Data = Literal["fisher", "grams", "entropy"]
"""What a method needs to know from data, handed over by the caller: see compute.models."""

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """Describe a merge method: its word in configs, title, paper, and what it demands."""

    name: str
    title: str
    paper: str
    scope: Scope = "tensor"
    needs_base: bool = True
    sources: tuple[int, int | None] = (1, None)
    extras: tuple[Extra, ...] = ()
    data: tuple[Data, ...] = ()
    neutral: Mapping[str, object] = field(default_factory=dict)
    idempotent: bool = True
    affine: bool = True


def merge_method(*, title: str, paper: str, **demands: Any) -> Callable[[Method], Method]:
    """Mark a function as a merge method: attach a MethodInfo as `function.info`, leave it alone otherwise.

    The function takes the task vectors of a scope (compute.merging.vectors.TaskVectors) and the coefficients
    [N], and returns what to do with each chunk [N, rows, columns] of them: a function that gives the merged
    chunk [rows, columns], an array of the shape of the scope's one tensor, or a dict of either by tensor name.
    Its keyword-only parameters are its options. The demands:

    - `scope`: what it looks at as one, "tensor" or "model"; an option `trim_scope` takes its place.
    - `needs_base`: False where the base plays no part: then it gets the experts' weights, not task vectors.
    - `sources`: the least and the greatest number of experts (None: no limit).
    - `extras`: arrays [N, rows, columns] that the returned function gets after the chunk.
    - `data`: what the caller must hand over in `vectors.data`.
    - `neutral`: options under which it drops nothing.
    - `idempotent`: False where equal experts do not merge to themselves.
    - `affine`: False where merging weights is another thing than merging task vectors and adding the base.
    """

    def attach(function: Method) -> Method:
        vars(function)["info"] = MethodInfo(function.__name__, title, paper, **demands)
        return function

    return attach


def load_method(name: str) -> Callable[..., Any]:
    """Return the merge method *name* itself; raise UsageError if there is none."""
    return plugins.load(PACKAGE, name)


def method_info(name: str) -> MethodInfo:
    """Return what the merge method *name* tells about itself; raise UsageError if there is none."""
    info = vars(load_method(name)).get("info")
    if not isinstance(info, MethodInfo):
        raise UsageError(f"merge method {name!r} does not describe itself: put @merge_method above it")
    return info


def method_options(name: str) -> dict[str, Option]:
    """Return the options of the merge method *name*, from its signature, in their order there."""
    return options_of(load_method(name), ("TaskVectors", "Array", "Combine", "Merged"))


def bind_options(name: str, options: Mapping[str, object]) -> dict[str, object]:
    """Return all options of the merge method *name*: those given, and the defaults of the others.

    Raises UsageError for an option that the method does not have (with the nearest ones) or a value of the
    wrong type. What a number may be is for the method to say.
    """
    return bind(name, method_options(name), options)
