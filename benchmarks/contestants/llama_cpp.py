"""llama.cpp, through the low-level calls of llama-cpp-python: one call decodes a step, one call of its sampler chain picks a token.

Samples of one prompt share it. llama.cpp has no beam search; here it is made of its parts and numpy, to see what the engine is good for.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import llama_cpp as lc
import numpy as np

from benchmarks.contestants.serving import Absent, Run, Texts, main
from benchmarks.workloads import TEMPERATURE, TOP_K, TOP_P, Workload

MOST = 1 << 14
"""Tokens of one call at most."""


class LlamaCpp:
    """A model, with a context that is made for each workload."""

    def __init__(self, folder: Path, number: str, threads: int, converted: str = "") -> None:
        self.quiet = lc.llama_log_callback(lambda *_: None)
        lc.llama_log_set(self.quiet, ctypes.c_void_p(0))
        lc.llama_backend_init()
        settings = lc.llama_model_default_params()
        settings.n_gpu_layers = 0
        self.version, self.threads = lc.__version__, threads
        self.model = lc.llama_model_load_from_file(str(Path(converted) / "model.gguf").encode(), settings)
        if not self.model:
            raise RuntimeError(f"llama.cpp could not open {converted}")
        self.vocabulary = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(self.model))
        self.batch = lc.llama_batch_init(MOST, 0, 1)
        self.context: Any = None

    def prepare(self, row: Workload) -> Run:
        if row.kind in ("greedy", "sample"):
            texts = row.prompts * (row.n if row.kind == "sample" else 1)
            self.open(texts * (row.length + row.new), texts)
            return lambda prompts: self.generate(row, prompts)
        if row.kind == "score":
            self.open(row.length, 1)
            return lambda prompts: sum(self.score(tokens) for tokens in prompts)
        if row.kind == "beam":
            self.open(row.length + 2 * row.n * row.new + 64, 2 * row.n)
            return lambda prompts: [self.beam(prompts[0], row.n, row.new)]
        raise Absent("the low-level calls have none")

    def open(self, positions: int, sequences: int) -> None:
        """A context with so much room."""
        if self.context is not None:
            lc.llama_free(self.context)
        settings = lc.llama_context_default_params()
        settings.n_ctx, settings.n_seq_max = positions, sequences
        settings.n_threads = settings.n_threads_batch = self.threads
        settings.n_batch, settings.n_ubatch, settings.no_perf, settings.kv_unified = 4096, 512, True, True
        self.context = lc.llama_init_from_model(self.model, settings)
        self.memory = lc.llama_get_memory(self.context)

    def decode(self, items: Iterable[tuple[int, int, int, bool]]) -> None:
        """One forward of (token, position, sequence, whether its logits are wanted)."""
        batch, count = self.batch, 0
        for i, (token, position, sequence, wanted) in enumerate(items):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, position, 1, wanted
            batch.seq_id[i][0] = sequence
            count = i + 1
        batch.n_tokens = count
        if lc.llama_decode(self.context, batch):
            raise RuntimeError("llama_decode found no room")

    def read(self, tokens: list[int], sequence: int, every: bool = False) -> None:
        """A prompt into a sequence."""
        self.decode((t, i, sequence, every or i == len(tokens) - 1) for i, t in enumerate(tokens))

    def logits(self, rows: int) -> Any:
        return np.ctypeslib.as_array(lc.llama_get_logits(self.context), (rows, self.vocabulary))

    def generate(self, row: Workload, prompts: Texts) -> Texts:
        """Greedy search and sampling: all texts go on together."""
        lc.llama_memory_clear(self.memory, True)
        n = row.n if row.kind == "sample" else 1
        chains = [chain(row.kind, seed) for seed in range(row.prompts * n)]
        texts: Texts = []
        for i, tokens in enumerate(prompts):
            self.read(tokens, i * n)
            for k in range(n):
                if k:
                    lc.llama_memory_seq_cp(self.memory, i * n, i * n + k, -1, -1)
                texts.append([lc.llama_sampler_sample(chains[i * n + k], self.context, row.length - 1)])
        for step in range(1, row.new):
            self.decode((text[-1], row.length + step - 1, s, True) for s, text in enumerate(texts))
            for s, text in enumerate(texts):
                text.append(lc.llama_sampler_sample(chains[s], self.context, s))
        for held in chains:
            lc.llama_sampler_free(held)
        return texts

    def score(self, tokens: list[int]) -> int:
        """One text at a time: its logits alone are as large as the model."""
        lc.llama_memory_clear(self.memory, True)
        self.read(tokens, 0, every=True)
        logits = self.logits(len(tokens))[:-1]
        return len(logits[np.arange(len(tokens) - 1), tokens[1:]] - log_sums(logits)[:, 0])

    def beam(self, prompt: list[int], width: int, new: int) -> list[int]:
        """Beams live in one half of the sequences, their children in the other."""
        lc.llama_memory_clear(self.memory, True)
        self.read(prompt, 0)
        logits = self.logits(1)
        logprobs = (logits - log_sums(logits))[0]
        best = np.argpartition(logprobs, -width)[-width:]
        scores, texts, base = logprobs[best], [[int(t)] for t in best], 0
        for k in range(1, width):
            lc.llama_memory_seq_cp(self.memory, 0, k, -1, -1)
        for step in range(1, new):
            self.decode((text[-1], len(prompt) + step - 1, base + k, True) for k, text in enumerate(texts))
            logits = self.logits(width)
            totals = (logits - log_sums(logits) + scores[:, None]).ravel()
            best = np.argpartition(totals, -2 * width)[-2 * width :]
            best = best[np.argsort(-totals[best])][:width]
            scores = totals[best]
            parents, other = best // self.vocabulary, width - base
            texts = [[*texts[parent], int(token)] for parent, token in zip(parents, best % self.vocabulary, strict=True)]
            for k, parent in enumerate(parents):
                lc.llama_memory_seq_cp(self.memory, base + int(parent), other + k, -1, -1)
            for k in range(width):
                lc.llama_memory_seq_rm(self.memory, base + k, -1, -1)
            base = other
        return texts[0]


def chain(kind: str, seed: int) -> Any:
    """llama.cpp's samplers of a row."""
    found = lc.llama_sampler_chain_init(lc.llama_sampler_chain_default_params())
    if kind == "greedy":
        parts = [lc.llama_sampler_init_greedy()]
    else:
        parts = [lc.llama_sampler_init_top_k(TOP_K), lc.llama_sampler_init_top_p(TOP_P, 1)]
        parts += [lc.llama_sampler_init_temp(TEMPERATURE), lc.llama_sampler_init_dist(seed)]
    for part in parts:
        lc.llama_sampler_chain_add(found, part)
    return found


def log_sums(logits: Any) -> Any:
    most = logits.max(1, keepdims=True)
    return most + np.log(np.exp(logits - most).sum(1, keepdims=True))


def convert(folder: Path, number: str, out: Path) -> None:
    from benchmarks.contestants.gguf_file import write

    write(folder, number, out / "model.gguf")


if __name__ == "__main__":
    main(LlamaCpp, convert)
