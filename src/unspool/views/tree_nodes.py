"""What trees are made of: tokens with their scores, and what became of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from unspool.views.characters import shown

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
    """Why it finished or was pruned; drafted, if a draft had proposed it."""
    best: bool = False
    """Whether it lies on the best hypothesis."""
    count: int = 1
    """How many rows came this way: several where samples agree."""
    returned: bool = False
    """Whether a text that ends here was chosen among finished ones; its score is then the one it was chosen by."""
    children: list[Node] = field(default_factory=list)

    def label(self) -> str:
        return shown(self.text) or "∅"

    def end(self) -> str:
        """Why it ended, and whether it was then chosen."""
        return " ".join(filter(None, [self.why, "returned" * self.returned]))

    def to_dict(self) -> dict[str, Any]:
        values = {k: v for k, v in vars(self).items() if k != "children"}
        return values | {k: None for k in ("logprob", "score") if not math.isfinite(values[k])}


def walk(roots: list[Node]) -> Iterator[tuple[Node, int, Node | None]]:
    """Every node, its depth and its parent, from the top."""
    stack: list[tuple[Node, int, Node | None]] = [(n, 0, None) for n in reversed(roots)]
    while stack:
        node, depth, parent = stack.pop()
        yield node, depth, parent                                         # its children may be put in order before they are walked
        stack += [(c, depth + 1, node) for c in reversed(node.children)]


def came_to_none(roots: list[Node]) -> str:
    """What is said of a run without a text: that, and how far it came."""
    return f"no text came of it: nothing followed {'the last token of any branch' if roots else 'the prompt'}"


def score_text(value: float) -> str:
    """A score as shown."""
    return f"{value:.2f}" if math.isfinite(value) else "−∞"
