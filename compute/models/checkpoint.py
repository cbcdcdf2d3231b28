"""A model as a plain value: its config, weights and tokenizer. Knows no folder, no hub and no training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

HEAD = "classifier."
"""What the names of a classification head's tensors begin with."""

INCIDENTAL = frozenset({"_name_or_path", "architectures", "dtype", "transformers_version"})
"""What a config says of its own making and of no weight."""


@dataclass(frozen=True)
class Checkpoint:
    """A sequence classifier in memory; its tensors are shared, so whoever changes one clones it first.

    `config` is transformers' config as JSON data, with label names. `tensors` is the state dict (without a
    head for a base model that was never a classifier), `tokenizer` the tokenizers library's JSON.
    `head_init` is the digest of the head's first values; None where nobody recorded it, as on the hub.
    """

    config: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    tokenizer: str
    head_init: str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Name the classes in the order of their ids."""
        return label_names(self.config)

    @property
    def max_length(self) -> int:
        """Count the tokens a text may have, special ones included; positions begin after the pad id."""
        return int(self.config["max_position_embeddings"]) - int(self.config["pad_token_id"]) - 1

    @property
    def pad_id(self) -> int:
        """Say which id fills up a batch."""
        return int(self.config["pad_token_id"])

    def network(self) -> PreTrainedModel:
        """Build a new network in evaluation mode; it shares its memory with `tensors`.

        Nothing is drawn at random or copied on the way: building an XLM-R takes a hundredth of a second. Raises
        ValueError when the tensors are not exactly those of the config's architecture.
        """
        from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoConfig
        from transformers.initialization import no_init_weights

        config = AutoConfig.for_model(**self.config)
        with no_init_weights():
            network: PreTrainedModel = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)](config)
        check_names(network, self.tensors)
        network.load_state_dict(self.tensors, assign=True)
        return network.eval()


def to_tree(checkpoint: Checkpoint) -> dict[str, Any]:
    """Turn a checkpoint into a tree of plain values whose leaves may be tensors."""
    return {
        "config": checkpoint.config,
        "tensors": checkpoint.tensors,
        "tokenizer": checkpoint.tokenizer,
        "head_init": checkpoint.head_init,
    }


def from_tree(tree: Mapping[str, Any]) -> Checkpoint:
    """Build the checkpoint that `to_tree` turned into *tree*."""
    return Checkpoint(dict(tree["config"]), dict(tree["tensors"]), tree["tokenizer"], tree["head_init"])


def check_names(network: PreTrainedModel, tensors: Mapping[str, torch.Tensor], without: Collection[str] = ()) -> None:
    """Raise ValueError unless *tensors* are exactly those of *network*, in names and shapes, but those *without*."""
    expected = {name: tensor.shape for name, tensor in network.state_dict().items() if name not in without}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise ValueError(
            f"{len(wrong)} tensors do not fit a {type(network).__name__} of this config: {wrong[0]} should have"
            f" the shape {_shape(expected.get(wrong[0]))} and has {_shape(found.get(wrong[0]))}"
        )


def plain_config(config: Any) -> dict[str, Any]:
    """Turn a transformers config into JSON data that says nothing of library versions and places."""
    data: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return {name: value for name, value in sorted(data.items()) if name not in INCIDENTAL}


def label_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the class names of a config in the order of their ids."""
    names = {int(index): name for index, name in config["id2label"].items()}
    return tuple(names[index] for index in sorted(names))


def with_labels(config: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """Return *config* with these class names, ids in the given order."""
    forward = {str(index): name for index, name in enumerate(labels)}
    return {**config, "id2label": forward, "label2id": {name: index for index, name in enumerate(labels)}}


def head_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Pick the classification head's tensors."""
    return {name: tensor for name, tensor in tensors.items() if name.startswith(HEAD)}


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Hash names, shapes, types and bytes of *tensors*, in the order of their names (sha256, hex)."""
    result = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        result.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        result.update(tensor.view(-1).view(_bytes()).numpy().tobytes())
    return result.hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' own progress bars and reports off the terminal."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _bytes() -> torch.dtype:
    import torch

    return torch.uint8


def _shape(shape: Sequence[int] | None) -> str:
    return "none" if shape is None else str(tuple(shape))
