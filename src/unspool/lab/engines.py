"""What other engines call their settings, what these default to, and the order in which they are applied: facts, no rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, NamedTuple

import unspool.processors
import unspool.stops
import unspool.strategies  # noqa: F401
from unspool.decoder import REGISTRY, Part
from unspool.errors import ParameterError, Unsupported, unknown
from unspool.processors import LogSoftmax
from unspool.processors.adapt import Mirostat
from unspool.strategies import Beam

Given = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """A setting of an engine, by the engine's name for it, with the engine's default."""

    name: str
    default: Any = None
    shown: str = ""
    """How it is written where its name and default say too little."""

    def of(self, given: Given) -> Any:
        """Its value; None counts as not given."""
        value = given.get(self.name)
        return self.default if value is None else value

    def __str__(self) -> str:
        return self.shown or (self.name if self.default is None else f"{self.name}={self.default!r}")


@dataclass(frozen=True)
class Place:
    """One processor, strategy or stop of an engine, at its place in the order, with the settings that make it."""

    method: str
    settings: tuple[Setting, ...]
    read: Callable[[Given], Part | None]
    """The part that settings mean, None for none."""
    write: Callable[[Any], dict[str, Any]]
    """The settings that mean a part."""
    neutral: dict[str, Any] = field(default_factory=dict)
    """What switches it off where it is on by default."""
    sampling: bool = False
    """Whether it is applied only where tokens are drawn."""
    note: str = ""
    """What is to be known of it there."""
    differs: str = ""
    """What a translation cannot keep."""
    step: str = ""
    """Its name in the engine's own list of samplers, if the user can order them."""
    bare: bool = False
    """Of a strategy: whether it runs without processors."""

    @property
    def remark(self) -> str:
        """Note and difference, as sentences."""
        differs = f"{self.differs[0].upper()}{self.differs[1:]}." if self.differs else ""
        return " ".join(filter(None, [self.note, differs]))


@dataclass(frozen=True)
class Call:
    """A setting that is an argument of `generate` here."""

    argument: str
    setting: Setting
    read: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class Engine:
    """An engine: its processors in the order in which it applies them, its strategies, stops and other settings."""

    name: str
    title: str
    source: str
    """What the facts were read in."""
    places: tuple[Place, ...]
    strategies: tuple[Place, ...]
    """The first that settings mean is meant; the last always is."""
    stops: tuple[Place, ...] = ()
    calls: tuple[Call, ...] = ()
    unsaid: dict[str, str] = field(default_factory=dict)
    """Settings without an equal here, and what to do instead."""
    ignored: frozenset[str] = frozenset()
    """Settings that say nothing about the text."""
    flags: dict[str, str] = field(default_factory=dict)
    """Command-line options and their settings."""
    note: str = ""
    ordered: Callable[[tuple[Place, ...], Given], list[Place]] = lambda places, given: list(places)
    """The places in the order that some settings make, where settings change it."""

    @property
    def everything(self) -> tuple[Place, ...]:
        """All places."""
        return self.places + self.strategies + self.stops

    @property
    def names(self) -> set[str]:
        """Every setting that is known."""
        found = {s.name for place in self.everything for s in place.settings} | {c.setting.name for c in self.calls}
        return found | set(self.unsaid) | self.ignored


# --- how places are made ----------------------------------------------------------------------------------------------


