from __future__ import annotations

import json
import os
import runpy
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from compute.adapters import peft_config, peft_folder
from compute.adapters.adapter import Adapter, Factors
from compute.adapters.peft_config import described
from compute.adapters.places import FolderAdapter, HubAdapter, place
from compute.engine import files
from compute.errors import UsageError

HUB = runpy.run_path(str(Path(__file__).parents[1] / "hub.py"))
LAYERS = 3
TOKENS = torch.tensor([[1, 5, 9, 3], [7, 7, 2, 8]])

pytestmark = pytest.mark.filterwarnings(
    "ignore:Could not find a config file in:UserWarning",
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",
    "ignore:fan_in_fan_out is set to False but the target module is `Conv1D`:UserWarning",
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def llama(seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    size: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "vocab_size": 40, "num_hidden_layers": LAYERS}
    return LlamaForCausalLM(LlamaConfig(**size, num_attention_heads=4, num_key_value_heads=2)).eval()


def gpt2(seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=LAYERS, n_head=4, vocab_size=40, n_positions=16)).eval()


def tuned(base: PreTrainedModel, **config: Any) -> PeftModel:
    """Put a LoRA on *base* whose A and B are both random."""
    torch.manual_seed(1)
    chosen = {"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "init_lora_weights": False, **config}
    return get_peft_model(base, LoraConfig(**chosen))


def saved(folder: Path, dtype: torch.dtype = torch.float32, model: Any = llama, **config: Any) -> PeftModel:
    network = tuned(model(), **config).to(dtype)
    network.save_pretrained(folder)
    return network


def deltas(network: PeftModel) -> dict[str, torch.Tensor]:
    """Compute ΔW [out, in] of each module as PEFT does."""
    found = {}
    for name, module in network.get_base_model().named_modules():
        if hasattr(module, "get_delta_weight"):
            delta = module.get_delta_weight("default").detach().float()
            found[name] = delta.T if module.fan_in_fan_out else delta
    return found


def check_deltas(adapter: Adapter, expected: dict[str, torch.Tensor], tolerance: float = 1e-6) -> None:
    assert sorted(adapter.modules) == sorted(expected)
    for name, factors in adapter.modules.items():
        assert factors.a.dtype == factors.b.dtype == np.float32
        assert np.abs(factors.delta() - expected[name].numpy()).max() <= tolerance


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "adapter"
    torch.set_num_threads(1)
    saved(folder, r=4, lora_alpha=6)
    return folder


@pytest.fixture
def copied(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "copy"))


