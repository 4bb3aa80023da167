"""Ancestral sampling: draw every token from its distribution."""

from __future__ import annotations

from dataclasses import dataclass

from unspool.core.frontier import Frontier
from unspool.core.strategy import Choice, Strategy
from unspool.errors import whole
from unspool.record.step import Hypothesis


@dataclass(frozen=True)
class Sample(Strategy):
    """Draw n texts, token by token, from the distribution that the processors leave.

    The i-th text of a prompt is the same for every n, batch and order: its draws depend on the seed, the prompt, i and
    the step alone.
    """

    aliases = ("sampling",)
    n: int = 1

    def __post_init__(self) -> None:
        whole("sample(n)", self.n, 1)

    def begin(self, frontier: Frontier) -> Frontier:
        """Every prompt n times."""
        return frontier.fork(self.n, "text")

    def choose(self, frontier: Frontier) -> Choice:
        """Let each row go its own way."""
        u = frontier.uniform("sample")
        return Choice(frontier.draw(u), frontier.rows, columns={"text": frontier["text"]}, uniform=u)

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """In the order in which they were begun; first what ended before that."""
        return as_begun(finished)

    def most_rows(self) -> int:
        return self.n

    def most_texts(self) -> int:
        return self.n


def as_begun(finished: list[Hypothesis]) -> list[Hypothesis]:
    """Texts in the order of their numbers; first what ended before it had one."""
    return sorted(finished, key=lambda h: int(h.columns.get("text", -1)))
