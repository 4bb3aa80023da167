"""The shapes of answers: OpenAI's objects, made of what a run's record says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from unspool.output import Output
from unspool.record.step import Step
from unspool.serve.wanted import Wanted
from unspool.text import Tokenizer, pieces

CUT = ("length", "context", "unfinished", "time", "interrupted")
"""Reasons for which OpenAI says "length"; for all others it says "stop"."""
LOWEST = -9999.0
"""What stands for a log-probability of -inf, which JSON does not have."""
Likely = list[tuple[int, float]]
"""Tokens with their log-probabilities, best first."""


@dataclass(frozen=True)
class Told:
    """A token as an answer tells it."""

    token: int
    logprob: float | None
    """None for the first of a prompt, before which there is nothing."""
    likely: Likely = field(default_factory=list)


@dataclass
class Text:
    """A text as an answer tells it: all of it, or a piece."""

    index: int
    text: str
    tokens: list[Told]
    reason: str | None = None
    """Why it ended, in unspool's word; None where it goes on."""
    before: int = 0
    """How many characters of it came before."""
    prompt_ids: list[int] | None = None


def finish_reason(reason: str | None) -> str | None:
    """OpenAI's word for why a text ended."""
    return None if reason is None else "length" if reason in CUT else "stop"


def likely_at(steps: Sequence[Step]) -> dict[int, Likely]:
    """The likeliest tokens after every node of one prompt."""
    found: dict[int, Likely] = {}
    for step in steps:
        if step.considered is not None:
            told = step.considered
            for node, tokens, logprobs in zip(told.nodes.tolist(), told.tokens.tolist(), told.logprobs.tolist(), strict=True):
                found[node] = [*zip(tokens, logprobs, strict=True)]
    return found


def texts_of(output: Output, first: int) -> list[Text]:
    """What came of a prompt; first: the index of its first text."""
    likely = likely_at(output.trace.steps)
    found = []
    for i, (text, h) in enumerate(zip(output.sequences, output.trace.hypotheses[0], strict=True)):
        told = [Told(t, lp, likely.get(at, [])) for t, lp, at in zip(h.tokens, h.logprobs, h.nodes[:-1], strict=True)]
        found.append(Text(first + i, text.text, told, text.reason))
    return found


# --- tokens -----------------------------------------------------------------------------------------------------------


def word(tokenizer: Tokenizer, token: int) -> str:
    """A token as text of its own: its name if it is special, and bytes that are no character as OpenAI writes them."""
    if token in tokenizer.specials:
        return tokenizer.name_of(token)
    data = tokenizer.bytes_of(token)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def number(logprob: float) -> float:
    """A log-probability that JSON has."""
    return max(logprob, LOWEST)


def completion_logprobs(tokenizer: Tokenizer, text: Text, most: int) -> dict[str, Any]:
    """The columns of a completion's log-probabilities; each token is among its likeliest."""
    offsets, at = [], text.before
    for piece in pieces(tokenizer, [told.token for told in text.tokens]):
        offsets.append(min(at, text.before + len(text.text)))
        at += len(piece)
    return {
        "tokens": [word(tokenizer, told.token) for told in text.tokens],
        "token_logprobs": [None if told.logprob is None else number(told.logprob) for told in text.tokens],
        "top_logprobs": [None if told.logprob is None else _by_word(tokenizer, told, most) for told in text.tokens],
        "text_offset": offsets,
    }


def _by_word(tokenizer: Tokenizer, told: Told, most: int) -> dict[str, float]:
    """The likeliest by what they are called; of two that are called alike the less likely is called by its id."""
    found: dict[str, float] = {}
    some = told.likely[:most]
    own = [] if told.token in [token for token, _ in some] or told.logprob is None else [(told.token, told.logprob)]
    for token, logprob in (*some, *own):
        name = word(tokenizer, token)
        found[name if name not in found else f"token_id:{token}"] = number(logprob)
    return found


def chat_logprobs(tokenizer: Tokenizer, text: Text, most: int) -> dict[str, Any]:
    """The list of a chat's log-probabilities."""

    def one(token: int, logprob: float | None) -> dict[str, Any]:
        data = list(tokenizer.bytes_of(token))
        return {"token": word(tokenizer, token), "logprob": number(logprob or 0.0), "bytes": data or None}

    told = [one(t.token, t.logprob) | {"top_logprobs": [one(*pair) for pair in t.likely[:most]]} for t in text.tokens]
    return {"content": told, "refusal": None}


# --- objects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """How the answers to one request look."""

    asked: Wanted
    tokenizer: Tokenizer
    id: str
    created: int
    model: str

    @property
    def chat(self) -> bool:
        return self.asked.endpoint == "chat"

    def head(self, piece: bool = False) -> dict[str, Any]:
        """What every object begins with."""
        kind = ("chat.completion.chunk" if piece else "chat.completion") if self.chat else "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def choice(self, text: Text, piece: bool = False) -> dict[str, Any]:
        """One text of an answer."""
        found: dict[str, Any] = {"index": text.index}
        if not self.chat:
            found["text"] = text.text
        elif piece:
            found["delta"] = {"content": text.text} if text.text or text.tokens else {}
        else:
            found["message"] = {"role": "assistant", "content": text.text, "refusal": None}
        told, most = None, self.asked.likeliest
        if most is not None and (text.tokens or not piece):
            told = (chat_logprobs if self.chat else completion_logprobs)(self.tokenizer, text, most)
        found |= {"logprobs": told, "finish_reason": finish_reason(text.reason)}
        if self.asked.ids:
            found["token_ids"] = [t.token for t in text.tokens[len(text.prompt_ids or ()) if self.asked.echo else 0 :]]
            found |= {} if text.prompt_ids is None else {"prompt_token_ids": text.prompt_ids}
        return found | ({} if text.reason is None else {"reason": text.reason})

    def said(self) -> dict[str, Any]:
        """What unspool adds: what makes the run again, and what of the settings is to be known."""
        found: dict[str, Any] = {"decoder": str(self.asked.decoder), "seed": self.asked.seed}
        return found | ({"notes": list(self.asked.notes)} if self.asked.notes else {})


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """What a request took."""
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": prompt_tokens + completion_tokens}
