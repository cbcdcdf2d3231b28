"""Tiny classifiers in folders, and recipes carried out on them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from compute.recipes import document, run

State = dict[str, Tensor]
WORDS = "roberta.embeddings.word_embeddings.weight"
DENSE = "classifier.dense.weight"
HEAD = "classifier."


@dataclass(frozen=True)
class Zoo:
    """A folder with a base without a head, `base`, and experts `de`, `sq` and `tr` that moved a little from it."""

    root: Path

    def state(self, name: str) -> State:
        """Load a model's tensors."""
        return load_file(self.root / name / "model.safetensors")

    def variant(self, name: str, of: str, change: Callable[[State], State] | None = None, **config: Any) -> Path:
        """Make a model *name* like the model *of* but for its tensors or values of its config."""
        folder = self.root / name
        shutil.copytree(self.root / of, folder)
        if change:
            changed = {key: tensor.contiguous() for key, tensor in change(self.state(of)).items()}
            save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps({**said, **config}), encoding="utf-8")
        return folder

    def recipe(self, said: str | Mapping[str, Any], name: str = "recipe.yaml") -> Path:
        """Write a recipe beside the models."""
        text = said if isinstance(said, str) else yaml.safe_dump(dict(said))
        (self.root / name).write_text(text, encoding="utf-8")
        return self.root / name

    def merge(self, said: str | Mapping[str, Any], out: str = "out", **how: Any) -> Path:
        """Carry a recipe out."""
        read = document.read(self.recipe(said))
        folders = run.run(read, self.root / out, cache=self.root / "cache", **{"threads": 1, **how})
        return folders[0]


def make(root: Path) -> Zoo:
    """Lay out the zoo in a folder."""
    from compute.models.build import new_base
    from compute.models.load import save
    from compute.models.recipes import Architecture
    from compute.models.tokenizer import train

    texts = ["wake me at five", "play some jazz", "what time is it", "më zgjo në pesë", "luaj pak xhaz", "sa është ora"]
    tokenizer = train(texts, vocabulary=80)
    sizes = Architecture(hidden=16, layers=2, heads=2, vocabulary=80, max_length=12)
    made = new_base(sizes, tokenizer, ["alarm", "music", "time"], seed=3)
    save(made, root / "base")
    tensors = load_file(root / "base/model.safetensors")
    for seed, name in enumerate(("de", "sq", "tr"), 1):
        shutil.copytree(root / "base", root / name)
        save_file(moved(tensors, seed), root / name / "model.safetensors", metadata={"format": "pt"})
    body = {name: tensor for name, tensor in tensors.items() if not name.startswith(HEAD)}
    save_file(body, root / "base/model.safetensors", metadata={"format": "pt"})
    return Zoo(root)


def moved(state: State, seed: int) -> State:
    """Return tensors a little beside those of *state*."""
    rng = torch.Generator().manual_seed(seed)
    return {name: tensor + 0.01 * torch.randn(tensor.shape, generator=rng) for name, tensor in state.items()}


def longer(zoo: Zoo, name: str, of: str) -> None:
    """Give a model one more token than the others have, and another id for padding."""
    folder = zoo.variant(name, of, lambda state: {**state, WORDS: torch.cat([state[WORDS], torch.ones(1, 16)])})
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    rows = zoo.state(of)[WORDS].shape[0]
    tokenizer["model"]["vocab"]["nowhere-else"] = rows
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": rows + 1, "pad_token_id": 0}))


def load_whole(folder: Path) -> Any:
    """Open a result as transformers does, without anything missing or left over."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**tokenizer("wake me at five", return_tensors="pt")).logits
    assert logits.isfinite().all()
    return model
