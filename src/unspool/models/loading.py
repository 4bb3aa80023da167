"""Models and tokenizers from Hugging Face folders, wherever a name finds them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unspool.arrays import Array
from unspool.core.room import check_weights
from unspool.errors import ModelError, ParameterError, UnknownName, near
from unspool.models import hub
from unspool.models.architecture import check_architecture, check_kind
from unspool.models.compiled.model import CompiledTransformer, beyond_kernels
from unspool.models.engine import Compute, choose, import_torch, placing, read_torch
from unspool.models.gguf.names import gguf_files, is_gguf
from unspool.models.hub_errors import Missing, Unreachable
from unspool.models.known import KNOWN, packaged_file
from unspool.models.progress import tell
from unspool.models.quantised import read_quantised
from unspool.models.reading import read_transformer
from unspool.models.stored import let_go, read_matrices
from unspool.models.sums import check_sums
from unspool.models.weights import read_weights, stored_dtype

BUNDLED = Path(__file__).parent / "bundled"
TYPING_ERROR = 0.8
"""How much a word is like "bundled" if it is not sought on the hub."""


@dataclass(frozen=True)
class Found:
    """What a name finds: a folder or a GGUF file, and for a model of the hub the commit that it is at."""

    name: str
    folder: Path
    revision: str | None = None


def find(name: str | Path | None) -> Found:
    """The model of a name: the bundled one for None or "bundled", a folder or file, a known one, or one of the hub, which is fetched."""
    text = str(name)
    if name is None or text == "bundled":
        return Found("bundled", BUNDLED)
    if not text.strip():
        raise UnknownName("the name of a model is empty; give a folder, a name of the hub, or 'bundled'")
    known = hub.parse_name(text) if isinstance(name, str) else None
    if known and known.certain:
        return _fetch(known)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Found(text, gguf_in(folder) or folder)
    if folder.is_file() and is_gguf(folder):
        return Found(text, folder)
    if folder.exists():
        raise ModelError(f"{text!r} is a file; a model is a folder with config.json and model.safetensors, or a file that ends in .gguf")
    if (model := KNOWN.get(text)) and model.repository != text:
        return Found(text, packaged_file(model)) if model.packaged else _fetch(hub.HubName(model.repository))
    if known is None:
        raise ModelError(f"there is no model at {text!r}; give a folder with config.json and model.safetensors, a .gguf file, or 'bundled'")
    if known.bare:
        from difflib import SequenceMatcher

        if SequenceMatcher(None, text.lower(), "bundled").ratio() >= TYPING_ERROR and not hub.is_cached(known):
            raise UnknownName(f"unknown model {text!r}: did you mean bundled? A model of the hub would be hf:{text}")
        try:
            return _fetch(known)
        except (Missing, Unreachable) as error:
            raise UnknownName(f"unknown model {text!r}: there is no such folder, and {error}{_nearest(text)}") from None
    try:
        return _fetch(known)
    except (Missing, Unreachable) as error:
        raise type(error)(f"there is no model folder {text!r}, and {error}") from None


def _fetch(name: hub.HubName) -> Found:
    found = hub.fetch(name)
    return Found(str(name), found, (found if found.is_dir() else found.parent).name)


def _nearest(text: str) -> str:
    """The local and the known names that a word may have meant."""
    local = ["bundled", *(path.parent.name for path in Path().glob("*/config.json"))]
    close = near(text, {*local, *KNOWN} - {text})
    return f"; did you mean {' or '.join(close)}?" if close else f"; models here: {', '.join(local)}"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}") from None
    except RecursionError:
        raise ModelError(f"cannot read {path}: it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no JSON object")
    return value


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json, with the end tokens of its generation_config.json."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder} is no model: it has no config.json{_instead(folder)}")
    config = read_json(path)
    settings = folder / "generation_config.json"
    if settings.is_file():
        config["eos_token_id"] = read_json(settings).get("eos_token_id", config.get("eos_token_id"))
    return config


def _instead(folder: Path) -> str:
    """What else lies in a folder that was taken for a model."""
    if (folder / "adapter_config.json").is_file():
        return "; it is an adapter (adapter_config.json), which has to be merged into its model first"
    others = gguf_files(folder)
    return f"; it has {len(others)} files in the format GGUF, of which one is to be named, as {folder / others[0].name}" if others else ""


def gguf_in(folder: Path) -> Path | None:
    """The GGUF file in a folder that holds one, and no other weights."""
    files = gguf_files(folder)
    return files[0] if len(files) == 1 and not any(folder.glob("*.safetensors*")) else None


def read_model(folder: Path, backend: str | None = None, device: str | None = None, dtype: str | None = None) -> tuple[Any, Compute]:
    """The model in a folder, and what computes it; see `unspool.models.engine.choose`."""
    config = read_config(folder)
    if folder == BUNDLED:
        check_sums(folder)
    try:
        kind = check_kind(config) if backend == "transformers" else check_architecture(config)
    except ModelError as error:
        raise ModelError(f"{folder} {error}") from None
    if backend == "transformers":
        return _through_transformers(folder, device, dtype)
    made = Quantised if config.get("quantization_config") else Checkpoint
    return build(made(folder, kind, config), backend, device, dtype)


@dataclass(frozen=True)
class Checkpoint:
    """A model's weights with its family and config.json, in a folder."""

    place: Path
    kind: str
    config: Mapping[str, Any] = field(repr=False)

    @property
    def settings(self) -> str:
        """What its config stands in."""
        return "config.json"

    def dtype(self) -> str:
        """The number format that most of it is stored in, as torch calls it."""
        return stored_dtype(self.place)

    def matrices(self) -> Mapping[str, Any]:
        """For who packs them: matrices as they are stored, see `unspool.models.stored`."""
        return read_matrices(self.place)

    def weights(self) -> Mapping[str, Any]:
        """In float32."""
        return read_weights(self.place)

    def on(self, device: str, dtype: str) -> Mapping[str, Any]:
        """In torch."""
        return read_torch(self.place, device, dtype)


