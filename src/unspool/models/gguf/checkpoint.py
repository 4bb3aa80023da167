"""A model in a GGUF file: its weights as a checkpoint's, its tokenizer and its chat template."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unspool.errors import ModelError
from unspool.models.chat import ChatTemplate
from unspool.models.gguf.container import Container, read_container, set_of
from unspool.models.gguf.layouts import config_of
from unspool.models.gguf.tokens import chat_of, notes_of, tokenizer_of
from unspool.models.gguf.vocabulary import vocabulary_of
from unspool.models.gguf.weights import PLAIN_FORMATS, read_weights
from unspool.models.loading import Widened
from unspool.models.weights import NAMES
from unspool.text import Tokenizer

HASHED = 1 << 16
"""Bytes at both ends of a file that its fingerprint is made of."""


@dataclass(frozen=True)
class GgufFile:
    """What a file holds beside its weights: the tokenizer and the chat template."""

    place: Path
    container: Container = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> GgufFile:
        """Read what a file says of itself; nothing of its tensors."""
        return cls(path, read_container(path))

    @property
    def architecture(self) -> str:
        """What the file calls it."""
        return str(self.container.keys.get("general.architecture", "unknown"))

    @property
    def bytes(self) -> int:
        """The size of the file, or of all that make up the model."""
        return sum(path.stat().st_size for path in set_of(self.place))

    @property
    def format(self) -> str:
        """The number format of most of its weights."""
        counts: dict[str, int] = {}
        for tensor in self.container.tensors.values():
            counts[tensor.format.name] = counts.get(tensor.format.name, 0) + tensor.bytes.size
        return max(counts, key=lambda name: counts[name], default="F32")

    def tokenizer(self) -> Tokenizer:
        with said_of(self.place):
            return tokenizer_of(vocabulary_of(self.container.keys))

    def notes(self) -> list[str]:
        """What the user should know of the tokenizer."""
        return notes_of(vocabulary_of(self.container.keys))

    def chat(self) -> ChatTemplate:
        return chat_of(self.container.keys)

    @property
    def fingerprint(self) -> str:
        """sha256 over the sizes and both ends of its files: tells checkpoints apart without reading them whole."""
        digest = hashlib.sha256()
        for path in set_of(self.place):
            with path.open("rb") as file:
                size = path.stat().st_size
                digest.update(f"{path.name} {size}".encode() + file.read(HASHED))
                file.seek(max(size - HASHED, 0))
                digest.update(file.read(HASHED))
        return digest.hexdigest()


@dataclass(frozen=True)
class GgufCheckpoint(Widened):
    """A file as the checkpoint that it holds."""

    file: GgufFile = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> GgufCheckpoint:
        """Read what a file says of itself; nothing of its tensors."""
        return cls.of(GgufFile.open(path))

    @classmethod
    def of(cls, file: GgufFile) -> GgufCheckpoint:
        """The checkpoint in a file, if its architecture is one that is read here; otherwise NotRead is raised."""
        with said_of(file.place):
            config = config_of(file.container)
        return cls(file.place, config["model_type"], config, file)

    @property
    def settings(self) -> str:
        return "the file"

    def dtype(self) -> str:
        """The format of most weights if it is one of torch's, and bfloat16 for weights in blocks, whose numbers it holds in any case."""
        most = self.file.format
        return NAMES.get(most, "float32" if most in PLAIN_FORMATS else "bfloat16")

    def matrices(self) -> Mapping[str, Any]:
        with said_of(self.place):
            return read_weights(self.file.container, self.config)


@contextmanager
def said_of(path: Path) -> Iterator[None]:
    """What is wrong with a file, with its name."""
    try:
        yield
    except ModelError as error:
        raise type(error)(f"{path}: {error}") from None
