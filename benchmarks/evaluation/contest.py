"""The ways to classify a list of texts, and how long each takes, in rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast, pipeline

from compute.evaluation.inference import Dtype, Ready, encode
from compute.models.checkpoint import Checkpoint

Classify = Callable[[Sequence[str]], Any]
"""Texts → predicted class ids."""


@dataclass
class Contender:
    """One way, with what was measured of it."""

    name: str
    classify: Classify
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    predicted: Any = None

    def run(self, texts: Sequence[str]) -> None:
        """Classify *texts*, from text to class, and take the time."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.predicted = np.asarray(self.classify(texts))
        self.seconds.append(time.perf_counter() - wall)
        self.cpu_seconds.append(time.process_time() - cpu)

    @property
    def wall(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.seconds)

    @property
    def cpu(self) -> float:
        """The median CPU seconds of the rounds, all threads together."""
        return statistics.median(self.cpu_seconds)


def contenders(model: Checkpoint, device: str) -> list[Contender]:
    """Make every way ready: models are built, and nothing is loaded in the rounds."""
    return [
        Contender("pipeline, batch 1", piped(model, 1, torch.float32, device)),
        Contender("pipeline, batch 32", piped(model, 32, torch.float32, device)),
        Contender("pipeline, batch 32, bfloat16", piped(model, 32, torch.bfloat16, device)),
        Contender("Recount", recount(model, "float32", device)),
        Contender("Recount, bfloat16", recount(model, "bfloat16", device)),
    ]


def piped(model: Checkpoint, size: int, dtype: Any, device: str) -> Classify:
    """Return transformers' text-classification pipeline as its documentation has it."""
    words = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(model.tokenizer), model_max_length=model.max_length,
        bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
    )  # fmt: skip
    network = model.network().to(dtype)
    classify = pipeline("text-classification", model=network, tokenizer=words, device=device, batch_size=size)
    numbers = {name: number for number, name in enumerate(model.labels)}
    return lambda texts: [numbers[found["label"]] for found in classify(list(texts))]


def recount(model: Checkpoint, dtype: Dtype, device: str) -> Classify:
    """Return Recount's way: texts are encoded together, and run from the shortest to the longest."""
    ready = Ready(model, device=device, dtype=dtype)
    return lambda texts: ready.logits(encode(model.tokenizer, texts, model.max_length)).argmax(axis=1)


def contest(found: Sequence[Contender], texts: Sequence[str], rounds: int) -> None:
    """Let each classify some texts untimed, then all of them once a round, in turn."""
    for item in found:
        item.classify(texts[:4])
    for number in range(rounds):
        for item in found:
            item.run(texts)
            print(f"round {number + 1}: {item.name}, {len(texts) / item.seconds[-1]:.1f} utterances/s", flush=True)
