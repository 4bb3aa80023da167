"""unspool, through what its users call: load, generate, stream and score; nothing is recorded."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

import unspool as un
from benchmarks.contestants.lookup import Lookup
from benchmarks.contestants.serving import Run, Texts, main
from benchmarks.models import draft_of
from benchmarks.workloads import CONTRASTIVE_ALPHA, CONTRASTIVE_K, DRAFTED, TEMPERATURE, TOP_K, TOP_P, Workload, early_layers
from unspool.score import score_tokens

QUIET: Any = {"end_tokens": (), "level": "off"}
"""Options of every call: all make as many tokens, and nothing is recorded."""
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
"""Asked for before a library has placed this thread."""


class Unspool:
    """A model that `un.load` opened. backend: its argument; without one it is left out, and so is dtype if it is float32."""

    def __init__(self, folder: Path, number: str, threads: int, backend: str = "", pin: str = "") -> None:
        self.version = un.__version__
        self.settings = ({"backend": backend} if backend else {}) | ({"dtype": number} if number != "float32" or backend else {})
        self.folder = folder
        self.pin, self.ran = bool(pin), False
        self.lm = un.load(folder, **self.settings)

    def prepare(self, row: Workload) -> Run:
        if self.pin and self.ran:                                        # a backend may start threads when it first computes
            pin_threads()
        self.ran = True
        if row.kind == "score":
            return lambda prompts: sum(map(len, score_tokens(self.lm.model, [(tokens[:1], tokens[1:]) for tokens in prompts])))
        decoder = self.decoder(row)
        if row.kind == "exact":
            return lambda prompts: sum(1 for _ in islice(self.lm.stream(prompts[0], decoder, max_new_tokens=row.new, **QUIET), row.new))

        def run(prompts: Texts) -> Texts:
            outputs = self.lm.generate(prompts, decoder, max_new_tokens=row.new, **QUIET)
            return [sequence.tokens for output in outputs for sequence in output.sequences]

        return run

    def draft(self) -> Any:
        """The draft's model. A thread is born where the one that makes it may run, so that is undone meanwhile."""
        if self.pin:
            os.sched_setaffinity(0, CORES)
        found = un.load(draft_of(self.folder), **self.settings)
        found.generate([1, 2], max_new_tokens=1)
        if self.pin:
            pin_threads()
        return found.model

    def decoder(self, row: Workload) -> un.Decoder:
        """The decoder of a row; both kinds of guesses check those of a draft, as greedy search would go on."""
        if row.kind == "speculative":
            return un.parse("temperature(0)") | un.Speculative(self.draft(), tokens=DRAFTED)
        if row.kind == "lookup":
            return un.parse("temperature(0)") | un.Speculative(Lookup(self.lm.model.vocabulary, self.lm.model.context), tokens=DRAFTED)
        if row.kind == "dola":
            return un.parse(f"dola({tuple(early_layers(self.lm.model.layers))})")
        words = {
            "greedy": "greedy",
            "sample": f"temperature({TEMPERATURE}) | top_k({TOP_K}) | top_p({TOP_P}) | sample({row.n})",
            "beam": f"beam({row.n})",
            "contrastive": f"contrastive_search({CONTRASTIVE_K}, alpha={CONTRASTIVE_ALPHA})",
            "exact": "exact(1, expand=8)",
        }
        return un.parse(words[row.kind])


def pin_threads() -> None:
    """Put the main thread on the first core and the others on the rest: OpenBLAS does not read OMP_PROC_BIND, as other engines do.

    Two of its threads on one core wait for each other by spinning, ten times slower and more. Threads that are on one core already,
    as those of OpenMP, stay there.
    """
    first, *rest = CORES
    main_thread, *others = sorted(map(int, os.listdir("/proc/self/task")))
    os.sched_setaffinity(main_thread, {first})
    free = [thread for thread in others if len(os.sched_getaffinity(thread)) > 1]
    for i, thread in enumerate(free if rest else []):
        os.sched_setaffinity(thread, {rest[i % len(rest)]})


if __name__ == "__main__":
    main(Unspool)
