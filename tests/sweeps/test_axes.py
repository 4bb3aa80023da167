"""Sets and ranges in a decoder's text form: what stands for what, and one line for what is wrong."""

import pytest

import unspool as un
from unspool.sweeps.axes import read_template
from unspool.sweeps.settings import MOST_SETTINGS, check_search, settings_of


def axes(text):
    return [(axis.name, axis.values) for axis in read_template(text).axes]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("temperature({0.3..1.5 by 0.2})", [("temperature", ("0.3", "0.5", "0.7", "0.9", "1.1", "1.3", "1.5"))]),
        ("temperature({0.3..1.5 in 3})", [("temperature", ("0.3", "0.9", "1.5"))]),
        ("temperature({0.5..1.2 by 0.5})", [("temperature", ("0.5", "1"))]),
        ("min_p({0.001..0.1 in 3 log})", [("min_p", ("0.001", "0.01", "0.1"))]),
        ("top_k({1..100 in 5})", [("top_k", ("1", "26", "50", "75", "100"))]),
        ("top_k({1..100 in 5 log})", [("top_k", ("1", "3", "10", "32", "100"))]),
        ("temperature({1..2 in 3})", [("temperature", ("1", "1.5", "2"))]),
        ("top_p(0.9, min_keep={1..4 in 2})", [("top_p.min_keep", ("1", "4"))]),
        ("top_k({10..50 by 20}) | {sample, best_of(4)}", [("top_k", ("10", "30", "50")), ("part", ("sample", "best_of(4)"))]),
        ("top_p({.8, 0.9}, min_keep={1,2})", [("top_p", (".8", "0.9")), ("top_p.min_keep", ("1", "2"))]),
        ("xtc(0.1, {0.2,0.5})", [("xtc.probability", ("0.2", "0.5"))]),
        ("skew({-1..1 by 1})", [("skew", ("-1", "0", "1"))]),
        ("bias({' a': {1, 2}}) | greedy", [("bias", ("1", "2"))]),
        ("greedy | stop({'a,b', \"{x}\", ('}', ']')})", [("stop", ("'a,b'", '"{x}"', "('}', ']')"))]),
        ("temperature({1,2}) | temperature({3,4})", [("temperature", ("1", "2")), ("temperature (2)", ("3", "4"))]),
        ("best_of(4, {logprob_1, 'it\\'s {3}'})", [("best_of.by", ("logprob_1", "'it\\'s {3}'"))]),
    ],
)
def test_what_stands_in_braces(text, found):
    names = axes(text)
    assert [values for _, values in names] == [values for _, values in found]
    if "best_of(4, {" not in text:
        assert names == found


def test_a_setting_is_the_text_with_its_values():
    template = read_template("temperature({0.5,1}) | top_p({0.8,0.9}) | sample")
    made = settings_of(template, None, 0)
    assert [one.text for one in made] == [f"temperature({t}) | top_p({p}) | sample" for t in ("0.5", "1") for p in ("0.8", "0.9")]
    assert [un.parse(one.text) for one in made] == [one.decoder for one in made]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("top_p(0.9) | sample", "nothing to sweep"),
        ("top_p({}) | sample", "the set of top_p is empty"),
        ("top_p({0.8,,0.9})", "has an empty place"),
        ("top_p({0.8, })", "has an empty place"),
        ("top_p({0.8,0.9,0.8})", "has 0.8 twice"),
        ("top_p({0.8", "the brace of '{0.8' is not closed"),
        ("temperature({0.7, 1) | sample", "the brace of '{0.7, 1) | sample' is not closed"),
        ("top_p({0.8, 1]}) | sample", "the brace of '{0.8, 1]}) | sample' is not closed"),
        ("{top_p(0.9}, min_p(0.1)}", "the '(' of '{top_p(0.9}, min_p(0.1)}' is not closed"),
        ("greedy | stop({'a', 'b) | end(1)", "is not closed"),
        ("{temperature(1), }", "the set {temperature(1), } has an empty place"),
        ("{greedy, greedy}", "the set {greedy, greedy} has greedy twice"),
        ("temperature({0..1 by 1e-300})", "has more than 10000 values"),
        ("temperature({0..1 by 1e-9999999})", "has more than 10000 values"),
        ("temperature({0..1e9999999 by 1})", "has an end that is too large"),
        ("temperature({0..1 by 1e9999999})", "has one value"),
        (f"temperature({{0..1 in {'9' * 5000}}})", "cannot read the range"),
        ("top_p({0.9..0.8 by 0.1})", "goes from 0.9 to 0.8"),
        ("top_p({0.8..0.9 by 0})", "must be above 0; got 0"),
        ("top_p({0.8..0.9 by -0.1})", "must be above 0; got -0.1"),
        ("top_p({0.8..0.9 by 0.2})", "has one value"),
        ("top_p({0.8..0.9 in 1})", "at least 2 values; got 1"),
        ("top_p({0.8...0.9 by 2})", "cannot read the range {0.8...0.9 by 2} of top_p: a set is {0.8, 0.9} and a range {0.3..1.5 by 0.2}"),
        ("top_p({a..b})", "cannot read the range"),
        ("top_k({1..3 in 5})", "has fewer than 5 whole numbers apart"),
        ("top_k({1..10 in 9 log})", "has fewer than 9 whole numbers apart"),
        ("min_p({0..0.1 in 5 log})", "begins above 0"),
        ("min_p({0.1..1 by 0.1 log})", "log goes with a number of values"),
        ("temperature({0..1 by 0.000001})", "has more than 10000 values"),
    ],
)
def test_what_is_wrong_with_braces(text, said):
    with pytest.raises(un.UnspoolError) as error:
        read_template(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("temperature({0..100 by 1}) | top_k({1..100 by 1})", {}, "the grid has 10100 settings, more than 2000"),
        ("temperature({1,2})", {"search": "random"}, "search random draws settings: say how many, by settings or budget"),
        ("temperature({1,2})", {"settings": 4}, "a grid is tried whole"),
        ("temperature({1,2})", {"search": "random", "settings": 1}, "settings is a whole number >= 2, for at least 2 settings"),
        ("temperature({1,2})", {"search": "random", "settings": 3, "budget": 4}, "not both"),
        ("temperature({1,2})", {"search": "gird"}, "grid, random, halving"),
    ],
)
def test_what_is_wrong_with_a_search(text, options, said):
    with pytest.raises(un.UnspoolError) as error:
        check_search(read_template(text), **({"search": "grid", "settings": None, "budget": None} | options))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("temperature({1, -1}) | sample", "the setting temperature(-1) | sample cannot be: temperature(t) needs a finite number >= 0; got"),
        ("top_p({0.9..1.1 by 0.1})", "the setting top_p(1.1) cannot be: top_p(p) needs a number in [0, 1]; got 1.1"),
        ("temprature({0.5, 1})", "did you mean temperature"),
        ("{greedy, beem(2)}", "the setting beem(2) cannot be"),
        ("temperature({1, 1.0})", "temperature(1) and temperature(1.0) are the same decoder"),
    ],
)
def test_a_setting_that_cannot_be_is_named(text, said):
    with pytest.raises(un.UnspoolError) as error:
        settings_of(read_template(text), None, 0)
    assert said in str(error.value)


