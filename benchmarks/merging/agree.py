"""Compares two merged checkpoints entry by entry: prints JSON with how many differ, and by how much at most.

python agree.py FOLDER FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open

TOLERANCE = 1e-6
"""Below it, in float32, two sums were rounded differently; of bfloat16 one unit in the last place is let pass."""


def main() -> None:
    first, second = (safe_open(str(Path(name) / "model.safetensors"), "pt") for name in sys.argv[1:3])
    names = sorted(first.keys())
    differ = entries = 0
    largest = 0.0
    for name in names:
        one, other = first.get_tensor(name), second.get_tensor(name)
        apart = (one.float() - other.float()).abs()
        step = one.float().abs() * torch.finfo(one.dtype).eps if one.dtype != torch.float32 else 0
        differ += int((apart > TOLERANCE + step).sum())
        entries += apart.numel()
        largest = max(largest, float(apart.max()))
    same = names == sorted(second.keys())
    print(json.dumps({"same tensors": same, "entries": entries, "differ": differ, "largest": largest}))


if __name__ == "__main__":
    main()
