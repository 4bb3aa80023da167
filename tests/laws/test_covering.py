"""The sets of decoders that the laws run over cover what they say."""

from itertools import product

from laws.covering import ALONE, DRAWING, KIND_OF, NO_WAY, OF_KIND, PROCESSORS, SHALLOW, STOPPED, WANTED, build, kinds, names, pairs, whole
from laws.examples import PROCESSOR_KINDS, STRATEGY_KINDS, processors, stops, strategies


def test_every_strategy_is_of_one_kind_and_every_kind_of_processor_has_an_example():
    assert sorted(cls.name for some in STRATEGY_KINDS.values() for cls in some) == sorted(cls.name for cls in strategies())
    assert set(KIND_OF.values()) == set(PROCESSOR_KINDS)


def test_every_processor_meets_every_kind_of_strategy():
    met = {(p, kind) for p, s in pairs() for kind, some in OF_KIND.items() if s in some}
    for cls, kind in product(processors(), STRATEGY_KINDS):
        assert any((p, kind) in met for p in PROCESSORS[cls]), (cls.name, kind)
    assert {p for p, _ in pairs()} == {p for some in PROCESSORS.values() for p in some}, "and every example meets some"


def test_every_strategy_is_alone_and_meets_every_kind_of_processor():
    every = set(product(PROCESSOR_KINDS, ALONE)) - {(kind, s) for kind, some in NO_WAY.items() for s in some}
    for found in (pairs(), kinds()):
        assert {(KIND_OF[p], s) for p, s in found} == every
    assert len(kinds()) == len(every)
    assert set(ALONE) == {str(s) for some in strategies().values() for s in some}


def test_the_whole_is_the_product_and_holds_the_others():
    every = set(product((str(p) for some in processors().values() for p in some), (str(some[0]) for some in strategies().values())))
    every = {(p, s) for p, s in every - SHALLOW if s not in WANTED | NO_WAY.get(KIND_OF[p], frozenset())}
    assert every | set(pairs()) == set(whole())
    assert set(kinds()) <= set(pairs())
    assert set(names("all")) == {f"{p} | {s}" for p, s in whole()} | {*ALONE, *STOPPED}
    assert {f"{s} | {stop}" for some in stops().values() for stop in some for s in ("sample(3)", "beam(3)")} == set(STOPPED)


def test_only_what_draws_is_left_out_on_demand():
    for which in ("pairs", "kinds", "all"):
        assert {name.split(" | ")[0] for name in set(names(which)) - set(names(which, draws=False))} == DRAWING


def test_a_decoder_is_built_from_its_name():
    for name in names("all"):
        assert str(build(name)) == name


