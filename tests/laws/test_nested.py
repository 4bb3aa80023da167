"""Strategies around strategies: a wrapper that changes nothing leaves no trace, and every row gets what it would have got alone."""

import re
from dataclasses import dataclass
from itertools import count

import numpy as np
import pytest
from helpers.tables import PROMPTS, Letters, run, same, table, texts
from laws.covering import ALONE, build
from laws.wrappers import NEUTRAL, _BestOf, _Branch, _Consensus, _Fork, _Handed, _Plain, _Same, _SameAlone, _TopAlone, saved

import unspool as un

MODEL = table(seed=1)
LM = un.LanguageModel(MODEL, Letters())
TEXTS = ["bcd", "c", "bcd", "aebcdb"]
EVERY = pytest.mark.parametrize("name", ALONE)
DETERMINISTIC = ["greedy", "contrastive_search(3, alpha=0.2)", "exact", "exact(4, expand=3)"]
DETERMINISTIC += ["beam(3, length_penalty=0.0)", "beam(3, length_penalty=0.0, early_stopping='never', n=3)", "follow((1, 3, 0, 2))"]
DRAFT = table(seed=77)
DRAWING = {"sample": un.Sample(), "speculative": un.Speculative(DRAFT), "speculative(2)": un.Speculative(DRAFT, tokens=2)}


def strategy(name):
    return build(name).strategy if name in ALONE else un.parse(name).strategy


def records(decoder, path, level="stages", prompts=TEXTS, **options):
    """The trace files of all prompts, with the texts and their numbers."""
    outputs = LM.generate(prompts, un.Temperature(0.9) | decoder, level=level, seed=3, max_new_tokens=5, **options)
    return [(saved(o.trace, path), o.sequences, o.failure) for o in outputs]


@EVERY
@pytest.mark.parametrize("wrapper", NEUTRAL)
def test_a_wrapper_that_changes_nothing_leaves_no_trace(name, wrapper, tmp_path):
    inner = strategy(name)
    assert records(NEUTRAL[wrapper](inner), tmp_path) == records(inner, tmp_path)


AROUND = {
    "branch": lambda s: _Branch(2, s),
    "fork": lambda s: _Fork(2, _Handed(s)),
    "best of": lambda s: _Same(_BestOf(3, _Handed(s))),
    "consensus": lambda s: _Handed(_Consensus(3, s)),
    "branch in branch": lambda s: _Branch(2, _Plain(_Branch(2, s))),
    "after a text": lambda s: un.Follow((1, 2), _Branch(2, s)),
}


@EVERY
@pytest.mark.parametrize("wrapper", AROUND)
def test_the_whole_record_in_a_batch_is_that_alone(name, wrapper, tmp_path):
    decoder = AROUND[wrapper](strategy(name))
    for level in ("tokens", "stages"):
        for prompt, together in zip(TEXTS, records(decoder, tmp_path, level), strict=True):
            assert records(decoder, tmp_path, level, [prompt]) == [together]


@EVERY
def test_levels_say_more_and_change_nothing(name, tmp_path):
    decoder = _Branch(2, _SameAlone(strategy(name)))
    found = {level: LM.generate(TEXTS, decoder, level=level, max_new_tokens=4, seed=3) for level in ("off", "tokens", "choices", "stages")}
    for outputs in found.values():
        assert [o.sequences for o in outputs] == [o.sequences for o in found["off"]]
    for some, most in zip(found["tokens"], found["stages"], strict=True):
        born = [[step.nodes.tolist() for step in o.trace.steps if len(step)] for o in (some, most)]
        assert born[0] == born[1]


