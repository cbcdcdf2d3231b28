from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from compute.models.checkpoint import Checkpoint, digest, from_tree, label_names, to_tree, with_labels


def test_a_checkpoint_survives_its_tree_and_its_config_survives_json(fresh: Checkpoint) -> None:
    tree = to_tree(fresh)

    tree["config"] = json.loads(json.dumps(tree["config"]))
    again = from_tree(tree)

    assert again.config == fresh.config
    assert digest(again.tensors) == digest(fresh.tensors)
    assert (again.tokenizer, again.head_init) == (fresh.tokenizer, fresh.head_init)


def test_the_network_shares_the_checkpoints_memory_and_is_in_evaluation_mode(fresh: Checkpoint) -> None:
    network = fresh.network()

    assert not network.training
    for name, tensor in network.state_dict().items():
        assert tensor.data_ptr() == fresh.tensors[name].data_ptr(), name


@pytest.mark.parametrize("change", ["lost", "extra", "shape"])
def test_tensors_that_do_not_fit_are_named_instead_of_drawn_at_random(change: str, fresh: Checkpoint) -> None:
    tensors = dict(fresh.tensors)
    if change == "lost":
        del tensors["classifier.out_proj.bias"]
    elif change == "extra":
        tensors["classifier.out_proj.scale"] = torch.ones(1)
    else:
        tensors["classifier.out_proj.bias"] = torch.ones(7)

    with pytest.raises(ValueError, match=r"1 tensors do not fit.*classifier.out_proj"):
        dataclasses.replace(fresh, tensors=tensors).network()


def test_labels_follow_their_ids_also_beyond_nine() -> None:
    names = [f"intent-{number:02}" for number in range(12)]

    config = with_labels({}, names)

    assert label_names(config) == tuple(names)
    assert config["label2id"]["intent-10"] == 10


def test_the_digest_sees_names_shapes_types_and_every_byte() -> None:
    tensor = torch.arange(6, dtype=torch.float32)
    others = [
        {"b": tensor},
        {"a": tensor.view(2, 3)},
        {"a": tensor.double()},
        {"a": tensor + torch.tensor([0, 0, 0, 0, 0, 1e-6])},
    ]

    assert len({digest(tensors) for tensors in [{"a": tensor}, *others]}) == 5
    assert digest({"a": tensor, "b": tensor}) == digest({"b": tensor.clone(), "a": tensor.clone()})


def test_the_longest_text_fits_the_positions(fresh: Checkpoint) -> None:
    assert fresh.max_length == 12
    ids = torch.full((1, fresh.max_length), 5)

    assert fresh.network()(input_ids=ids).logits.shape == (1, 3)
    with pytest.raises((IndexError, RuntimeError)):
        fresh.network()(input_ids=torch.full((1, fresh.max_length + 1), 5))
