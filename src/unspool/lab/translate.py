"""Settings of other engines read as decoders, and decoders written as their settings."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unspool.decoder import Decoder, Part, as_decoder
from unspool.errors import ParameterError, UnspoolError, Unsupported, check, unknown
from unspool.lab.engines import ENGINES
from unspool.lab.engines.engine import Engine, Place
from unspool.processors import Banned, Bias, LogSoftmax
from unspool.strategies import Beam, Greedy

NOTHING: tuple[Any, ...] = (None, False, 0, 1, "", [], {}, ())
"""Values of a setting under which it does nothing."""
SCALES = {"temperature", "repetition_penalty"}
ADDS = {"bias", "presence_penalty", "frequency_penalty", "dry"}
FORBIDS = {"banned", "allowed", "suppress", "suppress_at_begin", "min_new_tokens", "min_length"}
FORBIDS |= {"no_repeat_ngram", "encoder_no_repeat_ngram", "json_schema", "regex"}
"""Processors that trade places without a difference: those that only forbid with all three kinds, those that add with each other."""


@dataclass(frozen=True)
class Translation:
    """A decoder and an engine's settings that say the same, and where they do not."""

    engine: str
    decoder: Decoder
    settings: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of `generate`."""
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**vars(self), "decoder": str(self.decoder)}


def engine_named(name: str) -> Engine:
    """An engine by its name."""
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    return ENGINES[name]


def from_engine(engine: str, settings: Any) -> Translation:
    """The decoder that an engine's settings mean, in its order and with its defaults.

    settings: a mapping; an object with `to_dict`, as a GenerationConfig; or text: JSON, a file of it, a Python call such as
    SamplingParams(top_p=0.9), or llama.cpp's flags.
    """
    there = engine_named(engine)
    given, notes = settings_of(there, settings)
    for name in given:
        if name not in there.names:
            raise unknown(f"setting of {there.title}", name, there.names)
    given = {name: value for name, value in given.items() if value is not None}
    chosen, strategy = next((p, part) for p in there.strategies if (part := _read(there, p, given)) is not None)
    notes += _said(there, chosen, given) if chosen.settings else []
    parts: list[Part] = []
    for place in there.ordered(there.places, given):
        written = [f"{s.name}={given[s.name]!r}" for s in place.settings if s.name in given and s not in chosen.settings]
        if chosen.bare or (place.sampling and strategy.name != "sample"):
            if written and place.method != "temperature":
                notes.append(f"{', '.join(written)} has no effect there under {strategy.name}")
            continue
        if (part := _read(there, place, given)) is not None:
            parts.append(part)
            notes += _said(there, place, given)
    parts, strategy = _as_beams_there(there, parts, strategy)
    for place in there.stops:
        if (stop := _read(there, place, given)) is not None:
            parts.append(stop)
            notes += _said(there, place, given)
    options = _options(there, given, notes)
    notes += [f"{name}: {there.unsaid[name]}" for name, value in given.items() if name in there.unsaid and value not in NOTHING]
    notes += [there.note] if there.name == "openai" and len(parts) > 1 else []
    processors = [p for p in parts if p.role == "processor"]
    stops = [p for p in parts if p.role == "stop"]
    return Translation(there.name, Decoder((*processors, strategy, *stops)), dict(given), options, list(dict.fromkeys(notes)))


def to_engine(engine: str, decoder: Any, **options: Any) -> Translation:
    """An engine's settings that mean a decoder; what cannot be said there is refused.

    options: max_new_tokens, max_length, seed and end_tokens, as `generate` takes them.
    """
    there, wanted = engine_named(engine), as_decoder(decoder)
    strategy, processors = wanted.strategy or Greedy(), list(wanted.processors)
    if isinstance(strategy, Beam) and there.name == "transformers":
        strategy, processors = _from_beams_there(strategy, processors)
    chosen = _place(there, there.strategies, strategy)
    settings = _written(there, chosen, strategy)
    notes: list[str] = []
    placed: list[tuple[Place, Part]] = []
    for part in processors:
        place = _place(there, there.places, part)
        check(place not in [p for p, _ in placed], f"{there.title} applies {place.method} once; this decoder twice")
        check(not chosen.bare, f"{there.title}'s {chosen.method} search takes no processors; this decoder has {part}")
        _check_drawn(there, place, part, strategy)
        more = _written(there, place, part)
        if place.read(more) is None:
            notes.append(f"{part} changes nothing: left out")
            continue
        placed.append((place, part))
        settings = _merged(there, settings, more)
    found = [place for place, _ in placed]
    order = there.ordered(there.places, settings)
    wrong = _inversions(order, found)
    if wrong and any(p.step for p in order):
        settings["samplers"] = list(dict.fromkeys(p.step for p in found if p.step))
        order = there.ordered(there.places, settings)
        wrong = _inversions(order, found)
    for first, second in wrong:
        raise ParameterError(f"{there.title} applies {second} before {first}; this decoder the other way round")
    for stop in wanted.stops:
        settings = _merged(there, settings, _written(there, _place(there, there.stops, stop), stop))
    for place in order:
        if place.neutral and place not in found and (strategy.name == "sample" or not place.sampling):
            settings = place.neutral | settings
    for name, value in options.items():
        calls = [c for c in there.calls if c.argument == name]
        check(bool(calls), f"{there.title} has no setting for {name}={value!r}")
        settings[calls[0].setting.name] = calls[0].write(value)
    back = from_engine(engine, settings)
    _check_back(there, [*(part for _, part in placed), *wanted.stops, strategy], back.decoder)
    notes += [f"{place.method}: {place.differs}" for place in [chosen, *found] if place.differs]
    return Translation(there.name, back.decoder, settings, options, notes)


# --- reading ----------------------------------------------------------------------------------------------------------


def settings_of(engine: Engine, settings: Any) -> tuple[dict[str, Any], list[str]]:
    """Settings from whatever form they have, and what was passed over."""
    if isinstance(settings, Mapping):
        return dict(settings), []
    if not isinstance(settings, str | list | tuple):
        if not callable(getattr(settings, "to_dict", None)):
            raise ParameterError(f"settings are a mapping, text, or an object with to_dict; got {settings!r}")
        return dict(settings.to_dict()), []
    if not isinstance(settings, str):
        return read_flags(engine, list(settings))
    text = settings.strip()
    if text.endswith(".json"):
        try:
            text = Path(text).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UnspoolError(f"cannot read {text}: {error.strerror}") from None
    if text.startswith("-") or (engine.flags and " -" in text and not text.startswith("{")):
        return read_flags(engine, shlex.split(text))
    return _read_text(engine, text), []


def _read_text(engine: Engine, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        try:
            node = ast.parse(text, mode="eval").body
            found = _literal(node)
        except (SyntaxError, ValueError, TypeError, RecursionError):
            example = '{"temperature": 0.8, "top_p": 0.9}'
            raise ParameterError(f"cannot read the settings {text[:60]!r}: write JSON, as in '{example}'") from None
    check(isinstance(found, dict), f"settings are names and values, as in JSON's {{...}}; got {text[:60]!r}")
    return dict(found)


def _literal(node: ast.expr) -> Any:
    """A Python literal, or the keywords of a call."""
    if isinstance(node, ast.Call):
        if node.args or any(k.arg is None for k in node.keywords):
            raise ValueError("positional")
        return {str(k.arg): _literal(k.value) for k in node.keywords}
    return ast.literal_eval(node)


def read_flags(engine: Engine, words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Settings from command-line options; those that are not about decoding are passed over."""
    check(bool(engine.flags), f"{engine.title} has no flags; write its settings as JSON")
    given: dict[str, Any] = {}
    passed: list[str] = []
    i = 0
    while i < len(words):
        word, eq, value = words[i].partition("=")
        i += 1
        name = engine.flags.get(word)
        if not eq and name != "ignore_eos" and i < len(words) and (name or not words[i].startswith("-")) and word.startswith("-"):
            value = words[i]
            i += 1
        if name is None:
            passed += [f"{word} {value}".strip()] if word.startswith("-") else []
        else:
            _take_flag(given, name, value)
    return given, [f"not about decoding, so passed over: {', '.join(passed)}"] if passed else []


