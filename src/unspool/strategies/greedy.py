"""Greedy search: always the likeliest token."""

from __future__ import annotations

from dataclasses import dataclass

from unspool.core.frontier import Frontier
from unspool.core.strategy import Choice, Strategy


@dataclass(frozen=True)
class Greedy(Strategy):
    """Follow the likeliest token, argmax p(token | text); of equals the one with the lowest id."""

    aliases = ("greedy_search",)

    def choose(self, frontier: Frontier) -> Choice:
        return Choice(frontier.top(1)[1][:, 0], frontier.rows)

    def most_rows(self) -> int:
        return 1

    def most_texts(self) -> int:
        return 1
