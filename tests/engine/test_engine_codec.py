from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from compute.engine import codec
from compute.engine.codec import CodecError
from compute.engine.store import _digests


def round_trip(value: object) -> Any:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        codec.write(value, Path(folder))
        return codec.read(Path(folder))


def trees() -> st.SearchStrategy[Any]:
    leaves = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(st.characters(exclude_categories=()))  # lone surrogates too: a bad decode must not lose a result
    )
    names = st.text().filter(lambda name: name != "$recount")
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
        max_leaves=15,
    )


def exact(value: Any) -> Any:
    """The value with floats as bits that compare, so that nan equals nan and 0.0 is not -0.0 or 0."""
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, dict):
        return [(name, exact(item)) for name, item in value.items()]
    return (type(value).__name__, "nan" if isinstance(value, float) and math.isnan(value) else repr(value))


@given(trees())
@example("\ud800")
@example({"\udfff": ["\ud800"]})
def test_plain_values_come_back_exactly(value: Any) -> None:
    assert exact(round_trip(value)) == exact(value)


def test_tuples_come_back_as_lists() -> None:
    assert round_trip({"a": (1, (2,))}) == {"a": [1, [2]]}


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(
            {
                "text": ["a", "ñ", None],
                "n": [1, 2, 3],
                "x": [0.1, math.nan, math.inf],
                "yes": [True, False, True],
            }
        ),
        pd.DataFrame({"a": pd.Series([], dtype="str"), "b": pd.Series([], dtype="int64")}),
        pd.DataFrame(),
        pd.DataFrame({"kind": pd.Categorical(["a", "b", "a"]), "when": pd.to_datetime(["2026-01-01"] * 3)}),
        pd.DataFrame({"small": np.array([1, 2], dtype="int8"), "single": np.array([1, 2], dtype="float32")}),
    ],
    ids=["mixed", "no rows", "nothing", "categories and dates", "small types"],
)
def test_frames_come_back_with_their_types(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(round_trip([frame])[0], frame, check_column_type=False)


ARRAYS = [
    np.arange(6, dtype="int64").reshape(2, 3),
    np.arange(6, dtype="float32").reshape(2, 3).T,
    np.arange(10, dtype="uint8")[::-2],
    np.asfortranarray(np.eye(3)),
    np.array([1.5, math.nan, math.inf, -0.0], dtype="float16"),
    np.array(3.0),
    np.zeros((0, 4), dtype="int16"),
    np.array([True, False]),
    np.arange(3, dtype=">f8"),
    np.arange(3, dtype=">i4"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_arrays_come_back_equal(array: np.ndarray[Any, Any]) -> None:
    found = round_trip({"a": array})["a"]
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.shape) == (array.dtype.newbyteorder("="), array.shape)


TENSORS = [
    torch.arange(6.0).reshape(2, 3).T,
    torch.arange(10)[::3],
    torch.tensor(2.5),
    torch.zeros(0, 3),
    torch.ones(3, dtype=torch.bfloat16),
    torch.tensor([True, False]),
    torch.nn.Parameter(torch.ones(2)),
    torch.ones(1).expand(4),
]


@pytest.mark.parametrize("tensor", TENSORS, ids=lambda tensor: f"{tensor.dtype}{tuple(tensor.shape)}")
def test_tensors_come_back_equal_and_detached(tensor: torch.Tensor) -> None:
    found = round_trip([tensor])[0]
    assert torch.equal(found, tensor)
    assert (found.dtype, found.requires_grad) == (tensor.dtype, False)


def test_tied_tensors_both_come_back() -> None:
    weight = torch.ones(2, 2)
    found = round_trip({"in": weight, "out": weight, "view": weight[0]})
    assert torch.equal(found["in"], weight)
    assert torch.equal(found["out"], weight)
    assert torch.equal(found["view"], weight[0])


def test_parts_whose_places_read_the_same_are_kept_apart() -> None:
    value = {
        "a.b": np.array([1]),
        "a": {"b": np.array([2])},
        "c[0]": torch.tensor([3]),
        "c": [torch.tensor([4])],
    }
    found = round_trip(value)
    assert [int(found["a.b"][0]), int(found["a"]["b"][0])] == [1, 2]
    assert [int(found["c[0]"][0]), int(found["c"][0][0])] == [3, 4]


def test_folders_come_back_with_what_is_in_them(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep").mkdir(parents=True)
    (source / "a.txt").write_text("a", encoding="utf-8")
    (source / "deep" / "b.txt").write_text("b", encoding="utf-8")
    target.mkdir()
    codec.write({"model": source}, target)
    found = codec.read(target)["model"]
    assert found.is_relative_to(target)
    assert {path.relative_to(found).as_posix() for path in found.rglob("*.txt")} == {"a.txt", "deep/b.txt"}
    assert (source / "a.txt").exists()


REFUSED: list[Any] = [
    ({"x": [1, {2}]}, "result.x[1]: a builtins.set is not kept"),
    ({"x": b"bytes"}, "result.x: a builtins.bytes is not kept"),
    ([object()], "result[0]: a builtins.object is not kept"),
    ({1: "one"}, "result: keys of a mapping must be strings"),
    ({"a": {"$recount": 1}}, "result.a: keys of a mapping must be strings other than $recount"),
    (np.int64(3), "result: a numpy.int64 is not kept"),
    ([np.array(["a"])], "result[0]: a numpy.ndarray is not kept"),
    ([np.array([1j])], "result[0]: a numpy.ndarray is not kept"),
    ([np.zeros(2, dtype="longdouble")], "result[0]: a numpy.ndarray is not kept"),
    (Path("no/such/folder"), "result: a pathlib.PosixPath is not kept"),
    ({"f": pd.DataFrame({"a": [1]}, index=[5])}, "result.f: a data frame with an index of its own"),
    (
        {"f": pd.DataFrame({3: [1]})},
        "result.f: a data frame whose columns are not named by different strings: [3]",
    ),
    ({"f": pd.DataFrame([[1, 2]], columns=["a", "a"])}, "result.f: a data frame whose columns"),
    ({"f": pd.DataFrame({"a": [[1], [2]]})}, "result.f: column 'a' holds objects"),
    ({"f": pd.DataFrame({"a": [1, "x"]})}, "result.f: column 'a' holds objects"),
    ({"s": pd.Series([1])}, "result.s: a pandas.Series is not kept"),
]


@pytest.mark.parametrize(("value", "sentence"), REFUSED, ids=[sentence for _, sentence in REFUSED])
def test_what_cannot_be_kept_is_refused_with_its_place(value: object, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CodecError, match=f"^{re.escape(sentence)}"):
        codec.write(value, tmp_path)


def everything() -> Any:
    """A value of every kind, the same each time."""
    return {
        "plain": [1, 2.5, math.nan, "ñ", None, {"z": 1, "a": 2}],
        "frame": pd.DataFrame({"a": ["x", "y"], "b": [0.1, 0.2]}),
        "arrays": [np.arange(5.0), np.eye(2, dtype="float32")],
        "tensors": {name: torch.full((2, 2), number) for number, name in enumerate("cab")},
    }


DIGESTS = """
    import sys
    from pathlib import Path
    from tempfile import TemporaryDirectory
    from test_engine_codec import everything
    from compute.engine import codec
    from compute.engine.store import _digests
    with TemporaryDirectory() as folder:
        codec.write(everything(), Path(folder))
        print(sorted(_digests(Path(folder)).items()))
"""


def test_the_same_value_gives_the_same_bytes_in_every_process(
    tmp_path: Path, in_another_process: Callable[..., str]
) -> None:
    codec.write(everything(), tmp_path)
    here = str(sorted(_digests(tmp_path).items()))
    assert [in_another_process(DIGESTS, PYTHONHASHSEED=seed) for seed in "12"] == [here, here]
