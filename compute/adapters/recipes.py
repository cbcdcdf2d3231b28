"""How LoRA adapters are trained: sizes, amounts and rates. Plain values, no training and no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from compute.constraints import limited

Count = Annotated[int, limited(gt=0)]
Rate = Annotated[float, limited(gt=0)]
Share = Annotated[float, limited(ge=0, lt=1)]


@dataclass(frozen=True)
class LoraRecipe:
    """How a LoRA adapter learns a task (Hu et al. 2021, https://arxiv.org/abs/2106.09685): no dropout, no biases.

    AdamW without weight decay; the rate rises over the share `warmup` of the steps, then falls linearly to zero.

    - `steps` or `epochs`, one of the two: under `steps` every task learns as long, however many examples it has.
    - `targets`: the modules that get a LoRA, by the last parts of their names; ΔW = `alpha` / `rank` · B A.
    - `dtype`: what the base model computes in. The adapter's own weights are float32 either way.
    - `max_length`: tokens a training example may have. `examples`: most a task is trained on; None takes all.
    - `together`: tasks that are trained at once in one network. Only the time a task takes depends on it.
    - `checkpointing`: compute activations again in the backward pass rather than keep them, for big models.
    """

    batch: Count
    learning_rate: Rate
    steps: Count | None = None
    epochs: Count | None = None
    rank: Count = 8
    alpha: Count = 16
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    max_length: Count = 512
    dtype: Literal["float32", "bfloat16"] = "float32"
    examples: Count | None = None
    warmup: Share = 0.0
    together: Count = 1
    checkpointing: bool = False

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            given = "neither" if self.steps is None else f"both, steps = {self.steps} and epochs = {self.epochs}"
            raise ValueError(f"give one of steps and epochs, how long an adapter is trained: found {given}")
        if not self.targets:
            raise ValueError("give at least one of targets, the modules that get a LoRA, such as q_proj: found none")

    @property
    def scale(self) -> float:
        """What B A is multiplied by: α/r."""
        return self.alpha / self.rank
