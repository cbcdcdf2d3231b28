"""What a recipe file may say, ours and mergekit's, and how it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from compute.errors import UsageError
from compute.merging.dare import Dare
from compute.recipes import document
from compute.recipes.document import Document

PLAIN: dict[str, Any] = {"method": "ties", "base": "base", "sources": ["a", "b"]}


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def reader(said: Any) -> Document:
        (tmp_path / "r.yaml").write_text(said if isinstance(said, str) else yaml.safe_dump(said), encoding="utf-8")
        return document.read(tmp_path / "r.yaml")

    return reader


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"methd": "ties"}, r"r\.yaml: unknown key of a recipe 'methd': did you mean method"),
        ({"method": "tise"}, "unknown methods 'tise': did you mean ties"),
        ({"options": {"densty": 0.1}}, "unknown option of ties 'densty': did you mean density"),
        ({"options": {"density": "much"}}, "density of ties must be of type float"),
        ({"options": [1]}, "options: expected a mapping"),
        ({"preset": "pfet"}, "unknown preset 'pfet': did you mean peft"),
        ({"dare": {"rate": 0.5}}, "unknown key of dare 'rate'"),
        ({"dare": {"drop_rate": 1.0}}, r"in \[0, 1\)"),
        ({"dare": {}}, "dare: .*drop_rate"),
        ({"lines": {"low": 0.1, "hihg": 1}}, "did you mean high"),
        ({"embeddings": "keep"}, "unknown embeddings 'keep'"),
        ({"head": "none"}, "unknown head 'none'"),
        ({"missing": "one"}, "unknown missing 'one'"),
        ({"vocabulary": "union"}, "unknown vocabulary 'union'"),
        ({"dtype": "fp16"}, "unknown dtype 'fp16'"),
        ({"shard_size": "many"}, "such as 500MB or 5GB"),
        ({"seed": "x"}, "seed: expected a whole number"),
        ({"sources": []}, "list at least one model"),
        ({"sources": ["a", {"model": "b", "coefficient": 1}]}, "some sources have a coefficient and others not"),
        ({"sources": [{"model": "b", "weight": 1}]}, "unknown key of a source 'weight'"),
        ({"sources": ["a", "a"]}, "the same source is named twice"),
        ({"sources": [{"model": "a", "coefficient": -1}, {"model": "b", "coefficient": 1}]}, "non-negative"),
        ({"method": "slerp", "sources": ["a", "b", "c"]}, "slerp merges 2 experts, not 3"),
        ({"merges": {"x": {"base": "b"}}}, "unknown key of merge x 'base'"),
        ({"merges": {"../x": {}}}, "is to be the name of a folder"),
        ({"merges": ["x"]}, "merges: expected a mapping"),
        ({"merges": {None: {}}}, "merges: None is to be the name of a folder"),
        ({"merges": {"a\nb": {}}}, "is to be the name of a folder"),
        ({"merges": []}, r"merges: expected a mapping, found \[\]"),
        ({"options": 0}, "options: expected a mapping, found 0"),
        ({"options": {"scale": float("nan")}}, "scale of ties must be a finite number, not nan"),
        ({"options": {"scale": 10**400}}, "scale of ties must be a finite number"),
        ({"data": []}, "data: expected a mapping"),
        ({"preset": ["peft"]}, r"preset: expected a text, found \['peft'\]"),
        ({"preset": ""}, "preset: expected a text"),
        ({"method": ["ties"]}, "method: expected a text"),
        ({"base": {"a": "b"}}, "base: expected a text"),
        ({"dare": {"drop_rate": 0.5, "rescale": "x"}}, "unknown rescale of dare 'x': known: density, norm"),
        ({"dare": {"drop_rate": 0.5, "seed": "x"}}, "seed of dare must be of type int"),
        ({"dare": {"drop_rate": None}}, "drop_rate of dare must be of type float"),
        ({"dare": 0}, "dare: expected a mapping"),
        ({"lines": {"low": "x"}}, "low of lines must be of type float"),
        ({"lines": {"low": float("inf")}}, "low of lines must be a finite number"),
        ({"shard_size": -1}, "shard size -1: expected"),
        ({"shard_size": 0}, "shard size 0: expected"),
        ({"shard_size": True}, "shard size True: expected"),
        ({"shard_size": "²MB"}, "shard size '²MB': expected"),
        ({"shard_size": "0KB"}, "shard size '0KB': expected"),
        ({"sources": ["a", "./a/"]}, "the same source is named twice"),
        ({"sources": ["a", None]}, "model: expected a text, found None"),
        ({"sources": ["a", {"model": "b", "name": [1]}]}, "name: expected a text"),
        ({"sources": ["a", {"model": "b", "name": ""}]}, "name: expected a text"),
        ({"sources": [{"model": "a", "coefficient": 10**400}]}, "coefficient: int too large"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(read: Any, change: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        read({**PLAIN, **change})


def test_files_that_are_no_recipes(read: Any, tmp_path: Path) -> None:
    for text, match in (("- 1", "a recipe is a mapping"), ("a: [", r"r\.yaml, line 2: not valid YAML")):
        with pytest.raises(UsageError, match=match):
            read(text)
    with pytest.raises(UsageError, match="no method: name one of"):
        read({"sources": ["a"]})
    with pytest.raises(UsageError, match="no recipe"):
        document.read(tmp_path / "none.yaml")


def test_coefficients_are_equal_unless_said(read: Any) -> None:
    assert read({**PLAIN, "sources": ["a", "b", "c", "d"]}).merges[""].coefficients == (0.25,) * 4


def test_what_a_merge_says_goes_before_what_all_share(read: Any) -> None:
    merges = {"a": {}, "b": {"method": "average"}, "c": {"options": {"density": 0.5}, "preset": "peft"}}
    found = read({**PLAIN, "seed": 3, "merges": merges}).merges
    assert {name: recipe.method for name, recipe in found.items()} == {"a": "ties", "b": "average", "c": "ties"}
    assert {recipe.seed for recipe in found.values()} == {3}
    assert found["c"].options == {"trim_scope": "tensor", "elect": "equal", "tie": "positive", "divide": "count",
                                  "density": 0.5}  # fmt: skip


LINEAR = """
models:
  - {model: lab/a@1, parameters: {weight: 2.0}}
  - {model: lab/b@1, parameters: {weight: 1.0}}
