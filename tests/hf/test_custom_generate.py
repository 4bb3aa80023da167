"""unspool inside `model.generate`: the tokens and the outputs of its own modes, of those that 4.49 had, and whatever else it is handed."""

import gc
import json
import logging
import warnings
import weakref
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import in_transformers, tiny_gpt2, tiny_llama
from helpers.tables import Letters
from laws.examples import strategies

import unspool as un
from unspool.models.hf import TransformersModel

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

OURS = un.transformers.generate
PAD = 23
ROWS = [[PAD, PAD, PAD, 5, 6, 3], [PAD, PAD, PAD, PAD, PAD, 4], [7, 7, 8, 9, 10, 11]]
IDS, MASK = torch.tensor(ROWS), torch.tensor([[int(t != PAD) for t in row] for row in ROWS])
MAKE = {"gpt2": tiny_gpt2, "llama": tiny_llama}


@cache
def tiny(kind="llama", seed=0, **shape):
    return in_transformers(*MAKE[kind](seed, **shape))


def called(model, custom=None, ids=IDS, mask=MASK, **settings):
    settings = {"max_new_tokens": 8, "eos_token_id": 2, "pad_token_id": PAD, **settings}
    return model.generate(ids, attention_mask=mask, custom_generate=custom, **settings)


MODES = {
    "greedy": {},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "beams that stop early": {"num_beams": 4, "early_stopping": True, "length_penalty": 0.5},
    "several ends": {"num_beams": 3, "eos_token_id": [2, 9, 14]},
    "penalties": {"num_beams": 3, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_new_tokens": 4, "bad_words_ids": [[5], [PAD]]},
    "greedy penalties": {"repetition_penalty": 1.3, "suppress_tokens": [4, PAD], "exponential_decay_length_penalty": [3, 1.5]},
    "no cache": {"use_cache": False},
    "forced end": {"forced_eos_token_id": 2, "num_beams": 2},
    "drafts": {"prompt_lookup_num_tokens": 3},
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_its_own_modes_are_its_own(mode, kind, theirs):
    model, settings = theirs(kind), MODES[mode]
    if mode == "drafts" or kind == "mamba":                              # it takes one prompt there; its cache cannot be padded
        batches = [(IDS[i : i + 1, ROWS[i].count(PAD) :], MASK[i : i + 1, ROWS[i].count(PAD) :]) for i in range(3)]
    else:
        batches = [(IDS, MASK)]
    if mode == "drafts" and kind == "mamba":
        pytest.skip("there it is refused")
    for ids, mask in batches:
        assert torch.equal(called(model, OURS, ids, mask, **settings), called(model, None, ids, mask, **settings))


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3, "num_return_sequences": 3}, {"num_beams": 3, "repetition_penalty": 1.4}])
def test_outputs_are_its_own(settings):
    for kind in MAKE:
        model = tiny(kind, 4)
        asked = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True, **settings}
        found, own = called(model, OURS, **asked), called(model, None, **asked)
        assert type(found) is type(own)
        assert torch.equal(found.sequences, own.sequences)
        if settings:
            torch.testing.assert_close(found.sequences_scores, own.sequences_scores, atol=1e-4, rtol=0)
        indices = [getattr(one, "beam_indices", None) for one in (found, own)]
        for name in ("scores", "logits"):
            steps = [model.compute_transition_scores(o.sequences, getattr(o, name), i) for o, i in zip((found, own), indices, strict=True)]
            new = own.sequences[:, IDS.shape[1] :]
            over = (new == 2).cumsum(-1) - (new == 2).long() > 0          # what is filled up
            torch.testing.assert_close(steps[0].masked_fill(over, 0), steps[1].masked_fill(over, 0), atol=1e-3, rtol=1e-4)
        assert called(model, OURS, **asked | {"output_scores": False, "output_logits": False}).scores is None


# --- what transformers 4.49 had ---------------------------------------------------------------------------------------------


