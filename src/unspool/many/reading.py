"""Prompts out of files, one at a time: text, JSON lines, CSV, Parquet. What is no prompt is told with its place."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from unspool.errors import MissingExtra, PromptError, UnspoolError, check
from unspool.files import FORMS, said, source_name
from unspool.many.unit import GivenPrompt, UnusablePrompt, asked_of

INPUT_FORMS = ("text", "jsonl", "csv", "tsv", "parquet")
PARQUET_ROWS = 256
"""Rows of a Parquet file that are read at once."""
PROMPT_COLUMN, TEXT_COLUMN = "prompt", "text"
"""What columns are called that nobody named."""
LONGEST_FIELD = 2**31 - 1
"""Characters of a field of a CSV file."""


@dataclass(frozen=True)
class Columns:
    """What the columns are called; without a prompt's column it is "prompt", or else "messages"."""

    prompt: str | None = None
    id: str | None = None
    answer: str | None = None
    """Of one answer or several, which may be missing; read only where it is named."""

    @property
    def named(self) -> dict[str, str]:
        """Those that are named and have to be there, by the option that names them."""
        return {option: name for option, name in (("--prompt-column", self.prompt), ("--id-column", self.id)) if name is not None}

    def check_none(self, what: str) -> None:
        """Refuse names of columns for what has none."""
        given = ", ".join(self.named)
        check(not given, f"{what} is text, a prompt on each line; {given} names a column of a .jsonl, .csv, .tsv or .parquet file")

    def alone(self, value: Any) -> Any:
        """A prompt that stands without columns, as a text in a file of JSON lines."""
        for option, name in self.named.items():
            raise PromptError(f"it is no object, so it has no column {name!r} (named by {option})")
        return value

    def of_prompt(self, there: Sequence[str], where: str) -> str:
        """The column that holds the prompt."""
        for option, name in self.named.items():
            if name not in there:
                raise PromptError(f"{where} has no column {name!r}; it has {_listed(there)} (named by {option})")
        found = self.prompt or next((name for name in (PROMPT_COLUMN, "messages") if name in there), None)
        if found is None:
            raise PromptError(f"{where} has no column 'prompt' or 'messages'; it has {_listed(there)}: name one with --prompt-column")
        return found

    def wanted(self, there: Sequence[str], where: str) -> list[str]:
        """Those of the columns that are there which are to be read."""
        found = [self.of_prompt(there, where), *([self.id] if self.id else [])]
        return found + ([self.answer] if self.answer and self.answer in there else [])


def _listed(there: Sequence[str]) -> str:
    """The columns that there are, for people."""
    return ", ".join(map(repr, there)) or "none"


def form_of(file: str | Path, form: str | None = None) -> str:
    """What a file is: as it is said, or else by its ending; text where that says nothing."""
    found = FORMS.get(Path(file).suffix.lower())
    return form or (found if found in INPUT_FORMS else None) or "text"


def read_asked(
    files: Iterable[str | Path], columns: Columns, form: str | None = None
) -> Iterator[GivenPrompt | UnusablePrompt]:
    """The prompts of some files, in order and streamed; "-" is standard input. form: what they are, if their endings do not say."""
    index = 0
    for file in files:
        kind = form_of(file, form)
        if kind == "text":
            columns.check_none(source_name(file))
        for where, value in _rows(str(file), kind, columns.wanted):
            if isinstance(value, UnusablePrompt):
                yield value
            else:
                try:
                    found = _of_columns(value, columns) if isinstance(value, dict) else columns.alone(value)
                    right = answers_of(found.pop("answer", None)) if isinstance(found, dict) else ()
                    yield replace(asked_of(found, index, where), answers=right)
                except UnspoolError as error:
                    yield UnusablePrompt(where, str(error))
            index += 1


@dataclass(frozen=True)
class GivenText:
    """One text of many that are given, to be read and not to be gone on from."""

    where: str
    """Where it stands, for people: "texts.jsonl, line 7"."""
    prompt: str | None
    """What stands before it; None where the file has no column for that."""
    text: str


