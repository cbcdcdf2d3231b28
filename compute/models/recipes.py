"""How small models are made: sizes, amounts and rates. Plain values, no training and no heavy imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from compute.constraints import checked, limited
from compute.errors import UsageError
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


@dataclass(frozen=True)
class CausalArchitecture:
    """The size of a small causal language model: width, layers, heads (those of keys and values apart), inner width.

    `hidden` must be an even multiple of `heads`, and `heads` a multiple of `kv_heads`; UsageError otherwise.
    """

    kind: Literal["qwen2", "llama"]
    hidden: Count
    layers: Count
    heads: Count
    kv_heads: Count
    intermediate: Count
    max_length: Count = 32

    def __post_init__(self) -> None:
        if self.hidden % (2 * self.heads) or self.heads % self.kv_heads:
            raise UsageError(
                f"a width of {self.hidden} with {self.heads} heads, {self.kv_heads} of them for keys and values, cannot"
                " be split: the width must be an even multiple of the heads, and these a multiple of the others"
            )


@dataclass(frozen=True)
class Teaching:
    """How a base model learns its skills from nothing, and how well it must know each.

    After `steps` of `batch` lessons every skill is checked. As long as one is known to less than `accuracy`, `more`
    steps follow, `repeats` times at the most; their rate rises to half of `learning_rate`.
    """

    steps: Count = 500
    batch: Count = 64
    learning_rate: Rate = 4e-3
    accuracy: Share = 0.9
    more: Count = 150
    repeats: Annotated[int, limited(ge=0)] = 3
