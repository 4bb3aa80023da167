"""Strategies that choose among whole texts, against the enumeration of everything that could have been said."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from helpers.tables import Letters, enumerate_texts, normalised, run, table, texts

import unspool as un
from unspool.strategies.mbr import likeness

PROMPTS, LIMIT, ALL = [[1], [2, 0], [3, 3, 1]], 3, 4**3


def small(seed=8):
    return table(seed=seed, vocabulary=4, end_tokens=(3,))


def law(model, prompt):
    return dict(enumerate_texts(model, prompt, LIMIT))


def chi_square(counts, expected, runs):
    """Whether counts fit a law, within four standard deviations, over what is to be seen five times or more."""
    likely = [t for t, mass in expected.items() if mass * runs >= 5]
    chi = sum((counts[t] - runs * expected[t]) ** 2 / (runs * expected[t]) for t in likely)
    return abs(sum(expected.values()) - 1) < 1e-9 and chi < len(likely) + 4 * np.sqrt(2 * len(likely))


# --- best_of ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "f"), [("logprob", lambda t, p: np.log(p)), ("mean_logprob", lambda t, p: np.log(p) / len(t))])
@pytest.mark.parametrize("inner", [f"exact({ALL})", f"beam({ALL}, n={ALL}, early_stopping='never')"])
def test_best_of_everything_is_the_argmax(by, f, inner):
    model = small()
    for prompt, found in zip(PROMPTS, run(model, f"best_of({inner}, by='{by}', n=3)", PROMPTS, LIMIT), strict=True):
        expected = sorted(((f(t, p), t) for t, p in law(model, prompt).items()), reverse=True)[:3]
        assert texts(found) == [t for _, t in expected]
        np.testing.assert_allclose([h.score for h in found], [s for s, _ in expected], atol=1e-5)


def test_best_of_n_has_the_law_of_the_best_of_n():
    """P(best of n is x) = P(all n at most as good) - P(all n less good), over texts told apart by their probability."""
    model, n, prompt, runs = small(3), 3, [1], 3000
    p = sorted(law(model, prompt).items(), key=lambda item: item[1])
    below = np.cumsum([0.0, *(mass for _, mass in p)])
    expected = dict(zip([t for t, _ in p], np.diff(below**n), strict=True))
    found = run(model, f"best_of({n})", [prompt] * runs, LIMIT, names=[str(i) for i in range(runs)])
    counts = Counter(tuple(h[0].tokens) for h in found)
    assert chi_square(counts, expected, runs)


def test_best_of_draws_what_sample_draws():
    model = table(seed=1)
    for one, several in zip(run(model, "best_of(5)", PROMPTS), run(model, "sample(5)", PROMPTS), strict=True):
        assert tuple(one[0].tokens) == max(texts(several), key=dict(zip(texts(several), (h.logprob for h in several))).get)
        assert one[0].columns["of"] == 5


def test_a_function_of_the_text_decides():
    lm = un.LanguageModel(table(seed=1), Letters())
    outputs = lm.generate(["bcd", "c"], un.BestOf(6, by=lambda text: text.count("a") - len(text) / 100), max_new_tokens=5)
    for o, all_ in zip(outputs, lm.generate(["bcd", "c"], "sample(6)", max_new_tokens=5), strict=True):
        assert o.best.score == max(s.text.count("a") - len(s.text) / 100 for s in all_.sequences)
        assert o.text.count("a") - len(o.text) / 100 == o.best.score
    with pytest.raises(un.PartError, match="returns a number"):
        lm.generate("bcd", un.BestOf(2, by=lambda text: "good"))


# --- mbr ----------------------------------------------------------------------------------------------------------------


def expected_utility(model, prompt, utility):
    everything = law(model, prompt)
    return {c: sum(p * utility(c, r) for r, p in everything.items()) for c in everything}


@pytest.mark.parametrize(("name", "utility"), [("edit", likeness), ("exact", lambda a, b: float(a == b))])
@pytest.mark.parametrize("inner", [f"exact({ALL})", f"beam({ALL}, n={ALL}, early_stopping='never')"])
def test_mbr_over_everything_is_the_argmax_of_expected_utility(name, utility, inner):
    model = small()
    found = run(model, f"mbr({inner}, utility='{name}', weights='probability', n={ALL})", PROMPTS, LIMIT)
    for prompt, hypotheses in zip(PROMPTS, found, strict=True):
        expected = expected_utility(model, prompt, utility)
        assert tuple(hypotheses[0].tokens) == max(expected, key=expected.get)
        for h in hypotheses:
            np.testing.assert_allclose(h.score, expected[tuple(h.tokens)], atol=1e-6)


def test_mbr_of_samples_is_its_definition():
    model = table(seed=2)
    for drawn, found in zip(run(model, "sample(7)", PROMPTS), run(model, "mbr(7)", PROMPTS), strict=True):
        means = [np.mean([likeness(c, r) for r in texts(drawn)]) for c in texts(drawn)]
        assert tuple(found[0].tokens) == texts(drawn)[int(np.argmax(means))]
        np.testing.assert_allclose(found[0].score, max(means))


def test_references_are_drawn_apart_from_candidates():
    """With many references the utilities of all candidates come near their expectation; and they are not the candidates again."""
    model, prompt = small(), [1]
    (found,) = run(model, f"mbr(exact({ALL}), references=4000, n={ALL})", [prompt], LIMIT)
    expected = expected_utility(model, prompt, likeness)
    assert max(abs(h.score - expected[tuple(h.tokens)]) for h in found) < 0.02
    assert found[0].columns["of"] == [len(expected), 4000]
    wide = table(seed=4, vocabulary=50, sharpness=0.5, end_tokens=())
    (apart,), (own,) = (run(wide, un.Mbr(8, "exact", references), [[1]], 6) for references in (8, None))
    assert apart[0].score == 0
    assert own[0].score == 1 / 8


KNOWN = [("kitten", "sitting", 3), ("", "", 0), ("", "ab", 2), ("flaw", "lawn", 2), ("ab", "ab", 0)]


@pytest.mark.parametrize(("one", "other", "distance"), KNOWN)
def test_edit_distances_that_everybody_knows(one, other, distance):
    assert likeness(one, other) == pytest.approx(1 - distance / max(len(one), len(other), 1))


@pytest.mark.parametrize("name", ["chrf", "bleu"])
def test_metrics_of_sacrebleu(name):
    sacrebleu = pytest.importorskip("sacrebleu")
    lm = un.load()
    drawn = [s.text for s in lm.generate("The king", "temperature(0.7) | sample(4)", max_new_tokens=20).sequences]
    made = sacrebleu.CHRF() if name == "chrf" else sacrebleu.BLEU(effective_order=True)
    means = [np.mean([made.sentence_score(c, [r]).score for r in drawn]) / 100 for c in drawn]
    best = lm.generate("The king", f"temperature(0.7) | mbr(4, utility='{name}')", max_new_tokens=20).best
    assert best.text == drawn[int(np.argmax(means))]
    assert best.score == pytest.approx(max(means))


def test_without_sacrebleu_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics", None)
    with pytest.raises(un.MissingExtra, match=r"unspool\[metrics\]"):
        un.parse("mbr(4, utility='chrf')")


# --- vote ---------------------------------------------------------------------------------------------------------------


def first(text):
    """The first letter, if there is one."""
    return text[0] if text else None


def test_votes_are_counted_by_enumeration():
    model, lm = table(seed=5), un.LanguageModel(table(seed=5), Letters())
    for prompt in ("bcd", "c", "aebc"):
        (drawn,) = run(model, "sample(9)", [Letters().encode(prompt)], 5)
        counts = Counter(chr(97 + h.tokens[0]) for h in drawn if h.tokens[0] != 5)
        out = lm.generate(prompt, un.Vote(9, "^."), max_new_tokens=5)
        assert out.trace.hypotheses[0][0].columns["ballot"] == counts
        assert counts[out.text[0]] == max(counts.values())
        assert out.best.score == pytest.approx(max(counts.values()) / sum(counts.values()))
        assert out.text == lm.generate(prompt, un.Vote(9, first), max_new_tokens=5).text


def test_the_law_of_a_vote_of_three():
    """Whole texts vote: the winner has two votes of three, or is the first drawn."""
    model, prompt, runs = small(6), [2, 0], 3000
    p, expected = law(model, prompt), Counter()
    for three in product(p, repeat=3):
        expected[Counter(three).most_common(1)[0][0]] += np.prod([p[t] for t in three])
    found = run(model, "vote(3)", [prompt] * runs, LIMIT, names=[str(i) for i in range(runs)])
    counts = Counter(tuple(h[0].tokens) for h in found)
    assert chi_square(counts, expected, runs)


@pytest.mark.parametrize("n", [3, 8, 15])
def test_a_vote_that_is_decided_has_the_same_winner(n):
    lm = un.LanguageModel(table(seed=5), Letters())
    saved = 0
    for seed, prompt in product(range(6), ("bcd", "c", "aebc")):
        whole_, early = (lm.generate(prompt, un.Vote(n, first, decided=d), max_new_tokens=12, seed=seed) for d in (None, "certain"))
        answers = [o.trace.hypotheses[0][0].columns["answer"] for o in (whole_, early)]
        assert answers[0] == answers[1]
        saved += sum(map(len, whole_.trace.steps)) - sum(map(len, early.trace.steps))
    assert saved > 0


def confidences(model, prompt, tokens):
    told = [-np.log(normalised(model.probabilities((*prompt, *tokens[:i])))).mean() for i in range(len(tokens))]
    return np.asarray(told)                                               # six tokens are fewer than 20: the mean over all


def groups(c, g):
    return [c[i : i + g].mean() for i in range(max(1, len(c) - g + 1))]


WORTH = {
    "mean": lambda c, g: c.mean(),
    "last": lambda c, g: c[-g:].mean(),
    "worst": lambda c, g: min(groups(c, g)),
    "worst_tenth": lambda c, g: np.mean(sorted(groups(c, g))[: max(1, len(groups(c, g)) // 10)]),
}


@pytest.mark.parametrize("weights", WORTH)
@pytest.mark.parametrize("inner", [None, "beam(4, n=4)"])
def test_weights_are_confidences(weights, inner):
    model = table(seed=5)
    then = un.parse(inner).strategy if inner else un.Sample(6)
    for prompt, drawn, found in zip(
        PROMPTS, run(model, then, PROMPTS, 14), run(model, un.Vote(then, weights=weights, group=2, n=then.n), PROMPTS, 14), strict=True
    ):
        expected = Counter()
        for h in drawn:
            expected[tuple(h.tokens)] += WORTH[weights](confidences(model, prompt, h.tokens), 2)
        assert {tuple(h.tokens): h.score for h in found} == pytest.approx({t: w / sum(expected.values()) for t, w in expected.items()})
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


def test_only_the_confident_vote():
    model = table(seed=5)
    for prompt, drawn, found in zip(
        PROMPTS, run(model, "sample(8)", PROMPTS), run(model, "vote(8, weights='mean', keep=0.25, n=8)", PROMPTS), strict=True
    ):
        best = sorted(drawn, key=lambda h: -confidences(model, prompt, h.tokens).mean())[:2]
        assert set(texts(found)) == set(texts(best))


def test_a_vote_without_an_answer_is_a_dead_end():
    lm = un.LanguageModel(table(seed=5), Letters())
    with pytest.raises(un.DeadEnd, match="none of 3 texts"):
        lm.generate("bcd", "vote(3, answer='z')", max_new_tokens=5)


# --- cot ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("aggregate", [False, True])
def test_cot_is_its_definition(k, aggregate):
    model, lm = table(seed=5), un.LanguageModel(table(seed=5), Letters())
    for prompt in ("bcd", "c", "aebc"):
        start, branches = tuple(Letters().encode(prompt)), {}
        for token in np.argsort(-model.probabilities(start), kind="stable")[:k].tolist():
            text = [token]
            while text[-1] != 5 and len(text) < 7:
                text.append(int(np.argmax(model.probabilities((*start, *text)))))
            at = next((i for i in reversed(range(len(text))) if text[i] in (0, 1)), None)        # the last a or b
            best = None if at is None else np.sort(normalised(model.probabilities((*start, *text[:at]))))
            branches[tuple(text)] = (0.0, None) if at is None else (best[-1] - best[-2], "ab"[text[at]])
        sums = Counter()
        for delta, answer in branches.values():
            sums[answer] += delta
        worth = {t: sums[a] if aggregate and a else d for t, (d, a) in branches.items()}
        out = lm.generate(prompt, un.Cot(k, "[ab]", aggregate, n=k), max_new_tokens=7)
        assert {tuple(s.tokens): s.score for s in out.sequences} == pytest.approx(worth, abs=1e-6)
        assert [s.score for s in out.sequences] == sorted((s.score for s in out.sequences), reverse=True)


# --- rerank -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_rerank_of_everything_is_the_argmax_of_the_mixture(weight):
    model, other = small(8), small(9)
    for prompt, found in zip(PROMPTS, run(model, un.Rerank(other, un.Exact(ALL), weight, n=ALL), PROMPTS, LIMIT), strict=True):
        p, q = law(model, prompt), law(other, prompt)
        expected = {t: (1 - weight) * np.log(p[t]) + weight * np.log(q[t]) for t in p}
        assert tuple(found[0].tokens) == max(expected, key=expected.get)
        assert {tuple(h.tokens): h.score for h in found} == pytest.approx(expected, abs=1e-5)


# --- in each other ------------------------------------------------------------------------------------------------------


NESTED = [
    "mbr(exact(8))", "vote(sample(5))", "best_of(beam(3, n=3))", "vote(mbr(6, n=3))", "cot(3, then=best_of(3))",
    "mbr(cot(4, n=4), references=3)", "best_of(vote(6, n=3), by='mean_logprob')", "follow((1, 3), then=best_of(4))",
    "mbr(sample(3), references=vote(5, n=2))",
]


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("processors", ["", "temperature(0.7) | no_repeat_ngram(2) | "])
def test_in_each_other_a_prompt_in_a_batch_is_the_prompt_alone(name, processors):
    model = table(seed=1)
    together = run(model, processors + name, PROMPTS, 6, seed=4)
    for prompt, found in zip(PROMPTS, together, strict=True):
        (alone,) = run(model, processors + name, [prompt], 6, seed=4)
        assert found
        assert [(h.tokens, h.score, h.reason) for h in alone] == [(h.tokens, h.score, h.reason) for h in found]


def test_best_of_votes_by_hand():
    """vote(mbr(6, n=3)): the three that mbr leaves vote."""
    model = table(seed=1)
    for left, found in zip(run(model, "mbr(6, n=3)", PROMPTS), run(model, "vote(mbr(6, n=3))", PROMPTS), strict=True):
        assert tuple(found[0].tokens) == Counter(texts(left)).most_common(1)[0][0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("best_of(0)", "best_of"),
        ("best_of(3, by='luck')", "by="),
        ("best_of(3, n=0)", "n="),
        ("best_of('x')", "samples"),
        ("mbr(3, utility='x')", "utility="),
        ("mbr(3, weights='x')", "weights="),
        ("mbr(3, references=0)", "references="),
        ("vote(3, answer='(')", "no regular expression"),
        ("vote(3, weights='x')", "weights="),
        ("vote(3, keep=0.5)", "by confidence"),
        ("vote(3, keep=0)", "keep="),
        ("vote(greedy, decided='certain')", "side by side"),
        ("vote(3, decided=0.3)", "decided="),
        ("vote(3, decided='maybe')", "decided="),
        ("vote(3, decided='certain', weights='mean')", "not known"),
        ("cot(0)", "cot"),
        ("cot(3, aggregate=1)", "True or False"),
        ("rerank(3)", "rerank"),
    ],
)
def test_settings_out_of_range_are_refused(text, said):
    with pytest.raises(un.UnspoolError, match=said):
        un.parse(text)


CHOOSERS = ["best_of(3, n=4)", "mbr(beam(3, n=3), n=4)", "mbr(2, references=8, n=3)", "vote(2, n=5)", "cot(2, n=3)"]
CHOOSERS += ["cot(2, then=sample(2), n=5)"]


@pytest.mark.parametrize("text", [*CHOOSERS, "best_of(vote(6, n=3), n=4)", "best_of(exact(9, among=('a', 'b')), n=3)"])
def test_more_texts_than_there_are_to_choose_among_are_refused_as_by_beams(text):
    with pytest.raises(un.ParameterError, match="asks for more texts than the"):
        un.parse(text)
    with pytest.raises(un.ParameterError, match="asks for more texts than the"):
        un.Rerank(small(), un.Sample(3), n=4)


FEWER = ["beam(3, n=3)", "best_of(beam(3, n=3), n=3)", "vote(5, n=4)", "cot(4, n=2)", "steps_of(width=2, each=1, n=50)", "exact(3)"]
FEWER += ["alternatives(3)", "stochastic_beam(3)", "follow((1, 2), then=beam(3, n=2))", "backtrack(beam(3, n=3), 'zz')"]


@pytest.mark.parametrize("text", FEWER)
def test_that_fewer_texts_came_is_said(text):
    lm = un.LanguageModel(table(seed=5), Letters())
    output = lm.generate("bcd", f"top_k(1) | {text}", max_new_tokens=4)
    wanted = un.parse(text).strategy.most_texts()
    assert 0 < len(output.sequences) < wanted
    assert output.fewer == output.to_dict()["fewer"]
    assert output.fewer.endswith(f"asks for {wanted} texts and {len(output.sequences)} came")
    for enough in ("greedy", "sample(3)", "beam(3, n=2)", "vote(5)"):
        assert not lm.generate("bcd", enough, max_new_tokens=4).fewer
