"""Processors that compare the model with another model, another prompt or an earlier layer.

They are one idea. A text's next token is scored by where the model stands, and by how far what speaks for a token lies from what speaks
against it: start(v) + by * (log toward(v) - log away(v)). What differs is who is asked: the model without its prompt (guidance) or without
a part of it (context_aware), a weaker model (contrastive_decoding), a tuned and an untuned one (expert), one after the other (ensemble),
an earlier layer (dola, in layers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any

import numpy as np

from unspool.arrays import INF, Array, Floats, Ints, block, host, like, log_softmax, namespace, topk
from unspool.core.decoder import Part
from unspool.core.model import Model, as_model
from unspool.core.processor import Processor, Rows
from unspool.errors import ParameterError, PartError, check, number, plain, whole
from unspool.processors.measures import divided, limited
from unspool.processors.penalize import texts_in


def moved(own: Array, by: float, toward: Array, away: Array, start: Array | None = None) -> Array:
    """start + by * (toward - away), all of them log-probabilities (R, V); start: `own` if not given.

    Tokens that one of them rules out keep what `own` says of them.
    """
    xp, zero = namespace(own), namespace(own).zeros_like(own)
    known = (own > -INF) & (toward > -INF) & (away > -INF)
    apart = xp.where(known, toward, zero) - xp.where(known, away, zero)
    return xp.where(known, (own if start is None else start) + limited(by) * apart, own)


def plausible(scores: Array, logprobs: Array, alpha: float) -> Array:
    """Scores of the tokens whose probability is at least alpha times the highest, -inf for the others."""
    if alpha == 0:
        return scores
    return block(scores, logprobs >= namespace(logprobs).max(logprobs, axis=-1, keepdims=True) + log(alpha))


def tokens_of(given: str | tuple[int, ...] | None, place: str) -> tuple[int, ...]:
    """The token ids of a setting that may be a text, which by now has met its tokenizer."""
    if isinstance(given, str):
        raise ParameterError(f"{place} needs a tokenizer; decode with a LanguageModel, or give token ids")
    return tuple(given or ())


@dataclass(frozen=True)
class Guidance(Processor):
    """Classifier-free guidance: away from what the model says without the prompt.

    log p'(v) = log q(v) + scale * (log p(v) - log q(v)), where q is the model after `negative` (text or token ids; the
    prompt's last token if not given) and the same new tokens. Tokens that p or q rules out keep what p says of them.
    Sanchez et al. 2023, arXiv 2306.17806.
    """

    aliases = ("cfg",)
    scale: float
    model: Model
    negative: str | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        number("guidance(scale)", self.scale)
        object.__setattr__(self, "model", as_model(self.model, "guidance(model=...)"))
        check(self.negative is None or len(self.negative) > 0, "guidance(negative=...) must not be empty")

    def resolve(self, tokenizer: Any) -> Part:
        return replace(self, negative=tuple(tokenizer.encode(self.negative))) if isinstance(self.negative, str) else self

    def companions(self) -> Sequence[Model]:
        return (self.model,)

    def companion_prompt(self, prompt: Ints, which: int) -> Sequence[int]:
        """The negative prompt, or the prompt's last token."""
        return tokens_of(self.negative, "guidance: a negative text") or prompt[-1:].tolist()

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        own = log_softmax(scores)
        return moved(own, limited(self.scale) - 1, own, log_softmax(rows.companions[0]))


