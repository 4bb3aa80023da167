"""The tree as HTML that fits any screen: the best text, then a line for every run of its tokens, which opens to what else there was."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Iterator

from unspool.views.characters import safe, shown
from unspool.views.terminal import fit_right
from unspool.views.tree_nodes import FINISHED, KEPT, PRUNED, Node, came_to_none, score_text, walk

MOST_LINES = 5000
"""Lines beside those of the best text."""
PREVIEW = 80
"""Columns of what a closed line says about what is in it."""
WIDE_LINE = 40
"""Characters from which on a line's text takes the place of the preview, too, which then stands below."""
EXPLANATION = "log-prob: of the tokens of a line. score: of the text up to there, what it was ranked by."
ENDS = {FINISHED: "■ a finished text.", PRUNED: "✗ a candidate that was not taken."}
OF_RETURNED = "returned: chosen among the finished texts by its score."
TREE_STYLE = """
.unspool .tree-best { font-size: 1.15rem; line-height: 1.7; margin: 1rem 0 .3rem; max-width: 50rem; }
.unspool .tree-best .new { color: var(--best); }
.unspool .tree { margin: 1.2rem 0; border-top: 1px solid var(--line); }
.unspool .tree details { border: 0; padding: 0; margin: 0; }
.unspool .tree .row { display: grid; grid-template-columns: 1.1rem minmax(0, 2fr) minmax(0, 3fr) 4.2rem 4.2rem; column-gap: .6rem;
  align-items: baseline; align-content: center; min-height: 2.1rem; padding: .15rem .5rem;
  border-bottom: 1px solid var(--line); box-sizing: border-box; }
.unspool .tree summary { cursor: pointer; list-style: none; }
.unspool .tree summary::-webkit-details-marker { display: none; }
.unspool .tree summary::before { content: "▸"; color: var(--faint); text-align: center; }
.unspool .tree details[open] > summary::before { content: "▾"; }
.unspool .tree summary:hover, .unspool .tree summary:focus-visible { background: color-mix(in srgb, var(--bar) 45%, transparent); }
.unspool .tree div.row::before { content: attr(data-mark); color: var(--faint); text-align: center; }
.unspool .tree .w { overflow-wrap: anywhere; unicode-bidi: isolate; }
.unspool .tree .m { color: var(--faint); font-size: .9em;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; unicode-bidi: isolate; }
.unspool .tree details[open] > summary > .m { visibility: hidden; }
.unspool .tree .n { text-align: right; color: var(--faint); font-size: .9em; font-variant-numeric: tabular-nums; white-space: nowrap; }
.unspool .tree .best > .w { color: var(--best); font-weight: 650; } .unspool .tree .pruned > .w { color: var(--faint); }
.unspool .tree small { color: var(--faint); font-weight: 400; margin-left: .4em; }
.unspool .tree .long > .w { grid-column: 2 / 4; } .unspool .tree .long > .m { grid-column: 2 / -1; grid-row: 2; }
.unspool .tree .long > .m:empty { display: none; }
.unspool .tree .ways { margin-left: 1rem; border-left: 2px solid var(--bar); }
.unspool .tree .head > * { color: var(--faint); font-size: .85em; }
.unspool .tree .rest { color: var(--faint); font-size: .85em; padding: .35rem .5rem 0; margin: 0; }
.unspool .tree-picture summary { cursor: pointer; padding: .5rem 0; }
@media (pointer: coarse) { .unspool .tree .row { min-height: 44px; } .unspool .tree-picture summary { padding: .7rem 0; } }
@media (max-width: 40rem) {
  .unspool .tree .row { grid-template-columns: 1rem minmax(0, 1fr) 3.7rem 3.7rem; column-gap: .2rem; padding: .25rem .2rem; }
  .unspool .tree .m { grid-column: 2 / -1; grid-row: 2; }
  .unspool .tree .m:empty, .unspool .tree details[open] > summary > .m { display: none; }
  .unspool .tree .long::before { grid-column: 1; grid-row: 1; }
  .unspool .tree .long > .w { grid-column: 2 / -1; grid-row: 2; } .unspool .tree .long > .m { grid-row: 3; }
  .unspool .tree .long > .m + .n { grid-column: 3; grid-row: 1; } .unspool .tree .long > .n + .n { grid-column: 4; grid-row: 1; }
  .unspool .tree .ways { margin-left: .5rem; }
}
"""


