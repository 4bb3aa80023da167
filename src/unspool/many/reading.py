"""Prompts out of files, one at a time: text, JSON lines, CSV, Parquet. What is no prompt is told with its place."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from unspool.errors import MissingExtra, PromptError, UnspoolError, check
from unspool.files import said
from unspool.many.unit import GivenPrompt, UnusablePrompt, asked_of

INPUT_FORMS = ("text", "jsonl", "csv", "tsv", "parquet")
FORM_BY_ENDING = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet"}
PARQUET_ROWS = 256
"""Rows of a Parquet file that are read at once."""
LONGEST_FIELD = 2**31 - 1
"""Characters of a field of a CSV file."""


@dataclass(frozen=True)
class Columns:
    """What the columns are called; without a prompt's column it is "prompt", or else "messages"."""

    prompt: str | None = None
    id: str | None = None
    answer: str | None = None
    """Of one answer or several, which may be missing; read only where it is named."""


def read_asked(
    files: Iterable[str | Path], columns: Columns, form: str | None = None
) -> Iterator[GivenPrompt | UnusablePrompt]:
    """The prompts of some files, in order and streamed; "-" is standard input. form: what they are, if their endings do not say."""
    index = 0
    for file in files:
        kind = form or FORM_BY_ENDING.get(Path(file).suffix.lower(), "text")
        for where, value in _rows(str(file), kind, columns):
            if isinstance(value, UnusablePrompt):
                yield value
            else:
                try:
                    found = value()
                    right = answers_of(found.pop("answer", None)) if isinstance(found, dict) else ()
                    yield replace(asked_of(found, index, where), answers=right)
                except UnspoolError as error:
                    yield UnusablePrompt(where, str(error))
            index += 1


def given_asked(prompts: Iterable[Any]) -> Iterator[GivenPrompt | UnusablePrompt]:
    """The prompts of an iterable, each as `asked_of` reads it."""
    for index, value in enumerate(prompts):
        where = f"prompt {index + 1}"
        try:
            yield asked_of(value, index, where)
        except UnspoolError as error:
            yield UnusablePrompt(where, str(error))


def count_asked(files: Iterable[str | Path], form: str | None = None) -> int | None:
    """About how many prompts files hold, for a progress bar; None where that cannot be known before they are read."""
    total = 0
    for file in files:
        kind = form or FORM_BY_ENDING.get(Path(file).suffix.lower(), "text")
        if not Path(file).is_file():
            return None
        try:
            if kind == "parquet":
                total += int(pyarrow_library().parquet.ParquetFile(file).metadata.num_rows)
                continue
            with open(file, "rb") as lines:
                total += sum(1 for line in lines if line.strip()) - (kind in ("csv", "tsv"))
        except (OSError, UnspoolError, ValueError):
            return None
    return total


_Row = tuple[str, "Callable[[], Any] | UnusablePrompt"]


def _rows(file: str, kind: str, columns: Columns) -> Iterator[_Row]:
    """Each row of a file: where it stands, and what reads its prompt."""
    name = "standard input" if file == "-" else file
    try:
        if kind == "parquet":
            check(file != "-", "Parquet is read from a file, not from standard input")
            yield from _parquet(file, columns)
            return
        with open(sys.stdin.fileno() if file == "-" else file, "rb", closefd=file != "-") as lines:
            yield from (_table(lines, name, columns, kind) if kind in ("csv", "tsv") else _lines(lines, name, columns, kind))
    except OSError as error:
        raise PromptError(f"cannot read {name}: {said(error)}") from None


