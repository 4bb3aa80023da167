"""The tree of a run: every hypothesis that was kept, pruned, finished or left, with its scores."""

from __future__ import annotations

import html
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from unspool.errors import MissingExtra, check
from unspool.record.trace import Trace
from unspool.text import unfinished, visible
from unspool.views.characters import shown
from unspool.views.page import LIGHT, fragment, literal, page, themed
from unspool.views.tree_html import TREE_STYLE, tree_html
from unspool.views.tree_nodes import FINISHED, KEPT, PRUNED, Node, score_text, walk
from unspool.views.tree_picture import PICTURE_STYLE, TreePicture


@dataclass
class Tree:
    """The tree of one prompt."""

    prompt: str
    roots: list[Node]
    decoder: str = ""
    died: bool = False
    """Whether no text came of it."""
    proofs: tuple[str, ...] = ()
    """What the search proved, in words."""

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
            drafted = [0] * len(step) if step.drafted is None else step.drafted
            columns = (step.parents, step.nodes, step.tokens, step.logprob, step.score, step.reason, drafted)
            for parent, number, token, logprob, score, reason, guessed in zip(*columns, strict=True):
                state, why = FINISHED if reason else KEPT, str(reason) or "drafted" * int(guessed)
                node = Node(text_of(int(parent), int(token)), int(token), float(logprob), float(score), state, why)
                node.best = int(number) in best
                add(int(parent), node)
                made[int(number)] = node
                bytes_at[int(number)] = bytes_at.get(int(parent), start) + trace.tokens.get(int(token), b"")
            if pruned and step.dropped is not None:
                d = step.dropped
                for parent, token, score, why in zip(d["parents"], d["tokens"], d["score"], d["reason"], strict=True):
                    add(int(parent), Node(text_of(int(parent), int(token)), int(token), math.nan, float(score), PRUNED, str(why)))
        for h in trace.hypotheses[0]:
            if h.nodes and (last := made.get(h.nodes[-1])) and "chosen" in h.columns:        # over whole texts, after the steps' scores
                last.returned, last.score = True, h.score
        decoder, proofs = str(trace.recipe.get("decoder", "")), tuple(map(str, trace.certificates))
        tree = cls(visible(start), roots, decoder, not trace.hypotheses[0], proofs)
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
                    if node.returned and not first.returned:
                        first.returned, first.score = True, node.score
                    first.children += node.children
            return sorted(by_token.values(), key=lambda n: (not n.best, n.state == PRUNED))

        self.roots = merged(self.roots)
        for node, _, _ in self.walk():
            node.children = merged(node.children)

    def walk(self) -> Iterator[tuple[Node, int, Node | None]]:
        """Every node, its depth and its parent, from the top."""
        return walk(self.roots)

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
            return page(f"The tree of {self.decoder}", self._html(), style=TREE_STYLE)
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
        return self._picture().svg(themed("svg.unspool-tree") + PICTURE_STYLE)

    def to_png(self, scale: float = 2.0) -> bytes:
        """The picture in light colours, with `scale` pixels for each of its units; needs the extra "png"."""
        try:
            from resvg_py import svg_to_bytes
        except ImportError:
            raise MissingExtra("PNG needs resvg-py: pip install 'unspool[png]'; SVG needs nothing") from None
        picture = self._picture()
        size = scale * scale * picture.width * picture.height / 1e6
        check(size <= LARGEST, f"the picture would have {size:.0f} million pixels, and PNG is drawn up to {LARGEST}: use svg")
        return bytes(svg_to_bytes(svg_string=picture.svg(literal(PICTURE_STYLE, LIGHT)), zoom=scale, font_family="DejaVu Sans Mono"))

    def _repr_html_(self) -> str:
        return fragment(self._html(), style=TREE_STYLE)

    def _picture(self) -> TreePicture:
        return TreePicture(self.roots, shown(self.prompt), self.decoder)

    def _html(self) -> str:
        nodes = self.counts().total()
        return tree_html(self.roots, self.prompt, self.to_svg() if nodes <= MOST_DRAWN else "")


def _mermaid(text: str) -> str:
    return html.escape(text, quote=True).replace("`", "&#96;")


LARGEST = 50
"""Millions of pixels that a PNG has at most."""
MOST_DRAWN = 3000
"""Nodes of a tree whose page has the picture, too."""