class Codec(NamedTuple):
    """How a value there is read here and written back."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def _listed(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)


def _pairs(value: Any) -> tuple[Any, ...]:
    """Pairs (token or phrase, amount) of a dict or a list; tokens may be spelled as strings of digits, as JSON does."""
    pairs = value.items() if isinstance(value, Mapping) else value
    return tuple((_phrase(token), float(amount)) for token, amount in pairs)


def _phrase(token: Any) -> Any:
    if isinstance(token, str):
        return int(token) if token.isdigit() else token
    if isinstance(token, list | tuple):
        return token[0] if len(token) == 1 else tuple(token)
    return int(token)


def _ids(phrase: Any) -> list[int]:
    if isinstance(phrase, str):
        raise ParameterError(f"it takes token ids, and {phrase!r} is a text: resolve the decoder with the model's tokenizer")
    return [phrase] if isinstance(phrase, int) else list(phrase)


def _only_ids(values: Any) -> list[Any]:
    return [t for v in values for t in _ids(v)]


SAME = Codec(lambda value: value, lambda value: value)
LIST = Codec(_listed, list)
TOKENS = Codec(_listed, _only_ids)
PHRASES = Codec(lambda value: tuple(map(_phrase, value)), lambda value: [_ids(v) for v in value])
BIAS = Codec(_pairs, lambda value: {_only_one(token): amount for token, amount in value})
SEQUENCES = Codec(_pairs, lambda value: [[_ids(phrase), amount] for phrase, amount in value])
WINDOW = Codec(lambda n: None if n < 0 else n, lambda n: -1 if n is None else n)


def _only_one(phrase: Any) -> int:
    ids = _ids(phrase)
    if len(ids) > 1:
        raise ParameterError(f"a bias there is of single tokens; {phrase!r} is a phrase")
    return ids[0]


Field = tuple[str, Any] | tuple[str, Any, Codec]


def place(
    method: str,
    off: Callable[..., bool] = lambda **_: False,
    fixed: dict[str, Any] | None = None,
    **more: Any,
) -> Place:
    """A place whose fields are settings: field=(setting, default), or (setting, default, codec).

    off: whether a processor with these fields is none; fixed: fields that the engine has no setting for. Without a value for the
    first field there is no part.
    """
    cls, fixed = REGISTRY[method], fixed or {}
    known = {f.name: f.default for f in fields(cls) if f.init}  # type: ignore[arg-type]
    own = {name: (*value, SAME)[:3] for name, value in more.items() if name in known}
    rest = {name: value for name, value in more.items() if name not in known}
    settings = {name: Setting(there, default) for name, (there, default, _) in own.items()}

    def read(given: Given) -> Part | None:
        found = {name: settings[name].of(given) for name in own}
        if found[next(iter(own))] is None:
            return None
        found = {name: None if value is None else own[name][2].read(value) for name, value in found.items()}
        if off(**found) or (cls.variadic and not found[next(iter(own))]):
            return None
        return cls(*found[next(iter(own))]) if cls.variadic else cls(**found, **fixed)

    def write(part: Any) -> dict[str, Any]:
        for name, default in known.items():
            value, wanted = getattr(part, name), fixed.get(name, default)
            if name not in own and value != wanted:
                raise ParameterError(f"it has no setting for the {name} of {part}, which is {wanted!r} there")
        return {settings[name].name: own[name][2].write(getattr(part, name)) for name in own}

    return Place(method, tuple(settings.values()), read, write, **rest)


def strategy(method: str, *settings: Setting, read: Callable[[Given], Part | None], write: Callable[[Any], dict[str, Any]]) -> Place:
    """A strategy's place."""
    return Place(method, settings, read, write)


def drawn(count: Setting | None, zero: Callable[[Given], bool]) -> tuple[Place, Place]:
    """Sampling, of `count` texts, and greedy search where the temperature is zero, for engines that have no other sign of it."""
    temperature = Setting("temperature", shown="temperature=0")

    def write(part: Any) -> dict[str, Any]:
        if count is None and part.n > 1:
            raise ParameterError(f"it draws one text a call: write sample(1) in place of {part}, and another seed for another text")
        return {count.name: part.n} if count and part.n > 1 else {}

    def sample(given: Given) -> Part | None:
        return None if zero(given) else REGISTRY["sample"](int(count.of(given)) if count else 1)  # type: ignore[call-arg]

    return (
        strategy("sample", *([count] if count else []), read=sample, write=write),
        strategy("greedy", temperature, read=lambda given: REGISTRY["greedy"](), write=lambda part: {"temperature": 0}),
    )


def end_tokens(name: str, note: bool = True) -> Call:
    """A switch under which the model's own end tokens do not end the text."""
    return Call("end_tokens", Setting(name), lambda on: () if on else None, lambda ends: not len(ends))


def words(text: str) -> frozenset[str]:
    """Names in a row."""
    return frozenset(text.split())


NO_SEED = Codec(lambda seed: None if seed is None or seed < 0 else int(seed), lambda seed: seed)
NO_LIMIT = Codec(lambda n: None if n is None or n < 0 else int(n), lambda n: n)
GENERATED = {"scope": "generated"}
STRUCTURED = "write the grammar as a processor of its own"

# --- transformers -----------------------------------------------------------------------------------------------------


