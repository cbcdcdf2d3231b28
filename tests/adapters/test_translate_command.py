from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from adapter_collections import KINDS, SIZES, Shelf, adapter, make
from click.testing import CliRunner, Result
from project import REPOSITORY

from compute.adapters import collection, peft_folder, places, single
from compute.adapters.adapter import Adapter
from compute.adapters.peft_config import CONFIG
from compute.cli import main
from compute.engine import files
from compute.errors import UsageError
from compute.weights.weights import TensorInfo
from compute.weights.writing import SafetensorsSink


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("shelf") / "collection").folder


@pytest.fixture
def shelf(original: Path, tmp_path: Path) -> Shelf:
    return Shelf(Path(shutil.copytree(original, tmp_path / "collection")))


def translate(shelf: Shelf, *arguments: str, task: str = "gsm_hard", out: str = "out") -> Result:
    place = str(shelf.place("x", task))
    told = ["translate", place, str(shelf.folder.parent / out), "--collection", str(shelf.folder), *arguments]
    return CliRunner().invoke(main, told)


def told(shelf: Shelf, *arguments: str, **names: str) -> dict[str, Any]:
    done = translate(shelf, "--json", *arguments, **names)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def distance(found: Adapter, wanted: Adapter) -> float:
    pairs = [(found.modules[name].delta(), wanted.modules[name].delta()) for name in wanted.modules]
    return float(sum(((a - b) ** 2).sum() for a, b in pairs) / sum((b**2).sum() for _, b in pairs)) ** 0.5


@pytest.mark.parametrize("space", ["delta", "factor", "b"])
def test_a_task_of_known_skills_is_translated_to_the_adapter_that_fits(space: str, shelf: Shelf) -> None:
    found = told(shelf, "--space", space, "--option", "relative_lambda=0.000001")
    made = peft_folder.read(shelf.folder.parent / "out")
    assert distance(made, adapter("y", "gsm_hard")) < 0.01
    assert found["anchors"] == ["apps", "arc", "gsm8k", "mbpp", "svamp"]
    assert (found["modules"], found["ranks"], found["base_model"]) == (len(KINDS) * SIZES["y"][0], [4], "lab/other")
    assert found["warnings"] == []
    norms = [np.sqrt(sum((f.delta() ** 2).sum() for f in adapter("y", n).modules.values())) for n in found["anchors"]]
    assert found["norm_of_anchors"] == pytest.approx(np.mean(norms), rel=1e-4)


def test_the_mean_is_made_of_all_anchors_alike_and_said_to_be_no_translation(shelf: Shelf) -> None:
    found = told(shelf, "--method", "mean", "--space", "factor")
    made = peft_folder.read(shelf.folder.parent / "out")
    wanted = np.mean([adapter("y", name).modules["model.layers.1.self_attn.q_proj"].b for name in found["anchors"]], 0)
    assert np.allclose(made.modules["model.layers.1.self_attn.q_proj"].b, wanted, atol=1e-5)
    assert found["effective_anchors"] == 5
    assert found["warnings"] == ["mean is no translation: it is a baseline to compare others with"]


def test_people_read_what_programs_do(shelf: Shelf) -> None:
    done = translate(shelf, "--domain", "math", "--method", "domain_mean")
    assert done.exit_code == 0, done.output
    assert "method: domain_mean" in done.stdout
    assert "effective_anchors: 2.0" in done.stdout
    assert "warning: domain_mean is no translation" in done.stderr


def test_beside_the_adapter_lies_where_it_comes_from(shelf: Shelf) -> None:
    told(shelf, "--option", "relative_lambda=0.1")
    out = shelf.folder.parent / "out"
    assert sorted(path.name for path in out.iterdir()) == [CONFIG, "adapter_model.safetensors", "recount.json"]
    text = (out / "recount.json").read_text()
    said = json.loads(text)
    assert said["translation"]["options"] == {"relative_lambda": 0.1}
    assert said["inputs"]["adapter"]["adapter"][CONFIG] == files.sha256(shelf.place("x", "gsm_hard") / CONFIG)
    weights = shelf.place("y", "arc") / "adapter_model.safetensors"
    assert said["inputs"]["anchors"]["arc"]["y"]["adapter"][weights.name] == files.sha256(weights)
    assert set(said["versions"]) == {"recount", "numpy"}
    assert str(shelf.folder.parent) not in text


