"""Settings of other engines read as decoders, and decoders written as their settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from unspool.core.decoder import Decoder, Part, as_decoder
from unspool.errors import ParameterError, UnspoolError, Unsupported, check, unknown, whole
from unspool.lab.engines import ENGINES
from unspool.lab.engines.engine import DIFFERENT, LOST, REMARK, Engine, Note, Place
from unspool.lab.engines.forms import settings_of
from unspool.lab.engines.order import inversions
from unspool.lab.engines.places import writer
from unspool.models.loading import read_json
from unspool.processors.constrain import Banned, Bias
from unspool.processors.endings import ForcedEnd
from unspool.processors.force import ForcedBegin
from unspool.processors.shape import LogSoftmax
from unspool.strategies.beam import Beam
from unspool.strategies.greedy import Greedy

T = TypeVar("T")
SEARCHED = ("beam", "diverse_beam")
"""Strategies that are beam search to an engine."""
DRAWN = ("sample", "beam_sample")
"""Strategies that draw tokens: beside them engines apply what they apply only where they sample."""


@dataclass(frozen=True)
class Translation:
    """A decoder and an engine's settings that say the same, and where they do not."""

    engine: str
    decoder: Decoder
    settings: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of `generate`."""
    notes: list[Note] = field(default_factory=list)

    @property
    def lost(self) -> list[Note]:
        """What changes the text and could not be said: where it is empty, nothing that was given is missing."""
        return [note for note in self.notes if note.severity == LOST]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**vars(self), "decoder": str(self.decoder), "notes": [vars(note) for note in self.notes]}


def engine_named(name: str) -> Engine:
    """An engine by its name."""
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    return ENGINES[name]


def from_engine(engine: str, settings: Any, *, tokenizer: Any = None) -> Translation:
    """The decoder that an engine's settings mean, in its order and with its defaults.

    engine: "transformers", "vllm", "llama.cpp" or another that `unspool translate` lists. settings: a mapping; an object with
    `to_dict`, as a GenerationConfig; or text: JSON, a file of it, a Python call such as SamplingParams(top_p=0.9), or llama.cpp's
    flags. tokenizer: that of a model, as `lm.tokenizer`; needed only where an engine takes a text apart into tokens itself.

    `decoder` and `options` of what comes back are for `lm.generate(prompt, found.decoder, **found.options)`; `notes` say what they
    do not hold, `lost` those of them that change the text. A setting that the engine does not have, and a value that it does not
    take or that has no equal here, is an error that names it.
    """
    there = engine_named(engine)
    written, passed = settings_of(there, settings)
    for name in written:
        if name not in there.names:
            raise unknown(f"setting of {there.title}", str(name)[:80], there.names, "unspool translate -o json lists them")
    given = {name: value for name, value in written.items() if value is not None}
    for setting in there.settings:
        if setting.name in given:
            _valued(there, {setting.name: given[setting.name]}, partial(setting.check, given[setting.name]))
    for name in {name for other in there.orderings for name in other} & given.keys():
        check(given[name] in (True, False), f"{there.title}'s {name} is true or false; got {given[name]!r:.80}")
    given = _valued(there, given, lambda: there.prepare(given, tokenizer))
    nulls = written.keys() - given.keys()
    decoder, options, notes = _meant(there, given, nulls)
    unsaid = [note for name, value in given.items() if name in there.unsaid and (note := there.unsaid[name].note(name, value))]
    idle = [Note(name, f"{name}={given[name]!r} has no effect there under {_named(decoder)}") for name in _idle(there, given, nulls)]
    notes = list(dict.fromkeys([*passed, *unsaid, *notes, *there.warn(given), *idle]))
    return Translation(there.name, decoder, written, options, notes)


def to_engine(engine: str, decoder: Any, *, tokenizer: Any = None, **options: Any) -> Translation:
    """An engine's settings that mean a decoder; what cannot be said there is refused.

    engine: see `from_engine`. decoder: a decoder, a part of one, or text. tokenizer: that of a model, as `lm.tokenizer`; needed where a
    decoder names tokens by texts and the engine takes ids alone. options: max_new_tokens, max_length, seed and end_tokens, as `generate`
    takes them.

    `settings` of what comes back are the engine's; `decoder` is what they mean when they are read again, `notes` say where that
    differs.
    """
    there, wanted = engine_named(engine), as_decoder(decoder)
    processors, strategy = there.unwrap(list(wanted.processors), wanted.strategy or Greedy())
    chosen = _place(there, there.strategies, strategy)
    settings = _written(there, chosen, strategy)[0]
    notes: list[Note] = []
    found: dict[str, tuple[Place, Part]] = {}
    for part in processors:
        place = _place(there, (*(there.searching if strategy.name in SEARCHED else ()), *there.places), part)
        check(place.method not in found, f"{there.title} applies {place.method} once; this decoder twice")
        free = not chosen.bare or place.method in chosen.takes
        check(free, f"{there.title}'s {chosen.method} search takes no processors; this decoder has {part}")
        _check_drawn(there, place, part, strategy)
        more, part = _written(there, place, part, tokenizer)
        if place.read(more) is None:
            notes.append(Note(place.settings[0].name, f"{part} changes nothing: left out"))
        else:
            found[place.method] = place, part
            settings = _merged(there, settings, more)
    places = [place for place, _ in found.values()]
    settings |= _order(there, [place for place in places if place not in there.searching], settings)
    for stop in wanted.stops:
        place = _place(there, there.stops, stop)
        check(not chosen.bare or place.method in chosen.takes, f"{there.title}'s {chosen.method} search does not hear {stop}")
        settings = _merged(there, settings, _written(there, place, stop)[0])
    for place in there.ordered(there.places, settings):
        if place.neutral and place.method not in found and not chosen.bare and (writer(strategy).name in DRAWN or not place.sampling):
            settings = place.neutral | settings
    for name, value in options.items():
        settings |= _called(there, name, value)
    back = from_engine(engine, settings)
    _check_back(there, [*(part for _, part in found.values()), *wanted.stops, strategy], back.decoder)
    notes += [note for note in back.notes if note.severity != REMARK]
    return Translation(there.name, back.decoder, settings, options, list(dict.fromkeys(notes)))


def from_model(folder: Path, settings: Mapping[str, Any] | None = None) -> Translation:
    """What a model's own generation_config.json means to transformers, with settings that take the place of those in it.

    A folder without the file may hold the same names in its config.json, as older ones do.
    """
    there, own = ENGINES["transformers"], folder / "generation_config.json"
    known = there.names - there.ignored
    written = read_json(own) if own.is_file() else {n: v for n, v in read_json(folder / "config.json").items() if n in known}
    strange = [Note(name, f"{name} is no setting of {there.title}") for name in written if name not in there.names]
    found = from_engine(there.name, {n: v for n, v in written.items() if n in there.names} | dict(settings or {}))
    return replace(found, notes=[*found.notes, *strange])


def asked_of(folder: Path) -> str:
    """The decoder that a model's generation_config.json asks for, and what of it has no equal; "" if it is greedy search alone."""
    try:
        found = from_model(folder)
    except UnspoolError as error:
        return f"what cannot be said here: {error}"
    lost = [note.setting for note in found.lost]
    plain = [str(found.decoder)] * (str(found.decoder) != "greedy")
    return ", and ".join([*plain, *([", ".join(lost)] if lost else [])])


