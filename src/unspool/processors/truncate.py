"""Processors that cut off the unlikely tail of a distribution.

Each is one rule on the sorted distribution. The rule is tried on the likeliest candidates and their exact probabilities;
only rows for which those do not settle the matter are sorted further. Every one keeps at least one token, or min_keep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unspool.arrays import Array, Ints, by_row, like, namespace, or_zero, put, remembered, summed, topk
from unspool.core.decoder import Part
from unspool.core.few import Few
from unspool.core.processor import Processor, Rows, Standing
from unspool.errors import check, number, whole
from unspool.processors.measures import ENOUGH, entropy, rounding, total_of
from unspool.processors.phrases import checked_phrases, ids_in, ids_of, several, tokens_of

TRIED_FIRST = 256


class _Cut(Processor):
    """Keeps a beginning of an order of the tokens, of at least `min_keep` tokens that can come."""

    by_scores = True
    min_keep: int

    def __post_init__(self) -> None:
        whole(f"{self.name}(min_keep=...)", self.min_keep, 1)

    def cut(self, scores: Array, order: Array, keeps: Callable[[Array, Array], Array]) -> Array:
        """Scores with -inf behind a beginning of each row's order: the largest number first, and nothing where it is -inf.

        keeps(numbers (R, K), columns (R, K)) says which of the first K stay: of 256, and of more while all of them do.
        """
        xp, k = namespace(scores), TRIED_FIRST
        while True:
            values, columns = topk(order, k)
            keep = keeps(values, columns)
            keep[:, : self.min_keep] = True
            keep = keep & (values > -xp.inf)
            if k >= scores.shape[-1] or not bool(xp.any(keep[:, -1])):
                most = max(int(xp.max(xp.sum(xp.astype(keep, xp.int64), axis=-1))), 1)      # a beginning of every row
                return scatter_kept(scores, columns[:, :most], keep[:, :most])
            k *= 16


class _Truncator(_Cut):
    """A rule on log-probabilities sorted best first."""

    def keeps(self, sorted_logprobs: Array, about: Any = None) -> Array:
        """(R, K) log-probabilities, best first, exact though the tail may be missing -> (R, K), whether to keep each.

        What is kept is a beginning of the row.
        """
        raise NotImplementedError

    def about(self, scores: Array, total: Array) -> Any:
        """What the rule needs to know of the whole row, tail included."""

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return by_row(self._kept, scores)

    def _kept(self, scores: Array) -> Array:
        total = total_of(scores)
        about = self.about(scores, total)
        return self.cut(scores, scores, lambda values, columns: self.keeps(remembered("less", values, lambda: values - total), about))


def scatter_kept(scores: Array, columns: Array, keep: Array) -> Array:
    """Scores with -inf everywhere but at the columns (R, K) with keep (R, K)."""
    xp = namespace(scores)
    return put(scores, columns, xp.where(keep, xp.take_along_axis(scores, columns, axis=-1), -xp.inf))


def nucleus(probs: Array, p: float, slack: Array) -> Array:
    """Of probabilities in an order, those before which the mass is below p by more than their rounding; always the first."""
    xp = namespace(probs)
    mass = remembered("mass", probs, lambda: xp.cumulative_sum(probs, axis=-1, dtype=xp.float64))
    keep = xp.ones_like(probs, dtype=xp.bool)
    keep[:, 1:] = mass[:, :-1] < p * (1 - slack)
    return keep


@dataclass(frozen=True)
class TopK(_Truncator):
    """Keep the k likeliest tokens; of equals those with the lowest ids. Fan, Lewis and Dauphin 2018, arXiv 1805.04833."""

    k: int

    def __post_init__(self) -> None:
        whole("top_k(k)", self.k, 1)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if self.k >= scores.shape[-1]:
            return scores
        columns = topk(scores, self.k)[1]
        return scatter_kept(scores, columns, columns >= 0)

    def few(self, rows: Rows, scores: Array, memory: Any = None) -> Few | None:
        return Few.kept(scores, topk(scores, self.k)[1]) if self.k <= Few.most(scores) else None

    def sparing(self, token: Standing) -> Processor:
        return TopK(token.rank + 1)


@dataclass(frozen=True)
class TopP(_Truncator):
    """Keep the likeliest tokens until their mass reaches p, with the one that crosses (nucleus sampling).

    p = 0 keeps one token, p = 1 all. min_keep: so many tokens stay at least. Holtzman et al. 2020, arXiv 1904.09751.
    """

    aliases = ("nucleus",)
    p: float
    min_keep: int = 1

    def __post_init__(self) -> None:
        number("top_p(p)", self.p, 0, 1)
        super().__post_init__()

    def about(self, scores: Array, total: Array) -> Any:
        """The rounding of its probabilities."""
        return rounding(total)

    def keeps(self, sorted_logprobs: Array, about: Any = None) -> Array:
        """Those before which the mass is below p; always the first."""
        return nucleus(remembered("exp", sorted_logprobs, lambda: namespace(sorted_logprobs).exp(sorted_logprobs)), self.p, about)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return scores if self.p == 1 else super().process(rows, scores, memory)

    def sparing(self, token: Standing) -> Processor:
        return replace(self, p=min(1.0, math.floor(token.above * 100.001 + 1) / 100))


@dataclass(frozen=True)
class Typical(_Cut):
    """Keep the tokens whose surprise is nearest the entropy until their mass reaches p, with the one that crosses.

    Order: |-log p(v) - H|, smallest first; of equals the lowest id. It may drop the likeliest token. p = 1 keeps all.
    min_keep: so many tokens stay at least, in this order. Meister et al. 2022, arXiv 2202.00666.
    """

    aliases = ("typical_p",)
    p: float
    min_keep: int = 1

    def __post_init__(self) -> None:
        number("typical(p)", self.p, 0, 1)
        super().__post_init__()

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return scores if self.p == 1 else by_row(self._kept, scores)

    def _kept(self, scores: Array) -> Array:
        xp, total = namespace(scores), total_of(scores)
        logprobs = scores - total
        probs = xp.exp(logprobs)
        nearest = -xp.abs(logprobs - summed(probs * or_zero(logprobs)))
        slack = rounding(total)
        return self.cut(scores, nearest, lambda values, columns: nucleus(xp.take_along_axis(probs, columns, axis=-1), self.p, slack))


@dataclass(frozen=True)
class TopH(_Truncator):
    """Keep the likeliest tokens as long as their entropy among themselves is at most alpha times the whole: H(q) <= alpha * H(p).

    q are the kept tokens, renormalised. alpha = 1 keeps all, 0 one. Potraghloo et al. 2025, arXiv 2509.02510.
    variant: "paper", or "transformers", which sums the terms -p log p of the kept tokens without renormalising them, and looks
    at the 100 likeliest alone. min_keep: so many tokens stay at least.
    """

    alpha: float = 0.4
    variant: str = "paper"
    min_keep: int = 1

    def __post_init__(self) -> None:
        number("top_h(alpha)", self.alpha, 0, 1)
        check(self.variant in ("paper", "transformers"), f'top_h(variant=...) is "paper" or "transformers"; got {self.variant!r}')
        super().__post_init__()

    def about(self, scores: Array, total: Array) -> Any:
        """The entropy; theirs, with the mass, of 100 tokens."""
        if self.variant == "paper":
            return entropy(scores), None
        best = topk(scores, 100)[0]
        return entropy(best), total_of(best) - total

    def keeps(self, sorted_logprobs: Array, about: Any = None) -> Array:
        """Those up to which the entropy is below the line; always the first."""
        xp, (whole, mass) = namespace(sorted_logprobs), about
        logprobs = sorted_logprobs if mass is None else sorted_logprobs - mass
        p = xp.astype(xp.exp(logprobs), xp.float64)
        spent = xp.cumulative_sum(-p * or_zero(logprobs), axis=-1)
        if mass is None:
            kept = xp.cumulative_sum(p, axis=-1)
            kept = xp.where(kept > 0, kept, xp.ones_like(kept))
            spent = spent / kept + xp.log(kept)                          # the entropy of a part from its terms and its mass
        keep = spent <= self.alpha * whole * (1 + (rounding(whole) if mass is None else 0))
        keep[:, :1] = True
        if mass is not None:
            keep[:, 100:] = False
        return keep

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return scores if self.alpha == 1 and self.variant == "paper" else super().process(rows, scores, memory)


@dataclass(frozen=True)
class TailFree(_Cut):
    """Cut the tail where the sorted probabilities have become flat: keep the share z of their curvature.

    The curvature at a token is |p(i-1) - 2 p(i) + p(i+1)| over the probabilities sorted best first, with 0 after the last; a
    token stays while the curvatures before and at it sum to at most z of them all, the likeliest always. z = 1 keeps all.
    Phenix and Egan 2019, trentbrick.github.io. variant: "centred", or "llama.cpp", which counts each curvature one token
    earlier and so keeps one token less. min_keep: so many tokens stay at least.
    """

    aliases = ("tfs",)
    z: float
    variant: str = "centred"
    min_keep: int = 1

    def __post_init__(self) -> None:
        number("tail_free(z)", self.z, 0, 1)
        check(self.variant in ("centred", "llama.cpp"), f'tail_free(variant=...) is "centred" or "llama.cpp"; got {self.variant!r}')
        super().__post_init__()

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return scores if self.z == 1 else by_row(self._kept, scores)

    def _kept(self, scores: Array) -> Array:
        xp = namespace(scores)
        values, columns = topk(scores, scores.shape[-1])
        total = total_of(scores)
        p = xp.astype(xp.exp(values - total), xp.float64)
        p = xp.concat([p, xp.zeros_like(p[:, :1]), xp.zeros_like(p[:, :1])], axis=-1)
        slopes = p[:, 1:] - p[:, :-1]
        bends = xp.cumulative_sum(xp.abs(slopes[:, 1:] - slopes[:, :-1]), axis=-1)
        keep = bends <= self.z * bends[:, -1:] * (1 + rounding(total))
        if self.variant == "centred":
            keep = xp.concat([keep[:, :1], keep[:, :-1]], axis=-1)
        keep[:, : self.min_keep] = True
        return scatter_kept(scores, columns, keep)


@dataclass(frozen=True)
class MinK(_Cut):
    """Keep the tokens above the cliff: the largest drop from one score to the next, of which a drop after i tokens counts 1 / i.

    With the scores s(1) >= s(2) >= ... and their range R = s(1) - s(n), of the tokens that can come: k = argmax of (s(i) - s(i+1)) /
    (R * i), or floor(tau / R) if that is more, so that flat scores are not cut to one. A temperature before it changes nothing
    but this second number. min_keep: so many tokens stay at least. Ding et al. 2026, arXiv 2604.11012.
    """

    tau: float = 3.0
    min_keep: int = 1

    def __post_init__(self) -> None:
        number("min_k(tau)", self.tau, 0)
        super().__post_init__()

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return by_row(self._kept, scores)

    def _kept(self, scores: Array) -> Array:
        xp, tried = namespace(scores), TRIED_FIRST
        best = xp.max(scores, axis=-1, keepdims=True)
        least = xp.min(xp.where(scores > -xp.inf, scores, best), axis=-1, keepdims=True)
        spread = or_zero(best) - or_zero(least)                          # (R, 1)
        flat = xp.floor(min(self.tau, ENOUGH) / (spread + 1e-8))
        while True:
            values, columns = topk(scores, tried)
            known, places = or_zero(values), xp.astype(xp.cumulative_sum(xp.ones_like(values), axis=-1), values.dtype)
            drops = xp.where(values[:, 1:] > -xp.inf, known[:, :-1] - known[:, 1:], xp.zeros_like(values[:, 1:])) / places[:, :-1]
            if drops.shape[-1] == 0:
                return scores
            cliff = xp.astype(xp.argmax(drops, axis=-1, keepdims=True) + 1, values.dtype)
            count = xp.clip(xp.where(flat > cliff, flat, cliff), self.min_keep, None)
            last = xp.where(values[:, -1:] > -xp.inf, known[:, -1:], or_zero(least))
            below = (last - or_zero(least)) / tried                      # no later drop counts more
            seen = bool(xp.all((xp.max(drops, axis=-1, keepdims=True) > below) & (count <= tried)))
            if seen or tried >= scores.shape[-1]:
                return scatter_kept(scores, columns, places <= count)
            tried *= 16


@dataclass(frozen=True)
class FactualNucleus(_Cut):
    """Nucleus sampling that narrows along a sentence: keep the likeliest tokens until their mass reaches p * decay^t, and `least`.

    t counts the tokens since a sentence began, that is since the prompt's end or the last token of `reset`; with decay = 1 it is
    top_p. The later part of a sentence is where facts are made up. reset: token ids or texts of one token that end a
    sentence. min_keep: so many tokens stay at least. Lee et al. 2022, arXiv 2206.04624.
    """

    aliases = ("top_p_decay",)
    stateful = True
    p: float = 0.9
    decay: float = 0.9
    least: float = 0.3
    reset: tuple[str | int, ...] = (".",)
    min_keep: int = 1

    def __post_init__(self) -> None:
        for name in ("p", "decay", "least"):
            number(f"factual_nucleus({name}=...)" if name != "p" else "factual_nucleus(p)", getattr(self, name), 0, 1)
        reset = several(self.reset)
        if reset:
            checked_phrases("factual_nucleus", reset, 'factual_nucleus(reset=(".", 13))')
        fine = all(isinstance(t, str | int) for t in reset)
        check(fine, f"factual_nucleus(reset=...) takes token ids or texts of one token; got {self.reset!r}")
        object.__setattr__(self, "reset", reset)
        super().__post_init__()

    def token_ids(self) -> Iterable[int]:
        return ids_in(self.reset)

    def resolve(self, tokenizer: Any) -> Part:
        return replace(self, reset=ids_of(self.reset, tokenizer, "factual_nucleus"))

    def begin(self, prompt: Ints) -> int:
        """How many tokens the sentence has."""
        return 0

    def advance(self, memories: Sequence[int], tokens: Sequence[int], scores: Sequence[Array]) -> list[int]:
        ends = {ids[0] for ids in tokens_of(self.reset, "factual_nucleus")}
        return [0 if token in ends else count + 1 for count, token in zip(memories, tokens, strict=True)]

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        line = [max(self.least, self.p * self.decay**count) for count in memory]
        p = like(np.asarray([[share if share < 1 else np.inf] for share in line]), scores)
        total = total_of(scores)
        slack, xp = rounding(total), namespace(scores)
        return self.cut(scores, scores, lambda values, columns: nucleus(xp.exp(values - total), p, slack))