def recorded(name):
    return json.loads((Path(__file__).parents[1] / "data" / f"{name}-4.49.json").read_text())


BEAMS, DOLA, CONTRASTIVE = (recorded(name) for name in ("beams", "dola", "contrastive"))


def one(model, prompt, limit, **settings):
    """What is called with one prompt, as the recordings were."""
    ids = torch.tensor([prompt])
    return model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False, custom_generate=OURS, **settings)


def upto(row, prompt, ends):
    new = row[len(prompt) :]
    at = next((i for i, t in enumerate(new) if t in ends), len(new) - 1)
    return new[: at + 1]


def in_place(tokens, ends):
    """With several end tokens 4.49 writes the first in the place of all."""
    return [*tokens[:-1], ends[0]] if tokens[-1] in ends else tokens


@pytest.mark.parametrize("case", BEAMS["groups"])
def test_group_beams_from_their_own_arguments(case):
    settings = {"pad_token_id": 0, "suppress_tokens": [0], "return_dict_in_generate": True, "output_scores": True, **case["settings"]}
    ends = settings["eos_token_id"]
    settings["eos_token_id"] = ends or None
    found = one(tiny(case["kind"], case["seed"], vocabulary=24, scale=BEAMS["scale"]), case["prompt"], BEAMS["limit"], **settings)
    texts = [in_place(upto(row, case["prompt"], ends), ends) for row in found.sequences.tolist()]
    assert texts == [text["tokens"] for text in case["found"]]
    np.testing.assert_allclose(found.sequences_scores, [text["score"] for text in case["found"]], atol=1e-4)


