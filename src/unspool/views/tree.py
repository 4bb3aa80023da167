"""The tree of a run: every hypothesis that was kept, pruned, finished or left, with its scores."""

from __future__ import annotations

import html
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from unspool.errors import MissingExtra, check
from unspool.record.trace import Trace
from unspool.text import unfinished, visible
from unspool.views.characters import shown
from unspool.views.page import LIGHT, fragment, literal, page, themed
from unspool.views.terminal import display_width

KEPT, FINISHED, PRUNED = "kept", "finished", "pruned"


@dataclass
class Node:
    """A token in the tree, after its parent."""

    text: str
    token: int
    logprob: float
    """The model's own, of this token."""
    score: float
    """What the strategy ranked by, of the text up to here."""
    state: str
    """kept, finished or pruned."""
    why: str = ""
    """Why it finished or was pruned."""
    best: bool = False
    """Whether it lies on the best hypothesis."""
    count: int = 1
    """How many rows came this way: several where samples agree."""
    children: list[Node] = field(default_factory=list)

    def label(self) -> str:
        return shown(self.text) or "∅"

    def to_dict(self) -> dict[str, Any]:
        values = {k: v for k, v in vars(self).items() if k != "children"}
        return values | {k: None for k in ("logprob", "score") if not math.isfinite(values[k])}


