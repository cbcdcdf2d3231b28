from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from causal_networks import same
from hypothesis import given, settings
from hypothesis import strategies as st
from made_adapters import deltas, drawn, family

from compute.adapters import adapter as plain
from compute.adapters import asking, leave_out
from compute.adapters.adapter import Adapter, Factors
from compute.adapters.asking import Asked
from compute.adapters.leave_out import problems, translate_all
from compute.adapters.problem import Space
from compute.adapters.recipes import LoraRecipe
from compute.adapters.spaces import grams, to_tree
from compute.adapters.training import initial
from compute.cells import adapters as adapting
from compute.cells import comparison, language_models, tasks, translation
from compute.cells.adapters import Answers
from compute.errors import UsageError
from compute.evaluation.answers.score import score
from compute.evaluation.metrics import wilson
from compute.evaluation.tasks import factorial
from compute.evaluation.tasks.examples_file import ExamplesFile
from compute.evaluation.tasks.task import Example, TaskData
from compute.evaluation.tasks.task import to_tree as data_tree
from compute.models import causal
from compute.models.causal import CausalModel
from compute.models.recipes import CausalArchitecture

RECIPE = LoraRecipe(batch=4, learning_rate=5e-3, steps=2, rank=2, alpha=4, max_length=16, together=4)
NAMES = ("math-add-plain", "math-max-plain", "code-copy-plain", "code-swap-shifted")
DOMAINS = {name: name.partition("-")[0] for name in NAMES}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    asking._LAST.clear()
    yield
    asking._LAST.clear()
    torch.set_num_threads(before)


@cache
def model(seed: int = 0) -> CausalModel:
    sizes = CausalArchitecture("llama", hidden=16, layers=2, heads=2, kv_heads=1, intermediate=16, max_length=16)
    return causal.new(sizes, factorial.tokenizer(), seed=seed)


@cache
def data() -> dict[str, dict[str, Any]]:
    known = {task.name: task for task in factorial.tasks(0, train=8, evaluation=8)}
    sources = {name: known[name].source for name in NAMES}
    return {name: tasks.task_data.function(source, name) for name, source in sources.items() if source}


def trained(
    names: Sequence[str] = NAMES, recipe: LoraRecipe = RECIPE, policy: str = "shared", **changes: Any
) -> dict[str, Adapter]:
    given = {"model": "Y", "data": {name: data()[name] for name in names}, "draw": 0, "start": 0} | changes
    found = adapting.trained.function(base=causal.to_tree(model()), tasks="", lora=recipe, policy=policy, **given)
    return {task: plain.from_tree(tree) for task, tree in found.items()}


def handle(seed: int = 0, loaded: list[int] | None = None) -> Any:
    def load() -> dict[str, Any]:
        if loaded is not None:
            loaded.append(seed)
        return causal.to_tree(model(seed))

    return SimpleNamespace(identity=(str(seed),), load=load)


def answered(adapters: Mapping[str, Adapter] | None, names: Sequence[str] = NAMES, base: Any = None) -> Answers:
    trees = adapters and {task: plain.to_tree(one) for task, one in adapters.items()}
    known = {name: data()[name] for name in names}
    found: Answers = adapting.answers.function(
        "what", base or handle(), trees, known, dict.fromkeys(names, "exact"), "", 16, 8, "float32"
    )
    return found


def unusable(name: str) -> dict[str, Any]:
    return {**data()[name], "facts": {**data()[name]["facts"], "problem": "it is gone"}}


# Training


def test_tasks_get_the_same_bits_however_they_are_grouped() -> None:
    together = trained()
    alone = {name: trained([name], LoraRecipe(**{**vars(RECIPE), "together": 1}))[name] for name in NAMES}
    assert list(together) == list(NAMES)
    assert all(same(together[name], alone[name]) for name in NAMES)


def test_adapters_begin_alike_or_each_by_itself() -> None:
    slow = LoraRecipe(**{**vars(RECIPE), "learning_rate": 1e-30})
    begun = {policy: trained(NAMES[:2], slow, policy) for policy in ("shared", "independent")}
    first, second = ([next(iter(one.modules.values())).a for one in found.values()] for found in begun.values())
    assert np.array_equal(*first)
    assert not np.array_equal(*second)
    audit = {policy: translation.start_audit.function(trees(found)) for policy, found in begun.items()}
    assert (audit["shared"]["shared"], audit["independent"]["shared"]) == (True, False)


