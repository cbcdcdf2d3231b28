"""Pieces of config that studies share: locales, plug-in names, where data and models come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from compute import plugins
from compute.models.recipes import Architecture, Finetuning, LocaleCode, Pretraining

__all__ = ["Commit", "Count", "Density", "DropRate", "Hub", "LocaleCode", "Made", "Method", "Models", "PhrasebookSize"]

Method = Annotated[str, AfterValidator(lambda name: plugins.check("compute.merging.methods", name))]
Density = Annotated[float, Field(gt=0, le=1)]
DropRate = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Commit = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
"""A commit of a repository: a branch or tag may move, and the result with it."""


@dataclass(frozen=True)
class PhrasebookSize:
    """How many utterances an intent the phrasebook gives to each partition."""

    train: Count
    dev: Count
    test: Count
    held_out: Annotated[int, Field(ge=0)] = 0


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


Models = Annotated[Made | Hub, Field(discriminator="kind")]
