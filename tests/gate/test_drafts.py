"""Drafts change how many forwards a text takes, and nothing else: not a token, not a number, not a reason."""

from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest
from helpers.layered import transformer
from helpers.tables import BACKENDS, PROMPTS, Letters, run, same, table
from laws.examples import processors, stops

import unspool as un
from unspool.core import call
from unspool.core.decoder import as_decoder
from unspool.core.model import FirstLayers, first_layers
from unspool.models.compiled.model import compiled
from unspool.strategies.lookahead import Ahead
from unspool.strategies.lookup import matches
from unspool.testing.worlds import run_whole
from unspool.views.tree import Tree

MODEL, OTHER = table(seed=11), table(seed=12)
PLAIN = {"greedy": un.Greedy(), "sample": un.Sample(), "sample(2)": un.Sample(2)}
DRAFTINGS = {
    "speculative": lambda then: un.Speculative(OTHER, 3, then, coupled=True),
    "early_exit": lambda then: un.EarlyExit(1, 3, then, coupled=True),
    "prompt_lookup": lambda then: un.PromptLookup(4, then),
    "lookahead": lambda then: un.Lookahead(3, 4, then),
    "suffix_lookup": lambda then: un.SuffixLookup(((1, 3, 0, 2, 4, 1), (2, 2, 1, 0, 3)), 4, then),
}
RULES = [str(part) for some in (processors() | stops()).values() for part in some]


