"""Writes a result to a folder and reads it back, without pickle: what is read is what was written, or it is refused.

A result is a JSON document of plain values, lists, tuples and dicts, whose leaves may be data frames (Parquet, see
`frames`), arrays and tensors (safetensors), numpy's numbers, and folders. A type that would come back as
another, such as a subclass of dict, is refused by name.

What does not count as part of a value: where a tensor was (it comes back on the CPU), how the numbers of an array
lie in memory, and which tensors or arrays shared it (each comes back with memory of its own); where a folder lay
(it comes back as the store's own copy, links followed, large files read-only).
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DOCUMENT, ARRAYS, TENSORS = "value.json", "arrays.safetensors", "tensors.safetensors"
_TAG = "$recount"

DEEPEST = 100
"""How many containers may lie in each other: Python, reading them, has a limit of its own."""

_LONGEST = 10_000
"""Bits. Longer integers are written in hexadecimal: Python limits the length of decimal ones."""


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
        self.depth = 0

    def convert(self, value: Any, where: str) -> Any:
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if value.bit_length() < _LONGEST else _tagged("int", hex(value))
        if kind is float:
            return value if math.isfinite(value) else _tagged("float", repr(value))
        if kind is list:
            return self._items(value, where)
        if kind is tuple:
            return _tagged("tuple", self._items(value, where))
        if kind is dict:
            return self._dict(value, where)
        return self._leaf(value, where)

    def _items(self, items: Iterable[object], where: str) -> list[Any]:
        self._enter(where)
        found = [self.convert(item, f"{where}[{number}]") for number, item in enumerate(items)]
        self.depth -= 1
        return found

    def _dict(self, value: dict[object, object], where: str) -> dict[str, Any]:
        self._enter(where)
        found = {_text(name, where): self.convert(item, f"{where}.{name}") for name, item in value.items()}
        self.depth -= 1
        return found

    def _enter(self, where: str) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise CodecError(f"{where[:80]}…: more than {DEEPEST} containers in each other, or one that holds itself")

    def _leaf(self, value: Any, where: str) -> dict[str, Any]:
        library, kind = type(value).__module__.partition(".")[0], type(value).__name__
        if library == "torch" and kind in ("Tensor", "Parameter"):
            return _tagged("tensor", _put(self.tensors, where, _checked_tensor(value, where)))
        if library == "numpy" and kind == "ndarray" and value.dtype.name in _ARRAYS:
            native = value.astype(value.dtype.newbyteorder("="), order="C")
            return _tagged("array", _put(self.arrays, where, native), **_order(value.dtype))
        if library == "numpy" and kind in _SCALARS:
            return _tagged("scalar", value.item().hex() if "float" in kind else value.item(), type=kind)
        if library == "pandas" and kind == "DataFrame":
            return self._frame(value, where)
        if isinstance(value, Path) and value.is_dir():
            return self._folder(value)
        raise CodecError(_refusal(value, where))

    def _frame(self, frame: Any, where: str) -> dict[str, Any]:
        from compute.engine.storage import frames

        name = self._name("parquet")
        try:
            frames.write(frame, self.folder / name)
        except frames.InexactError as error:
            raise CodecError(f"{where}: {error}") from error
        return _tagged("frame", name)

    def _folder(self, source: Path) -> dict[str, Any]:
        name = self._name("folder")
        shutil.copytree(source, self.folder / name)
        return _tagged("folder", name)

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


def _tagged(tag: str, content: object, **more: str) -> dict[str, Any]:
    return {_TAG: tag, "is": content, **more}


_NUMBERS = {
    "float16",
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}
_ARRAYS = {"bool", *_NUMBERS}
"""Types of arrays that safetensors keeps."""

_SCALARS = {"bool", "bool_", "str_", *_NUMBERS}
"""Numpy's types of single values; `bool` and `bool_` are names of the same in its versions."""

_TENSORS = {*_ARRAYS, "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"}


def _order(dtype: Any) -> dict[str, str]:
    """Return the byte order of an array's type, if it is not the machine's own."""
    return {} if dtype.isnative else {"order": ">" if dtype.str[0] == ">" else "<"}


