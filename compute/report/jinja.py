"""The Jinja environment that pages are written in: where templates are found and which filters they have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compute.report import formats

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(root: Path, study_folder: Path | None = None) -> Environment:
    """Return an environment that looks into *study_folder* first and then into ``root/templates``.

    A study replaces any shared template by a file of the same name. A name that a template uses and nobody
    defined is an error. Nothing is escaped by itself, since pages are Markdown: the macros escape what they
    are given, and other values go through the filter ``text``.
    """
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

    folders = [folder for folder in (study_folder, root / "templates") if folder is not None]
    made = Environment(
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    made.filters.update(
        percent=formats.percent,
        points=formats.points,
        number=formats.number,
        seconds=formats.seconds,
        bytes=formats.size,
        text=formats.text,
    )
    return made
