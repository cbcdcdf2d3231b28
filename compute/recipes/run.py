"""Carries a recipe out: from model folders, or the hub, to model folders that transformers opens."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute.engine import files
from compute.errors import UsageError
from compute.merging.merge import Job, merge_weights
from compute.merging.recipe import Recipe
from compute.recipes import agreement, data, fitting, result
from compute.recipes.document import Document
from compute.recipes.models import Inputs, Model, joined, open_model
from compute.recipes.sinks import Finite, Watch, Watched
from compute.recipes.thresholds import Thresholds
from compute.weights.weights import Sink, TensorInfo, Weights
from compute.weights.writing import SafetensorsSink


@dataclass(frozen=True)
class Prepared:
    """A recipe whose models are opened and fit: all that can be known before a merge begins."""

    document: Document
    base_model: Model | None
    models: Mapping[str, Model]
    base: Weights | None
    experts: Mapping[str, Weights]
    """The models with exactly the tensors that are merged, vocabularies aligned, what the base lacks made up."""
    infos: list[TensorInfo]
    """The tensors of a result."""
    data: Mapping[str, Any]
    inputs: Mapping[str, Any]
    """Digests of all that goes in."""
    files: Inputs
    """Where it lies."""

    @property
    def written(self) -> int:
        """Count the bytes of weights that all results together take."""
        return len(self.document.merges) * sum(info.nbytes for info in self.infos)

    @property
    def read(self) -> int:
        """Count the bytes of weights that one reading of the sources takes."""
        needs_base = any(recipe.needs_base for recipe in self.document.merges.values())
        seen = [*self.experts.values(), *([self.base] if self.base and needs_base else [])]
        return sum(info.nbytes for weights in seen for info in weights.tensors().values())

    def summary(self) -> dict[str, Any]:
        """Say as plain data what will be merged, and how."""
        return {
            "base": self.document.base,
            "sources": {source.name: source.model for source in self.document.sources},
            "merges": {
                name or "merge": result.in_full(self.document, recipe) for name, recipe in self.document.merges.items()
            },
            "tensors": len(self.infos),
            "parameters": sum(info.size for info in self.infos if info.floating),
            "dtypes": sorted({info.dtype for info in self.infos}),
            "bytes_read": self.read,
            "bytes_written": self.written,
        }


def run(
    document: Document,
    out: Path,
    *,
    cache: Path,
    device: str = "cpu",
    threads: int | None = None,
    watch: Watch | None = None,
) -> list[Path]:
    """Merge as *document* says and write a model folder *out*, or one for each of several merges below it.

    See `prepare` and `carry_out`.
    """
    result.check_free(out)
    return carry_out(prepare(document, cache=cache), out, cache=cache, device=device, threads=threads, watch=watch)


def prepare(document: Document, *, cache: Path) -> Prepared:
    """Open the models of *document* and check that they can be merged; digests of files are kept in *cache*.

    Raises UsageError where a model is missing or does not fit.
    """
    data.check_needs(document)
    remembered, inputs = files.remember_in(cache / "index" / "inputs.json"), Inputs()
    try:
        base, models = _opened(document, inputs)
        _check(document, base, models)
        weights, experts = fitting.fitted(document, base, models)
        numbers, digests = data.opened(document, experts, inputs)
    except OSError as error:  # whichever of many files it was
        why = f"{error.filename} cannot be read: {error.strerror}" if error.filename else " ".join(str(error).split())
        raise UsageError(f"{why}; name another model, or make it readable") from error
    remembered.save()
    tensors = (weights or next(iter(experts.values()))).tensors().values()
    return Prepared(
        document,
        base,
        models,
        weights,
        experts,
        [fitting.in_result(info, experts, document.dtype) for info in tensors],
        numbers,
        {
            "base": base and base.digest,
            "sources": {name: model.digest for name, model in models.items()},
            **({"data": digests} if digests else {}),
        },
        inputs,
    )


def carry_out(
    prepared: Prepared,
    out: Path,
    *,
    cache: Path,
    device: str = "cpu",
    threads: int | None = None,
    watch: Watch | None = None,
) -> list[Path]:
    """Merge what is *prepared*, all merges from one reading, and write the folder *out*: in full, or not at all.

    What is learnt of sources by ranking them is kept in *cache*. Raises UsageError where the result would overwrite
    something, where a method refuses an option, where an input changed meanwhile, or where a number of the result is
    not finite.
    """
    _check_device(device)
    document = prepared.document
    told = {name: result.about(document, recipe, prepared.inputs, device) for name, recipe in document.merges.items()}
    remember = Thresholds(cache / "thresholds", _identity(prepared), prepared.inputs["sources"])
    with result.staged(out) as place:
        folders = {name: place / name if name else place for name in document.merges}
        with ExitStack() as opened:
            jobs = []
            for name, recipe in document.merges.items():
                metadata = {"recount": json.dumps(told[name])}
                sink = SafetensorsSink(folders[name], prepared.infos, metadata, document.shard_size)
                jobs.append(Job(recipe, _looked_at(opened.enter_context(sink), prepared.infos, watch), prepared.data))
            _merge(prepared, jobs, device, threads, remember)
        for name, recipe in document.merges.items():
            vocabulary = prepared.base_model if document.vocabulary == "align" else None
            result.complete(folders[name], _donor(prepared, recipe), vocabulary, prepared.infos, told[name])
        prepared.files.check_unchanged()
    with suppress(OSError):  # the result is there; the next merge looks anew
        remember.save()
    return [out / name if name else out for name in document.merges]


def _merge(prepared: Prepared, jobs: list[Job], device: str, threads: int | None, remember: Thresholds) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of numbers that overflow: the sinks refuse them by name
        try:
            merge_weights(prepared.base, prepared.experts, jobs, device=device, threads=threads, remember=remember)
        except ValueError as error:
            raise UsageError(str(error)) from error


def _check_device(device: str) -> None:
    if device == "cpu":
        return
    import torch

    try:
        torch.zeros(1, device=device.removeprefix("torch:")).cpu()  # "meta" makes tensors without numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = str(error).splitlines()[0]
        raise UsageError(f"cannot compute on {device!r} ({why}): leave --device out for the CPU") from error


def _opened(document: Document, inputs: Inputs) -> tuple[Model | None, dict[str, Model]]:
    """Open the base and the sources, several at once: their digests take longest."""
    named = [*([document.base] if document.base else []), *(source.model for source in document.sources)]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda model: open_model(model, document.folder, inputs), named))
    models = found[len(found) - len(document.sources) :]
    names = [source.name for source in document.sources]
    return found[0] if document.base else None, dict(zip(names, models, strict=True))


def _check(document: Document, base: Model | None, models: Mapping[str, Model]) -> None:
    agreement.check_architectures(base, models)
    if any(not _one_head(recipe) for recipe in document.merges.values()):
        agreement.check_labels(models)
        agreement.check_heads({name: model.weights for name, model in models.items()})


def _one_head(recipe: Recipe) -> bool:
    return recipe.head == "best" or recipe.method == "best_source"


def _donor(prepared: Prepared, recipe: Recipe) -> Model:
    """Return the model whose config a result has: the one whose head it has, or the first."""
    weights = {source.name: source.coefficient for source in prepared.document.sources}
    name = min(weights, key=lambda name: (-weights[name], name)) if _one_head(recipe) else next(iter(weights))
    return prepared.models[name]


def _identity(prepared: Prepared) -> str:
    """Return what task vectors depend on beside their expert: the base, and what is made up or put in its order."""
    document, base = prepared.document, prepared.base_model
    if base is None or (document.missing == "refuse" and document.vocabulary == "refuse"):
        return base.digest if base else ""
    models = [base, *prepared.models.values()]
    tokenizers = [files.digest(file) for model in models if (file := model.folder / "tokenizer.json").is_file()]
    return joined([document.missing, document.vocabulary, *sorted(model.digest for model in models), *tokenizers])


def _looked_at(sink: Sink, infos: list[TensorInfo], watch: Watch | None) -> Sink:
    checked = Finite(sink, infos)
    return Watched(checked, infos, watch) if watch else checked
