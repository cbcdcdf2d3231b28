"""The cells that learn from data how to merge, as a study would write them, on models that take seconds to make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from compute.cells import data, merging_data, models
from compute.engine.cell import Cell, replace_cells
from compute.engine.code import Code
from compute.errors import UsageError
from compute.evaluation.sources import PhrasebookData
from compute.models.recipes import Architecture, Finetuning, Pretraining

LOCALES = ["sq-AL", "de-DE", "it-IT"]
SOURCES = ["de-DE", "it-IT"]
SHARES = [0.5, 0.5]
STEPS = {"steps": 8, "learning_rate": 0.02}


class Values:
    """The results of cells, each computed once."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def of(self, cell: Cell) -> Any:
        if cell.key not in self._known:
            self._known[cell.key] = self.anew(cell)
        return self._known[cell.key]

    def anew(self, cell: Cell) -> Any:
        arguments = {
            name: replace_cells(value, self.handle if name in cell.function.lazy else self.of)
            for name, value in cell.arguments.items()
        }
        seed = {} if cell.seed is None else {"seed": cell.seed}
        return cell.function.function(**{**arguments, **seed})

    def handle(self, cell: Cell) -> Handle:
        return Handle(cell, self)


@dataclass(frozen=True)
class Handle:
    cell: Cell
    values: Values

    def load(self) -> Any:
        return self.values.of(self.cell)

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.cell.key,)


@dataclass(frozen=True)
class Zoo:
    corpora: dict[str, Cell]
    base: Cell
    experts: dict[str, Cell]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def values() -> Values:
    return Values()


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    source = PhrasebookData(seed=0, train=8, dev=4, test=4)
    corpora = {locale: data.utterances(source, locale) for locale in LOCALES}
    tokenizer = models.tokenizer(corpora, 400)
    architecture = Architecture(hidden=16, layers=2, heads=2, vocabulary=400, max_length=24)
    base = models.base(corpora, tokenizer, architecture, Pretraining(steps=5, batch=16, learning_rate=0.003), 0)
    finetuning = Finetuning(epochs=2, batch=16, learning_rate=0.01)
    packed = {locale: models.expert(base, corpora[locale], finetuning, locale, 0) for locale in SOURCES}
    experts = {locale: models.unpacked(base, expert) for locale, expert in packed.items()}
    return Zoo(corpora, base, experts)


def adapted(zoo: Zoo, batch: int = 10_000, **options: Any) -> tuple[Cell, Cell]:
    target, given = zoo.corpora["sq-AL"], {**STEPS, **options}
    learnt = merging_data.adapted_coefficients(zoo.base, zoo.experts, SOURCES, SHARES, given, target, "sq-AL", 0, batch)
    return learnt, merging_data.merged_as_adapted(zoo.base, zoo.experts, SOURCES, given, learnt)


def searched(zoo: Zoo, **more: Any) -> Cell:
    options = {"density": [0.1, 0.5, 1.0], "scale": [0.5, 1.0]}
    given = {"budgets": [10, 40], "points": 2, **more}
    return merging_data.searched(
        zoo.base, zoo.experts, SOURCES, SHARES, "ties", options, zoo.corpora["sq-AL"], "sq-AL", seed=0, **given
    )


def statistics(zoo: Zoo, kind: str) -> dict[str, Cell]:
    if kind == "grams":
        return {name: merging_data.grams(zoo.experts[name], zoo.corpora[name], name, 30, 0) for name in SOURCES}
    return {name: merging_data.fisher(zoo.experts[name], zoo.corpora[name], name, 10, 0, samples=1) for name in SOURCES}


def by_statistics(zoo: Zoo, method: str) -> Cell:
    kind = {"fisher": "fisher", "regmean": "grams"}[method]
    known = {kind: statistics(zoo, kind)}
    return merging_data.merged_by_statistics(zoo.base, zoo.experts, SOURCES, SHARES, method, {}, known)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("method", ["fisher", "regmean"])
def test_statistics_of_the_experts_make_another_merge_than_their_mean(zoo: Zoo, values: Values, method: str) -> None:
    found = values.of(by_statistics(zoo, method))
    mean = values.of(models.merged(zoo.base, zoo.experts, SOURCES, SHARES, "average", {}, 0.0, 0))
    assert found["tensors"].keys() == mean["tensors"].keys()
    assert not same(found["tensors"], mean["tensors"])
    assert all(tensor.isfinite().all() for tensor in found["tensors"].values())
    assert same(found["tensors"], values.anew(by_statistics(zoo, method))["tensors"])


