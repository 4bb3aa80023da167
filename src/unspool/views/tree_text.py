"""The tree in a terminal: a line for each token, the text growing to the right."""

from __future__ import annotations

from collections.abc import Iterator

from unspool.views.terminal import Paint, display_width, fit_left, fit_right, safe, wrap
from unspool.views.tree import FINISHED, PRUNED, Node, Tree, number

LEGEND = "numbers: the score so far; of finished texts (■) the one they are ranked by; ✗: not taken"
LEAST = 24
"""Columns that a token and its numbers have at least; a deeper tree is shown from the right."""


def draw_tree(tree: Tree, width: int, paint: Paint, most: int = 400, plain: bool = False) -> str:
    """The tree; `plain` draws without box characters, `most` is how many lines there are at most (0: all)."""
    lines = [paint(fit_left(safe(tree.prompt).replace("\n", "⏎"), width) if width else safe(tree.prompt), "prompt")]
    for drawn, (lead, node) in enumerate(_branches(tree.roots, "", plain)):
        if most and drawn == most:
            rest = sum(1 for _ in tree.walk()) - drawn
            lines.append(paint(f"... and {rest} more nodes: -o json or -o svg has them all", "dim"))
            break
        lines.append(_line(lead, node, width, paint))
    counts = tree.counts()
    words = [f"{counts[state]} {state}" for state in ("kept", FINISHED, PRUNED) if counts[state]]
    notes = ["  ".join(words), LEGEND]
    return "\n".join([*lines, *(paint(note[i:j], "dim") for note in notes for i, j in wrap(note, width))]) + "\n"


def _branches(nodes: list[Node], lead: str, plain: bool) -> Iterator[tuple[str, Node]]:
    """Every node with what stands before it."""
    stack = [(lead, node, i + 1 == len(nodes)) for i, node in enumerate(nodes)][::-1]
    while stack:
        lead, node, last = stack.pop()
        fork, end, line = ("|- ", "`- ", "|  ") if plain else ("├─ ", "└─ ", "│  ")
        yield lead + (end if last else fork), node
        below = lead + ("   " if last else line)
        children = node.children
        stack += [(below, child, i + 1 == len(children)) for i, child in enumerate(children)][::-1]


def _line(lead: str, node: Node, width: int, paint: Paint) -> str:
    text = safe(node.label())
    numbers = number(node.score) + (f" ×{node.count}" if node.count > 1 else "") + (f" {node.why}" if node.why else "")
    mark = {FINISHED: "■ ", PRUNED: "✗ "}.get(node.state, "")
    if width:
        least = min(LEAST, width // 2)
        lead = lead if len(lead) + least <= width else "…" + lead[len(lead) - (width - least - 1) :]
        room = width - len(lead) - len(mark) - 2
        numbers = fit_right(numbers, max(4, room - min(display_width(text), room // 2)))
        text = fit_right(text, max(1, room - display_width(numbers)))
    style = "chosen" if node.best else "dim" if node.state == PRUNED else ""
    return paint(lead, "dim") + paint(mark + text, style) + "  " + paint(numbers, "dim")
