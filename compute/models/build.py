"""Makes models from nothing: a fresh XLM-R and fresh classification heads, both from a seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from compute.models.checkpoint import HEAD, Checkpoint, digest, head_of, plain_config, with_labels
from compute.models.recipes import Architecture


def new_base(architecture: Architecture, tokenizer: str, labels: Sequence[str], *, seed: int) -> Checkpoint:
    """Build an untrained XLM-R with a fresh head for *labels*, whose ids follow their sorted order."""
    from tokenizers import Tokenizer
    from transformers import AutoConfig, AutoModelForSequenceClassification

    size = Tokenizer.from_str(tokenizer).get_vocab_size()
    config = plain_config(AutoConfig.for_model("xlm-roberta", **_dimensions(architecture, vocabulary=size)))
    config = with_labels(config, sorted(set(labels)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(**config))
    tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    return Checkpoint(config, tensors, tokenizer, digest(head_of(tensors)))


def with_head(checkpoint: Checkpoint, labels: Sequence[str], *, seed: int) -> Checkpoint:
    """Give *checkpoint* a fresh head for *labels*, and record the digest of its first values.

    A dense layer that the head already has stays: it belongs to what was learned; only the last layer, whose
    rows are classes, begins anew. Ids follow the sorted order of the labels.
    """
    names = sorted(set(labels))
    hidden = int(checkpoint.config["hidden_size"])
    rng = torch.Generator().manual_seed(seed)
    spread = float(checkpoint.config["initializer_range"])
    head = {
        f"{HEAD}dense.weight": _normal(hidden, hidden, spread, rng),
        f"{HEAD}dense.bias": torch.zeros(hidden),
        **_present(checkpoint, f"{HEAD}dense."),
        f"{HEAD}out_proj.weight": _normal(len(names), hidden, spread, rng),
        f"{HEAD}out_proj.bias": torch.zeros(len(names)),
    }
    return dataclasses.replace(
        checkpoint,
        config=with_labels(checkpoint.config, names),
        tensors={**checkpoint.tensors, **head},
        head_init=digest(head),
    )


def _dimensions(architecture: Architecture, *, vocabulary: int) -> dict[str, Any]:
    """Translate sizes into XLM-R's words; positions begin after the pad id, 1.

    Attention is not dropped out: on a CPU that costs a fifth of the time, and small models lose nothing.
    """
    return {
        "vocab_size": vocabulary,
        "hidden_size": architecture.hidden,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "intermediate_size": 2 * architecture.hidden,
        "max_position_embeddings": architecture.max_length + 2,
        "hidden_dropout_prob": architecture.dropout,
        "attention_probs_dropout_prob": 0.0,
        "type_vocab_size": 1,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    }


def _normal(rows: int, columns: int, spread: float, rng: torch.Generator) -> Tensor:
    return torch.randn(rows, columns, generator=rng) * spread


def _present(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in checkpoint.tensors.items() if name.startswith(prefix)}
