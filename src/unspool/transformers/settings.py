"""A GenerationConfig as a decoder, and a decoder as a GenerationConfig, with what either cannot say."""

from __future__ import annotations

from typing import Any

from unspool.core.decoder import Decoder, Part
from unspool.lab.translate import Translation, from_engine, to_engine
from unspool.models.hf import library


def from_config(config: Any, *, tokenizer: Any = None) -> Translation:
    """The decoder that a GenerationConfig means: `decoder` and `options` for `lm.generate`, and `notes`, objects, of what they do not hold.

    config: of transformers, or a mapping of the same names. `found.lost` are those of the notes that change the text.
    """
    return from_engine("transformers", config, tokenizer=tokenizer)


def to_config(decoder: Decoder | Part | str, *, tokenizer: Any = None, **options: Any) -> tuple[Any, Translation]:
    """The GenerationConfig that means a decoder, and the Translation it is made of, whose `notes` say where it differs.

    What transformers cannot say is refused by its name. options: max_new_tokens, max_length and end_tokens, as `lm.generate` takes
    them. tokenizer: of the model, for decoders that name texts.
    """
    found = to_engine("transformers", decoder, tokenizer=tokenizer, **options)
    return library().GenerationConfig(**found.settings), found
