"""The study's cells: choosing, weighing, merging and measuring, described on demand from one config."""

from __future__ import annotations

from collections.abc import Mapping

from compute.cells import evaluation, merging_data
from compute.cells import similarity as similarities
from compute.cells.models import AS_ALL_ELSE, Policies, merged, merged_as_published
from compute.cells.similarity import Scope
from compute.cells.zoo import Zoo, zoo
from compute.engine.cell import Cell
from compute.locales import PREDECESSOR_LOCALES
from compute.studies.dare_source_selection.config import STATISTICS, Config, data_source

RULES = (("uriel", "sinkhorn"), ("uriel", "top_k"), ("real", "sinkhorn"), ("real", "top_k"))
"""Similarity × selection rule; the document's own are those by Sinkhorn."""

AS_PUBLISHED = ("average", "task_arithmetic", "ties")
"""Methods of the document's predecessor that can be run with its faults."""


class Design:
    """The cells of the study, made on demand from one config; the same call is always the same cell."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._measured: dict[tuple[str, str, str], Cell] = {}
        self.zoo: Zoo = zoo(data_source(config), config.locales, config.models, seed=config.seed)
        self.similarity: Mapping[str, Cell] = {
            "uriel": similarities.uriel(PREDECESSOR_LOCALES, "macro"),
            "real": similarities.real(self.transfer),
            "transposed": similarities.real_transposed(self.transfer),
        }

    def options(self, method: str) -> dict[str, object]:
        """Return the options of a method that are not its defaults."""
        named = {"ties": {"density": self.config.density}, "task_arithmetic": {"scale": self.config.scale}}
        return {**named.get(method, {}), **self.config.options.get(method, {})}

    @property
    def transfer(self) -> dict[str, dict[str, Cell]]:
        """Every expert on the dev split of every locale: what REAL is read from."""
        locales = self.config.locales
        return {source: {target: self.zero_shot(source, target, "dev") for target in locales} for source in locales}

    def zero_shot(self, source: str, target: str, split: str) -> Cell:
        """Measure one expert on one locale."""
        call = (source, target, split)
        if call not in self._measured:
            self._measured[call] = self.measured(self.zoo.experts[source], target, split)
        return self._measured[call]

    def measured(self, model: Cell, target: str, split: str = "test") -> Cell:
        """Measure any model on one locale, in the config's type of numbers."""
        return self.zoo.evaluation(model, target, split, self.config.dtype)

    def rivals(self, target: str) -> dict[str, Cell]:
        """Measure all other locales' experts on *target*: the zero-shot baselines."""
        return {source: self.zero_shot(source, target, "test") for source in self.config.locales if source != target}

    def chosen(self, similarity: str, rule: str, target: str, *, draw: int = 0, scope: Scope = "ExcTar") -> Cell:
        """Choose sources for *target* from the study's locales."""
        config, known = self.config, self.similarity[similarity]
        return similarities.selection(known, config.locales, target, rule, scope, config.count, config.seed, draw)

    def weights(self, similarity: str, rule: str, target: str, sources: Cell) -> Cell:
        """Weigh chosen sources: by Sinkhorn where it chose them, as the document does, else by similarity."""
        weighing = (
            "sinkhorn" if rule in ("sinkhorn", "merginguriel") else "uniform" if rule == "random_k" else "similarity"
        )
        return similarities.coefficients(self.similarity[similarity], target, sources, weighing)

    def merge(
        self,
        similarity: str,
        rule: str,
        target: str,
        *,
        method: str = "",
        drop_rate: float = 0.0,
        draw: int = 0,
        scope: Scope = "ExcTar",
        policies: Policies = AS_ALL_ELSE,
    ) -> Cell:
        """Choose, weigh, merge and measure on the test split of *target*."""
        method = method or self.config.methods[0]
        sources = self.chosen(similarity, rule, target, draw=draw if rule == "random_k" else 0, scope=scope)
        weights, options = self.weights(similarity, rule, target, sources), self.options(method)
        model = merged(
            self.zoo.base, self.zoo.experts, sources, weights, method, options, drop_rate, self.config.seed, draw,
            policies,
        )  # fmt: skip
        return self.measured(model, target)

    def dare(self, rule: str, target: str, method: str) -> list[Cell]:
        """Repeat a merge under DARE with other masks."""
        rate = self.config.drop_rate
        return [
            self.merge("real", rule, target, method=method, drop_rate=rate, draw=draw)
            for draw in range(self.config.draws)
        ]

    def by_any(self, method: str, target: str) -> Cell:
        """Merge the sources with the highest transfer by a method that may need to know their data, or the target's."""
        zoo, sources = self.zoo, self.chosen("real", "top_k", target)
        given = (zoo.base, zoo.experts, sources, self.weights("real", "top_k", target, sources))
        options = self.options(method)
        if kind := STATISTICS.get(method):
            known = {kind: self.statistics(kind)}
            return self.measured(merging_data.merged_by_statistics(*given, method, options, known), target)
        if method == "adamerging":
            seed, corpus = self.config.seed, zoo.corpora[target]
            learnt = merging_data.adapted_coefficients(*given, options, corpus, target, seed)
            return self.measured(merging_data.merged_as_adapted(*given[:3], options, learnt), target)
        return self.merge("real", "top_k", target, method=method)

    def statistics(self, kind: str) -> dict[str, Cell]:
        """Learn from the training utterances of every source but not from any target's, unless it is a source."""
        zoo, count, seed = self.zoo, self.config.examples, self.config.seed
        if kind == "fisher":
            return {
                locale: merging_data.fisher(expert, zoo.corpora[locale], locale, count, seed, samples=1)
                for locale, expert in zoo.experts.items()
            }
        return {
            locale: merging_data.grams(expert, zoo.corpora[locale], locale, count, seed)
            for locale, expert in zoo.experts.items()
        }

    def vote(self, rule: str, target: str) -> Cell:
        """Let the sources with the highest transfer vote, by what they said of the test split of *target* already."""
        sources = self.chosen("real", "top_k", target)
        asked = {
            locale: self.zoo.logits(expert, target, "test", self.config.dtype)
            for locale, expert in self.zoo.experts.items()
            if locale != target
        }
        weights = self.weights("real", "top_k", target, sources)
        return evaluation.ensemble(f"real/top_k/{target}", asked, sources, weights, rule)

    def as_published(self, similarity: str, rule: str, target: str, method: str) -> Cell:
        """Choose and weigh by a rule, then merge as the document's predecessor does: on the largest source."""
        sources = self.chosen(similarity, rule, target)
        weights = self.weights(similarity, rule, target, sources)
        return self.measured(merged_as_published(self.zoo.experts, sources, weights, method), target)

    def flips(self, locale: str) -> Cell:
        """Count what the config's type of numbers changes in an expert's predictions on its own locale."""
        expert = self.zoo.experts[locale]
        asked = (self.zoo.logits(expert, locale, "test", dtype) for dtype in ("float32", self.config.dtype))
        return evaluation.flips(*asked)