# --- reading ----------------------------------------------------------------------------------------------------------


def _meant(there: Engine, given: Mapping[str, Any], nulls: Iterable[str]) -> tuple[Decoder, dict[str, Any], list[Note]]:
    """The decoder and the arguments of generate that settings mean, and what is to be said of those that are in them."""
    chosen, strategy = next((p, part) for p in there.strategies if (part := _read(there, p, given)) is not None)
    notes = _said(there, chosen, given)
    parts: list[Part] = []
    ordering = {name: given[name] for name in there.ordering if name in given}
    beams = there.searching if strategy.name in SEARCHED else ()
    for place in (*beams, *_valued(there, ordering, lambda: there.ordered(there.places, given))):
        if (chosen.bare and place.method not in chosen.takes) or (place.sampling and writer(strategy).name not in DRAWN):
            continue
        if (part := _read(there, place, given)) is not None:
            parts.append(part)
            notes += _said(there, place, given)
    parts, strategy = there.wrap(parts, strategy)
    heard = [place for place in there.stops if not chosen.bare or place.method in chosen.takes]
    stops = [(place, stop) for place in heard if (stop := _read(there, place, given)) is not None]
    notes += [note for place, _ in stops for note in _said(there, place, given)]
    notes += [Note("", there.unsure)] if there.unsure and len(parts) > 1 else []
    options = _options(there, given, nulls, notes)
    return Decoder((*parts, strategy, *(stop for _, stop in stops))), options, notes


