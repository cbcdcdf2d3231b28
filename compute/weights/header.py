"""The header of a safetensors file, read without trust and written. Knows the format; knows no folders of models.

The format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute.errors import UsageError
from compute.weights.dtypes import BY_SAFETENSORS, stored
from compute.weights.weights import TensorInfo, layout

LONGEST = 100_000_000
"""Bytes that a header may have; safetensors itself reads no longer one."""

METADATA = "__metadata__"


@dataclass(frozen=True, slots=True)
class Header:
    """What a safetensors file holds: its tensors by place, where each begins in the file, and the metadata."""

    tensors: Mapping[str, TensorInfo]
    offsets: Mapping[str, int]
    metadata: Mapping[str, str]


def read_header(descriptor: int, path: Path) -> Header:
    """Read and check the header of the open file *descriptor*.

    Raises UsageError, naming *path*, where the file is cut short or the header is damaged: not JSON, an unknown
    dtype, tensors that overlap, leave gaps or lie beyond the end. Nothing is allocated before it is known to be there.
    """
    size = os.fstat(descriptor).st_size
    first = os.pread(descriptor, 8, 0)
    length = int.from_bytes(first, "little")
    if first == b"version ":
        raise UsageError(f"{path}: this is a pointer of Git LFS, not the weights: fetch them with `git lfs pull`")
    if len(first) < 8 or length > LONGEST or 8 + length > size:
        raise _damaged(path, f"a header of {length} bytes does not fit its {size} bytes")
    entries = _parse(os.pread(descriptor, length, 8), path)
    metadata = entries.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _damaged(path, f"{METADATA} does not map names to texts")
    placed = sorted(((*_entry(name, entry, path), name) for name, entry in entries.items()), key=lambda each: each[0])
    _check_places([span for span, *_ in placed], size - 8 - length, path)
    return Header(
        {info.name: info for _, info, _ in placed},
        {name: 8 + length + begin for (begin, _), _, name in placed},
        metadata,
    )


def write_header(infos: Iterable[TensorInfo], metadata: Mapping[str, str]) -> bytes:
    """Compose the header of a file that holds *infos* as `layout` places them; its length is a multiple of 8."""
    named = {info.name: info for info in infos}
    entries: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    for name, span in layout(named.values()).items():
        info = named[name]
        entries[name] = {
            "dtype": stored(info.dtype).safetensors,
            "shape": list(info.shape),
            "data_offsets": list(span),
        }
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _parse(text: bytes, path: Path) -> dict[str, Any]:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name comes twice")
        return found

    try:
        entries = json.loads(text.decode(), object_pairs_hook=distinct)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is no JSON ({error})") from error
    if not isinstance(entries, dict):
        raise _damaged(path, "its header is no JSON object")
    return entries


def _entry(name: str, entry: object, path: Path) -> tuple[tuple[int, int], TensorInfo]:
    """Read one tensor's entry: where its bytes begin and end after the header, and what it is."""
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    shape, span, dtype = _counts(fields.get("shape")), _counts(fields.get("data_offsets")), fields.get("dtype")
    if shape is None or span is None or len(span) != 2 or not isinstance(dtype, str):
        raise _damaged(path, f"tensor {name!r} has no proper dtype, shape and data_offsets")
    if (kind := BY_SAFETENSORS.get(dtype)) is None:
        known = ", ".join(BY_SAFETENSORS)
        raise UsageError(
            f"{path}: tensor {name!r} has dtype {dtype!r}, which is not supported: convert to one of {known}"
        )
    info = TensorInfo(name, shape, kind.name)
    if span[1] - span[0] != info.nbytes:
        raise _damaged(path, f"tensor {name!r} of {info.nbytes} bytes has {span[1] - span[0]}")
    return (span[0], span[1]), info


def _counts(value: object) -> tuple[int, ...] | None:
    if isinstance(value, list) and all(type(each) is int and each >= 0 for each in value):
        return tuple(value)
    return None


def _check_places(spans: list[tuple[int, int]], size: int, path: Path) -> None:
    """Check that tensors lie one after the other and fill the file."""
    end = 0
    for begin, next_end in spans:
        if begin != end:
            raise _damaged(path, f"tensors {'overlap' if begin < end else 'leave a gap'} at byte {begin} of its data")
        end = next_end
    if end != size:
        raise _damaged(path, f"its tensors take {end} bytes, and it has {size} for them")


def _damaged(path: Path, why: str) -> UsageError:
    return UsageError(f"{path}: not a whole safetensors file: {why}; fetch or write it again")
