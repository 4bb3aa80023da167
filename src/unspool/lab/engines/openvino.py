"""OpenVINO GenAI: its GenerationConfig."""

from __future__ import annotations

from functools import partial
from typing import Any

from unspool.core.decoder import Part
from unspool.errors import ParameterError, Unsupported
from unspool.lab.engines.engine import REMARK, CallSetting, Engine, Given, Place, Setting, Unsaid
from unspool.lab.engines.places import (
    BEAM_GROUPS,
    DIVERSITY,
    GENERATED,
    LARK,
    LIST,
    NO_LIMIT,
    NO_SEED,
    TOKENS,
    end_tokens,
    known_keys,
    names_in,
    place,
    structured,
    written_groups,
)
from unspool.strategies.beam import Beam
from unspool.strategies.diverse_beam import DiverseBeam
from unspool.strategies.greedy import Greedy
from unspool.strategies.sample import Sample

BEAM_SETTINGS: tuple[Setting, ...] = (Setting("num_beams", 1), Setting("length_penalty", 1.0), Setting("stop_criteria"))
BEAM_SETTINGS += (Setting("early_stopping", False, also=("never",)), Setting("num_return_sequences", 1))
CRITERIA: dict[str, bool | str] = {"EARLY": True, "HEURISTIC": False, "NEVER": "never"}
ALL_TOKENS = 2**63
"""From here on top_k keeps all."""


def _beams(given: Given) -> Part | None:
    width = Setting("num_beams", 1).of(given)
    if width == 1:
        return None
    if Setting("do_sample", False).of(given):
        raise Unsupported("num_beams with do_sample is refused there")
    for name, neutral in (("repetition_penalty", 1), ("presence_penalty", 0), ("frequency_penalty", 0)):
        if Setting(name, neutral).of(given) != neutral:
            raise Unsupported(f"beam search there takes no {name}")
    criterion = given.get("stop_criteria")
    shared = {
        "length_penalty": float(Setting("length_penalty", 1.0).of(given)),
        "early_stopping": Setting("early_stopping", False).of(given) if criterion is None else CRITERIA[str(criterion).rpartition(".")[2]],
        "n": Setting("num_return_sequences", 1).of(given),
    }
    if BEAM_GROUPS.of(given) == 1:
        return Beam(width, **shared)
    return DiverseBeam(width, groups=BEAM_GROUPS.of(given), diversity=float(DIVERSITY.of(given)), **shared)


def _beams_of(kind: type[Beam], given: Given) -> Part | None:
    found = _beams(given)
    return found if type(found) is kind else None



def _write_beams(part: Beam) -> dict[str, Any]:
    if part.length != "generated" or part.patience != 1:
        raise ParameterError(f"its beams count the generated tokens, the end token too, and have no patience: {part}")
    found = {"num_beams": part.width, "num_return_sequences": part.n, "length_penalty": part.length_penalty}
    return found | {"stop_criteria": next(name for name, value in CRITERIA.items() if value == part.early_stopping)}


def _greedy(given: Given) -> Part:
    n = Setting("num_return_sequences", 1).of(given)
    if n != 1:
        raise Unsupported(f"num_return_sequences={n}: greedy search finds one text")
    return Greedy()


def _schema(value: Any) -> Any:
    lost = "grammar structural_tags_config compound_grammar"
    return known_keys("structured_output_config", value, "json_schema regex backend", lost, LARK).get("json_schema")


def _one(ends: Any) -> int:
    if len(ends) != 1:
        raise ParameterError(f"it has one eos_token_id; write end(...) for others, here {tuple(ends)}")
    return int(ends[0])


OPENVINO = Engine(
    "openvino",
    "OpenVINO GenAI",
    "2026.4.1",
    searching=(place("no_repeat_ngram", lambda n: n == 0 or n >= ALL_TOKENS, n=("no_repeat_ngram_size", None), note="In beams alone."),),
    places=(
        place("min_new_tokens", lambda n: n == 0, n=("min_new_tokens", 0)),
        *structured("structured_output_config", _schema, lambda schema: {"json_schema": schema}, lambda value: value.get("regex")),
        place("repetition_penalty", lambda penalty: penalty == 1, penalty=("repetition_penalty", 1.0), note="Prompt and new tokens."),
        place("presence_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("presence_penalty", 0.0)),
        place("frequency_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("frequency_penalty", 0.0)),
        place("thinking_budget", lambda tokens: tokens < 0, tokens=("reasoning_budget_tokens", -1),
              differs="the tags of thinking are two tokens, thinking_start_token_id and thinking_end_token_id"),
        place("top_k", lambda k: k <= 0 or k >= ALL_TOKENS, k=("top_k", None), sampling=True),
        place("temperature", lambda t: t == 1, t=("temperature", 1.0), sampling=True),
        place("min_p", lambda p: p == 0, p=("min_p", 0.0), sampling=True),
        place("top_p", lambda p: p >= 1, p=("top_p", 1.0), sampling=True,
              differs="where the kept tokens have exactly this mass one more is kept there"),
    ),
    strategies=(
        Place("beam", BEAM_SETTINGS, partial(_beams_of, Beam), _write_beams, note="Penalties are refused beside it."),
        Place("diverse_beam", (*BEAM_SETTINGS, BEAM_GROUPS, DIVERSITY), partial(_beams_of, DiverseBeam),
              partial(written_groups, _write_beams),
              note="Penalties are refused beside it."),
        Place("sample", (Setting("do_sample", False, "do_sample=True"), Setting("num_return_sequences", 1)),
              lambda given: Sample(Setting("num_return_sequences", 1).of(given)) if given.get("do_sample") else None,
              lambda part: {"do_sample": True} | ({"num_return_sequences": part.n} if part.n > 1 else {})),
        Place("greedy", (Setting("do_sample", False),), _greedy, lambda part: {"do_sample": False}),
    ),
    stops=(
        place("stop", strings=("stop_strings", None, LIST)),
        place("end", tokens=("stop_token_ids", None, TOKENS)),
    ),
    calls=(
        CallSetting("max_new_tokens", Setting("max_new_tokens"), *NO_LIMIT),
        CallSetting("max_length", Setting("max_length"), *NO_LIMIT),
        CallSetting("seed", Setting("rng_seed"), *NO_SEED),
        end_tokens("ignore_eos"),
        CallSetting("end_tokens", Setting("eos_token_id", -1), lambda end: None if end < 0 else (int(end),), _one),
    ),
    unsaid={
        "include_stop_str_in_output": Unsaid("the text is cut before a stop string here"),
        "adapters": Unsaid("merge the adapter into the model first"),
        "enable_thinking": Unsaid("there is no thinking here", (True,)),
        "thinking_start_token_id": Unsaid("write thinking_budget(tokens, open=...), with the token's text", (-1,)),
        "thinking_end_token_id": Unsaid("write thinking_budget(tokens, close=...), with the token's text", (-1,)),
        "pruning_ratio": Unsaid("there are no pictures here", (0,)),
        "relevance_weight": Unsaid("there are no pictures here", (0.5,), REMARK),
        "apply_chat_template": Unsaid("a prompt is rendered with chat=True alone here", (), REMARK),
        "assistant_confidence_threshold": Unsaid("it makes the same text faster", (0,), REMARK),
        "num_assistant_tokens": Unsaid("it makes the same text faster", (0,), REMARK),
        "max_ngram_size": Unsaid("it makes the same text faster", (0,), REMARK),
        "echo": Unsaid("the prompt is not repeated here; an output has it beside its text", (False,), REMARK),
    },
    ignored=names_in("logprobs"),
)  # fmt: skip