def _beams(given: Given) -> Part | None:
    width = Setting("num_beams", 1).of(given)
    if width == 1:
        return None
    if Setting("do_sample", False).of(given):
        raise Unsupported("transformers' beam sampling (num_beams and do_sample) has no equal: take beam(...) or sample(...)")
    if Setting("num_beam_groups", 1).of(given) != 1:
        return None
    return Beam(
        width,
        length_penalty=float(Setting("length_penalty", 1.0).of(given)),
        early_stopping=Setting("early_stopping", False).of(given),
        n=Setting("num_return_sequences", 1).of(given),
    )


def _write_beams(part: Beam) -> dict[str, Any]:
    if part.length != "generated":
        raise ParameterError(f"it counts the generated tokens of {part}, the end token too: length must be 'generated'")
    if part.patience != 1:
        raise ParameterError(f"it has no patience: {part}")
    found = {"do_sample": False, "num_beams": part.width, "num_return_sequences": part.n}
    return found | {"length_penalty": part.length_penalty, "early_stopping": part.early_stopping}


def _contrastive(given: Given) -> Part | None:
    alpha, k = given.get("penalty_alpha"), Setting("top_k", 50).of(given)
    return REGISTRY["contrastive_search"](k, alpha) if alpha and k > 1 and not given.get("do_sample") else None  # type: ignore[call-arg]


def _watermark(name: str, given: Given) -> Part | None:
    config = given.get("watermarking_config")
    config = {} if config is None else dict(config if isinstance(config, Mapping) else config.to_dict())
    if not config or ("keys" in config) != (name == "watermark_synthid"):
        return None
    known = [f.name for f in fields(REGISTRY[name]) if f.name in config]  # type: ignore[arg-type]
    return REGISTRY[name](**{f: config[f] for f in known}, variant="transformers")  # type: ignore[call-arg]


def _write_watermark(part: Any) -> dict[str, Any]:
    if part.variant != "transformers":
        raise ParameterError(f"it marks as {part.name}(variant='transformers') does, not as {part}")
    config = {f.name: getattr(part, f.name) for f in fields(part) if f.init and f.name != "variant"}
    if isinstance(config.get("keys"), int):
        raise ParameterError("it takes the key of every layer, not one number for all")
    return {"watermarking_config": config | ({"keys": list(part.keys)} if "keys" in config else {})}


def _forced_end(given: Given) -> Part | None:
    token, n = given.get("forced_eos_token_id"), given.get("max_new_tokens")
    if token is None:
        return None
    if n is None:
        raise Unsupported("forced_eos_token_id acts at max_length, which counts the prompt: give max_new_tokens")
    return REGISTRY["forced_end"](n, token=token[0] if isinstance(token, list) else token)  # type: ignore[call-arg]


def _write_forced_end(part: Any) -> dict[str, Any]:
    if part.token is None:
        raise ParameterError(f"it needs the token's id: {part} takes the model's own")
    return {"forced_eos_token_id": part.token, "max_new_tokens": part.n}


