"""From a recipe to a folder that transformers opens: what is merged, what is refused, what is left behind."""

from __future__ import annotations

import errno
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipes_helpers import DENSE, HEAD, WORDS, State, Zoo, load_whole, longer, moved
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from compute.errors import RecountError, UsageError
from compute.recipes import document, run
from compute.recipes import result as result_module
from compute.weights.dtypes import from_float, rounds_to_infinity, stored
from compute.weights.memory import as_torch
from compute.weights.writing import SafetensorsSink

TWO = {"base": "base", "sources": ["de", "sq"], "missing": "zero"}


def result(folder: Path) -> State:
    return load_file(folder / "model.safetensors")


def test_an_average_is_the_mean_and_opens(zoo: Zoo) -> None:
    folder = zoo.merge({"method": "average", "sources": ["de", "sq"]})
    de, sq, found = zoo.state("de"), zoo.state("sq"), result(folder)
    assert found.keys() == de.keys()
    assert all(torch.allclose(found[name], (de[name] + sq[name]) / 2, atol=1e-7) for name in de)
    model = load_whole(folder)
    assert list(model.config.id2label.values()) == ["alarm", "music", "time"]


@pytest.mark.parametrize("method", ["ties", "task_arithmetic", "model_stock", "della", "slerp", "karcher"])
@pytest.mark.parametrize("missing", ["zero", "mean"])
def test_a_base_without_a_head(zoo: Zoo, method: str, missing: str) -> None:
    folder = zoo.merge({**TWO, "method": method, "missing": missing})
    load_whole(folder)


def test_what_stands_for_a_head_that_the_base_lacks(zoo: Zoo) -> None:
    half = {**TWO, "method": "task_arithmetic", "options": {"scale": 0.5}}
    de, sq = zoo.state("de")[DENSE], zoo.state("sq")[DENSE]
    assert torch.allclose(result(zoo.merge(half, "zero"))[DENSE], (de + sq) / 4, atol=1e-6)
    assert torch.allclose(result(zoo.merge({**half, "missing": "mean"}, "mean"))[DENSE], (de + sq) / 2, atol=1e-6)
    with pytest.raises(UsageError, match=r"the base lacks classifier\.dense\.bias and 3 more .* `missing: zero`"):
        zoo.merge({**half, "missing": "refuse"}, "refuse")


def test_a_base_of_other_names_is_no_base(zoo: Zoo) -> None:
    zoo.variant("bare", "base", lambda state: {name.removeprefix("roberta."): t for name, t in state.items()})
    with pytest.raises(UsageError, match="the base has none of the sources' tensors"):
        zoo.merge({**TWO, "base": "bare", "method": "ties"})


@pytest.mark.parametrize("base", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize(("one", "other", "expected"), [("float32", "float32", "float32"),
                         ("bfloat16", "float16", "float32"), ("bfloat16", "bfloat16", "bfloat16"),
                         ("float16", "float64", "float64")])  # fmt: skip
def test_mixed_types(zoo: Zoo, base: str, one: str, other: str, expected: str) -> None:
    def to(dtype: str) -> Any:
        return lambda state: {name: tensor.to(getattr(torch, dtype)) for name, tensor in state.items()}

    for name, of, dtype in (("b", "base", base), ("one", "de", one), ("other", "sq", other)):
        zoo.variant(name, of, to(dtype), dtype=dtype)
    said = {"base": "b", "sources": ["one", "other"], "missing": "mean", "method": "task_arithmetic"}
    folder = zoo.merge(said)
    assert {str(tensor.dtype) for tensor in result(folder).values()} == {f"torch.{expected}"}
    assert json.loads((folder / "config.json").read_text())["dtype"] == expected
    assert load_whole(folder).dtype == getattr(torch, expected)
    assert {str(t.dtype) for t in result(zoo.merge({**said, "dtype": "float16"}, "half")).values()} == {"torch.float16"}


def test_shards_in_and_out(zoo: Zoo) -> None:
    from transformers import AutoModelForSequenceClassification

    whole = zoo.merge({**TWO, "method": "ties"}, "whole")
    model = AutoModelForSequenceClassification.from_pretrained(zoo.root / "de")
    for file in (zoo.root / "de").glob("*.safetensors"):
        file.unlink()
    model.save_pretrained(zoo.root / "de", max_shard_size="10KB")
    assert not (zoo.root / "de/model.safetensors").exists()
    folder = zoo.merge({**TWO, "method": "ties", "shard_size": "8KB"}, "shards")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    shards = load_whole(folder).state_dict()
    assert all(torch.equal(tensor, shards[name]) for name, tensor in load_whole(whole).state_dict().items())


def test_a_pickle_of_tensors_is_read(zoo: Zoo) -> None:
    expected = result(zoo.merge({"method": "average", "sources": ["de", "sq"]}, "first"))
    torch.save(zoo.state("de"), zoo.root / "de/pytorch_model.bin")
    (zoo.root / "de/model.safetensors").unlink()
    found = result(zoo.merge({"method": "average", "sources": ["de", "sq"]}, "second"))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())


