"""A model in llama.cpp: a GGUF file of any architecture that it computes."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from unspool.core.model import NO_PLAN, Plan
from unspool.errors import Unsupported
from unspool.models.llama_cpp.contexts import LEAST_CELLS, Context
from unspool.models.llama_cpp.library import Weights, layers_on, library, open_file
from unspool.models.llama_cpp.session import LlamaCppSession

CELLS_AT_ONCE = 256
"""Room is made for a multiple of so many tokens."""


class LlamaCppModel:
    """A model of llama.cpp's, its weights as they are in the file and mapped; see `unspool.core.model.Model`.

    path: the file. device: where it computes, see `unspool.models.llama_cpp.library.layers_on`.
    """

    def __init__(self, path: Path, device: str | None = None) -> None:
        from unspool.kernels.library import thread_count

        lib = library()
        self.device, layers = layers_on(device)
        self.path, self.threads, self._idle = path, thread_count(), list[Context]()
        self.pointer = open_file(path, layers)
        self.weights = Weights(self.pointer)
        self.lib = lib
        for held, what in ((lib.llama_model_has_encoder, "has an encoder"), (lib.llama_model_is_diffusion, "is a diffusion model")):
            if held(self.pointer):
                raise Unsupported(f"{path} {what}; unspool decodes causal models")
        if lib.llama_model_is_recurrent(self.pointer) or lib.llama_model_is_hybrid(self.pointer):
            raise Unsupported(f"{path} keeps a state that cannot be taken back to an earlier token, as rows that fork need")
        self.words = lib.llama_model_get_vocab(self.pointer)
        self.vocabulary = int(lib.llama_vocab_n_tokens(self.words))
        self.context = int(lib.llama_model_n_ctx_train(self.pointer))
        self.layers = int(lib.llama_model_n_layer(self.pointer))
        self.parameters = int(lib.llama_model_n_params(self.pointer))
        self.end_tokens = tuple(t for t in range(self.vocabulary) if lib.llama_vocab_is_eog(self.words, t))
        start = int(lib.llama_vocab_bos(self.words))
        self.start = start if start >= 0 else None
        self.architecture = self.said("general.architecture")

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            self._idle.clear()
            self.pointer = None
            self.weights.let_go()

    def __repr__(self) -> str:
        return f"LlamaCppModel({str(self.path)!r}, {self.description})"

    @property
    def description(self) -> str:
        """Architecture, size and number format, as llama.cpp says it."""
        room = ctypes.create_string_buffer(256)
        self.lib.llama_model_desc(self.pointer, room, len(room))
        return room.value.decode("utf-8", "replace")

    def said(self, key: str) -> str:
        """A key of the file, as text."""
        room = ctypes.create_string_buffer(256)
        size = self.lib.llama_model_meta_val_str(self.pointer, key.encode(), room, len(room))
        return room.value.decode("utf-8", "replace") if size >= 0 else ""

    def session(self, plan: Plan = NO_PLAN) -> LlamaCppSession:
        return LlamaCppSession(self, plan)

    def take_context(self, cells: int) -> Context:
        """A context with room for so many tokens, empty: one that is idle, if it is large enough."""
        if self._idle and self._idle[-1].pointer and self._idle[-1].cells >= cells:
            found = self._idle.pop()
            found.clear()
            return found
        self._idle.clear()
        return Context(self.weights, -(-max(cells, LEAST_CELLS) // CELLS_AT_ONCE) * CELLS_AT_ONCE, self.threads)

    def give_back(self, context: Any) -> None:
        """A context is idle; the largest waits for the next session. One that a collection of garbage has ended already does not."""
        self._idle = sorted((one for one in (*self._idle, context) if one.pointer), key=lambda one: one.cells)[-1:]
