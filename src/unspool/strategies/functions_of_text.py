"""Functions of the new text that strategies ask, and draws that ask one of few tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unspool.arrays import INF, Floats, Ints
from unspool.core.frontier import Frontier
from unspool.text import TextReader


@dataclass(frozen=True)
class OfText:
    """A function of text, for tokens."""

    function: Callable[[Any], Any]
    tokenizer: Any

    def __call__(self, prompt: Ints, new: tuple[int, ...]) -> Any:
        """What it says of new tokens after a prompt."""
        reader = TextReader(self.tokenizer)
        pieces, reading = reader.pieces(new, reader.begin(prompt.tolist()))
        return self.function("".join(pieces) + reader.rest(reading))


def of_text(function: Any, tokenizer: Any) -> Any:
    """A function as one of text, if there is one."""
    return function if function is None or isinstance(function, OfText) else OfText(function, tokenizer)


def new_tokens(frontier: Frontier, i: int) -> tuple[int, ...]:
    """The new tokens of the i-th row."""
    return tuple(frontier.tokens(i)[int(frontier.prompt_lengths[i]) :].tolist())


def told(function: Any, frontier: Frontier, i: int, new: tuple[int, ...]) -> Any:
    """What a function of the new text says."""
    return function(frontier.tokens(i)[: int(frontier.prompt_lengths[i])], new) if isinstance(function, OfText) else function(new)


def first_allowed(order: Ints, p: Floats, allows: Callable[[int], bool]) -> tuple[int, float]:
    """Of tokens in the order in which they are drawn without replacement the first that is allowed, and an estimate of log p(allowed).

    However the first came about, the estimate of p(allowed) is right on average: p of the first one, and, if the next one drawn is allowed,
    too, with all that was not drawn before it. Nothing is allowed: (a token, -inf).
    """
    left = 1.0
    for k, token in enumerate(order.tolist()):
        if p[token] <= 0:
            break
        left -= p[token]
        if allows(token):
            more = k + 1 < len(order) and p[order[k + 1]] > 0 and left > 0 and allows(int(order[k + 1]))
            return token, math.log(p[token] + left * more)
    return int(order[0]), -INF