def test_statistics_are_of_training_utterances(zoo: Zoo, values: Values) -> None:
    corpus = values.of(zoo.corpora["de-DE"])
    shuffled = corpus.assign(utt=corpus["utt"].where(corpus["partition"] == "train", "etwas anderes"))
    expert = values.of(zoo.experts["de-DE"])
    for cell, more in ((merging_data.fisher, {"samples": 1}), (merging_data.grams, {})):
        one, other = (cell.function(expert, rows, "de-DE", 20, 3, **more) for rows in (corpus, shuffled))
        assert same(one, other)


def test_the_labels_of_the_empirical_information_are_those_of_its_utterances(zoo: Zoo, values: Values) -> None:
    corpus, expert = values.of(zoo.corpora["de-DE"]), values.of(zoo.experts["de-DE"])
    wrong = corpus.assign(intent=corpus["intent"].iloc[0])
    one, other = (
        merging_data.fisher.function(expert, rows, "de-DE", 20, 3, kind="empirical") for rows in (corpus, wrong)
    )
    assert not same(one, other)


@pytest.mark.parametrize("layerwise", [False, True])
def test_adapting_lowers_the_entropy_and_is_deterministic(zoo: Zoo, values: Values, layerwise: bool) -> None:
    learnt, _ = adapted(zoo, layerwise=layerwise)
    found = values.of(learnt)
    assert len(found["entropies"]) == STEPS["steps"]
    assert found["entropies"][-1] < found["entropies"][0]
    rows = np.stack(list(found["coefficients"].values()))
    assert ((rows >= 0) & (rows <= 1)).all()
    assert (len(np.unique(rows, axis=0)) > 1) == layerwise
    again = values.anew(learnt)
    assert again["entropies"] == found["entropies"]
    assert (np.stack(list(again["coefficients"].values())) == rows).all()


@pytest.mark.parametrize("trimmed", [False, True])
def test_a_merge_as_adapted_has_the_learnt_coefficients(zoo: Zoo, values: Values, trimmed: bool) -> None:
    learnt, merge = adapted(zoo, trimmed=trimmed, density=0.5)
    name = "roberta.encoder.layer.0.output.dense.weight"
    base, found = values.of(zoo.base)["tensors"], values.of(merge)["tensors"]
    coefficients = values.of(learnt)["coefficients"][name]
    vectors = [values.of(zoo.experts[source])["tensors"][name] - base[name] for source in SOURCES]
    expected = base[name] + sum(float(c) * vector for c, vector in zip(coefficients, vectors, strict=True))
    assert torch.allclose(found[name], expected, atol=1e-6) != trimmed
    assert not torch.equal(found[name], base[name])


def test_adapting_sees_dev_utterances_alone_and_no_label(zoo: Zoo, values: Values) -> None:
    corpus = values.of(zoo.corpora["sq-AL"])
    hidden = corpus.assign(
        intent="unknown", utt=corpus["utt"].where(corpus["partition"] == "dev", "nothing of this is seen")
    )
    handles = {name: values.handle(cell) for name, cell in zoo.experts.items()}
    one, other = (
        merging_data.adapted_coefficients.function(
            values.of(zoo.base), handles, SOURCES, SHARES, {"steps": 2}, rows, "sq-AL", 5, batch=4
        )
        for rows in (corpus, hidden)
    )
    assert one["entropies"] == other["entropies"]


def test_a_search_finds_the_best_of_its_last_round_and_tells_all(zoo: Zoo, values: Values) -> None:
    found = values.of(searched(zoo))
    history = found["history"]
    assert [trial["examples"] for trial in history] == [10] * 18 + [40] * 9
    last = history[18:]
    assert max(trial["accuracy"] for trial in last) == next(
        trial["accuracy"]
        for trial in last
        if (trial["options"], trial["coefficients"]) == (found["options"], found["coefficients"])
    )
    assert history[0]["coefficients"] == SHARES
    assert len({tuple(trial["coefficients"]) for trial in history}) == 2
    assert values.anew(searched(zoo)) == found


def test_a_merge_as_searched_is_the_merge_that_won(zoo: Zoo, values: Values) -> None:
    search = searched(zoo)
    found = values.of(search)
    result = values.of(merging_data.merged_as_searched(zoo.base, zoo.experts, SOURCES, "ties", search))
    by_hand = models.merged(zoo.base, zoo.experts, SOURCES, found["coefficients"], "ties", found["options"], 0.0, 0)
    assert same(result["tensors"], values.of(by_hand)["tensors"])


