"""What a plug-in may be told beside its data: its keyword-only parameters. Knows signatures and types, no plug-in."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from compute.errors import UsageError, unknown


class Option(NamedTuple):
    """Describe an option of a plug-in: its type (a class or a Literal) and its default."""

    type: Any
    default: object


def options_of(function: Callable[..., Any], named_for_checkers: Iterable[str]) -> dict[str, Option]:
    """Return the options of a plug-in, from its signature, in their order there.

    *named_for_checkers* are the types that plug-ins import only under TYPE_CHECKING: any stand-in resolves them.
    """
    types = get_type_hints(function, localns=dict.fromkeys(named_for_checkers, object))
    parameters = inspect.signature(function).parameters.values()
    return {
        parameter.name: Option(types[parameter.name], parameter.default)
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def bind(plugin: str, known: Mapping[str, Option], given: Mapping[str, object]) -> dict[str, object]:
    """Return all options of *plugin*: those *given*, and the defaults of the others it is *known* to have.

    Raises UsageError for an option that it does not have (with the nearest ones) or a value of the wrong type.
    """
    for option, value in given.items():
        if option not in known:
            raise unknown(f"option of {plugin}", option, known)
        check_type(f"{option} of {plugin}", value, known[option].type)
    return {option: default for option, (_, default) in known.items()} | dict(given)


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
