"""CoT-decoding: branch at the first token, and trust the branch that is sure of its answer."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.core.frontier import Frontier
from unspool.core.strategy import Asks, Choice, Each, times
from unspool.errors import check, whole
from unspool.record.step import Hypothesis
from unspool.strategies.chooser import Chooser, check_answer
from unspool.strategies.greedy import Greedy

GREEDY = Greedy()


@dataclass(frozen=True)
class Cot(Chooser):
    """Begin with each of the k likeliest first tokens, go on greedily, and return the text that is surest of its answer.

    Sure is a great margin, Delta = the mean over the answer's tokens of p(likeliest token) - p(second), under the model (Wang and Zhou
    2024, arXiv 2402.10200). then: how the branches go on, greedy if not given. answer: where it stands, as in vote; None, all its tokens;
    a text without an answer comes last, with a margin of 0. aggregate: add up the margins of texts with the same answer, and rank by the
    sum. n: how many texts.
    """

    aliases = ("cot_decoding",)
    k: int = 10
    answer: Any = None
    aggregate: bool = False
    then: Any = GREEDY
    n: int = 1

    def __post_init__(self) -> None:
        whole("cot(k)", self.k, 1)
        check(type(self.aggregate) is bool, f"cot(aggregate=...) is True or False; got {self.aggregate!r}")
        check_answer("cot(answer=...)", self.answer)
        super().__post_init__()

    @property
    def notes(self) -> frozenset[str]:  # type: ignore[override]
        """The margin at every token."""
        return super().notes | {"margin"}

    def run(self, frontier: Frontier) -> Asks:
        """The first tokens, and a run for each."""
        values, tokens = frontier.top(min(self.k, frontier.vocabulary))
        there = values[0] > -np.inf
        frontier = yield Choice(tokens[0, there], np.repeat(frontier.rows, there.sum()))
        yield Each(frontier, self.then)

    def choose_among(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """By margin, or by the sum of those of an answer. Columns: answer, delta, of."""
        deltas, answers = zip(*map(self._delta, finished), strict=True) if finished else ((), ())
        sums: dict[Any, float] = defaultdict(float)
        for delta, answer in zip(deltas, answers, strict=True):
            sums[answer] += 0.0 if answer is None else delta
        scores = [sums[answer] if self.aggregate else delta for delta, answer in zip(deltas, answers, strict=True)]
        columns = [{"answer": a, "delta": d, "of": len(finished)} for d, a in zip(deltas, answers, strict=True)]
        order = sorted(range(len(finished)), key=lambda i: (answers[i] is None, -deltas[i]))      # of an answer the surest text
        return self.best([finished[i] for i in order], [scores[i] for i in order], [columns[i] for i in order])

    def candidates(self) -> int | None:
        return times(self.k, self.then.most_texts())

    def most_rows(self) -> int | None:
        return times(self.k, self.then.most_rows())

    def _delta(self, h: Hypothesis) -> tuple[float, str | None]:
        """The margin over the answer's tokens, and the answer."""
        span = self.answer_in(h, self.answer)
        if span is None:
            return 0.0, None
        answer, first, last = span
        margins = np.asarray(h.columns["margin"], np.float64)
        if self.answer is None:
            return float(margins.mean()), answer
        ends = np.cumsum([len(piece) for piece in self.pieces(h)])
        begins = np.concatenate([[0], ends[:-1]])
        inside = (begins < last) & (ends > first)
        return float(margins[inside].mean()) if inside.any() else 0.0, answer
