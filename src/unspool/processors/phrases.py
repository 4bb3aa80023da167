"""Tokens and phrases as users name them: texts, token ids, tuples of token ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Ints, host
from unspool.core.processor import Rows
from unspool.errors import ParameterError, PartError, check, is_whole, plain

Phrase = str | int | tuple[int, ...]


def checked_phrases(name: str, given: Sequence[Any], example: str = "", whole: bool = False) -> tuple[Any, ...]:
    """Phrases, refused where they can be none. example: a call that is right; whole: whether a token id alone is no phrase."""
    phrases, example = tuple(map(plain, given)), example or f'{name}("very", 13)'
    kinds = "texts or tuples of token ids" if whole else "texts, token ids or tuples of token ids"
    check(len(phrases) > 0, f"{name} needs at least one phrase, as in {example}")
    for p in phrases:
        ok = (isinstance(p, str) and p != "") or (not whole and is_whole(p, 0))
        ok = ok or (isinstance(p, tuple) and len(p) > 0 and all(is_whole(t, 0) for t in p))
        check(ok, f"{name}() takes {kinds}, none empty, as in {example}; got {p!r}")
    return phrases


def several(given: Any) -> tuple[Any, ...]:
    """One token or several of them, as a tuple."""
    return tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)


def ids_in(phrases: Iterable[Any]) -> list[int]:
    """The token ids in phrases, those of texts not among them."""
    return [t for p in phrases if not isinstance(p, str) for t in ((p,) if isinstance(p, int) else p)]


def encoded(text: str, tokenizer: Any, name: str) -> list[int]:
    """The tokens of a text that a user gives; refused if the model lacks one that its tokenizer has."""
    ids: list[int] = tokenizer.encode(text)
    for t in ids:
        check(t < tokenizer.size, f"{name}: {text!r} is token {t} to the tokenizer, and this model's ids are 0 to {tokenizer.size - 1}")
    return ids


def phrases_of(given: Sequence[Phrase], tokenizer: Any, name: str) -> tuple[tuple[int, ...], ...]:
    """Token sequences of phrases; a text stands for itself at the start and, after a space, inside a text."""
    found: list[tuple[int, ...]] = []
    for phrase in given:
        if isinstance(phrase, str):
            variants = [phrase] if phrase[:1].isspace() else [phrase, " " + phrase]
            found += [tuple(encoded(v, tokenizer, name)) for v in variants]
        else:
            found.append((phrase,) if isinstance(phrase, int) else tuple(phrase))
    if any(not p for p in found):
        raise ParameterError(f"{name}: a phrase has no tokens in this tokenizer: {given!r}")
    return tuple(dict.fromkeys(found))


def ids_of(given: Iterable[str | int], tokenizer: Any, name: str) -> tuple[int, ...]:
    """Tokens given by id or as texts that are one token each."""
    ids: list[int] = []
    for t in given:
        found = [t] if isinstance(t, int) else encoded(t, tokenizer, name)
        check(len(found) == 1, f"{name}() takes texts of one token; {t!r} has {len(found)} in this tokenizer")
        ids += found
    return tuple(ids)


def known_ids(part: Any, ids: Any, vocabulary: int) -> Ints:
    """The token ids that a function of the user's gave, refused where the model has no such."""
    if not isinstance(ids, Iterable):
        raise PartError(f"{part}: the tokens that may come are a list of ids; got {ids!r:.60}")
    given = np.asarray(list(ids))
    if not len(given):
        return given.astype(np.int64)
    bad = (given < 0) | (given >= vocabulary) if given.dtype.kind in "iu" and given.ndim == 1 else np.ones(1, bool)
    if bad.any():
        first = given.reshape(-1)[int(bad.argmax())]
        raise PartError(f"{part}: there is no token {plain(first)!r}; this model's ids are 0 to {vocabulary - 1}")
    return given


def tokens_of(phrases: Sequence[Any], name: str) -> list[tuple[int, ...]]:
    """Phrases without texts as token sequences."""
    if any(isinstance(p, str) for p in phrases):
        raise ParameterError(f"{name}: texts need a tokenizer; decode with a LanguageModel, or give token ids")
    return [(p,) if isinstance(p, int) else tuple(p) for p in phrases]


def completing(rows: Rows, phrase: tuple[int, ...]) -> list[int]:
    """The rows whose text ends in all but the last token of a phrase."""
    tokens, head = host(rows.tokens), np.asarray(phrase[:-1], np.int64)
    if len(head) > tokens.shape[1]:
        return []
    return list(map(int, np.flatnonzero((tokens[:, tokens.shape[1] - len(head) :] == head).all(-1))))
