"""The golden vectors of an engine: made, written, and compared with what a file says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Array, Floats
from unspool.core.decoder import Decoder
from unspool.core.processor import Processor, Rows
from unspool.errors import DeadEnd, UnspoolError, Unsupported
from unspool.lab.engines.engine import DIFFERENT, LOST
from unspool.lab.golden.inputs import GOLDEN_END, GOLDEN_INPUTS, GOLDEN_VOCABULARY, GoldenInput, GoldenWords
from unspool.lab.golden.settings import each_alone, pairs
from unspool.lab.translate import Translation, engine_named, from_engine
from unspool.language_model import LanguageModel
from unspool.models.toy import TableModel
from unspool.packaged import packaged
from unspool.strategies.follow import Follow
from unspool.strategies.greedy import Greedy
from unspool.strategies.sample import Sample

GOLDEN_FORMAT = 1
"""Of the file. Fields may be added within a format; what a field means does not change."""
_DIGITS = 8
"""Of a probability."""
GOLDEN_TOLERANCE = 2e-5
"""By how much a probability may differ: engines add up in float32, in orders of their own."""
GoldenAnswer = tuple[list[int], list[float]]
"""The tokens that can come, in ascending order, and the probability of each."""


def golden(engine: str) -> dict[str, Any]:
    """The golden vectors of an engine, as the values of its file (see `schema`).

    Each case has settings by the engine's own names, what is not given having the engine's default, and says which tokens can be drawn
    from the logits of an input, and with which probability. A case is there for every setting alone, and for two settings where the
    order of their processors makes a difference.
    """
    there, found = engine_named(engine), dict[str, dict[str, Any]]()
    for settings in each_alone(there):
        found |= {json.dumps(case): case for case in _cases(settings, from_engine(there.name, settings, tokenizer=GoldenWords()))}
    cases = _that_differ(list(found.values()))
    for first, second, both in pairs(there):
        cases += _meeting(there.name, first, second, both)
    inputs = {name: {"prompt": one.prompt, "generated": one.generated, "logits": one.logits} for name, one in GOLDEN_INPUTS.items()}
    head = {"golden_vectors": GOLDEN_FORMAT, "engine": there.name, "title": there.title, "facts_of": there.source}
    world = {"tolerance": GOLDEN_TOLERANCE, "vocabulary": GOLDEN_VOCABULARY, "end_tokens": [GOLDEN_END], "inputs": inputs}
    values: dict[str, Any] = json.loads(json.dumps({**head, **world, "cases": cases}))
    return values


def written(vectors: Mapping[str, Any]) -> str:
    """The text of a file: a line for each input and each case."""
    lines = []
    for name, value in vectors.items():
        if name == "inputs":
            rows = ",\n".join(f"  {json.dumps(key)}: {json.dumps(one)}" for key, one in value.items())
            lines.append(f' "inputs": {{\n{rows}\n }}')
        elif name == "cases":
            rows = ",\n".join(f"  {json.dumps(one)}" for one in value)
            lines.append(f' "cases": [\n{rows}\n ]')
        else:
            lines.append(f" {json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def schema() -> dict[str, Any]:
    """The JSON schema of a file of golden vectors."""
    found: dict[str, Any] = json.loads(packaged("golden.schema.json"))
    return found


@dataclass(frozen=True)
class GoldenDifference:
    """A case of a file to which unspool answers otherwise."""

    case: int
    settings: dict[str, Any]
    input: str
    wanted: GoldenAnswer
    found: GoldenAnswer | None

    def __str__(self) -> str:
        asked = f"case {self.case}, {json.dumps(self.settings)} on {self.input!r}"
        return f"{asked}: {_shown(self.found)}, and the file has {_shown(self.wanted)}"


def differences(vectors: Any) -> Iterator[GoldenDifference]:
    """The cases of a file that unspool does not answer as it says."""
    try:
        if type(made := vectors["golden_vectors"]) is not int or made != GOLDEN_FORMAT:
            known = f"the file has format {str(made)[:40]} of golden vectors, and this version reads format {GOLDEN_FORMAT}"
            raise UnspoolError(f"{known}: update unspool if a newer one wrote it, or write the file again")
        inputs = {n: GoldenInput(*map(tuple, (one["prompt"], one["generated"], one["logits"]))) for n, one in vectors["inputs"].items()}
        engine, near = vectors["engine"], float(vectors["tolerance"])
        cases = [(case["settings"], case["input"], (case["kept"], case["probabilities"])) for case in vectors["cases"]]
        for number, (settings, name, wanted) in enumerate(cases):
            found = answer(engine, settings, inputs[name])
            same = found is not None and found[0] == wanted[0] and np.allclose(found[1], wanted[1], rtol=0, atol=near)
            if not same:
                yield GoldenDifference(number, settings, name, wanted, found)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        said = f"this is no file of golden vectors, or a damaged one ({str(error)[:80]}); unspool golden --schema says what one is"
        raise UnspoolError(said) from None


def answer(engine: str, settings: Mapping[str, Any], given: GoldenInput) -> GoldenAnswer | None:
    """What an engine's settings make of an input; None where it is no step of drawing or of greedy search."""
    try:
        decoder = from_engine(engine, dict(settings), tokenizer=GoldenWords()).decoder
    except Unsupported:
        return None
    return _answer(decoder, given)