def _checked_tensor(tensor: Any, where: str) -> Any:
    """Return a copy of a tensor, ready to be written."""
    kind = str(tensor.dtype).rpartition(".")[2]
    if tensor.requires_grad:
        raise CodecError(f"{where}: a tensor that requires a gradient is not kept; return it detached, as by .detach()")
    if kind not in _TENSORS or str(tensor.layout) != "torch.strided" or tensor.device.type == "meta":
        raise CodecError(f"{where}: a {tensor.layout} tensor of {kind} on {tensor.device.type} is not kept; "
                         "return a dense one of real numbers")  # fmt: skip
    return tensor.cpu().contiguous().clone()


def _put(parts: dict[str, Any], where: str, value: object) -> str:
    """Add a part under a name of its own: {"a.b": x} and {"a": {"b": y}} are the same place in words."""
    while where in parts:
        where += "'"
    parts[where] = value
    return where


def _text(name: object, where: str) -> str:
    if type(name) is not str or name == _TAG:
        raise CodecError(f"{where}: keys of a mapping must be strings other than {_TAG}, found {name!r}")
    return name


_INSTEAD = (
    ("set", "return a sorted list"),
    ("frozenset", "return a sorted list"),
    ("bytes", "return text, or a folder with a file"),
    ("Path", "return the Path of a folder that exists"),
    ("Series", "return its to_frame()"),
    ("date", "return its isoformat()"),
    ("Enum", "return its value"),
    ("ndarray", "return a plain array of numbers, or a list"),
    ("tuple", "return a plain tuple or a dict"),
    ("Mapping", "return a plain dict, as by dict()"),
    ("list", "return a plain list, as by list()"),
)
"""What to return instead, by the name of a type or of one that it derives from."""


def _refusal(value: object, where: str) -> str:
    from collections.abc import Mapping

    names = {base.__name__ for base in type(value).__mro__} | ({"Mapping"} if isinstance(value, Mapping) else set())
    usual = "return plain values, data frames, numeric arrays, tensors or a folder's Path"
    advice = "return dataclasses.asdict() of it" if hasattr(value, "__dataclass_fields__") else usual
    advice = next((sentence for name, sentence in _INSTEAD if name in names), advice)
    return f"{where}: a {type(value).__module__}.{type(value).__name__} is not kept; {advice}"


_TAGS = {"float", "int", "tuple", "scalar", "folder", "frame", "array", "tensor"}

_PART = re.compile(r"part-[0-9]+\.(?:folder|parquet)")


def _known(word: object, words: set[str]) -> str:
    """Refuse what no writer of ours wrote: a result may come from elsewhere, and must reach nothing but its files."""
    if not isinstance(word, str) or word not in words:
        raise CodecError(f"{DOCUMENT} holds {str(word)[:40]!r}, which is not known here")
    return word


def _part(name: object) -> str:
    if not isinstance(name, str) or not _PART.fullmatch(name):
        raise CodecError(f"{DOCUMENT} names {str(name)[:40]!r}, which is no part of a result")
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
            tag, content, *more = document.values()
            return getattr(self, f"_{_known(tag, _TAGS)}")(content, *more)
        return {name: self.restore(item) for name, item in document.items()}

    def _float(self, text: str) -> float:
        return float(text)

    def _int(self, text: str) -> int:
        return int(text, 16)

    def _tuple(self, items: list[Any]) -> tuple[Any, ...]:
        return tuple([self.restore(item) for item in items])

    def _scalar(self, value: Any, kind: str) -> Any:
        import numpy as np

        return getattr(np, _known(kind, _SCALARS))(float.fromhex(value) if "float" in kind else value)

    def _folder(self, name: str) -> Path:
        return self.folder / _part(name)

    def _frame(self, name: str) -> Any:
        from compute.engine.storage import frames

        return frames.read(self.folder / _part(name))

    def _array(self, name: str, order: str = "=") -> Any:
        if ARRAYS not in self._loaded:
            from safetensors.numpy import load_file

            self._loaded[ARRAYS] = load_file(self.folder / ARRAYS)
        found = self._loaded[ARRAYS][name]
        return found if order == "=" else found.astype(found.dtype.newbyteorder(order))

    def _tensor(self, name: str) -> Any:
        if TENSORS not in self._loaded:
            from safetensors.torch import load_file

            self._loaded[TENSORS] = load_file(self.folder / TENSORS)
        return self._loaded[TENSORS][name]
