"""@cell: a call that is described now and computed later, at most once.

Knows functions and their arguments; knows nothing of stores, plans or what a cell computes.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, cast

from compute.engine.keys import key_of
from compute.errors import UsageError


@dataclass(frozen=True)
class CellFunction:
    """A function whose calls become cells."""

    function: Callable[..., Any]
    label: str = ""
    """How a call is named for people: a format string over the arguments, as "{locale}"."""
    store: bool = True
    """False: computed inside each cell that needs it, and not kept."""
    lazy: tuple[str, ...] = ()
    """Parameters whose cells arrive as handles: nothing is loaded before `.load()`."""
    plugins: Mapping[str, str] = field(default_factory=dict)
    """Parameters that name a plug-in, with its package: the plug-in's code becomes part of the trace."""
    libraries: tuple[str, ...] = ()
    """Distributions whose version can change the result."""

    @property
    def name(self) -> str:
        """The function's own name: with the arguments, what a key is made from."""
        return self.function.__name__

    @cached_property
    def signature(self) -> inspect.Signature:
        """The signature that calls are bound to."""
        return inspect.signature(self.function)

    def __call__(self, *args: object, **kwargs: object) -> Cell:
        """Describe a call; TypeError at once for arguments that do not fit."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return Cell(self, dict(bound.arguments))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        """Travel to other processes as a name: code is never shipped."""
        return _find, (self.function.__module__, self.function.__qualname__)


def _find(module: str, name: str) -> CellFunction:
    return cast(CellFunction, getattr(importlib.import_module(module), name))


def cell(
    *,
    label: str = "",
    store: bool = True,
    lazy: tuple[str, ...] = (),
    plugins: Mapping[str, str] | None = None,
    libraries: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], CellFunction]:
    """Make a plain function a cell function; see CellFunction for the options.

    A parameter called `seed` receives a seed of the call's own, derived from the study's seed that
    was passed and from the key, so that it depends on no order, process or time.
    """

    def decorate(function: Callable[..., Any]) -> CellFunction:
        return CellFunction(function, label, store, lazy, dict(plugins or {}), libraries)

    return decorate


@dataclass(frozen=True, eq=False)
class Cell:
    """One call: its function and bound arguments, among which other cells are its inputs."""

    function: CellFunction
    arguments: Mapping[str, object]

    @cached_property
    def cell_key(self) -> str:
        """The key under the name by which `keys` knows a cell in an argument."""
        return key_of(self.function.name, self.arguments)

    @property
    def key(self) -> str:
        """The config hash of the call."""
        return self.cell_key

    @cached_property
    def name(self) -> str:
        """The readable name: the function and its label."""
        return f"{self.function.name}/{self}" if self.function.label else self.function.name

    @cached_property
    def inputs(self) -> tuple[Cell, ...]:
        """The cells among the arguments, each once, in order."""
        found = {item.key: item for item in cells_in(self.arguments)}
        return tuple(found.values())

    @cached_property
    def stored_inputs(self) -> tuple[Cell, ...]:
        """The nearest stored cells that this one needs, through inputs that are not kept."""
        found: dict[str, Cell] = {}
        for item in self.inputs:
            for stored in (item,) if item.function.store else item.stored_inputs:
                found[stored.key] = stored
        return tuple(found.values())

    def __eq__(self, other: object) -> bool:
        """Two cells are the same if their keys are."""
        return isinstance(other, Cell) and self.key == other.key

    def __hash__(self) -> int:
        """Hash by key."""
        return hash(self.key)

    def __str__(self) -> str:
        """Return the label, in which cells among the arguments stand with their own."""
        return self.function.label.format(**self.arguments) or self.function.name

    def __getstate__(self) -> dict[str, object]:
        """Travel without what is cached, except the key: it may have been taken from files."""
        return {"function": self.function, "arguments": self.arguments, "cell_key": self.key}

    def with_arguments(self, **changes: object) -> Cell:
        """Return the same call with some arguments changed."""
        return replace(self, arguments={**self.arguments, **changes})


def cells_in(value: object) -> Iterator[Cell]:
    """Find the cells in a value: itself, or in lists, tuples, mappings and dataclasses."""
    if isinstance(value, Cell):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from cells_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from cells_in(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for member in fields(value):
            yield from cells_in(getattr(value, member.name))


def replace_cells(value: object, found: Callable[[Cell], object]) -> Any:
    """Rebuild *value* with each cell in it replaced by what *found* returns for it."""
    if isinstance(value, Cell):
        return found(value)
    if isinstance(value, Mapping):
        return {name: replace_cells(item, found) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(replace_cells(item, found) for item in value)
    if is_dataclass(value) and not isinstance(value, type) and any(cells_in(value)):
        members = {m.name: replace_cells(getattr(value, m.name), found) for m in fields(value)}
        return replace(value, **members)
    return value


def reachable(wanted: Iterator[Cell] | list[Cell]) -> list[Cell]:
    """Return the stored cells that *wanted* need, each once, inputs before their dependents."""
    order: dict[str, Cell] = {}
    for start in wanted:
        if not start.function.store:
            raise UsageError(f"{start.name} is not kept (store=False), so it cannot be a result itself")
        stack = [(start, False)]
        while stack:
            item, expanded = stack.pop()
            if item.key in order:
                continue
            if expanded:
                order[item.key] = item
            else:
                stack.append((item, True))
                stack.extend((needed, False) for needed in reversed(item.stored_inputs))
    return list(order.values())
