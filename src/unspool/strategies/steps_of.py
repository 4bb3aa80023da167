"""Steps instead of tokens: a beam, or particles, over segments of text that a scorer weighs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Floats
from unspool.core.frontier import Frontier
from unspool.core.strategy import Asks, Strategy
from unspool.errors import ParameterError, PartError, check, whole
from unspool.record.step import Hypothesis
from unspool.strategies.chooser import Chooser
from unspool.strategies.sample import Sample
from unspool.text import TextReader

ONE_TEXT = Sample()


@dataclass(frozen=True)
class StepsOf(Chooser):
    """Grow several texts segment by segment, and after each segment go on with those that a scorer likes best.

    Every one of `width` texts is continued `each` times up to its next boundary; of all that are there, the finished ones among them,
    the `width` best by score stay. then: greedy or sample, by which a segment is written. boundary: a text that ends a segment, such as
    "\\n\\n", or a number of tokens. by: the score of a text so far, "logprob", log p(text) after the processors, "mean_logprob", that for
    each token, or a function of the new text that returns a number, as a process reward model does. particles: in place of the best,
    draw `width` of those that are there, with replacement, p proportional to exp(score), by one uniform (Puri et al. 2025, arXiv
    2502.01618); finished texts are then kept as they are. n: how many texts to return, best first.
    """

    then: Any = ONE_TEXT
    boundary: Any = "\n"
    by: Any = "mean_logprob"
    width: int = 4
    each: int = 4
    particles: bool = False
    n: int = 1

    def __post_init__(self) -> None:
        for name in ("width", "each"):
            whole(f"steps_of({name}=...)", getattr(self, name), 1)
        super().__post_init__()
        plain = type(self.then).run is Strategy.run and self.then.most_rows() == 1
        check(plain, f"steps_of(then) takes a strategy that writes one text at a time, greedy or sample; got {self.then}")
        if isinstance(self.boundary, str):
            check(self.boundary != "", "steps_of(boundary=...) takes a text that is not empty, or a number of tokens; got ''")
        else:
            whole("steps_of(boundary=...)", self.boundary, 1)
        known = callable(self.by) or self.by in ("logprob", "mean_logprob")
        check(known, f'steps_of(by=...) is a function of the text, "logprob" or "mean_logprob"; got {self.by!r}')
        check(type(self.particles) is bool, f"steps_of(particles=...) is True or False; got {self.particles!r}")

    def run(self, frontier: Frontier) -> Asks:
        """Rounds of segments, each followed by a selection."""
        places, finished, told = frontier.places, frontier.found, 0
        kept, over = self.then.begin(frontier), list[float]()
        while True:
            growing, there = kept.take(np.repeat(np.arange(len(kept)), self.each)), list[int]()
            begun = {int(row): int(n) for row, n in zip(kept.rows, kept.generated, strict=True)}
            starts = np.asarray([begun[int(row)] for row in growing.rows])
            old = [row for row in places if row not in begun]
            growing.columns["segment"] = starts
            while len(growing):
                choice = self.then.choose(growing)
                choice.parents = np.asarray(growing.rows)
                choice.columns = choice.columns | {"segment": growing["segment"]}
                choice.waits, choice.frees = list(there), old
                frontier, old = (yield choice), []
                ends = np.asarray([self._ends(frontier, i) for i in range(len(frontier))], bool)
                there += frontier.rows[ends].tolist()
                growing = frontier.take(~ends)
            rows = [places[row] for row in there]
            scores = np.asarray([self._score(f.tokens(i)[int(f.prompt_lengths[i]) :].tolist(), float(f["processed"][i])) for f, i in rows])
            over += [self._score(h.tokens, float(np.sum(h.processed))) for h in finished[told:]]
            told = len(finished)
            stays = self._stays(frontier, rows, scores, np.asarray(over))
            if not len(stays):
                return
            some = [rows[i] for i in stays]
            columns = {k: np.concatenate([f[k][[i]] for f, i in some]) for k in some[0][0].columns}
            handles, lengths = np.asarray([there[i] for i in stays]), np.asarray([f.lengths[i] for f, i in some])
            kept = Frontier.of(frontier.call, frontier.source.lane, handles, lengths, columns)

    def _ends(self, frontier: Frontier, i: int) -> bool:
        """Whether a row has reached its boundary."""
        start, first = int(frontier["segment"][i]), int(frontier.prompt_lengths[i])
        if not isinstance(self.boundary, str):
            return bool(frontier.generated[i] - start >= self.boundary)
        tokens = frontier.tokens(i)[first:].tolist()
        return str(self.boundary) in self.read(tokens)[len(self.read(tokens[:start])) :]

    def _stays(self, frontier: Frontier, rows: list[tuple[Frontier, int]], scores: Floats, over: Floats) -> Any:
        """Which of the rows that are at a boundary go on."""
        if not len(rows):
            return []
        if not self.particles:
            better = (over[None, :] >= scores[:, None]).sum(-1)          # finished texts keep their places
            order = np.argsort(-scores, kind="stable")
            return [i for rank, i in enumerate(order.tolist()) if rank + better[i] < self.width]
        best = float(scores.max())
        if not np.isfinite(best):
            raise PartError(f"steps_of(particles=True) draws in proportion to exp(score), and the best score is {best}: give finite ones")
        top, which = rows[0]
        u = float(top.uniform("resample", of="prompt")[which])
        shares = np.cumsum(np.exp(scores - best))
        return np.searchsorted(shares / shares[-1], (np.arange(self.width) + u) / self.width, side="right").clip(0, len(rows) - 1).tolist()

    def read(self, tokens: list[int]) -> str:
        """Tokens as text, up to the last character that is whole."""
        if self.tokenizer is None:
            raise ParameterError("steps_of: to read texts it needs a tokenizer; decode with a LanguageModel")
        return "".join(TextReader(self.tokenizer).pieces(tokens)[0])

    def _score(self, tokens: list[int], processed: float) -> float:
        """What a text is worth."""
        if callable(self.by):
            return self.asked(self.by, self.read(tokens))
        return processed if self.by == "logprob" else processed / len(tokens)

    def candidates(self) -> None:
        """Finished texts are kept beside those that grow, as many as there are."""

    def most_rows(self) -> int:
        return self.width * self.each

    def choose_among(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The n best of those that have finished."""
        scores = [self._score(h.tokens, float(np.sum(h.processed))) for h in finished]
        return self.best(finished, scores, [{"of": len(finished)}] * len(finished))