class Malicious:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('code of a pickle ran')",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused(zoo: Zoo, zipped: bool) -> None:
    path = zoo.root / "de/pytorch_model.bin"
    (zoo.root / "de/model.safetensors").unlink()
    if zipped:
        torch.save({"w": Malicious()}, path)
    else:
        path.write_bytes(pickle.dumps({"w": Malicious()}, protocol=2))
    with pytest.raises(UsageError, match="holds more than tensors"):
        zoo.merge({"method": "average", "sources": ["de", "sq"]})
    assert not (zoo.root / "out").exists()


def test_buffers_of_integers_come_from_whoever_has_them(zoo: Zoo) -> None:
    def with_buffer(state: State) -> State:
        return {**state, "roberta.embeddings.position_ids": torch.arange(12)[None]}

    for name in ("de", "sq"):
        zoo.variant(f"{name}-old", name, with_buffer)
    old = {**TWO, "sources": ["de-old", "sq-old"], "method": "ties"}
    assert torch.equal(result(zoo.merge(old))["roberta.embeddings.position_ids"], torch.arange(12)[None])
    mixed = {**old, "sources": ["de-old", "sq"]}
    assert "roberta.embeddings.position_ids" not in result(zoo.merge(mixed, "mixed"))


def test_experts_of_other_architectures_are_refused(zoo: Zoo) -> None:
    zoo.variant("heads", "sq", num_attention_heads=4)
    with pytest.raises(UsageError, match="num_attention_heads is 4 in heads and 2 in de"):
        zoo.merge({"method": "average", "sources": ["de", "heads"]})
    zoo.variant("less", "sq", lambda state: {name: t for name, t in state.items() if name != DENSE})
    with pytest.raises(UsageError, match=r"de has the tensor classifier\.dense\.weight, which less lacks"):
        zoo.merge({"method": "average", "sources": ["de", "less"]})


def test_experts_of_other_classes_are_refused(zoo: Zoo) -> None:
    zoo.variant("other", "sq", id2label={"0": "alarm", "1": "time", "2": "music"})
    said = {"method": "average", "sources": ["de", "other"]}
    with pytest.raises(UsageError, match="class 1 is 'time' in other and 'music' in de"):
        zoo.merge(said)
    zoo.variant("fewer", "sq", id2label={"0": "alarm", "1": "time"})
    with pytest.raises(UsageError, match="fewer has 2 classes and de 3"):
        zoo.merge({"method": "average", "sources": ["de", "fewer"]})


def test_the_best_head_brings_its_labels(zoo: Zoo) -> None:
    zoo.variant("other", "sq", id2label={"0": "Alarm", "1": "Time", "2": "Music"})
    sources = [{"model": "de", "coefficient": 0.4}, {"model": "other", "coefficient": 0.6}]
    folder = zoo.merge({"method": "average", "sources": sources, "head": "best"})
    assert list(load_whole(folder).config.id2label.values()) == ["Alarm", "Time", "Music"]
    assert torch.equal(result(folder)[DENSE], zoo.state("other")[DENSE])


