"""Cells that measure models, and compare what was measured on the same utterances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compute.engine.cell import cell

if TYPE_CHECKING:
    from pandas import DataFrame

Evaluation = dict[str, Any]
"""accuracy, low, high (Wilson, 95 %), macro_f1, n, and per example: ids, gold, predicted; labels names them."""


@cell(label="{model}/on/{locale}/{split}", libraries=("torch", "transformers"))
def evaluation(model: dict[str, Any], corpus: DataFrame, locale: str, split: str) -> Evaluation:
    """Measure a classifier on one split of one locale, keeping every prediction."""
    import numpy as np

    from compute.evaluation import inference, metrics
    from compute.models.checkpoint import from_tree
    from compute.models.device import device

    checkpoint = from_tree(model)
    rows = corpus[corpus["partition"] == split].reset_index(drop=True)
    gold = _label_ids(rows["intent"].tolist(), checkpoint.labels)
    predicted = inference.predict(checkpoint, rows["utt"].tolist(), device=device())
    low, high = metrics.wilson(int((predicted == gold).sum()), len(gold))
    return {
        "accuracy": float(metrics.accuracy(gold, predicted)),
        "low": low,
        "high": high,
        "macro_f1": float(metrics.macro_f1(gold, predicted)),
        "n": len(gold),
        "labels": list(checkpoint.labels),
        "ids": rows["id"].to_numpy(),
        "gold": gold.astype(np.int16),
        "predicted": predicted.astype(np.int16),
    }


@cell(label="{system}")
def goal(system: Evaluation, rivals: Mapping[str, Evaluation], seed: int) -> dict[str, Any]:
    """Compare a system with the best of its *rivals*, the first of the best where several tie.

    Goal 1 has the experts of all other locales as rivals, Goal 2 the target's own. Choosing the best
    rival on the utterances that it is then compared on favours the rival.
    """
    best = max(rivals, key=lambda name: rivals[name]["accuracy"])
    compared = _compared(system, rivals[best], seed)
    return {
        "best": best,
        "best_accuracy": rivals[best]["accuracy"],
        "best_low": rivals[best]["low"],
        "best_high": rivals[best]["high"],
        "reached": compared["difference"] > 0,
        **compared,
    }


@cell(label="{target}")
def ranked(target: str, rivals: Mapping[str, Evaluation], count: int) -> list[str]:
    """Name the *count* best of the *rivals* on *target*, best first; where several tie, in their order."""
    return sorted(rivals, key=lambda name: -rivals[name]["accuracy"])[:count]


@cell(label="{target}")
def best(target: str, rivals: Mapping[str, Evaluation]) -> dict[str, float]:
    """Return the accuracy on *target* of the best of its *rivals*, with its interval."""
    found = max(rivals.values(), key=lambda item: item["accuracy"])
    return {name: found[name] for name in ("accuracy", "low", "high")}


@cell(label="{what}")
def pooled_difference(what: str, a: Sequence[Evaluation], b: Sequence[Evaluation], seed: int) -> dict[str, float]:
    """Compare two lists of systems pair by pair, all their utterances pooled; *what* names the comparison."""
    import numpy as np

    from compute.evaluation.statistics import paired_bootstrap

    pairs = [_correct_pair(left, right) for left, right in zip(a, b, strict=True)]
    left, right = (np.concatenate(side) for side in zip(*pairs, strict=True))
    found = paired_bootstrap(left, right, seed=seed)
    return {"difference": found.mean, "low": found.low, "high": found.high, "n": len(left)}


@cell(label="{what}")
def replicates(what: str, evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Summarise repeated draws of one system: mean accuracy, the lowest and the highest; *what* names them."""
    accuracies = [item["accuracy"] for item in evaluations]
    return {
        "accuracy": sum(accuracies) / len(accuracies),
        "low": min(accuracies),
        "high": max(accuracies),
        "draws": len(accuracies),
    }


@cell(label="{target}")
def spreads(
    target: str, by_selection: Mapping[str, Evaluation], by_method: Mapping[str, Evaluation], seed: int
) -> dict[str, float]:
    """Compare how far accuracy moves with the choice of sources and with the choice of method, on *target*.

    A spread is highest minus lowest accuracy; the difference of the two has a bootstrap interval over
    utterances, resampled together for all systems.
    """
    import numpy as np

    from compute.evaluation.statistics import bootstrap_means

    def spread(accuracies: Any) -> Any:
        return accuracies.max(axis=-1) - accuracies.min(axis=-1)

    systems = [*by_selection.values(), *by_method.values()]
    correct = np.stack([item["gold"] == item["predicted"] for item in systems])
    draws = bootstrap_means(correct, seed=seed)
    cut = len(by_selection)
    differences = spread(draws[:, :cut]) - spread(draws[:, cut:])
    means = correct.mean(axis=1)
    low, high = np.quantile(differences, [0.025, 0.975])
    return {
        "selection": float(spread(means[:cut])),
        "method": float(spread(means[cut:])),
        "difference": float(spread(means[:cut]) - spread(means[cut:])),
        "low": float(low),
        "high": float(high),
    }


@cell(label="{sources}")
def mean_transfer(sources: Sequence[str], evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """Return the mean accuracy of the chosen sources' own experts, and of the best, among *evaluations*."""
    accuracies = [evaluations[source]["accuracy"] for source in sources]
    return {"accuracy": sum(accuracies) / len(accuracies), "best": max(accuracies)}


def _compared(a: Evaluation, b: Evaluation, seed: int) -> dict[str, float]:
    from compute.evaluation.statistics import mcnemar, paired_bootstrap

    left, right = _correct_pair(a, b)
    found = paired_bootstrap(left, right, seed=seed)
    return {"difference": found.mean, "low": found.low, "high": found.high, "p": mcnemar(left, right)}


def _correct_pair(a: Evaluation, b: Evaluation) -> tuple[Any, Any]:
    if a["ids"].tolist() != b["ids"].tolist():
        raise ValueError("the two systems were measured on different utterances, so they cannot be paired")
    return a["gold"] == a["predicted"], b["gold"] == b["predicted"]


def _label_ids(intents: Sequence[str], labels: Sequence[str]) -> Any:
    import numpy as np

    ids = {label: index for index, label in enumerate(labels)}
    unknown = sorted(set(intents) - set(ids))
    if unknown:
        raise ValueError(f"the model does not know the intents {', '.join(unknown[:5])}: labels differ from the data")
    return np.array([ids[intent] for intent in intents])