def _take_flag(given: dict[str, Any], name: str, value: str) -> None:
    if name == "ignore_eos":
        given[name] = True
    elif name == "dry_sequence_breakers":
        given[name] = [*given.get(name, []), *([] if value == "none" else [value.encode().decode("unicode_escape")])]
    elif name == "logit_bias":
        at = max(value.find("+"), value.find("-", 1))
        check(at > 0, f"--logit-bias is a token and an amount, as 15043+1; got {value!r}")
        amount = float(value[at:].replace("-inf", "-Infinity"))
        given[name] = [*given.get(name, []), [int(value[:at]), False if amount == float("-inf") else amount]]
    elif name in ("samplers", "grammar", "json_schema"):
        given[name] = value
    else:
        try:
            given[name] = json.loads(value)
        except ValueError:
            raise ParameterError(f"{name} needs a number; got {value!r}") from None


def _read(engine: Engine, place: Place, given: Mapping[str, Any]) -> Part | None:
    try:
        return place.read(given)
    except UnspoolError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError):
        written = ", ".join(f"{s.name}={given[s.name]!r}" for s in place.settings if s.name in given)
        raise ParameterError(f"{engine.title}: {written} is of the wrong kind for {place.method}") from None


def _said(engine: Engine, place: Place, given: Mapping[str, Any]) -> list[str]:
    """What is to be known of a part that was read."""
    first = place.settings[0]
    on = first.name not in given and first.default is not None and place in engine.places
    return ([f"{first} is the default of {engine.title}"] if on else []) + ([f"{place.method}: {place.differs}"] if place.differs else [])


