"""Every key does on screen what it says, nothing that is typed or read crashes it, and it fits its terminal."""

import asyncio
import json

import numpy as np
import pytest
from helpers.program import Terminal, program_refusal
from helpers.tables import END, Letters, table

import unspool as un
from unspool.explore.explorer import Explorer
from unspool.models.toy import TableModel
from unspool.text import TokenizerBase

pytest.importorskip("textual")
from textual.widgets import Input, OptionList

from unspool.explore import panes
from unspool.explore.app import HELP_KEYS, Explore


class Bytes(TokenizerBase):
    """A token for every byte, and an end token."""

    specials, begins, size, hash = frozenset({256}), (), 257, "bytes"

    def ids(self, text):
        return list(text.encode())

    def spell(self, token):
        return bytes([token])

    def name_of(self, token):
        return "<end>" if token == 256 else f"<{token}>"


def says(text):
    """A model that says this text after "a"."""
    data = [*text.encode(), 256]

    def probabilities(tokens):
        p = np.full(257, 1e-4)
        p[data[min(len(tokens) - 1, len(data) - 1)]] = 1.0
        return p

    return un.LanguageModel(TableModel(probabilities, 257, end_tokens=(256,)), Bytes())


def letters(decoder="top_k(3) | sample", **options):
    return Explorer(un.LanguageModel(table(seed=1, end_tokens=()), Letters()), "bcd", decoder, **options)


class Keys:
    """A program whose keys are pressed."""

    def __init__(self, pilot):
        self.pilot, self.app = pilot, pilot.app

    async def __call__(self, *keys):
        for key in keys:
            await self.pilot.press(key)
            await self.settle()

    async def type(self, text):
        """Replace the line that is open, and press Enter."""
        self.app.query_one(Input).value = text
        await self("enter")

    async def settle(self):
        for _ in range(2000):
            await self.pilot.pause(0)                                      # not until the machine is idle: what counts is asked next
            if self.app._place is not None and not self.app._busy and not self.app._jobs:      # mounted, and done
                break
            await asyncio.sleep(0.002)
        await self.pilot.pause(0)

    def seen(self, name):
        return str(self.app.screen_stack[0].query_one(f"#{name}").visual)

    @property
    def state(self):
        return self.app.explorer.state


def played(explorer, play, size=(80, 24), **options):
    """Run a play of keys against the program."""

    async def main():
        app = Explore(explorer, **options)
        async with app.run_test(size=size) as pilot:
            keys = Keys(pilot)
            await keys.settle()
            await play(keys)
        return app

    return asyncio.run(main())


def test_keys_walk_choose_and_undo():
    async def play(keys):
        first = keys.app.scene.options[0].token
        await keys("enter")
        assert keys.state.text == (first,)
        await keys("down", "j", "k", "enter")
        assert keys.state.cursor == 2
        chosen = keys.state.text
        await keys("left", "h")
        assert keys.state.cursor == 0
        assert keys.app.pick == 0
        await keys("l", "right", "left", "home", "end")
        assert keys.state.cursor == 2
        await keys("home", "3")
        assert keys.state.text == (keys.app.explorer.state.texts[-1][0],)
        assert chosen in keys.state.texts
        await keys("u")
        assert keys.state.text == chosen
        await keys("ctrl+y", "ctrl+z", "ctrl+r")
        assert len(keys.state.text) == 1
        await keys("ctrl+r")
        assert "nothing to redo" in keys.seen("message")

    played(letters(), play)


def test_keys_that_come_faster_than_answers_wait():
    async def play(keys):
        await keys.pilot.press(*["enter"] * 5, "left", "left", "space", "minus", "g", "u", "r")
        await keys.settle()
        assert len(keys.state.text) == 4
        assert "did not go on last" not in keys.seen("message")
        await keys("home", *["enter"] * 4)
        assert keys.state.cursor == 4
        assert len(keys.state.text) == 4

    played(letters(), play)


def test_keys_let_the_decoder_go_on():
    async def play(keys):
        await keys("space")
        assert len(keys.state.text) == 1
        await keys("minus", "minus", "g")
        assert len(keys.state.text) == 5
        before = keys.state.text
        await keys("r", "r")
        assert (len(keys.state.text), keys.state.seed) == (5, 2)
        assert before in keys.state.texts
        await keys("plus")
        assert "go on 8" in keys.seen("totals")
        assert "seed 2" in keys.seen("totals")
        await keys("home", "enter", "r")
        assert "did not go on last" in keys.seen("message")

    played(letters("sample", seed=0), play)


