"""Heat: a text coloured by how the model saw each of its tokens, with the tokens that it held for likelier."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from unspool.errors import UnspoolError, check
from unspool.record.trace import Trace
from unspool.score import Score
from unspool.text import unfinished, visible
from unspool.views.cells import cell_of, considered_nodes
from unspool.views.heat_html import HEAT_STYLE, readable, span_html
from unspool.views.heat_tokens import BY, BY_WORDS, SCALES, Scale, Span, Token, spans_of, word_of
from unspool.views.page import fragment, page
from unspool.views.sheet import Sheet, to_json
from unspool.views.words import words_of

RECORDED = ("entropy", "effective", "rank")
"""Measures that a record holds from the level "choices" on."""


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
        trace.best("heat")
        check(1 <= number <= len(texts), f"the record has texts 1 to {len(texts)}; got {number}")
        if by in RECORDED:
            trace.require("choices", f"heat by {by}")
        h = texts[number - 1]
        ranks = {int(n): int(r) + 1 for s in trace.steps if s.rank is not None for n, r in zip(s.nodes, s.rank, strict=True)}
        known = dict(considered_nodes(trace, set(h.nodes)))
        before, tokens = trace.bytes_of(trace.prompts[0]), list[Token]()
        pending = unfinished(before)
        prompt = visible(before[: len(before) - len(pending)])
        for parent, node, token, logprob, processed in zip(h.nodes, h.nodes[1:], h.tokens, h.logprobs, h.processed):
            text = cell_of(trace, before, token, 0, 0).text
            found = known.get(parent)
            options = [cell_of(trace, before, *c) for c in found.choices[:choices]] if found else []
            entropy = None if found is None or found.entropy is None else abs(found.entropy) / math.log(2)
            tokens.append(Token(token, text, logprob, processed, ranks.get(node), entropy, tuple(options)))
            before += trace.tokens.get(token, b"")
        if by in RECORDED and any(getattr(t, by) is None for t in tokens):
            raise UnspoolError(f"this trace does not hold the {by} of every token; it is an older one: record it again")
        spans = list(spans_of([(trace.tokens.get(t, b""), trace.names.get(t, "")) for t in h.tokens], pending))
        return cls(prompt, tokens, spans, by, str(trace.recipe.get("decoder", "")))

    @classmethod
    def from_score(cls, score: Score) -> Heat:
        """A scored text, by probability; a Score holds no alternatives."""
        tokens = [Token(t, p, x, x) for t, p, x in zip(score.tokens, score.pieces, score.logprobs, strict=True)]
        return cls(score.prompt, tokens, [Span(p, i, i + 1) for i, p in enumerate(score.pieces)])

    def coloured(self, by: str) -> Heat:
        check(by in BY, f"heat colours by one of {', '.join(BY)}; got {by!r}")
        return replace(self, by=by)

    def by_words(self) -> Heat:
        """The same by words (see `words.py` for what one is): each with the product of its tokens' probabilities, its surprisals summed."""
        check(self.by in BY_WORDS, f"words have a {' and a '.join(BY_WORDS)}; {self.by} is of single tokens: leave out one of the two")
        words, spans = list[Token](), list[Span]()
        for some in words_of(self.spans):
            text = "".join(span.text for span in some)
            spans.append(Span(text, len(words), len(words) + 1, some[0].special))
            words.append(word_of(text, self.tokens[some[0].first : some[-1].last]))
        return replace(self, tokens=words, spans=spans)

    @property
    def unit(self) -> str:
        """What is coloured: "word" or "token"."""
        return "word" if any(t.parts for t in self.tokens) else "token"

    @property
    def measure(self) -> str:
        """What the colours show, in words."""
        return (self.scale.name or self.by) + (" by words" if self.unit == "word" else "")

    def band(self, token: Token) -> int:
        return self.scale.band(self._value(token))

    def _value(self, token: Token) -> float:
        return -token.probability if self.by == "probability" else float(getattr(token, self.by))

    @property
    def scale(self) -> Scale:
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
        return {"prompt": self.prompt, "by": self.by, "title": self.title, "tokens": [t.to_dict() for t in self.tokens]}

    def to_json(self) -> str:
        return to_json(self.to_dict())

    def sheet(self) -> Sheet:
        most = max((len(t.alternatives) for t in self.tokens), default=0)
        lines = []
        for place, t in enumerate(self.tokens, 1):
            entropy = "" if t.entropy is None else f"{t.entropy:.4f}"
            effective = "" if t.effective is None else f"{t.effective:.2f}"
            numbers = [f"{t.probability:.6g}", f"{t.surprisal:.4f}", "" if t.rank is None else str(t.rank), entropy, effective]
            cells = [c.cell() for c in t.alternatives]
            tokens = " ".join(str(part.token) for part in t.parts or (t,))
            lines.append([str(place), tokens, t.text, *numbers, *cells, *[""] * (most - len(cells))])
        names = ["place", "tokens" if self.unit == "word" else "token", "text", "probability", "surprisal (bits)", "rank", "entropy (bits)"]
        return Sheet([*names, "effective choices", *(f"choice {i + 1}" for i in range(most))], lines)

    def to_html(self) -> str:
        """A self-contained page, without scripts: what came instead is shown where the pointer or the keyboard is."""
        return page_of_heats([self])

    def _repr_html_(self) -> str:
        return fragment(self.block(), style=HEAT_STYLE)

    def block(self, ids: str = "") -> str:
        """The coloured text and its legend as a part of a page, in the HEAT_STYLE of `heat_html`; with ids, every span can be linked to."""
        spans = []
        for span in self.spans:
            tokens = [(i + 1, self.tokens[i]) for i in range(span.first, span.last)]
            spans.append(span_html(span, self.heat(span), tokens, f' id="{ids}{span.last}"' if ids else ""))
        prompt = f'<span class="prompt">{readable(self.prompt)}</span>'
        return f'<div class="heat">\n<p class="text" dir="auto">{prompt}{"".join(spans)}</p>\n{self._legend()}\n</div>'

    def _legend(self) -> str:
        named = ((html.escape(label), f" h{d}" if d else "", n) for label, d, n in self.counts())
        items = "".join(f'<span><span class="t{kind}">{label}</span> {n}</span>' for label, kind, n in named)
        has_choices = any(t.alternatives or t.parts for t in self.tokens)
        seen = "what it is made of" if self.unit == "word" else "what else could have come"
        note = f"Point at a {self.unit}, or go to it with the tab key, to see {seen}." if has_choices else ""
        return f'<div class="legend"><b>{self.measure}</b>{items}</div>' + (f'\n<p class="faint">{note}</p>' if note else "")


def page_of_heats(heats: Sequence[Heat]) -> str:
    """A page of one or several texts."""
    parts = []
    for i, heat in enumerate(heats):
        name = f"<h2>{i + 1}</h2>\n" if len(heats) > 1 else ""
        parts.append(name + heat.block(f"t{i + 1}-" if len(heats) > 1 else "t"))
    by, how = heats[0].measure.capitalize(), heats[0].title
    return page(f"{by} of a given text" if how.startswith("follow") else f"{by}: {how}" if how else by, *parts, style=HEAT_STYLE)
