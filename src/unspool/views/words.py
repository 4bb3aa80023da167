"""Which tokens of a text make up a word.

A word is what a reader of the text would point at: letters, digits and their marks, an apostrophe or a hyphen between letters, a point
between digits; punctuation that stands together is one by itself, and so are other signs. The space before a word is part of it, a line
break is not. Korean is split at its spaces. Chinese characters, kana and the letters of Thai, Lao, Khmer and Burmese, which are written
without spaces, stand alone. A word begins and ends where a token does: what one token holds is never divided, nor are the tokens that
spell one character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby

from unspool.views.heat_tokens import Span

ALONE = ("CJK ", "IDEOGRAPHIC ", "HIRAGANA ", "KATAKANA", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
"""How the names of letters begin that are written without spaces between words."""
WORD_OF_KINDS = re.compile(r"n+|s*(?:cm*|[wd](?:[wdm]|j(?=[wd])|(?<=d)p(?=d))*|[ojp][ojpm]*|y[ym]*|m+)|s+")
"""Over the kinds of characters, see `_kind`."""


def words_of(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """The spans of each word, in the order of the text; the name of a special token stands alone."""
    for special, some in groupby(spans, key=lambda span: span.special):
        if special:
            yield from ([span] for span in some)
        else:
            yield from _words(list(some))


def _words(spans: Sequence[Span]) -> Iterator[list[Span]]:
    within, before = _places("".join(span.text for span in spans))
    word, at = [spans[0]], len(spans[0].text)
    for span in spans[1:]:
        text = "".join(some.text for some in word)                        # none yet, where a character's first bytes stand alone
        if not text or at in within or (at in before and text.isspace()):
            word.append(span)
        else:
            yield word
            word = [span]
        at += len(span.text)
    yield word


def _places(text: str) -> tuple[set[int], set[int]]:
    """The places within words, and those within the space before words or at its end."""
    within, before = set[int](), set[int]()
    for found in WORD_OF_KINDS.finditer("".join(map(_kind, text))):
        start = found.start() + len(found[0]) - len(found[0].lstrip("s"))
        before.update(range(found.start() + 1, start + 1))
        within.update(range(start + 1, found.end()))
    return within, before


@cache
def _kind(character: str) -> str:
    """n a line break, s a space, c a letter that stands alone, w another letter, d a digit, m a mark, j what joins letters, p what joins
    digits, o other punctuation, y other signs."""
    category = unicodedata.category(character)
    if character.isspace():
        return "n" if character in "\n\r" else "s"
    if character in "'’-‐·":
        return "j"
    if character in ".,":
        return "p"
    if category[0] in "ML" or character == "\u200d":
        return "m" if category[0] != "L" else "c" if unicodedata.name(character, "").startswith(ALONE) else "w"
    return "d" if category[0] == "N" else "w" if character == "_" else "o" if category[0] == "P" else "y"
