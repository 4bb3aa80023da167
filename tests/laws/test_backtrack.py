"""Backtracking against its definition on exact models."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from helpers.tables import Letters, normalised, table

import unspool as un

END, LIMIT = 5, 5
PHRASES = [("a",), ("ab", "d"), ("bcd", "cc", "da"), ("abc", "aab")]
PROMPTS = ["bcd", "c", "bcd", "aebcdb"]


def lm(seed=1, tokenizer=None):
    return un.LanguageModel(table(seed=seed), tokenizer or Letters())


class Pairs(Letters):
    """Token 4 is the text "ab", so that phrases are cut in several ways."""

    def name_of(self, token):
        return "ab" if token == 4 else super().name_of(token)


def told(letters, tokens):
    return "".join(letters.bytes_of(t).decode() for t in tokens)


def taken_back(letters, tokens, phrases):
    """At which token the first phrase begins."""
    text = told(letters, tokens)
    places = [text.find(p) for p in phrases if p in text]
    if not places:
        return None
    ends = np.cumsum([len(told(letters, [t])) for t in tokens])
    return int(np.argmax(ends > min(places)))


def greedy_by_hand(model, letters, prompt, phrases, limit):
    new, bans = [], {}
    while len(new) < limit and END not in new:
        p = normalised(model.probabilities((*prompt, *new))).copy()
        p[list(bans.get(tuple(new), ()))] = 0
        new.append(int(np.argmax(p)))
        first = taken_back(letters, new, phrases)
        if first is not None:
            bans.setdefault(tuple(new[:first]), set()).add(new[first])
            new = new[:first]
    return tuple(new)


@pytest.mark.parametrize("phrases", PHRASES)
@pytest.mark.parametrize("letters", [Letters(), Pairs()])
def test_greedy_is_its_definition(phrases, letters):
    for seed in range(6):
        it = lm(seed, letters)
        for prompt, out in zip(PROMPTS, it.generate(PROMPTS, un.Backtrack(un.Greedy(), phrases), max_new_tokens=LIMIT), strict=True):
            assert tuple(out.tokens) == greedy_by_hand(it.model, letters, Letters().encode(prompt), phrases, LIMIT)


def law_of_sampling(model, letters, prompt, phrases, limit):
    """The law of a text under backtracking: what is redrawn is drawn from the rest; bans hold as long as the text before them stands."""
    found = Counter()

    def draw(new, bans, mass):
        if len(new) == limit or END in new:
            found[new] += mass
            return
        p = normalised(model.probabilities((*prompt, *new))).copy()
        p[list(bans.get(new, ()))] = 0
        for token, share in enumerate(normalised(p)):
            if share <= 0 or mass * share < 1e-9:
                continue
            first = taken_back(letters, (*new, token), phrases)
            if first is None:
                draw((*new, token), bans, mass * share)
            else:
                place = (*new, token)[:first]
                kept = {k: v for k, v in bans.items() if len(k) < first}
                draw(place, kept | {place: bans.get(place, frozenset()) | {(*new, token)[first]}}, mass * share)

    draw((), {}, 1.0)
    return found


@pytest.mark.parametrize("phrases", [("ab",), ("a", "bc"), ("abc", "ca")])
def test_the_law_of_sampling(phrases):
    it, runs, prompt = lm(3), 600, "b"
    expected = law_of_sampling(it.model, Letters(), Letters().encode(prompt), phrases, 3)
    assert sum(expected.values()) == pytest.approx(1, abs=1e-4)
    outputs = it.generate([prompt] * runs, un.Backtrack(un.Sample(), phrases), max_new_tokens=3, ids=[str(i) for i in range(runs)])
    counts = Counter(tuple(o.tokens) for o in outputs)
    assert set(counts) <= set(expected)
    likely = [t for t, mass in expected.items() if mass * runs >= 5]
    chi = sum((counts[t] - runs * expected[t]) ** 2 / (runs * expected[t]) for t in likely)
    assert chi < len(likely) + 4 * np.sqrt(2 * len(likely))


@dataclass(frozen=True)
class _Forbids(un.Around):
    """What backtracking has learned, from the first token on."""

    many = False
    then: un.Strategy
    bans: tuple

    def run(self, frontier):
        bans, walk = dict(self.bans), self.then.start(frontier)
        answer = None
        while True:
            frontier.forbid([bans.get(tuple(frontier.tokens(i).tolist()), ()) for i in range(len(frontier))])
            try:
                frontier = answer = yield walk.send(answer)
            except StopIteration:
                return

    def rank(self, finished):
        return self.then.rank(finished)


INNER = ["beam(3)", "beam(4, n=3, length_penalty=0.0, early_stopping='never')", "exact(3)", "stochastic_beam(3)", "best_of(beam(3, n=3))"]


@pytest.mark.parametrize("inner", ["beam(3)", "exact(3)", "beam(4, n=3, length_penalty=0.0, early_stopping='never')"])
@pytest.mark.parametrize("phrases", PHRASES)
def test_beams_are_those_of_the_model_without_what_was_banned(inner, phrases):
    """Run again and again with the bans of all texts before: a fixed point, found here from the steps of each run."""
    for seed, prompt in ((0, "bcd"), (2, "c"), (4, "aebc")):
        it, start, bans = lm(seed), Letters().encode(prompt), {}
        while True:
            decoder = _Forbids(un.parse(inner).strategy, tuple((k, tuple(v)) for k, v in bans.items()))
            out, learned = it.generate(prompt, decoder, max_new_tokens=5), False
            paths = {0: ()}
            for step in out.trace.steps:
                for parent, node, token in zip(step.parents.tolist(), step.nodes.tolist(), step.tokens.tolist(), strict=True):
                    paths[node] = (*paths[parent], token)
                    first = taken_back(Letters(), paths[node], phrases)
                    if first is not None:
                        bans.setdefault((*start, *paths[node][:first]), set()).add(paths[node][first])
                        learned = True
                if learned:
                    break
            if not learned:
                break
        found = it.generate(prompt, un.Backtrack(un.parse(inner).strategy, phrases), max_new_tokens=5)
        assert [s.tokens for s in found.sequences] == [s.tokens for s in out.sequences]
        np.testing.assert_allclose([s.score for s in found.sequences], [s.score for s in out.sequences], atol=1e-5)
        np.testing.assert_allclose(found.best.processed, out.best.processed, atol=1e-5)


@pytest.mark.parametrize("inner", ["greedy", "sample(3)", *INNER])
@pytest.mark.parametrize("letters", [Letters(), Pairs()])
@pytest.mark.parametrize("processors", ["", "temperature(0.7) | no_repeat_ngram(2) | "])
def test_no_text_holds_a_phrase_and_a_batch_is_its_prompts_alone(inner, letters, processors):
    it = lm(1, letters)
    decoder = un.parse(f"{processors}backtrack({inner}, ('ab', 'cd', 'ee'))")
    outputs = it.generate(PROMPTS, decoder, max_new_tokens=LIMIT, seed=5, level="choices")
    for prompt, out in zip(PROMPTS, outputs, strict=True):
        alone = it.generate(prompt, decoder, max_new_tokens=LIMIT, seed=5, level="choices")
        assert [s.tokens for s in alone.sequences] == [s.tokens for s in out.sequences] != []
        assert not any(phrase in s.text for s in out.sequences for phrase in ("ab", "cd", "ee"))


@pytest.mark.parametrize("inner", ["greedy", "sample(3)", *INNER])
def test_phrases_that_never_come_change_nothing(inner):
    it = lm()
    bare, around = (it.generate(PROMPTS, d, max_new_tokens=LIMIT, seed=2) for d in (inner, f"backtrack({inner}, 'zz')"))
    for one, other in zip(bare, around, strict=True):
        assert [(s.tokens, s.score, s.processed, s.reason) for s in one.sequences] == [
            (s.tokens, s.score, s.processed, s.reason) for s in other.sequences
        ]


@pytest.mark.parametrize("inner", ["greedy", "sample"])
def test_what_is_streamed_is_never_taken_back(inner):
    for seed in range(8):
        it = lm(seed)
        stream = it.stream("bcd", f"backtrack({inner}, ('abc', 'ca'))", max_new_tokens=12, seed=seed)
        pieces = list(stream.text())
        assert "".join(pieces) == stream.output.text
        assert not any(p.startswith("\n") for p in pieces)
        assert [t for step in stream.output.trace.steps for t in step.tokens.tolist()] == stream.output.tokens


def test_patterns_and_case():
    it = lm(3)
    for seed in range(5):
        assert not set("ab") & set(it.generate("b", un.Backtrack(un.Sample(), patterns="[ab]"), max_new_tokens=9, seed=seed).text)
        assert "a" not in it.generate("b", un.Backtrack(un.Sample(), "A", ignore_case=True), max_new_tokens=9, seed=seed).text


def test_a_text_that_has_no_other_way_dies():
    with pytest.raises(un.DeadEnd):
        lm(3).generate("b", un.Allowed(0, 1, 2, 3, 4) | un.Backtrack(un.Sample(), tuple("abcde")), max_new_tokens=4, end_tokens=())
    allowed = un.Allowed(0, 1) | un.Backtrack(un.Greedy(), ("aa", "ab"))
    assert set(lm(3).generate("b", allowed, max_new_tokens=4, end_tokens=()).text[:3]) == {"b"}


@pytest.mark.parametrize("phrases", PHRASES)
def test_what_looks_ahead_holds_no_phrase(phrases):
    for seed in range(4):
        for inner in (un.Speculative(table(seed=2)), un.Speculative(table(seed=2), 2)):
            for out in lm(seed).generate(PROMPTS, un.Backtrack(inner, phrases), max_new_tokens=6, seed=seed):
                assert not any(phrase in out.text for phrase in phrases)


WRONG = ["", ", ''", ", 3", ", patterns='('", ", patterns='a*'", ", 'a', ignore_case=1"]


@pytest.mark.parametrize("text", [*(f"backtrack(greedy{some})" for some in WRONG), "backtrack(3, 'a')"])
def test_settings_out_of_range_are_refused(text):
    with pytest.raises(un.UnspoolError, match="backtrack"):
        un.parse(text)


@pytest.mark.parametrize("inner", ["greedy", "beam(3, n=3)", "exact(3)", "sample(2)", "best_of(beam(3, n=3))"])
@pytest.mark.parametrize("outer", ["alternatives(5, then={})", "follow('ac', then={})", "cot(4, then={}, n=4)"])
def test_a_phrase_that_begins_in_what_is_committed_is_not_completed(outer, inner):
    """The run that goes on reads what stands before it; a phrase that was whole before it began is not its own."""
    said = ("aa", "ab", "cc", "da", "ba", "ca")
    whole = outer.format(f"backtrack({inner}, {said})") if outer.startswith("follow") else f"backtrack({outer.format(inner)}, {said})"
    out = lm().generate("bcd", whole, max_new_tokens=LIMIT)
    assert out.sequences
    assert not any(phrase in s.text for s in out.sequences for phrase in said)
    assert lm().generate("bcd", f"follow('ac', then=backtrack({inner}, 'ac'))", max_new_tokens=LIMIT).text.startswith("ac")


FORCED = ["follow('ac')", "follow('ac', then=greedy)", "follow('ac', then=beam(2))", "alternatives(3, then=follow('ac'))"]


@pytest.mark.parametrize("phrase", ["a", "c", "ac"])
@pytest.mark.parametrize("inner", FORCED)
@pytest.mark.parametrize("processors", ["", "banned(0) | ", "banned(2) | ", "banned((0, 2)) | "])
def test_what_is_followed_is_never_a_phrase(processors, inner, phrase):
    """Tokens that the processors forbid are followed all the same, and read all the same."""
    with pytest.raises(un.PartError, match=r"follow\(.* keeps to tokens that hold a phrase"):
        lm().generate("bcd", f"{processors}backtrack({inner}, '{phrase}')", max_new_tokens=LIMIT)


def test_what_cannot_be_avoided_is_said():
    """A ban that was there already when it was begun again will not help the next time either."""
    with pytest.raises(un.PartError, match="keeps to tokens that hold a phrase"):
        un.load().generate("Once upon a time", "backtrack(follow(' a king'), ' a')", max_new_tokens=LIMIT)
