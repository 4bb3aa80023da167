"""Constrained beam search: the most probable texts that hold given phrases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from unspool.arrays import Flags, Ints, host
from unspool.core.candidates import Candidates, running_count
from unspool.core.decoder import Part
from unspool.core.frontier import Frontier
from unspool.core.strategy import Choice
from unspool.errors import check
from unspool.processors.phrases import checked_phrases, ids_in, phrases_of, tokens_of
from unspool.strategies.beam import Beam, Finished
from unspool.strategies.progress import Progress

BANKS = ("shared", "each")


@dataclass(frozen=True)
class ConstrainedBeam(Beam):
    """Search with beams for texts that hold every one of these phrases.

    Beams compete within banks: those that need the same number of tokens until all phrases are said. Beside the best continuations of
    all beams the candidates are all that bring a phrase on; the `width` beams are dealt to the banks in turn, the nearest to the goal
    first (Post and Vilar 2018, N18-1119; Hu et al. 2019, N19-1090). A text may end only when it has said all of them, and goes on
    only while there is room for what it still needs, one phrase after the other, so every text that is returned holds them; where the
    limit leaves no room for them, there is no text.

    phrases: texts, token ids or tuples of token ids; a list is a set of them, of which one is enough. A text is looked for as
    it is tokenised alone and after a space. What the prompt holds does not count. ordered: whether the phrases come in this order,
    without overlap. banks: "shared" deals `width` beams to all banks; "each" gives every bank as many (grid beam search: Hokamp and Liu
    2017, arXiv 1704.07138), which finds better texts and costs as many times more.
    """

    aliases = ("lexically_constrained_beam",)
    phrases: tuple[Any, ...] = ()
    ordered: bool = False
    banks: str = "shared"

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.phrases if isinstance(self.phrases, tuple | list) else (self.phrases,)
        example = f'constrained_beam({self.width}, phrases=("dog", ["ran", "runs"]))'
        check(len(given) > 0, f"constrained_beam needs phrases, as in {example}")
        for one in given:
            checked_phrases("constrained_beam", one if isinstance(one, list) else (one,), example)
        object.__setattr__(self, "phrases", tuple(map(short, given)))
        check(isinstance(self.ordered, bool), f"constrained_beam(ordered=...) is True or False; got {self.ordered!r}")
        check(self.banks in BANKS, f"constrained_beam(banks=...) is one of {', '.join(BANKS)}; got {self.banks!r}")

    def __hash__(self) -> int:
        return hash((self.name, self.width, str(self.phrases)))

    def token_ids(self) -> Iterable[int]:
        return ids_in(p for some in self.sets for p in some)

    def resolve(self, tokenizer: Any) -> Part:
        return replace(self, phrases=tuple(list(phrases_of(some, tokenizer, "constrained_beam")) for some in self.sets))

    @property
    def sets(self) -> list[tuple[Any, ...]]:
        """Of each phrase or set its alternatives."""
        return [tuple(one) if isinstance(one, list) else (one,) for one in self.phrases]

    @cached_property
    def progress(self) -> Progress:
        """How far texts have come."""
        return Progress([tokens_of(some, "constrained_beam") for some in self.sets], self.ordered)

    def begin(self, frontier: Frontier) -> Frontier:
        """Nothing is said yet; where there is no room for the phrases there is no text."""
        need = self.progress.need(0)
        for i in np.flatnonzero(frontier.left < need).tolist():
            frontier.give_up(i, f"the phrases need {need} tokens and no more than {frontier.left[i]} may come (max_new_tokens)")
        return frontier.fork(1, "said")

    def choose_among(self, frontier: Frontier, best: Finished) -> Choice:
        """The children of one round; `best` is updated."""
        found = self.found(frontier, self.considered(frontier))
        said = frontier["said"]
        pairs = zip(found.at.tolist(), found.tokens.tolist(), strict=True)
        states = np.asarray([self.progress.step(int(said[at]), token) for at, token in pairs], np.int64)
        need = np.asarray([self.progress.need(s) for s in states.tolist()], np.int64)
        reasons = frontier.reasons(found.at, found.tokens)
        possible = (need < frontier.left[found.at]) & ((reasons == "") | (need == 0))
        place = self.places(found, need, possible)
        goes_on = (reasons == "") & possible
        finished = (reasons != "") & possible & (place < self.width)
        goes_on[goes_on] = self.dealt(found.take(goes_on), need[goes_on])
        choice = self.choice(frontier, best, found, reasons, finished, goes_on)
        state = dict(zip(zip(found.parents.tolist(), found.tokens.tolist(), strict=True), states.tolist(), strict=True))
        chosen = zip(choice.parents.tolist(), choice.tokens.tolist(), strict=True)
        choice.columns["said"] = np.asarray([state[pair] for pair in chosen], np.int64)
        return choice

    def found(self, frontier: Frontier, many: int) -> Candidates:
        """The best continuations of all beams, and all that bring a phrase on."""
        values, tokens = frontier.top(many, self.renormalise)            # (R, K)
        nearer = [self.progress.nearer(int(state)) for state in frontier["said"]]
        at = np.repeat(np.arange(len(frontier)), [len(some) for some in nearer])
        more = np.asarray([t for some in nearer for t in some], np.int64)
        worth = frontier.pick(at, more)[1] if len(more) else np.zeros(0)
        if not self.renormalise and len(more):
            worth = worth + host(frontier.processed_total)[at, 0]
        column = running_count(at)
        wide = np.full((len(frontier), max(map(len, nearer), default=0)), -np.inf)
        wider = np.zeros(wide.shape, np.int64)
        wider[at, column] = more
        wide[at, column] = np.where((tokens[at] == more[:, None]).any(-1), -np.inf, worth)         # each once
        values, tokens = np.concatenate([values, wide], 1), np.concatenate([tokens, wider], 1)
        return frontier.candidates(values + frontier["score"][:, None], tokens)

    def places(self, found: Candidates, need: Ints, possible: Flags) -> Ints:
        """How many of the possible candidates of its prompt and bank are better than each."""
        place = np.full(len(found), len(found))
        some = np.flatnonzero(possible)
        order = some[np.lexsort((-found.score[some], need[some], found.group[some]))]
        banks = found.group[order] * (need.max(initial=0) + 1) + need[order]
        place[order] = running_count(banks)
        return place

    def dealt(self, found: Candidates, need: Ints) -> Flags:
        """Which of the candidates that can go on do so."""
        place = self.places(found, need, np.ones(len(found), bool))
        if self.banks == "each":
            return np.asarray(place < self.width)
        order = np.lexsort((need, place, found.group))
        kept = np.zeros(len(found), bool)
        kept[order] = running_count(found.group[order]) < self.width
        return kept

    def most_rows(self) -> int:
        return self.width * (self.progress.need(0) + 1 if self.banks == "each" else 1)


def short(phrase: Any) -> Any:
    """A phrase of one token as that token, a set of one phrase as that phrase."""
    found = [short(p) for p in phrase] if isinstance(phrase, list) else phrase
    return found[0] if isinstance(found, tuple | list) and len(found) == 1 else found
