"""The explorer in a terminal: keys in, a picture of the explorer's state out. What takes time runs beside the screen."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Input, OptionList, Static

from unspool.errors import UnspoolError
from unspool.explore import panes
from unspool.explore.explorer import Explorer

Job = Callable[[], "str | None"]
"""Something the explorer does; what it has to say."""

NARROW_SCREEN = 72
"""Columns below which the step stands below the text."""
FRAME = 0.05
"""Seconds between two pictures of a text that grows."""
TO_THE_END = 1 << 20
"""More tokens than a context holds: to the end."""

HINTS = "? help  ⏎ choose  g go on  u undo  d decoder  c colour  t tree  s save  q quit"
HELP_KEYS = [
    ("← → h l", "walk along the text; Home and End to its ends"),
    ("↑ ↓ k j", "another token of the step; Page Up and Page Down"),
    ("Enter, 1-9", "choose it: the text goes on from there, what stood after it stays in the tree"),
    ("Space", "the decoder goes on by one token from the cursor"),
    ("g  G", "the decoder goes on by n tokens; to the end"),
    ("+ -", "twice, half as many tokens for g"),
    ("r", "go on again from where the decoder last did, with the next seed"),
    ("Esc", "stop a decoder that is going on; close a line or a window"),
    ("u ctrl+z", "undo"),
    ("ctrl+r ctrl+y", "redo"),
    ("i", "write words of your own at the cursor"),
    ("d", "another decoder, as temperature(0.8) | top_p(0.9) | sample; Tab completes"),
    ("c", "colour by probability, surprisal, entropy, rank, nothing"),
    ("t", "the tree of what was visited; Enter goes there"),
    ("s  o", "save the trace of all texts, open one"),
    ("L", "light or dark"),
    ("q", "quit"),
]
SYMBOLS = [
    ("●", "the text's own token"),
    ("○", "a token from which a branch goes on"),
    ("✗", "cut, by this processor; the line below says what it would have taken to survive"),
    ("bars", "the probability under the model, then after the processors"),
]


class Done(Message):
    """A job has ended."""

    def __init__(self, said: str, error: str, line: bool) -> None:
        super().__init__()
        self.said, self.error, self.line = said, error, line


class Grown(Message):
    """A text has grown."""

    def __init__(self, pieces: list[str]) -> None:
        super().__init__()
        self.pieces = pieces


class Explore(App[None]):
    """One prompt, explored with the keyboard."""

    TITLE = "unspool explore"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None
    CSS = """
    #main { height: 1fr; layout: horizontal; }
    #text { width: 5fr; height: 100%; padding: 0 1; }
    #step { width: 6fr; height: 100%; padding: 0 1; border-left: solid $panel; }
    .narrow #main { layout: vertical; }
    .narrow #text { width: 100%; height: 2fr; }
    .narrow #step { width: 100%; height: 3fr; border-left: none; border-top: solid $panel; }
    #totals { height: 2; padding: 0 1; background: $panel; }
    #line { height: auto; display: none; padding: 0 1; }
    #line.open { display: block; }
    #entry { height: 1; border: none; padding: 0; background: $surface; }
    #hint { height: auto; max-height: 3; }
    #message { height: 1; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)"),
        Binding("right,l", "move(1)"),
        Binding("home", "move(-1000000)"),
        Binding("end", "move(1000000)"),
        Binding("up,k", "pick(-1)"),
        Binding("down,j", "pick(1)"),
        Binding("pageup", "pick(-10)"),
        Binding("pagedown", "pick(10)"),
        Binding("enter", "take"),
        *(Binding(str(i), f"take({i})") for i in range(1, 10)),
        Binding("space", "grow(1)"),
        Binding("g", "grow(0)"),
        Binding("G", f"grow({TO_THE_END})"),
        Binding("plus", "more(1)"),
        Binding("minus", "more(-1)"),
        Binding("r", "again"),
        Binding("u,ctrl+z", "undo"),
        Binding("ctrl+r,ctrl+y", "redo"),
        Binding("i", "write"),
        Binding("d", "decoder"),
        Binding("c", "colour"),
        Binding("t", "tree"),
        Binding("s", "save"),
        Binding("o", "open"),
        Binding("L", "light"),
        Binding("question_mark", "help"),
        Binding("q", "quit"),
        Binding("escape", "stop"),
        Binding("ctrl+c", "stop_or_quit", priority=True),
    ]

    def __init__(self, explorer: Explorer, saved: str | None = None, light: bool = False) -> None:
        super().__init__()
        self.explorer, self.saved, self.layer, self.n = explorer, saved, panes.COLOURED_BY[0], 16
        self.theme = "textual-light" if light else "textual-dark"
        self.scene = panes.Scene.of(explorer)
        self.pick = 0
        self.message, self.wrong = "", False
        self.answer: Callable[[str], None] | None = None
        """What takes the line that is being written."""
        self.growing: list[str] | None = None
        self._jobs: deque[tuple[Job, bool]] = deque()
        self._busy, self._asked_to_stop, self._drawn = False, threading.Event(), 0.0
        self._sure: Path | None = None
        self._place: Any = None

    def compose(self) -> ComposeResult:
        with Container(id="main"):
            yield Pane(id="text")
            yield Pane(id="step")
        yield Pane(id="totals")
        with Vertical(id="line"):
            yield Entry(id="entry", disabled=True)
            yield Static(id="hint")
        yield Static(id="message")

    def on_mount(self) -> None:
        self.do(lambda: None)

    def on_resize(self, event: events.Resize) -> None:
        self.screen_stack[0].set_class(event.size.width < NARROW_SCREEN, "narrow")

    def on_pane_resized(self) -> None:
        self.draw()

    @property
    def look(self) -> panes.Palette:
        return panes.Palette(self.theme != "textual-light")

    # --- what takes time ---------------------------------------------------------------------------------------------

    def do(self, job: Job, line: bool = False) -> None:
        """Run a job of the explorer when those before it are done, then record what it left; `line`: it answers the open line."""
        self._jobs.append((job, line))
        self._next()

    def _next(self) -> None:
        if self._busy or not self._jobs:
            return
        self._busy = True
        self._asked_to_stop.clear()
        job, line = self._jobs.popleft()

        def work() -> None:
            said, error = "", ""
            try:
                said = job() or ""
                self.explorer.look(self._may_go_on)
            except UnspoolError as problem:
                error = str(problem)
            except Exception as problem:                                  # of a part that someone else wrote: the screen stays
                error = f"{type(problem).__name__}: {problem}"
            self.post_message(Done(said, error, line))

        self.run_worker(work, thread=True)

    def on_done(self, done: Done) -> None:
        self._busy, self.growing = False, None
        if done.error and done.line:
            self.refuse(done.error)
        else:
            self.say(done.error or done.said, bool(done.error))
        if done.line and not done.error:
            self.close_line()
        self.show()
        self._next()

    def _watch(self, tokens: Sequence[int]) -> bool:
        """Show a text while it grows; whether it may."""
        if time.monotonic() - self._drawn > FRAME:
            self._drawn = time.monotonic()
            self.post_message(Grown(self.explorer.pieces_after(tokens)))
        return self._may_go_on(tokens)

    def _may_go_on(self, tokens: Sequence[int]) -> bool:
        return not self._asked_to_stop.is_set()

    def on_grown(self, grown: Grown) -> None:
        if self._busy:
            self.growing = grown.pieces
            self.say(f"{len(grown.pieces)} tokens … Esc stops")
            self.draw()

    # --- what is seen ------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """Read anew what there is to show, and draw it."""
        self.scene = panes.Scene.of(self.explorer)
        place = self.scene.state, len(self.scene.options)
        if place != self._place:
            self._place, self.pick = place, next((i for i, o in enumerate(self.scene.options) if o.chosen), 0)
        self.draw()

    def draw(self) -> None:
        base, scene, look = self.screen_stack[0], self.scene, self.look
        text, step, totals, message = (base.query_one(f"#{name}", Static) for name in ("text", "step", "totals", "message"))
        text.update(panes.draw_text(scene, self.layer, look, *text.content_size, self.growing), layout=False)
        step.update(panes.draw_step(scene, self.pick, look, *step.content_size), layout=False)
        totals.update(panes.draw_totals(scene, self.layer, self.n, look, totals.content_size.width), layout=False)
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(" ".join(self.message.split()) or HINTS, look.bad if self.wrong else look.faint)
        message.update(line, layout=False)

    def say(self, message: str, wrong: bool = False) -> None:
        """A line of news; "" for none."""
        self.message, self.wrong = message, wrong

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys are for the line while one is written."""
        return self.answer is None or action in ("stop", "stop_or_quit")

    # --- keys --------------------------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        if self._busy:
            self.do(lambda: self.explorer.move(by))
            return
        self.explorer.move(by)
        self.say("")
        self.show()
        if not self.explorer.ready:
            self.do(lambda: None)

    def action_pick(self, by: int) -> None:
        self.pick = min(max(self.pick + by, 0), max(len(self.scene.options) - 1, 0))
        self.draw()

    def action_take(self, number: int = 0) -> None:
        """Choose a token: the one picked, or the one of this number."""
        place = number - 1 if number else None if self._busy else self.pick

        def job() -> None:
            options = self.explorer.options()
            at = next((i for i, o in enumerate(options) if o.chosen), 0) if place is None else place      # picked where it will be
            if at < len(options):
                self.explorer.take(options[at].token)

        self.do(job)

    def action_grow(self, n: int) -> None:
        self.do(lambda: self._grown(self.explorer.grow(n or self.n, self._watch)))

    def action_again(self) -> None:
        def job() -> str:
            before = self.explorer.state.text
            said = self._grown(self.explorer.grow_again(self._may_go_on))
            return said if self.explorer.state.text != before else "the same text again"

        self.do(job)

    @staticmethod
    def _grown(reason: str) -> str:
        return "" if reason == "length" else "interrupted" if reason == "interrupted" else f"the text ended: {reason}"

    def action_more(self, way: int) -> None:
        self.n = min(max(self.n * 2 if way > 0 else self.n // 2, 1), 4096)
        self.draw()

    def action_undo(self) -> None:
        self.do(self.explorer.undo)

    def action_redo(self) -> None:
        self.do(self.explorer.redo)

    def action_colour(self) -> None:
        self.layer = panes.COLOURED_BY[(panes.COLOURED_BY.index(self.layer) + 1) % len(panes.COLOURED_BY)]
        self.draw()

    def action_light(self) -> None:
        self.theme = "textual-dark" if self.theme == "textual-light" else "textual-light"
        self.draw()

    def action_stop(self) -> None:
        """Close the line, or stop what is going on."""
        if self.answer is not None:
            self.close_line()
        elif self._busy:
            self._jobs.clear()
            self._asked_to_stop.set()
        else:
            self.say("")
        self.draw()

    def action_stop_or_quit(self) -> None:
        """Stop what is going on; quit where nothing is."""
        if self._busy or self.answer is not None:
            self.action_stop()
        else:
            self.exit()

    async def action_quit(self) -> None:
        self._asked_to_stop.set()
        self.exit()

    def action_help(self) -> None:
        self.push_screen(Help())

    def action_tree(self) -> None:
        if not self._busy:
            self.push_screen(Visited(self.explorer, self.look), self._visit)

    def _visit(self, place: int | None) -> None:
        if place is not None:
            branch = self.explorer.branches()[place]
            self.do(lambda: self.explorer.visit(branch.path, branch.start))

    # --- lines that are written --------------------------------------------------------------------------------------

    def ask(self, name: str, value: str, answer: Callable[[str], None], complete: Callable[[str], list[str]] | None = None) -> None:
        """Open the line and hand what is written to `answer`."""
        entry = self.query_one(Entry)
        self.answer, entry.suggester, entry.complete = answer, Completion(complete) if complete else None, complete
        entry.placeholder, entry.value, entry.cursor_position = name, value, len(value)
        self.query_one("#hint", Static).update(Text(name, self.look.faint))
        self.query_one("#line").add_class("open")
        entry.disabled = False
        entry.focus()

    def close_line(self) -> None:
        self.answer, self.query_one(Entry).disabled = None, True
        self.query_one("#line").remove_class("open")
        self.set_focus(None)

    def refuse(self, error: str) -> None:
        """Say in place what is wrong with the line."""
        self.query_one("#hint", Static).update(Text(" ".join(error.split()), self.look.bad))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if self.answer is not None:
            self.answer(event.value)

    def on_input_changed(self, event: Input.Changed) -> None:
        entry = self.query_one(Entry)
        if self.answer is not None and entry.complete:
            names = [name.rpartition("|")[2].strip() for name in entry.complete(event.value)]
            self.query_one("#hint", Static).update(Text("  ".join(names[:40]), self.look.faint))

    def action_decoder(self) -> None:
        decoder = str(self.explorer.state.decoder)
        self.ask("decoder", decoder, lambda value: self.do(lambda: self.explorer.use(value, self._may_go_on), line=True), completions)

    def action_write(self) -> None:
        name = "words to put at the cursor, with the space before them"
        self.ask(name, " ", lambda value: self.do(lambda: self.explorer.write(value), line=True))

    def action_save(self) -> None:
        def save(value: str) -> None:
            path = Path(value).expanduser()
            if path.exists() and self._sure != path:
                self._sure = path
                self.refuse(f"{path} is there already; Enter again to overwrite it")
                return
            self._sure = None
            self.do(lambda: self._saved(path), line=True)

        self._sure = None
        self.ask("file to save the trace in", self.saved or "explore.jsonl", save)

    def _saved(self, path: Path) -> str:
        self.explorer.save(path)
        self.saved = str(path)
        return f"saved {path}: unspool tree --from {path}"

    def action_open(self) -> None:
        self.ask("trace to open", self.saved or "", lambda value: self.do(lambda: self._opened(value), line=True))

    def _opened(self, path: str) -> str:
        self.explorer.load(Path(path).expanduser())
        return f"opened {path}"


class Pane(Static):
    """A part of the screen, drawn for its size."""

    class Resized(Message):
        """It has another size."""

    def on_resize(self) -> None:
        self.post_message(self.Resized())


class Entry(Input):
    """A line to write in; Tab takes what is suggested."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "cursor_right", show=False)]
    complete: Callable[[str], list[str]] | None = None

    def __init__(self, **how: Any) -> None:
        super().__init__(select_on_focus=False, **how)


