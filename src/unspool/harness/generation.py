"""What a task's generation_kwargs ask for: a decoder, and the options of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unspool.core.decoder import Decoder, as_decoder
from unspool.errors import check, is_whole
from unspool.lab.translate import from_engine
from unspool.processors.parts import After
from unspool.stops.texts import StopStrings

UNTOLD = ("do_sample", "max_length", "max_new_tokens")
"""Of these a translation has nothing to tell: they are set here."""


@dataclass(frozen=True)
class HarnessGeneration:
    """How texts are generated, and what of the settings is to be known."""

    decoder: Decoder
    tokens: int
    """The most new tokens."""
    seed: int
    until: tuple[str, ...]
    end_tokens: tuple[int, ...] | None = None
    """None for the model's own."""
    notes: tuple[str, ...] = ()


def generation_of(
    kwargs: Mapping[str, Any], decoder: Decoder | None, seed: int, tokenizer: Any = None, think_end: str | None = None
) -> HarnessGeneration:
    """The meaning of generation_kwargs in the form that `lm_eval.models.utils.normalize_gen_kwargs` gives them.

    A decoder, among them or else the one given here, says how tokens are chosen; without one the other settings do, as transformers
    reads them. think_end: what ends the thinking, before which `until` does not count.
    """
    left = dict(kwargs)
    until = tuple(text for text in left.pop("until", None) or () if text not in (None, ""))
    check(all(isinstance(text, str) for text in until), f"until is a list of texts; got {list(until)!r:.80}")
    tokens, seed = left.pop("max_gen_toks"), left.pop("seed", seed)
    check(is_whole(tokens, 1), f"max_gen_toks is a whole number >= 1; got {tokens!r:.40}")
    check(is_whole(seed), f"seed is a whole number; got {seed!r:.40}")
    own = left.pop("decoder", None)
    chosen, end_tokens, notes = as_decoder(own) if own is not None else decoder, None, tuple[str, ...]()
    if chosen is not None:
        idle = [f"{name}={value!r}" for name, value in left.items() if not _says_nothing(name, value)]
        notes = (f"the decoder {chosen} stands in place of {', '.join(idle)}",) if idle else ()
    else:
        chosen, end_tokens, notes = _translated(left, tokens, tokenizer)
    if until:
        stop = StopStrings(*until)
        chosen = chosen | (After(think_end, stop) if think_end else stop)
    return HarnessGeneration(chosen, tokens, seed, until, end_tokens, notes)


def _says_nothing(name: str, value: Any) -> bool:
    """Whether a setting stands in most tasks to say greedy search, or that texts are drawn."""
    return value is None or name == "do_sample" or (name == "temperature" and value in (0, 1))


def _translated(settings: Mapping[str, Any], tokens: int, tokenizer: Any) -> tuple[Decoder, tuple[int, ...] | None, tuple[str, ...]]:
    """The decoder that transformers' settings mean, its end tokens if it names some, and what is to be known."""
    drawn = bool(settings.get("do_sample"))
    given = {name: value for name, value in settings.items() if drawn or name != "temperature"}
    found = from_engine("transformers", {**given, "max_new_tokens": tokens}, tokenizer=tokenizer)
    ends = found.options.get("end_tokens")
    notes = tuple(str(note) for note in found.notes if note.setting not in UNTOLD)
    return found.decoder, None if ends is None else tuple(ends), notes
