"""What models there are: read from their configurations and the headers of their weights, nothing is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from unspool.errors import ModelError
from unspool.models import hub, wheels
from unspool.models.architecture import check_architecture
from unspool.models.families import FAMILIES, KEYS
from unspool.models.known import KNOWN
from unspool.models.loading import BUNDLED, read_json
from unspool.models.weights import BUFFERS, read_header

NO_PARAMETERS = ("__metadata__", *BUFFERS)
HEADS = {f"{family.head}.weight" for family in FAMILIES.values()}
"""Output weights, which are the embedding again if the configuration ties them."""

EMBEDDING = "token_embd.weight"
"""What a GGUF file calls a row for each token."""


@dataclass(frozen=True)
class ModelInfo:
    """A model in a folder."""

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


def bundled() -> ModelInfo:
    """The model that comes with the package."""
    return describe(BUNDLED, "bundled")


def models_cached() -> list[ModelInfo]:
    """The models that were fetched before: those of the hub, and the files of packages."""
    files = [(model.name, wheels.here(model.packaged)) for model in KNOWN.values() if model.packaged]
    return [describe(folder, name) for name, folder in hub.cached()] + [describe_file(path, name) for name, path in files if path]


def is_shelf(name: str) -> bool:
    """Whether a name is a folder that is no model itself, but may hold some."""
    folder = Path(name).expanduser()
    return folder.is_dir() and not (folder / "config.json").exists()


def models_in(folder: Path) -> list[ModelInfo]:
    """The models that lie in a folder."""
    found = [describe(path.parent, str(path.parent)) for path in sorted(folder.expanduser().glob("*/config.json"))]
    if not found:
        raise ModelError(f"there is no model in {str(folder)!r}: neither it nor a folder in it has a config.json")
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
    from unspool.models.gguf.checkpoint import GgufCheckpoint

    try:
        file = GgufCheckpoint.open(path)
        shapes = {name: tensor.shape for name, tensor in file.container.tensors.items()}
        context, vocabulary = int(file.config.get("max_position_embeddings") or 0), shapes.get(EMBEDDING, (0,))[0]
        return ModelInfo(name, str(path), file.kind, sum(map(math.prod, shapes.values())), context, vocabulary, path.stat().st_size)
    except (ModelError, OSError) as error:
        return ModelInfo(name, str(path), problem=str(error))


def _problem(config: dict[str, object]) -> str:
    try:
        check_architecture(config)
    except ModelError as error:
        return str(error).split(";")[0]
    return ""
