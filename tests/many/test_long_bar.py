"""The bar of a long run: what is done, how fast, and what is left."""

import pytest

from unspool.cli import long_bar
from unspool.cli.long_bar import LongBar, duration


def test_rates_and_time_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(long_bar.time, "monotonic", lambda: now[0])
    bar = LongBar("generate", 100, wanted=False)
    bar.reached(40, made=False)                                          # from a run before
    now[0] += 10
    bar.step(30, 5)
    assert LongBar("sweep", 9, wanted=False, what="runs").fields() == {"rate": "", "left": ""}
    assert (bar.count, bar.fields()) == (45, {"rate": "0.5 prompts/s · 3 tokens/s", "left": "1 min 50 s left"})
    now[0] += 10
    bar.reached(60, made=True)
    assert (bar.count, bar.fields()) == (60, {"rate": "1.0 prompts/s · 2 tokens/s", "left": "40 s left"})
    bar.total = None
    bar.reached(80, made=True)
    assert bar.fields()["left"] == ""


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (5400, "1.5 h"), (86400 * 3, "3.0 days")])
def test_durations(seconds, said):
    assert duration(seconds) == said
