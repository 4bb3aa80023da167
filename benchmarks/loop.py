"""What decoding costs beside the model: python benchmarks/loop.py

The model is free: its logits are rows of a fixed table of 4,096 tokens. Times are processor time, the least of several runs. The last
tables must grow as their first column does, no faster.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

import unspool as un
from unspool.core.decoder import as_decoder
from unspool.core.loop import decode
from unspool.core.search import Search
from unspool.core.tree import TokenForest

VOCABULARY = 4096
PATTERNS = (r"\n\d+\. ", r"a.*b\d")
TABLE = np.random.default_rng(0).normal(size=(64, VOCABULARY)).astype(np.float32) * 3


class Free:
    """A model whose logits are there already."""

    vocabulary, context, end_tokens, start = VOCABULARY, 1 << 20, (), None

    def session(self, plan: un.Plan = un.NO_PLAN) -> FreeSession:
        return FreeSession()


class FreeSession:
    """Its rows; `spent` is the time in it, which is not counted."""

    can: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.nodes, self.spent = TokenForest(VOCABULARY), 0.0

    def extend(self, parents: Sequence[int], chains: Sequence[Sequence[int]], every: bool = False) -> Any:
        began = time.process_time()
        found = np.asarray([rows[-1] for rows in self.nodes.grow(parents, chains)], np.int64)
        self.spent += time.process_time() - began
        return found

    def keep(self, rows: Any) -> None:
        began = time.process_time()
        self.nodes.keep(rows)
        self.spent += time.process_time() - began

    def logits(self, rows: Any, layer: int | None = None) -> Any:
        began = time.process_time()
        found = TABLE[np.asarray(rows, np.int64) % 64]
        self.spent += time.process_time() - began
        return found


def search_of(decoder: un.Decoder, prompts: list[list[int]], limit: int, level: str = "off") -> Search:
    return Search(Free(), prompts, decoder.processors, decoder.stops, limits=[limit] * len(prompts), level=level)


def step(text: str, level: str, steps: int = 200, runs: int = 7) -> float:
    """Milliseconds of a step beside the session."""
    decoder, best = un.parse(text), float("inf")
    for _ in range(runs):
        search = search_of(decoder, [[1, 2, 3]], steps, level)
        began = time.process_time()
        for _ in decode(search, decoder.strategy):
            pass
        best = min(best, time.process_time() - began - search.lane.session.spent)  # type: ignore[attr-defined]
    return best / steps * 1e3


def nodes_of_exact_search(many: int) -> list[float]:
    """Milliseconds of a step after every so many nodes."""
    decoder = un.parse("exact(1, expand=8)")
    search, marks, began = search_of(decoder, [[1, 2, 3]], 400), list[float](), time.process_time()
    for i, _ in enumerate(decode(search, decoder.strategy), 1):
        if i % many == 0:
            marks.append((time.process_time() - began) / many * 1e3)
            began = time.process_time()
        if len(marks) == 4:
            break
    return marks


def prompts_of(strategy: un.Strategy, count: int) -> float:
    """Seconds of 16 tokens after each of many prompts."""
    decoder = as_decoder(strategy)
    search, began = search_of(decoder, [[1, i % VOCABULARY, 3] for i in range(count)], 16), time.process_time()
    for _ in decode(search, decoder.strategy):
        pass
    return time.process_time() - began


def a_thousand_prompts(strategy: un.Strategy, together: int | None) -> tuple[float, float]:
    """Microseconds beside the session for each token of 1,000 prompts of mixed lengths, and the session's own."""
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, VOCABULARY, n).tolist() for n in rng.integers(4, 64, 1000)]
    limits = rng.integers(4, 60, 1000).tolist()
    search = Search(Free(), prompts, limits=limits, level="off", rows=strategy.most_rows(), together=together)
    began = time.process_time()
    for _ in decode(search, strategy):
        pass
    spent: float = search.lane.session.spent  # type: ignore[attr-defined]
    return (time.process_time() - began - spent) / search.lane.tokens * 1e6, spent / search.lane.tokens * 1e6


def stop_regex(pattern: str, tokens: int) -> float:
    """Seconds to follow a text with a stop regex, two characters a token."""
    part = un.StopRegex(pattern)
    object.__setattr__(part, "_bytes_of", lambda token: b"a ")
    began, memory = time.process_time(), part.begin(np.zeros(0, np.int64))
    for _ in range(tokens):
        (memory,) = part.advance([memory], [7], [])
        assert not part.ends(None, np.asarray([7]), [memory])[0]  # type: ignore[arg-type]
    return time.process_time() - began


def main() -> None:
    print("| a step, ms | recording off | five alternatives |\n| --- | --- | --- |")
    for text in ("greedy", "sample(1)", "beam(4)", "sample(8)", "stochastic_beam(4)", "temperature(0.8) | top_p(0.9) | sample(8)"):
        print(f"| {text.replace('|', '·')} | {step(text, 'off'):.3f} | {step(text, 'choices'):.3f} |")
    print("\n| exact search, nodes | ms a step |\n| --- | --- |")
    for i, mark in enumerate(nodes_of_exact_search(1000)):
        print(f"| {(i + 1) * 1000} | {mark:.2f} |")
    print("\n| prompts, 16 tokens each | speculative, s | follow, s |\n| --- | --- | --- |")
    for count in (100, 200, 400):
        follow = un.Follow(tuple(range(16)))
        print(f"| {count} | {prompts_of(un.Speculative(Free()), count):.2f} | {prompts_of(follow, count):.2f} |")
    print("\n| 1,000 prompts, 4 to 63 tokens and 4 to 59 new | beside the session, us a token | session, us a token |\n| --- | --- | --- |")
    for strategy in (un.Greedy(), un.Sample(2), un.Beam(4)):
        for together in (16, 64, None):
            own, session = a_thousand_prompts(strategy, together)
            print(f"| {strategy}, {together or 'all'} at once | {own:.1f} | {session:.1f} |")
    print("\n| stop_regex, tokens | `\\n\\d+\\. ` s | `a.*b\\d` s |\n| --- | --- | --- |")
    for tokens in (1000, 2000, 4000):
        print(f"| {tokens} | {stop_regex(PATTERNS[0], tokens):.3f} | {stop_regex(PATTERNS[1], tokens):.3f} |")


if __name__ == "__main__":
    main()
