"""What to do with the sources: method, coefficients, options and what comes before and after. Knows no tensor."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from compute.errors import UsageError
from compute.merging.dare import Dare
from compute.merging.method import MethodInfo, bind_options, load_method, method_info
from compute.merging.methods.best_source import best_source
from compute.merging.methods.keep_base import keep_base
from compute.merging.methods.seen_rows import seen_rows
from compute.weights.weights import TensorInfo

EMBEDDINGS = re.compile(r"(word_embeddings|embed_tokens|wte)\.weight$")
"""The tensors whose rows are tokens."""

HEAD = re.compile(r"(^|\.)(classifier|score)\.")
"""The tensors of a classification head."""

LAYER = re.compile(r"\.(?:layers?|h|blocks?)\.(\d+)\.")
"""The number of a tensor's layer."""


@dataclass(frozen=True)
class Lines:
    """Scale the merged task vector by depth: *low* in the first layer, rising linearly to *high* in the last.

    LiNeS, Wang et al. 2025, https://arxiv.org/abs/2410.17146: low layers are shared by all tasks, and suffer most from
    merging. Its α + β l / (L − 1) in layer l of L has low = α and high = α + β. The authors' code (wang-kee/LiNeS)
    sums task vectors with coefficients of 1 and searches β; with coefficients that sum to one, as here, its α is
    about 1, and high is to be searched above it. Embeddings count as the first layer, as there; a head counts as the
    last, where the authors, whose models have none, scale all that is outside the layers by α.
    """

    low: float
    high: float = 1.0

    def factors(self, names: list[str]) -> dict[str, float]:
        """Return the factor of each tensor by name; UsageError where the *names* tell of no layers."""
        numbers = {name: int(found[1]) for name in names if (found := LAYER.search(name))}
        if not numbers:
            raise UsageError("LiNeS needs tensors whose names tell their layer, as in encoder.layer.3.output")
        last = max(1, *numbers.values())
        return {name: self._at(numbers.get(name, last if HEAD.search(name) else 0) / last) for name in names}

    def _at(self, depth: float) -> float:
        return self.low + (self.high - self.low) * depth


class Part(NamedTuple):
    """Tensors that one method merges: the function, all its options, and the tensors."""

    method: Callable[..., Any]
    options: Mapping[str, object]
    tensors: list[TensorInfo]

    @property
    def info(self) -> MethodInfo:
        """Return what the method tells about itself."""
        info: MethodInfo = vars(self.method)["info"]
        return info


_POLICIES: Mapping[str | None, Callable[..., Any]] = {"base": keep_base, "seen": seen_rows, "best": best_source}
"""What merges the tensors under a policy. Imported, not looked up by name: so that whoever traces code can follow."""


@dataclass(frozen=True)
class Recipe:
    """A merge method with its options and a coefficient a source, in the order of the sources.

    *dare* comes before the method and *lines* after it. *embeddings* says what becomes of the word embeddings: "merge"
    as all else, "base" keeps the base's, "seen" averages each row over the sources that moved it. *head* says what
    becomes of the classification head: "merge", or "best", that of the source with the largest coefficient.
    *seed* is for methods that draw lots of their own.

    Raises UsageError for an unknown method or option, ValueError for coefficients that are negative or all zero.
    """

    method: str
    coefficients: tuple[float, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    dare: Dare | None = None
    lines: Lines | None = None
    embeddings: Literal["merge", "base", "seen"] = "merge"
    head: Literal["merge", "best"] = "merge"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check all that can be told before a tensor is read."""
        bind_options(self.method, self.options)
        info = method_info(self.method)
        if not info.affine and (self.dare or self.lines):
            before = "DARE" if self.dare else "LiNeS"
            raise UsageError(f"{self.method} merges weights, and {before} changes task vectors: take another method")
        least, most = info.sources
        count = len(self.coefficients)
        if count < least or (most is not None and count > most):
            limits = f"at least {least}" if most is None else f"{least} to {most}" if most > least else str(least)
            raise ValueError(f"{self.method} merges {limits} experts, not {count}")
        if not all(math.isfinite(number) and number >= 0 for number in self.coefficients) or not any(self.coefficients):
            raise ValueError(f"coefficients must be finite, non-negative and not all zero: {list(self.coefficients)}")

    def parts(self, tensors: list[TensorInfo]) -> list[Part]:
        """Divide *tensors* into those that one method merges together."""
        own = Part(load_method(self.method), bind_options(self.method, self.options), [])
        parts = {name: Part(method, {}, []) for name, method in _POLICIES.items()} | {None: own}
        for tensor in tensors:
            parts[self._policy(tensor.name)].tensors.append(tensor)
        return [part for part in parts.values() if part.tensors]

    def _policy(self, tensor: str) -> str | None:
        """Return the policy that treats a tensor, if the recipe treats it in a way of its own."""
        if self.embeddings != "merge" and EMBEDDINGS.search(tensor):
            return self.embeddings
        return self.head if self.head != "merge" and HEAD.search(tensor) else None

    def is_relative(self, info: MethodInfo) -> bool:
        """Whether a method sees task vectors rather than weights."""
        return info.needs_base or self.dare is not None or self.lines is not None

    @property
    def needs_base(self) -> bool:
        """Whether the base plays a part."""
        return self.embeddings != "merge" or self.is_relative(method_info(self.method))
