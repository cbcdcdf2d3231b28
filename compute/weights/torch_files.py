"""Pickles of torch (pytorch_model.bin), for models that have nothing better. Imports torch only when one is opened."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compute.errors import UsageError
from compute.weights.memory import InMemory, is_torch
from compute.weights.safetensors_files import ModelFolder, check_shard, read_index
from compute.weights.weights import Weights

SINGLE, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


def open_pickles(folder: Path) -> ModelFolder | None:
    """Open the pickles of a model folder, one or many; nothing where it holds none.

    A tensor under two names (tied weights) is given once, under the first; the other name becomes an alias.
    Raises UsageError for a pickle that holds more than tensors: running its code is never considered.
    """
    if (folder / SINGLE).exists():
        return _opened((folder / SINGLE,), [load(folder / SINGLE)])
    if not (folder / INDEX).exists():
        return None
    parts = []
    shards = read_index(folder / INDEX)
    for shard, named in shards.items():
        tensors = load(folder / shard)
        check_shard(folder / INDEX, folder / shard, named, tensors)
        wanted = set(named)
        parts.append({name: tensor for name, tensor in tensors.items() if name in wanted})
    return _opened((folder / INDEX, *(folder / shard for shard in shards)), parts)


def load(path: Path) -> Mapping[str, Any]:
    """Load the tensors of one pickle, mapped into memory where its format allows."""
    import torch

    convert = f"convert it to safetensors where you trust it, or fetch {path.name}'s model as safetensors"
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise UsageError(f"{path} holds more than tensors, or is damaged, and was not loaded: {convert}") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"{path} cannot be read ({why}): fetch it again, or {convert}") from error
    if not isinstance(found, Mapping) or not all(isinstance(name, str) and is_torch(t) for name, t in found.items()):
        raise UsageError(f"{path} does not map names to tensors: {convert}")
    if strange := [name for name, tensor in found.items() if not _is_plain(tensor)]:
        raise UsageError(f"{path}: tensor {strange[0]!r} is sparse, quantised or without numbers: {convert}")
    return found


def _is_plain(tensor: Any) -> bool:
    """Whether the numbers of *tensor* lie in memory one beside the other."""
    return str(tensor.layout) == "torch.strided" and not tensor.is_quantized and not tensor.is_meta


def _opened(files: tuple[Path, ...], parts: Sequence[Mapping[str, Any]]) -> ModelFolder:
    aliases: dict[str, str] = {}
    holders: dict[str, Weights] = {}
    for tensors in parts:
        first = _first_names(tensors)
        aliases |= {name: first[name] for name in tensors if first[name] != name}
        weights = InMemory({name: tensor for name, tensor in tensors.items() if first[name] == name})
        holders |= dict.fromkeys(weights.tensors(), weights)
    return ModelFolder(files, holders, aliases)


def _first_names(tensors: Mapping[str, Any]) -> dict[str, str]:
    """Give each name the first name of the very same tensor: same memory, shape, strides and dtype."""
    seen: dict[object, str] = {}
    names = {}
    for name, tensor in tensors.items():
        same = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) if tensor.numel() else name
        names[name] = seen.setdefault(same, name)
    return names
