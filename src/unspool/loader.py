"""Opening models: by name, from a folder, or as an object that the caller holds."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.errors import ModelError, check
from unspool.language_model import LanguageModel
from unspool.text import Tokenizer

if TYPE_CHECKING:
    from unspool.models.engine import Compute
    from unspool.models.gguf.checkpoint import GgufFile
    from unspool.models.loading import Found

IDS = {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "transformers_version", "_from_model_config", "use_cache"}
"""What a generation_config.json holds that asks for no decoder."""


def load(
    name: Any = None,
    *,
    tokenizer: Any = None,
    backend: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> LanguageModel:
    """A LanguageModel: the bundled one if no name is given, a Hugging Face folder, a GGUF file, or a model of the hub.

    name: "bundled", a folder or file, a word that `unspool models get` lists, or as on the hub: "gpt2", "org/name",
    "org/name@revision"; "hf:gpt2" if a folder has the name too.
    It computes on the CPU in the package's own kernels (backend="compiled"), or in numpy where they are not built; dtype "bfloat16",
    "int8" or "int4" packs the weights in fewer bits there. backend="torch" or a device ("cuda", "mps", or "auto" for the best there
    is) chooses torch; backend="transformers" runs any causal model through that library, backend="llama.cpp" any GGUF file in llama.cpp,
    which is chosen for files of architectures that are not read here. name may also be a model object of
    transformers, which is used where it is and left as it is. tokenizer: in place of the model's own, one of transformers or of the
    tokenizers library, or a folder; a model object needs it.

    A folder's generation_config.json gives the end tokens; other settings in it are not applied. What the user should know, as what these
    ask for, or that a model runs without a cache, stands in `notes`, and each is said in a UserWarning.
    """
    lm = open_quietly(name, tokenizer=tokenizer, backend=backend, device=device, dtype=dtype)
    for note in lm.notes:
        warnings.warn(note, stacklevel=2)
    return lm


def open_quietly(name: Any, *, tokenizer: Any = None, backend: str | None, device: str | None, dtype: str | None) -> LanguageModel:
    """The same for who says the notes in a way of its own."""
    if name is not None and not isinstance(name, str | Path):
        return _hold(name, tokenizer, backend, device, dtype)
    from unspool.models.chat import FolderChat, template_of
    from unspool.models.engine import check_names, check_variables, notes_of
    from unspool.models.gguf.names import is_gguf
    from unspool.models.loading import find, fingerprint, read_model
    from unspool.models.tokenizer_folder import read_tokenizer

    check_names(backend=backend, device=device, dtype=dtype)
    check_variables()
    found = find(name)
    if is_gguf(found.folder):
        return _open_gguf(found, tokenizer, backend, device, dtype)
    model, engine = read_model(found.folder, backend, device, dtype)
    info = _info(found, fingerprint(found.folder), model, engine)
    reads = read_tokenizer(found.folder) if tokenizer is None else _reader(tokenizer)
    chat = template_of(tokenizer) or FolderChat(found.folder)
    notes = [*_asked(found.folder, found.name), *notes_of(engine, backend)]
    return LanguageModel(model, reads, found.name, info, chat, notes)


def _open_gguf(found: Found, tokenizer: Any, backend: str | None, device: str | None, dtype: str | None) -> LanguageModel:
    """The same from a GGUF file, which holds its tokenizer and chat template too."""
    from unspool.models.chat import template_of
    from unspool.models.engine import notes_of
    from unspool.models.gguf.checkpoint import GgufCheckpoint, GgufFile
    from unspool.models.gguf.layouts import NotRead
    from unspool.models.llama_cpp.library import HOW_INSTALLED, is_installed
    from unspool.models.loading import build

    check(backend != "transformers", "a GGUF file is not run by transformers; leave out the backend, or give the model's folder")
    file = GgufFile.open(found.folder)
    if backend == "llama.cpp":
        return _open_in_llama_cpp(found, file, tokenizer, device, dtype)
    try:
        checkpoint = GgufCheckpoint.of(file)
    except NotRead as error:
        if backend is None and is_installed():
            return _open_in_llama_cpp(found, file, tokenizer, device, dtype)
        raise ModelError(f"{error}; llama.cpp may run it: {'leave out the backend' if is_installed() else HOW_INSTALLED}") from None
    model, engine = build(checkpoint, backend, device, dtype)
    info = _info(found, file.fingerprint, model, engine)
    reads, notes = (file.tokenizer(), file.notes()) if tokenizer is None else (_reader(tokenizer), [])
    return LanguageModel(model, reads, found.name, info, template_of(tokenizer) or file.chat(), [*notes, *notes_of(engine, backend)])


def _open_in_llama_cpp(found: Found, file: GgufFile, tokenizer: Any, device: str | None, dtype: str | None) -> LanguageModel:
    """The same in llama.cpp, with the tokenizer that is read here, or with llama.cpp's own."""
    from unspool.models.chat import template_of
    from unspool.models.engine import Compute
    from unspool.models.llama_cpp.model import LlamaCppModel
    from unspool.models.llama_cpp.words import LlamaCppWords

    check(dtype is None, f"dtype {dtype!r}: llama.cpp computes with the file's own number formats; leave it out")
    model = LlamaCppModel(found.folder, device)
    info = _info(found, file.fingerprint, model, Compute("llama.cpp", model.device, file.format))
    if tokenizer is not None:
        return LanguageModel(model, _reader(tokenizer), found.name, info, template_of(tokenizer) or file.chat(), [])
    try:
        reads, notes = file.tokenizer(), file.notes()
    except ModelError as error:
        reads, notes = LlamaCppWords(model), [f"llama.cpp's own tokenizer reads texts, for {error}"]
    return LanguageModel(model, reads, found.name, info, file.chat(), notes)