@pytest.mark.parametrize(
    "config",
    [
        {"r": 4, "lora_alpha": 6},
        {"r": 4, "lora_alpha": 6, "use_rslora": True},
        {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"},
        {"r": 8, "target_modules": r".*\.layers\.[01]\.(self_attn|mlp)\.(q|up)_proj"},
        {"r": 2, "rank_pattern": {"v_proj": 4, r"layers\.2\.self_attn\.q_proj": 3}, "lora_alpha": 5},
        {"r": 2, "rank_pattern": {"^model.layers.0.self_attn.q_proj": 3, "q_proj": 4}, "alpha_pattern": {"q_proj": 9}},
        {"r": 2, "alpha_pattern": {"model.layers.1.self_attn.v_proj": 11, "v_proj": 7}, "use_rslora": True},
        {"r": 4, "layers_to_transform": [0, 2]},
        {"r": 4, "layers_to_transform": 1, "layers_pattern": "layers", "exclude_modules": ["v_proj"]},
        {"r": 4, "init_lora_weights": "orthogonal"},
    ],
    ids=lambda config: ",".join(key for key in config if key != "lora_alpha"),
)
def test_what_peft_saved_is_read_with_the_same_deltas(config: dict[str, Any], tmp_path: Path) -> None:
    network = saved(tmp_path / "adapter", **config)
    check_deltas(peft_folder.read(tmp_path / "adapter"), deltas(network))
    assert peft_folder.audit(tmp_path / "adapter") == ""


def test_of_patterns_that_overlap_the_one_counts_that_counts_when_peft_loads(tmp_path: Path) -> None:
    """PEFT writes patterns sorted, so that another one may be the first to match than in training."""
    folder = tmp_path / "adapter"
    trained = saved(folder, r=4, alpha_pattern={"q_proj": 2, "layers.0.self_attn.q_proj": 64})
    loaded = PeftModel.from_pretrained(llama(), folder)
    first = "model.layers.0.self_attn.q_proj"
    assert not torch.allclose(deltas(trained)[first], deltas(loaded)[first])
    check_deltas(peft_folder.read(folder), deltas(loaded))


def test_an_adapter_of_transposed_weights_means_the_same(tmp_path: Path) -> None:
    network = saved(tmp_path / "adapter", model=gpt2, target_modules=["c_attn"], fan_in_fan_out=True, r=4)
    check_deltas(peft_folder.read(tmp_path / "adapter"), deltas(network))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_becomes_float32_exactly(dtype: torch.dtype, tmp_path: Path) -> None:
    saved(tmp_path / "adapter", dtype, r=4)
    stored = load_file(tmp_path / "adapter" / peft_folder.SINGLE)
    assert {tensor.dtype for tensor in stored.values()} == {dtype}
    for name, factors in peft_folder.read(tmp_path / "adapter").modules.items():
        assert np.array_equal(factors.a, stored[f"base_model.model.{name}.lora_A.weight"].float().numpy())
        assert np.array_equal(factors.b, stored[f"base_model.model.{name}.lora_B.weight"].float().numpy())


def renamed(folder: Path) -> None:
    """Name the adapter in every tensor, as in memory."""
    file = folder / peft_folder.SINGLE
    save_file({name.replace(".weight", ".other.weight"): each for name, each in load_file(file).items()}, file)


def sharded(folder: Path) -> None:
    tensors = load_file(folder / peft_folder.SINGLE)
    names = sorted(tensors)
    places = {name: f"adapter_model-0000{1 + (at > 4)}-of-00002.safetensors" for at, name in enumerate(names)}
    for shard in set(places.values()):
        save_file({name: tensors[name] for name in names if places[name] == shard}, folder / shard)
    (folder / peft_folder.INDEX).write_text(json.dumps({"weight_map": places}))
    (folder / peft_folder.SINGLE).unlink()


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / peft_folder.SINGLE), folder / peft_folder.PICKLE)
    (folder / peft_folder.SINGLE).unlink()


@pytest.mark.parametrize("kept", [renamed, sharded, pickled])
def test_however_it_is_kept_it_is_the_same_adapter(kept: Callable[[Path], None], plain: Path, copied: Path) -> None:
    kept(copied)
    again, first = peft_folder.read(copied), peft_folder.read(plain)
    assert list(again.modules) == list(first.modules)
    for name, factors in first.modules.items():
        assert np.array_equal(again.modules[name].a, factors.a)
        assert np.array_equal(again.modules[name].b, factors.b)
        assert again.modules[name].scale == factors.scale == 1.5


def test_modules_come_in_the_order_of_layers(tmp_path: Path) -> None:
    names = [f"model.layers.{layer}.{kind}" for layer in (0, 2, 10) for kind in ("mlp.up_proj", "self_attn.q_proj")]
    adapter = some_adapter(names)
    peft_folder.write(adapter, tmp_path / "adapter", base_model="base")
    assert list(peft_folder.read(tmp_path / "adapter").modules) == names


def some_adapter(names: list[str], rank: int = 2, scale: float = 2.0, width: int = 32) -> Adapter:
    random = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    return Adapter({name: Factors(draw(rank, width), draw(width, rank), scale) for name in names})


@pytest.mark.parametrize(
    ("ranks", "scales"),
    [
        ((2, 2), (2.0, 2.0)),
        ((2, 3), (2.0, 2.0)),
        ((2, 2), (0.3, 2.0)),
        ((4, 3), (1 / 3, 0.7)),
        ((3, 3), (5 / 3, 5 / 3)),
    ],
)
def test_peft_opens_what_was_written_with_the_logits_of_base_plus_delta(
    ranks: tuple[int, int], scales: tuple[float, float], tmp_path: Path
) -> None:
    adapter = Adapter(
        {
            name: factors
            for rank, scale, kind in zip(ranks, scales, ("mlp.gate_proj", "self_attn.q_proj"), strict=True)
            for name, factors in some_adapter(
                [f"model.layers.{layer}.{kind}" for layer in range(LAYERS)], rank, scale
            ).modules.items()
        }
    )
    for name in list(adapter.modules):
        if "gate" in name:
            wide = np.random.default_rng(1).normal(size=(48, adapter.modules[name].rank)).astype(np.float32)
            adapter.modules[name] = Factors(adapter.modules[name].a, wide, adapter.modules[name].scale)  # type: ignore[index]

    peft_folder.write(adapter, tmp_path / "adapter", base_model="lab/base")
    network = PeftModel.from_pretrained(llama(), tmp_path / "adapter")

    by_hand = llama()
    with torch.no_grad():
        for name, factors in adapter.modules.items():
            by_hand.get_submodule(name).weight += torch.from_numpy(factors.delta())
        assert (network(TOKENS).logits - by_hand(TOKENS).logits).abs().max() <= 1e-5
        assert not torch.allclose(network(TOKENS).logits, llama()(TOKENS).logits, atol=1e-3)
    said = json.loads((tmp_path / "adapter" / peft_config.CONFIG).read_text())
    assert bool(said["rank_pattern"]) == (len(set(ranks)) > 1)
    assert bool(said["alpha_pattern"]) == (len({r * s for r, s in zip(ranks, scales, strict=True)}) > 1)
    assert (said["base_model_name_or_path"], said["task_type"]) == ("lab/base", "CAUSAL_LM")


