"""What is kept of a model's answers to one task: how many are right, how sure that is, and which. Knows no model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from compute.evaluation.metrics import wilson


def score(
    correct: Sequence[bool],
    ids: Sequence[str],
    metric: str,
    *,
    failed: int = 0,
    legacy: Sequence[bool] | None = None,
    cut: float | None = None,
) -> dict[str, Any]:
    """Return accuracy with its interval (Wilson, 95 %), n, and for every example whether it was answered right.

    `ids` becomes a digest of the examples' ids, by which two scores are known to be about the same questions. *failed*
    counts the answers from which nothing could be read, and *legacy* says which are right by a string match; its
    accuracy is None without any. *cut* is the share of prompts that were too long and were cut, where that is known.
    """
    low, high = wilson(sum(correct), len(correct))
    return {
        "accuracy": sum(correct) / len(correct),
        "low": low,
        "high": high,
        "n": len(correct),
        "metric": metric,
        "failed": failed,
        "legacy": None if legacy is None else sum(legacy) / len(legacy),
        "cut": cut,
        "correct": [bool(one) for one in correct],
        "ids": hashlib.sha256(json.dumps(list(ids)).encode()).hexdigest(),
    }
