"""What a GGUF file says of its tokens: names, kinds, scores, and which of them begin and end texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unspool.errors import ModelError, is_whole
from unspool.models.pieces import CONTROL, NORMAL, UNKNOWN

KEY = "tokenizer.ggml."
ENDING = (
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>", "[EOT]", "<eos>",
    "<end_of_utterance>", "<\uff5cend\u2581of\u2581sentence\uff5c>",
)  # fmt: skip
"""Names of tokens that end what a model says, where they are control tokens: files name one or two of those that theirs has."""
SPECIAL_KINDS = ("bos", "eos", "eot", "eom", "unknown", "padding")
FOUND_BY_DEFAULT: Mapping[str, Mapping[str, int]] = {
    "gpt2": {"bos": 11, "eos": 11},
    "llama": {"bos": 1, "eos": 2, "unknown": 0},
    "t5": {"eos": 1, "unknown": 2, "padding": 0},
}
"""Special tokens by kind of tokenizer, where a file does not name them."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a file."""

    model: str
    """The kind of tokenizer: gpt2, llama, t5."""
    split: str
    names: list[str] = field(repr=False)
    kinds: tuple[int, ...] = field(repr=False)
    """Of each token, as SentencePiece numbers them."""
    special: Mapping[str, int]
    """Tokens by what they are for."""
    keys: Mapping[str, Any] = field(repr=False)

    @property
    def ends(self) -> list[int]:
        """The tokens that end a text."""
        named = [self.special[name] for name in ("eos", "eot", "eom") if name in self.special]
        wanted = frozenset(ENDING)
        more = [i for i, kind in enumerate(self.kinds) if kind == CONTROL and self.names[i] in wanted]
        return list(dict.fromkeys([*named, *more]))

    def flag(self, name: str, default: bool) -> bool:
        """A setting of the tokenizer's."""
        value = self.keys.get(KEY + name, default)
        if not isinstance(value, bool):
            raise ModelError(f"{KEY}{name} is {value!r:.40}; it is true or false")
        return value

    def numbers(self, name: str) -> Any:
        """A number for each token."""
        return _numbers(self.keys, name, len(self.names))


def vocabulary_of(keys: Mapping[str, Any]) -> Vocabulary:
    """The tokens of a file, checked; an error names the key that is missing or does not fit."""
    model = keys.get(f"{KEY}model")
    if not isinstance(model, str):
        raise ModelError(f"the file lacks the key {KEY}model, so it has no tokenizer; give one of your own")
    names = keys.get(f"{KEY}tokens")
    if not isinstance(names, list) or not names:
        raise ModelError(f"the file lacks the key {KEY}tokens, a list of texts, so it has no tokenizer; give one of your own")
    names = [name or f"[EMPTY_{i}]" for i, name in enumerate(names)]
    kinds = _numbers(keys, "token_type", len(names))
    held = tuple([NORMAL] * len(names) if kinds is None else kinds.tolist())
    if len(set(names)) < len(names):
        raise ModelError(f"{KEY}tokens names {_first_twice(names)!r:.60} twice")
    special = {name: i for name in SPECIAL_KINDS if (i := _special(keys, model, name, len(names))) is not None}
    if model != "gpt2" and "unknown" in special and UNKNOWN not in held:
        held = tuple(UNKNOWN if i == special["unknown"] else kind for i, kind in enumerate(held))
    return Vocabulary(model, str(keys.get(f"{KEY}pre") or ""), names, held, special, keys)


def _numbers(keys: Mapping[str, Any], name: str, count: int) -> Any:
    found = keys.get(KEY + name)
    if found is None:
        return None
    if not isinstance(found, np.ndarray) or len(found) != count:
        raise ModelError(f"{KEY}{name} does not have one number for each of the {count} tokens")
    return found


def _special(keys: Mapping[str, Any], model: str, name: str, count: int) -> int | None:
    """A special token; as llama.cpp does, one that there is not is passed over."""
    key = f"{KEY}{name}_token_id"
    value = keys.get(key, FOUND_BY_DEFAULT.get(model, {}).get(name))
    if value is not None and not is_whole(value):
        raise ModelError(f"{key} is {value!r:.40}; it is a whole number")
    return int(value) if value is not None and 0 <= value < count else None


def _first_twice(names: list[str]) -> str:
    return next(name for name, count in Counter(names).items() if count > 1)
