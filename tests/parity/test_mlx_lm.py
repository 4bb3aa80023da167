"""Processors against mlx-lm's samplers: as they answered once, and as they answer where it is installed."""

from functools import cache

import numpy as np
import pytest
from parity import peers
from parity.make_mlx_golden import CASES, INSTALLED, PARTINGS, TARGET, answers

import unspool as un

STORED = peers.read(TARGET)
REFERENCE = f"mlx-lm {STORED['mlx-lm']}"


@cache
def live():
    """What it says today."""
    return answers()


@pytest.fixture(params=["stored", "live"] if INSTALLED else ["stored"])
def theirs(request):
    return STORED if request.param == "stored" else live()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_scores(case, theirs, tally):
    parts = un.parse(f"{case.ours} | greedy").processors
    for (scores, text), answer in zip(case.inputs(), theirs["cases"][str(case)], strict=True):
        kind = peers.compare(parts, peers.stages(parts, text, scores), peers.unpacked(scores, answer))
        if theirs is STORED:
            tally(case.method, kind)


@pytest.mark.parametrize("parting", PARTINGS, ids=str)
def test_where_the_two_part(parting, theirs, tally):
    mine = peers.stages(un.parse(f"{parting.ours} | greedy").processors, (0,), parting.row())[-1][0]
    their = peers.unpacked(parting.row(), theirs["partings"][str(parting)])
    assert tuple(np.flatnonzero(mine > -np.inf)) == parting.ours_keeps
    assert tuple(np.flatnonzero(their > -np.inf)) == parting.theirs_keeps
    if theirs is STORED:
        tally.difference(parting.what, parting.why)
