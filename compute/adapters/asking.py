"""A language model that is asked about one task after another, with one adapter after another. Trains nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compute.adapters.adapter import Adapter
from compute.adapters.attached import Stack, attach
from compute.evaluation.answers._batches import TOKENS
from compute.evaluation.answers.judge import Answerer, Judged, judged
from compute.evaluation.answers.score import score
from compute.evaluation.tasks.task import Example, Metric
from compute.models.prompts import Encoded, Pair, encode

if TYPE_CHECKING:
    from compute.models.causal import CausalModel

WRITTEN_AT_ONCE = 8 * TOKENS
"""Tokens in a batch where answers are written on a GPU, which writes a token of many rows as fast as of few."""

_LAST: dict[tuple[str, ...], Asked] = {}
"""The model that this process asked last, if any: building a network anew for every adapter would take longer."""


class Asked:
    """A language model with at most one adapter attached to its network."""

    def __init__(self, model: CausalModel, *, dtype: str, device: str) -> None:
        self.model = model
        self.network = model.network(dtype).to(device)
        self._written_at_once = TOKENS if device == "cpu" else WRITTEN_AT_ONCE
        self._stack: Stack | None = None

    def score(
        self,
        metric: Metric,
        examples: Sequence[Example],
        adapter: Adapter | None,
        *,
        max_length: int,
        new_tokens: int,
    ) -> dict[str, Any]:
        """Ask all *examples* with *adapter*, or without any, and return what is to be kept of the answers.

        A prompt and its answer have at most *max_length* tokens; where an answer is written, *new_tokens* of them are
        left for it. See compute.evaluation.answers.score.score.
        """
        rows: list[Encoded] = []

        def read(pairs: Sequence[Pair]) -> Encoded:
            rows.append(encode(self.model, pairs, room))
            return rows[-1]

        self._put(adapter)
        writes = metric in ("number", "code")
        room = max_length - new_tokens if writes else max_length
        asked = Answerer(
            self.network,
            read,
            self.model.words.decode,
            self.model.pad_id,
            self.model.ends,
            new_tokens,
            self._written_at_once if writes else TOKENS,
        )
        found: Judged = judged(metric, examples, asked)
        ids = [example.id for example in examples]
        cut = sum(each.cut for each in rows) / max(1, sum(len(each.ids) for each in rows))
        return score(found.correct, ids, metric, failed=found.failed, legacy=found.legacy, cut=cut)

    def _put(self, adapter: Adapter | None) -> None:
        """Attach *adapter* in the place of the last one; none leaves the network as it was made."""
        fits = self._stack and adapter and self._stack.fits(adapter)
        if self._stack and adapter and fits:
            self._stack.swap([adapter])
            return
        if self._stack:
            self._stack.detach()
        self._stack = attach(self.network, [adapter]) if adapter else None


def asked(identity: tuple[str, ...], load: Callable[[], Mapping[str, Any]], *, dtype: str, device: str) -> Asked:
    """Return the model of that *identity*, which *load* gives, ready to be asked; the last one is kept, no more."""
    from compute.models.causal import from_tree

    this = (*identity, dtype, device)
    if this not in _LAST:
        _LAST.clear()
        _LAST[this] = Asked(from_tree(load()), dtype=dtype, device=device)
    return _LAST[this]
