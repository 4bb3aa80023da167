"""llama.cpp: its server, and its flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unspool.core.decoder import Part
from unspool.errors import ParameterError, Unsupported, as_json, in_digits, unknown
from unspool.lab.engines.engine import DIFFERENT, REMARK, CallSetting, Engine, Given, Note, Place, Setting, Unsaid
from unspool.lab.engines.places import (
    ALL,
    AT_LEAST,
    LARK,
    LIST,
    NO_LIMIT,
    NO_SEED,
    RESAMPLED,
    WINDOW,
    as_tuple,
    drawn,
    end_tokens,
    looked_up,
    names_in,
    one_id,
    pairs_of,
    place,
    structured,
)
from unspool.processors.adapt import Mirostat
from unspool.processors.constrain import Banned, Bias
from unspool.processors.phrases import encoded
from unspool.processors.say import ThinkingBudget
from unspool.processors.shape import DynamicTemperature, Temperature
from unspool.strategies.lookup import PromptLookup

LAST = ("repeat_last_n", 64, WINDOW)
MIN_KEEP = ("min_keep", 0, AT_LEAST)
"""Of typical, top_p, min_p and xtc; top_k and top_n_sigma do not read it."""


def _dynamic(given: Given) -> Part | None:
    t, reach = Setting("temperature", 0.8).of(given), Setting("dynatemp_range", 0.0).of(given)
    exponent = Setting("dynatemp_exponent", 1.0).of(given)
    return DynamicTemperature(max(t - reach, 0.0), t + reach, exponent) if reach > 0 else None


def _write_dynamic(part: Any) -> dict[str, Any]:
    middle, reach = (part.low + part.high) / 2, (part.high - part.low) / 2
    return {"temperature": round(middle, 9), "dynatemp_range": round(reach, 9), "dynatemp_exponent": part.exponent}


def _still(given: Given) -> Part | None:
    t = Setting("temperature", 0.8).of(given)
    moves = Setting("dynatemp_range", 0.0).of(given) > 0 and not given.get("mirostat")
    return None if t == 1 or moves else Temperature(t)


def _mirostat(given: Given) -> Part | None:
    version = Setting("mirostat", 0).of(given)
    if version not in (0, 1, 2):
        raise ParameterError(f"mirostat is 0 for none, 1 or 2; got {version!r}")
    tau, eta = Setting("mirostat_tau", 5.0).of(given), Setting("mirostat_eta", 0.1).of(given)
    return Mirostat(tau, eta, "truncated", version) if version in (1, 2) else None


def _write_mirostat(part: Mirostat) -> dict[str, Any]:
    if part.surprise != "truncated":
        raise ParameterError(f"its surprise is that after the cut: write mirostat(..., surprise='truncated') in place of {part}")
    return {"mirostat": part.version, "mirostat_tau": part.tau, "mirostat_eta": part.eta}


def _tokens_biased(given: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """logit_bias as pairs of one token each: a text there stands for every token of it; digits are a token as a key alone."""
    found = given.get("logit_bias")
    if not found:
        return given
    by_key, pairs = isinstance(found, Mapping), []
    for token, amount in found.items() if isinstance(found, Mapping) else map(_pair, as_tuple(found)):
        if not isinstance(token, str) or (by_key and in_digits(token) is not None):
            pairs.append([int(token), amount])
        elif tokenizer is None:
            raise Unsupported(
                f"logit_bias has the text {token!r}: there each of its tokens is biased, so this needs a tokenizer, as in "
                f"from_engine(..., tokenizer=lm.tokenizer) or unspool translate -m MODEL"
            )
        else:
            pairs += [[int(t), amount] for t in encoded(token, tokenizer, "logit_bias")]
    return given | {"logit_bias": pairs}


def _pair(value: Any) -> tuple[Any, Any]:
    """A token, or a text, with its amount."""
    if not (isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str | int) and isinstance(value[1], int | float)):
        raise ParameterError(f"logit_bias is a list of [token, amount], false in place of an amount to rule out; got {as_json(value)}")
    return value[0], value[1]


def _ruled_out(given: Given) -> list[int]:
    return [token for token, amount in given.get("logit_bias") or [] if amount is False]


def _llama_bias(given: Given) -> Part | None:
    pairs = [(token, amount) for token, amount in given.get("logit_bias") or [] if amount is not False]
    return Bias(pairs_of(pairs)) if pairs else None


PENALTIES = (
    place("repetition_penalty", lambda penalty, window: penalty == 1 or window == 0, ALL, penalty=("repeat_penalty", 1.0), window=LAST,
          step="penalties", note="The last repeat_last_n tokens, prompt included; 0 is none. Before 2026 -1 was all."),
    place("frequency_penalty", lambda penalty, window: penalty == 0 or window == 0, ALL, penalty=("frequency_penalty", 0.0), window=LAST,
          step="penalties", note="Counts the last repeat_last_n tokens, prompt included."),
    place("presence_penalty", lambda penalty, window: penalty == 0 or window == 0, ALL, penalty=("presence_penalty", 0.0), window=LAST,
          step="penalties", note="Counts the last repeat_last_n tokens, prompt included."),
)  # fmt: skip


def _thinking(given: Given) -> Part | None:
    tokens = next((n for name in ("thinking_budget_tokens", "reasoning_budget") if (n := Setting(name, -1).of(given)) >= 0), -1)
    return ThinkingBudget(tokens, message=given.get("reasoning_budget_message") or "") if tokens >= 0 else None


def _write_thinking(part: ThinkingBudget) -> dict[str, Any]:
    if (part.open, part.close, part.prompt) != ("<think>", "</think>", True):
        raise ParameterError(f"the tags of thinking are those of the chat template: {part}")
    return {"thinking_budget_tokens": part.tokens} | ({"reasoning_budget_message": part.message} if part.message else {})


SEQUENCE = {"e": "penalties", "d": "dry", "s": "top_n_sigma", "k": "top_k", "y": "typ_p", "p": "top_p", "m": "min_p", "x": "xtc",
            "t": "temperature", "a": "adaptive_p"}  # fmt: skip
"""The letters of llama.cpp's --sampler-seq."""


