"""What computes: numpy on the CPU, or torch on a device, in a number format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from unspool.arrays import Array
from unspool.errors import MissingExtra, ParameterError, unknown

DTYPES = ("float32", "float16", "bfloat16")
DEVICES = ("cuda", "mps", "cpu")
"""In the order in which one is chosen."""


@dataclass(frozen=True)
class Compute:
    """A backend with its device and number format."""

    backend: str
    device: str
    dtype: str


def choose(backend: str | None, device: str | None, dtype: str | None, stored: Callable[[], str]) -> Compute:
    """The engine that settings ask for, what is None or "auto" filled in.

    Numpy, unless the backend, another device than the CPU or a dtype asks for torch, which runs on the first of cuda, mps and
    cpu that is there. dtype: float32 on a CPU, and on other devices `stored`, that of the checkpoint.
    """
    if backend not in (None, "numpy", "torch"):
        raise unknown("backend", str(backend), ["numpy", "torch", "transformers"])
    if dtype is not None and dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if backend == "numpy" and (device not in (None, "auto", "cpu") or dtype not in (None, "float32")):
        raise ParameterError("the numpy backend computes in float32 on the CPU; use backend='torch' for another device or dtype")
    if backend == "numpy" or (backend is None and device in (None, "cpu") and dtype is None):
        return Compute("numpy", "cpu", "float32")
    place = first_device() if device is None or device == "auto" else device
    return Compute("torch", place, dtype or ("float32" if place == "cpu" else stored()))


def first_device() -> str:
    """The first of cuda, mps and cpu that torch can use."""
    torch = import_torch()
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def import_torch() -> Any:
    """Torch, or an error that says how to install it."""
    try:
        import torch
    except ImportError:
        raise MissingExtra("the torch backend needs torch: pip install 'unspool[torch]'") from None
    return torch


def to_torch(weights: Mapping[str, Any], device: str, dtype: str) -> dict[str, Array]:
    """Weights as torch tensors on a device; what has its dtype and stays on the CPU is not copied."""
    torch = import_torch()
    try:
        place = torch.device(device)
    except RuntimeError:
        raise unknown("device", device, DEVICES) from None
    try:
        return {name: torch.from_numpy(array).to(place, getattr(torch, dtype)) for name, array in weights.items()}
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # a build without CUDA asserts
        raise ParameterError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
