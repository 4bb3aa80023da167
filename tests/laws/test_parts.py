"""Rules that act in a part of the text: what is inside is there as if the part were its text, and all before it its prompt."""

import re

import numpy as np
import pytest
from helpers.tables import BACKENDS, END, PROMPTS, Letters, run, table
from laws.examples import processors, spelled, stops

import unspool as un
from unspool.core.lane import Lane
from unspool.processors.conditions import Repeats, condition
from unspool.testing import check_processor, check_stop
from unspool.testing.worlds import Definition

RULES = (un.After, un.Until, un.Between, un.When)
PROCESSORS = {str(p): p for cls, some in processors().items() for p in some if cls not in (*RULES, un.Heal)}
STOPS = {str(p): p for some in stops().values() for p in some}
MODEL = table(seed=3)
every_processor = pytest.mark.parametrize("name", PROCESSORS)
every_stop = pytest.mark.parametrize("name", STOPS)


def resolved(name):
    return (PROCESSORS | STOPS)[name].resolve(Letters())


def distributions(part, prompt, new):
    """The processed log-probabilities along a text, by definition."""
    return [processed for _, processed in Definition(MODEL, [part] if part else []).along(prompt, new)]


NEW = [0, 3, 1, 4, 0, 2, 2, 4]


@every_processor
def test_a_rule_that_always_acts_is_what_is_inside(name):
    """Bit for bit; from the beginning on, up to what never comes, and where always holds."""
    part = resolved(name)
    expected = distributions(part, [1, 2, 3], NEW)
    for rule in (un.After("", part), un.Until((2, 2, 2), part), un.When("always", part), un.When("position >= 0", part)):
        for one, other in zip(distributions(rule, [1, 2, 3], NEW), expected, strict=True):
            assert np.array_equal(one, other)


@every_processor
def test_a_rule_that_never_acts_is_nothing(name):
    part = resolved(name)
    expected = distributions(None, [1, 2, 3], NEW)
    for rule in (un.Until("", part), un.After((2, 2, 2), part), un.Between((2, 2, 2), 1, part), un.When("never", part)):
        for one, other in zip(distributions(rule, [1, 2, 3], NEW), expected, strict=True):
            assert np.array_equal(one, other)


