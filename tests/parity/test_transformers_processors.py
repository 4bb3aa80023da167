"""Every processor gives the scores of its LogitsProcessor in transformers, on numpy arrays and torch tensors."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from parity.near import near_the_line

import unspool as un
from unspool.arrays import host, log_softmax

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

REFERENCE = f"transformers {transformers.__version__}"
ENDS = (2, 4)
PROMPT = 1
SHAPES = ((1, 6), (3, 17), (5, 90), (2, 700))
LENGTHS = (1, 2, 4, 5, 12)
BLOCKED = (0.0, 0.4)
SPREADS = (0.2, 2.0, 6.0)
FLOATS = (np.float32, np.float64)

PAIRS = [
    *((un.Temperature(t), lambda t=t: transformers.TemperatureLogitsWarper(t)) for t in (0.05, 0.7, 1.0, 2.5)),
    *((un.TopK(k), lambda k=k: transformers.TopKLogitsWarper(k)) for k in (1, 2, 5, 60, 10_000)),
    *((un.TopP(p), lambda p=p: transformers.TopPLogitsWarper(p)) for p in (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)),
    *((un.MinP(p), lambda p=p: transformers.MinPLogitsWarper(p)) for p in (0.0, 0.01, 0.3, 0.9, 1.0)),
    *((un.Typical(p), lambda p=p: transformers.TypicalLogitsWarper(p)) for p in (0.1, 0.5, 0.9, 0.99)),
    *((un.Epsilon(e), lambda e=e: transformers.EpsilonLogitsWarper(e)) for e in (3e-4, 0.01, 0.2, 0.9)),
    *((un.Eta(e), lambda e=e: transformers.EtaLogitsWarper(e)) for e in (3e-4, 0.01, 0.2, 0.9)),
    *((un.TopH(a, variant="transformers"), lambda a=a: transformers.TopHLogitsWarper(a)) for a in (0.01, 0.4, 0.8, 1.0)),
    *((un.RepetitionPenalty(p), lambda p=p: transformers.RepetitionPenaltyLogitsProcessor(p)) for p in (0.5, 1.0, 1.2, 3.0)),
    (un.RepetitionPenalty(1.2, "generated"), lambda: transformers.RepetitionPenaltyLogitsProcessor(1.2, prompt_ignore_length=PROMPT)),
    *((un.NoRepeatNgram(n), lambda n=n: transformers.NoRepeatNGramLogitsProcessor(n)) for n in (1, 2, 3, 5)),
    *(
        (un.MinNewTokens(n), lambda n=n: transformers.MinNewTokensLengthLogitsProcessor(PROMPT, n, list(ENDS), "cpu"))
        for n in (0, 1, 2, 3, 50)
    ),
    (un.Banned(3), lambda: transformers.NoBadWordsLogitsProcessor([[3]])),
    (un.Banned(0, (1, 2), (3, 0, 5)), lambda: transformers.NoBadWordsLogitsProcessor([[0], [1, 2], [3, 0, 5]])),
    (un.Banned(1, 4, 5), lambda: transformers.SuppressTokensLogitsProcessor([1, 4, 5], "cpu")),
    (un.Bias({3: 1.5, 0: -20.0}), lambda: transformers.SequenceBiasLogitsProcessor({(3,): 1.5, (0,): -20.0})),
    (
        un.Bias({(1, 2): 4.0, (0, 2): 3.0, 2: 0.25, (3, 0, 5): -2.0}),
        lambda: transformers.SequenceBiasLogitsProcessor({(1, 2): 4.0, (0, 2): 3.0, (2,): 0.25, (3, 0, 5): -2.0}),
    ),
    (un.LogSoftmax(), lambda: transformers.LogitNormalization()),
    (un.Suppress(1, 4, 5), lambda: transformers.SuppressTokensLogitsProcessor([1, 4, 5], "cpu")),
    (un.SuppressAtBegin(1, 4), lambda: transformers.SuppressTokensAtBeginLogitsProcessor([1, 4], PROMPT, "cpu")),
    *((un.MinLength(n), lambda n=n: transformers.MinLengthLogitsProcessor(n, list(ENDS), "cpu")) for n in (0, 1, 3, 5, 50)),
    *(
        (un.ExponentialDecayLength(n, f), lambda n=n, f=f: transformers.ExponentialDecayLengthPenalty((n, f), list(ENDS), PROMPT))
        for n, f in ((0, 1.1), (1, 1.6), (3, 0.7), (50, 2.0))
    ),
    (un.ForcedBegin(3), lambda: transformers.ForcedBOSTokenLogitsProcessor(3)),
    *((un.ForcedEnd(n - PROMPT), lambda n=n: transformers.ForcedEOSTokenLogitsProcessor(n, list(ENDS))) for n in (2, 5, 13)),
    (
        un.PrefixConstrained(lambda tokens: {tokens[-1], min(tokens[0] + 1, 5), 0}),
        lambda: transformers.PrefixConstrainedLogitsProcessor(lambda row, text: [int(text[-1]), min(int(text[0]) + 1, 5), 0], 1),
    ),
]


def random_scores(chance, shape, blocked, spread, dtype):
    """Scores with some -inf, at least one number in each row."""
    scores = chance.normal(size=shape) * spread
    holes = chance.random(shape) < blocked
    holes[np.arange(shape[0]), chance.integers(shape[1], size=shape[0])] = False
    return np.where(holes, -np.inf, scores).astype(dtype)


def random_texts(chance, rows, length):
    """Tokens with many repetitions."""
    return chance.integers(6, size=(rows, length))


def ours_of(processor, texts, scores):
    rows = un.Rows(texts, np.full(len(texts), texts.shape[1]), np.full(len(texts), PROMPT), ENDS)
    return host(processor.process(rows, scores))


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(("processor", "make"), PAIRS, ids=[str(p) for p, _ in PAIRS])
def test_equal(processor, make, library, tally):
    chance = np.random.default_rng(7)
    for shape in SHAPES:
        for length in LENGTHS:
            for blocked in BLOCKED:
                for spread, dtype in zip((*SPREADS, 2.0), (*[FLOATS[0]] * 3, FLOATS[1]), strict=True):
                    scores = random_scores(chance, shape, blocked, spread, dtype)
                    compare(processor, make(), random_texts(chance, shape[0], length), scores, library, tally)


def compare(processor, theirs, texts, scores, library, tally):
    before = scores.copy()
    if library == "numpy":
        mine = ours_of(processor, texts, scores)
    else:
        mine = ours_of(processor, torch.from_numpy(texts), torch.from_numpy(scores))
    their = theirs(torch.from_numpy(texts), torch.from_numpy(scores.copy())).numpy()
    np.testing.assert_array_equal(scores, before)
    assert mine.dtype == scores.dtype
    differ = np.argwhere(np.isneginf(mine) != np.isneginf(their))
    if isinstance(processor, un.ForcedBegin | un.ForcedEnd | un.PrefixConstrained):
        assert all(np.isneginf(scores[row, token]) for row, token in differ)   # ruled out before: a difference on purpose, below
        alike = len(differ) == 0 and np.allclose(log_softmax(mine), log_softmax(their), rtol=1e-5, atol=1e-5)
        assert alike or len(differ) or isinstance(processor, un.ForcedEnd)     # and of several ends
        return tally(processor.name, "equal" if alike else "on purpose")
    for row, token in differ:
        assert near_the_line(processor, scores, row, token), (row, token)
    both = ~(np.isneginf(mine) | np.isneginf(their))
    np.testing.assert_allclose(mine[both], their[both], rtol=2e-5, atol=2e-6)
    tally(processor.name, "near tie" if len(differ) else "equal")


def test_equal_about_the_prompt(tally):
    """Processors that read the prompt in the encoder's place, for prompts of several tokens."""
    chance = np.random.default_rng(9)
    for library in (np.asarray, torch.from_numpy):
        for shape, length, prompt in product(SHAPES, (4, 9, 20), (1, 3, 4)):
            texts, scores = random_texts(chance, shape[0], length), random_scores(chance, shape, 0.2, 2.0, np.float32)
            theirs = torch.from_numpy(texts), torch.from_numpy(scores.copy())
            rows = un.Rows(library(texts), np.full(len(texts), length), np.full(len(texts), prompt), ENDS)
            encoder = theirs[0][:, :prompt]
            for value in (0.7, 1.0, 1.5):
                mine = host(un.EncoderRepetitionPenalty(value).process(rows, library(scores)))
                their = transformers.EncoderRepetitionPenaltyLogitsProcessor(value, encoder)(*theirs).numpy()
                np.testing.assert_allclose(mine, their, rtol=1e-5)
                tally("encoder_repetition_penalty")
            for n in (1, 2, 3):
                mine = host(un.EncoderNoRepeatNgram(n).process(rows, library(scores)))
                np.testing.assert_array_equal(mine, transformers.EncoderNoRepeatNGramLogitsProcessor(n, encoder)(*theirs).numpy())
                tally("encoder_no_repeat_ngram")


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(
    "processor", [un.Epsilon(0.01), un.Eta(0.2), un.MinP(0.3), un.Temperature(0.5), un.RepetitionPenalty(1.3), un.TopK(10_000)], ids=str
)
def test_equal_with_ties(processor, library, tally):
    """Where ties change nothing about a definition, they change nothing."""
    make = next(make for known, make in PAIRS if type(known) is type(processor))
    theirs = {un.MinP: lambda: transformers.MinPLogitsWarper(0.3), un.Temperature: lambda: transformers.TemperatureLogitsWarper(0.5)}
    theirs |= {un.RepetitionPenalty: lambda: transformers.RepetitionPenaltyLogitsProcessor(1.3), un.TopK: make}
    theirs |= {un.Epsilon: lambda: transformers.EpsilonLogitsWarper(0.01), un.Eta: lambda: transformers.EtaLogitsWarper(0.2)}
    theirs[un.TopK] = lambda: transformers.TopKLogitsWarper(10_000)
    chance = np.random.default_rng(8)
    for shape in SHAPES:
        scores = np.round(random_scores(chance, shape, 0.2, 2.0, np.float32) * 2) / 2
        compare(processor, theirs[type(processor)](), random_texts(chance, shape[0], 5), scores, library, tally)