def _idle(there: Engine, given: Mapping[str, Any], nulls: Iterable[str]) -> list[str]:
    """The settings without which the others mean the same, though their values would do something elsewhere."""
    read = [name for name in given if name not in there.ignored and name not in there.unsaid]
    found = _meant(there, given, nulls)[:2] if read else None
    idle = []
    for name in read:
        try:
            same = _meant(there, {n: value for n, value in given.items() if n != name}, nulls)[:2] == found
        except UnspoolError:
            continue                                                     # another setting needs it
        if same and not _off(there, name, given[name]):
            idle.append(name)
    return idle


def _off(there: Engine, name: str, value: Any) -> bool:
    """Whether a value is one under which its setting does nothing."""
    if name in there.ordering:
        return there.ordered(there.places, {name: value}) == there.ordered(there.places, {})
    if any(s.default == value and s.default is not None for s in there.settings if s.name == name) or value in (None, [], {}, (), ""):
        return True
    if any(c.setting.name == name and c.read(value) is None for c in there.calls):
        return True
    if name == "temperature" and value == 0:
        return True
    of = [place for place in there.everything if any(s.name == name for s in place.settings)]
    return bool(of) and all(len(place.settings) == 1 and _read(there, place, {name: value}) is None for place in of)


def _named(decoder: Decoder) -> str:
    """The search that decides, for a person."""
    names = [part.name for part in decoder.parts if part.role == "strategy" or part.name == "mirostat"]
    return names[0]


def _valued(engine: Engine, written: Mapping[str, Any], read: Callable[[], T]) -> T:
    """What is read of some settings; values that it cannot be read of are refused by the settings' names."""
    text = ", ".join(f"{name}={value!r:.80}" for name, value in written.items())
    try:
        return read()
    except UnspoolError as error:
        named = not written or any(re.search(rf"\b{re.escape(name)}\b", str(error)) for name in written)
        refused = error if named else type(error)(f"{engine.title}'s {text}: {error}")
        refused.about, refused.reason = error.about or tuple(written), error.reason or str(error)
        raise refused from None
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
        refused = ParameterError(f"{engine.title} knows no such value: {text}")
        refused.about, refused.reason = tuple(written), f"{engine.title} knows no such value"
        raise refused from None


def _read(engine: Engine, place: Place, given: Mapping[str, Any]) -> Part | None:
    own = {s.name: given[s.name] for s in place.settings if s.name in given}
    return _valued(engine, own or dict(given), lambda: place.read(given))


def _said(engine: Engine, place: Place, given: Mapping[str, Any]) -> list[Note]:
    names = [s.name for s in place.settings if s.name in given] or [s.name for s in place.settings] or [place.method]
    notes = [Note(names[0], place.differs, DIFFERENT)] if place.differs else []
    if place.tells:
        notes.append(Note(names[0], place.note))
    if place.neutral and place.settings[0].name not in given:
        notes.insert(0, Note(place.settings[0].name, f"{place.settings[0]} is the default of {engine.title}"))
    return notes


