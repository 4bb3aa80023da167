"""Generated and scored texts as a person reads them in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unspool.output import GeneratedText, Output
from unspool.score import Score
from unspool.views.characters import safe, shown
from unspool.views.terminal import Paint, display_width, draw_columns, fit_right, pad, wrap


def draw_output(output: Output, width: int, paint: Paint, numbers: bool = True, question: bool = True) -> str:
    """What was generated after one prompt, best first; with numbers, each with its rank and scores. Without a text, why.

    question: what a user said to a chat model stands above its answer, too.
    """
    prompt = safe(output.asked or output.prompt)
    if not output.sequences:
        return "".join(line + "\n" for line in _two_styles(prompt, "", width, paint)) + draw_failure(output, width, paint)
    prompt = "" if output.asked and not question else prompt
    several = len(output.sequences) > 1
    indent = len(str(len(output.sequences))) + 2 if several else 0
    blocks = []
    votes = [h.columns for h in output.trace.hypotheses[0]]
    for rank, (s, told) in enumerate(zip(output.sequences, votes, strict=True), 1):
        lead = pad(str(rank), indent) if several else ""
        lines = _two_styles(prompt, safe(s.text), width - indent if several and width else 0, paint)
        lines += _paragraph(_numbers(s) + _vote(told, s.tokens), width - indent if width else 0, paint) if numbers else []
        blocks.append("".join((paint(lead, "head") if i == 0 else " " * indent * bool(line)) + line + "\n" for i, line in enumerate(lines)))
    return "\n".join([*blocks, *draw_proofs(output, width, paint)])


def draw_proofs(output: Output, width: int, paint: Paint) -> list[str]:
    """What searches proved of the texts: a line for each certificate, or lines where it is wider than the screen."""
    lines = [str(certificate) for certificate in output.trace.certificates]
    return ["".join(paint(line[i:j], "dim") + "\n" for i, j in wrap(line, width)) for line in lines]


def draw_failure(output: Output, width: int, paint: Paint) -> str:
    """Why nothing came of a prompt."""
    why = shown(f"no text: {output.failure}")
    return "".join([*(paint(why[i:j], "bad") + "\n" for i, j in wrap(why, width)), *draw_proofs(output, width, paint)])


def _numbers(s: GeneratedText) -> str:
    return f"log-prob {s.logprob:.2f}  score {s.score:.3f}  tokens {len(s.tokens)}  {s.reason}"


def _vote(columns: dict[str, Any], tokens: Sequence[int]) -> str:
    """What a text answered and how many votes that had, where texts have voted."""
    answer, ballot = columns.get("answer"), columns.get("ballot")
    if not isinstance(ballot, dict) or answer not in ballot:
        return ""
    whole = answer == " ".join(map(str, tokens))                         # a text is its own answer
    what = "this text" if whole else f"answer {fit_right(shown(str(answer)), 40)}"
    return f"  {what}: {ballot[answer]:.4g} of {math.fsum(ballot.values()):.4g}"


def _paragraph(text: str, width: int, paint: Paint) -> list[str]:
    return [paint(text[i:j], "dim") for i, j in wrap(text, width)]


def draw_score(score: Score, width: int, paint: Paint, title: bool = False) -> str:
    """A line for each token, then the sum and the means; with a title, below the text itself."""
    head = "".join(line + "\n" for line in _two_styles(safe(score.prompt), safe(score.text), 0, paint)) if title else ""
    lines = [["Token", "Log-prob", "Probability"]]
    lines += [[_piece(p), f"{x:.4f}", f"{math.exp(x):.2%}"] for p, x in zip(score.pieces, score.logprobs, strict=True)]
    text = draw_columns(lines, paint, right={1, 2}, style={0: "new", 2: "dim"}, widest=max(8, width - 24) if width else 0)
    counts = f"{len(score.tokens)} tokens, {len(score.text.encode())} bytes, {len(score.text)} characters"
    sums = [
        ["sum of log-probs", f"{score.logprob:.4f}"],
        ["per token", f"{score.per_token:.4f}"],
        ["per byte", f"{score.per_byte:.4f}"],
        ["per character", f"{score.per_character:.4f}"],
        ["bits per byte", f"{score.bits_per_byte:.4f}"],
        ["perplexity", f"{score.perplexity:.4f}"],
    ]
    below = draw_columns(sums, paint, right={1}, header=False).splitlines()
    beside = display_width(below[0]) + 2 + display_width(counts) <= width or not width
    below[0] += "  " + paint(counts, "dim") if beside else ""
    below += [] if beside else [paint(counts[i:j], "dim") for i, j in wrap(counts, width)]
    return head + text + "\n" + "".join(line + "\n" for line in below)


def _piece(piece: str) -> str:
    return shown(piece) or "·"


def _two_styles(prompt: str, text: str, width: int, paint: Paint) -> list[str]:
    """The lines of a prompt and its continuation, each in its style."""
    whole, border = prompt + text, len(prompt)
    lines = []
    for first, last in wrap(whole, width):
        middle = min(max(border, first), last)
        lines.append(paint(whole[first:middle], "prompt") + paint(whole[middle:last], "new"))
    return lines
