"""Verification of a draft from anywhere: how much of it a decoder would have written itself, and what it writes after that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np

from unspool.arrays import host
from unspool.core.decoder import Decoder
from unspool.core.frontier import Frontier
from unspool.core.strategy import Asks, Choice, Look, Strategy
from unspool.errors import check
from unspool.language_model import DecoderLike, LanguageModel
from unspool.prompt import Prompt
from unspool.shown import Shown
from unspool.strategies.drafting import Draft, Drafting, Guess, part
from unspool.strategies.greedy import Greedy

VERIFIED = "verified"
"""The reason of a text that was only verified: it would go on."""


@dataclass(frozen=True)
class VerifiedDraft(Shown):
    """What became of a draft."""

    drafted: list[int]
    accepted: int
    """How many tokens of the draft, from its first on, are what the decoder writes."""
    tokens: list[int]
    """These and, unless the text ended with them, the token that the decoder writes next."""
    text: str
    reason: str
    """Why the text ended there, "verified" if it would go on."""

    @property
    def whole(self) -> bool:
        """Whether all of the draft holds."""
        return self.accepted == len(self.drafted)


def verify_draft(lm: LanguageModel, prompt: Prompt, draft: Prompt, decoder: DecoderLike = None, **options: Any) -> VerifiedDraft:
    """How much of a draft a decoder would have written after a prompt, by one forward over the whole of it, beside the prompt's own.

    draft: a text or token ids, from wherever it comes: another program's draft, an old answer, a guess of a user. decoder: processors,
    greedy (if not given) or sample, and stops. options: as of `LanguageModel.generate`, but for the limits. The tokens are those
    that `generate` would begin with.
    """
    unfit = [name for name in ("max_new_tokens", "max_length") if name in options]
    check(not unfit, f"verify_draft sets {', '.join(unfit)} itself: the draft's length and one more")
    start, tokens = lm._given(prompt, draft)
    wanted = lm.resolve(decoder)
    then = wanted.strategy or Greedy()
    plain = then.then if isinstance(then, Drafting) else then
    checking = _Checked(tuple(tokens), plain)
    output = lm.generate(start, Decoder((*wanted.processors, checking, *wanted.stops)), max_new_tokens=len(tokens) + 1, **options)
    accepted = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(output.tokens, tokens, strict=False)))
    return VerifiedDraft(tokens, accepted, output.tokens, output.text, output.best.reason)


@dataclass(frozen=True)
class _Checked(Drafting):
    """Takes as much of a given text as `then` would write, and one token more."""

    name = "verify_draft"
    given: tuple[int, ...]
    then: Strategy

    @property
    def tokens(self) -> int:  # type: ignore[override]
        return len(self.given)

    def proposer(self, frontier: Frontier) -> Draft:
        return Draft()

    def grow(self, frontier: Frontier) -> Asks:
        """One look along the text."""
        coming, given = self.then.choose(frontier), self.given
        if int(host(coming.tokens)[0]) == given[0] and len(given) <= int(frontier.left[0]):
            seen, stands = (yield Look(frontier, [given])).inside()
            after, held = self.verify(seen, stands, [given], Guess())
            for depth in range(held[0] + 1):
                here = slice(int(stands[0][depth]), int(stands[0][depth]) + 1)
                frontier = yield replace(coming, parents=frontier.rows, seen=seen.take(here), drafted=True)
                if not len(frontier):
                    return
                coming = part(after, here)
        yield self.last(frontier, coming)

    def last(self, frontier: Frontier, coming: Choice) -> Choice:
        """The token that is not drafted: the text ends with it."""
        reasons = frontier.reasons(np.zeros(1, np.int64), host(coming.tokens))
        return replace(coming, parents=frontier.rows, reasons=np.where(reasons == "", VERIFIED, reasons))
