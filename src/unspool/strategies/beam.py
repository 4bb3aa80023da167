"""Beam search: keep the b best texts at every length."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from unspool.arrays import Floats, Ints
from unspool.core.candidates import running_count
from unspool.core.frontier import Frontier
from unspool.core.strategy import Asks, Choice, Strategy
from unspool.errors import check, number, whole
from unspool.record.step import Hypothesis
from unspool.strategies.lengths import LENGTHS, weight_of

Finished: TypeAlias = defaultdict[int, list[float]]
"""Of each prompt the best scores that finished, worst first."""


@dataclass(frozen=True)
class Beam(Strategy):
    """Keep the `width` best unfinished texts; rank the finished ones by log p(text) / length ** length_penalty.

    Each round the best 2 * width continuations are candidates (more with several end tokens, so that enough of them go
    on); one that ends counts only if it is among the best `width`.

    length_penalty: 0 ranks by log-probability; above 0 longer texts gain, for log-probabilities are negative.
    early_stopping: when a prompt is done. True: as soon as `width` hypotheses have finished. False: once the best
    unfinished text, at its present length, could not enter them. "never": once it could not at any length.
    patience: with early_stopping=True, wait for round(width * patience) hypotheses (Kasai et al. 2022, arXiv 2204.05424).
    n: how many hypotheses to return.
    renormalise: whether the processors' scores are made log-probabilities again before they are summed. False with
    log_softmax first is what transformers computes: log_softmax | repetition_penalty(1.2) | beam(4, renormalise=False).
    length: what counts. "generated": new tokens with the end token (transformers, fairseq, vLLM since 0.33); "without_end":
    without it (CTranslate2); "with_prompt": prompt and new tokens, without it (vLLM before); "gnmt": ((5 + n) / 6) **
    length_penalty for n new tokens (Wu et al. 2016, arXiv 1609.08144).
    """

    aliases = ("beam_search",)
    streams = False
    joins = True
    width: int
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    patience: float = 1.0
    n: int = 1
    renormalise: bool = True
    length: str = "generated"

    def __post_init__(self) -> None:
        whole("beam(width)", self.width, 1)
        whole("beam(n=...)", self.n, 1)
        number("beam(patience=...)", self.patience, above=0)
        check(self.n <= self.wanted, f"beam(n={self.n}) asks for more hypotheses than are kept ({self.wanted}); raise width")
        known = isinstance(self.early_stopping, bool) or self.early_stopping == "never"
        check(known, f'early_stopping is True, False or "never"; got {self.early_stopping!r}')
        check(self.patience == 1 or self.early_stopping is True, "patience counts finished hypotheses: it needs early_stopping=True")
        check(self.length in LENGTHS, f"length is one of {', '.join(LENGTHS)}; got {self.length!r}")
        number("beam(length_penalty=...)", self.length_penalty)

    @property
    def wanted(self) -> int:
        """How many finished hypotheses are kept."""
        return max(1, round(self.width * self.patience))

    def run(self, frontier: Frontier) -> Asks:
        """Grow all beams of all prompts together."""
        best: Finished = defaultdict(list)
        frontier = self.begin(frontier)
        while len(frontier):
            frontier = yield self.choose_among(frontier, best)

    def choose_among(self, frontier: Frontier, best: Finished) -> Choice:
        """The children of one round; `best` is updated."""
        many = max(2, 1 + len(frontier.end_tokens)) * self.width
        values, tokens = frontier.top(many, self.renormalise)            # (R, many)
        found = frontier.candidates(values + frontier["score"][:, None], tokens).best(many)
        at, prompt = found.at, found.group                               # (N,), as all that follows
        reasons = frontier.reasons(at, found.tokens)
        goes_on = reasons == ""
        ranked = found.score / self.weight(frontier, at, reasons)
        finished = ~goes_on & (found.rank < self.width)
        goes_on[goes_on] = running_count(prompt[goes_on]) < self.width   # the best of those that go on
        for group, score in zip(prompt[finished].tolist(), ranked[finished].tolist(), strict=True):
            insort(best[group], score)
            del best[group][: -self.wanted]
        over = self.over(frontier, best, prompt, at, found.score, goes_on)
        grows = goes_on & ~over
        taken = finished | grows
        dropped = found.dropped(~taken, np.where(over & goes_on, "the search was over", "pruned")) if frontier.records else None
        score = np.where(finished, ranked, found.score)[taken]
        return Choice(found.tokens[taken], found.parents[taken], score, reasons[taken], dropped=dropped)

    def weight(self, frontier: Frontier, at: Ints, reasons: Any) -> Floats:
        """What the log-probability of each candidate is divided by."""
        length = frontier.generated[at] + 1
        if self.length in ("without_end", "with_prompt"):
            length = np.maximum(length - (reasons == "end"), 1)
        return self._weight(length + frontier.prompt_lengths[at] if self.length == "with_prompt" else length)

    def _weight(self, length: Any) -> Floats:
        return weight_of(length, self.length, self.length_penalty)

    def over(self, frontier: Frontier, best: Finished, group: Ints, at: Ints, total: Floats, goes_on: Any) -> Any:
        """For each candidate, whether no unfinished text of its prompt can enter the finished ones any more: (N,)."""
        prompts, group = np.unique(group, return_inverse=True)
        known = [best[prompt] for prompt in prompts.tolist()]
        full = np.asarray([len(scores) == self.wanted for scores in known], bool)
        if self.early_stopping is True:
            return full[group]
        reach = frontier.generated + 1
        if self.early_stopping == "never" and self.length_penalty > 0:
            reach = frontier.left + frontier.generated
        reach = reach + (frontier.prompt_lengths if self.length == "with_prompt" else 0)
        hope = np.full(len(known), -np.inf)
        np.maximum.at(hope, group[goes_on], (total / self._weight(reach[at]))[goes_on])
        return (full & ~(hope > np.asarray([scores[0] if scores else -np.inf for scores in known])))[group]

    def most_rows(self) -> int:
        return self.width

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The n best by score."""
        return sorted(finished, key=lambda h: -h.score)[: self.n]
