"""Writes the folder of a merged model: beside the weights, what transformers needs, and where they come from."""

from __future__ import annotations

import dataclasses
import json
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compute.engine.privacy import redacted
from compute.engine.versions import version
from compute.errors import RecountError, UsageError
from compute.merging.method import bind_options
from compute.merging.recipe import Recipe
from compute.recipes.document import Document
from compute.recipes.models import Model
from compute.weights.vocabulary import vocabulary_tensors
from compute.weights.weights import TensorInfo

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "sentencepiece.bpe.model",
             "spiece.model", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json",
             "chat_template.jinja")  # fmt: skip
"""What a model folder may hold of its tokenizer."""

TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "mask_token_id", "cls_token_id",
          "sep_token_id", "decoder_start_token_id")  # fmt: skip
"""What a config says of rows of the vocabulary."""

RECIPE = "recount.json"
"""Beside the weights: the recipe, and the digests of what went in."""


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Give a folder beside *out* that becomes *out*, all at once, if the block ends well; else it is removed.

    Raises UsageError where *out* holds something, by the end too, or cannot be made, and RecountError where the disk
    does not take what is written.
    """
    check_free(out)
    place = out.resolve()
    partial = place.parent / f".{place.name}.{secrets.token_hex(4)}.partial"
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"{out} cannot be made ({error.strerror}): choose another place") from error
    try:
        yield partial
        check_free(out)  # another merge may have been faster
        partial.rename(place)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        why = f"{error.strerror}: {Path(str(error.filename or out)).name}"
        raise RecountError(f"{out} was not written ({why}): make room, or choose another place") from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def check_free(out: Path) -> None:
    """Refuse a place for a result that exists, unless it is an empty folder of no other use."""
    try:
        _check_free(out)
    except (OSError, RuntimeError) as error:  # no permission, too long a name, links in a circle
        why = error.strerror if isinstance(error, OSError) else "symbolic links in a circle"
        raise UsageError(f"{out} cannot be made ({why}): choose another place") from error


def _check_free(out: Path) -> None:
    out.resolve()
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder for the result")
    if held := next(out.iterdir(), None):
        raise UsageError(f"{out} is not empty, it holds {held.name}: name another folder for the result")
    if out.samefile(Path.cwd()) or out.is_mount():
        raise UsageError(f"{out} is in use as a place: name a folder below it for the result")


def in_full(document: Document, recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain data: every option of its method, after presets, and coefficients by source."""
    names = [source.name for source in document.sources]
    return {
        **dataclasses.asdict(recipe),
        "coefficients": dict(zip(names, recipe.coefficients, strict=True)),
        "options": bind_options(recipe.method, recipe.options),
    }


def about(document: Document, recipe: Recipe, inputs: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Return what is written of a result: recipe, inputs' digests, versions. No folder of the user is in it."""
    versions = {name: version(name) for name in ("recount", "numpy", *(() if device == "cpu" else ("torch",)))}
    places = {str(place): Path(place).name for place in document.places() if Path(place).expanduser().is_absolute()}
    found: dict[str, Any] = _private(
        {"recipe": in_full(document, recipe), "inputs": inputs, "file": document.said, "versions": versions}, places
    )
    return found


def complete(folder: Path, donor: Model, vocabulary: Model | None, infos: Iterable[TensorInfo], told: object) -> None:
    """Put beside the weights in *folder* what transformers needs to open them, and what is *told* of them.

    The config, with the head's labels, is the *donor*'s; the tokenizer too, unless the rows of the embeddings
    are those of the model *vocabulary*.
    """
    if donor.config:
        _write_json(folder / "config.json", _config(donor, vocabulary, {info.dtype for info in infos if info.floating}))
    if (donor.folder / "generation_config.json").is_file():
        shutil.copyfile(donor.folder / "generation_config.json", folder / "generation_config.json")
    for name in TOKENIZER:
        if (file := (vocabulary or donor).folder / name).is_file():
            shutil.copyfile(file, folder / name)
    _write_json(folder / RECIPE, told)


def _config(donor: Model, vocabulary: Model | None, dtypes: set[str]) -> dict[str, Any]:
    config = {key: value for key, value in donor.config.items() if key not in ("_name_or_path", "torch_dtype", "dtype")}
    if vocabulary:
        rows = [vocabulary.weights.tensors()[name].shape[0] for name in vocabulary_tensors(vocabulary.weights)]
        config |= {key: vocabulary.config[key] for key in TOKENS if key in vocabulary.config}
        config |= {"vocab_size": rows[0]} if rows else {}
    return config | ({"dtype": dtypes.pop()} if len(dtypes) == 1 else {})


def _private(said: Any, places: Mapping[str, str]) -> Any:
    """Return plain data without folders of the user: the last part of a path's name stays."""
    if isinstance(said, Mapping):
        return {_private(key, places): _private(value, places) for key, value in said.items()}
    if isinstance(said, (list, tuple)):
        return [_private(item, places) for item in said]
    return redacted(places.get(said, said)) if isinstance(said, str) else said


def _write_json(path: Path, said: object) -> None:
    path.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
