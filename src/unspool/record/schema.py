"""The form of a trace's file, as a JSON Schema (draft 2020-12) that other programs can check its lines by."""

from __future__ import annotations

import json
from typing import Any

from unspool.packaged import packaged


def trace_schema() -> dict[str, Any]:
    """The schema of one line of a trace: the head, a step, or the results. The format that it describes is that of new files."""
    found: dict[str, Any] = json.loads(packaged("trace.schema.json"))
    return found
