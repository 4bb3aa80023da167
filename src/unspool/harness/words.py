"""Texts as the harness has them tokenised: with a start token or without, and what stands before and after texts."""

from __future__ import annotations

from typing import Any

from unspool.errors import ParameterError, check
from unspool.language_model import LanguageModel
from unspool.text import begins_text, text_of


class HarnessWords:
    """A model's tokenizer with the choices that lm_eval leaves to a model.

    tokenizer: that of transformers, if the caller gave one. add_bos: whether the start token stands before texts; as the tokenizer has it
    if not given. prefix: the token before a text that has no context.
    """

    def __init__(self, lm: LanguageModel, tokenizer: Any = None, add_bos: bool | None = None, prefix: int | None = None) -> None:
        self.lm, self.add_bos = lm, add_bos
        named = dict(getattr(lm.chat, "tokens", {}))
        start, end = (self._special(tokenizer, named, name) for name in ("bos_token", "eos_token"))
        self.end = end if end is not None else next(iter(lm.model.end_tokens), None)
        self.prefix = next((t for t in (prefix, start, end, lm.model.start, self.end) if t is not None), None)
        if prefix is not None:
            vocabulary = lm.model.vocabulary
            check(0 <= prefix < vocabulary, f"prefix_token_id={prefix} is no token of this model; its ids are 0 to {vocabulary - 1}")

    def _special(self, tokenizer: Any, named: dict[str, Any], name: str) -> int | None:
        """A special token by what it is for, as the model's files or its tokenizer say."""
        given = getattr(tokenizer, f"{name}_id", None)
        if given is not None:
            return int(given)
        return next((t for t in self.lm.tokenizer.specials if self.lm.tokenizer.name_of(t) == named.get(name)), None)

    def encode(self, text: str, special: bool | None = None) -> list[int]:
        """The tokens of a text at its beginning; special: whether the tokenizer's own special tokens stand before it.

        A text that begins with the start token's name, as one that a chat template made, gets no other.
        """
        tokens, begins = self.lm.tokenizer.encode_prompt(text), list(getattr(self.lm.tokenizer, "begins", ()))
        name = "" if self.prefix is None else self.lm.tokenizer.name_of(self.prefix)
        if special is None:
            special = False if name and text.startswith(name) else self.add_bos
            if special and not begins:
                return [self.before(), *tokens]
        return tokens[len(begins) :] if special is False else tokens

    def before(self) -> int:
        """The token before a text without a context."""
        if self.prefix is None:
            raise ParameterError("this model names no start or end token to stand before a text; give one by prefix_token_id=...")
        return self.prefix

    def decode(self, tokens: list[int]) -> str:
        """The text of tokens, without special ones."""
        return text_of(self.lm.tokenizer, tokens)

    def alone(self, text: str, prompt: list[int]) -> str:
        """What was generated after a prompt as a text of its own: lm_eval's answers begin without the space of a tokenizer that puts one
        before every text, though there the text goes on."""
        goes_on = self.lm.tokenizer.prefixes_space and not begins_text(self.lm.tokenizer, prompt)
        return text.removeprefix(" ") if goes_on else text
