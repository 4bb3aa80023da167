"""What a loaded model is and what it takes: shape, tokenizer, engine, files and memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.core.model import ROOT
from unspool.kernels.library import available, missing, thread_count
from unspool.models.compiled.model import CompiledTransformer
from unspool.models.gguf.checkpoint import GgufCheckpoint, GgufFile
from unspool.models.gguf.layouts import NotRead
from unspool.models.gguf.names import gguf_files, is_gguf, is_meant
from unspool.models.hub import parse_name, snapshot_folder
from unspool.models.known import KNOWN
from unspool.models.llama_cpp.library import is_installed
from unspool.models.loading import BUNDLED, gguf_in
from unspool.models.wheels import here

if TYPE_CHECKING:
    from unspool.language_model import LanguageModel

PACKED_NAMES = {
    **{"whole4": "whole numbers of 4 bits", "whole8": "whole numbers of 8 bits", "int4_min": "int4 with minima"},
    **{"coded32": "float32 in 28 bits", "coded16": "bfloat16 in 12 bits"},
}
"""What formats of packed weights are called where others go by their own names."""


def folder_of(lm: LanguageModel) -> Path | None:
    """The folder that a model was loaded from; None if it is from none."""
    name = parse_name(lm.name)
    if lm.name == "bundled":
        return BUNDLED
    if name and "revision" in lm.info:
        return snapshot_folder(name, str(lm.info["revision"]))
    folder = Path(lm.name).expanduser()
    return folder if (folder / "config.json").is_file() else None


def file_of(lm: LanguageModel) -> Path | None:
    """The GGUF file that a model was loaded from; None if it is from none."""
    known = KNOWN.get(lm.name)
    if known and known.packaged:
        return here(known.packaged)
    name = parse_name(lm.name)
    if name and "revision" in lm.info:
        files = gguf_files(snapshot_folder(name, str(lm.info["revision"])))
        return next((path for path in files if not name.file or is_meant(path.name, name.file)), None)
    path = Path(lm.name).expanduser()
    return gguf_in(path) if path.is_dir() else path if is_gguf(path) and path.is_file() else None


def engines_of(file: GgufFile) -> list[str]:
    """The backends that run a file, in the order in which they are chosen."""
    try:
        GgufCheckpoint.of(file)
    except NotRead:
        return ["llama.cpp"]
    own = [*(["compiled"] if available() else []), "numpy", *(["torch"] if find_spec("torch") else [])]
    return [*own, "llama.cpp" if is_installed() else "llama.cpp (with unspool[llama-cpp])"]


def details(lm: LanguageModel, seconds: float = 0.0) -> dict[str, Any]:
    """Names and values; memory is measured after one token went through the model, so that its weights were read.

    seconds: what its opening took, if that is known.
    """
    folder, path = folder_of(lm), file_of(lm)
    file = GgufFile.open(path) if path else None
    model, info = lm.model, lm.info
    session = model.session()
    session.logits(session.extend([ROOT], [[0]]))
    device = str(info.get("device", "cpu"))
    found: dict[str, Any] = {"name": lm.name, "folder": str(folder or "")}
    found |= {"file": str(path)} if path and str(path) != lm.name else {}
    found |= {"revision": info["revision"]} if "revision" in info else {}
    return found | {
        "architecture": info.get("architecture", ""),
        **({"weights": file.format} if file else {}),
        "parameters": getattr(model, "parameters", 0),
        "layers": getattr(model, "layers", 0),
        "context": model.context,
        "vocabulary": model.vocabulary,
        "end_tokens": list(model.end_tokens),
        "tokenizer": f"{type(lm.tokenizer).__name__}, {lm.tokenizer.size} tokens",
        "tokenizer_sha256": lm.tokenizer.hash,
        "backend": info.get("backend", ""),
        **({"engines": engines_of(file)} if file else {}),
        "device": device,
        "dtype": info.get("dtype", ""),
        **packed(model),
        **kernels_of(str(info.get("backend", "")), model),
        "notes": list(lm.notes),
        "file_bytes": sum(path.stat().st_size for path in folder.glob("*.safetensors")) if folder else file.bytes if file else 0,
        **({"opened_seconds": round(seconds, 2)} if seconds else {}),
        **memory(device),
    }


def packed(model: Any) -> dict[str, Any]:
    """What the weights of a model in the kernels lie in, which for float32 may be fewer bits that come to the same, and their bytes."""
    if not isinstance(model, CompiledTransformer):
        return {}
    formats = [PACKED_NAMES.get(name, name) for name in model.packed_formats]
    return {"packed": formats, "packed_bytes": model.packed_bytes}


def kernels_of(backend: str, model: Any = None) -> dict[str, str]:
    """Which kernels compute a model, and on how many threads; for numpy its BLAS, and why there are no kernels."""
    if backend == "compiled":
        return {"kernels": f"{model.kernels.name.decode()}, {thread_count()} thread{'' if thread_count() == 1 else 's'}"}
    if backend != "numpy":
        return {}
    from unspool.models.blas import blas

    return {"blas": blas()} if available() else {"kernels": f"none{missing()}", "blas": blas()}


def memory(device: str) -> dict[str, int]:
    """Bytes that this process holds: on a GPU allocated and reserved, elsewhere resident."""
    if device.startswith("cuda"):
        import torch

        return {"allocated_bytes": torch.cuda.memory_allocated(device), "reserved_bytes": torch.cuda.memory_reserved(device)}
    if device.startswith("mps"):
        import torch

        return {"allocated_bytes": torch.mps.current_allocated_memory(), "reserved_bytes": torch.mps.driver_allocated_memory()}
    return {"resident_bytes": resident()} | ({"peak_bytes": most} if (most := most_resident()) else {})


def resident() -> int:
    """Bytes of memory that this process has in use; the most it had where only that is known; 0 where nothing is."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    return most_resident()


def most_resident() -> int:
    """The most memory that this process had in use, in bytes; 0 where nobody says."""
    try:
        import resource
    except ImportError:
        return 0
    usage: Callable[..., Any] = resource.getrusage
    return int(usage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
