"""What a merge method tells about itself: title, paper, demands, options. Knows no method and no tensor."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from compute import plugins
from compute.errors import UsageError, unknown

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


class Option(NamedTuple):
    """Describe an option of a merge method: its type (a class or a Literal) and its default."""

    type: Any
    default: object


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
    function = load_method(name)
    # Methods import what they only name for type checkers: any stand-in resolves it here.
    types = get_type_hints(function, localns=dict.fromkeys(("TaskVectors", "Array", "Combine", "Merged"), object))
    parameters = inspect.signature(function).parameters.values()
    return {
        parameter.name: Option(types[parameter.name], parameter.default)
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def bind_options(name: str, options: Mapping[str, object]) -> dict[str, object]:
    """Return all options of the merge method *name*: those given, and the defaults of the others.

    Raises UsageError for an option that the method does not have (with the nearest ones) or a value of the
    wrong type. What a number may be is for the method to say.
    """
    known = method_options(name)
    for option, value in options.items():
        if option not in known:
            raise unknown(f"option of {name}", option, known)
        check_type(f"{option} of {name}", value, known[option].type)
    return {option: default for option, (_, default) in known.items()} | dict(options)


def check_type(what: str, value: object, expected: Any) -> None:
    """Raise UsageError unless *value* is one of a Literal, or an instance of the *expected* class.

    A number for a float is one that it can hold, and finite.
    """
    if get_origin(expected) is Literal:
        if value not in get_args(expected):
            raise unknown(what, value, get_args(expected))
        return
    accepted = (int, float) if expected is float else expected
    if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
        raise UsageError(f"{what} must be of type {expected.__name__}, not {value!r}")
    if expected is float and not _is_finite(value):
        raise UsageError(f"{what} must be a finite number, not {value!r}")


def _is_finite(number: Any) -> bool:
    """Whether *number* is one that a float can hold."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False
