"""Two traces in one file: the lab's own side-by-side view of them, which opens without a server."""

from __future__ import annotations

import json
import math
from typing import Any

from unspool.errors import check
from unspool.page.files import shell
from unspool.record.trace import Trace, plain
from unspool.views.cells import NodeRecord, considered_nodes
from unspool.views.diff import Diff
from unspool.views.parting import distance


def pair_page(first: Trace, second: Trace, found: Diff) -> str:
    """The page of two traces of one prompt, the best text of each, and what `diff` found of them.

    KL divergences and the overlap (1 - total variation) are of the distributions after the processors, while the texts agree; they
    are bounds, for a record holds the likeliest tokens alone.
    """
    count = len(first.prompts)
    check(count == 1, f"the page shows one prompt, and these traces have {count}: record one, or read them as text or JSON")
    for trace in (first, second):
        trace.best("diff")
    traces = (first, second)
    words = {str(t): data.hex() for trace in traces for t, data in trace.tokens.items()}
    names = {str(t): name for trace in traces for t, name in trace.names.items()}
    runs = [_run(trace) for trace in traces]
    models = [{"name": run["asked"]["model"], "context": 0, "chat": False, "tokenizer": "one"} for run in runs]
    asked = runs[0]["asked"]
    state = {
        "prompt": first.bytes_of(first.prompts[0]).decode(errors="replace"), "decoder": asked["decoder"], "seed": asked["seed"],
        "count": asked["max_new_tokens"], "model": asked["model"], "page": "both", "text": first.hypotheses[0][0].tokens,
        "other": {"decoder": runs[1]["asked"]["decoder"], "model": runs[1]["asked"]["model"]},
    }  # fmt: skip
    settings = [f"{name}: {_said(a)} → {_said(b)}" for name, a, b in found.settings]
    record = {
        "unspool_lab": 1, "state": state, "runs": runs[:1], "vocabulary": {"tokens": words, "names": names}, "looked": [], "rows": [],
        "models": models, "both": {"runs": runs, "steps": _steps(traces), "settings": settings},
    }  # fmt: skip
    return shell().replace("{record}", embedded(record), 1)


def embedded(value: Any) -> str:
    """JSON that may stand in a page: nothing in it ends an element or begins one."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _run(trace: Trace) -> dict[str, Any]:
    """A run as the page keeps it."""
    recipe = trace.recipe
    asked = {
        "prompt": trace.prompts[0], "decoder": str(recipe.get("decoder", "")), "seed": recipe.get("seed", 0),
        "max_new_tokens": recipe.get("max_new_tokens"), "model": str(trace.model.get("name", "")),
    }  # fmt: skip
    begin = {"id": "", "prompt": trace.prompts[0], "recipe": recipe, "model": trace.model, "level": trace.level, "end_tokens": []}
    proved = [plain(c) | {"said": str(c)} for c in trace.certificates]
    texts = [plain(h) for h in trace.hypotheses[0]]
    end = {"hypotheses": texts, "certificates": proved, "work": trace.work, "failure": "", "interrupted": False}
    return {"asked": asked, "begin": begin, "steps": [plain(step) for step in trace.steps], "end": end, "error": None}


def _steps(traces: tuple[Trace, Trace]) -> list[dict[str, Any]]:
    """How the processed distributions differ before every token up to the one where the texts part, as far as they are recorded."""
    known = [dict(considered_nodes(trace)) for trace in traces]
    best = [trace.hypotheses[0][0] for trace in traces]
    found: list[dict[str, Any]] = []
    for i, token in enumerate(best[0].tokens):
        sides = [records.get(h.nodes[i]) if i < len(h.nodes) else None for records, h in zip(known, best, strict=True)]
        if sides[0] is None or sides[1] is None:
            break
        found.append(_step(sides[0], sides[1], token))
        if i >= len(best[1].tokens) or best[1].tokens[i] != token:
            break
    return found


def _step(first: NodeRecord, second: NodeRecord, token: int) -> dict[str, Any]:
    a, b = ({int(c[0]): float(c[2]) for c in side.choices} for side in (first, second))
    there, back = distance(a, b), distance(b, a)
    kl, other = (d.kl if math.isfinite(d.kl) else None for d in (there, back))
    logprob = [math.log(p) if (p := side.get(token, 0.0)) > 0 else None for side in (a, b)]
    best = [max(side, key=lambda t: (side[t], -t)) for side in (a, b)]
    return {"kl": kl, "back": other, "overlap": 1 - there.total_variation, "best": best, "logprob": logprob}


def _said(value: Any) -> str:
    return "none" if value is None else str(value)
