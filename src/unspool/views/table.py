"""The step table: at each step the text so far and the likeliest next tokens with their percentages."""

from __future__ import annotations

import csv
import html
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from unspool.errors import MissingExtra
from unspool.text import unfinished, visible
from unspool.trace import Trace


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
        best = [set(h.nodes[:-1]) for found in trace.hypotheses for h in found[:1]]
        wanted = None if all else set().union(*best)
        rows = []
        for node, place, shown in _nodes(trace):
            if wanted is None or node in wanted:
                before = _bytes_before(trace, parents, node)
                rows.append(Row(visible(before), [_choice(trace, before, *c) for c in shown[:choices]], place[1], place[0]))
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

    def to_csv(self) -> str:
        """Comma-separated values, leading spaces kept."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([self.columns, *self.cells()])
        return out.getvalue()

    def to_json(self) -> str:
        """Rows with tokens, texts and probabilities as numbers."""
        rows = [
            {**({"step": r.step + 1, "row": r.row + 1} if self.all else {}), "input": r.input}
            | {"choices": [{**vars(c), "logprob": math.log(c.probability) if c.probability else None} for c in r.choices]}
            for r in self.rows
        ]
        return json.dumps(rows, ensure_ascii=False, indent=1)

    def to_markdown(self) -> str:
        """A Markdown table."""
        lines = [self.columns, ["---"] * len(self.columns), *(map(_shown, line) for line in self.cells())]
        return "\n".join("| " + " | ".join(c.replace("\\", "\\\\").replace("|", "\\|") for c in line) + " |" for line in lines) + "\n"

    def to_html(self) -> str:
        """An HTML table; every text is escaped."""
        head = "".join(f"<th>{html.escape(c)}</th>" for c in self.columns)
        body = "\n".join("<tr>" + "".join(f"<td>{html.escape(_shown(c))}</td>" for c in line) + "</tr>" for line in self.cells())
        return f'<table class="unspool-steps">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n'

    _repr_html_ = to_html

    def to_pandas(self) -> Any:
        """A pandas DataFrame of the cells."""
        try:
            import pandas
        except ImportError:
            raise MissingExtra("to_pandas() needs pandas: pip install 'unspool[pandas]'") from None
        return pandas.DataFrame(self.to_records(), columns=self.columns)

    def to_text(self, width: int = 0) -> str:
        """Aligned columns; the input is cut on the left to fit a width (0: as wide as it is)."""
        lines = [self.columns, *([_shown(c) for c in line] for line in self.cells())]
        place = 2 if self.all else 0
        sizes = [max(map(display_width, column)) for column in zip(*lines, strict=True)]
        if width:
            others = sum(sizes) - sizes[place] + 2 * (len(sizes) - 1)
            sizes[place] = max(8, min(sizes[place], width - others))
        out = []
        for line in lines:
            parts = [_fit_left(c, n) if i == place else pad(c, n) for i, (c, n) in enumerate(zip(line, sizes, strict=True))]
            out.append("  ".join(parts).rstrip())
        return "\n".join(out) + "\n"

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


def _shown(text: str) -> str:
    """A cell on screen: outer spaces away, line breaks visible."""
    return text.strip(" ").replace("\r", "␍").replace("\n", "⏎").replace("\t", "⇥") if text.strip(" ") else text


def display_width(text: str) -> int:
    """Columns that a text takes in a terminal: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def pad(text: str, width: int) -> str:
    """A text filled with spaces up to a width in columns."""
    return text + " " * (width - display_width(text))


def _fit_left(text: str, width: int) -> str:
    """The end of a text, cut on the left to a width."""
    if display_width(text) <= width:
        return pad(text, width)
    while display_width(text) > width - 1:
        text = text[1:]
    return pad("…" + text, width)
