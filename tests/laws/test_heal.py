"""Token healing: the law of texts given their first bytes, counted out on small tables whose tokens spell one text in many ways."""

import math

import numpy as np
import pytest
from helpers.tables import Letters, enumerate_texts, table

import unspool as un
from unspool.core.lane import Lane
from unspool.errors import ParameterError
from unspool.respelling import Respelling
from unspool.stream import Stream
from unspool.testing import check_processor

TOKENS = ["a", "b", "ab", "ba", "abb", "c", "cab", "<end>"]
END = len(TOKENS) - 1
LIMIT = 4


class Pieces(Letters):
    """A tokenizer of some pieces, the longest first."""

    def __init__(self, pieces=TOKENS, specials=(END,)):
        super().__init__(len(pieces), specials)
        self.pieces = pieces

    def encode(self, text):
        found = []
        while text:
            piece = max((p for p in self.pieces if text.startswith(p)), key=len)
            found.append(self.pieces.index(piece))
            text = text[len(piece) :]
        return found

    def name_of(self, token):
        return self.pieces[token]


def language(seed=0, **options):
    return un.LanguageModel(table(seed, len(TOKENS), end_tokens=(END,), **options), Pieces())


LM = language()


def spelled(tokens):
    return "".join(TOKENS[t] for t in tokens if t != END)


def texts_after(lm, prompt, owed, limit=LIMIT):
    """Every text of the model after a prompt whose bytes begin with those owed, and its probability: no rule, no mask."""
    return {new: p for new, p in enumerate_texts(lm.model, tuple(prompt), limit) if spelled(new).startswith(owed)}


def masked(lm, prompt, owed, limit=LIMIT):
    """The law of choosing token by token among those that may come: every one whose text can still begin with what is owed."""

    def rule(probabilities, prompt, new):
        ways = [spelled((*new, t)) for t in range(len(TOKENS))]
        may = [t != END and (w.startswith(owed) or owed.startswith(w)) for t, w in enumerate(ways)]
        return probabilities * (1.0 if spelled(new).startswith(owed) else np.asarray(may))

    return dict(enumerate_texts(lm.model, tuple(prompt), limit, rule))


def found(lm, prompt, decoder, limit=LIMIT, **options):
    return lm.generate(prompt, decoder, max_new_tokens=limit, **options).sequences


# --- the law ------------------------------------------------------------------------------------------------------------

PROMPTS = [("cab", "c", 2), ([5, 0, 1], "ab", 2), ([0, 4, 5], "abbc", 2), ([2, 6], "cab", 1), ([1, 1, 1, 1], "bbb", 3)]
every_prompt = pytest.mark.parametrize(("prompt", "owed", "n"), PROMPTS[1:], ids=str)


@every_prompt
def test_exact_search_finds_every_spelling_of_every_text_with_the_models_own_probability(prompt, owed, n):
    """So exp(score) / p(the bytes) is the probability of the tokens given that their bytes begin with those taken back."""
    kept = prompt[: len(prompt) - n]
    assert spelled(prompt[len(kept) :]) == owed
    expected = texts_after(LM, kept, owed)
    best = found(LM, prompt, f"log_softmax | heal({n}) | exact({len(expected) + 5}, renormalise=False)")
    assert {tuple(s.tokens) for s in best} == expected.keys()
    for s in best:
        assert s.score == pytest.approx(math.log(expected[tuple(s.tokens)]), abs=1e-5)
    assert [s.score for s in best] == sorted((s.score for s in best), reverse=True)


@every_prompt
def test_beams_of_full_width_find_the_same(prompt, owed, n):
    expected = texts_after(LM, prompt[: len(prompt) - n], owed)
    best = found(LM, prompt, f"log_softmax | heal({n}) | beam(4000, n={len(expected)}, renormalise=False, length_penalty=0)")
    assert {tuple(s.tokens): pytest.approx(s.score, abs=1e-5) for s in best} == {t: math.log(p) for t, p in expected.items()}


