"""Every strategy passes the laws that unspool.testing ships; models, processors and stops do in tests/laws."""

import pytest
from helpers.tables import Letters
from laws.examples import strategies

import unspool as un
from unspool.testing import check_model, check_strategy

EXAMPLES = [s for some in strategies().values() for s in some]


@pytest.mark.parametrize("strategy", EXAMPLES, ids=str)
def test_a_strategys_laws(strategy):
    check_strategy(strategy, Letters(), tries=2)


DECODERS = ["temperature(0.7) | sample(2) | stop('ab')", "mirostat(0.8) | beam(2)", "follow('bc', then=exact(2, expand=3))"]


@pytest.mark.parametrize("text", DECODERS)
def test_a_decoders_laws(text):
    check_strategy(text, Letters(), tries=1)


def test_a_strategy_on_a_model_of_ones_own():
    lm = un.load()
    check_strategy(un.Beam(2, n=2), lm.tokenizer, model=lm.model, tries=1, tolerance=1e-3)
    check_model(lm, tries=1)
