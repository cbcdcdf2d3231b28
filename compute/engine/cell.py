"""@cell: a call that is described now and computed later, at most once.

Knows functions and their arguments; knows nothing of stores, plans or what a cell computes.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from string import Formatter
from typing import Any, cast

from compute.engine.keys import Input, derived_seed, key_of
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
    resources: Mapping[str, float] = field(default_factory=dict)
    """What a call takes of the things that there are few of, as {"gpu": 1}; no part of the result."""

    def __post_init__(self) -> None:
        """Refuse what no call could bind: TypeError at the definition, not in the middle of a build."""
        parameters = self.signature.parameters
        starred = [name for name, found in parameters.items() if found.kind not in _NAMED]
        if starred:
            raise TypeError(f"cell {self.name}: parameter {starred[0]!r} must be one that can be named in a call")
        if unknown := {*self.lazy, *self.plugins, *_placeholders(self.label)} - set(parameters):
            raise TypeError(f"cell {self.name}: its options speak of {min(unknown)!r}, which is no parameter")

    @property
    def name(self) -> str:
        """The function's own name: with the arguments, what a key is made from."""
        return self.function.__name__

    @cached_property
    def signature(self) -> inspect.Signature:
        """The signature that calls are bound to."""
        return inspect.signature(self.function)

    def __call__(self, *args: object, **kwargs: object) -> Cell:
        """Describe a call; TypeError at once for arguments that do not fit, UsageError for a keyless one."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"cell {self.name}: {error}") from None
        bound.apply_defaults()
        return Cell(self, bound.arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        """Travel to other processes as a name: code is never shipped."""
        return _find, (self.function.__module__, self.function.__qualname__)


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _placeholders(label: str) -> set[str]:
    names = [name for _, name, _, _ in Formatter().parse(label) if name is not None]
    return {name.partition(".")[0].partition("[")[0] for name in names}


def _find(module: str, name: str) -> CellFunction:
    return cast(CellFunction, getattr(importlib.import_module(module), name))


def cell(
    *,
    label: str = "",
    store: bool = True,
    lazy: tuple[str, ...] = (),
    plugins: Mapping[str, str] | None = None,
    libraries: tuple[str, ...] = (),
    resources: Mapping[str, float] | None = None,
) -> Callable[[Callable[..., Any]], CellFunction]:
    """Make a plain function a cell function; see CellFunction for the options.

    A parameter called `seed` receives a seed of the call's own, derived from the study's seed that
    was passed and from the key, so that it depends on no order, process or time.
    """

    def decorate(function: Callable[..., Any]) -> CellFunction:
        return CellFunction(function, label, store, lazy, dict(plugins or {}), libraries, dict(resources or {}))

    return decorate


@dataclass(frozen=True, eq=False, repr=False)
class Cell:
    """One call: its function and bound arguments, among which other cells are its inputs."""

    function: CellFunction
    arguments: Mapping[str, object]
    cell_key: str = field(init=False, repr=False)
    """The key, under the name by which `keys` knows a cell in an argument."""

    def __post_init__(self) -> None:
        """Take the arguments as they are now, whatever the caller does to a list or mapping later."""
        object.__setattr__(self, "arguments", _copied(self.arguments))
        object.__setattr__(self, "cell_key", key_of(self.function.name, self.arguments))

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
        return tuple(_once(cells_in(self.arguments)).values())

    @cached_property
    def stored_inputs(self) -> tuple[Cell, ...]:
        """The nearest stored cells that this one needs, through inputs that are not kept."""
        found = (item.stored_inputs if not item.function.store else (item,) for item in self.inputs)
        return tuple(_once(item for group in found for item in group).values())

    @cached_property
    def inline(self) -> tuple[Cell, ...]:
        """The cell itself and the inputs that are computed inside it, each once."""
        found = (item.inline for item in self.inputs if not item.function.store)
        return tuple(_once([self, *(item for group in found for item in group)]).values())

    def __eq__(self, other: object) -> bool:
        """Two cells are the same if their keys are."""
        return isinstance(other, Cell) and self.key == other.key

    def __hash__(self) -> int:
        """Hash by key."""
        return hash(self.key)

    def __str__(self) -> str:
        """Return the label, in which cells among the arguments stand with their own."""
        spoken = {name: _spoken(value) for name, value in self.arguments.items()}
        return self.function.label.format(**spoken) or self.function.name

    def __repr__(self) -> str:
        """Return the name: in a label, cells in a list stand with it."""
        return self.name

    def __getstate__(self) -> dict[str, object]:
        """Travel without what is cached, except the key and name: they may have been taken from files."""
        names = {"cell_key": self.key, "name": self.name}
        return {"function": self.function, "arguments": self.arguments, **names}

    @property
    def seed(self) -> int | None:
        """The call's own seed, if its function has a parameter for one."""
        return derived_seed(cast(int, self.arguments["seed"]), self.key) if "seed" in self.arguments else None

    def shipped(self) -> Cell:
        """Return the cell as a worker needs it: of its stored inputs no more than the key and name."""
        return self._bare(replace_cells(self.arguments, _shipped))

    def _bare(self, arguments: Mapping[str, object]) -> Cell:
        bare = object.__new__(Cell)
        bare.__dict__.update(self.__getstate__(), arguments=arguments)
        return bare


def _shipped(item: Cell) -> Cell:
    return item._bare({}) if item.function.store else item.shipped()


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copied(item) for name, item in value.items()}
    return type(value)(map(_copied, value)) if type(value) in (list, tuple) else value


def _spoken(value: object) -> object:
    """Name an input from outside by its kind: where it lies is nobody's business."""
    plain = value is None or isinstance(value, str | int | float | Cell)
    return type(value).__name__ if not plain and isinstance(value, Input) else value


def _once(cells: Iterable[Cell]) -> dict[str, Cell]:
    """Return cells by key, each once; two functions of one name cannot be told apart."""
    found: dict[str, Cell] = {}
    for item in cells:
        known = found.setdefault(item.cell_key, item)
        if known.function is item.function:
            continue
        here, there = (one.function.function.__module__ for one in (known, item))
        if here != there:
            raise UsageError(f"two cells are called {item.function.name}, in {here} and {there}: rename one")
    return found


def cells_in(value: object) -> Iterator[Cell]:
    """Find the cells in a value: itself, or in lists, tuples, mappings and dataclasses."""
    if isinstance(value, Cell):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from cells_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from cells_in(item)
    elif isinstance(value, set | frozenset):
        if any(any(cells_in(item)) for item in value):
            raise UsageError("cells in a set have no order in which to arrive: pass them in a list")
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
        items = [replace_cells(item, found) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if is_dataclass(value) and not isinstance(value, type) and any(cells_in(value)):
        members = {m.name: replace_cells(getattr(value, m.name), found) for m in fields(value) if m.init}
        return replace(value, **members)
    return value


def reachable(wanted: Iterable[Cell]) -> list[Cell]:
    """Return the stored cells that *wanted* need, each once, inputs before their dependents."""
    order: dict[str, Cell] = {}
    for start in wanted:
        if not start.function.store:
            raise UsageError(f"{start.name} is not kept (store=False), so it cannot be a result itself")
        stack = [(start, False)]
        while stack:
            item, expanded = stack.pop()
            if item.key in order:
                _once([order[item.key], item])
            elif expanded:
                order[item.key] = item
            else:
                stack.append((item, True))
                stack.extend((needed, False) for needed in reversed(item.stored_inputs))
    return list(order.values())
