"""What goes into a classifier's linear layers, as inner products of their inputs over some texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from compute.models.batches import batches
from compute.models.checkpoint import Checkpoint
from compute.models.probing import logits_of, network_of, one_thread, watched


def grams(
    model: Checkpoint, texts: Sequence[str], *, batch: int = 64, device: str = "cpu", mean: bool = False
) -> dict[str, Tensor]:
    """Return XᵀX of the inputs X [tokens, in] of each linear layer, under the name of its weight: float32 [in, in].

    This is what RegMean needs of a model's own texts (Jin et al. 2023, https://arxiv.org/abs/2212.09849).
    Only real tokens count: padding, and so *batch*, changes nothing but rounding; a layer that sees one vector
    a text, as in a classification head, has as many inputs as there are texts. Products of a batch are float32,
    their sum float64. The authors' code (https://github.com/bloomberg/dataless-model-merging) counts padding too,
    and divides by the number of inputs, as *mean* does here, so that a model of more texts weighs no more; what it
    then does to entries off the diagonal is the merge method's part. A layer that no text went through has no
    entry. Raises ValueError when there is no text.
    """
    with one_thread(), torch.no_grad():
        network = network_of(model, device)
        names = {module: name for name, module in network.named_modules() if isinstance(module, nn.Linear)}
        sums = _Sums(mean)
        with watched(names, sums.see):
            for part in batches(model, texts, batch, device=device):
                sums.real = part.mask.bool()
                logits_of(network, part.ids, part.mask)
    return {f"{names[layer]}.weight": total.float().cpu() for layer, total in sums.result().items()}


class _Sums:
    """Sums of the layers' inner products over batches, of which `real` says what is no padding: [rows, length]."""

    real: Tensor

    def __init__(self, mean: bool):
        self._mean = mean
        self._totals: dict[nn.Module, Tensor] = {}
        self._counts: dict[nn.Module, int] = {}
        self._last: tuple[Tensor, Tensor, int] | None = None

    def see(self, layer: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        product, count = self._product(inputs[0])
        if layer not in self._totals:
            self._totals[layer] = torch.zeros_like(product, dtype=torch.float64)
            self._counts[layer] = 0
        self._totals[layer] += product
        self._counts[layer] += count

    def _product(self, given: Tensor) -> tuple[Tensor, int]:
        """Multiply once what goes into several layers in turn, as into those of queries, keys and values."""
        if self._last is None or self._last[0] is not given:
            rows = given[self.real] if given.shape[:-1] == self.real.shape else given.flatten(0, -2)
            self._last = given, rows.T @ rows, len(rows)
        return self._last[1:]

    def result(self) -> dict[nn.Module, Tensor]:
        return {layer: total / (self._counts[layer] if self._mean else 1) for layer, total in self._totals.items()}
