"""TensorRT-LLM: its SamplingParams."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unspool.core.decoder import Part
from unspool.errors import ParameterError, Unsupported
from unspool.lab.engines.engine import REMARK, CallSetting, Engine, Given, Place, Setting, Unsaid
from unspool.lab.engines.places import (
    ALL,
    LARK,
    LIST,
    NO_SEED,
    TOKENS,
    as_tuple,
    counted,
    end_tokens,
    known_keys,
    names_in,
    place,
    structured,
)
from unspool.processors.constrain import Banned
from unspool.processors.truncate import FactualNucleus
from unspool.strategies.beam import Beam
from unspool.strategies.greedy import Greedy
from unspool.strategies.sample import Sample

_FAR = 1 << 30
"""From here on no_repeat_ngram_size bans nothing."""


def _greedy_there(given: Given) -> bool:
    drawn = any(name in given for name in ("temperature", "top_p", "top_k", "min_p", "top_p_decay"))
    return not drawn or given.get("top_k") == 1 or given.get("top_p") == 0 or given.get("temperature") == 0


def _beams(given: Given) -> Part | None:
    n, best = Setting("n", 1).of(given), given.get("best_of")
    if not given.get("use_beam_search"):
        return None
    early = Setting("early_stopping", 1).of(given)
    return Beam(
        n if best is None else best,
        length_penalty=float(Setting("length_penalty", 0.0).of(given)),
        early_stopping={0: False, 1: True}.get(int(early), "never"),
        n=n,
    )


def _write_beams(part: Beam) -> dict[str, Any]:
    if part.length != "generated" or part.patience != 1:
        raise ParameterError(f"its beams count the generated tokens, and have no patience: {part}")
    early = int(part.early_stopping) if isinstance(part.early_stopping, bool) else 2
    return {"use_beam_search": True, "n": part.n, "best_of": part.width, "length_penalty": part.length_penalty, "early_stopping": early}


def _sample(given: Given) -> Part | None:
    n, best = Setting("n", 1).of(given), given.get("best_of")
    if best is not None and best > n:
        raise Unsupported(f"best_of={best} chooses {n} of them by their log-probability: write best_of({best}, n={n})")
    if _greedy_there(given) and n > 1:
        raise Unsupported(f"n={n}: greedy search finds one text, and more are refused there")
    return None if _greedy_there(given) else Sample(n)


def _banned(given: Given) -> Part | None:
    found = [*as_tuple(given.get("bad") or ()), *map(counted, given.get("bad_token_ids") or ())]
    return Banned(*found) if found else None


def _write_banned(part: Banned) -> dict[str, Any]:
    texts, ids = [p for p in part.phrases if isinstance(p, str)], [p for p in part.phrases if not isinstance(p, str)]
    if any(isinstance(p, tuple) and len(p) > 1 for p in ids):
        raise ParameterError(f"it bans texts and single tokens: {part}")
    return ({"bad": texts} if texts else {}) | ({"bad_token_ids": [p[0] if isinstance(p, tuple) else p for p in ids]} if ids else {})


def _schema(value: Any) -> Any:
    known_keys("guided_decoding", value, "json json_object regex", "grammar structural_tag", LARK)
    return {} if value.get("json_object") else value.get("json")


def _one(ends: Any) -> int:
    if len(ends) != 1:
        raise ParameterError(f"it has one end_id; write end(...) for others, here {tuple(ends)}")
    return int(ends[0])


_TOP_P = place("top_p", lambda p: p >= 1, p=("top_p", None), sampling=True)


def _decays(given: Given) -> bool:
    return bool(Setting("top_p_decay", 1.0).of(given) < 1)


def _factual(given: Given) -> Part | None:
    if not _decays(given):
        return None
    p, least, token = (Setting(name, default).of(given) for name, default in (("top_p", 1.0), ("top_p_min", 1e-6), ("top_p_reset_ids", -1)))
    return FactualNucleus(p, given["top_p_decay"], least, (token,) if token >= 0 else ())


def _write_factual(part: FactualNucleus) -> dict[str, Any]:
    if len(part.reset) > 1 or not all(isinstance(t, int) for t in part.reset) or part.min_keep != 1:
        raise ParameterError(f"it resets top_p at one token id, and keeps no number of tokens: {part}")
    reset = {"top_p_reset_ids": part.reset[0]} if part.reset else {}
    return {"top_p": part.p, "top_p_decay": part.decay, "top_p_min": part.least, **reset}


TENSORRT_LLM = Engine(
    "tensorrt-llm",
    "TensorRT-LLM",
    "LLM API of 2026",
    places=(
        *structured("guided_decoding", _schema, lambda schema: {"json": schema}, lambda value: value.get("regex")),
        place("temperature", lambda t: t in (0, 1), t=("temperature", None), neutral={"temperature": 1.0},
              note="Before the penalties, in beams too. 0 is greedy search, and so is a call with no temperature, top_k or top_p."),
        place("repetition_penalty", lambda penalty: penalty == 1, penalty=("repetition_penalty", 1.0), note="Prompt and new tokens."),
        place("presence_penalty", lambda penalty: penalty == 0, ALL, penalty=("presence_penalty", 0.0), note="Prompt and new tokens."),
        place("frequency_penalty", lambda penalty: penalty == 0, ALL, penalty=("frequency_penalty", 0.0), note="Prompt and new tokens."),
        place("min_new_tokens", lambda n: n <= 0, n=("min_tokens", 0), differs="tokens of stop_token_ids may come before there"),
        Place("banned", (Setting("bad"), Setting("bad_token_ids")), _banned, _write_banned),
        place("no_repeat_ngram", lambda n: n == 0 or n >= _FAR, n=("no_repeat_ngram_size", None)),
        place("top_k", lambda k: k <= 0, k=("top_k", None), sampling=True, note="1 is greedy search."),
        replace(_TOP_P, read=lambda given: None if _decays(given) else _TOP_P.read(given)),
        Place("factual_nucleus", (Setting("top_p_decay", 1.0), Setting("top_p", 1.0), Setting("top_p_min", 1e-6),
                                  Setting("top_p_reset_ids", -1)), _factual, _write_factual, sampling=True, note="In place of top_p."),
        place("min_p", lambda p: p == 0, p=("min_p", None), sampling=True),
    ),
    strategies=(
        Place("beam", (Setting("use_beam_search", False), Setting("best_of"), Setting("n", 1), Setting("length_penalty", 0.0),
                       Setting("early_stopping", 1, also=(True, False))), _beams, _write_beams, note="As wide as best_of, or n.",
              differs="whether the end token counts in a length was not read"),
        Place("sample", (Setting("n", 1), Setting("best_of")), _sample, lambda part: {"n": part.n} if part.n > 1 else {}),
        Place("greedy", (Setting("top_k", shown="top_k=1"),), lambda given: Greedy(), lambda part: {"top_k": 1}),
    ),
    stops=(
        place("stop", strings=("stop", None, LIST), differs="there the tokens of the string, as it is tokenised alone, end the text"),
        place("end", tokens=("stop_token_ids", None, TOKENS)),
    ),
    calls=(
        CallSetting("max_new_tokens", Setting("max_tokens", 32)),
        CallSetting("seed", Setting("seed"), *NO_SEED),
        end_tokens("ignore_eos"),
        CallSetting("end_tokens", Setting("end_id"), lambda end: None if end < 0 else (int(end),), _one),
    ),
    unsaid={
        "beam_search_diversity_rate": Unsaid("beams of one parent do not compete here", (0,)),
        "beam_width_array": Unsaid("beams are as wide at every step here", ([],)),
        "prompt_ignore_length": Unsaid("a penalty looks back on the whole prompt, or with scope='generated' on none of it", (0,)),
        "embedding_bias": Unsaid("write bias({token: amount})"),
        "logits_processor": Unsaid("write a Processor", ([],)),
        "apply_batched_logits_processor": Unsaid("write a Processor"),
        "include_stop_str_in_output": Unsaid("the text is cut before a stop string here"),
        "truncate_prompt_tokens": Unsaid("a prompt is not cut here"),
        "add_special_tokens": Unsaid("a prompt begins as the model's tokenizer begins it", (True,)),
        "skip_special_tokens": Unsaid("special tokens have no text here", (True,), REMARK),
        "exclude_input_from_output": Unsaid("the prompt is not repeated here; an output has it beside its text", (True,), REMARK),
        "lookahead_config": Unsaid("it makes the same text faster", (), REMARK),
    },
    ignored=names_in(
        "pad_id logprobs prompt_logprobs logprobs_mode return_context_logits return_generation_logits return_encoder_output"
        " return_perf_metrics additional_model_outputs detokenize spaces_between_special_tokens"
    ),
    note="The order of its C++ runtime.",
    unsure="The order is that of its C++ runtime; where min_p stands beside top_k and top_p was not read.",
)  # fmt: skip
