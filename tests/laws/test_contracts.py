"""Who breaks a contract is told so by name: callers of models, processors, stops and strategies; and what a call may be given."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from helpers.tables import BACKENDS, PROMPTS, Letters, run, table, texts
from laws.covering import ALONE, build
from laws.test_sessions import MODELS

import unspool as un
from unspool.arrays import host

MODEL = table(seed=1)
LM = un.LanguageModel(MODEL, Letters())
SIZE = 24
"""Tokens of the models of test_sessions."""

# --- sessions ---------------------------------------------------------------------------------------------------------

WRONG = {
    "a token below 0": lambda s, alive, gone: s.extend([alive], [[-1]]),
    "a token too large": lambda s, alive, gone: s.extend([alive, alive], [[1], [5000]]),
    "a prompt's token": lambda s, alive, gone: s.extend([un.ROOT], [[1, SIZE]]),
    "a forgotten parent": lambda s, alive, gone: s.extend([gone], [[1]]),
    "a forgotten parent without a chain": lambda s, alive, gone: s.extend([alive, gone], [[1], []]),
    "a parent never made": lambda s, alive, gone: s.extend([alive, 9 << 32], [[1], [1]]),
    "logits of a forgotten row": lambda s, alive, gone: s.logits([alive, gone]),
    "logits of a row never made": lambda s, alive, gone: s.logits([9 << 32]),
    "hidden states of a forgotten row": lambda s, alive, gone: s.hidden([gone]),
    "keeping a forgotten row": lambda s, alive, gone: s.keep([alive, gone]),
    "keeping a row never made": lambda s, alive, gone: s.keep([alive, alive + 40]),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", MODELS)
def test_a_session_refuses_what_cannot_be_and_stays_as_it_is(name, wrong):
    session = MODELS[name].session()
    alive, other = map(int, session.extend([un.ROOT] * 2, [[1, 2, 3], [4]]))
    (gone,) = map(int, session.extend([alive], [[5, 6]]))
    session.keep([alive, other])
    before, answer = len(session.nodes), host(session.logits([alive, other]))
    with pytest.raises(un.ModelError, match=r"token (-1|5000|24) is outside|there is no row"):
        WRONG[wrong](session, alive, gone)
    assert len(session.nodes) == before
    np.testing.assert_array_equal(host(session.logits([alive, other])), answer)


# --- processors and stops ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Spoiled(un.Processor):
    """A processor that breaks one promise."""

    name = "spoiled"
    what: str
    stateful = True
    completes = True

    def begin(self, prompt):
        return 0

    def advance(self, memories, tokens, scores):
        return {"advance few": memories[1:], "advance none": None, "advance once": iter(memories)}.get(self.what, memories)

    def complete(self, memories):
        return {"complete few": [], "complete one": True}.get(self.what, [False] * len(memories))

    def process(self, rows, scores, memory=None):
        if self.what == "scores":
            scores[:, 0] = -np.inf
        elif self.what == "scores, back":
            kept = scores + 0
            scores *= 2
            return kept
        elif self.what == "tokens":
            rows.tokens[:] = 0
        elif self.what == "lengths":
            rows.lengths[:] = 1
        return {"none": None, "list": [1.0], "shape": scores[:, :2], "one": scores[0], "nan": scores * np.nan, "inf": scores + np.inf}.get(
            self.what, scores > 0 if self.what == "flags" else scores
        )


IN_PLACE = ["scores", "scores, back", "tokens", "lengths"]
RETURNED = ["none", "list", "shape", "one", "nan", "inf", "flags"]
COUNTS = ["advance few", "advance none", "advance once", "complete few", "complete one"]
beside = pytest.mark.parametrize("strategy", ["greedy", "beam(3)", "speculative(<TableModel>)", "exact"])


@beside
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("what", IN_PLACE + RETURNED + COUNTS)
def test_a_processor_that_breaks_a_promise_is_named(what, backend, strategy):
    model = table(seed=1, backend=BACKENDS[backend])
    decoder = un.NoRepeatNgram(3) | _Spoiled(what) | un.TopK(4) | build(strategy, BACKENDS[backend])
    with pytest.raises(un.PartError, match="spoiled") as said, np.errstate(all="ignore"):
        run(model, decoder, PROMPTS, end_tokens=())
    assert ("changes what it is given" in str(said.value)) == (what in IN_PLACE)


@dataclass(frozen=True)
class _Deaf(un.Stop):
    """A stop that gives another number of answers."""

    name = "deaf"
    what: str
    stateful = True

    def begin(self, prompt):
        return 0

    def advance(self, memories, tokens, logits):
        return {"advance few": memories[1:], "advance none": None}.get(self.what, memories)

    def ends(self, rows, tokens, memory):
        return {"few": [True] * (len(tokens) - 1), "one": True, "none": None}.get(self.what, [False] * len(tokens))


@beside
@pytest.mark.parametrize("what", ["advance few", "advance none", "few", "one", "none"])
def test_a_stop_that_breaks_a_promise_is_named(what, strategy):
    with pytest.raises(un.PartError, match="deaf"):
        run(MODEL, build(strategy) | _Deaf(what), PROMPTS)


# --- strategies -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Misfit(un.Strategy):
    """A choice with some of its fields replaced, of a run for each prompt."""

    name, many = "misfit", False
    fields: Any = field(default_factory=dict)

    def run(self, frontier):
        fields = {k: v(frontier) if callable(v) else v for k, v in self.fields.items()}
        if "seen" in fields:
            fields["seen"] = yield fields["seen"]
        yield un.Choice(**({"tokens": [1], "parents": frontier.rows} | fields))


def dropped(*columns):
    return lambda f: un.Dropped(*(np.asarray(c) for c in columns))


MISFITS = [
    {"tokens": [1, 2]},
    {"tokens": 1},
    {"tokens": [[1]]},
    {"tokens": [-1]},
    {"tokens": [6]},
    {"parents": [77]},
    {"parents": 0},
    {"scores": [1.0, 2.0]},
    {"scores": 3.0},
    {"scores": [[1.0]]},
    {"scores": [np.nan]},
    {"reasons": ["", ""]},
    {"reasons": "end"},
    {"reasons": [None]},
    {"uniform": [0.1, 0.2]},
    {"columns": {"own": [1, 2]}},
    {"columns": {"own": 3}},
    *({"columns": {name: [0]}} for name in ("prompt", "node", "score", "processed", "lineage")),
    {"waits": [77]},
    {"dropped": dropped([1], [77], [0.0], ["x"])},
    {"dropped": dropped([1, 2], [0], [0.0], ["x"])},
    {"seen": lambda f: un.Look(f, [[2]])},
    {"seen": lambda f: un.Look(f.take([0, 0]), [[1], [1]])},
    {"seen": lambda f: un.Look(f, [[1, 1]])},
    {"seen": lambda f: un.Twin(f, MODEL)},
    {"seen": lambda f: un.Look(f, [[]])},
    {"seen": lambda f: un.Look(f, [[1], [1]])},
]


@pytest.mark.parametrize("fields", MISFITS, ids=lambda fields: ", ".join(f"{k}={v}" for k, v in fields.items() if not callable(v)))
def test_a_choice_that_does_not_fit_together_is_refused_by_name(fields):
    with pytest.raises(un.PartError, match="misfit"):
        run(MODEL, _Misfit(fields), [[1, 2]], level="choices")


@dataclass(frozen=True)
class _Gives(un.Strategy):
    """Hands over what it only looked at, or what it has handed over before."""

    name = "gives"
    what: str

    def run(self, frontier):
        if self.what == "twice":
            yield un.Each(frontier, un.Greedy())
            yield un.Each(frontier, un.Greedy())
        elif self.what == "nothing known":
            yield "a token"
        else:
            seen = yield un.Look(frontier, [[0]] * len(frontier)) if self.what == "looked" else un.Twin(frontier, MODEL)
            yield un.Each(seen, un.Greedy())


@pytest.mark.parametrize("what", ["twice", "looked", "twin", "nothing known"])
def test_rows_that_cannot_be_handed_over_are_refused_by_name(what):
    with pytest.raises(un.PartError, match="gives"):
        run(MODEL, _Gives(what), PROMPTS)


# --- calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALONE)
def test_one_prompt_of_three_that_comes_to_nothing_leaves_the_others(name):
    decoder = un.PrefixConstrained(lambda tokens: () if tokens[0] == 2 else range(6)) | build(name)
    three = LM.generate(["bcd", "cb", "ae"], decoder, max_new_tokens=4, seed=1)
    two = LM.generate(["bcd", "ae"], decoder, max_new_tokens=4, seed=1)
    assert [o.sequences for o in (three[0], three[2])] == [o.sequences for o in two]
    if "follow" not in name:
        assert three[1].sequences == []
        assert "'cb'" in three[1].failure
        assert LM.generate(["cb"], decoder)[0].failure
        with pytest.raises(un.DeadEnd, match="'cb'"):
            LM.generate("cb", decoder)


ONE = ["bc", [1, 2], (1, 2), np.array([1, 2]), range(1, 3), [np.int64(1), 2]]
SEVERAL = [["bc", "bc"], ("bc", [1, 2]), [[1, 2], (1, 2)], ((1, 2), (1, 2)), np.array([[1, 2], [1, 2]]), [np.array([1, 2]), "bc"]]


@pytest.mark.parametrize("prompt", ONE, ids=repr)
def test_one_prompt_is_one_however_it_is_written(prompt):
    assert LM.generate(prompt, max_new_tokens=3).tokens == texts_of("bc")
    (inside,) = LM.generate([prompt], max_new_tokens=3)
    assert inside.tokens == texts_of("bc")


@pytest.mark.parametrize("prompts", SEVERAL, ids=repr)
def test_several_prompts_are_several_however_they_are_written(prompts):
    assert [o.tokens for o in LM.generate(prompts, max_new_tokens=3)] == [texts_of("bc")] * 2


def texts_of(prompt):
    return list(texts(run(MODEL, "greedy", [Letters().encode(prompt)], 3)[0])[0])


NONE = [[], (), "", [[]], [[1], []], [1, "b"], np.array(3), np.array([1.0]), iter([1]), {1}, {"b": 1}, None]


@pytest.mark.parametrize("prompt", NONE, ids=lambda prompt: type(prompt).__name__)
def test_what_is_no_prompt_is_refused(prompt):
    with pytest.raises((un.PromptError, un.ParameterError)):
        LM.generate(prompt)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 0.7}, r"temperature\(0\.7\)"),
        ({"foo": 1}, "max_new_tokens"),
        ({"ids": "ab"}, "name"),
        ({"ids": [1, 2]}, "name"),
        ({"ids": 2}, "name"),
        ({"ids": ["a"]}, "name"),
        ({"end_tokens": [6]}, "token 6"),
        ({"end_tokens": np.array([0, -1])}, "token -1"),
        ({"end_tokens": "ab"}, "end_tokens"),
        ({"level": "all"}, "stages"),
        ({"choices": 0}, "choices"),
        ({"max_new_tokens": True}, "max_new_tokens"),
    ],
)
def test_options_that_are_none_are_refused_by_name(options, words):
    with pytest.raises(un.ParameterError, match=words):
        LM.generate(["bc", "d"], **options)


class _YieldsNothing(un.Strategy):
    name = "yields_nothing"

    def choose(self, frontier):
        return None


class _RunsToAList(un.Strategy):
    name = "runs_to_a_list"

    def run(self, frontier):
        return [un.Choice(frontier.top(1)[1][:, 0], frontier.rows)]


class _RanksToNothing(un.Strategy):
    name = "ranks_to_nothing"

    def choose(self, frontier):
        return un.Choice(frontier.top(1)[1][:, 0], frontier.rows)

    def rank(self, finished):
        finished.sort(key=lambda h: -h.score)


class _LacksAMethod(un.Strategy):
    name = "lacks_a_method"


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (_YieldsNothing, "yielded None"),
        (_RunsToAList, "a generator"),
        (_RanksToNothing, "ranks to None"),
        (_LacksAMethod, "lacks a method"),
    ],
)
def test_a_strategy_that_says_nothing_is_refused_by_name(cls, words):
    with pytest.raises(un.PartError, match=rf"{cls.name}.*{words}"):
        un.LanguageModel(table(1)).generate([1, 2], dataclass(frozen=True)(cls)(), max_new_tokens=2)


def test_rows_of_a_strategy_inside_another_are_counted():
    with pytest.raises(un.UnspoolError, match=r"follow\(.*beam\(50000000000\)\) needs at least"):
        un.LanguageModel(table(1)).generate([1, 2], un.Follow((1,), un.Beam(50_000_000_000)), max_new_tokens=3)
