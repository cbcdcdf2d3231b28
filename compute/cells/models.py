"""Cells that make or load models: tokenizer, base, experts, merges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from compute.engine.cell import cell

if TYPE_CHECKING:
    from pandas import DataFrame

    from compute.engine.work import Handle
    from compute.models.places import Place
    from compute.models.recipes import Architecture, Finetuning, Pretraining

Tree = dict[str, Any]
"""A checkpoint as the store keeps it: see compute.models.checkpoint.to_tree."""


@cell(libraries=("tokenizers",))
def tokenizer(corpora: Mapping[str, DataFrame], vocabulary: int) -> str:
    """Train a tokenizer on the training utterances of all locales; return its JSON."""
    from compute.models import tokenizer as tokenizers

    texts = [text for corpus in corpora.values() for text in _train(corpus)["utt"]]
    return tokenizers.train(texts, vocabulary=vocabulary)


@cell(libraries=("torch", "transformers"))
def base(
    corpora: Mapping[str, DataFrame],
    tokenizer: str,
    architecture: Architecture,
    pretraining: Pretraining,
    seed: int,
) -> Tree:
    """Pre-train the base on all locales' scenarios, then give it the one untrained intent head of all experts."""
    import pandas as pd

    from compute.models.build import new_base, with_head
    from compute.models.checkpoint import to_tree
    from compute.models.device import device
    from compute.models.train import pretrain

    rows = pd.concat([_train(corpus) for corpus in corpora.values()], ignore_index=True)
    start = new_base(architecture, tokenizer, sorted(rows["scenario"].unique()), seed=seed)
    texts, scenarios, locales, ids = (rows[name].tolist() for name in ("utt", "scenario", "locale", "id"))
    trained = pretrain(start, texts, scenarios, locales, pretraining, seed=seed, ids=ids, device=device())
    return to_tree(with_head(trained, sorted(rows["intent"].unique()), seed=seed))


@cell(label="{locale}", libraries=("torch", "transformers"))
def expert(base: Tree, corpus: DataFrame, finetuning: Finetuning, locale: str, seed: int) -> Tree:
    """Fine-tune the base on the intents of one locale; kept is what differs from the base, see `unpacked`."""
    from compute.models.checkpoint import from_tree, to_tree
    from compute.models.device import device
    from compute.models.train import finetune
    from compute.weights.compact import pack

    rows = _train(corpus)
    start = from_tree(base)
    trained = finetune(start, rows["utt"].tolist(), rows["intent"].tolist(), finetuning, seed=seed, device=device())
    return {**to_tree(trained), "tensors": pack(base["tensors"], trained.tensors)}


@cell(label="{expert}", store=False, libraries=("torch",))
def unpacked(base: Tree, expert: Tree) -> Tree:
    """Give an expert its whole weights back, bit for bit: of an embedding table the store has the rows that moved."""
    from compute.weights.compact import unpack

    return {**expert, "tensors": unpack(base["tensors"], expert["tensors"])}


@cell(label="{name}", store=False, libraries=("transformers",))
def pretrained(name: str, place: Place, labels: Sequence[str] = ()) -> Tree:
    """Load a model from the hub, its local cache or a folder.

    Classes that the model calls LABEL_0, LABEL_1 and so on get the names of *labels*, in that order.
    """
    from dataclasses import replace

    from compute.models.checkpoint import to_tree, with_labels

    found = place.load()
    nameless = all(label.startswith("LABEL_") for label in found.labels)
    if labels and nameless and len(labels) == len(found.labels):
        found = replace(found, config=with_labels(found.config, labels))
    return to_tree(found)


@cell(label="{base}", store=False)
def with_head_of(base: Tree, expert: Tree) -> Tree:
    """Give a base model without a classifier the labels of the experts and a zero head.

    Nobody recorded the first values of the hub experts' heads. Against a zero head a task vector holds
    the expert's whole head, so that merging averages heads; TIES and DARE then treat them as changes.
    """
    from compute.models.checkpoint import HEAD

    zeros = {name: tensor * 0 for name, tensor in expert["tensors"].items() if name.startswith(HEAD)}
    body = {name: tensor for name, tensor in base["tensors"].items() if not name.startswith(HEAD)}
    return {**expert, "tensors": {**body, **zeros}}


