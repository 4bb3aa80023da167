"""Settings of transformers, read as a decoder, do what transformers does with them."""

import itertools

import numpy as np
import pytest

from unspool.arrays import host, log_softmax
from unspool.core.processor import Rows
from unspool.lab.engines import ENGINES
from unspool.lab.translate import from_engine, from_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

ENDS = (2, 4)
PROMPT, VOCABULARY = 5, 40
SETTINGS = [
    {"do_sample": True},
    {"do_sample": True, "top_k": 0},
    {"do_sample": True, "temperature": 0.6, "top_k": 7, "top_p": 0.8},
    {"do_sample": True, "temperature": 1.7, "top_k": 0, "top_p": 0.7, "min_p": 0.1},
    {"do_sample": True, "top_k": 0, "typical_p": 0.6, "temperature": 1.3},
    {"do_sample": True, "top_k": 20, "epsilon_cutoff": 0.02, "eta_cutoff": 0.1},
    {"do_sample": True, "top_k": 0, "top_h": 0.4, "min_p": 0.05, "repetition_penalty": 1.3},
    {"do_sample": True, "repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "top_p": 0.9},
    {"do_sample": True, "sequence_bias": [[[3], 2.5], [[8, 6], -3.0]], "bad_words_ids": [[7], [5, 9]], "suppress_tokens": [1, 11]},
    {"do_sample": True, "min_new_tokens": 4, "begin_suppress_tokens": [2, 3], "exponential_decay_length_penalty": [1, 1.4]},
    {"do_sample": True, "min_length": 7, "renormalize_logits": True, "temperature": 0.4},
    {"do_sample": True, "watermarking_config": {"bias": 1.5, "greenlist_ratio": 0.4}, "top_k": 12},
    {"do_sample": False, "repetition_penalty": 1.2, "suppress_tokens": [3], "no_repeat_ngram_size": 3},
]
"""What a generation_config.json may hold."""


@pytest.fixture(scope="module")
def model():
    shape = {"vocab_size": VOCABULARY, "n_positions": 64, "n_embd": 8, "n_layer": 1, "n_head": 1}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, bos_token_id=None, eos_token_id=None))


def theirs(model, settings, tokens, scores):
    """Log-probabilities after the processors that transformers makes of settings."""
    given = {**settings, "eos_token_id": list(ENDS), "max_new_tokens": 20}
    if "watermarking_config" in given:
        given["watermarking_config"] = transformers.WatermarkingConfig(**given["watermarking_config"])
    config, _ = model._prepare_generation_config(transformers.GenerationConfig(**given))
    model._prepare_special_tokens(config, True, device="cpu")
    ids = torch.from_numpy(tokens)
    made = model._get_logits_processor(config, PROMPT, encoder_input_ids=ids[:, :PROMPT], device="cpu")
    return torch.log_softmax(made(ids, torch.from_numpy(scores.copy())), -1).numpy()


def ours(settings, tokens, scores):
    rows = Rows.of(tokens, PROMPT)
    rows.end_tokens = ENDS
    for processor in from_engine("transformers", settings).decoder.processors:
        scores = processor.process(rows, scores)
    return host(log_softmax(scores))


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: " ".join(k for k in s if k != "do_sample") or "defaults")
def test_processed_distributions_are_equal(model, settings):
    chance = np.random.RandomState(3)
    for length, spread in itertools.product((PROMPT, 7, 12), (0.8, 3.0)):
        tokens = chance.randint(0, VOCABULARY, (6, length))
        scores = chance.randn(6, VOCABULARY).astype(np.float32) * spread
        wanted, got = theirs(model, settings, tokens, scores), ours(settings, tokens, scores)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(wanted))
        np.testing.assert_allclose(np.exp(got), np.exp(wanted), atol=2e-6)


def test_a_config_says_what_its_file_says(model, tmp_path):
    """Every setting of a GenerationConfig is known; nulls of one are what transformers fills in."""
    held = transformers.GenerationConfig()
    assert set(held.to_dict()) <= ENGINES["transformers"].names
    assert from_engine("transformers", held).lost == []
    filled, _ = model._prepare_generation_config(None)
    assert from_engine("transformers", filled).decoder == from_engine("transformers", {}).decoder
    assert from_engine("transformers", filled).lost == []
    config = transformers.GenerationConfig(do_sample=True, temperature=0.6, repetition_penalty=1.1, eos_token_id=[2, 4], max_length=30)
    config.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    read, known = from_model(tmp_path), from_engine("transformers", config)
    assert (read.decoder, read.options, read.lost) == (known.decoder, known.options, [])
    assert str(read.decoder) == "repetition_penalty(1.1) | temperature(0.6) | top_k(50) | sample"
    assert read.options == {"max_length": 30, "end_tokens": (2, 4)}


