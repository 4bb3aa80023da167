"""Search error: how far the text of another decoder falls short of the best there is, as exact search ranks texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from unspool.core.decoder import Decoder, as_decoder
from unspool.errors import check
from unspool.output import Output
from unspool.strategies.exact import Exact

if TYPE_CHECKING:
    from unspool.language_model import LanguageModel

EQUAL_WITHIN = 1e-5
"""Scores that differ by less are the same, for they are sums of numbers of 32 bits; of a larger score, this part of it."""


@dataclass(frozen=True)
class SearchError:
    """One text of another decoder beside the best text that exact search found after the same prompt.

    Scores are those by which the exact search ranks, whatever the other decoder ranks by.
    """

    decoder: str
    text: str
    score: float
    """Of the other's text; -inf if exact search could not find it, as its processors or stops forbid it, or nothing came of the other."""
    best: float
    """Of the best text that exact search found; -inf if it found none."""
    bound: float
    """No text has a score above this and above `best`."""

    @property
    def short(self) -> float:
        """By how much it falls short of the best text found; below 0 if it is better, which a search that was broken off may miss."""
        return 0.0 if abs(self.best - self.score) <= EQUAL_WITHIN * max(1.0, abs(self.best)) else self.best - self.score

    @property
    def most(self) -> float:
        """By how much it falls short of the best text there is, at most: `short` itself, where that one is proved."""
        return max(self.short, self.bound - self.score)

    def __str__(self) -> str:
        if self.score == -math.inf:
            return f"{self.decoder}: no text that the exact search could find"
        short = "as good as the best" if self.short == 0 else f"{abs(self.short):.4g} {'below' if self.short > 0 else 'above'} the best"
        unproved = f" found; at most {self.most:.4g} below the best there is" if self.most > max(self.short, 0.0) else ""
        return f"{self.decoder}: score {self.score:.4g}, {short}{unproved}"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values; null for what is infinite."""
        values = vars(self) | {"short": self.short, "most": self.most}
        return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}


def search_errors(lm: LanguageModel, decoder: Decoder, outputs: Sequence[Output], other: Any, **options: Any) -> list[SearchError]:
    """For each output of a decoder with exact search, how far the best text of another decoder falls short of it.

    options: those of the call that made the outputs, as max_new_tokens; the other decoder is run with them after the same prompts.
    """
    exact = decoder.strategy
    check(type(exact) is Exact, f"search error is measured against exact search, as exact(nodes=1000); got {decoder.strategy or 'greedy'}")
    known = lm.resolve(decoder).strategy.among
    prompts, other = [output.prompt_tokens for output in outputs], as_decoder(other)
    found = []
    for output, theirs in zip(outputs, lm.generate(prompts, other, **options), strict=True):
        certificate = output.trace.certificates[0]
        score = -math.inf
        if theirs.sequences and (not known or tuple(theirs.tokens) in known):
            alone = replace(exact, n=1, expand=0, nodes=0, seconds=0.0, among=(tuple(theirs.tokens),))
            (rated,) = lm.generate([output.prompt_tokens], Decoder((*decoder.processors, alone, *decoder.stops)), **options)
            ended = [s.score for s in rated.sequences if known or s.reason != "followed"]           # as the texts of the search do
            score = ended[0] if ended else -math.inf
        text = theirs.text if theirs.sequences else ""
        found.append(SearchError(str(other), text, score, output.sequences[0].score if output.sequences else -math.inf, certificate.bound))
    return found


def summary(errors: Sequence[SearchError]) -> str:
    """Of one other decoder over several prompts, in a line: where it falls short, and by how much."""
    if len(errors) == 1:
        return str(errors[0])
    known = [e.short for e in errors if e.score > -math.inf]
    below = [short for short in known if short > 0]
    what = f"{errors[0].decoder}: below the best found after {len(below)} of {len(errors)} prompts"
    what += f", by {sum(below) / len(below):.4g} on average and {max(below):.4g} at most" if below else ""
    better = sum(short < 0 for short in known)
    what += f"; above it after {better}" if better else ""
    return what + (f"; {len(errors) - len(known)} without a text that it could find" if len(known) < len(errors) else "")