def test_a_search_sees_dev_utterances_alone(zoo: Zoo, values: Values) -> None:
    corpus = values.of(zoo.corpora["sq-AL"])
    hidden = corpus.assign(intent=corpus["intent"].where(corpus["partition"] == "dev", "unknown"))
    handles = {name: values.handle(cell) for name, cell in zoo.experts.items()}
    one, other = (
        merging_data.searched.function(
            values.of(zoo.base), handles, SOURCES, SHARES, "ties", {"density": [0.1, 1.0]}, rows, "sq-AL", [4, 9], 5
        )
        for rows in (corpus, hidden)
    )
    assert one == other


def test_a_method_that_needs_more_cannot_be_searched(zoo: Zoo, values: Values) -> None:
    cell = merging_data.searched(
        zoo.base, zoo.experts, SOURCES, SHARES, "fisher", {}, zoo.corpora["sq-AL"], "sq-AL", [4], 0
    )
    with pytest.raises(UsageError, match="fisher needs fisher from data"):
        values.of(cell)


def test_all_that_the_cells_use_can_be_followed(zoo: Zoo) -> None:
    code, search = Code(), searched(zoo)
    learnt, merge = adapted(zoo)
    cells = {
        "adamerging": [learnt, merge],
        "fisher": [by_statistics(zoo, "fisher")],
        "regmean": [by_statistics(zoo, "regmean")],
        "ties": [search, merging_data.merged_as_searched(zoo.base, zoo.experts, SOURCES, "ties", search)],
    }
    always = {"average", "best_source", "keep_base", "seen_rows"}
    for method, group in cells.items():
        for cell in group:
            assert code.widened(cell) == []
            parts = {name.partition(":")[0] for name in code.parts(cell)}
            found = {name.rpartition(".")[2] for name in parts if name.startswith("compute.merging.methods.")}
            assert found - always == {method}, cell.name
    for kind in ("fisher", "grams"):
        assert all(code.widened(cell) == [] for cell in statistics(zoo, kind).values())


def test_an_expert_is_kept_as_what_differs_from_its_base(values: Values, zoo: Zoo) -> None:
    """Fine-tuning without weight decay leaves the tokens that a locale lacks alone: their rows are not stored."""
    (packed,) = (cell for cell in zoo.experts["de-DE"].arguments.values() if cell.function.name.endswith("expert"))
    kept, whole = values.of(packed)["tensors"], values.of(zoo.experts["de-DE"])["tensors"]
    table = next(name for name in whole if name.endswith("word_embeddings.weight"))
    moved = (whole[table] != values.of(zoo.base)["tensors"][table]).any(dim=1)
    assert table not in kept
    assert kept[f"{table}#rows"].tolist() == moved.nonzero().flatten().tolist()
    assert 0 < int(moved.sum()) < len(moved)


def test_what_a_process_found_by_ranking_serves_the_next_merge_and_changes_nothing(values: Values, zoo: Zoo) -> None:
    def ties(sources: list[str], density: float = 0.3) -> Any:
        cell = models.merged(zoo.base, zoo.experts, sources, [1.0] * len(sources), "ties", {"density": density}, 0.0, 0)
        return values.anew(cell)["tensors"]

    models._Known._found.clear()
    first = ties(SOURCES)
    found = dict(models._Known._found)
    again, other = ties(SOURCES), ties(SOURCES, density=0.5)
    assert found
    assert len(models._Known._found) == 2 * len(found), "another density is ranked anew"
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    models._Known._found.clear()
    assert all(torch.equal(first[name], tensor) for name, tensor in ties(SOURCES).items())


def test_a_refitted_head_knows_the_sources_better_than_one_of_noise(values: Values, zoo: Zoo) -> None:
    plain = models.merged(zoo.base, zoo.experts, SOURCES, SHARES, "average", {}, 0.0, 0)
    cell = merging_data.refitted(plain, zoo.corpora, SOURCES)
    before, after = values.of(plain), values.of(cell)
    last = ("classifier.out_proj.weight", "classifier.out_proj.bias")
    assert {
        name for name, tensor in after["tensors"].items() if not torch.equal(tensor, before["tensors"][name])
    } == set(last)
    rows = values.of(zoo.corpora["de-DE"]).query("partition == 'train'")
    noise = {
        **before,
        "tensors": {**before["tensors"], **{name: torch.randn_like(before["tensors"][name]) for name in last}},
    }
    assert merging_data._accuracy(after, rows) > merging_data._accuracy(noise, rows) + 0.1
