"""Where the arithmetic happens: numpy on the CPU, torch on another device. Knows no merge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = Any
"""A numpy array, or a torch tensor on a device: whatever the array API's functions take."""

Chunk = Any
"""Task vectors [N, rows, columns] of N sources, some whole rows of one tensor."""

Combine = Callable[..., Array]
"""Merges a chunk [N, rows, columns] (and the extras that the method asked for) into [rows, columns]."""

Merged = Any
"""What a merge method returns: a Combine, an array of the one tensor's shape, or a dict of either by tensor name."""


class Backend(Protocol):
    """Brings arrays to where they are computed with, and back."""

    def bring(self, values: NDArray[Any]) -> Array:
        """Return *values* where the arithmetic happens."""

    def fetch(self, values: Array) -> NDArray[Any]:
        """Return *values* as a numpy array."""


class Cpu:
    """Arithmetic with numpy; nothing is copied."""

    def bring(self, values: NDArray[Any]) -> Array:
        """Return *values* as they are."""
        return values

    def fetch(self, values: Array) -> NDArray[Any]:
        """Return *values* as a numpy array; a method may have given numbers of a wider type or torch tensors."""
        return np.asarray(values)


class Device:
    """Arithmetic with torch on a device, such as "cuda"; "cpu" is allowed, for comparison."""

    def __init__(self, name: str) -> None:
        import torch

        self._device = torch.device(name)

    def bring(self, values: NDArray[Any]) -> Array:
        """Copy *values* to the device."""
        import torch

        return torch.from_numpy(values).to(self._device)

    def fetch(self, values: Array) -> NDArray[Any]:
        """Copy *values* from the device."""
        result: NDArray[Any] = values.cpu().numpy()
        return result


def backend(device: str) -> Backend:
    """Return where to compute: numpy for "cpu", torch for any other device or for "torch:" and its name."""
    return Cpu() if device == "cpu" else Device(device.removeprefix("torch:"))


def is_numpy(array: Array) -> bool:
    """Whether compiled loops can work on *array*."""
    return isinstance(array, np.ndarray)


def namespace(array: Array) -> Any:
    """Return the array API namespace of *array*: numpy itself, or torch's through array-api-compat."""
    if is_numpy(array):
        return np
    from array_api_compat import array_namespace

    return array_namespace(array)
