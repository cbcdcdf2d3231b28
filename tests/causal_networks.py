"""Causal networks and adapters small enough for a test."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from compute.adapters.adapter import Adapter, Factors
from compute.adapters.attached import targets_of

WORDS = 23


def network(kind: str, dtype: torch.dtype = torch.float32, **sizes: int) -> Any:
    """A network of that architecture in evaluation mode, its biases not zero."""
    defaults = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4}
    config = AutoConfig.for_model(kind, vocab_size=WORDS, num_key_value_heads=2, **(defaults | sizes))
    with torch.random.fork_rng():
        torch.manual_seed(len(kind))
        made = AutoModelForCausalLM.from_config(config)
        for name, weight in made.named_parameters():
            if name.endswith("bias") or weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.2)
    return made.eval().to(dtype)


def adapter(of: Any, seed: int, rank: int = 4, scale: float = 2.0) -> Adapter:
    """An adapter for q_proj and v_proj that changes what the network gives."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> Any:
        return (0.3 * rng.standard_normal(shape)).astype(np.float32)

    linears = targets_of(of, ("q_proj", "v_proj"))
    return Adapter(
        {
            name: Factors(drawn(rank, one.in_features), drawn(one.out_features, rank), scale)
            for name, one in linears.items()
        }
    )


def tokens(rows: int, length: int, seed: int = 0) -> Tensor:
    """Token ids [rows, length]."""
    return torch.randint(WORDS, (rows, length), generator=torch.Generator().manual_seed(seed))


def logits(of: Any, ids: Tensor) -> Tensor:
    """What the network gives for *ids*, without gradients."""
    with torch.no_grad():
        return of(input_ids=ids).logits  # type: ignore[no-any-return]


def same(one: Adapter, other: Adapter) -> bool:
    """Say whether two adapters are equal to the last bit."""
    return one.modules.keys() == other.modules.keys() and all(
        np.array_equal(mine.a, other.modules[name].a)
        and np.array_equal(mine.b, other.modules[name].b)
        and mine.scale == other.modules[name].scale
        for name, mine in one.modules.items()
    )