@pytest.mark.parametrize("rule", ["", *RULES])
@pytest.mark.parametrize("drafting", DRAFTINGS)
def test_every_text_is_the_plain_ones(drafting, rule):
    """Under every processor and every stop, token for token and number for number."""
    known = {str(part): part.resolve(Letters()) for some in (processors() | stops()).values() for part in some}
    if drafting == "early_exit" and getattr(known.get(rule), "reads_layers", ()):
        with pytest.raises(un.Unsupported, match="this model's session gives no layers, which"):  # the draft is a first layer: it has none
            run_whole(MODEL, known[rule] | DRAFTINGS[drafting](un.Greedy()), PROMPTS, 9)
        return
    for plain in PLAIN.values():
        fast, slow = (as_decoder(s) if not rule else known[rule] | s if known[rule].role == "processor" else s | known[rule]
                      for s in (DRAFTINGS[drafting](plain), plain))
        ran = run_whole(MODEL, fast, PROMPTS, 9, seed=3)
        for found, expected in zip(ran.found, run_whole(MODEL, slow, PROMPTS, 9, seed=3).found, strict=True):
            same(found, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("drafting", DRAFTINGS)
def test_uniforms_and_the_record_are_the_plain_ones(drafting, backend):
    model = table(seed=11, backend=BACKENDS[backend])
    for plain in PLAIN.values():
        if backend != "numpy" and drafting == "speculative":
            continue
        fast, slow = (run_whole(model, s, PROMPTS[:1], 12, seed=8, level="choices") for s in (DRAFTINGS[drafting](plain), plain))
        draws = [
            sorted((h.tokens[i], h.logprobs[i]) for h in ran.found[0] for i in range(len(h.tokens))) for ran in (fast, slow)
        ]
        assert draws[0] == draws[1]
        uniforms = [sorted(u for step in ran.steps if step.uniform is not None for u in step.uniform.tolist()) for ran in (fast, slow)]
        assert uniforms[0] == uniforms[1]


# --- the law of drafts that are drawn ------------------------------------------------------------------------------------

HALVES = np.asarray([[1, 1, 0], [1, 0, 1], [0, 1, 1], [2, 0, 0], [0, 2, 0], [0, 0, 2]]) / 2


def halves(seed):
    """A model of three tokens whose probabilities are 0, 1/2 or 1."""
    rng = np.random.default_rng(seed)
    rows = HALVES[rng.integers(0, len(HALVES), 40)]
    return un.models.toy.TableModel(lambda text: rows[(len(text) * 13 + text[-1] * 5) % 40], 3)


def law_of(decoder, model, limit, monkeypatch, parts=2, steps=None):
    """The distribution of texts, as the sum over all uniforms: each is in one of so many equal parts, which is all that counts here.

    steps: after how many tokens uniforms decide anything, all if not given.
    """
    first, *others = ((i + 0.5) / parts for i in range(parts))
    found, waiting = defaultdict(float), [()]
    while waiting:
        given = dict(waiting.pop())
        asked = dict(given)

        def uniform(seed, lineage, step, purpose, index=0, asked=asked):
            keys = [(int(s), purpose) for s in np.ravel(step)]
            return np.asarray([asked.setdefault(key, first) if steps is None or key[0] in steps else first for key in keys])

        monkeypatch.setattr(call, "uniform", uniform)
        ((h,),) = run(model, decoder, [[0]], limit, end_tokens=())
        found[tuple(h.tokens)] += (1 / parts) ** len(asked)
        new = [key for key in asked if key not in given]
        for i in range(len(new)):                                        # every other way the new uniforms could have fallen, once
            waiting += [(*given.items(), *((key, first) for key in new[:i]), (new[i], other)) for other in others]
    return dict(found)


@pytest.mark.parametrize("confidence", [0.0, 0.9])
@pytest.mark.parametrize(("limit", "tokens"), [(2, 1), (3, 1), (3, 2)])
def test_the_law_is_exact_summed_over_all_uniforms(limit, tokens, confidence, monkeypatch):
    kinds = Counter()
    for seed in range(4):
        model, draft = halves(seed), halves(seed + 50)
        found = law_of(un.Speculative(draft, tokens, confidence=confidence), model, limit, monkeypatch)
        expected = {}
        for text in product(range(3), repeat=limit):
            share = np.prod([model.probabilities((0, *text[:i]))[t] for i, t in enumerate(text)])
            if share:
                expected[text] = share
        assert found == pytest.approx(expected)
        kinds[len(expected) > 1] += 1
    assert kinds[True] > 1                                               # not only texts that are certain


@pytest.mark.parametrize("confidence", [0.0, 0.3])
def test_an_unsure_draft_is_not_dropped(confidence, monkeypatch):
    """Dropping tokens because they were drawn would change the law: the draft stops behind them."""
    p, q = np.asarray([1, 1, 2]) / 4, np.asarray([2, 1, 1]) / 4
    model, draft = (un.models.toy.TableModel(lambda text, x=x: x if len(text) > 1 else np.eye(3)[0], 3) for x in (p, q))
    found = law_of(un.Speculative(draft, 1, confidence=confidence), model, 2, monkeypatch, parts=4, steps={1})
    assert found == pytest.approx({(0, t): p[t] for t in range(3)})


# --- lookups by their definition ------------------------------------------------------------------------------------------


def longest_by_definition(text, most):
    for n in range(min(most, len(text) - 1), 0, -1):
        places = [i + n for i in range(len(text) - n) if text[i : i + n] == text[-n:]]
        if places:
            return places, n
    return [], 0


def test_matches_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    for _ in range(300):
        text = rng.integers(0, 3, rng.integers(1, 14)).tolist()
        for most in (1, 2, 5):
            places, length = matches(np.asarray(text), most)
            assert (places.tolist(), length) == longest_by_definition(text, most)


def test_prompt_lookup_copies_what_came_the_last_time():
    find = un.PromptLookup(longest=2).find
    assert find(np.asarray([7, 1, 2, 3, 4, 1, 2, 8, 9, 1, 2]), 3) == [8, 9, 1]
    assert find(np.asarray([5, 6, 5, 6]), 5) == [5, 6, 5, 6, 5]           # a loop goes on
    assert find(np.asarray([1, 2, 3]), 4) == []
    assert un.PromptLookup(longest=3, shortest=2).find(np.asarray([1, 9, 4, 9]), 4) == []


def test_suffix_lookup_goes_down_the_most_frequent_path():
    past = ((1, 2, 3, 3), (1, 2, 3, 4), (0, 2, 5, 5))
    assert un.SuffixLookup(past).find(np.asarray([9, 1, 2]), 2) == [3, 3]
    assert un.SuffixLookup(past, share=0.6).find(np.asarray([9, 1, 2]), 5) == [3]            # then 3 or 4, one in two
    assert un.SuffixLookup(past, factor=0.5).find(np.asarray([9, 1, 2]), 5) == [3]           # half of an ending of two
    assert un.SuffixLookup(past).find(np.asarray([9, 4]), 5) == []                           # nothing came after it, only another text
    forks = ((1, 2, 3, 7), (1, 2, 3, 7), *((1, 2, 4, t) for t in (8, 9, 5)))
    assert un.SuffixLookup(forks, share=0.0).find(np.asarray([0, 1, 2]), 2) == [4, 5]        # not 7, which came after 3
    assert un.SuffixLookup(past, depth=1).find(np.asarray([0, 2]), 1) == [3]


# --- forwards ---------------------------------------------------------------------------------------------------------------


def forwards(model, decoder, prompts, limit, **options):
    ran = run_whole(model, decoder, prompts, limit, **options)
    return ran.search.lane.forwards


@pytest.mark.parametrize("drafting", DRAFTINGS)
@pytest.mark.parametrize("plain", PLAIN)
def test_a_batch_takes_as_many_forwards_as_its_slowest_prompt(drafting, plain):
    decoder = DRAFTINGS[drafting](PLAIN[plain])
    alone = [forwards(MODEL, decoder, [prompt], 20, end_tokens=()) for prompt in PROMPTS]
    assert len(set(alone)) > 1 or (drafting, plain) == ("early_exit", "greedy")
    assert min(alone) < 20
    assert forwards(MODEL, decoder, PROMPTS, 20, end_tokens=()) == max(alone)


def test_a_text_that_repeats_takes_few_forwards():
    loop = un.models.toy.TableModel(lambda text: np.eye(5)[(text[-1] + 1) % 5] + 0.01, 5)
    for decoder in (un.PromptLookup(9, un.Greedy()), un.SuffixLookup((), 9, un.Greedy(), factor=9.0)):
        assert forwards(loop, decoder, [[0, 1, 2, 3, 4, 0]], 60) <= 1 + 60 / 10


def test_what_lookahead_remembers_is_what_comes():
    """Where the next token depends on the last alone, every n-gram of the window is a way the model goes."""
    follows, n = [3, 0, 4, 1, 2, 2], 4
    ahead = Ahead(np.asarray([5, 1, 0]), 3, n, 2)
    for _ in range(n - 1):
        chains = [[9, *chain] for chain in ahead.chains(np.asarray([5, 1, 0, 0]), 50)]
        ahead.saw(chains, [0] * len(chains), [np.asarray([follows[t] if t < 9 else 0 for t in chain]) for chain in chains])
    grams = [(first, *rest) for first, some in ahead.pool.items() for rest in some]
    assert sorted(grams) == [(0, 3, 1, 0), (1, 0, 3, 1), (5, 2, 4, 2)]
    assert len(ahead.levels) == n - 1
    assert [0, 3, 1] not in ahead.chains(np.asarray([5]), 50)
    assert ahead.chains(np.asarray([0]), 2)[0] == [3, 1]


def test_lookahead_takes_fewer_forwards_where_the_model_goes_in_a_circle():
    loop = un.models.toy.TableModel(lambda text: np.eye(5)[(text[-1] + 1) % 5] + 0.01, 5)
    assert forwards(loop, un.Lookahead(4, 5, un.Greedy()), [[0, 1]], 60) <= 60 / 3


def test_past_outputs_are_drafts():
    once = run(MODEL, un.Greedy(), [PROMPTS[0]], 12, end_tokens=())[0][0].tokens
    fresh, known = (un.SuffixLookup(past, 12, un.Greedy(), factor=12.0) for past in ((), ((*PROMPTS[0], *once),)))
    assert forwards(MODEL, known, [PROMPTS[0]], 12, end_tokens=()) == 2
    assert forwards(MODEL, fresh, [PROMPTS[0]], 12, end_tokens=()) > 4


def test_the_bundled_model_writes_three_tokens_a_forward_where_it_repeats_itself():
    lm = un.load()
    prompt = "Tim had a red ball. Tim had a red ball. Tim had a red"
    plain, fast = (lm.stream(prompt, d, max_new_tokens=120, end_tokens=()) for d in ("greedy", "prompt_lookup(then=greedy)"))
    assert plain.output.tokens == fast.output.tokens
    assert fast._search.lane.forwards <= 120 / 3


# --- the first layers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("form", ["numpy", "compiled", "asked", *(b for b in BACKENDS if b != "numpy")])
def test_the_first_layers_are_the_model_that_ends_there(kind, form):
    """Cut, compiled, or asked of the whole model's session: one distribution, and every text is the whole model's."""
    model = transformer(kind, backend=form if form in BACKENDS else "numpy")
    model = compiled(model) if form == "compiled" else model
    for count in (1, 3):
        short = FirstLayers(model, count) if form == "asked" else first_layers(model, count)
        session, whole_session = short.session(), model.session(un.Plan(layers=(count,)))
        rows, whole_rows = (s.extend([-1, -1], [[1, 2, 3], [7]]) for s in (session, whole_session))
        np.testing.assert_allclose(session.logits(rows), whole_session.logits(whole_rows, count), atol=1e-4)
        assert np.abs(np.asarray(session.logits(rows)) - np.asarray(whole_session.logits(whole_rows))).max() > 1e-2
        for then in PLAIN.values():
            decoder = un.EarlyExit(count, 3, then, coupled=True)
            assert [[h.tokens for h in found] for found in run(model, decoder, [[1, 2, 3], [7]], 9)] == [
                [h.tokens for h in found] for found in run(model, then, [[1, 2, 3], [7]], 9)
            ]


def test_a_layer_that_is_none_is_refused():
    with pytest.raises(un.ModelError, match="layer 4 is none between the layers of this model: it has 4"):
        run(transformer("gpt2"), un.EarlyExit(4), [[1]], 5)
    with pytest.raises(un.Unsupported, match=r"no layers, which early_exit\(1\) needs"):
        run(Worded(MODEL), un.EarlyExit(1), [[1]], 5)


class Worded:
    """A model whose sessions give logits alone."""

    def __init__(self, model):
        vars(self).update({name: getattr(model, name) for name in ("vocabulary", "context", "end_tokens", "start")}, model=model)

    def session(self, plan=un.NO_PLAN):
        session = self.model.session(un.Plan())
        session.can = frozenset()
        return session


# --- a draft from anywhere --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["greedy", "sample", "temperature(0.5) | prompt_lookup", "top_k(2) | sample | loop(2)"])
def test_a_verified_draft_is_the_beginning_of_the_text(decoder):
    lm = un.LanguageModel(MODEL)
    for seed, prompt in product(range(3), PROMPTS):
        text = lm.generate(prompt, decoder, max_new_tokens=8, seed=seed).tokens
        for wrong in range(len(text) + 1):
            draft = [*text[:wrong], *((t + 1) % 5 for t in text[wrong:])]
            found = un.verify_draft(lm, prompt, draft, decoder, seed=seed)
            assert found.accepted == wrong
            assert found.tokens[: len(text)] == text[: wrong + 1]
            assert found.whole == (wrong == len(text))


def test_a_draft_is_verified_by_one_forward():
    lm = un.LanguageModel(MODEL)
    text = lm.generate(PROMPTS[0], max_new_tokens=8, end_tokens=()).tokens
    for draft, forwards_asked in ((text, 2), ([*text[:5], 0, 0, 0], 2), ([(text[0] + 1) % 6, *text[1:]], 1)):
        counted = Counted(MODEL)
        un.verify_draft(un.LanguageModel(counted), PROMPTS[0], draft, end_tokens=())
        assert counted.forwards == forwards_asked


class Counted:
    """A model that counts what it is asked to run."""

    def __init__(self, model):
        vars(self).update({name: getattr(model, name) for name in ("vocabulary", "context", "end_tokens", "start")}, model=model)
        self.forwards = 0

    def session(self, plan=un.NO_PLAN):
        session = self.model.session(plan)
        extend = session.extend

        def counted(*arguments, **keywords):
            self.forwards += 1
            return extend(*arguments, **keywords)

        session.extend = counted
        return session


def test_a_draft_may_be_text_and_be_refused():
    lm = un.load()
    found = un.verify_draft(lm, "Once upon a time", ", there was a king.")
    assert found.text.startswith(", a")
    assert 0 < found.accepted < len(found.drafted)
    assert found.reason == "verified"
    with pytest.raises(un.ParameterError, match="verify_draft sets max_new_tokens itself"):
        un.verify_draft(lm, "Once", " upon", max_new_tokens=3)
    with pytest.raises(un.ParameterError, match=r"as greedy or sample; got beam\(2\)"):
        un.verify_draft(lm, "Once", " upon", "beam(2)")
    with pytest.raises(un.PromptError, match="the continuation is empty"):
        un.verify_draft(lm, "Once", "")


# --- the record, and what is refused ----------------------------------------------------------------------------------------


def test_the_record_says_what_was_drafted_and_what_was_refused(tmp_path):
    lm = un.LanguageModel(MODEL)
    trace = lm.generate([1, 2, 3], un.PromptLookup(4, un.Greedy()), max_new_tokens=20, level="choices", end_tokens=()).trace
    drafted = [step.drafted is not None for step in trace.steps]
    assert 0 < sum(drafted) < 20
    assert all(step.drafted.tolist() == [1] for step in trace.steps if step.drafted is not None)
    refused = [step for step in trace.steps if step.dropped is not None]
    assert refused
    for step in refused:
        assert set(step.dropped["reason"]) == {"rejected"}
        assert step.drafted is None
        assert step.dropped["parents"].tolist() == step.parents.tolist()
        assert step.tokens[0] not in step.dropped["tokens"]
    assert [node.why for node, *_ in Tree.from_trace(trace).walk() if node.why == "drafted"] == ["drafted"] * sum(drafted)
    trace.save(tmp_path / "t.jsonl")
    again = un.Trace.load(tmp_path / "t.jsonl")
    assert [step.drafted is not None for step in again.steps] == drafted


def test_a_draft_with_a_short_context_drafts_as_long_as_it_can():
    short = table(seed=12, context=8)
    for then in PLAIN.values():
        decoder = un.Speculative(short, 3, then, coupled=True)
        for found, expected in zip(run(MODEL, decoder, PROMPTS, 12), run(MODEL, then, PROMPTS, 12), strict=True):
            same(found, expected)
    assert len(run(MODEL, un.Speculative(short, 3), [[1] * 9], 5, end_tokens=())[0][0].tokens) == 5


@pytest.mark.parametrize(
    ("engine", "settings", "decoder"),
    [
        ("transformers", {"prompt_lookup_num_tokens": 5, "max_matching_ngram_size": 4}, "prompt_lookup(5, then=greedy, longest=4)"),
        ("transformers", {"prompt_lookup_num_tokens": 5, "do_sample": True, "top_k": 9}, "top_k(9) | prompt_lookup(5, longest=2)"),
        ("vllm", {"speculative_config": {"method": "ngram", "num_speculative_tokens": 5}}, "prompt_lookup(5, longest=5, shortest=5)"),
        (
            "vllm",
            {"speculative_config": {"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_max": 4, "prompt_lookup_min": 2}},
            "prompt_lookup(5, longest=4, shortest=2)",
        ),
        ("llama.cpp", {"spec_type": "ngram-simple", "temperature": 0}, "prompt_lookup(48, then=greedy, longest=12, shortest=12)"),
    ],
)
def test_other_engines_say_the_same(engine, settings, decoder):
    found = un.from_engine(engine, settings)
    assert str(found.decoder) == decoder
    assert str(un.from_engine(engine, un.to_engine(engine, decoder).settings).decoder) == decoder


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: un.PromptLookup(0), r"prompt_lookup\(tokens=\.\.\.\) needs a whole number >= 1; got 0"),
        (lambda: un.PromptLookup(then=un.Beam(2)), r"grows each row by one token, as greedy or sample; got beam\(2\)"),
        (lambda: un.PromptLookup(then=None), "grows each row by one token"),
        (lambda: un.PromptLookup(longest=1, shortest=2), r"shortest=2\) is more than longest=1"),
        (lambda: un.SuffixLookup(3), r"suffix_lookup\(past\) takes texts, or tuples of token ids; got 3"),
        (lambda: un.SuffixLookup(share=2), r"suffix_lookup\(share=\.\.\.\) needs a number in \[0, 1\]; got 2"),
        (lambda: un.Speculative(OTHER, coupled=1), r"speculative\(coupled=\.\.\.\) is True or False; got 1"),
        (lambda: un.Speculative(OTHER, confidence=-1), r"speculative\(confidence=\.\.\.\) needs a number in \[0, 1\]"),
        (lambda: run(MODEL, un.Speculative(table(vocabulary=7)), [[1]], 3), "knows 7 tokens and the model 6"),
        (lambda: run(MODEL, un.SuffixLookup(("a",)), [[1]], 3), "suffix_lookup: texts need a tokenizer"),
        (lambda: un.Lookahead(1), r"lookahead\(n\) needs a whole number >= 2; got 1"),
        (lambda: un.EarlyExit(0), r"early_exit\(layer\) needs a whole number >= 1; got 0"),
        (lambda: un.to_engine("transformers", "prompt_lookup(shortest=2)"), "shortest is 1 there"),
        (lambda: un.to_engine("llama.cpp", "prompt_lookup"), "shortest and longest are the same there"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(un.ParameterError, match=said):
        make()
