"""vLLM."""

from __future__ import annotations

import re
from typing import Any

from unspool.core.decoder import Part
from unspool.errors import ParameterError, Unsupported
from unspool.lab.engines.engine import CallSetting, Engine, Given, Place, Setting
from unspool.lab.engines.places import BIAS, GENERATED, LARK, LIST, NO_SEED, TOKENS, drawn, end_tokens, names_in, place, structured
from unspool.stops.loop import Loop
from unspool.strategies.beam import Beam


def _loop(given: Given) -> Part | None:
    found = given.get("repetition_detection")
    if not found or not found.get("max_pattern_size"):
        return None
    return Loop(found["min_count"], found["max_pattern_size"], found.get("min_pattern_size") or 1)


def _vllm_beams(given: Given) -> Part | None:
    width = given.get("beam_width")
    penalty = float(Setting("length_penalty", 1.0).of(given))
    return Beam(width, length_penalty=penalty, early_stopping="never", n=width, length="with_prompt") if width else None


def _write_vllm_beams(part: Beam) -> dict[str, Any]:
    if (part.n, part.early_stopping, part.length) != (part.width, "never", "with_prompt"):
        raise ParameterError(f"its beam search is beam({part.width}, early_stopping='never', n={part.width}, length='with_prompt')")
    return {"beam_width": part.width, "length_penalty": part.length_penalty}


def _vllm_schema(value: Any) -> Any:
    if {"grammar", "structural_tag"} & {key for key, found in value.items() if found}:
        raise Unsupported(f"a grammar of structured_outputs has no equal: {LARK}")
    return {} if value.get("json_object") else value.get("json")


def _vllm_regex(value: Any) -> Any:
    return "|".join(map(re.escape, value["choice"])) if value.get("choice") else value.get("regex")


VLLM = Engine(
    "vllm",
    "vLLM",
    "sampling_params.py of 2026",
    places=(
        *structured("structured_outputs", _vllm_schema, lambda schema: {"json": schema}, _vllm_regex),
        place("allowed", tokens=("allowed_token_ids", None, TOKENS)),
        place("banned", phrases=("bad_words", None, LIST)),
        place("min_new_tokens", lambda n: n == 0, n=("min_tokens", 0)),
        place("bias", pairs=("logit_bias", None, BIAS), note="Amounts are cut to [-100, 100]."),
        place("repetition_penalty", lambda penalty: penalty == 1, penalty=("repetition_penalty", 1.0), note="Prompt and new tokens."),
        place("frequency_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("frequency_penalty", 0.0)),
        place("presence_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("presence_penalty", 0.0)),
        place("temperature", lambda t: t == 1, t=("temperature", 1.0), sampling=True, note="0 is greedy search."),
        place("min_p", lambda p: p == 0, p=("min_p", 0.0), sampling=True),
        place("top_k", lambda k: k <= 0, k=("top_k", 0), sampling=True, note="0 or -1 keeps all."),
        place("top_p", lambda p: p >= 1, p=("top_p", 1.0), sampling=True),
    ),
    strategies=(
        Place("beam", (Setting("beam_width"), Setting("length_penalty", 1.0)), _vllm_beams, _write_vllm_beams,
              bare=True, note="BeamSearchParams, without processors; length counts the prompt; nothing stops it before max_tokens.",
              differs="every ending counts there, not only one among the best"),
        *drawn(Setting("n", 1), lambda given: 0 <= Setting("temperature", 1.0).of(given) < 1e-5),
    ),
    stops=(
        place("stop", strings=("stop", None, LIST)),
        place("end", tokens=("stop_token_ids", None, TOKENS)),
        Place("loop", (Setting("repetition_detection"),), _loop, lambda part: {"repetition_detection": {
            "max_pattern_size": part.period, "min_pattern_size": part.shortest, "min_count": part.count}}),
    ),
    calls=(
        CallSetting("max_new_tokens", Setting("max_tokens", 16)),
        CallSetting("seed", Setting("seed"), *NO_SEED),
        end_tokens("ignore_eos"),
    ),
    unsaid={
        "include_stop_str_in_output": "the text is cut before a stop string here",
        "thinking_token_budget": "there is no thinking here",
        "trace_decode_token_ids": "use score to see the log-probabilities of a text",
        "extra_args": "they are for plug-ins",
        "best_of": "draw sample(n) and choose",
    },
    ignored=names_in(
        "logprobs prompt_logprobs prompt_logprob_token_ids prompt_logprob_start logprob_token_ids flat_logprobs detokenize"
        " skip_special_tokens spaces_between_special_tokens output_kind stream_interval skip_clone skip_reading_prefix_cache"
        " routed_experts_prompt_start model prompt messages stream"
    ),
)  # fmt: skip
