"""Exact search in all its settings against enumeration: the k best, and certificates that hold wherever the search is broken off."""

import math

import numpy as np
import pytest
from helpers.tables import BACKENDS, Letters, enumerate_texts, run, search_of, table, texts

import unspool as un
from unspool.core.loop import decode
from unspool.strategies.lengths import LENGTHS, Bounds, weight_of
from unspool.testing.worlds import run_whole

PROMPT, LIMIT = (1, 2), 4
PENALTIES = [0.0, 0.6, 1.0, 2.0, -0.5, -1.0, 50.0, -50.0]
lengths = pytest.mark.parametrize("length", LENGTHS)
penalties = pytest.mark.parametrize("penalty", PENALTIES)


def small(seed=3, ends=(3,), backend="numpy", sharpness=1.5):
    return table(seed=seed, vocabulary=4, end_tokens=ends, backend=BACKENDS[backend], sharpness=sharpness)


def weighed(text, total, ends, length, penalty):
    counted = len(text)
    if length in ("without_end", "with_prompt"):
        counted = max(counted - (text[-1] in ends), 1) + (len(PROMPT) if length == "with_prompt" else 0)
    return total / float(weight_of(counted, length, penalty))


def truth(model, length="generated", penalty=0.0, wanted=lambda text: True):
    """Every text that is wanted with its score, best first."""
    every = ((weighed(t, np.log(m), model.end_tokens, length, penalty), t) for t, m in enumerate_texts(model, PROMPT, LIMIT))
    return sorted((found for found in every if wanted(found[1])), reverse=True)


def ran(model, exact, *processors):
    found = run_whole(model, un.Decoder((*processors, exact)), [PROMPT], LIMIT)
    return found.found[0], found.search.call.certificates[0, 0]


