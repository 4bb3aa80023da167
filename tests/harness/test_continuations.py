"""Continuations of contexts that have much in common: the numbers are those of each alone, and what is common is read once."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2

from unspool.errors import ModelError
from unspool.harness.continuations import continuations_units
from unspool.models.reading import read_transformer
from unspool.score import score_tokens

CONTEXT = 64


@pytest.fixture(scope="module")
def model():
    config, weights = tiny_gpt2(3)
    return read_transformer("gpt2", config, weights)


def scored(model, pairs, contexts=None):
    """The place of every pair and what it comes to."""
    return [one for unit in continuations_units(pairs, contexts) for one in unit.make(SimpleNamespace(model=model))]


class Counted:
    """A model that counts the tokens of its forwards."""

    def __init__(self, model):
        self.model, self.tokens, self.forwards = model, 0, 0
        self.vocabulary, self.context = model.vocabulary, model.context

    def session(self, plan):
        inner = self.model.session(plan)
        grow = inner.extend

        def extend(parents, chains, every=False):
            self.tokens += sum(map(len, chains))
            self.forwards += any(map(len, chains))
            return grow(parents, chains, every)

        inner.extend = extend
        return inner


def alone(model, context, continuation):
    """The same by the definition: the logits after every token."""
    session, text = model.session(), [*context, *continuation]
    row = session.extend([-1], [text], every=True)
    logits = session.logits(session.nodes.path(int(row[0])))[len(context) - 1 : -1]
    greedy = bool((np.argmax(logits, -1) == np.asarray(continuation)).all())
    return score_tokens(model, [(context, continuation)])[0].sum(), greedy


def pairs_of(seed, model, count=40):
    """Contexts that are equal, that begin alike, that are the beginning of others, and that have nothing in common; short and long."""
    rng = np.random.default_rng(seed)

    def draw(least, most):
        return tuple(rng.integers(0, 24, rng.integers(least, most + 1)).tolist())

    common, contexts = draw(20, 30), [draw(1, 40) for _ in range(4)]
    contexts += [common[:-1], common, *(common + draw(1, 8) for _ in range(4))]
    pairs = [(contexts[rng.integers(len(contexts))], draw(1, 5)) for _ in range(count)]
    context = contexts[0]
    greedy = []
    for _ in range(4):                                                    # what greedy search writes is among them
        session = model.session()
        greedy.append(int(np.argmax(session.logits(session.extend([-1], [[*context, *greedy]])))))
    return [*pairs, (context, tuple(greedy)), (draw(CONTEXT, CONTEXT), draw(1, 1)), (draw(1, 1), draw(CONTEXT, CONTEXT))]


@pytest.mark.parametrize("most", [None, 1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_those_of_each_alone(seed, most, model):
    pairs = pairs_of(seed, model)
    found = dict(scored(model, pairs, most))
    assert sorted(found) == list(range(len(pairs)))
    for i, (context, continuation) in enumerate(pairs):
        if len(context) + len(continuation) > CONTEXT:
            continue
        logprob, greedy = alone(model, context, continuation)
        assert found[i].logprob == pytest.approx(logprob, abs=1e-5)
        assert found[i].greedy == greedy
    assert found[len(pairs) - 3].greedy


def test_a_last_token_needs_no_room(model):
    full, short = pairs_of(0, model)[-2:]
    assert len(full[0]) == CONTEXT
    assert len(short[0] + short[1][:-1]) == CONTEXT
    found = dict(scored(model, [full, short]))
    session = model.session()
    logits = session.logits(session.extend([-1], [full[0]]))[0].astype(np.float64)
    assert found[0].logprob == pytest.approx(logits[full[1][0]] - np.log(np.exp(logits).sum()), abs=1e-5)


def test_what_is_common_is_read_once(model):
    shots = tuple(range(20))
    pairs = [((*shots, q, 1), answer) for q in range(5) for answer in ((2, 3, 4), (2, 3, 5), (6,), (7,))]
    counted = Counted(model)
    list(scored(counted, [*pairs, *pairs]))
    assert counted.tokens == 20 + 5 * 2 + 5 * 2 * 2
    assert counted.forwards == 3


def test_contexts_that_have_little_in_common_stand_alone(model):
    counted = Counted(model)
    list(scored(counted, [((1, 2, 3, 4, 5, 6), (1,)), ((1, 2, 9, 8, 7, 6), (1,))]))
    assert counted.tokens == 12


def test_no_more_contexts_together_than_asked(model):
    counted = Counted(model)
    list(scored(counted, [((q, 1), (2,)) for q in range(9)], contexts=2))
    assert counted.forwards == 5


def test_logits_that_are_no_numbers_are_told(model):
    config, weights = tiny_gpt2(3)
    weights["ln_f.bias"][0] = np.nan
    with pytest.raises(ModelError, match=r"ln_f\.bias"):
        list(scored(read_transformer("gpt2", config, weights), [((1,), (2,))]))
