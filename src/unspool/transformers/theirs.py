"""Processors and stopping criteria of transformers, as `generate` shows them a text, among the parts of a decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Array, Flags, Ints, host, like
from unspool.core.processor import Processor, Rows
from unspool.core.stop import Stop
from unspool.errors import PartError, Unsupported, check
from unspool.processors.from_hf import FromHf


@dataclass(frozen=True)
class _Padded(FromHf):
    """One of their processors, which sees a prompt with the padding that it was given with."""

    name = "from_hf"
    width: int = 0
    fill: int = 0

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        tokens, lengths = padded(rows, self.width, self.fill)
        filled = Rows(like(tokens, scores), lengths, rows.prompt_lengths, rows.end_tokens, rows.uniforms)
        return super().process(filled, scores, memory)


@dataclass(frozen=True)
class _Allowed(Processor):
    """What a prefix_allowed_tokens_fn allows: it is called with the number of the prompt and the text so far."""

    name = "prefix_allowed_tokens_fn"
    function: Callable[[int, Any], Any]
    numbers: dict[tuple[int, ...], int]
    """Of every prompt its number."""
    width: int = 0
    fill: int = 0

    def __hash__(self) -> int:
        return id(self)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        import torch

        tokens, lengths = padded(rows, self.width, self.fill)
        out = torch.full_like(scores, -torch.inf)
        texts = host(rows.tokens)
        for i, (length, prompt) in enumerate(zip(rows.lengths.tolist(), rows.prompt_lengths.tolist(), strict=True)):
            own = tuple(texts[i, texts.shape[1] - length :][:prompt].tolist())
            text = torch.from_numpy(tokens[i, tokens.shape[1] - int(lengths[i]) :].copy()).to(scores.device)
            allowed = [int(token) for token in self.function(self.numbers[own], text)]
            check(bool(allowed), f"prefix_allowed_tokens_fn allows no token after {text.tolist()}")
            out[i, allowed] = scores[i, allowed]
        return out


@dataclass(frozen=True)
class _Criterion(Stop):
    """One of their stopping criteria, or several: called with (input_ids, scores), they answer for each row whether it is over."""

    name = "stop_criteria"
    function: Callable[..., Any]
    width: int = 0
    fill: int = 0

    def __str__(self) -> str:
        return f"stop_criteria({type(self.function).__name__})"

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[Any]) -> Flags:
        import torch

        texts, lengths = padded(rows, self.width, self.fill)
        over = np.zeros(len(tokens), bool)
        for i, (length, token) in enumerate(zip(lengths.tolist(), np.asarray(host(tokens)).tolist(), strict=True)):
            ids = torch.from_numpy(np.append(texts[i, texts.shape[1] - length :], token))[None]
            answer = self.function(ids if not hasattr(rows.tokens, "device") else ids.to(getattr(rows.tokens, "device")), None)  # noqa: B009
            found = np.asarray(host(answer)) if hasattr(answer, "shape") else np.asarray(answer)
            if found.size != 1:
                raise PartError(f"{self} answered {answer!r:.60} for one row; it answers for each row whether it is over")
            over[i] = bool(found.reshape(-1)[0])
        return over


def padded(rows: Rows, width: int, fill: int) -> tuple[Ints, Ints]:
    """The tokens (R, T) of rows with as much padding before them as makes their prompts so wide, and their lengths with it."""
    texts, lengths = np.asarray(host(rows.tokens)), np.asarray(rows.lengths)
    more = np.maximum(width - np.asarray(rows.prompt_lengths), 0)
    tokens = np.concatenate([np.full((len(texts), int(more.max(initial=0))), fill, np.int64), texts], 1) if more.any() else texts.copy()
    for i, length in enumerate((lengths + more).tolist()):
        row = tokens[i, tokens.shape[1] - length :]
        row[row < 0] = fill
    return tokens, lengths + more


def processor_of(theirs: Any, prompts: Sequence[Sequence[int]], width: int, fill: int) -> Processor:
    """A logits processor of the caller's, as `generate` would call it; prompts: those of the call, `width` wide with their padding."""
    function = getattr(theirs, "_prefix_allowed_tokens_fn", None)
    if function is None:
        return _Padded(theirs, width=width, fill=fill)
    numbers = {tuple(prompt): i for i, prompt in enumerate(prompts)}
    if len(numbers) < len(prompts):
        raise Unsupported("prefix_allowed_tokens_fn is told prompts by their number, and two of these are equal: give each once")
    return _Allowed(function, numbers, width, fill)


def stop_criteria(criteria: Any, *, width: int = 0, fill: int = 0) -> Stop:
    """Stopping criteria of transformers as a stop, which stands in a decoder: `un.Beam(4) | un.transformers.stop_criteria(criteria)`.

    criteria: one, or a list of them; each is called with (input_ids, scores), one row at a time, input_ids (1, T) with the token in
    question, and scores None, and answers with a tensor (1,) or a truth. Those of a list end a text where one of them does.
    """
    several = list(criteria) if isinstance(criteria, list | tuple) else [criteria]
    for one in several:
        check(callable(one), f"stop_criteria takes what is called with (input_ids, scores); got {one!r:.60}")
    if len(several) != 1:
        return _Criterion(_any_of(several), width, fill)
    return _Criterion(several[0], width, fill)


def _any_of(criteria: Sequence[Any]) -> Callable[[Any, Any], bool]:
    def any_of(input_ids: Any, scores: Any) -> bool:
        return any(bool(np.asarray(host(one(input_ids, scores))).any()) for one in criteria)

    return any_of
