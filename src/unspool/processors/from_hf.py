"""Processors of Hugging Face's form, under any strategy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Array, copy, host, like, namespace
from unspool.core.processor import Processor, Rows
from unspool.errors import MissingExtra, PartError, UnspoolError, check

NOT_BY_ROW = {
    "ClassifierFreeGuidanceLogitsProcessor": "; guidance does that here",
    "DiaClassifierFreeGuidanceLogitsProcessor": "; guidance does that here",
    "DiaEOSDelayPatternLogitsProcessor": "",
    "SynthIDTextWatermarkLogitsProcessor": "; watermark_synthid does that here",
    "UnbatchedClassifierFreeGuidanceLogitsProcessor": "; guidance does that here",
    "WhisperNoSpeechDetection": "",
}
"""Classes of transformers whose answer is no function of a row's tokens and scores, with what to use in their place."""


@dataclass(frozen=True)
class FromHf(Processor):
    """A Hugging Face logits processor: called with (input_ids, scores), it returns new scores.

    It sees each row by itself, input_ids (1, T) without padding and scores (1, V), in copies that it may write to. A processor of
    transformers gets torch tensors on every backend; any other function gets arrays of the backend, in numpy unless the model
    runs in torch. It must not keep state of its own: rows fork.
    """

    name = "from_hf"
    function: Callable[[Array, Array], Array]

    def __post_init__(self) -> None:
        check(callable(self.function), f"from_hf(function) needs something to call with (input_ids, scores); got {self.function!r}")
        for one in [self.function, *(self.function if isinstance(self.function, list) else ())]:
            for cls in type(one).__mro__:
                hint = NOT_BY_ROW.get(cls.__name__)
                check(hint is None, f"from_hf: {cls.__name__} does not go by a row's tokens and scores alone, so rows cannot fork{hint}")

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        width = rows.tokens.shape[1]
        found = [self._answer(rows.tokens[i : i + 1, width - int(n) :], scores[i : i + 1]) for i, n in enumerate(rows.lengths)]
        return namespace(scores).concat(found, axis=0) if found else scores

    def _answer(self, tokens: Array, scores: Array) -> Array:
        """What the function makes of one row, as an array like its scores."""
        given = (copy(tokens), copy(scores))
        if isinstance(scores, np.ndarray) and of_transformers(self.function):
            given = tuple(map(_torch().from_numpy, given))
        try:
            found = self.function(*given)
        except UnspoolError:
            raise
        except Exception as error:
            raise PartError(self._complaint(error, given[1])) from error
        shape = getattr(found, "shape", None)
        if shape is None or tuple(shape) != tuple(scores.shape):
            what = repr(found)[:60] if shape is None else f"an array of shape {tuple(shape)}"
            raise PartError(f"the processor {self} returned {what} for scores of shape {tuple(scores.shape)}; it returns new scores (1, V)")
        if isinstance(found, np.ndarray) or isinstance(scores, np.ndarray):
            found = like(np.asarray(host(found)), scores)
        return namespace(scores).astype(found, scores.dtype)

    def _complaint(self, error: Exception, given: Array) -> str:
        """An error of the function, and the backend that it may need: it was given arrays of the model's."""
        said = " ".join(str(error).split())[:200]
        text = f"the processor {self} failed on one row's input_ids and scores: {type(error).__name__}: {said}"
        if of_transformers(self.function):
            return f"{text}; build it for a single prompt, as it sees one row at a time"
        own, other = ("numpy arrays", "torch") if isinstance(given, np.ndarray) else ("torch tensors", "numpy")
        return f"{text}; it was given {own}: if it works on those of {other} alone, load the model with backend={other!r}"


def of_transformers(function: Any) -> bool:
    """Whether its class is of transformers, or made from one: those work on torch tensors."""
    return any(cls.__module__.partition(".")[0] == "transformers" for cls in type(function).__mro__)


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtra("from_hf: processors of transformers work on torch tensors: pip install 'unspool[torch]'") from None
    return torch