@pytest.mark.parametrize("case", CONTRASTIVE["cases"])
def test_contrastive_search_from_its_own_arguments(case):
    model = tiny(case["kind"], **case["checkpoint"])
    prompts, widest = case["prompts"], max(map(len, case["prompts"]))
    ids = torch.tensor([[0] * (widest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (widest - len(p)) + [1] * len(p) for p in prompts])
    settings = {"penalty_alpha": case["alpha"], "top_k": case["k"], "custom_generate": OURS, "pad_token_id": 0}
    if case["k"] == 1 or not case["alpha"]:                              # which is greedy search there
        settings["custom_generate"] = un.transformers.decode(un.ContrastiveSearch(case["k"], case["alpha"]))
        settings.pop("penalty_alpha")
        settings.pop("top_k")
    rows = model.generate(ids, attention_mask=mask, max_new_tokens=CONTRASTIVE["new"], **settings)
    assert rows[:, widest:].tolist() == case["texts"]


@pytest.mark.parametrize("case", DOLA["cases"])
def test_dola_from_its_own_arguments(case):
    model = tiny(case["kind"], case["seed"], layers=case["layers"], vocabulary=24, scale=DOLA["scale"])
    settings = {"dola_layers": case["given"], "repetition_penalty": case["penalty"], "pad_token_id": 0}
    found = one(model, case["prompt"], DOLA["limit"], return_dict_in_generate=True, output_scores=True, **settings)
    assert found.sequences[0, len(case["prompt"]) :].tolist() == case["text"]
    for step, told in zip(found.scores, case["scores"], strict=True):
        assert {str(t) for t in torch.nonzero(step[0] > -torch.inf).flatten().tolist()} == set(told)
        np.testing.assert_allclose([float(step[0, int(t)]) for t in told], list(told.values()), atol=2e-3)


class PhrasalConstraint:
    """As 4.49 had it."""

    def __init__(self, token_ids):
        self.token_ids = token_ids


class DisjunctiveConstraint(PhrasalConstraint):
    """Several phrases of which one is enough."""


@pytest.mark.parametrize("case", BEAMS["constrained"][::6])
def test_constrained_beams_from_their_own_arguments(case):
    """The search is another one (tests/parity): every text holds its phrases, and is the one that unspool finds by itself."""
    settings, words = dict(case["settings"]), case["settings"]["force_words_ids"]
    settings["eos_token_id"] = settings["eos_token_id"] or None
    model = tiny(case["kind"], case["seed"], vocabulary=24, scale=BEAMS["scale"])
    new = one(model, case["prompt"], BEAMS["limit"], pad_token_id=0, **settings)[0].tolist()[len(case["prompt"]) :]
    assert all(any(str(p)[1:-1] in str(new) for p in some) for some in words)
    del settings["force_words_ids"]
    objects = [PhrasalConstraint(some[0]) if len(some) == 1 else DisjunctiveConstraint(some) for some in words]
    again = one(model, case["prompt"], BEAMS["limit"], pad_token_id=0, constraints=objects, **settings)[0].tolist()
    assert again[len(case["prompt"]) :] == new


def test_layers_that_are_none_are_said():
    with pytest.raises(un.ParameterError, match=r"dola_layers=.low. names no layer"):
        one(tiny("gpt2", layers=3), [1], 4, dola_layers="low")
    with pytest.raises(un.ParameterError, match='"low", "high" or a list'):
        one(tiny("gpt2", layers=3), [1], 4, dola_layers="middle")
    with pytest.raises(un.Unsupported, match="dola_layers goes with greedy"):
        one(tiny("gpt2", layers=4), [1], 4, dola_layers="high", num_beams=2)


# --- any decoder ------------------------------------------------------------------------------------------------------------

DECODERS = [str(s) for some in strategies().values() for s in some if not isinstance(s, un.Rerank | un.Speculative | un.Backtrack)]
DECODERS = [d for d in DECODERS if "likes_odd_sums" not in d and "half_for" not in d]


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_strategy_is_the_same_inside(decoder):
    model = tiny("llama", 5)
    prompts = [[t for t in row if t != PAD] for row in ROWS]
    lm = un.LanguageModel(TransformersModel(model))
    try:
        alone = lm.generate(prompts, decoder, seed=7, max_new_tokens=6, end_tokens=[2])
        assert all(o.sequences for o in alone)
    except (un.UnspoolError, AssertionError):
        with pytest.raises(un.UnspoolError):
            called(model, un.transformers.decode(decoder), max_new_tokens=6, seed=7)
        return
    names = [f"{' '.join(map(str, p))} #0" for p in prompts]
    alone = lm.generate(prompts, decoder, seed=7, max_new_tokens=6, end_tokens=[2], ids=names)
    rows = called(model, un.transformers.decode(decoder), max_new_tokens=6, seed=7).tolist()
    count = max(len(o.sequences) for o in alone)
    assert len(rows) == count * len(prompts)
    for i, output in enumerate(alone):
        for j in range(count):
            row = rows[i * count + j]
            tokens = output.sequences[j].tokens if j < len(output.sequences) else []
            assert row[: len(ROWS[i])] == ROWS[i]
            assert row[len(ROWS[i]) :] == tokens + [PAD] * (len(row) - len(ROWS[i]) - len(tokens))


def test_parts_that_name_texts_need_the_tokenizer():
    model, words = tiny(), Letters(24, specials=(2,))
    with pytest.raises(un.ParameterError, match=r"stop\('b'\) names texts: give decode\(\.\.\., tokenizer=tokenizer\)"):
        called(model, un.transformers.decode("greedy | stop('b')"))
    row = called(model, un.transformers.decode("banned(2) | sample | stop('b')", tokenizer=words), seed=1, max_new_tokens=40)
    assert all(1 not in new[:-1] for new in (r[IDS.shape[1] :] if PAD not in r[6:] else r[6 : r.index(PAD, 6)] for r in row.tolist()))
    assert (row[:, IDS.shape[1] :] == 1).any()
    with pytest.raises(un.ParameterError, match="takes tokens of the prompt back"):
        un.transformers.decode("heal(1) | greedy")


def test_layers_are_read_under_the_final_norm_by_the_name_of_the_part(theirs):
    """As in a model of our own: `dola` over a transformers model is what it is over the same checkpoint here."""
    from unspool.models.reading import read_transformer

    for kind, make in MAKE.items():
        own = read_transformer(kind, *make(3, layers=4))
        held = TransformersModel(tiny(kind, 3, layers=4))
        sessions = [m.session(un.Plan(layers=(1, 3))) for m in (own, held)]
        rows = [s.extend([-1, -1], [[1, 2, 3], [4, 5]]) for s in sessions]
        rows = [s.extend(r[[1, 0, 0]], [[5], [6, 7], [9]]) for s, r in zip(sessions, rows, strict=True)]
        for layer in (1, 3):
            np.testing.assert_allclose(sessions[0].logits(rows[0], layer), sessions[1].logits(rows[1], layer), atol=1e-4)
            np.testing.assert_allclose(sessions[0].hidden(rows[0], layer), sessions[1].hidden(rows[1], layer), atol=1e-4)
        with pytest.raises(un.ModelError, match="layer 4 is none"):
            held.session(un.Plan(layers=(4,)))


# --- randomness ---------------------------------------------------------------------------------------------------------------


def test_draws_follow_torchs_generator_or_a_seed():
    model, same = tiny("gpt2", 1), IDS[[2, 2, 2]]
    sampled = {"do_sample": True, "top_k": 0, "num_return_sequences": 2, "mask": None, "ids": same}
    torch.manual_seed(3)
    first, second = called(model, OURS, **sampled), called(model, OURS, **sampled)
    torch.manual_seed(3)
    assert torch.equal(called(model, OURS, **sampled), first)
    assert not torch.equal(first, second)
    assert len({tuple(row) for row in first.tolist()}) > 3, "equal prompts draw apart"
    assert torch.equal(called(model, OURS, seed=5, **sampled), called(model, OURS, seed=5, **sampled))
    state = torch.get_rng_state()
    called(model, OURS)
    assert torch.equal(torch.get_rng_state(), state), "what draws nothing takes nothing"


def test_a_text_does_not_depend_on_its_neighbours():
    model = tiny("llama", 2)
    whole = called(model, un.transformers.decode("top_p(0.9) | sample"), seed=1)
    alone = called(model, un.transformers.decode("top_p(0.9) | sample"), ids=IDS[:1, 3:], mask=None, seed=1)
    new = alone[0, 3:].tolist()
    assert whole[0, 6:].tolist()[: len(new)] == new


# --- what else it is handed ------------------------------------------------------------------------------------------------------


class Odd(transformers.LogitsProcessor):
    """Looks at the width of the batch, its padding and its last token."""

    def __call__(self, input_ids, scores):
        scores = scores.clone()
        scores[:, input_ids.shape[1] % 24] += 4.0
        scores[torch.arange(len(scores)), input_ids[:, -1]] -= 3.0
        scores[(input_ids == PAD).sum(-1) > 3, 11] += 2.0
        return scores


class Twice(transformers.StoppingCriteria):
    """A text is over where a token stands twice, or at a width."""

    def __call__(self, input_ids, scores, **_):
        return (input_ids[:, -1] == input_ids[:, -2]) | torch.full((len(input_ids),), input_ids.shape[1] >= 12)


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3, "num_return_sequences": 2}, {"num_beams": 2, "repetition_penalty": 1.2}])
def test_the_callers_processors_and_criteria_count(settings):
    for kind in MAKE:
        model = tiny(kind, 6)
        more = {"logits_processor": transformers.LogitsProcessorList([Odd()]), **settings}
        assert torch.equal(called(model, OURS, **more), called(model, **more))
        assert not torch.equal(called(model, OURS, **more), called(model, OURS, **settings))
        more["stopping_criteria"] = transformers.StoppingCriteriaList([Twice()])
        mine, own = called(model, OURS, **more).tolist(), called(model, **more).tolist()
        if settings:
            assert mine == own
            decoder = un.transformers.decode(f"log_softmax | beam({settings['num_beams']}, renormalise=False)")
            also = called(model, decoder, logits_processor=[Odd()], stopping_criteria=[Twice()])
            assert also.shape[1] <= 12
        else:
            assert [row[:7] for row in mine] == [row[:7] for row in own]


