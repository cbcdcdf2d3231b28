"""The errors that a user can mend, and the sentence that says how. Knows no other module."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches

_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 80


class RecountError(Exception):
    """Something went wrong in a way that we foresaw: shown as one line, without a traceback."""


class UsageError(RecountError):
    """The request, a config or an input is wrong: exit code 2, and nothing was written."""


def unknown(kind: str, name: object, known: Iterable[str]) -> UsageError:
    """Build the error for a *name* that does not exist, with the nearest names that do."""
    names = sorted(known)
    nearest = get_close_matches(str(name), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"known: {', '.join(names) or 'none'}"
    return UsageError(f"unknown {kind} {name!r}: {hint}")


def short(value: object) -> str:
    """Show in at most some 120 characters what somebody put into a file, or what an error says of it."""
    return " ".join(str(value).split())[:120] if isinstance(value, BaseException) else _shown.repr(value)
