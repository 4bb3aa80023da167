"""What a request asks for: its fields read as a decoder, by the tables that translate other engines' settings, and as options of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from unspool.core.decoder import Decoder, Part, parse
from unspool.errors import UnspoolError, is_whole
from unspool.lab.translate import from_engine
from unspool.language_model import LanguageModel
from unspool.processors.grammar import JsonSchema
from unspool.prompt import several
from unspool.serve.errors import Refused, refused
from unspool.serve.fields import CHATS, COMPLETIONS, DECODER_SETTINGS, MOST_LIKELIEST, checked
from unspool.stops.texts import StopStrings
from unspool.strategies.best_of import BestOf
from unspool.strategies.sample import Sample
from unspool.stream import Stream

DEFAULT_COMPLETION = 16
"""New tokens of a completion if nobody says, as OpenAI has it."""
QUIET = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""What llama.cpp does by default and a request did not ask for."""
DUMPED = (", ", ": ")
"""What stands between the parts of JSON."""
BESIDE = ("stop", "ignore_eos")
"""Settings that may stand beside a decoder."""


@dataclass(frozen=True)
class Limits:
    """What a request may ask for at most."""

    tokens: int
    """New tokens of a text."""
    rows: int
    """Rows that grow together."""
    prompts: int = 2048


@dataclass(frozen=True)
class Wanted:
    """A request as it is understood."""

    endpoint: str
    prompts: list[Any]
    """Texts or token ids; none of a chat."""
    messages: Any
    decoder: Decoder
    tokens: int
    """The most new tokens of a text."""
    seed: int
    end_tokens: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()
    """What of the settings is to be known."""
    template: Mapping[str, Any] = field(default_factory=dict)
    likeliest: int | None = None
    """How many alternatives of every token; None where no log-probabilities are told."""
    echo: bool = False
    stream: bool = False
    usage: bool = False
    """Whether a stream ends with its usage."""
    trace: bool = False
    ids: bool = False
    """Whether token ids are told."""

    @property
    def texts(self) -> int:
        """How many texts of a prompt, one if nobody can say."""
        return (self.decoder.strategy.most_texts() or 1) if self.decoder.strategy else 1

    def run(self, lm: LanguageModel) -> Stream:
        """The run that it asks for."""
        how: Any = {"max_new_tokens": self.tokens, "seed": self.seed, "end_tokens": self.end_tokens}
        how |= {"level": "tokens" if self.likeliest is None and not self.trace else "choices"}
        how |= {"choices": max(self.likeliest or 1, 5 if self.trace else 1)}
        if self.endpoint == CHATS:
            return lm.stream(None, self.decoder, messages=self.messages, template=self.template or None, **how)
        return lm.stream(self.prompts, self.decoder, **how)


def asked(endpoint: str, body: Any, lm: LanguageModel, limits: Limits, seed: int) -> Wanted:
    """A request, understood or refused; seed: of one that gives none."""
    fields = checked(endpoint, body)
    served = fields.get("model") or lm.name
    if served != lm.name:
        raise Refused(f"there is no model {served!r:.80}; this server has {lm.name!r}", "model", 404, code="model_not_found")
    decoder, end_tokens, notes = decoder_of(fields, lm)
    strategy = decoder.strategy
    rows = strategy.most_rows() if strategy else 1
    if rows is not None and rows > limits.rows:
        said = f"{strategy} needs {rows} rows; this server allows {limits.rows} of a request"
        raise Refused(said, "decoder" if "decoder" in fields else "n")
    prompts = prompts_of(fields, limits) if endpoint == COMPLETIONS else []
    if endpoint == CHATS and "messages" not in fields:
        raise Refused("messages is missing: a list such as [{\"role\": \"user\", \"content\": \"Hello\"}]", "messages")
    template = dict(fields.get("chat_template_kwargs", {}))
    if fields.get("add_generation_prompt") is False:
        template["add_generation_prompt"] = False
    found = Wanted(
        endpoint,
        prompts,
        messages_of(fields.get("messages", [])),
        decoder,
        tokens_of(endpoint, fields, limits),
        fields.get("seed", seed),
        end_tokens,
        notes,
        template,
        likeliest_of(endpoint, fields),
        fields.get("echo", False),
        fields.get("stream", False),
        fields.get("stream_options", {}).get("include_usage", False),
        fields.get("trace", False),
        fields.get("return_token_ids", False),
    )
    if "stream_options" in fields and not found.stream:
        raise Refused("stream_options is for stream: true", "stream_options")
    if found.tokens == 0 and not (found.echo and not found.stream and not found.trace):
        raise Refused("max_tokens: 0 reads a prompt alone: it needs echo, and no stream or trace", "max_tokens")
    if found.stream and found.echo and found.likeliest is not None:
        raise Refused("echo with logprobs is not streamed: leave out stream", "stream")
    if found.trace and found.stream:
        raise Refused("trace is told at the end, and not of a stream: leave out one of them", "trace")
    return found


