"""Models of the Hugging Face hub: their names, their download, and what is in the hub's cache.

huggingface_hub is imported only when a name needs it. It respects HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT and
HF_HUB_OFFLINE. Only weights in safetensors, configurations and tokenizers are fetched, or one GGUF file: nothing that could run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unspool.errors import MissingExtra, ModelError, UnknownName, UnspoolError
from unspool.models.gguf.names import first_files, gguf_files, is_meant, patterns_of, quantisation_of
from unspool.models.hub_errors import Unreachable, as_ours

WANTED = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.*",
    "model.safetensors.index.json",
    "*.safetensors",
]
UNWANTED = ["*/*", "consolidated*.safetensors"]
"""Folders of other formats, and the same weights again as some publishers add them."""
PICKLED = (".bin", ".pt", ".pth", ".ckpt")

_NAME = re.compile(r"(hf:)?(\w[\w.-]*(?:/\w[\w.-]*)?)(?::(\w[\w.-]*))?(?:@([\w][\w./-]*))?", re.ASCII)
_WARNING = "Not enough free disk space"


@dataclass(frozen=True)
class HubName:
    """`repository`, as org/name, at a revision: a branch, a tag or a commit; None is the newest."""

    repository: str
    revision: str | None = None
    certain: bool = False
    """Written with hf: in front, so that it means nothing else."""
    file: str = ""
    """Which of its GGUF files: the format of the weights, as Q4_K_M, or a file's name."""

    @property
    def bare(self) -> bool:
        """One word, which may as well be a typing error."""
        return "/" not in self.repository and not self.certain

    def __str__(self) -> str:
        return self.repository + (f":{self.file}" if self.file else "") + (f"@{self.revision}" if self.revision else "")


def parse_name(text: str) -> HubName | None:
    """The hub name that a text is, as gpt2, org/name, org/name:Q4_K_M or hf:org/name@revision; None if it is none."""
    found = _NAME.fullmatch(text)
    if not found or len(found[2]) > 96 or any(part in text for part in ("--", "..")) or found[2].endswith((".git", "-", ".")):
        return None
    return HubName(found[2], found[4], found[1] is not None, found[3] or "")


def cache_folder() -> Path:
    """Where the hub's files are kept."""
    return Path(_constants().HF_HUB_CACHE)


def snapshot_folder(name: HubName, commit: str) -> Path:
    """Where the files of a model at a commit are kept."""
    return _repository_folder(name) / "snapshots" / commit


def is_cached(name: HubName) -> bool:
    """Whether something of a model was fetched before."""
    return (_repository_folder(name) / "snapshots").is_dir()


def fetch(name: HubName) -> Path:
    """The folder of a model's files at one commit, which is the folder's name, or its GGUF file; what the cache lacks is downloaded.

    Every file that is new is compared with the hash that the hub gives for it.
    """
    if name.file:
        return _gguf(name)
    folder = _snapshot(name, WANTED)
    if any(folder.glob("*.safetensors")):
        return folder
    files = _listed(name) or [path.name for path in gguf_files(folder)]
    models = first_files(files)
    if len(models) == 1:
        return _gguf(replace(name, file=models[0]))
    if models:
        one = replace(name, file=min(map(quantisation_of, models)))
        raise ModelError(f"{name} has {len(models)} GGUF files; say which, as {one}: it has {_kinds(models)}")
    raise _no_weights(name, files)