@every_processor
def test_a_part_is_the_text_of_what_is_inside_and_all_before_it_the_prompt(name):
    part = resolved(name)
    plain = distributions(None, [1, 2], NEW)
    if part.companions():
        return                                                           # another model that reads another prompt goes on from there
    after, between, until = (distributions(r, [1, 2], NEW) for r in (un.After((1, 4), part), un.Between(3, 0, part), un.Until(1, part)))
    alone = distributions(part, [1, 2, *NEW[:4]], NEW[4:])
    for one, other in zip(after, [*plain[:4], *alone], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    inside = distributions(part, [1, 2, *NEW[:2]], NEW[2:5])
    for one, other in zip(between, [*plain[:2], *inside[:3], *plain[5:]], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    before = distributions(part, [1, 2], NEW)
    for one, other in zip(until, [*before[:3], *plain[3:]], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@every_processor
def test_a_part_begins_anew_as_often_as_asked(name):
    part = resolved(name)
    if part.companions():
        return
    new = [3, 0, 3, 1, 4]
    again, once = (distributions(un.After(3, part, times=n), [1, 2], new) for n in (None, 1))
    np.testing.assert_allclose(again[-1], distributions(part, [1, 2, 3, 0, 3], [1, 4])[-1], atol=1e-6)
    np.testing.assert_allclose(once[-1], distributions(part, [1, 2, 3], [0, 3, 1, 4])[-1], atol=1e-6)


def test_a_phrase_in_the_prompt_counts_if_asked_for():
    part = un.Temperature(0.5)
    plain, inside = (distributions(p, [1, 2, 0], [4])[0] for p in (None, part))
    for rule, expected in (
        (un.After((1, 2), part), plain),
        (un.After((1, 2), part, prompt=True), inside),
        (un.Until((1, 2), part, prompt=True), plain),
        (un.Between(1, 2, part, prompt=True), plain),
        (un.Between(2, 1, part, prompt=True), inside),
        (un.Between(2, 1, part), plain),
    ):
        assert np.array_equal(distributions(rule, [1, 2, 0], [4])[0], expected)


# --- stops --------------------------------------------------------------------------------------------------------------


def flags(part, prompt, new):
    """For every token of a text whether the stop ends it there."""
    lane = Lane(MODEL, stops=[part])
    rows = [int(lane.begin([np.asarray(prompt)])[0])]
    for token in new:
        lane.read[rows[-1]] = lane.session.logits([rows[-1]])[0]
        rows.append(int(lane.extend([rows[-1]], [[token]], every=True)[0]))
    found = []
    for n, token in enumerate(new):
        row = un.Rows(None, np.asarray([len(prompt) + n]), np.asarray([len(prompt)]), (END,))
        found += lane.ended(lane.ending[0], row, np.asarray([rows[n]]), np.asarray([token])).tolist()
    return found


@every_stop
def test_a_stop_in_a_part_reads_the_part(name):
    part, new = resolved(name), [0, 1, 0, 1, 2, 0, 1, 0, 1, 2, 3, 3]
    alone = flags(part, [3], new)
    for rule in (un.After("", part), un.Until((4, 4), part), un.When("always", part), un.When("entropy >= 0", part)):
        assert flags(rule, [3], new) == alone
    for rule in (un.Until("", part), un.After((4, 4), part), un.Between(4, 1, part), un.When("never", part)):
        assert not any(flags(rule, [3], new))
    assert flags(un.After((1, 2), part), [3], new) == [False] * 5 + flags(part, [3, *new[:5]], new[5:])
    assert flags(un.When("position >= 6", part), [3], new) == [False] * 6 + alone[6:]


STOP_RULES = [
    *(un.After(2, s) for s in (un.Loop(2), un.StopStrings("ab"), un.Confidence(0.4, 2, "likeliest"), un.TokenBudget(5), un.End(1))),
    un.Until(3, un.StopRegex("[ab]c")),
    un.Between(1, 1, un.StopStrings("cd", "aa")),
    un.When("loop >= 2 or entropy < 1", un.End(0, 2)),
    un.After("b", un.When("top_probability > 0.3", un.StopRegex("."))),
]


@pytest.mark.parametrize("part", STOP_RULES, ids=str)
def test_the_laws_of_stops(part):
    assert (part.role, type(part).role) == ("stop", "processor")
    check_stop(part, Letters())


TEXT_RULES = [
    un.After("ab", un.Mirostat(0.8)),
    un.Between("a", "bc", un.NoRepeatNgram(1)),
    un.After("b", un.Regex("[ab]*c"), times=None),
    un.Until("cd", un.When("loop >= 2", un.Temperature(2.0))),
    un.After("a", un.Between("b", "c", un.Dry(1.0, allowed_length=1, breakers=()))),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("part", TEXT_RULES, ids=str)
def test_the_laws_of_processors(part, backend):
    check_processor(part, Letters(), backend=BACKENDS[backend], tries=2 if backend == "numpy" else 1)


# --- phrases in a text, however it is cut -------------------------------------------------------------------------------


class Pieces(Letters):
    """Tokens of several characters, some of which cut across a phrase."""

    pieces = ("<", "/", "t", ">", "</", "/t", "</t", "t>", ">a", "t>b", "</t>", "a", "b", "ab", "x</", "")

    def __init__(self):
        super().__init__(len(self.pieces), (len(self.pieces) - 1,))

    def name_of(self, token):
        return self.pieces[token]

    def encode(self, text):
        return [self.pieces.index(c) for c in text]


def cuts(text, size):
    """Every way to spell a text in the pieces."""
    if not text:
        yield []
    for token, piece in enumerate(Pieces.pieces):
        if piece and text.startswith(piece):
            yield from ([token, *rest] for rest in cuts(text[len(piece) :], size))


@pytest.mark.parametrize("text", ["a</t>b", "<</t>ab", "</</t>a", "b</t>", "</t"])
def test_a_phrase_is_found_however_it_is_cut(text):
    """What acts after it acts as soon as it is whole, and a grammar reads what stands behind it even in the same token."""
    rule = un.After("</t>", un.Regex("(a|b)*")).resolve(Pieces())
    some = list(cuts(text, 3))
    assert len(some) > 1
    for new in some:
        memory = rule.begin(np.asarray([0]))
        for token in new:
            (memory,) = rule.advance([memory], [token], [])
        assert rule.inside(memory.met) == ("</t>" in text)
        scores = np.zeros((1, 16), np.float32)
        rows = un.Rows(None, np.asarray([1 + len(new)]), np.asarray([1]), (15,))
        rows.tokens = np.asarray([[0, *new]])
        left = {Pieces.pieces[t] for t in np.flatnonzero(rule.process(rows, scores, [memory])[0] > -np.inf)}
        if rule.inside(memory.met):
            assert left == {"a", "b", "ab", ""}


def test_a_token_that_goes_on_with_what_the_grammar_forbids_cannot_come():
    rule = un.After("</t>", un.Regex("b*")).resolve(Pieces())
    memory = rule.begin(np.asarray([0]))
    for token in ("</", "t"):
        (memory,) = rule.advance([memory], [Pieces.pieces.index(token)], [])
    rows = un.Rows(np.asarray([[0, 4, 2]]), np.asarray([3]), np.asarray([1]), (15,))
    left = {Pieces.pieces[t] for t in np.flatnonzero(rule.process(rows, np.zeros((1, 16), np.float32), [memory])[0] > -np.inf)}
    assert ">a" not in left
    assert {">", "a", "</t>"} <= left


def test_a_special_token_is_found_by_its_name():
    letters = Letters(specials=(END, 4))
    rule = un.After("e", un.Temperature(0.5)).resolve(letters)           # token 4, which is not shown
    memory = rule.begin(np.asarray([0]))
    (memory,) = rule.advance([memory], [4], [])
    assert rule.inside(memory.met)


# --- conditions -----------------------------------------------------------------------------------------------------------


def test_conditions_hold_where_they_say():
    values = {"entropy": np.asarray([0.5, 1.5, 2.5]), "position": np.asarray([0.0, 5.0, 9.0]), "loop": np.asarray([1.0, 3.0, 1.0])}

    def held(text):
        return condition(text).holds(3, values.__getitem__).tolist()

    assert held("entropy > 1") == [False, True, True]
    assert held("1 < entropy <= 2") == [False, True, False]
    assert held("not entropy > 1") == [True, False, False]
    assert held("entropy > 1 and position < 9 or loop != 1") == [False, True, False]
    assert held("position >= -1") == held("always") == held("not never") == [True] * 3
    assert held("position == 5") == [False, True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("entrpy > 2", "asks for 'entrpy' (did you mean entropy"),
        ("entropy", "has 'entropy' where a comparison belongs"),
        ("entropy in 2", "compares by in"),
        ("entropy > 'a'", "where a number or a measure belongs"),
        ("f(1) > 2", "where a number or a measure belongs"),
        ("entropy > True", "where a number or a measure belongs"),
        ("entropy >", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_what_is_no_condition_is_refused(text, said):
    with pytest.raises(un.ParameterError, match=re.escape(said)):
        un.When(text, un.TopK(2))


def test_a_loop_is_how_often_the_last_phrase_stands_in_a_row():
    def count(text):
        repeats = Repeats()
        for token in text:
            repeats = repeats.after(token)
        return repeats.count

    assert [count(t) for t in ("", "a", "ab", "aa", "abab", "ababa", "xabcabcabc", "aab", "abababcc")] == [1, 1, 1, 2, 2, 2, 3, 1, 2]


@pytest.mark.parametrize("backend", BACKENDS)
def test_measures_of_a_distribution(backend):
    from unspool.processors.conditions import measured

    p = np.asarray([[0.5, 0.25, 0.25, 0], [1, 0, 0, 0], [0.25] * 4])
    with np.errstate(divide="ignore"):
        value = measured(BACKENDS[backend](np.log(p).astype(np.float32) + 3))
    surprise = -np.log(np.where(p > 0, p, 1))
    entropy = (p * surprise).sum(-1)
    np.testing.assert_allclose(value("entropy"), entropy, atol=1e-6)
    np.testing.assert_allclose(value("varentropy"), (p * (surprise - entropy[:, None]) ** 2).sum(-1), atol=1e-6)
    np.testing.assert_allclose(value("top_probability"), p.max(-1), atol=1e-6)


# --- rules in runs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_when_takes_the_distribution_as_it_comes_in(backend):
    model = table(seed=4, backend=BACKENDS[backend])
    found = run(model, un.When("entropy > 1.3", un.Temperature(0)) | un.Sample(8), PROMPTS, 6, level="stages")
    assert len({tuple(h.tokens) for h in found[0]}) > 1


STRATEGIES = ["sample(2)", "beam(2)", "greedy", "contrastive_search(2)", "exact(2)"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_saved_trace_of_rules_is_read_again(strategy, tmp_path):
    decoder = f'between("a", "c", no_repeat_ngram(1)) | when("loop >= 2", temperature(2.0)) | {strategy} | after("b", stop_regex("dd"))'
    lm = un.LanguageModel(table(seed=5), Letters())
    output = lm.generate("abc", decoder, max_new_tokens=6, level="choices")
    output.trace.save(tmp_path / "run.jsonl")
    again = un.Trace.load(tmp_path / "run.jsonl")
    assert again.hypotheses == output.trace.hypotheses
    assert again.recipe["decoder"] == str(un.parse(decoder))
    assert lm.generate("abc", again.recipe["decoder"], max_new_tokens=6).text == output.text


def test_speculation_keeps_the_law_of_rules():
    """A draft's tokens, looked at in chains, are judged by the same rules: greedy speculation finds greedy's text."""
    rules = un.After(1, un.NoRepeatNgram(1)) | un.When("position >= 2 and entropy > 0.5", un.Bias({0: 2.0, 3: 1.0}))
    for seed in range(6):
        model = table(seed=seed)
        plain = run(model, rules | un.Temperature(0) | un.Sample(), PROMPTS, 8)
        drafted = run(model, rules | un.Temperature(0) | un.Speculative(table(seed=seed + 50), tokens=3), PROMPTS, 8)
        assert [[h.tokens for h in some] for some in plain] == [[h.tokens for h in some] for some in drafted]


def test_streamed_text_is_the_text():
    lm = un.LanguageModel(table(seed=5), Letters())
    decoder = 'after("a", regex("[bc]*d")) | sample | after("a", loop(3))'
    stream = lm.stream("abc", decoder, max_new_tokens=8)
    assert "".join(stream.text()) == lm.generate("abc", decoder, max_new_tokens=8).text


WRONG = {
    "after('a', greedy)": "takes a processor or a stop",
    "after('a', top_k(1) | top_p(0.5))": "write a rule for each of top_k(1) | top_p(0.5), joined by |",
    "after(-1, top_k(1))": "takes a phrase as a text, a token id",
    "after((), top_k(1))": "takes a phrase as a text, a token id",
    "between('a', '', top_k(1))": "between(close=...) needs a phrase",
    "between('a', 3, top_k(1))": "phrases of one kind",
    "after('a', top_k(1), times=0)": "after(times=...)",
    "after('', top_k(1), times=None)": "begins once",
    "until('a', top_k(1), prompt=1)": "until(prompt=...) is True or False",
    "when(2, top_k(1))": "is a text such as",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(un.UnspoolError, match=re.escape(WRONG[text])):
        un.parse(text)


def test_a_phrase_of_text_needs_a_tokenizer():
    with pytest.raises(un.ParameterError, match="needs a tokenizer"):
        run(MODEL, un.After("ab", un.TopK(1)), PROMPTS)


def test_a_grammar_acts_only_behind_its_phrase():
    rule = spelled(un.After("ab", un.Regex("c(d|e)*")), "abcdef")
    found = run(table(seed=9), rule | un.Sample(200), [[0]], 8)[0]
    texts = ["".join("abcdef"[t] for t in h.tokens) for h in found]
    behind = [t.partition("ab")[2] for t in texts if "ab" in t]
    assert len(behind) > 10
    assert all(re.fullmatch("(c[de]*f?)?", t) for t in behind)
    assert len({t[:2] for t in texts}) > 5


@pytest.mark.parametrize("token", [99999, 1114112, 99999999999999999999, (0, 1114112)])
@pytest.mark.parametrize("rule", ["after({}, top_k(2))", "until({}, top_k(2))", "between({}, 1, top_k(2))", "between(1, {}, top_k(2))"])
def test_tokens_that_no_model_has_are_refused_however_large(rule, token):
    with pytest.raises(un.ParameterError, match=r"ids are 0 to 5|0 to 5"):
        un.LanguageModel(MODEL, Letters()).generate("a", rule.format(token))


# --- texts that a limit cuts ---------------------------------------------------------------------------------------------


WHOLE_OR_NOT = {
    "choice((0, 1, 2), (0, 1), (3,))": ((0, 1, 2), (0, 1), (3,)),
    "prefix_constrained(((0, 1, 2), (0, 1), (3,)))": ((0, 1, 2), (0, 1), (3,)),
    "when('always', choice((0, 1, 2), (0, 1), (3,)))": ((0, 1, 2), (0, 1), (3,)),
}


@pytest.mark.parametrize("ends", [(), (5,)])
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
@pytest.mark.parametrize("text", WHOLE_OR_NOT)
def test_a_text_that_a_limit_cuts_before_it_is_whole_is_unfinished(text, limit, ends):
    lm = un.LanguageModel(table(3), Letters())
    for strategy in ("beam(6, n=3)", "sample(4)", "exact(3)", "prompt_lookup(2)"):
        for s in lm.generate("abc", f"{text} | {strategy}", max_new_tokens=limit, end_tokens=ends).sequences:
            new = tuple(t for t in s.tokens if t not in ends)
            assert (s.reason == "unfinished") == (new not in WHOLE_OR_NOT[text])
            assert s.reason in ("end", "complete", "length", "unfinished")


def test_of_a_part_of_the_text_its_own_end_is_asked():
    lm = un.LanguageModel(table(3), Letters())
    for limit in range(1, 6):
        s = lm.generate("abc", "forced({0: 4}) | after(4, choice((0, 1, 2)))", max_new_tokens=limit, end_tokens=()).best
        assert s.reason == ("unfinished" if limit < 4 else "complete")
    assert lm.generate("abc", "banned(4) | after(4, choice((0, 1, 2)))", max_new_tokens=3, end_tokens=()).best.reason == "length"
    text = un.load().generate("Once upon a time", "heal | regex('[0-9]{10}')", max_new_tokens=2).best
    assert text.reason == "unfinished"
