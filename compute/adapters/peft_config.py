"""What an adapter_config.json says, checked: which LoRA it is, and why one cannot be translated. Reads no weights.

Fields and rules are PEFT's: https://github.com/huggingface/peft (tuners/lora/config.py and model.py).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from compute.errors import UsageError, short

CONFIG = "adapter_config.json"

LARGEST = 4_000_000
"""Bytes that a config may have: one with a pattern for each module of a large model has some ten thousand."""

MOST_REPEATS = 6
"""Repetitions in a regular expression of names: time may grow as that power of a name's length."""

AGAIN = "train the task again without it"

REFUSED: Mapping[str, tuple[str, str]] = {
    "use_dora": ("DoRA also learns magnitudes, which no product B A holds", AGAIN),
    "use_qalora": ("QA-LoRA pools the inputs of a quantised model", AGAIN),
    "use_bdlora": ("block-diagonal factors are kept as their blocks", AGAIN),
    "lora_bias": ("B then has a bias, which is no part of ΔW", AGAIN),
    "modules_to_save": ("whole modules were trained beside the LoRA, and are not translated", AGAIN),
    "trainable_token_indices": ("rows of the embeddings were trained beside the LoRA, and are not translated", AGAIN),
    "target_parameters": ("bare parameters, such as experts, are adapted, which are no linear modules", AGAIN),
    "layer_replication": ("layers of the base are repeated, so that the adapter's layers are not the base's", AGAIN),
    "alora_invocation_tokens": ("the adapter acts only after certain tokens, which ΔW does not tell", AGAIN),
    "monteclora_config": ("the adapter is drawn at random around its factors", AGAIN),
    "arrow_config": ("the adapter chooses among other adapters", "translate those one by one"),
    "kasa_config": ("KaSA takes singular values out of the base's weights, and adds a diagonal to B A", AGAIN),
    "enable_lora": ("one LoRA stands for parts of a joint projection", "train it again with a newer PEFT"),
}
"""Fields that, when set, mean more than a product B A on the base as it was: why, and what would help."""

TRAINING_ONLY = {
    *("velora_config", "eva_config", "corda_config", "lora_ga_config", "loftq_config", "megatron_config"),
    *("runtime_config", "use_rslora"),
}
"""Fields of the look of a variant that do not change what the factors mean; or only by `init_lora_weights`."""

CONVERT = (
    "save it again from the training run by save_pretrained(…, path_initial_model_for_weight_conversion=…), which"
    " turns it into a LoRA of the base as it was"
)
ALTERING: Mapping[str, tuple[str, str]] = {
    "pissa": ("moves the largest singular vectors of the base's weights into the adapter", CONVERT),
    "olora": ("moves a part of the base's weights into the adapter", CONVERT),
    "corda": ("moves a part of the base's weights into the adapter", CONVERT),
    "lora_ga": ("takes the adapter's first value off the base's weights", CONVERT),
    "loftq": ("puts quantised weights in the place of the base's", "train the task again on the base as it is"),
}
"""Initialisations, by how their names begin, after which the base is another one than its name says.

The others (the default, gaussian, eva, orthogonal, mica) leave it alone: their B A is zero at first, and the random one
of False is not taken off the base.
"""

HARMLESS = ("gaussian", "eva", "orthogonal", "mica")

Value = TypeVar("Value", int, float)


