"""Pieces of config that studies share: locales, plug-in names, where data and models come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from compute import plugins
from compute.constraints import checked, limited
from compute.models.recipes import Architecture, Finetuning, LocaleCode, Pretraining

__all__ = ["Commit", "Count", "Density", "DropRate", "Hub", "LocaleCode", "Made", "Method", "Models", "PhrasebookSize"]

Method = Annotated[str, checked(lambda name: plugins.check("compute.merging.methods", name))]
Density = Annotated[float, limited(gt=0, le=1)]
DropRate = Annotated[float, limited(ge=0, lt=1)]
Count = Annotated[int, limited(ge=1)]
Commit = Annotated[str, limited(pattern="^[0-9a-f]{40}$")]
"""A commit of a repository: a branch or tag may move, and the result with it."""


@dataclass(frozen=True)
class PhrasebookSize:
    """How many utterances an intent the phrasebook gives to each partition."""

    train: Count
    dev: Count
    test: Count
    held_out: Annotated[int, limited(ge=0)] = 0


@dataclass(frozen=True)
class Made:
    """Models made by cells: one base for all locales, one expert a locale."""

    architecture: Architecture
    pretraining: Pretraining
    finetuning: Finetuning
    kind: Literal["made"] = "made"


@dataclass(frozen=True)
class Hub:
    """Finished models, of the hub or in folders: `experts` and `subfolder` are patterns over {locale}.

    `revisions` pins each repository to a commit; `python -m compute lock` writes them. `labels` names the
    classes of experts that call them LABEL_0, LABEL_1 and so on.
    """

    base: str
    experts: str
    subfolder: str | None = None
    labels: tuple[str, ...] = ()
    revisions: Mapping[str, Commit] = field(default_factory=dict)
    kind: Literal["hub"] = "hub"


Models = Annotated[Made | Hub, limited(discriminator="kind")]
