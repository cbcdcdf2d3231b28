"""The profile `paper` of adapter translation against a hub on loopback: real ids and layouts, tiny models and rows."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hub
import pytest
import task_rows
from project import REPOSITORY, Project, make

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:9"
STUDY = "adapter-translation"
X, Y = "Qwen/Qwen2.5-3B-Instruct", "meta-llama/Llama-3.2-3B-Instruct"
NAMES = [
    *("gsm8k", "svamp", "multiarith", "math_algebra_easy", "gsm_hard", "math_algebra_medium"),
    *("mbpp", "conala", "codealpaca_py", "mbpp_plus"),
    *("arc_easy", "sciq", "openbookqa", "mmlu_astronomy", "arc_challenge"),
]
SMALL = {
    "tasks.names": ",".join(NAMES),
    "tasks.train": "6",
    "tasks.evaluation": "4",
    "lora.rank": "2",
    "lora.batch": "4",
    "lora.max_length": "96",
    "lora.together": "24",
    "compared": "{mean: [factor], pertensor_ridge: [delta]}",
    "everywhere": "{mean: [factor], pertensor_ridge: [delta]}",
    "lambdas": "[0.1]",
    "neighbours": "[2]",
    "anchor_counts": "[2, 6]",
    "draws": "1",
    "max_length": "96",
    "new_tokens": "8",
}
FEW = ("--set", "tasks.names=gsm8k,svamp,gsm_hard", "--set", "anchor_counts=[2]")
"""As little as can be translated: two anchors and a task."""

SET = ("--profile", "paper", *(part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")))

QWEN = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] }}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """What tells the two models apart."""

    repo: str
    kind: str
    template: str
    special: tuple[str, ...]
    """The end of an answer, what fills up, and others."""
    sizes: dict[str, int]
    bos: str = ""


FAMILIES = (
    Family(X, "qwen2", QWEN, ("<|im_end|>", "<|endoftext|>", "<|im_start|>"), {"num_hidden_layers": 3}),
    Family(
        Y, "llama", LLAMA, ("<|eot_id|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
        {"num_hidden_layers": 2, "hidden_size": 24}, "<|begin_of_text|>",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """A project with a copy of the package, since a lock is written beside its profile, and a hub."""

    project: Project
    hub: Path
    home: Path

    def run(self, endpoint: str, *words: str) -> Any:
        environment = {**hub.environment(endpoint, self.home), "PYTHONPATH": str(self.project.root)}
        return self.project.run(*words, **environment)

    def table(self, name: str) -> list[dict[str, str]]:
        """The rows of a table of the page, as it offers them."""
        with (self.project.root / f"docs/studies/{STUDY}/data/{name}.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    @property
    def page(self) -> str:
        return (self.project.root / f"docs/studies/{STUDY}/index.md").read_text(encoding="utf-8")


def publish_model(root: Path, family: Family) -> None:
    """Lay out a chat model as the hub has it: weights in bfloat16, tokenizer, chat template."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from compute.models.causal import CausalModel, tensors_of
    from compute.models.causal_load import save
    from compute.models.checkpoint import plain_config

    words = tokenizer([name for name in (*family.special, family.bos) if name])
    end, pad = (words.token_to_id(name) for name in family.special[:2])
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = AutoConfig.for_model(
        family.kind, vocab_size=words.get_vocab_size(), max_position_embeddings=256, tie_word_embeddings=True,
        eos_token_id=end, pad_token_id=pad, bos_token_id=None, initializer_range=0.2, **(sizes | family.sizes),
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    made = CausalModel(
        plain_config(config), tensors_of(network), words.to_str(), family.template, (end,), pad, family.bos,
        family.special[0],
    )  # fmt: skip
    save(made, root / "models" / family.repo / "main")


def tokenizer(special: list[str]) -> Any:
    """A byte-level BPE tokenizer, as both families have."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [json.dumps(row) for data in task_rows.DATA.values() for rows in data.values() for row in rows.values()]
    made.train_from_iterator(texts, trainer)
    return made


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub with both models and all data sets of the catalogue."""
    root = tmp_path_factory.mktemp("hub")
    for family in FAMILIES:
        publish_model(root, family)
    for repo in task_rows.DATA:
        task_rows.publish(root, repo)
    return root


def new_world(folder: Path, published: Path) -> World:
    project = make(folder / "project")
    ignore = shutil.ignore_patterns("__pycache__", "*.lock.yaml")
    shutil.copytree(REPOSITORY / "compute", project.root / "compute", ignore=ignore)
    shutil.copytree(published, folder / "hub")
    return World(project, folder / "hub", folder / "home")


def lock(world: World, endpoint: str) -> None:
    locked = world.run(endpoint, "lock", STUDY, "--profile", "paper")
    assert locked.returncode == 0, locked.stderr
    assert f"{2 + len(task_rows.DATA)} repositories pinned in paper.lock.yaml" in locked.stdout


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, published: Path) -> World:
    """A study that was built from the hub, which is gone."""
    made = new_world(tmp_path_factory.mktemp("world"), published)
    with hub.serve(made.hub) as endpoint:
        for words in (("build", STUDY), ("status", STUDY), ("list", "cells", "--study", STUDY)):
            refused = made.run(endpoint, *words, "--profile", "paper")
            assert refused.returncode == 2
            assert refused.stderr.splitlines()[-1] == (
                f"error: {X} and 24 more: no revision is pinned; run `python -m compute lock {STUDY} --profile"
                " PROFILE` while the hub can be reached"
            )
        lock(made, endpoint)
        done = made.run(endpoint, "build", STUDY, *SET)
    assert done.returncode == 0, done.stderr
    assert " 0 failed, 0 blocked" in done.stdout
    return made


