"""Conditions on a step, written as `entropy > 2 and position < 50`; read with `ast`, and nothing is evaluated but what stands here."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from unspool.arrays import Array, Flags, Floats, Ints, host, log_softmax, namespace, or_zero, summed
from unspool.errors import ParameterError, near
from unspool.processors.measures import entropy, total_of

FROM_SCORES: dict[str, Callable[[Array], Array]] = {}
"""Numbers of a distribution, (R, V) -> (R, 1)."""
FROM_TEXT = ("position", "loop")
"""Numbers of a text: how many new tokens there are; how often the phrase in which it ends stands there in a row."""
COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
LONGEST_PERIOD = 32
"""Tokens of the longest phrase of which `loop` sees that it is repeated."""


def varentropy(scores: Array) -> Array:
    """(R, 1), how much the surprise varies: the sum of p * (-log p - H)^2, in squared nats."""
    xp, logprobs = namespace(scores), log_softmax(scores)
    apart = xp.where(logprobs > -np.inf, or_zero(logprobs) + entropy(scores), xp.zeros_like(logprobs))
    return summed(xp.exp(logprobs) * apart * apart)


def top_probability(scores: Array) -> Array:
    """(R, 1), the probability of the likeliest token; of a row that nothing may follow 0."""
    xp = namespace(scores)
    return xp.exp(xp.max(scores, axis=-1, keepdims=True) - total_of(scores))


FROM_SCORES |= {"entropy": entropy, "varentropy": varentropy, "top_probability": top_probability}


@dataclass(frozen=True)
class Condition:
    """A condition that was read: what it asks for, and how to tell whether it holds."""

    measures: frozenset[str]
    tree: ast.expr

    @property
    def reads_scores(self) -> bool:
        """Whether it asks for numbers of the distribution."""
        return any(name in FROM_SCORES for name in self.measures)

    def holds(self, count: int, value: Callable[[str], Floats]) -> Flags:
        """For each of `count` rows, whether it holds; value: the numbers (R,) of a measure."""
        known = {name: value(name) for name in self.measures}
        return np.array(np.broadcast_to(_holds(self.tree, known), count), bool)


def measured(scores: Array) -> Callable[[str], Floats]:
    """The numbers (R,) of the distributions in some rows, by name."""
    return lambda name: np.asarray(host(FROM_SCORES[name](scores)), np.float64)[:, 0]


@cache
def condition(text: str) -> Condition:
    """A condition from its text."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _wrong(text, "cannot be read") from None
    _check(text, tree)
    names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)) - {"always", "never"}
    return Condition(names, tree)


def _check(text: str, node: ast.expr) -> None:
    """Refuse what is no condition."""
    if isinstance(node, ast.BoolOp):
        for inner in node.values:
            _check(text, inner)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check(text, node.operand)
    elif isinstance(node, ast.Compare):
        for side in (node.left, *node.comparators):
            _check_side(text, side)
        if strange := [op for op in node.ops if type(op) not in COMPARED]:
            raise _wrong(text, f"compares by {type(strange[0]).__name__.lower()}, which is none of < <= > >= == !=")
    elif not (isinstance(node, ast.Name) and node.id in ("always", "never")):
        raise _wrong(text, f"has {ast.unparse(node)!r} where a comparison belongs")


def _check_side(text: str, node: ast.expr) -> None:
    known = (*FROM_SCORES, *FROM_TEXT)
    if isinstance(node, ast.Name):
        if node.id not in known:
            meant = near(node.id, known)
            raise _wrong(text, f"asks for {node.id!r}" + (f" (did you mean {' or '.join(meant)}?)" if meant else ""))
    elif _number(node) is None:
        raise _wrong(text, f"has {ast.unparse(node)!r} where a number or a measure belongs")


def _number(node: ast.expr) -> float | None:
    """A number with its sign, None for what is none."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inside = _number(node.operand)
        return None if inside is None else -inside
    known = isinstance(node, ast.Constant) and type(node.value) in (int, float)
    return float(node.value) if known else None  # type: ignore[attr-defined]


def _holds(node: ast.expr, known: dict[str, Floats]) -> Any:
    if isinstance(node, ast.BoolOp):
        some = np.broadcast_arrays(*(_holds(inner, known) for inner in node.values))
        return (np.logical_and if isinstance(node.op, ast.And) else np.logical_or).reduce(some)
    if isinstance(node, ast.UnaryOp):
        return ~np.asarray(_holds(node.operand, known))
    if isinstance(node, ast.Compare):
        sides = [known[side.id] if isinstance(side, ast.Name) else _number(side) for side in (node.left, *node.comparators)]
        pairs = zip(node.ops, sides, sides[1:], strict=False)
        return np.logical_and.reduce(np.broadcast_arrays(*(np.asarray(COMPARED[type(op)](a, b)) for op, a, b in pairs)))
    return np.asarray(isinstance(node, ast.Name) and node.id == "always")


def _wrong(text: str, what: str) -> ParameterError:
    known = ", ".join((*FROM_SCORES, *FROM_TEXT))
    example = '"entropy > 2 and position < 50"'
    return ParameterError(f"the condition {text!r} {what}; write comparisons of {known} with numbers, joined by and, or, not, as {example}")


@dataclass(frozen=True)
class Repeats:
    """The last tokens of a text, newest first, and for each distance how many tokens in a row equal the one so far before."""

    last: tuple[int, ...] = ()
    equal: tuple[int, ...] = ()

    def after(self, token: int) -> Repeats:
        """With one more token."""
        equal = tuple((self.equal[i] + 1 if i < len(self.equal) else 1) if t == token else 0 for i, t in enumerate(self.last))
        return Repeats((token, *self.last)[:LONGEST_PERIOD], equal)

    @property
    def count(self) -> int:
        """How often the phrase at the end stands there in a row; 1 where none is repeated."""
        return max((n // period + 1 for period, n in enumerate(self.equal, 1)), default=1)


def positions(known: Ints) -> Floats:
    """Whole numbers as the numbers of a measure."""
    return np.asarray(known, np.float64)
