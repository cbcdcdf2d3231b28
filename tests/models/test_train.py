from __future__ import annotations

import pytest
import torch

from compute.models import build
from compute.models.checkpoint import Checkpoint, digest, head_of
from compute.models.recipes import Architecture, Finetuning, Pretraining
from compute.models.train import finetune, pretrain

TEXTS = [
    "wake me at five",
    "play some jazz",
    "what time is it",
    "më zgjo në pesë",
    "luaj pak xhaz",
    "sa është ora",
]
INTENTS = ["alarm", "music", "time"] * 2
LOCALES = ["en-US"] * 3 + ["sq-AL"] * 3
RECIPE = Finetuning(epochs=2, batch=4, learning_rate=1e-3, word_dropout=0.1)


def test_the_same_seed_trains_to_the_same_bytes_whatever_the_state_of_the_random_generator(
    fresh: Checkpoint,
) -> None:
    torch.manual_seed(1)
    first = finetune(fresh, TEXTS, INTENTS, RECIPE, seed=5)
    torch.rand(3)
    second = finetune(fresh, TEXTS, INTENTS, RECIPE, seed=5)
    other = finetune(fresh, TEXTS, INTENTS, RECIPE, seed=6)

    assert digest(first.tensors) == digest(second.tensors)
    assert digest(first.tensors) != digest(other.tensors)


def test_training_leaves_its_base_and_the_global_random_generator_alone(fresh: Checkpoint) -> None:
    before, state = digest(fresh.tensors), torch.get_rng_state()

    finetune(fresh, TEXTS, INTENTS, RECIPE, seed=5)

    assert digest(fresh.tensors) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_an_expert_learns_its_texts_and_keeps_the_record_of_its_first_head(fresh: Checkpoint) -> None:
    expert = finetune(fresh, TEXTS, INTENTS, Finetuning(epochs=100, batch=6, learning_rate=2e-3), seed=0)

    ids, mask = _tokens(expert)
    predicted = expert.network()(input_ids=ids, attention_mask=mask).logits.argmax(1)

    assert [expert.labels[index] for index in predicted.tolist()] == INTENTS
    assert expert.head_init == fresh.head_init


def test_embeddings_of_tokens_that_do_not_occur_do_not_move(fresh: Checkpoint) -> None:
    expert = finetune(fresh, TEXTS[:3], INTENTS[:3], Finetuning(epochs=3, batch=3, learning_rate=1e-2), seed=0)

    name = "roberta.embeddings.word_embeddings.weight"
    moved = (expert.tensors[name] != fresh.tensors[name]).any(dim=1)
    used = torch.zeros_like(moved)
    used[_tokens(fresh)[0][:3].unique()] = True

    assert moved.any()
    assert not (moved & ~used).any()


def test_a_locale_with_amount_zero_is_never_seen(fresh: Checkpoint) -> None:
    recipe = Pretraining(steps=3, batch=4, learning_rate=1e-3, amounts={"sq-AL": 0.0})

    both = pretrain(fresh, TEXTS, INTENTS, LOCALES, recipe, seed=1)
    nonsense = [*TEXTS[:3], "luaj", "luaj", "luaj"]
    same = pretrain(fresh, nonsense, INTENTS, LOCALES, recipe, seed=1)

    assert digest(both.tensors) == digest(same.tensors)


def test_an_unknown_class_is_named_with_those_that_exist(fresh: Checkpoint) -> None:
    with pytest.raises(ValueError, match="no class 'weather': it has alarm, music, time"):
        finetune(fresh, ["rain?"], ["weather"], RECIPE, seed=0)


def test_a_fresh_head_keeps_the_body_and_the_dense_layer_and_records_its_beginning(fresh: Checkpoint) -> None:
    renewed = build.with_head(fresh, ["off", "on"], seed=9)

    assert renewed.labels == ("off", "on")
    assert renewed.head_init == digest(head_of(renewed.tensors)) != fresh.head_init
    changed = [n for n, tensor in fresh.tensors.items() if not torch.equal(tensor, renewed.tensors[n])]
    assert changed == ["classifier.out_proj.weight", "classifier.out_proj.bias"]
    assert renewed.network()(input_ids=torch.tensor([[0, 7, 2]])).logits.shape == (1, 2)
    assert build.with_head(fresh, ["on", "off"], seed=9).head_init == renewed.head_init
    assert build.with_head(fresh, ["on", "off"], seed=8).head_init != renewed.head_init


def test_a_new_base_follows_its_seed_its_sizes_and_the_order_of_its_labels(words: str) -> None:
    architecture = Architecture(hidden=16, layers=1, heads=2, vocabulary=80, max_length=12)

    one = build.new_base(architecture, words, ["b", "a"], seed=1)
    same = build.new_base(architecture, words, ["a", "b", "a"], seed=1)
    other = build.new_base(architecture, words, ["a", "b"], seed=2)

    assert one.labels == ("a", "b")
    assert digest(one.tensors) == digest(same.tensors) != digest(other.tensors)
    assert one.config["num_hidden_layers"] == 1


def _tokens(model: Checkpoint) -> tuple[torch.Tensor, torch.Tensor]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(model.tokenizer)
    tokenizer.enable_padding(pad_id=model.pad_id)
    encoded = tokenizer.encode_batch(TEXTS)
    return torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded])