@every_prompt
def test_the_law_token_by_token_is_that_of_the_mask(prompt, owed, n):
    """Of sample: what a text of exact search under probabilities scores is the chance that sampling has of it."""
    law = masked(LM, prompt[: len(prompt) - n], owed)
    best = found(LM, prompt, f"heal({n}) | exact({len(law) + 5})")
    assert {tuple(s.tokens): pytest.approx(math.exp(s.score), abs=1e-6) for s in best} == law
    assert sum(law.values()) == pytest.approx(1)
    assert law.keys() == texts_after(LM, prompt[: len(prompt) - n], owed).keys()


@pytest.mark.parametrize(("prompt", "owed"), [([2, 5], "c"), ([5, 6, 1], "b"), ([0, 0], "a")], ids=str)
def test_of_one_byte_the_law_token_by_token_is_the_conditional_one(prompt, owed):
    given = texts_after(LM, prompt[:-1], owed)
    law, total = masked(LM, prompt[:-1], owed), sum(given.values())
    assert {t: pytest.approx(p / total, abs=1e-9) for t, p in given.items()} == law


def test_of_more_bytes_it_is_another():
    given, law = texts_after(LM, [5], "ab"), masked(LM, [5], "ab")
    total = sum(given.values())
    assert max(abs(given[t] / total - p) for t, p in law.items()) > 0.01


@every_prompt
def test_a_particle_has_the_weight_of_its_text(prompt, owed, n):
    """Its probability under the mask times its weight is that under the model, so weights sum to p(the bytes) without bias."""
    kept = prompt[: len(prompt) - n]
    given, law, seen = texts_after(LM, kept, owed), masked(LM, kept, owed), set()
    for seed in range(16):
        (one,) = found(LM, prompt, f"heal({n}) | sequential_monte_carlo(1, truncated=True)", seed=seed)
        text = tuple(one.tokens)
        seen.add(text)
        assert math.exp(one.score) * law[text] == pytest.approx(given[text], rel=1e-4)
    assert len(seen) > 1


def test_many_particles_estimate_the_probability_of_the_bytes():
    given = texts_after(LM, [5], "ab")
    runs = [found(LM, [5, 0, 1], "heal(2) | smc(200, n=200, truncated=True)", seed=seed) for seed in range(10)]
    estimates = [sum(math.exp(s.score) for s in some) for some in runs]
    assert np.mean(estimates) == pytest.approx(sum(given.values()), rel=0.05)


@every_prompt
def test_greedy_takes_the_likeliest_token_that_may_come(prompt, owed, n):
    kept, new = tuple(prompt[: len(prompt) - n]), ()
    for _ in range(LIMIT):
        p = np.asarray(LM.model.probabilities((*kept, *new)))
        ways = [spelled((*new, t)) for t in range(len(TOKENS))]
        done = spelled(new).startswith(owed)
        may = [done or (t != END and (w.startswith(owed) or owed.startswith(w))) for t, w in enumerate(ways)]
        new = (*new, int(np.argmax(np.where(may, p, -1))))
        if new[-1] == END:
            break
    (best,) = found(LM, prompt, f"heal({n})")
    assert tuple(best.tokens) == new
    assert best.text == spelled(new)[len(owed) :]


def test_a_beginning_that_nothing_can_finish_cannot_come():
    tokens = ["x", "xy", "yz", "xyz", "<end>"]
    spelling = Respelling(Pieces(tokens, (4,)))
    assert spelling.allowed(b"xyz").tolist() == [0, 3]                      # after xy a z would be missing
    assert spelling.allowed(b"yz").tolist() == [2]
    assert spelling.allowed(b"x").tolist() == [0, 1, 3]
    assert spelling.of(b"xyyzx") == [1, 2, 0]


# --- what is shown and recorded -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["greedy", "sample", "beam(3)", "sample(3)", "speculative"])
@every_prompt
def test_the_text_goes_on_where_the_prompt_ends(prompt, owed, n, decoder):
    if decoder == "speculative":
        decoder = un.Heal(n) | un.Speculative(table(5, len(TOKENS), end_tokens=(END,)))
    else:
        decoder = f"heal({n}) | {decoder}"
    run = LM.stream(prompt, decoder, max_new_tokens=6, seed=3)
    shown = "".join(run.text())
    assert shown == run.output.text
    for s in run.output.sequences:
        assert spelled(prompt[: len(prompt) - n]) + spelled(s.tokens) == spelled(prompt) + s.text


