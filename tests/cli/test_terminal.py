import json
import re
import signal
import time

import pytest
from helpers.program import Terminal, out

PROMPT = "Once upon a time"
LONG = ("--max-new-tokens", "300", "-d", "min_new_tokens(300) | no_repeat_ngram(2)")


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_text_appears_as_it_grows():
    terminal = Terminal(PROMPT, *LONG)
    terminal.read(until=PROMPT.encode())
    early = len(terminal.shown)
    terminal.read()
    assert terminal.code() == 0
    assert early < len(terminal.shown) / 2


def test_prompt_and_continuation_differ_in_style():
    terminal = Terminal(PROMPT, "--max-new-tokens", "6")
    text = terminal.read()
    assert text.startswith(f"\x1b[1m{PROMPT}\x1b[0m\x1b[36m")
    assert plain(text) == out(PROMPT, "--max-new-tokens", "6")


@pytest.mark.parametrize(
    ("options", "env", "coloured"),
    [((), {}, True), ((), {"NO_COLOR": "1"}, False), ((), {"TERM": "dumb"}, False), (("--color", "never"), {}, False),
     (("--color", "always"), {"NO_COLOR": "1"}, True)],
)  # fmt: skip
def test_colour_on_a_terminal(options, env, coloured):
    assert ("\x1b[" in Terminal("steps", PROMPT, "-n", "1", *options, **env).read()) == coloured


def test_colour_in_a_pipe_only_if_asked_for():
    assert "\x1b[" not in out("steps", PROMPT, "-n", "1")
    assert "\x1b[" in out("steps", PROMPT, "-n", "1", "--color", "always")


def test_the_step_table_at_80_columns():
    text = plain(Terminal("steps", PROMPT, "-n", "6").read())
    assert max(map(len, text.splitlines())) <= 80
    assert "Choice 5" in text


def test_control_characters_do_not_reach_the_terminal():
    text = Terminal("a\x1b[2Jb", "--max-new-tokens", "2").read()
    assert "\x1b[2J" not in text
    assert "a␛[2Jb" in plain(text)


def test_ctrl_c_keeps_what_was_generated():
    terminal = Terminal(PROMPT, *LONG)
    terminal.read(until=b"\x1b[36m")
    terminal.interrupt()
    text = plain(terminal.read())
    assert terminal.code() == 130
    assert text.startswith(PROMPT)
    assert text.endswith("\nunspool: interrupted\n")


@pytest.mark.parametrize("decoder", ["beam(4)", "sample(3)", "greedy"])
def test_ctrl_c_saves_what_was_generated(tmp_path, decoder):
    file = tmp_path / "found.json"
    slow = ("--backend", "numpy", "--max-new-tokens", "400")
    terminal = Terminal(PROMPT, *slow, "-d", f"min_new_tokens(400) | {decoder}", "--output-file", str(file))
    terminal.read(until=b"/400")                                          # the progress bar
    terminal.interrupt()
    text = plain(terminal.read())
    assert terminal.code() == 130
    assert text.endswith("unspool: interrupted\n")
    sequences = json.loads(file.read_text())[0]["sequences"]
    assert all(0 < len(s["tokens"]) < 400 for s in sequences)
    assert "interrupted" in {s["reason"] for s in sequences}


def test_ctrl_c_ends_exact_search_with_the_best_found_and_what_is_proved():
    terminal = Terminal(PROMPT, "-d", "exact(length_penalty=1)", "--max-new-tokens", "200", columns=160)
    shown = plain(terminal.read(until=b"bound -0"))                       # the progress bar
    terminal.interrupt()
    text = plain(terminal.read())
    assert "  best -" in shown
    assert terminal.code() == 130
    assert re.search(r"not proved: best found -[0-9.]+, bound -[0-9.]+, gap [0-9.]+ \([0-9,]+ prefixes grown\)", " ".join(text.split()))
    assert text.endswith("unspool: interrupted\n")


def test_ctrl_c_at_once_says_so():
    terminal = Terminal(PROMPT)
    time.sleep(0.3)
    terminal.interrupt()
    text = plain(terminal.read())
    assert terminal.code() in (130, -signal.SIGINT)
    assert "Traceback" not in text or "unspool" not in text


def test_progress_is_shown_on_stderr_alone(tmp_path):
    errors = tmp_path / "stderr"
    terminal = Terminal(PROMPT, "-d", "beam(4)", "--max-new-tokens", "100", stderr=str(errors))
    text = plain(terminal.read())
    assert "/100" not in text
    assert errors.read_bytes() == b""
