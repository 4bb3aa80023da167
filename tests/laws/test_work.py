"""What a run took stands in its record, the same alone and among others; and no run goes on for ever where there is no way on."""

import pytest
from helpers.tables import Letters, table
from laws.covering import build, over

import unspool as un
from unspool.testing.worlds import run_whole

ENDLESS = "allowed(0, 1) | backtrack({}, patterns='(?<=.{{11}})[ab]', tries=20)"
"""2 ** 11 texts of 11 tokens, and after each of them every token is taken back."""


def lm(seed=1):
    return un.LanguageModel(table(seed=seed), Letters())


@over("kinds")
def test_forwards_are_those_of_the_prompt_alone(name):
    """That it is the same among others: test_together."""
    for prompt in ([1, 0, 2], [3]):
        search = run_whole(table(seed=1), build(name).resolve(Letters()), [prompt], limits=[5], seed=3).search
        assert search.call.work[0]["forwards"] == search.lane.forwards


def test_work_is_kept_in_the_file(tmp_path):
    trace = lm().generate("bcd", "backtrack(greedy, ('d', 'a', 'b'))", max_new_tokens=9, end_tokens=()).trace
    assert trace.work["taken back"] > 0
    trace.save(tmp_path / "run.jsonl")
    assert un.Trace.load(tmp_path / "run.jsonl").work == trace.work


@pytest.mark.parametrize("inner", ["greedy", "sample", "sample(2)"])
def test_a_text_that_is_taken_back_for_ever_ends(inner):
    run = lm().stream(["bcd"], ENDLESS.format(inner), max_new_tokens=30, end_tokens=())
    (out,) = run.outputs
    assert "taken back 20 times without coming further" in out.failure
    assert out.trace.work["taken back"] <= 2 * 60


def test_a_search_that_begins_again_for_ever_ends():
    """The fourth token is banned, and then what came in its place."""
    decoder = "allowed(0, 1) | backtrack(beam(1), patterns='(?<=.{3})[ab]', tries=1)"
    (out,) = lm().generate(["bcd"], decoder, max_new_tokens=5, end_tokens=())
    assert "began again 1 times without coming further" in out.failure


@pytest.mark.parametrize("inner", ["greedy", "sample", "beam(2)", "best_of(sample(2))"])
def test_where_every_token_is_banned_the_reason_says_so(inner):
    (out,) = lm().generate(["bcd"], f"allowed(0, 1) | backtrack({inner}, ('a', 'b'))", max_new_tokens=5, end_tokens=())
    assert "every way on comes to a phrase" in out.failure


def test_what_always_comes_further_is_taken_back_as_often_as_need_be():
    out = lm().generate("bcd", "backtrack(greedy, ('a', 'b'), tries=2)", max_new_tokens=25, end_tokens=())
    assert out.trace.work["taken back"] > 2
    assert len(out.tokens) == 25


class _Clock:
    """Each time it is read, a second has passed."""

    now = 0.0

    def monotonic(self):
        self.now += 1
        return self.now


@pytest.mark.parametrize("block", [2, 30])
def test_power_ends_in_time_with_the_text_it_has(monkeypatch, block):
    monkeypatch.setattr("unspool.stops.limits.time", _Clock())
    run = lm().stream("bcd", f"power(moves=1000000, block={block}) | max_time(60)", max_new_tokens=20, end_tokens=())
    out = run.output
    assert 40 <= run.cost()["forwards"] <= 62
    assert len(out.tokens) >= min(block, 20)
    assert out.trace.work["moves"] < 60


def test_what_was_looked_at_in_time_is_said_however_late(monkeypatch):
    """Tokens that were only looked at when time was out are part of the text: it ends where it would have without phrases."""
    for seconds in range(1, 9):
        monkeypatch.setattr("unspool.stops.limits.time", _Clock())
        bare = lm().generate("bcd", f"greedy | max_time({seconds})", max_new_tokens=20, end_tokens=())
        monkeypatch.setattr("unspool.stops.limits.time", _Clock())
        out = lm().generate("bcd", f"backtrack(greedy, patterns='zzz') | max_time({seconds})", max_new_tokens=20, end_tokens=())
        assert out.tokens == bare.tokens
