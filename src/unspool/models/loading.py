"""Models and tokenizers from Hugging Face folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unspool.arrays import Array
from unspool.errors import MissingExtra, ModelError, ParameterError, unknown
from unspool.models.families import FAMILIES, read_transformer
from unspool.models.weights import read_weights
from unspool.text import TokenizerFile

BUNDLED = Path(__file__).parent / "bundled"
DTYPES = ("float32", "float16", "bfloat16")


def find(name: str | Path | None) -> Path:
    """The folder of a model: the bundled one for None or "bundled", otherwise a path."""
    if name is None or str(name) == "bundled":
        return BUNDLED
    folder = Path(name).expanduser()
    if not folder.exists():
        if "/" not in str(name) and "\\" not in str(name):
            raise unknown("model", str(name), ["bundled", *(p.parent.name for p in Path().glob("*/config.json"))])
        raise ModelError(f"there is no model at {str(name)!r}; give a folder with config.json and model.safetensors, or 'bundled'")
    if not folder.is_dir():
        raise ModelError(f"{str(name)!r} is a file; a model is a folder with config.json and model.safetensors")
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no JSON object")
    return value


def read_model(folder: Path, backend: str | None = None, device: str | None = None, dtype: str | None = None) -> Any:
    """The model in a folder, as numpy arrays or, with backend "torch", a device or a dtype, as torch tensors."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder} is no model: it has no config.json")
    config = read_json(path)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ModelError(f"{folder} is a model of type {kind!r}; supported are {', '.join(sorted(FAMILIES))}")
    settings = folder / "generation_config.json"
    if settings.is_file():
        config["eos_token_id"] = read_json(settings).get("eos_token_id", config.get("eos_token_id"))
    _check_backend(backend, device, dtype)
    weights: Mapping[str, Array] = read_weights(folder)
    if backend == "torch" or device is not None or dtype is not None:
        weights = to_torch(weights, device or "cpu", dtype or "float32")
    try:
        return read_transformer(kind, config, weights)
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'} is broken: {type(error).__name__}: {error}") from None


def _check_backend(backend: str | None, device: str | None, dtype: str | None) -> None:
    if backend not in (None, "numpy", "torch"):
        raise unknown("backend", str(backend), ["numpy", "torch"])
    if dtype is not None and dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if backend == "numpy" and (device not in (None, "cpu") or dtype not in (None, "float32")):
        raise ParameterError("the numpy backend computes in float32 on the CPU; use backend='torch' for another device or dtype")


def to_torch(weights: Mapping[str, Any], device: str, dtype: str) -> dict[str, Array]:
    """Weights as torch tensors on a device."""
    try:
        import torch
    except ImportError:
        raise MissingExtra("the torch backend needs torch: pip install 'unspool[torch]'") from None
    try:
        return {k: torch.from_numpy(np.array(v)).to(device, getattr(torch, dtype)) for k, v in weights.items()}
    except (RuntimeError, AssertionError) as error:                       # a build without CUDA asserts
        raise ParameterError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None


def read_tokenizer(folder: Path) -> TokenizerFile:
    """The tokenizer in a folder: tokenizer.json, or vocab.json with merges.txt."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    single, vocab, merges = (folder / n for n in ("tokenizer.json", "vocab.json", "merges.txt"))
    try:
        if single.is_file():
            return TokenizerFile(Tokenizer.from_file(str(single)))
        if vocab.is_file() and merges.is_file():
            inner = Tokenizer(models.BPE.from_file(str(vocab), str(merges)))
            inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            inner.decoder = decoders.ByteLevel()
            return TokenizerFile(inner)
    except Exception as error:                                            # the library raises bare Exceptions
        raise ModelError(f"cannot read the tokenizer of {folder}: {error}") from None
    raise ModelError(f"{folder} has no tokenizer: neither tokenizer.json nor vocab.json with merges.txt")


def fingerprint(folder: Path) -> str:
    """sha256 over config.json and the headers and sizes of the weight files: tells checkpoints apart without reading them whole."""
    digest = hashlib.sha256()
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        with path.open("rb") as file:
            digest.update(f"{path.name} {path.stat().st_size}".encode() + file.read(1 << 16))
    return digest.hexdigest()
