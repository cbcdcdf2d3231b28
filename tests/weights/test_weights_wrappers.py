from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import UsageError
from compute.weights.completed import Completed, Selected
from compute.weights.memory import InMemory
from compute.weights.vocabulary import Aligned, aligned, check_vocabularies, token_rows, vocabulary_tensors
from compute.weights.weights import Weights


def read(weights: Weights, name: str, chunk: int = 1 << 20) -> np.ndarray:
    info = weights.tensors()[name]
    out = np.full(info.size, np.nan, np.float32)
    for start in range(0, info.size, chunk):
        weights.read(name, start, out[start : start + chunk])
    return out.reshape(info.shape)


BASE = {"encoder": torch.arange(6.0).reshape(2, 3), "lm_head.bias": torch.ones(2)}
EXPERTS = {
    name: InMemory({"encoder": torch.ones(2, 3), "head": torch.full((3, 2), value).bfloat16(), "ids": torch.arange(3)})
    for name, value in (("a", 1.0), ("b", 2.0), ("c", 6.0))
}
INFOS = list(EXPERTS["a"].tensors().values())


def test_selected() -> None:
    weights = Selected(EXPERTS["a"], ["head", "encoder"])
    assert list(weights.tensors()) == ["head", "encoder"]
    assert read(weights, "head").tolist() == [[1, 1]] * 3
    assert weights.raw("head").size == 12
    for call in (lambda: weights.raw("ids"), lambda: Selected(EXPERTS["a"], ["other"])):
        with pytest.raises(UsageError, match="unknown tensor"):
            call()


@pytest.mark.parametrize(("how", "value"), [("zero", 0), ("mean", 3)])
def test_completed(how: str, value: float) -> None:
    weights = Completed(InMemory(BASE), EXPERTS, INFOS, how)
    assert list(weights.tensors()) == ["encoder", "head", "ids"]
    assert weights.lacking == ("head", "ids")
    assert np.array_equal(read(weights, "encoder", 2), BASE["encoder"].numpy())
    assert read(weights, "head", 4).tolist() == [[value, value]] * 3
    assert weights.raw("head").tobytes() == bytes(torch.full((6,), value).bfloat16().view(torch.uint8).tolist())
    assert weights.raw("ids").view(np.int64).tolist() == ([0, 1, 2] if how == "mean" else [0, 0, 0])
    assert weights.raw("encoder").tobytes() == BASE["encoder"].numpy().tobytes()


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3), min_size=1, max_size=6))
def test_the_mean_does_not_depend_on_the_order(values: list[list[float]]) -> None:
    experts = [InMemory({"head": np.array(row, np.float32)}) for row in values]
    means = [
        Completed(InMemory({}), dict(enumerate(order)), experts[0].tensors().values(), "mean").raw("head").tobytes()
        for order in (experts, experts[::-1])
    ]
    assert means[0] == means[1]


def test_what_cannot_be_completed() -> None:
    other = InMemory({"encoder": torch.ones(2, 3), "head": torch.ones(4, 2), "ids": torch.zeros(3, dtype=torch.int64)})
    with pytest.raises(UsageError, match=r"d: tensor head has the shape \[4, 2\] instead of \[3, 2\]"):
        Completed(InMemory(BASE), {**EXPERTS, "d": other}, INFOS, "mean")
    with pytest.raises(UsageError, match="d lacks the tensor head"):
        Completed(InMemory(BASE), {**EXPERTS, "d": InMemory({})}, INFOS, "mean")
    with pytest.raises(UsageError, match="no models"):
        Completed(InMemory(BASE), {}, INFOS, "mean")
    with pytest.raises(UsageError, match="the base: tensor encoder has the shape"):
        Completed(InMemory({"encoder": torch.ones(3)}), EXPERTS, INFOS, "zero")
    with pytest.raises(UsageError, match="disagree"):
        Completed(InMemory({}), {"a": EXPERTS["a"], "d": other}, INFOS[2:], "mean").raw("ids")


def model(rows: int, start: float = 0.0) -> dict[str, torch.Tensor]:
    return {
        "roberta.embeddings.word_embeddings.weight": torch.arange(rows * 3.0).reshape(rows, 3) + start,
        "lm_head.bias": torch.arange(float(rows)) + start,
        "encoder.decoder.weight": torch.full((2, 3), start),
    }


EMBEDDINGS = "roberta.embeddings.word_embeddings.weight"