def trees(found: Mapping[str, Adapter]) -> dict[str, Any]:
    return {task: plain.to_tree(one) for task, one in found.items()}


@pytest.mark.parametrize("change", [{"draw": 1}, {"start": 1}, {"model": "X"}])
def test_another_repetition_seed_or_model_begins_elsewhere(change: dict[str, Any]) -> None:
    (one,), (other,) = trained(NAMES[:1]).values(), trained(NAMES[:1], **change).values()
    assert not same(one, other)


def test_a_task_whose_data_cannot_be_used_is_not_trained_on_and_not_asked() -> None:
    found = trained(data={NAMES[0]: data()[NAMES[0]], NAMES[1]: unusable(NAMES[1])})
    assert list(found) == [NAMES[0]]
    asked = adapting.answers.function(
        "", handle(), None, {NAMES[1]: unusable(NAMES[1])}, {NAMES[1]: "exact"}, "", 16, 8, "float32"
    )
    assert asked == {}


def test_groups_are_joined_in_their_order() -> None:
    assert list(adapting.joined.function("", [{"b": 1}, {"a": 2, "c": 3}])) == ["b", "a", "c"]


# Asking


def louder(found: Mapping[str, Adapter], times: float = 300) -> dict[str, Adapter]:
    """Adapters that change what is answered."""
    return {
        task: Adapter({name: Factors(one.a, times * one.b, one.scale) for name, one in adapter.modules.items()})
        for task, adapter in found.items()
    }


def logits(network: Any) -> torch.Tensor:
    with torch.no_grad():
        return network(input_ids=torch.arange(12)[None]).logits  # type: ignore[no-any-return]


def test_tasks_are_scored_alike_together_and_alone() -> None:
    adapters = louder(trained())
    together = answered(adapters)
    assert list(together) == list(NAMES)
    assert together == {name: answered(adapters, [name])[name] for name in reversed(NAMES)}


def test_a_task_without_an_adapter_is_left_out_and_without_any_the_base_is_asked() -> None:
    assert list(answered(trained(NAMES[:1]))) == [NAMES[0]]
    assert list(answered(None)) == list(NAMES)


def test_a_score_says_what_was_right_and_of_which_questions() -> None:
    found = answered(None)
    assert {one["n"] for one in found.values()} == {8}
    assert {len(one["correct"]) for one in found.values()} == {8}
    assert found[NAMES[0]]["ids"] == found[NAMES[1]]["ids"], "tasks of one domain ask about the same inputs"
    assert found[NAMES[0]]["ids"] != found[NAMES[2]]["ids"]


def test_a_model_is_loaded_once_for_all_that_it_is_asked_in_a_row() -> None:
    loaded: list[int] = []
    for seed in (0, 0, 1, 1, 0):
        answered(None, NAMES[:1], handle(seed, loaded))
    assert loaded == [0, 1, 0]


def test_adapters_take_turns_and_leave_the_network_as_it_was() -> None:
    asked = Asked(model(), dtype="float32", device="cpu")
    before, (one, other) = logits(asked.network), list(louder(trained(NAMES[:2])).values())
    only_q = Adapter({name: factors for name, factors in one.modules.items() if name.endswith("q_proj")})
    seen = []
    for adapter in (one, other, only_q, None, one):
        asked._put(adapter)
        seen.append(logits(asked.network))
    assert torch.equal(seen[3], before)
    assert torch.equal(seen[4], seen[0])
    assert not any(torch.equal(one, after) for one, after in pairwise(seen))
    asked._put(None)
    assert torch.equal(logits(asked.network), before)
    assert [name for name, _ in asked.network.named_modules()] == [
        name for name, _ in model().network().named_modules()
    ]


def test_an_adapter_of_another_rank_takes_the_place_of_the_last() -> None:
    asked = Asked(model(), dtype="float32", device="cpu")
    found = [initial(model().network(), LoraRecipe(**{**vars(RECIPE), "rank": rank}), 0) for rank in (2, 4, 2)]
    seen = []
    for adapter in louder(dict(enumerate(map(_moved, found)))).values():  # type: ignore[arg-type]
        asked._put(adapter)
        seen.append(logits(asked.network))
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])


def _moved(adapter: Adapter) -> Adapter:
    return Adapter({name: Factors(one.a, one.b + 0.001, one.scale) for name, one in adapter.modules.items()})


