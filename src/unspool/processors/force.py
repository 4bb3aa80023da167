"""Processors that say which token comes at which place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from unspool.arrays import INF, Array, Ints, block, like, namespace
from unspool.core.decoder import Part
from unspool.core.processor import END_TOKENS, PROMPT_END, Processor, Rows
from unspool.errors import ParameterError, check, is_whole, plain
from unspool.processors.penalize import texts_in
from unspool.processors.phrases import checked_phrases, ids_in, ids_of, known_ids, tokens_of


@dataclass(frozen=True)
class Forced(Processor):
    """At these places come these tokens: pairs (place, token), a place counted in new tokens from 0.

    A token is an id or a text of one token. What earlier processors ruled out stays ruled out.
    """

    aliases = ("force_tokens",)
    pairs: tuple[tuple[int, str | int], ...]

    def __post_init__(self) -> None:
        given: Any = self.pairs
        try:
            pairs = plain(tuple((place, token) for place, token in (given.items() if isinstance(given, Mapping) else given)))
        except (TypeError, ValueError):
            raise ParameterError(f'forced(pairs) takes a dict or pairs such as {{0: "The", 1: 13}}; got {given!r}') from None
        object.__setattr__(self, "pairs", pairs)
        checked_phrases("forced", [token for _, token in pairs], 'forced({0: "The", 1: 13})')
        for place, token in pairs:
            check(is_whole(place, 0), f"forced(pairs) has places >= 0, counted in new tokens; got {place!r}")
            check(isinstance(token, str | int), f"forced(pairs) has one token at each place; got {token!r}")
        twice = len({place for place, _ in pairs}) < len(pairs)
        check(not twice, f"forced(pairs) has one token at each place; got {pairs!r}")

    def token_ids(self) -> Iterable[int]:
        return ids_in(token for _, token in self.pairs)

    def resolve(self, tokenizer: Any) -> Part:
        return Forced(tuple((place, ids_of([token], tokenizer, "forced")[0]) for place, token in self.pairs))

    def reads(self) -> Sequence[str]:
        return (PROMPT_END,)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        wanted = dict(zip((place for place, _ in self.pairs), tokens_of([t for _, t in self.pairs], "forced"), strict=True))
        return only(scores, [wanted.get(int(n)) for n in rows.generated])


@dataclass(frozen=True)
class ForcedBegin(Processor):
    """The first new token is this one, given by id or as a text of one token.

    certain: whether its score is then 0, the log-probability of what is certain; see forced_end.
    """

    aliases = ("forced_bos",)
    token: str | int
    certain: bool = False

    def __post_init__(self) -> None:
        checked_phrases("forced_begin", [self.token], 'forced_begin("The")')
        check(isinstance(self.token, str | int), f"forced_begin(token) takes one token; got {self.token!r}")
        check(isinstance(self.certain, bool), f"forced_begin(certain=...) is True or False; got {self.certain!r}")

    def token_ids(self) -> Iterable[int]:
        return ids_in([self.token])

    def resolve(self, tokenizer: Any) -> Part:
        return replace(self, token=ids_of([self.token], tokenizer, "forced_begin")[0])

    def reads(self) -> Sequence[str]:
        return (PROMPT_END,)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        (wanted,) = tokens_of([self.token], "forced_begin")
        kept = only(scores, [wanted if n == 0 else None for n in rows.generated])
        return certain(kept, (rows.generated == 0)[:, None] & np.isin(np.arange(scores.shape[-1]), wanted)) if self.certain else kept


class _Texts(Processor):
    """Certain texts, as a tree: the memory of a row is its place in it."""

    completes = True

    @property
    def _tree(self) -> Any:
        raise NotImplementedError

    def begin(self, prompt: Ints) -> Any:
        """The root of the tree; the prompt is not read."""
        return self._tree

    def advance(self, memories: Sequence[Any], tokens: Sequence[int], scores: Sequence[Array]) -> list[Any]:
        return [at.get(int(token), {}) for at, token in zip(memories, tokens, strict=True)]

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        places, ends = [self._tree] if memory is None else memory, list(rows.end_tokens)
        return only(scores, [[t for t in at if t is not None] + (ends if None in at else []) for at in places])

    def complete(self, memories: Sequence[Any]) -> Any:
        return np.asarray([at.keys() == {None} for at in memories], bool)

    def whole(self, memories: Sequence[Any]) -> Any:
        """Whether one of the texts ends here."""
        return np.asarray([None in at for at in memories], bool)


@dataclass(frozen=True)
class PrefixConstrained(_Texts):
    """Only tokens that a function of the text allows, or only these continuations.

    allowed: a function from the text's tokens, prompt included, to the token ids that may come next; or the texts or tuples of
    token ids of which one, token for token, is what comes after the prompt, as of choice. De Cao et al. 2021, arXiv 2010.00904.
    """

    aliases = ("prefix_allowed_tokens",)
    allowed: Callable[[list[int]], Iterable[int]] | tuple[str | tuple[int, ...], ...]

    @property
    def stateful(self) -> bool:  # type: ignore[override]
        """Whether it is given texts, of which each row has its place."""
        return not callable(self.allowed)

    @property
    def completes(self) -> bool:  # type: ignore[override]
        """Whether it knows where a text is whole: not if a function says what may come."""
        return not callable(self.allowed)

    def __post_init__(self) -> None:
        if callable(self.allowed):
            return
        what = "prefix_constrained(allowed) takes a function of the tokens so far, or texts or tuples of token ids"
        given: Any = self.allowed
        check(isinstance(given, Sequence) and not isinstance(given, str), f"{what}; got {given!r}")
        example = 'prefix_constrained(("yes", "no"))'
        found = checked_phrases("prefix_constrained", [tuple(s) if isinstance(s, list) else s for s in given], example, whole=True)
        object.__setattr__(self, "allowed", found)

    def token_ids(self) -> Iterable[int]:
        return () if callable(self.allowed) else ids_in(self.allowed)

    def resolve(self, tokenizer: Any) -> Part:
        if callable(self.allowed):
            return self
        sequences = [tuple(tokenizer.encode(s)) if isinstance(s, str) else s for s in self.allowed]
        for given, sequence in zip(self.allowed, sequences, strict=True):
            check(len(sequence) > 0, f"prefix_constrained: {given!r} has no tokens in this tokenizer")
        return PrefixConstrained(tuple(sequences))

    def reads(self) -> Sequence[str]:
        return () if callable(self.allowed) else (END_TOKENS,)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if callable(self.allowed):
            return only(scores, [known_ids(self, self.allowed(text.tolist()), scores.shape[-1]) for text in texts_in(rows, "all")])
        return super().process(rows, scores, memory)

    @cached_property
    def _tree(self) -> Any:
        texts: Any = self.allowed
        if any(isinstance(s, str) for s in texts):
            raise ParameterError("prefix_constrained: texts need a tokenizer; decode with a LanguageModel, or give token ids")
        return tree_of(texts)


@dataclass(frozen=True, init=False)
class OneOf(_Texts):
    """Only these texts, token for token: what comes after the prompt is one of them, and then an end token.

    texts: texts or tuples of token ids, or one list of them; choice("yes", "no"), or choice(["yes", "no"]). A text is spelled as its
    tokens alone are. Where one is the beginning of another, an end token or what makes it the other may come; without end tokens a text
    ends once nothing can follow, and so the shorter one never does. Each row knows its place in the tree of texts (a trie), so that wide
    beams cost little. The tokens that are left are probabilities again, unless the strategy is told otherwise: exact(renormalise=False)
    after log_softmax, or exact(among=...) without this processor, ranks by the model's own. De Cao et al. 2021, arXiv 2010.00904.
    """

    name = "choice"
    aliases = ("one_of",)
    variadic = True
    stateful = True
    texts: tuple[str | tuple[int, ...], ...]

    def __init__(self, *texts: Any) -> None:
        given: Any = texts
        if len(texts) == 1 and isinstance(texts[0], list | tuple) and not (texts[0] and all(is_whole(t) for t in texts[0])):
            given = texts[0]
        found = checked_phrases("choice", [tuple(text) if isinstance(text, list) else text for text in given], 'choice("yes", "no")', True)
        object.__setattr__(self, "texts", found)

    def token_ids(self) -> Iterable[int]:
        return ids_in(self.texts)

    def resolve(self, tokenizer: Any) -> Part:
        sequences = [tuple(tokenizer.encode(text)) if isinstance(text, str) else text for text in self.texts]
        for given, sequence in zip(self.texts, sequences, strict=True):
            check(len(sequence) > 0, f"choice: {given!r} has no tokens in this tokenizer")
        return OneOf(*sequences)

    def reads(self) -> Sequence[str]:
        return (END_TOKENS,)

    @cached_property
    def _tree(self) -> Any:
        if any(isinstance(text, str) for text in self.texts):
            raise ParameterError("choice: texts need a tokenizer; decode with a LanguageModel, or give token ids")
        return tree_of(self.texts)



def tree_of(sequences: Iterable[Any]) -> dict[Any, Any]:
    """Nested dicts from token to what may follow it; None marks the end of a sequence."""
    root: dict[Any, Any] = {}
    for sequence in sequences:
        at = root
        for token in sequence:
            at = at.setdefault(token, {})
        at[None] = {}
    return root


def certain(scores: Array, which: Any) -> Array:
    """Scores in which the tokens that are marked, (R, V), have the score 0, if they can come."""
    return namespace(scores).where(like(which, scores) & (scores > -INF), namespace(scores).zeros_like(scores), scores)


def only(scores: Array, wanted: Sequence[Sequence[int] | Ints | None]) -> Array:
    """Scores with everything blocked but each row's tokens; None leaves a row alone."""
    if all(tokens is None for tokens in wanted):
        return scores
    keep = np.zeros(tuple(scores.shape), bool)
    for r, tokens in enumerate(wanted):
        keep[r, slice(None) if tokens is None else tokens] = True
    return block(scores, like(keep, scores))
