"""Merge methods: each by an example worked by hand, against other implementations, and all by their laws."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from compute import plugins
from compute.errors import UsageError
from compute.merging.method import MethodInfo, bind_options, method_info, method_options
from compute.merging.methods.average import average
from compute.merging.methods.task_arithmetic import task_arithmetic
from compute.merging.methods.ties import ties

METHODS = plugins.names("compute.merging.methods")
DISCOVERED = pytest.mark.parametrize("method", METHODS)

# Multiples of 1/8 add up exactly in any order, so that an election cannot turn on rounding.
EIGHTHS = st.integers(-40, 40).map(lambda number: number / 8)


@st.composite
def merges(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Task vectors [N, n] and coefficients [N] that sum to one."""
    experts, size = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    row = st.lists(EIGHTHS, min_size=size, max_size=size)
    task_vectors = draw(st.lists(row, min_size=experts, max_size=experts))
    parts = draw(st.lists(st.integers(1, 8), min_size=experts, max_size=experts))
    coefficients = torch.tensor(parts, dtype=torch.float32)
    return torch.tensor(task_vectors, dtype=torch.float32), coefficients / coefficients.sum()


def random_task_vectors(experts: int = 4, size: int = 1024, seed: int = 0) -> Tensor:
    return torch.randn(experts, size, generator=torch.Generator().manual_seed(seed))


def keeping_all(method: str) -> dict[str, Any]:
    """The options under which a method drops nothing."""
    return {"density": 1.0} if "density" in method_options(method) else {}


# Examples by hand


def test_the_average_divides_by_the_sum_of_the_coefficients() -> None:
    task_vectors = torch.tensor([[1.0, 2.0, 3.0], [4.0, 8.0, -3.0]])
    assert average(task_vectors, torch.tensor([2.0, 1.0])).tolist() == [2.0, 4.0, 1.0]


def test_task_arithmetic_adds_and_does_not_divide() -> None:
    task_vectors = torch.tensor([[1.0, 2.0, 3.0], [4.0, 8.0, -3.0]])
    assert task_arithmetic(task_vectors, torch.tensor([2.0, 1.0]), scale=0.5).tolist() == [3.0, 6.0, 1.5]


def test_ties_trims_elects_and_averages_what_agrees() -> None:
    task_vectors = torch.tensor([[4.0, -1.0, 3.0], [2.0, 5.0, -1.0], [-1.0, 2.0, -8.0]])
    # The two largest of each row: [4, 0, 3], [2, 5, 0], [0, 2, -8]; signs of the sums: +, +, -.
    assert ties(task_vectors, torch.ones(3), density=0.7).tolist() == [3.0, 3.5, -8.0]
    weighted = ties(task_vectors, torch.tensor([0.5, 0.25, 0.25]), density=0.7, scale=2.0)
    assert torch.allclose(weighted, torch.tensor([20 / 3, 7.0, -16.0]))


def test_ties_elects_signs_without_coefficients() -> None:
    task_vectors = torch.tensor([[1.0], [-3.0]])
    assert ties(task_vectors, torch.tensor([0.9, 0.1]), density=1.0).tolist() == [-3.0]


# Other implementations