def test_heads_that_began_differently_are_refused(zoo: Zoo) -> None:
    rng = torch.Generator().manual_seed(9)

    def another(state: State) -> State:
        return {n: torch.randn(t.shape, generator=rng) if n.startswith(HEAD) else t for n, t in state.items()}

    zoo.variant("far", "tr", another)
    said = {"method": "average", "sources": ["de", "sq", "far"]}
    with pytest.raises(UsageError, match=r"the heads of de and far seem .*classifier\.dense\.weight.*`head: best`"):
        zoo.merge(said)
    load_whole(zoo.merge({**said, "head": "best"}))


def test_vocabularies_of_other_sizes(zoo: Zoo) -> None:
    longer(zoo, "longer", "sq")
    said = {**TWO, "sources": ["de", "longer"], "method": "task_arithmetic", "options": {"scale": 1.0}}
    with pytest.raises(UsageError, match=r"their vocabularies differ.*vocabulary: align"):
        zoo.merge(said)
    folder = zoo.merge({**said, "vocabulary": "align"})
    expected = result(zoo.merge({**said, "sources": ["de", "sq"]}, "plain"))
    assert all(torch.allclose(tensor, expected[name], atol=1e-6) for name, tensor in result(folder).items())
    config = load_whole(folder).config
    base = json.loads((zoo.root / "base/config.json").read_text())
    assert (config.vocab_size, config.pad_token_id) == (base["vocab_size"], base["pad_token_id"])
    assert (folder / "tokenizer.json").read_bytes() == (zoo.root / "base/tokenizer.json").read_bytes()


def test_aligned_to_the_base_although_the_first_source_has_another_vocabulary(zoo: Zoo) -> None:
    longer(zoo, "longer", "sq")
    folder = zoo.merge({**TWO, "sources": ["longer", "de"], "method": "average", "vocabulary": "align"})
    rows = zoo.state("base")[WORDS].shape[0]
    assert result(folder)[WORDS].shape[0] == rows == load_whole(folder).config.vocab_size
    with pytest.raises(UsageError, match="name the base"):
        zoo.merge({"sources": ["de", "sq"], "method": "average", "vocabulary": "align"}, "again")


def test_vocabularies_of_one_size_and_other_tokens(zoo: Zoo) -> None:
    folder = zoo.variant("swapped", "sq")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    swap = {10: 11, 11: 10}
    tokenizer["model"]["vocab"] = {token: swap.get(row, row) for token, row in tokenizer["model"]["vocab"].items()}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    said = {**TWO, "sources": ["de", "swapped"], "method": "average"}
    with pytest.raises(UsageError, match="the token of row 10 in the base has row 11 in swapped"):
        zoo.merge(said)
    swapped = zoo.state("sq")[WORDS]
    swapped[[10, 11]] = swapped[[11, 10]]
    found = result(zoo.merge({**said, "vocabulary": "align"}))[WORDS]
    assert torch.allclose(found, (zoo.state("de")[WORDS] + swapped) / 2, atol=1e-7)


def test_what_is_written_of_a_result(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(zoo.root))
    zoo.variant("named", "sq", _name_or_path=str(zoo.root / "secret"))
    said = {"method": "ties", "preset": "peft", "base": str(zoo.root / "base"), "missing": "zero",
            "sources": [str(zoo.root / "de"), {"model": "named", "name": "Albanian"}]}  # fmt: skip
    folder = zoo.merge(said)
    told = json.loads((folder / "recount.json").read_text())
    assert told["recipe"]["options"]["divide"] == "count"
    assert told["recipe"]["options"]["density"] == 0.2
    assert told["recipe"]["coefficients"] == {"de": 0.5, "Albanian": 0.5}
    assert set(told["inputs"]["sources"]) == {"de", "Albanian"}
    assert all(len(digest) == 64 for digest in (told["inputs"]["base"], *told["inputs"]["sources"].values()))
    assert told["file"]["sources"][0] == "de"
    assert told["versions"]["numpy"] == np.__version__
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["recount"]) == told
    written = "".join(path.read_text(errors="replace") for path in folder.iterdir())
    assert str(zoo.root) not in written
    assert "/secret" not in written


