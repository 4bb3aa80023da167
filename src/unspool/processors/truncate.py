"""Processors that cut off the unlikely tail of a distribution.

Each is one rule on the sorted distribution. The rule is tried on the likeliest candidates and their exact probabilities;
only rows for which those do not settle the matter are sorted further. Every one keeps at least one token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unspool.arrays import Array, block, log_softmax, logsumexp, namespace, topk
from unspool.errors import check
from unspool.processor import Processor, Rows

CANDIDATES = 256


class _Truncator(Processor):
    """A rule on log-probabilities sorted best first."""

    def keeps(self, sorted_logprobs: Array) -> Array:
        """(R, K) log-probabilities, best first, exact though the tail may be missing -> (R, K), whether to keep each.

        What is kept is a beginning of the row.
        """
        raise NotImplementedError

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Block what the rule cuts."""
        xp, k = namespace(scores), CANDIDATES
        total = logsumexp(scores)
        while True:
            values, columns = topk(scores, k)
            keep = self.keeps(values - xp.where(total == -xp.inf, xp.zeros_like(total), total)) & (values > -xp.inf)
            if k >= scores.shape[-1] or not bool(xp.any(keep[:, -1])):
                return scatter_kept(scores, columns, keep)
            k *= 16


def scatter_kept(scores: Array, columns: Array, keep: Array) -> Array:
    """Scores with -inf everywhere but at the columns (R, K) with keep (R, K)."""
    xp = namespace(scores)
    out = xp.full_like(scores, -xp.inf)
    found = xp.take_along_axis(scores, columns, axis=-1)
    kept = xp.where(keep, found, -xp.inf)
    if hasattr(out, "scatter_"):
        return out.scatter_(-1, columns, kept)
    xp.put_along_axis(out, columns, kept, axis=-1)
    return out


@dataclass(frozen=True)
class TopK(_Truncator):
    """Keep the k likeliest tokens; of equals those with the lowest ids. Fan, Lewis and Dauphin 2018, arXiv 1805.04833."""

    k: int

    def __post_init__(self) -> None:
        check(isinstance(self.k, int) and self.k >= 1, f"top_k(k) needs a whole number k >= 1; got {self.k!r}")

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Block all but k."""
        if self.k >= scores.shape[-1]:
            return scores
        columns = topk(scores, self.k)[1]
        return scatter_kept(scores, columns, columns >= 0)


@dataclass(frozen=True)
class TopP(_Truncator):
    """Keep the likeliest tokens until their mass reaches p, with the one that crosses (nucleus sampling).

    p = 0 keeps one token, p = 1 all. Holtzman et al. 2020, arXiv 1904.09751.
    """

    aliases = ("nucleus",)
    p: float

    def __post_init__(self) -> None:
        check(0 <= self.p <= 1, f"top_p(p) needs p in [0, 1]; got {self.p!r}")

    def keeps(self, sorted_logprobs: Array) -> Array:
        """Those before which the mass is below p; always the first."""
        xp = namespace(sorted_logprobs)
        mass = xp.cumulative_sum(xp.exp(sorted_logprobs), axis=-1, dtype=xp.float64)
        keep = xp.concat([xp.zeros_like(mass[:, :1]), mass[:, :-1]], axis=-1) < self.p
        keep[:, :1] = True
        return keep

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Block the rest."""
        return scores if self.p == 1 else super().process(rows, scores, memory)


@dataclass(frozen=True)
class MinP(_Truncator):
    """Keep tokens at least p times as likely as the likeliest. Nguyen et al. 2024, arXiv 2407.01082."""

    p: float

    def __post_init__(self) -> None:
        check(0 <= self.p <= 1, f"min_p(p) needs p in [0, 1]; got {self.p!r}")

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Block tokens below the line."""
        xp = namespace(scores)
        if self.p == 0:
            return scores
        line = xp.max(scores, axis=-1, keepdims=True) + float(xp.log(xp.asarray(self.p, dtype=xp.float64)))
        return block(scores, scores >= line)


@dataclass(frozen=True)
class Typical(Processor):
    """Keep the tokens whose surprise is nearest the entropy until their mass reaches p, with the one that crosses.

    Order: |-log p(v) - H|, smallest first; of equals the lowest id. It may drop the likeliest token. p = 1 keeps all.
    Meister et al. 2022, arXiv 2202.00666.
    """

    aliases = ("typical_p",)
    p: float

    def __post_init__(self) -> None:
        check(0 <= self.p <= 1, f"typical(p) needs p in [0, 1]; got {self.p!r}")

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Block the atypical."""
        xp = namespace(scores)
        if self.p == 1:
            return scores
        logprobs = log_softmax(scores)
        probs = xp.exp(logprobs)
        entropy = -xp.sum(probs * xp.where(probs > 0, logprobs, xp.zeros_like(probs)), axis=-1, keepdims=True)
        distance = xp.where(probs > 0, xp.abs(-logprobs - entropy), xp.inf)
        _, columns = topk(-distance, scores.shape[-1])
        mass = xp.cumulative_sum(xp.take_along_axis(probs, columns, axis=-1), axis=-1, dtype=xp.float64)
        keep = xp.concat([xp.zeros_like(mass[:, :1]), mass[:, :-1]], axis=-1) < self.p
        keep[:, :1] = True
        return scatter_kept(scores, columns, keep)


