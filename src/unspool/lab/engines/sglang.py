"""SGLang."""

from __future__ import annotations

import json

from unspool.lab.engines.engine import CallSetting, Engine, Given, Place, Setting, Unsaid
from unspool.lab.engines.places import BIAS, GENERATED, LARK, LIST, NO_SEED, TOKENS, drawn, end_tokens, names_in, place, structured


def _sglang_order(places: tuple[Place, ...], given: Given) -> list[Place]:
    """With min_p the three cuts come one after the other, top_k first; otherwise both others look at the whole distribution."""
    late = ("top_k", "top_p", "min_p") if given.get("min_p") else ("top_p", "top_k")
    return [*(p for p in places if p.method not in late), *(p for name in late for p in places if p.method == name)]


SGLANG = Engine(
    "sglang",
    "SGLang",
    "sampling_params.py of 2026",
    places=(
        place("repetition_penalty", lambda penalty: penalty == 1, penalty=("repetition_penalty", 1.0)),
        place("frequency_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("frequency_penalty", 0.0)),
        place("presence_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("presence_penalty", 0.0)),
        place("min_new_tokens", lambda n: n == 0, n=("min_new_tokens", 0)),
        place("bias", pairs=("logit_bias", None, BIAS)),
        *structured("json_schema", lambda value: value, json.dumps),
        place("regex", pattern=("regex", None)),
        place("temperature", lambda t: t == 1, t=("temperature", 1.0), sampling=True, note="0 is greedy search."),
        place("top_p", lambda p: p >= 1, p=("top_p", 1.0), sampling=True,
              note="Its mass is that of all tokens, whatever top_k keeps; with min_p it comes after top_k, and is that of the k."),
        place("top_k", lambda k: k <= 0, k=("top_k", -1), sampling=True),
        place("min_p", lambda p: p == 0, p=("min_p", 0.0), sampling=True),
    ),
    strategies=drawn(Setting("n", 1), lambda given: 0 <= Setting("temperature", 1.0).of(given) < 1e-6),
    stops=(
        place("stop", strings=("stop", None, LIST)),
        place("stop_regex", pattern=("stop_regex", None)),
        place("end", tokens=("stop_token_ids", None, TOKENS)),
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
        "watermark": Unsaid("there is watermark_kgw(...) and watermark_synthid(...), but not its Gumbel watermark"),
    },
    ignored=names_in("skip_special_tokens spaces_between_special_tokens stream_interval text model"),
    ordered=_sglang_order,
)  # fmt: skip
