"""Heat: a text coloured by how the model saw each of its tokens, with the tokens that it held for likelier."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unspool.errors import UnspoolError, check
from unspool.record.trace import Trace
from unspool.score import Score
from unspool.text import unfinished, visible
from unspool.views.sheet import Sheet, to_json
from unspool.views.table import Choice, choice_of, considered_nodes


@dataclass(frozen=True)
class Scale:
    """What a text is coloured by, in bands from cold to hot."""

    limits: tuple[float, ...]
    """The hottest value of each band but the last, on a scale that rises with heat."""
    labels: tuple[str, ...]
    heats: tuple[int, ...] = (0, 1, 2, 3, 4)

    def band(self, value: float) -> int:
        """Which band a value lies in."""
        return bisect_left(self.limits, value)


SCALES = {
    "probability": Scale((-0.5, -0.1, -0.01, -0.001), ("50% or more", "10% to 50%", "1% to 10%", "0.1% to 1%", "below 0.1%")),
    "surprisal": Scale((1, 3, 6, 10), ("up to 1 bit", "1 to 3", "3 to 6", "6 to 10", "above 10 bits")),
    "entropy": Scale((1, 2, 4, 6), ("up to 1 bit", "1 to 2", "2 to 4", "4 to 6", "above 6 bits")),
    "rank": Scale((1, 10, 100), ("the likeliest", "top 10", "top 100", "beyond"), (0, 1, 3, 4)),
}
"""The classes of rank are those of GLTR: Gehrmann, Strobelt and Rush 2019, arXiv 1906.04043."""
BY = tuple(SCALES)


@dataclass(frozen=True)
class Token:
    """One token of the text as the model saw it before it came."""

    token: int
    text: str
    """With the bytes of an unfinished character as \\xNN."""
    logprob: float
    """The model's own, in nats."""
    processed: float
    """After the processors."""
    rank: int | None = None
    """1 for the likeliest; None if the record does not say."""
    entropy: float | None = None
    """Of the model's whole distribution, in bits."""
    alternatives: tuple[Choice, ...] = ()
    """The likeliest tokens, best first."""

    @property
    def probability(self) -> float:
        """Under the model."""
        return math.exp(self.logprob)

    @property
    def surprisal(self) -> float:
        """-log2 of the probability: how many bits it tells."""
        return -self.logprob / math.log(2)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        numbers = {"probability": self.probability, "surprisal": self.surprisal}
        return {**vars(self), **numbers, "alternatives": [vars(c) for c in self.alternatives]}


@dataclass(frozen=True)
class Span:
    """A part of the text that is shown in one colour: a token, or those that make up a character together."""

    text: str
    first: int
    last: int
    """The place after its last token."""
    special: bool = False
    """Whether its text is the name of a special token, not part of what was written."""