def test_an_adapter_for_another_model_is_refused_and_the_next_is_asked() -> None:
    asked = Asked(model(), dtype="float32", device="cpu")
    fitting, before = louder(trained(NAMES[:1]))[NAMES[0]], logits(asked.network)
    asked._put(fitting)
    with pytest.raises(UsageError, match=r"does not fit|no linear module"):
        asked._put(drawn(0))
    asked._put(None)
    assert torch.equal(logits(asked.network), before)


@given(st.lists(st.booleans(), min_size=1), st.integers(0, 3))
def test_a_score_counts(correct: list[bool], failed: int) -> None:
    found = score(correct, [str(place) for place in range(len(correct))], "exact", failed=failed)
    assert found["accuracy"] == np.mean(correct)
    assert (found["low"], found["high"]) == wilson(sum(correct), len(correct))
    assert (found["n"], found["correct"], found["failed"], found["legacy"]) == (len(correct), correct, failed, None)


def test_a_score_tells_questions_and_their_order_apart() -> None:
    def ids(*names: str) -> str:
        return str(score([True] * len(names), names, "exact")["ids"])

    assert len({ids("a", "b"), ids("b", "a"), ids("ab"), ids("a,b"), ids("a")}) == 5
    assert score([True, False], ["a", "b"], "code", legacy=[True, True])["legacy"] == 1


def test_a_score_needs_an_example() -> None:
    with pytest.raises(ValueError, match="n > 0"):
        score([], [], "exact")


# Leaving out

SPACES: tuple[Space, ...] = ("factor", "b", "delta")
METHODS = ("mean", "domain_mean", "nearest", "global_ridge", "pertensor_ridge", "topk_pertensor_ridge", "pertensor_pca")


def posed(x: Mapping[str, Adapter], y: Mapping[str, Adapter], space: Space, **changes: Any) -> Any:
    domains = {name: ("math", "code")[number % 2] for number, name in enumerate(dict.fromkeys([*x, *y]))}
    seeds = {name: number for number, name in enumerate(domains)}
    given = {"tasks": list(x), "candidates": list(domains), "truth": False} | changes
    return problems(grams(x, space), grams(y, space), domains=domains, seeds=seeds, **given)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from(METHODS), st.sampled_from(SPACES), st.integers(0, 5))
def test_a_tasks_own_adapter_on_y_never_plays_a_part(seed: int, method: str, space: Space, place: int) -> None:
    x, y = family(seed, 6), family(seed + 1, 6, layers=2)
    task = list(x)[place]
    other = {**y, task: drawn(seed + 77, layers=2)}
    one, two = (
        translate_all(posed(x, mine, space, tasks=[task]), mine, method, {}, space)[task] for mine in (y, other)
    )
    assert same(one, two)


@pytest.mark.parametrize("space", SPACES)
def test_each_is_translated_by_all_others(space: Space) -> None:
    x, y = family(1, 5), family(2, 5, layers=2)
    found = posed(x, y, space)
    assert {task: set(one.anchors) for task, one in found.items()} == {task: {*x} - {task} for task in x}
    together = translate_all(found, y, "pertensor_ridge", {}, space)
    for task, one in found.items():
        alone = translate_all({task: one}, y, "pertensor_ridge", {}, space)[task]
        for at, delta in deltas(alone).items():
            np.testing.assert_allclose(deltas(together[task])[at], delta, rtol=1e-3, atol=1e-4)


def test_the_mean_of_factors_is_the_mean_of_all_others() -> None:
    x, y = family(1, 4), family(2, 4)
    found = translate_all(posed(x, y, "factor"), y, "mean", {}, "factor")
    for task, one in found.items():
        others = [adapter for name, adapter in y.items() if name != task]
        for at in one.places:
            np.testing.assert_allclose(one[at].a, np.mean([other[at].a for other in others], axis=0), atol=1e-6)


@pytest.mark.parametrize("lacking", ["X", "Y"])
def test_a_candidate_without_an_adapter_on_both_is_no_anchor(lacking: str) -> None:
    x, y = family(1, 5), family(2, 5)
    (y if lacking == "Y" else x).pop("task 3")
    found = posed(x, y, "factor", tasks=["task 0", "task 3"])
    assert found["task 0"].anchors == ("task 1", "task 2", "task 4")
    assert list(found) == (["task 0"] if lacking == "X" else ["task 0", "task 3"]), "it can be translated all the same"
    assert "task 3" not in posed(x, y, "factor", tasks=["task 0", "task 3"], truth=True)


def test_without_tasks_nothing_is_translated() -> None:
    assert translate_all({}, {}, "mean", {}, "factor") == {}