def test_the_same_command_gives_the_same_bytes(shelf: Shelf) -> None:
    told(shelf)
    told(shelf, out="again")
    assert files.digests(shelf.folder.parent / "out") == files.digests(shelf.folder.parent / "again")


def test_what_cannot_be_used_is_left_out_and_named(shelf: Shelf) -> None:
    (shelf.place("y", "mbpp") / "adapter_model.safetensors").write_bytes(b"")
    found = told(shelf)
    assert "mbpp" not in found["anchors"]
    assert "not a whole safetensors file" in found["left_out"]["mbpp"]
    said = (shelf.folder.parent / "out/recount.json").read_text()
    assert json.loads(said)["left_out"] == ["mbpp"]
    assert str(shelf.folder) not in said


def test_separate_starts_are_warned_of_unless_deltas_are_combined(shelf: Shelf) -> None:
    for number, name in enumerate(("gsm8k", "svamp", "mbpp", "apps", "arc")):
        shutil.rmtree(shelf.place("y", name))
        peft_folder.write(adapter("y", name, seed=number), shelf.place("y", name), base_model="lab/other")
    (warning,) = told(shelf, "--space", "factor")["warnings"]
    assert warning.startswith("whether the adapters of model Y began from the same A: not shared")
    assert warning.endswith("take the space delta")
    assert told(shelf, out="delta")["warnings"] == []


def test_an_anchor_that_translates_itself_is_warned_of(shelf: Shelf) -> None:
    (warning,) = told(shelf, task="arc")["warnings"]
    assert "is that of the anchor arc" in warning


def test_different_base_models_are_warned_of(shelf: Shelf) -> None:
    path = shelf.place("y", "arc") / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": "lab/third"}))
    found = told(shelf)
    assert found["base_model"] == "lab/other"
    (warning,) = found["warnings"]
    assert "adapters of model Y name different base models, lab/other, lab/third" in warning
    shelf.say(y="lab/pinned@0123")
    assert told(shelf, out="pinned")["base_model"] == "lab/pinned"


def a_model(folder: Path, model: str) -> None:
    layers, width = SIZES[model]
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    infos = [
        TensorInfo(f"model.layers.{n}.{kind}.weight", (width, width), "bfloat16")
        for n in range(layers)
        for kind in KINDS
    ]
    with SafetensorsSink(folder, infos, {}) as sink:
        for number, info in enumerate(infos):
            values = np.random.default_rng(number).normal(size=info.size).astype(np.float32)
            sink.write(info.name, 0, values)


def test_base_weights_are_read_for_a_method_that_needs_them(shelf: Shelf) -> None:
    done = translate(shelf, "--method", "cross_lora")
    assert done.exit_code == 2
    assert "cross_lora needs the weights of both base models: name them as x and y" in done.stderr
    for model in ("x", "y"):
        a_model(shelf.folder / model, model)
        shelf.say(**{model: model})
    found = told(shelf, "--method", "cross_lora", "--space", "factor")
    assert found["modules"] == len(KINDS) * SIZES["y"][0]
    assert "effective_anchors" not in found
    shelf.say(x=None)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--method", "pertensor_rige"], "did you mean pertensor_ridge"),
        (["--method", "span_ceiling"], "span_ceiling needs the task's own adapter on Y"),
        (["--option", "relative_lamda=1"], "unknown option of pertensor_ridge 'relative_lamda': did you mean"),
        (["--option", "relative_lambda"], "expected name=value"),
        (["--option", "relative_lambda=[1"], "the value is no YAML"),
        (["--option", "relative_lambda=high"], "must be of type float, not 'high'"),
        (["--option", "relative_lambda=1", "--option", "relative_lambda=2"], "comes twice"),
        (["--domain", "law"], "no anchor is of the domain 'law': the collection has code, math, science"),
        (["--collection", "nowhere"], "no collection in nowhere"),
    ],
)
def test_what_is_asked_wrongly_is_told_in_a_line(arguments: list[str], reason: str, shelf: Shelf) -> None:
    done = translate(shelf, *arguments)
    assert done.exit_code == 2, done.output
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (shelf.folder.parent / "out").exists()


