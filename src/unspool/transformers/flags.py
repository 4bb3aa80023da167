"""The settings of a call of `generate`, a GenerationConfig with its arguments, as a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from unspool.core.decoder import Decoder, Part
from unspool.errors import ParameterError, Unsupported
from unspool.lab.engines import ENGINES
from unspool.lab.translate import from_engine
from unspool.models.hf import TransformersModel
from unspool.processors.contrast import Guidance
from unspool.processors.layers import Dola
from unspool.processors.shape import LogSoftmax
from unspool.strategies.beam import Beam
from unspool.strategies.greedy import Greedy
from unspool.transformers.asked import CallOfGenerate

THERE = ENGINES["transformers"]
ELSEWHERE = {"guidance_scale", "dola_layers", "constraints"}
"""Settings that need the model, or are objects: they are read here."""
SAYS_ROWS = {"do_sample", "num_beams", "num_return_sequences"}
"""What also says how many rows a call has."""
MANY_LAYERS = 40
"""Of a model of more layers, DoLa compares 20 at one end."""


@dataclass(frozen=True)
class CallSettings:
    """The decoder that a call's settings mean."""

    processors: tuple[Any, ...]
    drawing: tuple[Any, ...]
    """Processors that act after those that the caller gives: where tokens are drawn, and a watermark."""
    strategy: Any
    stops: tuple[Any, ...]
    bare: bool
    """Whether earlier layers are read as they are."""

    def decoder(self, more: Sequence[Part] = ()) -> Decoder:
        """The decoder, with processors of the caller's at their place: behind what acts on every text, before what is for drawing."""
        before, strategy = self.processors, self.strategy
        if isinstance(strategy, Beam) and more and not before and not self.drawing:
            before, strategy = (LogSoftmax(),), replace(strategy, renormalise=False)
        return Decoder((*before, *more, *self.drawing, strategy, *self.stops))


def flags_of(config: Any, asked: CallOfGenerate, model: TransformersModel, negative: Sequence[int] | None = None) -> CallSettings:
    """What the settings of a call mean; negative: the prompt that guidance leads away from."""
    said = {name: value for name in THERE.names - THERE.ignored - ELSEWHERE if (value := getattr(config, name, None)) is not None}
    for name in ("max_length", "max_time"):                              # criteria say these
        said.pop(name, None)
    least = max(said.pop("min_length", 0) - asked.width, said.pop("min_new_tokens", 0))
    said |= {"max_new_tokens": asked.limit} | ({"min_new_tokens": least} if least > 0 else {})
    if asked.width != 1:
        said.pop("forced_bos_token_id", None)                            # it acts after a prompt of one token alone
    if getattr(config, "constraints", None):
        said["force_words_ids"] = [_words(one) for one in config.constraints]
    found = from_engine("transformers", said)
    if found.lost:
        raise Unsupported("; ".join(f"{note.setting}: {note.what}" for note in found.lost))
    layers, scale = getattr(config, "dola_layers", None), getattr(config, "guidance_scale", None)
    first: list[Part] = []
    if scale is not None and scale != 1:
        first.append(Guidance(float(scale), model, None if negative is None else tuple(negative)))
    if layers is not None:
        if isinstance(found.decoder.strategy, Beam):
            raise Unsupported("dola_layers goes with greedy search and sampling; beams over it: decode('dola((2, 4)) | beam(4)')")
        first.append(dola_of(layers, model))
    own = list(found.decoder.processors)
    head = [own.pop(0)] if own and isinstance(found.decoder.strategy, Beam) and isinstance(own[0], LogSoftmax) else []
    if first and isinstance(found.decoder.strategy, Beam) and not head:
        head = [LogSoftmax()]
    late = {place.method for place in THERE.places if place.sampling or place.method.startswith(("watermark", "log_softmax"))}
    cut = next((i for i, part in enumerate(own) if part.name in late), len(own))
    strategy = found.decoder.strategy or Greedy()
    if head:
        strategy = replace(strategy, renormalise=False)
    return CallSettings((*head, *first, *own[:cut]), tuple(own[cut:]), strategy, found.decoder.stops, layers is not None)


def dola_of(given: Any, model: TransformersModel) -> Dola:
    """DoLa as it was in transformers 4: `given` is "low", "high" or layers, counted from the embedding, 0."""
    if model.early is None:
        raise Unsupported(f"dola_layers needs the states after earlier layers, which {type(model.inner).__name__} does not show")
    count = model.early.count
    tied = bool(getattr(model.config, "tie_word_embeddings", False))
    first = 0 if not tied else min(2, max(0, count - 1))                 # a tied embedding says again what it has read
    if given == "high":
        chosen = range(count // 2 if count <= MANY_LAYERS else count - 20, count, 2)
    elif given == "low":
        chosen = range(first, count // 2 if count <= MANY_LAYERS else 20, 2) if first != count // 2 else range(first, first + 1)
    elif isinstance(given, list | tuple):
        chosen = [layer for layer in given if isinstance(layer, int) and 0 <= layer < count]  # type: ignore[assignment]
    else:
        raise ParameterError(f'dola_layers is "low", "high" or a list of layers; got {given!r:.80}')
    if not chosen:
        raise ParameterError(f"dola_layers={given!r:.80} names no layer of this model before its last; they are 0 to {count - 1}")
    return Dola(tuple(layer + 1 for layer in chosen), divergence="transformers")


def said_beside(config: Any, usual: Any, strategy: Any) -> None:
    """Refuse settings of a call that a decoder would pass over in silence. usual: the model's own GenerationConfig, which may stand."""
    known = {s.name: s.default for s in THERE.settings}
    names = [*sorted(THERE.names - THERE.ignored - {c.setting.name for c in THERE.calls} - SAYS_ROWS - {"max_time"})]
    for name in names:
        value = getattr(config, name, None)
        if value is None or value in (getattr(usual, name, None), known.get(name)):
            continue
        if name in THERE.unsaid and THERE.unsaid[name].note(name, value) is None:
            continue
        raise ParameterError(
            f"{name}={value!r:.60} beside a decoder: {strategy} and the parts beside it say all that decides the text. Write it as one of "
            "them, or let custom_generate=un.transformers.generate read the settings of generate"
        )
    width, texts = getattr(strategy, "width", None), strategy.most_texts()
    for name, own in (("num_beams", width), ("num_return_sequences", texts)):
        value = getattr(config, name, None)
        if value not in (None, 1, getattr(usual, name, None), own):
            raise ParameterError(f"{name}={value} beside the decoder {strategy}, which has {own if own else 'none'}: leave it out")


def _words(constraint: Any) -> Any:
    """The token ids of a constraint of transformers 4: a phrase, or several of which one is enough."""
    ids = getattr(constraint, "token_ids", None)
    if not isinstance(ids, list | tuple) or type(constraint).__name__ not in ("PhrasalConstraint", "DisjunctiveConstraint"):
        raise Unsupported(f"constraints: {type(constraint).__name__} has no equal; give force_words_ids, lists of token ids")
    return list(ids)
