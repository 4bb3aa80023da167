"""Our processors and stops where transformers takes its own: `logits_processor=` and `stopping_criteria=` of `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from unspool.arrays import Array, Flags, Ints, host, like
from unspool.core.decoder import Decoder, Part, as_decoder
from unspool.core.lane import Lane
from unspool.core.model import NO_PLAN, Plan
from unspool.core.randomness import uniform, word
from unspool.core.tree import TokenForest
from unspool.errors import ParameterError, Unsupported, check, whole
from unspool.models.hf import library
from unspool.models.hf_tokenizer import as_tokenizer

ENDLESS = 1 << 20
"""No text is longer."""


class TokensOnly:
    """A model that computes nothing, for rows whose scores somebody else has: it keeps the tokens alone."""

    context = ENDLESS
    start: int | None = None

    def __init__(self, vocabulary: int, end_tokens: tuple[int, ...] = ()) -> None:
        self.vocabulary, self.end_tokens = vocabulary, end_tokens

    def session(self, plan: Plan = NO_PLAN) -> TokenRows:
        return TokenRows(self.vocabulary)


class TokenRows:
    """Rows of tokens and nothing else."""

    can: frozenset[str] = frozenset()

    def __init__(self, vocabulary: int) -> None:
        self.nodes = TokenForest(vocabulary, ENDLESS)

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints], every: bool = False) -> Ints:
        rows: Ints = np.array(parents, np.int64)
        for i, new in enumerate(self.nodes.grow(rows, chains)):
            rows[i] = new[-1] if len(new) else rows[i]
        return rows

    def keep(self, rows: Any) -> None:
        self.nodes.keep(rows)

    def logits(self, rows: Any, layer: int | None = None) -> Array:
        raise Unsupported("the logits are not told here, only the scores of the step")

    def hidden(self, rows: Any, layer: int | None = None) -> Array:
        raise Unsupported("the hidden states are not told here")


class Follower:
    """The rows of `generate` as rows of a lane: each goes on from the one of the last step that it begins with.

    A call whose rows are no continuation of the last one's begins anew, with these as its prompts.
    """

    def __init__(self, parts: Decoder, tokenizer: Any, end_tokens: Sequence[int], pad_token_id: int | None, seed: int) -> None:
        self.parts, self.tokenizer, self.end_tokens = parts, tokenizer, tuple(end_tokens)
        self.pad, self.seed = pad_token_id, seed
        self.lane: Lane | None = None
        self.known: dict[tuple[int, ...], int] = {}
        """The rows of the last step, by their tokens."""

    def text(self, row: Ints) -> tuple[int, ...]:
        """A row's tokens without its padding."""
        first = 0
        while self.pad is not None and first < len(row) - 1 and row[first] == self.pad:
            first += 1
        return tuple(row[first:].tolist())

    def rows(self, texts: Sequence[tuple[int, ...]], vocabulary: int) -> Ints:
        """The rows of some texts."""
        if self.lane is None or not all(text[:-1] in self.known for text in texts):
            self.lane = self.opened(vocabulary)
            prompts = list(dict.fromkeys(texts))
            begun = self.lane.begin([np.asarray(prompt, np.int64) for prompt in prompts])
            self.known = dict(zip(prompts, begun.tolist(), strict=True))
        else:
            new = list(dict.fromkeys(texts))
            grown = self.lane.extend([self.known[text[:-1]] for text in new], [[text[-1]] for text in new])
            self.known = dict(zip(new, grown.tolist(), strict=True))
            self.lane.keep(list(self.known.values()))
        return np.asarray([self.known[text] for text in texts], np.int64)

    def opened(self, vocabulary: int) -> Lane:
        """A lane for new prompts."""
        resolved = self.parts if self.tokenizer is None else self.parts.resolve(self.tokenizer)
        ends = (*self.end_tokens, *(token for stop in resolved.stops for token in stop.end_tokens))
        return Lane(TokensOnly(vocabulary, ends), resolved.processors, resolved.stops, ends)

    def uniforms(self, texts: Sequence[tuple[int, ...]], purpose: str) -> Any:
        """A uniform for each row, of the seed, its tokens and which of several equal rows it is."""
        met: dict[tuple[int, ...], int] = {}
        names = []
        for text in texts:
            met[text] = met.get(text, -1) + 1
            names.append(np.asarray((*text, met[text]), np.int64).tobytes())
        lineage = np.asarray([word(name) for name in names], np.uint64)
        return uniform(self.seed, lineage, np.asarray([len(text) for text in texts]), purpose)


