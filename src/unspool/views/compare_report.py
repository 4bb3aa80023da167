"""A comparison of decoders as one HTML page that needs nothing else: tables, pictures, texts side by side, all texts."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from unspool.errors import ParameterError
from unspool.views.characters import safe
from unspool.views.compare_files import html_tables
from unspool.views.compare_plot import axes_of
from unspool.views.compare_svg import FIGURE_STYLE, intervals, scatter
from unspool.views.page import page
from unspool.views.sheet import Sheet
from unspool.views.side_by_side import HOW, Pair, pairs

if TYPE_CHECKING:
    from unspool.lab.generations import Generation
    from unspool.lab.rows import Compared

PAIRS_SHOWN = 5
"""Prompts of each decoder whose texts stand side by side."""
REPORT_STYLE = (
    FIGURE_STYLE
    + """
.unspool h3 { font-size: 1rem; margin: 1rem 0 .2rem; overflow-wrap: anywhere; } .unspool p { overflow-wrap: anywhere; }
.unspool .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: .5rem 2rem; }
.unspool .pair div { border-left: 3px solid var(--line); padding-left: .6rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.unspool details { margin: .3rem 0; } .unspool summary { overflow-wrap: anywhere; cursor: pointer; }
.unspool details td { overflow-wrap: anywhere; min-width: 4rem; }
@media (max-width: 30rem) { body.unspool { margin: 1rem auto; } .unspool th, .unspool td { padding: .3rem .5rem; } }
"""
)


def to_page(c: Compared, x: str | None = None, y: str | None = None) -> str:
    """The report; x and y: the metrics of the picture with two axes."""
    return page("Decoders compared by unspool", *html_tables(c), *_pictures(c, x, y), *_pairs(c), *_texts(c), style=REPORT_STYLE)


def _pictures(c: Compared, x: str | None, y: str | None) -> list[str]:
    said = '<p class="faint">Points and 95 % intervals over prompts; dotted: human text.</p>'
    parts = [f'<h2>Pictures</h2>\n{said}\n<div class="figures">\n']
    try:
        parts.append(scatter(c, *axes_of([m.name for m in c.metrics], x, y)))
    except ParameterError:                                                # one metric alone has no picture with two axes
        if x is not None or y is not None:
            raise
    return [*parts, *(intervals(c, metric) for metric in c.metrics), "</div>\n"]


def _pairs(c: Compared) -> list[str]:
    """Some texts of the first decoder beside those of each other."""
    parts = []
    for row in c.rows[1:]:
        parts.append(f"<h2>{_escaped(c.rows[0].name)} beside {_escaped(row.name)}</h2>\n")
        parts += [_pair(pair) for pair in pairs(c, row.name)[:PAIRS_SHOWN]]
    return [f'<p class="faint">Texts side by side, {HOW}.</p>\n', *parts] if parts else []


def _pair(pair: Pair) -> str:
    both = "".join(f'<div><span class="faint">{_escaped(g.decoder)}</span>\n{_escaped(g.text)}</div>' for g in (pair.first, pair.second))
    return f'<h3>{_escaped(pair.prompt)}</h3>\n<div class="pair">{both}</div>\n'


def _texts(c: Compared) -> list[str]:
    """Every prompt, to be opened, with its texts by decoder."""
    parts = ["<h2>Texts</h2>\n"]
    by_prompt: dict[str, list[Generation]] = {}
    for g in c.generations:
        by_prompt.setdefault(g.prompt, []).append(g)
    for prompt, mine in by_prompt.items():
        lines = [[g.decoder, str(g.seed), f"no text: {g.failure}" if g.failure else safe(g.text)] for g in mine]
        parts.append(f"<details><summary>{_escaped(prompt)}</summary>\n")
        parts.append(f'<div class="wide">{Sheet(["decoder", "seed", "text"], lines).to_html()}</div></details>\n')
    return parts


def _escaped(text: str) -> str:
    return html.escape(safe(text))
