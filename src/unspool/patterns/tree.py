"""A regular expression of Python's `re` as a tree, read by the standard library's own parser: one shape for all versions.

Flags are settled at the leaves; groups that nothing asks of have left no trace. These kinds of node are all there is:

    Character   Anchor   Sequence   Either   Repeat   Atomic   Lookaround   Recall
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from typing import Any

PACKAGE = ("re._parser", "re._compiler") if sys.version_info >= (3, 11) else ("sre_parse", "sre_compile")
parser, compiler = map(import_module, PACKAGE)
KINDS = re.ASCII | re.UNICODE | re.LOCALE
"""Flags of which one replaces the others."""

ANCHORS = {
    "AT_BEGINNING_STRING": r"(?<![\s\S])",
    "AT_BEGINNING": r"(?<![\s\S])",
    "AT_BEGINNING_LINE": r"(?<![^\n])",
    "AT_END_STRING": r"(?![\s\S])",
    "AT_END": r"(?=\n?(?![\s\S]))",
    "AT_END_LINE": r"(?![^\n])",
    "AT_BOUNDARY": r"(?<=\w)(?!\w)|(?<!\w)(?=\w)",
    "AT_NON_BOUNDARY": r"(?<=\w)(?=\w)|(?<!\w)(?=\W)|(?<=\W)(?!\w)",     # none in a text without characters
}
"""What each anchor asks of the characters beside it."""


@dataclass(frozen=True)
class Character:
    """One character out of some: the parser's operation and its argument, under these flags."""

    operation: str
    argument: Any
    flags: int

    @cached_property
    def matches(self) -> Callable[[str], bool]:
        """Whether a character is one of them; `re` itself is asked."""
        state = parser.State()
        state.flags = self.flags
        item = (getattr(parser, self.operation), list(self.argument) if self.operation == "IN" else self.argument)
        found = compiler.compile(parser.SubPattern(state, [item])).fullmatch
        return lambda character: found(character) is not None


@dataclass(frozen=True)
class Anchor:
    """A place, by the parser's name for it, under these flags."""

    kind: str
    flags: int

    @property
    def meaning(self) -> Sequence:
        """The same as lookarounds."""
        line = f"{self.kind}_LINE" if self.flags & re.MULTILINE else self.kind
        return tree(ANCHORS.get(line, ANCHORS[self.kind]), self.flags & re.ASCII)


@dataclass(frozen=True)
class Sequence:
    """One after another; every part of a pattern that holds others holds a sequence."""

    items: tuple[PatternNode, ...]
    least: int
    most: int
    """How many characters it matches at least and at most; without a bound, more than any text has."""


@dataclass(frozen=True)
class Either:
    """The first of these that leads to a match."""

    options: tuple[Sequence, ...]


@dataclass(frozen=True)
class Repeat:
    """As often as possible, or as seldom if lazy; if possessive, every round keeps its first match. most: None without a bound."""

    body: Sequence
    least: int
    most: int | None
    lazy: bool = False
    possessive: bool = False


@dataclass(frozen=True)
class Atomic:
    """The first match alone: what follows it cannot ask for another."""

    body: Sequence


@dataclass(frozen=True)
class Lookaround:
    """Whether something matches from here on, or up to here if not ahead; wanted: or whether it does not."""

    ahead: bool
    wanted: bool
    body: Sequence


@dataclass(frozen=True)
class Recall:
    """What depends on an earlier group: its text again, or one of two patterns by whether it took part."""

    group: int
    options: tuple[Sequence, ...]


PatternNode = Character | Anchor | Sequence | Either | Repeat | Atomic | Lookaround | Recall


@lru_cache(maxsize=256)
def tree(pattern: str, flags: int = 0) -> Sequence:
    """The tree of a pattern; `re.error` if it is none."""
    parsed = parser.parse(pattern, flags)
    return _sequence(parsed, parsed.state.flags)


def walk(node: PatternNode) -> Iterator[PatternNode]:
    """A node and all that it holds."""
    yield node
    parts: tuple[PatternNode, ...] = ()
    if isinstance(node, Sequence):
        parts = node.items
    elif isinstance(node, Either | Recall):
        parts = node.options
    elif isinstance(node, Repeat | Atomic | Lookaround):
        parts = (node.body,)
    for part in parts:
        yield from walk(part)


def _sequence(items: Any, flags: int) -> Sequence:
    return Sequence(tuple(_node(str(operation), argument, flags) for operation, argument in items), *items.getwidth())


def _node(operation: str, argument: Any, flags: int) -> PatternNode:
    if operation == "IN":
        return Character(operation, tuple(argument), flags)
    if operation in ("LITERAL", "NOT_LITERAL", "ANY"):
        return Character(operation, argument, flags)
    if operation == "FAILURE":
        return Either(())
    if operation == "BRANCH":
        return Either(tuple(_sequence(option, flags) for option in argument[1]))
    if operation == "SUBPATTERN":
        _, added, removed, body = argument
        return _sequence(body, (flags & ~KINDS if added & KINDS else flags) & ~removed | added)
    if operation in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, body = argument
        bound = None if most == parser.MAXREPEAT else int(most)
        return Repeat(_sequence(body, flags), least, bound, operation == "MIN_REPEAT", operation == "POSSESSIVE_REPEAT")
    if operation == "ATOMIC_GROUP":
        return Atomic(_sequence(argument, flags))
    if operation in ("ASSERT", "ASSERT_NOT"):
        return Lookaround(argument[0] >= 0, operation == "ASSERT", _sequence(argument[1], flags))
    if operation == "AT":
        return Anchor(str(argument), flags)
    if operation == "GROUPREF":
        return Recall(argument, ())
    assert operation == "GROUPREF_EXISTS", operation
    return Recall(argument[0], tuple(_sequence(option, flags) for option in argument[1:] if option is not None))
