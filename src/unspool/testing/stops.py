"""The laws of stops: flags for candidates, from memories that follow the texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from unspool.arrays import Array, Ints
from unspool.core.decoder import Decoder
from unspool.core.lane import Lane
from unspool.core.processor import Rows
from unspool.core.stop import Stop
from unspool.errors import check
from unspool.strategies.beam import Beam
from unspool.strategies.sample import Sample
from unspool.testing.laws import Law
from unspool.testing.strategies import Trial, batch_is_alone
from unspool.testing.worlds import VOCABULARY, Alive, growing, logits_of, ordinary, prompts_of, table
from unspool.text import TokenIds, Tokenizer


def check_stop(
    stop: Stop,
    tokenizer: Tokenizer | None = None,
    *,
    vocabulary: int | None = None,
    backend: Callable[[Any], Array] = np.asarray,
    seed: int = 0,
    tries: int = 3,
) -> None:
    """Hold a stop to its laws.

    It answers one flag for each candidate, by that candidate alone, and changes and keeps nothing; what it remembers follows the text; a
    text ends with the first token by which it says so, and for its reason.

    tokenizer: for one whose settings are text. vocabulary: how many tokens there are: the tokenizer's, or 6. backend: what makes arrays
    of numpy's, as torch.from_numpy. Raises LawBroken.
    """
    check(getattr(stop, "role", None) == "stop", f"check_stop takes a stop; got {stop!r}")
    rng, size = np.random.default_rng(seed), vocabulary or (VOCABULARY if tokenizer is None else tokenizer.size)
    words = TokenIds(size) if tokenizer is None else tokenizer
    part: Any = stop if tokenizer is None else stop.resolve(tokenizer)
    for i in range(tries):
        bench = StopBench(part, words, rng, size, backend, seed + i)
        for law in STOP_LAWS:
            law(bench)


Candidate = tuple[list[int], list[int], int]
"""A prompt, its new tokens, and the candidate's token."""


class StopBench:
    """A stop on trial: candidates for it, and an exact model to run it over."""

    def __init__(
        self, part: Stop, words: Tokenizer, rng: np.random.Generator, size: int, backend: Callable[[Any], Array], seed: int
    ) -> None:
        self.part, self.words, self.rng, self.size, self.seed = part, words, rng, size, seed
        self.model = table(seed, size, backend=backend)
        self.prompts = prompts_of(rng, size, self.model.end_tokens)

    def law(self, name: str, given: Any = "") -> Law:
        return Law(name, self.part, given)

    def candidates(self) -> list[Candidate]:
        """Candidates of several lengths."""
        tokens, lengths = ordinary(self.size), (0, 1, 2, 4, 7, 3)
        return [(self.prompts[i % 4], self.rng.choice(tokens, n).tolist(), int(self.rng.choice(tokens))) for i, n in enumerate(lengths)]

    def remembered(self, prompt: Sequence[int], new: Sequence[int]) -> Any:
        """The memory of a text, token by token."""
        memory = self.part.begin(np.asarray(prompt, np.int64))
        for n, token in enumerate(new):
            (memory,) = self.advanced([memory], [int(token)], [[*prompt, *new[:n]]])
        return memory

    def advanced(self, memories: Sequence[Any], tokens: Sequence[int], before: Sequence[Sequence[int]]) -> Sequence[Any]:
        """Memories after a token each, which stands after these texts."""
        return self.part.advance(memories, tokens, [logits_of(self.model, text)[0] for text in before] if self.part.reads_logits else [])

    def ends(self, asked: Sequence[Candidate], memory: Sequence[Any] | None = None) -> Any:
        """What the stop says of candidates."""
        if memory is None and self.part.stateful:
            memory = [self.remembered(prompt, [*new, token]) for prompt, new, token in asked]
        lengths = np.asarray([len(prompt) + len(new) for prompt, new, _ in asked])
        rows = Rows(None, lengths, np.asarray([len(prompt) for prompt, *_ in asked]), tuple(self.model.end_tokens))
        return self.part.ends(rows, np.asarray([token for *_, token in asked], np.int64), memory or [])

    def alone(self, *asked: Any) -> bool:
        """What it says of one candidate."""
        return bool(self.ends([asked])[0])


# --- the laws -----------------------------------------------------------------------------------------------------------


def a_flag_for_each(bench: StopBench) -> None:
    """One flag for each candidate, true or false, the same when asked again; none for none."""
    asked = bench.candidates()
    with bench.law("one flag for each candidate", f"{len(asked)} candidates") as law:
        flags = bench.ends(asked)
        law.expect(hasattr(flags, "__len__") and len(flags) == len(asked), flags, f"{len(asked)} flags")
        law.expect(set(np.asarray(flags).tolist()) <= {0, 1}, flags, "flags that are True or False")
        law.same(len(bench.ends([], [])), 0, "for no candidates flags, in number,")
    memory = [bench.remembered(prompt, [*new, token]) for prompt, new, token in asked] if bench.part.stateful else None
    with bench.law("the same question has the same answer", asked) as law:
        first = list(map(bool, bench.ends(asked, memory)))
        law.same(list(map(bool, bench.ends(asked, memory))), first, "when asked again the flags")
        bench.ends(bench.candidates())
        law.same(list(map(bool, bench.ends(asked, memory))), first, "when asked after others the flags")


