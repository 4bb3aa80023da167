"""Short runs that make the effect of a method visible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unspool.arrays import copy, host, log_softmax
from unspool.core.decoder import Decoder, Part, as_decoder
from unspool.core.model import ROOT, Model
from unspool.errors import ParameterError, check
from unspool.lab.methods import Method
from unspool.models.toy import TableModel
from unspool.processors.constrain import Automaton
from unspool.processors.contrast import ContextAware, ContrastiveDecoding, Ensemble, Expert, Guidance, Guide
from unspool.processors.from_hf import FromHf
from unspool.processors.shape import Temperature
from unspool.stops.tokens import StopFunction
from unspool.strategies.greedy import Greedy
from unspool.strategies.rerank import Rerank
from unspool.strategies.speculative import Speculative
from unspool.views.why import Why

if TYPE_CHECKING:
    from unspool.language_model import LanguageModel
    from unspool.output import Output

FOLLOWED, SHOWN = 300, 8
"""Tokens followed through the stages, and of them those that are shown."""


@dataclass(frozen=True)
class Change:
    """One token before and after a processor."""

    rank: int
    """Among the tokens before, from 1."""
    text: str
    before: float
    after: float


@dataclass(frozen=True)
class OneStep:
    """What a processor did to the distribution of one step."""

    decoder: str
    text: str
    """So far."""
    changes: list[Change]
    """The likeliest before or after; if none of these is cut, those at the cut too."""
    kept: tuple[int, int]
    """How many tokens were possible before and after."""
    mass: float
    """The probability, before, of those that are possible after."""
    entropy: tuple[float, float]
    """In bits."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Line:
    """One generated text."""

    label: str
    text: str
    logprob: float
    tokens: int
    reason: str


@dataclass(frozen=True)
class Texts:
    """What a strategy or a stop wrote, beside what is written without it."""

    decoder: str
    text: str
    """The prompt."""
    lines: list[Line]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


MethodRun = OneStep | Texts


def run_method(
    method: Method, lm: LanguageModel, decoder: Any = None, prompt: str | None = None, step: int | None = None, seed: int = 0
) -> MethodRun:
    """A method at work: its own example, or a decoder, prompt and step given."""
    chosen = _decoder(method, lm) if decoder is None else as_decoder(decoder)
    check(method.name in {p.name for p in chosen.parts}, f"{chosen} has no {method.name}: there is nothing to be seen of it")
    text = method.example.prompt if prompt is None else prompt
    shown = str(chosen) if decoder is not None else method.example.decoder
    if method.role == "processor" and not method.example.whole:
        return _distribution(method, lm, chosen, shown, text, step or method.example.step, seed)
    return _texts(method, lm, chosen, shown, text, seed)


def _distribution(
    method: Method, lm: LanguageModel, decoder: Decoder, shown: str, prompt: str, step: int | None, seed: int
) -> OneStep:
    wanted = step or method.example.step
    output = lm.generate(prompt, decoder, max_new_tokens=wanted, seed=seed, level="stages", choices=FOLLOWED)
    if step is not None and step > len(output.tokens):
        raise ParameterError(f"the text has {len(output.tokens)} tokens; step {step} is not among them")
    why = Why.from_trace(output.trace, min(wanted, len(output.tokens)))
    at = next(i for i, name in enumerate(why.names) if name.partition("(")[0] == method.name)
    fates = sorted(why.fates, key=lambda f: -f.probabilities[at - 1])
    changes = [Change(rank, f.text, f.probabilities[at - 1], f.probabilities[at]) for rank, f in enumerate(fates, 1)]
    return OneStep(
        shown, why.input, _telling(changes), (why.kept[at - 1], why.kept[at]), why.mass[at], (why.entropy[at - 1], why.entropy[at])
    )