def test_speculation_under_greedy_is_greedy():
    draft = table(5, len(TOKENS), end_tokens=(END,))
    for prompt, _, n in PROMPTS[1:]:
        (one,) = found(LM, prompt, un.Heal(n) | un.Speculative(draft, then=un.Greedy()), 6)
        assert one.tokens == found(LM, prompt, f"heal({n})", 6)[0].tokens


def test_prompts_that_stay_alike_are_healed_each_by_itself():
    prompts = [[5, 0, 2], [5, 0, 1], [5, 0, 6], [5], [5, 0, 2]]
    for decoder in ("heal", "heal | sample(2)", "heal(2) | beam(2)"):
        together = LM.generate(prompts, decoder, max_new_tokens=5, level="choices")
        for prompt, one in zip(prompts, together, strict=True):
            alone = LM.generate(prompt, decoder, max_new_tokens=5, level="choices")
            assert [s.tokens for s in one.sequences] == [s.tokens for s in alone.sequences]
            assert list(one.trace.lines()) == list(alone.trace.lines())
    assert len({o.text for o in LM.generate(prompts[:3], "heal", max_new_tokens=5)}) > 1


def test_the_record_has_the_prompt_that_stayed_and_the_tokens_that_spell_it_anew():
    output = LM.generate([5, 0, 1], "heal(2) | greedy", max_new_tokens=5, level="stages", end_tokens=())
    assert output.prompt_tokens == [5]
    assert output.trace.prompts == [[5]]
    assert output.prompt == "cab"
    assert output.recipe["decoder"] == "heal(2) | greedy"
    assert spelled([5, *output.tokens]).startswith("cab")
    assert len(output.tokens) == 5                                        # they count
    assert LM.generate([5, 0, 1], "heal(2)", max_length=5, end_tokens=()).tokens == output.tokens[:4]


def test_what_stays_in_any_case():
    heal = un.Heal(3).resolve(Pieces())
    assert heal.kept(np.asarray([5, 0, 1, 1, 1])) == 2
    assert heal.kept(np.asarray([5, 0])) == 1
    assert heal.kept(np.asarray([5])) == 1
    assert heal.kept(np.asarray([5, 0, END, 1])) == 3
    assert heal.kept(np.asarray([5, 0, END])) == 3
    assert found(LM, [5], "heal(2) | sample", seed=1)[0].tokens == found(LM, [5], "sample", seed=1)[0].tokens
    assert found(LM, [5, 0], "heal(0) | sample", seed=1)[0].tokens == found(LM, [5, 0], "sample", seed=1)[0].tokens


def test_bytes_of_half_a_character():
    """A prompt whose last character is spelled by two tokens: taken back by one, the other half is owed."""

    class Halves(Pieces):
        def bytes_of(self, token):
            return [b"a", b"\xc3", b"\xa9", b"\xa9a", b"\xc3\xa9", b"\xc3\xa9e", b"e", b""][token]

    lm = un.LanguageModel(table(2, 8, end_tokens=(7,)), Halves())
    for n in (1, 2):
        for s in found(lm, [0, 1, 2], f"heal({n}) | sample(8)", 3):
            data = b"".join(map(Halves().bytes_of, [0, *[1] * (n == 1), *s.tokens]))
            assert data.startswith("aé".encode())
            assert data[3:].decode("utf-8", "replace") == s.text


# --- beside others ------------------------------------------------------------------------------------------------------


def test_stop_strings_are_found_behind_the_bytes_alone():
    plain = masked(LM, [5], "ab", 6)
    texts = {spelled(t)[2:] for t in plain}
    for s in found(LM, [5, 0, 1], 'heal(2) | sample(30) | stop("b")', 6):
        assert "b" not in s.text
        assert (s.reason == "stop") == (spelled(s.tokens)[2:] != s.text)
        assert any(text.startswith(s.text) for text in texts)
    reasons = {s.reason for s in found(LM, [5, 0, 1], 'heal(2) | sample(30) | stop_regex("^b")', 6)}
    assert reasons >= {"stop"}
    for s in found(LM, [5, 0, 1], 'heal(2) | sample(30) | stop_regex("^b")', 6):
        assert (s.reason == "stop") == s.text.startswith("b")


