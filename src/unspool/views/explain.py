"""Explanations of methods, as a terminal, Markdown and HTML show them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from unspool.views.characters import CONTROLS, safe, shown
from unspool.views.sheet import Sheet
from unspool.views.terminal import Paint, bar, display_width, fit_left, fit_right, pad, wrap

if TYPE_CHECKING:
    from unspool.lab.examples import Line, MethodRun, OneStep, Texts
    from unspool.lab.methods import Method, Parameter

WIDTH = 80
"""Columns where there is no screen; prose is never wider than WIDEST."""
WIDEST = 100
LONG = 22
"""Columns for names; a longer one has a line of its own."""
BAR = 16


# --- one method in a terminal -----------------------------------------------------------------------------------------


def draw_method(method: Method, run: MethodRun | None, width: int, paint: Paint) -> str:
    """Everything about a method."""
    width = min(width or WIDTH, WIDEST)
    kind = f"{method.family} · {method.role}" if method.family != method.role else method.role
    also = f"  also {', '.join(method.aliases)}" if method.aliases else ""
    gap = " " * max(width - len(method.name) - len(also) - len(kind), 2)
    lines = [paint(method.name, "chosen") + paint(also + gap + kind, "dim"), ""]
    for paragraph in method.definition:
        lines += [paragraph[a:b] for a, b in wrap(paragraph, width)]
    lines += ["", *("  " + line for line in _folded("\n".join(method.formula), width - 2))] if method.formula else []
    if method.parameters:
        lines += _head("Parameters", paint) + list(_parameters(method.parameters, width, paint))
    lines += _head("When to use it", paint) + _indented(method.when, width) if method.when else []
    if method.elsewhere:
        lines += _head("Elsewhere", paint) + list(_elsewhere(method, width, paint))
    if run is not None:
        lines += _head("A run", paint) + draw_run(run, width, paint)
    if method.references:
        lines += _head("References", paint)
        for reference in method.references:
            lines += _hung(reference, 2, 4, width)
    lines += [*_head("See also", paint), *_indented(", ".join(method.see), width)] if method.see else []
    return "\n".join(lines) + "\n"


def _head(title: str, paint: Paint) -> list[str]:
    return ["", paint(title, "head")]


def _folded(text: str, width: int) -> list[str]:
    return [text[a:b] for a, b in wrap(text, width)]


def _indented(text: str, width: int) -> list[str]:
    return ["  " + line for line in _folded(text, width - 2)]


def _hung(text: str, first: int, rest: int, width: int) -> list[str]:
    """Lines of a text, the first indented by `first`, the others by `rest`."""
    lines = _folded(text, width - max(first, rest))
    return [" " * (first if i == 0 else rest) + line for i, line in enumerate(lines)]


def _parameters(parameters: Sequence[Parameter], width: int, paint: Paint) -> Iterator[str]:
    names = [_written(p) for p in parameters]
    first = min(max(map(len, names)), LONG) + 4
    lead = first + max(len(p.range) for p in parameters) + 2 * any(p.range for p in parameters)
    for name, p in zip(names, parameters, strict=True):
        begin = "  " + paint(pad(name, first - 2), "new") + paint(pad(p.range, lead - first), "dim")
        if len(name) > first - 4:
            yield "  " + paint(name, "new")
            begin = " " * first + paint(pad(p.range, lead - first), "dim")
        for i, line in enumerate(_folded(p.meaning, width - lead)):
            yield ((begin if i == 0 else " " * lead) + line).rstrip()


def _written(p: Parameter) -> str:
    return f"{p.name}={p.default}" if p.default else p.name


def _elsewhere(method: Method, width: int, paint: Paint) -> Iterator[str]:
    lead = max(len(e.engine) for e in method.elsewhere) + 4
    for e in method.elsewhere:
        facts = ", ".join(filter(None, [e.settings, e.order]))
        note = e.note if e.note.endswith(".") or not e.note else e.note[0].upper() + e.note[1:] + "."
        text = facts + (". " + note if facts and note else note)
        for i, line in enumerate(_folded(text, width - lead)):
            yield ("  " + paint(pad(e.engine, lead - 2), "new") if i == 0 else " " * lead) + line


# --- the run ----------------------------------------------------------------------------------------------------------


def draw_run(run: MethodRun, width: int, paint: Paint) -> list[str]:
    """What a method does, in a few lines."""
    head = [*_hung(safe(run.decoder), 2, 4, width), "  after " + paint(fit_left(shown(run.text), width - 8), "prompt"), ""]
    return head + (_distribution(run, width, paint) if _is_distribution(run) else _texts(run, width, paint))  # type: ignore[arg-type]


def _is_distribution(run: Any) -> bool:
    return hasattr(run, "changes")


def _distribution(run: OneStep, width: int, paint: Paint) -> list[str]:
    most = max((max(c.before, c.after) for c in run.changes), default=1.0) or 1.0
    lead = min(max([5, *(display_width(shown(c.text)) for c in run.changes)]), 18)
    size = max(min((width - lead - 22) // 2, BAR), 1)
    lines = [paint(f"  {pad('token', lead)}  {pad('before', 8 + size)}  after", "dim")]
    last = 0
    for c in run.changes:
        if c.rank > last + 1:
            lines.append(paint("  ⋮", "dim"))
        last = c.rank
        before, after = f"{c.before:7.2%}", "cut".rjust(7) if c.before and not c.after else f"{c.after:7.2%}"
        left = f"{before} {pad(bar(c.before / most, size), size)}"
        right = f"{after} {bar(c.after / most, size)}".rstrip()
        name = pad(fit_right(shown(c.text), lead), lead)
        lines.append(f"  {name}  {paint(left, 'dim')}  {paint(right, 'bad' if after.strip() == 'cut' else 'new')}")
    return [*lines, "", *_indented(summary(run), width)]


def summary(run: OneStep) -> str:
    """The distribution as a whole, before and after."""
    before, after = run.kept
    if all(abs(c.before - c.after) < 5e-6 for c in run.changes) and before == after:
        return "The distribution stays as it was."
    kept = f"{after} of {before} tokens stay, {run.mass:.1%} of the probability; " if after < before else f"All {after} tokens stay; "
    return kept + f"entropy {run.entropy[0]:.2f} → {run.entropy[1]:.2f} bits."


def _texts(run: Texts, width: int, paint: Paint) -> list[str]:
    lines: list[str] = []
    for line in run.lines:
        main = line.label == run.lines[0].label
        text = "…" + line.text.rstrip().translate(CONTROLS)
        lines += ["  " + paint(part, "new" if main else "dim") for part in _folded(text, width - 2)]
        lines += [paint(f"      {numbers(line)}", "dim")]
    return lines


def numbers(line: Line) -> str:
    """What stands below a text."""
    return f"{line.label}: log-prob {line.logprob:.1f}, {line.tokens} token{'s' * (line.tokens != 1)}, ended by {line.reason}"


# --- lists ------------------------------------------------------------------------------------------------------------


def draw_methods(methods: Sequence[Method], titles: dict[str, str], width: int, paint: Paint) -> str:
    """All methods by family, a line or two for each."""
    width, family = min(width or WIDTH, WIDEST), ""
    lines: list[str] = []
    lead = LONG + 4
    for m in methods:
        if m.family != family:
            family = m.family
            lines += [""] * bool(lines) + [paint(titles[family], "head")]
        name = "  " + paint(pad(m.name, lead - 2), "new")
        if len(m.name) > LONG:
            lines.append("  " + paint(m.name, "new"))
            name = " " * lead
        for i, line in enumerate(_folded(m.meaning, width - lead)):
            lines.append((name if i == 0 else " " * lead) + line)
    return "\n".join([*lines, "", paint("unspool explain NAME says more of one.", "dim"), ""])


def sheet_of_methods(methods: Sequence[Method]) -> Sheet:
    """A line for each method."""
    return Sheet(["family", "name", "aliases", "meaning"], [[m.family, m.name, ", ".join(m.aliases), m.meaning] for m in methods])


# --- Markdown ---------------------------------------------------------------------------------------------------------

RUN = ("<!-- run -->", "<!-- end of run -->")
"""What stands around the run in a page, which changes with the model."""


def method_to_markdown(method: Method, run: MethodRun | None, title: str, paths: bool = True) -> str:
    """A page about a method."""
    also = f" · also {', '.join(f'`{a}`' for a in method.aliases)}" if method.aliases else ""
    lines = [f"# {method.name}", "", f"*{method.role} · {title}*{also}", ""]
    for paragraph in method.definition:
        lines += [_prose(paragraph), ""]
    if method.formula:
        lines += ["```text", *method.formula, "```", ""]
    if method.parameters:
        rows = [[f"`{p.name}`", f"`{p.default}`" if p.default else "", p.range, p.meaning] for p in method.parameters]
        lines += ["## Parameters", "", *_table(["parameter", "default", "range", "meaning"], rows), ""]
    if method.when:
        lines += ["## When to use it", "", _prose(method.when), ""]
    if run is not None:
        drawn = draw_run(run, WIDTH, Paint(False))
        lines += ["## A run", "", f"`unspool explain {method.name}`:", "", RUN[0], "```text"]
        lines += [line.removeprefix("  ") for line in drawn]
        lines += ["```", RUN[1], ""]
    if method.elsewhere:
        rows = [[e.engine, _code(e.settings), e.order, e.note] for e in method.elsewhere]
        lines += ["## Elsewhere", "", *_table(["engine", "settings and defaults", "order", "differences"], rows), ""]
    if method.references:
        lines += ["## References", "", *(f"- {_linked(_prose(r))}" for r in method.references), ""]
    if method.see:
        lines += ["See also: " + ", ".join(f"[{name}]({name}.md)" if paths else f"`{name}`" for name in method.see), ""]
    return "\n".join(lines).rstrip() + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text and ("=" in text or " " not in text) else text


def _prose(text: str) -> str:
    return re.sub(r"([*<|])", r"\\\1", text)


def _table(columns: list[str], rows: list[list[str]]) -> list[str]:
    cells = [[c.replace("|", "\\|").replace("\n", "⏎") if c.startswith("`") else _prose(c).replace("\n", " ") for c in row] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in [columns, ["---"] * len(columns), *cells]]


def _linked(text: str) -> str:
    return re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def index_to_markdown(methods: Sequence[Method], titles: dict[str, str], paths: bool = True) -> str:
    """All methods by family, each with a link to its page where there are pages."""
    many = f"{len(methods)} processors, strategies and stops. `unspool explain NAME` shows a page in the terminal."
    lines: list[str] = ["# Methods", "", many]
    lines += ["What other engines call them, with defaults and order: [settings](../settings.md).", ""] if paths else [""]
    family = ""
    for m in methods:
        if m.family != family:
            lines += [""] * bool(family) + [f"## {titles[m.family]}", ""]
            family = m.family
        name = f"[{m.name}]({m.name}.md)" if paths else f"`{m.name}`"
        lines.append(f"- {name}: {_prose(m.meaning)}")
    return "\n".join(lines) + "\n"


# --- HTML -------------------------------------------------------------------------------------------------------------


def method_to_html(method: Method, run: MethodRun | None, title: str) -> str:
    """The parts of a page about a method; every text is escaped."""
    also = f" · also {', '.join(method.aliases)}" if method.aliases else ""
    parts = [_p(f"{method.role} · {title}{also}"), *map(_p, method.definition)]
    parts += [f"<pre>{html.escape(chr(10).join(method.formula))}</pre>"] if method.formula else []
    if method.parameters:
        rows = [[p.name, p.default, p.range, p.meaning] for p in method.parameters]
        parts += ["<h2>Parameters</h2>", Sheet(["parameter", "default", "range", "meaning"], rows).to_html()]
    parts += ["<h2>When to use it</h2>", _p(method.when)] if method.when else []
    if run is not None:
        parts += ["<h2>A run</h2>", f"<pre>{html.escape(chr(10).join(draw_run(run, WIDTH, Paint(False))))}</pre>"]
    if method.elsewhere:
        rows = [[e.engine, e.settings, e.order, e.note] for e in method.elsewhere]
        parts += ["<h2>Elsewhere</h2>", Sheet(["engine", "settings and defaults", "order", "differences"], rows).to_html()]
    if method.references:
        link = re.compile(r"arXiv (\d{4}\.\d{4,5})")
        found = (link.sub(r'<a href="https://arxiv.org/abs/\1">arXiv \1</a>', html.escape(r)) for r in method.references)
        parts += ["<h2>References</h2>", "<ul>" + "".join(f"<li>{r}</li>" for r in found) + "</ul>"]
    return "\n".join([*parts, *([_p("See also: " + ", ".join(method.see))] if method.see else [])])


def _p(text: str) -> str:
    return "<p>" + re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text)) + "</p>"