@dataclass(frozen=True)
class PeftConfig:
    """A plain LoRA, as its adapter_config.json describes it.

    `ranks` and `alphas` hold what differs by module, by patterns of names; `targets` and `excluded` are names, or one
    regular expression; `layers` are those that were adapted, None for all; `base` is the model's name or path.
    """

    path: Path
    rank: int
    alpha: float
    ranks: Mapping[str, int] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)
    rank_stabilised: bool = False
    targets: tuple[str, ...] | str | None = None
    excluded: tuple[str, ...] | str = ()
    layers: tuple[int, ...] = ()
    layer_names: tuple[str, ...] = ()
    base: str = ""

    def rank_of(self, module: str) -> int:
        """Return the rank that the LoRA of *module* has."""
        return _by_pattern(self.path, "rank_pattern", self.ranks, module, self.rank)

    def scale_of(self, module: str) -> float:
        """Return what B A is multiplied by: α/r, or α/√r where rank-stabilised (https://arxiv.org/abs/2312.03732)."""
        rank, alpha = self.rank_of(module), _by_pattern(self.path, "alpha_pattern", self.alphas, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)

    def adapts(self, module: str) -> bool:
        """Whether PEFT puts a LoRA on *module*."""
        if self.excluded and self._named("exclude_modules", self.excluded, module):
            return False
        if self.targets is None or self.targets == "all-linear":
            return True
        return self._named("target_modules", self.targets, module) and self._in_layers(module)

    def layer_of(self, module: str) -> int | None:
        """Return the layer that `layers_to_transform` counts *module* to, None if it has none."""
        patterns = [rf"(?:^|.*?\.){name}\.(\d+)\." for name in self.layer_names] or [r".*?\.[^.]*\.(\d+)\."]
        found = (compiled(self.path, "layers_pattern", pattern).match(module) for pattern in patterns)
        return next((int(match[1]) for match in found if match), None)

    def _in_layers(self, module: str) -> bool:
        return not self.layers or self.layer_of(module) in self.layers

    def _named(self, key: str, names: tuple[str, ...] | str, module: str) -> bool:
        if isinstance(names, str):
            return compiled(self.path, key, names).fullmatch(module) is not None
        return any(module == name or module.endswith(f".{name}") for name in names)


def described(folder: Path) -> PeftConfig:
    """Read the adapter_config.json in *folder*.

    Raises UsageError, naming file and field, where there is none, it is damaged, or it describes something else than a
    product B A on linear modules of a base that stayed as it was.
    """
    path = folder / CONFIG
    said = _read(path)
    _check_plain(path, said)
    layers = said.get("layers_to_transform")
    return PeftConfig(
        path=path,
        rank=_number(path, "r", said.get("r", 8), int),
        alpha=_number(path, "lora_alpha", said.get("lora_alpha", 8), float),
        ranks=_numbers(path, "rank_pattern", said.get("rank_pattern"), int),
        alphas=_numbers(path, "alpha_pattern", said.get("alpha_pattern"), float),
        rank_stabilised=bool(said.get("use_rslora", False)),
        targets=_names(path, "target_modules", said.get("target_modules")),
        excluded=_names(path, "exclude_modules", said.get("exclude_modules")) or (),
        layers=_layers(path, [layers] if isinstance(layers, int) else layers or []),
        layer_names=_listed(_names(path, "layers_pattern", said.get("layers_pattern"))),
        base=str(said.get("base_model_name_or_path") or ""),
    )