def test_colours_light_help_and_totals():
    async def play(keys):
        await keys("g", "left")
        for by in (*panes.COLOURED_BY[1:], panes.COLOURED_BY[0]):
            await keys("c")
            assert keys.app.layer == by
        await keys("L")
        assert not keys.app.look.dark
        await keys("L", "question_mark")
        assert len(keys.app.screen_stack) == 2
        await keys("escape")
        assert len(keys.app.screen_stack) == 1
        totals = keys.seen("totals")
        assert f"tokens {len(keys.state.text)}" in totals
        assert f"{sum(keys.app.explorer.logprobs):.2f}" in totals
        assert f"{keys.app.explorer.perplexity:.2f}" in totals

    played(letters(), play)


def test_the_tree_goes_back_to_what_was_visited():
    async def play(keys):
        await keys("t")
        assert not keys.app.screen.query(OptionList)
        await keys("escape", "enter", "enter", "home", "down", "enter")
        texts = set(keys.state.texts)
        assert len(texts) == 2
        await keys("t", "up", "enter")
        assert keys.state.texts[-1] == keys.state.text
        assert set(keys.state.texts) == texts
        await keys("u", "t", "escape")
        assert set(keys.state.texts) == texts

    played(letters(), play)


@pytest.mark.parametrize("bad", ["", "greedy |", "top_p(", "top_p(9)", "nothing(1)", "banned(99)", "\x1b[31m", "((((", "sample | sample"])
def test_a_bad_decoder_is_refused_in_place(bad):
    async def play(keys):
        decoder = keys.state.decoder
        await keys("d")
        await keys.type(bad)
        assert keys.state.decoder == decoder
        assert keys.seen("hint").strip()
        assert "\n" not in keys.seen("hint")
        await keys.type("top_k(2) | greedy")
        assert str(keys.state.decoder) == "top_k(2) | greedy"
        assert keys.app.answer is None
        await keys("u", "d", "escape", "c")
        assert keys.state.decoder == decoder
        assert keys.app.layer == panes.COLOURED_BY[1]

    played(letters(), play)


def test_names_of_a_decoder_are_completed():
    async def play(keys):
        await keys("d")
        entry = keys.app.query_one(Input)
        entry.value = "top_k(3) | typ"
        entry.cursor_position = len(entry.value)
        await keys.pilot.pause(0.05)
        assert "typical" in keys.seen("hint")
        await keys("tab")
        assert entry.value == "top_k(3) | typical"
        await keys("q")
        assert entry.value == "top_k(3) | typicalq"

    played(letters(), play)


def test_words_of_ones_own_are_written():
    async def play(keys):
        await keys("i")
        await keys.type("cab")
        assert keys.state.text == (2, 0, 1)
        await keys("i")
        await keys.type("")
        assert "empty" in keys.seen("hint")

    played(letters(), play)


def test_a_trace_is_saved_once_asked_and_opened(tmp_path):
    path = tmp_path / "t.jsonl"

    async def play(keys):
        await keys("s")
        await keys.type(str(path))
        assert "nothing to save" in keys.seen("hint")
        await keys("escape", "enter", "g", "s")
        await keys.type(str(path))
        saved = keys.state
        assert path.exists()
        await keys("home", "3", "s")
        await keys.type(str(path))
        assert "overwrite" in keys.seen("hint")
        assert un.Trace.load(path).hypotheses[0][0].tokens == list(saved.text)
        await keys("escape", "o")
        await keys.type(str(path))
        assert keys.state.text == saved.text
        await keys("u", "s")
        await keys.type(str(path))
        await keys("enter")
        assert set(map(tuple, (h.tokens for h in un.Trace.load(path).hypotheses[0]))) == set(keys.state.texts)

    played(letters(), play)


def test_torn_files_are_refused_in_place(tmp_path):
    path = tmp_path / "t.jsonl"
    e = letters()
    e.grow(4)
    e.save(path)
    text = path.read_text()
    lines = text.splitlines()
    head = json.loads(lines[0])
    torn = ["", "no", text[:-40], "\n".join(lines[:-1]), text.replace("letters-6", "others"), json.dumps({**head, "prompts": []})]

    async def play(keys):
        state = keys.state
        for content in torn:
            path.write_text(content)
            await keys("o")
            await keys.type(str(path))
            assert keys.seen("hint").strip()
            assert keys.state == state
            await keys("escape")
        await keys("enter")
        assert keys.state.text

    played(letters(), play)


