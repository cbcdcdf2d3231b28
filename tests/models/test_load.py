from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from compute.errors import UsageError
from compute.models import build, load, tokenizer
from compute.models.checkpoint import Checkpoint, digest
from compute.models.recipes import Architecture

HUB = runpy.run_path(str(Path(__file__).parents[1] / "hub.py"))
REPO = "haryoaw/xlm-roberta-base_massive_k_sq-AL"
SUBFOLDER = "alpha_0.5_sq-AL_epoch-9"
TEXTS = ["wake me at five", "sa është ora", "luaj"]


def test_transformers_opens_what_was_saved_with_equal_logits(fresh: Checkpoint, tmp_path: Path) -> None:
    load.save(fresh, tmp_path)

    network = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    batch = AutoTokenizer.from_pretrained(tmp_path)(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        theirs = network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        ours = fresh.network()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits

    assert torch.equal(theirs, ours)
    assert batch["input_ids"].tolist() == padded(fresh, TEXTS)
    assert network.config.id2label == {0: "alarm", 1: "music", 2: "time"}


def test_a_folder_gives_back_the_checkpoint_but_for_the_record_of_its_head(fresh: Checkpoint, tmp_path: Path) -> None:
    load.save(fresh, tmp_path / SUBFOLDER)

    again = load.from_folder(tmp_path, SUBFOLDER)

    assert digest(again.tensors) == digest(fresh.tensors)
    assert again.config == fresh.config
    assert again.labels == fresh.labels
    assert padded(again, TEXTS) == padded(fresh, TEXTS)
    assert again.head_init is None


def test_a_base_model_without_a_classifier_loads_without_one(fresh: Checkpoint, tmp_path: Path) -> None:
    load.save(fresh, tmp_path)
    drop(tmp_path, "classifier.")

    base = load.from_folder(tmp_path)

    assert not any(name.startswith("classifier.") for name in base.tensors)
    assert build.with_head(base, ["off", "on"], seed=0).network().config.num_labels == 2


def test_a_folder_that_lost_other_weights_is_refused(fresh: Checkpoint, tmp_path: Path) -> None:
    load.save(fresh, tmp_path)
    drop(tmp_path, "roberta.encoder.layer.1.output")

    with pytest.raises(UsageError, match=r"lacks 'roberta.encoder.layer.1.output"):
        load.from_folder(tmp_path)


def test_a_folder_without_a_model_or_a_tokenizer_says_what_is_missing(fresh: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a config\.json"):
        load.from_folder(tmp_path, "nowhere")

    load.save(fresh, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(UsageError, match="no tokenizer"):
        load.from_folder(tmp_path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    root = tmp_path_factory.mktemp("hub")
    words = tokenizer.train(TEXTS, vocabulary=60)
    model = build.new_base(Architecture(16, 1, 2, 60, 12), words, ["alarm", "time"], seed=4)
    folder = root / "models" / REPO / "main" / SUBFOLDER
    load.save(model, folder)
    for path in folder.glob("tokenizer*"):
        path.rename(folder.parent / path.name)
    with HUB["serve"](root) as endpoint:
        yield endpoint, folder


def test_an_expert_loads_from_a_subfolder_of_the_hub_with_the_repositorys_tokenizer(
    served: tuple[str, Path], tmp_path: Path
) -> None:
    endpoint, folder = served
    code = f"""
import json
from compute.evaluation.inference import logits
from compute.models import load
from compute.models.checkpoint import digest
model = load.from_hub({REPO!r}, "main", {SUBFOLDER!r})
print(json.dumps([digest(model.tensors), model.labels, logits(model, {TEXTS!r}).tolist()]))
"""
    weights, labels, logits = HUB["run"](code, endpoint, tmp_path)

    assert weights == digest(load_file(folder / "model.safetensors"))
    assert labels == ["alarm", "time"]
    assert np.shape(logits) == (3, 2)


def test_what_the_hub_lacks_is_named(served: tuple[str, Path], tmp_path: Path) -> None:
    wrong = [
        ("nobody/nothing", "main", None),
        (REPO, "0123456", SUBFOLDER),
        (REPO, "main", "alpha_0.5_sq-AL_epoch-8"),
        ("no name", "main", None),
    ]
    code = f"""
import json
from compute.errors import UsageError
from compute.models import load
found = []
for place in {wrong!r}:
    for call in (load.check_hub, load.from_hub):
        try:
            call(*place)
        except UsageError as error:
            found.append(str(error))
print(json.dumps(found))
"""
    found = HUB["run"](code, served[0], tmp_path)
    assert isinstance(found, list)
    assert found[::2] == found[1::2]
    repository, revision, subfolder, name = found[::2]

    assert "no model repository 'nobody/nothing'" in repository
    assert f"{REPO!r} has no revision '0123456'" in revision
    assert f"no config.json in '{REPO}/alpha_0.5_sq-AL_epoch-8'" in subfolder
    assert "'no name'" in name


def test_a_hub_out_of_reach_is_not_taken_for_a_missing_file(tmp_path: Path) -> None:
    code = f"""
import json, os
os.environ["HF_HUB_OFFLINE"] = "1"
from compute.errors import UsageError
from compute.models import load
try:
    load.check_hub({REPO!r}, "main", {SUBFOLDER!r})
except UsageError as error:
    print(json.dumps(str(error)))
"""
    assert "cannot reach the hub" in str(HUB["run"](code, "http://127.0.0.1:9", tmp_path))


def drop(folder: Path, prefix: str) -> None:
    """Rewrite the weights of *folder* without those whose names begin with *prefix*."""
    path = folder / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(path).items() if not name.startswith(prefix)}
    save_file(kept, path, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def padded(model: Checkpoint, texts: list[str]) -> list[list[int]]:
    from tokenizers import Tokenizer

    words = Tokenizer.from_str(model.tokenizer)
    words.enable_padding(pad_id=model.pad_id)
    return [encoding.ids for encoding in words.encode_batch(texts)]
