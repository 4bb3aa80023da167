"""What computes: the package's kernels or numpy on the CPU, or torch on a device, in a number format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unspool.arrays import Array
from unspool.errors import MissingExtra, ModelError, ParameterError, check, unknown
from unspool.kernels.library import available, missing, thread_count, thread_note, unusable
from unspool.models.compiled.cache import most_kept
from unspool.models.weights import gather_files, read_stored, release

KNOWN_BACKENDS = ("compiled", "numpy", "torch", "transformers", "llama.cpp")
DTYPES = ("float32", "float16", "bfloat16", "int8", "int4")
OF_KERNELS = ("float32", "bfloat16", "int8", "int4")
EXAMPLE_NAMES = {"backend": "torch", "device": "cuda", "dtype": "float16"}
WITHOUT_DTYPE = "without a dtype the kernels compute in float32, and weights that a file holds in 16 bits stay in these"
DEVICES = ("cuda", "mps", "cpu")
"""In the order in which one is chosen."""


@dataclass(frozen=True)
class Compute:
    """A backend with its device and number format."""

    backend: str
    device: str
    dtype: str


def check_names(**given: Any) -> None:
    """Refuse what is no name for a backend, a device or a dtype, as torch's own object for one."""
    for name, value in given.items():
        meant = str(value).removeprefix("torch.")
        example = meant if meant in DTYPES + DEVICES else EXAMPLE_NAMES[name]
        check(value is None or isinstance(value, str), f"{name} is given by its name, as {name}={example!r}; got {value!r:.60}")


def check_variables() -> None:
    """Refuse variables of the environment that say nothing, whether the model that is opened asks for them or not."""
    thread_count()
    most_kept()
    available()


def choose(backend: str | None, device: str | None, dtype: str | None, stored: Callable[[], str]) -> Compute:
    """The engine that settings ask for, what is None or "auto" filled in.

    On a CPU the kernels, where they are built, or numpy; torch where the backend, another device or float16 asks for it, on the
    first of cuda, mps and cpu that is there. dtype: float32 on a CPU, and on other devices `stored`, that of the checkpoint.
    """
    if backend not in (None, *KNOWN_BACKENDS):
        raise unknown("backend", str(backend), list(KNOWN_BACKENDS))
    if dtype is not None and dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if backend == "llama.cpp":
        raise ParameterError("the llama.cpp backend reads GGUF files; give one, or leave out the backend")
    if backend is None and device in (None, "cpu") and (dtype is None or (available() and dtype in OF_KERNELS)):
        backend = "compiled" if available() else "numpy"
    if backend in ("compiled", "numpy"):
        return _on_cpu(backend, device, dtype)
    if dtype in ("int8", "int4"):
        raise ParameterError(f"dtype {dtype} is computed by the kernels, on a CPU: {_how()}")
    place = first_device() if device is None or device == "auto" else device
    return Compute("torch", place, dtype or ("float32" if place == "cpu" else stored()))


def _on_cpu(backend: str, device: str | None, dtype: str | None) -> Compute:
    formats = ("float32",) if backend == "numpy" else OF_KERNELS
    if backend == "numpy" and device in (None, "auto", "cpu") and dtype in OF_KERNELS[1:]:
        raise ParameterError(f"the numpy backend computes in float32; dtype {dtype} is computed by the kernels: {_how()}")
    if device not in (None, "auto", "cpu") or dtype not in (None, *formats):
        raise ParameterError(
            f"the {backend} backend computes in {' or '.join(formats)} on the CPU; use backend='torch' for another device or dtype"
            + (f". {WITHOUT_DTYPE[0].upper()}{WITHOUT_DTYPE[1:]}" if dtype == "float16" and backend == "compiled" else "")
        )
    if backend == "compiled" and not available():
        raise ParameterError(f"backend 'compiled' cannot be used{missing()}")
    return Compute(backend, "cpu", dtype or "float32")


def _how() -> str:
    """How the kernels are asked for, or why there are none."""
    return "use backend='compiled'" if available() else missing().lstrip(": ")


def notes_of(engine: Compute, backend: str | None) -> list[str]:
    """What the user of a model should know of what computes it; backend: what was asked for."""
    if engine.backend == "compiled":
        return [note] if (note := thread_note()) else []
    if engine.backend == "torch" and engine.device == "cpu" and backend is None and engine.dtype not in OF_KERNELS:
        return [f"torch computes this model, for dtype {engine.dtype} was asked for: {WITHOUT_DTYPE}"]
    found = unusable() if engine.backend == "numpy" and backend is None else ""
    return [f"numpy computes this model, slower than the kernels would{found}"] if found else []


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


def read_torch(folder: Path, device: str, dtype: str) -> dict[str, Array]:
    """The tensors of a checkpoint in torch; what has its dtype and stays on the CPU is a view of the file, which stays as it is.

    Each goes from the file to its dtype and device by itself, so that no more is held than the model and one tensor.
    """
    torch = import_torch()

    def read(path: Path) -> Iterator[tuple[str, Array]]:
        for name, array in read_stored(path, private=True).items():
            tensor = torch.from_numpy(array)
            tensor = tensor.view(torch.bfloat16) if array.dtype == np.uint16 else tensor
            found = put(f"{path}: {name}", tensor)
            yield name, found
            if found is not tensor:
                release(array)

    with placing(device, dtype) as put:
        return gather_files(folder, read)


@contextmanager
def placing(device: str, dtype: str) -> Iterator[Callable[[str, Array], Array]]:
    """What puts a named tensor on a device, in a dtype that holds its numbers."""
    torch = import_torch()
    try:
        place = torch.device(device)
    except RuntimeError:
        raise unknown("device", device, DEVICES) from None
    wanted = getattr(torch, dtype)

    def put(name: str, tensor: Array) -> Array:
        found = tensor.to(place, wanted)
        if narrower(dtype, tensor) and bool((found.isinf().to(tensor.device) != tensor.isinf()).any()):
            hint = "; load the model in bfloat16 or float32" if dtype == "float16" else ""
            raise ModelError(f"{name} holds numbers beyond {dtype}{hint}")
        return found

    try:
        yield put
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # a build without CUDA asserts
        raise ParameterError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None


def narrower(dtype: str, tensor: Array) -> bool:
    """Whether numbers of a tensor may be too large for a dtype; bfloat16 reaches as far as float32."""
    torch = import_torch()
    return tensor.dtype == torch.float64 or (dtype == "float16" and tensor.dtype != torch.float16)
