"""The small world of golden vectors: a vocabulary, and rows of logits with the tokens before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GOLDEN_VOCABULARY = (*"\n :\"*.", "<end>", *(f" {letter}" for letter in "abcdefghijklmnopq"))
"""The text of every token; the tokens of settings that are written as texts."""
GOLDEN_END = GOLDEN_VOCABULARY.index("<end>")


@dataclass(frozen=True)
class GoldenInput:
    """A row of logits (V,), and the tokens that stand before it. Every logit is a multiple of 1/8, so that JSON keeps it exactly."""

    prompt: tuple[int, ...]
    generated: tuple[int, ...]
    logits: tuple[float, ...]


def _of(prompt: str, generated: str, eighths: Sequence[int]) -> GoldenInput:
    assert len(eighths) == len(GOLDEN_VOCABULARY)
    return GoldenInput(_ids(prompt), _ids(generated), tuple(n / 8 for n in eighths))


def _ids(text: str) -> tuple[int, ...]:
    return tuple(GOLDEN_VOCABULARY.index(f" {letter}") for letter in text.split())


_PLAIN = (-9, -4, -21, -30, -26, -2, 6, 25, 31, 17, 12, -7, 28, 3, 9, -15, 20, -1, 14, -12, 23, 5, -18, 10)
GOLDEN_INPUTS = {
    "plain": _of("a b c a", "b d", _PLAIN),
    "start": _of("a b c", "", _PLAIN),
    "repeats": _of("a b c d e a b", "c d e a b c d",
                   (-9, -4, -21, -30, -26, -2, 6, 25, 31, 26, 22, 21, 28, 3, 9, -15, 20, -1, 14, -12, 23, 5, -18, 10)),
    "peaked": _of("b c", "a a",
                  (-40, -44, -61, -50, -46, -42, -36, 80, 24, 8, 2, -7, 12, 3, -9, -15, 5, -1, 4, -12, 10, -5, -18, 7)),
    "shifted": _of("a b c a", "b d", tuple(n + 8 * 512 for n in _PLAIN)),
    "flat": _of("c c", "f g", (1, 0, 2, 3, -1, 4, -2, 7, 5, 6, -3, -4, 8, -5, 9, -6, 10, -7, 11, -8, 12, -9, 13, -10)),
    "ties": _of("d", "a b", (-9, -9, -21, -30, -26, -2, 6, 25, 31, 17, 17, -7, 25, 17, 9, -15, 20, -1, 20, -12, 25, 17, -18, 10)),
}  # fmt: skip
"""ties: several tokens have the same logit, though no others than the likeliest one have the largest."""


class GoldenWords:
    """The tokenizer of the small world: the longest token that a text begins with comes first."""

    prefixes_space = False
    specials = frozenset({GOLDEN_END})
    size = len(GOLDEN_VOCABULARY)
    hash = "golden"

    def encode(self, text: str) -> list[int]:
        found = []
        while text:
            fits = [t for t, word in enumerate(GOLDEN_VOCABULARY) if t != GOLDEN_END and text.startswith(word)]
            if not fits:
                raise ValueError(f"no token of the golden vocabulary begins {text!r}")
            found.append(max(fits, key=lambda t: len(GOLDEN_VOCABULARY[t])))
            text = text[len(GOLDEN_VOCABULARY[found[-1]]) :]
        return found

    def encode_prompt(self, text: str) -> list[int]:
        return self.encode(text)

    def bytes_of(self, token: int) -> bytes:
        return b"" if token == GOLDEN_END else GOLDEN_VOCABULARY[token].encode()

    def name_of(self, token: int) -> str:
        return str(GOLDEN_VOCABULARY[token])
