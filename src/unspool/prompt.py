"""Prompts: a text, or token ids; and several of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from unspool.errors import PromptError, is_whole

Prompt: TypeAlias = str | Sequence[int]
"""A text, or its token ids: a list, a tuple or an array of whole numbers."""


def is_prompt(value: Any) -> bool:
    """Whether it is one prompt."""
    return isinstance(value, str) or (is_sequence(value) and len(value) > 0 and all(map(is_whole, value)))


def is_sequence(value: Any) -> bool:
    """Whether it is a list, a tuple or an array with an axis."""
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def several(value: Any) -> list[Any] | None:
    """The prompts of a list of prompts; None if it is one prompt. Anything else is refused."""
    if is_prompt(value):
        return None
    if not is_sequence(value):
        raise PromptError(f"a prompt is a text or a list of token ids, and a list of those is several prompts; got {value!r:.80}")
    if not len(value):
        raise PromptError("give at least one prompt; the list is empty")
    for i, one in enumerate(value):
        if not is_prompt(one) and not (is_sequence(one) and not len(one)):
            raise PromptError(f"prompt {i + 1} of the list is neither a text nor a list of token ids: {one!r:.80}")
    return list(value)
