"""Heat shows what the record holds, in every form; what cannot be seen in colour can be read without."""

import json
import math
import re

import numpy as np
import pytest
from helpers.tables import Letters, normalised, table

import unspool as un
from unspool.text import TokenizerBase
from unspool.views.heat import Heat
from unspool.views.heat_text import MARKS, draw_growing_heat, draw_heat
from unspool.views.heat_tokens import BY, SCALES
from unspool.views.page import DARK, LIGHT
from unspool.views.terminal import Paint, display_width


@pytest.fixture(scope="module")
def lm():
    return un.LanguageModel(table(3, 6), Letters())


@pytest.fixture(scope="module")
def trace(lm):
    return lm.record("ab", "cabbed", choices=6)


def test_a_given_text_is_recorded_as_it_is_scored(lm, trace):
    heat = Heat.from_trace(trace)
    assert [t.logprob for t in heat.tokens] == pytest.approx(lm.score("ab", "cabbed").logprobs)
    assert (heat.prompt, "".join(s.text for s in heat.spans)) == ("ab", "cabbed")


def test_numbers_are_those_of_the_distribution(lm, trace):
    text = list(trace.prompts[0])
    for token in Heat.from_trace(trace, "rank").tokens:
        p = normalised(np.asarray(lm.model.probabilities(tuple(text))))
        assert token.probability == pytest.approx(p[token.token], rel=1e-5)
        assert token.rank == 1 + (p > p[token.token]).sum()
        assert token.entropy == pytest.approx(-(p * np.log2(p)).sum(), rel=1e-5)
        assert token.effective == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-5)
        assert token.surprisal == pytest.approx(-math.log2(p[token.token]), rel=1e-5)
        assert [c.token for c in token.alternatives] == np.argsort(-p, kind="stable").tolist()
        text.append(token.token)


def test_a_text_longer_than_the_context_is_read_in_windows():
    model = table(4, 6)
    model.context = 8
    lm, text = un.LanguageModel(model, Letters()), "abcdabcdbacdabdcabd"
    for stride in (None, 1, 3, 7):
        trace = lm.record("ba", text, stride=stride)
        (h,) = trace.hypotheses[0]
        assert trace.bytes_of(h.tokens).decode() == text
        assert h.logprobs == pytest.approx(lm.score("ba", text, stride=stride).logprobs)
        heat = Heat.from_trace(trace, "entropy")
        assert [t.rank for t in heat.tokens] == [int(r) + 1 for s in trace.steps for r in s.rank]
        assert len({n for s in trace.steps for n in s.nodes.tolist()}) == len(text) == len(h.nodes) - 1
    with pytest.raises(un.ParameterError, match="stride"):
        lm.record("ba", text, stride=8)


@pytest.mark.parametrize("by", BY)
def test_bands_rise_with_heat_and_count_every_token(trace, by):
    heat = Heat.from_trace(trace, by)
    assert sum(count for _, _, count in heat.counts()) == len(heat.tokens)
    values = [getattr(t, by) for t in heat.tokens]
    order = sorted(range(len(values)), key=lambda i: -values[i] if by == "probability" else values[i])
    bands = [heat.band(heat.tokens[i]) for i in order]
    assert bands == sorted(bands)
    assert len(SCALES[by].labels) == len(SCALES[by].heats) == len(SCALES[by].limits) + 1
    assert {t.token for _, t in heat.hottest(len(values))} == {t.token for t in heat.tokens}


@pytest.mark.parametrize(("by", "values"), [("probability", [0.5, 0.49, 0.1, 0.01, 0.001, 1e-9]), ("rank", [1, 2, 10, 11, 100, 101])])
def test_bounds_belong_to_the_band_that_names_them(by, values):
    signed = [-v for v in values] if by == "probability" else values
    assert [SCALES[by].band(v) for v in signed] == ([0, 1, 1, 2, 3, 4] if by == "probability" else [0, 1, 1, 2, 2, 3])


class Bytes(TokenizerBase):
    """A token for each byte; the last token is special."""

    specials = frozenset({256})
    begins = ()
    size, hash, prefixes_space = 257, "bytes", False

    def ids(self, text):
        return list(text.encode())

    def spell(self, token):
        return bytes([token])

    def name_of(self, token):
        return "<end>"


NASTY = 'a <b>&"\n\x1b[31m\u202eעברית 한 👩‍👧\t\x00 '


@pytest.fixture(scope="module")
def nasty():
    return Heat.from_trace(un.LanguageModel(table(3, 257, end_tokens=(256,)), Bytes()).record("<i>한"[:3], NASTY))


def test_characters_of_several_tokens_are_one(nasty):
    assert "".join(s.text for s in nasty.spans) == NASTY
    assert {s.text for s in nasty.spans} >= {"한", "👩", "\u202e", "ע"}
    assert [s.first for s in nasty.spans[1:]] == [s.last for s in nasty.spans[:-1]]
    assert [t.text for t in nasty.tokens[-12:]][-1] == " "
    assert any(t.text == "\\xed" for t in nasty.tokens)


