"""Saved texts as Parquet: made of the finished lines in one go, and read again to be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unspool.errors import UnspoolError
from unspool.files import write
from unspool.lab.generations import LINE_FORMAT, unread_format
from unspool.many.reading import pyarrow_library

GROUP_ROWS = 1024
"""Texts of a row group, and so of what is in memory at once."""
AS_JSON = ("recipe", "model", "versions", "unit", "messages")
"""Columns of nested values, which hold JSON."""
MARK = b"unspool_generation"


def _schema(arrow: Any) -> Any:
    text, whole = arrow.string(), arrow.int64()
    columns = [("index", whole), ("id", text), ("decoder", text), ("prompt", text), ("prompt_tokens", arrow.list_(arrow.int32()))]
    columns += [("seed", whole), ("number", arrow.int32()), ("text", text), ("tokens", arrow.list_(arrow.int32()))]
    columns += [("logprobs", arrow.list_(arrow.float64())), ("logprob", arrow.float64()), ("reason", text), ("failure", text)]
    return arrow.schema([*columns, *((name, text) for name in AS_JSON)], {MARK: str(LINE_FORMAT).encode()})


class _Pieces:
    """A file that keeps what is written to it until it is taken."""

    def __init__(self) -> None:
        self.data, self.closed = bytearray(), False

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)

    def taken(self) -> bytes:
        """What was written since it was last taken."""
        found, self.data = bytes(self.data), bytearray()
        return found

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def to_parquet(groups: Iterator[list[dict[str, Any]]], path: Path) -> None:
    """Write the lines of units to a Parquet file, whole or not at all."""
    arrow = pyarrow_library()
    write(path, _written(arrow, groups))


def _written(arrow: Any, groups: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    schema, sink, waiting = _schema(arrow), _Pieces(), list[dict[str, Any]]()
    with arrow.parquet.ParquetWriter(arrow.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        for group in groups:
            waiting += group
            while len(waiting) >= GROUP_ROWS:
                writer.write_table(_table(arrow, waiting[:GROUP_ROWS], schema))
                waiting = waiting[GROUP_ROWS:]
                yield sink.taken()
        if waiting:
            writer.write_table(_table(arrow, waiting, schema))
    yield sink.taken()


def _table(arrow: Any, lines: list[dict[str, Any]], schema: Any) -> Any:
    rows = [{name: _cell(line.get(name), name) for name in schema.names} for line in lines]
    return arrow.Table.from_pylist(rows, schema=schema)


def _cell(value: Any, name: str) -> Any:
    return json.dumps(value, ensure_ascii=False) if name in AS_JSON and value is not None else value


def parquet_groups(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The units of a Parquet file that was saved so, one at a time."""
    arrow = pyarrow_library()
    try:
        file = arrow.parquet.ParquetFile(path)
        made = (file.schema_arrow.metadata or {}).get(MARK)
        if made is None:
            raise UnspoolError(f"{path} holds no generations that unspool saved; give another file")
        if made != str(LINE_FORMAT).encode():
            raise unread_format(path, made.decode("ascii", "replace"))
        waiting: list[dict[str, Any]] = []
        for batch in file.iter_batches(batch_size=GROUP_ROWS):
            for row in batch.to_pylist():
                line = {k: json.loads(v) if k in AS_JSON else v for k, v in row.items() if v is not None}
                waiting.append(line)
                if len(waiting) == line["unit"]["lines"]:
                    yield waiting
                    waiting = []
    except (arrow.ArrowException, OSError) as error:
        raise UnspoolError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}; give another file") from None
