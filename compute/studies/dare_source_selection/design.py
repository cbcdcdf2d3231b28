"""The study's cells: choosing, weighing, merging and measuring, described on demand from one config."""

from __future__ import annotations

from collections.abc import Mapping

from compute.cells import similarity as similarities
from compute.cells.models import merged
from compute.cells.similarity import Scope
from compute.cells.zoo import Zoo, zoo
from compute.engine.cell import Cell
from compute.locales import PREDECESSOR_LOCALES
from compute.studies.dare_source_selection.config import Config, data_source

RULES = (("uriel", "sinkhorn"), ("uriel", "top_k"), ("real", "sinkhorn"), ("real", "top_k"))
"""Similarity × selection rule; the document's own are those by Sinkhorn."""


class Design:
    """The cells of the study, made on demand from one config; the same call is always the same cell."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._measured: dict[tuple[str, str, str], Cell] = {}
        self.zoo: Zoo = zoo(data_source(config), config.locales, config.models, seed=config.seed)
        self.similarity: Mapping[str, Cell] = {
            "uriel": similarities.uriel(PREDECESSOR_LOCALES, "macro"),
            "real": similarities.real(self.transfer),
        }

    @property
    def _options(self) -> dict[str, dict[str, float]]:
        return {"ties": {"density": self.config.density}, "task_arithmetic": {"scale": self.config.scale}}

    @property
    def transfer(self) -> dict[str, dict[str, Cell]]:
        """Every expert on the dev split of every locale: what REAL is read from."""
        locales = self.config.locales
        return {source: {target: self.zero_shot(source, target, "dev") for target in locales} for source in locales}

    def zero_shot(self, source: str, target: str, split: str) -> Cell:
        """Measure one expert on one locale."""
        call = (source, target, split)
        if call not in self._measured:
            self._measured[call] = self.zoo.evaluation(self.zoo.experts[source], target, split)
        return self._measured[call]

    def rivals(self, target: str) -> dict[str, Cell]:
        """Measure all other locales' experts on *target*: the zero-shot baselines."""
        return {source: self.zero_shot(source, target, "test") for source in self.config.locales if source != target}

    def chosen(self, similarity: str, rule: str, target: str, *, draw: int = 0, scope: Scope = "ExcTar") -> Cell:
        """Choose sources for *target* from the study's locales."""
        config, known = self.config, self.similarity[similarity]
        return similarities.selection(known, config.locales, target, rule, scope, config.count, config.seed, draw)

    def weights(self, similarity: str, rule: str, target: str, sources: Cell) -> Cell:
        """Weigh chosen sources: by Sinkhorn where it chose them, as the document does, else by similarity."""
        weighing = "sinkhorn" if rule == "sinkhorn" else "uniform" if rule == "random_k" else "similarity"
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
    ) -> Cell:
        """Choose, weigh, merge and measure on the test split of *target*."""
        method = method or self.config.methods[0]
        sources = self.chosen(similarity, rule, target, draw=draw if rule == "random_k" else 0, scope=scope)
        model = merged(
            self.zoo.base,
            self.zoo.experts,
            sources,
            self.weights(similarity, rule, target, sources),
            method,
            self._options.get(method, {}),
            drop_rate,
            self.config.seed,
            draw,
        )
        return self.zoo.evaluation(model, target, "test")

    def dare(self, rule: str, target: str, method: str) -> list[Cell]:
        """Repeat a merge under DARE with other masks."""
        rate = self.config.drop_rate
        return [
            self.merge("real", rule, target, method=method, drop_rate=rate, draw=draw)
            for draw in range(self.config.draws)
        ]
