"""Reads YAML files, with errors that name the file and line. Loads the library only when a file is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compute.errors import UsageError


def read(path: Path) -> Any:
    """Return what a YAML file in UTF-8 holds; UsageError with file and line if it does not parse."""
    import yaml

    try:
        return parse(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise UsageError(f"{path.name}, line {line}: not valid YAML: {error.problem or 'cannot be read'}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name}: not valid YAML in UTF-8: {error}") from error


def parse(text: str) -> Any:
    """Return what YAML text says; yaml.YAMLError if it does not parse."""
    import yaml

    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
