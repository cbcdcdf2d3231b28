"""Where models compute: a setting of the run, never part of a result's key."""

from __future__ import annotations

import os


def device() -> str:
    """Return the torch device of this run: RECOUNT_DEVICE, or the CPU."""
    return os.environ.get("RECOUNT_DEVICE", "cpu")