@dataclass(frozen=True)
class ContextAware(Processor):
    """Context-aware decoding: what a document in the prompt says counts more than what the model knew before.

    log p'(v) = log p(v) + alpha * (log p(v) - log q(v)), where q is the model after the prompt without its context and the
    same new tokens. What stays of the prompt is its question: from the last place where `question` stands (text or token ids; a prompt
    without it is an error), or so many of its last tokens, where it is a number. Tokens that p or q rules out keep what p says of
    them. Shi et al. 2023, arXiv 2305.14739.
    """

    alpha: float
    model: Model
    question: str | tuple[int, ...] | int

    def __post_init__(self) -> None:
        number("context_aware(alpha)", self.alpha)
        object.__setattr__(self, "model", as_model(self.model, "context_aware(model=...)"))
        object.__setattr__(self, "question", plain(self.question))
        if isinstance(self.question, str | list | tuple):
            check(len(self.question) > 0, "context_aware(question=...) must not be empty")
        else:
            whole("context_aware(question=...)", self.question, 1)

    def resolve(self, tokenizer: Any) -> Part:
        return replace(self, question=tuple(tokenizer.encode(self.question))) if isinstance(self.question, str) else self

    def companions(self) -> Sequence[Model]:
        return (self.model,)

    def companion_prompt(self, prompt: Ints, which: int) -> Sequence[int]:
        """The prompt's question."""
        tokens = tuple(map(int, prompt))
        if isinstance(self.question, int):
            return tokens[-self.question :]
        question = tokens_of(self.question, "context_aware: a question that is a text")
        found = [i for i in range(len(tokens)) if tokens[i : i + len(question)] == question]
        check(bool(found), f"context_aware: the question {question} is not in the prompt, so nobody can say where its context ends")
        return tokens[found[-1] :]

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        own = log_softmax(scores)
        return moved(own, self.alpha, own, log_softmax(rows.companions[0]))


@dataclass(frozen=True)
class ContrastiveDecoding(Processor):
    """Contrastive decoding: what a strong model prefers more than a weak one does, among what the strong one finds plausible.

    s(v) = log p(v) - log q(v) for tokens with p(v) >= alpha * max p, -inf for the others; with beta
    s(v) = log p(v) + beta * (log p(v) - log q(v)) instead. q is the amateur, its logits divided by temperature; it reads the last
    `context` tokens of the prompt, all of them where that is 0, so that the model itself may be the amateur. Tokens that the
    amateur rules out keep log p(v). Li et al. 2023, arXiv 2210.15097; with beta, O'Brien, Lewis 2023, arXiv 2309.09117.
    """

    amateur: Model
    alpha: float = 0.1
    beta: float | None = None
    temperature: float = 1.0
    context: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "amateur", as_model(self.amateur, "contrastive_decoding(amateur)"))
        number("contrastive_decoding(alpha=...)", self.alpha, 0, 1)
        if self.beta is not None:
            number("contrastive_decoding(beta=...)", self.beta, 0)
        number("contrastive_decoding(temperature=...)", self.temperature, above=0)
        whole("contrastive_decoding(context=...)", self.context, 0)

    def companions(self) -> Sequence[Model]:
        return (self.amateur,)

    def companion_prompt(self, prompt: Ints, which: int) -> Sequence[int]:
        """The last `context` tokens of the prompt."""
        return list(map(int, prompt[-self.context :]))

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        own, amateur = log_softmax(scores), log_softmax(divided(rows.companions[0], self.temperature, self.temperature))
        apart = moved(own, 1.0, own, amateur, namespace(own).zeros_like(own)) if self.beta is None else moved(own, self.beta, own, amateur)
        return plausible(apart, own, self.alpha)


@dataclass(frozen=True)
class Expert(Processor):
    """Expert arithmetic: what tuning changed in a small model is added to a large one.

    s(v) = log p(v) + alpha * (log e(v) - log a(v)), e: the expert, a: the anti-expert. With a tuned and an untuned small model and
    alpha 1 it is proxy tuning (Liu et al. 2024, arXiv 2401.08565). Tokens that one of the three rules out keep log p(v).
    Known as DExperts. Liu et al. 2021, arXiv 2105.03023.
    """

    aliases = ("dexperts", "proxy_tuning")
    expert: Model
    anti: Model
    alpha: float = 1.0

    def __post_init__(self) -> None:
        for place in ("expert", "anti"):
            object.__setattr__(self, place, as_model(getattr(self, place), f"expert({place})"))
        number("expert(alpha=...)", self.alpha)

    def companions(self) -> Sequence[Model]:
        return (self.expert, self.anti)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        expert, anti = map(log_softmax, rows.companions)
        return moved(log_softmax(scores), self.alpha, expert, anti)


