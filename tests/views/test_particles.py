"""The picture of particles shows what the record holds: weights as widths, who came from whom, where all were drawn anew, who died."""

import math
import re

import numpy as np
import pytest
from helpers.program import called, out, refusal
from helpers.tables import Letters, table

import unspool as un
from unspool.views.particles import Particles
from unspool.views.particles_picture import particles_form, particles_svg
from unspool.views.particles_text import draw_particles
from unspool.views.terminal import Paint, display_width

DECODERS = {
    "power": "temperature(0.5) | sequential_monte_carlo(12, power=2, truncated=True)",
    "cut": "top_k(3) | sequential_monte_carlo(9, resample=0.8, truncated=True)",
    "weighed": "top_p(0.7) | sequential_monte_carlo(7, n=3, resample=0, truncated=True)",
}


def lm(seed=3):
    return un.LanguageModel(table(seed, end_tokens=(5,)), Letters())


def traced(name, seed=0, level="choices", steps=7):
    return lm(seed).generate("abe", DECODERS[name], seed=seed, max_new_tokens=steps, level=level).trace


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("level", ["tokens", "choices"])
def test_shares_are_the_weights_of_the_record(name, seed, level):
    trace = traced(name, seed, level)
    found = Particles.from_trace(trace)
    assert len(found.rounds) == len(trace.steps)
    ended = []
    for now, step in zip(found.rounds, trace.steps, strict=True):
        weights = np.exp([*step.score, *ended])
        own = {int(n): w / weights.sum() for n, w in zip(step.nodes, np.exp(step.score), strict=True)}
        assert sum(p.share for p in now.particles) == pytest.approx(1)
        assert {p.node: p.share for p in now.particles if not p.carried} == pytest.approx(own)
        assert {p.node: p.parent.node for p in now.particles if not p.carried} == {
            int(n): int(p) for n, p in zip(step.nodes, step.parents, strict=True)
        }
        going = np.exp(step.score[step.reason == ""])
        assert now.effective == pytest.approx(going.sum() ** 2 / (going**2).sum() if len(going) else 0)
        assert now.log_weight == pytest.approx(math.log(weights.sum()))
        assert len([p for p in now.particles if p.carried]) == len(ended)
        ended += step.score[step.reason != ""].tolist()
    anew = [len(set(s.parents.tolist())) < len(s.parents) for s in trace.steps][1:]
    assert [now.drawn_anew for now in found.rounds][1:] == anew


def test_something_is_drawn_anew_and_something_ends():
    rounds = [now for name in DECODERS for seed in range(4) for now in Particles.from_trace(traced(name, seed)).rounds]
    assert any(now.drawn_anew for now in rounds)
    assert any(p.carried for now in rounds for p in now.particles)
    assert any(not p.children for now in rounds[:-1] for p in now.particles)
    never = [now for seed in range(4) for now in Particles.from_trace(traced("weighed", seed)).rounds]
    assert not any(now.drawn_anew for now in never), "resample=0 draws none anew"


@pytest.mark.parametrize("name", DECODERS)
def test_lineages_lie_beside_each_other_and_do_not_cross(name):
    found = Particles.from_trace(traced(name, 1))
    before = None
    for now in found.rounds:
        tops = [p.top for p in now.particles]
        assert tops == sorted(tops)
        assert tops == pytest.approx([0, *np.cumsum([p.share for p in now.particles])[:-1]])
        if before:
            places = [before.index(p.parent) for p in now.particles]
            assert places == sorted(places)
            assert all(p.founder == p.parent.founder for p in now.particles)
        before = now.particles


def test_weight_0_is_death():
    strategy = un.SequentialMonteCarlo(8, truncated=True, potential=lambda text: 0.0 if text.endswith("a") else 1.0)
    trace = lm().generate("be", strategy, max_new_tokens=4, level="choices", seed=1).trace
    found = Particles.from_trace(trace)
    dropped = [0 if s.dropped is None else len(s.dropped["tokens"]) for s in trace.steps]
    assert [now.died for now in found.rounds] == dropped
    assert sum(dropped) > 0
    assert f"{max(dropped)} died" in draw_particles(found, 80, Paint(False))
    assert f"{max(dropped)} died" in particles_svg(found)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("width", [12, 24, 40, 80])
def test_lines_fit_the_screen_and_are_as_wide_as_the_weights(name, width):
    found = Particles.from_trace(traced(name, 2))
    text = draw_particles(found, width, Paint(False))
    assert all(display_width(line) <= width for line in text.splitlines())
    assert draw_particles(found, width, Paint(True)).count("\x1b[38;5;16;48;5;") >= len(found.rounds) - 1
    if width < 80:
        return
    lines = [line for line in text.splitlines() if re.match(r"\d+ │", line)]
    assert len(lines) == len(found.rounds)
    for line, now in zip(lines, found.rounds, strict=True):
        cells = line[2:-11].ljust(67)
        starts = [i for i, c in enumerate(cells) if c == "│"]
        tops = {round(p.top * 67) for p in now.particles}
        assert set(starts) <= tops
        assert line.endswith(now.size)
    assert text.count("drawn anew") == sum(now.drawn_anew for now in found.rounds)


