"""Speculative decoding: a small model drafts, the large one checks several tokens in one forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unspool.arrays import INF, Array, Ints, host, log_softmax, namespace
from unspool.core.frontier import Frontier
from unspool.core.model import Model, as_model
from unspool.core.randomness import draw
from unspool.core.strategy import Choice, Look, Strategy, Twin
from unspool.errors import ParameterError, check, number, whole
from unspool.strategies.drafting import ONE_SAMPLE, Draft, Drafting, Guess, Guesses
from unspool.strategies.sample import Sample


class ModelDraft(Draft):
    """What another model would write: it chooses as `then` does, or draws its own tokens if that is None.

    It stops behind a token that it gives less probability than `confidence`, and where its context is full. Its distributions are
    processed as the model's are.
    """

    def __init__(self, model: Model, then: Strategy | None, confidence: float = 0.0) -> None:
        self.model, self.then = model, then
        self.least = float(np.log(confidence)) if confidence > 0 else -INF

    def guess(self, frontier: Frontier, token: int, count: int) -> Guesses:
        """One forward of the draft for each token."""
        chain: list[int] = []
        drawn: list[Array] = []
        count = min(count, self.model.context - int(frontier.lengths[0]))
        if count < 1:
            return Guess()
        at = yield Twin(frontier, self.model)
        at = yield Look(at, [[token]])
        while True:
            if self.then is None:
                drawn.append(log_softmax(at.scores))
                found = int(host(draw(drawn[-1], at.uniform("draft")))[0])
            else:
                found = int(host(self.then.choose(at).tokens)[0])
            sure = float(at.pick(np.zeros(1, np.int64), np.asarray([found]))[1][0])
            if sure == -INF:                                             # the processors leave the draft nothing
                return Guess([chain] if chain else [], drawn[: len(chain)])
            chain.append(found)
            if len(chain) == count or found in frontier.end_tokens or sure < self.least:
                return Guess([chain], drawn)
            at = yield Look(at, [[found]])


class ByModel(Drafting):
    """A drafting whose draft is a model, with the fields `coupled` and `confidence`: its tokens are drawn as the text's or, if neither
    is said to be the other's, by a uniform of their own, and then kept by rejection.
    """

    role = "strategy"
    coupled: bool
    confidence: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check(type(self.coupled) is bool, f"{self.name}(coupled=...) is True or False; got {self.coupled!r}")
        number(f"{self.name}(confidence=...)", self.confidence, 0, 1)

    def drafted_by(self, model: Model) -> Draft:
        """The draft of a model."""
        return ModelDraft(model, None if self.draws else self.then, self.confidence)

    @property
    def draws(self) -> bool:
        """Whether the draft draws for itself, so that the text is another one of the same law."""
        return isinstance(self.then, Sample) and not self.coupled

    def verify(self, seen: Frontier, stands: Sequence[Ints], chains: Sequence[Sequence[int]], guess: Guess) -> tuple[Choice, list[int]]:
        """By rejection where the draft drew for itself."""
        return self.by_rejection(seen, chains[0], guess.drawn) if self.draws else super().verify(seen, stands, chains, guess)

    def by_rejection(self, seen: Frontier, chain: Sequence[int], drawn: Sequence[Array]) -> tuple[Choice, list[int]]:
        """Every drafted token is kept or not by a uniform of its own; where one is not, a draw from what is left comes after."""
        after, accept = self.then.choose(seen), seen.uniform("accept")
        tokens, kept = np.array(host(after.tokens)), len(chain) - 1
        for depth, x in enumerate(chain[1:]):
            here, q = seen.take([depth]), drawn[depth]
            p = log_softmax(here.scores)
            if accept[depth] >= np.exp(min(0.0, float(p[0, x]) - float(q[0, x]))):
                tokens[depth] = int(host(draw(residual(p, q), here.uniform("residual")))[0])
                kept = depth
                break
            tokens[depth] = x
        return replace(after, tokens=tokens, uniform=None), [kept]


@dataclass(frozen=True)
class Speculative(ByModel):
    """Write as `then` does, sample or greedy, with the draft model's guesses checked `tokens` at a time.

    Under sample a drafted token x is kept with probability min(1, p(x) / q(x)); otherwise the text goes on with a draw from the
    normalised (p - q)+ (Leviathan, Kalman and Matias 2023, arXiv 2211.17192; Chen et al. 2023, arXiv 2302.01318). Both
    distributions are processed alike, so the text is distributed exactly as without the draft, though it is another text. coupled=True
    gives the very text of the same seed: both models draw with one uniform, and a drafted token is kept if it is the model's own
    draw. It keeps fewer. Under any other `then`, as greedy, the text is always the very same.

    confidence: the draft stops behind a token to which it gives less probability than this; that token is still drafted, so that the law
    stays exact. The draft may have another size, and a shorter context, beyond which nothing is drafted, but has the same tokens.
    """

    draft: Model
    tokens: int = 4
    then: Strategy = ONE_SAMPLE
    coupled: bool = False
    confidence: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "draft", as_model(self.draft, "speculative(draft)"))
        super().__post_init__()

    def proposer(self, frontier: Frontier) -> Draft:
        most = frontier.vocabulary
        if self.draft.vocabulary != most:
            raise ParameterError(
                f"speculative(draft) knows {self.draft.vocabulary} tokens and the model {most}: a draft and its model need one vocabulary; "
                "take a smaller model of the same family, or prompt_lookup, which needs none"
            )
        return self.drafted_by(self.draft)


@dataclass(frozen=True)
class EarlyExit(ByModel):
    """Write as `then` does, sample or greedy, with the guesses of the model's own first layers checked `tokens` at a time.

    The draft is what the model would say if it ended after `layer` layers, under its own final norm and head (Zhang et al. 2023, Draft &
    Verify, arXiv 2309.08168, which leaves out layers inside; Elhoushi et al. 2024, LayerSkip, arXiv 2404.16710). It needs no second
    model and no more weights; the first layers' keys and values are kept twice. It pays where a model was trained to exit early; of
    another the first layers seldom agree with the last.

    coupled, confidence: as in speculative. The text's distribution is that of the whole model, exactly.
    """

    layer: int
    tokens: int = 4
    then: Strategy = ONE_SAMPLE
    coupled: bool = False
    confidence: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("early_exit(layer)", self.layer, 1)

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """Layers, and what the strategy inside needs."""
        return super().needs | {"layers"}

    def proposer(self, frontier: Frontier) -> Draft:
        return self.drafted_by(frontier.first_layers(self.layer))


def residual(p: Array, q: Array) -> Array:
    """log (p - q)+; p itself where rounding leaves nothing."""
    xp = namespace(p)
    rest = xp.clip(xp.exp(p) - xp.exp(q), 0, None)
    log = xp.where(rest > 0, xp.log(xp.where(rest > 0, rest, xp.ones_like(rest))), -xp.inf)
    return xp.where(xp.sum(rest) > 0, log, p)
