"""Merge methods: examples worked by hand, and what methods tell about themselves."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from merging_helpers import apply

from compute import plugins
from compute.errors import UsageError
from compute.merging.method import PACKAGE, MethodInfo, bind_options, method_info, method_options
from compute.merging.methods.ties import ties

METHODS = plugins.names(PACKAGE)
DISCOVERED = pytest.mark.parametrize("method", METHODS)


# Examples by hand


def test_the_average_divides_by_the_sum_of_the_coefficients() -> None:
    task_vectors = torch.tensor([[1.0, 2.0, 3.0], [4.0, 8.0, -3.0]])
    assert apply("average", task_vectors, [2.0, 1.0]).tolist() == [2.0, 4.0, 1.0]


def test_task_arithmetic_adds_and_does_not_divide() -> None:
    task_vectors = torch.tensor([[1.0, 2.0, 3.0], [4.0, 8.0, -3.0]])
    assert apply("task_arithmetic", task_vectors, [2.0, 1.0], scale=0.5).tolist() == [3.0, 6.0, 1.5]


def test_ties_trims_elects_and_averages_what_agrees() -> None:
    task_vectors = torch.tensor([[4.0, -1.0, 3.0], [2.0, 5.0, -1.0], [-1.0, 2.0, -8.0]])
    # The two largest of each row: [4, 0, 3], [2, 5, 0], [0, 2, -8]; signs of the sums: +, +, -.
    assert apply("ties", task_vectors, [1, 1, 1], density=0.7).tolist() == [3.0, 3.5, -8.0]
    weighted = apply("ties", task_vectors, [0.5, 0.25, 0.25], density=0.7, scale=2.0)
    assert torch.allclose(weighted, torch.tensor([20 / 3, 7.0, -16.0]))


def test_ties_elects_signs_without_coefficients() -> None:
    task_vectors = torch.tensor([[1.0], [-3.0]])
    assert apply("ties", task_vectors, [0.9, 0.1], density=1.0).tolist() == [-3.0]


@given(st.integers(1, 60), st.integers(1, 99), st.integers(0, 9))
def test_trimming_different_magnitudes_keeps_exactly_the_count(n: int, percent: int, seed: int) -> None:
    shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(seed)) + 1.0
    kept = apply("ties", shuffled[None], [1.0], density=percent / 100)
    assert int((kept != 0).sum()) == max(1, int(percent / 100 * n))
    one_more = apply("ties", shuffled[None], [1.0], density=percent / 100, one_more=True)
    assert int((one_more != 0).sum()) == min(n, max(1, int(percent / 100 * n) + 1))


def test_trimming_keeps_all_entries_that_tie_for_the_last_place() -> None:
    assert apply("ties", [[3.0, -2.0, 2.0, 1.0]], [1.0], density=0.5).tolist() == [3.0, -2.0, 2.0, 0.0]


def test_a_density_over_what_moved_leaves_out_zeros() -> None:
    row = [[0.0] * 6 + [4.0, 3.0, 2.0, 1.0]]
    assert np.count_nonzero(apply("ties", row, [1.0], density=0.5, density_over="all")) == 4
    assert np.count_nonzero(apply("ties", row, [1.0], density=0.5, density_over="nonzero")) == 2


@pytest.mark.parametrize("density", [0.0, -0.2, 1.1])
def test_a_density_outside_its_range_is_refused(density: float) -> None:
    with pytest.raises(ValueError, match="density is the share of entries kept"):
        apply("ties", [[1.0, 2.0]], [1.0], density=density)


def test_sums_of_zero_take_the_sign_that_won_more_of_the_scope() -> None:
    rows = [[1.0, -1.0, -1.0], [-1.0, -1.0, -1.0]]
    assert apply("ties", rows, [1, 1], density=1.0).tolist() == [-1.0, -1.0, -1.0]
    assert apply("ties", rows, [1, 1], density=1.0, tie="positive").tolist() == [1.0, -1.0, -1.0]
    assert apply("ties", [[1.0, 2.0, -2.0], [-1.0, -1.0, 1.0]], [1, 1], density=1.0).tolist()[0] == 0.0


# What methods tell about themselves


@DISCOVERED
def test_a_method_describes_itself(method: str) -> None:
    info = method_info(method)
    assert info.name == method
    assert info.title
    assert not info.paper or info.paper.startswith("https://")
    assert info.sources[0] >= 1
    assert inspect.getdoc(plugins.load("compute.merging.methods", method))


def test_the_decorator_leaves_the_function_alone() -> None:
    assert inspect.isfunction(ties)
    assert vars(ties)["info"] == MethodInfo(
        "ties", "TIES", "https://arxiv.org/abs/2306.01708", neutral={"density": 1.0}
    )


def test_options_are_read_from_the_signature() -> None:
    assert method_options("average") == {}
    options = method_options("ties")
    assert (options["density"].default, options["trim_scope"].default) == (0.2, "model")
    assert options["density"].type is float


def test_given_options_replace_defaults() -> None:
    bound = bind_options("ties", {"density": 1, "trim_scope": "tensor"})
    assert bound == {name: option.default for name, option in method_options("ties").items()} | {
        "density": 1,
        "trim_scope": "tensor",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"densty": 0.2}, "unknown option of ties 'densty': did you mean density or density_over?"),
        ({"trim_scope": "models"}, "unknown trim_scope of ties 'models': did you mean model?"),
        ({"density": "0.2"}, "density of ties must be of type float, not '0.2'"),
        ({"density": True}, "density of ties must be of type float, not True"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        bind_options("ties", options)
    assert str(refusal.value) == message


def test_an_unknown_method_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean average"):
        method_info("averge")


def test_methods_can_be_listed_and_described_without_torch() -> None:
    program = (
        "import sys\nfrom compute import plugins\nfrom compute.merging import method\n"
        "for name in plugins.names('compute.merging.methods'):\n"
        "    method.method_info(name), method.method_options(name)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
