"""The step table: at each step the text so far and the likeliest next tokens with their percentages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from unspool.errors import MissingExtra
from unspool.record.trace import Trace
from unspool.text import visible
from unspool.views.cells import Row, cell_of, considered_nodes
from unspool.views.characters import shown
from unspool.views.page import fragment
from unspool.views.sheet import Sheet, to_json
from unspool.views.table_text import draw_steps
from unspool.views.terminal import PLAIN, Paint


@dataclass(frozen=True)
class StepTable:
    """Rows of likely next tokens, readable as text, CSV, JSON, Markdown, HTML and a pandas DataFrame."""

    rows: list[Row]
    all: bool = False
    """Whether there is a Row column, for all rows that were alive."""
    processed: bool = False
    """Whether cells show the probability after the processors too."""
    effective: bool = False
    """Whether there is a column of effective choices, exp(H) of the model's distribution."""

    @classmethod
    def from_trace(
        cls, trace: Trace, *, all: bool = False, processed: bool = False, effective: bool = False, choices: int | None = None
    ) -> StepTable:
        """The table of the best hypothesis of a trace of level "choices", or of every row that was considered."""
        trace.require("choices", "a step table")
        parents = {int(n): (int(p), int(t)) for s in trace.steps for n, p, t in zip(s.nodes, s.parents, s.tokens, strict=True)}
        if not all:
            trace.best("a step table of the best text")
        best = [{*h.nodes} for found in trace.hypotheses for h in found[:1]]
        path = None if all else set().union(*best)
        chosen: dict[int, list[int]] = {}
        for child, (parent, token) in parents.items():
            if path is None or child in path:
                chosen.setdefault(parent, []).append(token)
        rows = []
        for node, found in considered_nodes(trace, None if path is None else chosen):
            before = _bytes_before(trace, parents, node)
            cells = [cell_of(trace, before, *c) for c in found.choices[:choices]]
            rows.append(Row(visible(before), cells, found.row, found.step, tuple(chosen.get(node, ())), found.entropy))
        return cls(rows, all, processed, effective)

    @property
    def columns(self) -> list[str]:
        """Input, Choice 1 ... Choice n, after what is shown of the row; which probabilities, where there are two."""
        which = " (model → processed)" if self.processed else ""
        most = max((len(r.choices) for r in self.rows), default=0)
        return [*self._front(), "Input", *(f"Choice {i + 1}{which}" for i in range(most))]

    def _front(self) -> list[str]:
        return [*(["Step", "Row"] if self.all else []), *(["Effective choices"] if self.effective else [])]

    def cells(self) -> Iterator[list[str]]:
        """The table's rows as text, leading spaces kept."""
        width = len(self.columns)
        for r in self.rows:
            numbers = [str(r.step + 1), str(r.row + 1)] if self.all else []
            numbers += ["" if r.effective is None else f"{r.effective:.2f}"] if self.effective else []
            line = [*numbers, r.input, *(c.cell(self.processed) for c in r.choices)]
            yield line + [""] * (width - len(line))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def to_records(self) -> list[dict[str, str]]:
        return [dict(zip(self.columns, line, strict=True)) for line in self.cells()]

    def sheet(self, show: Callable[[str], str] = str) -> Sheet:
        """The cells, each as `show` makes it; the tokens that were chosen stand out."""
        first = len(self._front()) + 1
        chosen = {(i, first + j) for i, r in enumerate(self.rows) for j, c in enumerate(r.choices) if c.token in r.chosen}
        return Sheet(self.columns, [list(map(show, line)) for line in self.cells()], chosen)

    def to_csv(self) -> str:
        """Comma-separated values, leading spaces kept."""
        return self.sheet().to_csv()

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows with tokens, texts and numbers, see `Cell.to_dict`; `chosen` are the tokens that were taken."""
        return [
            {**({"step": r.step + 1, "row": r.row + 1} if self.all else {}), "input": r.input, "chosen": list(r.chosen)}
            | ({"effective_choices": r.effective} if self.effective else {})
            | {"choices": [c.to_dict() for c in r.choices]}
            for r in self.rows
        ]

    def to_json(self) -> str:
        return to_json(self.to_dicts())

    def to_markdown(self) -> str:
        return self.sheet(shown).to_markdown()

    def to_html(self) -> str:
        """An HTML table; every text is escaped."""
        return self.sheet(shown).to_html("steps")

    def _repr_html_(self) -> str:
        return fragment(self.to_html())

    def to_pandas(self) -> Any:
        try:
            import pandas
        except ImportError:
            raise MissingExtra("to_pandas() needs pandas: pip install 'unspool[pandas]'") from None
        return pandas.DataFrame(self.to_records(), columns=self.columns)

    def to_text(self, width: int = 0, paint: Paint = PLAIN) -> str:
        """Aligned columns as a terminal shows them, fitted to a width (0: as wide as they are)."""
        return draw_steps(self.rows, self.all, self.processed, self.effective, width, paint)

    def __str__(self) -> str:
        return self.to_text()

    def head(self, n: int) -> StepTable:
        return replace(self, rows=self.rows[:n])


def _bytes_before(trace: Trace, parents: dict[int, tuple[int, int]], node: int) -> bytes:
    tokens: list[int] = []
    while node in parents:
        node, token = parents[node]
        tokens.append(token)
    return trace.bytes_of([*trace.prompts[0], *tokens[::-1]])
