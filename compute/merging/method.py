"""What a merge method tells about itself: title, paper, limits, options. Knows no method and no tensor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from compute import plugins
from compute.errors import UsageError, unknown

TrimScope = Literal["model", "tensor"]
"""What a method ranks over: all parameters of the model at once, or each tensor by itself."""

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """Describe a merge method: its word in configs, title, paper, and how many sources it takes."""

    name: str
    title: str
    paper: str
    needs_base: bool
    sources: tuple[int, int | None]


class Option(NamedTuple):
    """Describe an option of a merge method: its type (a class or a Literal) and its default."""

    type: Any
    default: object


def merge_method(
    *, title: str, paper: str, needs_base: bool = True, sources: tuple[int, int | None] = (1, None)
) -> Callable[[Method], Method]:
    """Mark a function as a merge method: attach a MethodInfo as `function.info`, leave it alone otherwise.

    *needs_base* is False where the result does not depend on the base model; *sources* is the least and the
    greatest number of experts (None: no limit). The function takes task vectors [N, n] and coefficients [N],
    returns the merged task vector [n], and its keyword-only parameters are its options.
    """

    def attach(function: Method) -> Method:
        info = MethodInfo(function.__name__, title, paper, needs_base, sources)
        vars(function)["info"] = info
        return function

    return attach


def method_info(name: str) -> MethodInfo:
    """Return what the merge method *name* tells about itself; raise UsageError if there is none."""
    info = vars(plugins.load("compute.merging.methods", name)).get("info")
    if not isinstance(info, MethodInfo):
        raise UsageError(f"merge method {name!r} does not describe itself: put @merge_method above it")
    return info


def method_options(name: str) -> dict[str, Option]:
    """Return the options of the merge method *name*, from its signature, in their order there."""
    function = plugins.load("compute.merging.methods", name)
    # Methods import Tensor for type checkers only: any stand-in resolves it here.
    types = get_type_hints(function, localns={"Tensor": object})
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
        _check_type(f"{option} of {name}", value, known[option].type)
    return {option: default for option, (_, default) in known.items()} | dict(options)


def _check_type(what: str, value: object, expected: Any) -> None:
    """Raise UsageError unless *value* is one of a Literal, or an instance of the *expected* class."""
    if get_origin(expected) is Literal:
        if value not in get_args(expected):
            raise unknown(what, value, get_args(expected))
        return
    accepted = (int, float) if expected is float else expected
    if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
        raise UsageError(f"{what} must be of type {expected.__name__}, not {value!r}")
