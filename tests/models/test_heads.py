from __future__ import annotations

import dataclasses

import pytest
import torch

from compute.models import build
from compute.models.checkpoint import Checkpoint
from compute.models.heads import check_same_head
from compute.models.recipes import Finetuning
from compute.models.train import finetune

RECIPE = Finetuning(epochs=2, batch=2, learning_rate=1e-3)


def expert_of(base: Checkpoint, seed: int) -> Checkpoint:
    return finetune(base, ["wake me", "play jazz"], ["alarm", "music"], RECIPE, seed=seed)


def unrecorded(model: Checkpoint) -> Checkpoint:
    """A model as the hub gives it: nobody knows how its head began."""
    return dataclasses.replace(model, head_init=None)


def reseeded(model: Checkpoint) -> Checkpoint:
    """The same body under a head that began elsewhere, its dense layer too."""
    body = {name: tensor for name, tensor in model.tensors.items() if not name.startswith("classifier.")}
    return build.with_head(dataclasses.replace(model, tensors=body), model.labels, seed=99)


def test_experts_of_one_base_pass_recorded_or_not(fresh: Checkpoint) -> None:
    experts = {"en-US": expert_of(fresh, 1), "sq-AL": expert_of(fresh, 2)}

    check_same_head(fresh, experts)
    check_same_head(unrecorded(fresh), {name: unrecorded(model) for name, model in experts.items()})


def test_another_beginning_is_refused_by_its_record(fresh: Checkpoint) -> None:
    experts = {"en-US": expert_of(fresh, 1), "sq-AL": expert_of(reseeded(fresh), 2)}

    with pytest.raises(ValueError, match="'sq-AL' began with another head"):
        check_same_head(fresh, experts)


def test_another_beginning_is_refused_by_its_direction_where_nothing_is_recorded(fresh: Checkpoint) -> None:
    experts = {"en-US": unrecorded(expert_of(fresh, 1)), "sq-AL": unrecorded(expert_of(reseeded(fresh), 2))}

    with pytest.raises(ValueError, match=r"'sq-AL' seems to have begun with another head: the cosine .* 0\.5"):
        check_same_head(fresh, experts)


@pytest.mark.parametrize("headless", ["none", "zeros"])
def test_without_a_head_in_the_base_the_experts_are_compared_with_each_other(headless: str, fresh: Checkpoint) -> None:
    zeros = {name: torch.zeros_like(tensor) for name, tensor in fresh.tensors.items() if "classifier" in name}
    body = {name: tensor for name, tensor in fresh.tensors.items() if "classifier" not in name}
    base = unrecorded(dataclasses.replace(fresh, tensors=body if headless == "none" else {**body, **zeros}))
    alike = {"en-US": unrecorded(expert_of(fresh, 1)), "sq-AL": unrecorded(expert_of(fresh, 2))}

    check_same_head(base, alike)
    with pytest.raises(ValueError, match="'vi-VN'"):
        check_same_head(base, {**alike, "vi-VN": unrecorded(reseeded(fresh))})


def test_another_order_of_classes_is_refused_with_the_first_that_differs(fresh: Checkpoint) -> None:
    swapped = {"id2label": {"0": "music", "1": "alarm", "2": "time"}}
    turned = dataclasses.replace(fresh, config={**fresh.config, **swapped})

    with pytest.raises(ValueError, match="'sq-AL': class 0 is 'music' where the others have 'alarm'"):
        check_same_head(fresh, {"sq-AL": turned})
    with pytest.raises(ValueError, match="'sq-AL': 2 classes where the others have 3"):
        check_same_head(fresh, {"sq-AL": build.with_head(fresh, ["a", "b"], seed=0)})
