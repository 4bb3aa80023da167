"""What every model can be checked for, with nothing recorded of it: its numbers, its causality, its cache and its tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unspool.arrays import Floats, Ints, host
from unspool.core.model import ROOT
from unspool.text import TokenIds, begins_text, text_of

if TYPE_CHECKING:
    from unspool.language_model import LanguageModel

SAMPLE = "Once upon a time, there were 12 kings."
MOST_TRIED = 24
"""Tokens of the sample that go through the model."""
ROUNDING = {"float16": 2e-2, "bfloat16": 1e-1}
"""By how much logits that should be equal may differ, as a share of the largest; 1e-3 in float32."""


@dataclass(frozen=True)
class Check:
    """One fact: what is recorded or should be, what was found, and whether they agree."""

    fact: str
    recorded: str
    found: str
    ok: bool


def sound(lm: LanguageModel) -> Iterator[Check]:
    """A Check of each thing that holds of every causal language model, when it is known."""
    if hasattr(lm.model, "broken_weights"):
        broken = lm.model.broken_weights()
        said = f"NaN or infinity in {', '.join(broken[:3])}{f' and {len(broken) - 3} more' if len(broken) > 3 else ''}"
        yield Check("weights", "finite", said if broken else "finite", not broken)
    tokens = _tokens(lm)
    once = _logits(lm, tokens, at_once=True)
    bad = np.isnan(once).any(-1) | (once == np.inf).any(-1) | ~np.isfinite(once).any(-1)
    where = f"NaN or infinity after {int(bad.sum())} of {len(tokens)} tokens"
    yield Check("logits", "finite", where if bad.any() else "finite", not bad.any())
    near = ROUNDING.get(str(lm.info.get("dtype")), 1e-3)
    other = tokens.copy()
    other[-1] = (other[-1] + 1) % lm.model.vocabulary
    yield _equal("later tokens change what was predicted", "by nothing", once[:-1], _logits(lm, other, at_once=True)[:-1], near)
    yield _equal("token by token and at once", "equal", once, _logits(lm, tokens, at_once=False), near)
    yield _read_back(lm)


def _tokens(lm: LanguageModel) -> Ints:
    """Tokens to try the model on: of a sample, or the first ones where its tokenizer cannot read that."""
    try:
        tokens = lm.tokens_of(SAMPLE)
    except ValueError:
        tokens = list(range(min(lm.model.vocabulary, MOST_TRIED)))
    return np.asarray(tokens[: max(1, min(MOST_TRIED, lm.model.context - 1))], np.int64)


def _logits(lm: LanguageModel, tokens: Ints, at_once: bool) -> Floats:
    """(T, V), the logits after each token, all in one forward or each in its own."""
    session = lm.model.session()
    row = session.extend([ROOT], [tokens if at_once else tokens[:1]], True)
    for token in [] if at_once else tokens[1:]:
        row = session.extend(row, [[int(token)]])
    found: Floats = np.asarray(host(session.logits(session.nodes.path(int(row[0])))), np.float64)
    return found


def _equal(fact: str, wanted: str, one: Floats, other: Floats, near: float) -> Check:
    """A Check of logits that should be equal but for rounding; where both are the same infinity they are."""
    with np.errstate(invalid="ignore"):
        apart = np.where(one == other, 0.0, np.abs(one - other))
    scale = np.abs(one[np.isfinite(one)]).max(initial=1e-6)
    most = float(apart.max(initial=0.0)) / float(scale)
    ok = most <= near                                                     # NaN is not
    return Check(fact, wanted, wanted if ok else f"logits differ by {most:.2g} of the largest", ok)


def _read_back(lm: LanguageModel) -> Check:
    """A Check that the tokenizer's tokens are the model's and give a text back."""
    fact, size, vocabulary = "tokenizer", lm.tokenizer.size, lm.model.vocabulary
    if isinstance(lm.tokenizer, TokenIds):
        return Check(fact, "none", "none: text is token ids", True)
    try:
        tokens: Any = lm.tokenizer.encode_prompt(SAMPLE)
    except ValueError as error:
        return Check(fact, "reads texts", f"cannot read {SAMPLE!r}: {error}", False)
    text, first = text_of(lm.tokenizer, tokens), begins_text(lm.tokenizer, ())
    text = text[1:] if first and text.startswith(" ") else text
    outside = [t for t in tokens if not 0 <= t < vocabulary]
    ok = text == SAMPLE and not outside and size <= vocabulary
    return Check(fact, SAMPLE, f"token {outside[0]} of {vocabulary}" if outside else text, ok)