@dataclass
class Difference:
    """A definition in which the two part on purpose: what each keeps of one row of scores."""

    processor: un.Processor
    theirs: object
    scores: list[float]
    ours_keeps: list[int]
    theirs_keeps: list[int]
    reason: str


LOG = [float(x) for x in np.log([0.25, 0.25, 0.25, 0.25])]
DIFFERENCES = {
    "top_k at a tie": Difference(
        un.TopK(2), transformers.TopKLogitsWarper(2), [1.0, 3.0, 1.0, 1.0], [0, 1], [0, 1, 2, 3],
        "theirs keeps everything equal to the k-th score, so k is no bound; ours keeps k, of equals those with the lowest ids",
    ),
    "top_p at a tie": Difference(
        un.TopP(0.4), transformers.TopPLogitsWarper(0.4), LOG, [0, 1], [2, 3],
        "both keep two of four equals; theirs whichever an ascending sort puts last, ours those with the lowest ids",
    ),
    "typical at a tie": Difference(
        un.Typical(0.4), transformers.TypicalLogitsWarper(0.4), LOG, [0, 1], [0, 1, 2, 3],
        "theirs keeps every token as typical as the last one needed; ours stops once the mass is there",
    ),
    "top_h as the paper has it": Difference(
        un.TopH(0.4), transformers.TopHLogitsWarper(0.4), [2e-6 * -t for t in range(99)], list(range(6)), list(range(39)),
        "theirs adds -p log p of the kept tokens without renormalising them; the variant of their name does so too",
    ),
    "remove_invalid of no number": Difference(
        un.RemoveInvalid(), transformers.InfNanRemoveLogitsProcessor(), [np.nan, -5.0, -7.0, -np.inf], [1, 2], [0, 1, 2, 3],
        "theirs makes NaN a 0, which may be the best score there is, and -inf the least number; ours makes both impossible",
    ),
    "forced_begin of what was ruled out": Difference(
        un.ForcedBegin(1), transformers.ForcedBOSTokenLogitsProcessor(1), [0.0, -np.inf, 1.0], [], [1],
        "theirs makes a forced token possible again and gives it the score 0; ours leaves what earlier processors ruled out",
    ),
    "forced_end of what was ruled out": Difference(
        un.ForcedEnd(1), transformers.ForcedEOSTokenLogitsProcessor(2, list(ENDS)), [0.0, 1.0, -np.inf, 0.0, -np.inf], [], [2, 4],
        "as for forced_begin; and of several end tokens, to which theirs gives one score, ours keeps the model's own",
    ),
    "prefix_constrained where all allowed are ruled out": Difference(
        un.PrefixConstrained(lambda tokens: [1]), transformers.PrefixConstrainedLogitsProcessor(lambda row, text: [1], 1),
        [0.0, -np.inf, 1.0], [], [1], "theirs makes them possible again; ours lets the hypothesis die",
    ),
    "top_p of 1 and a mass of 0": Difference(
        un.TopP(1.0), transformers.TopPLogitsWarper(1.0), [0.0, -1.0, -200.0], [0, 1, 2], [0, 1],
        "theirs cuts a token whose probability is 0 in float32; ours keeps all at p = 1",
    ),
    "min_p of a probability below float32": Difference(
        un.MinP(1e-50), transformers.MinPLogitsWarper(1e-50), [0.0, -110.0, -120.0], [0, 1], [0, 1, 2],
        "theirs compares probabilities, where 1e-50 is 0 in float32; ours compares logarithms",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DIFFERENCES)
def test_deliberate_difference(what, tally):
    difference = DIFFERENCES[what]
    text, scores = np.zeros((1, 1), np.int64), np.asarray([difference.scores], np.float32)
    for library in (np.asarray, torch.from_numpy):
        assert kept(ours_of(difference.processor, library(text), library(scores))) == difference.ours_keeps
    assert kept(difference.theirs(torch.from_numpy(text), torch.from_numpy(scores)).numpy()) == difference.theirs_keeps
    tally.difference(what, difference.reason)


def kept(scores):
    return np.flatnonzero(~np.isneginf(scores[0])).tolist()


@pytest.mark.parametrize("processor", [un.Temperature(0), un.Typical(0.0), un.Typical(1.0)], ids=str)
def test_settings_that_theirs_refuses(processor):
    """0 keeps one token, typical(1) keeps all."""
    scores = np.asarray([[0.5, 2.0, 1.0]], np.float32)
    assert len(kept(ours_of(processor, np.zeros((1, 1), np.int64), scores))) == (3 if processor == un.Typical(1.0) else 1)