def test_a_model_translated_to_itself_fits_as_well_as_can_be() -> None:
    y = family(2, 6)
    whole = grams(y, "delta")
    found = leave_out.diagnose(whole, whole, posed(y, y, "delta", truth=True), "span_ceiling", {})
    assert found["cka"] == pytest.approx(1)
    assert found["r2"] == pytest.approx(found["ceiling_r2"])
    assert leave_out.left_out_error(whole, whole, list(y), 1e12) == pytest.approx(1), "all is shrunk to the mean"


# Translating


def translated(x: Mapping[str, Adapter], y: Mapping[str, Adapter], method: str, space: Space, **changes: Any) -> Any:
    names = [*x]
    given: dict[str, Any] = {"tasks": names, "candidates": names, "options": {}, "start": 0} | changes
    found = translation.translated.function(
        SimpleNamespace(load=lambda: trees(x)), trees(y), to_tree(grams(x, space)), to_tree(grams(y, space)),
        domains=dict.fromkeys(names, "math"), method=method, space=space, pool="all", **given,
    )  # fmt: skip
    return {task: plain.from_tree(tree) for task, tree in found.items()}


@pytest.mark.parametrize("method", ["mean", "permuted", "random_norm", "pertensor_mlp", "span_ceiling"])
def test_a_translation_does_not_depend_on_what_else_is_translated(method: str) -> None:
    x, y = family(1, 5), family(2, 5)
    every = translated(x, y, method, "factor")
    alone = translated(x, y, method, "factor", tasks=["task 2"])
    assert list(every) == list(x)
    for at, delta in deltas(alone["task 2"]).items():
        np.testing.assert_allclose(deltas(every["task 2"])[at], delta, rtol=1e-3, atol=1e-4)


def test_seeds_decide_what_is_drawn() -> None:
    x, y = family(1, 5), family(2, 5)
    first, again, other = (translated(x, y, "random_norm", "delta", start=start)["task 0"] for start in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)


def test_options_reach_the_method() -> None:
    x, y = family(1, 6), family(2, 6)
    stiff = translated(x, y, "pertensor_ridge", "factor", options={"relative_lambda": 1e9})
    mean = translated(x, y, "mean", "factor")
    for at, delta in deltas(mean["task 0"]).items():
        np.testing.assert_allclose(deltas(stiff["task 0"])[at], delta, rtol=1e-3, atol=1e-3)


def test_a_method_of_the_bases_sees_the_bases_and_no_anchor() -> None:
    adapters = trained()
    bases = {"base_x": handle(0), "base_y": handle(1)}
    found = translated(adapters, adapters, "cross_lora", "delta", **bases)
    fewer = translated(adapters, adapters, "cross_lora", "delta", candidates=NAMES[:2], **bases)
    assert list(found) == list(NAMES)
    assert same(found[NAMES[3]], fewer[NAMES[3]])
    onto_itself = translated(adapters, adapters, "cross_lora", "delta", base_x=handle(0), base_y=handle(0))
    for at, delta in deltas(adapters[NAMES[0]]).items():
        if at.kind == "self_attn.q_proj":  # a square module, of whose space nothing is lost
            np.testing.assert_allclose(deltas(onto_itself[NAMES[0]])[at], delta, atol=1e-4)


def test_nearest_anchors_are_named_and_counted() -> None:
    x = family(1, 4)
    x["twin"] = x["task 0"]
    domains = {name: ("code" if name == "task 3" else "math") for name in x}
    tree = translation.grams.function(trees(x), "factor")
    found = translation.nearest_anchors.function(tree, list(x), domains, "raw cosine", 1)
    assert found["task 0"] == {"names": ["twin"], "same_domain": 1}
    assert translation.nearest_of.function("task 0", "raw cosine", found)["names"] == "twin"
    counted = translation.hubs.function({"raw cosine": found}, list(x), domains)
    assert sum(row["times"] for row in counted) == len(x)
    assert [row["times"] for row in counted] == sorted((row["times"] for row in counted), reverse=True)
    assert {row["of"] for row in counted} == {len(x)}


def test_diagnostics_and_errors_of_leaving_out_come_from_grams_alone() -> None:
    x, y = family(1, 6), family(2, 6)
    both = [translation.grams.function(trees(adapters), "delta") for adapters in (x, y)]
    domains = dict.fromkeys(x, "math")
    found = translation.diagnosed.function(*both, list(x), list(x), domains, "mean", {}, "delta", "all", 0, "shared", 0)
    assert set(found) >= {"cka", "norm", "effective", "r2", "cosine", "ceiling_r2"}
    assert found["r2"] == pytest.approx(0), "r² is against the mean"
    assert found["effective"] == pytest.approx(5)
    assert translation.left_out.function(*both, list(x), "delta", 0.1)["loo"] > 0


