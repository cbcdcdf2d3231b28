"""Makes the checkpoints that are merged: a base and experts around it, as folders that transformers can load.

    python benchmarks/merging/fill.py FOLDER [--size base|tiny] [--dtypes float32 bfloat16] [--experts 4]

XLM-R for sequence classification with 60 labels and random weights; an expert is the base plus normal noise of 1e-3.
What lies there already is kept.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

SIZES = {
    "base": {},
    "tiny": {
        "vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 40,
    },
}  # fmt: skip
"""What differs from the size of XLM-R-base."""

XLM_R_BASE = {
    "vocab_size": 250_002, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
    "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "num_labels": 60,
}  # fmt: skip
NOISE = 1e-3
FILE = "model.safetensors"


def main() -> None:
    options = _parser().parse_args()
    fill(options.folder, options.size, options.dtypes, options.experts)


def fill(folder: Path, size: str, dtypes: list[str], experts: int) -> None:
    """Make `FOLDER/DTYPE/{base,ft1,…}`; a checkpoint is there or not, never half."""
    names = ["base", *(f"ft{number}" for number in range(1, experts + 1))]
    wanted = {(dtype, name) for dtype in dtypes for name in names}
    if all(_complete(folder / dtype / name) for dtype, name in wanted):
        return
    from transformers.utils import logging

    logging.disable_progress_bar()
    for number, name in enumerate(names):
        if not all(_complete(folder / dtype / name) for dtype in dtypes):
            _one(folder, name, number, size, dtypes)


def checkpoint_bytes(folder: Path) -> int:
    """Return the size of a checkpoint's weights in bytes."""
    return (folder / FILE).stat().st_size


def parameters(folder: Path) -> int:
    """Return how many entries the tensors of a checkpoint have together."""
    return int(json.loads((folder / "made.json").read_bytes())["parameters"])


def _one(folder: Path, name: str, number: int, size: str, dtypes: list[str]) -> None:
    """Make one checkpoint in every dtype; the base is drawn anew for each expert, as that needs no second copy."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    torch.manual_seed(0)
    model = XLMRobertaForSequenceClassification(XLMRobertaConfig(**{**XLM_R_BASE, **SIZES[size]}))
    generator = torch.Generator().manual_seed(number)
    if name != "base":
        with torch.no_grad():
            for values in model.parameters():
                values.add_(torch.randn(values.shape, generator=generator), alpha=NOISE)
    for dtype in sorted(dtypes, key=lambda word: word != "float32"):
        made = folder / dtype / name
        model.to(getattr(torch, dtype)).save_pretrained(made)
        entries = sum(values.numel() for values in model.state_dict().values())
        with (made / "made.json").open("w", encoding="utf-8") as mark:
            json.dump({"parameters": entries, "dtype": dtype, "seed": number}, mark)
        print(f"{made}: {entries:,} parameters", flush=True)


def _complete(folder: Path) -> bool:
    return (folder / "made.json").exists() and (folder / FILE).exists()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--experts", type=int, default=4)
    return parser


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