@lru_cache(maxsize=4096)
def compiled(path: Path, key: str, pattern: str) -> re.Pattern[str]:
    """Compile a regular expression of the config *path*; UsageError for one that is none, or may take for ever."""
    try:
        found = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(
            f"{path}: {key} {short(pattern)} is no regular expression ({short(error)}): write the names out"
        ) from error
    repeats = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "x", pattern)  # without what only looks like a repetition
    if re.search(r"\)[*+{]", repeats) or len(re.findall(r"[*+{]", repeats)) > MOST_REPEATS:
        raise UsageError(f"{path}: {key} {short(pattern)} repeats so much that it may never end: write the names out")
    return found


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object without trust in its size or shape."""
    if not path.is_file():
        raise UsageError(
            f"no adapter in {path.parent}: expected {path.name} there, as PEFT's save_pretrained writes it"
        )
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise UsageError(f"{path} has {size:,} bytes, which no config needs: fetch or write it again")
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON ({short(error)}): fetch or write it again") from error
    if not isinstance(said, dict):
        raise UsageError(f"{path}: expected a mapping, found {short(said)}: fetch or write it again")
    return said


def _check_plain(path: Path, said: Mapping[str, Any]) -> None:
    """Refuse what is more, or other, than a LoRA that is added to its base."""
    if (kind := said.get("peft_type")) != "LORA":
        raise UsageError(f"{path}: peft_type is {short(kind)}, and only LORA can be translated: train a plain LoRA")
    if (bias := said.get("bias", "none")) not in ("none", None):
        raise UsageError(
            f"{path}: bias is {short(bias)}: the base's biases were trained beside the LoRA, and are not translated;"
            ' train it with bias="none"'
        )
    for key, value in said.items():
        if key in REFUSED and value not in (None, False, [], {}, ""):
            why, what_helps = REFUSED[key]
            raise UsageError(f"{path}: {key} is {short(value)}: {why}; {what_helps}")
        if key not in TRAINING_ONLY and _looks_like_a_variant(key, value):
            raise UsageError(
                f"{path}: {key} is {short(value)}, a variant of LoRA that is not known here: B A may not be all of it;"
                f" {AGAIN}"
            )
    _check_start(path, said.get("init_lora_weights", True))


def _looks_like_a_variant(key: str, value: object) -> bool:
    """Whether PEFT would switch a variant on so: by use_…: true, or by the mapping …_config."""
    return (key.startswith("use_") and bool(value)) or (
        key.endswith("_config") and isinstance(value, dict) and bool(value)
    )


def _check_start(path: Path, start: object) -> None:
    """Refuse initialisations that alter the base: with them, B A is no change of the base that has the name."""
    if start in (True, False, None) or str(start).lower() in HARMLESS:
        return
    for name, (why, what_helps) in ALTERING.items():
        if str(start).lower().startswith(name):
            raise UsageError(
                f"{path}: init_lora_weights is {short(start)}, which {why}, so that B A is not what was learnt;"
                f" {what_helps}"
            )
    raise UsageError(
        f"{path}: init_lora_weights is {short(start)}, which is not known here and may alter the base; {AGAIN}"
    )


def _by_pattern(path: Path, key: str, values: Mapping[str, Value], module: str, default: Value) -> Value:
    """Return the value of the first pattern that a module's name, or its end after a point, matches."""
    for pattern, value in values.items():
        if compiled(path, key, rf"(.*\.)?({pattern})$").match(module):
            return value
    return values.get(module, default)


def _number(path: Path, key: str, value: object, kind: type[Value]) -> Value:
    accepted: Any = (int, float) if kind is float else int
    wanted = "a whole number of at least 1" if kind is int else "a finite number"
    if isinstance(value, accepted) and not isinstance(value, bool):
        found: Any = value
        if 1 <= found <= 2**31 if kind is int else abs(found) < 1e30:
            return kind(found)
    raise UsageError(f"{path}: {key} must be {wanted}, not {short(value)}: write the adapter again")


def _numbers(path: Path, key: str, said: object, kind: type[Value]) -> dict[str, Value]:
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise UsageError(f"{path}: {key} must map patterns to numbers, not {short(said)}: write the adapter again")
    return {pattern: _number(path, f"{key} of {short(pattern)}", value, kind) for pattern, value in said.items()}


def _names(path: Path, key: str, said: object) -> tuple[str, ...] | str | None:
    if said is None or isinstance(said, str):
        return said
    if isinstance(said, list) and all(isinstance(name, str) for name in said):
        return tuple(said)
    raise UsageError(f"{path}: {key} must be names, or one regular expression, not {short(said)}: write it again")


def _listed(names: tuple[str, ...] | str | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) and names else tuple(names or ())


def _layers(path: Path, said: object) -> tuple[int, ...]:
    if isinstance(said, list) and all(type(layer) is int and layer >= 0 for layer in said):
        return tuple(sorted(set(said)))
    raise UsageError(f"{path}: layers_to_transform must be numbers of layers, not {short(said)}: write it again")
