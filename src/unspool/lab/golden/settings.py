"""Which settings the golden vectors of an engine try: each alone with several values, and two together where their order matters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unspool.lab.engines.engine import Engine
from unspool.lab.golden.inputs import GOLDEN_END, GOLDEN_VOCABULARY

_SAMPLING: dict[str, dict[str, Any]] = {
    "transformers": {"do_sample": True},
    "openvino": {"do_sample": True},
    "mlx-lm": {"temp": 1.0},
    "ctranslate2": {"sampling_topk": 0},
    "tensorrt-llm": {"temperature": 1.0},
}
"""What makes an engine draw, where it does not by itself."""
_UNBROKEN: dict[str, dict[str, Any]] = {"llama.cpp": {"dry_sequence_breakers": []}}
"""What keeps the breakers that an engine has by default out of cases about something else."""
_A, _B, _C, _D = (GOLDEN_VOCABULARY.index(f" {letter}") for letter in "abcd")
_COLD, _SURE = (0, 0.5, 1.7), (0.05, 0.5, 0.9, 0.99)
_PENALTY, _ADDED = (1.3, 0.8), (0.7, -0.6)
TRIED_VALUES: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("temperature", "temp", "sampling_temperature"), _COLD),
    **dict.fromkeys(("top_k", "sampling_topk"), (1, 3, 5, 8, 100)),
    **dict.fromkeys(("top_p", "sampling_topp"), _SURE),
    "min_p": (0.02, 0.2, 1.0),
    "typical_p": (0.1, 0.6, 0.95),
    "top_h": (0.3, 0.7),
    "tfs": (0.5, 0.95),
    "top_a": (0.2, 0.9),
    "top_n_sigma": (0.5, 1.5),
    "smoothing_factor": (0.4,),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff"), (0.02, 0.2)),
    **dict.fromkeys(("repetition_penalty", "repeat_penalty", "rep_p", "encoder_repetition_penalty"), _PENALTY),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "freq_p", "pres_p"), _ADDED),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), (1, 2, 3)),
    **dict.fromkeys(("min_tokens", "min_new_tokens"), (1, 3)),
    "min_length": (1, 7),
    "xtc_probability": (1.0,),
    "dynatemp_range": (0.5,),
    "dry_multiplier": (0.8,),
    "logit_bias": ([[_A, 1.5], [_D, -2.0]],),
    "sequence_bias": ([[[_A], 1.5], [[_B, _D], -2.0], [[_D, _C], 3.0]],),
    "bad_words_ids": ([[_A], [_D, _B], [_B, _D, _C]],),
    "bad_words": ([" a", " d b"],),
    "banned_strings": ([" a", " d b"],),
    "bad_token_ids": ([_A, _D],),
    "custom_token_bans": (f"{_A},{_D}",),
    "allowed_token_ids": ([_A, _C, _D, GOLDEN_END],),
    "suppress_tokens": ([_A, _D],),
    "begin_suppress_tokens": ([_A, _D],),
    "exponential_decay_length_penalty": ([1, 1.4],),
    "renormalize_logits": (True,),
    "watermarking_config": ({"greenlist_ratio": 0.4, "bias": 1.5},),
}
"""Values to try; of a setting that is not here a golden vector would show nothing, or the whole of a run and not one step."""
_OF_ITS_OWN: dict[tuple[str, str], tuple[Any, ...]] = {
    ("transformers", "temperature"): _COLD[1:],
    ("text-generation-webui", "epsilon_cutoff"): (200, 2000),
    ("text-generation-webui", "eta_cutoff"): (200, 2000),
    ("openvino", "top_k"): (1, 3, 5, 8),
    ("vllm", "logit_bias"): ({str(_A): 1.5, str(_D): -2.0},),
    ("sglang", "logit_bias"): ({str(_A): 1.5, str(_D): -2.0},),
    ("openai", "logit_bias"): ({str(_A): 1.5, str(_D): -2.0},),
    ("mlx-lm", "logit_bias"): ({str(_A): 1.5, str(_D): -2.0},),
    ("text-generation-webui", "logit_bias"): ({str(_A): 1.5, str(_D): -2.0},),
}
_BESIDE: dict[str, tuple[dict[str, Any], ...]] = {
    "repeat_penalty": ({}, {"repeat_last_n": 3}),
    "repetition_penalty": ({}, {"repetition_context_size": 3}, {"repetition_penalty_range": 3}, {"include_prompt_in_result": False}),
    "frequency_penalty": ({}, {"repeat_last_n": 3}, {"frequency_context_size": 3}, {"repetition_penalty_range": 3}),
    "presence_penalty": ({}, {"repeat_last_n": 3}, {"presence_context_size": 3}, {"repetition_penalty_range": 3}),
    "rep_p": ({}, {"rep_sustain_range": 3}, {"rep_sustain_range": 3, "rep_decay_range": 4}),
    "typical_p": ({}, {"min_keep": 4}),
    "min_p": ({}, {"min_keep": 4}, {"min_tokens_to_keep": 4}),
    "top_p": ({}, {"min_keep": 4}),
    "xtc_probability": ({}, {"xtc_threshold": 0.05}, {"xtc_special_tokens": [_B]}),
    "dynatemp_range": ({}, {"dynatemp_exponent": 2.0}),
    "smoothing_factor": ({}, {"smoothing_curve": 1.6}),
    "dry_multiplier": ({}, {"dry_base": 1.5, "dry_allowed_length": 1}, {"dry_sequence_breakers": [" c"]}, {"dry_penalty_last_n": 6}),
    "temperature": ({}, {"dynamic_temperature": True, "dynatemp_low": 0.5, "dynatemp_high": 1.8}),
}
"""What else is given with a setting, in a case more for each."""


_ORDERS: dict[str, tuple[dict[str, Any], ...]] = {
    "llama.cpp": (
        {"samplers": ["temperature", "top_p"], "temperature": 1.7, "top_p": 0.8},
        {"samplers": ["top_p", "temperature"], "temperature": 1.7, "top_p": 0.8},
        {"samplers": ["min_p", "penalties", "temperature"], "min_p": 0.2, "repeat_penalty": 1.5, "temperature": 0.7},
    ),
    "exllamav3": ({"temp_last": False, "temperature": 1.7, "top_p": 0.8}, {"temp_last": True, "temperature": 1.7, "top_p": 0.8}),
    "text-generation-webui": (
        {"temperature_last": False, "temperature": 1.7, "top_p": 0.8},
        {"temperature_last": True, "temperature": 1.7, "top_p": 0.8},
        {"sampler_priority": "top_p\ntemperature\nmin_p", "temperature": 1.7, "top_p": 0.8, "min_p": 0.2},
    ),
}
"""Settings that say an order, beside others that feel it."""


def each_alone(engine: Engine) -> Iterator[dict[str, Any]]:
    """No setting at all, then each by itself: what the engine has on by default beside it is switched off."""
    yield {}
    off = quiet(engine)
    yield off
    for name in dict.fromkeys(s.name for place in engine.places for s in place.settings if s.name in TRIED_VALUES):
        for value in _OF_ITS_OWN.get((engine.name, name), TRIED_VALUES[name]):
            for more in _BESIDE.get(name, ({},)):
                if more.keys() <= engine.names:
                    yield off | {name: value} | more
    yield from (off | order for order in _ORDERS.get(engine.name, ()))


def pairs(engine: Engine) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Two settings of different processors: each alone, and both."""
    off, some = quiet(engine), dict[str, tuple[str, Any]]()
    for place in engine.places:
        for name in (s.name for s in place.settings if s.name in TRIED_VALUES):
            values = _OF_ITS_OWN.get((engine.name, name), TRIED_VALUES[name])
            some.setdefault(place.method, (name, values[len(values) // 2]))
    found = list(dict(some.values()).items())
    for i, (name, value) in enumerate(found):
        for other, its in found[i + 1 :]:
            if name != other:
                yield off | {name: value}, off | {other: its}, off | {name: value, other: its}


def quiet(engine: Engine) -> dict[str, Any]:
    """The settings under which an engine draws from the model's own distribution."""
    found = dict(_SAMPLING.get(engine.name, {}))
    for place in engine.places:
        found = {**place.neutral, **found}
    return found | _UNBROKEN.get(engine.name, {})