TRANSFORMERS = Engine(
    "transformers",
    "transformers",
    "5.23.0",
    places=(
        place("bias", pairs=("sequence_bias", None, SEQUENCES)),
        place("encoder_repetition_penalty", lambda penalty: penalty == 1, penalty=("encoder_repetition_penalty", 1.0),
              note="Of a model without encoder, the prompt's tokens."),
        place("repetition_penalty", lambda penalty: penalty == 1, penalty=("repetition_penalty", 1.0),
              note="Prompt and new tokens. In beam search it acts on log-probabilities, elsewhere on logits: another penalty."),
        place("no_repeat_ngram", lambda n: n == 0, n=("no_repeat_ngram_size", 0)),
        place("encoder_no_repeat_ngram", lambda n: n == 0, n=("encoder_no_repeat_ngram_size", 0)),
        place("banned", phrases=("bad_words_ids", None, PHRASES), differs="a phrase that is one end token alone is not banned there"),
        place("min_length", lambda n: n == 0, n=("min_length", 0)),
        place("min_new_tokens", lambda n: n == 0, n=("min_new_tokens", None)),
        place("forced_begin", token=("forced_bos_token_id", None), differs="there only after a prompt of one token"),
        Place("forced_end", (Setting("forced_eos_token_id"),), _forced_end, _write_forced_end,
              note="At max_length, which max_new_tokens sets here."),
        Place("remove_invalid", (Setting("remove_invalid_values", False),),
              lambda given: REGISTRY["remove_invalid"]() if given.get("remove_invalid_values") else None,
              lambda part: {"remove_invalid_values": True}),
        Place("exponential_decay_length", (Setting("exponential_decay_length_penalty"),),
              lambda given: REGISTRY["exponential_decay_length"](*given["exponential_decay_length_penalty"])
              if given.get("exponential_decay_length_penalty") else None,
              lambda part: {"exponential_decay_length_penalty": [part.start, part.factor]}),
        place("suppress", tokens=("suppress_tokens", None, TOKENS)),
        place("suppress_at_begin", tokens=("begin_suppress_tokens", None, TOKENS)),
        place("temperature", lambda t: t == 1, t=("temperature", 1.0), sampling=True, note="0 is refused: do_sample=False."),
        place("top_h", alpha=("top_h", None), fixed={"variant": "transformers"}, sampling=True,
              note="Sums -p log p of the kept tokens without renormalising, over the 100 likeliest."),
        place("top_k", lambda k: k == 0, k=("top_k", 50), neutral={"top_k": 0}, sampling=True,
              note="On by default.", differs="tokens equal to the k-th are kept too there"),
        place("top_p", lambda p: p >= 1, p=("top_p", 1.0), sampling=True),
        place("min_p", p=("min_p", None), sampling=True),
        place("typical", lambda p: p >= 1, p=("typical_p", 1.0), sampling=True,
              differs="tokens equal to the last one kept are kept too there"),
        place("epsilon", lambda epsilon: not 0 < epsilon < 1, epsilon=("epsilon_cutoff", 0.0), sampling=True),
        place("eta", lambda epsilon: not 0 < epsilon < 1, epsilon=("eta_cutoff", 0.0), sampling=True),
        Place("watermark_kgw", (Setting("watermarking_config"),), partial(_watermark, "watermark_kgw"), _write_watermark),
        Place("watermark_synthid", (Setting("watermarking_config"),), partial(_watermark, "watermark_synthid"), _write_watermark),
        Place("log_softmax", (Setting("renormalize_logits", False),),
              lambda given: LogSoftmax() if given.get("renormalize_logits") else None, lambda part: {"renormalize_logits": True}),
    ),
    strategies=(
        Place("beam", (Setting("num_beams", 1), Setting("length_penalty", 1.0), Setting("early_stopping", False),
                       Setting("num_return_sequences", 1)), _beams, _write_beams,
              note="Processors see log-probabilities, and their scores are not renormalised before they are summed."),
        Place("contrastive_search", (Setting("penalty_alpha"), Setting("top_k", 50)), _contrastive,
              lambda part: {"penalty_alpha": part.alpha, "top_k": part.k}, note="Since 5.0 remote code of the hub."),
        Place("sample", (Setting("do_sample", False, "do_sample=True"), Setting("num_return_sequences", 1)),
              lambda given: REGISTRY["sample"](Setting("num_return_sequences", 1).of(given))  # type: ignore[call-arg]
              if given.get("do_sample") else None,
              lambda part: {"do_sample": True} | ({"num_return_sequences": part.n} if part.n > 1 else {}),
              note="One generator for the whole batch: a text depends on its neighbours."),
        Place("greedy", (Setting("do_sample", False),), lambda given: REGISTRY["greedy"](), lambda part: {"do_sample": False}),
    ),
    stops=(
        place("stop", strings=("stop_strings", None, LIST), differs="there the string stays in the text, and may begin in the prompt"),
        place("max_time", seconds=("max_time", None)),
    ),
    calls=(
        Call("max_new_tokens", Setting("max_new_tokens")),
        Call("max_length", Setting("max_length", 20)),
        Call("end_tokens", Setting("eos_token_id"), _listed, list),
    ),
    unsaid={
        "guidance_scale": "add guidance(scale, model) in Python: it holds a model",
        "num_beam_groups": "groups of beams that differ have no setting here",
        "diversity_penalty": "groups of beams that differ have no setting here",
        "dola_layers": "it compares the model's own layers",
        "constraints": "words that must come have no setting here",
        "force_words_ids": "words that must come have no setting here",
        "token_healing": "the prompt is not changed here",
        "prompt_lookup_num_tokens": "it makes the same text faster",
        "assistant_early_exit": "it makes the same text faster",
        "assistant_ensemble_weight": "it changes the text: leave it out",
        "use_mtp": "it makes the same text faster",
    },
    ignored=words(
        "use_cache cache_implementation cache_config max_cache_len output_attentions output_hidden_states output_scores output_logits"
        " return_dict_in_generate pad_token_id bos_token_id decoder_start_token_id is_assistant num_assistant_tokens"
        " num_assistant_tokens_schedule assistant_confidence_threshold max_matching_ngram_size assistant_lookbehind target_lookbehind"
        " speculation_type compile_config disable_compile continuous_batching_config low_memory prefill_chunk_size _from_model_config"
        " transformers_version _commit_hash backend"
    ),
    note="What comes after suppress_at_begin, down to eta, is applied only with do_sample=True.",
)  # fmt: skip

