from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from compute.cells import data
from compute.cells import evaluation as cells
from compute.engine.cell import cell
from compute.engine.work import Handle
from compute.evaluation import inference
from compute.models import build, tokenizer
from compute.models.checkpoint import Checkpoint, to_tree
from compute.models.recipes import Architecture

TEXTS = ["wake me at five", "play some jazz", "what time is it", "stop it now"]
INTENTS = ["alarm", "music", "time", "alarm"]
FIELDS = ["accuracy", "low", "high", "macro_f1", "n", "labels", "ids", "gold", "predicted", "dtype"]


@cell()
def made(seed: int) -> dict[str, Any]:
    return {}


class Models:
    """Handles on models that count how often each was loaded."""

    def __init__(self) -> None:
        self.loaded: list[int] = []

    def handle(self, seed: int, trace: str = "a", **changes: Any) -> Any:
        item = made(seed)

        def load() -> dict[str, Any]:
            self.loaded.append(seed)
            return to_tree(dataclasses.replace(model(seed), **changes))

        inputs: Any = SimpleNamespace(traces={item.key: trace}, load=lambda cell: load())
        return Handle(item, inputs)


def model(seed: int) -> Checkpoint:
    torch.set_num_threads(1)
    words = tokenizer.train(TEXTS, vocabulary=60)
    sizes = Architecture(hidden=32, layers=2, heads=2, vocabulary=60, max_length=12)
    return build.new_base(sizes, words, INTENTS, seed=seed)


def corpus() -> pd.DataFrame:
    rows = [("test", *row) for row in zip(TEXTS, INTENTS, strict=True)] + [("dev", "play it", "music")]
    frame = pd.DataFrame(rows, columns=["partition", "utt", "intent"])
    return frame.assign(id=np.arange(len(frame)) + 10)


def encoded(split: str = "test") -> dict[str, Any]:
    reading = {"tokenizer": model(0).tokenizer, "max_length": model(0).max_length}
    found: dict[str, Any] = data.encoded.function(reading, corpus(), "en-US", split)
    return found


def asked(logits: list[list[float]], dtype: str = "float32", **changes: Any) -> dict[str, Any]:
    n = len(logits)
    found = {"logits": np.array(logits, dtype=np.float32), "labels": ["a", "b"], "ids": np.arange(n)}
    return {**found, "gold": np.zeros(n, dtype=np.int16), "dtype": dtype, **changes}


@pytest.fixture
def logits() -> Callable[..., dict[str, Any]]:
    cells._LAST.clear()
    return cells.logits.function


def test_logits_are_those_of_the_model_with_what_identifies_the_examples(logits: Callable[..., Any]) -> None:
    found = logits(Models().handle(0), encoded())

    assert (found["logits"] == inference.logits(model(0), TEXTS)).all()
    assert found["logits"].dtype == np.float32
    assert found["labels"] == ["alarm", "music", "time"]
    assert (found["ids"].tolist(), found["gold"].tolist()) == ([10, 11, 12, 13], [0, 1, 2, 0])
    assert found["dtype"] == "float32"


def test_a_model_is_loaded_once_for_all_that_it_is_asked_in_a_row(logits: Callable[..., Any]) -> None:
    models = Models()
    for _ in range(2):
        for seed in (1, 2):
            for split in ("dev", "test"):
                found = logits(models.handle(seed), encoded(split))
                texts = TEXTS if split == "test" else ["play it"]
                assert (found["logits"] == inference.logits(model(seed), texts)).all()
    assert models.loaded == [1, 2, 1, 2]


def test_another_result_or_type_of_number_is_another_model(logits: Callable[..., Any]) -> None:
    models = Models()
    exact = logits(models.handle(1, "a"), encoded())
    logits(models.handle(1, "b"), encoded())
    rounded = logits(models.handle(1, "b"), encoded(), "bfloat16")

    assert models.loaded == [1, 1, 1]
    assert rounded["dtype"] == "bfloat16"
    assert 0 < abs(rounded["logits"] - exact["logits"]).max() < 0.01


def test_a_model_with_a_tokenizer_of_its_own_reads_by_it(logits: Callable[..., Any]) -> None:
    other = tokenizer.train([text[::-1] for text in TEXTS], vocabulary=60)
    found = logits(Models().handle(0, tokenizer=other), encoded())

    assert (found["logits"] == inference.logits(dataclasses.replace(model(0), tokenizer=other), TEXTS)).all()
    assert not np.allclose(found["logits"], inference.logits(model(0), TEXTS), atol=1e-6)


def test_an_intent_that_the_model_does_not_know_is_named(logits: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="does not know the intents dance"):
        logits(Models().handle(0), {**encoded(), "intents": ["dance", *INTENTS[1:]]})


def test_encoded_texts_keep_what_else_is_known_of_them() -> None:
    found = encoded("dev")

    assert (found["ids"].tolist(), found["intents"], found["texts"]) == ([14], ["music"], ["play it"])
    assert found["tokens"].dtype == np.int32
    assert found["lengths"].tolist() == [len(found["tokens"])]
    assert data.reading.function(to_tree(model(0))) == {"tokenizer": model(0).tokenizer, "max_length": 12}


def test_an_evaluation_has_its_fields_in_any_case() -> None:
    found = cells.evaluation.function(asked([[1, 0], [0, 1], [1, 0], [2, 1]]))

    assert list(found) == FIELDS
    assert (found["accuracy"], found["n"], found["dtype"]) == (0.75, 4, "float32")
    assert found["predicted"].tolist() == [0, 1, 0, 0]
    assert {found[name].dtype for name in ("gold", "predicted")} == {np.dtype("int16")}


def test_an_ensemble_loads_whom_it_asks_and_one_alone_is_itself() -> None:
    first, second = asked([[1, 0], [0, 3]]), asked([[0, 2], [1, 0]], dtype="bfloat16")
    handles = {"x": SimpleNamespace(load=lambda: first), "y": SimpleNamespace(load=lambda: second), "z": None}

    alone = cells.ensemble.function("one", handles, ["x"], [0.3], "majority")
    both = cells.ensemble.function("two", handles, ["y", "x"], [0.5, 0.5], "weighted_logits")

    expected = cells.evaluation.function(first)
    assert {name: np.asarray(alone[name]).tolist() for name in FIELDS} == {
        name: np.asarray(expected[name]).tolist() for name in FIELDS
    }
    assert both["predicted"].tolist() == [1, 1]
    assert both["dtype"] == "bfloat16/float32"


@pytest.mark.parametrize("change", [{"ids": np.array([5, 6])}, {"labels": ["b", "a"]}])
def test_members_that_were_asked_otherwise_cannot_vote_together(change: dict[str, Any]) -> None:
    first, second = asked([[1, 0], [0, 3]]), asked([[0, 2], [1, 0]], **change)
    handles = {"x": SimpleNamespace(load=lambda: first), "y": SimpleNamespace(load=lambda: second)}

    with pytest.raises(ValueError, match="y has other classes or utterances than x"):
        cells.ensemble.function("two", handles, ["x", "y"], [0.5, 0.5], "majority")
    with pytest.raises(ValueError, match="cannot be compared"):
        cells.flips.function(first, second)


def test_flips_are_counted() -> None:
    exact, rounded = asked([[1, 0], [0, 3], [2, 1]]), asked([[1, 0], [3, 0], [2, 1]], dtype="bfloat16")

    assert cells.flips.function(exact, rounded) == {
        "flips": 1, "n": 3, "share": 1 / 3, "dtype": "bfloat16", "reference": "float32",
    }  # fmt: skip
