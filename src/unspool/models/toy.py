"""Table models: small enough that every answer is known exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Array, Floats, Ints
from unspool.core.model import SPAN, TokenForest
from unspool.core.randomness import combine
from unspool.errors import ModelError, ParameterError

Distribution = Callable[[tuple[int, ...]], Any]


class TableModel:
    """A model given by a function from tokens to the next token's probabilities.

    probabilities: tokens so far -> V non-negative numbers, not necessarily normalised. backend: numpy.asarray, or another
    library's, so that the same exact answers serve every array library. The hidden state of a row is a fixed pseudo-random
    vector of its tokens.
    """

    architecture = "table"

    def __init__(
        self,
        probabilities: Distribution,
        vocabulary: int,
        *,
        ends: Sequence[int] = (),
        start: int | None = None,
        context: int = 1 << 20,
        backend: Callable[[Any], Array] = np.asarray,
    ) -> None:
        self.probabilities, self.vocabulary, self.context = probabilities, vocabulary, context
        self.ends, self.start, self.backend = tuple(ends), start, backend

    @classmethod
    def from_matrix(cls, matrix: Any, **options: Any) -> TableModel:
        """A first-order Markov chain: matrix[a][b] is the probability of b after a; row 0 follows the empty text."""
        table = np.asarray(matrix, np.float64)
        if table.ndim != 2 or table.shape[0] != table.shape[1]:
            raise ParameterError(f"a transition matrix is square; this one has shape {table.shape}")
        return cls(lambda tokens: table[tokens[-1] if tokens else 0], table.shape[1], **options)

    @classmethod
    def random(cls, vocabulary: int, seed: int = 0, sharpness: float = 1.0, **options: Any) -> TableModel:
        """A distribution of its own after every text, reproducible from the seed; sharpness scales its logits."""

        def probabilities(tokens: tuple[int, ...]) -> Floats:
            key = int(combine(np.uint64(seed), np.uint64(len(tokens)), *(np.uint64(t) for t in tokens)))
            return np.asarray(np.exp(sharpness * np.random.default_rng(key).normal(size=vocabulary)))

        return cls(probabilities, vocabulary, **options)

    def session(self) -> TableSession:
        """A new set of rows."""
        return TableSession(self)


class TableSession:
    """Rows of a TableModel; see `unspool.core.model.Session`."""

    can = frozenset({"hidden"})

    def __init__(self, model: TableModel) -> None:
        self.model, self.nodes, self.forwards = model, TokenForest(), 0

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints]) -> Ints:
        """Grow rows."""
        self.forwards += 1
        rows = []
        for parent, chain in zip(parents, chains, strict=True):
            if not len(chain):
                rows.append(int(parent))
                continue
            bad = [int(t) for t in chain if not 0 <= int(t) < self.model.vocabulary]
            if bad:
                raise ModelError(f"token {bad[0]} is outside the vocabulary of {self.model.vocabulary}")
            tree, slots = self.nodes.grow(int(parent), np.asarray(chain, np.int64))
            rows.append(tree * SPAN + int(slots[-1]))
        return np.asarray(rows, np.int64)

    def keep(self, rows: Iterable[int]) -> None:
        """Forget rows."""
        self.nodes.keep(rows)

    def logits(self, rows: Sequence[int] | Ints) -> Array:
        """Log-probabilities (R, V), float32."""
        table = np.asarray([self.model.probabilities(tuple(self.nodes.tokens(int(r)).tolist())) for r in rows], np.float64)
        with np.errstate(divide="ignore"):
            return self.model.backend(np.log(table / table.sum(-1, keepdims=True)).astype(np.float32))

    def hidden(self, rows: Sequence[int] | Ints) -> Array:
        """A pseudo-random vector (R, 8) for each text, float32."""
        keys = [int(combine(*(np.uint64(t + 1) for t in self.nodes.tokens(int(r))))) for r in rows]
        return self.model.backend(np.asarray([np.random.default_rng(k).normal(size=8) for k in keys], np.float32))
