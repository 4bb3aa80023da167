"""Generated texts as lines of JSON: what made each, what it cost, and which of them need not be made again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from unspool.errors import UnspoolError
from unspool.files import Growing

LINE_FORMAT = 1
"""Of a line. Fields may be added within a format; what a field means does not change."""
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

    def to_line(self, **more: Any) -> str:
        """All of it but what its batch cost as a line of JSON, with what else is to stand there."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "batch" and (f.name != "failure" or self.failure)}
        made = {"unspool_generation": LINE_FORMAT} | found | {"logprob": math.fsum(self.logprobs)} | more
        return json.dumps(made, ensure_ascii=False)

    def to_measured_line(self, metrics: dict[str, float | None]) -> str:
        """The same with its batch's cost and the text's own metrics, as a comparison saves it."""
        return self.to_line(batch=asdict(self.batch), metrics=metrics)


def key(prompt: str, recipe: dict[str, Any], model: dict[str, Any]) -> tuple[str, ...]:
    """See `Generation.key`."""
    settings = {k: v for k, v in recipe.items() if k not in ("model", "revision")}
    return prompt, json.dumps(settings, sort_keys=True), str(model.get("fingerprint") or model["name"]), str(model["tokenizer"])


def unread_format(where: str | Path, found: Any, what: str = "saved texts", own: int = LINE_FORMAT) -> UnspoolError:
    """The error for what another version saved in a format of its own."""
    known = f"{where} has format {found} of {what}, and this version reads format {own}"
    return UnspoolError(f"{known}: a newer unspool wrote it: update unspool, or give another file")


class GroupedFile:
    """A file of generations that grows by groups of lines; a group is written whole or, if torn, forgotten."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.file = Growing(path)
        self._end = 0
        """Bytes of whole groups."""

    def groups(self, group_of: Callable[[dict[str, Any]], tuple[Any, int]]) -> Iterator[list[dict[str, Any]]]:
        """The whole groups, read one at a time; group_of: what tells the group of a line from others, and how many lines it has."""
        waiting: list[dict[str, Any]] = []
        kind: tuple[Any, int] | None = None
        place = 0
        for number, line in enumerate(self.file.lines(), 1):
            if not line.endswith(b"\n"):                                  # a torn line
                if line[: len(HEAD)] != HEAD.encode()[: len(line)]:
                    raise self.foreign(number, "it does not begin as one")
                return
            place += len(line)
            one = self._parse(line, number)
            try:
                own = group_of(one)
            except KeyError as error:
                lacks = str(error.args[0])
                other = writer_of(one) if lacks in ("batch", "unit") else ""
                raise self.foreign(number, other or f"it lacks {lacks!r}") from None
            except (ValueError, TypeError, AttributeError) as error:
                raise self.foreign(number, str(error).partition("__init__() ")[2] or str(error)) from None
            if waiting and own != kind:
                raise UnspoolError(f"{self.path} lacks texts of a batch before line {number}; take that batch out, or give another file")
            kind = own
            waiting.append(one)
            if len(waiting) == kind[1]:
                group, waiting, self._end = waiting, [], place
                yield group

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            value: dict[str, Any] = json.loads(line)
        except (ValueError, RecursionError):
            raise self.foreign(number, "it is no JSON") from None
        if not isinstance(value, dict) or "unspool_generation" not in value:
            raise self.foreign(number, writer_of(value) or "it lacks 'unspool_generation'")
        found = value["unspool_generation"]
        if type(found) is int and found > LINE_FORMAT:
            raise unread_format(f"line {number} of {self.path}", found)
        if found != LINE_FORMAT:
            raise self.foreign(number, f"its format is {found!r:.40}")
        return value

    def foreign(self, number: int, why: str) -> UnspoolError:
        """The error for a line that is of something else."""
        return UnspoolError(f"line {number} of {self.path} is no generation that unspool saved so: {why}; give another file")

    def append(self, lines: Sequence[str]) -> None:
        """Write a group."""
        self._end = self.file.append("".join(line + "\n" for line in lines), self._end)


def writer_of(value: Any) -> str:
    """Who wrote a line, in words, if it is one that something else of unspool writes."""
    if not isinstance(value, dict):
        return ""
    marks = {"unspool_sweep": "sweep --save", "unspool_trace": "--trace"}
    marks |= {"batch": "compare --save", "unit": "generate --save"} if "unspool_generation" in value else {}
    return next((f"{option} wrote it" for mark, option in marks.items() if mark in value), "")


class GenerationFile(GroupedFile):
    """The file of a comparison: its groups are batches, of any recipes in any order."""

    def generations(self) -> Iterator[Generation]:
        """Those of its whole batches."""
        return (_generation(value) for group in self.groups(_batch_of) for value in group)


def _batch_of(value: dict[str, Any]) -> tuple[Any, int]:
    """The batch of a line, whose values are checked: what is read here is measured again."""
    one = _generation(value)
    return one.batch, one.batch.texts


def _generation(value: dict[str, Any]) -> Generation:
    known = {f.name: value[f.name] for f in fields(Generation) if f.name in value or f.name != "failure"}
    return Generation(**(known | {"batch": BatchCost(**value["batch"])}))