@dataclass(frozen=True)
class Policies:
    """What a merge does beside its method: the fields of that name of compute.merging.recipe.Recipe.

    *lines* are the factors of the first and the last layer, as compute.merging.recipe.Lines takes them.
    """

    embeddings: Literal["merge", "base", "seen"] = "merge"
    head: Literal["merge", "best"] = "merge"
    lines: tuple[float, float] | None = None

    def __str__(self) -> str:
        """Say in a cell's name what is not as usual: nothing by default."""
        parts = {
            f"+embeddings={self.embeddings}": self.embeddings != "merge",
            f"+head={self.head}": self.head != "merge",
            "+lines": self.lines is not None,
        }
        return "".join(text for text, unusual in parts.items() if unusual)


AS_ALL_ELSE = Policies()
"""Embeddings and head are merged as all else, and no layer is scaled."""


@cell(
    label="{method}{policies}/p={drop_rate}/{sources}/{draw}",
    store=False,
    lazy=("base", "experts"),
    plugins={"method": "compute.merging.methods"},
    libraries=("torch", "numpy", "numba"),
)
def merged(
    base: Handle,
    experts: Mapping[str, Handle],
    sources: Sequence[str],
    coefficients: Sequence[float],
    method: str,
    options: Mapping[str, object],
    drop_rate: float,
    seed: int,
    draw: int = 0,
    policies: Policies = AS_ALL_ELSE,
) -> Tree:
    """Merge the chosen experts on the base; only those are loaded. *draw* tells DARE's replicates apart."""
    from compute.merging.dare import Dare
    from compute.merging.merge import merge
    from compute.merging.recipe import Lines, Recipe
    from compute.models.checkpoint import from_tree
    from compute.models.device import device
    from compute.models.heads import check_same_head

    start: Tree = base.load()
    chosen: dict[str, Tree] = {locale: experts[locale].load() for locale in sources}
    check_same_head(from_tree(start), {locale: from_tree(tree) for locale, tree in chosen.items()})
    tensors = {locale: tree["tensors"] for locale, tree in chosen.items()}
    dare = Dare(drop_rate, seed) if drop_rate else None
    lines = Lines(*policies.lines) if policies.lines else None
    recipe = Recipe(method, tuple(coefficients), dict(options), dare, lines, policies.embeddings, policies.head, seed)
    known = _Known({locale: (*base.identity, *experts[locale].identity) for locale in sources})
    return {**start, "tensors": merge(start["tensors"], tensors, recipe, device=device(), remember=known)}


@cell(
    label="{method}/as-published/{sources}",
    store=False,
    lazy=("experts",),
    plugins={"method": "compute.merging.methods"},
    libraries=("torch", "numpy", "numba"),
)
def merged_as_published(
    experts: Mapping[str, Handle], sources: Sequence[str], coefficients: Sequence[float], method: str
) -> Tree:
    """Merge the chosen experts as this project's predecessor did: on the one with the largest coefficient.

    *method* is one of ours, as compute.merging.merginguriel.method_of gives it for a mode of the predecessor.
    """
    from compute.merging.merge import merge
    from compute.merging.merginguriel import as_published, require_own
    from compute.models.checkpoint import from_tree
    from compute.models.device import device
    from compute.models.heads import check_same_head

    base, others, recipe = as_published(sources, coefficients, require_own(method))
    chosen: dict[str, Tree] = {locale: experts[locale].load() for locale in dict.fromkeys([base, *others])}
    check_same_head(from_tree(chosen[base]), {locale: from_tree(chosen[locale]) for locale in others})
    tensors = {locale: chosen[locale]["tensors"] for locale in others}
    return {**chosen[base], "tensors": merge(chosen[base]["tensors"], tensors, recipe, device=device())}


class _Known:
    """What merges in this process found by ranking whole experts: each is ranked once on one base.

    *identities* tell bases and experts apart by source. See compute.merging.stream.Remember.
    """

    _found: ClassVar[dict[tuple[object, ...], Any]] = {}

    def __init__(self, identities: Mapping[str, tuple[str, ...]]) -> None:
        self._identities = identities

    def __call__(self, sources: Sequence[str], what: object, work: Callable[[], Any]) -> Any:
        """Return what is known of all *sources* under the description *what*, or do the *work*."""
        import numpy as np

        keys = [(self._identities[source], source, repr(what)) for source in sources]
        if not all(key in self._found for key in keys):
            self._found.update(zip(keys, work(), strict=True))
        return np.array([self._found[key] for key in keys])


def _train(corpus: DataFrame) -> DataFrame:
    return corpus[corpus["partition"] == "train"]
