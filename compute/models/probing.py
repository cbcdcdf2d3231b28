"""Runs networks to learn something of them: in evaluation mode, in one thread, with hooks that are taken off again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from compute.models.checkpoint import Checkpoint

HALF = frozenset({torch.float16, torch.bfloat16})
"""Types too coarse for sums of squares: networks of such weights compute in float32."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread: how many there are changes the order of sums, and so their rounding."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def network_of(model: Checkpoint, device: str) -> nn.Module:
    """Build the network on *device* in evaluation mode, in float32 or more; the model's tensors do not change."""
    network: nn.Module = model.network().to(device)
    return network.float() if any(weight.dtype in HALF for weight in network.parameters()) else network


def logits_of(network: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    """Run *network* on token ids and their mask, both [rows, length]; return its logits [rows, classes]."""
    logits: Tensor = network(input_ids=ids, attention_mask=mask).logits
    return logits


@contextmanager
def watched(modules: Iterable[nn.Module], see: Callable[[nn.Module, Any, Any], None]) -> Iterator[None]:
    """Call *see* with (module, its positional inputs, its output) whenever one of *modules* has run."""
    handles = [module.register_forward_hook(see) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
