"""Times Recount beside transformers' own pipeline: the same classifier, the same utterances, the same threads.

    python benchmarks/evaluation/run.py [--utterances 600] [--rounds 3] [--data massive.parquet] [--out FILE.md]

Rounds are interleaved. See README.md beside this file for what is measured and how.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from contest import contenders, contest
from report import Report, facts
from subject import VOCABULARY, classifier, trained, utterances

from compute import plugins
from compute.evaluation.inference import encode, logits
from compute.models import tokenizer
from compute.models.checkpoint import Checkpoint

SMALL = {"layers": 2, "hidden": 128, "rows": 20_000}
ENSEMBLES = "compute.evaluation.ensembles"


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    found = utterances(options.data, options.utterances)
    words = tokenizer.train(found.training, vocabulary=VOCABULARY)
    model = classifier(words, **(SMALL if options.small else {}))
    machine = {**facts(), "threads": options.threads, "device": options.device}
    machine["utterances"] = _lengths(found.texts, found.origin, model)
    machine["classifier"] = f"{sum(tensor.numel() for tensor in model.tensors.values()):,} numbers, drawn at random"
    taking_part = contenders(model, options.device)
    contest(taking_part, found.texts, options.rounds)
    report = Report(machine, taking_part, len(found.texts), _besides(model, found.texts))
    if not options.small:
        report.besides["flips of a trained classifier"] = _flips(options.device)
    if options.out:
        report.write(options.out)
    print(report.markdown())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch, the same for all")
    parser.add_argument("--data", default="phrasebook", help="a source as in a config; the phrasebook by default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--small", action="store_true", help="a tiny classifier: to see that everything runs")
    parser.add_argument("--out", type=Path, help="write the report here, and JSON beside it")
    return parser


def _lengths(texts: list[str], origin: str, model: Checkpoint) -> str:
    lengths = encode(model.tokenizer, texts, model.max_length).lengths
    spread = f"mean {lengths.mean():.1f}, 95 % up to {np.quantile(lengths, 0.95):.0f}, longest {lengths.max()}"
    return f"{len(texts)} of {origin}, tokens with special ones: {spread}"


def _besides(model: Checkpoint, texts: list[str]) -> dict[str, str]:
    """Time what a build does around the forward passes."""
    encoded = encode(model.tokenizer, texts, model.max_length)
    kept = len(np.unique(encoded.tokens))
    return {
        "a network is built in": f"{1000 * _least(model.network):.1f} ms",
        "word embeddings taken along": f"{kept:,} rows of {len(model.tensors[_words(model)]):,}",
        "the utterances are encoded in": f"{1000 * _least(lambda: encode(model.tokenizer, texts, 512)):.1f} ms",
        f"an ensemble of 5 answers {len(texts)} utterances in": _ensembles(len(texts), len(model.labels)),
    }


def _words(model: Checkpoint) -> str:
    return next(name for name in model.tensors if name.endswith("word_embeddings.weight"))


def _ensembles(count: int, classes: int) -> str:
    members = np.random.default_rng(0).normal(size=(5, count, classes)).astype(np.float32)
    weights = np.arange(1.0, 6.0)
    rules = {name: plugins.load(ENSEMBLES, name) for name in plugins.names(ENSEMBLES)}
    timed: list[Any] = [(name, _least(lambda rule=rule: rule(members, weights))) for name, rule in rules.items()]
    return ", ".join(f"{1000 * seconds:.1f} ms ({name})" for name, seconds in timed)


def _flips(device: str) -> str:
    """Say how many predictions of a small trained classifier flip under bfloat16."""
    learnt = trained()
    exact, rounded = (
        logits(learnt.model, learnt.texts, device=device, dtype=dtype).argmax(axis=1)
        for dtype in ("float32", "bfloat16")
    )
    gold = np.array([learnt.model.labels.index(intent) for intent in learnt.intents])
    scores = [f"{(predicted == gold).mean():.2%}" for predicted in (exact, rounded)]
    return f"{(exact != rounded).sum()} of {len(gold)}; accuracy {scores[0]} in float32, {scores[1]} in bfloat16"


def _least(work: Any) -> float:
    """Return the least seconds of five."""
    found = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


if __name__ == "__main__":
    main()