def _options(engine: Engine, given: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The arguments of generate."""
    found: dict[str, Any] = {}
    for call in engine.calls:
        value = call.read(given[call.setting.name]) if call.setting.name in given else None
        if value is not None:
            found.setdefault(call.argument, value)
    if "max_new_tokens" in found:
        found.pop("max_length", None)
    if not found.keys() & {"max_new_tokens", "max_length"}:
        for limit in (c for c in engine.calls if c.argument.startswith("max_") and c.setting.default is not None):
            if (value := limit.read(limit.setting.default)) is not None:
                found[limit.argument] = value
                notes.append(f"{limit.setting} is the default of {engine.title}")
        if not found.keys() & {"max_new_tokens", "max_length"}:
            notes.append(f"{engine.title} goes on until the text ends; give max_new_tokens, or 100 tokens are the most")
    return found


def _as_beams_there(engine: Engine, parts: list[Part], strategy: Any) -> tuple[list[Part], Part]:
    """transformers' beams show their processors log-probabilities and sum what comes out."""
    if engine.name == "transformers" and isinstance(strategy, Beam) and parts:
        return [LogSoftmax(), *parts], Beam(**{**vars(strategy), "renormalise": False})
    return parts, strategy


def _from_beams_there(strategy: Beam, processors: list[Any]) -> tuple[Beam, list[Any]]:
    if not processors:
        return strategy, processors
    first = isinstance(processors[0], LogSoftmax)
    if not first or strategy.renormalise:
        text = " | ".join(map(str, processors[first:]))
        raise ParameterError(
            f"transformers' beams do not renormalise what processors make of log-probabilities: write log_softmax | "
            f"{text} | {Beam(**{**vars(strategy), 'renormalise': False})}"
        )
    return Beam(**{**vars(strategy), "renormalise": True}), processors[1:]


# --- writing ----------------------------------------------------------------------------------------------------------


def _place(engine: Engine, places: Sequence[Place], part: Part) -> Place:
    found = next((p for p in places if p.method == part.name), None)
    if found is None:
        raise Unsupported(f"{engine.title} has nothing like {part}")
    return found


def _written(engine: Engine, place: Place, part: Part) -> dict[str, Any]:
    try:
        return place.write(part)
    except ParameterError as error:
        raise ParameterError(f"{engine.title} cannot say {part}: {error}") from None


def _merged(engine: Engine, settings: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    out = dict(settings)
    for name, value in more.items():
        if isinstance(value, list) and isinstance(out.get(name), list):
            out[name] = out[name] + value
            continue
        if name in out and out[name] != value:
            raise ParameterError(f"{engine.title} has one {name}; this decoder needs {out[name]!r} and {value!r}")
        out[name] = value
    return out


def _check_drawn(engine: Engine, place: Place, part: Part, strategy: Part) -> None:
    check(
        not place.sampling or strategy.name == "sample",
        f"{engine.title} applies {place.method} only where it samples; this decoder has {strategy}: leave {part} out",
    )
    check(part.name != "temperature" or getattr(part, "t") != 0, f"{engine.title}: write greedy in place of temperature(0)")  # noqa: B009


def commute(one: str, other: str) -> bool:
    """Whether two processors trade places without a difference."""
    kinds = [next((i for i, some in enumerate((SCALES, ADDS, FORBIDS)) if name in some), None) for name in (one, other)]
    if {one, other} == {"temperature", "top_k"}:
        return True
    if None in kinds:
        return False
    return 2 in kinds or kinds == [1, 1] or {one, other} == SCALES


def _inversions(order: Sequence[Place], placed: Sequence[Place]) -> list[tuple[str, str]]:
    """Pairs that stand the other way round than in the order, and may not."""
    at = {place.method: i for i, place in reversed(list(enumerate(order)))}
    pairs = [(a, b) for i, a in enumerate(placed) for b in placed[i + 1 :] if at[a.method] > at[b.method]]
    return [(a.method, b.method) for a, b in pairs if not commute(a.method, b.method)]


def _check_back(engine: Engine, wanted: Sequence[Any], back: Decoder) -> None:
    """Refuse settings that do not mean what they were written for."""
    found, wanted = [_plain(p) for p in back.parts], [_plain(p) for p in wanted]
    lost = [p for p in wanted if p not in found] + [p for p in found if p not in wanted and not isinstance(p, LogSoftmax)]
    if lost:
        raise ParameterError(f"{engine.title} cannot say {lost[0]} there; its settings would mean {back}")


def _plain(part: Any) -> Any:
    """A part in the one of its forms that settings are read as."""
    if isinstance(part, Beam):
        return Beam(**{**vars(part), "renormalise": True})
    if isinstance(part, Bias):
        return Bias(tuple((_token(phrase), amount) for phrase, amount in part.pairs))
    return Banned(*map(_token, part.phrases)) if isinstance(part, Banned) else part


def _token(phrase: Any) -> Any:
    return phrase[0] if isinstance(phrase, tuple) and len(phrase) == 1 else phrase
