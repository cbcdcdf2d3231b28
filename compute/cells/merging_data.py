"""Cells that learn from data how to merge: how much weights matter, what layers see, coefficients and options.

What is learnt is small and kept, but for Fisher information and Gram matrices; the merges themselves are not. Whatever
looks at the target looks at its dev split: no cell here sees an utterance that results are reported on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from compute.engine.cell import cell

if TYPE_CHECKING:
    from pandas import DataFrame

    from compute.engine.work import Handle
    from compute.merging.recipe import Recipe

Tree = dict[str, Any]
"""A checkpoint as the store keeps it: see compute.models.checkpoint.to_tree."""

Choice = dict[str, Any]
"""coefficients, options and seed of the recipe that did best; history: the same, examples and accuracy, by trial."""

LIBRARIES = ("torch", "transformers", "numpy", "numba")


@cell(label="{locale}/{kind}", libraries=("torch", "transformers"))
def fisher(
    expert: Tree,
    corpus: DataFrame,
    locale: str,
    count: int,
    seed: int,
    kind: Literal["true", "empirical", "batch_sum"] = "true",
    samples: int | None = None,
) -> dict[str, Any]:
    """Estimate the Fisher information of an expert's weights on *count* training utterances: tensors by name.

    *samples* labels an utterance, for the "true" kind, cost less than all classes: see compute.models.fisher.
    """
    from compute.models.checkpoint import from_tree
    from compute.models.device import device
    from compute.models.fisher import fisher as estimate

    rows = _drawn(corpus, "train", count, seed)
    labels = rows["intent"].tolist() if kind == "empirical" else None
    return estimate(
        from_tree(expert), rows["utt"].tolist(), kind=kind, samples=samples, seed=seed, labels=labels, device=device()
    )


@cell(label="{locale}", libraries=("torch", "transformers"))
def grams(expert: Tree, corpus: DataFrame, locale: str, count: int, seed: int, mean: bool = True) -> dict[str, Any]:
    """Multiply the inputs of an expert's linear layers on *count* training utterances: tensors [in, in] by name.

    With *mean*, divided by the number of inputs, so that an expert whose locale needs more tokens weighs no more.
    """
    from compute.models.checkpoint import from_tree
    from compute.models.device import device
    from compute.models.grams import grams as multiply

    texts = _drawn(corpus, "train", count, seed)["utt"].tolist()
    return multiply(from_tree(expert), texts, mean=mean, device=device())


@cell(
    label="{method}/{sources}",
    store=False,
    lazy=("experts", "statistics"),
    plugins={"method": "compute.merging.methods"},
    libraries=LIBRARIES,
)
def merged_by_statistics(
    base: Tree,
    experts: Mapping[str, Handle],
    sources: Sequence[str],
    coefficients: Sequence[float],
    method: str,
    options: Mapping[str, object],
    statistics: Mapping[str, Mapping[str, Handle]],
) -> Tree:
    """Merge the chosen experts by what the method needs of each: *statistics*, as "fisher", then by source."""
    from compute.merging.recipe import Recipe

    data = {kind: {source: by_source[source].load() for source in sources} for kind, by_source in statistics.items()}
    recipe = Recipe(method, tuple(coefficients), dict(options))
    return _merged(base, _chosen(base, experts, sources), recipe, data)


@cell(
    label="{method}/{target}/{sources}",
    lazy=("experts",),
    plugins={"method": "compute.merging.methods"},
    libraries=LIBRARIES,
)
def adapted_coefficients(
    base: Tree,
    experts: Mapping[str, Handle],
    sources: Sequence[str],
    coefficients: Sequence[float],
    options: Mapping[str, object],
    corpus: DataFrame,
    target: str,
    seed: int,
    batch: int = 16,
    method: str = "adamerging",
) -> dict[str, Any]:
    """Learn the coefficients of AdaMerging on the unlabelled dev utterances of *target*, *batch* of them a step.

    Returns coefficients, [N] of each tensor by its name, and entropies, the mean in nats before each step. The
    base, the experts' task vectors and a network are in memory at once.
    """
    from compute.merging.recipe import Recipe
    from compute.models.checkpoint import from_tree
    from compute.models.device import device
    from compute.models.entropy import EntropyObjective

    texts = _drawn(corpus, "dev", None, seed)["utt"].tolist()
    objective = EntropyObjective(from_tree(base), texts, seed=seed, batch=batch, device=device())
    entropies: list[float] = []
    learnt: dict[str, Any] = {}
    recipe = Recipe(method, tuple(coefficients), dict(options))
    data = {"entropy": _recording(objective, entropies), "learned": learnt.update}
    _merged(base, _chosen(base, experts, sources), recipe, data)
    return {"coefficients": learnt, "entropies": entropies}


@cell(
    label="{adapted}",
    store=False,
    lazy=("experts",),
    plugins={"method": "compute.merging.methods"},
    libraries=LIBRARIES,
)
def merged_as_adapted(
    base: Tree,
    experts: Mapping[str, Handle],
    sources: Sequence[str],
    options: Mapping[str, object],
    adapted: Mapping[str, Any],
    method: str = "adamerging",
) -> Tree:
    """Merge with the coefficients that `adapted_coefficients` learnt; all else must be the same as there."""
    from compute.merging.recipe import Recipe

    recipe = Recipe(method, (1.0,) * len(sources), dict(options))
    data = {"entropy": None, "coefficients": adapted["coefficients"]}
    return _merged(base, _chosen(base, experts, sources), recipe, data)


@cell(
    label="{method}/{target}/{sources}",
    lazy=("experts",),
    plugins={"method": "compute.merging.methods"},
    libraries=LIBRARIES,
)
def searched(
    base: Tree,
    experts: Mapping[str, Handle],
    sources: Sequence[str],
    coefficients: Sequence[float],
    method: str,
    options: Mapping[str, Sequence[object]],
    corpus: DataFrame,
    target: str,
    budgets: Sequence[int],
    seed: int,
    points: int = 0,
    keep: float = 0.5,
) -> Choice:
    """Search the recipe that is most accurate on the dev utterances of *target*, by successive halving.

    Candidates are all combinations of the values that *options* lists by name, each with *coefficients* and with as
    many others as *points* says: equal ones, and shares drawn by the seed. The *budgets* are numbers of utterances,
    each round's among the next one's; a candidate's accuracy there is its score, and *keep* is the share of
    candidates that the next round sees.
    """
    from compute.merging.recipe import Recipe
    from compute.merging.search import grid, simplex, successive_halving

    rows = _drawn(corpus, "dev", max(budgets), seed)
    chosen = _chosen(base, experts, sources)
    shares = [tuple(coefficients), *(simplex(len(sources), points, seed=seed) if points else ())]
    candidates = [Recipe(method, share, each, seed=seed) for share in shares for each in grid(**options)]

    def score(recipe: Recipe, examples: int) -> float:
        return _accuracy(_merged(base, chosen, recipe, {}), rows[:examples])

    best, history = successive_halving(candidates, score, budgets=budgets, keep=keep)
    trials = [{**_plain(t.candidate), "examples": len(rows[: t.budget]), "accuracy": t.score} for t in history]
    return {**_plain(best), "seed": seed, "history": trials}


@cell(
    label="{choice}",
    store=False,
    lazy=("experts",),
    plugins={"method": "compute.merging.methods"},
    libraries=LIBRARIES,
)
def merged_as_searched(
    base: Tree, experts: Mapping[str, Handle], sources: Sequence[str], method: str, choice: Choice
) -> Tree:
    """Merge by the recipe that `searched` found, of the same sources and method."""
    from compute.merging.recipe import Recipe

    recipe = Recipe(method, tuple(choice["coefficients"]), choice["options"], seed=choice["seed"])
    return _merged(base, _chosen(base, experts, sources), recipe, {})


@cell(label="{model}/refitted", store=False, lazy=("corpora",), libraries=("torch", "transformers"))
def refitted(model: Tree, corpora: Mapping[str, Handle], sources: Sequence[str], ridge: float = 0.1) -> Tree:
    """Give a merged model a last layer that fits its body, in closed form, on the training utterances of *sources*.

    The head policy for experts whose heads began differently, which no average makes sense of: see
    compute.models.ridge_head. The target's utterances play no part unless it is among the sources.
    """
    import pandas as pd

    from compute.models.checkpoint import from_tree
    from compute.models.device import device
    from compute.models.ridge_head import ridge_head

    loaded = pd.concat([corpora[source].load() for source in sources], ignore_index=True)
    rows = loaded[loaded["partition"] == "train"]
    head = ridge_head(from_tree(model), rows["utt"].tolist(), rows["intent"].tolist(), ridge=ridge, device=device())
    return {**model, "tensors": {**model["tensors"], **head}}


def _chosen(base: Tree, experts: Mapping[str, Handle], sources: Sequence[str]) -> dict[str, Any]:
    """Load the experts of *sources*, whose heads must have begun alike, and return their tensors."""
    from compute.models.checkpoint import from_tree
    from compute.models.heads import check_same_head

    trees: dict[str, Tree] = {source: experts[source].load() for source in sources}
    check_same_head(from_tree(base), {source: from_tree(tree) for source, tree in trees.items()})
    return {source: tree["tensors"] for source, tree in trees.items()}


def _merged(base: Tree, tensors: Mapping[str, Any], recipe: Recipe, data: Mapping[str, Any]) -> Tree:
    from compute.merging.merge import merge
    from compute.models.device import device

    return {**base, "tensors": merge(base["tensors"], tensors, recipe, data=data, device=device())}


def _drawn(corpus: DataFrame, split: str, count: int | None, seed: int) -> DataFrame:
    """Return *count* utterances of a split, or all, in an order drawn by *seed*; fewer are the first of more."""
    import numpy as np

    rows = corpus[corpus["partition"] == split]
    return rows.iloc[np.random.default_rng(seed).permutation(len(rows))[:count]]


def _recording(objective: Callable[..., Any], values: list[float]) -> Callable[..., Any]:
    """Return *objective* for arrays as well as tensors, which adds each of its values to *values*."""
    import torch

    def call(weights: Mapping[str, Any], step: int) -> tuple[float, Mapping[str, Any]]:
        value, gradient = objective({name: torch.as_tensor(weight) for name, weight in weights.items()}, step)
        values.append(value)
        return value, gradient

    return call


def _accuracy(model: Tree, rows: DataFrame) -> float:
    from compute.evaluation import inference, metrics
    from compute.models.batches import class_ids
    from compute.models.checkpoint import from_tree
    from compute.models.device import device

    checkpoint = from_tree(model)
    predicted = inference.logits(checkpoint, rows["utt"].tolist(), device=device()).argmax(axis=1)
    return metrics.accuracy(class_ids(checkpoint, rows["intent"].tolist()), predicted)


def _plain(recipe: Recipe) -> dict[str, Any]:
    return {"coefficients": list(recipe.coefficients), "options": dict(recipe.options)}
