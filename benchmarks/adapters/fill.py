"""Draws one tensor of every adapter and saves it, so that all tools read the same numbers.

python fill.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from subject import ANCHORS, HELD_OUT, RANK, X, Y

RELATIVE_LAMBDA = 0.01


def main(folder: Path) -> None:
    """B of q_proj: 16,384 numbers on X, 24,576 on Y; anchors first. `alpha` is the λ that goes with them."""
    rng = np.random.default_rng(0)
    drawn = {name: rng.standard_normal((ANCHORS + HELD_OUT, size), np.float32) for name, size in sizes().items()}
    anchors = drawn["x"][:ANCHORS].astype(np.float64)
    alpha = RELATIVE_LAMBDA * ((anchors - anchors.mean(axis=0)) ** 2).sum() / ANCHORS
    np.savez(
        folder / "tensor.npz", x=drawn["x"][:ANCHORS], y=drawn["y"][:ANCHORS], asked=drawn["x"][ANCHORS:], alpha=alpha
    )


def sizes() -> dict[str, int]:
    return {"x": X.width * RANK, "y": Y.width * RANK}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
