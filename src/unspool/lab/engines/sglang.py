"""SGLang."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from unspool.core.decoder import Part
from unspool.errors import ParameterError, Unsupported
from unspool.lab.engines.engine import CallSetting, Engine, Given, Place, Setting, Unsaid
from unspool.lab.engines.places import BIAS, GENERATED, LARK, LIST, NO_SEED, TOKENS, drawn, end_tokens, names_in, place, structured
from unspool.strategies.beam import Beam


def _sglang_order(places: tuple[Place, ...], given: Given) -> list[Place]:
    """With min_p the three cuts come one after the other, top_k first; otherwise both others look at the whole distribution."""
    late = ("top_k", "top_p", "min_p") if given.get("min_p") else ("top_p", "top_k")
    return [*(p for p in places if p.method not in late), *(p for name in late for p in places if p.method == name)]


NOT_BESIDE_BEAMS = ("json_schema", "regex", "ebnf", "structural_tag", "stop", "stop_regex", "min_new_tokens")
"""What a request for beams may not have."""


def _sglang_beams(given: Given) -> Part | None:
    width = given.get("beam_width") or 1
    if width == 1:
        return None
    if refused := [name for name in NOT_BESIDE_BEAMS if given.get(name)]:
        raise Unsupported(f"beam search there refuses {', '.join(refused)}: leave it out, or beam_width")
    return Beam(width, early_stopping="never", n=Setting("n", 1).of(given))


def _write_sglang_beams(part: Beam) -> dict[str, Any]:
    if (part.early_stopping, part.length, part.length_penalty) != ("never", "generated", 1):
        raise ParameterError(f"its beam search is beam({part.width}, early_stopping='never', n={part.n})")
    return {"beam_width": part.width} | ({"n": part.n} if part.n > 1 else {})


_END = place("end", tokens=("stop_token_ids", None, TOKENS), note="ignore_eos switches these off too.")

SGLANG = Engine(
    "sglang",
    "SGLang",
    "0.5.23",
    places=(
        place("repetition_penalty", lambda penalty: penalty == 1, penalty=("repetition_penalty", 1.0)),
        place("frequency_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("frequency_penalty", 0.0)),
        place("presence_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("presence_penalty", 0.0)),
        place("min_new_tokens", lambda n: n == 0, n=("min_new_tokens", 0)),
        place("bias", lambda pairs: not pairs, pairs=("logit_bias", None, BIAS)),
        *structured("json_schema", lambda value: value, json.dumps),
        place("regex", pattern=("regex", None)),
        place("temperature", lambda t: t == 1, t=("temperature", 1.0), sampling=True, note="0 is greedy search."),
        place("top_p", lambda p: p >= 1, p=("top_p", 1.0), sampling=True,
              note="Its mass is that of all tokens, whatever top_k keeps; with min_p it comes after top_k, and is that of the k."),
        place("top_k", lambda k: k <= 0, k=("top_k", -1), sampling=True),
        place("min_p", lambda p: p == 0, p=("min_p", 0.0), sampling=True),
    ),
    strategies=(
        Place("beam", (Setting("beam_width"), Setting("n", 1)), _sglang_beams, _write_sglang_beams, bare=True, takes=("end",),
              note="Of all else only stop_token_ids act; stop strings, constraints and min_new_tokens are refused.",
              differs="an ending counts there while fewer than beam_width texts that go on stand before it; and the search ends where fewer"
              " than beam_width are left"),
        *drawn(Setting("n", 1), lambda given: 0 <= Setting("temperature", 1.0).of(given) < 1e-6),
    ),
    stops=(
        place("stop", strings=("stop", None, LIST)),
        place("stop_regex", pattern=("stop_regex", None)),
        replace(_END, read=lambda given: None if given.get("ignore_eos") else _END.read(given)),
    ),
    calls=(
        CallSetting("max_new_tokens", Setting("max_new_tokens", 128), endless=True),
        CallSetting("seed", Setting("sampling_seed"), *NO_SEED),
        end_tokens("ignore_eos"),
    ),
    unsaid={
        "ebnf": Unsaid(LARK),
        "structural_tag": Unsaid(LARK),
        "no_stop_trim": Unsaid("the text is cut before a stop string here"),
        "custom_params": Unsaid("they are for plug-ins", ({},)),
        "watermark": Unsaid("write watermark_gumbel(key): algorithm, key and hashes are the engine's and not in a request"),
    },
    ignored=names_in("skip_special_tokens spaces_between_special_tokens stream_interval text model"),
    ordered=_sglang_order,
)  # fmt: skip
