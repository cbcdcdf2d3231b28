"""Writes a result to a folder and reads it back, without pickle.

A result is a JSON document whose leaves may be data frames (Parquet), arrays and tensors
(safetensors) and folders. Anything else is refused by name. Reading gives what was written, but
that tuples come back as lists.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DOCUMENT, ARRAYS, TENSORS = "value.json", "arrays.safetensors", "tensors.safetensors"
_TAG = "$recount"


class CodecError(TypeError):
    """A result, or a part of it, has a type that the store does not keep."""


def write(value: object, folder: Path) -> None:
    """Write *value* into an empty *folder*; CodecError, naming the part, for a type that is not kept."""
    writer = _Writer(folder)
    document = writer.convert(value, "result")
    writer.flush()
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    (folder / DOCUMENT).write_bytes(text.encode("utf-8", "surrogatepass"))


def read(folder: Path) -> Any:
    """Read what `write` wrote."""
    document = json.loads((folder / DOCUMENT).read_bytes())
    return _Reader(folder).restore(document)


class _Writer:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrays: dict[str, Any] = {}
        self.tensors: dict[str, Any] = {}
        self.files = 0

    def convert(self, value: object, where: str) -> Any:
        if value is None or isinstance(value, bool | str) or type(value) is int:
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {_TAG: "float", "is": repr(value)}
        if isinstance(value, list | tuple):
            return [self.convert(item, f"{where}[{i}]") for i, item in enumerate(value)]
        if isinstance(value, Mapping):
            return {_text(name, where): self.convert(item, f"{where}.{name}") for name, item in value.items()}
        if isinstance(value, Path) and value.is_dir():
            return self._folder(value)
        return self._leaf(value, where)

    def _leaf(self, value: Any, where: str) -> dict[str, str]:
        library, kind = type(value).__module__.partition(".")[0], type(value).__name__
        if library == "torch" and kind in ("Tensor", "Parameter"):
            return {
                _TAG: "tensor",
                "is": _put(self.tensors, where, value.detach().cpu().contiguous().clone()),
            }
        if library == "numpy" and kind == "ndarray" and value.dtype.name in _ARRAYS:
            return {_TAG: "array", "is": _put(self.arrays, where, value.copy(order="C"))}
        if library == "pandas" and kind == "DataFrame":
            return self._frame(value, where)
        raise CodecError(f"{where}: a {type(value).__module__}.{kind} is not kept; return plain values, "
                         "data frames, numeric arrays, tensors or a folder's Path")  # fmt: skip

    def _frame(self, frame: Any, where: str) -> dict[str, str]:
        _check_frame(frame, where)
        name = self._name("parquet")
        frame.to_parquet(self.folder / name, index=False)
        return {_TAG: "frame", "is": name}

    def _folder(self, source: Path) -> dict[str, str]:
        name = self._name("folder")
        shutil.copytree(source, self.folder / name)
        return {_TAG: "folder", "is": name}

    def _name(self, suffix: str) -> str:
        self.files += 1
        return f"part-{self.files}.{suffix}"

    def flush(self) -> None:
        if self.arrays:
            from safetensors.numpy import save_file as save_arrays

            save_arrays(self.arrays, self.folder / ARRAYS)
        if self.tensors:
            from safetensors.torch import save_file as save_tensors

            save_tensors(self.tensors, self.folder / TENSORS)


def _check_frame(frame: Any, where: str) -> None:
    """Refuse what Parquet would lose or change."""
    names = list(frame.columns)
    if list(frame.index) != list(range(len(frame))):
        raise CodecError(f"{where}: a data frame with an index of its own; call reset_index() first")
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise CodecError(f"{where}: a data frame whose columns are not named by different strings: {names}")
    for name, dtype in frame.dtypes.items():
        if dtype.name == "object":
            raise CodecError(f"{where}: column {name!r} holds objects; give it one type, as by astype(str)")


_ARRAYS = {
    "bool",
    "float16",
    "float32",
    "float64",
    *(f"{s}int{n}" for s in ("", "u") for n in (8, 16, 32, 64)),
}
"""Types of arrays that safetensors keeps."""


def _put(parts: dict[str, Any], where: str, value: object) -> str:
    """Add a part under a name of its own: {"a.b": x} and {"a": {"b": y}} are the same place in words."""
    while where in parts:
        where += "'"
    parts[where] = value
    return where


def _text(name: object, where: str) -> str:
    if not isinstance(name, str) or name == _TAG:
        raise CodecError(f"{where}: keys of a mapping must be strings other than {_TAG}, found {name!r}")
    return name


class _Reader:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: dict[str, Any] = {}

    def restore(self, document: Any) -> Any:
        if isinstance(document, list):
            return [self.restore(item) for item in document]
        if not isinstance(document, dict):
            return document
        if _TAG in document:
            return getattr(self, f"_{document[_TAG]}")(document["is"])
        return {name: self.restore(item) for name, item in document.items()}

    def _float(self, text: str) -> float:
        return float(text)

    def _folder(self, name: str) -> Path:
        return self.folder / name

    def _frame(self, name: str) -> Any:
        import pandas as pd

        return pd.read_parquet(self.folder / name)

    def _array(self, name: str) -> Any:
        if ARRAYS not in self._loaded:
            from safetensors.numpy import load_file

            self._loaded[ARRAYS] = load_file(self.folder / ARRAYS)
        return self._loaded[ARRAYS][name]

    def _tensor(self, name: str) -> Any:
        if TENSORS not in self._loaded:
            from safetensors.torch import load_file

            self._loaded[TENSORS] = load_file(self.folder / TENSORS)
        return self._loaded[TENSORS][name]
