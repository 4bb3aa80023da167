"""Coloured tokens as HTML: each opens a card with its numbers and alternatives, by the pointer, the keyboard or a link to it."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from unspool.views.characters import CONTROLS, marked
from unspool.views.heat_tokens import Span, Token

HEAT_STYLE = """
.unspool .heat { position: relative; margin: 1rem 0; }
.unspool .heat .text { font-size: 1.1rem; line-height: 1.9; margin: 0 0 1rem; }
.unspool .t { border-radius: .2em; padding: .1em 0; box-decoration-break: clone; -webkit-box-decoration-break: clone; cursor: default; }
.unspool .t:hover, .unspool .t:focus, .unspool .t:target { outline: 2px solid var(--best); outline-offset: 1px; }
.unspool .special { color: var(--faint); font-size: .85em; }
.unspool .h1 { background: var(--heat1); } .unspool .h2 { background: var(--heat2); }
.unspool .h3 { background: var(--heat3); color: #12161d; } .unspool .h4 { background: var(--heat4); color: var(--on4); }
.unspool .card { display: none; position: absolute; left: 0; z-index: 9; margin-top: 2em; width: 21rem; max-width: calc(100% - 1.6rem);
  padding: .6rem .8rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card); color: var(--ink);
  box-shadow: 0 .4rem 1.4rem #0004; font-size: .85rem; line-height: 1.5; white-space: normal; text-align: left; direction: ltr; }
.unspool .t:hover > .card, .unspool .t:focus > .card, .unspool .t:target > .card { display: block; }
.unspool .heat:has(.t:hover) .t:not(:hover) > .card { display: none; }
@supports (anchor-name: --t) and (position-area: bottom) {
  .unspool .t:hover, .unspool .t:focus, .unspool .t:target { anchor-name: --t; }
  .unspool .card { position: fixed; left: auto; margin: .4rem 0; position-anchor: --t; position-area: bottom span-right;
    position-try-fallbacks: flip-inline, flip-block, flip-inline flip-block; }
}
.unspool .card b { font-size: 1rem; } .unspool .card span { display: block; }
.unspool .card .alt { display: flex; justify-content: space-between; gap: 1rem; padding: 0 .3rem; margin: .15rem 0; border-radius: .2rem;
  font-variant-numeric: tabular-nums; unicode-bidi: isolate; white-space: pre-wrap; overflow-wrap: anywhere;
  background: linear-gradient(to right, var(--bar) var(--p), transparent var(--p)); }
.unspool .card .came { font-weight: 700; }
.unspool .legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; font-size: .9rem; }
.unspool .legend .t { padding: .1em .5em; }
@media print { .unspool .t { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def span_html(span: Span, degree: int, tokens: Sequence[tuple[int, Token]], name: str) -> str:
    """A span in its degree of heat, with a card for each of its tokens, which come with their places; name: an attribute, or nothing."""
    kinds = "t" + (f" h{degree}" if degree else "") + (" special" if span.special else "")
    cards = "".join(_details(token, place) for place, token in tokens)
    return f'<span class="{kinds}" tabindex="0"{name}>{readable(span.text)}<span class="card">{cards}</span></span>'


def readable(text: str) -> str:
    """Text as HTML; line breaks are seen and break the line."""
    return html.escape(text.translate(CONTROLS)).replace("⏎", "⏎<br>")


def _details(token: Token, place: int) -> str:
    numbers = [f"{token.probability:.2%}", f"{token.surprisal:.2f} bits"]
    numbers += [] if token.processed == token.logprob else [f"{math.exp(token.processed):.2%} after the processors"]
    numbers += [f"rank {token.rank}"] if token.rank is not None else []
    if token.entropy is not None and token.effective is not None:
        numbers += [f"entropy {token.entropy:.2f} bits", f"{token.effective:.1f} effective choices"]
    unit = "word" if token.parts else "token"
    lines = [f"<span><b>{html.escape(marked(token.text))}</b> {unit} {place}</span>", f"<span>{' · '.join(numbers)}</span>"]
    for part in token.parts if len(token.parts) > 1 else ():
        share = f'<span class="alt" style="--p: {part.probability:.1%}">'
        lines.append(f"{share}<span>{html.escape(marked(part.text))}</span><span>{part.probability:.2%}</span></span>")
    for c in token.alternatives:
        came = " came" if c.token == token.token else ""
        share = f'<span class="alt{came}" style="--p: {c.probability:.1%}">'
        lines.append(f"{share}<span>{html.escape(marked(c.text))}</span><span>{c.probability:.2%}</span></span>")
    return "".join(lines)
