"""The library: found, kept from writing to the terminal, and asked why something failed."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

from unspool.errors import MissingExtra, ModelError, ParameterError

HOW_INSTALLED = "pip install 'unspool[llama-cpp]'"
ERROR_LEVEL = 4
ALL_LAYERS = 1 << 16
"""More layers than a model has."""
PLACES = ("cpu", "auto", "gpu", "cuda", "mps")
_said: list[str] = []
"""What the library last complained of."""


@cache
def library() -> Any:
    """The C interface; its log is kept from the terminal."""
    try:
        from llama_cpp import llama_cpp as lib
    except ImportError:
        raise MissingExtra(f"the llama.cpp backend needs llama-cpp-python: {HOW_INSTALLED}") from None
    except (OSError, RuntimeError) as error:                             # a shared library that does not fit the machine
        raise ModelError(f"llama-cpp-python cannot be used: {error}") from None
    lib.llama_log_set(_listener(lib), ctypes.c_void_p(0))
    lib.llama_backend_init()
    return lib


@cache
def _listener(lib: Any) -> Any:
    """Hears what the library says, and keeps its errors."""

    def hear(level: int, text: bytes, _: Any) -> None:
        line = text.decode("utf-8", "replace").strip()
        if level == ERROR_LEVEL and line:
            _said[:] = [*_said[-9:], line]

    return lib.llama_log_callback(hear)


def is_installed() -> bool:
    """Whether llama-cpp-python is there; it is not imported."""
    import importlib.util

    return importlib.util.find_spec("llama_cpp") is not None


def why() -> str:
    """The library's first complaint since the last time, which names the cause; those after it say that all failed."""
    said, _said[:] = list(_said), []
    return said[0].split(": ", 1)[-1] if said else "it does not say why"


def layers_on(device: str | None) -> tuple[str, int]:
    """The device's name, and how many layers are computed there and not on the CPU."""
    if device not in (None, *PLACES):
        raise ParameterError(f"device {device!r}: llama.cpp computes on cpu, or with gpu (auto, cuda, mps) on what it was built for")
    if device in (None, "cpu"):
        return "cpu", 0
    if not library().llama_supports_gpu_offload():
        if device == "auto":
            return "cpu", 0
        raise ParameterError(f"device {device!r}: this build of llama.cpp computes on the CPU; install one with CUDA, Metal or Vulkan")
    return "gpu", ALL_LAYERS


class Weights:
    """A model's weights, freed when it and every context over them is gone; a collection of garbage ends those in any order."""

    def __init__(self, pointer: Any) -> None:
        self.pointer, self.users = pointer, 1

    def let_go(self) -> None:
        """One of those that use them is gone."""
        self.users -= 1
        if not self.users:
            library().llama_model_free(self.pointer)


def open_file(path: Path, layers: int) -> Any:
    """The model in a file, its weights mapped."""
    lib = library()
    params = lib.llama_model_default_params()
    params.n_gpu_layers = layers
    interrupted = list[bool]()

    def goes_on(_: float, __: Any) -> bool:                              # asked as it loads, where an interrupt is heard
        try:
            return not interrupted
        except KeyboardInterrupt:
            interrupted.append(True)
            return False

    params.progress_callback = lib.llama_progress_callback(goes_on)
    why()
    model = lib.llama_model_load_from_file(os.fsencode(path), params)
    if interrupted:
        if model:
            lib.llama_model_free(model)
        raise KeyboardInterrupt
    if not model:
        raise ModelError(f"llama.cpp cannot load {path}: {why()}")
    return model