def test_reading_and_writing_again_gives_the_same_bytes(plain: Path, tmp_path: Path) -> None:
    for name, source in (("first", plain), ("second", tmp_path / "first")):
        peft_folder.write(peft_folder.read(source), tmp_path / name, base_model="base")
    first, second = (files.digests(tmp_path / name) for name in ("first", "second"))
    assert first == second
    check_deltas(peft_folder.read(tmp_path / "second"), deltas(PeftModel.from_pretrained(llama(), plain)))


@given(rank=st.integers(1, 64), alpha=st.one_of(st.integers(1, 256), st.floats(1e-3, 1e3)), stabilised=st.booleans())
def test_a_scale_survives_being_written(rank: int, alpha: float, stabilised: bool) -> None:
    scale = alpha / (rank**0.5 if stabilised else rank)
    factors = Factors(np.ones((rank, 2), np.float32), np.ones((2, rank), np.float32), scale)
    said = peft_folder._config(Adapter({"model.layers.0.q": factors}), "")
    assert said["lora_alpha"] / said["r"] == pytest.approx(scale, rel=1e-12)
    assert stabilised or isinstance(alpha, float) or said["lora_alpha"] == alpha


def set_to(folder: Path, **fields: object) -> None:
    path = folder / peft_config.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA', and only LORA can be translated"),
        ({"peft_type": None}, "peft_type is None"),
        ({"use_dora": True}, "use_dora is True: DoRA also learns magnitudes"),
        ({"bias": "lora_only"}, "bias is 'lora_only': .* train it with bias=\"none\""),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is .'lm_head'.: whole modules were trained"),
        ({"lora_bias": True}, "lora_bias is True: B then has a bias"),
        ({"layer_replication": [[0, 4], [2, 5]]}, "layer_replication .*: layers of the base are repeated"),
        ({"trainable_token_indices": [1, 2]}, "trainable_token_indices .*: rows of the embeddings"),
        ({"target_parameters": ["mlp.experts.gate_up_proj"]}, "target_parameters .*: bare parameters"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens .*: the adapter acts only after"),
        ({"kasa_config": {"beta": 1}}, "kasa_config .*: KaSA takes singular values"),
        ({"use_foo": True}, "use_foo is True, a variant of LoRA that is not known"),
        ({"foo_config": {"beta": 1}}, "foo_config is .*, a variant of LoRA that is not known"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa', which moves .*path_initial_model"),
        ({"init_lora_weights": "pissa_niter_16"}, "init_lora_weights is 'pissa_niter_16', which moves"),
        ({"init_lora_weights": "olora"}, "init_lora_weights is 'olora', which moves"),
        ({"init_lora_weights": "corda"}, "init_lora_weights is 'corda', which moves"),
        ({"init_lora_weights": "loftq"}, "init_lora_weights is 'loftq', which puts quantised weights"),
        ({"init_lora_weights": "lora_ga"}, "init_lora_weights is 'lora_ga', which takes"),
        ({"init_lora_weights": "newest"}, "init_lora_weights is 'newest', which is not known here"),
        ({"r": 5}, r"A \[4, 32\] and B \[32, 4\] of model.layers.0.self_attn.q_proj do not have the rank 5"),
        ({"r": True}, "r must be a whole number of at least 1, not True"),
        ({"r": 0}, "r must be a whole number of at least 1, not 0"),
        ({"r": 10**400}, "r must be a whole number"),
        ({"lora_alpha": "16"}, "lora_alpha must be a finite number, not '16'"),
        ({"lora_alpha": float("nan")}, "lora_alpha must be a finite number"),
        ({"rank_pattern": {"q_proj": "4"}}, "rank_pattern of 'q_proj' must be a whole number"),
        ({"rank_pattern": ["q_proj"]}, "rank_pattern must map patterns to numbers"),
        ({"alpha_pattern": {"(q": 4}}, r"alpha_pattern .* is no regular expression"),
        ({"alpha_pattern": {"(a+)+b": 4}}, "alpha_pattern .* repeats so much that it may never end"),
        ({"rank_pattern": {".*.*.*.*.*.*.*b": 4}}, "rank_pattern .* repeats so much"),
        ({"target_modules": ["k_proj"]}, "leave out model.layers.0.self_attn.q_proj, of which the weights hold"),
        ({"target_modules": ["proj"]}, "leave out model.layers.0.self_attn.q_proj"),
        ({"target_modules": {"q_proj": 1}}, "target_modules must be names"),
        ({"exclude_modules": ["v_proj"]}, "leave out model.layers.0.self_attn.v_proj"),
        ({"layers_to_transform": [0, 1]}, "leave out model.layers.2.self_attn.q_proj"),
        ({"layers_to_transform": [0, 1, 2, 3]}, "layers_to_transform names layer 3, of which the weights hold nothing"),
        ({"layers_to_transform": ["0"]}, "layers_to_transform must be numbers of layers"),
    ],
)  # fmt: skip
def test_what_is_no_plain_lora_is_refused_with_a_reason(fields: dict[str, object], reason: str, copied: Path) -> None:
    set_to(copied, **fields)
    with pytest.raises(UsageError, match=reason) as refused:
        peft_folder.read(copied)
    assert str(copied / "adapter_") in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert peft_folder.audit(copied) == str(refused.value)


