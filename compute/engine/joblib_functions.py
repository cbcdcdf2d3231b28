"""What tells the functions that `joblib.Memory` decorates, and the states of their code, from each other."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from joblib import Memory
from joblib.func_inspect import get_func_code

from compute.engine.cell import Cell, CellFunction
from compute.engine.code import Code, Parts
from compute.engine.files import Remembered
from compute.engine.keys import hashed
from compute.engine.versions import version
from compute.errors import UsageError

Function = Callable[..., Any]

_ENGINE = ("compute.engine.",)
"""What is imported to keep results, and changes none."""


def plain(function: Function) -> Function:
    """Return the function behind a method of an object."""
    return cast(Function, getattr(function, "__func__", function))


def checked(function: Function) -> Function:
    """Return the plain function; UsageError if it has no name of its own or reads what no argument shows."""
    name = getattr(function, "__qualname__", type(function).__name__)
    if not inspect.isroutine(function) or name.endswith("<lambda>"):
        raise UsageError(f"joblib.Memory: {name} cannot be told from others of its kind; define a function with def")
    function = plain(function)
    for variable, value in _around(function).items():
        if not callable(value) and not inspect.ismodule(value):
            raise UsageError(
                f"joblib.Memory: {name} reads {variable!r} of the function around it, which no key shows; "
                "make it an argument"
            )
    return function


def _around(function: Any) -> dict[str, Any]:
    """Return the variables that a function reads from those around it, but for what has no value yet."""
    found = {}
    cells = getattr(function, "__closure__", None)
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True) if cells else ():
        with suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def parts(function: Function, remembered: Remembered) -> Parts:
    """Return what a function reaches in the project now; its own text and its library, if it lies elsewhere.

    A `Memory` does not count, nor do we: where results are kept changes none.
    """
    module = _module(function)
    try:
        found = Code(remembered, outside=_ENGINE).parts(_standing_for(function, module))
    except UsageError:
        return _from_elsewhere(function, module)
    return {part: made for part, made in found.items() if not _is_memory(part)}


def _from_elsewhere(function: Function, module: str) -> Parts:
    top = module.partition(".")[0]
    libraries = {top: release} if (release := version(top)) else {}
    return {f"{module}:{function.__qualname__}": hashed(get_func_code(function)[0]), **libraries}


def _is_memory(part: str) -> bool:
    module, _, name = part.partition(":")
    return isinstance(getattr(sys.modules.get(module), name, None), Memory)


def _module(function: Function) -> str:
    """Return the module of a function; that of a program run by `python -m` by its own name."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name if function.__module__ == "__main__" and spec is not None else str(function.__module__)


def _standing_for(function: Function, module: str) -> Cell:
    """Return a cell whose code is that of a function, whatever its parameters."""

    def stand_in() -> None:
        """Never run."""

    stand_in.__module__, stand_in.__qualname__ = module, function.__qualname__
    return CellFunction(stand_in)()
