"""Every logits processor of transformers under from_hf, on both backends: row by row what it says by itself."""

import inspect
import itertools
import sys

import numpy as np
import pytest
from helpers.tables import BACKENDS, Letters, run, table

import unspool as un
from unspool.arrays import host
from unspool.processors.from_hf import NOT_BY_ROW

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
logits_process = pytest.importorskip("transformers.generation.logits_process")

SIZE, ENDS = 12, (11,)
PROMPTS = [[1, 2, 3, 1, 2], [4]]
GREEN = transformers.WatermarkingConfig(greenlist_ratio=0.5, bias=2.0)
WHISPER = transformers.GenerationConfig(no_timestamps_token_id=6, eos_token_id=11, bos_token_id=1, max_initial_timestamp_index=2)
MADE = {
    "MinLengthLogitsProcessor": lambda c: c(8, 11),
    "MinNewTokensLengthLogitsProcessor": lambda c: c(1, 3, [11, 3]),
    "TemperatureLogitsWarper": lambda c: c(0.7),
    "RepetitionPenaltyLogitsProcessor": lambda c: c(1.7),
    "EncoderRepetitionPenaltyLogitsProcessor": lambda c: c(1.7, torch.tensor([[1, 2, 5]])),
    "TopPLogitsWarper": lambda c: c(0.7),
    "TopKLogitsWarper": lambda c: c(4),
    "TopHLogitsWarper": lambda c: c(0.5),
    "MinPLogitsWarper": lambda c: c(0.2),
    "TypicalLogitsWarper": lambda c: c(0.7),
    "EpsilonLogitsWarper": lambda c: c(0.05),
    "EtaLogitsWarper": lambda c: c(0.1),
    "NoRepeatNGramLogitsProcessor": lambda c: c(2),
    "EncoderNoRepeatNGramLogitsProcessor": lambda c: c(2, torch.tensor([[1, 2, 5, 1]])),
    "SequenceBiasLogitsProcessor": lambda c: c([[[3], -4.0], [[2, 5], 3.0]]),
    "NoBadWordsLogitsProcessor": lambda c: c([[3], [2, 5]], eos_token_id=11),
    "PrefixConstrainedLogitsProcessor": lambda c: c(lambda batch, tokens: [int(tokens[-1] + 1) % 12, 7, 11], 1),
    "ForcedBOSTokenLogitsProcessor": lambda c: c(6),
    "ForcedEOSTokenLogitsProcessor": lambda c: c(7, 11),
    "InfNanRemoveLogitsProcessor": lambda c: c(),
    "ExponentialDecayLengthPenalty": lambda c: c((1, 1.3), 11, 1),
    "LogitNormalization": lambda c: c(),
    "SuppressTokensAtBeginLogitsProcessor": lambda c: c([2, 3], 5),
    "SuppressTokensLogitsProcessor": lambda c: c([2, 3]),
    "WhisperTimeStampLogitsProcessor": lambda c: c(WHISPER, 1, True),
    "AlternatingCodebooksLogitsProcessor": lambda c: c(1, 2, 4),
    "BarkEosPrioritizerLogitsProcessor": lambda c: c(11, 0.2),
    "WatermarkLogitsProcessor": lambda c: GREEN.construct_processor(SIZE, "cpu"),
    "DiaEOSChannelFilterLogitsProcessor": lambda c: c(1, 11),
}
"""How each class is made; those of NOT_BY_ROW are refused."""
CLASSES = {
    name: cls
    for name, cls in vars(logits_process).items()
    if inspect.isclass(cls) and issubclass(cls, logits_process.LogitsProcessor) and cls is not logits_process.LogitsProcessor
}


def test_every_class_has_a_case():
    assert set(CLASSES) == {*MADE, *NOT_BY_ROW}


class Spy(un.FromHf):
    """Remembers what came in and what went out."""

    seen: list

    def process(self, rows, scores, memory=None):
        found = super().process(rows, scores, memory)
        self.seen.append((host(rows.tokens), rows.lengths, host(scores), host(found)))
        return found


def spied(function):
    spy = Spy(function)
    object.__setattr__(spy, "seen", [])
    return spy


