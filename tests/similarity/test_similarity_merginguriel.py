"""The predecessor's choice of sources, against its rules written down once more, and on the data it was made on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from compute import plugins
from compute.cells import similarity as cells
from compute.locales import LOCALES, PREDECESSOR_LOCALES
from compute.merging.coefficients.sinkhorn import sinkhorn as sinkhorn_shares
from compute.similarity import real, uriel
from compute.similarity.selection.merginguriel import merginguriel
from compute.similarity.selection.top_k import top_k
from compute.sinkhorn import sinkhorn_weights

Matrix = NDArray[np.float64]
EVERY = range(len(PREDECESSOR_LOCALES))


def weights_there(similarity: Matrix, keep: int = 20) -> Matrix:
    """What the predecessor makes of a similarity matrix, step by step."""
    kept = similarity.copy()
    size = len(kept)
    if kept.diagonal().sum() == size:
        np.fill_diagonal(kept, 0)
    for row in range(size):
        if size > keep:
            smallest = sorted(kept[row].tolist(), reverse=True)[keep - 1]
            kept[row] = [value if value >= smallest else 0.0 for value in kept[row]]
    for _ in range(20):
        kept = kept / (kept.sum(axis=1, keepdims=True) + 1e-9)
        kept = kept / (kept.sum(axis=0, keepdims=True) + 1e-9)
    return kept


def chosen_there(similarity: Matrix, target: int, count: int, *, with_target: bool) -> list[tuple[int, float]]:
    row = weights_there(similarity)[target].tolist()
    found = []
    if with_target and row[target] > 0:
        found.append((target, row[target]))
    for source, weight in enumerate(row):
        if source == target or weight <= 0:
            continue
        if with_target and (count == 1 or len(found) >= count):
            break
        found.append((source, weight))
    return sorted(found, key=lambda pair: pair[1], reverse=True)[:count]


def candidates(size: int, target: int, *, with_target: bool) -> list[int]:
    return [source for source in range(size) if with_target or source != target]


@given(
    st.integers(3, 32),
    st.integers(0, 999),
    st.integers(2, 6),
    st.booleans(),
    st.sampled_from([2, 8, 10**6]),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_the_choice_is_that_of_the_predecessor(
    size: int, seed: int, count: int, with_target: bool, levels: int, best_at_home: bool
) -> None:
    random = np.random.default_rng(seed)
    matrix = random.integers(0, levels, (size, size), endpoint=True) / levels  # few levels: many ties
    if best_at_home:
        np.fill_diagonal(matrix, 1 - 1 / 64)
    assume(matrix.diagonal().sum() != size)
    target = int(random.integers(size))
    pool = candidates(size, target, with_target=with_target)
    count = min(count, len(pool))
    there = chosen_there(matrix, target, count, with_target=with_target)
    found = merginguriel(matrix, target, pool, count, seed=0)
    assert found[: len(there)] == [source for source, _ in there]
    weights = sinkhorn_weights(matrix)[target]
    assert weights[found[: len(there)]].tolist() == [weight for _, weight in there], "to the last bit"
    assert not weights[found[len(there) :]].any(), "what it does not choose fills up without weight"


def test_its_coefficients_are_the_weights_of_the_chosen_divided_by_their_sum() -> None:
    matrix = np.random.default_rng(5).uniform(0.1, 0.9, (30, 30))
    there = chosen_there(matrix, 7, 5, with_target=False)
    shares = sinkhorn_shares(matrix, 7, merginguriel(matrix, 7, candidates(30, 7, with_target=False), 5, seed=0))
    total = sum(weight for _, weight in there)
    assert shares == pytest.approx([weight / total for _, weight in there], rel=1e-14)


def test_with_the_target_the_first_of_the_matrix_are_taken_whatever_their_weight() -> None:
    matrix = np.full((6, 6), 0.2)
    np.fill_diagonal(matrix, 0.9)
    matrix[2, 5] = 0.8
    assert merginguriel(matrix, 2, range(6), 3, seed=0)[0] == 2
    assert set(merginguriel(matrix, 2, range(6), 3, seed=0)) == {0, 1, 2}
    assert merginguriel(matrix, 2, [0, 1, 3, 4, 5], 1, seed=0) == [5]


def test_sources_without_weight_fill_up_in_the_order_of_the_matrix() -> None:
    matrix = np.eye(5) * 0.5
    matrix[0, 3] = 0.4
    assert merginguriel(matrix, 0, [4, 3, 2, 1], 3, seed=0) == [3, 1, 2]


@pytest.fixture(scope="module")
def exact() -> Matrix:
    return uriel.similarity(PREDECESSOR_LOCALES, codes="macro")


@pytest.fixture(scope="module")
def rounded() -> Matrix:
    """As scikit-learn computes cosines, by which the predecessor made its file: ones only up to rounding."""
    features = uriel.vectors([LOCALES[code].macro for code in PREDECESSOR_LOCALES])
    units = features / np.sqrt((features**2).sum(axis=1, keepdims=True))
    return (units @ units.T + 1) / 2


def excluding(matrix: Matrix, target: int) -> list[int]:
    return merginguriel(matrix, target, candidates(len(matrix), target, with_target=False), 5, seed=0)


def nearest(matrix: Matrix, target: int, count: int) -> set[int]:
    return set(top_k(matrix, target, candidates(len(matrix), target, with_target=False), count, seed=0))


def test_on_uriel_48_of_50_targets_get_other_sources_than_their_most_similar(exact: Matrix) -> None:
    shared = [len(set(excluding(exact, target)) & nearest(exact, target, 5)) for target in EVERY]
    assert sum(number < 5 for number in shared) == 48
    assert np.mean(shared) == pytest.approx(1.86)


def test_albanian_gets_arabic_welsh_finnish_dutch_and_french(exact: Matrix) -> None:
    albanian = PREDECESSOR_LOCALES.index("sq-AL")
    chosen = [PREDECESSOR_LOCALES[source] for source in excluding(exact, albanian)]
    assert chosen == ["ar-SA", "cy-GB", "fi-FI", "nl-NL", "fr-FR"]
    assert {PREDECESSOR_LOCALES[source] for source in nearest(exact, albanian, 5)} == {
        "ro-RO",
        "el-GR",
        "pt-PT",
        "pl-PL",
        "sl-SL",
    }


def test_with_the_target_hardly_one_of_the_four_others_is_among_the_most_similar(exact: Matrix) -> None:
    chosen = [merginguriel(exact, target, EVERY, 5, seed=0) for target in EVERY]
    assert all(target in sources for target, sources in zip(EVERY, chosen, strict=True))
    assert sum(sources[0] == target for target, sources in zip(EVERY, chosen, strict=True)) == 24
    others = [set(sources) - {target} for target, sources in zip(EVERY, chosen, strict=True)]
    # The four most similar where the lower index wins a tie, and where the higher does.
    higher = [set(sorted(set(EVERY) - {t}, key=lambda source, t=t: (-exact[t, source], -source))[:4]) for t in EVERY]
    assert np.mean([len(found & nearest(exact, t, 4)) for t, found in enumerate(others)]) == pytest.approx(0.74)
    assert np.mean([len(found & best) for found, best in zip(others, higher, strict=True)]) == pytest.approx(0.72)


@pytest.mark.parametrize("with_target", [False, True], ids=["ExcTar", "IncTar"])
def test_rounding_as_in_its_own_file_it_chooses_the_same(exact: Matrix, rounded: Matrix, with_target: bool) -> None:
    assert rounded.diagonal().sum() != len(rounded), "so that it leaves its diagonal alone"
    for target in EVERY:
        there = [source for source, _ in chosen_there(rounded, target, 5, with_target=with_target)]
        pool = candidates(len(exact), target, with_target=with_target)
        assert merginguriel(exact, target, pool, 5, seed=0) == there


def test_on_a_diagonal_of_ones_it_would_leave_out_the_target_and_the_rule_here_does_not(exact: Matrix) -> None:
    assert exact.diagonal().sum() == len(exact)
    assert 0 not in [source for source, _ in chosen_there(exact, 0, 5, with_target=True)]
    assert 0 in merginguriel(exact, 0, EVERY, 5, seed=0)


SCORES = np.array([[0.9, 0.2, 0.3], [0.4, 0.8, 0.5], [0.6, 0.1, 0.7]])


def test_read_transposed_the_row_of_a_target_is_what_its_own_expert_does() -> None:
    misread = real.transposed(SCORES)
    assert (misread == SCORES).all()
    assert (misread == real.similarity(SCORES).T).all()
    misread[:] = 0
    assert SCORES[0, 0] == 0.9, "a copy"


@pytest.mark.parametrize("scores", [np.zeros((2, 3)), np.array([[1.0, np.nan], [0.5, 1.0]]), np.full((2, 2), 46.7)])
def test_read_transposed_it_refuses_the_same(scores: Matrix) -> None:
    with pytest.raises(ValueError, match="transfer matrix"):
        real.transposed(scores)


def test_the_two_readings_are_cells_of_their_own() -> None:
    names = ["de-DE", "fr-FR", "it-IT"]
    scores = {s: {t: {"accuracy": SCORES[i, j]} for j, t in enumerate(names)} for i, s in enumerate(names)}
    right, misread = cells.real(scores), cells.real_transposed(scores)
    assert right.key != misread.key
    assert (cells.real_transposed.function(scores)["matrix"] == cells.real.function(scores)["matrix"].T).all()
    chosen = cells.selection.function(
        cells.real_transposed.function(scores), names, "de-DE", "merginguriel", "IncTar", 2, 0
    )
    assert "de-DE" in chosen


def test_the_rule_is_found_by_its_name() -> None:
    assert plugins.load("compute.similarity.selection", "merginguriel") is merginguriel
