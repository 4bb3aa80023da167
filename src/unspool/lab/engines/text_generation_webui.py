"""text-generation-webui: its presets and its API, as its loader of transformers reads them."""

from __future__ import annotations

import json
from typing import Any

from unspool.core.decoder import Part
from unspool.errors import ParameterError, Unsupported, unknown
from unspool.lab.engines.engine import DIFFERENT, REMARK, CallSetting, Engine, Given, Note, Place, Setting, Unsaid
from unspool.lab.engines.places import ALL, BIAS, LARK, LIST, NO_LIMIT, NO_SEED, Codec, names_in, place
from unspool.processors.adapt import Mirostat
from unspool.processors.shape import DynamicTemperature
from unspool.strategies.greedy import Greedy
from unspool.strategies.sample import Sample

_RANGE = ("repetition_penalty_range", 1024, Codec(lambda n: None if n == 0 else n, lambda n: 0 if n is None else n))
TEN_THOUSANDTHS = Codec(lambda value: value / 10000, lambda value: round(value * 10000, 9))
_IDS = Codec(lambda text: tuple(int(t) for t in str(text).split(",") if t.strip()), lambda tokens: ",".join(map(str, tokens)))
QUOTED = Codec(
    lambda text: tuple(json.loads(f"[{text}]")) if isinstance(text, str) else tuple(text),
    lambda strings: ", ".join(json.dumps(s, ensure_ascii=False) for s in strings),
)
"""Strings in quotes, with commas between them."""
HEATS = ("temperature", "dynamic_temperature", "quadratic_sampling")


def _dynamic(given: Given) -> Part | None:
    if not given.get("dynamic_temperature"):
        return None
    low, high, exponent = (Setting(name, 1).of(given) for name in ("dynatemp_low", "dynatemp_high", "dynatemp_exponent"))
    return DynamicTemperature(low, high, exponent)


def _mirostat(given: Given) -> Part | None:
    mode = Setting("mirostat_mode", 0).of(given)
    if mode not in (0, 2):
        raise Unsupported(f"mirostat_mode is 0 or 2 there; got {mode!r}")
    return Mirostat(Setting("mirostat_tau", 5).of(given), Setting("mirostat_eta", 0.1).of(given), "truncated") if mode else None


def _write_mirostat(part: Mirostat) -> dict[str, Any]:
    if (part.surprise, part.version) != ("truncated", 2):
        raise ParameterError(f"it has version 2 with the surprise after the cut: write mirostat(surprise='truncated') in place of {part}")
    return {"mirostat_mode": 2, "mirostat_tau": part.tau, "mirostat_eta": part.eta}


def _cold(given: Given) -> bool:
    return not Setting("do_sample", True).of(given) or Setting("temperature", 1).of(given) == 0


def _sample(given: Given) -> Part | None:
    n = Setting("n", 1).of(given)
    if _cold(given) and n > 1:
        raise Unsupported(f"n={n}: without do_sample, or at temperature 0, all of them are one text")
    return None if _cold(given) else Sample(n)


def _by_priority(places: tuple[Place, ...], given: Given) -> list[Place]:
    """By sampler_priority, with what it leaves out first; temperature_last puts the temperatures behind all others."""
    known = list(dict.fromkeys(p.step for p in places if p.step))
    wanted = given.get("sampler_priority", known)
    wanted = [name.strip() for name in (wanted.replace(",", "\n").split("\n") if isinstance(wanted, str) else wanted)]
    for name in wanted:
        if name not in known:
            raise unknown("sampler of text-generation-webui", name, known)
    if given.get("temperature_last"):
        wanted = [name for name in wanted if name not in HEATS] + [name for name in wanted if name in HEATS]
    return [*(p for p in places if p.step not in wanted), *(p for name in wanted for p in places if p.step == name)]


def _warned(given: Given) -> list[Note]:
    if Setting("do_sample", True).of(given) or given.get("penalty_alpha"):
        return []
    names = ("tfs", "top_a", "top_n_sigma", "smoothing_factor", "dynamic_temperature", "xtc_probability")
    return [Note(name, "whether it acts there without do_sample was not read", DIFFERENT) for name in names if given.get(name)]


