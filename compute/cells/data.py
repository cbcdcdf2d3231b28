"""Cells that load data sets and turn them into token ids: a locale at a time, so that a new one leaves others alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compute.engine.cell import cell

if TYPE_CHECKING:
    from pandas import DataFrame

    from compute.evaluation.sources import Source

Reading = Mapping[str, Any]
"""How models of one base read texts: tokenizer (the tokenizers library's JSON) and max_length."""

Encoded = dict[str, Any]
"""One split of one locale: tokens of all texts in a row and lengths, ids, intents, texts, and reading, a digest."""


@cell(label="{locale}", libraries=("datasets",))
def utterances(source: Source, locale: str) -> DataFrame:
    """Load one locale: id, locale, partition, scenario, intent, utt; one row an utterance, all partitions."""
    return source.load(locale)


@cell(label="{model}", libraries=("transformers",))
def reading(model: dict[str, Any]) -> Reading:
    """Take from a finished model how it reads texts, so that the locales are encoded without its weights."""
    from compute.models.checkpoint import from_tree

    found = from_tree(model)
    return {"tokenizer": found.tokenizer, "max_length": found.max_length}


@cell(label="{locale}/{split}", libraries=("tokenizers",))
def encoded(reading: Reading, corpus: DataFrame, locale: str, split: str) -> Encoded:
    """Turn one split of one locale into token ids, once for all models that read alike."""
    from compute.evaluation import inference

    rows = corpus[corpus["partition"] == split]
    texts = rows["utt"].tolist()
    found = inference.encode(reading["tokenizer"], texts, reading["max_length"])
    return {
        "tokens": found.tokens,
        "lengths": found.lengths,
        "ids": rows["id"].to_numpy(),
        "intents": rows["intent"].tolist(),
        "texts": texts,
        "reading": inference.reading(reading["tokenizer"], reading["max_length"]),
    }