# --- vLLM -------------------------------------------------------------------------------------------------------------


def _loop(given: Given) -> Part | None:
    found = given.get("repetition_detection")
    if not found or not found.get("max_pattern_size"):
        return None
    return REGISTRY["loop"](found["min_count"], found["max_pattern_size"], found.get("min_pattern_size") or 1)  # type: ignore[call-arg]


def _vllm_beams(given: Given) -> Part | None:
    width = given.get("beam_width")
    penalty = float(Setting("length_penalty", 1.0).of(given))
    return Beam(width, length_penalty=penalty, early_stopping="never", n=width, length="with_prompt") if width else None


def _write_vllm_beams(part: Beam) -> dict[str, Any]:
    if (part.n, part.early_stopping, part.length) != (part.width, "never", "with_prompt"):
        raise ParameterError(f"its beam search is beam({part.width}, early_stopping='never', n={part.width}, length='with_prompt')")
    return {"beam_width": part.width, "length_penalty": part.length_penalty}


VLLM = Engine(
    "vllm",
    "vLLM",
    "sampling_params.py of 2026",
    places=(
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
        Call("max_new_tokens", Setting("max_tokens", 16)),
        Call("seed", Setting("seed"), *NO_SEED),
        end_tokens("ignore_eos"),
    ),
    unsaid={
        "structured_outputs": STRUCTURED,
        "include_stop_str_in_output": "the text is cut before a stop string here",
        "thinking_token_budget": "there is no thinking here",
        "trace_decode_token_ids": "use score to see the log-probabilities of a text",
        "extra_args": "they are for plug-ins",
        "best_of": "draw sample(n) and choose",
    },
    ignored=words(
        "logprobs prompt_logprobs prompt_logprob_token_ids prompt_logprob_start logprob_token_ids flat_logprobs detokenize"
        " skip_special_tokens spaces_between_special_tokens output_kind stream_interval skip_clone skip_reading_prefix_cache"
        " routed_experts_prompt_start model prompt messages stream"
    ),
)  # fmt: skip

# --- llama.cpp --------------------------------------------------------------------------------------------------------

LAST = ("repeat_last_n", 64, WINDOW)
ALL = {"scope": "all"}


def _dynamic(given: Given) -> Part | None:
    t, reach = Setting("temperature", 0.8).of(given), Setting("dynatemp_range", 0.0).of(given)
    exponent = Setting("dynatemp_exponent", 1.0).of(given)
    return REGISTRY["dynamic_temperature"](max(t - reach, 1e-6), t + reach, exponent) if reach > 0 else None  # type: ignore[call-arg]


def _write_dynamic(part: Any) -> dict[str, Any]:
    middle, reach = (part.low + part.high) / 2, (part.high - part.low) / 2
    return {"temperature": round(middle, 9), "dynatemp_range": round(reach, 9), "dynatemp_exponent": part.exponent}


def _still(given: Given) -> Part | None:
    t = Setting("temperature", 0.8).of(given)
    return None if t == 1 or Setting("dynatemp_range", 0.0).of(given) > 0 else REGISTRY["temperature"](t)  # type: ignore[call-arg]


def _mirostat(given: Given) -> Part | None:
    version = Setting("mirostat", 0).of(given)
    tau, eta = Setting("mirostat_tau", 5.0).of(given), Setting("mirostat_eta", 0.1).of(given)
    return Mirostat(tau, eta, "truncated", version) if version in (1, 2) else None


def _write_mirostat(part: Mirostat) -> dict[str, Any]:
    if part.surprise != "truncated":
        raise ParameterError(f"its surprise is that after the cut: write mirostat(..., surprise='truncated') in place of {part}")
    return {"mirostat": part.version, "mirostat_tau": part.tau, "mirostat_eta": part.eta}


