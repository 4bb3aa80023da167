"""Table models: small enough that every answer is known exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Array, Floats, Ints
from unspool.core.model import NO_PLAN, Plan, layers_within
from unspool.core.randomness import combine
from unspool.core.tree import TokenForest
from unspool.errors import ParameterError

TABLE_LAYERS = 4
"""How many layers a table model says it has."""
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
        end_tokens: Sequence[int] = (),
        start: int | None = None,
        context: int = 1 << 20,
        backend: Callable[[Any], Array] = np.asarray,
    ) -> None:
        self.probabilities, self.vocabulary, self.context = probabilities, vocabulary, context
        self.end_tokens, self.start, self.backend = tuple(end_tokens), start, backend

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

    def session(self, plan: Plan = NO_PLAN) -> TableSession:
        """A new set of rows."""
        return TableSession(self, plan)


class TableSession:
    """Rows of a TableModel; see `unspool.core.model.Session`. Its layers are tables of their own, a little flatter than the last."""

    can = frozenset({"hidden", "layers"})

    def __init__(self, model: TableModel, plan: Plan) -> None:
        self.model, self.nodes, self.forwards = model, TokenForest(model.vocabulary, model.context), 0
        self.layers = layers_within(plan.layers, TABLE_LAYERS)

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints], every: bool = False) -> Ints:
        grown = self.nodes.grow(parents, chains)
        self.forwards += 1
        return np.asarray([new[-1] if len(new) else parent for new, parent in zip(grown, parents, strict=True)], np.int64)

    def keep(self, rows: Iterable[int]) -> None:
        self.nodes.keep(rows)

    def logits(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        """Log-probabilities (R, V), float32; after layer k of TABLE_LAYERS those to the power k / TABLE_LAYERS, normalised."""
        table = np.asarray([self.model.probabilities(tuple(self.nodes.tokens(int(r)).tolist())) for r in rows], np.float64)
        table = table ** (1 if layer is None else layer / TABLE_LAYERS)
        with np.errstate(divide="ignore"):
            return self.model.backend(np.log(table / table.sum(-1, keepdims=True)).astype(np.float32))

    def hidden(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        """A pseudo-random vector (R, 8) for each text, float32."""
        keys = [int(combine(*(np.uint64(t + 1) for t in self.nodes.tokens(int(r))))) for r in rows]
        states = np.asarray([np.random.default_rng(k).normal(size=8) for k in keys], np.float32)
        return self.model.backend(states if layer is None else states * np.float32(layer / TABLE_LAYERS))