def read_given(files: Iterable[str | Path]) -> Iterator[GivenText]:
    """The texts of some files, in order: the lines of a text file, or the column "text", with a column "prompt" if there is one.

    A .tsv whose first line does not name "text" has lines too: what stands before a text, a tab, the text.
    """

    def wanted(there: Sequence[str], where: str) -> list[str]:
        if TEXT_COLUMN not in there:
            raise PromptError(f"{where} has no column {TEXT_COLUMN!r}; it has {_listed(there)}")
        return [name for name in (TEXT_COLUMN, PROMPT_COLUMN) if name in there]

    for file in files:
        kind = form_of(file)
        kind = "text" if kind == "tsv" and not _names(file, TEXT_COLUMN) else kind
        for where, value in _rows(str(file), kind, wanted):
            if isinstance(value, UnusablePrompt):
                raise PromptError(f"{value.where}: {value.why}")
            row: dict[str, Any] = value if isinstance(value, dict) else {TEXT_COLUMN: value}
            wanted(list(row), where)
            prompt, text = row.get(PROMPT_COLUMN), row[TEXT_COLUMN]
            for one in (text,) if prompt is None else (prompt, text):
                if not isinstance(one, str):
                    raise PromptError(f"{where}: a text, and what stands before it, is a text; got {one!r:.60}")
                if not _is_text(one):
                    raise PromptError(f"{where}: the text is no UTF-8 text")
            yield GivenText(where, prompt, text)


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
        kind = form_of(file, form)
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


_Wanted = Callable[[Sequence[str], str], list[str]]
"""Given the columns that there are, and where: those that are to be read; refused where one is lacking."""


def _rows(file: str, kind: str, wanted: _Wanted) -> Iterator[tuple[str, Any]]:
    """Each row of a file: where it stands, and a line of text, a value of JSON, its columns, or why it cannot be read."""
    name = source_name(file)
    try:
        if kind == "parquet":
            check(file != "-", "Parquet is read from a file, not from standard input")
            yield from _parquet(file, wanted)
            return
        with open(sys.stdin.fileno() if file == "-" else file, "rb", closefd=file != "-") as lines:
            yield from (_table(lines, name, wanted, kind) if kind in ("csv", "tsv") else _lines(lines, name, kind))
    except OSError as error:
        raise PromptError(f"cannot read {name}: {said(error)}") from None


def _lines(lines: IO[bytes], name: str, kind: str) -> Iterator[tuple[str, Any]]:
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
            yield where, text
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            yield where, UnusablePrompt(where, f"it is no JSON: {text[:60]!r}")
            continue
        yield where, value


def _table(lines: IO[bytes], name: str, wanted: _Wanted, kind: str) -> Iterator[tuple[str, Any]]:
    csv.field_size_limit(LONGEST_FIELD)
    odd = list[str]()

    def texts() -> Iterator[str]:
        for line in lines:
            text = line.decode("utf-8", "surrogateescape")
            if not _is_text(text):
                odd.append("it is no UTF-8 text")
            yield text

    rows = csv.reader(texts(), dialect="excel-tab" if kind == "tsv" else "excel")
    head: list[str] | None = None
    while True:
        number = rows.line_num + 1
        where = f"{name}, line {number}"
        odd.clear()
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            row = []
            odd.append(f"it is no {kind.upper()}: {error}")
        if head is None:
            if odd:
                raise PromptError(f"{where}: {odd[0]}; it names the columns")
            head = [column.removeprefix("\ufeff").strip() for column in row]
            wanted(head, name)
        elif odd or (row and len(row) != len(head)):
            yield where, UnusablePrompt(where, odd[0] if odd else f"it has {len(row)} fields, and the first line names {len(head)}")
        elif row:
            yield where, dict(zip(head, row, strict=True))
    if head is None:
        raise PromptError(f"{name} is empty; its first line names its columns")


def _names(file: str | Path, column: str) -> bool:
    """Whether the first line of a TSV names a column."""
    try:
        with open(file, "rb") as lines:
            head = lines.readline().decode("utf-8", "replace").removeprefix("\ufeff")
    except OSError:
        return False
    return column in map(str.strip, head.split("\t"))


def _is_text(value: str) -> bool:
    """Whether it can be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet(file: str, wanted: _Wanted) -> Iterator[tuple[str, Any]]:
    pyarrow = pyarrow_library()
    try:
        table = pyarrow.parquet.ParquetFile(file)
        number = 0
        for batch in table.iter_batches(batch_size=PARQUET_ROWS, columns=wanted(table.schema_arrow.names, file)):
            for row in batch.to_pylist():
                number += 1
                yield f"{file}, row {number}", row
    except pyarrow.ArrowException as error:
        raise PromptError(f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def _of_columns(row: dict[str, Any], columns: Columns) -> dict[str, Any]:
    value = row[columns.of_prompt(list(row), "it")]
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
