"""Reads YAML files, with errors that name the file and line. Loads the library only when a file is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute.errors import UsageError

DEEPEST = 100
"""Levels of lists and mappings in one another; the library in C overflows its stack at some ten thousand."""

LARGEST = 1_000_000
"""Values, those that aliases stand for counted anew: a few lines of aliases of aliases stand for more than there is
memory.
"""


def read(path: Path) -> Any:
    """Return what a YAML file in UTF-8 holds; UsageError with file and line if it does not parse."""
    import yaml

    try:
        return parse(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise UsageError(f"{path.name}, line {line}: not valid YAML: {error.problem or 'cannot be read'}") from error
    except (yaml.YAMLError, ValueError) as error:  # among them UnicodeDecodeError, and dates and numbers out of range
        raise UsageError(f"{path.name}: not valid YAML in UTF-8: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def parse(text: str) -> Any:
    """Return what YAML text says; yaml.YAMLError if it does not parse, says a key twice or is without measure."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    _check(text, loader)
    return yaml.load(text, Loader=loader)


@dataclass
class _Level:
    """A list or mapping that is not at its end yet."""

    anchor: str | None = None
    keys: set[str] | None = None
    """Those of a mapping so far, as they are written."""
    count: int = 0
    """Values in it so far, keys included."""
    size: int = 1
    """The same, with all that is in them."""


def _check(text: str, loader: Any) -> None:
    """Refuse, by yaml.MarkedYAMLError, what the library takes without a word, or to the end of all memory."""
    import yaml

    levels = [_Level()]
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=loader):
        mark: Any = event.start_mark
        size, problem = 1, ""
        if isinstance(event, yaml.CollectionStartEvent):
            levels.append(_Level(event.anchor, set() if isinstance(event, yaml.MappingStartEvent) else None))
            if len(levels) > DEEPEST:
                raise yaml.MarkedYAMLError(None, None, f"more than {DEEPEST} levels deep", mark)
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            ended = levels.pop()
            size = ended.size
            if ended.anchor:
                sizes[ended.anchor] = size
        elif isinstance(event, yaml.AliasEvent):
            size = sizes.get(str(event.anchor), 1)
            problem = f"*{event.anchor} contains itself" if any(event.anchor == each.anchor for each in levels) else ""
        elif isinstance(event, yaml.ScalarEvent):
            problem = _twice(levels[-1], event.value)
        else:
            continue
        levels[-1].count += 1
        levels[-1].size += size
        if levels[-1].size > LARGEST:
            problem = f"more than {LARGEST:,} values, with those that aliases stand for"
        if problem:
            raise yaml.MarkedYAMLError(None, None, problem, mark)


def _twice(level: _Level, value: str) -> str:
    """Note a scalar of a mapping where it is a key; say so if it was one before: the library takes the last."""
    if level.keys is None or level.count % 2:
        return ""
    if value in level.keys:
        return f"the key {value!r} comes twice: leave one out"
    level.keys.add(value)
    return ""
