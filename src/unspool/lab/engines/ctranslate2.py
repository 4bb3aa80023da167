"""CTranslate2: the arguments of Generator.generate_batch."""

from __future__ import annotations

from typing import Any

from unspool.core.decoder import Part
from unspool.errors import ParameterError, Unsupported
from unspool.lab.engines.engine import DIFFERENT, CallSetting, Engine, Given, Note, Place, Setting, Unsaid
from unspool.lab.engines.places import NO_SEED, as_tuple, names_in, place
from unspool.processors.penalize import RepetitionPenalty
from unspool.strategies.alternatives import Alternatives
from unspool.strategies.beam import Beam
from unspool.strategies.greedy import Greedy
from unspool.strategies.sample import Sample

INSIDE = Setting("include_prompt_in_result", True)
"""Whether the prompt counts as generated: in lengths, and in what penalties look back on."""
KEPT_END = Setting("return_end_token", False)
FIRST = "the first token of the prompt is not counted there"
TOKENS_BY_NAME = "it takes tokens as the vocabulary spells them: write banned(...) or suppress(...) with texts or ids"


def _repetition(given: Given) -> Part | None:
    penalty = Setting("repetition_penalty", 1.0).of(given)
    return None if penalty == 1 else RepetitionPenalty(penalty, "all" if INSIDE.of(given) else "generated")


def _write_repetition(part: RepetitionPenalty) -> dict[str, Any]:
    if part.window is not None or part.decay or part.scope == "prompt":
        raise ParameterError(f"it looks back on all tokens, or on the generated ones: {part}")
    return {"repetition_penalty": part.penalty} | ({} if part.scope == "all" else {INSIDE.name: False})


def _beams(given: Given) -> Part | None:
    width = Setting("beam_size", 1).of(given)
    if width == 1:
        return None
    if Setting("sampling_topk", 1).of(given) != 1:
        raise Unsupported("beam_size with sampling_topk draws the beams, not as beam_sample(...) does: take that, beam(...) or sample")
    inside, kept = INSIDE.of(given), KEPT_END.of(given)
    if inside and kept:
        raise Unsupported("return_end_token beside include_prompt_in_result counts prompt and end, which has no equal")
    return Beam(
        width,
        length_penalty=float(Setting("length_penalty", 1.0).of(given)),
        early_stopping=True,
        patience=float(Setting("patience", 1.0).of(given)),
        n=Setting("num_hypotheses", 1).of(given),
        length="with_prompt" if inside else "generated",
    )


def _write_beams(part: Beam) -> dict[str, Any]:
    lengths: dict[str, dict[str, Any]] = {"with_prompt": {}, "generated": {INSIDE.name: False}}
    if part.early_stopping is not True or part.length not in lengths:
        raise ParameterError(f"its search ends with enough hypotheses, early_stopping=True, and knows the lengths {', '.join(lengths)}")
    found = {"beam_size": part.width, "num_hypotheses": part.n, "length_penalty": part.length_penalty, "patience": part.patience}
    return found | lengths[part.length]


def _greedy_there(given: Given) -> bool:
    return bool(Setting("sampling_topk", 1).of(given) == 1 or Setting("sampling_temperature", 1.0).of(given) == 0)


def _sample(given: Given) -> Part | None:
    n = Setting("num_hypotheses", 1).of(given)
    if _greedy_there(given) and n > 1:
        raise Unsupported(f"num_hypotheses={n}: greedy search finds one text; take beam_size or sampling_topk")
    return None if _greedy_there(given) else Sample(n)


def _alternatives(given: Given) -> Part | None:
    if not given.get("return_alternatives"):
        return None
    if not _greedy_there(given) or Setting("beam_size", 1).of(given) > 1:
        raise Unsupported("return_alternatives beside sampling or beams: write alternatives(n, then=sample), or then=beam(...)")
    return Alternatives(Setting("num_hypotheses", 1).of(given), float(Setting("min_alternative_expansion_prob", 0.0).of(given)))