def _ruled_out(given: Given) -> list[Any]:
    found = given.get("logit_bias") or []
    return [token for token, amount in (found.items() if isinstance(found, Mapping) else found) if amount is False]


def _llama_bias(given: Given) -> Part | None:
    found = given.get("logit_bias") or []
    pairs = [pair for pair in (found.items() if isinstance(found, Mapping) else found) if pair[1] is not False]
    return REGISTRY["bias"](_pairs(pairs)) if pairs else None  # type: ignore[call-arg]


PENALTIES = (
    place("repetition_penalty", lambda penalty, window: penalty == 1 or window == 0, ALL, penalty=("repeat_penalty", 1.0), window=LAST,
          step="penalties", note="The last repeat_last_n tokens, prompt included; -1 is all, 0 none."),
    place("frequency_penalty", lambda penalty, window: penalty == 0 or window == 0, ALL, penalty=("frequency_penalty", 0.0), window=LAST,
          step="penalties", note="Counts the last repeat_last_n tokens, prompt included."),
    place("presence_penalty", lambda penalty, window: penalty == 0 or window == 0, ALL, penalty=("presence_penalty", 0.0), window=LAST,
          step="penalties", note="Counts the last repeat_last_n tokens, prompt included."),
)  # fmt: skip

SEQUENCE = {"e": "penalties", "d": "dry", "s": "top_n_sigma", "k": "top_k", "y": "typ_p", "p": "top_p", "m": "min_p", "x": "xtc",
            "t": "temperature"}  # fmt: skip
"""The letters of llama.cpp's --sampler-seq."""


def _llama_order(places: tuple[Place, ...], given: Given) -> list[Place]:
    """By its list of samplers; mirostat leaves none of them but the temperature."""
    first = [p for p in places if p.method in ("bias", "banned")]
    if given.get("mirostat"):
        return [*first, *(p for p in places if p.step == "temperature" or p.method == "mirostat")]
    known = list(dict.fromkeys(p.step for p in places if p.step))
    wanted = given.get("samplers", known)
    if isinstance(wanted, str):
        wanted = wanted.split(";") if ";" in wanted or wanted in known else [SEQUENCE.get(letter, letter) for letter in wanted]
    wanted = [{"typical_p": "typ_p", "temp": "temperature"}.get(name, name) for name in wanted]
    for name in wanted:
        if name not in (*known, "adaptive_p"):
            raise unknown("sampler of llama.cpp", name, known)
    chain = [p for name in wanted for p in places if p.step == name]
    return [*first, *chain, *(p for p in places if p.method == "adaptive_p")]


