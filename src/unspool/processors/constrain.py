"""Processors that forbid, force and favour tokens. A constraint may leave none: that hypothesis dies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from unspool.arrays import INF, Array, Ints, block, host, like, namespace
from unspool.core.decoder import Part
from unspool.core.processor import PROMPT_END, Processor, Rows
from unspool.errors import ParameterError, check, number
from unspool.processors.measures import limited
from unspool.processors.penalize import edit
from unspool.processors.phrases import Phrase, checked_phrases, completing, ids_in, ids_of, known_ids, phrases_of, tokens_of


@dataclass(frozen=True, init=False)
class Banned(Processor):
    """Never complete one of these phrases: texts, token ids, or tuples of token ids.

    A text is banned as it is tokenised alone and after a space; another spelling of it in tokens can still appear. Under a
    grammar such as `/(?s:.*)/ & ~/(?s:.*)very(?s:.*)/` the text itself cannot, however it is spelled.
    """

    aliases = ("bad_words",)
    variadic = True
    phrases: tuple[Phrase, ...]

    def __init__(self, *phrases: Phrase) -> None:
        object.__setattr__(self, "phrases", checked_phrases("banned", phrases))

    def token_ids(self) -> Iterable[int]:
        return ids_in(self.phrases)

    def resolve(self, tokenizer: Any) -> Part:
        return Banned(*phrases_of(self.phrases, tokenizer, "banned"))

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        sequences = tokens_of(self.phrases, "banned")
        cells = [(r, p[-1]) for p in sequences if p[-1] < scores.shape[-1] for r in completing(rows, p)]
        return edit(scores, cells, -INF)


@dataclass(frozen=True)
class Bias(Processor):
    """Add to the scores of tokens: pairs (phrase, amount); of a longer phrase the last token gains when the others precede it."""

    aliases = ("logit_bias",)
    pairs: tuple[tuple[Phrase, float], ...]

    def __post_init__(self) -> None:
        given: Any = self.pairs
        pairs = given.items() if isinstance(given, dict) else given
        try:
            pairs = tuple((tuple(p) if isinstance(p, list) else p, a) for p, a in pairs)
        except (TypeError, ValueError):
            raise ParameterError(f'bias(pairs) takes a dict or pairs such as {{"cat": 2.0, 13: -1.5}}; got {given!r}') from None
        checked_phrases("bias", [p for p, _ in pairs], 'bias({"cat": 2.0, 13: -1.5})')
        for _, amount in pairs:
            if amount != -INF:                                           # which bans
                number("an amount of bias()", amount)
        object.__setattr__(self, "pairs", tuple((p, float(a)) for p, a in pairs))

    def token_ids(self) -> Iterable[int]:
        return ids_in(p for p, _ in self.pairs)

    def resolve(self, tokenizer: Any) -> Part:
        return Bias(tuple((p, amount) for phrase, amount in self.pairs for p in phrases_of([phrase], tokenizer, "bias")))

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        amounts = np.zeros(tuple(scores.shape))
        for phrase, amount in zip(tokens_of([p for p, _ in self.pairs], "bias"), (a for _, a in self.pairs), strict=True):
            if phrase[-1] < scores.shape[-1]:
                amounts[completing(rows, phrase), phrase[-1]] += amount
        return scores + like(limited(amounts).astype(host(scores[:1, :1]).dtype), scores)


class _TokenSet(Processor):
    """Tokens given by id or as texts that are one token each."""

    variadic = True
    tokens: tuple[str | int, ...]

    def __init__(self, *tokens: str | int) -> None:
        found = checked_phrases(self.name, tokens)
        check(all(isinstance(t, str | int) for t in found), f"{self.name}() takes token ids or texts of one token; got {tokens!r}")
        object.__setattr__(self, "tokens", found)

    def token_ids(self) -> Iterable[int]:
        return ids_in(self.tokens)

    def resolve(self, tokenizer: Any) -> Part:
        return type(self)(*ids_of(self.tokens, tokenizer, self.name))

    def among(self, scores: Array) -> Array:
        """(V,), whether each token is one of them."""
        return like(np.isin(np.arange(scores.shape[-1]), tokens_of(self.tokens, self.name)), scores)


@dataclass(frozen=True, init=False)
class Allowed(_TokenSet):
    """Only these tokens, given by id or as texts that are one token; end tokens must be listed to be possible."""

    aliases = ("allowed_tokens",)
    tokens: tuple[str | int, ...]

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return block(scores, self.among(scores))


@dataclass(frozen=True, init=False)
class Suppress(_TokenSet):
    """None of these tokens, given by id or as texts that are one token."""

    aliases = ("suppress_tokens",)
    tokens: tuple[str | int, ...]

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return block(scores, ~self.among(scores))


@dataclass(frozen=True, init=False)
class SuppressAtBegin(_TokenSet):
    """None of these tokens as the first new one."""

    aliases = ("begin_suppress_tokens",)
    tokens: tuple[str | int, ...]

    def reads(self) -> Sequence[str]:
        return (PROMPT_END,)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return block(scores, ~self.among(scores) | like(rows.generated > 0, scores)[:, None])


@dataclass(frozen=True)
class RemoveInvalid(Processor):
    """Scores that are no numbers become impossible, and an infinite one the largest number there is.

    For what broken processors before it may give; a model whose own logits are not numbers is refused before any processor.
    """

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        xp = namespace(scores)
        return xp.where(xp.isnan(scores), -INF, xp.where(scores == INF, float(xp.finfo(scores.dtype).max), scores))


class States(Protocol):
    """States and the tokens they allow; states are immutable values."""

    def begin(self) -> Any:
        """The state before the first new token."""

    def advance(self, state: Any, token: int) -> Any:
        """The state after a token."""

    def allowed(self, state: Any) -> Sequence[int]:
        """The tokens that may come next."""


@dataclass(frozen=True)
class Automaton(Processor):
    """Only texts that a grammar accepts: each row has a state, which says what may come next."""

    stateful = True
    grammar: States

    def __post_init__(self) -> None:
        whole = all(callable(getattr(self.grammar, name, None)) for name in ("begin", "advance", "allowed"))
        check(whole, f"automaton(grammar) needs an object with begin, advance and allowed; got {self.grammar!r}")

    def begin(self, prompt: Ints) -> Any:
        """The grammar's first state; the prompt is not read."""
        return self.grammar.begin()

    def advance(self, memories: Sequence[Any], tokens: Sequence[int], scores: Sequence[Array]) -> list[Any]:
        return [self.grammar.advance(state, token) for state, token in zip(memories, tokens, strict=True)]

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        keep = np.zeros(tuple(scores.shape), bool)
        for r, state in enumerate(memory):
            keep[r, known_ids(self, self.grammar.allowed(state), keep.shape[1])] = True
        return block(scores, like(keep, scores))
