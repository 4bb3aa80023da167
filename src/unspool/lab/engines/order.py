"""Which processors trade places without a difference, and which stand the other way round than an engine has them."""

from __future__ import annotations

from collections.abc import Sequence

from unspool.lab.engines.engine import Place

RESCALES = {"temperature", "repetition_penalty"}
ADDS = {"bias", "presence_penalty", "frequency_penalty", "dry"}
FORBIDS = {"banned", "allowed", "suppress", "suppress_at_begin", "min_new_tokens", "min_length"}
FORBIDS |= {"no_repeat_ngram", "encoder_no_repeat_ngram", "json_schema", "regex"}
"""Processors that trade places without a difference: those that only forbid with all three kinds, those that add with each other."""


def commute(one: str, other: str) -> bool:
    """Whether two processors trade places without a difference."""
    kinds = [next((i for i, some in enumerate((RESCALES, ADDS, FORBIDS)) if name in some), None) for name in (one, other)]
    if {one, other} == {"temperature", "top_k"}:
        return True
    if None in kinds:
        return False
    return 2 in kinds or kinds == [1, 1] or {one, other} == RESCALES


def inversions(order: Sequence[Place], placed: Sequence[Place]) -> list[tuple[str, str]]:
    """Pairs that stand the other way round than in the order, and may not."""
    at = {place.method: i for i, place in reversed(list(enumerate(order)))}
    known = [p for p in placed if p.method in at]
    pairs = [(a, b) for i, a in enumerate(known) for b in known[i + 1 :] if at[a.method] > at[b.method]]
    return [(a.method, b.method) for a, b in pairs if not commute(a.method, b.method)]
