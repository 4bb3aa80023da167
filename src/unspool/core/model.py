"""The contract with a model: rows of tokens that grow, fork, wait and are forgotten.

Whoever can extend rows and give the logits after them can be decoded, by every strategy. A session of one's own is four verbs over
a `TokenForest`, which names the rows and checks what they are made of; `unspool.testing.check_model` tries it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from unspool.arrays import Array, Ints
from unspool.core.tree import ROOT, TokenForest
from unspool.errors import ModelError, check

__all__ = ["NO_PLAN", "ROOT", "Model", "Plan", "Session", "as_model", "check_ids", "first_layers", "layers_within", "no_numbers"]


@dataclass(frozen=True)
class Plan:
    """What a run will ask of a session, as far as it is known before: for buffers of fixed size, and for what is to be remembered."""

    rows: int | None = None
    """The most rows that grow together, over all prompts; None where nobody can say."""
    length: int | None = None
    """The most tokens of a row."""
    layers: tuple[int, ...] = ()
    """The layers whose hidden states are asked for beside the last: k for the state after k of them."""


NO_PLAN = Plan()
"""Nothing is known before."""


class Session(Protocol):
    """The rows of one decoding run over one model."""

    can: frozenset[str]
    """What it supports beyond logits: "hidden" (final hidden states), "layers" (those of the layers in its plan)."""
    nodes: TokenForest
    """The tokens of its rows: made with the model's vocabulary and context, grown by `nodes.grow`, which refuses what cannot be."""

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints], every: bool = False) -> Ints:
        """Grow each parent by its chain of tokens and return the new rows; the parents stay alive.

        every: whether the logits after each token of the chains may be asked for, not only after the last. A chain without tokens
        gives its parent back.
        """

    def keep(self, rows: Iterable[int]) -> None:
        """Forget every row that lies on no path from the root to one of these."""

    def logits(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        """Unnormalised log-probabilities of the token after each row: (R, V), an array that nobody else holds.

        layer: as if the model ended after so many layers; only with "layers" in `can`, and for those of the plan.
        """

    def hidden(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        """Final hidden states at each row: (R, E); only with "hidden" in `can`. layer: as for `logits`."""


class Model(Protocol):
    """A causal language model on token ids."""

    vocabulary: int
    context: int
    """The most tokens a row may hold."""
    end_tokens: tuple[int, ...]
    start: int | None
    """The token that stands for an empty prompt, if the model has one."""

    def session(self, plan: Plan = ...) -> Session:
        """A new set of rows."""


def as_model(value: Any, place: str) -> Model:
    """A model, or that of a LanguageModel; place: who asks, as "speculative(draft)"."""
    model: Model = getattr(value, "model", value)
    named = f"; a name is no model yet, in Python unspool.load({value!r}) is one" if isinstance(value, str) else ""
    check(hasattr(model, "session"), f"{place} needs a model or LanguageModel; got {value!r}{named}")
    return model


def layers_within(layers: Sequence[int], most: int) -> tuple[int, ...]:
    """Layers of a plan, ascending and each once; refused where the model has not so many."""
    for layer in layers:
        if not 0 < layer < most:
            raise ModelError(f"layer {layer} is none between the layers of this model: it has {most}, so give one of 1 to {most - 1}")
    return tuple(sorted(set(layers)))


def first_layers(model: Any, count: int) -> Model:
    """A model as if it ended after so many layers, with its own final norm and head.

    A model that can leave out the others says so by a method of this name; of another the session is asked for the layer's logits,
    which costs as much as all of it.
    """
    own = getattr(model, "first_layers", None)
    found: Model = FirstLayers(model, count) if own is None else own(count)
    return found


class FirstLayers:
    """A model as if it ended after so many layers; all of them run."""

    def __init__(self, model: Model, count: int) -> None:
        self.model, self.count = model, count
        self.vocabulary, self.context, self.end_tokens, self.start = model.vocabulary, model.context, model.end_tokens, model.start

    def session(self, plan: Plan = NO_PLAN) -> Session:
        return _Exit(self.model.session(Plan(plan.rows, plan.length, (self.count,))), self.count)


class _Exit:
    """Rows of a `FirstLayers`."""

    can: frozenset[str] = frozenset()

    def __init__(self, session: Session, count: int) -> None:
        self.inner, self.count = session, count
        self.nodes, self.extend, self.keep = session.nodes, session.extend, session.keep

    def logits(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        return self.inner.logits(rows, self.count)

    def hidden(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        return self.inner.hidden(rows, self.count)


def check_ids(place: str, ids: Iterable[int], vocabulary: int) -> None:
    """Refuse token ids that a model does not have; place: who names them, as "banned"."""
    for t in ids:
        check(0 <= t < vocabulary, f"{place}: there is no token {t}; this model's ids are 0 to {vocabulary - 1}")


def no_numbers(model: Any) -> ModelError:
    """The error for a model whose logits are no numbers; a model with `broken_weights` says which weights are to blame."""
    said = "the model's logits hold NaN or infinity"
    if not hasattr(model, "broken_weights"):
        return ModelError(f"{said}; its weights are broken or its arithmetic overflowed")
    broken = model.broken_weights()
    if not broken:
        return ModelError(f"{said}, though its weights are finite: its arithmetic overflowed; load it in a wider dtype, as float32")
    more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
    return ModelError(f"{said}, and so do its weights {', '.join(broken[:3])}{more}; get the checkpoint again")
