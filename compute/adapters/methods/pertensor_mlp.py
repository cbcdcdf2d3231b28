"""Translation by a small network between principal components, for each tensor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from compute.adapters.components import components
from compute.adapters.method import translation_method
from compute.errors import UsageError

if TYPE_CHECKING:
    from compute.adapters.problem import Floats, Problem

DECAY_OF_MEAN, DECAY_OF_SQUARE, TINY = 0.9, 0.999, 1e-8
"""AdamW's own numbers: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101."""


@translation_method(
    title="MLP, each tensor by itself",
    source="the document, which does not say how its MLP is made",
    role="translation",
)
def pertensor_mlp(
    problem: Problem,
    *,
    rank: int = 16,
    width: int = 64,
    steps: int = 300,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    noise: float = 0.1,
) -> Floats:
    """Predict the leading components of Y's tensor from those of X's tensor by a network of one hidden layer.

    The document does not give the hyper-parameters of its MLP: this is a definition, not a reconstruction. Of k =
    min(n − 1, *rank*) principal components on either side, a network k → *width* → k with GELU reads the scores of X,
    each of unit variance over the anchors, and gives the scores of Y, all divided by the size σ₁ of the first. The
    mean squared error over the anchors is minimised by *steps* full-batch steps of AdamW, with Gaussian *noise* added
    to what is read, drawn anew in each step. With ẑ the scores that are given for the adapter to be translated and v_j
    Y's components, ŷ = ȳ + Σ_j ẑ_j v_j. The networks of all tensors are trained side by side and know nothing of
    each other; the problem's seed draws their starts and the noise. Raises UsageError without a hidden unit.
    """
    if width < 1:
        raise UsageError(f"width of pertensor_mlp, its number of hidden units, must be at least 1, not {width}")
    import torch

    from compute.models.probing import one_thread

    ours, theirs = components(problem.x, rank), components(problem.y, rank)
    unit = ours.inverse_sizes * math.sqrt(len(problem))
    read = (ours.scores * unit[:, None])[problem.match]
    asked = (ours.scores_of(problem.query) * unit)[problem.match]
    first = np.where(theirs.sizes[:, :1] > 0, theirs.sizes[:, :1], 1.0)
    with one_thread():
        x, y, query = (
            torch.as_tensor(part, dtype=torch.float32)
            for part in (read, theirs.scores / first[:, None], asked[:, None])
        )
        rng = torch.Generator().manual_seed(problem.seed)
        network = _start(len(x), x.shape[2], width, y.shape[2], rng)
        _train(network, x, y, rng, steps=steps, rate=learning_rate, decay=weight_decay, noise=noise)
        found = _outputs(network, query)[:, 0].detach().numpy()
    return theirs.weights(found.astype(np.float64) * first)


def _start(groups: int, inputs: int, width: int, outputs: int, rng: Any) -> list[Any]:
    """Draw weights and biases of both layers, uniform within ±1/√inputs, as torch.nn.Linear does."""
    import torch

    shapes = ((inputs, width), (1, width), (width, outputs), (1, outputs))
    drawn = [
        (2 * torch.rand((groups, *shape), generator=rng) - 1) / math.sqrt(fan)
        for shape, fan in zip(shapes, (inputs, inputs, width, width), strict=True)
    ]
    return [each.requires_grad_() for each in drawn]


def _outputs(network: list[Any], x: Any) -> Any:
    """Run every group's network on its own rows, [g, rows, k] to [g, rows, k]."""
    import torch

    inner, inner_bias, outer, outer_bias = network
    hidden = torch.nn.functional.gelu(torch.baddbmm(inner_bias, x, inner))
    return torch.baddbmm(outer_bias, hidden, outer)


def _train(
    network: list[Any], x: Any, y: Any, rng: Any, *, steps: int, rate: float, decay: float, noise: float
) -> None:
    """Train all networks at once, in place. AdamW by hand: torch's own takes longer to import than this to run."""
    import torch

    means, squares = ([torch.zeros_like(each) for each in network] for _ in range(2))
    for step in range(1, steps + 1):
        noisy = x + noise * torch.randn(x.shape, generator=rng)
        # A sum over groups of means within each: no network feels another's error.
        loss = (_outputs(network, noisy) - y).square().mean(dim=(1, 2)).sum()
        slopes = torch.autograd.grad(loss, network)
        size = rate * math.sqrt(1 - DECAY_OF_SQUARE**step) / (1 - DECAY_OF_MEAN**step)
        tiny = TINY * math.sqrt(1 - DECAY_OF_SQUARE**step)
        with torch.no_grad():
            for each, slope, mean, square in zip(network, slopes, means, squares, strict=True):
                mean.lerp_(slope, 1 - DECAY_OF_MEAN)
                square.mul_(DECAY_OF_SQUARE).addcmul_(slope, slope, value=1 - DECAY_OF_SQUARE)
                each.mul_(1 - rate * decay).addcdiv_(mean, square.sqrt().add_(tiny), value=-size)
