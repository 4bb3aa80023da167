"""Minimum Bayes risk: of several texts the one that is most like all the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Floats
from unspool.core.frontier import Frontier
from unspool.core.randomness import child
from unspool.core.strategy import Asks, Each, Strategy
from unspool.errors import MissingExtra, PartError, check, is_whole, whole
from unspool.record.step import Hypothesis
from unspool.strategies.chooser import Chooser
from unspool.strategies.sample import Sample

OF_TOKENS = ("edit", "exact")
OF_TEXTS = ("chrf", "bleu")
REFERENCE_WEIGHTS = ("equal", "probability")
APART = 2**40
"""The number, as a child, of the row from which references are drawn: no candidate has it."""


@dataclass(frozen=True)
class Mbr(Chooser):
    """Of several texts return the one that is most like all others, argmax over candidates c of sum over references r of w(r) * u(c, r).

    The references stand for the texts that the model might say (Kumar and Byrne 2004; Eikema and Aziz 2020, arXiv 2005.10283; 2022, arXiv
    2108.04718). then: the candidates, a number of samples or any strategy. references: None, the candidates themselves, each one also its
    own reference; or a number of samples or a strategy, whose texts are drawn apart from the candidates. utility: u in [0, 1], "edit", 1 -
    Levenshtein distance of the tokens / the longer one's length; "exact", 1 if the tokens are equal, so that the most frequent text wins;
    "chrf" (chrF2) and "bleu" (of a sentence, smoothed), sacrebleu's over 100; or a function of two texts, the candidate and the reference,
    that returns a number. weights: "equal", w = 1 / number of references, right where they are samples; "probability", w proportional to
    p(r) after the processors, and equal texts count once: for beams and exact search. n: how many texts to return.
    """

    then: Any
    utility: Any = "edit"
    references: Any = None
    weights: str = "equal"
    n: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        known = callable(self.utility) or self.utility in (*OF_TOKENS, *OF_TEXTS)
        named = ", ".join((*OF_TOKENS, *OF_TEXTS))
        check(known, f"mbr(utility=...) is a function of two texts, or one of {named}; got {self.utility!r}")
        check(self.weights in REFERENCE_WEIGHTS, f"mbr(weights=...) is one of {', '.join(REFERENCE_WEIGHTS)}; got {self.weights!r}")
        if is_whole(self.references):
            whole("mbr(references=...)", self.references, 1)
            object.__setattr__(self, "references", Sample(int(self.references)))
        ok = self.references is None or isinstance(self.references, Strategy)
        check(ok, f"mbr(references=...) takes a number of samples, a strategy, or None; got {self.references!r}")
        if self.utility in OF_TEXTS:
            metric(self.utility)

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """What the two strategies inside need."""
        return super().needs | (frozenset() if self.references is None else self.references.needs)

    def token_ids(self) -> list[int]:
        """Those of the two strategies inside."""
        return [*super().token_ids(), *(() if self.references is None else self.references.token_ids())]

    def resolve(self, tokenizer: Any) -> Any:
        """With both strategies inside resolved."""
        part = super().resolve(tokenizer)
        if self.references is not None:
            object.__setattr__(part, "references", self.references.resolve(tokenizer))
        return part

    def run(self, frontier: Frontier) -> Asks:
        """The candidates, and then the references from where those began, with draws of their own."""
        if self.references is None:
            yield from super().start(frontier)
            return
        row, lineages = frontier.rows.tolist(), child(frontier["lineage"], np.asarray([APART]), frontier.generated)
        frontier = yield Each(frontier, self.then, waits=row)
        candidates = len(frontier.found)
        source, i = frontier.place(row[0])
        start = source.take([i])
        start.columns["lineage"] = lineages
        frontier = yield Each(start, self.references)
        for h in frontier.found[candidates:]:
            h.columns["reference"] = True

    def most_rows(self) -> int | None:
        """Of the candidates or of the references, which grow after them."""
        counts = [some.most_rows() for some in (self.then, self.references) if some is not None]
        return None if None in counts else max(counts)

    def choose_among(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The n candidates of the greatest expected utility, which is their score; the column `of`: how many candidates and references."""
        if self.references is None:
            candidates = references = self.ranked(finished)
        else:
            references = [h for h in finished if "reference" in h.columns]
            candidates = [h for h in finished if "reference" not in h.columns]
            references = references or candidates                        # of a run that was broken off before there were any
        if self.weights == "probability":
            references = list({tuple(h.tokens): h for h in references}.values())
        if not candidates:
            return []
        expected = self._utilities(candidates, references) @ self._weights(references)
        return self.best(candidates, expected.tolist(), [{"of": [len(candidates), len(references)]}] * len(candidates))

    def _weights(self, references: Sequence[Hypothesis]) -> Floats:
        """(references,), adding up to 1."""
        if self.weights == "equal":
            return np.full(len(references), 1 / len(references))
        logs = np.asarray([np.sum(h.processed) for h in references])
        shares = np.exp(logs - logs.max())
        return np.asarray(shares / shares.sum())

    def _utilities(self, candidates: Sequence[Hypothesis], references: Sequence[Hypothesis]) -> Floats:
        """(candidates, references); equal texts are asked about once."""
        of_tokens = self.utility in OF_TOKENS
        read: Callable[[Hypothesis], Any] = (lambda h: tuple(h.tokens)) if of_tokens else self.text
        function = self.utility if callable(self.utility) else {"edit": likeness, "exact": same}.get(self.utility) or metric(self.utility)
        known: dict[Any, float] = {}

        def utility(one: Any, other: Any) -> float:
            if (one, other) not in known:
                known[one, other] = self.asked(function, one, other)
                if math.isinf(known[one, other]):
                    raise PartError(f"mbr: the utility of {one!r:.40} for {other!r:.40} is {known[one, other]}; it is a finite number")
            return known[one, other]

        there = [read(h) for h in references]
        return np.asarray([[utility(one, other) for other in there] for one in map(read, candidates)])


def same(one: Sequence[int], other: Sequence[int]) -> float:
    """1 if two texts have the same tokens."""
    return float(one == other)


def likeness(one: Sequence[int], other: Sequence[int]) -> float:
    """1 less the Levenshtein distance of two texts' tokens over the length of the longer one."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return 1 - row[-1] / max(len(one), len(other), 1)


def metric(name: str) -> Callable[[str, str], float]:
    """A score of sacrebleu for one text and its reference, from 0 to 1."""
    try:
        from sacrebleu.metrics import bleu, chrf
    except ImportError:
        raise MissingExtra(f'mbr(utility="{name}") needs sacrebleu: pip install \'unspool[metrics]\'; "edit" needs nothing') from None
    made: Any = chrf.CHRF() if name == "chrf" else bleu.BLEU(effective_order=True)
    return lambda one, other: made.sentence_score(one, [other]).score / 100
