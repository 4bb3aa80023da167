"""The states of a transformers model after its earlier layers: how many there are, and the final norm that they lack."""

from __future__ import annotations

from typing import Any

from unspool.arrays import Array
from unspool.models.hf_running import EarlyLayers, Running


def found_layers(model: Running) -> EarlyLayers | None:
    """What a forward of the model shows: the last of its parts whose answer is the final state is the norm. None if there is none."""
    import torch

    base, seen = model.inner.base_model, list[tuple[Any, Array, Array]]()

    def watch(part: Any, given: Any, answer: Any) -> None:
        if given and isinstance(given[0], torch.Tensor) and isinstance(answer, torch.Tensor):
            seen.append((part, given[0], answer))

    hooks = [part.register_forward_hook(watch) for part in base.modules() if not any(part.children())]
    tokens = torch.tensor([[1 % model.vocabulary, 0]])
    try:
        ran = model.run(tokens, torch.ones_like(tokens), torch.arange(2)[None], None, early=True)
    except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError):
        return None
    finally:
        for hook in hooks:
            hook.remove()
    final = ran.states
    if final is None or len(ran.early) < 2 or not torch.equal(ran.early[-1], final):
        return None
    for part, given, answer in reversed(seen):
        if answer.shape == final.shape and torch.equal(answer, final) and not torch.equal(given, answer):
            return EarlyLayers(len(ran.early) - 1, part)
    return None
