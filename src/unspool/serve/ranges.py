"""What the settings of a decoder take in a request: the ranges that the engines document, out of which they refuse or cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unspool.errors import as_json, in_digits
from unspool.serve.errors import Refused
from unspool.serve.values import (
    A_TEXT,
    CHANCE,
    FLAG,
    NUMBER,
    OBJECT,
    SOME_IDS,
    TOKEN_IDS,
    WORDED,
    Takes,
    above,
    is_number,
    number,
    one_of,
    parts,
    whole,
)


def _biases(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(in_digits(key) is not None and is_number(amount) and -100 <= amount <= 100 for key, amount in value.items())
    return isinstance(value, list) and all(map(_pair, value))


def _pair(value: Any) -> bool:
    if not (isinstance(value, list) and len(value) == 2):
        return False
    token, amount = value
    named = (isinstance(token, str) and token != "") or (isinstance(token, int) and not isinstance(token, bool) and token >= 0)
    return named and (amount is False or is_number(amount))


TAKES: dict[str, Takes] = {
    "adaptive_decay": number(0, 0.99),
    "adaptive_target": Takes("a number <= 1, below 0 for none", lambda value: is_number(value) and value <= 1),
    "allowed_token_ids": SOME_IDS,
    "bad_words": WORDED,
    "dry_allowed_length": whole(1),
    "dry_base": number(1),
    "dry_multiplier": number(0),
    "dry_penalty_last_n": whole(-1),
    "dry_sequence_breakers": WORDED,
    "dynatemp_exponent": above(0),
    "dynatemp_range": number(0),
    "frequency_penalty": number(-2, 2),
    "ignore_eos": FLAG,
    "json_schema": OBJECT,
    "length_penalty": NUMBER,
    "logit_bias": Takes(
        "an object of token ids and amounts of -100 to 100, or llama.cpp's list of [token or text, amount or false]", _biases
    ),
    "min_keep": whole(0),
    "min_p": CHANCE,
    "min_tokens": whole(0),
    "mirostat": whole(0, 2),
    "mirostat_eta": number(0),
    "mirostat_tau": above(0),
    "n": whole(1),
    "presence_penalty": number(-2, 2),
    "reasoning_budget": whole(-1),
    "reasoning_budget_message": A_TEXT,
    "repeat_last_n": whole(-1),
    "repeat_penalty": above(0),
    "repetition_detection": parts(max_pattern_size=whole(0), min_pattern_size=whole(0), min_count=whole(2)),
    "repetition_penalty": above(0),
    "response_format": parts(
        type=one_of("text", "json_object", "json_schema"),
        json_schema=parts(name=A_TEXT, description=A_TEXT, schema=OBJECT, strict=FLAG),
    ),
    "samplers": Takes("a list of names, or a text of them", lambda value: isinstance(value, str) or WORDED.right(value)),
    "stop": Takes("a text or a list of texts, none of them empty", lambda value: value == [] or _texts(value)),
    "stop_token_ids": TOKEN_IDS,
    "structured_outputs": parts(
        json=OBJECT | A_TEXT,
        json_object=FLAG,
        regex=A_TEXT,
        choice=Takes("a list of texts, not empty", lambda value: value != [] and WORDED.right(value)),
        grammar=A_TEXT,
        structural_tag=OBJECT | A_TEXT,
        whitespace_pattern=A_TEXT,
        disable_fallback=FLAG,
        disable_any_whitespace=FLAG,
        disable_additional_properties=FLAG,
    ),
    "temperature": number(0),
    "thinking_budget_tokens": whole(-1),
    "thinking_token_budget": whole(-1),
    "top_k": Takes("a whole number >= -1, where 0 and -1 keep all", whole(-1).right),
    "top_n_sigma": Takes("a number > 0, or -1 or 0 for none", lambda value: is_number(value) and (value >= 0 or value == -1)),
    "top_p": CHANCE,
    "typical_p": CHANCE,
    "use_beam_search": FLAG,
    "xtc_probability": CHANCE,
    "xtc_threshold": CHANCE,
}
"""What each setting takes."""


def _texts(value: Any) -> bool:
    return WORDED.right([value] if isinstance(value, str) else value)


def check_known_tokens(fields: Mapping[str, Any], vocabulary: int) -> None:
    """Refuse token ids that the model does not have."""
    biased = fields.get("logit_bias") or ()
    named = {
        "allowed_token_ids": fields.get("allowed_token_ids") or (),
        "stop_token_ids": fields.get("stop_token_ids") or (),
        "logit_bias": [int(key) for key in biased] if isinstance(biased, Mapping) else [t for t, _ in biased if not isinstance(t, str)],
    }
    for name, ids in named.items():
        check_ids(name, ids, vocabulary)


def check_ids(name: str, ids: Any, vocabulary: int) -> None:
    """Refuse token ids of a field that the model does not have."""
    for token in ids:
        if not 0 <= token < vocabulary:
            raise Refused(f"{name}: there is no token {as_json(token)}; the model's ids are 0 to {vocabulary - 1}", name)