def test_a_text_that_ends_within_a_character_shows_its_bytes():
    lm = un.LanguageModel(table(3, 257, end_tokens=(256,)), Bytes())
    trace = lm.generate("x", un.Follow((0x61, 0xED, 0x95)), level="choices").trace
    assert [s.text for s in Heat.from_trace(trace).spans] == ["a", "\\xed\\x95"]
    trace = lm.generate([[0x78, 0xED]], un.Follow((0x95, 0x9C, 256)), level="choices")[0].trace
    heat = Heat.from_trace(trace)
    assert (heat.prompt, [s.text for s in heat.spans], heat.spans[-1].special) == ("x", ["한", "<end>"], True)
    trace = lm.generate("x", un.Follow((0xED, 256, 0x61)), level="choices", end_tokens=()).trace
    assert [(s.text, s.first, s.last) for s in Heat.from_trace(trace).spans] == [("\\xed", 0, 1), ("<end>", 1, 2), ("a", 2, 3)]


@pytest.mark.parametrize("width", [20, 33, 80, 0])
@pytest.mark.parametrize("on", [True, False])
def test_lines_fit_and_nothing_steers_the_terminal(nasty, width, on):
    for draw in (draw_heat(nasty, width, Paint(on)), draw_growing_heat(nasty, width, Paint(on), 10)):
        plain = re.sub(r"\x1b\[[\d;]*m", "", draw)
        assert not width or all(display_width(line) <= width for line in plain.splitlines())
        assert not set(plain) & {"\x1b", "\x00", "\u202e", "\t"}
        assert on == (draw != plain)


def test_without_colour_marks_lie_beneath_their_tokens(lm):
    heat = Heat.from_trace(lm.record("ab", "cabbedcab"), "surprisal")
    text, marks = draw_heat(heat, 80, Paint(False), listed=0).splitlines()[:2]
    expected = "  " + "".join(MARKS[heat.heat(s)] * len(s.text) for s in heat.spans)
    assert marks == expected.rstrip()
    assert text.startswith("ab")


def test_what_was_not_recorded_is_said(lm):
    trace = lm.generate("abc", "sample(2)", max_new_tokens=3).trace
    assert not Heat.from_trace(trace, number=2).tokens[0].alternatives
    for by in ("rank", "entropy"):
        with pytest.raises(un.UnspoolError, match="level='choices'"):
            Heat.from_trace(trace, by)
    for by, number in (("colour", 1), ("rank", 3)):
        with pytest.raises(un.ParameterError):
            Heat.from_trace(trace, by, number=number)
    old = lm.generate("abc", max_new_tokens=3, level="choices").trace
    for step in old.steps:
        step.rank = None
    with pytest.raises(un.UnspoolError, match="record it again"):
        Heat.from_trace(old, "rank")


def test_json_and_tables_hold_every_token(nasty):
    found = json.loads(nasty.to_json())
    assert "".join(t["text"] for t in found["tokens"] if "\\x" not in t["text"]) == NASTY
    assert len(nasty.sheet().lines) == len(nasty.tokens) == len(found["tokens"])


# --- colours ----------------------------------------------------------------------------------------------------------

MACHADO = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""What people without one kind of cone see, in linear RGB: Machado, Oliveira and Fernandes 2009."""


def linear(colour):
    c = np.asarray([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def luminance(rgb):
    return float(rgb @ [0.2126, 0.7152, 0.0722])


def lab(rgb):
    """CIE L*a*b* of linear RGB."""
    xyz = np.asarray([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(rgb, 0, 1)
    t = xyz / [0.9505, 1.0, 1.089]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.asarray([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one, other):
    a, b = sorted((luminance(linear(one)), luminance(linear(other))))
    return (b + 0.05) / (a + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_on_every_heat(colours):
    grounds = {"paper": "ink", "heat1": "ink", "heat2": "ink", "heat4": "on4", "card": "ink", "bar": "ink"}
    assert all(contrast(colours[ground], colours[ink]) >= 4.5 for ground, ink in grounds.items())
    assert contrast(colours["heat3"], "#12161d") >= 4.5
    assert contrast(colours["paper"], colours["faint"]) >= 4.5


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("sight", [None, *MACHADO])
def test_heats_can_be_told_apart_by_everyone(colours, sight):
    seen = np.eye(3) if sight is None else np.asarray(MACHADO[sight])
    found = [lab(seen @ linear(colours[name])) for name in ("paper", "heat1", "heat2", "heat3", "heat4")]
    least = min(float(np.linalg.norm(a - b)) for i, a in enumerate(found) for b in found[:i])
    assert least > 8, least