@dataclass
class Tree:
    """The tree of one prompt."""

    prompt: str
    roots: list[Node]
    decoder: str = ""
    died: bool = False
    """Whether no text came of it."""

    @classmethod
    def from_trace(cls, trace: Trace, *, pruned: bool = True) -> Tree:
        """The tree of a trace of level "choices": pruned candidates are among what that level records."""
        trace.require("choices" if pruned else "tokens", "a tree")
        best = {n for found in trace.hypotheses for h in found[:1] for n in h.nodes}
        made: dict[int, Node] = {}
        bytes_at: dict[int, bytes] = {}
        start, roots = trace.bytes_of(trace.prompts[0]), list[Node]()

        def add(parent: int, node: Node) -> None:
            (made[parent].children if parent in made else roots).append(node)

        def text_of(parent: int, token: int) -> str:
            data = trace.tokens.get(token, b"")
            return visible(data, unfinished(bytes_at.get(parent, start))) if data else trace.names.get(token, "")

        for step in trace.steps:
            columns = (step.parents, step.nodes, step.tokens, step.logprob, step.score, step.reason)
            for parent, number, token, logprob, score, reason in zip(*columns, strict=True):
                state = FINISHED if reason else KEPT
                node = Node(text_of(int(parent), int(token)), int(token), float(logprob), float(score), state, str(reason))
                node.best = int(number) in best
                add(int(parent), node)
                made[int(number)] = node
                bytes_at[int(number)] = bytes_at.get(int(parent), start) + trace.tokens.get(int(token), b"")
            if pruned and step.dropped is not None:
                d = step.dropped
                for parent, token, score, why in zip(d["parents"], d["tokens"], d["score"], d["reason"], strict=True):
                    add(int(parent), Node(text_of(int(parent), int(token)), int(token), math.nan, float(score), PRUNED, str(why)))
        tree = cls(visible(start), roots, str(trace.recipe.get("decoder", "")), not trace.hypotheses[0])
        tree._overlay()
        return tree

    def _overlay(self) -> None:
        """Put nodes of the same token after the same text into one, with their count; best first, pruned ones last."""

        def merged(nodes: list[Node]) -> list[Node]:
            by_token: dict[tuple[int, bool], Node] = {}
            for node in nodes:
                first = by_token.setdefault((node.token, node.state == PRUNED), node)
                if first is not node:
                    first.count += node.count
                    first.best |= node.best
                    first.children += node.children
            return sorted(by_token.values(), key=lambda n: (not n.best, n.state == PRUNED))

        self.roots = merged(self.roots)
        for node, _, _ in self.walk():
            node.children = merged(node.children)

    def walk(self) -> Iterator[tuple[Node, int, Node | None]]:
        """Every node, its depth and its parent, from the top."""
        stack: list[tuple[Node, int, Node | None]] = [(n, 0, None) for n in reversed(self.roots)]
        while stack:
            node, depth, parent = stack.pop()
            yield node, depth, parent                                     # its children may be put in order before they are walked
            stack += [(c, depth + 1, node) for c in reversed(node.children)]

    def counts(self) -> Counter[str]:
        return Counter(node.state for node, _, _ in self.walk())

    def to_json(self) -> str:
        """The whole tree: nodes in the order of `walk`, each with the place of its parent in that order, null for a first token."""
        places: dict[int, int] = {}
        nodes: list[dict[str, Any]] = []
        for node, _, parent in self.walk():
            places[id(node)] = len(nodes)
            nodes.append({**node.to_dict(), "parent": None if parent is None else places[id(parent)]})
        return json.dumps({"prompt": self.prompt, "decoder": self.decoder, "nodes": nodes}, ensure_ascii=False)

    def to_dot(self) -> str:
        looks = {KEPT: "color=gray40", FINISHED: "color=black penwidth=2", PRUNED: "color=gray80 fontcolor=gray60 style=dashed"}

        def line(name: str, node: Node) -> str:
            look = "color=blue penwidth=2" if node.best else looks[node.state]
            text = f"{node.label()}\nscore {score_text(node.score)}"
            return f"  {name} [label={json.dumps(text, ensure_ascii=False)} {look}];"

        start = f"  root [label={json.dumps(shown(self.prompt), ensure_ascii=False)} shape=box];"
        return "digraph tree {\n  rankdir=LR;\n" + "\n".join([start, *self._graph(line, "  {} -> {};")]) + "\n}\n"

    def to_mermaid(self) -> str:
        def line(name: str, node: Node) -> str:
            kind = "best" if node.best else node.state
            return f'  {name}["{_mermaid(node.label())}<br>score {score_text(node.score)}"]:::{kind}'

        styles = [
            "classDef best stroke:#0b6bcb,stroke-width:3px",
            "classDef kept stroke:#555",
            "classDef finished stroke:#000,stroke-width:2px",
            "classDef pruned stroke:#bbb,color:#999,stroke-dasharray:4",
        ]
        lines = [f'  root["{_mermaid(shown(self.prompt))}"]', *self._graph(line, "  {} --> {}"), *("  " + s for s in styles)]
        return "flowchart LR\n" + "\n".join(lines) + "\n"

    def to_form(self, form: str) -> str:
        """One of svg, html, json, dot and mermaid."""
        if form == "html":
            return page(f"{self.decoder} after {shown(self.prompt)[-60:]!r}", f'<div class="wide">{self.to_svg()}</div>')
        forms = {"svg": self.to_svg, "json": self.to_json, "dot": self.to_dot, "mermaid": self.to_mermaid}
        return forms[form]()

    def _graph(self, draw: Callable[[str, Node], str], edge: str) -> Iterator[str]:
        names: dict[int, str] = {}
        for i, (node, _, parent) in enumerate(self.walk()):
            names[id(node)] = f"n{i}"
            yield draw(names[id(node)], node)
            yield edge.format(names[id(parent)] if parent else "root", names[id(node)])

    def to_svg(self) -> str:
        """A picture: tokens from left to right, the best hypothesis strong, pruned candidates faint; light or dark as the screen is."""
        return _Picture(self).svg(themed("svg.unspool-tree") + TREE_STYLE)

    def to_png(self, scale: float = 2.0) -> bytes:
        """The picture in light colours, with `scale` pixels for each of its units; needs the extra "png"."""
        try:
            from resvg_py import svg_to_bytes
        except ImportError:
            raise MissingExtra("PNG needs resvg-py: pip install 'unspool[png]'; SVG needs nothing") from None
        picture = _Picture(self)
        size = scale * scale * picture.width * picture.height / 1e6
        check(size <= LARGEST, f"the picture would have {size:.0f} million pixels, and PNG is drawn up to {LARGEST}: use svg")
        return bytes(svg_to_bytes(svg_string=picture.svg(literal(TREE_STYLE, LIGHT)), zoom=scale, font_family="DejaVu Sans Mono"))

    def _repr_html_(self) -> str:
        return fragment(f'<div class="wide">{self.to_svg()}</div>')


def score_text(value: float) -> str:
    """A score as shown."""
    return f"{value:.2f}" if math.isfinite(value) else "−∞"


def _mermaid(text: str) -> str:
    return html.escape(text, quote=True).replace("`", "&#96;")


