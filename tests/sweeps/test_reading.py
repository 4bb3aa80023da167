"""Texts read once for all settings: the same numbers, to the bit, as each setting alone, and those of the loop that follows the text."""

import math

import numpy as np
import pytest
from helpers.tables import Letters, table

import unspool as un
from unspool.arrays import found_once, topk
from unspool.core.model import ROOT
from unspool.sweeps.goals import read_goals
from unspool.sweeps.known_texts import KnownTexts
from unspool.sweeps.plan import SweepPlan
from unspool.sweeps.read_metrics import READ_METRICS, SMOOTHED
from unspool.sweeps.simplicity import IDLE_AT
from unspool.sweeps.sweeping import Sweeping
from unspool.sweeps.units import ReadUnit

TEXTS = [("ab", "cabdae"), ("e", "abcab"), ("dd", "ddddd"), ("a", "b"), ("bcd", "aaeabcde"), ("ca", "bdbebdbe")]
CHAINS = [
    "greedy",
    "temperature(0.7) | greedy",
    "temperature(0.7) | top_p(0.6) | greedy",
    "temperature(0.7) | top_p(0.8) | greedy",
    "temperature(0.7) | top_p(0.8) | min_p(0.2) | greedy",
    "top_k(2) | greedy",
    "repetition_penalty(1.5) | top_p(0.7) | greedy",
    "repetition_penalty(1.5) | top_p(0.5) | greedy",
    "no_repeat_ngram(2) | greedy",
    "dry(0.8) | temperature(0.5) | greedy",
    "min_new_tokens(4) | top_k(3) | greedy",
    "after('b', top_k(1)) | greedy",
    "typical(0.6) | eta(0.1) | greedy",
    "banned(2) | top_k(2) | greedy",
    "top_k(3) | mirostat(2.0) | greedy",
    "allowed(0, 1) | banned(0, 1) | greedy",
    "temperature(0.7) | top_p(0.8) | greedy | end(1)",
]
NAMES = tuple(READ_METRICS)


def model(seed=0):
    made = table(seed)
    return un.LanguageModel(made, Letters(made.vocabulary, made.end_tokens), f"table {seed}")


def tokens(lm, texts=TEXTS):
    return tuple((tuple(lm.tokens_of(a)), tuple(lm.tokenizer.encode(b))) for a, b in texts)


def read(lm, chains, texts):
    return ReadUnit(0, tuple(range(len(chains))), tuple(chains), tuple(range(len(texts))), tuple(texts), NAMES).make(lm)


@pytest.mark.parametrize("chains", [CHAINS, CHAINS[::-1]])
def test_all_at_once_is_each_by_itself_to_the_bit(chains):
    lm = model()
    whole = read(lm, chains, tokens(lm))
    assert whole.spent.forwards == 1
    assert whole.spent.tokens == sum(len(a) + len(b) - 1 for a, b in tokens(lm))
    for place, chain in enumerate(chains):
        assert read(lm, [chain], tokens(lm)).parts[0] == whole.parts[place], chain


def test_all_at_once_is_each_by_itself_on_the_bundled_model():
    lm = un.load()
    text = "Once upon a time there was a king who had three daughters, and the youngest was so fair that the sun wondered at her."
    given = tuple((tuple(lm.tokens_of(text[: 20 * n])), tuple(lm.tokenizer.encode(text[20 * n :])[:12])) for n in range(1, 5))
    chains = [f"temperature({t}) | top_p({p})" for t in (0.6, 1, 1.4) for p in (0.3, 0.9, 0.99, 1)]
    chains += ["top_k(7)", "repetition_penalty(1.3) | top_p(0.9)", "min_p(0.05) | temperature(1.4)", "top_k(300) | no_repeat_ngram(2)"]
    whole = read(lm, chains, given)
    for place, chain in enumerate(chains):
        assert read(lm, [chain], given).parts[0] == whole.parts[place], chain