def logits_processor(
    processors: Decoder | Part | str,
    *,
    end_tokens: Sequence[int] = (),
    pad_token_id: int | None = None,
    tokenizer: Any = None,
    seed: int = 0,
) -> Any:
    """Processors of ours for `generate(..., logits_processor=...)`, as a LogitsProcessorList: "top_k(5) | min_p(0.1)".

    processors: in the order in which they act, without strategy and stops; any but those that read earlier layers of the model.
    end_tokens: for processors that read them, as min_new_tokens. pad_token_id: where prompts are padded on the left, the token that
    does so. tokenizer: for processors that name texts. seed: of those that draw.

    What was given first is the prompt, and what goes on from it by a token each time is its text; texts may fork and change places, as
    beams do. It begins anew with other prompts, so one object may serve several calls, one after the other.
    """
    parts = _parts(processors, "processors", "logits_processor")
    layered = [str(p) for p in parts.processors if p.reads_layers or p.takes_back]
    if layered:
        raise Unsupported(f"{', '.join(layered)} needs the model itself: use custom_generate=un.transformers.decode(...)")
    return library().LogitsProcessorList([OurProcessors(_follower(parts, tokenizer, end_tokens, pad_token_id, seed, _reads(parts)))])


def stopping_criteria(
    stops: Decoder | Part | str, *, pad_token_id: int | None = None, tokenizer: Any = None, vocabulary: int | None = None
) -> Any:
    """Stops of ours for `generate(..., stopping_criteria=...)`, as a StoppingCriteriaList: 'stop("\\n\\n") | loop(20)'.

    stops: without processors and strategy; any but those that read the model's distribution, as confidence. tokenizer: for those
    that read text. vocabulary: how many tokens the model has, the tokenizer's if not given. pad_token_id: see `logits_processor`.
    """
    parts = _parts(stops, "stops", "stopping_criteria")
    reading = [str(s) for s in parts.stops if s.reads_logits]
    if reading:
        raise Unsupported(f"{', '.join(reading)} reads the model's logits, which criteria are not shown; use un.transformers.decode(...)")
    follower = _follower(parts, tokenizer, (), pad_token_id, 0, False)
    size = vocabulary or (follower.tokenizer.size if follower.tokenizer is not None else ENDLESS)
    return library().StoppingCriteriaList([OurStops(follower, size)])


class OurProcessors:
    """A chain of our processors, called as theirs are."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower

    def __repr__(self) -> str:
        return f"unspool.transformers.logits_processor({str(self.follower.parts)!r})"

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        follower = self.follower
        texts = [follower.text(row) for row in np.asarray(host(input_ids), np.int64)]
        rows = follower.rows(texts, int(scores.shape[-1]))
        lane = follower.lane
        assert lane is not None
        of_others = [twins.logits(rows) for seat in lane.chain for twins in seat.twins]
        own = scores
        if any(isinstance(logits, np.ndarray) for logits in of_others):   # the chain works in the array library of other models
            own = host(scores)
        found = lane.process(lane.describe(rows, own, partial(follower.uniforms, texts)), rows, own)
        return found if own is scores else like(np.array(found), scores)


class OurStops:
    """Our stops, called as their criteria are."""

    def __init__(self, follower: Follower, vocabulary: int) -> None:
        self.follower, self.vocabulary = follower, vocabulary

    def __repr__(self) -> str:
        return f"unspool.transformers.stopping_criteria({str(self.follower.parts)!r})"

    def __call__(self, input_ids: Any, scores: Any = None, **_: Any) -> Any:
        import torch

        follower = self.follower
        texts = [follower.text(row) for row in np.asarray(host(input_ids), np.int64)]
        if not all(text[:-1] in follower.known for text in texts):       # the first new token of prompts
            follower.lane = None
            follower.rows([text[:-1] for text in texts], self.vocabulary)
        parents, lane = np.asarray([follower.known[text[:-1]] for text in texts], np.int64), follower.lane
        assert lane is not None
        described = lane.describe(parents, np.zeros(1), partial(follower.uniforms, [text[:-1] for text in texts]))
        tokens = np.asarray([text[-1] for text in texts], np.int64)
        over: Flags = np.zeros(len(texts), bool)
        for seat in lane.ending:
            over |= lane.ended(seat, described, parents, tokens)
        follower.rows(texts, self.vocabulary)
        return torch.from_numpy(over).to(input_ids.device)


def _parts(given: Decoder | Part | str, kind: str, place: str) -> Decoder:
    parts = as_decoder(given)
    own, others = (parts.processors, parts.stops) if kind == "processors" else (parts.stops, parts.processors)
    more = [str(part) for part in (parts.strategy, *others) if part is not None]
    if more or not own:
        said = f"{', '.join(more)} is none of them" if more else f"got {str(given)!r:.80}"
        raise ParameterError(f"{place} takes {kind} alone; {said}: a whole decoder is un.transformers.decode(...)")
    return parts


def _reads(parts: Decoder) -> bool:
    return any("the end tokens" in part.reads() for part in parts.processors)


def _follower(
    parts: Decoder, tokenizer: Any, end_tokens: Sequence[int], pad_token_id: int | None, seed: int, reads_ends: bool
) -> Follower:
    ends = [end_tokens] if isinstance(end_tokens, int) else list(end_tokens)
    check(bool(ends) or not reads_ends, f"{parts} reads the end tokens: give end_tokens=[model.config.eos_token_id]")
    whole("seed", seed)
    return Follower(parts, None if tokenizer is None else as_tokenizer(tokenizer), ends, pad_token_id, seed)