def _options(engine: Engine, given: Mapping[str, Any], nulls: Iterable[str], notes: list[Note]) -> dict[str, Any]:
    """The arguments of generate."""
    first: dict[str, Any] = {}
    for call in engine.calls:
        name = call.setting.name
        if name not in given or not call.holds(given):
            continue
        value = _valued(engine, {name: given[name]}, partial(call.read, given[name]))
        for number in () if value is None else value if call.argument == "end_tokens" else (value,):
            whole(f"{engine.title}'s {name}", number, 1 if call.argument.startswith("max_") else 0)
        first.setdefault(call.argument, value)
    found = {argument: value for argument, value in first.items() if value is not None}
    if "max_new_tokens" in found:
        found.pop("max_length", None)
    if found.keys() & {"max_new_tokens", "max_length"}:
        return found
    limits = [c for c in engine.calls if c.argument.startswith("max_") and c.holds(given)]
    for limit in limits:
        default = None if limit.setting.default is None else limit.read(limit.setting.default)
        if default is not None and limit.setting.name not in given and not (limit.endless and limit.setting.name in nulls):
            found[limit.argument] = default
            notes.append(Note(limit.setting.name, f"{limit.setting} is the default of {engine.title}"))
    if not found.keys() & {"max_new_tokens", "max_length"}:
        more = f"{engine.title} goes on until the text ends; give max_new_tokens, or 100 tokens are the most"
        notes.append(Note(limits[0].setting.name, more, DIFFERENT))
    return found


# --- writing ----------------------------------------------------------------------------------------------------------


def _place(engine: Engine, places: Sequence[Place], part: Part) -> Place:
    found = next((p for p in places if p.method == part.name), None)
    if found is None:
        raise Unsupported(f"{engine.title} has nothing like {part}")
    return found


def _written(engine: Engine, place: Place, part: Part, tokenizer: Any = None) -> tuple[dict[str, Any], Part]:
    """The settings that mean a part, and the part: with its texts made tokens, if the engine takes those alone."""
    try:
        return place.write(part), part
    except ParameterError as error:
        known = part if tokenizer is None else part.resolve(tokenizer)
        if known != part:
            return _written(engine, place, known)
        raise ParameterError(f"{engine.title} cannot say {part}: {error}") from None


def _called(engine: Engine, argument: str, value: Any) -> dict[str, Any]:
    """The settings that say an argument of generate, by the first of an engine's that can."""
    calls = [c for c in engine.calls if c.argument == argument]
    check(bool(calls), f"{engine.title} has no setting for {argument}={value!r}")
    for call in calls:
        try:
            return {call.setting.name: call.write(value)} | ({call.where[0].name: call.where[1]} if call.where else {})
        except ParameterError as error:
            refused = error
    raise ParameterError(f"{engine.title} cannot say {argument}={value!r}: {refused}")


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
        not place.sampling or writer(strategy).name in DRAWN,
        f"{engine.title} applies {place.method} only where it samples; this decoder has {strategy}: leave {part} out",
    )
    cold = part.name == "temperature" and getattr(part, "t") == 0 and getattr(writer(strategy), "n", 1) == 1  # noqa: B009
    check(not cold, f"{engine.title}: write greedy in place of temperature(0)")


def _order(engine: Engine, places: Sequence[Place], settings: dict[str, Any]) -> dict[str, Any]:
    """The list of samplers, where the order of a decoder needs one; an order that cannot be had is refused."""
    order = engine.ordered(engine.places, settings)
    more: dict[str, Any] = {}
    for other in engine.orderings if inversions(order, places) else ():
        if not inversions(engine.ordered(engine.places, settings | other), places):
            return other
    if any(p.step for p in order) and (inversions(order, places) or any(p.step and p not in order for p in places)):
        more = {engine.orders: list(dict.fromkeys(p.step for p in places if p.step))}
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
        return replace(part, renormalise=True)
    if isinstance(part, ForcedBegin | ForcedEnd):
        return replace(part, certain=False)
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