@EVERY
def test_one_branch_is_what_follows_the_likeliest_token(name):
    inner = strategy(name)
    for prompt in PROMPTS:
        token = texts(run(MODEL, "greedy", [prompt], 1)[0])[0][0]
        same(run(MODEL, _Branch(1, inner), [prompt], seed=5)[0], run(MODEL, _Same(_Branch(1, inner)), [prompt], seed=5)[0], 0)
        if token != 5 and not isinstance(inner, un.Follow):
            same(run(MODEL, _Branch(1, inner), [prompt], seed=5)[0], run(MODEL, un.Follow((token,), inner), [prompt], seed=5)[0])


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("wrapper", ["handed", "same in handed", "own in handed in plain"])
def test_every_branch_has_what_its_text_would_have_alone(name, wrapper):
    inner = strategy(name)
    for prompt, found in zip(PROMPTS, run(MODEL, _Branch(3, NEUTRAL[wrapper](inner)), PROMPTS), strict=True):
        expected = []
        for token in np.argsort(-MODEL.probabilities(tuple(prompt)), kind="stable")[:3].tolist():
            expected += [(token,)] if token == 5 else [(token, *text) for text in texts(run(MODEL, inner, [[*prompt, token]], 4)[0])]
        assert sorted(texts(found)) == sorted(expected)


def test_branches_of_exact_search_are_all_there():
    (found,) = run(MODEL, _Branch(3, un.Exact(expand=5)), [[1, 2, 3]])
    assert len({h.tokens[0] for h in found}) == len(found) == 3


@pytest.mark.parametrize("name", DRAWING)
def test_forks_draw_apart(name):
    inner = DRAWING[name]
    forked = run(MODEL, _Fork(6, _Handed(inner)), PROMPTS, 8, seed=2, end_tokens=())
    for one, several in zip(run(MODEL, inner, PROMPTS, 8, seed=2, end_tokens=()), forked, strict=True):
        assert one[0].tokens == several[0].tokens
        assert len(set(texts(several))) >= 5
    for few, many in zip(run(MODEL, _Fork(3, _Handed(inner)), PROMPTS, 8, seed=2, end_tokens=()), forked, strict=True):
        assert texts(few) == texts(many)[:3]


def test_forks_of_single_samples_are_samples():
    for handed, plain in zip(run(MODEL, _Fork(4, _Handed(un.Sample())), PROMPTS), run(MODEL, un.Sample(4), PROMPTS), strict=True):
        assert sorted(texts(handed)) == sorted(texts(plain))


@pytest.mark.parametrize("name", DRAWING)
@pytest.mark.parametrize("best", [_BestOf, _Consensus])
@pytest.mark.parametrize("outer", ["same", "same alone", "handed", "plain", "own in handed in plain"])
def test_a_rank_of_its_own_holds_inside_others(name, best, outer):
    inner = _Handed(DRAWING[name])
    drawn = run(MODEL, _Fork(5, inner), PROMPTS, seed=9)
    for found, several in zip(run(MODEL, NEUTRAL[outer](best(5, inner)), PROMPTS, seed=9), drawn, strict=True):
        assert texts(found) == texts(best(5, inner).rank(several))


@pytest.mark.parametrize("name", ["sample(3)", "beam(3, early_stopping='never', n=3)", "exact(4, expand=3)"])
def test_a_wrapper_for_single_rows_ranks_each_of_them(name):
    inner = strategy(name)
    for found in run(MODEL, _Branch(3, _TopAlone(inner)), PROMPTS, end_tokens=()):
        assert len(found) == len({h.tokens[0] for h in found}) == 3
    assert [texts(f) for f in run(MODEL, _Same(_TopAlone(inner)), PROMPTS)] == [texts(f) for f in run(MODEL, _TopAlone(inner), PROMPTS)]


@dataclass(frozen=True)
class _Dies(un.Processor):
    """After token 2 nothing may come."""

    def process(self, rows, scores, memory=None):
        return np.where((rows.tokens[:, -1] == 2)[:, None], -np.inf, scores).astype(np.float32)


