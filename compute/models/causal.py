"""A causal language model as a plain value: config, weights, tokenizer, chat template. Knows no folder and no hub."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from compute.errors import UsageError
from compute.models.checkpoint import check_names, plain_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

    from compute.models.recipes import CausalArchitecture

PAD, EOS = "<pad>", "</s>"
"""What a model made here fills up with and ends with: its tokenizer must know both."""

SPREAD = 0.1
"""Standard deviation of a new model's weights: about 1/√width for widths near 100, as transformers' own 0.02 is for
widths near 2000. With 0.02 a width of 64 learned next to nothing in the same number of steps."""


@dataclass(frozen=True)
class CausalModel:
    """A causal language model in memory; its tensors are shared, so whoever changes one clones it first.

    `config` is transformers' config as JSON data. `tensors` is the state dict, a weight that is tied to another left
    out. `tokenizer` is the tokenizers library's JSON, `chat_template` a Jinja source, "" without one. `ends` are the
    ids that end an answer, the first of them the one that training appends; `pad_id` fills up a batch. `bos` and `eos`
    are the texts of these tokens, which chat templates may ask for; "" without one.
    """

    config: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    tokenizer: str
    chat_template: str = ""
    ends: tuple[int, ...] = ()
    pad_id: int = 0
    bos: str = ""
    eos: str = ""

    @cached_property
    def words(self) -> Tokenizer:
        """The tokenizer itself, that neither cuts nor fills up."""
        from tokenizers import Tokenizer

        made = Tokenizer.from_str(self.tokenizer)
        made.no_padding()
        made.no_truncation()
        return made

    @property
    def max_length(self) -> int:
        """Count the tokens that a text may have."""
        return int(self.config["max_position_embeddings"])

    @property
    def dtype(self) -> str:
        """Name the type in which the weights are stored, as "bfloat16"."""
        return str(next(iter(self.tensors.values())).dtype).removeprefix("torch.")

    def network(self, dtype: str | None = "float32") -> PreTrainedModel:
        """Build a new network in evaluation mode; weights that are stored as *dtype* share their memory with `tensors`.

        *dtype* None keeps what is stored. Nothing is drawn at random on the way. Raises ValueError when the tensors
        are not exactly those of the config's architecture.
        """
        import torch
        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig
        from transformers.initialization import no_init_weights

        config = AutoConfig.for_model(**self.config)
        wanted = getattr(torch, dtype or self.dtype)
        tensors = {name: tensor.to(wanted if dtype else tensor.dtype) for name, tensor in self.tensors.items()}
        with no_init_weights(), _default_dtype(wanted):
            network: PreTrainedModel = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)
        check_names(network, tensors, without=tied(network))
        network.load_state_dict(tensors, assign=True, strict=False)
        network.tie_weights()
        return network.eval()

    def weight(self, module: str) -> NDArray[np.float32]:
        """Return the weight [out, in] of a linear module, as model.layers.0.self_attn.q_proj; UsageError if none."""
        import numpy as np

        name = f"{module}.weight"
        if name not in self.tensors:
            raise UsageError(f"the base model has no weight {name!r}: expected one of {', '.join(self._some())}")
        return np.asarray(self.tensors[name].detach().cpu().float().numpy(), np.float32)

    def _some(self) -> list[str]:
        """Name the modules of one layer, as examples."""
        return [
            name.removesuffix(".weight") for name in self.tensors if ".0." in name and name.endswith("_proj.weight")
        ]


def to_tree(model: CausalModel) -> dict[str, Any]:
    """Turn a model into a tree of plain values whose leaves may be tensors, as the store keeps it."""
    names = ("config", "tensors", "tokenizer", "chat_template", "pad_id", "bos", "eos")
    return {**{name: getattr(model, name) for name in names}, "ends": list(model.ends)}


def from_tree(tree: Mapping[str, Any]) -> CausalModel:
    """Build the model that `to_tree` turned into *tree*."""
    return CausalModel(**{**tree, "ends": tuple(tree["ends"])})


def new(architecture: CausalArchitecture, tokenizer: str, *, seed: int) -> CausalModel:
    """Build an untrained model whose tokenizer knows ``<pad>`` and ``</s>``; ValueError if it does not."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoConfig, AutoModelForCausalLM

    words = Tokenizer.from_str(tokenizer)
    pad, eos = (_id(words, name) for name in (PAD, EOS))
    dimensions = _dimensions(architecture, vocabulary=words.get_vocab_size(), pad=pad, eos=eos)
    config = plain_config(AutoConfig.for_model(architecture.kind, **dimensions))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    return CausalModel(config, tensors_of(network), tokenizer, "", (eos,), pad, "", EOS)


def tensors_of(network: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Take the weights out of a network, on the CPU, tied ones once."""
    without = tied(network)
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items() if name not in without}


def tied(network: PreTrainedModel) -> set[str]:
    """Name the weights that are another under a second name, as an output layer that is the embedding table."""
    return set(network.all_tied_weights_keys)


def _dimensions(architecture: CausalArchitecture, *, vocabulary: int, pad: int, eos: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": architecture.hidden,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "num_key_value_heads": architecture.kv_heads,
        "intermediate_size": architecture.intermediate,
        "max_position_embeddings": architecture.max_length,
        "initializer_range": SPREAD,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": eos,
        "pad_token_id": pad,
    }


def _id(words: Tokenizer, name: str) -> int:
    number = words.token_to_id(name)
    if number is None:
        raise ValueError(f"the tokenizer has no token {name!r}: a model made here fills up with {PAD}, ends with {EOS}")
    return int(number)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
