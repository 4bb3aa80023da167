"""Contexts of llama.cpp: cells of keys and values, and sequences that mark which of them a text has.

A cell belongs to every sequence that goes through it, so a copy of a sequence copies no keys or values.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from unspool.arrays import Floats
from unspool.errors import ModelError
from unspool.models.llama_cpp.library import Weights, library, why

TOKENS_OF_A_BATCH = 512
LEAST_CELLS = 512
NO_ROOM = 1
FLOAT16 = 1
"""How llama.cpp numbers the format in which it keeps keys and values."""
FLASH_WHERE_IT_CAN = -1
"""The same for the kind of attention, which computes in float16, too."""
NO_POOLING = 0


class Full(Exception):
    """There are no cells left."""


class Context:
    """Room for so many cells, freed with it."""

    def __init__(self, weights: Weights, cells: int, threads: int) -> None:
        lib, model = library(), weights.pointer
        params = lib.llama_context_default_params()
        params.n_ctx = self.cells = cells
        params.n_batch = params.n_ubatch = TOKENS_OF_A_BATCH
        params.n_seq_max = self.sequences = int(lib.llama_max_parallel_sequences())
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = params.swa_full = True                       # cells are shared by sequences, and none is lost to a window
        params.type_k = params.type_v = FLOAT16
        params.flash_attn_type = FLASH_WHERE_IT_CAN
        params.pooling_type = NO_POOLING                                 # a hidden state for every token
        params.no_perf = True
        why()
        self.pointer = lib.llama_init_from_model(model, params)
        if not self.pointer:
            raise ModelError(f"llama.cpp finds no room for {cells} tokens ({why()}): ask for fewer rows, tokens or prompts (together)")
        weights.users += 1
        self.weights = weights
        self.memory = lib.llama_get_memory(self.pointer)
        self.lib = lib
        self.vocabulary = int(lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model)))
        self.width = int(lib.llama_model_n_embd(model))
        n = TOKENS_OF_A_BATCH
        self._tokens, self._positions, self._counts, self._sequences = (np.zeros(n, np.int32) for _ in range(4))
        self._counts[:] = 1
        self._wanted = np.zeros(n, np.int8)
        self._lists = self._sequences.ctypes.data + 4 * np.arange(n, dtype=np.uint64)  # of each token its only sequence
        whole = ctypes.POINTER(ctypes.c_int32)
        self._batch = lib.llama_batch(
            n_tokens=0,
            token=ctypes.cast(self._tokens.ctypes.data, whole),
            pos=ctypes.cast(self._positions.ctypes.data, whole),
            n_seq_id=ctypes.cast(self._counts.ctypes.data, whole),
            seq_id=ctypes.cast(self._lists.ctypes.data, ctypes.POINTER(whole)),
            logits=ctypes.cast(self._wanted.ctypes.data, ctypes.POINTER(ctypes.c_int8)),
        )

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            library().llama_free(self.pointer)
            self.pointer = None
            self.weights.let_go()

    def clear(self) -> None:
        """Forget everything."""
        self.lib.llama_memory_clear(self.memory, False)
        self.show_states(False)

    def show_states(self, shown: bool) -> None:
        """Whether hidden states are given from now on, for which llama.cpp computes the logits of every token, too."""
        self.lib.llama_set_embeddings(self.pointer, shown)

    def copy(self, source: int, target: int, length: int) -> None:
        """The first cells of a sequence belong to another, too."""
        self.lib.llama_memory_seq_cp(self.memory, source, target, 0, length)

    def cut(self, sequence: int, length: int) -> None:
        """A sequence keeps its first cells alone."""
        if not self.lib.llama_memory_seq_rm(self.memory, sequence, length, -1):
            raise ModelError("llama.cpp cannot take tokens back in this model, as rows that fork need")

    def run(self, tokens: Sequence[int], positions: Sequence[int], sequences: Sequence[int], wanted: Sequence[bool]) -> None:
        """At most TOKENS_OF_A_BATCH tokens through the model; raises Full, and then nothing has changed."""
        n = len(tokens)
        self._tokens[:n], self._positions[:n], self._sequences[:n], self._wanted[:n] = tokens, positions, sequences, wanted
        self._batch.n_tokens = n
        why()
        status = self.lib.llama_decode(self.pointer, self._batch)
        if status == NO_ROOM:
            raise Full
        if status:
            raise ModelError(f"llama.cpp could not compute {n} tokens ({status}): {why()}")

    def logits(self, place: int) -> Floats:
        """Those of a token of the last batch that was wanted."""
        return self._read(self.lib.llama_get_logits_ith(self.pointer, place), self.vocabulary)

    def hidden(self, place: int) -> Floats:
        """The final hidden state there."""
        return self._read(self.lib.llama_get_embeddings_ith(self.pointer, place), self.width)

    def _read(self, pointer: Any, size: int) -> Floats:
        if not pointer:
            raise ModelError(f"llama.cpp holds no numbers for a token that it was asked for: {why()}")
        found: Floats = np.ctypeslib.as_array(pointer, (size,)).copy()
        return found