@pytest.mark.parametrize("chain", CHAINS)
def test_numbers_are_those_of_a_run_that_follows_the_text(chain):
    """By the loop, which knows nothing of sweeps: the processed log-probability of each token, and what every stage left."""
    lm = model()
    parts = read(lm, [chain], tokens(lm)).parts[0]
    decoder = un.parse(chain)
    for number, (prompt, text) in enumerate(tokens(lm)):
        run = un.Decoder((*decoder.processors, un.Follow(text), *decoder.stops))
        output = lm.generate(list(prompt), run, level="stages", choices=lm.model.vocabulary, max_new_tokens=len(text))
        processed = np.asarray(output.sequences[0].processed)
        assert len(processed) == len(text)
        stages = [step.considered.stages for step in output.trace.steps]
        kept = [int(s.kept[0, -1]) for s in stages]
        spread = [float(s.entropy[0, -1]) for s in stages]
        q = np.exp(processed)
        found = {name: dict(enumerate(parts[place][number])) for place, name in enumerate(NAMES)}
        assert found["coverage"] == {0: float((processed > -np.inf).sum()), 1: float(len(text))}
        assert found["kept"][0] == sum(kept)
        assert found["cross_entropy"][0] == pytest.approx(processed[processed > -np.inf].sum(), abs=1e-5)
        assert found["cross_entropy"][2] == (processed == -np.inf).sum()
        assert found["spread"][0] == pytest.approx(sum(spread), abs=1e-5)
        smoothed = np.log((1 - SMOOTHED) * q + SMOOTHED / lm.model.vocabulary)
        assert found["epsilon_perplexity"][0] == pytest.approx(smoothed.sum(), abs=1e-5)
        assert found["js"][0] == pytest.approx(sum(map(divergence, q)), abs=1e-5)


def divergence(q):
    """Jensen-Shannon, from its definition, of (q, 1 - q spread anywhere else) and (1, 0)."""
    def kl(a, b):
        return sum(x * math.log(x / y) for x, y in zip(a, b, strict=True) if x > 0)

    one, other = (q, 1 - q), (1.0, 0.0)
    middle = [(a + b) / 2 for a, b in zip(one, other, strict=True)]
    return (kl(one, middle) + kl(other, middle)) / 2


def test_mass_and_sparsemax_are_what_they_say():
    lm = model()
    names = {name: place for place, name in enumerate(NAMES)}
    given = tokens(lm)
    kept, free = read(lm, ["top_k(2)", "greedy"], given).parts
    for number, (prompt, text) in enumerate(given):
        masses = scores = 0.0
        for i, token in enumerate(text):
            p = np.asarray(lm.model.probabilities((*prompt, *text[:i])), np.float64)
            p /= p.sum()
            masses += np.sort(p)[-2:].sum()
            scores += p[token] + (1 - (p**2).sum()) / 2
        assert kept[names["mass"]][number] == pytest.approx((masses, len(text)), abs=1e-5)
        assert free[names["sparsemax_score"]][number] == pytest.approx((scores, len(text)), abs=1e-5)
        assert free[names["mass"]][number] == pytest.approx((len(text), len(text)), abs=1e-5)


def test_known_rows_have_the_logits_of_the_model():
    lm = model()
    known = KnownTexts(lm.model, tokens(lm))
    session = known.session()
    for prompt, text in tokens(lm):
        start = session.extend([ROOT], [prompt])
        path = session.nodes.path(int(session.extend(start, [text[:-1]], every=True)[0]))
        for row in path:
            p = np.asarray(lm.model.probabilities(tuple(session.nodes.tokens(int(row)).tolist())), np.float64)
            np.testing.assert_allclose(np.exp(session.logits([row])[0]), p / p.sum(), atol=1e-6)
    assert known.real.forwards == 1


@pytest.mark.parametrize("wide", [40, 6000])
def test_what_is_found_once_is_what_is_sorted_anew(wide):
    """Also row by row, where equal shapes are different numbers."""
    draw = np.random.default_rng(0)
    arrays = [draw.normal(size=(5, wide)).astype(np.float32) for _ in range(3)]
    with found_once({}):
        for _ in range(2):
            for k in (2, 7, wide):
                for x in [*arrays, *(x[r : r + 1] for x in arrays for r in range(5))]:
                    values, columns = topk(x, k)
                    wanted = np.argsort(-x, -1, kind="stable")[:, :k]
                    assert (columns == wanted).all()
                    assert (values == np.take_along_axis(x, wanted, -1)).all()


def test_neighbours_do_not_matter():
    lm = model()
    given = tokens(lm)
    whole = read(lm, CHAINS, given).parts
    for number, text in enumerate(given):
        alone = read(lm, CHAINS, [text]).parts
        assert [[goal[0] for goal in one] for one in alone] == [[goal[number] for goal in one] for one in whole]


LONG = [(a, b * 3) for a, b in TEXTS] + [(b, a * 5) for a, b in TEXTS]