def test_names_do_not_depend_on_where_models_lie(zoo: Zoo) -> None:
    for language in ("de", "sq"):
        (zoo.root / "runs" / language).mkdir(parents=True)
        (zoo.root / language).rename(zoo.root / "runs" / language / "last")
    sources = [str(zoo.root / "runs/de/last"), "runs/sq/last"]
    read = document.read(zoo.recipe({**TWO, "sources": sources, "method": "average"}))
    assert [source.name for source in read.sources] == ["de/last", "sq/last"]


def test_several_merges_come_from_one_reading_and_are_those_made_alone(zoo: Zoo) -> None:
    each = {"mean": {"method": "average"}, "ties": {"method": "ties"}, "dare": {"dare": {"drop_rate": 0.5}}}
    out = zoo.merge({**TWO, "method": "task_arithmetic", "merges": each}).parent
    for name, variation in each.items():
        alone = zoo.merge({**TWO, "method": "task_arithmetic", **variation}, f"alone-{name}")
        assert all(torch.equal(t, result(alone)[key]) for key, t in result(out / name).items())
        load_whole(out / name)
    assert sorted(path.name for path in out.iterdir()) == sorted(each)


def test_all_bytes_written_are_told(zoo: Zoo) -> None:
    told: list[int] = []
    said = {**TWO, "method": "ties", "dtype": "float16", "merges": {"a": {}, "b": {"method": "average"}}}
    zoo.variant("buffer", "de", lambda state: {**state, "n": torch.arange(7)})
    zoo.variant("buffers", "sq", lambda state: {**state, "n": torch.arange(7)})
    read = document.read(zoo.recipe({**said, "sources": ["buffer", "buffers"]}))
    prepared = run.prepare(read, cache=zoo.root / "cache")
    run.carry_out(prepared, zoo.root / "out", cache=zoo.root / "cache", watch=told.append)
    size = sum(tensor.numel() for tensor in zoo.state("de").values())
    assert sum(told) == prepared.written == 2 * (2 * size + 7 * 8)


def test_thresholds_are_remembered_for_the_same_task_vectors_alone(zoo: Zoo) -> None:
    """A second merge gives what it gives without a first one."""
    dare = {"dare": {"drop_rate": 0.5}}
    variations: list[dict[str, Any]] = [
        {}, {"missing": "mean"}, {"missing": "mean", "sources": ["de", "tr"]}, dare,
        {**dare, "sources": [{"model": "de", "name": "a"}, {"model": "sq", "name": "b"}]},
    ]  # fmt: skip
    for number, variation in enumerate(variations):
        zoo.merge({**TWO, "method": "ties", **variation}, f"warm-{number}")
    for number, variation in enumerate(variations):
        read = document.read(zoo.recipe({**TWO, "method": "ties", **variation}))
        (cold,) = run.run(read, zoo.root / f"cold-{number}", cache=zoo.root / f"cache-{number}", threads=1)
        warm = zoo.merge({**TWO, "method": "ties", **variation}, f"again-{number}")
        assert all(torch.equal(t, result(warm)[name]) for name, t in result(cold).items())


def test_a_place_in_use_is_refused(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"method": "average", "sources": ["de", "sq"]}
    (zoo.root / "out").mkdir()
    zoo.merge(said)
    with pytest.raises(UsageError, match="out is not empty, it holds"):
        zoo.merge(said)
    (zoo.root / "file").touch()
    with pytest.raises(UsageError, match="file is a file"):
        zoo.merge(said, "file")
    (zoo.root / "here").mkdir()
    monkeypatch.chdir(zoo.root / "here")
    with pytest.raises(UsageError, match="name a folder below it"):
        zoo.merge(said, "here")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("call", ["write", "close"])