def _telling(changes: list[Change]) -> list[Change]:
    """The likeliest tokens before or after, and the cut if it lies below them."""
    best = sorted(changes, key=lambda c: -max(c.before, c.after))[:SHOWN]
    cut = next((i for i, c in enumerate(changes) if c.before > 0 and c.after == 0), None)
    if cut is None or any(c.after == 0 for c in best):
        return sorted(best, key=lambda c: c.rank)
    near = changes[cut - 1 : cut + 2]
    return [*(c for c in sorted(best[: SHOWN - len(near)], key=lambda c: c.rank) if c not in near), *near]


def _texts(method: Method, lm: LanguageModel, decoder: Decoder, shown: str, prompt: str, seed: int) -> Texts:
    n = method.example.tokens
    rest = Decoder(tuple(p for p in decoder.parts if p.name != method.name))
    without, label = (Decoder((Greedy(),)), "greedy") if method.role == "strategy" else (rest, "without it")
    lines = _lines(method.name, lm.generate(prompt, decoder, max_new_tokens=n, seed=seed))
    if without != decoder:
        lines += _lines(label, lm.generate(prompt, without, max_new_tokens=n, seed=seed))
    return Texts(shown, prompt, lines)


def _lines(label: str, output: Output) -> list[Line]:
    return [Line(label, s.text, s.logprob, len(s.tokens), s.reason) for s in output.sequences]


# --- examples that hold objects ---------------------------------------------------------------------------------------


class NoLetterE:
    """A grammar: texts without the letter e."""

    def __init__(self, lm: LanguageModel) -> None:
        self.tokens = [t for t in range(min(lm.tokenizer.size, lm.model.vocabulary)) if b"e" not in lm.tokenizer.bytes_of(t).lower()]

    def begin(self) -> None:
        """There is one state."""

    def advance(self, state: None, token: int) -> None:
        """It stays."""

    def allowed(self, state: None) -> list[int]:
        return self.tokens


def no_repeated_token(input_ids: Any, scores: Any) -> Any:
    """A logits processor: never the same token twice in a row."""
    scores = copy(scores)
    for row in range(len(scores)):
        scores[row, int(input_ids[row, -1])] = -float("inf")
    return scores


def _markov(model: Model) -> TableModel:
    """A small second model: after every text, what `model` says after that text's last token alone."""

    def probabilities(tokens: tuple[int, ...]) -> Any:
        session = model.session()
        return np.exp(host(log_softmax(session.logits(session.extend([ROOT], [tokens[-1:]]))))[0].astype(np.float64))

    return TableModel(probabilities, model.vocabulary, end_tokens=model.end_tokens)


def _short_words(lm: LanguageModel) -> Callable[[list[tuple[int, ...]]], list[float]]:
    """How likely texts are to be simple, judged by the length of their last token."""
    return lambda texts: [0.9 if len(lm.tokenizer.bytes_of(text[-1])) < 5 else 0.1 for text in texts]


def a_token_came_twice(tokens: tuple[int, ...]) -> bool:
    """Whether the newest token was there before."""
    return tokens[-1] in tokens[:-1]


HOLDING: dict[str, Callable[[LanguageModel], Part | Decoder]] = {
    "guidance": lambda lm: Guidance(3.0, lm.model),
    "context_aware": lambda lm: ContextAware(1.0, lm.model, 3),
    "contrastive_decoding": lambda lm: ContrastiveDecoding(lm.model, context=1),
    "expert": lambda lm: Expert(lm.model, _markov(lm.model), 1.0),
    "ensemble": lambda lm: Ensemble((_markov(lm.model),)),
    "guide": lambda lm: Guide(_short_words(lm), k=20),
    "rerank": lambda lm: Temperature(0.8) | Rerank(lm.model, 4),
    "speculative": lambda lm: Temperature(0.7) | Speculative(lm.model, tokens=4),
    "automaton": lambda lm: Automaton(NoLetterE(lm)),
    "from_hf": lambda lm: FromHf(no_repeated_token),
    "stop_function": lambda lm: Greedy() | StopFunction(a_token_came_twice),
}
"""Decoders that the text form cannot say."""


def _decoder(method: Method, lm: LanguageModel) -> Decoder:
    return as_decoder(HOLDING[method.name](lm) if method.name in HOLDING else method.example.decoder)
