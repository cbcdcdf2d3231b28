from __future__ import annotations

import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compute.engine.storage import codec
from compute.engine.storage.codec import CodecError
from compute.engine.store import _digests


def round_trip(value: object) -> Any:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        codec.write(value, Path(folder))
        return codec.read(Path(folder))


NUMBERS = ["float16", "float32", "float64", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))]
DTYPES = ["bool", *NUMBERS]


def scalars() -> st.SearchStrategy[Any]:
    """One of numpy's numbers, truth values or texts."""
    bits = st.tuples(st.sampled_from(NUMBERS), st.binary(min_size=8, max_size=8))
    return (
        bits.map(lambda pair: np.frombuffer(pair[1], dtype=pair[0])[0])
        | st.booleans().map(np.bool_)
        | st.text().map(np.str_)
    )


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """An array of any type, shape and layout, filled with any bits."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    size = int(np.prod(shape, dtype=int))
    data = draw(st.binary(min_size=size * dtype.itemsize, max_size=size * dtype.itemsize))
    array = np.frombuffer(data, dtype="uint8").astype(bool) if dtype.kind == "b" else np.frombuffer(data, dtype=dtype)
    array = array.reshape(shape).astype(dtype.newbyteorder(draw(st.sampled_from("<>"))))
    return array[(slice(None, None, -1),) * array.ndim].T if draw(st.booleans()) else array


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """A tensor of any type and shape, a view of others, filled with any bits."""
    kinds = [*DTYPES, "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]
    dtype = getattr(torch, draw(st.sampled_from(kinds)))
    rows, columns = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    size = rows * columns * dtype.itemsize
    data = torch.tensor(list(draw(st.binary(min_size=size, max_size=size))), dtype=torch.uint8)
    tensor = (data > 99 if dtype == torch.bool else data.view(dtype)).reshape(rows, columns)
    return draw(st.sampled_from([tensor, tensor.T, tensor[:1], tensor[0, 0] if tensor.numel() else tensor]))


COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    **{kind: st.integers(0, 100) for kind in DTYPES},
    **{kind: st.integers(0, 100) | st.none() for kind in ("Int8", "Int64", "UInt64", "Float32", "Float64")},
    "boolean": st.booleans() | st.none(),
    "str": st.text() | st.none(),
    "string": st.text() | st.none(),
    "category": st.sampled_from("abc") | st.none(),
    **{f"datetime64[{unit}]": st.datetimes() | st.none() for unit in ("ms", "us")},
    "datetime64[us, Europe/Berlin]": st.integers(0, 2**50),
    "timedelta64[us]": st.integers(0, 2**50),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """A data frame with columns of many types."""
    rows = draw(st.integers(0, 4))
    names = draw(st.lists(st.text(), unique=True, min_size=1, max_size=3))
    kinds = [draw(st.sampled_from(sorted(COLUMNS))) for _ in names]
    texts = st.text().map(lambda text: text.encode("utf-8", "replace").decode())
    columns = {
        name: pd.Series(
            draw(st.lists(COLUMNS[kind] if kind != "str" else texts, min_size=rows, max_size=rows)), dtype=kind
        )
        for name, kind in zip(names, kinds, strict=True)
    }
    return pd.DataFrame(columns)


def leaves() -> st.SearchStrategy[Any]:
    return (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(st.characters(exclude_categories=()))  # lone surrogates too: a bad decode must not lose a result
        | scalars()
    )


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.text().filter(lambda name: name != "$recount")
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.lists(inner, max_size=4).map(tuple)
            | st.dictionaries(names, inner, max_size=4)
        ),
        max_leaves=15,
    )


def exact(value: Any) -> Any:
    """The value with types, and numbers as bits, so that nan equals nan and 0.0 is not -0.0, 0 or False."""
    if isinstance(value, list | tuple):
        return type(value), [exact(item) for item in value]
    if isinstance(value, dict):
        return dict, [(name, exact(item)) for name, item in value.items()]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.contiguous().clone().view(-1).view(torch.uint8).tolist()
    if isinstance(value, pd.DataFrame):
        return (
            "frame",
            [(str(dtype), *map(repr, value[name])) for name, dtype in value.dtypes.items()],
            [*value.columns],
        )
    if isinstance(value, float | np.floating) and math.isnan(value):
        return type(value), "nan"
    return type(value), hex(value) if type(value) is int else repr(value)


@given(trees(leaves()))
@example("\ud800")
@example({"\udfff": ["\ud800"]})
@example([10**5000, -(10**5000)])
@example(((), [], {}, ((),)))
@example([np.float64(0.1), 0.1, np.float32(0.1), np.int8(-1), np.bool_(True), np.str_("ñ"), np.float64("nan")])
def test_plain_values_come_back_exactly(value: Any) -> None:
    assert exact(round_trip(value)) == exact(value)


@settings(max_examples=30, deadline=None)
@given(trees(st.integers() | arrays() | tensors() | frames()))
def test_whatever_is_kept_comes_back_exactly(value: Any) -> None:
    try:
        found = round_trip(value)
    except CodecError as error:
        assert "column" in str(error)  # of what is made here, only columns that Parquet alters are refused
    else:
        assert exact(found) == exact(value)


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
        pd.DataFrame({"kind": pd.Categorical(["b", None], categories=["c", "b", "a"], ordered=True)}),
        pd.DataFrame({"when": pd.to_datetime(["2026-01-01"]).tz_localize("Europe/Berlin")}),
        pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "yes": pd.array([None, True], dtype="boolean")}),
        pd.DataFrame({"n": [1, 2]}).query("n > 0"),
        pd.DataFrame({"small": np.array([1, 2], dtype="int8"), "single": np.array([1, 2], dtype="float32")}),
    ],
    ids=[
        "mixed",
        "no rows",
        "nothing",
        "categories and dates",
        "ordered categories",
        "zone",
        "nullable",
        "filtered",
        "small types",
    ],
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
    assert exact(found) == exact(array)
    assert found.flags.writeable


TENSORS = [
    torch.arange(6.0).reshape(2, 3).T,
    torch.arange(10)[::3],
    torch.tensor(2.5),
    torch.zeros(0, 3),
    torch.ones(3, dtype=torch.bfloat16),
    torch.tensor([True, False]),
    torch.nn.Parameter(torch.ones(2)).detach(),
    torch.ones(1).expand(4),
]


@pytest.mark.parametrize("tensor", TENSORS, ids=lambda tensor: f"{tensor.dtype}{tuple(tensor.shape)}")
def test_tensors_come_back_equal(tensor: torch.Tensor) -> None:
    found = round_trip([tensor])[0]
    assert torch.equal(found, tensor)
    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)


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


class Shape(NamedTuple):
    height: int


class Colour(StrEnum):
    RED = "red"


class Rows(list[int]):
    pass


@dataclass
class Score:
    value: float


CYCLE: list[Any] = []
CYCLE.append(CYCLE)

REFUSED: list[Any] = [
    ({"x": [1, {2}]}, "result.x[1]: a builtins.set is not kept; return a sorted list"),
    ({"x": b"bytes"}, "result.x: a builtins.bytes is not kept; return text, or a folder with a file"),
    ([object()], "result[0]: a builtins.object is not kept; return plain values"),
    ([1j], "result[0]: a builtins.complex is not kept"),
    ({1: "one"}, "result: keys of a mapping must be strings other than $recount, found 1"),
    ({True: "one"}, "result: keys of a mapping must be strings"),
    ({np.str_("a"): 1}, "result: keys of a mapping must be strings"),
    ({"a": {"$recount": 1}}, "result.a: keys of a mapping must be strings other than $recount"),
    ([Shape(1)], "result[0]: a test_engine_codec.Shape is not kept; return a plain tuple or a dict"),
    ([Rows([1])], "result[0]: a test_engine_codec.Rows is not kept; return a plain list"),
    ([OrderedDict(a=1)], "result[0]: a collections.OrderedDict is not kept; return a plain dict"),
    ([MappingProxyType({})], "result[0]: a builtins.mappingproxy is not kept; return a plain dict"),
    ([Colour.RED], "result[0]: a test_engine_codec.Colour is not kept; return its value"),
    ([Score(1.0)], "result[0]: a test_engine_codec.Score is not kept; return dataclasses.asdict() of it"),
    ([datetime(2026, 1, 1)], "result[0]: a datetime.datetime is not kept; return its isoformat()"),
    (CYCLE, f"result{'[0]' * 24}[0…: more than 100 containers in each other, or one that holds itself"),
    ([np.complex64(1)], "result[0]: a numpy.complex64 is not kept"),
    ([np.datetime64(0, "s")], "result[0]: a numpy.datetime64 is not kept"),
    ([np.array(["a"])], "result[0]: a numpy.ndarray is not kept; return a plain array of numbers, or a list"),
    ([np.array([None])], "result[0]: a numpy.ndarray is not kept"),
    ([np.array([1j])], "result[0]: a numpy.ndarray is not kept"),
    ([np.zeros(2, dtype="longdouble")], "result[0]: a numpy.ndarray is not kept"),
    ([np.zeros(2, dtype=[("a", "f8")])], "result[0]: a numpy.ndarray is not kept"),
    ([np.ma.masked_array([1.0], mask=[True])], "result[0]: a numpy.ma.MaskedArray is not kept"),
    (
        [torch.ones(2, requires_grad=True)],
        "result[0]: a tensor that requires a gradient is not kept; return it detached",
    ),
    ([torch.nn.Parameter(torch.ones(2))], "result[0]: a tensor that requires a gradient"),
    ([torch.eye(2).to_sparse()], "result[0]: a torch.sparse_coo tensor of float32 on cpu is not kept"),
    ([torch.ones(2, dtype=torch.complex64)], "result[0]: a torch.strided tensor of complex64 on cpu is not kept"),
    ([torch.ones(2, device="meta")], "result[0]: a torch.strided tensor of float32 on meta is not kept"),
    (Path("no/such/folder"), "result: a pathlib.PosixPath is not kept; return the Path of a folder that exists"),
    ({"f": pd.DataFrame({"a": [1]}, index=[5])}, "result.f: a data frame with an index of its own"),
    ({"f": pd.DataFrame({"a": [1, 2]}, index=[False, True])}, "result.f: a data frame with an index of its own"),
    ({"f": pd.DataFrame({"a": [1]}).rename_axis("i")}, "result.f: a data frame with an index of its own"),
    ({"f": pd.DataFrame({"a": [1]}).rename_axis(columns="i")}, "result.f: a data frame with a name for its columns"),
    ({"f": pd.DataFrame(index=range(3))}, "result.f: a data frame without columns, but with rows"),
    (
        {"f": pd.DataFrame({3: [1]})},
        "result.f: a data frame whose columns are not named by different strings: [3]",
    ),
    ({"f": pd.DataFrame([[1, 2]], columns=["a", "a"])}, "result.f: a data frame whose columns"),
    ({"f": pd.DataFrame({"a": [[1], [2]]})}, "result.f: column 'a' holds objects"),
    ({"f": pd.DataFrame({"a": [1, "x"]})}, "result.f: column 'a' holds objects"),
    (
        {"f": pd.DataFrame({"a": pd.Categorical([2, 1])})},
        "result.f: column 'a' of type category would come back as int",
    ),
    (
        {"f": pd.DataFrame({"a": np.zeros(1, "M8[s]")})},
        "result.f: column 'a' of type datetime64[s] would come back as datetime64[ms]; convert it first",
    ),
    ({"f": pd.DataFrame({"a": [1j]})}, "result.f: a data frame that Parquet does not keep"),
    ({"f": pd.DataFrame({"a": pd.arrays.SparseArray([0])})}, "result.f: a data frame that Parquet does not keep"),
    ({"s": pd.Series([1])}, "result.s: a pandas.Series is not kept; return its to_frame()"),
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
    from compute.engine.storage import codec
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


def test_nothing_is_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "dump", "dumps", "Pickler", "Unpickler", "_Pickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    (tmp_path / "model").mkdir()
    (tmp_path / "cell").mkdir()
    codec.write({**everything(), "model": tmp_path / "model"}, tmp_path / "cell")
    assert codec.read(tmp_path / "cell").keys() == {*everything(), "model"}


def test_what_another_version_wrote_before_tuples_were_told_from_lists_is_read(tmp_path: Path) -> None:
    (tmp_path / codec.DOCUMENT).write_text('{"a":[1,[2]],"x":{"$recount":"float","is":"inf"}}', encoding="utf-8")
    assert codec.read(tmp_path) == {"a": [1, [2]], "x": math.inf}


def test_a_link_in_a_folder_is_followed_and_a_file_with_any_mode_is_read(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (tmp_path / "blob").write_text("x", encoding="utf-8")
    (source / "link").symlink_to(tmp_path / "blob")
    codec.write(source, target)
    found = codec.read(target) / "link"
    assert (found.is_symlink(), found.read_text(encoding="utf-8")) == (False, "x")
