"""What `generate` hands to a function in its place: which prompts were asked for, how long, and with what else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unspool.errors import PromptError, Unsupported, check

PREPARED = {"attention_mask", "position_ids", "past_key_values", "cache", "cache_params", "use_cache", "logits_to_keep"}
PREPARED |= {"output_attentions", "output_hidden_states"}
"""What `generate` prepares for every model, which is read here or follows from the tokens."""
NOT_RETURNED = {"output_attentions": "attentions", "output_hidden_states": "hidden states"}
"""What `generate` can return and a session does not give out."""


@dataclass(frozen=True)
class CallOfGenerate:
    """A call of `generate` in terms of prompts."""

    prompts: list[list[int]]
    """The tokens of every prompt once, without padding."""
    tensor: Any
    """The same as they were given, (B, T), with their padding."""
    limit: int
    """The most new tokens."""
    end_tokens: tuple[int, ...]
    fill: int
    """What rows that ended are filled up with."""
    caches: bool
    """Whether keys and values may be kept."""
    mask: Any
    """Of every row as it was given which tokens are there, None for all."""

    @property
    def width(self) -> int:
        """How long every prompt is with its padding."""
        return int(self.tensor.shape[1])


def read(model: Any, input_ids: Any, config: Any, model_kwargs: dict[str, Any]) -> CallOfGenerate:
    """What was asked for. Rows are given as often as there are beams or texts of each; what cannot be read or returned is refused."""
    for name, what in NOT_RETURNED.items() if config.return_dict_in_generate else ():
        if getattr(config, name, None):
            raise Unsupported(f"{name}=True: unspool returns no {what}; leave it out")
    if config.is_assistant or getattr(model.config, "is_encoder_decoder", False):
        who = "a model with an encoder" if model.config.is_encoder_decoder else "an assistant"
        raise Unsupported(f"unspool decodes causal models alone, and {type(model).__name__} is called as {who}")
    more = sorted(name for name, value in model_kwargs.items() if name not in PREPARED and value is not None)
    if more or not input_ids.shape[1]:
        raise Unsupported(f"unspool reads token ids alone: leave out {', '.join(more) or 'inputs_embeds'}")
    if config.cache_implementation == "quantized":
        raise Unsupported("cache_implementation='quantized' rounds keys and values, which is not done here: leave it out")
    times = max(config.num_beams or 1, config.num_return_sequences or 1)
    tensor, mask = input_ids[::times], model_kwargs.get("attention_mask")
    there = (tensor == tensor) if mask is None else mask[::times].bool()
    _check_positions(model_kwargs.get("position_ids"), there, times)
    prompts = [row[one].tolist() for row, one in zip(tensor.cpu(), there.cpu(), strict=True)]
    empty = next((i for i, prompt in enumerate(prompts) if not prompt), None)
    if empty is not None:
        raise PromptError(f"row {empty * times} of input_ids is all padding; give it at least one token")
    ends, fill = (getattr(config, f"_{name}_token_tensor", None) for name in ("eos", "pad"))
    end_tokens = () if ends is None else tuple(ends.flatten().tolist())
    filled = int(fill) if fill is not None else end_tokens[0] if end_tokens else -1
    limit = int(config.max_length) - int(tensor.shape[1])
    return CallOfGenerate(prompts, tensor, limit, end_tokens, filled, config.use_cache is not False, mask)


def _check_positions(given: Any, there: Any, times: int) -> None:
    """Refuse positions that do not count the tokens that are there."""
    if given is None or given.ndim != 2 or given.shape[1] != there.shape[1]:
        return
    counted = there.long().cumsum(-1) - 1
    own = given if len(given) == 1 else given[::times]
    check(bool(((own == counted) | ~there).all()), "position_ids count the tokens of each row from 0 here; leave them out")
