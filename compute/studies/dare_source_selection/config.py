"""What the study depends on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

from compute.constraints import limited
from compute.errors import UsageError
from compute.evaluation import sources
from compute.locales import PREDECESSOR_LOCALES
from compute.settings import Count, Density, DropRate, LocaleCode, Method, Models, PhrasebookSize


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

    def __post_init__(self) -> None:
        """Refuse a config whose parts do not fit each other."""
        for locale in {*self.targets, self.lead}:
            if locale not in self.locales:
                raise UsageError(f"target {locale} is not among the locales: add it to `locales`")
        if self.lead not in self.targets:
            raise UsageError(f"lead {self.lead} is not among the targets: add it to `targets`")
        known = [locale for locale in self.locales if locale in PREDECESSOR_LOCALES]
        if self.count >= len(known):
            raise UsageError(f"count {self.count}: {len(known)} locales leave {len(known) - 1} sources a target")


def data_source(config: Config) -> sources.Source:
    """Return the data source that the config names."""
    if config.data == "phrasebook":
        return sources.PhrasebookData(config.seed, **dataclasses.asdict(config.phrasebook))
    return sources.parse(config.data)