# Comparing


def told(**correct: str) -> Answers:
    """Scores of tasks by which answers are right, a letter y or n each."""
    rights = {task: [letter == "y" for letter in letters] for task, letters in correct.items()}
    return {
        task.replace("_", "-"): score(right, list(map(str, range(len(right)))), "exact")
        for task, right in rights.items()
    }


BASE, ORACLE = told(a="n" * 40, b="n" * 40), told(a="y" * 40, b="y" * 20 + "n" * 20)
MEAN, METHOD = told(a="y" * 10 + "n" * 30, b="n" * 40), told(a="y" * 30 + "n" * 10, b="y" * 5 + "n" * 35)
RUN = {"method": [METHOD], "mean": [MEAN], "base": [BASE], "oracle": [ORACLE]}


def test_a_score_is_found_in_its_group() -> None:
    halves = [{"a": METHOD["a"]}, {"b": METHOD["b"]}]
    assert comparison.score_of.function("", "b", halves) == METHOD["b"]


def test_of_a_task_that_was_left_out_all_numbers_are_none_and_why_is_said() -> None:
    lacking = {**RUN, "base": [{"a": BASE["a"]}]}
    pair = {"first": [METHOD], "second": [{}]}
    found = [
        comparison.score_of.function("", "b", lacking["base"]),
        comparison.gate.function("b", lacking["base"], lacking["oracle"], 0),
        comparison.outcome.function("", "b", **lacking, seed=0),
        comparison.pooled.function("", ["b"], [lacking], 0),
        comparison.beside.function("", [["b"]], [pair], 0),
    ]
    for one in found:
        assert "audit of the data" in one["why"]
        assert one["n"] == 0
        assert not any(one[name] for name in one if name not in ("why", "n"))
    assert comparison.document_gap.function("b", {"mean": [MEAN]}, lacking["base"], [ORACLE]) == {"value": None}
    assert comparison.document_criterion.function(["c"], {"ridge": [METHOD]}, [MEAN]) == {"value": None}
    assert comparison.over_draws.function("", [found[3]])["accuracy"] is None
    assert comparison.domain_gap.function("math", [{"value": None}], found[3])["why"]


def test_an_outcome_is_a_difference_to_the_mean_and_a_share_of_the_gap() -> None:
    found = comparison.outcome.function("", "a", **RUN, seed=0)
    assert (found["difference"], found["n"], found["value"], found["why"]) == (0.5, 40, 0.75, "")
    assert found["low"] < 0.5 < found["high"]
    assert found["p"] < 0.001


def test_no_gap_is_given_where_the_oracle_gains_nothing() -> None:
    given = {**RUN, "oracle": [BASE]}
    assert comparison.gate.function("a", [BASE], [BASE], 0)["usable"] is False
    found = comparison.outcome.function("", "a", **given, seed=0)
    assert found["value"] is None
    assert found["why"]


def test_systems_that_were_asked_other_questions_are_not_compared() -> None:
    other = {"a": {**ORACLE["a"], "ids": "others"}}
    with pytest.raises(ValueError, match="a: systems were asked different questions"):
        comparison.gate.function("a", [BASE], [other], 0)


def test_a_method_is_pooled_over_tasks_and_runs() -> None:
    one = comparison.pooled.function("", ["a", "b"], [RUN], 0)
    assert one["gap"] == pytest.approx((30 + 5) / (40 + 20))
    assert one["difference"] == pytest.approx((20 / 40 + 5 / 40) / 2)
    assert (one["tasks"], one["of"], one["wins"]) == (2, 2, 2)
    two = comparison.pooled.function("", ["a", "b"], [RUN, {**RUN, "method": [MEAN]}], 0)
    assert two["gap"] == pytest.approx((35 + 10) / 120)
    assert two["of"] == 4


def test_a_task_that_one_system_lacks_is_left_out_of_the_pool() -> None:
    lacking = {**RUN, "oracle": [{"a": ORACLE["a"]}]}
    assert comparison.pooled.function("", ["a", "b"], [lacking], 0)["of"] == 1
    assert comparison.document_criterion.function(["a", "c"], {"ridge": [METHOD]}, [MEAN])["value"] == 0.5


