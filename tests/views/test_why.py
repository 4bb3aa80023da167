"""The record's stages say what every processor did; the view says what it would have taken to survive."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from helpers.tables import Letters, table

import unspool as un
from unspool.arrays import block, log_softmax
from unspool.views.terminal import Paint, display_width
from unspool.views.why import Why
from unspool.views.why_bars import draw_before_after

CHAIN = "temperature(0.7) | top_k(5) | top_p(0.8) | min_p(0.2)"
STRATEGIES = ["greedy", "sample(3)", "beam(2)", "contrastive_search(2)", "exact(1)"]


@pytest.fixture(scope="module")
def lm():
    return un.LanguageModel(table(3, 6), Letters())


def explain(lm, decoder, step=1, **options):
    output = lm.generate("abc", decoder, max_new_tokens=4, level="stages", choices=6, **options)
    return Why.from_trace(output.trace, step), output


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_stages_follow_the_definitions(lm, strategy):
    why, output = explain(lm, f"{CHAIN} | {strategy}")
    p = np.asarray(lm.model.probabilities((0, 1, 2)))
    p = p / p.sum()
    order = np.argsort(-p)
    warm = p ** (1 / 0.7) / (p ** (1 / 0.7)).sum()
    assert [f.token for f in why.fates] == order.tolist()
    assert why.names == ["model", "temperature(0.7)", "top_k(5)", "top_p(0.8)", "min_p(0.2)"]
    np.testing.assert_allclose([f.probabilities[0] for f in why.fates], p[order], atol=1e-6)
    np.testing.assert_allclose([f.probabilities[1] for f in why.fates], warm[order], atol=1e-6)
    assert why.kept[:3] == [6, 6, 5]
    assert why.mass[2] == pytest.approx(np.sort(warm)[1:].sum(), abs=1e-6)
    assert why.entropy[0] == pytest.approx(-(p * np.log2(p)).sum(), abs=1e-5)
    assert [f.token for f in why.fates if f.chosen] == output.tokens[:1]


def test_a_cut_token_survives_the_setting_that_is_named(lm):
    for seed in range(8):
        lm = un.LanguageModel(table(seed, 6), Letters())
        why, _ = explain(lm, f"{CHAIN} | greedy")
        for fate in why.fates:
            if not fate.margin:
                assert fate.probabilities[-1] > 0
                continue
            name, value = re.search(r"survive (\w+)\(([\d.]+)\)", fate.margin).groups()
            chain = [part if not part.startswith(name) else f"{name}({value})" for part in CHAIN.split(" | ")]
            again, _ = explain(lm, " | ".join([*chain[: chain.index(f"{name}({value})") + 1], "greedy"]))
            assert next(f for f in again.fates if f.token == fate.token).probabilities[-1] > 0


@pytest.mark.parametrize("cut", ["top_k(1)", "top_p(0.1)", "min_p(0.9)", "epsilon(0.6)", "eta(0.9)", "top_a(1.0)"])
def test_every_processor_that_says_what_would_spare_a_token_is_right(cut):
    said = 0
    for seed in range(6):
        lm = un.LanguageModel(table(seed, 6), Letters())
        for fate in explain(lm, f"{cut} | greedy")[0].fates:
            if "survive" in fate.margin:
                again, _ = explain(lm, fate.margin.partition("survive ")[2] + " | greedy")
                assert next(f for f in again.fates if f.token == fate.token).probabilities[-1] > 0
                said += 1
    assert said > 10


def test_lines_fit_narrow_screens(lm):
    why, _ = explain(lm, f"{CHAIN} | greedy")
    for width in (20, 40, 80):
        text = why.draw(width, Paint(False))
        assert all(display_width(line) <= width for line in text.splitlines())
        assert text.count("survive") == sum("survive" in f.margin for f in why.fates)


def lengths(line):
    """How long the bars of a line are, in eighths of a column."""
    eighths = " ▏▎▍▌▋▊▉█"
    return [sum(map(eighths.index, found)) for found in re.findall("[▏▎▍▌▋▊▉█]+", line)]


def test_bars_stand_for_the_probabilities_before_and_after_each_processor(lm):
    why, _ = explain(lm, f"{CHAIN} | greedy")
    text = draw_before_after(why, 80, Paint(False))
    blocks = [some.splitlines() for some in text.split("\n\n")[1:]]
    assert [lines[0].split("  ")[1] for lines in blocks] == why.names[1:]
    largest = max(p for f in why.fates for p in f.probabilities)
    cut = 0
    for stage, lines in enumerate(blocks, 1):
        assert f"{why.mass[stage]:.2%} let through" in lines[1]
        alive = [f for f in why.fates if f.probabilities[stage - 1] > 0]
        assert len(lines) == 2 + len(alive)
        for line, fate in zip(lines[2:], alive, strict=True):
            before, after = fate.probabilities[stage - 1 : stage + 1]
            assert f"{before:.2%}" in line
            assert lengths(line)[0] == pytest.approx(before / largest * 24 * 8, abs=0.6)
            if after:
                assert re.findall(r"[\d.]+%", line) == [f"{before:.2%}", f"{after:.2%}"]
                assert lengths(line)[1] == pytest.approx(after / largest * 24 * 8, abs=0.6)
            else:
                assert fate.margin.startswith(why.names[stage])
                assert line.endswith("✗ " + fate.margin.partition(": ")[2])
                cut += 1
            assert line.startswith("›") is fate.chosen
    assert cut == sum(f.probabilities[-1] == 0 for f in why.fates) > 0


def test_bars_fit_narrow_screens_and_say_as_much(lm):
    why, _ = explain(lm, f"{CHAIN} | greedy")
    for width in (12, 20, 40, 55, 56, 80, 200):
        text = draw_before_after(why, width, Paint(False))
        assert all(display_width(line) <= width for line in text.splitlines()), (width, text)
        assert text.count("✗") == sum(f.probabilities[-1] == 0 for f in why.fates)
    alone, _ = explain(lm, "greedy")
    assert "no processor" in draw_before_after(alone, 80, Paint(False))
    assert draw_before_after(alone, 80, Paint(False)).count("%") == 6


def test_a_page_has_the_bars(lm):
    why, _ = explain(lm, f"{CHAIN} | greedy")
    assert why.to_html().count('<table class="before-after">') == 4
    assert why.to_html().count('class="cut"') == sum(f.probabilities[-1] == 0 for f in why.fates)
    assert ".before-after" in why._repr_html_()


def test_it_is_the_same_from_a_file(lm, tmp_path):
    why, output = explain(lm, f"{CHAIN} | mirostat(1.0) | min_new_tokens(3) | sample(2)", step=2, seed=5)
    output.trace.save(tmp_path / "trace.jsonl")
    assert Why.from_trace(un.Trace.load(tmp_path / "trace.jsonl"), 2) == why


def test_a_batch_explains_each_prompt(lm):
    outputs = lm.generate(["abc", "ba"], f"{CHAIN} | beam(2)", max_new_tokens=3, level="stages", choices=6)
    alone = lm.generate("ba", f"{CHAIN} | beam(2)", max_new_tokens=3, level="stages", choices=6)
    assert Why.from_trace(outputs[1].trace, 2) == Why.from_trace(alone.trace, 2)


def test_what_was_not_recorded_is_refused(lm):
    trace = lm.generate("abc", "greedy", max_new_tokens=3, level="choices").trace
    with pytest.raises(un.UnspoolError, match="level='stages'"):
        Why.from_trace(trace)
    trace = lm.generate("abc", "greedy", max_new_tokens=3, level="stages").trace
    with pytest.raises(un.ParameterError, match="1 to"):
        Why.from_trace(trace, 9)


@dataclass(frozen=True)
class _AboveThreshold(un.Processor):
    """Keeps what is at least as likely as a function says: it has no text form that could be read again."""

    name = "above_threshold"
    least: Callable[[], float]

    def process(self, rows, scores, memory=None):
        return block(scores, np.exp(log_softmax(scores)) >= self.least())

    def sparing(self, token):
        return un.Epsilon(round(token.probability, 6))


def test_parts_that_hold_live_objects_say_what_would_spare_a_token_too(lm, tmp_path):
    why, output = explain(lm, _AboveThreshold(lambda: 0.2) | un.Greedy())
    cut = [f for f in why.fates if f.probabilities[-1] == 0]
    assert cut
    assert [f.margin for f in cut] == [f"above_threshold(<function>): would survive epsilon({round(f.probabilities[0], 6)})" for f in cut]
    output.trace.save(tmp_path / "trace.jsonl")
    assert Why.from_trace(un.Trace.load(tmp_path / "trace.jsonl")) == why
