"""Reads causal language models from folders and the hub, and writes them so that transformers and PEFT open them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute.errors import UsageError
from compute.models.causal import CausalModel, tied
from compute.models.checkpoint import plain_config, quiet
from compute.models.load import TOKENIZER_FILES, fetched
from compute.models.places import HubModel, Place

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

BESIDE = ("*.json", "*.jinja", "*.model", "*.txt")
"""Files of a model beside its weights: config, tokenizer and chat template."""


def from_place(place: Place) -> CausalModel:
    """Load a causal language model, its tokenizer and its chat template; weights keep the type they are stored in.

    Raises UsageError when there is no model, when it is no causal language model, or when it lacks weights or a
    tokenizer.
    """
    if isinstance(place, HubModel):
        folder = fetched(place.repo, place.revision, place.subfolder, others=BESIDE)
        return _load(folder, name=place.repo)
    place.check()
    folder = place.path / (place.subfolder or "")
    return _load(folder, name=str(folder))


def save(model: CausalModel, folder: Path) -> None:
    """Write *model* as a folder that transformers' Auto classes open: safetensors, config, tokenizer, chat template."""
    with quiet():
        model.network(dtype=None).save_pretrained(folder)
        _fast_tokenizer(model).save_pretrained(folder)


def _load(folder: Path, *, name: str) -> CausalModel:
    config = _config(folder, name)
    words = _tokenizer(folder, name)
    network = _network(folder, config, name)
    without = tied(network)
    tensors = {key: tensor.detach() for key, tensor in network.state_dict().items() if key not in without}
    ends = _ids(words.eos_token_id, network.generation_config.eos_token_id, config.eos_token_id)
    pads = _ids(words.pad_token_id, config.pad_token_id, ends[:1], 0)
    return CausalModel(
        plain_config(config),
        tensors,
        str(words.backend_tokenizer.to_str()),
        _chat_template(words),
        ends,
        pads[0],
        words.bos_token or "",
        words.eos_token or "",
    )


def _config(folder: Path, name: str) -> PretrainedConfig:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise UsageError(f"the config of {name!r} cannot be read: {str(error).strip().splitlines()[0]}") from None
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UsageError(
            f"{name!r} is a {config.model_type}, which is no causal language model: expected one such as qwen2 or llama"
        )
    return config


def _network(folder: Path, config: PretrainedConfig, name: str) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    if not [*folder.glob("*.safetensors"), *folder.glob("*.bin")]:
        raise UsageError(f"no weights in {name!r}: expected *.safetensors or *.bin beside its config.json")
    with quiet():
        network, report = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype="auto", output_loading_info=True, weights_only=True
        )
    if lost := sorted(report["missing_keys"]):
        raise UsageError(f"the model in {name!r} lacks {lost[0]!r} and {len(lost) - 1} more weights: get it anew")
    made: PreTrainedModel = network
    return made


def _tokenizer(folder: Path, name: str) -> PreTrainedTokenizerBase:
    """Read the tokenizer; the files are looked for first: without any, AutoTokenizer makes up one."""
    from transformers import AutoTokenizer

    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise UsageError(f"no tokenizer in {name!r}: expected {' or '.join(TOKENIZER_FILES)} beside the weights")
    words = AutoTokenizer.from_pretrained(folder)
    if not hasattr(words, "backend_tokenizer"):
        raise UsageError(f"the tokenizer of {name!r} is not of the tokenizers library: add its tokenizer.json")
    return words


def _chat_template(words: PreTrainedTokenizerBase) -> str:
    """Take the template for conversations; some tokenizers have others beside it, by name."""
    found = words.chat_template
    return str((found.get("default") if isinstance(found, dict) else found) or "")


def _ids(*found: int | Iterable[int] | None) -> tuple[int, ...]:
    """Join ids, each of which may be none, one or several, in order and once each."""
    lists: list[Any] = [[] if one is None else [one] if isinstance(one, int) else list(one) for one in found]
    return tuple(dict.fromkeys(int(number) for one in lists for number in one))


def _fast_tokenizer(model: CausalModel) -> PreTrainedTokenizerBase:
    from transformers import PreTrainedTokenizerFast

    named = {"bos_token": model.bos, "eos_token": model.eos, "pad_token": model.words.id_to_token(model.pad_id)}
    return PreTrainedTokenizerFast(
        tokenizer_object=model.words,
        model_max_length=model.max_length,
        chat_template=model.chat_template or None,
        **{role: text for role, text in named.items() if text},
    )
