"""A trace: the whole record of a run, complete in itself, and its file form (versioned JSON lines)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unspool.errors import UnspoolError
from unspool.step import Considered, Hypothesis, Stages, Step

FORMAT = 1


@dataclass
class Trace:
    """What was decoded, from which prompts, by which recipe, and every step of it.

    Views work from a trace alone. `tokens` holds the bytes of every token mentioned, `names` the names of special ones.
    """

    prompts: list[list[int]]
    steps: list[Step]
    hypotheses: list[list[Hypothesis]]
    """For each prompt its hypotheses, best first."""
    level: str
    recipe: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    tokens: dict[int, bytes] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def bytes_of(self, tokens: Sequence[int]) -> bytes:
        """The bytes of tokens in a row."""
        return b"".join(self.tokens.get(int(t), b"") for t in tokens)

    def require(self, level: str, wanted: str) -> None:
        """Refuse what was not recorded, and say how to record it."""
        from unspool.step import LEVELS

        if LEVELS.index(self.level) < LEVELS.index(level):
            raise UnspoolError(f"{wanted} needs a trace of level {level!r}; this one has {self.level!r}: run again with level={level!r}")

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

    def save(self, path: str | Path) -> None:
        """Write the trace as JSON lines: a header, a line for each step, the results. Whole or not at all."""
        target = Path(path)
        part = target.with_name(target.name + ".part")
        with part.open("w", encoding="utf-8") as file:
            head = {"unspool_trace": FORMAT, "level": self.level, "recipe": self.recipe, "model": self.model, "prompts": self.prompts}
            print(json.dumps(head, ensure_ascii=False, allow_nan=False), file=file)
            for step in self.steps:
                print(json.dumps({"step": plain(step)}, allow_nan=False), file=file)
            results = [[plain(h) for h in found] for found in self.hypotheses]
            tokens = {t: data.hex() for t, data in self.tokens.items()}
            print(json.dumps({"hypotheses": results, "tokens": tokens, "names": self.names}, ensure_ascii=False), file=file)
        part.replace(target)

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a saved trace."""
        try:
            lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
        except OSError as error:
            raise UnspoolError(f"cannot read the trace {path}: {error.strerror}") from None
        except ValueError:
            raise UnspoolError(f"{path} is no trace, or a torn one: a line of it is no JSON") from None
        if not lines or not isinstance(lines[0], dict) or "unspool_trace" not in lines[0]:
            raise UnspoolError(f"{path} is no trace: its first line lacks unspool_trace")
        head, last = lines[0], lines[-1]
        if head["unspool_trace"] != FORMAT:
            raise UnspoolError(f"{path} has trace format {head['unspool_trace']}; this version reads format {FORMAT}")
        if "hypotheses" not in last:
            raise UnspoolError(f"{path} is torn: its last line, with the results, is missing")
        lacking = [k for k in ("prompts", "level", "recipe", "model") if k not in head]
        if lacking:
            raise UnspoolError(f"{path} is no whole trace: its first line lacks {', '.join(lacking)}")
        return cls(
            prompts=head["prompts"],
            steps=[_step(line["step"]) for line in lines[1:-1]],
            hypotheses=[[Hypothesis(**_lists(h)) for h in found] for found in last["hypotheses"]],
            level=head["level"],
            recipe=head["recipe"],
            model=head["model"],
            tokens={int(t): bytes.fromhex(data) for t, data in last["tokens"].items()},
            names={int(t): name for t, name in last["names"].items()},
        )


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


def _lists(hypothesis: dict[str, Any]) -> dict[str, Any]:
    names = ("logprobs", "processed")
    score = -math.inf if hypothesis["score"] is None else hypothesis["score"]
    return {**hypothesis, "score": score, **{n: [-math.inf if v is None else v for v in hypothesis[n]] for n in names}}


def _array(value: Any) -> Any:
    """An array from a list in which null stands for -inf."""
    found = np.asarray(value)
    return np.asarray([-np.inf if v is None else v for v in found.flat]).reshape(found.shape) if found.dtype == object else found


def _step(values: dict[str, Any]) -> Step:
    considered, dropped = values.pop("considered", None), values.pop("dropped", None)
    fields: dict[str, Any] = {k: _array(v) for k, v in values.items()}
    if considered:
        stages = considered.pop("stages", None)
        if stages:
            names = stages.pop("names")
            stages = Stages(names, **{k: _array(v) for k, v in stages.items()})
        fields["considered"] = Considered(**{k: _array(v) for k, v in considered.items()}, stages=stages or None)
    if dropped:
        fields["dropped"] = {k: _array(v) for k, v in dropped.items()}
    return Step(**fields)