LLAMA = Engine(
    "llama.cpp",
    "llama.cpp",
    "common.h and server of 2026",
    places=(
        Place("bias", (Setting("logit_bias"),), _llama_bias,
              lambda part: {"logit_bias": [[_only_one(token), amount] for token, amount in part.pairs]}),
        Place("banned", (Setting("logit_bias"),), lambda given: REGISTRY["banned"](*_ruled_out(given)) if _ruled_out(given) else None,
              lambda part: {"logit_bias": [[_only_one(token), False] for token in part.phrases]},
              note="Single tokens, with false in place of an amount."),
        *PENALTIES,
        place("dry", lambda multiplier, window, **_: multiplier == 0 or window == 0, multiplier=("dry_multiplier", 0.0),
              base=("dry_base", 1.75), allowed_length=("dry_allowed_length", 2), window=("dry_penalty_last_n", 64, WINDOW),
              breakers=("dry_sequence_breakers", ("\n", ":", '"', "*"), LIST), step="dry"),
        place("top_n_sigma", lambda n: n <= 0, n=("top_n_sigma", -1.0), step="top_n_sigma", sampling=True),
        place("top_k", lambda k: k <= 0, k=("top_k", 40), neutral={"top_k": 0}, step="top_k", sampling=True, note="On by default."),
        place("typical", lambda p: p >= 1, p=("typical_p", 1.0), step="typ_p"),
        place("top_p", lambda p: p >= 1, p=("top_p", 0.95), neutral={"top_p": 1.0}, step="top_p", sampling=True, note="On by default."),
        place("min_p", lambda p: p == 0, p=("min_p", 0.05), neutral={"min_p": 0.0}, step="min_p", sampling=True, note="On by default."),
        place("xtc", lambda threshold, probability: probability == 0 or threshold > 0.5, threshold=("xtc_threshold", 0.1),
              probability=("xtc_probability", 0.0), step="xtc"),
        Place("dynamic_temperature", (Setting("dynatemp_range", 0.0), Setting("dynatemp_exponent", 1.0)), _dynamic, _write_dynamic,
              step="temperature", sampling=True, note="From temperature - dynatemp_range to temperature + dynatemp_range."),
        Place("temperature", (Setting("temperature", 0.8),), _still, lambda part: {"temperature": part.t},
              neutral={"temperature": 1.0}, step="temperature", sampling=True, note="Last of all, so truncation does not feel it."),
        place("adaptive_p", lambda target, decay: target < 0, target=("adaptive_target", -1.0), decay=("adaptive_decay", 0.9),
              sampling=True),
        Place("mirostat", (Setting("mirostat", 0), Setting("mirostat_tau", 5.0), Setting("mirostat_eta", 0.1)), _mirostat,
              _write_mirostat, sampling=True, note="Takes the place of the whole chain but the temperature before it."),
    ),
    strategies=drawn(None, lambda given: Setting("temperature", 0.8).of(given) <= 0),
    stops=(place("stop", strings=("stop", None, LIST)),),
    calls=(
        Call("max_new_tokens", Setting("n_predict", -1), *NO_LIMIT),
        Call("seed", Setting("seed", -1), *NO_SEED),
        end_tokens("ignore_eos"),
    ),
    unsaid={
        "grammar": STRUCTURED,
        "json_schema": STRUCTURED,
        "min_keep": "every truncation keeps one token here",
        "n_keep": "the context is not shifted here",
        "n_indent": "there is no setting for indentation here",
        "t_max_predict_ms": "write max_time(seconds)",
    },
    ignored=words(
        "samplers prompt messages model stream n_probs post_sampling_probs cache_prompt id_slot return_tokens timings_per_token"
        " response_fields lora return_progress"
    ),
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
        "-j": "json_schema",
    },
    note="The order can be set (samplers); this is the default. logit_bias is always first, adaptive_p always last.",
    ordered=_llama_order,
)  # fmt: skip

# --- others -----------------------------------------------------------------------------------------------------------

OPENAI = Engine(
    "openai",
    "OpenAI API",
    "its API reference",
    places=(
        place("bias", pairs=("logit_bias", None, BIAS), note="From -100 to 100; -100 all but bans."),
        place("frequency_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("frequency_penalty", 0.0), note="From -2 to 2."),
        place("presence_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("presence_penalty", 0.0), note="From -2 to 2."),
        place("temperature", lambda t: t == 1, t=("temperature", 1.0), sampling=True, note="From 0 to 2; 0 is greedy search, or nearly."),
        place("top_p", lambda p: p >= 1, p=("top_p", 1.0), sampling=True),
    ),
    strategies=drawn(Setting("n", 1), lambda given: Setting("temperature", 1.0).of(given) == 0),
    stops=(place("stop", strings=("stop", None, LIST), note="At most four."),),
    calls=(
        Call("max_new_tokens", Setting("max_completion_tokens")),
        Call("max_new_tokens", Setting("max_tokens")),
        Call("seed", Setting("seed"), *NO_SEED),
    ),
    unsaid={"response_format": STRUCTURED, "tools": "there are no tools here", "best_of": "draw sample(n) and choose"},
    ignored=words(
        "model messages prompt stream stream_options logprobs top_logprobs user store metadata echo suffix tool_choice"
        " parallel_tool_calls service_tier"
    ),
    note="The order is not published; penalties before the temperature are what its formula says.",
)


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
        Call("max_new_tokens", Setting("max_new_tokens", 128)),
        Call("seed", Setting("sampling_seed"), *NO_SEED),
        end_tokens("ignore_eos"),
    ),
    unsaid={
        "json_schema": STRUCTURED, "regex": STRUCTURED, "ebnf": STRUCTURED, "structural_tag": STRUCTURED,
        "no_stop_trim": "the text is cut before a stop string here", "custom_params": "they are for plug-ins",
    },
    ignored=words("skip_special_tokens spaces_between_special_tokens stream_interval text model"),
    ordered=_sglang_order,
)  # fmt: skip