TEXT_GENERATION_WEBUI = Engine(
    "text-generation-webui",
    "text-generation-webui",
    "1dcde41d of May 2026",
    places=(
        place("bias", lambda pairs: not pairs, pairs=("logit_bias", None, BIAS)),
        place("suppress", tokens=("custom_token_bans", "", _IDS)),
        place("repetition_penalty", lambda penalty, window: penalty == 1, penalty=("repetition_penalty", 1), window=_RANGE,
              step="repetition_penalty", note="The last repetition_penalty_range tokens, prompt included; 0 is all."),
        place("presence_penalty", lambda penalty, window: penalty == 0, ALL, penalty=("presence_penalty", 0), window=_RANGE,
              step="presence_penalty", note="Counts prompt and new tokens."),
        place("frequency_penalty", lambda penalty, window: penalty == 0, ALL, penalty=("frequency_penalty", 0), window=_RANGE,
              step="frequency_penalty", note="Counts prompt and new tokens."),
        place("dry", lambda multiplier, **_: multiplier == 0, multiplier=("dry_multiplier", 0), base=("dry_base", 1.75),
              allowed_length=("dry_allowed_length", 2), breakers=("dry_sequence_breakers", '"\\n", ":", "\\"", "*"', QUOTED),
              window=_RANGE, step="dry", differs="an exponent is cut at 50 there"),
        place("top_n_sigma", lambda n: n <= 0, n=("top_n_sigma", 0), step="top_n_sigma", sampling=True,
              differs="tokens that cannot come count in the deviation there"),
        place("temperature", lambda t: t == 1, t=("temperature", 1), step="temperature", sampling=True, note="0 is greedy search."),
        Place("dynamic_temperature", (Setting("dynamic_temperature", False), Setting("dynatemp_low", 1), Setting("dynatemp_high", 1),
                                      Setting("dynatemp_exponent", 1)), _dynamic,
              lambda part: {"dynamic_temperature": True, "dynatemp_low": part.low, "dynatemp_high": part.high,
                            "dynatemp_exponent": part.exponent}, step="dynamic_temperature", sampling=True,
              differs="the entropy is that of a whole batch there"),
        place("smoothing", lambda factor, curve: factor == 0, factor=("smoothing_factor", 0), curve=("smoothing_curve", 1),
              step="quadratic_sampling", sampling=True, differs="the best score is that of a whole batch there"),
        place("top_k", lambda k: k == 0, k=("top_k", 0), step="top_k", sampling=True,
              differs="tokens equal to the k-th are kept too there"),
        place("top_p", lambda p: p >= 1, p=("top_p", 1), step="top_p", sampling=True),
        place("typical", lambda p: p >= 1, p=("typical_p", 1), step="typical_p", sampling=True),
        place("epsilon", lambda epsilon: epsilon == 0, epsilon=("epsilon_cutoff", 0, TEN_THOUSANDTHS), step="epsilon_cutoff",
              sampling=True, note="In ten-thousandths."),
        place("eta", lambda epsilon: epsilon == 0, epsilon=("eta_cutoff", 0, TEN_THOUSANDTHS), step="eta_cutoff", sampling=True,
              note="In ten-thousandths."),
        place("tail_free", lambda z: z >= 1, z=("tfs", 1), step="tfs", sampling=True),
        place("top_a", lambda a: a == 0, a=("top_a", 0), step="top_a", sampling=True),
        place("min_p", lambda p: p == 0, p=("min_p", 0), step="min_p", sampling=True),
        place("adaptive_p", lambda target, decay: target <= 0, target=("adaptive_target", 0), decay=("adaptive_decay", 0.9),
              step="adaptive_p", sampling=True),
        Place("mirostat", (Setting("mirostat_mode", 0), Setting("mirostat_tau", 5), Setting("mirostat_eta", 0.1)), _mirostat,
              _write_mirostat, step="mirostat", sampling=True, differs="it reads the first row of a batch alone there"),
        place("xtc", lambda threshold, probability: probability == 0 or threshold > 0.5,
              {"protect": ("\n",), "protect_ends": True, "variant": "text-generation-webui"}, threshold=("xtc_threshold", 0.1),
              probability=("xtc_probability", 0), step="xtc", sampling=True, note="Cuts nothing where a newline or an end would go."),
        place("encoder_repetition_penalty", lambda penalty: penalty == 1, penalty=("encoder_repetition_penalty", 1),
              step="encoder_repetition_penalty"),
        place("no_repeat_ngram", lambda n: n == 0, n=("no_repeat_ngram_size", 0), step="no_repeat_ngram"),
    ),
    strategies=(
        Place("sample", (Setting("do_sample", True), Setting("n", 1)), _sample, lambda part: {"n": part.n} if part.n > 1 else {}),
        Place("greedy", (Setting("do_sample", shown="do_sample=False"),), lambda given: Greedy(), lambda part: {"do_sample": False}),
    ),
    stops=(place("stop", strings=("stop", None, LIST)),),
    calls=(
        CallSetting("max_new_tokens", Setting("max_tokens", 512)),
        CallSetting("max_new_tokens", Setting("max_completion_tokens")),
        CallSetting("max_new_tokens", Setting("max_new_tokens"), *NO_LIMIT),
        CallSetting("seed", Setting("seed", -1), *NO_SEED),
    ),
    unsaid={
        "ban_eos_token": Unsaid("write suppress(...) with the end tokens"),
        "guidance_scale": Unsaid("add guidance(scale, model) in Python: it holds a model", (1,)),
        "negative_prompt": Unsaid("it is part of guidance(scale, model), in Python", ("",)),
        "penalty_alpha": Unsaid("without do_sample, write contrastive_search(k, alpha)", (0,)),
        "grammar_string": Unsaid(LARK, ("",)),
        "preset": Unsaid("write its values"),
        "add_bos_token": Unsaid("a prompt begins as the model's tokenizer begins it", (True,)),
        "truncation_length": Unsaid("a prompt is not cut here", (0,)),
        "auto_max_new_tokens": Unsaid("give max_new_tokens"),
        "enable_thinking": Unsaid("there is no thinking here", (True,)),
        "reasoning_effort": Unsaid("there is no thinking here", ("medium",)),
        "tools": Unsaid("there are no tools here", ([],)),
        "suffix": Unsaid("a text is only continued here", ("",)),
        "instruction_template": Unsaid("the model's own template is used here"),
        "best_of": Unsaid("it is not read there", (1,), REMARK),
        "echo": Unsaid("the prompt is not repeated here; an output has it beside its text", (False,), REMARK),
        "skip_special_tokens": Unsaid("special tokens have no text here", (True,), REMARK),
        "prompt_lookup_num_tokens": Unsaid("it makes the same text faster", (0,), REMARK),
    },
    ignored=names_in("model prompt messages stream stream_options logprobs top_logprobs user max_tokens_second static_cache mode"),
    note="The order can be set (sampler_priority); this is the default. Its other loaders leave some of these out.",
    ordered=_by_priority,
    orders="sampler_priority",
    orderings=({"temperature_last": True},),
    warn=_warned,
)  # fmt: skip