class Completion(Suggester):
    """Suggests the first completion."""

    def __init__(self, complete: Callable[[str], list[str]]) -> None:
        super().__init__(case_sensitive=True)
        self.complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        return next((name for name in self.complete(value) if name != value), None)


def completions(text: str) -> list[str]:
    """What the last name of a decoder's text form may become."""
    from unspool.core.decoder import REGISTRY, parse

    parse("greedy")                                                       # so that every part is known
    before, bar, last = text.rpartition("|")
    word = last.lstrip()
    return [before + bar + last[: len(last) - len(word)] + name for name in sorted(REGISTRY) if word and name.startswith(word)]


class Dialog(ModalScreen[Any]):
    """A window over the screen that Esc closes."""

    CSS = """
    #window { width: 90%; max-width: 96; height: auto; max-height: 90%; border: round $primary; background: $surface; padding: 0 1; }
    OptionList { border: none; background: $surface; padding: 0; height: auto; max-height: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,t", "dismiss(None)")]

    def on_mount(self) -> None:
        self.styles.align = ("center", "middle")


class Help(Dialog):
    """The keys."""

    def compose(self) -> ComposeResult:
        lines = Table.grid(padding=(0, 2))
        for keys, meaning in [*HELP_KEYS, ("", ""), *SYMBOLS]:
            lines.add_row(Text(keys, "bold"), meaning)
        with VerticalScroll(id="window"):
            yield Static(lines)


class Visited(Dialog):
    """The tree of all texts; its result is the number of the branch to go to."""

    def __init__(self, explorer: Explorer, look: panes.Palette) -> None:
        super().__init__()
        self.branches, self.colours = explorer.branches(), look

    def compose(self) -> ComposeResult:
        with Vertical(id="window"):
            if not self.branches:
                yield Static("nothing yet: choose a token, or let the decoder go on")
                return
            width = min(96, self.app.size.width * 9 // 10) - 8
            yield OptionList(*(panes.draw_branch(branch, self.colours, width) for branch in self.branches))

    def on_mount(self) -> None:
        for names in self.query(OptionList):
            names.highlighted = max((i for i, b in enumerate(self.branches) if b.current), default=0)
            names.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_index)