def _answer(decoder: Decoder, given: GoldenInput) -> GoldenAnswer | None:
    strategy = decoder.strategy or Greedy()
    if type(strategy) not in (Sample, Greedy):
        return None
    scores = _processed(decoder, given)
    if scores is None:
        return None
    return ([int(scores.argmax())], [1.0]) if isinstance(strategy, Greedy) else _shares(scores)


def _shares(scores: Floats) -> GoldenAnswer:
    """The tokens with a finite score, and their probabilities."""
    kept = np.nonzero(np.isfinite(scores))[0]
    shares = np.exp(scores[kept] - scores[kept].max())
    return kept.tolist(), [round(float(p), _DIGITS) for p in shares / shares.sum()]


@dataclass(frozen=True)
class _Given(Processor):
    """The logits of an input, at every step."""

    name = "_given"
    logits: tuple[float, ...]

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return np.broadcast_to(np.asarray(self.logits, np.float32), scores.shape).copy()


def _processed(decoder: Decoder, given: GoldenInput) -> Floats | None:
    """Log-probabilities (V,) after the processors, behind the tokens of an input; None where nothing can come."""
    lm = LanguageModel(TableModel(lambda tokens: np.ones(len(GOLDEN_VOCABULARY)), len(GOLDEN_VOCABULARY)), GoldenWords())
    whole = Decoder((_Given(given.logits), *decoder.processors, Follow((*given.generated, GOLDEN_END))))
    options: dict[str, Any] = {"level": "choices", "choices": len(GOLDEN_VOCABULARY), "end_tokens": [GOLDEN_END]}
    try:
        run = lm.generate(list(given.prompt), whole, max_new_tokens=len(given.generated) + 2, **options)
    except DeadEnd:
        return None
    seen = next(step.considered for step in reversed(run.trace.steps) if step.considered is not None)
    scores = np.full(len(GOLDEN_VOCABULARY), -np.inf)
    scores[seen.tokens[-1]] = seen.processed[-1]
    return None if np.isneginf(scores).all() else scores


def _cases(settings: dict[str, Any], found: Translation) -> Iterator[dict[str, Any]]:
    """A case for each input on which unspool says all that settings say there, and tokens that are equal to others are cut as there."""
    apart = {note.severity for note in found.notes}
    if LOST in apart:
        return
    for name, given in GOLDEN_INPUTS.items():
        answered = None if DIFFERENT in apart and name == "ties" else _answer(found.decoder, given)
        if answered is not None and not _parts_equals(given, answered[0]):
            yield {"settings": settings, "input": name, "kept": answered[0], "probabilities": answered[1]}


def _parts_equals(given: GoldenInput, kept: list[int]) -> bool:
    """Whether of tokens with the same logit some are kept and some are not: which, is up to how an engine sorts."""
    left = {given.logits[t] for t in range(len(given.logits)) if t not in kept}
    return any(given.logits[t] in left for t in kept)


def _that_differ(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the cases of one setting those inputs that show something: the first of each answer, and all in which it acts."""
    bare = {case["input"]: case for case in cases if case["settings"] == cases[0]["settings"]}
    off = {case["input"]: case["kept"] for case in bare.values()}
    return [case for case in cases if case in bare.values() or case["input"] in ("plain", "ties") or case["kept"] != off.get(case["input"])]


def _meeting(engine: str, first: dict[str, Any], second: dict[str, Any], both: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The case of two settings, on the first input on which the order of their processors makes a difference."""
    try:
        *alone, met = (from_engine(engine, one, tokenizer=GoldenWords()) for one in (first, second, both))
    except UnspoolError:
        return
    if {note for note in met.notes if note.severity == DIFFERENT} - {note for one in alone for note in one.notes}:
        return                                                           # together they mean something of their own there
    own, order = [one.decoder.processors for one in alone], met.decoder
    one, other = ([p for p in order.processors if p in some and p not in rest] for some, rest in (own, own[::-1]))
    if len(one) != 1 or len(other) != 1:
        return
    swapped = [*order.processors]
    i, j = swapped.index(one[0]), swapped.index(other[0])
    swapped[i], swapped[j] = swapped[j], swapped[i]
    for case in _cases(both, met):
        there = _processed(Decoder((*swapped, Sample())), GOLDEN_INPUTS[case["input"]])
        if there is None:
            continue
        kept, shares = _shares(there)
        if kept != case["kept"] or not np.allclose(shares, case["probabilities"], rtol=0, atol=1e-3):
            yield case
            return


def _shown(found: GoldenAnswer | None) -> str:
    if found is None:
        return "nothing"
    return ", ".join(f"{token}: {p:.5f}" for token, p in zip(*found, strict=True))
