"""Runs that share a batch share nothing else; what is broken off stays whole; long looks cost what they hold."""

from dataclasses import dataclass

import numpy as np
import pytest
from helpers.tables import Letters, run, search_of, table
from laws.covering import ALONE, build
from laws.examples import processors, stops
from laws.wrappers import _Branch, _Fork, _Handed, _Plain, _Same, _SameAlone, saved

import unspool as un
from unspool.core.loop import decode
from unspool.core.tree import TokenForest

MODEL = table(seed=1)
LM = un.LanguageModel(MODEL, Letters())
TEXTS = ["ade", "b", "cab", "dd", "eab", "adb", "cbe", "aab"]
LEVELS = pytest.mark.parametrize("level", ["tokens", "choices", "stages"])


# --- runs of one batch ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Varied(un.Strategy):
    """What is asked for, and how a choice is filled in, depends on the prompt's first token."""

    many = False

    def run(self, frontier):
        form, root, first, second = int(frontier.tokens(0)[0]), frontier.rows.tolist(), True, frontier.top(2)[1][0, 1]
        while len(frontier):
            token = frontier.top(1)[1][:, 0]
            choice = un.Choice(token, frontier.rows)
            if form == 0:
                choice.scores, choice.columns = [float(-frontier.generated[0])], {"pair": [[1.0, 2.0]], "own": [3]}
            elif form == 1:
                choice.uniform = frontier.uniform("varied")
                choice.dropped = un.Dropped(np.asarray([0]), frontier.rows, np.asarray([-9.0]), np.asarray(["never"], dtype=object))
            elif form == 2:
                choice.tokens, choice.forced, choice.reasons = [4], True, ["whole" if frontier.generated[0] == 3 else ""]
            elif form == 3:
                choice.seen = yield un.Look(frontier, [token])
            elif first:
                choice.waits = root
            elif root:
                choice, root = un.Choice([*token, second], [*frontier.rows, *root], frees=root), []
            frontier, first = (yield choice), False


@LEVELS
@pytest.mark.parametrize("wrapper", [None, _Same, _Handed, _SameAlone, lambda s: _Branch(2, s), lambda s: _Fork(2, _Plain(s))])
@pytest.mark.parametrize("processor", ["top_k(4)", "repetition_penalty(1.3)", "no_repeat_ngram(2)"])
def test_choices_of_every_form_meet_and_no_run_sees_it(level, wrapper, processor, tmp_path):
    decoder = un.parse(processor) | (wrapper(_Varied()) if wrapper else _Varied())
    outputs = LM.generate(TEXTS, decoder, level=level, max_new_tokens=5, end_tokens=(), seed=2)
    for prompt, together in zip(TEXTS, outputs, strict=True):
        (alone,) = LM.generate([prompt], decoder, level=level, max_new_tokens=5, end_tokens=(), seed=2)
        assert alone.sequences == together.sequences
        assert saved(alone.trace, tmp_path) == saved(together.trace, tmp_path)
    if wrapper in (None, _Same, _Handed, _SameAlone):
        forms = {o.prompt[0]: o.trace for o in outputs}
        assert [h.reason for h in forms["c"].hypotheses[0]] == ["whole"]
        assert [set(h.columns) for h in forms["a"].hypotheses[0]] == [{"pair", "own"}]
        assert [s.uniform is None for f in "ab" for s in forms[f].steps] == [True] * 5 + [False] * 5
        assert [h.columns for f in "bcd" for h in forms[f].hypotheses[0]] == [{}] * 3
        assert len(forms["e"].hypotheses[0]) == 2
        if level != "tokens":
            assert [s.dropped is None for f in "ab" for s in forms[f].steps] == [True] * 5 + [False] * 5


@dataclass(frozen=True)
class _Nobody(un.Strategy):
    """Looks along no row, or asks a second model about none, where the prompt is short."""

    many = False
    other: bool = False

    def run(self, frontier):
        some = frontier.take(np.arange(int(frontier.prompt_lengths[0] > 1)))
        seen = yield un.Twin(some, MODEL) if self.other else un.Look(some, [[0, 1]] * len(some))
        assert len(seen) == len(some)
        assert self.other or len(seen.at(1)) == len(some)
        yield from un.Greedy().run(frontier)


