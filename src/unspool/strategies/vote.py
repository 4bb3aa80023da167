"""Voting: of several texts the answer that most of them come to."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.core.frontier import Frontier
from unspool.core.strategy import Asks
from unspool.errors import DeadEnd, check, number, whole
from unspool.record.step import Hypothesis
from unspool.strategies.chooser import Answer, Chooser, check_answer
from unspool.strategies.sample import Sample

VOTE_WEIGHTS = ("count", "mean", "last", "worst", "worst_tenth")


@dataclass(frozen=True)
class Vote(Chooser):
    """Return the answer on which most of several texts agree, argmax over answers a of the sum of w(text) over texts that answer a.

    Self-consistency (Wang et al. 2022, arXiv 2203.11171) with the weights of DeepConf (Fu et al. 2025, arXiv 2508.15260). then: a number
    of samples, or a strategy. answer: where the answer stands, a regular expression, whose last match counts (its first group, if it has
    one); a function of the new text that returns the answer or None; None, all its tokens. Texts without an answer have no vote.
    weights: "count", every text has one vote; otherwise its vote is its confidence. The confidence of a token is minus the mean
    log-probability of the 20 likeliest tokens in its place under the model, that of a group the mean over `group` tokens that follow each
    other: "mean" over all tokens, "last" of the last group, "worst" of the least confident group, "worst_tenth" the mean of the least
    confident tenth of groups. keep: the share of texts that vote, the most confident ones, in (0, 1]. decided: "certain", stop as soon as
    no text that still grows can change the winner; a share in (0.5, 1], stop once the leader has it among at least `least` votes (DeepConf
    uses 0.95). n: how many answers to return, each by its most confident text, with "count" by its first.
    """

    aliases = ("self_consistency",)
    then: Any
    answer: Any = None
    weights: str = "count"
    group: int = 2048
    keep: float = 1.0
    decided: Any = None
    least: int = 4
    n: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_answer("vote(answer=...)", self.answer)
        check(self.weights in VOTE_WEIGHTS, f"vote(weights=...) is one of {', '.join(VOTE_WEIGHTS)}; got {self.weights!r}")
        whole("vote(group=...)", self.group, 1)
        whole("vote(least=...)", self.least, 1)
        number("vote(keep=...)", self.keep, above=0, most=1)
        weighs = self.keep == 1 or self.weights != "count"
        check(weighs, 'vote(keep=...) filters by confidence: give weights="worst", or another but "count"')
        if self.decided is None:
            return
        side_by_side = isinstance(self.then, Sample)
        check(side_by_side, f"vote(decided=...) stops samples that grow side by side: then=sample(n), not {self.then}")
        check(self.keep == 1, "vote(decided=...) and keep=... contradict each other: who votes is known when all texts are there")
        if self.decided == "certain":
            check(self.weights == "count", 'vote(decided="certain") needs weights="count": the weights to come are not known')
        else:
            check(not isinstance(self.decided, str), f'vote(decided=...) is "certain" or a share in (0.5, 1]; got {self.decided!r}')
            number("vote(decided=...)", self.decided, above=0.5, most=1)

    @property
    def notes(self) -> frozenset[str]:  # type: ignore[override]
        """The confidence at every token, if texts are weighed by it."""
        return super().notes | (frozenset() if self.weights == "count" else frozenset({"confidence"}))

    def run(self, frontier: Frontier) -> Asks:
        """As the strategy inside, until the vote is decided."""
        walk, counted = super().start(frontier), 0
        ask = next(walk, None)
        while ask is not None:
            frontier = yield ask
            if self.decided is not None and len(frontier.found) > counted:
                counted = len(frontier.found)
                if self._is_decided(frontier.found, len(frontier)):
                    return
            try:
                ask = walk.send(frontier)
            except StopIteration:
                return

    def _is_decided(self, found: Sequence[Hypothesis], growing: int) -> bool:
        """Whether the rest need not be drawn."""
        voters = [(span[0], self.confidence(h)) for h in found if (span := self.answer_in(h, self.answer))]
        weights = sorted(ballot(voters).values(), reverse=True)
        if not weights:
            return False
        if self.decided == "certain":
            return weights[0] > (weights[1] if len(weights) > 1 else 0) + growing
        return len(voters) >= self.least and weights[0] >= self.decided * math.fsum(weights)

    def confidence(self, h: Hypothesis) -> float:
        """The weight of a text's vote."""
        if self.weights == "count":
            return 1.0
        told = np.asarray(h.columns["confidence"], np.float64)
        size = len(told) if self.weights == "mean" else min(self.group, len(told))
        sums = np.concatenate([[0.0], np.cumsum(told)])
        groups = (sums[size:] - sums[:-size]) / size                     # of every place where one can stand
        if self.weights == "last":
            return float(groups[-1])
        worst = max(1, len(groups) // 10) if self.weights == "worst_tenth" else 1
        return float(np.sort(groups)[:worst].mean())

    def choose_among(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The best text of each of the n first answers; score: the answer's share of the votes. Columns: answer, ballot, weight."""
        texts = self.ranked(finished)
        weighed = [(h, self.confidence(h)) for h in texts]
        weighed = sorted(weighed, key=lambda one: -one[1])[: max(1, math.ceil(len(texts) * self.keep))] if self.keep < 1 else weighed
        spans: list[Answer | None] = [self.answer_in(h, self.answer) for h, _ in weighed]
        voters = [(h, w, span[0]) for (h, w), span in zip(weighed, spans, strict=True) if span is not None]
        if texts and not voters:
            raise DeadEnd(f"vote: none of {len(weighed)} texts holds an answer as {self.answer!r} finds it")
        votes = ballot([(answer, w) for _, w, answer in voters])
        total, found = math.fsum(votes.values()), []
        for answer in sorted(votes, key=lambda a: -votes[a])[: self.n]:
            h, w, _ = max((one for one in voters if one[2] == answer), key=lambda one: one[1])
            told = {"answer": answer, "ballot": votes, "weight": w, "of": len(texts)}
            found.append(self.chosen(h, votes[answer] / total if total else 0.0, told))
        return found


def ballot(voters: Sequence[tuple[str, float]]) -> dict[str, float]:
    """What every answer has, in the order in which they were first given."""
    found: dict[str, float] = defaultdict(float)
    for answer, weight in voters:
        found[answer] += weight
    return dict(found)