class Widened(Checkpoint):
    """A checkpoint whose matrices are in blocks of whole numbers, and widened one by one where they are not packed."""

    def weights(self) -> Mapping[str, Any]:
        return {name: np.asarray(weight) for name, weight in self._one_by_one()}

    def on(self, device: str, dtype: str) -> Mapping[str, Any]:
        torch = import_torch()
        with placing(device, dtype) as put:
            return {name: put(name, torch.from_numpy(np.require(weight, requirements="W"))) for name, weight in self._one_by_one()}

    def _one_by_one(self) -> Iterator[tuple[str, Array]]:
        """Every weight in float32, its part of the file let go once it was used."""
        matrices = self.matrices()
        size = 4 * sum(math.prod(weight.shape) for weight in matrices.values())
        check_weights(size, "float32", "leave out the backend, and give a dtype")
        for i, (name, weight) in enumerate(matrices.items()):
            tell(i, len(matrices))
            with _said_of(self):
                wide = np.asarray(weight)
            yield name, wide
            let_go(weight)


class Quantised(Widened):
    """A folder whose config.json says how its weights are quantised."""

    def matrices(self) -> Mapping[str, Any]:
        with _said_of(self):
            return read_quantised(self.place, self.config["quantization_config"])


def build(found: Checkpoint, backend: str | None, device: str | None, dtype: str | None) -> tuple[Any, Compute]:
    """The model of a checkpoint, and what computes it; see `unspool.models.engine.choose`."""
    engine = choose(backend, device, dtype, found.dtype)
    if engine.backend == "compiled":
        matrices = found.matrices()
        with _said_of(found):
            plain = read_transformer(found.kind, found.config, matrices)
            if not (lack := beyond_kernels(plain)):
                return CompiledTransformer(plain, engine.dtype, found.place), engine
        if backend is not None or dtype not in (None, "float32"):
            raise ParameterError(f"{found.place} has {lack}; leave out the backend and dtype, and numpy computes it")
        engine = Compute("numpy", "cpu", "float32")
    weights = found.on(engine.device, engine.dtype) if engine.backend == "torch" else found.weights()
    with _said_of(found):
        return read_transformer(found.kind, found.config, weights), engine


@contextmanager
def _said_of(found: Checkpoint) -> Iterator[None]:
    """What is wrong with a model, with its place; what a config.json should not hold can raise anything."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{found.place}: {str(error).replace('config.json', found.settings)}") from None
    except ParameterError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{found.settings} of {found.place} is broken: {type(error).__name__}: {error}") from None


def _through_transformers(folder: Path, device: str | None, dtype: str | None) -> tuple[Any, Compute]:
    from unspool.models import hf

    hf.library()
    engine = replace(choose("torch", device, dtype, lambda: stored_dtype(folder)), backend="transformers")
    return hf.open_folder(folder, engine.device, engine.dtype), engine


def fingerprint(folder: Path) -> str:
    """sha256 over config.json and the headers and sizes of the weight files: tells checkpoints apart without reading them whole."""
    digest = hashlib.sha256()
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        with path.open("rb") as file:
            digest.update(f"{path.name} {path.stat().st_size}".encode() + file.read(1 << 16))
    return digest.hexdigest()