def _lines(lines: IO[bytes], name: str, columns: Columns, kind: str) -> Iterator[_Row]:
    for number, data in enumerate(lines, 1):
        where = f"{name}, line {number}"
        try:
            text = data.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            yield where, UnusablePrompt(where, f"it is no UTF-8 text: byte {data[error.start]:#04x} at position {error.start}")
            continue
        if not text.strip():
            continue
        if kind == "text":
            yield where, lambda text=text: text  # type: ignore[misc]
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            yield where, UnusablePrompt(where, f"it is no JSON: {text[:60]!r}")
            continue
        yield where, lambda value=value: _of_columns(value, columns) if isinstance(value, dict) else value  # type: ignore[misc]


def _table(lines: IO[bytes], name: str, columns: Columns, kind: str) -> Iterator[_Row]:
    csv.field_size_limit(LONGEST_FIELD)
    texts = (line.decode("utf-8", "surrogateescape") for line in lines)
    rows = csv.reader(texts, dialect="excel-tab" if kind == "tsv" else "excel")
    head: list[str] | None = None
    while True:
        number = rows.line_num + 1
        where = f"{name}, line {number}"
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            yield where, UnusablePrompt(where, f"it is no {kind.upper()}: {error}")
            continue
        if head is None:
            head = [column.removeprefix("\ufeff").strip() for column in row]
            _column(dict.fromkeys(head, ""), columns, name)
        elif row and len(row) != len(head):
            yield where, UnusablePrompt(where, f"it has {len(row)} fields, and the first line names {len(head)}")
        elif row:
            named = dict(zip(head, row, strict=True))
            yield where, lambda row=named: _of_columns(row, columns)  # type: ignore[misc]
    if head is None:
        raise PromptError(f"{name} is empty; its first line names its columns")


def _parquet(file: str, columns: Columns) -> Iterator[_Row]:
    pyarrow = pyarrow_library()
    try:
        table = pyarrow.parquet.ParquetFile(file)
        there = dict.fromkeys(table.schema_arrow.names, "")
        wanted = [_column(there, columns, file), *([columns.id] if columns.id else [])]
        wanted += [columns.answer] if columns.answer and columns.answer in there else []
        number = 0
        for batch in table.iter_batches(batch_size=PARQUET_ROWS, columns=wanted):
            for row in batch.to_pylist():
                number += 1
                yield f"{file}, row {number}", lambda row=row: _of_columns(row, columns)  # type: ignore[misc]
    except pyarrow.ArrowException as error:
        raise PromptError(f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def _column(row: dict[str, Any], columns: Columns, where: str) -> str:
    """The column that holds the prompt."""
    for wanted, option in ((columns.prompt, "--prompt-column"), (columns.id, "--id-column")):
        if wanted is not None and wanted not in row:
            raise PromptError(f"{where} has no column {wanted!r}; it has {', '.join(map(repr, row)) or 'none'} (named by {option})")
    found = columns.prompt or next((name for name in ("prompt", "messages") if name in row), None)
    if found is None:
        there = ", ".join(map(repr, row)) or "none"
        raise PromptError(f"{where} has no column 'prompt' or 'messages'; it has {there}: name one with --prompt-column")
    return found


def _of_columns(row: dict[str, Any], columns: Columns) -> dict[str, Any]:
    value = row[_column(row, columns, "it")]
    if isinstance(value, list) and value and isinstance(value[0], dict):  # Parquet fills what a message lacks with None
        value = [{k: v for k, v in message.items() if v is not None} if isinstance(message, dict) else message for message in value]
    return {"prompt": value, "id": row[columns.id] if columns.id else None, "answer": row.get(columns.answer) if columns.answer else None}


def answers_of(value: Any) -> tuple[str, ...]:
    """Right answers as a column has them: a text or a number, or a list of such."""
    several = value if isinstance(value, list) else [] if value in (None, "") else [value]
    for one in several:
        check(isinstance(one, str | int | float) and not isinstance(one, bool), f"an answer is a text, or a list of texts; got {one!r:.60}")
    return tuple(map(str, several))


def pyarrow_library() -> Any:
    """The pyarrow library."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("Parquet needs pyarrow: pip install 'unspool[parquet]'") from None
    return pyarrow
