"""Adapters as PEFT keeps them: a folder with a config and the factors A and B. Knows no model and no collection.

The format is PEFT's, https://github.com/huggingface/peft (utils/save_and_load.py): tensors are named
`base_model.model.<module>.lora_A.weight` [r, in] and `….lora_B.weight` [out, r].
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compute.adapters.adapter import Adapter, Factors, Floats, Place, place_of
from compute.adapters.peft_config import CONFIG, PeftConfig, described
from compute.errors import RecountError, UsageError
from compute.weights.memory import InMemory
from compute.weights.safetensors_files import SINGLE as MODEL
from compute.weights.safetensors_files import ModelFolder, SafetensorsFile, check_shard, read_index
from compute.weights.weights import TensorInfo, Weights
from compute.weights.writing import SafetensorsSink

SINGLE, INDEX, PICKLE = "adapter_model.safetensors", "adapter_model.safetensors.index.json", "adapter_model.bin"

LONGEST = 200
"""Characters of a tensor's name."""

_NAME = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])(?:\.(?P<adapter>[^.]+))?\.weight")

_KNOWN = (
    ("lora_embedding_", "the LoRA of an embedding, whose rows are tokens of one vocabulary"),
    ("lora_magnitude_vector", "a magnitude of DoRA"),
    ("modules_to_save", "a module that was trained as a whole"),
    ("embed_tokens", "an embedding that was saved as a whole"),
    ("lm_head", "an output layer that was saved as a whole"),
    (".bias", "a bias"),
)
"""What other tensors are, by what their names contain."""


class _Halves(NamedTuple):
    """The names of a module's tensors A and B in the file."""

    a: str
    b: str


def read(folder: Path) -> Adapter:
    """Read an adapter that PEFT saved; what is stored in half precision becomes float32.

    Raises UsageError, in a sentence with the file, the reason and what would help, where there is none, it is damaged,
    or it cannot be translated: only plain LoRAs of the linear modules of layers can.
    """
    config = described(folder)
    weights = _opened(folder)
    names = _halves(weights.files[0], weights.tensors())
    _check_layers(config, names)
    return Adapter({module: _factors(config, module, halves, weights) for module, halves in names.items()})


def audit(folder: Path) -> str:
    """Return why an adapter cannot be translated, "" if it can."""
    try:
        read(folder)
    except UsageError as error:
        return str(error)
    return ""


def files(folder: Path) -> tuple[Path, ...]:
    """List the files that an adapter is read from, the config first; UsageError where it lacks one."""
    if not (folder / CONFIG).is_file():
        raise UsageError(f"no adapter in {folder}: expected {CONFIG} there, as PEFT's save_pretrained writes it")
    for name in (SINGLE, PICKLE):
        if (folder / name).is_file():
            return (folder / CONFIG, folder / name)
        if name == SINGLE and (folder / INDEX).is_file():
            return (folder / CONFIG, folder / INDEX, *(folder / shard for shard in read_index(folder / INDEX)))
    raise UsageError(f"{folder} holds no weights of an adapter: expected {SINGLE}, {INDEX} or {PICKLE} beside {CONFIG}")


def write(adapter: Adapter, folder: Path, *, base_model: str) -> None:
    """Write *adapter* so that PEFT opens it on the model that *base_model* names, in float32.

    Rank and scale are those of its factors; where they differ by module, rank_pattern and alpha_pattern name them. The
    folder is there whole or not at all, and the same adapter gives the same bytes. Raises UsageError where it holds
    something already or cannot be made, or the adapter has no modules or numbers that are not finite.
    """
    _check_free(folder)
    partial = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.partial"
    try:
        partial.mkdir(parents=True)
        write_into(partial, adapter, base_model=base_model)
        partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RecountError(
            f"{folder} was not written ({error.strerror}): make room, or choose another place"
        ) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_into(folder: Path, adapter: Adapter, *, base_model: str) -> None:
    """Write as `write` does, file by file, into an empty folder that the caller makes and names."""
    _check_whole(adapter)
    _write_weights(adapter, folder)
    said = json.dumps(_config(adapter, base_model), indent=2, ensure_ascii=False) + "\n"
    (folder / CONFIG).write_text(said, encoding="utf-8")