@pytest.mark.parametrize(
    "fields",
    [
        *({"init_lora_weights": start} for start in (True, False, "gaussian", "eva", "mica", None)),
        {"velora_config": {"num_groups": 2}},
        {"qalora_group_size": 16},
        {"loftq_config": {}},
        {"exclude_modules": None},
    ],
)
def test_what_does_not_change_the_meaning_is_accepted(fields: dict[str, object], copied: Path) -> None:
    set_to(copied, **fields)
    assert peft_folder.audit(copied) == ""


Q = "base_model.model.model.layers.0.self_attn.q_proj"
EMBEDDING = "base_model.model.model.embed_tokens"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({f"{Q}.lora_B.weight": None}, "holds A of model.layers.0.self_attn.q_proj and not B"),
        ({f"{Q}.lora_A.weight": None}, "holds B of model.layers.0.self_attn.q_proj and not A"),
        ({f"{Q}.lora_magnitude_vector": torch.ones(32)}, "is a magnitude of DoRA"),
        ({f"{Q}.lora_B.bias": torch.ones(32)}, "is a bias"),
        ({f"{EMBEDDING}.lora_embedding_A": torch.ones(4, 40)}, "is the LoRA of an embedding"),
        ({f"{EMBEDDING}.weight": torch.ones(40, 32)}, "is an embedding that was saved as a whole"),
        ({"base_model.model.lm_head.weight": torch.ones(40, 32)}, "is an output layer that was saved"),
        ({"base_model.model.lm_head.lora_A.weight": torch.ones(4, 32),
          "base_model.model.lm_head.lora_B.weight": torch.ones(40, 4)}, "lm_head stands in no layer"),
        ({"strange": torch.ones(2)}, "'strange' is no A or B of a LoRA"),
        ({f"base_model.model.{'x' * 9000}.weight": torch.ones(2)}, "x…' is no A or B of a LoRA"),
        ({f"{Q}.lora_A.weight": torch.full((4, 32), torch.nan)}, "holds NaN or infinite"),
        ({f"{Q}.lora_B.weight": torch.full((32, 4), 1e300, dtype=torch.float64)}, "holds NaN or infinite"),
        ({f"{Q}.lora_A.weight": torch.ones(4, 32, dtype=torch.int8)}, "holds int8, and factors are fractions"),
        ({f"{Q}.lora_A.weight": torch.ones(4, 32, 3, 3)}, "are no matrices"),
        ({f"{Q}.lora_A.weight": torch.ones(4, 0)}, "do not have the rank 4"),
        ({f"{Q}.lora_B.weight": torch.ones(32, 3)}, "do not have the rank 4"),
        ({f"{Q}.lora_A.other.weight": torch.ones(4, 32)}, "holds several adapters"),
        ({"base_model.model.vision.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(4, 32),
          "base_model.model.vision.layers.0.self_attn.q_proj.lora_B.weight": torch.ones(32, 4)}, "several towers"),
    ],
)  # fmt: skip
def test_weights_that_are_no_plain_lora_are_refused(
    changes: dict[str, torch.Tensor | None], reason: str, copied: Path
) -> None:
    tensors = {**load_file(copied / peft_folder.SINGLE), **changes}
    save_file({name: each for name, each in tensors.items() if each is not None}, copied / peft_folder.SINGLE)
    with pytest.raises(UsageError, match=reason) as refused:
        peft_folder.read(copied)
    assert str(copied) in str(refused.value)
    assert len(str(refused.value)) < 800


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"peft_type": "LORA", "peft_type"}', "[" * 100_000, '{"a": ' * 100_000,
     '{"r": 1' + "0" * 9999, "\0\xff", " " * 5_000_000],
    ids=range(10),
)  # fmt: skip
def test_a_damaged_config_is_refused(text: str, copied: Path) -> None:
    (copied / peft_config.CONFIG).write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=r"adapter_config\.json"):
        peft_folder.read(copied)