merge_method: linear
dtype: float16
"""

TIES = """
merge_method: ties
base_model: lab/base@1
models:
  - model: lab/base@1
  - model: lab/a@1
    parameters: {density: 0.5, weight: 0.5}
  - model: lab/b@1
    parameters: {density: 0.5, weight: 0.3}
parameters: {normalize: true, int8_mask: true}
dtype: bfloat16
out_dtype: float32
"""


def test_a_linear_merge_of_mergekit(read: Any) -> None:
    found = read(LINEAR)
    assert (found.base, found.dtype, found.merges[""].method) == (None, "float16", "average")
    assert found.merges[""].coefficients == (2.0, 1.0)


def test_a_ties_merge_of_mergekit(read: Any) -> None:
    found = read(TIES)
    recipe = found.merges[""]
    assert [source.model for source in found.sources] == ["lab/a@1", "lab/b@1"]
    assert (found.base, found.dtype, recipe.coefficients) == ("lab/base@1", "float32", (0.5, 0.3))
    assert recipe.options == {"trim_scope": "tensor", "elect": "weighted", "tie": "positive", "divide": "weights",
                              "density": 0.5}  # fmt: skip


def mergekits(method: str, each: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    models = [{"model": name, "parameters": each or {}} for name in ("a", "b", "c")]
    return {"merge_method": method, "base_model": "base", "models": models, **more}


@pytest.mark.parametrize(
    ("method", "each", "shared", "ours", "options"),
    [
        ("task_arithmetic", {"weight": 0.5}, {"lambda": 0.7}, "task_arithmetic", {"scale": 0.7}),
        ("ties", {}, {"density": 0.3, "normalize": False}, "ties", {"density": 0.3, "divide": "none"}),
        ("dare_ties", {"density": 0.4}, {"rescale": True}, "ties", {"density": 1.0, "divide": "none"}),
        ("dare_linear", {"density": 0.4}, {}, "task_arithmetic", {}),
        ("breadcrumbs", {"density": 0.9, "gamma": 0.05}, {}, "breadcrumbs", {"density": 0.9, "gamma": 0.05}),
        ("breadcrumbs_ties", {"density": 0.9}, {"gamma": 0.05}, "breadcrumbs", {"ties": True}),
        ("della", {"density": 0.6, "epsilon": 0.1}, {}, "della", {"rescale": "norm", "divide": "weights"}),
        ("della_linear", {"density": 0.6}, {}, "della", {"epsilon": 0.15, "ties": False}),
        ("model_stock", {}, {"filter_wise": False}, "model_stock", {"clamp": False}),
        ("sce", {}, {"select_topk": 0.2}, "sce", {"density": 0.2}),
        ("multislerp", {"weight": 0.3}, {"eps": 1e-8}, "multislerp", {}),
        ("karcher", {}, {"max_iter": 50, "tol": 1e-5}, "karcher", {"iterations": 50}),
    ],
    ids=str,
)
def test_methods_of_mergekit(
    read: Any, method: str, each: dict[str, Any], shared: dict[str, Any], ours: str, options: dict[str, Any]
) -> None:
    recipe = read(mergekits(method, each, parameters=shared)).merges[""]
    assert recipe.method == ours
    assert {name: recipe.options[name] for name in options} == options
    assert recipe.dare == (Dare(0.6, rescale="norm") if method.startswith("dare") else None)


def test_a_slerp_of_mergekit(read: Any) -> None:
    said = {"merge_method": "slerp", "base_model": "a", "models": [{"model": "a"}, {"model": "b"}]}
    found = read({**said, "parameters": {"t": 0.25}})
    assert [source.model for source in found.sources] == ["a", "b"]
    assert found.merges[""].coefficients == (0.75, 0.25)
    assert found.base is None
    with pytest.raises(UsageError, match="t: a number is read here, not gradients or filters"):
        read({**said, "parameters": {"t": [0, 0.5, 1]}})


@pytest.mark.parametrize(
    ("said", "match"),
    [
        (mergekits("ties", slices=[]), "slices: of mergekit's keys these are read"),
        (mergekits("ties", modules={}), "modules: of mergekit's keys"),
        (mergekits("ties", tokenizer_source="union"), "tokenizer_source: of mergekit's keys"),
        (mergekits("ties", chat_template="auto"), "chat_template: of mergekit's keys"),
        (mergekits("nuslerp"), "unknown method of mergekit that Recount has too 'nuslerp'"),
        (mergekits("passthrough"), "unknown method of mergekit"),
        (mergekits("ties", {"density": [0.1, 0.5]}), "density: a number is read here, not gradients"),
        (mergekits("ties", {"density": [{"filter": "mlp", "value": 0.5}]}), "density: a number is read here"),
        (mergekits("ties", {"weight": [0.1, 0.5]}), "weight of a: a number is read here, not gradients"),
        (mergekits("ties", {"weigth": 0.5}), "unknown option of ties 'weigth'"),
        (mergekits("ties", parameters={"rescale": True}), "rescale: True has no counterpart for ties"),
        (mergekits("dare_ties", parameters={"rescale": False}), "rescale: False has no counterpart for dare_ties"),
        (mergekits("model_stock", parameters={"filter_wise": True}), "filter_wise: True has no counterpart"),
        (mergekits("karcher", parameters={"tol": 1e-9}), "tol: 1e-09 has no counterpart"),
        (mergekits("linear", parameters={"normalize": False}), "normalize: False has no counterpart for linear"),
        ({"merge_method": "ties", "base_model": "base", "models": "a"}, "models: expected a list"),
        ({"merge_method": "slerp", "models": [{"model": "a"}, {"model": "b"}]}, "slerp: expected a base_model"),
        (mergekits("slerp", parameters={"t": 0.5}), "slerp: expected a base_model and one other"),
    ],
    ids=str,
)
def test_what_mergekit_says_and_we_do_not_read(read: Any, said: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        read(said)


def test_a_density_for_each_model_is_refused(read: Any) -> None:
    said = mergekits("ties")
    for model, density in zip(said["models"], (0.3, 0.5, 0.5), strict=True):
        model["parameters"] = {"density": density}
    with pytest.raises(UsageError, match=r"density: one value for all models is read here, not \[0\.3, 0\.5, 0\.5\]"):
        read(said)


def test_relative_paths_begin_in_the_recipes_folder_and_mergekits_in_the_current_one(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert read(PLAIN).folder == tmp_path
    assert read(TIES).folder == tmp_path / "here"


def test_yaml_that_would_be_misread(read: Any) -> None:
    """What the library takes without a word, or what ends it."""
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefg", "bcdefgh", strict=True)
    )
    for text, match in (
        ("method: average\nsources: [a, b]\nmethod: ties\n", r"line 3: not valid YAML: the key 'method' comes twice"),
        ("sources:\n- {model: a, model: b}\n", r"line 2: .* the key 'model' comes twice"),
        ("sources: " + "[" * 100_000, "more than 100 levels deep"),
        ("sources: &s [*s]", r"\*s contains itself"),
        (bomb, "more than 1,000,000 values"),
        ("method: a\0", "not valid YAML in UTF-8: unacceptable character"),
    ):
        with pytest.raises(UsageError, match=match) as refused:
            read(text)
        assert "\n" not in str(refused.value)


def test_aliases_are_read(read: Any) -> None:
    found = read("method: &m ties\nbase: base\nsources: [a, b]\nmerges: {x: &x {method: *m}, y: *x, z: }\n")
    assert set(found.merges) == {"x", "y", "z"}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"merge_method": ["linear"]}, "unknown method of mergekit"),
        ({"parameters": [1]}, r"parameters: expected a mapping, found \[1\]"),
        ({"models": [{"model": "a", "parameters": "x"}]}, "parameters of a: expected a mapping"),
        ({"models": [{"model": "a", "weight": 1}]}, "weight of a: of a model's keys these are read"),
        ({"models": [{"model": "a", "parameters": {"weight": 10**400}}]}, "weight of a must be a finite number"),
        ({"merge_method": "dare_linear", "base_model": "b", "parameters": {"density": "x"}}, "density must be of type"),
    ],
    ids=str,
)
def test_what_is_wrong_in_mergekits_yaml_is_named(read: Any, change: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        read({"merge_method": "linear", "models": [{"model": "a"}], **change})