def _opened(folder: Path) -> ModelFolder:
    """Open the weights, whichever files hold them."""
    _, first, *shards = files(folder)
    if first.name == PICKLE:
        from compute.weights import torch_files

        held = InMemory({name: tensor.detach() for name, tensor in torch_files.load(first).items()})
        return ModelFolder((first,), dict.fromkeys(held.tensors(), held))
    if first.name == SINGLE:
        file = SafetensorsFile(first)
        return ModelFolder((first,), dict.fromkeys(file.tensors(), file))
    holders: dict[str, Weights] = {}
    named = read_index(first)
    for shard in shards:
        file = SafetensorsFile(shard)
        check_shard(first, shard, named[shard.name], file.tensors())
        holders |= dict.fromkeys(file.tensors(), file)
    return ModelFolder((first, *shards), holders)


def _halves(file: Path, tensors: Iterable[str]) -> dict[str, _Halves]:
    """Pair the tensors by module, in the order of layers; UsageError for those without a pair, or that are no LoRA."""
    found: dict[str, dict[str, str]] = {}
    for name in tensors:
        match = _NAME.fullmatch(name)
        if match is None or len(name) > LONGEST:
            raise UsageError(f"{file}: {_strange(name)}, and only A and B of linear modules are translated")
        halves = found.setdefault(match["module"], {})
        if match["half"] in halves:
            raise UsageError(f"{file} holds several adapters ({halves[match['half']]}, {name}): save one by itself")
        halves[match["half"]] = name
    if not found:
        raise UsageError(f"{file} holds no tensors: save the adapter again")
    for module, halves in found.items():
        if len(halves) < 2:
            has, lacks = ("A", "B") if "A" in halves else ("B", "A")
            raise UsageError(f"{file} holds {has} of {module} and not {lacks}: save the adapter again")
    return {module: _Halves(found[module]["A"], found[module]["B"]) for module in _ordered(file, found)}


def _strange(name: str) -> str:
    """Say what a tensor is that is no A or B."""
    shown = name if len(name) <= LONGEST else f"{name[:LONGEST]}…"
    what = next((what for part, what in _KNOWN if part in name), "no A or B of a LoRA as PEFT names them")
    return f"tensor {shown!r} is {what}"


def _ordered(file: Path, modules: Iterable[str]) -> list[str]:
    """Sort modules by layer and kind; UsageError for one without a layer, or two at one place."""
    places: dict[Place, str] = {}
    for module in modules:
        try:
            place = place_of(module)
        except ValueError as error:
            raise UsageError(
                f"{file}: {module} stands in no layer, and modules are matched by layer: train the task on the modules"
                " of layers alone"
            ) from error
        if place in places:
            raise UsageError(
                f"{file}: {module} and {places[place]} are both {place.kind} of layer {place.layer}: adapters of models"
                " with several towers cannot be translated"
            )
        places[place] = module
    return [places[place] for place in sorted(places)]


def _check_layers(config: PeftConfig, modules: Iterable[str]) -> None:
    """Check that config and weights speak of the same modules: PEFT would leave others out without a word."""
    held = list(modules)
    if strangers := [module for module in held if not config.adapts(module)]:
        raise UsageError(
            f"{config.path}: target_modules, exclude_modules or layers_to_transform leave out {strangers[0]}, of which"
            f" the weights hold a LoRA (and {len(strangers) - 1} more): save the adapter again"
        )
    if missing := set(config.layers) - {config.layer_of(module) for module in held}:
        raise UsageError(
            f"{config.path}: layers_to_transform names layer {min(missing)}, of which the weights hold nothing: save"
            " the adapter again, or name the layers that it has"
        )


