"""PromptReading a prompt: the log-probability of every token of it and the likeliest in its place, in forwards that others share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Floats, Ints, host, topk
from unspool.core.distributions import Distributions
from unspool.core.frontier import picked
from unspool.core.lane import Forward, Lane
from unspool.core.loop import Rounds
from unspool.core.tree import ROOT
from unspool.language_model import LanguageModel
from unspool.serve.batch import PIECE_TOKENS


@dataclass(frozen=True)
class ReadToken:
    """What the model held of a token and of what else could stand in its place."""

    logprob: float
    tokens: list[int]
    """The likeliest, best first."""
    logprobs: list[float]


class PromptReading:
    """The places of all tokens of a text but the first; it takes part in a batch as a `Stream` does."""

    def __init__(self, lm: LanguageModel, tokens: list[int], likeliest: int) -> None:
        self.lane, self.tokens, self.likeliest = Lane(lm.model), tokens, likeliest
        self.rounds: Rounds = self._read()
        self.places: list[ReadToken] = []

    def _read(self) -> Rounds:
        row, text = ROOT, np.asarray(self.tokens, np.int64)
        for first in range(0, len(text) - 1, PIECE_TOKENS):
            chunk = text[first : min(first + PIECE_TOKENS, len(text) - 1)]    # nothing is asked after the last
            rows = yield Forward(self.lane, [row], [chunk], every=True)
            assert rows is not None
            row = int(rows[0])
            path = self.lane.nodes.path(row)[-len(chunk) :]
            self._note(path, text[first + 1 : first + 1 + len(chunk)])
        self.give_up()

    def _note(self, rows: Ints, tokens: Ints) -> None:
        found = Distributions(self.lane, rows)
        own: Floats = picked(found.logits, np.arange(len(rows)), tokens) - host(found.total)[:, 0]
        values, likeliest = topk(found.logits, max(1, self.likeliest))
        best = host(values).astype(np.float64) - host(found.total)
        self.places += [ReadToken(*what) for what in zip(own.tolist(), host(likeliest).tolist(), best.tolist(), strict=True)]

    def keep(self, step: Any) -> None:
        """There are no steps."""

    def interrupt(self) -> None:
        """What was read so far stays."""
        self.give_up()

    def give_up(self) -> None:
        """Free its rows."""
        self.lane.session.keep([])
