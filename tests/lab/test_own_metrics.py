"""Metrics of one's own: known by name like ours, and told by name where they break."""

import math

import numpy as np
import pytest
from helpers.tables import END, Letters, table

import unspool as un
from unspool.core import elsewhere
from unspool.lab.registry import listed_metrics, metric_named

LM = un.LanguageModel(table(0), Letters(), "table 0")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(elsewhere, "DEFINED", {})
    monkeypatch.setattr("unspool.lab.own_metrics.DEFINED", elsewhere.DEFINED)


def compared(*names):
    return un.compare(LM, ["abc", "c", "ee"], ["greedy", "sample(2)"], seeds=2, max_new_tokens=5, metrics=names)


def test_a_function_is_a_mean_over_texts():
    @un.metric(unit="letters", decimals=1)
    def letters_a(sample):
        """How often a text says a.

        More of it, for people who read on."""
        return sample.text.count("a") if sample.text else None

    found = compared("letters_a", "length")
    for row in found.rows:
        texts = [g.text for g in found.generations if g.decoder == row.name and g.text]
        assert row.values["letters_a"].value == pytest.approx(np.mean([t.count("a") for t in texts]))
        assert math.isfinite(row.values["letters_a"].low)
    metric = metric_named("letters_a")
    assert (metric.definition, metric.unit, metric.decimals) == ("How often a text says a.", "letters", 1)
    assert "letters_a" in [m.name for m in listed_metrics()]
    assert "letters_a" in str(found)


def test_a_class_is_called_and_a_metric_is_taken_as_it_is():
    @un.metric
    class LastLetter:
        """Whether a text ends in a."""

        def __call__(self, sample):
            return sample.text.endswith("a")

    def different(samples):
        return len({token for sample in samples for token in sample.tokens})

    un.metric(un.Metric("vocabulary", "Different tokens.", "tokens", "of a collection", "any", whole=different))
    found = compared("last_letter", "vocabulary")
    assert 0 <= found.rows[0].values["last_letter"].value <= 1
    assert math.isnan(found.rows[0].values["vocabulary"].low)
    greedy = [t for g in found.generations if g.decoder == "greedy" for t in g.tokens if t != END]
    assert found.rows[0].values["vocabulary"].value == len(set(greedy))


def broken(answer):
    def broken_here(sample):
        return answer(sample)

    un.metric(broken_here)
    return "broken_here"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda s: 1 / 0, "the metric broken_here failed: ZeroDivisionError: division by zero"),
        (lambda s: "many", "the metric broken_here answered 'many'; it returns a number"),
        (lambda s: s.no_such, "the metric broken_here failed: AttributeError"),
    ],
)
def test_one_that_breaks_is_named(answer, said):
    with pytest.raises(un.PartError, match=said) as error:
        compared(broken(answer))
    assert "\n" not in str(error.value)


def test_a_metric_that_is_neither_and_names_that_are_taken():
    for wrong, said in ((5, "a metric is a function"), (type("NoCall", (), {}), "give it a __call__")):
        with pytest.raises(un.UnspoolError, match=said):
            un.metric(wrong)
    for name, said in (("length", "is there already"), ("rep_7", "is there already"), ("a b", "letters, digits and _")):
        with pytest.raises(un.ParameterError, match=said):
            un.metric(lambda s: 1, name=name)
    un.metric(lambda s: 1, name="twice_here")
    un.metric(lambda s: 2, name="twice_here")                             # as a notebook's cell that is run again
    scope = {"__name__": "elsewhere_defined", "un": un}
    with pytest.raises(un.ParameterError, match="twice_here is defined in"):
        exec("un.metric(lambda s: 3, name='twice_here')", scope)
    with pytest.raises(un.UnknownName, match="did you mean twice_here"):
        metric_named("twice_her")