@pytest.fixture(scope="module")
def peft() -> ModuleType:
    """PEFT's merge functions, from their file alone: importing the package takes seconds."""
    package = find_spec("peft")
    if package is None or package.origin is None:
        pytest.skip("peft is not installed")
    spec = spec_from_file_location("peft_merge", Path(package.origin).parent / "utils" / "merge_utils.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("density", [0.1, 0.2, 0.5, 0.9])
def test_ties_with_equal_coefficients_equals_pefts_with_weights_of_one(peft: ModuleType, density: float) -> None:
    task_vectors = random_task_vectors()
    theirs = peft.ties(list(task_vectors), torch.ones(4), density)
    assert torch.allclose(ties(task_vectors, torch.full((4,), 0.25), density=density), theirs, atol=1e-6)


def test_ties_divides_by_the_weights_that_agree_where_peft_divides_by_their_count(peft: ModuleType) -> None:
    equal = random_task_vectors(1).expand(4, -1)
    weights = torch.tensor([0.4, 0.3, 0.2, 0.1])
    theirs = peft.ties(list(equal), weights, 0.5)
    assert torch.allclose(ties(equal, weights, density=0.5), 4 * theirs, atol=1e-5)


def test_task_arithmetic_equals_pefts(peft: ModuleType) -> None:
    task_vectors, weights = random_task_vectors(), torch.tensor([0.4, 0.3, 0.2, 0.1])
    theirs = peft.task_arithmetic(list(task_vectors), weights)
    assert torch.allclose(task_arithmetic(task_vectors, weights), theirs, atol=1e-6)


def published_ties(task_vectors: Tensor, density: float) -> Tensor:
    """TIES as the paper's authors run it: threshold from below, majority for zero sums, mean of non-zeros."""
    n = task_vectors.shape[1]
    threshold = task_vectors.abs().sort(dim=1).values[:, n - int(n * density) - 1, None]
    kept = torch.where(task_vectors.abs() >= threshold, task_vectors, 0)
    sign = kept.sum(dim=0).sign()
    sign[sign == 0] = sign.sum().sign()
    agreeing = torch.where(sign > 0, kept.clamp(min=0), kept.clamp(max=0))
    return agreeing.sum(dim=0) / (agreeing != 0).sum(dim=0).clamp(min=1)


@pytest.mark.parametrize("keep", [100, 205, 512, 1000])
def test_ties_equals_the_published_formula_which_keeps_one_entry_more(keep: int) -> None:
    task_vectors = random_task_vectors(seed=keep)
    published = published_ties(task_vectors, keep / 1024)
    assert torch.allclose(ties(task_vectors, torch.ones(4), density=(keep + 1) / 1024), published, atol=1e-6)


# Laws


@DISCOVERED
@given(merge=merges(), random=st.randoms(use_true_random=False))
def test_sources_may_be_permuted_with_their_coefficients(
    method: str, merge: tuple[Tensor, Tensor], random: Any
) -> None:
    task_vectors, coefficients = merge
    order = list(range(len(coefficients)))
    random.shuffle(order)
    combine = plugins.load("compute.merging.methods", method)
    expected = combine(task_vectors, coefficients)
    assert torch.allclose(combine(task_vectors[order], coefficients[order]), expected, rtol=1e-5, atol=1e-5)


@DISCOVERED
@given(merge=merges())
def test_the_merged_task_vector_has_the_shape_and_type_of_one(method: str, merge: tuple[Tensor, Tensor]) -> None:
    task_vectors, coefficients = merge
    for dtype in (torch.float32, torch.float64):
        combine = plugins.load("compute.merging.methods", method)
        merged = combine(task_vectors.to(dtype), coefficients.to(dtype))
        assert (merged.shape, merged.dtype) == (task_vectors[0].shape, dtype)
        assert merged.isfinite().all()


@DISCOVERED
@given(merge=merges())
def test_experts_that_learnt_nothing_change_nothing(method: str, merge: tuple[Tensor, Tensor]) -> None:
    task_vectors, coefficients = merge
    merged = plugins.load("compute.merging.methods", method)(torch.zeros_like(task_vectors), coefficients)
    assert merged.tolist() == [0.0] * task_vectors.shape[1]


@DISCOVERED
@given(merge=merges())
def test_equal_experts_merge_to_themselves_where_nothing_is_dropped(method: str, merge: tuple[Tensor, Tensor]) -> None:
    task_vectors, coefficients = merge
    equal = task_vectors[:1].expand_as(task_vectors)
    combine = plugins.load("compute.merging.methods", method)
    assert torch.allclose(combine(equal, coefficients, **keeping_all(method)), equal[0], rtol=1e-5, atol=1e-6)


@DISCOVERED
@given(merge=merges())
def test_the_arguments_are_left_alone(method: str, merge: tuple[Tensor, Tensor]) -> None:
    task_vectors, coefficients = merge
    before = task_vectors.clone(), coefficients.clone()
    plugins.load("compute.merging.methods", method)(task_vectors, coefficients)
    assert torch.equal(task_vectors, before[0])
    assert torch.equal(coefficients, before[1])


@given(merge=merges())
def test_task_arithmetic_with_coefficients_of_sum_one_is_the_average(merge: tuple[Tensor, Tensor]) -> None:
    assert torch.allclose(task_arithmetic(*merge), average(*merge), rtol=1e-5, atol=1e-5)


# What a method tells about itself


@DISCOVERED
def test_a_method_describes_itself(method: str) -> None:
    info = method_info(method)
    assert info.name == method
    assert info.title
    assert info.paper.startswith("https://")
    assert info.sources[0] >= 1
    assert inspect.getdoc(plugins.load("compute.merging.methods", method))


def test_the_decorator_leaves_the_function_alone() -> None:
    assert inspect.isfunction(ties)
    assert vars(ties)["info"] == MethodInfo(
        "ties", "TIES", "https://arxiv.org/abs/2306.01708", needs_base=True, sources=(1, None)
    )


def test_options_are_read_from_the_signature() -> None:
    assert method_options("average") == {}
    options = method_options("ties")
    assert {name: option.default for name, option in options.items()} == {
        "density": 0.2,
        "scale": 1.0,
        "trim_scope": "model",
    }
    assert options["density"].type is float


def test_given_options_replace_defaults() -> None:
    bound = bind_options("ties", {"density": 1, "trim_scope": "tensor"})
    assert bound == {"density": 1, "scale": 1.0, "trim_scope": "tensor"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"densty": 0.2}, "unknown option of ties 'densty': did you mean density?"),
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
