"""What the caller of `generate` gave beside its settings: processors and stopping criteria of his own among those that it made itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from unspool.core.decoder import Part
from unspool.errors import ParameterError
from unspool.stops.limits import MaxTime
from unspool.transformers.asked import CallOfGenerate
from unspool.transformers.theirs import criterion_of, processor_of


@dataclass(frozen=True)
class Callers:
    """The caller's processors and criteria as parts."""

    processors: tuple[Part, ...]
    stops: tuple[Part, ...]
    asked: CallOfGenerate
    """What was asked for, within what criteria of the library's own classes say."""
    negative: Sequence[int] | None
    """The prompt that guidance leads away from, if one was given."""


def given_in(model: Any, config: Any, processors: Sequence[Any], criteria: Sequence[Any], asked: CallOfGenerate) -> Callers:
    """Tell the caller's from those that `generate` made of its settings."""
    made = model._get_logits_processor(
        generation_config=config,
        input_ids_seq_length=asked.width,
        encoder_input_ids=asked.tensor,
        device=asked.tensor.device,
        model_kwargs={"attention_mask": asked.mask},
    )
    own: list[Part] = []
    negative: Sequence[int] | None = None
    for one in processors or ():
        same = next((other for other in made if type(other) is type(one) and _same(one, other)), None)
        if same is not None:
            made.remove(same)
            negative = _negative(one, negative)
        else:
            own.append(processor_of(one, asked.prompts, asked.width, asked.fill))
    if made:
        kind = type(made[0]).__name__
        raise ParameterError(f"a {kind} is given in logits_processor=, and the setting that makes one is set too: give one of them")
    stops: list[Part] = []
    for criterion in criteria or ():
        kind = type(criterion).__name__
        if kind == "MaxLengthCriteria":
            asked = replace(asked, limit=min(asked.limit, criterion.max_length - asked.width))
        elif kind == "EosTokenCriteria":
            asked = replace(asked, end_tokens=tuple(dict.fromkeys((*asked.end_tokens, *criterion.eos_token_id.flatten().tolist()))))
        elif kind == "MaxTimeCriteria":
            stops.append(MaxTime(criterion.max_time))
        else:
            stops.append(criterion_of(criterion, asked.width, asked.fill, asked.tensor.device))
    return Callers(tuple(own), tuple(stops), asked, negative)


def _negative(processor: Any, known: Sequence[int] | None) -> Sequence[int] | None:
    """The negative prompt that a processor for guidance holds."""
    held = getattr(processor, "unconditional_context", None)
    ids = None if held is None else held.get("input_ids")
    if ids is None:
        return known
    if bool((ids != ids[:1]).any()):
        raise ParameterError("negative_prompt_ids differ from row to row; one negative prompt is taken for all")
    found: list[int] = ids[0].tolist()
    return found


def _same(one: Any, other: Any) -> bool:
    """Whether two processors of a class were made alike; what is neither a tensor nor a plain value is not looked at."""
    import torch

    for name, value in vars(other).items():
        mine = getattr(one, name, None)
        if isinstance(value, torch.Tensor):
            if not (isinstance(mine, torch.Tensor) and mine.shape == value.shape and torch.equal(mine, value)):
                return False
        elif isinstance(value, bool | int | float | str | list | tuple | dict) and name not in ("unconditional_context",):
            try:
                if bool(mine != value):
                    return False
            except (RuntimeError, ValueError):                           # of tensors in a list, which nothing says to be others
                continue
    return True
