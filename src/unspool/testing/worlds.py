"""The small worlds in which laws are tried: exact models, runs over them, trees that grow in a mixed order, and definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from unspool.arrays import Array, Floats, Ints, host, like
from unspool.core.decoder import Decoder, Part, as_decoder
from unspool.core.loop import decode
from unspool.core.model import ROOT, Model, Plan
from unspool.core.processor import Processor, Rows
from unspool.core.search import Search
from unspool.errors import DeadEnd
from unspool.models.toy import TableModel
from unspool.record.step import Hypothesis, Step
from unspool.strategies.greedy import Greedy

VOCABULARY = 6
"""Tokens of a table, if nothing asks for more; the last of them ends a text."""


def table(
    seed: int = 0,
    vocabulary: int = VOCABULARY,
    sharpness: float = 1.5,
    end_tokens: Sequence[int] | None = None,
    backend: Callable[[Any], Array] = np.asarray,
    **options: Any,
) -> TableModel:
    """A random table model that remembers its answers; its last token ends a text if no others do."""
    ends = (vocabulary - 1,) if end_tokens is None else end_tokens
    model = TableModel.random(vocabulary, seed, sharpness, end_tokens=ends, backend=backend, **options)
    model.probabilities = cache(model.probabilities)
    return model


def prompts_of(rng: np.random.Generator, vocabulary: int, end_tokens: Sequence[int] = ()) -> list[list[int]]:
    """Four prompts, the last two of which begin alike."""
    tokens = ordinary(vocabulary, end_tokens)
    found = [rng.choice(tokens, n).tolist() for n in (3, 1, 6)]
    return [*found, [found[2][0], *rng.choice(tokens, 1).tolist()]]


def ordinary(vocabulary: int, end_tokens: Sequence[int] = ()) -> Ints:
    """The tokens that end no text."""
    return np.setdiff1d(np.arange(vocabulary), end_tokens)


# --- runs ---------------------------------------------------------------------------------------------------------------


def search_of(model: Model, decoder: Decoder, prompts: Sequence[Sequence[int]], limit: int = 5, **options: Any) -> Search:
    """A search that has not begun; options: those of Search."""
    options = {"end_tokens": model.end_tokens, "limits": [limit] * len(prompts)} | options
    return Search(model, prompts, decoder.processors, decoder.stops, **options)


@dataclass
class Ran:
    """A run that is over."""

    found: list[list[Hypothesis]]
    """The ranked hypotheses of every prompt."""
    dead: dict[int, DeadEnd]
    steps: list[Step]
    search: Search


def run_whole(model: Model, decoder: Decoder | Part | str, prompts: Sequence[Sequence[int]], limit: int = 5, **options: Any) -> Ran:
    """Decode prompts; what of them came to nothing is said, and is no error."""
    decoder = as_decoder(decoder)
    search = search_of(model, decoder, prompts, limit, **options)
    steps = list(decode(search, decoder.strategy or Greedy()))
    return Ran(search.found, search.dead, steps, search)


def run(model: Model, decoder: Decoder | Part | str, prompts: Sequence[Sequence[int]], limit: int = 5, **options: Any) -> Any:
    """The ranked hypotheses of every prompt."""
    ran = run_whole(model, decoder, prompts, limit, **options)
    for died in ran.dead.values():
        raise died
    return ran.found


# --- trees --------------------------------------------------------------------------------------------------------------

Alive = dict[int, tuple[list[int], list[int]]]
"""Living rows, with the prompt and the new tokens of each."""


def growing(
    rng: np.random.Generator,
    alive: Alive,
    extend: Callable[[Any, Any], Ints],
    keep: Callable[[list[int]], None],
    tokens: Ints,
    rounds: int,
    longest: int,
) -> Iterator[Alive]:
    """Grow a tree in a mixed order, with rows that wait and rows that are passed over, parts of it forgotten: after each round its rows."""
    for _ in range(rounds):
        short = [row for row, (prompt, new) in alive.items() if len(prompt) + len(new) + 3 <= longest]
        if not short:
            return
        parents = rng.choice(short, 3)
        chains = [rng.choice(tokens, rng.integers(1, 4)) for _ in parents]
        for parent, chain, row in zip(parents.tolist(), chains, extend(parents, chains), strict=True):
            prompt, new = alive[parent]
            alive[int(row)] = (prompt, [*new, *chain.tolist()])
        if len(alive) > 10:
            alive = {int(row): alive[int(row)] for row in rng.choice(list(alive), 6, replace=False)}
            keep(list(alive))
        yield alive


# --- definitions --------------------------------------------------------------------------------------------------------


def logits_of(model: Model, text: Sequence[int], layer: int | None = None) -> Array:
    """A model's logits (1, V) after a text, in a session of its own."""
    session = model.session(Plan(1, len(text), () if layer is None else (layer,)))
    rows = session.extend([ROOT], [list(map(int, text))])
    return session.logits(rows) if layer is None else session.logits(rows, layer)


class Definition:
    """What stands after a text by definition: each processor asked for one row and one step at a time, from the tokens alone."""

    def __init__(self, model: Model, processors: Sequence[Processor], end_tokens: Sequence[int] | None = None) -> None:
        self.model, self.processors = model, tuple(processors)
        self.end_tokens = tuple(model.end_tokens if end_tokens is None else end_tokens)
        self.drew = False
        """Whether a processor asked for a draw, here always 0: then its scores are not those of a run."""

    def along(self, prompt: Sequence[int], new: Sequence[int]) -> Iterator[tuple[Floats, Floats]]:
        """After the prompt and each of its new tokens: the model's log-probabilities (V,) and the processed ones."""
        memories = [p.begin(np.asarray(prompt, np.int64)) if p.stateful else None for p in self.processors]
        for n in range(len(new) + 1):
            logits = logits_of(self.model, [*prompt, *new[:n]])
            entered, scores = [], logits
            for part, memory in zip(self.processors, memories, strict=True):
                entered.append(scores)
                rows = self._rows(part, prompt, new[:n], logits)
                scores = part.process(rows, scores, [memory] if part.stateful else None)
            yield logprobs(logits), logprobs(scores)
            if n < len(new):
                for i, (part, memory) in enumerate(zip(self.processors, memories, strict=True)):
                    if part.stateful:
                        (memories[i],) = part.advance([memory], [int(new[n])], [entered[i][0]] if part.reads_scores else [])

    def after(self, prompt: Sequence[int], new: Sequence[int]) -> tuple[Floats, Floats]:
        """The last of these."""
        *_, last = self.along(prompt, new)
        return last

    def _rows(self, part: Processor, prompt: Sequence[int], new: Sequence[int], beside: Array) -> Rows:
        text = [*prompt, *new]
        rows = Rows(like(np.asarray([text]), beside), np.asarray([len(text)]), np.asarray([len(prompt)]), self.end_tokens, self._zero)
        starts = [part.companion_prompt(np.asarray(prompt, np.int64), i) for i in range(len(part.companions()))]
        rows.companions = tuple(logits_of(c, [*start, *new]) for c, start in zip(part.companions(), starts, strict=True))
        rows.layers = tuple(logits_of(self.model, text, layer) for layer in part.reads_layers)
        return rows

    def _zero(self, purpose: str) -> Floats:
        self.drew = True
        return np.zeros(1)


def logprobs(scores: Array) -> Floats:
    """The log-probabilities (V,) of scores (1, V), float64; where all is impossible, all stays so."""
    x = np.asarray(host(scores), np.float64)[0]
    top = x.max()
    return x if top == -np.inf else np.asarray(x - top - np.log(np.exp(x - top).sum()))
