"""Processors that read what the model would have said after earlier layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unspool.arrays import INF, Array, block, log_softmax, namespace, or_zero, summed
from unspool.core.processor import Processor, Rows
from unspool.errors import check, is_whole, number, plain
from unspool.processors.contrast import moved, plausible
from unspool.processors.measures import entropy


def layers_of(given: Any, place: str) -> tuple[int, ...]:
    """The layers of a setting, which may be one, in ascending order."""
    layers = tuple(given) if isinstance(given, list | tuple) else (given,)
    check(len(layers) > 0 and all(is_whole(k, 1) for k in layers), f"{place} needs layers, whole numbers >= 1; got {given!r}")
    return tuple(sorted({int(plain(k)) for k in layers}))


@dataclass(frozen=True)
class Dola(Processor):
    """DoLa: what the last layer prefers more than an earlier one does, among what it finds plausible.

    s(v) = log p(v) - log q(v) for tokens with p(v) >= alpha * max p, -inf for the others; q: the model as if it ended after a layer.
    One layer is static. Of several, each row takes at each step the one whose q is farthest from p by the Jensen-Shannon divergence:
    of p and q themselves, or, with divergence "transformers", with the two sides of each Kullback-Leibler divergence exchanged, as
    transformers 4.49 computes it. Tokens that q rules out keep log p(v). Chuang et al. 2023, arXiv 2309.03883.
    """

    layers: tuple[int, ...]
    alpha: float = 0.1
    divergence: str = "paper"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", layers_of(self.layers, "dola(layers)"))
        object.__setattr__(self, "reads_layers", self.layers)
        number("dola(alpha=...)", self.alpha, 0, 1)
        check(self.divergence in ("paper", "transformers"), f'dola(divergence=...) is "paper" or "transformers"; got {self.divergence!r}')

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        own, early = log_softmax(scores), [log_softmax(logits) for logits in rows.layers]
        farthest = early[0]
        if len(early) > 1:
            xp, most = namespace(own), self._apart(own, farthest)
            for other in early[1:]:
                apart = self._apart(own, other)
                farthest, most = xp.where(apart > most, other, farthest), xp.where(apart > most, apart, most)
        return plausible(moved(own, 1.0, own, farthest, namespace(own).zeros_like(own)), own, self.alpha)

    def _apart(self, own: Array, other: Array) -> Array:
        """(R, 1), twice the divergence of two distributions, given as log-probabilities."""
        xp = namespace(own)
        p, q = xp.exp(own), xp.exp(other)
        middle = (p + q) / 2
        log_middle = xp.log(xp.where(middle > 0, middle, xp.ones_like(middle)))
        if self.divergence == "transformers":
            return summed(middle * (2 * log_middle - or_zero(own) - or_zero(other)))
        return summed(p * (or_zero(own) - log_middle) + q * (or_zero(other) - log_middle))


@dataclass(frozen=True)
class ConfidentLayer(Processor):
    """Confident layer decoding: the logits of the layer, nearest to the last, at which the model stopped becoming surer.

    From the last layer back through `layers` (those near the end), as long as the one before has a lower entropy, each row goes back
    to it; where it stops is the first valley of the entropies, and the logits after that layer stand in place of the scores. What
    processors before it ruled out stays ruled out. Zhang et al. 2026, arXiv 2606.21906.
    """

    layers: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", layers_of(self.layers, "confident_layer(layers)"))
        object.__setattr__(self, "reads_layers", self.layers)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        xp, found = namespace(scores), log_softmax(scores)
        able, least = scores > -INF, entropy(found)
        back = xp.ones_like(least) > 0                                   # (R, 1), whether a row still goes back
        for logits in rows.layers[::-1]:
            before = log_softmax(block(logits, able))
            unsure = entropy(before)
            back = back & (unsure < least)
            found, least = xp.where(back, before, found), xp.where(back, unsure, least)
        return found