MLX = Engine(
    "mlx-lm",
    "mlx-lm",
    "sample_utils.py of 2026",
    places=(
        place("bias", pairs=("logit_bias", None, BIAS)),
        place("repetition_penalty", lambda penalty, window: penalty in (0, 1), ALL, penalty=("repetition_penalty", None),
              window=("repetition_context_size", 20), note="The last 20 tokens, prompt included."),
        place("presence_penalty", lambda penalty, window: penalty == 0, ALL, penalty=("presence_penalty", None),
              window=("presence_context_size", 20), note="The last 20 tokens, prompt included."),
        place("frequency_penalty", lambda penalty, window: penalty == 0, ALL, penalty=("frequency_penalty", None),
              window=("frequency_context_size", 20), note="The last 20 tokens, prompt included."),
        place("top_p", lambda p: not 0 < p < 1, p=("top_p", 0.0), sampling=True, note="0 keeps all."),
        place("min_p", lambda p: p == 0, p=("min_p", 0.0), sampling=True),
        place("xtc", lambda threshold, probability, protect: probability == 0, threshold=("xtc_threshold", 0.1),
              probability=("xtc_probability", 0.0), protect=("xtc_special_tokens", None, TOKENS), sampling=True,
              differs="tokens equal to the least likely above the threshold stay there"),
        place("top_k", lambda k: k == 0, k=("top_k", 0), sampling=True),
        place("temperature", lambda t: t == 1, t=("temp", 0.0), neutral={"temp": 1.0}, sampling=True,
              note="Last of all, so truncation does not feel it; 0, the default, is greedy search."),
    ),
    strategies=(
        strategy("sample", read=lambda given: REGISTRY["sample"]() if Setting("temp", 0.0).of(given) else None,
                 write=lambda part: drawn(None, lambda given: False)[0].write(part)),
        strategy("greedy", Setting("temp", 0.0), read=lambda given: REGISTRY["greedy"](), write=lambda part: {"temp": 0.0}),
    ),
    calls=(Call("max_new_tokens", Setting("max_tokens", 256)), Call("seed", Setting("seed"), *NO_SEED)),
    unsaid={"min_tokens_to_keep": "every truncation keeps one token here"},
    ignored=words("model prompt messages stream verbose max_kv_size prefill_step_size"),
)  # fmt: skip

OLLAMA = Engine(
    "ollama",
    "Ollama",
    "api/types.go and sample/ of 2026",
    places=(
        place("repetition_penalty", lambda penalty, window: penalty == 1 or window == 0, ALL, penalty=("repeat_penalty", 1.1),
              window=LAST, neutral={"repeat_penalty": 1.0},
              note="On by default.", differs="its own engine looks back 64 tokens, whatever repeat_last_n says"),
        *PENALTIES[1:],
        place("top_k", lambda k: k <= 0, k=("top_k", 40), neutral={"top_k": 0}, sampling=True, note="On by default."),
        place("temperature", lambda t: t == 1, t=("temperature", 0.8), neutral={"temperature": 1.0}, sampling=True,
              note="0 is greedy search."),
        place("top_p", lambda p: p >= 1, p=("top_p", 0.9), neutral={"top_p": 1.0}, sampling=True, note="On by default."),
        place("min_p", lambda p: p == 0, p=("min_p", 0.0), sampling=True),
    ),
    strategies=drawn(None, lambda given: Setting("temperature", 0.8).of(given) <= 0),
    stops=(place("stop", strings=("stop", None, LIST)),),
    calls=(Call("max_new_tokens", Setting("num_predict", -1), *NO_LIMIT), Call("seed", Setting("seed", -1), *NO_SEED)),
    unsaid={
        "typical_p": "Ollama's own engine does not read it", "format": STRUCTURED, "num_keep": "the context is not shifted here",
        "mirostat": "it was taken out of Ollama", "mirostat_tau": "see mirostat", "mirostat_eta": "see mirostat",
        "tfs_z": "it was taken out of Ollama", "penalize_newline": "it was taken out of Ollama",
    },
    ignored=words("model prompt messages stream num_ctx num_batch num_gpu num_thread main_gpu use_mmap keep_alive raw"),
    note="The order of its own engine. Models that it runs by llama.cpp have llama.cpp's order.",
)  # fmt: skip

ENGINES: dict[str, Engine] = {e.name: e for e in (TRANSFORMERS, VLLM, LLAMA, OPENAI, MLX, OLLAMA, SGLANG)}
