"""What merge methods are held against: tiny checkpoints, mergekit in an environment of its own, peft's functions."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from references import Array, stacked
from safetensors.torch import load_file

VARIABLE = "RECOUNT_MERGEKIT"
"""The environment variable with the path of a Python interpreter that has mergekit."""
NOISE = 0.02
"""Standard deviation of the experts' differences from the base, as large as that of the base's weights."""

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoints:
    """A base and four experts, as folders with `config.json` and `model.safetensors`, and what lies in them."""

    base: Path
    experts: list[Path]
    base_state: State
    expert_states: list[State]
    vectors: dict[str, Array]
    """The task vectors [4, *shape] by tensor, in float64, of differences taken in the tensors' own dtype."""

    def config(
        self, method: str, *, base: bool = True, count: int = 4, each: dict[str, Any] | None = None, **shared: Any
    ) -> dict[str, Any]:
        """Return mergekit's config of *method* for the first *count* experts.

        each: parameters with a value for every expert (a list) or one for all; shared: the method's parameters.
        """
        models = []
        for number, path in enumerate(self.experts[:count]):
            own = {name: value[number] if isinstance(value, list) else value for name, value in (each or {}).items()}
            models.append({"model": str(path), "parameters": own})
        config: dict[str, Any] = {"merge_method": method, "models": models, "parameters": shared, "dtype": "float32"}
        return config | ({"base_model": str(self.base)} if base else {})


@dataclass
class Mergekit:
    """mergekit in its own process. Called with a config, as its YAML says it, it returns the merged tensors."""

    process: subprocess.Popen[str]
    folder: Path
    version: str
    masks: State = field(default_factory=dict)
    """The random masks of the last merge, [N, *shape] by tensor; empty where none were drawn."""
    number: int = 0

    def __call__(self, config: dict[str, Any]) -> State:
        self.number += 1
        out = self.folder / str(self.number)
        answer = self.ask({"config": config, "out": str(out)})
        assert not answer["error"], answer["error"]
        self.masks = load_file(out / "masks.safetensors")
        merged: State = {}
        for path in out.glob("model*.safetensors"):
            merged |= load_file(path)
        return merged

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"{VARIABLE}: the interpreter ended; is mergekit installed beside {os.environ[VARIABLE]}?"
        return dict(json.loads(line))


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    """XLM-R for sequence classification: hidden size 16, 2 layers, 64 tokens, 6 labels; no two entries tie."""
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("checkpoints")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = XLMRobertaForSequenceClassification(
            XLMRobertaConfig(
                vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                max_position_embeddings=20, type_vocab_size=1, num_labels=6,
            )
        )  # fmt: skip
        base = {name: _random(values) for name, values in model.state_dict().items()}
        states = [{name: values + NOISE * torch.randn(values.shape) for name, values in base.items()} for _ in range(4)]
    for name, state in zip(["base", "ft1", "ft2", "ft3", "ft4"], [base, *states], strict=True):
        model.load_state_dict(state)
        model.save_pretrained(folder / name)
    experts = [folder / f"ft{number}" for number in range(1, 5)]
    return Checkpoints(folder / "base", experts, base, states, stacked(base, states))


@pytest.fixture(scope="session")
def mergekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mergekit]:
    """mergekit, called with a config; skips where no interpreter with mergekit is named."""
    interpreter = os.environ.get(VARIABLE)
    if not interpreter:
        pytest.skip(f"{VARIABLE} names no Python interpreter with mergekit")
    folder = tmp_path_factory.mktemp("mergekit")
    script = Path(__file__).with_name("mergekit_reference.py")
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [interpreter, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            encoding="utf-8", env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        with process:
            made = Mergekit(process, folder, "")
            made.version = made.answer()["version"]
            yield made


@pytest.fixture(scope="session")
def peft() -> Callable[..., dict[str, Array]]:
    """peft's merge functions, one tensor at a time: `peft(name, vectors, weights, **options)`.

    name: of peft.utils.merge_utils; vectors: [N, *shape] by tensor. Random masks come from torch's generator.
    """
    from peft.utils import merge_utils

    def merge(name: str, vectors: dict[str, Array], weights: list[float], **options: Any) -> dict[str, Array]:
        function = getattr(merge_utils, name)
        return {
            tensor: function(
                list(torch.from_numpy(values)), torch.tensor(weights, dtype=torch.float64), **options
            ).numpy()
            for tensor, values in vectors.items()
        }

    return merge


def _random(values: torch.Tensor) -> torch.Tensor:
    """Return random numbers instead of the zeros and ones that biases and norms start with."""
    return torch.randn(values.shape) * NOISE + (1 if values.numel() and values.float().mean() == 1 else 0)