def test_an_adapter_that_does_not_fit_the_collection_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    for name, made, reason in (
        ("of-y", adapter("y", "arc"), "does not: expected the same"),
        ("rank", adapter("x", "arc", rank=2), "differ in rank"),
    ):
        peft_folder.write(made, tmp_path / name, base_model="lab/small")
        arguments = ["translate", str(tmp_path / name), str(tmp_path / "out"), "--collection", str(shelf.folder)]
        done = CliRunner().invoke(main, [*arguments, "--space", "factor"])
        assert done.exit_code == 2
        assert reason in done.stderr
    assert not (tmp_path / "out").exists()
    assert CliRunner().invoke(main, arguments).exit_code == 0, "in the space delta ranks may differ"


def test_a_full_place_or_a_missing_adapter_is_refused_before_anything_is_read(shelf: Shelf) -> None:
    (shelf.folder.parent / "out").mkdir()
    (shelf.folder.parent / "out/kept").touch()
    assert "is not empty, it holds kept" in translate(shelf).stderr
    assert "no adapter" in translate(shelf, task="nothing", out="other").stderr


def test_adapters_that_change_meanwhile_are_noticed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def changing(work: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any) -> Any:
            peft_folder_of = shelf.place("y", "arc")
            shutil.rmtree(peft_folder_of)
            peft_folder.write(adapter("y", "arc", seed=9), peft_folder_of, base_model="lab/other")
            return work(*arguments)

        return changed

    monkeypatch.setattr(single, "translate", changing(single.translate))
    opened = collection.opened(shelf.folder)
    with pytest.raises(UsageError, match="adapters changed while they were read"):
        single.translated(opened, places.FolderAdapter(shelf.place("x", "gsm_hard")), "new", single.Request())


def test_an_interrupt_writes_nothing(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(single, "translate", interrupted)
    done = translate(shelf)
    assert done.exit_code == 130
    assert "interrupted: nothing was written to" in done.stderr
    assert sorted(path.name for path in shelf.folder.parent.iterdir()) == ["collection"]


def test_as_a_user_calls_it_without_loading_torch(shelf: Shelf) -> None:
    code = (
        "import sys; from compute.cli import main; main(sys.argv[1:], standalone_mode=False);"
        "print(sorted({'torch', 'transformers', 'peft', 'pandas', 'huggingface_hub'} & sys.modules.keys()))"
    )
    arguments = ["translate", "collection/adapters/x/gsm_hard", "out", "--collection", "collection"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=shelf.folder.parent, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.startswith("folder: out\nmethod: pertensor_ridge\nspace: delta\n")


def test_the_guide_shows_a_collection_that_opens_and_commands_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (REPOSITORY / "docs/guide/adapters.md").read_text(encoding="utf-8")
    said = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)[0]
    results, example = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", guide, re.DOTALL))
    tasks = {name: (each["domain"], each["role"]) for name, each in yaml.safe_load(said)["tasks"].items()}
    shelf = make(tmp_path / "collection", tasks)
    (shelf.folder / "collection.yaml").write_text(said, encoding="utf-8")
    a_model(shelf.folder / "models/llama", "y")
    (shelf.folder / "data").mkdir()
    (shelf.folder / "data/arc_challenge.jsonl").write_text(json.dumps(example))
    for place in re.findall(r"results/(\S+)/gsm8k\.json", guide):
        shelf.result(place, "gsm8k", results)
    opened = collection.opened(shelf.folder)
    assert list(opened.results) == ["base", "pertensor_ridge-delta"]
    assert [task.name for task in opened.held_out] == ["arc_challenge"]
    peft_folder.write(adapter("x", "new"), tmp_path / "adapters/new-task", base_model="")
    monkeypatch.chdir(tmp_path)
    for number, command in enumerate(re.findall(r"```sh\n(python -m compute translate.*?)```", guide, re.DOTALL)):
        words = shlex.split(command.replace("\\\n", " "))
        assert words[:3] == ["python", "-m", "compute"]
        done = CliRunner().invoke(main, words[3:])
        assert done.exit_code == 0, done.output
        Path("translated").rename(f"translated-{number}")
