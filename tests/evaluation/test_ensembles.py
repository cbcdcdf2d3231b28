from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from compute import plugins

PACKAGE = "compute.evaluation.ensembles"
RULES = plugins.names(PACKAGE)
WEIGHTED = ["mean_probability", "weighted_logits", "weighted_majority"]

values = st.one_of(st.integers(-3, 3).map(float), st.floats(-50, 50, width=32))
sizes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(2, 5))
logits = sizes.flatmap(lambda shape: arrays(np.float32, shape, elements=values))
"""Small whole numbers among them, so that there are ties."""
parts = st.one_of(st.integers(1, 3).map(float), st.floats(0.01, 5.0))


def rule(name: str, logits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    found: np.ndarray = plugins.load(PACKAGE, name)(logits, weights)
    assert found.dtype == np.int64
    assert found.shape == logits.shape[1:2]
    return found


def weights(data: st.DataObject, count: int) -> np.ndarray:
    return np.array(data.draw(st.lists(parts, min_size=count, max_size=count)))


def test_these_are_the_rules() -> None:
    assert sorted([*WEIGHTED, "majority"]) == RULES


@pytest.mark.parametrize("name", RULES)
def test_rules_are_called_alike_and_say_how_ties_end(name: str) -> None:
    function = plugins.load(PACKAGE, name)

    assert list(inspect.signature(function).parameters) == ["logits", "weights"]
    assert "then the lower id" in " ".join(str(function.__doc__).split())


@pytest.mark.parametrize("name", RULES)
@given(logits, st.data())
def test_equal_members_give_the_member_and_so_does_one_alone(
    name: str, logits: np.ndarray, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 4))
    equal = np.repeat(logits[:1], count, axis=0)

    assert rule(name, equal, weights(data, count)).tolist() == logits[0].argmax(axis=1).tolist()


@pytest.mark.parametrize("name", RULES)
@given(logits, st.data())
def test_the_order_of_members_does_not_matter(name: str, logits: np.ndarray, data: st.DataObject) -> None:
    drawn = weights(data, len(logits))
    order = data.draw(st.permutations(range(len(logits))))

    assert rule(name, logits[order], drawn[order]).tolist() == rule(name, logits, drawn).tolist()


@pytest.mark.parametrize("name", WEIGHTED)
@given(logits, st.data())
def test_a_member_with_all_the_weight_decides(name: str, logits: np.ndarray, data: st.DataObject) -> None:
    chosen = data.draw(st.integers(0, len(logits) - 1))
    alone = np.zeros(len(logits))
    alone[chosen] = data.draw(parts)

    assert rule(name, logits, alone).tolist() == logits[chosen].argmax(axis=1).tolist()


@pytest.mark.parametrize("name", RULES)
@given(logits, st.data())
def test_weights_count_by_their_ratios(name: str, logits: np.ndarray, data: st.DataObject) -> None:
    drawn = weights(data, len(logits))

    assert rule(name, logits, 4 * drawn).tolist() == rule(name, logits, drawn).tolist()


@pytest.mark.parametrize("name", RULES)
@given(logits)
def test_an_answer_that_all_members_give_is_the_ensembles(name: str, logits: np.ndarray) -> None:
    found = rule(name, logits, np.ones(len(logits)))

    own = logits.argmax(axis=2)
    if name.endswith("majority"):
        agreed = (own == own[0]).all(axis=0)
        assert (found[agreed] == own[0][agreed]).all()
    else:
        top = np.sort(logits, axis=2)
        sure = (own == own[0]).all(axis=0) & (top[:, :, -1] > top[:, :, -2] + 1e-3).all(axis=0)
        assert (found[sure] == own[0][sure]).all()


def test_votes_and_weights_and_sureness_decide_each_in_its_rule() -> None:
    logits = np.array([[[9.0, 0.0, 0.0]], [[0.0, 1.0, 0.9]], [[0.0, 1.0, 0.9]]], dtype=np.float32)
    even, first = np.ones(3), np.array([0.6, 0.2, 0.2])

    assert [rule(name, logits, even)[0] for name in RULES] == [1, 0, 0, 1]
    assert RULES == ["majority", "mean_probability", "weighted_logits", "weighted_majority"]
    assert rule("weighted_majority", logits, first)[0] == 0
    assert rule("majority", logits, first)[0] == 1, "weights play no part"


def test_equal_votes_go_to_the_larger_probability_then_to_the_lower_id() -> None:
    unsure_first = np.array([[[0.1, 0.0, -9.0]], [[0.0, 5.0, -9.0]]], dtype=np.float32)
    alike = np.array([[[2.0, 0.0]], [[0.0, 2.0]]], dtype=np.float32)

    for name in ("majority", "weighted_majority"):
        assert rule(name, unsure_first, np.ones(2))[0] == 1
        assert rule(name, alike, np.ones(2))[0] == 0
    assert rule("weighted_majority", np.concatenate([alike, alike[:1]]), np.array([0.1, 0.3, 0.2]))[0] == 0


@pytest.mark.parametrize("name", RULES)
def test_what_cannot_vote_is_refused(name: str) -> None:
    good = np.zeros((2, 1, 3), dtype=np.float32)
    with pytest.raises(ValueError, match="not finite"):
        rule(name, np.full_like(good, np.nan), np.ones(2))
    if name in WEIGHTED:
        for wrong in (np.zeros(2), np.array([1.0, -1.0]), np.array([1.0, np.inf])):
            with pytest.raises(ValueError, match="weights must be finite, non-negative and not all zero"):
                rule(name, good, wrong)
        with pytest.raises(ValueError, match="a weight a member"):
            rule(name, good, np.ones(3))
