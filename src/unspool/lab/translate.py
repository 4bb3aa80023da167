"""Settings of other engines read as decoders, and decoders written as their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from unspool.core.decoder import Decoder, Part, as_decoder
from unspool.errors import ParameterError, UnspoolError, Unsupported, check, unknown
from unspool.lab.engines import ENGINES
from unspool.lab.engines.engine import Engine, Place
from unspool.lab.engines.forms import settings_of
from unspool.lab.engines.order import inversions
from unspool.processors.constrain import Banned, Bias
from unspool.processors.shape import LogSoftmax
from unspool.strategies.beam import Beam
from unspool.strategies.greedy import Greedy

T = TypeVar("T")
UNSET: tuple[Any, ...] = (None, False, 0, 1, "", [], {}, ())
"""Values of a setting under which it does nothing."""


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
    notes += _said(there, chosen, given)
    parts: list[Part] = []
    for place in _valued(there, {"samplers": given.get("samplers")}, lambda: there.ordered(there.places, given)):
        written = [f"{s.name}={given[s.name]!r}" for s in place.settings if s.name in given and s not in chosen.settings]
        if chosen.bare or (place.sampling and strategy.name != "sample"):
            if written and place.method != "temperature":
                notes.append(f"{', '.join(written)} has no effect there under {strategy.name}")
            continue
        if (part := _read(there, place, given)) is not None:
            parts.append(part)
            notes += _said(there, place, given)
    parts, strategy = there.wrap(parts, strategy)
    stops = [(place, stop) for place in there.stops if (stop := _read(there, place, given)) is not None]
    notes += [note for place, _ in stops for note in _said(there, place, given)]
    options = _options(there, given, notes)
    said = (name for name, value in given.items() if name in there.unsaid and (value is True or value not in UNSET))
    notes += [f"{name}: {there.unsaid[name]}" for name in said]
    notes += [there.unsure] if there.unsure and len(parts) > 1 else []
    return Translation(there.name, Decoder((*parts, strategy, *(stop for _, stop in stops))), given, options, list(dict.fromkeys(notes)))


def to_engine(engine: str, decoder: Any, **options: Any) -> Translation:
    """An engine's settings that mean a decoder; what cannot be said there is refused.

    options: max_new_tokens, max_length, seed and end_tokens, as `generate` takes them.
    """
    there, wanted = engine_named(engine), as_decoder(decoder)
    processors, strategy = there.unwrap(list(wanted.processors), wanted.strategy or Greedy())
    chosen = _place(there, there.strategies, strategy)
    settings = _written(there, chosen, strategy)
    notes: list[str] = []
    found: dict[str, tuple[Place, Part]] = {}
    for part in processors:
        place = _place(there, there.places, part)
        check(place.method not in found, f"{there.title} applies {place.method} once; this decoder twice")
        check(not chosen.bare, f"{there.title}'s {chosen.method} search takes no processors; this decoder has {part}")
        _check_drawn(there, place, part, strategy)
        more = _written(there, place, part)
        if place.read(more) is None:
            notes.append(f"{part} changes nothing: left out")
        else:
            found[place.method] = place, part
            settings = _merged(there, settings, more)
    places = [place for place, _ in found.values()]
    settings |= _order(there, places, settings)
    for stop in wanted.stops:
        settings = _merged(there, settings, _written(there, _place(there, there.stops, stop), stop))
    for place in there.ordered(there.places, settings):
        if place.neutral and place.method not in found and (strategy.name == "sample" or not place.sampling):
            settings = place.neutral | settings
    for name, value in options.items():
        calls = [c for c in there.calls if c.argument == name]
        check(bool(calls), f"{there.title} has no setting for {name}={value!r}")
        settings[calls[0].setting.name] = calls[0].write(value)
    back = from_engine(engine, settings)
    _check_back(there, [*(part for _, part in found.values()), *wanted.stops, strategy], back.decoder)
    notes += [f"{place.method}: {place.differs}" for place in [chosen, *places] if place.differs]
    return Translation(there.name, back.decoder, settings, options, notes)


# --- reading ----------------------------------------------------------------------------------------------------------


def _valued(engine: Engine, written: Mapping[str, Any], read: Callable[[], T]) -> T:
    """What is read of some settings; values that it cannot be read of are refused."""
    try:
        return read()
    except UnspoolError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError):
        text = ", ".join(f"{name}={value!r}" for name, value in written.items())
        raise ParameterError(f"{engine.title} knows no such value: {text}") from None


def _read(engine: Engine, place: Place, given: Mapping[str, Any]) -> Part | None:
    return _valued(engine, {s.name: given[s.name] for s in place.settings if s.name in given}, lambda: place.read(given))


def _said(engine: Engine, place: Place, given: Mapping[str, Any]) -> list[str]:
    notes = [f"{place.method}: {place.differs}"] if place.differs else []
    if place.neutral and place.settings[0].name not in given:
        notes.insert(0, f"{place.settings[0]} is the default of {engine.title}")
    return notes


def _options(engine: Engine, given: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The arguments of generate."""
    found: dict[str, Any] = {}
    for call in engine.calls:
        name = call.setting.name
        if name in given and (value := _valued(engine, {name: given[name]}, partial(call.read, given[name]))) is not None:
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


def _order(engine: Engine, places: Sequence[Place], settings: dict[str, Any]) -> dict[str, Any]:
    """The list of samplers, where the order of a decoder needs one; an order that cannot be had is refused."""
    order = engine.ordered(engine.places, settings)
    more: dict[str, Any] = {}
    if any(p.step for p in order) and (inversions(order, places) or any(p.step and p not in order for p in places)):
        more = {"samplers": list(dict.fromkeys(p.step for p in places if p.step))}
        order = engine.ordered(engine.places, settings | more)
    for place in places:
        check(place in order, f"{engine.title} leaves {place.method} out beside {'mirostat' if 'mirostat' in settings else 'these'}")
    for first, second in inversions(order, places):
        raise ParameterError(f"{engine.title} applies {second} before {first}; this decoder the other way round")
    return more


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


def call_for(settings: Mapping[str, Any]) -> str:
    """The arguments of `generate` that say what another library's keywords say, as text; "" if none of them knows the keywords.

    What those libraries do by default is left out: nothing is on by default here.
    """
    limited = any(word in name for name in settings for word in ("max", "length", "predict"))
    for name in ("transformers", "vllm", "llama.cpp", "openai"):
        quiet: dict[str, Any] = {"top_k": 0} if name == "transformers" else {}
        if name == "transformers" and not {"num_beams", "do_sample"} & settings.keys():
            quiet["do_sample"] = True
        try:
            found = from_engine(name, {**quiet, **settings})
        except UnspoolError:
            continue
        options = found.options.items() if limited else ()
        return ", ".join([repr(str(found.decoder)), *(f"{k}={v!r}" for k, v in options)])
    return ""