def test_a_long_run_shows_itself_and_is_interrupted():
    slow = letters("sample")
    inner = slow.lm.model.model.probabilities
    gate = {"seen": 0}

    def probabilities(tokens):
        import time

        time.sleep(0.05)
        return inner(tokens)

    slow.lm.model.model.probabilities = probabilities

    async def play(keys):
        await keys.pilot.press("G")
        for _ in range(400):
            await asyncio.sleep(0.01)
            await keys.pilot.pause()
            gate["seen"] = max(gate["seen"], len(keys.app.growing or []))
            if gate["seen"] > 5:
                break
        assert gate["seen"] > 5
        await keys.pilot.press("c")                                        # the screen answers meanwhile
        assert keys.app.layer == panes.COLOURED_BY[1]
        await keys("escape")
        assert "interrupted" in keys.seen("message")
        assert len(keys.state.text) > 5
        await keys("u")
        assert keys.state.text == ()

    played(slow, play)


def test_a_part_that_breaks_leaves_the_screen():
    class Broken:
        def begin(self):
            return None

        def advance(self, state, token):
            raise RuntimeError("no state\nafter this")

        def allowed(self, state):
            return range(6)

    async def play(keys):
        await keys("enter")
        assert "no state after this" in keys.seen("message")
        await keys("u", "down")
        assert keys.state.text == ()

    played(letters(un.Automaton(Broken()) | un.Greedy()), play)


@pytest.mark.parametrize("size", [(40, 24), (71, 30), (200, 60), (20, 8), (10, 5)])
def test_it_fits_its_terminal(size):
    async def play(keys):
        await keys("g", "left", "left")
        for width, height in (size, (80, 24), size):
            await keys.pilot.resize_terminal(width, height)
            await keys.settle()
            for name in ("text", "step", "totals"):
                pane = keys.app.query_one(f"#{name}")
                drawn = keys.seen(name).split("\n")
                assert max(panes.display_width(line.rstrip()) for line in drawn) <= max(pane.content_size.width, 12)
        await keys("t", "escape", "question_mark", "escape", "d")

    played(letters("temperature(0.7) | top_k(3) | repetition_penalty(1.2) | top_p(0.9) | sample"), play, size)


def test_characters_of_all_kinds_are_shown_right():
    text = "가\u0301🙂\x1b[31m\x00\n\tb\x7f나"

    async def play(keys):
        await keys("G")
        shown = keys.seen("text")
        assert "🙂" in shown
        assert "나" in shown
        assert "\x1b" not in shown
        assert "␛[31m␀⏎" in shown
        assert "<end>" in shown
        await keys("home")
        assert "\\xea" in keys.seen("step")
        await keys("right")
        assert "\\xea\\xb0" in keys.seen("step")
        await keys("right")
        assert "가" in keys.seen("step")
        assert "\x1b" not in keys.seen("step") + keys.seen("message") + keys.seen("totals")

    played(Explorer(says(text), "a", "greedy"), play)


def test_markup_in_texts_is_text():
    async def play(keys):
        await keys("G")
        assert "[[red]x[/red]" in keys.seen("text")

    played(Explorer(says("[red]x[/red]"), "[", "greedy"), play)


def test_every_key_of_the_help_is_bound():
    bound = {key for binding in Explore.BINDINGS for key in binding.key.split(",")}
    named = {"←": "left", "→": "right", "↑": "up", "↓": "down", "Enter,": "enter", "1-9": "9", "Esc": "escape", "+": "plus", "-": "minus"}
    for keys, _ in HELP_KEYS:
        for key in keys.split():
            assert named.get(key, key.lower() if key == "Space" else key) in bound, key


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_it_ends(key):
    async def play(keys):
        await keys.pilot.press(key)

    assert played(letters(), play).return_code == 0


def test_it_ends_while_a_decoder_goes_on():
    async def play(keys):
        await keys.pilot.press("G")
        await keys.pilot.press("q")

    played(letters("sample", seed=3), play)


def test_without_a_terminal_it_says_so():
    assert "terminal" in program_refusal("explore", "Once upon a time")


def test_without_textual_it_says_what_to_install(monkeypatch):
    import sys

    from helpers.program import refusal

    monkeypatch.setitem(sys.modules, "textual", None)
    assert 'pip install "unspool[explore]"' in refusal("explore", "Once upon a time")


def test_at_a_terminal_it_draws_and_quits():
    import os

    terminal = Terminal("explore", "Once upon a time")
    terminal.read(until=b"perplexity")
    assert b"Once upon a time" in terminal.shown
    os.write(terminal.fd, b"q")
    terminal.read()
    assert terminal.code() == 0


assert END == 5