TEXTS = [
    {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
    {"num_beams": 3},
    {"num_beams": 4, "length_penalty": 0.4, "early_stopping": True, "num_return_sequences": 2},
    {"num_beams": 3, "repetition_penalty": 1.3, "early_stopping": "never", "no_repeat_ngram_size": 3},
]


FORCED = [
    ({"num_beams": 3, "forced_eos_token_id": 1}, 4),
    ({"num_beams": 3, "forced_bos_token_id": 0}, 1),
    ({"num_beams": 4, "num_return_sequences": 3, "forced_bos_token_id": 2, "forced_eos_token_id": 1, "repetition_penalty": 1.3}, 1),
    ({"num_beams": 2, "forced_eos_token_id": 1, "min_new_tokens": 3, "length_penalty": 2.0}, 3),
]
"""Settings whose forced tokens are places in the order of likeliness, and the prompt's length: a first token is forced after one alone."""


@pytest.mark.parametrize(("settings", "length"), FORCED, ids=lambda s: " ".join(s) if isinstance(s, dict) else str(s))
def test_beams_with_forced_tokens_find_the_same_texts(checkpoint, run, theirs_of, cut, settings, length):
    limit, chance, apart = 6, np.random.RandomState(1), 0
    for seed in range(8):
        one = checkpoint(seed)
        ends = one.likely[1:2]
        given = {name: one.likely[-5 * value - 1] if name == "forced_bos_token_id" else value for name, value in settings.items()}
        given |= {"forced_eos_token_id": ends[0]} if "forced_eos_token_id" in given else {}
        prompt = chance.randint(0, 48, length).tolist()
        decoder = from_engine("transformers", given | {"max_new_tokens": limit}).decoder
        (found,), _ = run(one.ours, [prompt], str(decoder), limit, end_tokens=ends)
        wanted = theirs_of(one, prompt, limit, ends, **given)
        assert [h.tokens for h in found] == [cut(row, prompt, ends) for row in wanted.sequences]
        np.testing.assert_allclose([h.score for h in found], wanted.sequences_scores.numpy(), atol=1e-5)
        (plain,), _ = run(one.ours, [prompt], str(decoder).replace(", certain=True", ""), limit, end_tokens=ends)
        apart += not plain or abs(plain[0].score - found[0].score) > 1e-4
    assert apart > 0


@pytest.mark.parametrize("settings", TEXTS, ids=lambda s: " ".join(s))
def test_searches_find_the_same_texts(checkpoint, prompts_of, run, theirs_of, cut, settings):
    limit, same = 9, 0
    for seed in range(2):
        one = checkpoint(seed)
        ends = one.likely[:1]
        decoder = str(from_engine("transformers", settings).decoder)
        for prompt in prompts_of(seed, 48, 3):
            (found,), _ = run(one.ours, [prompt], decoder, limit, end_tokens=ends)
            wanted = theirs_of(one, prompt, limit, ends, **settings).sequences
            assert [h.tokens for h in found] == [cut(row, prompt, ends) for row in wanted]
            same += len(found)
    assert same


BANS = [
    ({"bad_words_ids": ["end", [3]]}, "banned(3) | greedy"),
    ({"bad_words_ids": ["end"], "num_beams": 3}, "beam(3)"),
    ({"sequence_bias": [[[3], 4.0], [[5, 6], 2.0], [[3], -2.0]]}, "bias(((3, -2.0), ((5, 6), 2.0))) | greedy"),
]
"""Settings in which an end token is banned, which transformers does not do, or one phrase has two amounts, of which it takes the last."""


@pytest.mark.parametrize(("settings", "decoder"), BANS, ids=lambda s: " ".join(s) if isinstance(s, dict) else "")
def test_bans_of_ends_and_two_amounts_mean_what_they_mean_there(checkpoint, prompts_of, run, theirs_of, cut, settings, decoder):
    limit, one, ended = 7, checkpoint(1), 0
    ends = one.likely[:1]
    given = {name: [ends if x == "end" else x for x in value] if isinstance(value, list) else value for name, value in settings.items()}
    found = from_engine("transformers", given | {"max_new_tokens": limit, "eos_token_id": ends})
    assert (str(found.decoder), [note for note in found.notes if note.severity != "remark"]) == (decoder, [])
    assert bool(from_engine("transformers", given).notes) or "sequence_bias" in given
    for prompt in prompts_of(3, 48, 6):
        (texts,), _ = run(one.ours, [prompt], decoder, limit, end_tokens=ends)
        wanted = theirs_of(one, prompt, limit, ends, **given).sequences
        assert [h.tokens for h in texts] == [cut(row, prompt, ends) for row in wanted]
        ended += any(h.tokens[-1] in ends for h in texts)
    assert ended or "sequence_bias" in given


def test_settings_that_meet_a_forced_token_are_spoken_of():
    forced = {"forced_bos_token_id": 3, "max_new_tokens": 4}
    plain = {note.what for note in from_engine("transformers", forced).notes}
    for more, name in (
        ({"begin_suppress_tokens": [5]}, "begin_suppress_tokens"),
        ({"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 1}, "forced_bos_token_id"),
        ({"forced_eos_token_id": 5, "max_new_tokens": 1}, "forced_eos_token_id"),
        ({"min_length": 3}, "forced_bos_token_id"),
    ):
        notes = [note for note in from_engine("transformers", forced | more).notes if note.what not in plain]
        assert name in {note.setting for note in notes if note.severity == "different"}
