"""vLLM."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from unspool.core.decoder import Part
from unspool.errors import ParameterError, Unsupported, is_whole
from unspool.lab.engines.engine import REMARK, CallSetting, Engine, Given, Place, Setting, Unsaid
from unspool.lab.engines.openai import PLAIN_TEXT, openai_schema
from unspool.lab.engines.places import (
    CLAMPED,
    GENERATED,
    LARK,
    LIST,
    NO_SEED,
    NOT_NONE,
    TEXTS,
    TOKENS,
    Codec,
    drawn,
    end_tokens,
    known_keys,
    looked_up,
    names_in,
    place,
    structured,
)
from unspool.stops.loop import Loop
from unspool.strategies.beam import Beam
from unspool.strategies.lookup import PromptLookup

LATE = Codec(lambda n: n, lambda n: n or None)
"""A number of tokens; none is not written."""
WARM = Codec(lambda t: max(t, 0.01) if t > 0 else t, lambda t: t)
"""Temperatures above 0, of which it raises the lowest."""


def _loop(given: Given) -> Part | None:
    """Looked for from the token on with which min_tokens is reached."""
    found, least = given.get("repetition_detection"), Setting("min_tokens", 0).of(given)
    if not found or not known_keys("repetition_detection", found, "max_pattern_size min_pattern_size min_count").get("max_pattern_size"):
        return None
    if found.get("min_count") is None:
        raise ParameterError("repetition_detection has no min_count: how often the pattern comes in a row before the text ends, 2 or more")
    return Loop(found["min_count"], found["max_pattern_size"], found.get("min_pattern_size") or 1, max(least - 1, 0))


def _write_loop(part: Loop) -> dict[str, Any]:
    found = {"max_pattern_size": part.period, "min_pattern_size": part.shortest, "min_count": part.count}
    return {"repetition_detection": found} | ({"min_tokens": part.after + 1} if part.after else {})


def _vllm_beams(given: Given) -> Part | None:
    width = given.get("beam_width") or (Setting("n", 1).of(given) if given.get("use_beam_search") else None)
    if width and given.get("allowed_token_ids") and given.get("structured_outputs"):
        raise Unsupported("beam search there takes allowed_token_ids or structured_outputs, not both")
    penalty = float(Setting("length_penalty", 1.0).of(given))
    return Beam(width, length_penalty=penalty, early_stopping="never", n=width) if width else None


def _write_vllm_beams(part: Beam) -> dict[str, Any]:
    if (part.n, part.early_stopping, part.length) != (part.width, "never", "generated"):
        raise ParameterError(f"its beam search is beam({part.width}, early_stopping='never', n={part.width})")
    return {"beam_width": part.width, "length_penalty": part.length_penalty}


def _vllm_schema(value: Any) -> Any:
    known, white = "json json_object regex choice disable_fallback", "disable_any_whitespace whitespace_pattern"
    known_keys("structured_outputs", value, f"{known} {white} disable_additional_properties", "grammar structural_tag", LARK)
    if found := sorted(key for key in names_in(f"{white} disable_additional_properties") & value.keys() if value[key]):
        raise Unsupported(f"{', '.join(found)} of structured_outputs has no equal: write json_schema(schema, separators=(',', ':'))")
    return {} if value.get("json_object") else value.get("json")


def _vllm_regex(value: Any) -> Any:
    return "|".join(map(re.escape, value["choice"])) if value.get("choice") else value.get("regex")


_SCHEMA, _REGEX = structured("structured_outputs", _vllm_schema, lambda schema: {"json": schema}, _vllm_regex)
(_FORMAT,) = structured("response_format", openai_schema, lambda schema: {"type": "json_object"}, unasked=PLAIN_TEXT)


def _lookup(given: Given) -> dict[str, Any] | None:
    """The n-gram method; where one of its lengths is given, the other is the same."""
    found = given.get("speculative_config")
    if not found:
        return None
    if found.get("method") != "ngram":
        kind = found.get("method")
        raise Unsupported(f"speculative_config of method {kind!r} is not read: it makes the same text faster, so leave it out")
    known_keys("speculative_config", found, "method num_speculative_tokens prompt_lookup_max prompt_lookup_min")
    most, least = found.get("prompt_lookup_max"), found.get("prompt_lookup_min")
    return {"tokens": found["num_speculative_tokens"], "longest": most or least or 5, "shortest": least or most or 5}


def _write_lookup(part: PromptLookup) -> dict[str, Any]:
    found = {"num_speculative_tokens": part.tokens, "prompt_lookup_max": part.longest, "prompt_lookup_min": part.shortest}
    return {"speculative_config": {"method": "ngram"} | found}


_PLAIN = drawn(Setting("n", 1), lambda given: Setting("temperature", 1.0).of(given) == 0, "it draws one text at temperature 0")


def _checked(given: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """Settings that contradict each other are refused there before anything is read."""
    least, most = given.get("min_tokens"), given.get("max_tokens")
    if least is not None and most is not None and is_whole(least) and is_whole(most) and least > most:
        raise ParameterError(f"min_tokens ({least}) is at most max_tokens ({most})")
    return given


def _either(given: Given) -> Part | None:
    """A schema by vLLM's own name, or by that of OpenAI's requests."""
    if given.get("structured_outputs") and given.get("response_format"):
        raise Unsupported("response_format beside structured_outputs: give one of them")
    return _SCHEMA.read(given) or _FORMAT.read(given)


VLLM = Engine(
    "vllm",
    "vLLM",
    "0.33.0",
    places=(
        replace(_SCHEMA, settings=(*_SCHEMA.settings, *_FORMAT.settings), read=_either),
        _REGEX,
        place("allowed", tokens=("allowed_token_ids", None, NOT_NONE)),
        place("banned", phrases=("bad_words", None, TEXTS), differs="a phrase that begins in the prompt can be completed there"),
        place("min_new_tokens", lambda n: n == 0, n=("min_tokens", 0)),
        place("bias", lambda pairs: not pairs, pairs=("logit_bias", None, CLAMPED), note="Amounts are cut to [-100, 100]."),
        place("repetition_penalty", lambda penalty: penalty == 1, penalty=("repetition_penalty", 1.0), note="Prompt and new tokens."),
        place("frequency_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("frequency_penalty", 0.0)),
        place("presence_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("presence_penalty", 0.0)),
        place("thinking_budget", lambda tokens: tokens < 0, tokens=("thinking_token_budget", None),
              differs="the tags of thinking are those of its reasoning parser"),
        place("temperature", lambda t: t == 1, t=("temperature", 1.0, WARM), sampling=True,
              note="0 is greedy search; below 0.01 it is 0.01."),
        place("min_p", lambda p: p == 0, p=("min_p", 0.0), sampling=True),
        place("top_k", lambda k: k in (0, -1), k=("top_k", 0), sampling=True, note="0 or -1 keeps all."),
        place("top_p", lambda p: p == 1, p=("top_p", 1.0), sampling=True),
    ),
    strategies=(
        Place("beam", (Setting("beam_width"), Setting("use_beam_search", False), Setting("length_penalty", 1.0)), _vllm_beams,
              _write_vllm_beams, bare=True, takes=("json_schema", "regex", "allowed"),
              note="BeamSearchParams, or use_beam_search with n as the width. Of all else only structured_outputs or allowed_token_ids"
              " act; nothing stops it before max_tokens. Before 0.33 lengths counted the prompt, and not the end.",
              differs="every ending counts there, not only one among the best"),
        looked_up(_PLAIN, (Setting("speculative_config"),), _lookup, _write_lookup,
                  note="Said when the engine starts, by speculative_config of method ngram. The first place in the text counts there."),
        *_PLAIN,
    ),
    stops=(
        place("stop", strings=("stop", None, LIST), after=("min_tokens", 0, LATE), note="Strings that end within min_tokens do not count."),
        place("end", tokens=("stop_token_ids", None, TOKENS)),
        Place("loop", (Setting("repetition_detection"), Setting("min_tokens", 0)), _loop, _write_loop,
              note="Not before min_tokens tokens are there."),
    ),
    calls=(
        CallSetting("max_new_tokens", Setting("max_tokens", 16), endless=True),
        CallSetting("seed", Setting("seed"), *NO_SEED),
        end_tokens("ignore_eos"),
    ),
    unsaid={
        "include_stop_str_in_output": Unsaid("the text is cut before a stop string here"),
        "trace_decode_token_ids": Unsaid("write follow(tokens), or use score to see the log-probabilities of a text"),
        "extra_args": Unsaid("they are for plug-ins", ({},)),
        "vllm_xargs": Unsaid("they are for plug-ins", ({},)),
        "logits_processors": Unsaid("write a Processor; vLLM no longer takes them with a request", ([],)),
        "best_of": Unsaid("write best_of(n), by=\"mean_logprob\" for each token; vLLM no longer has it", (1,)),
        "watermarking": Unsaid("write watermark_gumbel(key): algorithm, key and hashes are the engine's and not in a request"),
        "truncate_prompt_tokens": Unsaid("a prompt is not cut here", (-1,)),
        "echo": Unsaid("the prompt is not repeated here; an output has it beside its text", (False,), REMARK),
        "suffix": Unsaid("a text is only continued here", ("",)),
        "tools": Unsaid("there are no tools here", ([],)),
        "reasoning_effort": Unsaid("there is no thinking here", ("none",)),
        "add_special_tokens": Unsaid("a prompt begins as the model's tokenizer begins it", (True,)),
        "skip_special_tokens": Unsaid("special tokens have no text here", (True,), REMARK),
    },
    prepare=_checked,
    ignored=names_in(
        "logprobs prompt_logprobs prompt_logprob_token_ids prompt_logprob_start logprob_token_ids flat_logprobs detokenize"
        " spaces_between_special_tokens output_kind stream_interval skip_clone skip_reading_prefix_cache"
        " routed_experts_prompt_start model prompt messages stream stream_options top_logprobs user priority request_id"
        " return_tokens_as_token_ids return_token_ids return_token_offsets add_generation_prompt"
    ),
)  # fmt: skip
