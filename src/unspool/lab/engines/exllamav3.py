"""ExLlamaV3: its jobs, and ComboSampler."""

from __future__ import annotations

from typing import Any

from unspool.core.decoder import Part
from unspool.lab.engines.engine import DIFFERENT, REMARK, CallSetting, Engine, Given, Note, Place, Setting, Unsaid
from unspool.lab.engines.places import ALL, NO_SEED, TEXTS, Codec, all_ids, as_tuple, drawn, names_in, place
from unspool.stops.texts import StopStrings
from unspool.stops.tokens import End

_WHOLE = int(10e7)
"""From here on it looks back on the whole text."""
_RANGE = ("rep_sustain_range", _WHOLE, Codec(lambda n: None if n >= _WHOLE else n, lambda n: _WHOLE if n is None else n))


def _conditions(given: Given, kind: type) -> list[Any]:
    found = given.get("stop_conditions")
    return [] if found is None else [c for c in as_tuple(found) if isinstance(c, kind)]


def _strings(given: Given) -> Part | None:
    found = _conditions(given, str)
    return StopStrings(*found) if found else None


def _tokens(given: Given) -> Part | None:
    found = _conditions(given, int)
    return End(*found) if found else None


def _temperature_last(places: tuple[Place, ...], given: Given) -> list[Place]:
    late = ("temperature", "adaptive_p") if given.get("temp_last") else ("adaptive_p",)
    return [*(p for p in places if p.method not in late), *(p for name in late for p in places if p.method == name)]


def _warned(given: Given) -> list[Note]:
    found = [Note("stop_conditions", "a job ends at these alone there, and at the model's end tokens where these hold them", DIFFERENT)]
    if given.get("rep_decay_range") and (given.get("pres_p") or given.get("freq_p")):
        found.append(Note("rep_decay_range", "pres_p and freq_p fade out over it there; here they end with rep_sustain_range", DIFFERENT))
    return found


EXLLAMAV3 = Engine(
    "exllamav3",
    "ExLlamaV3",
    "generator of August 2026",
    places=(
        place("banned", phrases=("banned_strings", None, TEXTS),
              differs="there the text is taken back once a string has come, in whatever tokens and capitals"),
        place("min_new_tokens", lambda n: n == 0, n=("min_new_tokens", 0)),
        place("repetition_penalty", lambda penalty, window, decay: penalty == 1, penalty=("rep_p", 1.0), window=_RANGE,
              decay=("rep_decay_range", 0), note="Prompt and new tokens."),
        place("presence_penalty", lambda penalty, window: penalty == 0, ALL, penalty=("pres_p", 0.0), window=_RANGE),
        place("frequency_penalty", lambda penalty, window: penalty == 0, ALL, penalty=("freq_p", 0.0), window=_RANGE),
        place("temperature", lambda t: t == 1, t=("temperature", 1.0), sampling=True, note="0 is greedy search. Last with temp_last."),
        place("min_p", lambda p: p == 0, p=("min_p", 0.0), sampling=True),
        place("top_k", lambda k: k <= 0, k=("top_k", 0), sampling=True, note="1 is greedy search."),
        place("top_p", lambda p: p >= 1, p=("top_p", 1.0), sampling=True),
        place("adaptive_p", lambda target, decay: target == 1, target=("adaptive_target", 1.0), decay=("adaptive_decay", 0.9),
              sampling=True),
    ),
    strategies=drawn(None, lambda given: Setting("temperature", 1.0).of(given) == 0 or given.get("top_k") == 1),
    stops=(
        Place("stop", (Setting("stop_conditions"),), _strings, lambda part: {"stop_conditions": list(part.strings)}),
        Place("end", (Setting("stop_conditions"),), _tokens, lambda part: {"stop_conditions": all_ids(part.tokens)}),
    ),
    calls=(CallSetting("max_new_tokens", Setting("max_new_tokens", 100)), CallSetting("seed", Setting("seed"), *NO_SEED)),
    unsaid={
        "token_healing": Unsaid("put heal(1) first, which takes the last token back and spells its bytes anew"),
        "stop_on_loop": Unsaid("write loop(count, period=...)"),
        "filters": Unsaid("write regex(...), json_schema(...) or grammar(...)", ([],)),
        "filter_prefer_eos": Unsaid("an end is as likely as the model has it here"),
        "decode_special_tokens": Unsaid("special tokens have no text here", (False,), REMARK),
    },
    ignored=names_in("input_ids max_skips sampler return_top_tokens return_logits return_probs identifier embeddings"),
    note="The order of ComboSampler.",
    ordered=_temperature_last,
    orders="temp_last",
    orderings=({"temp_last": True},),
    warn=_warned,
)  # fmt: skip