def test_two_ways_are_compared_on_what_both_answered() -> None:
    pairs = [{"first": [METHOD], "second": [MEAN]}, {"first": [METHOD], "second": [{"a": METHOD["a"]}]}]
    found = comparison.beside.function("", [["a", "b"], ["a", "b"]], pairs, 0)
    assert found["difference"] == pytest.approx((0.5 + 0.125 + 0) / 3)
    assert (found["tasks"], found["wins"]) == (3, 2)
    assert comparison.beside.function("", [["b"], []], pairs, 0)["difference"] == pytest.approx(0.125)


def test_draws_are_summed_up_by_their_ends() -> None:
    pools = [{"gap": gap, "accuracy": 0.5} for gap in (0.2, None, 0.6)]
    found = comparison.over_draws.function("", pools)
    assert found == {"gap": pytest.approx(0.4), "low": 0.2, "high": 0.6, "draws": 3, "accuracy": 0.5}
    assert comparison.over_draws.function("", pools[1:2])["gap"] is None


def test_the_documents_rules_take_the_best_on_the_test() -> None:
    methods = {"mean": [MEAN], "ridge": [METHOD]}
    gap = comparison.document_gap.function("a", methods, [BASE], [ORACLE])
    assert gap == {"value": pytest.approx(0.75)}
    pooled = comparison.pooled.function("", ["a"], [RUN], 0)
    found = comparison.domain_gap.function("math", [gap], pooled)
    assert (found["document"], found["pooled"], found["why"]) == (pytest.approx(0.75), pooled["gap"], "")
    nothing = comparison.domain_gap.function("math", [gap], {**pooled, "gap": None, "low": None, "high": None})
    assert "no task" in nothing["why"]
    criterion = comparison.document_criterion.function(["a", "b"], {"ridge": [METHOD], "other": [BASE]}, [MEAN])
    assert criterion["value"] == pytest.approx((0.5 + 0.125) / 2)


# Data


def test_data_come_from_a_file_and_are_audited(tmp_path: Path) -> None:
    path = tmp_path / "sums.jsonl"
    path.write_text('{"prompt": "1+1=", "target": "2"}\n{"prompt": "2+2=", "target": "4", "split": "train"}\n')
    source = ExamplesFile(path, "exact")
    found = tasks.task_data.function(source, "sums")
    assert [one["prompt"] for one in found["evaluation"]] == ["1+1="]
    audit = tasks.audited.function("sums", "exact", found)
    assert (audit["dataset"], audit["n_train"], audit["n_evaluation"]) == ("sums.jsonl", 1, 1)
    assert audit["status"] == "degraded"
    assert "only 1 examples" in audit["reason"]
    assert tasks.audited.function("sums", "exact", {**found, "facts": {"problem": "gone"}})["status"] == "dropped"


def test_a_file_of_examples_is_known_by_its_bytes_and_not_by_its_place(tmp_path: Path) -> None:
    found = []
    for name in ("one.jsonl", "two.jsonl"):
        (tmp_path / name).write_text('{"prompt": "1+1=", "target": "2"}\n')
        found.append(ExamplesFile(tmp_path / name, "exact").identity(lambda path: path.read_text()))
    assert found[0] == found[1]
    assert found[0] != ExamplesFile(tmp_path / name, "number").identity(lambda path: path.read_text())
    with pytest.raises(UsageError, match="no examples in"):
        ExamplesFile(tmp_path / "none.jsonl", "exact").identity(lambda path: "")


def test_what_an_anchor_trains_on_and_a_held_out_task_asks_is_listed() -> None:
    asked = [Example("0", "what is two and two", "4"), Example("1", "what is two and three", "5")]
    anchor = data_tree(TaskData(asked[:1], asked[:1], {"problem": ""}))
    held_out = data_tree(TaskData([], asked, {"problem": ""}))
    (row,) = tasks.overlaps.function({"anchor": anchor}, {"held out": held_out})
    assert (row["anchor"], row["task"], row["exact"]) == ("anchor", "held out", 1)
    assert tasks.overlaps.function({}, {"held out": held_out}) == []


def test_skills_are_listed_by_model() -> None:
    taught = {"X": {"model": {}, "steps": 5, "skills": [{"skill": "s", "accuracy": 0.5}]}}
    assert language_models.skills.function(taught) == [{"model": "X", "steps": 5, "skill": "s", "accuracy": 0.5}]
    assert language_models.language_model.function("X", taught["X"]) == {}