def test_the_callers_processors_stand_before_those_for_drawing():
    """As in generate: a processor that makes one token sure is seen by top_k behind it."""
    model, sure = tiny(), transformers.LogitsProcessorList([lambda ids, scores: scores + 50 * torch.nn.functional.one_hot(ids[:, -1], 24)])
    row = called(model, OURS, do_sample=True, top_k=1, logits_processor=sure, max_new_tokens=3)
    assert row[2].tolist() == [*ROWS[2], 11, 11, 11]


def test_prefix_allowed_tokens_knows_its_prompt():
    def allowed(number, text):
        return [4 + number, 10 + number, int(text[-1]), 2] if len(text) % 2 else [15, 16 + number]

    for settings in ({}, {"num_beams": 3}):
        mine = called(tiny("llama", 3), OURS, prefix_allowed_tokens_fn=allowed, **settings)
        assert torch.equal(mine, called(tiny("llama", 3), prefix_allowed_tokens_fn=allowed, **settings))
    with pytest.raises(un.Unsupported, match="two of these are equal"):
        called(tiny(), OURS, ids=IDS[[2, 2]], mask=None, prefix_allowed_tokens_fn=allowed)


def test_guidance_has_its_second_branch_under_every_strategy():
    model = tiny("gpt2", 2)
    for ids in (IDS[2:], IDS[:1, 3:]):
        for negative in (None, torch.tensor([[3, 4]])):
            settings = {"ids": ids, "mask": None, "guidance_scale": 1.7, "negative_prompt_ids": negative}
            assert torch.equal(called(model, OURS, **settings), called(model, None, **settings))
        search = un.LogSoftmax() | un.Guidance(1.7, TransformersModel(model)) | un.Beam(3, renormalise=False)
        prompt = [t for t in ids[0].tolist() if t != PAD]
        beams = un.LanguageModel(TransformersModel(model)).generate(prompt, search, max_new_tokens=8, end_tokens=[2])
        found = called(model, OURS, ids, None, guidance_scale=1.7, num_beams=3)[0, ids.shape[1] :].tolist()
        assert found[: len(beams.tokens)] == beams.tokens