@pytest.mark.parametrize("strategy", ["greedy", "sample(3)", "beam(3)"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MADE)
def test_rows_are_processed_as_by_hand(name, backend, strategy):
    model = table(3, SIZE, end_tokens=ENDS, backend=BACKENDS[backend])
    spy = spied(MADE[name](CLASSES[name]))
    run(model, un.Decoder((spy,)) | un.parse(strategy), PROMPTS, 5)
    assert spy.seen
    for tokens, lengths, scores, found in spy.seen:
        assert found.dtype == scores.dtype
        for text, length, row, mine in zip(tokens, lengths, scores, found, strict=True):
            alone = MADE[name](CLASSES[name])
            ids = torch.from_numpy(text[len(text) - length :].copy())[None]
            np.testing.assert_array_equal(mine, alone(ids, torch.from_numpy(row.copy())[None])[0].numpy())


@pytest.mark.parametrize("name", MADE)
def test_texts_are_the_same_on_both_backends(name):
    found = []
    for make in BACKENDS.values():
        model = table(3, SIZE, end_tokens=ENDS, backend=make)
        found.append(run(model, un.FromHf(MADE[name](CLASSES[name])) | un.Beam(3, n=2), PROMPTS, 5))
    assert [[h.tokens for h in some] for some in found[0]] == [[h.tokens for h in some] for some in found[1]]


@pytest.mark.parametrize("name", NOT_BY_ROW)
def test_what_keeps_state_is_refused_by_name(name):
    held = CLASSES[name].__new__(CLASSES[name])
    for given in (held, logits_process.LogitsProcessorList([held])):
        with pytest.raises(un.ParameterError, match=rf"from_hf: {name} does not go by a row's tokens"):
            un.FromHf(given)


def test_a_list_and_a_subclass():
    class Own(logits_process.LogitsProcessor):
        def __call__(self, input_ids, scores):
            scores[:, input_ids[0, -1]] = -torch.inf                       # in place, as some do
            return scores

    several = logits_process.LogitsProcessorList([Own(), logits_process.TopKLogitsWarper(3)])
    for make in BACKENDS.values():
        model = table(3, SIZE, end_tokens=ENDS, backend=make)
        (found,) = run(model, un.FromHf(several) | un.Greedy(), [[4]], 5)
        tokens = [4, *found[0].tokens]
        assert all(one != other for one, other in itertools.pairwise(tokens))


def test_a_function_of_another_library_says_which_backend_it_needs():
    lm = un.LanguageModel(table(3, SIZE, end_tokens=ENDS), Letters(SIZE, ENDS))
    with pytest.raises(un.PartError, match=r"from_hf.*given numpy arrays.*of torch alone, load the model with backend='torch'"):
        lm.generate("ab", un.FromHf(lambda ids, scores: scores.masked_fill(scores < 0, -np.inf)) | un.Greedy())
    lm = un.LanguageModel(table(3, SIZE, end_tokens=ENDS, backend=BACKENDS["torch"]), Letters(SIZE, ENDS))
    with pytest.raises(un.PartError, match=r"given torch tensors.*backend='numpy'"):
        lm.generate("ab", un.FromHf(lambda ids, scores: scores.astype("float32")) | un.Greedy())


def test_one_that_is_built_for_several_prompts_says_so():
    built = logits_process.EncoderNoRepeatNGramLogitsProcessor(2, torch.tensor([[1, 2], [3, 4]]))
    with pytest.raises(un.PartError, match="for a single prompt"):
        run(table(3, SIZE, end_tokens=ENDS), un.FromHf(built) | un.Greedy(), PROMPTS, 3)


def test_answers_of_another_shape_are_refused():
    for answer, words in ((lambda i, s: None, "returned None"), (lambda i, s: s[:, :3], r"shape \(1, 3\) for scores of shape \(1, 12\)")):
        with pytest.raises(un.PartError, match=words):
            run(table(3, SIZE, end_tokens=ENDS), un.FromHf(answer) | un.Greedy(), PROMPTS, 3)


def test_without_torch_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(un.MissingExtra, match=r"^from_hf: .*pip install 'unspool\[torch\]'$"):
        run(table(3, SIZE, end_tokens=ENDS), un.FromHf(logits_process.TopKLogitsWarper(3)) | un.Greedy(), PROMPTS, 3)
