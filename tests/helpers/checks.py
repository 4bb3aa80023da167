"""Does a sample come from a distribution?"""

from collections import Counter

import numpy as np
from scipy import stats

LEAST = 1e-4
"""A law fails below this probability; seeds are fixed, so it fails always or never."""


def fits(drawn, exact) -> None:
    """Chi-squared of drawn texts against {text: probability}; rare texts are counted together."""
    counts, exact = Counter(drawn), dict(exact)
    strangers = set(counts) - set(exact)
    assert not strangers, f"drawn, but impossible: {sorted(strangers)[:3]}"
    total = sum(counts.values())
    mass = np.asarray(list(exact.values()))
    assert abs(mass.sum() - 1) < 1e-6
    observed = np.asarray([counts[text] for text in exact], float)
    often = mass * total >= 5
    observed = np.append(observed[often], observed[~often].sum())
    expected = np.append(mass[often], mass[~often].sum()) * total
    if expected[-1] < 5 and len(expected) > 1:
        observed, expected = np.append(observed[:-2], observed[-2:].sum()), np.append(expected[:-2], expected[-2:].sum())
    if len(expected) == 1:
        return
    p = stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue
    assert p > LEAST, f"the frequencies do not fit: p = {p:.2g}"