def _gguf(name: HubName) -> Path:
    """The GGUF file that a name means, of a model in several files the first."""
    folder = _snapshot(name, patterns_of(name.file))
    found = [path for path in gguf_files(folder) if is_meant(path.name, name.file)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ModelError(f"{name} may be each of {', '.join(path.name for path in found)}; say which, by its name")
    repository, there = replace(name, file=""), _listed(name)
    if not there:
        raise Unreachable(f"{name} is not in the cache {cache_folder()}, and the hub cannot be asked for it")
    instead = f"it has {_kinds(first_files(there))}" if first_files(there) else "it has none at all"
    raise UnknownName(f"{repository} has no GGUF file {name.file!r}; {instead}")


def _kinds(models: list[str]) -> str:
    return ", ".join(sorted({quantisation_of(model) for model in models}))


def _snapshot(name: HubName, wanted: list[str]) -> Path:
    """The folder of a repository at one commit, with the files that are wanted."""
    constants = _constants()
    from huggingface_hub import snapshot_download

    before = set(_blobs(name))
    try:
        with _quiet():
            folder = Path(
                snapshot_download(
                    name.repository,
                    revision=name.revision,
                    allow_patterns=wanted,
                    ignore_patterns=UNWANTED,
                    tqdm_class=_bar(str(name)),
                )
            )
    except Exception as error:                                            # of the network, the disk and the hub, of many libraries
        raise as_ours(error, name.repository, name.revision, constants.ENDPOINT, str(cache_folder())) from None
    _check_downloads(folder, before)
    return folder


def _listed(name: HubName) -> list[str]:
    """The names of a repository's files, if the hub can be asked."""
    from huggingface_hub import HfApi

    with contextlib.suppress(Exception), _quiet():
        return HfApi().list_repo_files(name.repository, revision=name.revision)
    return []


def cached() -> Iterator[tuple[str, Path]]:
    """Names and folders of the models in the hub's cache, of GGUF files each by itself; nothing is fetched."""
    for repository in sorted(cache_folder().glob("models--*")):
        name = repository.name.removeprefix("models--").replace("--", "/")
        refs = repository / "refs"
        references = {_text(path): path.relative_to(refs).as_posix() for path in refs.rglob("*") if path.is_file()}
        for snapshot in sorted((repository / "snapshots").glob("*")):
            revision = references.get(snapshot.name, snapshot.name)
            at = None if revision == "main" else revision
            if (snapshot / "config.json").is_file() and any(snapshot.glob("*.safetensors")):
                yield str(HubName(name, at)), snapshot
            for file in gguf_files(snapshot):
                yield str(HubName(name, at, file=quantisation_of(file.name))), file


# --- parts ------------------------------------------------------------------------------------------------------------


def _constants() -> _Constants:
    try:
        from huggingface_hub import constants
    except ImportError:
        raise MissingExtra("models of the hub need huggingface_hub: pip install huggingface_hub") from None
    return constants  # type: ignore[return-value]


class _Constants:
    """What is read of the library's settings."""

    HF_HUB_CACHE: str
    ENDPOINT: str


def _repository_folder(name: HubName) -> Path:
    return cache_folder() / ("models--" + name.repository.replace("/", "--"))


def _blobs(name: HubName) -> Iterator[Path]:
    return (path.resolve() for path in (_repository_folder(name) / "blobs").glob("*"))


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").strip()
    return ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The library's log says nothing less than errors, and too little space is an error."""
    import logging

    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=_WARNING)
            yield
    finally:
        log.setLevel(level)


def _bar(label: str) -> Any:
    """A progress bar of all bytes on stderr, if that is a terminal; of the library's several bars it is the only one shown."""
    from huggingface_hub.utils.tqdm import tqdm

    base: Any = tqdm
    seen = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    class Bar(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            main = options.get("unit") == "B" and "transfer" not in str(options.get("name"))
            own = {"disable": not (seen and main), "desc": label, "leave": False}
            size = {"ncols": shutil.get_terminal_size().columns - 1, "nrows": 20}
            super().__init__(*args, **options | own | size)

        def set_description(self, *_: Any, **__: Any) -> None:
            """The label stays."""

        def set_description_str(self, *_: Any, **__: Any) -> None:
            """The label stays."""

    return Bar


def _check_downloads(folder: Path, before: set[Path]) -> None:
    """Compare files that are new with their hashes, which the cache names them by; remove those that are wrong."""
    for path in sorted(folder.glob("*")):
        blob = path.resolve()
        if not path.is_symlink() or blob in before or _has_hash(blob, blob.name):
            continue
        path.unlink()
        blob.unlink()
        raise ModelError(f"the download of {path.name} is broken: its hash is not {blob.name}; it was removed, run again to fetch it anew")


def _has_hash(path: Path, wanted: str) -> bool:
    """Whether a file has a hash: the sha256 of large files, git's sha1 of others; other names are no hashes."""
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", wanted):
        return True
    digest = hashlib.sha256() if len(wanted) == 64 else hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == wanted


def _no_weights(name: HubName, files: list[str]) -> UnspoolError:
    """Say which weights a repository has that are not read."""
    pickled = [file for file in files if file.endswith(PICKLED)]
    if pickled:
        return ModelError(
            f"{name} has only pickled weights ({pickled[0]}), which can run code when opened; use a copy with model.safetensors"
        )
    others = [file for file in files if file.endswith((".h5", ".msgpack", ".onnx"))]
    instead = f"; it has {others[0]}, which cannot be read" if others else ""
    return ModelError(f"{name} has no weights in safetensors or GGUF on the hub{instead}")
