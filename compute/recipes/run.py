"""Carries a recipe out: from model folders, or the hub, to model folders that transformers opens."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from compute.engine import files
from compute.engine.versions import version
from compute.errors import UsageError
from compute.merging.merge import Job, merge_weights
from compute.recipes.document import Document
from compute.recipes.thresholds import Thresholds
from compute.weights.completed import Completed, Selected
from compute.weights.safetensors_files import ModelFolder, open_folder
from compute.weights.vocabulary import aligned, check_vocabularies
from compute.weights.weights import TensorInfo, Weights
from compute.weights.writing import SafetensorsSink

BESIDE = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
          "sentencepiece.bpe.model", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json")  # fmt: skip
"""What a model folder holds besides weights, copied from the first source: it has the head's labels."""

RECIPE = "recount.json"
"""Beside the weights: the recipe, and the digests of what went in."""


@dataclass(frozen=True)
class Model:
    """A model folder with its weights opened and the digest of their files."""

    folder: Path
    weights: ModelFolder
    digest: str


def run(document: Document, out: Path, *, cache: Path, device: str = "cpu", threads: int | None = None) -> list[Path]:
    """Merge as *document* says and write a model folder *out*, or one for each of several merges below it.

    All merges are made from one reading of the sources. What is learnt of sources by ranking them is kept in
    *cache*. Raises UsageError where a model is missing, does not fit, or a result would overwrite something.
    """
    folders = {name: out / name if name else out for name in document.merges}
    for folder in folders.values():
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty: name another folder for the result")
    remembered = files.remember_in(cache / "index" / "inputs.json")
    base = _open(document.base, document.folder) if document.base else None
    experts = {source.name: _open(source.model, document.folder) for source in document.sources}
    weights, fitted = _fitted(document, base, experts)
    remember = Thresholds(cache / "thresholds", base.digest if base else "",
                          {name: expert.digest for name, expert in experts.items()})  # fmt: skip
    infos = [_result(info, document.dtype) for info in (weights or next(iter(fitted.values()))).tensors().values()]
    about = _about(document, base, experts)
    with _sinks(folders, infos, about, document.shard_size) as sinks:
        jobs = [Job(recipe, sinks[name], {}) for name, recipe in document.merges.items()]
        merge_weights(weights, fitted, jobs, device=device, threads=threads, remember=remember)
    remember.save()
    remembered.save()
    for name, folder in folders.items():
        _complete(folder, next(iter(experts.values())).folder, about[name], document.dtype)
    return list(folders.values())


def _open(model: str, beside: Path) -> Model:
    folder = _folder(model, beside)
    weights = open_folder(folder)
    config = folder / "config.json"
    digests = [files.digest(file) for file in (*weights.files, *([config] if config.is_file() else []))]
    return Model(folder, weights, digests[0] if len(digests) == 1 else _joined(digests))


def _folder(model: str, beside: Path) -> Path:
    """Return the folder of a model: a path, from the recipe's own folder on, or the copy of a hub repository."""
    path = (beside / Path(model).expanduser()).resolve()
    if path.is_dir():
        return path
    repo, _, place = model.partition("@")
    revision, _, subfolder = place.partition("/")
    if not revision:
        raise UsageError(f"no model {model!r}: neither a folder beside the recipe nor org/name@commit of the hub")
    from compute.models.places import HubModel

    return HubModel(repo, revision, subfolder or None).folder()


def _fitted(
    document: Document, base: Model | None, experts: Mapping[str, Model]
) -> tuple[Weights | None, dict[str, Weights]]:
    """Return the base and the experts with the tensors that are merged: those that all experts have."""
    weights: dict[str, Weights] = {name: expert.weights for name, expert in experts.items()}
    if base and document.vocabulary == "align":
        weights = aligned(base.weights, weights, {name: each.folder for name, each in experts.items()}, base.folder)
    else:
        check_vocabularies(base.weights if base else None, weights)
    names = _common(weights)
    selected = {name: Selected(each, names) for name, each in weights.items()}
    return _base(document, base.weights, selected, names) if base else None, dict(selected)


def _base(document: Document, base: Weights, experts: Mapping[str, Weights], names: list[str]) -> Weights:
    infos = next(iter(experts.values())).tensors()
    lacking = [name for name in names if name not in base.tensors()]
    if not lacking:
        return Selected(base, names)
    if document.missing == "refuse":
        raise UsageError(
            f"the base lacks {lacking[0]} and {len(lacking) - 1} more tensors that the sources have: say"
            " `missing: zero` to begin them at zero, or `missing: mean` at the sources' mean"
        )
    return Completed(base, experts, [infos[name] for name in names], document.missing)


def _common(experts: Mapping[str, Weights]) -> list[str]:
    """Return the names that are merged; buffers that some experts lack are of no use, weights that some lack are a
    mistake.
    """
    first = next(iter(experts.values())).tensors()
    everywhere = [name for name in first if all(name in each.tensors() for each in experts.values())]
    for whose, each in experts.items():
        for name, info in each.tensors().items():
            if name not in everywhere and info.floating:
                lacks = next(other for other, found in experts.items() if name not in found.tensors())
                raise UsageError(f"{whose} has the tensor {name}, which {lacks} lacks: are both of one architecture?")
    return everywhere


def _result(info: TensorInfo, dtype: str | None) -> TensorInfo:
    return dataclasses.replace(info, dtype=dtype) if dtype and info.floating else info


def _about(document: Document, base: Model | None, experts: Mapping[str, Model]) -> dict[str, dict[str, object]]:
    """Return what is written beside each result: the recipe in full, and what went in."""
    inputs = {"base": base and base.digest, "sources": {name: expert.digest for name, expert in experts.items()}}
    return {
        name: {
            "recipe": dataclasses.asdict(recipe),
            "inputs": inputs,
            "file": document.said,
            "recount": version("recount"),
        }
        for name, recipe in document.merges.items()
    }


@contextmanager
def _sinks(
    folders: Mapping[str, Path], infos: list[TensorInfo], about: Mapping[str, object], shard_size: int | None
) -> Iterator[dict[str, SafetensorsSink]]:
    """Open a sink for each result; if something fails, nothing of any is left."""
    with ExitStack() as opened:
        yield {
            name: opened.enter_context(
                SafetensorsSink(folder, infos, {"recount": json.dumps(about[name], sort_keys=True)}, shard_size)
            )
            for name, folder in folders.items()
        }


def _complete(folder: Path, source: Path, about: object, dtype: str | None) -> None:
    """Put beside the weights what transformers needs to open them, and where they come from."""
    for name in BESIDE:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    config = folder / "config.json"
    if dtype and config.is_file():
        said = {key: value for key, value in json.loads(config.read_text()).items() if key != "torch_dtype"}
        config.write_text(json.dumps({**said, "dtype": dtype}, indent=2) + "\n")
    (folder / RECIPE).write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")


def _joined(digests: list[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()