def holds(found, certificate, every):
    """That a certificate tells the truth of what was found: `every` is all there is, best first."""
    scores = [h.score for h in found]
    assert certificate.found == scores
    others = [score for score, text in every if text not in texts(found)]
    nearly = 1e-5 * (1 + abs(every[0][0]) if every else 1)
    assert max(others, default=-math.inf) <= certificate.bound + nearly
    best, proved = [score for score, _ in every[: certificate.wanted]], certificate.proved
    np.testing.assert_allclose(scores[:proved], best[:proved], rtol=1e-5)
    if proved < min(len(best), len(scores)) and not certificate.whole:
        assert best[proved] <= scores[proved] + certificate.gap + nearly
    if certificate.whole:
        np.testing.assert_allclose(scores, best, rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ends", [(), (3,), (0, 3)])
@lengths
@penalties
def test_the_n_best_by_any_length_are_those_of_enumeration(backend, ends, length, penalty):
    model = small(5, ends, backend)
    every = truth(model, length, penalty)
    for n in (1, 6, 1000):
        found, certificate = ran(model, un.Exact(n, length_penalty=penalty, length=length))
        np.testing.assert_allclose([h.score for h in found], [score for score, _ in every[:n]], rtol=1e-5)
        assert certificate.whole
        assert certificate.gap == 0
        holds(found, certificate, every)


@lengths
@pytest.mark.parametrize("penalty", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("n", [1, 3])
def test_at_every_budget_the_certificate_covers_the_truth(length, penalty, n):
    whole = 0
    for seed in range(3):
        model = small(seed, sharpness=0.7)
        every = truth(model, length, penalty)
        for nodes in range(1, 60):
            found, certificate = ran(model, un.Exact(n, nodes=nodes, length_penalty=penalty, length=length))
            assert found
            assert certificate.rows <= max(nodes, LIMIT)
            holds(found, certificate, every)
            whole += certificate.whole
    assert 0 < whole < 177, "some budgets were enough and some were not"


BROKEN_OFF = [un.Exact(2), un.Exact(3, length_penalty=1.0), un.Exact(1, nodes=9), un.Exact(2, containing=(1, 0))]


@pytest.mark.parametrize(("seed", "sharpness"), [(2, 0.7), (6, 3.0), (7, 2.0)])
@pytest.mark.parametrize("exact", BROKEN_OFF, ids=str)
def test_broken_off_after_any_step_it_answers_with_the_best_found_and_what_is_proved(exact, seed, sharpness):
    model = small(seed, sharpness=sharpness)
    every = truth(model, penalty=exact.length_penalty, wanted=exact.contains)
    steps = len(run_whole(model, exact, [PROMPT], LIMIT).steps)
    for count in range(1, steps):
        search = search_of(model, un.Decoder((exact,)), [PROMPT], LIMIT)
        going = decode(search, exact)
        for _ in range(count):
            next(going)
        search.interrupt()
        finished = [h for h in search.found[0] if h.reason != "interrupted"]
        assert finished == search.found[0] or not finished
        holds(finished, search.call.certificates[0, 0], every)


@pytest.mark.parametrize(("seed", "sharpness"), [(2, 0.7), (6, 3.0), (7, 2.0)])
@pytest.mark.parametrize("exact", BROKEN_OFF, ids=str)
def test_broken_off_in_the_middle_of_any_forward_it_says_what_is_proved_too(exact, seed, sharpness):
    """What the choice at hand would have found is not found, and its row has not grown."""
    model = small(seed, sharpness=sharpness)
    every = truth(model, penalty=exact.length_penalty, wanted=exact.contains)
    for count in range(1, 50):
        search, forwards = search_of(model, un.Decoder((exact,)), [PROMPT], LIMIT), iter(range(count))
        going = decode(search, exact)
        extend = search.lane.extend

        def breaks(*arguments, forwards=forwards, extend=extend):
            if next(forwards, None) is None:
                raise KeyboardInterrupt
            return extend(*arguments)

        search.lane.extend = breaks
        try:
            list(going)
            return
        except KeyboardInterrupt:
            search.interrupt()
        holds([h for h in search.found[0] if h.reason != "interrupted"], search.call.certificates[0, 0], every)
    raise AssertionError("the search was longer than was tried")


@pytest.mark.parametrize("exact", [*BROKEN_OFF, un.Exact(5, length_penalty=-1.0), un.Exact(4, expand=3)], ids=str)
def test_children_are_read_few_at_a_time(monkeypatch, exact):
    model = small(2, sharpness=0.7)
    at_once = ran(model, exact)
    monkeypatch.setattr("unspool.strategies.branch_and_bound.GLANCED", 1)
    monkeypatch.setattr("unspool.strategies.branch_and_bound.AGAIN", 2)
    found, certificate = ran(model, exact)
    assert [h.tokens for h in found] == [h.tokens for h in at_once[0]]
    assert certificate == at_once[1]


@lengths
@pytest.mark.parametrize("penalty", [0.0, 0.7, -2.0])
@pytest.mark.parametrize("gain", [0.0, 0.6])
def test_a_bound_is_the_largest_score_that_can_be_reached(length, penalty, gain):
    bounds = Bounds(length, penalty, 7, 3, gain)
    for at in range(1, 8):
        for total in (-3.0, -0.2, 0.0, 1.5):
            ends = [bounds.score(total + k * gain, at + k, ended) for k in range(8 - at) for ended in (False, True)]
            assert bounds.of(np.asarray([total, -9.0]), at)[0] == pytest.approx(max(ends))


def test_the_greedy_text_is_found_first_within_a_budget():
    for seed in range(5):
        model = small(seed, sharpness=0.7)
        greedy = run(model, "greedy", [PROMPT], LIMIT)[0][0]
        assert ran(model, un.Exact(nodes=1))[0][0].score >= greedy.score - 1e-6


def test_within_a_time_it_answers():
    model = small(1, ends=(), sharpness=0.1)
    model.context = 60
    found = run_whole(model, un.Exact(3, seconds=0.05), [PROMPT], 50)
    assert len(found.found[0]) >= 1
    assert found.search.call.certificates[0, 0].gap > 0


# --- scores that are no log-probabilities --------------------------------------------------------------------------------


def enumerate_scores(model, score):
    """Every text with the sum of score(logprobs, new) of its tokens."""

    def walk(new, total):
        if len(new) == LIMIT or (new and new[-1] in model.end_tokens):
            yield new, total
            return
        p = np.asarray(model.probabilities((*PROMPT, *new)), np.float64)
        for token, value in enumerate(score(np.log(p / p.sum()), new)):
            yield from walk((*new, token), total + value)

    return walk((), 0.0)


SCORED = {
    "log_softmax": (lambda x, new: x, 0.0),
    "log_softmax | temperature(2)": (lambda x, new: x / 2, 0.0),
    "log_softmax | bias({1: 2.5})": (lambda x, new: x + 2.5 * (np.arange(4) == 1), 2.5),
    "log_softmax | repetition_penalty(1.5, 'generated')": (lambda x, new: np.where(np.isin(np.arange(4), new), x * 1.5, x), 0.0),
}


@pytest.mark.parametrize("processors", SCORED)
@lengths
@pytest.mark.parametrize("penalty", [0.0, 1.0, -1.0, 2.5])
@pytest.mark.parametrize("nodes", [0, 7])
def test_sums_of_scores_that_are_not_made_probabilities_again(processors, length, penalty, nodes):
    model, (score, gain) = small(4, sharpness=0.8), SCORED[processors]
    every = sorted(
        ((weighed(t, total, (3,), length, penalty), t) for t, total in enumerate_scores(model, score)),
        reverse=True,
    )
    exact = un.Exact(4, length_penalty=penalty, length=length, renormalise=False, gain=gain, nodes=nodes)
    found, certificate = ran(model, exact, *un.parse(processors).processors)
    assert certificate.assumes == f"no token adds more than {gain:g} to a score"
    assert certificate.whole or nodes
    holds(found, certificate, every)


def test_a_token_that_adds_more_than_was_said_is_an_error():
    model = small(4)
    with pytest.raises(un.ParameterError, match=r"exact\(gain=0\): a token adds .* put log_softmax first, or give exact\(gain=...\)"):
        ran(model, un.Exact(renormalise=False), un.Bias({1: 9.0}))
    with pytest.raises(un.ParameterError, match=r"exact\(gain=1\): a token adds"):
        ran(model, un.Exact(renormalise=False, gain=1.0), un.LogSoftmax(), un.Bias({3: 9.0}))


# --- texts that are wanted --------------------------------------------------------------------------------------------------


def has(*phrases):
    return lambda text: any(text[i : i + len(p)] == p for p in phrases for i in range(len(text)))


@pytest.mark.parametrize("phrases", [((1, 0),), ((1, 0), (2, 2, 2)), ((3,),)])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("nodes", [0, 12])
def test_only_texts_that_contain_a_phrase(phrases, penalty, nodes):
    for seed in range(3):
        model = small(seed, sharpness=0.7)
        every = truth(model, penalty=penalty, wanted=has(*phrases))
        exact = un.Exact(5, containing=phrases, length_penalty=penalty, nodes=nodes)
        found, certificate = ran(model, exact)
        assert certificate.whole or nodes
        holds(found, certificate, every)


@pytest.mark.parametrize("wanted", [("ab", 3), (("ba", "ccc"), 3)])
def test_a_phrase_that_is_a_text_is_found_however_it_is_cut(wanted):
    """Token 2 is spelled "ab", as tokens 0 and 1 are together."""
    phrases, n = wanted
    letters = Letters(4, (3,))
    letters.name_of = lambda token: ["a", "b", "ab", "end"][token]
    model = small(6, sharpness=0.7)
    spelled = {t: b"".join(map(letters.bytes_of, t)).decode() for _, t in truth(model)}
    some = (phrases,) if isinstance(phrases, str) else phrases
    every = truth(model, wanted=lambda text: any(p in spelled[text] for p in some))
    found, certificate = ran(model, un.Exact(n, containing=phrases).resolve(letters))
    assert certificate.whole == (len(every) > 0)
    holds(found, certificate, every)


@pytest.mark.parametrize("penalty", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("processors", ["", "top_k(3) | "])
def test_among_given_texts_the_best_by_the_models_own_numbers(penalty, processors):
    given = ((0, 1), (0, 1, 2), (2,), (1, 1, 3), (0, 0, 0, 0), (2, 3), (1, 2, 0, 1, 1))
    model = small(7, sharpness=0.7)
    decoder = un.parse(f"{processors}exact(9, length_penalty={penalty})")
    exact = un.Exact(9, length_penalty=penalty, among=given)
    found, certificate = ran(model, exact, *decoder.processors)
    expected = []
    for text in given:
        total = 0.0
        for i, token in enumerate(text):
            p = np.asarray(model.probabilities((*PROMPT, *text[:i])), np.float64)
            p = np.where(np.isin(np.arange(4), np.argsort(-p)[:3]), p, 0.0) if processors else p
            total += np.log(p[token] / p.sum()) if p[token] else -np.inf
        if len(text) <= LIMIT and total > -np.inf:
            expected.append((total / len(text) ** penalty, text))
    assert texts(found) == [text for _, text in sorted(expected, reverse=True)]
    np.testing.assert_allclose([h.score for h in found], [score for score, _ in sorted(expected, reverse=True)], atol=1e-5)
    assert certificate.bound == -math.inf
    assert {h.reason for h in found} <= {"followed", "end", "length"}


def test_where_nothing_fits_the_error_says_so():
    with pytest.raises(un.DeadEnd, match="found no text: none fits"):
        run(small(), un.Exact(containing=(0, 1, 2, 0, 1)), [PROMPT], LIMIT)
    model = un.LanguageModel(small(), Letters(4, (3,)))
    with pytest.raises(un.DeadEnd, match="found no text"):
        model.generate("a", un.Exact(among=((0, 1, 2),)), max_new_tokens=2)


# --- what the certificate says, and where it is ------------------------------------------------------------------------------


def test_tokens_beyond_expand_count_for_the_bound():
    proved = 0
    for seed in range(6):
        model = small(seed)
        for expand in (1, 2, 3):
            found, certificate = ran(model, un.Exact(2, expand=expand))
            holds(found, certificate, truth(model))
            proved += certificate.whole
    assert 0 < proved < 18


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (un.Certificate(0, 0, 1, [-1.25], -1.5, 1), "proved: no text is better (1 prefix grown)"),
        (un.Certificate(0, 0, 2, [-1.25, -1.5], -1.5, 1200), "proved: no other text is better than these 2 (1,200 prefixes grown)"),
        (un.Certificate(0, 0, 9, [-1.25, -1.5], -math.inf, 7), "proved: these 2 are all there are (7 prefixes grown)"),
        (un.Certificate(0, 0, 1, [], -math.inf, 7), "proved: there is none (7 prefixes grown)"),
        (un.Certificate(0, 0, 1, [-12.3], -11.9, 7), "not proved: best found -12.3, bound -11.9, gap 0.4 (7 prefixes grown)"),
        (un.Certificate(0, 0, 1, [], -11.9, 7), "not proved: best not found, bound -11.9 (7 prefixes grown)"),
        (un.Certificate(0, 0, 3, [-1.0, -2.0, -3.0], -1.5, 7), "1 of 3 proved: the next found -2, bound -1.5, gap 0.5 (7 prefixes grown)"),
        (un.Certificate(0, 0, 2, [-1.0], -1.5, 7, "so"), "1 of 2 proved: the next not found, bound -1.5 (7 prefixes grown), if so"),
    ],
)
def test_a_certificate_in_a_line(certificate, words):
    assert str(certificate) == words


def test_a_trace_holds_certificates_in_its_file_too(tmp_path):
    lm = un.LanguageModel(small(1, sharpness=0.5), Letters(4, (3,)))
    for exact in (un.Exact(2, nodes=5), un.Exact(99)):
        outputs = lm.generate(["a", "bc"], exact, max_new_tokens=3)
        for output in outputs:
            (certificate,) = output.trace.certificates
            assert certificate.found == [s.score for s in output.sequences]
            output.trace.save(tmp_path / "trace")
            assert un.Trace.load(tmp_path / "trace").certificates == [certificate]
    assert lm.generate("a", "greedy", max_new_tokens=2).trace.certificates == []


def test_results_show_it():
    lm = un.LanguageModel(small(1, sharpness=0.5), Letters(4, (3,)))
    output = lm.generate("a", un.Exact(99), max_new_tokens=3)
    (certificate,) = output.trace.certificates
    assert certificate.whole
    for result in (output, output.trace):
        assert f'<p class="faint">{certificate}</p>' in result._repr_html_()
    assert output.to_dict()["certificates"] == [certificate.to_dict()]
    assert certificate.to_dict()["bound"] is None
    assert "certificates" not in lm.generate("a", "greedy", max_new_tokens=2).to_dict()
    with pytest.raises(un.DeadEnd, match="found no text"):
        lm.generate("a", un.Exact(containing=(1, 1, 1, 1)), max_new_tokens=3)
    nothing, _ = lm.generate(["a", "b"], un.Exact(containing=(1, 1, 1, 1)), max_new_tokens=3)
    assert "proved: there is none" in nothing._repr_html_()


def test_inside_another_strategy_it_speaks_of_the_texts_after_its_row():
    model = small(4)
    ran_whole = run_whole(model, un.Follow((0, 1), un.Exact(2)), [PROMPT], LIMIT)
    (certificate,) = ran_whole.search.call.certificates.values()
    assert certificate.node == 2
    every = [found for found in truth(model) if found[1][:2] == (0, 1)]
    holds(ran_whole.found[0], certificate, every)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"nodes": -1}, r"exact\(nodes=...\) needs a whole number >= 0; got -1"),
        ({"seconds": -0.5}, r"exact\(seconds=...\) needs"),
        ({"length": "words"}, r"exact\(length=...\) is one of generated"),
        ({"gain": 1.0}, r"gain=...\) is for renormalise=False"),
        ({"renormalise": 1}, r"exact\(renormalise=...\) is True or False; got 1"),
        ({"expand": 2, "among": ((1,),)}, "exact takes expand or among, not both"),
        ({"containing": ("",)}, r"exact\(containing=...\) takes texts or tuples of token ids, none empty"),
        ({"containing": 3.5}, r"exact\(containing=...\) takes texts or tuples"),
        ({"among": ((1, -1),)}, r"exact\(among=...\) takes texts or tuples"),
    ],
)
def test_settings_that_cannot_be(settings, words):
    with pytest.raises(un.ParameterError, match=words):
        un.Exact(**settings)


def test_texts_need_a_tokenizer():
    for exact in (un.Exact(containing="ab"), un.Exact(among=("ab", "c"))):
        with pytest.raises(un.ParameterError, match="texts need a tokenizer"):
            run(small(), exact, [PROMPT], LIMIT)