def test_a_sweep_is_what_its_single_settings_are():
    lm = model()
    grid = un.sweep(lm, "temperature({0.5,1}) | top_p({0.5,0.8,1}) | sample", "epsilon_perplexity,kept", reference=LONG)
    for row in grid.rows:
        t, p = row.values
        pair = un.sweep(lm, f"temperature({t}) | top_p({{{p}, 0.123}}) | sample", "epsilon_perplexity,kept", reference=LONG)
        assert pair.rows[0].estimates == row.estimates
    assert grid.spent.tokens == sum(len(a) + len(b) - 1 for a, b in tokens(lm, LONG))


@pytest.mark.parametrize(
    ("decoder", "said"),
    [
        ("xtc({0.1, 0.2}) | sample", "draws at random"),
        ("dola(2) | top_p({0.8, 0.9})", "reads earlier layers"),
        ("sample({1, 2})", "looks at processors alone"),
        ("heal() | top_p({0.8, 0.9})", "takes back the end"),
    ],
)
def test_what_no_text_tells_is_refused(decoder, said):
    with pytest.raises(un.UnspoolError) as error:
        un.sweep(model(), decoder, "js", reference=LONG)
    assert said in str(error.value)


def test_a_token_that_is_cut_costs_what_the_metric_says():
    lm = model()
    found = un.sweep(lm, "top_k({1, 6}) | sample", "cross_entropy", reference=LONG)
    assert found.rows[0].estimates[0].value == math.inf
    assert math.isfinite(found.rows[1].estimates[0].value)
    assert found.recommended is found.rows[1]
    never = un.sweep(lm, "top_k({1, 2}) | sample", "cross_entropy", reference=LONG)
    assert never.recommended is None
    assert "epsilon_perplexity and js are not" in never.why
    assert "∞" in str(never)


def test_texts_are_cut_and_each_is_there_once():
    lm = model()
    plan = SweepPlan(lm, "top_k({1,2})", "js", reference=LONG, max_new_tokens=3)
    assert {len(text) for _, text in plan.texts} <= {1, 2, 3}
    with pytest.raises(un.UnspoolError, match="text 13 is text 1 again"):
        SweepPlan(lm, "top_k({1,2})", "js", reference=[*LONG, LONG[0]])
    with pytest.raises(un.UnspoolError, match="text 13 is empty"):
        SweepPlan(lm, "top_k({1,2})", "js", reference=[*LONG, ("a", "")])
    with pytest.raises(un.UnspoolError, match="no start token"):
        SweepPlan(lm, "top_k({1,2})", "js", reference=[*LONG, "abc"])


def test_the_packages_own_passages_are_read_by_default():
    plan = SweepPlan(un.load(), "top_k({1,2})", "js", max_new_tokens=50)
    assert plan.count == 40
    assert all((len(a), len(b)) == (32, 50) for a, b in plan.texts)
    assert len(set(plan.texts)) == 40


@pytest.mark.parametrize("part", [f"{name}({0 if name in ('epsilon', 'eta', 'min_p', 'top_a', 'skew') else 1})" for name in IDLE_AT
                                  if not name.endswith("_penalty") and name != "xtc"]
                         + ["repetition_penalty(1)", "presence_penalty(0)", "frequency_penalty(0)"])  # fmt: skip
def test_what_counts_as_idle_changes_nothing(part):
    lm = model()
    one = un.parse(part)
    assert IDLE_AT[one.processors[0].name](one.processors[0])
    idle, none = read(lm, [part, "greedy"], tokens(lm)).parts
    for a, b in zip(idle, none, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    other = un.parse("temperature(0.7)").processors[0]
    assert not IDLE_AT["temperature"](other)


def test_goals_know_their_better_end():
    ways = {name: str(read_goals(name, False, False)[0]) for name in READ_METRICS if name != "spread"}
    assert ways == {
        "coverage": "coverage:max", "kept": "kept:min", "mass": "mass:max", "cross_entropy": "cross_entropy:min",
        "epsilon_perplexity": "epsilon_perplexity:min", "js": "js:min", "sparsemax_score": "sparsemax_score:max",
    }  # fmt: skip
    assert str(read_goals("diversity", True, False)[0]) == "diversity:human"
    assert str(read_goals("diversity", False, False)[0]) == "diversity:max"
    assert str(read_goals("rep_3", False, False)[0]) == "rep_3:min"
    assert str(read_goals("spread:near=1.5", False, False)[0]) == "spread:near=1.5"


def test_work_goes_on_after_an_unfinished_iteration():
    work = Sweeping(model(), "top_k({1,2,6})", "kept", reference=LONG)
    assert sum(work) == work.plan.total == work.done == 36
