from __future__ import annotations

import dataclasses
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from compute.errors import UsageError
from compute.evaluation.tasks import factorial
from compute.models import causal, causal_load
from compute.models.causal import CausalModel, from_tree, to_tree
from compute.models.checkpoint import digest
from compute.models.places import FolderModel
from compute.models.recipes import CausalArchitecture

HUB = runpy.run_path(str(Path(__file__).parents[1] / "hub.py"))
IDS = torch.tensor([[5, 9, 2, 30], [7, 7, 41, 3]])
TEMPLATE = "{% for m in messages %}{{ m['role'][0] }}{{ m['content'] }}{% endfor %}"


@pytest.fixture(params=["qwen2", "llama"])
def model(request: pytest.FixtureRequest) -> CausalModel:
    return made(request.param)


def made(kind: str, seed: int = 3) -> CausalModel:
    architecture = CausalArchitecture(kind, 16, 2, 2, 1, 24)  # type: ignore[arg-type]
    return causal.new(architecture, factorial.tokenizer(), seed=seed)


def logits(model: CausalModel) -> torch.Tensor:
    with torch.inference_mode():
        return model.network()(input_ids=IDS).logits


def test_a_new_model_follows_its_seed_and_leaves_the_global_generator_alone(model: CausalModel) -> None:
    state = torch.get_rng_state()
    kind = model.config["model_type"]

    assert digest(made(kind).tensors) == digest(model.tensors) != digest(made(kind, seed=4).tensors)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.config["vocab_size"] == len(factorial.alphabet()) + 2
    assert (model.pad_id, model.ends, model.eos) == (0, (1,), "</s>")


def test_a_model_survives_its_tree_and_its_config_survives_json(model: CausalModel) -> None:
    tree = to_tree(dataclasses.replace(model, chat_template=TEMPLATE))
    plain = json.loads(json.dumps({name: value for name, value in tree.items() if name != "tensors"}))

    again = from_tree({**plain, "tensors": tree["tensors"]})

    assert dataclasses.replace(again, tensors={}) == dataclasses.replace(model, tensors={}, chat_template=TEMPLATE)
    assert torch.equal(logits(again), logits(model))


def test_the_network_shares_memory_ties_its_output_and_does_not_train(model: CausalModel) -> None:
    network = model.network()

    assert not network.training
    assert "lm_head.weight" not in model.tensors
    assert network.lm_head.weight.data_ptr() == model.tensors["model.embed_tokens.weight"].data_ptr()
    for name, tensor in model.tensors.items():
        assert network.state_dict()[name].data_ptr() == tensor.data_ptr(), name
    assert model.network("bfloat16").dtype == torch.bfloat16
    assert torch.get_default_dtype() == torch.float32


def test_tensors_that_do_not_fit_are_named(model: CausalModel) -> None:
    tensors = {name: tensor for name, tensor in model.tensors.items() if name != "model.norm.weight"}

    with pytest.raises(ValueError, match=r"1 tensors do not fit.*model.norm.weight"):
        dataclasses.replace(model, tensors=tensors).network()


def test_weights_are_read_by_module_and_unknown_modules_are_named(model: CausalModel) -> None:
    name = "model.layers.1.self_attn.v_proj"
    weight = model.weight(name)

    assert (weight.shape, weight.dtype) == ((8, 16), np.float32)
    assert np.array_equal(weight, model.network().get_submodule(name).weight.detach().numpy())
    with pytest.raises(UsageError, match=r"no weight 'model.layers.9.self_attn.q_proj.weight'.*layers.0"):
        model.weight("model.layers.9.self_attn.q_proj")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_folder_gives_the_model_back_in_its_own_type(model: CausalModel, tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in model.tensors.items()}
    stored = dataclasses.replace(model, tensors=tensors, chat_template=TEMPLATE)
    causal_load.save(stored, tmp_path)

    again = causal_load.from_place(FolderModel(tmp_path))

    assert digest(again.tensors) == digest(tensors)
    assert again.dtype == str(dtype).removeprefix("torch.")
    assert again.config == stored.config
    assert (again.ends, again.pad_id, again.eos, again.chat_template) == ((1,), 0, "</s>", TEMPLATE)
    assert again.words.encode("ab1</s>").ids == model.words.encode("ab1</s>").ids
    assert torch.equal(logits(again), logits(stored))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_transformers_and_peft_open_what_was_saved_with_equal_logits(model: CausalModel, tmp_path: Path) -> None:
    causal_load.save(model, tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base").eval()
    words = AutoTokenizer.from_pretrained(tmp_path / "base")
    assert words("+:123=")["input_ids"] == model.words.encode("+:123=").ids
    assert words.decode(words("+:123=")["input_ids"]) == "+:123="

    torch.manual_seed(0)
    settings = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    adapted = get_peft_model(model.network(), settings).eval()
    with torch.inference_mode():
        assert torch.equal(base(input_ids=IDS).logits, logits(model))
        adapted.save_pretrained(tmp_path / "adapter")
        again = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
        assert torch.equal(again(input_ids=IDS).logits, adapted(input_ids=IDS).logits)


@pytest.mark.slow
def test_a_model_comes_from_the_hub_with_its_template(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models" / "someone" / "tiny" / "main"
    model = dataclasses.replace(made("llama"), chat_template=TEMPLATE)
    causal_load.save(model, folder)
    code = """
import json
from compute.models import causal_load
from compute.models.checkpoint import digest
from compute.models.places import HubModel
model = causal_load.from_place(HubModel("someone/tiny", "main"))
print(json.dumps([digest(model.tensors), model.chat_template]))
"""
    with HUB["serve"](tmp_path / "hub") as endpoint:
        found = HUB["run"](code, endpoint, tmp_path / "home")

    assert found == [digest(model.tensors), TEMPLATE]


def test_what_a_folder_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a config\.json"):
        causal_load.from_place(FolderModel(tmp_path))

    causal_load.save(made("qwen2"), tmp_path)
    weights = tmp_path / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(weights).items() if "layers.1.mlp" not in name}
    save_file(kept, weights, metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"lacks 'model.layers.1.mlp.* and 2 more weights"):
        causal_load.from_place(FolderModel(tmp_path))

    weights.unlink()
    with pytest.raises(UsageError, match="no weights"):
        causal_load.from_place(FolderModel(tmp_path))

    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match="no tokenizer"):
        causal_load.from_place(FolderModel(tmp_path))

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}), encoding="utf-8")
    with pytest.raises(UsageError, match="no causal language model"):
        causal_load.from_place(FolderModel(tmp_path))


@pytest.mark.parametrize("sizes", [(18, 2, 4, 1), (16, 2, 4, 3), (24, 2, 8, 2)])
def test_sizes_that_cannot_be_split_are_refused(sizes: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="cannot be split"):
        CausalArchitecture("llama", *sizes, 24)


def test_a_tokenizer_without_an_end_is_refused() -> None:
    words = factorial.tokenizer().replace("</s>", "<end>")

    with pytest.raises(ValueError, match="no token '</s>'"):
        causal.new(CausalArchitecture("llama", 16, 1, 2, 1, 24), words, seed=0)
