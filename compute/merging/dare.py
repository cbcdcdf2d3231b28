"""DARE: drop entries of a task vector at random and rescale the rest. Knows no merge method.

A mask is drawn on the CPU, whatever the device of the tensor, by a generator of its own that is seeded with
(seed, source, tensor name). So the entry at one index of one tensor of one source meets the same fate
whichever other sources and tensors there are, in which order they come, and on which device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from compute.merging.steps import drop_and_rescale

if TYPE_CHECKING:
    from torch import Tensor


def dare(task_vectors: Mapping[str, Tensor], *, drop_rate: float, seed: int, source: str) -> dict[str, Tensor]:
    """Drop each entry of the task vectors of *source*, by tensor name, with probability *drop_rate*.

    What is kept is divided by 1 - drop_rate (Yu et al. 2024, https://arxiv.org/abs/2311.03099). Its density,
    in the words of other tools, is 1 - drop_rate. Raises ValueError unless 0 <= drop_rate < 1.
    """
    return {
        name: drop_and_rescale(tensor, _keep_mask(tensor, drop_rate, (seed, source, name)), drop_rate)
        for name, tensor in task_vectors.items()
    }


def _keep_mask(tensor: Tensor, drop_rate: float, stream: tuple[int, str, str]) -> Tensor:
    """Return a mask of the tensor's shape and device, true with probability 1 - *drop_rate*."""
    import torch

    digest = hashlib.sha256(repr(stream).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    # Of one type and in one row: the fate of an entry may depend on its index, not on the tensor's type.
    lots = torch.rand(tensor.numel(), generator=generator, dtype=torch.float32)
    return (lots >= drop_rate).view(tensor.shape).to(tensor.device)
