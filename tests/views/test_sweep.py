"""A sweep on screens of any width: nothing is wider, and nothing that counts is lost."""

import re

import pytest

import unspool as un
from unspool.views.terminal import display_width

FOUR = "temperature({0.5,1}) | top_k({10,20}) | min_p({0.01,0.1}) | repetition_penalty({1,1.1}) | sample"
TWO = "temperature({0.5,1}) | top_p({0.8,0.9,1}) | sample"
PROMPTS = [f"Once there were {n} kings, and" for n in range(2, 20)]


def drawn(**options):
    asked = {"metrics": "diversity,perplexity:near=9", "prompts": PROMPTS, "max_new_tokens": 4}
    return un.sweep(un.load(), "temperature({0.5..1.2 in 8}) | {sample, top_p(0.9)}", **asked | options)


@pytest.fixture(scope="module")
def sweeps():
    lm = un.load()
    asked = [(text, metrics) for text in (TWO, FOUR) for metrics in ("js", "coverage,kept")]
    made = {f"{text[:30]} {metrics}": un.sweep(lm, text, metrics, max_new_tokens=6) for text, metrics in asked}
    return made | {"halving": drawn(search="halving")}


@pytest.mark.parametrize("width", [30, 40, 50, 60, 72, 80, 100, 140])
def test_it_fits_any_screen(width, sweeps):
    for name, found in sweeps.items():
        text = found.to_text(width)
        assert max(map(display_width, text.splitlines())) <= width, name
        words = " ".join(text.split())
        assert f"Recommended: {found.recommended.decoder}" in words, name
        table = words.partition("darker is better")[0]
        for row in found.rows:                                            # every number stands whole in the table
            for one, goal in zip(row.estimates, found.goals, strict=True):
                assert f"{one.value:.{goal.metric.decimals}f}" in table, (name, row.decoder)
        assert len(re.findall(r"\[[^\[\]]*, [^\[\]]*\]", table)) >= len(found.rows)


def test_what_was_dropped_early_has_brackets_and_no_shade(sweeps):
    found = sweeps["halving"]
    assert {row.dropped for row in found.rows} == {True, False}
    grid = found.to_text(200).partition("in brackets: dropped early")[2]
    values = grid.split("\n\n")[0].split("\n")[2:]
    assert sum(line.count("(") for line in values) == sum(row.dropped for row in found.rows)
    for row in found.rows:
        line = next(line for line in values if line.startswith(row.values[0] + " "))
        assert (f"({row.estimates[0].value:.2f})" in line) >= row.dropped
    assert grid.count("█") >= 2                                           # the best of those that are compared, in each metric
    pytest.importorskip("matplotlib")
    half = drawn(search="halving", metrics="perplexity:near=9")
    texts = {text.get_text() for text in half.plot().axes[0].texts}
    assert {f"({row.estimates[0].value:.2f})" for row in half.rows if row.dropped} <= texts


def test_names_that_have_no_room_are_written_above():
    found = un.sweep(un.load(), FOUR, "coverage,kept", max_new_tokens=6)
    for row in found.rows:
        assert row.decoder in found.to_text(80)
    assert "repetition_penalty" in found.to_text(140)
    assert f"> {found.recommended.decoder}\n" in found.to_text(80)