def test_nothing_is_warned_of_and_no_pad_token_is_needed(caplog, recwarn):
    model = tiny("llama", 4)
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, logger="transformers"):
        warnings.simplefilter("error")
        transformers.utils.logging.enable_propagation()
        try:
            groups = {"num_beams": 2, "num_beam_groups": 2, "diversity_penalty": 0.5}
            for settings in ({"num_beams": 3}, {}, {"eos_token_id": None}, groups):
                called(model, OURS, pad_token_id=None, **settings)
            filled = called(model, un.transformers.decode("greedy | end(21)"), pad_token_id=None, eos_token_id=None)
        finally:
            transformers.utils.logging.disable_propagation()
    assert not caplog.records
    assert not [w for w in recwarn if "unspool" in str(w.filename)]
    assert filled.shape[0] == 3


def test_a_mask_with_holes_and_padding_on_the_right_are_no_tokens():
    model = tiny("llama", 4)
    ids, mask = torch.tensor([[3, PAD, 4, 5, PAD]]), torch.tensor([[1, 0, 1, 1, 0]])
    plain = called(model, OURS, torch.tensor([[3, 4, 5]]), None)
    assert called(model, OURS, ids, mask)[0, 5:].tolist() == plain[0, 3:].tolist()


def test_a_model_is_left_and_forgotten():
    model = in_transformers(*tiny_llama(8)).train()
    before = model.generation_config.to_dict()
    called(model, OURS)
    assert model.training
    assert model.generation_config.to_dict() == before
    model.to(torch.float64)
    called(model, OURS)                                                   # what was found out of it is found out again
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_a_cache_that_is_handed_in_is_left_as_it_is():
    model, name = tiny("llama", 5), "past_key_values" if transformers.__version__ < "5.24" else "cache"
    cache = transformers.DynamicCache()
    with torch.no_grad():
        model(IDS[2:, :4], **{name: cache}, use_cache=True)
    found = called(model, OURS, IDS[2:], MASK[2:], **{name: cache})
    assert torch.equal(found, called(model, OURS, IDS[2:], MASK[2:]))
    assert cache.get_seq_length() == 4


