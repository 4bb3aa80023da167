"""Generated texts as lines of JSON: what made each, what it cost, and which of them need not be made again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from unspool.errors import UnspoolError
from unspool.files import Growing

LINE_FORMAT = 1
HEAD = '{"unspool_generation": '


@dataclass(frozen=True)
class BatchCost:
    """What one run of a decoder over some prompts cost."""

    texts: int
    """Lines of it: texts, and prompts that came to none."""
    forwards: int
    """How often the model's session was asked to run."""
    tokens: int
    """Tokens that went through the model, the prompts' too."""
    other_forwards: int
    """The same of other models: a draft, a companion."""
    other_tokens: int
    seconds: float
    drew: bool
    """Whether anything was drawn: if not, every seed gives the same texts."""


@dataclass(frozen=True)
class Generation:
    """One generated text, or a prompt that came to none: then its tokens are empty and `failure` says why."""

    decoder: str
    """What it is called in the comparison."""
    prompt: str
    seed: int
    number: int
    """From 1, of the texts of this prompt and seed; 0 where there is none."""
    text: str
    tokens: list[int]
    logprobs: list[float]
    """The model's own, of each token."""
    reason: str
    """Why it ended; "failed" where it never was."""
    recipe: dict[str, Any]
    model: dict[str, Any]
    """Its name, the hash of its weights (fingerprint) and of its tokenizer."""
    batch: BatchCost = field(repr=False)
    failure: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two runs the same: prompt, recipe and model, whatever they are called."""
        return key(self.prompt, self.recipe, self.model)

    def to_line(self, metrics: dict[str, float | None]) -> str:
        """All of it as a line of JSON, with the text's own metrics."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "failure" or self.failure}
        more = {"batch": asdict(self.batch), "logprob": math.fsum(self.logprobs), "metrics": metrics}
        return json.dumps({"unspool_generation": LINE_FORMAT} | found | more, ensure_ascii=False)


def key(prompt: str, recipe: dict[str, Any], model: dict[str, Any]) -> tuple[str, ...]:
    """See `Generation.key`."""
    settings = {k: v for k, v in recipe.items() if k not in ("model", "revision")}
    return prompt, json.dumps(settings, sort_keys=True), str(model.get("fingerprint") or model["name"]), str(model["tokenizer"])


class GenerationFile:
    """A file of generations that grows batch by batch; a batch is written whole or, if torn, forgotten."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = Growing(path)
        self._end = 0
        """Bytes of whole batches."""
        self.kept = list(self._read())

    def _read(self) -> Iterator[Generation]:
        data = self._file.read()
        waiting: list[Generation] = []
        lines = data.split(b"\n")
        place = 0
        for number, line in enumerate(lines, 1):
            place += len(line) + 1
            if number == len(lines):                                     # behind the last line break: nothing, or a torn line
                if line[: len(HEAD)] != HEAD.encode()[: len(line)]:
                    raise self._foreign(number)
                return
            one = self._parse(line, number)
            if waiting and one.batch != waiting[0].batch:
                raise UnspoolError(f"{self.path} lacks texts of a batch before line {number}; take that batch out, or give another file")
            waiting.append(one)
            if len(waiting) == waiting[0].batch.texts:
                yield from waiting
                waiting, self._end = [], place

    def _parse(self, line: bytes, number: int) -> Generation:
        try:
            value = json.loads(line)
            assert value["unspool_generation"] == LINE_FORMAT
            value["batch"] = BatchCost(**value["batch"])
            return Generation(**{f.name: value[f.name] for f in fields(Generation) if f.name in value or f.name != "failure"})
        except (ValueError, KeyError, TypeError, AssertionError):
            raise self._foreign(number) from None

    def _foreign(self, number: int) -> UnspoolError:
        return UnspoolError(f"line {number} of {self.path} is no generation that unspool compare saved; give another file")

    def append(self, lines: Sequence[str]) -> None:
        """Write a batch."""
        self._end = self._file.append("".join(line + "\n" for line in lines), self._end)
