"""The step table: at each step the text so far and the likeliest next tokens with their percentages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from unspool.errors import MissingExtra
from unspool.text import unfinished, visible
from unspool.trace import Trace
from unspool.views.sheet import Sheet, to_json


@dataclass(frozen=True)
class Choice:
    """One likely next token: its text with a leading space if it has one, and its probabilities."""

    token: int
    text: str
    probability: float
    """Under the model itself."""
    processed: float
    """After the processors."""

    def cell(self, processed: bool = False) -> str:
        """As ` most (9.76%)`, with a second percentage where asked."""
        second = f" → {self.processed:.2%}" if processed else ""
        return f"{self.text} ({self.probability:.2%}{second})"


@dataclass(frozen=True)
class Row:
    """One node: the text before it, and what may come next."""

    input: str
    choices: list[Choice]
    row: int = 0
    """Which of the rows that were alive at this step."""
    step: int = 0
    chosen: tuple[int, ...] = ()
    """The tokens that the node was extended by."""


@dataclass(frozen=True)
class StepTable:
    """Rows of likely next tokens, readable as text, CSV, JSON, Markdown, HTML and a pandas DataFrame."""

    rows: list[Row]
    all: bool = False
    """Whether there is a Row column, for all rows that were alive."""
    processed: bool = False
    """Whether cells show the probability after the processors too."""

    @classmethod
    def from_trace(cls, trace: Trace, *, all: bool = False, processed: bool = False, choices: int | None = None) -> StepTable:
        """The table of the best hypothesis of a trace of level "choices", or of every row that was considered."""
        trace.require("choices", "a step table")
        parents = {int(n): (int(p), int(t)) for s in trace.steps for n, p, t in zip(s.nodes, s.parents, s.tokens, strict=True)}
        best = [{*h.nodes} for found in trace.hypotheses for h in found[:1]]
        path = None if all else set().union(*best)
        chosen: dict[int, list[int]] = {}
        for child, (parent, token) in parents.items():
            if path is None or child in path:
                chosen.setdefault(parent, []).append(token)
        rows = []
        for node, place, shown in _nodes(trace):
            if path is None or node in chosen:
                before = _bytes_before(trace, parents, node)
                cells = [_choice(trace, before, *c) for c in shown[:choices]]
                rows.append(Row(visible(before), cells, place[1], place[0], tuple(chosen.get(node, ()))))
        return cls(rows, all, processed)

    @property
    def columns(self) -> list[str]:
        """Input, Choice 1 ... Choice n, after Step and Row where all rows are shown."""
        most = max((len(r.choices) for r in self.rows), default=0)
        return [*(["Step", "Row"] if self.all else []), "Input", *(f"Choice {i + 1}" for i in range(most))]

    def cells(self) -> Iterator[list[str]]:
        """The table's rows as text, leading spaces kept."""
        width = len(self.columns)
        for r in self.rows:
            line = [*([str(r.step + 1), str(r.row + 1)] if self.all else []), r.input, *(c.cell(self.processed) for c in r.choices)]
            yield line + [""] * (width - len(line))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def to_records(self) -> list[dict[str, str]]:
        """A dictionary of cells for each row."""
        return [dict(zip(self.columns, line, strict=True)) for line in self.cells()]

    def sheet(self, show: Callable[[str], str] = str) -> Sheet:
        """The cells, each as `show` makes it."""
        return Sheet(self.columns, [list(map(show, line)) for line in self.cells()])

    def to_csv(self) -> str:
        """Comma-separated values, leading spaces kept."""
        return self.sheet().to_csv()

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows with tokens, texts and probabilities as numbers; `chosen` are the tokens that were taken."""
        return [
            {**({"step": r.step + 1, "row": r.row + 1} if self.all else {}), "input": r.input, "chosen": list(r.chosen)}
            | {"choices": [{**vars(c), "logprob": math.log(c.probability) if c.probability else None} for c in r.choices]}
            for r in self.rows
        ]

    def to_json(self) -> str:
        """The rows of `to_dicts` as JSON."""
        return to_json(self.to_dicts())

    def to_markdown(self) -> str:
        """A Markdown table."""
        return self.sheet(shown).to_markdown()

    def to_html(self) -> str:
        """An HTML table; every text is escaped."""
        return self.sheet(shown).to_html("unspool-steps")

    _repr_html_ = to_html

    def to_pandas(self) -> Any:
        """A pandas DataFrame of the cells."""
        try:
            import pandas
        except ImportError:
            raise MissingExtra("to_pandas() needs pandas: pip install 'unspool[pandas]'") from None
        return pandas.DataFrame(self.to_records(), columns=self.columns)

    def to_text(self, width: int = 0) -> str:
        """Aligned columns in plain characters, fitted to a width (0: as wide as they are)."""
        from unspool.views.terminal import Paint, draw_steps

        return draw_steps(self, width, Paint(False))

    def __str__(self) -> str:
        return self.to_text()

    def head(self, n: int) -> StepTable:
        """The first n rows."""
        return replace(self, rows=self.rows[:n])


def _nodes(trace: Trace) -> Iterator[tuple[int, tuple[int, int], list[tuple[int, float, float]]]]:
    """Every considered node: (step, row among those of the step) and its (token, probability, processed) choices."""
    for step, record in enumerate(trace.steps):
        found = record.considered
        if found is None:
            continue
        for row, (node, tokens, raw, processed) in enumerate(
            zip(found.nodes, found.tokens, found.logprobs, found.processed, strict=True)
        ):
            choices = [(int(t), math.exp(a), math.exp(b)) for t, a, b in zip(tokens, raw, processed, strict=True)]
            yield int(node), (step, row), choices


def _bytes_before(trace: Trace, parents: dict[int, tuple[int, int]], node: int) -> bytes:
    tokens: list[int] = []
    while node in parents:
        node, token = parents[node]
        tokens.append(token)
    return trace.bytes_of([*trace.prompts[0], *tokens[::-1]])


def _choice(trace: Trace, before: bytes, token: int, probability: float, processed: float) -> Choice:
    data = trace.tokens.get(token, b"")
    text = trace.names.get(token) if not data else visible(data, unfinished(before))
    return Choice(token, text if text is not None else "", probability, processed)


CONTROLS = {i: chr(0x2400 + i) for i in range(32)} | dict.fromkeys(range(0x7F, 0xA0), "\ufffd") | {ord("\n"): "⏎", ord("\t"): "⇥"}
"""How control characters are shown."""


def shown(text: str) -> str:
    """A cell on screen: outer spaces away, line breaks and control characters visible."""
    return (text.strip(" ") or text).translate(CONTROLS)
