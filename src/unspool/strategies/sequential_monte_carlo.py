"""Sequential Monte Carlo: texts of p(text | valid) or p(text) times a weight, and an estimate of its sum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from unspool.arrays import INF, Floats, Ints, host, logsumexp, or_zero
from unspool.core.decoder import Part
from unspool.core.frontier import Frontier
from unspool.core.randomness import gumbel
from unspool.core.strategy import Asks, Choice, Dropped, Strategy
from unspool.errors import DeadEnd, PartError, check, is_whole, number, said_number, said_truth, whole
from unspool.record.step import Hypothesis
from unspool.strategies.functions_of_text import OfText, first_allowed, new_tokens, of_text, told
from unspool.text import TokenIds

WHOLE = ("end", "complete", "stop")
"""Reasons for which a text is at its end; under any other it was cut."""


@dataclass(frozen=True)
class SequentialMonteCarlo(Strategy):
    """Draw n texts from the model's distribution given that the text is valid: that the processors leave all of it possible.

    Masking token by token draws from another distribution: it never sees that a token leads to where hardly anything is
    valid. Here `particles` texts are drawn from what the processors leave, each weighted by p(text) under the model over its
    probability under the processors; whenever the effective sample size of those that go on, sum(w) ** 2 / sum(w ** 2), is below
    `resample` times their number, those that died included, as many are drawn anew by their weights (Lew et al. 2023, arXiv
    2306.03081; Loula et al. 2025, arXiv 2504.13139). resample=0 is sequential importance sampling. A text that has ended keeps its
    weight: it has paid for its end, which the others have not, so that they could not be compared.

    A text's score is the logarithm of its weight / particles, so the scores of all particles (n=particles) sum, by their
    exponentials, to an unbiased estimate of p(valid). The n texts are drawn by weight without replacement.

    power: the law is that of p(text) ** power. With temperature(1 / power) before, a particle gains the sum of p(v) ** power over all
    tokens v at every step, and the model is asked no more than once a token (Azizi et al. 2026, arXiv 2602.10273).
    potential: a function of the new text (token ids without a tokenizer) that gives a weight of 0 or more: the law is that of
    p(text) * weight of the whole text. It is asked at every boundary and where the text ends; what a particle gained by the last
    answer is taken back with the next, so weights of a text that is not whole only steer; 0 says that no text that begins so counts.
    boundary: where it is asked: after every so many tokens; 0, at the end alone; a string, after a token that has it in it.
    condition: a function of the new text that says whether a text may begin so, too dear to ask of every token. By adaptive weighted
    rejection sampling (Lipkin et al. 2025, arXiv 2504.05410) tokens are drawn without replacement until it holds for one, and the
    particle is weighted by an estimate without bias of the probability of all tokens for which it holds, by Des Raj's rule of 1956: that
    of this one and, if it holds for the next one drawn, that of all not drawn before.
    truncated: whether texts that are cut, by a limit or by a stop such as loop or confidence, are valid, too; otherwise their
    weight is zero. A stop string is an end.
    """

    aliases = ("smc",)
    streams = False
    joins = True
    particles: int
    n: int = 1
    resample: float = 0.5
    truncated: bool = False
    power: float = 1.0
    potential: Callable[[Any], float] | None = None
    boundary: int | str = 1
    condition: Callable[[Any], bool] | None = None

    def __post_init__(self) -> None:
        whole("sequential_monte_carlo(particles)", self.particles, 1)
        whole("sequential_monte_carlo(n=...)", self.n, 1)
        check(self.n <= self.particles, f"sequential_monte_carlo(n={self.n}) asks for more texts than particles ({self.particles})")
        number("sequential_monte_carlo(resample=...)", self.resample, 0, 1)
        number("sequential_monte_carlo(power=...)", self.power, above=0)
        check(type(self.truncated) is bool, f"sequential_monte_carlo(truncated=...) is True or False; got {self.truncated!r}")
        for field in ("potential", "condition"):
            function = getattr(self, field)
            what = f"sequential_monte_carlo({field}=...) is a function of the new text; got {function!r}"
            check(function is None or callable(function), what)
        known = (isinstance(self.boundary, str) and self.boundary != "") or is_whole(self.boundary, 0)
        check(known, f"sequential_monte_carlo(boundary=...) is a number of tokens or a string; got {self.boundary!r}")

    def resolve(self, tokenizer: Any) -> Part:
        """With its functions reading text."""
        if isinstance(tokenizer, TokenIds):
            return self
        return replace(self, potential=of_text(self.potential, tokenizer), condition=of_text(self.condition, tokenizer))

    def run(self, frontier: Frontier) -> Asks:
        """Each round draw the particles anew where their weights are uneven, then a token for each."""
        frontier = self.begin(frontier)
        while len(frontier):
            frontier, weights = self.drawn_anew(frontier, frontier["score"])
            u, guessed = frontier.uniform("sample"), np.zeros(len(frontier))
            if self.condition is None:
                tokens = frontier.draw(u)
            else:
                tokens, guessed = self.allowed(frontier)
            raw, processed = frontier.pick(np.arange(len(frontier)), tokens)
            possible = processed > -INF
            weights = weights + np.where(possible, self.power * raw - or_zero(processed) + guessed, -INF)
            reasons = frontier.reasons(np.arange(len(frontier)), tokens)
            columns: dict[str, Any] = {}
            if self.potential is not None:
                columns["potential"] = self.potentials(frontier, tokens, reasons)
                weights = weights + columns["potential"] - frontier["potential"]
            columns["lot"] = weights + gumbel(frontier.uniform("sequential_monte_carlo lot"))
            lives = (weights > -INF) | ~possible
            columns["company"] = frontier["company"] - among(frontier["prompt"], possible & lives & (reasons != ""))
            gone = np.full((~lives).sum(), "weight 0", dtype=object)
            dropped = Dropped(tokens[~lives], frontier.rows[~lives], weights[~lives], gone) if frontier.records and len(gone) else None
            columns = {name: column[lives] for name, column in columns.items()}
            drawn = u[lives] if self.condition is None else None
            tokens, parents = tokens[lives], frontier.rows[lives]
            frontier = yield Choice(tokens, parents, weights[lives], reasons[lives], columns, uniform=drawn, dropped=dropped)

    def allowed(self, frontier: Frontier) -> tuple[Ints, Floats]:
        """For each row a token for which the condition holds, and the logarithm of the estimated probability of all such tokens."""
        logprobs = host(frontier.logprobs).astype(np.float64)
        order = np.argsort(-(logprobs + gumbel(frontier.uniform("sequential_monte_carlo race", np.arange(frontier.vocabulary)))), -1)
        found = []
        for i, row in enumerate(order):
            found.append(first_allowed(row, np.exp(logprobs[i]), partial(self.allows, frontier, i, new_tokens(frontier, i))))
        tokens, guessed = zip(*found, strict=True)
        return np.asarray(tokens, np.int64), np.asarray(guessed)

    def allows(self, frontier: Frontier, i: int, new: tuple[int, ...], token: int) -> bool:
        """Whether the new text of the i-th row may go on with a token."""
        return said_truth("sequential_monte_carlo(condition=...)", told(self.condition, frontier, i, (*new, token)))

    def potentials(self, frontier: Frontier, tokens: Ints, reasons: Any) -> Floats:
        """(R,), the logarithm of each new text's potential, or of its last one where there is no boundary."""
        found, at = np.array(frontier["potential"]), np.arange(len(frontier))
        for i in at[(reasons != "") | self.asked(frontier, tokens)]:
            answer = told(self.potential, frontier, i, (*new_tokens(frontier, i), int(tokens[i])))
            weight = said_number("sequential_monte_carlo(potential=...)", answer)
            if not 0 <= weight < INF:
                raise PartError(f"sequential_monte_carlo(potential=...) gives weights of 0 or more; it gave {weight!r}")
            found[i] = math.log(weight) if weight else -INF
        return found

    def asked(self, frontier: Frontier, tokens: Ints) -> Any:
        """(R,), whether there is a boundary after each token."""
        if isinstance(self.boundary, str):
            if not isinstance(self.potential, OfText):
                raise PartError("sequential_monte_carlo(boundary=...) is a string, and there is no tokenizer: give a number of tokens")
            mark, spelt = self.boundary.encode(), self.potential.tokenizer.bytes_of
            return np.asarray([mark in spelt(int(token)) for token in tokens], bool)
        return (frontier.generated + 1) % self.boundary == 0 if self.boundary else np.zeros(len(frontier), bool)

    def begin(self, frontier: Frontier) -> Frontier:
        """The particles of every prompt; the logarithm of its weight is the score of each."""
        frontier = frontier.take(np.repeat(np.arange(len(frontier)), self.particles))
        frontier.columns |= {"score": np.full(len(frontier), -np.log(self.particles)), "lot": np.zeros(len(frontier))}
        frontier.columns["company"] = among(frontier["prompt"], np.ones(len(frontier), bool))
        if self.potential is not None:
            frontier.columns["potential"] = np.zeros(len(frontier))
        return frontier

    def drawn_anew(self, frontier: Frontier, weights: Floats) -> tuple[Frontier, Floats]:
        """The particles, those of a prompt drawn by weight, at even distances, where their weights are uneven: as many as have not ended,
        those that died among them."""
        prompts, order, new = frontier["prompt"], [], []
        for prompt in np.unique(prompts):
            mine = np.flatnonzero(prompts == prompt)
            many, total = int(frontier["company"][mine[0]]), logsumexp(weights[mine])
            share = np.exp(weights[mine] - total)
            known = weights[mine]
            if 1 / (share**2).sum() < self.resample * many:
                u = frontier.take(mine[:1]).uniform("resample", of="prompt")
                places = np.searchsorted(np.cumsum(share), (np.arange(many) + u) / many, side="right")
                mine = mine[places.clip(max=len(mine) - 1)]
                known = np.full(many, total - np.log(many))
            order.append(mine)
            new.append(known)
        return frontier.take(np.concatenate(order)), np.concatenate(new)

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """In the order in which they are drawn, without those that are cut if they are not valid."""
        valid = [h for h in finished if self.truncated or h.reason in WHOLE]
        if finished and not valid:
            raise DeadEnd(
                f"none of {self.particles} particles came to its end before it was cut, so p(valid) is estimated to be 0: raise "
                "the limit on length, or count texts that are cut by sequential_monte_carlo(truncated=True)"
            )
        return sorted(valid, key=lambda h: -float(h.columns.get("lot", INF)))[: self.n]

    def most_rows(self) -> int:
        return self.particles

    def most_texts(self) -> int:
        return self.n


def among(prompts: Ints, some: Any) -> Ints:
    """(R,), for each row how many of some rows are of its prompt."""
    return np.bincount(prompts[some], minlength=int(prompts.max(initial=0)) + 1)[prompts]
