"""What a session asks of a model of transformers; `hf.py` has the model, `hf_session.py` the session."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from unspool.arrays import Array


class Running(Protocol):
    """A model that runs batches of rows."""

    vocabulary: int
    context: int
    caches: bool
    """Whether it fills a cache that can be forked and rewound."""
    told_positions: bool
    gives_hidden: bool
    head: Callable[[Array], Array] | None
    """What makes logits of its final hidden states, if they follow from those."""

    def still(self) -> AbstractContextManager[None]:
        """No dropout and no gradients inside."""
        ...

    def run(self, tokens: Any, mask: Any, positions: Any, cache: Any) -> tuple[Array | None, Array | None]:
        """The hidden states (R, N, E) of tokens (R, N), or None, and the logits (R, N, V) if they do not follow from those."""
        ...