def _write_alternatives(part: Alternatives) -> dict[str, Any]:
    if part.then != Greedy():
        raise ParameterError(f"its alternatives are greedy when they are written from here: {part}")
    least = {"min_alternative_expansion_prob": part.least} if part.least else {}
    return {"return_alternatives": True, "num_hypotheses": part.n, **least}


def _checked(given: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    if not isinstance(INSIDE.of(given), bool):
        raise ParameterError(f"{INSIDE.name} is True or False; got {given[INSIDE.name]!r}")
    return given


def _warned(given: Given) -> list[Note]:
    found = [Note("max_length", FIRST, DIFFERENT)] if INSIDE.of(given) and "max_length" in given else []
    if not INSIDE.of(given) and given.get("no_repeat_ngram_size"):
        found.append(Note("no_repeat_ngram_size", "without include_prompt_in_result only new tokens count there", DIFFERENT))
    if Setting("beam_size", 1).of(given) > 1 and given.get("length_penalty") == 0:
        found.append(Note("length_penalty", "at 0 the search ends there once the best beam has ended", DIFFERENT))
    return found


CTRANSLATE2 = Engine(
    "ctranslate2",
    "CTranslate2",
    "4.8.5",
    places=(
        place("min_new_tokens", lambda n: n == 0, n=("min_length", 0), differs="the prompt counts too where it is included in the result"),
        Place("repetition_penalty", (Setting("repetition_penalty", 1.0),), _repetition, _write_repetition,
              note="Prompt and new tokens; new ones alone where include_prompt_in_result is False.", differs=FIRST),
        place("no_repeat_ngram", lambda n: n == 0, n=("no_repeat_ngram_size", 0), differs=FIRST),
        place("top_k", lambda k: k <= 0, k=("sampling_topk", 1), neutral={"sampling_topk": 0}, sampling=True,
              note="1, the default, is greedy search; 0 keeps all."),
        place("temperature", lambda t: t == 1, t=("sampling_temperature", 1.0), sampling=True, note="0 is greedy search."),
        place("top_p", lambda p: p >= 1, p=("sampling_topp", 1.0), sampling=True),
    ),
    strategies=(
        Place("alternatives", (Setting("return_alternatives", False), Setting("num_hypotheses", 1),
                               Setting("min_alternative_expansion_prob", 0.0)), _alternatives, _write_alternatives),
        Place("beam", (Setting("beam_size", 1), Setting("patience", 1.0), Setting("length_penalty", 1.0), Setting("num_hypotheses", 1),
                       KEPT_END), _beams, _write_beams,
              note="The score is made a log-probability again after the processors. Lengths leave the end out, and hold the prompt where"
              " it is included in the result."),
        Place("sample", (Setting("sampling_topk", 1, "sampling_topk other than 1"), Setting("num_hypotheses", 1)), _sample,
              lambda part: {"num_hypotheses": part.n} if part.n > 1 else {}),
        Place("greedy", (), lambda given: Greedy(), lambda part: {"sampling_topk": 1}),
    ),
    calls=(
        CallSetting("max_new_tokens", Setting("max_length", 512), where=(INSIDE, False)),
        CallSetting("max_length", Setting("max_length", 512), where=(INSIDE, True)),
        CallSetting("seed", Setting("set_random_seed"), *NO_SEED),
        CallSetting("end_tokens", Setting("end_token"), lambda ends: tuple(map(int, as_tuple(ends))), list),
    ),
    unsaid={
        "suppress_sequences": Unsaid(TOKENS_BY_NAME, ([],)),
        "disable_unk": Unsaid("write suppress(...) with the unknown token"),
        "static_prompt": Unsaid("write it before the prompt", ([],)),
        "callback": Unsaid("write a Stop"),
    },
    ignored=names_in("start_tokens max_batch_size batch_type asynchronous cache_static_prompt return_scores return_logits_vocab"
                     " return_log_probs_vocab"),
    note="set_random_seed is a function of the module, for all that follows.",
    warn=_warned,
    prepare=_checked,
)  # fmt: skip
