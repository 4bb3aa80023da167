"""What one call asked for: its prompts, how far each may grow, and the draws that belong to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Floats
from unspool.core.randomness import Lineage, uniform, word
from unspool.errors import check, is_whole, whole
from unspool.record.certificate import Certificate


class Call:
    """The settings of a decoding run that strategies may read.

    limits: the most new tokens of each prompt, and limit_reasons what that is called. names: what tells prompts apart for randomness,
    their tokens if not given. taken: the last tokens of each prompt where they are taken back; they are none of the prompt's then.
    """

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        end_tokens: Sequence[int] = (),
        seed: int = 0,
        names: Sequence[str] | None = None,
        limit_reasons: Sequence[str] | None = None,
        records: bool = False,
        taken: Sequence[Sequence[int]] | None = None,
    ) -> None:
        whole("seed", seed)
        check(len(limits) == len(prompts), f"limits needs one number for each prompt; got {len(limits)} for {len(prompts)}")
        for given in (*prompts, end_tokens):
            strange = [t for t in given if type(t) is not int and not is_whole(t)]
            check(not strange, f"token ids are whole numbers; got {strange[:1]}")
        self.prompts = [np.asarray(p, np.int64) for p in prompts]
        self.prompt_lengths = np.asarray([len(p) for p in self.prompts], np.int64)
        self.limits, self.limit_reasons = np.asarray(limits, np.int64), np.asarray(limit_reasons or ["length"] * len(self.prompts))
        self.end_tokens, self.seed, self.records = tuple(int(t) for t in end_tokens), int(seed), records
        self.taken = [np.asarray(t, np.int64) for t in taken or [()] * len(self.prompts)]
        """Tokens that stood at the end of each prompt, and that new ones are to spell anew."""
        keys = [p.tobytes() + t.tobytes() for p, t in zip(self.prompts, self.taken, strict=True)] if names is None else names
        self.lineages: Lineage = np.asarray([word(key) for key in keys], np.uint64)
        self.drew = False
        """Whether anything random was asked for: without a draw, every seed gives the same texts."""
        self.certificates: dict[tuple[int, int], Certificate] = {}
        """What searches have proved so far, by prompt and node."""
        self.hopeless: dict[int, str] = {}
        """Of prompts to which a strategy can find no text, why."""
        self.work: list[dict[str, int]] = [{} for _ in self.prompts]
        """What each prompt took: the forwards of its rows, as many as if it were alone, and what strategies count."""

    def count(self, prompts: Iterable[int], what: str, by: int = 1) -> None:
        """So many more of what some prompts take."""
        for prompt in prompts:
            self.work[prompt][what] = self.work[prompt].get(what, 0) + by

    def uniform(self, lineage: Lineage, step: Any, purpose: str, index: Any = 0) -> Floats:
        """Uniforms in [0, 1) of this call's seed: the only draws there are."""
        self.drew = True
        return uniform(self.seed, lineage, step, purpose, index)
