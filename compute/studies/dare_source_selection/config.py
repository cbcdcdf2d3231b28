"""What the study depends on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from compute import plugins
from compute.constraints import checked, limited
from compute.errors import UsageError
from compute.evaluation import sources
from compute.locales import PREDECESSOR_LOCALES
from compute.settings import Count, Density, DropRate, LocaleCode, Method, Models, PhrasebookSize

Ensemble = Annotated[str, checked(lambda name: plugins.check("compute.evaluation.ensembles", name))]
Variant = Literal["seen_rows", "best_head", "lines"]
"""A change of the average: embeddings averaged over the sources that moved a row, the head of one source, or LiNeS."""

DATA_FREE = (
    "task_arithmetic", "ties", "model_stock", "breadcrumbs", "della", "sce", "consensus", "pcb", "iso_c", "tsv_m",
    "karcher", "multislerp",
)  # fmt: skip
STATISTICS = {"fisher": "fisher", "regmean": "grams"}
"""Merge methods that need to know something of each source's data, and what."""


def _options(given: Mapping[str, Mapping[str, object]]) -> Mapping[str, Mapping[str, object]]:
    """Refuse options that a method does not have, and those that the config names by themselves."""
    from compute.merging.method import bind_options

    for method, options in given.items():
        bind_options(method, options)
        if taken := {("ties", "density"), ("task_arithmetic", "scale")} & {(method, name) for name in options}:
            raise UsageError(f"{'.'.join(min(taken))}: set `{min(taken)[1]}` itself, which stands for it")
    return given


@dataclass(frozen=True)
class Config:
    """What the study depends on."""

    seed: int
    data: str
    """"phrasebook", a Parquet file or a folder of JSONL files in MASSIVE's columns, or org/name@revision."""
    phrasebook: PhrasebookSize
    locales: Annotated[tuple[LocaleCode, ...], limited(min_length=3)]
    targets: Annotated[tuple[LocaleCode, ...], limited(min_length=1)]
    lead: LocaleCode
    """The target of the document's first table."""
    models: Models
    count: Annotated[int, limited(ge=2)] = 3
    """Sources a merge."""
    density: Density = 0.2
    """Share of each task vector that TIES keeps (the document's k)."""
    scale: Annotated[float, limited(gt=0)] = 1.2
    """Of task arithmetic, whose coefficients sum to one: at 1 it would be the average."""
    drop_rate: DropRate = 0.9
    draws: Count = 3
    """Repetitions of what is random: DARE's masks, random sources."""
    methods: Annotated[tuple[Method, ...], limited(min_length=2)] = ("ties", "task_arithmetic", "average")
    """The first is the document's."""
    more_methods: tuple[Method, ...] = DATA_FREE
    """What the average is compared with, on the sources with the highest transfer."""
    variants: tuple[Variant, ...] = ("seen_rows", "best_head", "lines")
    """Changes of the average to compare it with, too."""
    ensembles: tuple[Ensemble, ...] = ("majority", "weighted_majority", "mean_probability", "weighted_logits")
    """Rules by which the same sources vote, without a merge."""
    options: Annotated[Mapping[str, Mapping[str, bool | int | float | str]], checked(_options)] = field(
        default_factory=dict
    )
    """Options of merge methods, by method, where they are not to be the method's own defaults."""
    lines: tuple[float, float] = (1.0, 1.5)
    """What LiNeS scales the first and the last layer of the merged task vector by."""
    examples: Count = 64
    """Training utterances of each source from which a method learns what it needs to know of the source's data."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What networks compute in where accuracy is measured; training and merging are in float32."""

    def __post_init__(self) -> None:
        """Refuse a config whose parts do not fit each other."""
        for locale in {*self.targets, self.lead}:
            if locale not in self.locales:
                raise UsageError(f"target {locale} is not among the locales: add it to `locales`")
        if self.lead not in self.targets:
            raise UsageError(f"lead {self.lead} is not among the targets: add it to `targets`")
        if "emr" in self.more_methods or "slerp" in (*self.more_methods, *self.methods):
            raise UsageError("more_methods: emr needs the target among its sources, and slerp has two: leave them out")
        known = [locale for locale in self.locales if locale in PREDECESSOR_LOCALES]
        if self.count >= len(known):
            raise UsageError(f"count {self.count}: {len(known)} locales leave {len(known) - 1} sources a target")


def data_source(config: Config) -> sources.Source:
    """Return the data source that the config names."""
    if config.data == "phrasebook":
        return sources.PhrasebookData(config.seed, **dataclasses.asdict(config.phrasebook))
    return sources.parse(config.data)
