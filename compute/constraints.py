"""What config values must be, for annotations: `Annotated[int, limited(ge=1)]`, `Annotated[str, checked(function)]`.

As pydantic's own, but that pydantic is loaded only when a config is checked: that takes longer than a plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Constraint:
    """A piece of metadata that pydantic asks for its own."""

    made: Callable[[], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Build the schema as if pydantic's metadata stood here."""
        return handler.generate_schema(Annotated[source, self.made()])


def limited(**options: Any) -> Constraint:
    """Take the options of `pydantic.Field`: ge, gt, le, lt, min_length, pattern, discriminator and so on."""

    def made() -> Any:
        from pydantic import Field

        return Field(**options)

    return Constraint(made)


def checked(function: Callable[[Any], Any]) -> Constraint:
    """Pass a value through *function*, which returns it or raises an error that says what is wrong."""

    def made() -> Any:
        from pydantic import AfterValidator

        return AfterValidator(function)

    return Constraint(made)
