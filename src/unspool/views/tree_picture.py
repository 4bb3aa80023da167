"""The picture of a tree: a column for each token, the best text straight along the top."""

from __future__ import annotations

import html

from unspool.views.terminal import display_width, fit_right
from unspool.views.tree_nodes import FINISHED, Node, score_text, walk


class TreePicture:
    """The layout: every node has the first line of its column, from its parent's line down, that is free. So a picture is no higher
    than its fullest column needs, and as all columns have the nodes in the same order, no two lines cross."""

    COLUMN, LINE, MARGIN, LETTERS = 112, 34, 12, 10

    def __init__(self, roots: list[Node], prompt: str, decoder: str) -> None:
        self.roots, self.decoder, self.place = roots, decoder, dict[int, tuple[float, float]]()
        self.prompt = prompt if len(prompt) <= 28 else "…" + prompt[-27:]
        self.lead = 14 + 7.9 * display_width(self.prompt)
        free: list[int] = []                                              # in each column, the line below all that stands there
        lines: dict[int, int] = {}
        for node, depth, parent in walk(roots):
            free += [0] * (depth + 1 - len(free))
            lines[id(node)] = line = max(free[depth], lines[id(parent)] if parent else 0)
            self.place[id(node)] = (self.x(depth), self.y(line))
            free[depth] = line + 1
        self.width = max((p[0] for p in self.place.values()), default=self.lead) + self.COLUMN
        self.height = self.y(max(free, default=1)) - self.LINE / 2 + self.MARGIN

    def x(self, depth: int) -> float:
        return self.MARGIN + self.lead + 24 + depth * self.COLUMN

    def y(self, line: int) -> float:
        return self.MARGIN + self.LINE / 2 + line * self.LINE

    def svg(self, style: str) -> str:
        edges: dict[bool, list[str]] = {False: [], True: []}              # the best on top
        nodes = [f'<text class="prompt" x="{self.MARGIN}" y="{self.y(0) + 4:g}">{html.escape(self.prompt)}</text>']
        for node, depth, parent in walk(self.roots):
            x, y = self.place[id(node)]
            kind = "best" if node.best else node.state
            edges[node.best].append(f'<path class="{kind}" d="{self.edge(parent, depth, x, y)}"/>')
            nodes.append(self._node(node, kind, x, y))
        title = html.escape(f"{self.decoder} after {self.prompt!r}")
        size = f'viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" height="{self.height:g}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" class="unspool-tree" {size} role="img">'
        parts = [head, f"<title>{title}</title>", f"<style>\n{style}</style>", *edges[False], *edges[True], *nodes, "</svg>"]
        return "\n".join(parts) + "\n"

    def end_of(self, node: Node) -> tuple[float, float]:
        """Where the lines to a node's children begin."""
        x, y = self.place[id(node)]
        return x + 10 + 7.9 * max(display_width(self.caption(node)), 4), y

    def edge(self, parent: Node | None, depth: int, x: float, y: float) -> str:
        """The line to a node: straight to where its parent's column ends, so that it crosses no text, then down to it."""
        left, top = self.end_of(parent) if parent else (self.MARGIN + self.lead, self.y(0))
        turn = self.x(depth) - 24
        return f"M{left:g} {top:g}H{x:g}" if top == y else f"M{left:g} {top:g}H{turn:g}C{x - 8:g} {top:g} {turn + 8:g} {y:g} {x:g} {y:g}"

    def caption(self, node: Node) -> str:
        """A node's token, cut to its column, and how many rows came this way."""
        times = f" ×{node.count}" if node.count > 1 else ""
        return fit_right(node.label(), self.LETTERS - len(times)) + times

    def _node(self, node: Node, kind: str, x: float, y: float) -> str:
        about = " · ".join(filter(None, [node.label(), f"score {score_text(node.score)}", node.end()]))
        end = f'<circle class="end" cx="{self.end_of(node)[0]:g}" cy="{y:g}" r="3"/>' if node.state == FINISHED else ""
        return (
            f'<g class="{kind}"><title>{html.escape(about)}</title><text x="{x + 4:g}" y="{y:g}">{html.escape(self.caption(node))}</text>'
            f'<text class="score" x="{x + 4:g}" y="{y + 12:g}">{score_text(node.score)}</text>{end}</g>'
        )


PICTURE_STYLE = """
svg.unspool-tree { background: var(--paper); color: var(--ink); font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.unspool-tree text { fill: var(--ink); white-space: pre; } .unspool-tree .score { font-size: 10px; opacity: .7; }
.unspool-tree path { fill: none; stroke: var(--edge); stroke-width: 1.2; } .unspool-tree .prompt { font-weight: bold; }
.unspool-tree .best text { fill: var(--best); font-weight: bold; } .unspool-tree path.best { stroke: var(--best); stroke-width: 2.4; }
.unspool-tree .pruned text { opacity: .45; } .unspool-tree path.pruned { stroke-dasharray: 3 4; opacity: .55; }
.unspool-tree .end { fill: var(--ink); }
"""
