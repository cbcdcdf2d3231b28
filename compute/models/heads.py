"""Guards merges of classifiers: heads may be averaged only if they began alike. Knows no merge method."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import cosine_similarity

from compute.models.checkpoint import HEAD, Checkpoint

DENSE = f"{HEAD}dense.weight"
"""The layer of a head whose direction tells one beginning from another."""

ALIKE = 0.5
"""Cosine that dense layers of one beginning keep far above, and independent ones (near 0) never reach."""


def check_same_head(base: Checkpoint, experts: Mapping[str, Checkpoint]) -> None:
    """Raise ValueError, naming the expert, unless all heads stem from one initialisation.

    Rows of a head trained from another beginning are another basis: their mean means nothing. Where nobody
    recorded the beginning, the order of the classes and the directions of the dense layers must agree. A base
    without a head, or with one of zeros, says nothing of a beginning: then the first expert is the measure.
    """
    reference = base if _has_head(base) else next(iter(experts.values()), base)
    for name, expert in experts.items():
        if expert.labels != reference.labels:
            raise ValueError(f"expert {name!r}: {_first_difference(reference.labels, expert.labels)}")
        if expert.head_init is not None and reference.head_init is not None:
            _check_recorded(name, expert.head_init, reference.head_init)
        else:
            _check_direction(name, expert, reference)


def _check_recorded(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise ValueError(
            f"expert {name!r} began with another head ({found[:12]}) than the others ({expected[:12]}):"
            f" fine-tune all experts from one base with one head"
        )


def _check_direction(name: str, expert: Checkpoint, reference: Checkpoint) -> None:
    cosine = float(cosine_similarity(_dense(expert), _dense(reference), dim=0))
    if cosine < ALIKE:
        raise ValueError(
            f"expert {name!r} seems to have begun with another head: the cosine of its {DENSE} with the"
            f" others' is {cosine:.2f}, expected {ALIKE} or more; fine-tune all experts from one base"
        )


def _dense(model: Checkpoint) -> Tensor:
    return model.tensors[DENSE].float().flatten()


def _has_head(model: Checkpoint) -> bool:
    return DENSE in model.tensors and bool(model.tensors[DENSE].any())


def _first_difference(expected: tuple[str, ...], found: tuple[str, ...]) -> str:
    if len(expected) != len(found):
        return f"{len(found)} classes where the others have {len(expected)}"
    number = next(index for index, pair in enumerate(zip(expected, found, strict=True)) if len(set(pair)) > 1)
    return f"class {number} is {found[number]!r} where the others have {expected[number]!r}; sort the labels"