@dataclass(frozen=True)
class Ensemble(Processor):
    """Several models decide together: the product of their distributions, or the mixture.

    product: log p'(v) = sum of w_i log p_i(v) + c. mixture: p'(v) = sum of w_i p_i(v). The first model is the one that decodes;
    the weights sum to 1, equal ones if not given. A product rules out what one model with a weight does, a mixture what the
    decoding model's processors did. Hinton 2002 (products of experts); Jacobs et al. 1991 (mixtures).
    """

    others: tuple[Model, ...]
    weights: tuple[float, ...] = ()
    how: str = "product"

    def __post_init__(self) -> None:
        others = self.others if isinstance(self.others, list | tuple) else (self.others,)
        check(len(others) > 0, "ensemble(others) needs at least one other model")
        object.__setattr__(self, "others", tuple(as_model(m, "ensemble(others)") for m in others))
        check(isinstance(self.weights, list | tuple), f"ensemble(weights=...) is a list of numbers; got {self.weights!r}")
        object.__setattr__(self, "weights", plain(tuple(self.weights)))
        check(self.how in ("product", "mixture"), f'ensemble(how=...) is "product" or "mixture"; got {self.how!r}')
        count = 1 + len(self.others)
        check(len(self.weights) in (0, count), f"ensemble(weights=...) has {count} numbers, the decoding model's first; got {self.weights}")
        for w in self.weights:
            number("ensemble(weights=...)", w, 0, 1)
        check(not self.weights or abs(sum(self.weights) - 1) < 1e-6, f"ensemble(weights=...) sum to 1; got {self.weights}")

    def companions(self) -> Sequence[Model]:
        return self.others

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        own, others = log_softmax(scores), [log_softmax(logits) for logits in rows.companions]
        weights = self.weights or (1 / (1 + len(others)),) * (1 + len(others))
        if self.how == "mixture":
            xp = namespace(own)
            with np.errstate(divide="ignore"):
                mixed = xp.log(sum(w * xp.exp(p) for w, p in zip(weights, [own, *others], strict=True)))
            return block(mixed, scores > -INF)
        found, able = own, own > -INF
        for w, other in zip(weights[1:], others, strict=True):
            if w > 0:
                found, able = moved(own, w, other, own, found), able & (other > -INF)
        return block(found, able)


@dataclass(frozen=True)
class Guide(Processor):
    """Toward texts that have a property, by a function that says how likely it is: FUDGE.

    s(v) = log p(v) + weight * log f(text + v) for the k likeliest tokens, -inf for the others. The function is called once for each
    row, with a list of token tuples (the prompt, the new tokens, and a candidate last), and answers with a probability in [0, 1] for each.
    Yang, Klein 2021, arXiv 2104.05218.
    """

    function: Callable[[list[tuple[int, ...]]], Sequence[float]]
    weight: float = 1.0
    k: int = 50

    def __post_init__(self) -> None:
        check(callable(self.function), f"guide(function) needs something to call with a list of texts; got {self.function!r}")
        number("guide(weight=...)", self.weight, 0)
        whole("guide(k=...)", self.k, 1)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        own = log_softmax(scores)
        values, columns = map(host, topk(own, self.k))
        likely = np.full(tuple(scores.shape), -INF, values.dtype)
        for r, text in enumerate(texts_in(rows, "all")):
            some = columns[r][values[r] > -INF]
            if len(some):
                likely[r, some] = self._log(text, some)
        found = own + limited(self.weight) * like(np.where(likely > -INF, likely, 0), own) if self.weight else own
        wanted = np.zeros(likely.shape, bool)
        np.put_along_axis(wanted, columns, True, -1)
        return block(found, like(wanted if self.weight == 0 else wanted & (likely > -INF), own))

    def _log(self, text: Ints, candidates: Ints) -> Floats:
        """The logarithm of what the function says of each candidate."""
        head = tuple(text.tolist())
        answer = self.function([(*head, int(v)) for v in candidates])
        try:
            said = np.asarray(answer, np.float64)
        except (TypeError, ValueError):
            said = np.asarray(np.nan)
        if said.shape != candidates.shape or not ((said >= 0) & (said <= 1)).all():
            given = f"{answer!r:.80} for {len(candidates)} texts"
            raise PartError(f"guide: the function gave {given}; it gives a probability in [0, 1] for each")
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(said))
