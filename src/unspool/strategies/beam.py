"""Beam search: keep the b best texts at every length."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from unspool.arrays import Flags, Floats, Ints
from unspool.core.candidates import Candidates, running_count
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
    length: what counts. "generated": new tokens with the end token (transformers, fairseq, CTranslate2, vLLM since 0.33);
    "without_end": without it; "with_prompt": prompt and new tokens, without it (vLLM before); "gnmt": ((5 + n) / 6) **
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
        whole(f"{self.name}(width)", self.width, 1)
        whole(f"{self.name}(n=...)", self.n, 1)
        number(f"{self.name}(patience=...)", self.patience, above=0)
        kept = max(1, round(self.width * self.patience))
        check(self.n <= kept, f"{self.name}(n={self.n}) asks for more hypotheses than are kept ({kept}); raise width")
        known = isinstance(self.early_stopping, bool) or self.early_stopping == "never"
        check(known, f'{self.name}(early_stopping=...) is True, False or "never"; got {self.early_stopping!r}')
        check(self.patience == 1 or self.early_stopping is True, "patience counts finished hypotheses: it needs early_stopping=True")
        check(self.length in LENGTHS, f"{self.name}(length=...) is one of {', '.join(LENGTHS)}; got {self.length!r}")
        number(f"{self.name}(length_penalty=...)", self.length_penalty)

    @property
    def beams(self) -> int:
        """How many unfinished texts compete with each other."""
        return self.width

    @property
    def wanted(self) -> int:
        """How many finished hypotheses are kept."""
        return max(1, round(self.beams * self.patience))

    def run(self, frontier: Frontier) -> Asks:
        """Grow all beams of all prompts together."""
        best: Finished = defaultdict(list)
        frontier = self.begin(frontier)
        while len(frontier):
            frontier = yield self.choose_among(frontier, best)

    def choose_among(self, frontier: Frontier, best: Finished) -> Choice:
        """The children of one round; `best` is updated."""
        return self.of_the_best(frontier, best, self.found(frontier, self.considered(frontier)))

    def considered(self, frontier: Frontier) -> int:
        """How many candidates there are in a round, so that enough of them go on."""
        return enough(frontier, self.beams)

    def found(self, frontier: Frontier, many: int) -> Candidates:
        """The candidates of one round: of each prompt so many, best first."""
        values, tokens = frontier.top(many, self.renormalise)            # (R, many)
        return frontier.candidates(values + frontier["score"][:, None], tokens).best(many)

    def of_the_best(self, frontier: Frontier, best: Finished, found: Candidates) -> Choice:
        """Of candidates, best first, those that go on are the best of them, and those that end count if their rank is among the best."""
        reasons = frontier.reasons(found.at, found.tokens)
        goes_on = reasons == ""
        finished = ~goes_on & (found.rank < self.beams)
        goes_on[goes_on] = running_count(found.group[goes_on]) < self.beams
        return self.choice(frontier, best, found, reasons, finished, goes_on)

    def choice(self, frontier: Frontier, best: Finished, found: Candidates, reasons: Any, finished: Flags, goes_on: Flags) -> Choice:
        """What becomes of candidates, given which of them finish a text, and which are to go on if the search is not over."""
        ranked = found.score / self.weight(frontier, found.at, reasons)
        for group, score in zip(found.group[finished].tolist(), ranked[finished].tolist(), strict=True):
            insort(best[group], score)
            del best[group][: -self.wanted]
        over = self.over(frontier, best, found.group, found.at, found.score, goes_on)
        taken = finished | (goes_on & ~over)
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

    def over(self, frontier: Frontier, best: Finished, group: Ints, at: Ints, total: Floats, goes_on: Flags) -> Flags:
        """For each candidate, whether no unfinished text of its prompt can enter the finished ones any more: (N,)."""
        prompts, group = np.unique(group, return_inverse=True)
        known = [best[prompt] for prompt in prompts.tolist()]
        full = np.asarray([len(scores) == self.wanted for scores in known], bool)
        if self.early_stopping is True:
            return np.asarray(full[group])
        reach = frontier.generated + 1
        if self.early_stopping == "never" and self.length_penalty > 0:
            reach = frontier.left + frontier.generated
        reach = reach + (frontier.prompt_lengths if self.length == "with_prompt" else 0)
        hope = np.full(len(known), -np.inf)
        np.maximum.at(hope, group[goes_on], (total / self._weight(reach[at]))[goes_on])
        return np.asarray((full & ~(hope > np.asarray([scores[0] if scores else -np.inf for scores in known])))[group])

    def most_rows(self) -> int:
        return self.width

    def most_texts(self) -> int:
        return self.n

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The n best by score."""
        return sorted(finished, key=lambda h: -h.score)[: self.n]


def enough(frontier: Frontier, beams: int) -> int:
    """So many continuations that as many as there are beams go on, whichever of them end."""
    return max(2, 1 + len(frontier.end_tokens)) * beams
