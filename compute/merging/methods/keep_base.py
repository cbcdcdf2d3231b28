"""Keep base: nothing that the experts learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.arrays import namespace
from compute.merging.method import merge_method

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(title="Base", paper="", idempotent=False)
def keep_base(vectors: TaskVectors, coefficients: Array) -> Combine:
    """Merge to θ₀, whatever the task vectors and their *coefficients* [N].

    A baseline, and what becomes of word embeddings that experts of other languages had better leave alone. Equal
    experts do not merge to themselves, but to the base.
    """
    return lambda chunk: namespace(chunk).zeros_like(chunk[0])
