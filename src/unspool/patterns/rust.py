"""A pattern of Python's `re` in the regex syntax of Rust, so that it accepts the texts that `re.fullmatch` accepts.

What is written has no flags, classes or escapes whose meaning the two could see differently: characters are ranges of code
points, and groups, alternatives and counts hold them together. Anchors are settled by where they stand: a part is written for
whether the text begins with it, and for what follows it up to the text's end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

import numpy as np

from unspool.patterns.tree import (
    Anchor,
    Atomic,
    Character,
    Either,
    Lookaround,
    PatternNode,
    Recall,
    Repeat,
    Sequence,
    compiler,
    parser,
    tree,
    walk,
)

Ranges = tuple[tuple[int, int], ...]
"""Code points from, to; ascending, apart from each other."""
HIGHEST = 0x10FFFF
NEWLINE = 10
NO_TEXT = r"[^\x{0}-\x{10FFFF}]"
"""Matches no text."""
NO_MORE, A_LINE, MORE = "nothing", "a newline", "more"
"""What may follow a part up to the end of the text."""
LONGEST_PATTERN = 1_000_000
"""Characters of what is written at most."""
BEGINNINGS, ENDINGS = ("AT_BEGINNING", "AT_BEGINNING_STRING"), ("AT_END", "AT_END_STRING")


class Unwritable(Exception):
    """This pattern asks for what only backtracking can tell; the message names it."""


@lru_cache(maxsize=64)
def written(pattern: str) -> str:
    """The pattern for Rust; `re.error` if it is none, `Unwritable` if it cannot be written."""
    root = tree(pattern)
    for node in walk(root):
        _refuse(node)
    try:
        found = Writer().whole((root,), True, NO_MORE)
    except RecursionError:
        raise Unwritable("a pattern that is nested so deep") from None
    return NO_TEXT if found is None else found


def _refuse(node: PatternNode) -> None:
    if isinstance(node, Lookaround):
        raise Unwritable("look-around")
    if isinstance(node, Recall):
        raise Unwritable("a reference to a group")
    if isinstance(node, Atomic):
        raise Unwritable("an atomic group")
    if isinstance(node, Repeat):
        if node.possessive:
            raise Unwritable("a possessive quantifier")
        if node.most not in (0, 1) and _holds(node.body, (*BEGINNINGS, *ENDINGS)):
            raise Unwritable("an anchor that is repeated")
    if isinstance(node, Anchor):
        if node.kind not in (*BEGINNINGS, *ENDINGS):
            raise Unwritable(r"a word boundary (\b, \B)")
        if node.flags & re.MULTILINE and not node.kind.endswith("_STRING"):
            raise Unwritable("an anchor at lines (^ or $ under the flag m)")


def _holds(node: PatternNode, kinds: tuple[str, ...]) -> bool:
    return any(isinstance(inner, Anchor) and inner.kind in kinds for inner in walk(node))


class Writer:
    """Writes parts: the items of a sequence, for whether the text begins with them (first) and what follows them (after).

    None stands for what matches nothing.
    """

    def __init__(self) -> None:
        self.whole, self.other, self.holds = cache(self._whole), cache(self._other), cache(_holds)

    # --- of which texts are they the match? ---------------------------------------------------------------------------

    def empty(self, items: tuple[PatternNode, ...], first: bool, after: str) -> bool:
        """Whether they match the empty text."""
        return all(self._empty(item, first, after) for item in items)

    def _empty(self, node: PatternNode, first: bool, after: str) -> bool:
        if isinstance(node, Anchor):
            if node.kind in BEGINNINGS:
                return first
            return after == NO_MORE or (after == A_LINE and node.kind == "AT_END")
        if isinstance(node, Repeat):
            return node.least == 0 or self.empty(node.body.items, first, after)
        if isinstance(node, Either):
            return any(self.empty(option.items, first, after) for option in node.options)
        return isinstance(node, Sequence) and self.empty(node.items, first, after)

    def newline(self, items: tuple[PatternNode, ...], first: bool, after: str) -> bool:
        """Whether they match a newline alone."""
        return any(
            self._newline(item, first, after)
            and self.empty(items[:i], first, A_LINE if after == NO_MORE else MORE)
            and self.empty(items[i + 1 :], False, after)
            for i, item in enumerate(items)
        )

    def _newline(self, node: PatternNode, first: bool, after: str) -> bool:
        if isinstance(node, Character):
            return any(low <= NEWLINE <= high for low, high in ranges(node))
        if isinstance(node, Repeat):
            once = node.most != 0 and self.newline(node.body.items, first, after)
            return once and (node.least <= 1 or self.empty(node.body.items, first, after))
        if isinstance(node, Either):
            return any(self.newline(option.items, first, after) for option in node.options)
        return isinstance(node, Sequence) and self.newline(node.items, first, after)

    # --- all that they match ------------------------------------------------------------------------------------------

    def _whole(self, items: tuple[PatternNode, ...], first: bool, after: str) -> str | None:
        done, begins = "", [False]
        for item in reversed(items):
            begins.append(begins[-1] or self.holds(item, BEGINNINGS))    # of so many last items
        for i, item in enumerate(items):
            head, rest, starts = items[i : i + 1], items[i + 1 :], begins[len(items) - i - 1]
            if self.holds(item, ENDINGS):
                return join(done, (self._parts if starts else self._before)(head, rest, first, after))
            if starts:
                passed = self.whole(rest, first, after) if self.empty(head, first, MORE) else None
                return join(done, union(join(self._some(head, first, MORE), self.whole(rest, False, after)), passed))
            one = self._one(item, first, after)
            if one is None:
                return None
            done = join(done, one) or ""
        return done

    def _before(self, head: tuple[PatternNode, ...], rest: tuple[PatternNode, ...], first: bool, after: str) -> str | None:
        """All of a head that asks what follows it, before a rest that does not ask what comes before."""
        line, one = A_LINE if after == NO_MORE else MORE, head[0]
        return union(
            self._one(one, first, after) if self.empty(rest, False, after) else None,
            join(self._one(one, first, line), literal(NEWLINE)) if self.newline(rest, False, after) else None,
            join(self._one(one, first, MORE), self.other(rest, False, after)),
        )

    def _parts(self, head: tuple[PatternNode, ...], rest: tuple[PatternNode, ...], first: bool, after: str) -> str | None:
        both = head + rest
        return union(
            "" if self.empty(both, first, after) else None,
            literal(NEWLINE) if self.newline(both, first, after) else None,
            self.other(both, first, after),
        )

    def _one(self, node: PatternNode, first: bool, after: str) -> str | None:
        """All that one item matches."""
        if isinstance(node, Character):
            return of_ranges(ranges(node))
        if isinstance(node, Anchor):
            return "" if self._empty(node, first, after) else None
        if isinstance(node, Either):
            return union(*(self.whole(option.items, first, after) for option in node.options))
        if isinstance(node, Repeat):
            return repeated(self.whole(node.body.items, first, after), node.least, node.most)
        assert isinstance(node, Sequence)
        return self.whole(node.items, first, after)

    # --- all but the empty text and a newline alone -------------------------------------------------------------------

    def _some(self, items: tuple[PatternNode, ...], first: bool, after: str) -> str | None:
        """All but the empty text."""
        return union(literal(NEWLINE) if self.newline(items, first, after) else None, self.other(items, first, after))

    def _other(self, items: tuple[PatternNode, ...], first: bool, after: str) -> str | None:
        if not items:
            return None
        if len(items) == 1:
            return self._other_one(items[0], first, after)
        head, rest = items[:1], items[1:]
        line = A_LINE if after == NO_MORE else MORE
        if not self._any(head, ENDINGS):
            empty, newline = self.empty(head, first, after), self.newline(head, first, after)
            same = not self._any(rest, BEGINNINGS)
            return union(
                join(self.other(head, first, after), self.whole(rest, False, after)),
                literal(NEWLINE) * 2 if newline and self.newline(rest, False, after) else None,
                join(literal(NEWLINE) + "?" if empty and same else literal(NEWLINE), self.other(rest, False, after)) if newline else None,
                self.other(rest, first, after) if empty and not (newline and same) else None,
            )
        newline = self.newline(rest, False, after)
        return union(
            self.other(head, first, after) if self.empty(rest, False, after) else None,
            self.other(rest, first, after) if self.empty(head, first, MORE) else None,
            join(self._some(head, first, line), literal(NEWLINE)) if newline else None,
            join(self._some(head, first, MORE), self.other(rest, False, after)),
        )

    def _other_one(self, node: PatternNode, first: bool, after: str) -> str | None:
        if isinstance(node, Character):
            return of_ranges(without_newline(ranges(node)))
        if isinstance(node, Either):
            return union(*(self.other(option.items, first, after) for option in node.options))
        if isinstance(node, Repeat):
            items = node.body.items
            if node.most == 1:
                return self.other(items, first, after)
            least = 0 if self.empty(items, first, after) else node.least
            several = repeated(self._some(items, first, after), max(least, 2), node.most) if node.most != 0 else None
            return union(self.other(items, first, after) if least <= 1 and node.most != 0 else None, several)
        return self.other(node.items, first, after) if isinstance(node, Sequence) else None

    def _any(self, items: Iterable[PatternNode], kinds: tuple[str, ...]) -> bool:
        return any(self.holds(item, kinds) for item in items)


# --- syntax -------------------------------------------------------------------------------------------------------------


def join(*parts: str | None) -> str | None:
    """One after another."""
    if any(part is None for part in parts):
        return None
    found = "".join(part for part in parts if part)
    if len(found) > LONGEST_PATTERN:
        raise Unwritable("a pattern that becomes so long")
    return found


def union(*parts: str | None) -> str | None:
    """One of these."""
    some = list(dict.fromkeys(part for part in parts if part is not None))
    return None if not some else some[0] if len(some) == 1 else join("(?:", "|".join(some), ")")


def repeated(part: str | None, least: int, most: int | None) -> str | None:
    """As often as from least to most."""
    if part is None or part == "" or most == 0:
        return "" if least == 0 or part == "" else None
    if (least, most) == (1, 1):
        return part
    count = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((least, most)) or f"{{{least},{'' if most is None else most}}}"
    return join("(?:", part, ")", count)


def literal(code: int) -> str:
    """One character."""
    return chr(code) if chr(code).isascii() and chr(code).isalnum() else f"\\x{{{code:X}}}"


def of_ranges(some: Ranges) -> str | None:
    """One character of these."""
    if not some:
        return None
    if len(some) == 1 and some[0][0] == some[0][1]:
        return literal(some[0][0])
    return "[" + "".join(literal(low) if low == high else f"{literal(low)}-{literal(high)}" for low, high in some) + "]"


def without_newline(some: Ranges) -> Ranges:
    """The same without the newline."""
    found: list[tuple[int, int]] = []
    for low, high in some:
        if low <= NEWLINE <= high:
            found += [(a, b) for a, b in ((low, NEWLINE - 1), (NEWLINE + 1, high)) if a <= b]
        else:
            found.append((low, high))
    return tuple(found)


@lru_cache(maxsize=1024)
def ranges(node: Character) -> Ranges:
    """The characters that one matches; where flags or classes have a say, `re` is asked for all there are."""
    if not node.flags & re.IGNORECASE:
        if node.operation == "LITERAL":
            return ((node.argument, node.argument),)
        if node.operation == "ANY":
            every = ((0, HIGHEST),)
            return every if node.flags & re.DOTALL else without_newline(every)
    state = parser.State()
    state.flags = node.flags
    item = (getattr(parser, node.operation), list(node.argument) if node.operation == "IN" else node.argument)
    many: Any = (parser.MAX_REPEAT, (1, parser.MAXREPEAT, parser.SubPattern(state, [item])))
    text = all_characters()
    found = compiler.compile(parser.SubPattern(state, [many])).finditer(text)
    return tuple((ord(text[match.start()]), ord(text[match.end() - 1])) for match in found)


@cache
def all_characters() -> str:
    """Every character that a text in UTF-8 may hold, in order."""
    return bytes(np.concatenate([np.arange(0xD800), np.arange(0xE000, HIGHEST + 1)]).astype("<u4")).decode("utf-32-le")
