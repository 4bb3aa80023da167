"""The models that `generate` is called on, opened once: their answers to a few tokens say what can be done with them."""

from __future__ import annotations

from copy import copy
from typing import Any
from weakref import WeakKeyDictionary

from unspool.models.hf import TransformersModel

_KNOWN: WeakKeyDictionary[Any, tuple[Any, TransformersModel]] = WeakKeyDictionary()
"""What was found out about a model, and the state it was in; without the model itself, so that it can be forgotten."""


def opened(inner: Any, caches: bool = True, bare: bool = False) -> TransformersModel:
    """A model object of transformers as a model; caches: whether keys and values may be kept; bare: see `TransformersModel.bare`."""
    state = _state(inner)
    known = _KNOWN.get(inner)
    if known is None or known[0] != state:
        fresh = TransformersModel(inner)
        _ = fresh.early
        fresh.inner = None
        _KNOWN[inner] = known = state, fresh
    model = copy(known[1])
    model.inner, model.bare = inner, bare
    model.caches = model.caches and caches
    return model


def _state(inner: Any) -> tuple[Any, ...]:
    """What must not have changed for what is known to hold."""
    weight, output = inner.get_input_embeddings().weight, inner.get_output_embeddings()
    return weight.device, weight.dtype, tuple(weight.shape), id(output), inner.config.to_json_string()