def _info(found: Found, fingerprint: str, model: Any, engine: Compute) -> dict[str, str]:
    """What every record says of a model that was opened."""
    info = {"fingerprint": fingerprint, "architecture": model.architecture, "backend": engine.backend}
    return info | {"device": engine.device, "dtype": engine.dtype} | ({"revision": found.revision} if found.revision else {})


def _asked(folder: Path, name: str) -> list[str]:
    """What is to be said of a model's generation_config.json if it asks for a decoder: nothing is on by default here."""
    from unspool.models.loading import read_json

    path = folder / "generation_config.json"
    held = read_json(path) if path.is_file() else {}
    if not {key for key, value in held.items() if value not in (None, False)} - IDS:
        return []
    from unspool.lab.translate import asked_of  # above this module: only to say what the file means

    asked, shown = asked_of(folder), f"unspool translate --from transformers -m {name}"
    said = f"the generation_config.json of {name} asks for {asked}, which a decoder has to say here: {shown}"
    return [said] if asked else []


def _hold(held: Any, tokenizer: Any, backend: str | None, device: str | None, dtype: str | None) -> LanguageModel:
    """A LanguageModel of a model object that the caller holds."""
    from unspool.models.chat import template_of
    from unspool.models.hf import TransformersModel

    ready, kind = hasattr(held, "session"), type(held).__name__
    check(ready or hasattr(held, "get_input_embeddings"), f"load takes a name, a folder or a model object of transformers; got {kind}")
    check(tokenizer is not None, f"a model object needs its tokenizer: load(model, tokenizer=...), here a {kind}")
    check(
        backend in (None, "transformers") and device is None and dtype is None,
        "a model object is used where it is and as it is: leave out backend, device and dtype",
    )
    model = held if ready else TransformersModel(held)
    name = str(getattr(getattr(held, "config", None), "name_or_path", "") or kind)
    info = {"architecture": getattr(model, "architecture", kind)}
    if isinstance(model, TransformersModel):
        info |= {"backend": "transformers", "device": str(model.device), "dtype": str(model.dtype).removeprefix("torch.")}
    return LanguageModel(model, _reader(tokenizer), name, info, template_of(tokenizer))


def _reader(tokenizer: Any) -> Tokenizer:
    """A tokenizer that the caller gives, as an object or a folder."""
    from unspool.models.hf_tokenizer import as_tokenizer
    from unspool.models.tokenizer_folder import read_tokenizer

    check(tokenizer != "", "the name of a tokenizer is empty; give its folder, or leave it out for the model's own")
    return read_tokenizer(Path(tokenizer).expanduser()) if isinstance(tokenizer, str | Path) else as_tokenizer(tokenizer)