def test_every_form_of_a_saved_record(tmp_path):
    trace = traced("power", 2)
    trace.save(tmp_path / "trace.jsonl")
    found, again = Particles.from_trace(trace), Particles.from_trace(un.Trace.load(tmp_path / "trace.jsonl"))
    assert again.to_dict() == found.to_dict()
    svg = particles_svg(found)
    assert svg.count("<rect") == sum(len(now.particles) for now in found.rounds)
    assert svg.count("drawn anew") == sum(now.drawn_anew for now in found.rounds)
    assert "prefers-color-scheme: dark" in particles_form(found, "html")
    assert "<script" not in particles_form(found, "html")
    assert "... and" in draw_particles(found, 40, Paint(False), most=2)
    assert "... and" not in draw_particles(found, 40, Paint(False), most=0)


@pytest.mark.parametrize("name", DECODERS)
def test_it_can_be_seen_while_it_grows(name):
    run, seen = lm().stream("abe", DECODERS[name], max_new_tokens=6, level="choices"), 0
    for _ in run:
        found = Particles.from_trace(run.so_far())
        assert len(found.rounds) >= seen
        seen = len(found.rounds)
        assert draw_particles(found, 60, Paint(False))
    assert seen == len(Particles.from_trace(run.output.trace).rounds)


def test_a_run_that_came_to_none_shows_how_far_it_came():
    dead = lm().generate(["abe", "ab"], "smc(6)", max_new_tokens=2)
    for output in dead:
        found = Particles.from_trace(output.trace)
        assert len(found.rounds) == 2
        assert all(p.reason for p in found.rounds[-1].particles)


@pytest.mark.parametrize("around", ["vote({})", "mbr({})", "best_of({})", "heal | {}", "follow('ab', {})"])
def test_inside_other_strategies_too(around):
    decoder = around.format("sequential_monte_carlo(5, truncated=True)")
    found = Particles.from_trace(lm().generate("abe", decoder, max_new_tokens=4, level="choices").trace)
    assert len(found.rounds) == 4
    for now in found.rounds:
        assert sum(p.share for p in now.particles) == pytest.approx(1)
    assert draw_particles(found, 60, Paint(False))


def test_a_damaged_record_is_refused_in_a_line():
    trace = traced("power", 2)
    for field, value in (("score", math.nan), ("score", math.inf), ("parents", 999)):
        kept = getattr(trace.steps[2], field).copy()
        getattr(trace.steps[2], field)[0] = value
        with pytest.raises(un.ParameterError, match="damaged"):
            Particles.from_trace(trace)
        setattr(trace.steps[2], field, kept)
    trace.steps[2].score[:] = -math.inf
    assert draw_particles(Particles.from_trace(trace), 60, Paint(False)).count("\n") > 7


def test_from_the_command_line(tmp_path):
    saved = str(tmp_path / "trace.jsonl")
    text = out("tree", "Once upon a time", "--particles", "--seed", "2", "--trace", saved)
    assert text == out("tree", "--from", saved, "--particles")
    assert "drawn anew" in text
    out("tree", "--from", saved, "--particles", "--output-file", str(tmp_path / "p.svg"))
    assert (tmp_path / "p.svg").read_text(encoding="utf-8").startswith("<svg")
    pytest.importorskip("resvg_py")
    out("tree", "--from", saved, "--particles", "--output-file", str(tmp_path / "p.png"))
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_what_has_no_particles_is_refused():
    assert "particles are of sequential_monte_carlo; this record is of beam(3)" in refusal("tree", "Once", "--particles", "-d", "beam(3)")
    assert "particles have no form dot" in refusal("tree", "Once", "--particles", "-o", "dot")


def test_texts_that_were_cut_are_told_from_those_that_ended():
    code, found, said = called("tree", "--particles", "Once upon a time", "-d", "smc(4)", "--max-new-tokens", "6")
    assert code == 2
    assert "is estimated to be 0" in said
    assert "all cut" in found
    assert "■ended" not in found
    assert "log of the mean weight of those that were not cut -inf" in found
    assert "□: cut before it was whole" in found
    picture = called("tree", "--particles", "Once upon a time", "-d", "smc(4)", "--max-new-tokens", "6", "-o", "svg")[1]
    assert "cut before it was whole" in picture
