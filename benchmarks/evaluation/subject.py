"""What is measured: a classifier of XLM-R-base's size, and short utterances in many languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

from compute.evaluation import sources
from compute.models import build, tokenizer, train
from compute.models.checkpoint import Checkpoint, plain_config, with_labels
from compute.models.recipes import Architecture, Finetuning

LOCALES = ("en-US", "de-DE", "sq-AL", "sw-KE", "vi-VN", "th-TH", "ar-SA", "tr-TR")
VOCABULARY = 8000
"""Of the tokenizer: its utterances come out about as long as by XLM-R's own."""

ROWS = 250_002
"""Of the table of word embeddings: as many as XLM-R's."""

CLASSES = 60


@dataclass(frozen=True)
class Utterances:
    """Texts to learn a tokenizer from and texts to classify, and where they are from."""

    training: list[str]
    texts: list[str]
    origin: str


def utterances(data: str, count: int) -> Utterances:
    """Draw *count* test utterances over all locales; *data* is a source as in a config, as `phrasebook`."""
    frames = [sources.parse(data).load(locale) for locale in LOCALES]
    training = [text for frame in frames for text in frame[frame["partition"] == "train"]["utt"][:2000]]
    found = [text for frame in frames for text in frame[frame["partition"] == "test"]["utt"]]
    places = np.random.default_rng(0).permutation(len(found))[:count]
    return Utterances(training, [found[place] for place in places], "phrasebook" if data == "phrasebook" else "MASSIVE")


def classifier(words: str, *, layers: int = 12, hidden: int = 768, rows: int = ROWS) -> Checkpoint:
    """Draw a classifier of XLM-R-base's size at random; *words* is the tokenizer's JSON."""
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=rows, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden, max_position_embeddings=514, type_vocab_size=1,
        bos_token_id=0, pad_token_id=1, eos_token_id=2, num_labels=CLASSES,
    )  # fmt: skip
    network = XLMRobertaForSequenceClassification(config)
    tensors = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    names = [f"intent-{number:02}" for number in range(CLASSES)]
    return Checkpoint(with_labels(plain_config(config), names), tensors, words)


@dataclass(frozen=True)
class Trained:
    """A small classifier that has learnt something, and utterances with their intents."""

    model: Checkpoint
    texts: list[str]
    intents: list[str]


def trained(locales: Sequence[str] = ("en-US", "de-DE")) -> Trained:
    """Train a small XLM-R on the phrasebook, in some seconds: its logits are further apart than random ones."""
    frames = [sources.parse("phrasebook").load(locale) for locale in locales]
    learnt, asked = (
        [
            row
            for frame in frames
            for row in frame[frame["partition"] == part][["utt", "intent"]].itertuples(index=False)
        ]
        for part in ("train", "test")
    )
    texts, intents = [row.utt for row in learnt], [row.intent for row in learnt]
    words = tokenizer.train(texts, vocabulary=1500)
    start = build.new_base(
        Architecture(hidden=64, layers=2, heads=4, vocabulary=1500, max_length=40), words, intents, seed=0
    )
    model = train.finetune(start, texts, intents, Finetuning(epochs=6, batch=32, learning_rate=0.002), seed=0)
    return Trained(model, [row.utt for row in asked], [row.intent for row in asked])