REFUSED = [
    ({"output_hidden_states": True, "return_dict_in_generate": True}, OURS, "output_hidden_states=True: unspool returns no hidden states"),
    ({"output_attentions": True, "return_dict_in_generate": True}, OURS, "output_attentions=True: unspool returns no attentions"),
    ({"inputs_embeds": torch.zeros(1, 3, 16)}, OURS, "unspool reads token ids alone: leave out inputs_embeds"),
    ({"repetition_penalty": 1.3}, un.transformers.decode("beam(4)"), r"repetition_penalty=1.3 beside a decoder: beam\(4\)"),
    ({"min_length": 5}, un.transformers.decode("beam(4)"), "min_length=5 beside a decoder"),
    ({"num_beams": 3}, un.transformers.decode("beam(4)"), "num_beams=3 beside the decoder"),
    ({"num_beams": 4, "num_return_sequences": 2}, un.transformers.decode("beam(4)"), "num_return_sequences=2 beside the decoder"),
    ({"do_sample": True, "temperature": 0.5, "logits_processor": [transformers.TemperatureLogitsWarper(0.7)], "top_k": 0}, OURS, None),
    ({"position_ids": torch.tensor([[4, 5, 6]])}, OURS, "position_ids count the tokens"),
    ({"attention_mask": torch.zeros(1, 3, dtype=torch.long)}, OURS, "row 0 of input_ids is all padding"),
]


@pytest.mark.parametrize(("settings", "custom", "says"), REFUSED)
def test_what_cannot_be_is_one_clear_error(settings, custom, says):
    given = {"input_ids": torch.tensor([[3, 4, 5]]), "max_new_tokens": 3, "custom_generate": custom, **settings}
    if "inputs_embeds" in settings:
        del given["input_ids"]
    if says is None:                                                      # generate itself has both, one after the other
        assert tiny().generate(**given).shape[1] <= 6
        return
    with pytest.raises(un.UnspoolError, match=says):
        tiny().generate(**given)


def test_a_processor_in_the_place_of_a_settings_own_is_refused():
    own = transformers.LogitsProcessorList([transformers.RepetitionPenaltyLogitsProcessor(1.1)])
    with pytest.raises(un.ParameterError, match="RepetitionPenaltyLogitsProcessor is given in logits_processor="):
        called(tiny(), OURS, logits_processor=own, repetition_penalty=1.4)


def test_the_models_own_settings_do_not_count_beside_a_decoder():
    model = in_transformers(*tiny_llama(9))
    plain = called(model, un.transformers.decode("beam(3)"))
    model.generation_config.update(do_sample=True, temperature=0.3, top_k=2, num_beams=5, repetition_penalty=1.9)
    assert torch.equal(called(model, un.transformers.decode("beam(3)")), plain)


def test_a_limit_of_criteria_and_of_the_context():
    short = transformers.StoppingCriteriaList([transformers.MaxLengthCriteria(8)])
    assert called(tiny(), OURS, stopping_criteria=short, eos_token_id=None).shape[1] == 8
    long = called(tiny(), OURS, max_new_tokens=50, eos_token_id=None)
    assert long.shape[1] == 56
