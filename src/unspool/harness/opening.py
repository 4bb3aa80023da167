"""Models and batch sizes as lm_eval's arguments name them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unspool.errors import ParameterError, in_digits
from unspool.language_model import LanguageModel
from unspool.loader import open_quietly

THEIR_DEVICE = "cuda:0"
"""What lm_eval's command line asks for where nobody names a device."""


def opened(pretrained: Any, tokenizer: Any, device: str | None, dtype: str | None, backend: str | None) -> LanguageModel:
    """The model that `pretrained` names or is; "auto", as lm_eval calls the model's own number format, is the default here.

    lm_eval's own device is a wish: it is used if it is there and the model is opened here, by a backend that computes on one.
    """
    held = not (pretrained is None or isinstance(pretrained, str | Path))
    if device == THEIR_DEVICE and (held or backend not in (None, "torch", "transformers") or not _has_cuda()):
        device = None
    if isinstance(pretrained, LanguageModel):
        given = {"tokenizer": tokenizer, "device": device, "dtype": dtype, "backend": backend}
        for name, value in given.items():
            if value is not None:
                raise ParameterError(f"pretrained is an opened model, used as it is: leave out {name}={value!r:.40}")
        return pretrained
    return open_quietly(pretrained, tokenizer=tokenizer, device=device, dtype=None if dtype == "auto" else dtype, backend=backend)


def _has_cuda() -> bool:
    """Whether torch is installed and finds a CUDA device."""
    if find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


def pieces_of(text: str) -> list[str]:
    """The arguments in `name=value,name=value`, cut at commas that stand in no brackets and quotes: decoders have commas of their own."""
    found, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        else:
            depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0 and not quote:
            found.append("")
        else:
            found[-1] += sign
    return [piece.strip() for piece in found if piece.strip()]


def placed(batch_size: Any, most: Any) -> int | None:
    """How many prompts run together, None for as many as are fast: "auto" and "auto:N" say so, too."""
    if batch_size is None or str(batch_size).partition(":")[0] == "auto":
        return None if most is None else _count("max_batch_size", most)
    return min(_count("batch_size", batch_size), _count("max_batch_size", most if most is not None else batch_size))


def _count(name: str, value: Any) -> int:
    if not (count := in_digits(str(value))):
        raise ParameterError(f"{name} is a whole number >= 1{' or auto' if name == 'batch_size' else ''}; got {value!r:.40}")
    return count
