"""The texts that a sweep reads: those that are given, or passages of the text that comes with the package."""

from __future__ import annotations

from collections.abc import Sequence

from unspool.errors import PromptError, check, option
from unspool.lab.quantization import held_out
from unspool.language_model import LanguageModel

PASSAGES = 40
"""Passages of the package's own text, at most."""
CONTEXT = 32
"""Tokens that stand before one of them."""
Passage = tuple[tuple[int, ...], tuple[int, ...]]
"""(tokens before, tokens that are read)"""


def passages_of(lm: LanguageModel, texts: Sequence[str | tuple[str, str]], most: int) -> list[Passage]:
    """Texts, or pairs of prompt and text, each cut to so many tokens."""
    found: dict[Passage, int] = {}
    for number, given in enumerate(texts, 1):
        prompt, text = ("", given) if isinstance(given, str) else given
        before, tokens = lm.tokens_of(prompt), lm.tokenizer.encode(text)[:most]
        if not tokens:
            raise PromptError(f"text {number} is empty; leave it out")
        check(bool(before), f"text {number} begins with nothing before it, and this model has no start token: give prompt, tab, text")
        length, room = len(before) + len(tokens), lm.model.context
        long = f"text {number} has {length} tokens with its prompt, and the model's context is {room}"
        check(length <= room + 1, f"{long}; {option('max_new_tokens')} cuts texts")
        first = found.setdefault((tuple(before), tuple(tokens)), number)
        check(first == number, f"text {number} is text {first} again, and would count twice; give it once")
    return list(found)


def own_passages(lm: LanguageModel, most: int) -> list[Passage]:
    """Passages of the held-out tales, each after what stands before it."""
    tokens = lm.tokens_of("") + lm.tokenizer.encode(held_out())
    room = min(most, max(1, lm.model.context - CONTEXT))
    starts = range(CONTEXT, len(tokens) - room + 1, room)
    none = f"the text that comes with unspool has no passage of {most} tokens"
    check(len(starts) > 0, f"{none}; give texts ({option('reference')}), or fewer tokens")
    stride = max(1, len(starts) // PASSAGES)
    return [(tuple(tokens[s - CONTEXT : s]), tuple(tokens[s : s + room])) for s in list(starts)[::stride][:PASSAGES]]
