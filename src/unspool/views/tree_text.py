"""The tree in a terminal: a line for each token, the text growing to the right."""

from __future__ import annotations

from collections.abc import Iterator

from unspool.views.characters import safe
from unspool.views.terminal import Paint, display_width, fit_left, fit_right, wrap
from unspool.views.tree import Tree
from unspool.views.tree_nodes import FINISHED, KEPT, PRUNED, Node, came_to_none, score_text

LEGEND = {KEPT: "numbers: the score so far", FINISHED: "of finished texts (■) the one they are ranked by", PRUNED: "✗: not taken"}
LEGEND_OF_RETURNED = "of returned texts (■ returned) the one they were chosen by"
LEAST_TEXT = 24
"""Columns that a token and its numbers have at least; a deeper tree is shown from the right."""


def draw_tree(tree: Tree, width: int, paint: Paint, most: int = 400) -> str:
    """The tree; `most` is how many lines there are at most (0: all)."""
    lines = [_prompt(tree, width, paint)]
    for drawn, (lead, node) in enumerate(_branches(tree.roots)):
        if most and drawn == most:
            rest = sum(1 for _ in tree.walk()) - drawn
            note = f"... and {rest} more nodes: -o json or -o svg has them all"
            lines += [paint(note[i:j], "dim") for i, j in wrap(note, width)]
            break
        lines.append(_line(lead, node, width, paint))
    if tree.died:
        words = came_to_none(tree.roots)
        lines += [paint(words[i:j], "bad") for i, j in wrap(words, width)]
    counts = tree.counts()
    ends = LEGEND | ({FINISHED: LEGEND_OF_RETURNED} if any(node.returned for node, _, _ in tree.walk()) else {})
    legend = "; ".join(words for state, words in ends.items() if counts[state] or (state == KEPT and counts))
    notes = [*_notes(tree, width, paint), *(paint(legend[i:j], "dim") for i, j in wrap(legend, width))] if counts else []
    return "\n".join([*lines, *notes]) + "\n"


def draw_growing_tree(tree: Tree, width: int, paint: Paint, height: int) -> str:
    """As much of a tree as fits a screen, around the end of its best text so far."""
    branches, notes = list(_branches(tree.roots)), _notes(tree, width, paint)
    room = max(1, height - 1 - len(notes))
    tip = max((i for i, (_, node) in enumerate(branches) if node.best), default=0)
    first = max(0, min(tip - room * 2 // 3, len(branches) - room))
    lines = [_line(lead, node, width, paint) for lead, node in branches[first : first + room]]
    return "\n".join([_prompt(tree, width, paint), *lines, *notes]) + "\n"


def _prompt(tree: Tree, width: int, paint: Paint) -> str:
    text = safe(tree.prompt).replace("\n", "⏎").replace("\t", "⇥")
    return paint(fit_left(text, width) if width else text, "prompt")


def _notes(tree: Tree, width: int, paint: Paint) -> list[str]:
    counts = tree.counts()
    words = "  ".join(f"{counts[state]} {state}" for state in (KEPT, FINISHED, PRUNED) if counts[state])
    return [paint(line[i:j], "dim") for line in (words, *tree.proofs) for i, j in wrap(line, width)]


def _branches(nodes: list[Node]) -> Iterator[tuple[str, Node]]:
    """Every node with what stands before it; an only child goes straight on below its parent."""
    stack = [("", node, i + 1 == len(nodes)) for i, node in enumerate(nodes)][::-1]
    while stack:
        lead, node, last = stack.pop()
        yield lead + ("└─ " if last else "├─ "), node
        lead += "   " if last else "│  "
        while len(node.children) == 1:
            (node,) = node.children
            yield lead, node
        stack += [(lead, child, child is node.children[-1]) for child in reversed(node.children)]


def _line(lead: str, node: Node, width: int, paint: Paint) -> str:
    text = safe(node.label())
    numbers = score_text(node.score) + (f" ×{node.count}" if node.count > 1 else "") + (f" {end}" if (end := node.end()) else "")
    mark = {FINISHED: "■ ", PRUNED: "✗ "}.get(node.state, "")
    if width:
        least = min(LEAST_TEXT, width // 2)
        lead = lead if len(lead) + least <= width else "…" + lead[len(lead) - (width - least - 1) :]
        room = width - len(lead) - len(mark) - 2
        numbers = fit_right(numbers, max(4, room - min(display_width(text), room // 2)))
        text = fit_right(text, max(1, room - display_width(numbers)))
    style = "chosen" if node.best else "dim" if node.state == PRUNED else ""
    return paint(lead, "dim") + paint(mark + text, style) + "  " + paint(numbers, "dim")