def test_a_config_of_deep_values_is_refused_in_a_line(copied: Path) -> None:
    set_to(copied, modules_to_save=json.loads("[" * 500 + "]" * 500))
    with pytest.raises(UsageError, match="modules_to_save") as refused:
        peft_folder.read(copied)
    assert len(str(refused.value)) < 500


def a_loop(path: Path) -> None:
    path.symlink_to(path)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("made", [a_loop, a_pipe, Path.mkdir, partial(Path.symlink_to, target="/dev/zero")])
@pytest.mark.parametrize("name", [peft_config.CONFIG, peft_folder.SINGLE])
def test_what_is_no_file_is_no_adapter(made: Callable[[Path], None], name: str, copied: Path) -> None:
    (copied / name).unlink()
    made(copied / name)
    with pytest.raises(UsageError, match=r"expected .*adapter_"):
        peft_folder.read(copied)
    with pytest.raises(UsageError, match=r"expected .*adapter_"):
        FolderAdapter(copied).identity(files.digest)


def test_a_folder_that_is_a_loop_or_a_file_or_nowhere_is_no_adapter(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    for name in ("loop", "file", "nowhere"):
        with pytest.raises(UsageError, match="no adapter in"):
            peft_folder.read(tmp_path / name)


def test_no_flipped_bit_or_cut_end_goes_by_unless_numbers_stay_numbers(copied: Path) -> None:
    """A flip in the data is another number, which no format tells; in the header it is refused."""
    file = copied / peft_folder.SINGLE
    whole = file.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    random = np.random.default_rng(0)
    for at in [*range(8), *random.integers(8, 8 + length, 60).tolist()]:
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << int(random.integers(8))]) + whole[at + 1 :])
        if (why := peft_folder.audit(copied)) == "":
            names = set(load_file(file))  # the flip is in a space, or in the name of the adapter or the metadata
            assert names == set(load_file(copied / peft_folder.SINGLE))
        else:
            assert str(copied) in why
    for size in (0, 7, 8, 8 + length - 1, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert "not a whole safetensors file" in peft_folder.audit(copied)


def test_a_pickle_that_runs_code_is_not_loaded(copied: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return Path.touch, (copied / "ran",)  # type: ignore[return-value]

    (copied / peft_folder.SINGLE).unlink()
    torch.save({"a": Evil()}, copied / peft_folder.PICKLE)
    assert "holds more than tensors" in peft_folder.audit(copied)
    assert not (copied / "ran").exists()


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ('{"weight_map": {"a": "../adapter_model.safetensors"}}', "is no name of a file beside it"),
        ('{"weight_map": {"a": "missing.safetensors"}}', "names shards that are missing"),
        ('{"weight_map": {"a": "adapter_config.json"}}', "not a whole safetensors file"),
        ('{"weight_map": {}}', "holds no tensors"),
        ("[" * 100_000, "is no index of shards"),
    ],
)
def test_a_wrong_index_is_refused(index: str, reason: str, copied: Path) -> None:
    (copied / peft_folder.SINGLE).unlink()
    (copied / peft_folder.INDEX).write_text(index)
    assert reason in peft_folder.audit(copied)


