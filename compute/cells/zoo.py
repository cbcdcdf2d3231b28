"""The models of a study as cells: utterances, a base and an expert a locale. Describes, computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compute.cells import data, models
from compute.engine.cell import Cell
from compute.errors import UsageError
from compute.evaluation.sources import Source
from compute.settings import Hub, Made


@dataclass(frozen=True)
class Zoo:
    """What every study of merging starts from, by locale."""

    corpora: Mapping[str, Cell]
    base: Cell
    experts: Mapping[str, Cell]


def zoo(source: Source, locales: Sequence[str], recipe: Made | Hub, *, seed: int) -> Zoo:
    """Describe the data and the models of *locales*."""
    corpora = {locale: data.utterances(source, locale) for locale in locales}
    if isinstance(recipe, Hub):
        return _from_hub(corpora, recipe)
    tokenizer = models.tokenizer(corpora, recipe.architecture.vocabulary)
    base = models.base(corpora, tokenizer, recipe.architecture, recipe.pretraining, seed)
    experts = {
        locale: models.expert(base, corpus, recipe.finetuning, locale, seed) for locale, corpus in corpora.items()
    }
    return Zoo(corpora, base, experts)


def _from_hub(corpora: Mapping[str, Cell], recipe: Hub) -> Zoo:
    experts = {locale: _expert(recipe, locale) for locale in corpora}
    body = models.from_hub("base", recipe.base, revision(recipe, recipe.base))
    return Zoo(corpora, models.with_head_of(body, next(iter(experts.values()))), experts)


def _expert(recipe: Hub, locale: str) -> Cell:
    repo = recipe.experts.format(locale=locale)
    subfolder = recipe.subfolder.format(locale=locale) if recipe.subfolder else None
    return models.from_hub(locale, repo, revision(recipe, repo), subfolder, recipe.labels)


def revision(recipe: Hub, repo: str) -> str:
    """Return the pinned commit of *repo*; UsageError if there is none, for a branch may move."""
    if repo not in recipe.revisions:
        raise UsageError(f"{repo}: no revision is pinned; run `python -m compute pin` while the hub can be reached")
    return recipe.revisions[repo]


def check(recipe: Made | Hub, locales: Sequence[str]) -> None:
    """Raise UsageError if a model of the hub cannot be had."""
    if isinstance(recipe, Hub):
        from compute.models.load import check_hub

        check_hub(recipe.base, revision(recipe, recipe.base))
        for locale in locales:
            subfolder = recipe.subfolder.format(locale=locale) if recipe.subfolder else None
            repo = recipe.experts.format(locale=locale)
            check_hub(repo, revision(recipe, repo), subfolder)


def repositories(recipe: Made | Hub, locales: Sequence[str]) -> list[str]:
    """List the hub repositories that a recipe needs."""
    if isinstance(recipe, Made):
        return []
    return [recipe.base, *(recipe.experts.format(locale=locale) for locale in locales)]
