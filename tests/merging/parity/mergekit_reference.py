"""Merges with mergekit, in an interpreter that has it: run by the fixture `mergekit`, imports nothing of the project.

Reads one JSON object a line, {"config": …, "out": FOLDER}, merges by mergekit's own `run_merge`, and answers with one
JSON object a line, {"error": ""} or with the reason. FOLDER then holds mergekit's checkpoint, and `masks.safetensors`
with the random masks that it drew, [N, *shape] by tensor, in the order of the config's models without the base.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.merge_methods.generalized_task_arithmetic import GeneralizedTaskArithmeticMerge
from mergekit.options import MergeOptions
from safetensors.torch import save_file


def main() -> None:
    torch.set_num_threads(1)
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps({"version": version("mergekit")}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            _merge(**json.loads(line))
            error = ""
        except Exception:  # noqa: BLE001 - the tests tell it
            error = traceback.format_exc()
        print(json.dumps({"error": error}), file=answers, flush=True)


def _merge(config: dict[str, Any], out: str) -> None:
    with _recorded() as masks:
        options = MergeOptions(quiet=True, copy_tokenizer=False, write_model_card=False, random_seed=0)
        run_merge(MergeConfiguration.model_validate(config), out, options)
    order = [str(item["model"]) for item in config.get("models", []) if item["model"] != config.get("base_model")]
    stacks = {name: torch.stack([drawn[model] for model in order]) for name, drawn in masks.items() if drawn}
    save_file(stacks, Path(out) / "masks.safetensors")


@contextmanager
def _recorded() -> Iterator[dict[str, dict[str, torch.Tensor]]]:
    """Give the masks drawn inside by tensor and model path."""
    masks: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
    merge_group, bernoulli = GeneralizedTaskArithmeticMerge.merge_group, torch.bernoulli

    def merged(self: Any, group: Any, /, **parameters: Any) -> torch.Tensor:
        models = iter([_path(entry.id) for entry in group.non_base])

        def drawn(*args: Any, **kwargs: Any) -> torch.Tensor:
            mask = bernoulli(*args, **kwargs)
            masks[group.metadata.name][next(models)] = mask.reshape(group.base.tensor.shape).to(torch.float32)
            return mask

        torch.bernoulli = drawn
        return merge_group(self, group, **parameters)

    GeneralizedTaskArithmeticMerge.merge_group = merged
    try:
        yield masks
    finally:
        GeneralizedTaskArithmeticMerge.merge_group, torch.bernoulli = merge_group, bernoulli


def _path(model: Any) -> str:
    """Return the folder that a model reference names."""
    found: Callable[[], str] | str = model.model.path
    return str(found)


if __name__ == "__main__":
    main()