def test_an_existing_place_is_not_written_over(tmp_path: Path) -> None:
    adapter = some_adapter(["model.layers.0.q"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").touch()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("full", "file", "link"):
        with pytest.raises(UsageError, match="holds something already"):
            peft_folder.write(adapter, tmp_path / name, base_model="base")
    (tmp_path / "empty").mkdir()
    peft_folder.write(adapter, tmp_path / "empty", base_model="base")
    assert sorted(path.name for path in (tmp_path / "empty").iterdir()) == [peft_config.CONFIG, peft_folder.SINGLE]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full", "link"]


@pytest.mark.parametrize("broken", [{"a": np.float32("nan")}, {"b": np.float32("inf")}, {"scale": float("nan")}])
def test_numbers_that_are_not_finite_are_not_written(broken: dict[str, Any], tmp_path: Path) -> None:
    factors = {"a": np.ones((1, 2), np.float32), "b": np.ones((2, 1), np.float32), "scale": 1.0}
    bad = Factors(**{**factors, **{key: value * factors[key] for key, value in broken.items()}})
    with pytest.raises(UsageError, match="not finite"):
        peft_folder.write(Adapter({"model.layers.0.q": bad}), tmp_path / "out", base_model="base")
    with pytest.raises(UsageError, match="no modules"):
        peft_folder.write(Adapter({}), tmp_path / "out", base_model="base")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(peft_folder, "_config", interrupted)
    with pytest.raises(KeyboardInterrupt):
        peft_folder.write(some_adapter(["model.layers.0.q"]), tmp_path / "out", base_model="base")
    assert list(tmp_path.iterdir()) == []


def test_a_place_is_known_by_content_not_by_path(plain: Path, copied: Path) -> None:
    assert FolderAdapter(plain).identity(files.digest) == FolderAdapter(copied).identity(files.digest)
    set_to(copied, lora_alpha=7)
    assert FolderAdapter(plain).identity(files.digest) != FolderAdapter(copied).identity(files.digest)
    assert FolderAdapter(plain).load().modules.keys() == peft_folder.read(plain).modules.keys()


def test_a_name_means_a_folder_or_a_commit_of_the_hub(plain: Path) -> None:
    assert place(plain.name, plain.parent) == FolderAdapter(plain)
    assert place("lab/runs@0123/a/b", plain) == HubAdapter("lab/runs", "0123", "a/b")
    for wrong, reason in (
        ("lab/runs", "it lacks a commit: write lab/runs@COMMIT"),
        ("nothing", "neither a folder nor org/name@commit"),
        ("lab/runs@0/../../x", "neither a folder nor"),
        ("~nobody-there/x", "write the path of a folder"),
        ("a\0b", "no adapter"),
    ):
        with pytest.raises(UsageError, match=reason):
            place(wrong, plain)


def test_adapters_come_from_the_hub_by_commit(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "hub/models/lab/runs/main/gsm8k")
    (tmp_path / "hub/models/lab/runs/main/gsm8k/optimizer.safetensors").write_bytes(b"large")
    commit = HUB["commit"](tmp_path / "hub/models/lab/runs/main")
    code = f"""
import json
from compute.adapters.places import HubAdapter
from compute.errors import UsageError
said = []
for repo, revision, subfolder in [("lab/runs", "{commit}", "gsm8k"), ("lab/runs", "{commit}", "other"),
                                  ("lab/runs", "{"0" * 40}", "gsm8k"), ("lab/none", "{commit}", None)]:
    place = HubAdapter(repo, revision, subfolder)
    try:
        place.check()
        said.append([len(place.load().modules), sorted(file.name for file in place.folder().iterdir())])
    except UsageError as error:
        said.append(str(error))
print(json.dumps(said))
"""
    with HUB["serve"](tmp_path / "hub") as endpoint:
        found, *refused = HUB["run"](code, endpoint, tmp_path / "home")
    assert found == [2 * LAYERS, [peft_config.CONFIG, peft_folder.SINGLE]]
    assert [part in line for part, line in zip(("no adapter_config.json in 'lab/runs/other'", "has no revision",
            "no model repository 'lab/none'"), refused, strict=True)] == [True] * 3  # fmt: skip


def test_a_config_is_described_without_its_weights(copied: Path) -> None:
    (copied / peft_folder.SINGLE).unlink()
    config = described(copied)
    assert (config.rank, config.alpha, config.base) == (4, 6.0, "")
    assert config.scale_of("model.layers.0.self_attn.q_proj") == 1.5