def test_what_fails_leaves_nothing(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], call: str
) -> None:
    calls = []
    original = getattr(SafetensorsSink, call)

    def fail(self: SafetensorsSink, *arguments: Any) -> Any:
        calls.append(call)
        if len(calls) == 2:
            raise error
        return original(self, *arguments)

    monkeypatch.setattr(SafetensorsSink, call, fail)
    before = {path for path in zoo.root.iterdir() if path.name != "cache"}
    with pytest.raises(error):
        zoo.merge({**TWO, "method": "average", "merges": {"a": {}, "b": {"method": "ties"}}}, threads=2)
    assert {path for path in zoo.root.iterdir() if path.name not in ("cache", "recipe.yaml")} == before


def test_a_device_that_is_not_there(zoo: Zoo) -> None:
    for device in ("abacus", "cuda:99", "meta"):
        with pytest.raises(UsageError, match=f"cannot compute on {device!r}"):
            zoo.merge({"method": "average", "sources": ["de", "sq"]}, device=device)
    folder = zoo.merge({"method": "average", "sources": ["de", "sq"]}, device="torch:cpu")
    assert "torch" in json.loads((folder / "recount.json").read_text())["versions"]


def test_what_a_method_refuses_is_said(zoo: Zoo) -> None:
    with pytest.raises(UsageError, match="density is the share"):
        zoo.merge({**TWO, "method": "ties", "options": {"density": 2.0}})
    assert not (zoo.root / "out").exists()


@pytest.mark.parametrize("as_file", [True, False])
def test_fisher_merging(zoo: Zoo, as_file: bool) -> None:
    from compute.merging.merge import merge
    from compute.merging.recipe import Recipe

    states = {name: zoo.state(name) for name in ("de", "sq")}
    importance = {name: {key: t.square() for key, t in moved(state, 5).items()} for name, state in states.items()}
    for name, tensors in importance.items():
        (zoo.root / "fisher" / name).mkdir(parents=True)
        save_file(tensors, zoo.root / "fisher" / name / "model.safetensors")
    places = {name: f"fisher/{name}" + ("/model.safetensors" if as_file else "") for name in importance}
    folder = zoo.merge({"method": "fisher", "sources": ["de", "sq"], "data": {"fisher": places}})
    expected = merge(states["de"], states, Recipe("fisher", (0.5, 0.5)), data={"fisher": importance})
    assert all(torch.equal(tensor, expected[name]) for name, tensor in result(folder).items())
    assert set(json.loads((folder / "recount.json").read_text())["inputs"]["data"]["fisher"]) == {"de", "sq"}


def test_regmean(zoo: Zoo) -> None:
    from compute.merging.merge import merge
    from compute.merging.recipe import Recipe

    states = {name: zoo.state(name) for name in ("de", "sq")}
    grams = {name: {DENSE: state[DENSE].T @ state[DENSE]} for name, state in states.items()}
    for name, tensors in grams.items():
        save_file(tensors, zoo.root / f"{name}-grams.safetensors")
    places = {name: f"{name}-grams.safetensors" for name in grams}
    folder = zoo.merge({"method": "regmean", "sources": ["de", "sq"], "data": {"grams": places}})
    expected = merge(states["de"], states, Recipe("regmean", (0.5, 0.5)), data={"grams": grams})
    assert all(torch.allclose(tensor, expected[name], atol=1e-7) for name, tensor in result(folder).items())


