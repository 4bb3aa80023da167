"""What models there are: read from their configurations and the headers of their weights, nothing is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from unspool.errors import ModelError
from unspool.models import hub, wheels
from unspool.models.architecture import check_architecture
from unspool.models.families import FAMILIES, KEYS
from unspool.models.gguf.checkpoint import GgufCheckpoint, GgufFile
from unspool.models.gguf.layouts import NotRead
from unspool.models.gguf.names import gguf_files
from unspool.models.known import KNOWN
from unspool.models.llama_cpp.library import is_installed
from unspool.models.loading import BUNDLED, gguf_in, read_json
from unspool.models.weights import BUFFERS, read_header

NO_PARAMETERS = ("__metadata__", *BUFFERS)
HEADS = {f"{family.head}.weight" for family in FAMILIES.values()}
"""Output weights, which are the embedding again if the configuration ties them."""


@dataclass(frozen=True)
class ModelInfo:
    """A model in a folder, or in a GGUF file."""

    name: str
    folder: str
    architecture: str = ""
    parameters: int = 0
    context: int = 0
    vocabulary: int = 0
    bytes: int = 0
    """Size of the weight files."""
    problem: str = ""
    """Why it cannot be used."""
    format: str = ""
    """In a GGUF file, the number format of most weights."""


def bundled() -> ModelInfo:
    """The model that comes with the package."""
    return describe(BUNDLED, "bundled")


def models_cached() -> list[ModelInfo]:
    """The models that were fetched before: those of the hub, and the files of packages."""
    files = [(model.name, wheels.here(model.packaged)) for model in KNOWN.values() if model.packaged]
    files = [*hub.cached(), *files]
    return [(describe if place.is_dir() else describe_file)(place, name) for name, place in files if place]


def is_shelf(name: str) -> bool:
    """Whether a name is a folder that is no model itself, but may hold some."""
    folder = Path(name).expanduser()
    return folder.is_dir() and not (folder / "config.json").exists() and gguf_in(folder) is None


def models_in(folder: Path) -> list[ModelInfo]:
    """The models that lie in a folder, GGUF files and folders."""
    place = folder.expanduser()
    files = [path for one in (place, *sorted(path for path in place.glob("*") if path.is_dir())) for path in gguf_files(one)]
    found = [describe(path.parent, str(path.parent)) for path in sorted(place.glob("*/config.json"))]
    found += [describe_file(path, str(path)) for path in files]
    if not found:
        raise ModelError(f"there is no model in {str(folder)!r}: neither it nor a folder in it has a config.json or a GGUF file")
    return found


def describe(folder: Path, name: str) -> ModelInfo:
    """What a model's folder says of it."""
    try:
        config = read_json(folder / "config.json")
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ModelError("no model.safetensors")
        shapes = {key: entry["shape"] for path in files for key, entry in read_header(path)[0].items() if not key.endswith(NO_PARAMETERS)}
        family = FAMILIES.get(str(config.get("model_type")))
        tied = config.get("tie_word_embeddings", family is not None and family.defaults.get("tie_word_embeddings"))
        return ModelInfo(
            name,
            str(folder),
            str(config.get("model_type", "unknown")),
            sum(math.prod(shape) for key, shape in shapes.items() if not (tied and key in HEADS)),
            next((int(config[key]) for key in KEYS["context"] if config.get(key)), 0),
            int(config.get("vocab_size") or 0),
            sum(path.stat().st_size for path in files),
            _problem(config),
        )
    except (ModelError, OSError, TypeError, ValueError, ArithmeticError) as error:
        return ModelInfo(name, str(folder), problem=str(error))


def describe_file(path: Path, name: str) -> ModelInfo:
    """What a GGUF file says of itself."""
    try:
        file = GgufFile.open(path)
        keys = file.container.keys
        return ModelInfo(
            name,
            str(path),
            file.architecture,
            sum(math.prod(tensor.shape) for tensor in file.container.tensors.values()),
            int(keys.get(f"{file.architecture}.context_length", 0)),
            len(keys.get("tokenizer.ggml.tokens", ())),
            file.bytes,
            _problem_of_file(file),
            file.format,
        )
    except (ModelError, OSError, TypeError, ValueError) as error:
        return ModelInfo(name, str(path), problem=str(error).removeprefix(f"{path} "))


def _problem_of_file(file: GgufFile) -> str:
    try:
        GgufCheckpoint.of(file)
    except NotRead as error:
        return "" if is_installed() else f"{str(error).split(';')[0].removeprefix(f'{file.place}: ')}; llama.cpp may run it"
    except ModelError as error:
        return str(error).removeprefix(f"{file.place}: ")
    return ""


def _problem(config: dict[str, object]) -> str:
    try:
        check_architecture(config)
    except ModelError as error:
        return str(error).split(";")[0]
    return ""
