"""Trains many small LoRA adapters in one network, or one by one by PEFT, and prints what it took as JSON.

python together.py AT_ONCE STEPS
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass

import torch
from subject import ANCHORS, TASKS, peak_bytes, timed
from transformers import LlamaConfig, LlamaForCausalLM

from compute.adapters.recipes import LoraRecipe
from compute.adapters.training import initial, train

EXAMPLES, TOKENS, TARGET, VOCABULARY = 200, 11, 8, 48


@dataclass(frozen=True)
class Examples:
    """Of one task: token ids drawn at random, and where each target starts."""

    ids: list[list[int]]
    starts: list[int]


def main(at_once: int, steps: int) -> None:
    """Train each task's adapter with the same recipe; `digest` is of all factors."""
    torch.set_num_threads(1)
    network = _network()
    recipe = LoraRecipe(batch=16, learning_rate=5e-3, steps=steps, together=at_once)
    rng = torch.Generator().manual_seed(1)
    tasks = {task: _examples(rng) for task in TASKS[:ANCHORS]}
    starts = {task: initial(network, recipe, 0) for task in tasks}
    found, taken = timed(lambda: train(network, tasks, starts, recipe, seed=0, pad_id=0))
    digest = hashlib.sha256()
    for adapter in found.values():
        for factors in adapter.modules.values():
            digest.update(factors.a.tobytes() + factors.b.tobytes())
    print(json.dumps({**taken, "peak": peak_bytes(), "digest": digest.hexdigest()}))


def _network() -> LlamaForCausalLM:
    """A network of 282 thousand numbers, as the study's tiny ones."""
    torch.manual_seed(0)
    shape = {"hidden_size": 96, "num_hidden_layers": 3, "intermediate_size": 224, "vocab_size": VOCABULARY}
    return LlamaForCausalLM(LlamaConfig(num_attention_heads=4, num_key_value_heads=2, **shape))


def _examples(rng: torch.Generator) -> Examples:
    ids = torch.randint(1, VOCABULARY, (EXAMPLES, TOKENS), generator=rng)
    return Examples(ids.tolist(), [TARGET] * EXAMPLES)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
