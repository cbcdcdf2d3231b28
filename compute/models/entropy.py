"""How unsure a classifier is of unlabelled texts, and which way its weights should go to be surer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from compute.models.batches import encode, pad
from compute.models.checkpoint import Checkpoint
from compute.models.probing import network_of, one_thread


class EntropyObjective:
    """The mean softmax entropy of *model* under other weights, on texts of which each step takes the next *batch*.

    AdaMerging makes it small (Yang et al. 2024, https://arxiv.org/abs/2310.02575): the gradient by a
    coefficient is the inner product of the gradient by the merged weights and the task vector, so one network and
    one backward pass serve any number of experts. The texts of a step follow from *seed* and the step's number
    alone: every text comes once before any comes again, in an order of its own for each round.
    """

    def __init__(self, model: Checkpoint, texts: Sequence[str], *, seed: int = 0, batch: int = 16, device: str = "cpu"):
        if not texts:
            raise ValueError("no texts: the entropy is that of at least one")
        self._encoded = encode(model, texts)
        self._pad_id = model.pad_id
        self._seed = seed
        self._batch = min(batch, len(texts))
        self._device = device
        self._network = network_of(model, device)

    def __call__(self, weights: Mapping[str, Tensor], step: int) -> tuple[float, dict[str, Tensor]]:
        """Return the mean entropy in nats under *weights*, and its gradient by each that is of floating point.

        *weights* maps names of the network's parameters to tensors of their shapes; a parameter without one keeps
        the model's own value, integers are passed over. Gradients lie on the objective's device in the type of
        their weights, or float32 if that is narrower. ValueError names a weight that the network does not have.
        """
        merged = {name: self._leaf(tensor) for name, tensor in weights.items() if tensor.is_floating_point()}
        if unknown := sorted(merged.keys() - self._network.state_dict().keys()):
            raise ValueError(f"the network has no weight {unknown[0]!r}, nor {len(unknown) - 1} more of those given")
        ids, mask = pad([self._encoded[number] for number in self.texts_of(step)], self._pad_id)
        inputs = {"input_ids": ids.to(self._device), "attention_mask": mask.to(self._device)}
        with one_thread(), torch.enable_grad():
            entropy = _entropy(functional_call(self._network, merged, kwargs=inputs).logits)
            gradients = torch.autograd.grad(entropy, list(merged.values()), materialize_grads=True, allow_unused=True)
        return float(entropy.detach()), dict(zip(merged, gradients, strict=True))

    def texts_of(self, step: int) -> list[int]:
        """Number the texts that *step* (0, 1, …) takes."""
        places = range(step * self._batch, (step + 1) * self._batch)
        rounds = {place // len(self._encoded) for place in places}
        orders = {number: self._order(number) for number in rounds}
        return [orders[place // len(self._encoded)][place % len(self._encoded)] for place in places]

    def _order(self, number: int) -> list[int]:
        order: list[int] = np.random.default_rng([self._seed, number]).permutation(len(self._encoded)).tolist()
        return order

    def _leaf(self, weight: Tensor) -> Tensor:
        kind = torch.promote_types(weight.dtype, torch.float32)
        return weight.detach().to(self._device, kind).requires_grad_()


def _entropy(logits: Tensor) -> Tensor:
    """Return the mean over rows of -sum p log p, where p is the softmax of *logits* [rows, classes]."""
    scores = logits.log_softmax(dim=1)
    return -(scores.exp() * scores).sum(dim=1).mean()
