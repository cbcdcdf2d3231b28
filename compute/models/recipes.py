"""How small models are made: sizes, amounts and rates. Plain values, no training and no heavy imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from compute.constraints import checked, limited
from compute.locales import check

Count = Annotated[int, limited(gt=0)]
Rate = Annotated[float, limited(gt=0)]
Share = Annotated[float, limited(ge=0, lt=1)]
LocaleCode = Annotated[str, checked(check)]


@dataclass(frozen=True)
class Architecture:
    """The size of an XLM-R: width, layers, attention heads, vocabulary, tokens a text.

    `dropout` is that of hidden states.
    """

    hidden: Count
    layers: Count
    heads: Count
    vocabulary: Count
    max_length: Count = 48
    dropout: Share = 0.1


@dataclass(frozen=True)
class Pretraining:
    """How the shared base model learns scenarios from all locales at once.

    `amounts` weighs how often a locale is drawn (1 where none is given): a locale with a small amount is a
    low-resource language of the base model. `alignment` weighs the loss of finding translations against that
    of scenarios; without any, nothing tells the base which words of two languages mean the same.
    """

    steps: Count
    batch: Count
    learning_rate: Rate
    amounts: Mapping[LocaleCode, Annotated[float, limited(ge=0)]] = field(default_factory=dict)
    alignment: Annotated[float, limited(ge=0)] = 0.0
    word_dropout: Share = 0.0


@dataclass(frozen=True)
class Finetuning:
    """How an expert learns intents from its own locale."""

    epochs: Count
    batch: Count
    learning_rate: Rate
    word_dropout: Share = 0.0
