"""Diverse beam search: groups of beams, each unlike those before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from unspool.arrays import Flags, Floats, Ints
from unspool.core.candidates import Candidates, running_count
from unspool.core.frontier import Frontier
from unspool.core.strategy import Choice, Dropped
from unspool.errors import check, number, whole
from unspool.record.step import Hypothesis
from unspool.strategies.beam import Beam, Finished

PENALISE = ("score", "selection")


@dataclass(frozen=True)
class DiverseBeam(Beam):
    """Search with beams in `groups`, one group after the other at each step, each penalised for the tokens that those before it took.

    A continuation by token v loses `diversity` * (1 + o) for every beam of an earlier group that takes v at this step. o is 0 in diverse
    beam search as it was proposed, with the Hamming distance (Vijayakumar et al. 2016, arXiv 1610.02424). With `discount` it counts the
    earlier steps at which the text and that beam have the same token, each step `discount` times as much as the next one: at 1 all of
    them alike, the cumulative penalty of fairseq. Beams that have ended count no more.

    groups: how many; each has width / groups beams. diversity: the penalty for a token. siblings: what a continuation loses for each
    sibling up to itself, the best first: gamma * rank (Li, Monroe and Jurafsky 2016, arXiv 1611.08562), beyond the first token; it needs
    no groups. penalise: "score" keeps the penalties in the score, as transformers, fairseq and OpenVINO do; "selection" chooses the
    beams by them, and ranks texts by log-probability alone.
    Hypotheses of all groups are ranked together; two groups may find the same text.
    """

    aliases = ("group_beam",)
    groups: int = 1
    diversity: float = 0.5
    discount: float = 0.0
    siblings: float = 0.0
    penalise: str = "score"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("diverse_beam(groups=...)", self.groups, 1)
        check(self.width % self.groups == 0, f"diverse_beam: {self.width} beams do not make {self.groups} groups of one size")
        number("diverse_beam(diversity=...)", self.diversity, 0)
        number("diverse_beam(discount=...)", self.discount, 0, 1)
        number("diverse_beam(siblings=...)", self.siblings, 0)
        check(self.penalise in PENALISE, f"diverse_beam(penalise=...) is one of {', '.join(PENALISE)}; got {self.penalise!r}")

    @property
    def beams(self) -> int:
        """How many unfinished texts compete with each other: those of a group."""
        return self.width // self.groups

    def begin(self, frontier: Frontier) -> Frontier:
        """Every prompt once for each group."""
        return frontier.fork(self.groups, "group")

    def choose_among(self, frontier: Frontier, best: Finished) -> Choice:
        """The children of one round, of the groups in turn; `best` is updated."""
        parts: list[Choice] = []
        taken: list[Taken] = []
        for group in range(self.groups):
            some = frontier.take(np.flatnonzero(frontier["group"] == group))
            if len(some):
                found = self.unlike(some, group, taken)
                taken += self.taken(some, found)
                parts.append(self.of_the_best(some, best, found))
                parts[-1].columns["group"] = np.full(len(parts[-1].tokens), group)
        return joined(parts)

    def taken(self, frontier: Frontier, found: Candidates) -> Iterable[Taken]:
        """What later groups are penalised for: the tokens of the best candidates that are no end."""
        found = found.take(~np.isin(found.tokens, frontier.end_tokens))
        found = found.take(running_count(found.group) < self.beams)
        for at, token in zip(found.at.tolist(), found.tokens.tolist(), strict=True):
            yield Taken(int(frontier["prompt"][at]), token, self.new_tokens(frontier, at))

    def new_tokens(self, frontier: Frontier, i: int) -> Ints:
        """Those of a row, if they matter."""
        return frontier.tokens(i)[frontier.prompt_lengths[i] :] if self.discount else np.zeros(0, np.int64)

    def unlike(self, frontier: Frontier, group: int, taken: Sequence[Taken]) -> Candidates:
        """The candidates of a group, in the order of their penalised scores."""
        many = self.considered(frontier)
        values, tokens = frontier.top(many + len({t.token for t in taken}), self.renormalise)         # (R, K)
        penalty = np.zeros(values.shape)
        for i, prompt in enumerate(frontier["prompt"].tolist()):
            text = self.new_tokens(frontier, i)
            for one in taken:
                if one.prompt == prompt:
                    penalty[i] += self.diversity * (1 + self.overlap(text, one.text)) * (tokens[i] == one.token)
        if self.siblings:
            ranks = np.argsort(np.argsort(penalty - values, -1, kind="stable"), -1, kind="stable") + 1
            penalty += self.siblings * ranks * (frontier.generated > 0)[:, None]
        scores = values + frontier["score"][:, None]
        found = frontier.candidates(scores - penalty, tokens, frontier["prompt"] * self.groups + group).best(many)
        if self.penalise == "score":
            return found
        place = (tokens[found.at] == found.tokens[:, None]).argmax(-1)
        return replace(found, score=scores[found.at, place])

    def over(self, frontier: Frontier, best: Finished, group: Ints, at: Ints, total: Floats, goes_on: Flags) -> Flags:
        """As of beams, but a group's hope is its best candidate even if that ends here: so it was in transformers while it had groups."""
        return super().over(frontier, best, group, at, total, np.ones_like(goes_on))

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The n best by score of those that every group kept."""
        kept: dict[int, list[Hypothesis]] = defaultdict(list)
        for h in sorted(finished, key=lambda h: -h.score):
            kept[int(h.columns.get("group", 0))].append(h)
        return super().rank([h for some in kept.values() for h in some[: self.wanted]])

    def overlap(self, one: Ints, other: Ints) -> float:
        """The steps at which two texts of one length have the same token, the last counted `discount` times, the one before its square."""
        return float(((one == other) * self.discount ** np.arange(len(one), 0, -1)).sum())


@dataclass(frozen=True)
class Taken:
    """A token that a beam of an earlier group took."""

    prompt: int
    token: int
    text: Ints
    """The new tokens before it."""


def joined(parts: Sequence[Choice]) -> Choice:
    """Several choices of one round as one."""
    columns = {name: np.concatenate([p.columns[name] for p in parts]) for name in parts[0].columns}
    every = ("tokens", "parents", "scores", "reasons")
    tokens, parents, scores, reasons = (np.concatenate([getattr(p, name) for p in parts]) for name in every)
    told = [p.dropped for p in parts if p.dropped is not None]
    dropped = Dropped(*(np.concatenate([getattr(d, f.name) for d in told]) for f in fields(Dropped))) if told else None
    return Choice(tokens, parents, scores, reasons, columns, dropped=dropped)