class _Picture:
    """The layout of a tree: a column for each token, a line for each leaf."""

    COLUMN, LINE, MARGIN = 104, 34, 12

    def __init__(self, tree: Tree) -> None:
        self.tree, self.place = tree, dict[int, tuple[float, float]]()
        self.lead = 14 + 7.4 * min(28, len(shown(tree.prompt)))
        line = 0
        order = list(tree.walk())
        for node, depth, _ in order:
            if not node.children:
                self.place[id(node)] = (self.x(depth), self.y(line))
                line += 1
        for node, depth, _ in reversed(order):
            if node.children:
                places = [self.place[id(c)][1] for c in node.children]
                self.place[id(node)] = (self.x(depth), places[0])        # the first child goes straight on
        self.width = max((p[0] for p in self.place.values()), default=self.lead) + self.COLUMN
        self.height = self.y(max(line, 1)) - self.LINE / 2 + self.MARGIN

    def x(self, depth: int) -> float:
        return self.MARGIN + self.lead + 24 + depth * self.COLUMN

    def y(self, line: int) -> float:
        return self.MARGIN + self.LINE / 2 + line * self.LINE

    def svg(self, style: str) -> str:
        prompt = shown(self.tree.prompt)
        prompt = prompt if len(prompt) <= 28 else "…" + prompt[-27:]
        edges, nodes = [], [f'<text class="prompt" x="{self.MARGIN}" y="{self.y(0) + 4:g}">{html.escape(prompt)}</text>']
        for node, _, parent in self.tree.walk():
            x, y = self.place[id(node)]
            start = self.end_of(parent) if parent else (self.MARGIN + self.lead, self.y(0))
            kind = "best" if node.best else node.state
            middle = (start[0] + x) / 2
            line = f"M{start[0]:g} {start[1]:g}C{middle:g} {start[1]:g} {middle:g} {y:g} {x:g} {y:g}"
            edges.append(f'<path class="{kind}" d="{line}"/>')
            nodes.append(self._node(node, kind, x, y))
        title = html.escape(f"{self.tree.decoder} after {prompt!r}")
        size = f'viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" height="{self.height:g}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" class="unspool-tree" {size} role="img">'
        parts = [head, f"<title>{title}</title>", f"<style>\n{style}</style>", *edges, *nodes, "</svg>"]
        return "\n".join(parts) + "\n"

    def end_of(self, node: Node) -> tuple[float, float]:
        """Where the lines to a node's children begin."""
        x, y = self.place[id(node)]
        return x + 10 + 7.9 * max(display_width(self.caption(node)), 4), y

    def caption(self, node: Node) -> str:
        """A node's token, cut to its column, and how many rows came this way."""
        text = node.label()
        times = f" ×{node.count}" if node.count > 1 else ""
        return (text if len(text) <= 9 else text[:8] + "…") + times

    def _node(self, node: Node, kind: str, x: float, y: float) -> str:
        about = " · ".join(filter(None, [node.label(), f"score {score_text(node.score)}", node.why]))
        end = f'<circle class="end" cx="{self.end_of(node)[0]:g}" cy="{y:g}" r="3"/>' if node.state == FINISHED else ""
        return (
            f'<g class="{kind}"><title>{html.escape(about)}</title><text x="{x + 4:g}" y="{y:g}">{html.escape(self.caption(node))}</text>'
            f'<text class="score" x="{x + 4:g}" y="{y + 12:g}">{score_text(node.score)}</text>{end}</g>'
        )


LARGEST = 50
"""Millions of pixels that a PNG has at most."""
TREE_STYLE = """
svg.unspool-tree { background: var(--paper); color: var(--ink); font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.unspool-tree text { fill: var(--ink); white-space: pre; } .unspool-tree .score { font-size: 10px; opacity: .7; }
.unspool-tree path { fill: none; stroke: var(--edge); stroke-width: 1.2; } .unspool-tree .prompt { font-weight: bold; }
.unspool-tree .best text { fill: var(--best); font-weight: bold; } .unspool-tree path.best { stroke: var(--best); stroke-width: 2.4; }
.unspool-tree .pruned text { opacity: .45; } .unspool-tree path.pruned { stroke-dasharray: 3 4; opacity: .55; }
.unspool-tree .end { fill: var(--ink); }
"""
