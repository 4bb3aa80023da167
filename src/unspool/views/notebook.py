"""How results show themselves in a notebook: HTML without scripts, every text escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from functools import singledispatch
from typing import Any

from unspool.output import GeneratedText, Output, Outputs, Scores
from unspool.record.trace import Trace
from unspool.score import Score
from unspool.shown import Shown
from unspool.views.characters import CONTROLS, shown
from unspool.views.heat import Heat
from unspool.views.heat_html import HEAT_STYLE
from unspool.views.page import fragment
from unspool.views.sheet import Sheet

MOST_RESULTS = 50
"""Results of a list that are shown."""


@singledispatch
def html_of(result: Shown) -> str:
    """What a result shows of itself: a function below for each kind."""
    raise TypeError(f"views/notebook.py draws no {type(result).__name__}: register a function for it")


@html_of.register
def _of_output(output: Output) -> str:
    return fragment(_output(output))


@html_of.register
def _of_outputs(outputs: Outputs) -> str:
    return fragment(*map(_output, outputs[:MOST_RESULTS]), _rest(len(outputs)))


@html_of.register
def _of_text(text: GeneratedText) -> str:
    return fragment(_texts("", [text]))


@html_of.register
def _of_score(score: Score) -> str:
    return fragment(_score(score), style=HEAT_STYLE)


@html_of.register
def _of_scores(scores: Scores) -> str:
    return fragment(*map(_score, scores[:MOST_RESULTS]), _rest(len(scores)), style=HEAT_STYLE)


@html_of.register
def _of_trace(trace: Trace) -> str:
    about = {**trace.recipe, "model": trace.model.get("name", ""), "level": trace.level, "steps": len(trace.steps)}
    lines = [[name, shown(str(value))] for name, value in about.items()]
    parts = [Sheet(["", ""], lines).to_html("about")]
    for prompt, found in zip(trace.prompts, trace.hypotheses, strict=True):
        before = trace.bytes_of(prompt).decode("utf-8", "replace")
        texts = [[trace.bytes_of(h.tokens).decode("utf-8", "replace"), f"{h.logprob:.2f}", str(len(h.tokens)), h.reason] for h in found]
        parts += [_line(before), _table(["text", "log-prob", "tokens", "reason"], texts) if texts else _failed("the run came to none")]
    return fragment(*parts, _proofs(trace))


def _output(output: Output) -> str:
    head = f'<p class="faint">{html.escape(str(output.recipe["decoder"]))}</p>'
    prompt = output.asked or output.prompt
    if not output.sequences:
        return head + _line(prompt) + _failed(output.failure) + _proofs(output.trace)
    return head + _texts(prompt, output.sequences) + _proofs(output.trace)


def _failed(why: str) -> str:
    return f'<p class="faint">{html.escape(f"no text: {shown(why)}")}</p>'


def _proofs(trace: Trace) -> str:
    return "".join(f'\n<p class="faint">{html.escape(str(certificate))}</p>' for certificate in trace.certificates)


def _texts(prompt: str, texts: Iterable[GeneratedText]) -> str:
    lines = []
    for s in texts:
        numbers = f"log-prob {s.logprob:.2f} · score {s.score:.3f} · {len(s.tokens)} tokens · {s.reason}"
        lines.append(_line(prompt, s.text) + f'\n<p class="faint">{html.escape(numbers)}</p>')
    return "\n".join(lines)


def _score(score: Score) -> str:
    names = ("logprob", "per_token", "per_byte", "per_character", "bits_per_byte", "perplexity")
    sums = [[name.replace("_", " ") for name in names], [f"{getattr(score, name):.4f}" for name in names]]
    return Heat.from_score(score).block() + Sheet(sums[0], sums[1:]).to_html("sums")


def _line(prompt: str, text: str = "") -> str:
    return f'<p class="text" dir="auto"><span class="prompt">{_readable(prompt)}</span>{_readable(text)}</p>'


def _readable(text: str) -> str:
    """Line breaks and tabs as they are, other control characters seen."""
    return html.escape(text.translate({k: v for k, v in CONTROLS.items() if chr(k) not in "\n\t"}))


def _table(columns: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    return Sheet(columns, [list(map(shown, line)) for line in lines[:MOST_RESULTS]]).to_html() + _rest(len(lines))


def _rest(count: int) -> str:
    return f'<p class="faint">... and {count - MOST_RESULTS} more</p>' if count > MOST_RESULTS else ""
