"""The form of a trace's file, as a JSON Schema (draft 2020-12) that other programs can check its lines by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[1] / "data/trace.schema.json"


def trace_schema() -> dict[str, Any]:
    """The schema of one line of a trace: the head, a step, or the results. The format that it describes is that of new files."""
    found: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return found