def tree_html(roots: list[Node], prompt: str, picture: str) -> str:
    """The whole: the best text, the tree, and its picture as SVG, or "" where it is too large."""
    best = [node for node, _, _ in walk(roots) if node.best]
    text = f'<span class="new">{html.escape(safe("".join(n.text for n in best).rstrip()))}</span>' if best else ""
    counts = Counter(node.state for node, _, _ in walk(roots))
    words = [f"{counts[state]} {state}" for state in (KEPT, FINISHED, PRUNED) if counts[state]]
    words = words if best else [came_to_none(roots), *words]
    parts = [f'<p class="text tree-best"><span class="prompt">{html.escape(safe(prompt))}</span>{text}</p>']
    parts.append(f'<p class="faint">{" · ".join(words)}</p>')
    if roots:
        ends = [words for state, words in ENDS.items() if counts[state]] + [OF_RETURNED] * any(node.returned for node, _, _ in walk(roots))
        legend = " ".join([EXPLANATION, *ends])
        parts += ['<div class="tree">', *_Lines(roots).all(), "</div>", f'<p class="faint">{legend} A line with ▸ opens.</p>']
        if picture:
            parts.append(f'<details class="tree-picture"><summary>As a picture</summary><div class="wide">{picture}</div></details>')
        else:
            parts.append(f'<p class="faint">{counts.total()} nodes are too many for a picture here: -o svg draws it.</p>')
    return "\n".join(parts)


class _Lines:
    """The lines of a tree. A way goes on below its first line without moving to the right; what else there was is within the lines."""

    def __init__(self, roots: list[Node]) -> None:
        self.roots, self.left, self.sizes = roots, MOST_LINES, dict[int, int]()
        for node, _, _ in reversed(list(walk(roots))):
            self.sizes[id(node)] = 1 + sum(self.sizes[id(child)] for child in node.children)

    def all(self) -> Iterator[str]:
        yield '<div class="row head"><span>tokens</span><span class="m">what else there was</span>'
        yield '<span class="n">log-prob</span><span class="n">score</span></div>'
        yield from self.way(self.roots)

    def way(self, nodes: list[Node]) -> Iterator[str]:
        """The main way from here: of the best text if it comes through here, otherwise where most of the tree is."""
        while nodes and (main := self.main(nodes)).state != PRUNED:
            run = _run(main)
            others = [node for node in nodes if node is not main]
            more = " · ".join(node.label() for node in others)
            yield from self.line(run, more, f"instead of “{main.label()}”", self.others(others) if others else None)
            nodes = run[-1].children
        yield from self.others(nodes)

    def others(self, nodes: list[Node]) -> Iterator[str]:
        for i, node in enumerate(nodes):
            if self.left <= 0:
                yield f'<p class="rest">… and {sum(self.sizes[id(n)] for n in nodes[i:])} more nodes: -o json has all</p>'
                return
            run = _run(node)
            rest = run[-1].children
            yield from self.line(run, self.preview(rest), f"after “{run[-1].label()}”", self.way(rest) if rest else None)

    def line(self, run: list[Node], more: str, where: str, inside: Iterator[str] | None) -> Iterator[str]:
        """A run of tokens, and what it opens to."""
        self.left -= 1
        last = run[-1]
        text = shown("".join(n.text for n in run)) or "∅"
        kind = ("best" if last.best else last.state) + (" long" if len(text) > WIDE_LINE else "")
        mark = {FINISHED: "■", PRUNED: "✗"}.get(last.state, "")
        notes = " ".join(filter(None, [mark if inside else "", f"×{last.count}" if last.count > 1 else "", last.end()]))
        notes = f"<small>{html.escape(notes)}</small>" if notes else ""
        logprob = sum(node.logprob for node in run)                       # none is recorded of a candidate that was not taken
        numbers = ["" if math.isnan(logprob) else score_text(logprob), score_text(last.score)]
        cells = f'<span class="w">{html.escape(text)}{notes}</span><span class="m">{html.escape(fit_right(more, PREVIEW))}</span>'
        cells += "".join(f'<span class="n">{number}</span>' for number in numbers)
        if inside is None:
            yield f'<div class="row {kind}" data-mark="{mark}">{cells}</div>'
        else:
            yield f'<details><summary class="row {kind}">{cells}</summary><div class="ways"><p class="rest">{html.escape(where)}</p>'
            yield from inside
            yield "</div></details>"

    def main(self, nodes: list[Node]) -> Node:
        return min(nodes, key=lambda n: (not n.best, n.state == PRUNED, -self.sizes[id(n)]))

    def preview(self, nodes: list[Node]) -> str:
        """How the main way goes on."""
        text = ""
        while nodes and len(text) < PREVIEW:
            node = self.main(nodes)
            text += node.text
            nodes = node.children
        return "… " + shown(text) if text else ""


def _run(node: Node) -> list[Node]:
    """A token and those that follow it alone, in every row that came this way."""
    run = [node]
    while len(run[-1].children) == 1 and run[-1].state == KEPT:
        (child,) = run[-1].children
        if child.state == PRUNED or (child.count, child.best) != (node.count, node.best):
            break
        run.append(child)
    return run