def decoder_of(fields: Mapping[str, Any], lm: LanguageModel) -> tuple[Decoder, tuple[int, ...] | None, tuple[str, ...]]:
    """The decoder that the settings mean, its end tokens if they are not the model's, and what is to be known of the settings."""
    ours, theirs = DECODER_SETTINGS["vllm"], DECODER_SETTINGS["llama.cpp"]
    given = {name: value for name, value in fields.items() if name in ours | theirs}
    if "decoder" in fields:
        return _written(fields, given)
    by_pairs = {"logit_bias"} if isinstance(given.get("logit_bias"), list) else set()
    of_vllm, of_llama = given.keys() - theirs, (given.keys() - ours) | by_pairs
    if of_vllm and of_llama:
        one, other = ", ".join(sorted(of_vllm)), ", ".join(sorted(of_llama))
        raise Refused(f"{one} beside {other}: those are vLLM's settings and these llama.cpp's; give one kind, or a decoder", min(of_llama))
    n, best = given.get("n", 1), fields.get("best_of")
    engine, settings = ("llama.cpp", QUIET | {k: v for k, v in given.items() if k != "n"}) if of_llama else ("vllm", given)
    if best is not None:
        _check(best >= n, f"best_of ({best}) is at least n ({n})", "best_of")
        settings = settings | {"n": best} if engine == "vllm" else settings
    try:
        found = from_engine(engine, settings, tokenizer=lm.tokenizer)
    except UnspoolError as error:
        raise refused(error, _named(str(error), given)) from None
    except RecursionError:
        raise Refused("a setting is nested too deeply") from None
    wanted = given.get("response_format") or given.get("structured_outputs") or {}
    decoder = _closed(found.decoder, wanted.get("type") == "json_object" or wanted.get("json_object") is True)
    if engine == "llama.cpp" and max(n, best or 1) > 1:
        decoder = _strategy(decoder, Sample(best or n), n)
    if best is not None and best > 1:
        decoder = _strategy(decoder, BestOf(best, by="mean_logprob", n=n), best)
    notes = tuple(str(note) for note in found.notes if note.setting in given and "white space" not in note.what)
    return decoder, found.options.get("end_tokens"), notes


