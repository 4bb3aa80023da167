"""What a session asks of a model of transformers; `hf.py` has the model, `hf_session.py` the session."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from unspool.arrays import Array


@dataclass(frozen=True)
class EarlyLayers:
    """What makes final hidden states of those after an earlier layer."""

    count: int
    """How many layers there are."""
    norm: Callable[[Array], Array]


class Computed(NamedTuple):
    """What came of tokens (R, N)."""

    states: Array | None
    """Final hidden states (R, N, E)."""
    logits: Array | None
    """(R, N, V), if they do not follow from those."""
    early: tuple[Array, ...] = ()
    """The states (R, N, E) after the embedding and after every layer, if they were asked for."""


class Running(Protocol):
    """A model that runs batches of rows."""

    inner: Any
    """The model object of transformers."""
    vocabulary: int
    context: int
    caches: bool
    """Whether it fills a cache that can be forked and rewound."""
    told_positions: bool
    gives_hidden: bool
    head: Callable[[Array], Array] | None
    """What makes logits of its final hidden states, if they follow from those."""
    bare: bool
    """Whether states after earlier layers are read without the final norm, layer 1 being the embedding."""

    @property
    def early(self) -> EarlyLayers | None:
        """What its states after earlier layers need to become logits; None if it does not show them."""
        ...

    def still(self) -> AbstractContextManager[None]:
        """No dropout and no gradients inside."""
        ...

    def run(self, tokens: Any, mask: Any, positions: Any, cache: Any, early: bool = False) -> Computed:
        """What comes of tokens (R, N); early: with the states after every layer."""
        ...