def _llama_order(places: tuple[Place, ...], given: Given) -> list[Place]:
    """By its list of samplers; mirostat leaves none of them but the temperature."""
    first = [p for p in places if p.method in ("json_schema", "bias", "banned", "thinking_budget")]
    if given.get("mirostat"):
        return [*first, *(p for p in places if p.method in ("temperature", "mirostat"))]
    known = list(dict.fromkeys(p.step for p in places if p.step))
    wanted = given.get("samplers", known[:-1])  # adaptive_p must be asked for
    if isinstance(wanted, str):
        wanted = wanted.split(";") if ";" in wanted or wanted in known else [SEQUENCE.get(letter, letter) for letter in wanted]
    wanted = [{"typical_p": "typ_p", "temp": "temperature"}.get(name, name) for name in wanted]
    for name in wanted:
        if name not in known:
            raise unknown("sampler of llama.cpp", name, known)
    chain = [p for name in sorted(wanted, key="adaptive_p".__eq__) for p in places if p.step == name]
    return [*first, *chain]


def _lookup(given: Given) -> dict[str, Any] | None:
    n, kind = Setting("spec_ngram_simple_size_n", 12).of(given), given.get("spec_type") or "none"
    if kind not in ("none", "ngram-simple"):
        raise Unsupported(f"spec_type={kind!r} is not read: it makes the same text faster, so leave it out")
    found = {"tokens": Setting("spec_ngram_simple_size_m", 48).of(given), "longest": n, "shortest": n}
    return None if kind == "none" else found


def _write_lookup(part: PromptLookup) -> dict[str, Any]:
    if part.shortest != part.longest:
        raise ParameterError(f"it looks for n-grams of one length: shortest and longest are the same there, not as in {part}")
    return {"spec_type": "ngram-simple", "spec_ngram_simple_size_n": part.longest, "spec_ngram_simple_size_m": part.tokens}


