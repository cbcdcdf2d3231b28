"""The last layer of a classifier in closed form, from what its body makes of labelled texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from compute.models.batches import batches, class_ids
from compute.models.checkpoint import HEAD, Checkpoint
from compute.models.probing import logits_of, network_of, one_thread, watched

LAST = f"{HEAD}out_proj"
"""The layer of a RoBERTa head whose rows are classes."""


def ridge_head(
    model: Checkpoint,
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    ridge: float = 0.1,
    batch: int = 64,
    device: str = "cpu",
) -> dict[str, Tensor]:
    """Fit the last layer to *labels* of *texts*, the model's body as it is: weight [classes, hidden], bias [classes].

    Ridge regression (Hoerl & Kennard 1970, https://doi.org/10.1080/00401706.1970.10488634) of targets +1 for the
    text's class and -1 for all others on the `features`, in float64. The penalty on the weights is *ridge* times
    the mean square of a feature around its mean, summed over texts: scaling the features or repeating the texts
    changes nothing. The bias is not penalised, so the mean score of a class over the texts is the mean of its
    targets. The largest score names the class; scores are no calibrated logits. A class without texts scores -1.

    Returns both tensors under their names and in the types they have in *model*, on the CPU. ValueError for labels
    that the model lacks or that are not one a text, for a *ridge* that is not positive, and for another head.
    """
    if len(labels) != len(texts):
        raise ValueError(f"{len(labels)} labels for {len(texts)} texts: expected one label a text")
    if ridge <= 0:
        raise ValueError(f"ridge is a share of the features' variance above 0, not {ridge}")
    wanted = class_ids(model, labels)
    with one_thread():
        known = features(model, texts, batch=batch, device=device).double()
        targets = 2.0 * nn.functional.one_hot(wanted, len(model.labels)).double() - 1.0
        weight, bias = _ridge(known, targets, ridge)
    fitted = {f"{LAST}.weight": weight, f"{LAST}.bias": bias}
    return {name: tensor.to(model.tensors[name].dtype) for name, tensor in fitted.items()}


def features(model: Checkpoint, texts: Sequence[str], *, batch: int = 64, device: str = "cpu") -> Tensor:
    """Return what the head's last layer gets of each text, tanh of the dense layer: float [texts, hidden], on the CPU.

    Raises ValueError when there is no text, or when the head is not RoBERTa's.
    """
    seen: list[Tensor] = []
    with one_thread(), torch.no_grad():
        network = network_of(model, device)
        parts = list(batches(model, texts, batch, device=device))
        with watched([_last_layer(network)], lambda _module, inputs, _output: seen.append(inputs[0].cpu())):
            for part in parts:
                logits_of(network, part.ids, part.mask)
    found = torch.cat(seen)
    numbers = torch.tensor([number for part in parts for number in part.numbers])
    return torch.empty_like(found).index_copy_(0, numbers, found)


def _last_layer(network: nn.Module) -> nn.Module:
    layer = dict(network.named_modules()).get(LAST)
    if not isinstance(layer, nn.Linear):
        raise ValueError(f"a {type(network).__name__} has no layer {LAST}: a head in closed form needs RoBERTa's head")
    return layer


def _ridge(known: Tensor, targets: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Return the weight [classes, hidden] and bias [classes] of least squared error and penalty; all float64."""
    center, level = known.mean(dim=0), targets.mean(dim=0)
    centred = known - center
    gram = centred.T @ centred
    penalty = ridge * gram.trace() / len(gram)
    weight = torch.linalg.solve(
        gram + penalty * torch.eye(len(gram), dtype=gram.dtype), centred.T @ (targets - level)
    ).T
    return weight, level - weight @ center