@dataclass(frozen=True)
class Heat:
    """A text with its tokens, to be coloured by one of BY; a character that several tokens make up is as hot as the hottest."""

    prompt: str
    tokens: list[Token]
    spans: list[Span]
    by: str = "probability"
    title: str = ""
    """How the text came about."""

    @classmethod
    def from_trace(cls, trace: Trace, by: str = "probability", *, number: int = 1, choices: int | None = None) -> Heat:
        """The number-th best text of a trace. Alternatives, entropy and rank are there from the level "choices" on."""
        check(by in BY, f"heat colours by one of {', '.join(BY)}; got {by!r}")
        texts = trace.hypotheses[0]
        check(1 <= number <= len(texts), f"the record has texts 1 to {len(texts)}; got {number}")
        if by in ("entropy", "rank"):
            trace.require("choices", f"heat by {by}")
        h = texts[number - 1]
        ranks = {int(n): int(r) + 1 for s in trace.steps if s.rank is not None for n, r in zip(s.nodes, s.rank, strict=True)}
        known = dict(considered_nodes(trace, set(h.nodes)))
        before, tokens = trace.bytes_of(trace.prompts[0]), list[Token]()
        pending = unfinished(before)
        prompt = visible(before[: len(before) - len(pending)])
        for parent, node, token, logprob, processed in zip(h.nodes, h.nodes[1:], h.tokens, h.logprobs, h.processed):
            text = choice_of(trace, before, token, 0, 0).text
            found = known.get(parent)
            options = [choice_of(trace, before, *c) for c in found.choices[:choices]] if found else []
            entropy = None if found is None or found.entropy is None else abs(found.entropy) / math.log(2)
            tokens.append(Token(token, text, logprob, processed, ranks.get(node), entropy, tuple(options)))
            before += trace.tokens.get(token, b"")
        if by in ("entropy", "rank") and any(getattr(t, by) is None for t in tokens):
            raise UnspoolError(f"this trace does not hold the {by} of every token; it is an older one: record it again")
        spans = list(_spans([(trace.tokens.get(t, b""), trace.names.get(t, "")) for t in h.tokens], pending))
        return cls(prompt, tokens, spans, by, str(trace.recipe.get("decoder", "")))

    @classmethod
    def from_score(cls, score: Score) -> Heat:
        """A scored text, by probability; a Score holds no alternatives."""
        tokens = [Token(t, p, x, x) for t, p, x in zip(score.tokens, score.pieces, score.logprobs, strict=True)]
        return cls(score.prompt, tokens, [Span(p, i, i + 1) for i, p in enumerate(score.pieces)])

    def coloured(self, by: str) -> Heat:
        """The same text by another measure."""
        check(by in BY, f"heat colours by one of {', '.join(BY)}; got {by!r}")
        return replace(self, by=by)

    def band(self, token: Token) -> int:
        """The band of a token in its scale."""
        return self.scale.band(self._value(token))

    def _value(self, token: Token) -> float:
        """What rises with heat."""
        return -token.probability if self.by == "probability" else float(getattr(token, self.by))

    @property
    def scale(self) -> Scale:
        """What its colours mean."""
        return SCALES[self.by]

    def heat(self, span: Span) -> int:
        """From 0, cold, to 4, hot."""
        return self.scale.heats[max(self.band(t) for t in self.tokens[span.first : span.last])]

    def counts(self) -> list[tuple[str, int, int]]:
        """For each band its label, its heat, and how many tokens lie in it."""
        found = Counter(map(self.band, self.tokens))
        return [(label, heat, found[i]) for i, (label, heat) in enumerate(zip(self.scale.labels, self.scale.heats, strict=True))]

    def hottest(self, n: int) -> list[tuple[int, Token]]:
        """The n hottest tokens with their places, from 1, in the order of the text."""
        places = sorted(range(len(self.tokens)), key=lambda i: -self._value(self.tokens[i]))[:n]
        return [(i + 1, self.tokens[i]) for i in sorted(places)]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {"prompt": self.prompt, "by": self.by, "title": self.title, "tokens": [t.to_dict() for t in self.tokens]}

    def to_json(self) -> str:
        """All of it."""
        return to_json(self.to_dict())

    def sheet(self) -> Sheet:
        """A line for each token."""
        most = max((len(t.alternatives) for t in self.tokens), default=0)
        lines = []
        for place, t in enumerate(self.tokens, 1):
            entropy = "" if t.entropy is None else f"{t.entropy:.4f}"
            numbers = [f"{t.probability:.6g}", f"{t.surprisal:.4f}", "" if t.rank is None else str(t.rank), entropy]
            cells = [c.cell() for c in t.alternatives]
            lines.append([str(place), str(t.token), t.text, *numbers, *cells, *[""] * (most - len(cells))])
        names = ["place", "token", "text", "probability", "surprisal", "rank", "entropy"]
        return Sheet([*names, *(f"choice {i + 1}" for i in range(most))], lines)

    def to_html(self) -> str:
        """A self-contained page, without scripts: what came instead is shown where the pointer or the keyboard is."""
        from unspool.views.heat_html import whole

        return whole([self])

    def _repr_html_(self) -> str:
        from unspool.views.heat_html import piece

        return piece(self)


def _spans(parts: Sequence[tuple[bytes, str]], pending: bytes) -> Iterator[Span]:
    """Tokens as bytes and names, put together where they share a character."""
    first, data = 0, pending
    for i, (own, name) in enumerate(parts):
        if not own:
            if i > first:
                yield Span(visible(data), first, i)
            yield Span(name, i, i + 1, special=True)
            first, data = i + 1, b""
            continue
        data += own
        if not unfinished(data) or i + 1 == len(parts):
            yield Span(visible(data), first, i + 1)
            first, data = i + 1, b""