def _written(fields: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[Decoder, tuple[int, ...] | None, tuple[str, ...]]:
    """A decoder in its text form, and what may stand beside it."""
    says_nothing = {name for name in ("temperature", "n", "best_of") if given.get(name, fields.get(name)) in (0, 1)}
    beside = sorted(({*given} | ({"best_of"} & fields.keys())) - says_nothing - {*BESIDE})
    if beside:
        raise Refused(f"decoder says all that {', '.join(beside)} would say: leave one of them out", beside[0])
    try:
        decoder = parse(fields["decoder"])
        stop = given.get("stop")
        if stop:
            decoder = decoder | StopStrings(*([stop] if isinstance(stop, str) else stop))
    except (UnspoolError, TypeError) as error:
        raise Refused(str(error), "decoder") from None
    ignore = given.get("ignore_eos", False)
    _check(ignore in (True, False), f"ignore_eos is true or false; got {ignore!r:.40}", "ignore_eos")
    return decoder, () if ignore else None, ()


def _closed(decoder: Decoder, whole: bool) -> Decoder:
    """A decoder whose JSON has no white space but that of `json.dumps`: with any allowed a text may go on with it for ever.

    whole: whether the JSON is any object.
    """

    def one(part: Part) -> Part:
        if not isinstance(part, JsonSchema):
            return part
        return JsonSchema({"type": "object"}) if whole else replace(part, separators=DUMPED)

    return Decoder(tuple(map(one, decoder.parts)))


def _strategy(decoder: Decoder, strategy: Any, n: int) -> Decoder:
    """A decoder with another strategy in place of sampling."""
    if not isinstance(decoder.strategy, Sample):
        raise Refused(f"several texts are drawn; {decoder.strategy} draws none, and finds one: leave out n and best_of", "n")
    return Decoder(tuple(strategy if part is decoder.strategy else part for part in decoder.parts))


def _named(message: str, names: Mapping[str, Any]) -> str | None:
    """The first field that a message names."""
    return min((name for name in names if name in message), key=message.index, default=None)


def _check(ok: bool, message: str, param: str) -> None:
    if not ok:
        raise Refused(message, param)


def tokens_of(endpoint: str, fields: Mapping[str, Any], limits: Limits) -> int:
    """The most new tokens of a text."""
    names = [name for name in ("max_tokens", "max_completion_tokens") if name in fields]
    if not names:
        return min(DEFAULT_COMPLETION, limits.tokens) if endpoint == COMPLETIONS else limits.tokens
    tokens = int(fields[names[0]])
    _check(all(fields[name] == tokens for name in names), "max_tokens and max_completion_tokens differ: give one", names[-1])
    _check(tokens <= limits.tokens, f"{names[0]} is at most {limits.tokens} on this server; got {tokens}", names[0])
    return tokens


def likeliest_of(endpoint: str, fields: Mapping[str, Any]) -> int | None:
    """How many alternatives of every token are to be told; None where not even its own log-probability."""
    logprobs, top = fields.get("logprobs"), fields.get("top_logprobs")
    if endpoint == CHATS:
        _check(logprobs is None or isinstance(logprobs, bool), f"logprobs is true or false for chat; got {logprobs!r:.40}", "logprobs")
        _check(top is None or bool(logprobs), "top_logprobs needs logprobs: true", "top_logprobs")
        return (top or 0) if logprobs else None
    if logprobs is None or logprobs is False:
        return None
    right = is_whole(logprobs, 0) and logprobs <= MOST_LIKELIEST
    _check(right, f"logprobs is a whole number of 0 to {MOST_LIKELIEST}, how many alternatives; got {logprobs!r:.40}", "logprobs")
    return int(logprobs)


def prompts_of(fields: Mapping[str, Any], limits: Limits) -> list[Any]:
    """The prompts of a completion."""
    _check("prompt" in fields, "prompt is missing: a text, token ids, or a list of either", "prompt")
    prompt = fields["prompt"]
    try:
        found = several(prompt)
    except UnspoolError as error:
        raise Refused(str(error), "prompt") from None
    prompts = [prompt] if found is None else found
    _check(len(prompts) <= limits.prompts, f"a request has at most {limits.prompts} prompts; got {len(prompts)}", "prompt")
    return prompts


def messages_of(messages: Sequence[Any]) -> list[Any]:
    """Messages whose contents are texts: parts of text are joined, and other parts refused."""
    return [_message(message) for message in messages]


def _message(message: Any) -> Any:
    parts = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(parts, list):
        return message
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__
        text = isinstance(part, Mapping) and kind == "text" and isinstance(part.get("text"), str)
        _check(text, f"a message has parts of text alone here; got one of type {kind!r:.40}", "messages")
    return {**message, "content": "".join(part["text"] for part in parts)}

