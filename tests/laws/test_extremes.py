"""Numbers at the ends of float32 and beyond: each acts as its limit, on both backends, or is refused."""

from dataclasses import fields, replace

import numpy as np
import pytest
from helpers.tables import BACKENDS, run, table
from laws.examples import processors, stops, strategies

import unspool as un

PROMPTS = [[1, 2, 3, 1], [2]]
HUGE = [1e30, 3e38, 3.4028234e38]
TINY = [1e-30, 1e-38, 1e-45, 1e-300, 5e-324]
BEYOND = [3.5e38, 1e39, 1e308, 10**40, 10**400, float("inf"), float("nan"), np.float64(1e300), np.float32("inf")]


def parts(make=np.asarray):
    """Of every part its first example, for a backend."""
    return {cls: some[0] for found in (processors(make), strategies(make), stops()) for cls, some in found.items()}


def numeric():
    """(class, field) for every field of every part that holds a number that need not be whole."""
    for cls, part in parts().items():
        for field in fields(cls):
            value = getattr(part, field.name)
            if field.type == "float" and not isinstance(value, bool) and isinstance(value, int | float):
                yield pytest.param(cls, field.name, id=f"{cls.name}-{field.name}")


def changed(part, name, value):
    """A part with another number, None if it refuses it."""
    try:
        return replace(part, **{name: value})
    except un.ParameterError:
        return None


@pytest.mark.parametrize(("cls", "name"), list(numeric()))
@pytest.mark.parametrize("sign", [1, -1])
def test_what_float32_cannot_hold_is_refused(cls, name, sign):
    for value in BEYOND:
        with pytest.raises(un.ParameterError):
            replace(parts()[cls], **{name: sign * value})


@pytest.mark.parametrize(("cls", "name"), list(numeric()))
def test_numbers_at_the_ends_are_numbers(cls, name):
    """What is taken decodes without a warning, to the same texts in numpy and in torch; nothing dies that could live."""
    for value in [*HUGE, *TINY, *(-v for v in HUGE), *(-v for v in TINY), 0.0]:
        found = []
        for make in BACKENDS.values():
            other = changed(parts(make)[cls], name, value)
            if other is not None:
                decoder = un.Decoder((other,) if other.role == "strategy" else (other, un.Sample(2)))
                found.append(run(table(5, backend=make), decoder, PROMPTS, 4))
        for mine in found:
            assert all(np.isfinite(h.logprob) for some in mine for h in some), value
        assert [[[h.tokens for h in some] for some in mine] for mine in found[1:]] == [
            [[h.tokens for h in some] for some in mine] for mine in found[:-1]
        ], value


def same(one, other, **options):
    """Whether two decoders say the same."""
    for make in BACKENDS.values():
        texts = [[[h.tokens for h in some] for some in run(table(5, backend=make), d, PROMPTS, 4, **options)] for d in (one, other)]
        assert texts[0] == texts[1]


@pytest.mark.parametrize("t", [1e-300, 1e-45, 1e-38, 1e-30])
def test_a_temperature_next_to_nothing_is_greedy(t):
    same(un.Temperature(t) | un.Sample(2), un.Temperature(0) | un.Sample(2))


@pytest.mark.parametrize("t", [1e30, 3.4e38])
def test_a_temperature_without_end_is_uniform(t):
    """On what can come: a token that is ruled out does not come back."""
    for make in BACKENDS.values():
        model = table(5, backend=make, end_tokens=())
        for some in run(model, un.Allowed(1, 3) | un.Temperature(t) | un.Sample(20), PROMPTS, 3):
            assert {t for h in some for t in h.tokens} == {1, 3}
            np.testing.assert_allclose([p for h in some for p in h.processed], np.log(0.5), atol=1e-6)


@pytest.mark.parametrize("amount", [1e30, 3.4e38])
def test_a_bias_without_end_decides(amount):
    same(un.Bias({2: amount}) | un.Sample(2), un.Allowed(2) | un.Sample(2))
    same(un.Bias({2: amount, (1, 2): amount}) | un.Sample(2), un.Allowed(2) | un.Sample(2))
    same(un.Bias({2: -amount}) | un.Sample(2), un.Suppress(2) | un.Sample(2))
    same(un.Bias({2: -amount, (1, 2): -amount}) | un.Sample(2), un.Suppress(2) | un.Sample(2))


@pytest.mark.parametrize("cls", processors())
def test_no_other_processor_is_upset_by_a_number_without_end(cls):
    for first in (un.Bias({2: 3e38, 3: -3e38}), un.RepetitionPenalty(1e30), un.Temperature(1e-30), un.FrequencyPenalty(-3e38)):
        for make in BACKENDS.values():
            model, other = table(5, backend=make), parts(make)[cls]
            for decoder in (first | other | un.Sample(2), other | first | un.Sample(2), first | other | un.Temperature(1e-300)):
                try:
                    found = run(model, decoder, PROMPTS, 3)
                except un.DeadEnd:                                        # where the constraint leaves nothing that the other leaves
                    assert first == un.Temperature(1e-30) or "Temperature" in repr(decoder)
                else:
                    assert all(np.isfinite(h.logprob) for some in found for h in some)


@pytest.mark.parametrize("penalty", [1e30, 3.4e38])
def test_penalties_without_end_forbid(penalty):
    for make in BACKENDS.values():
        for part in (un.PresencePenalty(penalty), un.FrequencyPenalty(penalty)):
            for some in run(table(5, backend=make, end_tokens=()), part | un.Sample(2), [[2]], 4):
                assert all(len(set(h.tokens)) == 4 for h in some)
