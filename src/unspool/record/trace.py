"""A trace: the whole record of a run, complete in itself, and its file form (versioned JSON lines)."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from unspool.errors import DeadEnd, UnspoolError
from unspool.files import write
from unspool.record.certificate import Certificate
from unspool.record.step import LEVELS, Considered, Hypothesis, Stages, Step
from unspool.shown import Shown
from unspool.version import __version__

FORMAT = 2
"""Of the file. Fields may be added within a format; what a field means does not change. Format 1 had other names for two of them."""
NAMES_OF_1 = {"done": "reason", "why": "reason"}
T = TypeVar("T")


@dataclass
class Trace(Shown):
    """What was decoded, from which prompts, by which recipe, and every step of it.

    Views work from a trace alone. `tokens` holds the bytes of every token mentioned, `names` the names of special ones.
    """

    prompts: list[list[int]]
    steps: list[Step]
    hypotheses: list[list[Hypothesis]]
    """For each prompt its hypotheses, best first; none where the run came to no text."""
    level: str
    recipe: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    tokens: dict[int, bytes] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    certificates: list[Certificate] = field(default_factory=list)
    """What searches proved of their texts."""
    work: dict[str, int] = field(default_factory=dict)
    """What it took: `forwards` of the model, as many as the prompt takes alone, and what the strategy counts."""
    unspool: str = __version__
    """The version of unspool that recorded it; empty in files of versions that did not say."""

    def __repr__(self) -> str:
        texts = sum(map(len, self.hypotheses))
        return f"Trace({self.recipe.get('decoder', '')!r}, level {self.level!r}, {len(self.steps)} steps, {texts} texts)"

    def bytes_of(self, tokens: Sequence[int]) -> bytes:
        """The bytes of tokens in a row."""
        return b"".join(self.tokens.get(int(t), b"") for t in tokens)

    def require(self, level: str, wanted: str) -> None:
        """Refuse what was not recorded, and say how to record it."""
        if LEVELS.index(self.level) < LEVELS.index(level):
            raise UnspoolError(f"{wanted} needs a trace of level {level!r}; this one has {self.level!r}: run again with level={level!r}")

    def best(self, wanted: str) -> Hypothesis:
        """The first prompt's best text; where there is none, what was wanted is refused."""
        if not self.hypotheses[0]:
            raise DeadEnd(f"{wanted} needs a text, and this run came to none: its tree shows how far it came (unspool tree --from FILE)")
        return self.hypotheses[0][0]

    def mention(self, bytes_of: Callable[[int], bytes], name_of: Callable[[int], str], specials: frozenset[int]) -> None:
        """Write down the bytes of every token in the trace."""
        seen: set[int] = {t for prompt in self.prompts for t in prompt}
        for step in self.steps:
            seen.update(step.tokens.tolist())
            if step.considered:
                seen.update(step.considered.tokens.ravel().tolist())
            if step.dropped:
                seen.update(np.asarray(step.dropped["tokens"]).tolist())
        seen.update(t for found in self.hypotheses for h in found for t in h.tokens)
        self.tokens = {t: bytes_of(t) for t in sorted(seen)}
        self.names = {t: name_of(t) for t in sorted(seen) if t in specials}

    @classmethod
    def joined(cls, parts: Sequence[Trace]) -> Trace:
        """The trace of one text from those of its parts, each of which goes on where the one before it ends."""
        steps, whole, tokens, names = list[Step](), parts[0].hypotheses[0][0], dict[int, bytes](), dict[int, str]()
        for part in parts:
            (h,), last = part.hypotheses[0], 0 if part is parts[0] else whole.nodes[-1]
            for step in part.steps:
                considered = step.considered and replace(step.considered, nodes=step.considered.nodes + last)
                steps.append(replace(step, parents=step.parents + last, nodes=step.nodes + last, considered=considered))
            if last:
                numbers = {n: getattr(whole, n) + getattr(h, n) for n in ("tokens", "logprobs", "processed", "score")}
                whole = replace(whole, **numbers, reason=h.reason, nodes=[*whole.nodes, *(n + last for n in h.nodes[1:])])
            tokens |= part.tokens
            names |= part.names
        return cls([*parts[0].prompts], steps, [[whole]], parts[0].level, dict(parts[0].recipe), parts[0].model, tokens, names)

    def save(self, path: str | Path) -> None:
        """Write the trace as JSON lines: a header, a line for each step, the results. A file is whole or as it was, see `files.py`."""
        write(path, (line + "\n" for line in self.lines()))

    def lines(self) -> Iterator[str]:
        """The lines of its file, each of them JSON."""
        head: dict[str, Any] = {"unspool_trace": FORMAT} | ({"unspool": self.unspool} if self.unspool else {})
        head |= {"level": self.level, "recipe": self.recipe, "model": self.model, "prompts": self.prompts}
        yield json.dumps(head, ensure_ascii=False, allow_nan=False)
        for step in self.steps:
            yield json.dumps({"step": plain(step)}, allow_nan=False)
        results = [[plain(h) for h in found] for found in self.hypotheses]
        tokens = {t: data.hex() for t, data in self.tokens.items()}
        last: dict[str, Any] = {"hypotheses": results, "tokens": tokens, "names": self.names}
        last |= {"certificates": [plain(c) for c in self.certificates]} if self.certificates else {}
        last |= {"work": self.work} if self.work else {}
        yield json.dumps(last, ensure_ascii=False)

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a saved trace."""
        if not os.fspath(path):
            raise UnspoolError("the name of a trace is empty; give the file that it was saved to")
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise UnspoolError(f"cannot read the trace {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UnspoolError(f"{path} is no trace: it is no UTF-8 text") from None
        lines = [line for line in text.split("\n") if line.strip()]
        head = _read(path, 1, lines[0]) if lines else {}
        if "unspool_trace" not in head:
            raise UnspoolError(f"{path} is no trace: its first line lacks unspool_trace")
        _check_format(path, head["unspool_trace"])
        last = _read(path, len(lines), lines[-1], torn=not text.endswith("\n"))
        if "hypotheses" not in last:
            raise UnspoolError(f"{path} is torn: its last line, with the results, is missing")
        number = 1
        try:
            trace = cls(prompts=head["prompts"], steps=[], hypotheses=[], level=head["level"], recipe=head["recipe"], model=head["model"])
            trace.unspool = str(head.get("unspool", ""))
            _sound(trace.level in LEVELS, f"there is no level {trace.level!r}")
            _sound(isinstance(trace.recipe, dict) and isinstance(trace.model, dict), "recipe or model is no dictionary")
            _sound(bool(trace.prompts) and all(type(t) is int for prompt in trace.prompts for t in prompt), "prompts are no tokens")
            for number, line in enumerate(lines[1:-1], 2):
                trace.steps.append(_step(_read(path, number, line)["step"]))
            number = len(lines)
            trace.hypotheses = [[_hypothesis(h) for h in found] for found in last["hypotheses"]]
            _sound(len(trace.hypotheses) == len(trace.prompts), "results do not fit the prompts")
            _check_nodes(path, trace)
            trace.tokens = {int(t): bytes.fromhex(data) for t, data in last["tokens"].items()}
            trace.names = {int(t): str(name) for t, name in last["names"].items()}
            trace.certificates = [_certificate(c) for c in last.get("certificates", [])]
            trace.work = {str(what): int(count) for what, count in last.get("work", {}).items()}
        except UnspoolError:
            raise
        except KeyError as error:
            raise _damaged(path, f"line {number} lacks {error.args[0]}") from None
        except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise UnspoolError(f"{path} is damaged in line {number}: {error}") from None
        return trace


def _read(path: str | Path, number: int, line: str, torn: bool = False) -> dict[str, Any]:
    """One line of a file."""
    try:
        found = json.loads(line, parse_constant=partial(_no_number, path, number))
    except UnspoolError:
        raise
    except (ValueError, RecursionError):
        what = "is torn: its last line breaks off" if torn else f"is no trace, or a damaged one: line {number} is no JSON"
        raise UnspoolError(f"{path} {what}") from None
    return found if isinstance(found, dict) else {}


def _no_number(path: str | Path, number: int, constant: str) -> None:
    raise _damaged(path, f"line {number} holds {constant}, which is no number")


def _damaged(path: str | Path, what: str) -> UnspoolError:
    return UnspoolError(f"{path} is damaged: {what}")


def _check_nodes(path: str | Path, trace: Trace) -> None:
    """Refuse a record that lacks a step: a row goes on from one that is there, and a text consists of such."""
    known = [{0} for _ in trace.prompts]
    for number, step in enumerate(trace.steps, 2):
        for prompt, parent, node in zip(step.prompt.tolist(), step.parents.tolist(), step.nodes.tolist(), strict=True):
            if not 0 <= prompt < len(known):
                raise _damaged(path, f"line {number} is of prompt {prompt}, which there is not")
            if parent not in known[prompt]:
                raise _damaged(path, f"line {number} goes on from node {parent}, and no line before it has that: a step is missing")
            if node in known[prompt]:
                raise _damaged(path, f"line {number} has the node {node}, as a line before it has")
            known[prompt].add(node)
    for nodes, found in zip(known, trace.hypotheses, strict=True):
        for h in found if trace.steps else ():
            lost = next((node for node in h.nodes if node not in nodes), None)
            if lost is not None:
                raise _damaged(path, f"a text has the node {lost}, and no line before it has that: a step is missing")


def _check_format(path: str | Path, found: Any) -> None:
    if type(found) is not int or not 1 <= found <= FORMAT:
        newer = type(found) is int and found > FORMAT
        advice = "a newer unspool wrote it: update unspool" if newer else "record it again"
        raise UnspoolError(f"{path} has trace format {found}, and this version reads formats 1 to {FORMAT}: {advice}")


def _sound(ok: bool, what: str) -> None:
    """Refuse what does not fit together in a file."""
    if not ok:
        raise ValueError(what)


def plain(value: Any) -> dict[str, Any]:
    """A record as JSON values."""
    return {k: _plain(v) for k, v in asdict(value).items() if v is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value      # JSON has no -inf, the one such number here


def _known(cls: type[T], values: dict[str, Any]) -> dict[str, Any]:
    """The fields that this version knows; a later one of the same format may add some."""
    return {f.name: values[f.name] for f in fields(cls) if f.name in values}  # type: ignore[arg-type]


def _hypothesis(values: dict[str, Any]) -> Hypothesis:
    lists = {n: [-math.inf if v is None else float(v) for v in values[n]] for n in ("logprobs", "processed")}
    score = -math.inf if values["score"] is None else float(values["score"])
    found = Hypothesis(**{**_known(Hypothesis, values), **lists, "score": score, "reason": str(values["reason"])})
    _sound(len(found.tokens) == len(found.logprobs) == len(found.processed) == len(found.nodes) - 1, "a text's lists differ in length")
    _sound(all(type(n) is int for n in [*found.tokens, *found.nodes]), "a token or a node is no whole number")
    return found


def _certificate(values: dict[str, Any]) -> Certificate:
    own = _known(Certificate, values)
    counts = [own[name] for name in ("prompt", "node", "wanted", "rows")]
    _sound(all(type(n) is int for n in counts), "a certificate counts what is no whole number")
    found = [float(score) for score in own["found"]]
    return Certificate(**{**own, "found": found, "bound": -math.inf if own["bound"] is None else float(own["bound"])})


def _array(value: Any) -> Any:
    """An array from a list in which null stands for -inf."""
    found = np.asarray(value)
    return np.asarray([-np.inf if v is None else v for v in found.flat]).reshape(found.shape) if found.dtype == object else found


def _arrays(values: dict[str, Any], size: int, whole: tuple[str, ...], flat: bool = True) -> dict[str, Any]:
    """Lists of one length as arrays; `whole` are those of whole numbers, `flat` says that they hold no lists."""
    found = {name: _array(value) for name, value in values.items()}
    for name, array in found.items():
        _sound(array.ndim >= 1 and len(array) == size and (array.ndim == 1 or not flat), f"{name} has another length than its neighbours")
        _sound(not array.size or array.dtype.kind in ("i" if name in whole else "iuf"), f"{name} holds no numbers")
        found[name] = array.astype(np.int64 if name in whole else np.float64)
    return found


def _step(values: dict[str, Any]) -> Step:
    own = _known(Step, {NAMES_OF_1.get(k, k): v for k, v in values.items()})
    considered, dropped = own.pop("considered", None), own.pop("dropped", None)
    size, reason = len(own["nodes"]), np.asarray([str(why) for why in own.pop("reason")], dtype=object)
    _sound(len(reason) == size, "reason has another length than its neighbours")
    step = Step(**_arrays(own, size, ("prompt", "parents", "nodes", "tokens", "rank", "drafted")), reason=reason)
    if considered:
        step.considered = _considered(considered)
    if dropped:
        dropped = {NAMES_OF_1.get(k, k): v for k, v in dropped.items()}
        reason = np.asarray([str(why) for why in dropped["reason"]], dtype=object)
        columns = {name: dropped[name] for name in ("prompt", "parents", "tokens", "score")}
        step.dropped = {**_arrays(columns, len(reason), ("prompt", "parents", "tokens")), "reason": reason}
    return step


def _considered(values: dict[str, Any]) -> Considered:
    own = _known(Considered, values)
    stages, size = own.pop("stages", None), len(own["nodes"])
    found = Considered(**_arrays(own, size, ("prompt", "nodes", "tokens"), flat=False))
    _sound(all(v is None or v.ndim == 1 for v in (found.prompt, found.nodes, found.entropy)), "a list holds lists")
    _sound(found.tokens.ndim == 2 and found.tokens.shape == found.logprobs.shape == found.processed.shape, "alternatives differ in shape")
    if stages:
        names = [str(name) for name in stages["names"]]
        lists = {k: v for k, v in _known(Stages, stages).items() if k not in ("names", "sparing")}
        found.stages = Stages(names, **_arrays(lists, size, ("kept", "covering", "ranks"), flat=False))
        one, each = (size, len(names)), (size, len(names), found.tokens.shape[1])
        shapes = {"logprobs": each, "ranks": each, "above": each}
        _sound(all(getattr(found.stages, k).shape == shapes.get(k, one) for k in lists), "stages differ in shape")
        if "sparing" in stages:
            found.stages.sparing = np.asarray([[str(text) for text in row] for row in stages["sparing"]], dtype=object)
            _sound(found.stages.sparing.shape == found.tokens.shape, "stages differ in shape")
    return found
