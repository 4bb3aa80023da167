"""What models there are: read from their configurations and the headers of their weights, nothing is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from unspool.errors import ModelError
from unspool.models.loading import BUNDLED, read_json
from unspool.models.weights import read_header

NO_PARAMETERS = ("__metadata__", ".attn.bias", ".attn.masked_bias", "lm_head.weight")
"""Entries that are no parameters of their own: masks, and output weights that are the embedding again."""


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


def models_in(folder: Path) -> list[ModelInfo]:
    """The model that a folder is, or those that lie in it."""
    if not folder.is_dir():
        raise ModelError(f"there is no folder {str(folder)!r}")
    if (folder / "config.json").exists():
        return [describe(folder, str(folder))]
    found = [describe(path.parent, str(path.parent)) for path in sorted(folder.glob("*/config.json"))]
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
        shapes = [entry["shape"] for path in files for key, entry in read_header(path)[0].items() if not key.endswith(NO_PARAMETERS)]
        return ModelInfo(
            name,
            str(folder),
            str(config.get("model_type", "unknown")),
            sum(math.prod(shape) for shape in shapes),
            int(config.get("n_positions") or config.get("max_position_embeddings") or 0),
            int(config.get("vocab_size") or 0),
            sum(path.stat().st_size for path in files),
        )
    except (ModelError, OSError, TypeError, ValueError) as error:
        return ModelInfo(name, str(folder), problem=str(error))