def test_random_settings_are_different_within_their_ranges_and_the_same_again():
    whole = settings_of(read_template("top_k({1..1000 log}) | temperature({1..2})"), 50, 0)
    assert all(k.isdecimal() and 1 <= int(k) <= 1000 and 1 <= float(t) <= 2 for k, t in (one.values for one in whole))
    assert sum("." in one.values[1] for one in whole) > 40                # a temperature need not be whole
    template = read_template("temperature({0.3..1.5}) | top_k({5..50}) | min_p({0.001..0.1 log}) | {sample, greedy}")
    made = settings_of(template, 200, 3)
    assert made == settings_of(template, 200, 3)
    assert made != settings_of(template, 200, 4)
    assert len({one.text for one in made}) == 200
    for one in made:
        t, k, p, _ = one.values
        assert 0.3 <= float(t) <= 1.5
        assert 5 <= int(k) <= 50
        assert 0.001 <= float(p) <= 0.1
    assert {one.values[3] for one in made} == {"sample", "greedy"}
    assert {one.values[1] for one in made} >= {"5", "50"}
    assert 60 < sum(float(one.values[2]) < 0.01 for one in made) < 140    # half of a range of factors lies below its middle


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("temperature({0.3..1.5})", ("0.3", "0.5", "0.7", "0.9", "1.1", "1.3", "1.5")),
        ("min_p({0.001..1 log})", ("0.001", "0.00316228", "0.01", "0.0316228", "0.1", "0.316228", "1")),
        ("top_k({1..100})", ("1", "18", "34", "50", "67", "84", "100")),
        ("top_k({3..5})", ("3", "4", "5")),
        ("top_k({5, 9})", ("5", "9")),
    ],
)
def test_a_grid_takes_seven_values_of_a_range_that_does_not_say_which(text, values):
    template = read_template(text).spread()
    assert [axis.values for axis in template.axes] == [values]
    assert [one.values for one in settings_of(template, None, 0)] == [(value,) for value in values]


def test_as_many_as_there_are_is_the_grid():
    template = read_template("temperature({0.5,1}) | top_p({0.8,0.9}) | sample")
    assert settings_of(template, 4, 0) == settings_of(template, 99, 0) == settings_of(template, None, 0)
    some = {one.text for one in settings_of(template, 3, 0)}
    assert len(some) == 3
    assert some < {one.text for one in settings_of(template, None, 0)}


def test_a_grid_of_the_most_is_made():
    text = f"temperature({{1..{MOST_SETTINGS} by 1}})"
    check_search(read_template(text), "grid", None, None)
    assert len(settings_of(read_template(text), None, 0)) == MOST_SETTINGS
