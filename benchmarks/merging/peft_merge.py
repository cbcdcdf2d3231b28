"""Merges model folders by peft's functions, one tensor at a time: what a user of peft would write for whole models.

python peft_merge.py METHOD OUT --experts FOLDER … [--base FOLDER] [--density .2] [--device cuda]
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from peft.utils import merge_utils
from safetensors.torch import load_file, save_file

FILE = "model.safetensors"


def main() -> None:
    options = _parser().parse_args()
    experts = [load_file(folder / FILE) for folder in options.experts]
    base = load_file(options.base / FILE) if options.base else None
    with torch.inference_mode():
        merged = {name: _merged(name, base, experts, options) for name in experts[0]}
    options.out.mkdir(parents=True)
    save_file(merged, options.out / FILE, metadata={"format": "pt"})
    shutil.copy(options.experts[0] / "config.json", options.out)


def _merged(
    name: str,
    base: Mapping[str, torch.Tensor] | None,
    experts: list[Mapping[str, torch.Tensor]],
    options: argparse.Namespace,
) -> torch.Tensor:
    tensors = [expert[name].to(options.device) for expert in experts]
    weights = torch.full((len(tensors),), 1 / len(tensors), device=options.device)
    if options.method == "linear":
        return merge_utils.task_arithmetic(tensors, weights).to(tensors[0].dtype).cpu()
    start = base[name].to(options.device) if base else torch.zeros_like(tensors[0])
    function = getattr(merge_utils, options.method)
    vectors = [tensor - start for tensor in tensors]
    return (start + function(vectors, weights, density=options.density)).to(start.dtype).cpu()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=["linear", "ties", "dare_ties"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--experts", type=Path, nargs="+", required=True)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--density", type=float, default=0.2)
    parser.add_argument("--device", default="cpu")
    return parser


if __name__ == "__main__":
    main()