def a_candidate_stands_alone(bench: StopBench) -> None:
    """The flag of a candidate depends on no other."""
    asked = bench.candidates()
    with bench.law("batch is alone", asked) as law:
        alone = [bench.alone(*one) for one in asked]
        law.same(list(map(bool, bench.ends(asked))), alone, "together the flags")
        law.same(list(map(bool, bench.ends(asked[::-1]))), alone[::-1], "in another order the flags")


def memories_are_values(bench: StopBench) -> None:
    """A memory is not changed by what its text grows into, and is the same whether it was advanced alone or with others."""
    if not bench.part.stateful:
        return
    asked = bench.candidates()
    texts = [[*prompt, *new, token] for prompt, new, token in asked]
    with bench.law("memories are values", asked) as law:
        memories = [bench.remembered(prompt, [*new, token]) for prompt, new, token in asked]
        before = list(map(bool, bench.ends(asked, memories)))
        longer = [(prompt, [*new, token], int(bench.rng.integers(bench.size))) for prompt, new, token in asked]
        tokens = [token for *_, token in longer]
        first = bench.advanced(memories, tokens, texts)
        law.same(len(first), len(asked), f"of `advance` for {len(asked)} candidates values, in number,")
        along = list(map(bool, bench.ends(longer, first)))
        bench.advanced(memories, [(token + 1) % bench.size for token in tokens], texts)
        law.same(list(map(bool, bench.ends(longer, first))), along, "after another branch grew, on the first branch, the flags")
        law.same(list(map(bool, bench.ends(asked, memories))), before, "after their children grew the flags")
        single = [bench.advanced([m], [t], [text])[0] for m, t, text in zip(memories, tokens, texts, strict=True)]
        law.same(list(map(bool, bench.ends(longer, single))), along, "with memories advanced one by one the flags")


def forked_is_recomputed(bench: StopBench) -> None:
    """A tree grown in a mixed order, rows passed over, parts of it forgotten: every text is judged as by its definition."""
    with bench.law("forked is recomputed", bench.prompts) as law:
        lane = Lane(bench.model, stops=[bench.part], end_tokens=bench.model.end_tokens)
        (seat,), starts = lane.ending, lane.begin([np.asarray(p) for p in bench.prompts])
        alive: Alive = {int(row): (prompt, []) for row, prompt in zip(starts, bench.prompts, strict=True)}
        tokens, every = ordinary(bench.size, bench.model.end_tokens), np.arange(min(bench.size, 20))
        for grown in growing(bench.rng, alive, lane.session.extend, lane.keep, tokens, 20, 10**6):
            row = int(bench.rng.choice(list(grown)))
            prompt, new = grown[row]
            law.given = f"the text {new} after {prompt}, in a tree of {len(grown)} rows"
            handles: Ints = np.full(len(every), row, np.int64)
            lengths = np.full(len(every), len(prompt) + len(new))
            rows = Rows(None, lengths, np.full(len(every), len(prompt)), lane.end_tokens)
            found = lane.ended(seat, rows, handles, every)
            law.same(found.tolist(), [bench.alone(prompt, new, int(t)) for t in every], "for the tokens from 0 on the flags")
            if seat.memory is not None and new:
                expected = bench.remembered(prompt, new)
                if is_plain(expected) and alike(bench.part.begin(np.asarray(prompt)), bench.part.begin(np.asarray(prompt))):
                    (came,) = seat.memory([row])
                    law.expect(alike(came, expected), f"the memory {came}", expected)
            lane.read[row] = lane.session.logits([row])[0]                # as a frontier does that is asked for its endings


def is_plain(value: Any) -> bool:
    """Whether values like this one are told apart by what they hold."""
    if isinstance(value, tuple | list | frozenset | set):
        return all(map(is_plain, value))
    if is_dataclass(value) and not isinstance(value, type):
        return all(is_plain(getattr(value, f.name)) for f in fields(value))
    return value is None or isinstance(value, bool | int | float | str | bytes | np.generic | np.ndarray) or hasattr(value, "detach")


def alike(one: Any, other: Any) -> bool:
    """Whether two memories hold the same."""
    try:
        np.testing.assert_equal(one, other)
    except AssertionError:
        return False
    return True


def texts_end_where_it_says(bench: StopBench) -> None:
    """A text goes on while the stop says nothing; it ends with the first token by which it does, for its reason."""
    part, model, prompts = bench.part, bench.model, bench.prompts[:2]
    ends = (*model.end_tokens, *part.end_tokens)
    for strategy in (Sample(3), Beam(3, n=3)):
        trial = Trial(Decoder((part, strategy)), model, prompts, bench.seed, bench.words)
        batch_is_alone(trial)
        for prompt, found in zip(prompts, trial.run(prompts, limit=8).found, strict=True):
            for h in found:
                with bench.law("a text ends where the stop says", f"the text {h.tokens} after {prompt} under {strategy}") as law:
                    flags = [bench.alone(prompt, h.tokens[:i], token) for i, token in enumerate(h.tokens)]
                    law.same(flags[:-1], [False] * (len(flags) - 1), "before the last token, where the text goes on, the flags")
                    if h.tokens[-1] not in ends and (flags[-1] or h.reason not in ("length", "context", "unfinished")):
                        law.same((flags[-1], h.reason), (True, part.reason), "at the end (flag, reason)")


STOP_LAWS: tuple[Callable[[StopBench], None], ...] = (
    a_flag_for_each,
    a_candidate_stands_alone,
    memories_are_values,
    forked_is_recomputed,
    texts_end_where_it_says,
)
