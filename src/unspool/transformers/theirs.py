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
    """One of their stopping criteria: called with (input_ids, scores), it answers for each row whether it is over."""

    name = "stop_criteria"
    stateful = True
    function: Callable[..., Any]
    width: int = 0
    fill: int = 0
    device: Any = None

    def __str__(self) -> str:
        return f"stop_criteria({type(self.function).__name__})"

    def begin(self, prompt: Ints) -> tuple[int, ...]:
        """The prompt with its padding."""
        return (*[self.fill] * (self.width - len(prompt)), *prompt.tolist())

    def advance(self, memories: Sequence[tuple[int, ...]], tokens: Sequence[int], logits: Sequence[Array]) -> list[tuple[int, ...]]:
        return [(*text, int(token)) for text, token in zip(memories, tokens, strict=True)]

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[tuple[int, ...]]) -> Flags:
        import torch

        found = []
        for text in memory:
            answer = np.asarray(host(self.function(torch.tensor([text], device=self.device), None)))
            if answer.size != 1:
                raise PartError(f"{self} answered {answer.tolist()!r:.60} for one row; it answers for each row whether it is over")
            found.append(bool(answer.reshape(-1)[0]))
        return np.asarray(found, bool)


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


def criterion_of(criterion: Any, width: int, fill: int, device: Any) -> Stop:
    """A stopping criterion of the caller's, as `generate` would call it."""
    return _Criterion(criterion, width, fill, device)


def stop_criteria(criteria: Any) -> Stop:
    """Stopping criteria of transformers as a stop, which stands in a decoder: `un.Beam(4) | un.transformers.stop_criteria(criteria)`.

    criteria: one, or a list of them; each is called with (input_ids, scores), one row at a time: input_ids (1, T), prompt and new
    tokens with the one in question, scores None. It answers with a tensor (1,), or a truth. Of a list, any ends a text.
    """
    several = list(criteria) if isinstance(criteria, list | tuple) else [criteria]
    for one in several:
        check(callable(one), f"stop_criteria takes what is called with (input_ids, scores); got {one!r:.60}")
    check(bool(several), "stop_criteria needs at least one criterion; got an empty list")
    return _Criterion(several[0] if len(several) == 1 else AnyOf(several))


class AnyOf:
    """Several criteria as one."""

    def __init__(self, criteria: Sequence[Any]) -> None:
        self.criteria = criteria

    def __call__(self, input_ids: Any, scores: Any) -> bool:
        return any(bool(np.asarray(host(one(input_ids, scores))).any()) for one in self.criteria)
