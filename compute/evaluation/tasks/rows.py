"""What reading rows and turning them into examples agree on. Knows no data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from compute.errors import RecountError
from compute.evaluation.tasks.task import Example

Converter = Callable[[Mapping[str, Any]], Example]
"""Turns one row into an example, with an empty id where the row has none of its own; or raises UnusableError."""


class UnusableError(RecountError):
    """A row cannot be an example; the message is the reason that it is counted under."""