@pytest.mark.parametrize("other", [True, False])
@pytest.mark.parametrize("prompts", [[[1]], [[2], [1]], [[1, 2], [1]], [[1], [1, 2]]])
def test_there_is_nothing_to_see_from_no_rows(prompts, other):
    plain = run(MODEL, un.Greedy(), prompts)
    assert [h.tokens for f in run(MODEL, _Nobody(other), prompts) for h in f] == [h.tokens for f in plain for h in f]


# --- runs that are broken off -----------------------------------------------------------------------------------------

DRAFT = table(seed=77)
BROKEN = {
    "greedy": un.Greedy(),
    "sample": un.Sample(3),
    "speculative": un.Speculative(DRAFT),
    "speculative in wrappers": _Same(_Handed(_SameAlone(un.Speculative(DRAFT)))),
    "branches": _Branch(3, _Handed(un.Greedy())),
    "forks": _Same(_Fork(3, _Handed(un.Speculative(DRAFT, 2)))),
    "branches of forks": _Branch(2, _Plain(_Fork(2, _Handed(un.Sample(2))))),
}
"""Strategies that keep all they began."""
WAYS = ["close", "inside", "outside"]


def broken_off(decoder, way, after, level="choices"):
    """A run that goes no further than so many steps, and how many there were."""
    stream, steps = LM.stream(TEXTS[:3], decoder, max_new_tokens=4, level=level, seed=1), 0
    if way == "inside":
        for steps, _ in enumerate(stream, 1):
            if steps == after:
                stream.interrupt()
        return stream, steps
    given = iter(stream)
    for steps, _ in zip(range(1, after + 1), given, strict=False):        # noqa: B007
        pass
    given.close() if way == "close" else stream.interrupt()
    return stream, steps


def record_is_whole(output):
    """The steps tell every text, node by node, once."""
    born = [int(n) for step in output.trace.steps for n in step.nodes]
    told = {n: (int(p), int(t)) for s in output.trace.steps for n, p, t in zip(s.nodes.tolist(), s.parents, s.tokens, strict=True)}
    assert len(set(born)) == len(born)
    ends = [h.nodes[-1] for h in output.trace.hypotheses[0]]
    assert len(set(ends)) == len(ends)
    for h in output.trace.hypotheses[0]:
        assert [told[n] for n in h.nodes[1:]] == list(zip(h.nodes, h.tokens, strict=False))
    return set(born) - {parent for parent, _ in told.values()}, set(ends)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_off_is_all_there_once(name, way):
    whole = LM.generate(TEXTS[:3], BROKEN[name], max_new_tokens=4, seed=1)
    for after in range(1, 60):
        stream, steps = broken_off(BROKEN[name], way, after)
        outputs = stream.outputs
        for output, full in zip(outputs, whole, strict=True):
            leaves, ends = record_is_whole(output)
            assert leaves == ends
            for text in output.sequences:
                assert any(text.tokens == other.tokens[: len(text.tokens)] for other in full.sequences)
        assert list(stream) == []
        if steps < after:
            assert [o.sequences for o in outputs] == [o.sequences for o in whole]
            return
    raise AssertionError("it never ended")


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("way", WAYS[:2])
def test_what_any_strategy_leaves_behind_is_consistent(name, way):
    for after in (1, 2, 3, 5, 8):
        stream, _ = broken_off(_Branch(2, _SameAlone(build(name).strategy)), way, after)
        for output in stream.outputs:
            record_is_whole(output)


def test_a_run_that_is_over_is_not_broken_off():
    stream = LM.stream(TEXTS[:3], un.Greedy(), max_new_tokens=4)
    list(stream)
    stream.interrupt()
    assert not stream.interrupted
    assert "interrupted" not in {s.reason for o in stream.outputs for s in o.sequences}


class _Impatient:
    """A model during whose k-th forward somebody presses Ctrl-C."""

    def __init__(self, inner, k):
        self.inner, self.k = inner, k
        self.vocabulary, self.context, self.end_tokens, self.start = inner.vocabulary, inner.context, inner.end_tokens, inner.start

    def session(self, plan=un.NO_PLAN):
        session, asked = self.inner.session(plan), [0]
        extend = session.extend

        def counting(*arguments):
            asked[0] += 1
            if asked[0] == self.k:
                raise KeyboardInterrupt
            return extend(*arguments)

        session.extend = counting
        return session