def test_data_that_do_not_fit(zoo: Zoo) -> None:
    sources = {"sources": ["de", "sq"]}
    for said, match in (
        ({"method": "fisher"}, r"needs fisher: say `data: \{fisher:"),
        ({"method": "adamerging"}, "running the merged model on texts.*studies"),
        ({"method": "average", "data": {"fisher": {"de": "de", "sq": "sq"}}}, "no merge of this recipe looks at it"),
        ({"method": "fisher", "data": {"fisher": {"de": "de"}}}, r"data\.fisher lacks the source sq"),
        ({"method": "fisher", "data": {"fisher": {"de": "de", "sp": "sq"}}}, "did you mean sq"),
        ({"method": "fisher", "vocabulary": "align", "data": {"fisher": {"de": "de", "sq": "sq"}}}, "own vocabulary"),
        ({"method": "fisher", "data": {"fissher": {}}}, "did you mean fisher"),
        ({"method": "fisher", "data": {"fisher": {"de": "base", "sq": "sq"}}}, r"data\.fisher\.de lacks classifier"),
    ):
        with pytest.raises(UsageError, match=match):
            zoo.merge({**sources, **said})


def test_a_model_that_is_not_there(zoo: Zoo) -> None:
    with pytest.raises(UsageError, match=r"no model '\./nowhere': neither a folder"):
        zoo.merge({"method": "average", "sources": ["de", "./nowhere"]})
    with pytest.raises(UsageError, match="for the hub it lacks a commit: write org/name@COMMIT"):
        zoo.merge({"method": "average", "sources": ["de", "org/name"]})


@pytest.mark.parametrize(
    ("said", "tensors"),
    [
        ({"method": "average", "dtype": "float16"}, 1e6),
        ({"method": "task_arithmetic", "options": {"scale": 100}}, 3e38),
        ({"method": "average", "dtype": "bfloat16", "merges": {"a": {}}}, 3.3962e38),
    ],
    ids=str,
)
def test_a_result_that_is_not_finite_is_refused(zoo: Zoo, said: dict[str, Any], tensors: float) -> None:
    """Silently infinite weights would be found much later, as a model that says nothing."""
    for name in ("de", "sq"):
        zoo.variant(f"{name}-large", name, lambda state: {**state, DENSE: torch.full_like(state[DENSE], tensors)})
    with pytest.raises(UsageError, match=rf"tensor {DENSE} of the result would have a number of magnitude"):
        zoo.merge({**TWO, **said, "sources": ["de-large", "sq-large"]})
    assert not (zoo.root / "out").exists()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_what_rounds_to_infinity(dtype: str) -> None:
    limit = rounds_to_infinity(dtype)
    values, bits = np.array([limit, np.nextafter(limit, 0)]), np.empty(2, stored(dtype).storage)
    from_float(values, dtype, bits)
    assert as_torch(bits, dtype).isinf().tolist() == [True, False]


@pytest.mark.parametrize("change", ["bytes", "another", "gone", "config"])
def test_an_input_that_changes_meanwhile_is_noticed(zoo: Zoo, change: str) -> None:
    """The digests in the record would tell of something else."""
    prepared = run.prepare(document.read(zoo.recipe({**TWO, "method": "ties"})), cache=zoo.root / "cache")
    file = zoo.root / "sq" / ("config.json" if change == "config" else "model.safetensors")
    if change == "bytes":
        with file.open("r+b") as opened:
            opened.seek(-100, 2)
            opened.write(bytes(100))
    elif change == "another":
        (zoo.root / "tr/model.safetensors").rename(file)
    elif change == "gone":
        file.unlink()
    else:
        file.write_text(file.read_text() + " ")
    with pytest.raises(UsageError, match=rf"sq/{file.name} changed while it was merged"):
        run.carry_out(prepared, zoo.root / "out", cache=zoo.root / "cache")
    assert not (zoo.root / "out").exists()
    assert not (zoo.root / "cache/thresholds").exists(), "nor is anything remembered of it"