def _factors(config: PeftConfig, module: str, halves: _Halves, weights: ModelFolder) -> Factors:
    """Read A and B of one module, and check them against the config."""
    infos = weights.tensors()
    a, b, rank, file = infos[halves.a], infos[halves.b], config.rank_of(module), weights.files[0]
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise UsageError(
            f"{file}: A {list(a.shape)} and B {list(b.shape)} of {module} are no matrices, as those of convolutions are"
            " not: train the task on linear modules alone"
        )
    if a.shape[0] != rank or b.shape[1] != rank or 0 in (*a.shape, *b.shape):
        raise UsageError(
            f"{file}: A {list(a.shape)} and B {list(b.shape)} of {module} do not have the rank {rank} that {CONFIG}"
            " says: save the adapter again"
        )
    return Factors(_floats(file, weights, a), _floats(file, weights, b), config.scale_of(module))


def _floats(file: Path, weights: Weights, info: TensorInfo) -> Floats:
    """Read a tensor as float32; UsageError where it holds no fractions, or not a number."""
    if not info.floating:
        raise UsageError(
            f"{file}: tensor {info.name} holds {info.dtype}, and factors are fractions: save it unquantised"
        )
    found = np.empty(info.size, np.float32)
    weights.read(info.name, 0, found)
    if not np.isfinite(found).all():
        raise UsageError(
            f"{file}: tensor {info.name} holds NaN or infinite numbers: the training failed; train it again"
        )
    return found.reshape(info.shape)


def _check_whole(adapter: Adapter) -> None:
    if not adapter.modules:
        raise UsageError("the adapter has no modules, so there is nothing to write")
    for module, factors in adapter.modules.items():
        if not (np.isfinite(factors.a).all() and np.isfinite(factors.b).all() and np.isfinite(factors.scale)):
            raise UsageError(f"the LoRA of {module} has numbers that are not finite, and was not written")


def _check_free(folder: Path) -> None:
    try:
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise UsageError(f"{folder} holds something already: name another folder for the adapter")
    except OSError as error:
        raise UsageError(f"{folder} cannot be made ({error.strerror}): choose another place") from error


def _write_weights(adapter: Adapter, folder: Path) -> None:
    tensors: dict[str, Floats] = {}
    for module in sorted(adapter.modules):
        one = adapter.modules[module]
        tensors[f"base_model.model.{module}.lora_A.weight"] = one.a
        tensors[f"base_model.model.{module}.lora_B.weight"] = one.b
    infos = [TensorInfo(name, tensor.shape, "float32") for name, tensor in tensors.items()]
    with SafetensorsSink(folder, infos, {}) as sink:
        for name, tensor in tensors.items():
            sink.write(name, 0, np.ascontiguousarray(tensor, np.float32).reshape(-1))
    (folder / MODEL).rename(folder / SINGLE)


def _config(adapter: Adapter, base_model: str) -> dict[str, Any]:
    """Describe the adapter as PEFT does; modules by their full names, so that no other module is meant."""
    names = sorted(adapter.modules, key=lambda name: (-len(name), name))  # PEFT takes the first whose end matches
    ranks = {name: adapter.modules[name].rank for name in names}
    alphas = {name: _whole(adapter.modules[name].scale * ranks[name]) for name in names}
    (rank, _), (alpha, _) = Counter(ranks.values()).most_common(1)[0], Counter(alphas.values()).most_common(1)[0]
    return {
        "alpha_pattern": _if_they_differ(alphas),
        "base_model_name_or_path": base_model,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": rank,
        "rank_pattern": _if_they_differ(ranks),
        "target_modules": list(adapter.modules),
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }


def _whole(alpha: float) -> float | int:
    """Return α as PEFT writes it: a whole number, but for what arithmetic left of it."""
    return round(alpha) if abs(alpha - round(alpha)) <= 1e-12 * abs(alpha) else alpha


def _if_they_differ(values: Mapping[str, float]) -> dict[str, float]:
    return dict(values) if len(set(values.values())) > 1 else {}
