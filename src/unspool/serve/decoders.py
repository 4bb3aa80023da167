"""The decoder that a request's settings mean, by the tables that translate other engines' settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from unspool.core.decoder import Decoder, Part, parse
from unspool.core.model import check_ids
from unspool.errors import UnspoolError, as_json
from unspool.lab.engines import ENGINES
from unspool.lab.translate import from_engine
from unspool.language_model import LanguageModel
from unspool.processors.grammar import JsonSchema
from unspool.serve.errors import Refused, refused
from unspool.serve.fields import DECODER_SETTINGS
from unspool.stops.texts import StopStrings
from unspool.strategies.best_of import BestOf
from unspool.strategies.sample import Sample

QUIET = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""What llama.cpp does by default and a request did not ask for."""
DUMPED = (", ", ": ")
"""What stands between the parts of JSON."""
BESIDE = ("stop", "ignore_eos")
"""Settings that may stand beside a decoder."""


@dataclass(frozen=True)
class Meant:
    """What settings mean."""

    decoder: Decoder
    end_tokens: tuple[int, ...] | None = None
    """Of the text, where they are not the model's."""
    notes: tuple[str, ...] = ()
    """What is to be known of the settings."""


def meant_by(fields: Mapping[str, Any], lm: LanguageModel) -> Meant:
    """What the settings of a request mean for a model; what cannot be is refused by the name of a setting that was given."""
    given = {name: value for name, value in fields.items() if name in DECODER_SETTINGS["vllm"] | DECODER_SETTINGS["llama.cpp"]}
    if "decoder" in fields:
        found = _written(fields, given)
        _check_resolves(found.decoder, lm, lambda part: "decoder", fields)
        return found
    engine = _engine(given)
    found = _by_settings(engine, fields, given, lm)
    _check_resolves(found.decoder, lm, lambda part: _field_of(part, engine, given), given)
    return found


def _engine(given: Mapping[str, Any]) -> str:
    """The engine whose settings these are."""
    ours, theirs = DECODER_SETTINGS["vllm"], DECODER_SETTINGS["llama.cpp"]
    by_pairs = {"logit_bias"} if isinstance(given.get("logit_bias"), list) else set()
    of_vllm, of_llama = given.keys() - theirs, (given.keys() - ours) | by_pairs
    if of_vllm and of_llama:
        one, other = ", ".join(sorted(of_vllm)), ", ".join(sorted(of_llama))
        raise Refused(f"{one} beside {other}: those are vLLM's settings and these llama.cpp's; give one kind, or a decoder", min(of_llama))
    return "llama.cpp" if of_llama else "vllm"


def _by_settings(engine: str, fields: Mapping[str, Any], given: Mapping[str, Any], lm: LanguageModel) -> Meant:
    n, best = given.get("n", 1), fields.get("best_of", 1)
    if "best_of" in fields and best < n:
        raise Refused(f"best_of ({best}) is at least n ({n})", "best_of")
    drawn, several = max(n, best), "best_of" if best > 1 else "n"
    if drawn > 1 and given.get("temperature") == 0 and not given.get("use_beam_search"):
        raise Refused(f"{several} is {drawn} and temperature 0: there is one text at temperature 0, so leave out one of them", several)
    settings = QUIET | {k: v for k, v in given.items() if k != "n"} if engine == "llama.cpp" else {**given, "n": drawn}
    try:
        found = from_engine(engine, settings, tokenizer=lm.tokenizer)
    except UnspoolError as error:
        raise _by_name(error, next((name for name in error.about if name in given), None), given) from None
    except RecursionError:
        raise Refused("a setting is nested too deeply") from None
    wanted = given.get("response_format") or given.get("structured_outputs") or {}
    decoder = _closed(found.decoder, wanted.get("type") == "json_object" or wanted.get("json_object") is True)
    if engine == "llama.cpp" and drawn > 1:
        decoder = _strategy(decoder, Sample(drawn), several)
    if best > 1:
        decoder = _strategy(decoder, BestOf(best, by="mean_logprob", n=n), several)
    notes = tuple(str(note) for note in found.notes if note.setting in given and "white space" not in note.what)
    return Meant(decoder, found.options.get("end_tokens"), notes)


def _by_name(error: UnspoolError, name: str | None, given: Mapping[str, Any]) -> Refused:
    """An error about a setting, in that setting's words."""
    if name is None or not error.reason or name in error.reason:
        return refused(error, name)
    return Refused(f"{name}: {error.reason}; got {as_json(given[name])}", name)


def _field_of(part: Part, engine: str, given: Mapping[str, Any]) -> str | None:
    """The setting of a request that makes a part."""
    places = [place for place in ENGINES[engine].everything if place.method == part.name]
    return next((s.name for place in places for s in place.settings if s.name in given), None)


def _check_resolves(decoder: Decoder, lm: LanguageModel, field_of: Callable[[Part], str | None], given: Mapping[str, Any]) -> None:
    """Refuse parts that the model's tokenizer and vocabulary cannot have, by the field that they come from."""
    for part in decoder.parts:
        try:
            for found in lm.resolve(part).parts:
                check_ids(found.name, found.token_ids(), lm.model.vocabulary)
        except UnspoolError as error:
            raise _by_name(error, field_of(part), given) from None


def _written(fields: Mapping[str, Any], given: Mapping[str, Any]) -> Meant:
    """A decoder in its text form, and what may stand beside it."""
    quiet = {name for name in ("temperature", "n", "best_of") if given.get(name, fields.get(name)) in (0, 1)}
    quiet |= {name for name, value in given.items() if _says_nothing(name, value)}
    beside = sorted(({*given} | ({"best_of"} & fields.keys())) - quiet - {*BESIDE})
    if beside:
        raise Refused(f"decoder says all that {', '.join(beside)} would say: leave one of them out", beside[0])
    try:
        decoder = parse(fields["decoder"])
    except UnspoolError as error:
        raise refused(error, "decoder") from None
    except RecursionError:
        raise Refused("the decoder is nested too deeply", "decoder") from None
    stop = given.get("stop")
    if stop:
        decoder = decoder | StopStrings(*([stop] if isinstance(stop, str) else stop))
    return Meant(decoder, () if given.get("ignore_eos") else None)


def _says_nothing(name: str, value: Any) -> bool:
    """Whether a setting is at the value that switches it off, as clients send some unasked."""
    engine, others = ("vllm", {}) if name in DECODER_SETTINGS["vllm"] else ("llama.cpp", QUIET)
    try:
        found = from_engine(engine, others | {name: value})
    except UnspoolError:
        return False                                                     # it says something that needs others
    return found.decoder == from_engine(engine, others).decoder and not any(note.setting == name for note in found.notes)


def _closed(decoder: Decoder, whole: bool) -> Decoder:
    """A decoder whose JSON has no white space but that of `json.dumps`: with any allowed a text may go on with it for ever.

    whole: whether the JSON is any object.
    """

    def one(part: Part) -> Part:
        if not isinstance(part, JsonSchema):
            return part
        return JsonSchema({"type": "object"}) if whole else replace(part, separators=DUMPED)

    return Decoder(tuple(map(one, decoder.parts)))


def _strategy(decoder: Decoder, strategy: Any, several: str) -> Decoder:
    """A decoder with another strategy in place of sampling; several: the field that asks for it."""
    if not isinstance(decoder.strategy, Sample):
        raise Refused(f"several texts are drawn; {decoder.strategy} draws none, and finds one: leave out {several}", several)
    return Decoder(tuple(strategy if part is decoder.strategy else part for part in decoder.parts))