def test_another_merge_to_the_same_place_was_faster(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    original = result_module.complete

    def slow(*arguments: Any) -> None:
        original(*arguments)
        (zoo.root / "out").mkdir()
        (zoo.root / "out/model.safetensors").touch()

    monkeypatch.setattr(result_module, "complete", slow)
    with pytest.raises(UsageError, match="out is not empty, it holds"):
        zoo.merge({**TWO, "method": "average"})
    assert [path.name for path in (zoo.root / "out").iterdir()] == ["model.safetensors"]
    assert not list(zoo.root.glob(".out*"))


def test_a_disk_that_is_full_after_the_weights(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "config.json")

    monkeypatch.setattr(result_module, "complete", full)
    with pytest.raises(RecountError, match=r"out was not written \(No space left on device: config\.json\): make room"):
        zoo.merge({**TWO, "method": "average"})
    assert not list(zoo.root.glob("*out*"))


def test_thresholds_that_cannot_be_kept_do_not_cost_the_result(zoo: Zoo) -> None:
    (zoo.root / "cache").mkdir()
    (zoo.root / "cache/thresholds").touch()
    load_whole(zoo.merge({**TWO, "method": "ties"}))


@pytest.mark.parametrize("entry", [None, 5, ["float32"], ["float32", "zz"], ["object", "0x1p-3"], ["float32", "nan"],
                                   ["float32", "-0x1p-3"]], ids=str)  # fmt: skip
def test_damaged_thresholds_are_worked_out_anew(zoo: Zoo, entry: object) -> None:
    expected = result(zoo.merge({**TWO, "method": "ties"}))
    for file in (zoo.root / "cache/thresholds").iterdir():
        file.write_text(json.dumps(dict.fromkeys(json.loads(file.read_text()), entry)))
    found = result(zoo.merge({**TWO, "method": "ties"}, "again"))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())


def test_files_that_cannot_be_read_are_named(zoo: Zoo) -> None:
    said = {"method": "average", "sources": ["de", "sq"]}
    for labels in (["a"], {"x": "a"}):
        zoo.variant("odd", "sq", id2label=labels)
        with pytest.raises(UsageError, match="expected id2label to map"):
            zoo.merge({**said, "sources": ["de", "odd"]})
        shutil.rmtree(zoo.root / "odd")
    (zoo.variant("nested", "sq") / "config.json").write_text('{"a":' * 20_000)
    with pytest.raises(UsageError, match=r"nested/config\.json is no JSON"):
        zoo.merge({**said, "sources": ["de", "nested"]})
    (zoo.variant("garbled", "sq") / "tokenizer.json").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"garbled: .*tokenizer\.json, which cannot be read"):
        zoo.merge({**said, "sources": ["de", "garbled"]})
    (zoo.variant("listed", "sq") / "tokenizer.json").write_text("[]")
    with pytest.raises(UsageError, match=r"tokenizer\.json of listed is none of the tokenizers library"):
        zoo.merge({**said, "sources": ["de", "listed"]})
    with pytest.raises(UsageError, match="cannot be read: File name too long"):
        zoo.merge({**said, "sources": ["de", "a" * 5000]})
    with pytest.raises(UsageError, match="no home folder for '~nobody-here/x'"):
        zoo.merge({**said, "sources": ["de", "~nobody-here/x"]})
    with pytest.raises(UsageError, match="neither a folder"):
        zoo.merge({**said, "sources": ["de", "org/name@abc/../.."]})


def test_places_that_cannot_be(zoo: Zoo) -> None:
    (zoo.root / "circle").symlink_to("circle")
    for out, match in (("o" * 300, "File name too long"), ("circle", "circle cannot be made")):
        with pytest.raises(UsageError, match=match):
            zoo.merge({"method": "average", "sources": ["de", "sq"]}, out)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0])
def test_fisher_information_that_is_none(zoo: Zoo, number: float) -> None:
    for name in ("de", "sq"):
        (zoo.root / "fisher").mkdir(exist_ok=True)
        wrong = {key: torch.full_like(tensor, number) for key, tensor in zoo.state(name).items()}
        save_file(wrong, zoo.root / "fisher" / f"{name}.safetensors")
    places = {name: f"fisher/{name}.safetensors" for name in ("de", "sq")}
    with pytest.raises(UsageError, match="the fisher information of expert de for"):
        zoo.merge({"method": "fisher", "sources": ["de", "sq"], "data": {"fisher": places}})
