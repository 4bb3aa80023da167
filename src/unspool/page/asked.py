"""What the page asks for: the fields of a request, read as a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unspool.core.decoder import Decoder, Part, parse
from unspool.core.model import check_ids
from unspool.errors import is_whole
from unspool.language_model import LanguageModel
from unspool.serve.errors import Refused
from unspool.serve.wanted import Limits
from unspool.strategies.follow import Follow
from unspool.strategies.greedy import Greedy
from unspool.stream import Stream

NEXT = 0
"""The token that is taken after a text so that the distribution there is known; which one does not matter."""
MOST_CHOICES = 100
FIELDS = ("model", "prompt", "chat", "decoder", "seed", "max_new_tokens", "choices", "level", "follow", "text", "only")
"""Of a run: the tokens or the text that are taken first; `only` for those alone, "text" or "next"."""


@dataclass(frozen=True)
class AskedRun:
    """A request as it is understood."""

    lm: LanguageModel
    prompt: Any
    chat: bool
    decoder: Decoder
    seed: int
    tokens: int
    choices: int
    level: str
    follow: tuple[int, ...]
    only: str
    """"" where the strategy goes on, "text" where the tokens that are followed are all, "next" where what may come after them counts."""

    def strategy(self) -> Part:
        """What chooses tokens."""
        chosen: Part = self.decoder.strategy or Greedy()
        if self.only == "next":
            return Follow((*self.follow, NEXT))
        if self.only == "text":
            return Follow(self.follow)
        return Follow(self.follow, chosen) if self.follow else chosen  # type: ignore[arg-type]

    def stream(self, strategy: Part | None = None) -> Stream:
        """The run; strategy: in place of its own."""
        decoder = Decoder((*self.decoder.processors, strategy or self.strategy(), *self.decoder.stops))
        limit = len(self.follow) + 1 if self.only else self.tokens
        how: Any = {"max_new_tokens": limit, "seed": self.seed, "level": self.level, "choices": self.choices}
        return self.lm.stream(self.prompt, decoder, chat=self.chat and isinstance(self.prompt, str), **how)


def asked_run(body: Any, models: Mapping[str, LanguageModel], limits: Limits) -> AskedRun:
    """A request, understood or refused."""
    fields = known_fields(body, FIELDS)
    lm = model_of(fields, models)
    prompt, decoder = fields.get("prompt", ""), decoder_of(fields)
    _check(isinstance(prompt, str) or _are_tokens(prompt), "prompt is a text or token ids", "prompt")
    rows = decoder.strategy.most_rows() if decoder.strategy else 1
    too_many = rows is not None and rows > limits.rows
    _check(not too_many, f"{decoder.strategy} needs {rows} rows; the lab runs {limits.rows} at once", "decoder")
    text, follow = fields.get("text"), fields.get("follow", [])
    _check(text is None or (isinstance(text, str) and bool(text)), "text is a text, not an empty one", "text")
    _check(_are_tokens(follow), "follow is a list of token ids", "follow")
    if text is not None:
        follow = lm._given(prompt, text)[1]
    check_ids("follow", follow, lm.model.vocabulary)
    only = fields.get("only", "")
    _check(only in ("", "text", "next"), 'only is "text" or "next"', "only")
    _check(only != "text" or bool(follow), "there is no text to read", "follow")
    room = lm.model.context - (len(lm.tokens_of(prompt)) if not fields.get("chat") else 0)
    full = f"the text has {len(follow)} tokens and the model's context leaves room for {room} after this prompt: shorten it"
    _check(len(follow) <= room - (only == "next"), full, "follow")
    return AskedRun(
        lm,
        prompt,
        fields.get("chat", False) is True,
        decoder,
        _count(fields, "seed", 0, None),
        _count(fields, "max_new_tokens", 1, limits.tokens, 40),
        min(_count(fields, "choices", 1, MOST_CHOICES, 12), lm.model.vocabulary),
        _level(fields),
        tuple(follow),
        only,
    )


def known_fields(body: Any, known: Sequence[str]) -> dict[str, Any]:
    """The fields of a request; unknown ones are refused."""
    if not isinstance(body, dict):
        raise Refused("the body is a JSON object")
    for name in body:
        _check(name in known, f"unknown field {name[:80]!r}: known: {', '.join(known)}", name[:80])
    return {name: value for name, value in body.items() if value is not None}


def model_of(fields: Mapping[str, Any], models: Mapping[str, LanguageModel]) -> LanguageModel:
    """The model that a request names, the first if it names none."""
    name = fields.get("model", next(iter(models)))
    if name not in models:
        raise Refused(f"there is no model {name!r:.80} here; there is {', '.join(map(repr, models))}", "model", 404)
    return models[name]


def decoder_of(fields: Mapping[str, Any]) -> Decoder:
    """The decoder of a request; greedy if it says nothing."""
    text = fields.get("decoder", "")
    _check(isinstance(text, str), "decoder is a text", "decoder")
    return parse(text) if text.strip() else Decoder()


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and all(is_whole(t, 0) for t in value)


def _level(fields: Mapping[str, Any]) -> str:
    level = fields.get("level", "choices")
    _check(level in ("tokens", "choices", "stages"), 'level is "tokens", "choices" or "stages"', "level")
    return str(level)


def _count(fields: Mapping[str, Any], name: str, least: int, most: int | None, default: int = 0) -> int:
    value = fields.get(name, default)
    within = f"{least} to {most}" if most is not None else f"{least} or more"
    _check(is_whole(value, least) and (most is None or value <= most), f"{name} is a whole number, {within}; got {value!r:.40}", name)
    return int(value)


def _check(ok: bool, message: str, param: str) -> None:
    if not ok:
        raise Refused(message, param)