@EVERY
@pytest.mark.parametrize("wrapper", ["same", "own", "handed", "same in alone in same"])
def test_a_prompt_that_dies_inside_a_wrapper_dies_alone(name, wrapper, tmp_path):
    inner = strategy(name)
    bare, wrapped = (LM.generate(TEXTS, _Dies() | s, max_new_tokens=4, seed=3, level="choices") for s in (inner, NEUTRAL[wrapper](inner)))
    assert [o.sequences for o in bare] == [o.sequences for o in wrapped]
    assert [bool(o.failure) for o in bare] == [bool(o.failure) for o in wrapped] == [not o.sequences for o in bare]
    assert [saved(o.trace, tmp_path) for o in bare] == [saved(o.trace, tmp_path) for o in wrapped]
    if not isinstance(inner, un.Follow):
        assert wrapped[1].sequences == []
        with pytest.raises(un.DeadEnd):
            LM.generate(TEXTS[1], _Dies() | NEUTRAL[wrapper](inner))


@pytest.mark.parametrize("wrapper", ["same", "own", "handed", "own in handed in plain"])
def test_why_a_prompt_is_dead_is_said_through_wrappers(wrapper):
    inner = un.SequentialMonteCarlo(3)
    bare, wrapped = (LM.generate(TEXTS, s, max_new_tokens=2, end_tokens=()) for s in (inner, NEUTRAL[wrapper](inner)))
    assert [o.failure for o in wrapped] == [o.failure for o in bare]
    assert all("none of 3 particles" in o.failure for o in bare)


def test_a_prompt_of_which_some_branch_lives_is_not_dead():
    decoder = _Branch(5, _Handed(un.SequentialMonteCarlo(2)))
    outputs = [LM.generate(TEXTS, decoder, max_new_tokens=3, seed=seed) for seed in range(3)]
    assert any(0 < len(o.sequences) < 5 for some in outputs for o in some)
    for seed in range(3):
        run(MODEL, decoder, [Letters().encode(text) for text in TEXTS], 3, seed=seed)    # raises where a prompt is held for dead


def test_branches_that_die_leave_the_others():
    for prompt, found in zip(PROMPTS, run(MODEL, _Dies() | _Branch(5, un.Exact()), PROMPTS, end_tokens=()), strict=True):
        assert prompt[-1] == 2 or sorted({h.tokens[0] for h in found}) == [t for t in sorted(top(prompt, 5)) if t != 2]


def top(prompt, k):
    return np.argsort(-MODEL.probabilities(tuple(prompt)), kind="stable")[:k].tolist()


@dataclass(frozen=True)
class _Longest(un.Around):
    """Of the rows that it gets it lets only those of one prompt ask the second model."""

    many = False
    then: un.Strategy

    def run(self, frontier):
        yield from (self.then if frontier.prompt_lengths[0] == 3 else un.Sample()).run(frontier)


@pytest.mark.parametrize("outer", ["same", "handed", "handed in handed"])
def test_a_second_model_may_be_asked_by_one_prompt_of_several(outer):
    prompts = [[1, 2, 3], [2], [4, 4]]
    found = run(MODEL, NEUTRAL[outer](_Longest(un.Speculative(DRAFT))), prompts, 20, seed=1, end_tokens=())
    same(found[0], run(MODEL, un.Speculative(DRAFT), prompts[:1], 20, seed=1, end_tokens=())[0])
    for prompt, mine in zip(prompts[1:], found[1:], strict=True):
        assert texts(mine) == texts(run(MODEL, un.Sample(), [prompt], 20, seed=1, end_tokens=())[0])


def test_speculation_inside_wrappers_is_greedy_where_nothing_is_drawn():
    for wrapper, k in zip(NEUTRAL.values(), count(1)):
        decoder = un.Temperature(0) | wrapper(un.Speculative(DRAFT, k % 5 + 1))
        assert [texts(f) for f in run(MODEL, decoder, PROMPTS, 9)] == [texts(f) for f in run(MODEL, un.Greedy(), PROMPTS, 9)]


