"""One step of sampling under every processor has exactly the distribution that the processor leaves."""

import numpy as np
import pytest
from helpers.checks import fits
from helpers.tables import Letters, run, table, texts
from laws.examples import PROCESSOR_KINDS, processors

import unspool as un
from unspool.arrays import host, softmax

DRAWS = 1000
PROMPT = [0, 4, 1, 2, 3, 1, 2]
EXAMPLES = {str(part): part for some in processors().values() for part in some}
EXAMPLES = {name: part for name, part in EXAMPLES.items() if not PROCESSOR_KINDS["draws"](part)}
"""What draws has its own law (test_sampling.py, test_watermark.py): it draws once a step, so
of a prompt's samples the first tokens share a draw."""


def left_by(part, model, prompt):
    """{(token,): probability} after the processor, asked for once and without a search."""
    length = np.asarray([len(prompt)])
    rows = un.Rows(np.asarray([prompt]), length, length, tuple(model.end_tokens), lambda purpose: np.zeros(1))
    scores, memory = logits_of(model, prompt), [part.begin(np.asarray(prompt))] if part.stateful else None
    rows.companions = tuple(logits_of(c, part.companion_prompt(np.asarray(prompt), i)) for i, c in enumerate(part.companions()))
    rows.layers = tuple(logits_of(model, prompt, layer) for layer in part.reads_layers)
    after = part.process(rows, scores, memory)[0].astype(np.float64)
    return {(token,): p for token, p in enumerate(softmax(after[None])[0]) if p > 0}


def logits_of(model, text, layer=None):
    session = model.session(un.Plan(layers=() if layer is None else (layer,)))
    return host(session.logits(session.extend([-1], [list(map(int, text))]), layer))


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_drawn_is_what_is_left(name):
    part, model = EXAMPLES[name].resolve(Letters()), table(seed=6)
    (drawn,) = run(model, part | un.Sample(DRAWS), [PROMPT], 1, seed=3)
    fits(texts(drawn), left_by(part, model, PROMPT))