def test_vocabularies_of_other_sizes_are_refused() -> None:
    three, four = InMemory(model(3)), InMemory(model(4))
    check_vocabularies(three, {"a": three})
    with pytest.raises(UsageError, match=rf"{EMBEDDINGS} has 4 rows in a and 3 in the base: .*align"):
        check_vocabularies(three, {"a": four})
    with pytest.raises(UsageError, match="4 rows in b and 3 in a"):
        check_vocabularies(None, {"a": three, "b": four})


def test_tensors_of_the_vocabulary() -> None:
    assert vocabulary_tensors(InMemory(model(5))) == [EMBEDDINGS, "lm_head.bias"]


@given(st.lists(st.integers(-1, 5), min_size=1, max_size=12), st.integers(0, 3), st.integers(1, 11))
def test_rows_are_taken_by_token(rows: list[int], padding: int, chunk: int) -> None:
    base, own = model(len(rows) + padding, 0.0), model(6, 1000.0)
    weights = Aligned(InMemory(own), [EMBEDDINGS, "lm_head.bias"], np.array(rows), InMemory(base))
    for name in (EMBEDDINGS, "lm_head.bias"):
        expected = base[name].numpy().copy()
        for row, other in enumerate(rows):
            if other >= 0:
                expected[row] = own[name][other].numpy()
        assert np.array_equal(read(weights, name, chunk), expected)
        assert weights.raw(name).tobytes() == expected.tobytes()
    assert np.array_equal(read(weights, "encoder.decoder.weight"), own["encoder.decoder.weight"].numpy())
    assert weights.raw("encoder.decoder.weight").size == 24


def test_rows_that_do_not_fit() -> None:
    base, own = InMemory(model(3)), InMemory(model(4))
    with pytest.raises(UsageError, match="tokenizer needs 4"):
        Aligned(own, [EMBEDDINGS], np.arange(4), base)
    with pytest.raises(UsageError, match="has 4 rows, and the model's tokenizer needs 5"):
        Aligned(own, [EMBEDDINGS], np.array([4, 0, 1]), base)
    with pytest.raises(UsageError, match=r"\[4, 3\] in the model and \[3, 2\] in the base"):
        Aligned(own, [EMBEDDINGS], np.arange(3), InMemory({EMBEDDINGS: torch.zeros(3, 2)}))


def tokenizer(*tokens: str, added: tuple[str, ...] = ()) -> str:
    words = {token: row for row, token in enumerate(tokens)}
    extra = [
        {"id": len(tokens) + row, "content": token, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for row, token in enumerate(added)
    ]
    return json.dumps(
        {
            "version": "1.0",
            "added_tokens": extra,
            "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
        }
    )


def test_rows_by_token() -> None:
    base = tokenizer("<unk>", "a", "b", "c", added=("<mask>",))
    assert token_rows(base, base).tolist() == [0, 1, 2, 3, 4]
    assert token_rows(base, tokenizer("<unk>", "c", "d", "a", added=("<mask>",))).tolist() == [0, 3, -1, 1, 4]
    with pytest.raises(UsageError, match=r"tokenizer\.json of the model is none"):
        token_rows(base, "{}")


def test_models_are_aligned_by_their_folders(tmp_path: Path) -> None:
    texts = {"base": tokenizer("<unk>", "a", "b"), "same": tokenizer("<unk>", "a", "b", added=()) + "\n"}
    texts["other"] = tokenizer("b", "<unk>")
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text(text)
    base = InMemory(model(3))
    experts = {"same": InMemory(model(3, 50.0)), "other": InMemory(model(2, 100.0))}
    found = aligned(base, experts, {name: tmp_path / name for name in experts}, tmp_path / "base")
    assert found["same"] is experts["same"]
    assert read(found["other"], "lm_head.bias").tolist() == [101, 1, 100]
    check_vocabularies(base, found)
    (tmp_path / "other" / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match=r"other: vocabularies are compared and aligned by tokenizer.json"):
        aligned(base, experts, {name: tmp_path / name for name in experts}, tmp_path / "base")


def test_a_model_with_rows_that_the_base_lacks_is_not_aligned(tmp_path: Path) -> None:
    for name, text in {"base": tokenizer("<unk>", "a"), "other": tokenizer("a", "<unk>")}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text(text)
    base = InMemory({EMBEDDINGS: torch.zeros(2, 3)})
    with pytest.raises(UsageError, match=r"lm_head.bias, which the base lacks"):
        aligned(base, {"other": InMemory(model(2))}, {"other": tmp_path / "other"}, tmp_path / "base")