def test_a_grammar_begins_behind_the_bytes():
    pytest.importorskip("llguidance")
    expected = {t: p for t, p in texts_after(LM, [5], "ab").items() if t[-1] == END and spelled(t)[2:].strip("b") in ("", "c")}
    expected = {t: p for t, p in expected.items() if spelled(t)[2:] in ("b", "bb", "bc", "c", "")}
    best = found(LM, [5, 0, 1], 'log_softmax | heal(2) | regex("b?b?|b?c") | exact(99, renormalise=False)')
    whole = {tuple(s.tokens): pytest.approx(s.score, abs=1e-5) for s in best if s.reason == "end"}
    assert whole == {t: math.log(p) for t, p in expected.items()}


def test_a_token_that_goes_on_against_the_grammar_cannot_come():
    pytest.importorskip("llguidance")
    texts = found(LM, [5, 0, 1], 'heal(2) | regex("c*|a*") | sample(20)')
    assert len(texts) == 20                                               # none came to where nothing may follow
    assert all(set(s.text) <= {"c"} or set(s.text) <= {"a"} for s in texts)


def test_a_stop_waits_for_something_behind_the_bytes():
    for s in found(LM, [5, 0, 1], 'heal(2) | sample(20) | stop_regex("x*")'):
        assert (s.reason == "stop") == (s.text != "")


def test_a_draft_of_the_model_itself_owes_the_same_bytes():
    for prompt, _, n in PROMPTS[1:]:
        run = LM.stream(prompt, un.Heal(n) | un.Speculative(language().model, tokens=6, then=un.Greedy()), max_new_tokens=6, end_tokens=())
        assert len(run.output.tokens) == 6
        assert run.cost()["forwards"] <= 3                                # the prompt, and all of the draft at once


def test_prompts_that_stay_alike_have_draws_of_their_own():
    drawn = [LM.generate(p, "heal | sample", max_new_tokens=1, level="choices").trace.steps[0].uniform for p in ([5, 0, 1], [5, 0, 2])]
    assert drawn[0] != drawn[1]


def test_processors_after_it_see_what_may_come():
    for s in found(LM, [5, 0, 1], "heal(2) | top_k(1) | sample(5)"):
        assert s.tokens == found(LM, [5, 0, 1], "heal(2)")[0].tokens


@pytest.mark.parametrize(
    ("decoder", "error"),
    [
        ("heal(-1)", "heal"),
        ("heal | heal(2)", "healed once"),
        ('heal | after("a", temperature(2))', "cannot stand beside"),
        ('heal | sample | when("always", stop("a"))', "cannot stand beside"),
        ('when("always", heal)', "stands for itself"),
    ],
)
def test_what_is_refused(decoder, error):
    with pytest.raises(ParameterError, match=error):
        LM.generate([5, 0, 1], decoder)


def test_it_needs_bytes():
    with pytest.raises(ParameterError, match="needs a tokenizer"):
        un.LanguageModel(LM.model).generate([5, 0, 1], "heal")
    closing = Pieces()
    closing.suffixes_space = True
    with pytest.raises(ParameterError, match="carry the space"):
        un.Heal().resolve(closing)
    with pytest.raises(ParameterError, match="needs a tokenizer"):
        un.Heal().begin(np.asarray([1, 2]))


def test_it_is_a_processor_like_others():
    for n in (1, 2):
        part = un.Heal(n).resolve(Pieces())
        rows = Lane(LM.model, [part], end_tokens=(END,))
        start = rows.begin([np.asarray([5])], [np.asarray([0, 1])])
        assert int(start[0]) in rows.chain[0].memory.values
    check_processor(un.Heal(0), Pieces())
    assert isinstance(LM.stream([5, 0, 1], "heal"), Stream)
