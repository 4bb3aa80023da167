"""Texts as `generate` returns them: token ids with their prompts, or its output classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unspool.arrays import Array
from unspool.errors import DeadEnd
from unspool.output import GeneratedText, Output
from unspool.strategies.beam import Beam
from unspool.transformers.asked import CallOfGenerate
from unspool.transformers.watched import SeenRows


def result(asked: CallOfGenerate, found: Sequence[Output], config: Any, strategy: Any, scores: SeenRows, logits: SeenRows) -> Any:
    """What `generate` returns: for every prompt as many rows as texts, the prompt as it was given, the new tokens, and what fills up."""
    import torch
    from transformers.generation import utils

    dead = next((output for output in found if not output.sequences), None)
    if dead is not None:
        raise DeadEnd(dead.failure)
    count = max(len(output.sequences) for output in found)
    texts: list[GeneratedText | None] = [t for o in found for t in [*o.sequences, *[None] * (count - len(o.sequences))]]
    longest = max(len(text.tokens) for text in texts if text)
    new = [[*(text.tokens if text else ()), *[asked.fill] * (longest - len(text.tokens if text else ()))] for text in texts]
    prompts = asked.tensor.repeat_interleave(count, 0)
    sequences: Any = torch.cat([prompts, torch.tensor(new, dtype=torch.long, device=prompts.device)], 1)
    if not config.return_dict_in_generate:
        return sequences
    beams = isinstance(strategy, Beam)
    more: dict[str, Any] = {}
    if config.output_scores:
        summed = beams and strategy.renormalise                          # what was added up is a log-probability
        more["scores"] = _by_step(asked, texts, count, longest, scores, summed)
    if config.output_logits:
        more["logits"] = _by_step(asked, texts, count, longest, logits, False)
    if not beams:
        return utils.GenerateDecoderOnlyOutput(sequences=sequences, **more)
    if config.output_scores:
        worth = [text.score if text else -torch.inf for text in texts]
        more["sequences_scores"] = torch.tensor(worth, dtype=torch.float32, device=sequences.device)
    lengths = torch.tensor([[len(text.tokens) if text else 0] for text in texts], device=sequences.device)
    steps, rows = torch.arange(longest, device=sequences.device), torch.arange(len(texts), device=sequences.device)
    indices: Any = torch.where(steps[None] < lengths, rows[:, None], -1).to(torch.int32)
    return utils.GenerateBeamDecoderOnlyOutput(sequences=sequences, beam_indices=indices, **more)


def _by_step(
    asked: CallOfGenerate, texts: Sequence[GeneratedText | None], count: int, longest: int, seen: SeenRows, as_logprobs: bool
) -> tuple[Array, ...]:
    """For every step the scores (rows, V) that the tokens of the texts were chosen from; 0 where a text is over."""
    import torch

    nothing = seen.nothing()
    steps = []
    for step in range(longest):
        rows = [_at(asked.prompts[i // count], text, step, seen) for i, text in enumerate(texts)]
        found = [nothing if row is None else row.log_softmax(-1) if as_logprobs else row for row in rows]
        steps.append(torch.stack(found).to(asked.tensor.device))
    return tuple(steps)


def _at(prompt: Sequence[int], text: GeneratedText | None, step: int, seen: SeenRows) -> Array | None:
    if text is None or step >= len(text.tokens):
        return None
    return seen.after([*prompt, *text.tokens[:step]])