def test_every_metric_is_measured_with_the_models_chat_templates(world: World) -> None:
    tasks = {row["task"]: row for row in world.table("tasks")}
    assert {row["metric"] for row in tasks.values()} == {"number", "code", "choice", "exact"}
    assert "codealpaca_py" not in tasks, "it only trains"
    held_out = {row["task"]: row for row in world.table("main")}
    assert held_out["mbpp_plus"]["score_legacy"] != "", "programs are matched as strings, too"
    assert held_out["gsm_hard"]["score_legacy"] == ""
    assert int(tasks["gsm8k"]["oracle_failed"]) > 0, "such a model writes no numbers"
    assert float(tasks["mbpp"]["oracle_cut"]) == 1, "longer than the few tokens that are allowed here"
    assert "of the prompts of mbpp were too long" in world.page
    assert "under-powered" in world.page


def test_a_second_build_computes_nothing_and_asks_no_hub(world: World) -> None:
    again = world.run(NOWHERE, "build", STUDY, *SET)
    assert again.returncode == 0, again.stderr
    assert " 0 computed" in again.stdout


def test_what_was_fetched_once_is_computed_anew_without_a_network(world: World) -> None:
    done = world.run(NOWHERE, "build", STUDY, *SET, *FEW, "--set", "tasks.evaluation=3")
    assert done.returncode == 0, done.stderr
    assert " 0 failed" in done.stdout


def test_without_a_network_and_a_cache_a_line_says_so(world: World, tmp_path: Path) -> None:
    bare = World(make(tmp_path / "project"), world.hub, tmp_path / "home")
    shutil.copytree(world.project.root / "compute", bare.project.root / "compute")
    refused = bare.run(NOWHERE, "build", STUDY, *SET)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith(f"error: cannot reach the hub for '{X}'")
    assert "Traceback" not in refused.stderr
    for family in FAMILIES:
        name = f"hub/models--{family.repo.replace('/', '--')}"
        shutil.copytree(world.home / name, bare.home / name, symlinks=True)
    failed = bare.run(NOWHERE, "build", STUDY, *SET, *FEW)
    assert failed.returncode == 1
    assert "task_data/gsm8k" in failed.stderr
    assert "needs the network: the data set openai/gsm8k" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_data_set_that_is_gone_or_changed_drops_its_task_and_no_more(published: Path, tmp_path: Path) -> None:
    world = new_world(tmp_path, published)
    for repo, column in (("reasoning-machines/gsm-hard", "target"), ("allenai/sciq", "distractor1")):
        shutil.rmtree(world.hub / "datasets" / repo)
        publish_without(world.hub, repo, column)
    with hub.serve(world.hub) as endpoint:
        lock(world, endpoint)
        shutil.rmtree(world.hub / "datasets/ChilleD/SVAMP")
        done = world.run(endpoint, "build", STUDY, *SET, "--set", "lora.together=4")
    assert done.returncode == 0, done.stderr
    assert " 0 failed, 0 blocked" in done.stdout
    audit = {row["task"]: row for row in world.table("data")}
    dropped = {task for task, row in audit.items() if row["audit_status"] == "dropped"}
    assert dropped == {"gsm_hard", "sciq", "svamp"}
    assert "no column 'target'" in audit["gsm_hard"]["audit_reason"]
    domains = {row["domain"]: row for row in world.table("domains")}
    assert {name: (row["size_anchors"], row["size_underpowered"]) for name, row in domains.items()} == {
        "math": ("3", "True"),
        "code": ("3", "True"),
        "science": ("3", "True"),
    }
    tasks = {row["task"]: row for row in world.table("tasks")}
    assert tasks["gsm_hard"]["oracle_accuracy"] == ""
    assert "left out" in tasks["gsm_hard"]["gate_why"]
    assert tasks["math_algebra_medium"]["oracle_accuracy"] != ""
    assert "gsm&#95;hard was dropped" in world.page


def publish_without(root: Path, repo: str, column: str) -> None:
    """Publish a data set that lacks a column."""

    def without(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: value for name, value in row.items() if name != column} for row in rows]

    known = task_rows.DATA[repo]
    data = {config: {split: without(rows) for split, rows in splits.items()} for config, splits in known.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(task_rows.DATA, repo, data)  # type: ignore[arg-type]
        task_rows.publish(root, repo)
