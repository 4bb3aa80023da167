"""Processors, their chains and a whole model against llama.cpp: as it answered once, and as it answers where it is installed."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from parity import llama_driver, peers
from parity.llama_cases import CASES, CHANCES, COURSES, DRAWS, NEW, TELLINGS
from parity.llama_partings import PARTINGS
from parity.make_llama_golden import TARGET, answers
from scipy import stats

import unspool as un

STORED = peers.read(TARGET)
REFERENCE = f"llama.cpp {STORED['llama.cpp']} (llama-cpp-python {STORED['llama-cpp-python']})"
NEAR = 1e-3
"""Of mirostat: of its line in bits, or of how many tokens it keeps, which float32 carries along from step to step."""


@cache
def live():
    """What it says today."""
    pytest.importorskip("gguf")
    with TemporaryDirectory() as folder:
        llama_driver.write_gguf(Path(folder) / "stories260K.gguf")
        return answers(llama_driver.Llama(Path(folder) / "stories260K.gguf"))


@pytest.fixture(params=["stored", "live"] if llama_driver.lib else ["stored"])
def theirs(request):
    return STORED if request.param == "stored" else live()


@pytest.fixture(scope="module")
def stories():
    return un.load(llama_driver.FOLDER)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_scores(case, theirs, stories, tally):
    parts = [part.resolve(stories.tokenizer) for part in un.parse(f"{case.ours} | greedy").processors]
    for (scores, text), answer in zip(case.inputs(), theirs["cases"][str(case)], strict=True):
        kind = peers.compare(parts, peers.stages(parts, text, scores), peers.unpacked(scores, answer))
        if theirs is STORED:
            tally(case.method, kind)


@pytest.mark.parametrize("course", COURSES, ids=str)
def test_scores_that_depend_on_what_was_chosen(course, theirs, tally):
    (part,) = un.parse(f"{course.ours} | greedy").processors
    memory, (answered, tokens) = part.begin(np.asarray([0])), theirs["courses"][str(course)]
    rows = un.Rows.of(np.zeros((1, 1), np.int64))
    for scores, answer, token in zip(course.inputs(), answered, tokens, strict=True):
        mine, their = part.process(rows, scores[None], [memory])[0], peers.unpacked(scores, answer)
        differ = np.flatnonzero((mine > -np.inf) != (their > -np.inf))
        assert all(near(part, memory, scores, t) for t in differ), (memory, differ)
        both = (mine > -np.inf) & (their > -np.inf)
        if isinstance(part, un.AdaptiveP):
            np.testing.assert_allclose(mine[both], their[both], rtol=1e-5, atol=1e-4)
        memory = part.advance([memory], [token], [scores])[0]
        if theirs is STORED:
            tally(course.method, "near tie" if len(differ) else "equal")


def near(part, mu, scores, token):
    """Whether mirostat's line lies by a token."""
    p = np.exp(scores.astype(np.float64) - np.logaddexp.reduce(scores.astype(np.float64)))
    if part.version == 2:
        return abs(-np.log2(p[token]) - mu) < NEAR
    steps = np.log(np.arange(2, 101) / np.arange(1, 100))[: len(p) - 1]
    best = np.log(np.sort(p)[::-1][: len(steps) + 1])
    z = (best[:-1] - best[1:]) @ steps / (steps @ steps)
    k = ((z - 1) * 2**mu / (1 - len(p) ** (1 - z))) ** (1 / z)
    return abs(k - round(k)) < NEAR * k


@pytest.mark.parametrize("i", range(len(CHANCES)), ids=lambda i: str(CHANCES[i]))
def test_xtc_cuts_as_often(i, theirs, tally):
    threshold, probability = CHANCES[i]
    uniforms = np.random.default_rng(0).random(DRAWS)
    rows = un.Rows(np.zeros((DRAWS, 1), np.int64), np.ones(DRAWS, int), np.ones(DRAWS, int), (), lambda purpose: uniforms)
    mine = np.isneginf(un.Xtc(threshold, probability).process(rows, np.zeros((DRAWS, 8), np.float32))).any(-1).sum()
    for count in (theirs["cuts"][i], int(mine)):
        assert stats.binomtest(count, DRAWS, probability).pvalue > 1e-4
    if theirs is STORED:
        tally("xtc, how often it cuts")


@pytest.mark.parametrize("telling", TELLINGS, ids=str)
def test_texts_of_a_model(telling, theirs, stories, tally):
    prompt, new = theirs["texts"][str(telling)]
    assert stories.tokens_of(telling.prompt) == prompt
    out = stories.generate(telling.prompt, " | ".join(filter(None, [telling.ours, "greedy"])), max_new_tokens=NEW)
    assert out.tokens == new
    if theirs is STORED:
        tally("greedy search of stories260K, tokens of its prompts included")


@pytest.mark.parametrize("parting", PARTINGS, ids=str)
def test_where_the_two_part(parting, theirs, stories, tally):
    part = un.parse(f"{parting.ours} | greedy").resolve(stories.tokenizer).processors[0]
    text = np.asarray([parting.text or (0,)])
    rows = un.Rows(text, np.asarray([text.size]), np.asarray([1]), (), lambda purpose: np.zeros(1))
    mine = part.process(rows, parting.row()[None], [part.begin(text[0])] if part.stateful else None)[0]
    their = peers.unpacked(parting.row(), theirs["partings"][str(parting)])
    assert tuple(np.flatnonzero(mine > -np.inf)) == parting.ours_keeps
    assert tuple(np.flatnonzero(their > -np.inf)) == parting.theirs_keeps
    if parting.ours_keeps == parting.theirs_keeps:
        kept = list(parting.ours_keeps)
        assert np.abs(mine[kept] - their[kept]).max() > 0.1
    if theirs is STORED:
        (tally.defect if parting.defect else tally.difference)(parting.what, parting.why)
