"""The library of Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any

from unspool.core.decoder import REGISTRY, Part
from unspool.errors import ParameterError, Unsupported
from unspool.lab.engines.engine import DIFFERENT, REMARK, CallSetting, Engine, Given, Note, Place, Setting, Unsaid
from unspool.lab.engines.places import (
    BEAM_GROUPS,
    DIVERSITY,
    LIST,
    PHRASES,
    SEQUENCES,
    TOKENS,
    Codec,
    as_ids,
    as_tuple,
    looked_up,
    names_in,
    place,
    written_groups,
)
from unspool.processors.constrain import Banned, RemoveInvalid
from unspool.processors.endings import ExponentialDecayLength, ForcedEnd
from unspool.processors.force import ForcedBegin
from unspool.processors.shape import LogSoftmax
from unspool.strategies.beam import Beam
from unspool.strategies.beam_sample import BeamSample
from unspool.strategies.constrained_beam import ConstrainedBeam
from unspool.strategies.contrastive_search import ContrastiveSearch
from unspool.strategies.diverse_beam import DiverseBeam
from unspool.strategies.greedy import Greedy
from unspool.strategies.lookup import PromptLookup
from unspool.strategies.sample import Sample


def _above_zero(t: Any) -> Any:
    if not t > 0:
        raise ParameterError(f"temperature={t!r} is refused there: write do_sample=False for greedy search")
    return t


POSITIVE = Codec(_above_zero, lambda t: t)
OF_BEAMS: tuple[Setting, ...] = (Setting("num_beams", 1), Setting("length_penalty", 1.0), Setting("early_stopping", False, also=("never",)))
OF_BEAMS += (Setting("num_return_sequences", 1),)
FASTER = "it makes the same text faster"
EXACT_CACHES = ("dynamic", "static", "offloaded", "offloaded_static", "hybrid", "sliding_window", "dynamic_full")
"""Its caches that keep every number as it is."""


def _beams(given: Given) -> Part | None:
    width = Setting("num_beams", 1).of(given)
    if width == 1:
        return None
    kind = BeamSample if Setting("do_sample", False).of(given) else Beam
    return kind(width, **_shared(given))


def _shared(given: Given) -> dict[str, Any]:
    """What all kinds of beams have."""
    early, n = (Setting(*one).of(given) for one in (("early_stopping", False), ("num_return_sequences", 1)))
    return {"length_penalty": float(Setting("length_penalty", 1.0).of(given)), "early_stopping": early, "n": n}


def _forced_words(given: Given) -> Part | None:
    words, width = given.get("force_words_ids"), Setting("num_beams", 1).of(given)
    if not words:
        return None
    if width == 1 or Setting("do_sample", False).of(given) or BEAM_GROUPS.of(given) != 1:
        raise Unsupported("force_words_ids is refused there without num_beams, and with do_sample or num_beam_groups")
    sets = [list(map(tuple, one)) if isinstance(one[0], list | tuple) else tuple(one) for one in words]
    return ConstrainedBeam(width, phrases=tuple(sets), **_shared(given))


def _write_forced_words(part: ConstrainedBeam) -> dict[str, Any]:
    if part.ordered or part.banks != "shared":
        raise ParameterError(f"its phrases come in any order and share the beams: {part}")
    ids = [[as_ids(p) for p in one] if isinstance(one, list) else as_ids(one) for one in part.phrases]
    return _write_beams(part) | {"force_words_ids": ids}


def _groups(given: Given) -> Part | None:
    width, groups = Setting("num_beams", 1).of(given), BEAM_GROUPS.of(given)
    if groups == 1 or width == 1:
        return None
    if Setting("do_sample", False).of(given):
        raise Unsupported("num_beam_groups with do_sample is refused there")
    return DiverseBeam(width, groups=groups, diversity=float(DIVERSITY.of(given)), **_shared(given))



def _beams_if(drawn: bool, given: Given) -> Part | None:
    return _beams(given) if bool(Setting("do_sample", False).of(given)) == drawn else None


def _write_beams(part: Beam) -> dict[str, Any]:
    if part.length != "generated":
        raise ParameterError(f"it counts the generated tokens of {part}, the end token too: length must be 'generated'")
    if part.patience != 1:
        raise ParameterError(f"it has no patience: {part}")
    found = {"do_sample": isinstance(part, BeamSample), "num_beams": part.width, "num_return_sequences": part.n}
    return found | {"length_penalty": part.length_penalty, "early_stopping": part.early_stopping}


def _contrastive(given: Given) -> Part | None:
    alpha, k = given.get("penalty_alpha"), Setting("top_k", 50).of(given)
    return ContrastiveSearch(k, alpha) if alpha and k > 1 and not given.get("do_sample") else None


def _watermark(name: str, given: Given) -> Part | None:
    config = given.get("watermarking_config")
    config = {} if config is None else dict(config if isinstance(config, Mapping) else config.to_dict())
    if not config or ("keys" in config) != (name == "watermark_synthid"):
        return None
    known = [f.name for f in fields(REGISTRY[name]) if f.name in config]  # type: ignore[arg-type]
    more = {key: value for key, value in config.items() if key not in known and value not in (None, False)}
    if more:
        raise Unsupported(f"watermarking_config: {', '.join(more)} has no equal in {name}")
    return REGISTRY[name](**{f: config[f] for f in known}, variant="transformers")  # type: ignore[call-arg]


def _write_watermark(part: Any) -> dict[str, Any]:
    if part.variant != "transformers":
        raise ParameterError(f"it marks as {part.name}(variant='transformers') does, not as {part}")
    config = {f.name: getattr(part, f.name) for f in fields(part) if f.init and f.name != "variant"}
    if isinstance(config.get("keys"), int):
        raise ParameterError("it takes the key of every layer, not one number for all")
    return {"watermarking_config": config | ({"keys": list(part.keys)} if "keys" in config else {})}


def _greedy(given: Given) -> Part:
    n = Setting("num_return_sequences", 1).of(given)
    if n != 1:
        raise Unsupported(f"num_return_sequences={n}: greedy search finds one text, there and here")
    return Greedy()


_BANNED = place("banned", phrases=("bad_words_ids", None, PHRASES))


def _banned(given: Given) -> Part | None:
    """What is banned, without what is an end token alone: transformers lets that come."""
    found, ends = _BANNED.read(given), given.get("eos_token_id")
    if not isinstance(found, Banned) or ends is None:
        return found
    left = [phrase for phrase in found.phrases if phrase not in as_tuple(ends)]
    return Banned(*left) if left else None


def _forced_end(given: Given) -> Part | None:
    token, n = given.get("forced_eos_token_id"), given.get("max_new_tokens")
    if token is None:
        return None
    if n is None:
        raise Unsupported("forced_eos_token_id acts at max_length, which counts the prompt: give max_new_tokens")
    if isinstance(token, list | tuple) and len(token) != 1:
        raise Unsupported(f"forced_eos_token_id with several tokens has no equal; got {token!r}: give one")
    return ForcedEnd(n, token=token[0] if isinstance(token, list | tuple) else token)


def _write_forced_end(part: Any) -> dict[str, Any]:
    if part.token is None:
        raise ParameterError(f"it needs the token's id: {part} takes the model's own")
    return {"forced_eos_token_id": part.token, "max_new_tokens": part.n}


def _show_log_probabilities(processors: list[Part], strategy: Part) -> tuple[list[Part], Part]:
    """Beams show their processors log-probabilities, and sum what comes out; that of a forced token is 0."""
    if not isinstance(strategy, Beam) or not processors:
        return processors, strategy
    shown = [replace(p, certain=True) if isinstance(p, ForcedBegin | ForcedEnd) else p for p in processors]
    return [LogSoftmax(), *shown], replace(strategy, renormalise=False)


def _hide_log_probabilities(processors: list[Part], strategy: Part) -> tuple[list[Part], Part]:
    plain = [replace(p, certain=False) if isinstance(p, ForcedBegin | ForcedEnd) else p for p in processors]
    if not isinstance(strategy, Beam) or not processors:
        return plain, strategy
    first = isinstance(processors[0], LogSoftmax)
    sure = all(p.certain for p in processors if isinstance(p, ForcedBegin | ForcedEnd))
    if not first or strategy.renormalise or not sure:
        text = " | ".join(map(str, (*(wanted := _show_log_probabilities(processors[first:], strategy))[0], wanted[1])))
        raise ParameterError(f"transformers' beams do not renormalise what processors make of log-probabilities: write {text}")
    return plain[1:], replace(strategy, renormalise=True)


def _met(given: Given) -> list[Note]:
    """What settings mean that meet: bans of an end token, and forced tokens beside what may rule them out."""
    forced = [name for name in ("forced_bos_token_id", "forced_eos_token_id") if given.get(name) is not None]
    alone = "one text is all that comes of a forced token; there num_return_sequences are made up with copies of it"
    copies = given.get("max_new_tokens") == 1 and Setting("num_return_sequences", 1).of(given) > 1
    found = [Note(name, alone, DIFFERENT) for name in forced if copies]
    if given.get("begin_suppress_tokens") and "forced_bos_token_id" in forced:
        late = "after a prompt of one token they are suppressed as the second new token there, behind forced_bos_token_id"
        found.append(Note("begin_suppress_tokens", late, DIFFERENT))
    if given.get("eos_token_id") is None and any(isinstance(phrase, int) for phrase in PHRASES.read(given.get("bad_words_ids") or ())):
        found.append(Note("bad_words_ids", "an end token of the model alone is not banned there; give eos_token_id", DIFFERENT))
    names = ("bad_words_ids", "min_length", "min_new_tokens", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size")
    both = len(forced) == 2 and given.get("max_new_tokens") == 1
    if not both and not any(given.get(name) for name in names):
        return found
    what = "it comes there even where another setting rules it out; here nothing is left then, which is an error"
    return found + [Note(name, what, DIFFERENT) for name in forced]


_PLAIN = (
    Place("sample", (Setting("do_sample", False, "do_sample=True"), Setting("num_return_sequences", 1)),
          lambda given: Sample(Setting("num_return_sequences", 1).of(given))
          if given.get("do_sample") else None,
          lambda part: {"do_sample": True} | ({"num_return_sequences": part.n} if part.n > 1 else {}),
          note="One generator for the whole batch: a text depends on its neighbours."),
    Place("greedy", (Setting("do_sample", False),), _greedy, lambda part: {"do_sample": False}),
)  # fmt: skip


def _lookup(given: Given) -> dict[str, Any] | None:
    tokens = given.get("prompt_lookup_num_tokens")
    return {"tokens": tokens, "longest": Setting("max_matching_ngram_size", 2).of(given)} if tokens is not None else None


def _write_lookup(part: PromptLookup) -> dict[str, Any]:
    if part.shortest != 1:
        raise ParameterError("it looks for n-grams down to a single token: shortest is 1 there")
    return {"prompt_lookup_num_tokens": part.tokens, "max_matching_ngram_size": part.longest}


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
        replace(_BANNED, read=_banned, note="A phrase that is one end token alone is not banned there."),
        place("min_length", lambda n: n == 0, n=("min_length", 0)),
        place("min_new_tokens", lambda n: n == 0, n=("min_new_tokens", None)),
        place("forced_begin", token=("forced_bos_token_id", None), differs="there only after a prompt of one token"),
        Place("forced_end", (Setting("forced_eos_token_id"),), _forced_end, _write_forced_end,
              note="At max_length, which max_new_tokens sets here."),
        Place("remove_invalid", (Setting("remove_invalid_values", False),),
              lambda given: RemoveInvalid() if given.get("remove_invalid_values") else None,
              lambda part: {"remove_invalid_values": True}),
        Place("exponential_decay_length", (Setting("exponential_decay_length_penalty"),),
              lambda given: ExponentialDecayLength(*given["exponential_decay_length_penalty"])
              if given.get("exponential_decay_length_penalty") else None,
              lambda part: {"exponential_decay_length_penalty": [part.start, part.factor]}),
        place("suppress", tokens=("suppress_tokens", None, TOKENS)),
        place("suppress_at_begin", tokens=("begin_suppress_tokens", None, TOKENS)),
        place("temperature", lambda t: t == 1, t=("temperature", 1.0, POSITIVE), sampling=True, note="0 is refused: do_sample=False."),
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
        Place("constrained_beam", (*OF_BEAMS, Setting("force_words_ids")), _forced_words, _write_forced_words,
              note="Since 5.0 remote code of the hub. What the prompt holds counts there, and a text that lacks a phrase may come."),
        Place("diverse_beam", (*OF_BEAMS, BEAM_GROUPS, DIVERSITY), _groups, partial(written_groups, _write_beams),
              note="Since 5.0 remote code of the hub. The penalty stands before the other processors there; a group that is done counts as "
              "taking the token that fills up."),
        Place("beam", OF_BEAMS, partial(_beams_if, False), _write_beams,
              note="Processors see log-probabilities, and their scores are not renormalised before they are summed."),
        Place("beam_sample", (*OF_BEAMS, Setting("do_sample", False, "do_sample=True")), partial(_beams_if, True), _write_beams,
              note="As beam; temperature, top_k and the other samplers are applied too. One generator for the whole batch."),
        Place("contrastive_search", (Setting("penalty_alpha"), Setting("top_k", 50)), _contrastive,
              lambda part: {"penalty_alpha": part.alpha, "top_k": part.k}, note="Since 5.0 remote code of the hub."),
        looked_up(_PLAIN, (Setting("prompt_lookup_num_tokens", number=True), Setting("max_matching_ngram_size", 2)), _lookup, _write_lookup,
                  note="The first place in the text counts there, and drafts are as long as they are. One prompt at a time."),
        *_PLAIN,
    ),
    stops=(
        place("stop", strings=("stop_strings", None, LIST), differs="there the string stays in the text, and may begin in the prompt"),
        place("max_time", seconds=("max_time", None)),
    ),
    calls=(
        CallSetting("max_new_tokens", Setting("max_new_tokens")),
        CallSetting("max_length", Setting("max_length", 20)),
        CallSetting("end_tokens", Setting("eos_token_id"), as_tuple, list),
    ),
    unsaid={
        "guidance_scale": Unsaid("add guidance(scale, model) in Python: it holds a model", (1,)),
        "dola_layers": Unsaid("add dola(layers) with the layers by number; there the earlier ones lack the final norm"),
        "constraints": Unsaid("they are objects: write force_words_ids, lists of token ids", ([],)),
        "token_healing": Unsaid("put heal(n) first, which takes n tokens back and spells their bytes anew"),
        "assistant_ensemble_weight": Unsaid("no second model has a say here", (0,)),
        "assistant_early_exit": Unsaid("it makes the same text faster, as early_exit(layer) does", (), REMARK),
        "use_mtp": Unsaid(FASTER, (False,), REMARK),
        "speculation_type": Unsaid(FASTER, (), REMARK),
        "cache_implementation": Unsaid("numbers are not rounded to be kept here", EXACT_CACHES, DIFFERENT),
    },
    ignored=names_in(
        "use_cache cache_config max_cache_len output_attentions output_hidden_states output_scores output_logits"
        " return_dict_in_generate pad_token_id bos_token_id decoder_start_token_id is_assistant num_assistant_tokens"
        " num_assistant_tokens_schedule assistant_confidence_threshold assistant_lookbehind target_lookbehind"
        " compile_config disable_compile continuous_batching_config low_memory prefill_chunk_size _from_model_config"
        " transformers_version _commit_hash backend generation_kwargs"
    ),
    note="What comes after suppress_at_begin, down to eta, is applied only with do_sample=True.",
    warn=_met,
    wrap=_show_log_probabilities,
    unwrap=_hide_log_probabilities,
)  # fmt: skip