@dataclass(frozen=True)
class _Further(un.Exact):
    """Exact search by its own name; `start` is the other's way."""

    ask: str = "start"

    def run(self, frontier):
        yield from getattr(super(), self.ask)(frontier)


def test_a_strategy_goes_on_as_the_one_it_is_made_of():
    for wrapper in (lambda s: s, *NEUTRAL.values()):
        for found, expected in zip(run(MODEL, wrapper(_Further(3)), PROMPTS), run(MODEL, un.Exact(3), PROMPTS), strict=True):
            same(found, expected, 0)
    with pytest.raises(un.PartError, match=r"super\(\)\.start"):
        run(MODEL, _Further(3, ask="run"), PROMPTS)


# --- who is at fault ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lost(un.Strategy):
    """Chooses a token that there is not."""

    name = "lost"
    def choose(self, frontier):
        return un.Choice(np.full(len(frontier), 99), frontier.rows)


@dataclass(frozen=True)
class _LostInAHelper(un.Strategy):
    """The same by a generator that is no method."""

    name = "in_a_helper"
    def run(self, frontier):
        yield from _lost(frontier)


def _lost(frontier):
    yield un.Choice(np.full(len(frontier), 99), frontier.rows)


@dataclass(frozen=True)
class _LostAlone(_Lost):
    name, many = "alone", False

    def run(self, frontier):
        yield self.choose(frontier)


@dataclass(frozen=True)
class _Says(un.Strategy):
    """Yields what is no choice."""

    name = "says"
    def run(self, frontier):
        yield "a word"


@dataclass(frozen=True)
class _Unranked(un.Strategy):
    """Ranks to None."""

    name = "unranked"
    def choose(self, frontier):
        return un.Choice(frontier.top(1)[1][:, 0], frontier.rows)

    def rank(self, finished):
        return None


@dataclass(frozen=True)
class _Beyond(un.Strategy):
    """Names a token that there is not, and needs what no table gives."""

    name = "beyond"
    needs = frozenset({"visions"})
    token: int = 1

    def token_ids(self):
        return [self.token]


@dataclass(frozen=True)
class _Around(un.Around):
    """Is at fault itself once the strategy inside is done, or when it ranks."""

    name = "around"
    then: un.Strategy
    wrong: str = ""

    def run(self, frontier):
        if self.wrong == "before":
            yield "a word"
        yield from self.then.run(frontier)
        if self.wrong == "after":
            yield "a word"

    def rank(self, finished):
        return None if self.wrong == "rank" else super().rank(finished)


@pytest.mark.parametrize(
    ("decoder", "fault"),
    [
        (_Branch(2, _Lost()), "lost"),
        (_Branch(2, _LostInAHelper()), "in_a_helper"),
        (_Branch(2, _Branch(2, _Lost())), "lost"),
        (_Branch(2, _LostAlone()), "alone"),
        (_Around(_Says()), "says"),
        (_Same(_Unranked()), "unranked"),
        (_Same(_Same(_Unranked())), "unranked"),
        (_Around(_Same(_Lost())), "lost"),
        (_Around(un.Greedy(), wrong="before"), "around"),
        (_Around(un.Greedy(), wrong="after"), "around"),
        (_Around(un.Greedy(), wrong="rank"), "around"),
        (_Same(_Around(un.Greedy(), wrong="rank")), "around"),
        (un.Follow((1, 2), _Lost()), "lost"),
        (_Same(_Beyond(99)), "beyond"),
        (_Same(_Beyond()), "beyond"),
    ],
    ids=repr,
)
def test_of_nested_strategies_the_one_at_fault_is_named(decoder, fault):
    with pytest.raises(un.UnspoolError) as said:
        LM.generate(["abc", "c"], decoder, max_new_tokens=3)
    named = str(said.value).removeprefix("the strategy ").removeprefix("this model's session gives no visions, which ")
    assert re.match(r"\w+", named)[0] == fault, named
