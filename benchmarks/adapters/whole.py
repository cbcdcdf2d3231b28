"""Translates whole adapters at the shapes of models of three billion numbers, and prints what it took as JSON.

    python whole.py METHOD SPACE RELATIVE_LAMBDA [LAYERS]

The adapters are in memory before; timed are inner products, weights and the translated adapters.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from subject import ANCHORS, TASKS, X, Y, adapters, peak_bytes, timed

from compute.adapters.method import load_method
from compute.adapters.problem import Grams, Space
from compute.adapters.spaces import grams, problem
from compute.adapters.translate import combine_many

HELD_OUT, DOMAINS = TASKS[ANCHORS:], dict.fromkeys(TASKS, "")


def main(method: str, space: Space, relative_lambda: float, layers: int | None) -> None:
    """Translate the held-out adapters by all anchors; then only weigh each of all tasks by all others."""
    x, y = adapters(X, TASKS, 0, layers), adapters(Y, TASKS, 1, layers)
    anchors = {task: y[task] for task in TASKS[:ANCHORS]}
    drawn = peak_bytes()
    steps = {}
    ours, steps["Grams of X"] = timed(lambda: grams(x, space))
    theirs, steps["Grams of Y"] = timed(lambda: grams(anchors, space))
    found, steps["weights"] = timed(lambda: _weights(method, relative_lambda, ours, theirs, HELD_OUT, tuple(anchors)))
    _, steps["adapters"] = timed(lambda: combine_many(found, list(anchors.values()), space))
    peak = peak_bytes()
    everywhere = grams(y, space)
    _, others = timed(lambda: _weights(method, relative_lambda, ours, everywhere, TASKS, TASKS))
    print(json.dumps({"steps": steps, "drawn": drawn, "peak": peak, "each by all others": others}))


def _weights(
    method: str, relative_lambda: float, ours: Grams, theirs: Grams, asked: tuple[str, ...], anchors: tuple[str, ...]
) -> np.ndarray:
    weigh = load_method(method)
    by = {task: [anchor for anchor in anchors if anchor != task] for task in asked}
    problems = [problem(ours, theirs, task, by[task], DOMAINS) for task in asked]
    return np.stack([weigh(one, relative_lambda=relative_lambda) for one in problems])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]) if sys.argv[4:] else None)