def _left_in(given: Given) -> list[Note]:
    """What reads the tokens that top_n_sigma rules out and leaves in the list."""
    if not Setting("top_n_sigma", -1.0).of(given) > 0 or given.get("mirostat"):
        return []
    counted = "the tokens that top_n_sigma rules out are still counted there, so that the temperature moves less"
    spoilt = "after top_n_sigma has ruled tokens out its sums are no numbers there, and what is kept follows no rule"
    moves, cuts = Setting("dynatemp_range", 0.0).of(given) > 0, Setting("typical_p", 1.0).of(given) < 1
    return [Note("dynatemp_range", counted, DIFFERENT)] * moves + [Note("typical_p", spoilt, DIFFERENT)] * cuts


_PLAIN = drawn(None, lambda given: Setting("temperature", 0.8).of(given) <= 0)

LLAMA_CPP = Engine(
    "llama.cpp",
    "llama.cpp",
    "common.h and server of 2026",
    places=(
        *structured("json_schema", lambda value: value, lambda schema: schema, differs=RESAMPLED),
        Place("bias", (Setting("logit_bias"),), _llama_bias,
              lambda part: {"logit_bias": [[one_id(token), amount] for token, amount in part.pairs]}),
        Place("banned", (Setting("logit_bias"),), lambda given: Banned(*_ruled_out(given)) if _ruled_out(given) else None,
              lambda part: {"logit_bias": [[one_id(token), False] for token in part.phrases]},
              note="Single tokens, with false in place of an amount."),
        Place("thinking_budget", (Setting("thinking_budget_tokens", -1), Setting("reasoning_budget", -1),
                                  Setting("reasoning_budget_message")), _thinking, _write_thinking,
              note="reasoning_budget on the command line, thinking_budget_tokens in a request.",
              differs="the tags of thinking are those of the chat template"),
        *PENALTIES,
        place("dry", lambda multiplier, window, **_: multiplier == 0 or window == 0, multiplier=("dry_multiplier", 0.0),
              base=("dry_base", 1.75), allowed_length=("dry_allowed_length", 2), window=("dry_penalty_last_n", 64, WINDOW),
              breakers=("dry_sequence_breakers", ("\n", ":", '"', "*"), LIST), step="dry"),
        place("top_n_sigma", lambda n: n <= 0, n=("top_n_sigma", -1.0), step="top_n_sigma", sampling=True),
        place("top_k", lambda k: k <= 0, k=("top_k", 40), neutral={"top_k": 0}, step="top_k", sampling=True, note="On by default."),
        place("typical", lambda p, min_keep: p >= 1, p=("typical_p", 1.0), min_keep=MIN_KEEP, step="typ_p"),
        place("top_p", lambda p, min_keep: p >= 1, p=("top_p", 0.95), min_keep=MIN_KEEP, neutral={"top_p": 1.0}, step="top_p",
              sampling=True, note="On by default."),
        place("min_p", lambda p, min_keep: p <= 0, p=("min_p", 0.05), min_keep=MIN_KEEP, neutral={"min_p": 0.0}, step="min_p",
              sampling=True, note="On by default."),
        place("xtc", lambda threshold, probability, min_keep: probability <= 0 or threshold > 0.5, threshold=("xtc_threshold", 0.1),
              probability=("xtc_probability", 0.0), min_keep=MIN_KEEP, step="xtc"),
        Place("dynamic_temperature", (Setting("dynatemp_range", 0.0), Setting("dynatemp_exponent", 1.0)), _dynamic, _write_dynamic,
              step="temperature", sampling=True, note="From temperature - dynatemp_range to temperature + dynatemp_range."),
        Place("temperature", (Setting("temperature", 0.8),), _still, lambda part: {"temperature": part.t},
              neutral={"temperature": 1.0}, step="temperature", sampling=True, note="Last of all, so truncation does not feel it."),
        place("adaptive_p", lambda target, decay: target < 0, target=("adaptive_target", -1.0), decay=("adaptive_decay", 0.9),
              step="adaptive_p", sampling=True, note="Only where samplers name it; always last."),
        Place("mirostat", (Setting("mirostat", 0), Setting("mirostat_tau", 5.0), Setting("mirostat_eta", 0.1)), _mirostat,
              _write_mirostat, sampling=True, note="Takes the place of the whole chain but the temperature before it."),
    ),
    strategies=(
        looked_up(_PLAIN, (Setting("spec_type"), Setting("spec_ngram_simple_size_n", 12), Setting("spec_ngram_simple_size_m", 48)), _lookup,
                  _write_lookup, note="Said when the program starts; of its methods that draft from the text, ngram-simple."),
        *_PLAIN,
    ),
    stops=(place("stop", strings=("stop", None, LIST)),),
    calls=(
        CallSetting("max_new_tokens", Setting("n_predict", -1), *NO_LIMIT),
        CallSetting("max_new_tokens", Setting("max_tokens"), *NO_LIMIT),
        CallSetting("seed", Setting("seed", -1), *NO_SEED),
        end_tokens("ignore_eos"),
    ),
    unsaid={
        "grammar": Unsaid(LARK),
        "grammar_lazy": Unsaid("write after(phrase, grammar(...)), with a grammar in llguidance's Lark", (False,)),
        "grammar_triggers": Unsaid("write after(phrase, grammar(...)), with a grammar in llguidance's Lark", ([],)),
        "grammar_file": Unsaid(LARK),
        "json_schema_file": Unsaid("write the schema itself, as json_schema"),
        "n_keep": Unsaid("the context is not shifted here, and ends the text", (0,)),
        "n_discard": Unsaid("the context is not shifted here, and ends the text", (0,)),
        "n_indent": Unsaid("there is no setting for indentation here", (0,)),
        "t_max_predict_ms": Unsaid("write max_time(seconds)", (0, -1)),
        "lora": Unsaid("merge the adapter into the model first", ([],)),
        "control_vector": Unsaid("the model is run as it is here"),
        "n_probs": Unsaid("ask for level='choices', which records alternatives", (0,), REMARK),
        "post_sampling_probs": Unsaid("records hold the model's own probabilities and those after the processors", (False,), REMARK),
    },
    ignored=names_in(
        "prompt messages model stream cache_prompt id_slot return_tokens timings_per_token response_fields return_progress"
    ),
    orders="samplers",
    prepare=_tokens_biased,
    flags={
        "--temp": "temperature", "--temperature": "temperature", "--top-k": "top_k", "--top-p": "top_p", "--min-p": "min_p",
        "--typical": "typical_p", "--typical-p": "typical_p", "--top-nsigma": "top_n_sigma", "--top-n-sigma": "top_n_sigma",
        "--repeat-last-n": "repeat_last_n", "--repeat-penalty": "repeat_penalty", "--presence-penalty": "presence_penalty",
        "--frequency-penalty": "frequency_penalty", "--dry-multiplier": "dry_multiplier", "--dry-base": "dry_base",
        "--dry-allowed-length": "dry_allowed_length", "--dry-penalty-last-n": "dry_penalty_last_n",
        "--dry-sequence-breaker": "dry_sequence_breakers", "--xtc-probability": "xtc_probability", "--xtc-threshold": "xtc_threshold",
        "--dynatemp-range": "dynatemp_range", "--dynatemp-exp": "dynatemp_exponent", "--mirostat": "mirostat",
        "--mirostat-lr": "mirostat_eta", "--mirostat-ent": "mirostat_tau", "--adaptive-target": "adaptive_target",
        "--adaptive-decay": "adaptive_decay", "--logit-bias": "logit_bias", "-l": "logit_bias", "--ignore-eos": "ignore_eos",
        "--samplers": "samplers", "--sampler-seq": "samplers", "--sampling-seq": "samplers", "--seed": "seed", "-s": "seed",
        "--n-predict": "n_predict", "--predict": "n_predict", "-n": "n_predict", "--grammar": "grammar", "--json-schema": "json_schema",
        "--spec-type": "spec_type", "--spec-ngram-simple-size-n": "spec_ngram_simple_size_n",
        "--spec-ngram-simple-size-m": "spec_ngram_simple_size_m", "-j": "json_schema", "--grammar-file": "grammar_file",
        "--json-schema-file": "json_schema_file", "-jf": "json_schema_file",
        "--keep": "n_keep", "--lora": "lora", "--lora-scaled": "lora", "--control-vector": "control_vector",
        "--control-vector-scaled": "control_vector", "--reasoning-budget": "reasoning_budget", "--reverse-prompt": "stop", "-r": "stop",
    },
    note="The order can be set (samplers); this is the default. logit_bias is always first, adaptive_p last.",
    ordered=_llama_order,
    warn=_left_in,
)  # fmt: skip
