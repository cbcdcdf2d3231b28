"""The models of a study as cells: utterances, a base and an expert a locale. Describes, computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compute.cells import data, evaluation, models
from compute.engine.cell import Cell
from compute.errors import UsageError
from compute.evaluation.sources import Source
from compute.models.places import FolderModel, HubModel, Place, is_folder
from compute.settings import Hub, Made

if TYPE_CHECKING:
    from compute.evaluation.inference import Dtype


@dataclass(frozen=True)
class Zoo:
    """What every study of merging starts from, by locale."""

    corpora: Mapping[str, Cell]
    reading: Cell | Mapping[str, Cell | int]
    """How the base and its experts read texts."""
    base: Cell
    experts: Mapping[str, Cell]

    def logits(self, model: Cell, locale: str, split: str, dtype: Dtype = "float32") -> Cell:
        """Ask a model of this base about one split of one locale."""
        return evaluation.logits(model, data.encoded(self.reading, self.corpora[locale], locale, split), dtype)

    def evaluation(self, model: Cell, locale: str, split: str, dtype: Dtype = "float32") -> Cell:
        """Measure a model of this base on one split of one locale."""
        return evaluation.evaluation(self.logits(model, locale, split, dtype))


def zoo(source: Source, locales: Sequence[str], recipe: Made | Hub, *, seed: int) -> Zoo:
    """Describe the data and the models of *locales*."""
    corpora = {locale: data.utterances(source, locale) for locale in locales}
    if isinstance(recipe, Hub):
        return _from_hub(corpora, recipe)
    tokenizer = models.tokenizer(corpora, recipe.architecture.vocabulary)
    base = models.base(corpora, tokenizer, recipe.architecture, recipe.pretraining, seed)
    packed = {
        locale: models.expert(base, corpus, recipe.finetuning, locale, seed) for locale, corpus in corpora.items()
    }
    experts = {locale: models.unpacked(base, expert) for locale, expert in packed.items()}
    return Zoo(corpora, {"tokenizer": tokenizer, "max_length": recipe.architecture.max_length}, base, experts)


def _from_hub(corpora: Mapping[str, Cell], recipe: Hub) -> Zoo:
    base, *places = _places(recipe, list(corpora))
    experts = {
        locale: models.pretrained(locale, place, recipe.labels) for locale, place in zip(corpora, places, strict=True)
    }
    body = models.with_head_of(models.pretrained("base", base), next(iter(experts.values())))
    return Zoo(corpora, data.reading(body), body, experts)


def _places(recipe: Hub, locales: Sequence[str]) -> list[Place]:
    """Say where the base and then the expert of each locale lies; UsageError for a repository without a commit."""
    subfolders = [recipe.subfolder.format(locale=locale) if recipe.subfolder else None for locale in locales]
    return [
        FolderModel(Path(name).expanduser(), subfolder)
        if is_folder(name)
        else HubModel(name, _revision(recipe, name), subfolder)
        for name, subfolder in zip(_names(recipe, locales), (None, *subfolders), strict=True)
    ]


def _names(recipe: Hub, locales: Sequence[str]) -> list[str]:
    return [recipe.base, *(recipe.experts.format(locale=locale) for locale in locales)]


def _revision(recipe: Hub, repo: str) -> str:
    """Return the pinned commit of *repo*: a branch may move."""
    if repo not in recipe.revisions:
        raise UsageError(f"{repo}: no revision is pinned; run `python -m compute lock` while the hub can be reached")
    return recipe.revisions[repo]


def check(recipe: Made | Hub, locales: Sequence[str]) -> None:
    """Raise UsageError if a finished model that the recipe names cannot be had."""
    if isinstance(recipe, Hub):
        for place in _places(recipe, locales):
            place.check()


def repositories(recipe: Hub, locales: Sequence[str]) -> list[str]:
    """List the hub repositories that a recipe needs; folders need no commit."""
    return [name for name in _names(recipe, locales) if not is_folder(name)]
