"""Beam sampling: beams whose candidates are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unspool.arrays import Floats, host, topk
from unspool.core.candidates import Candidates
from unspool.core.frontier import Frontier
from unspool.core.randomness import gumbel
from unspool.strategies.beam import Beam


@dataclass(frozen=True)
class BeamSample(Beam):
    """Search with beams, but draw each round's 2 * width candidates, and let the best `width` of them that do not end go on.

    As transformers has it under num_beams with do_sample: the candidates (more with several end tokens) are drawn one by one, without
    replacement, from softmax(scores of all continuations of all beams); one that ends counts if it is among the first `width` drawn.
    Neither a search, for it may miss the best, nor a sample of the model's distribution: what is drawn is drawn from the beams that
    are left, and the better ones are kept. `stochastic_beam` draws without replacement from the distribution itself.

    log_softmax | temperature(0.7) | beam_sample(4, renormalise=False) is what transformers computes.
    """

    aliases = ("beam_sampling",)

    def found(self, frontier: Frontier, many: int) -> Candidates:
        """The candidates, best first; their rank is that of drawing."""
        scores = frontier["score"][:, None] + host(frontier.logprobs if self.renormalise else frontier.scores).astype(np.float64)
        drawn = frontier.candidates(*topk(scores + noise(frontier), many)).best(many)
        drawn = replace(drawn, score=scores[drawn.at, drawn.tokens])
        return drawn.take(np.lexsort((drawn.rank, -drawn.score, drawn.group)))


def noise(frontier: Frontier) -> Floats:
    """(R, V), a Gumbel number for every continuation: the largest sums of score and number are a draw without replacement."""
    return gumbel(frontier.uniform("beam_sample", np.arange(frontier.vocabulary)))