@pytest.mark.parametrize("name", BROKEN)
def test_ctrl_c_in_the_middle_of_a_forward(name):
    for k in range(2, 12):
        lm = un.LanguageModel(_Impatient(MODEL, k), Letters())
        stream = lm.stream(TEXTS[:3], BROKEN[name], max_new_tokens=4, level="choices", seed=1)
        try:
            list(stream)
        except KeyboardInterrupt:
            assert stream.interrupted
        for output in stream.outputs:
            leaves, ends = record_is_whole(output)
            assert leaves == ends


# --- long looks -------------------------------------------------------------------------------------------------------

LONG = 1100
"""Tokens that are looked at, more than Python calls itself."""


class _Pairs:
    """A model of pairs of tokens that a user wrote: what comes next depends on the last token alone."""

    vocabulary, context, end_tokens, start = 6, 10**6, (5,), None

    def session(self, plan=un.NO_PLAN):
        return _PairsSession()


class _PairsSession:
    can = frozenset()
    logits_of = np.random.default_rng(3).normal(size=(6, 6)).astype(np.float32)

    def __init__(self):
        self.nodes = TokenForest(6)

    def extend(self, parents, chains, every=False):
        grown = self.nodes.grow(parents, chains)
        return np.asarray([new[-1] if len(new) else parent for parent, new in zip(parents, grown, strict=True)], np.int64)

    def keep(self, rows):
        self.nodes.keep(rows)

    def logits(self, rows, layer=None):
        return self.logits_of[[self.nodes.token(int(row)) for row in rows]]


@dataclass(frozen=True)
class _Ahead(un.Strategy):
    """Looks n tokens ahead and takes them, or takes them without a look."""

    n: int
    looks: bool = True

    def run(self, frontier):
        chain, seen = [i % 5 for i in range(self.n)], None
        if self.looks:
            seen = yield un.Look(frontier, [chain] * len(frontier))
            _ = seen.scores
        for depth, token in enumerate(chain):
            reasons = frontier.reasons(np.arange(len(frontier)), np.full(len(frontier), token))
            reasons[:] = [f"{reason}." if depth + 1 == self.n else "" for reason in reasons]
            part = seen and seen.at(depth)
            frontier = yield un.Choice([token] * len(frontier), frontier.rows, reasons=reasons, seen=part, forced=True)


REMEMBERING = [str(p) for some in (processors() | stops()).values() for p in some if p.stateful or isinstance(p, un.Guidance)]


@pytest.mark.parametrize("name", REMEMBERING)
def test_a_long_look_under_every_memory(name):
    part = next(p for some in (processors() | stops()).values() for p in some if str(p) == name).resolve(Letters())
    if isinstance(part, un.Guidance):
        part = un.Guidance(part.scale, _Pairs(), part.negative)
    (found,) = run(_Pairs(), part | _Ahead(LONG), [[1]], LONG + 2, end_tokens=())
    assert [len(h.tokens) for h in found] == [LONG]
    looked, stepped = (run(_Pairs(), part | _Ahead(40, looks), [[1], [3, 2]], 60, end_tokens=()) for looks in (True, False))
    for one, other in zip(looked, stepped, strict=True):
        assert [(h.tokens, h.reason) for h in one] == [(h.tokens, h.reason) for h in other]
        np.testing.assert_allclose([h.processed for h in one], [h.processed for h in other], atol=1e-5)


def test_what_is_asked_of_memories_is_linear_in_a_look():
    """Counted, not timed: the walks to known ancestors, under a stop that remembers."""
    steps = {}
    for n in (200, 400):
        decoder = un.Loop(200, 3, 2) | _Ahead(n)
        search = search_of(_Pairs(), decoder, [[1]], n + 2, end_tokens=())
        walked, parent = [0], search.lane.nodes.parent

        def counting(row, walked=walked, parent=parent):
            walked[0] += 1
            return parent(row)

        search.lane.nodes.parent = counting
        for _ in decode(search, decoder.strategy):
            pass
        steps[n] = walked[0]
    assert steps[400] < 2.5 * steps[200]
