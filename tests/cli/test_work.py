"""What a run took is said where its strategy counts it, and a long one shows that it is at work."""

import json

from helpers.program import Terminal, called


def test_how_often_was_taken_back_is_said():
    code, found, said = called("Once upon a time", "-d", "backtrack(greedy, ' a')", "--max-new-tokens", "12")
    assert code == 0
    assert " a " not in found.removeprefix("Once upon a time")
    assert "forwards" in said
    assert "taken back:" in said
    code, found, said = called("Once upon a time", "-d", "power(moves=2)", "--max-new-tokens", "5", "-o", "json")
    assert (code, said) == (0, "")
    assert json.loads(found)[0]["work"]["moves"] >= 2


def test_forwards_are_seen_where_no_token_comes():
    terminal = Terminal("Once upon a time", "-d", "power(moves=1000000)", "--max-new-tokens", "20")
    assert " forwards" in terminal.read(until=b" forwards")
    terminal.interrupt()
    assert "interrupted before the first token" in terminal.read()
    assert terminal.code() == 130
