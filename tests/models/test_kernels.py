"""The kernels' laws: numpy's numbers, and for a row the same bits whatever runs beside it, on every variant that this machine runs."""

import json

import numpy as np
import pytest
from helpers import kernels as on_trial
from helpers.checkpoints import tiny_gpt2, tiny_llama
from helpers.tables import END, PROMPTS, VOCABULARY, Letters, run, same
from laws.covering import build, over
from safetensors.numpy import save_file

import unspool as un
from unspool.core.model import Plan
from unspool.kernels import library
from unspool.kernels.library import FORMAT_CODES, PACKED_FORMATS, SEGMENT
from unspool.models.compiled.model import CompiledTransformer, compiled
from unspool.models.compiled.session import CompiledSession
from unspool.models.loading import read_model
from unspool.models.reading import read_transformer
from unspool.models.transformer import Transformer
from unspool.testing import check_model

pytestmark = pytest.mark.skipif(not on_trial.has_compiler() and not library.variants(), reason="no C compiler has built the kernels")
VARIANTS = list(library.variants())


@pytest.fixture(params=VARIANTS)
def variant(request, monkeypatch):
    """A variant, in use: its name and its kernels."""
    monkeypatch.setenv("UNSPOOL_KERNELS", request.param)
    return request.param, library.variants()[request.param]


def test_there_are_kernels_where_there_is_a_compiler():
    assert VARIANTS, library.missing()
    assert VARIANTS[-1] == "baseline"


@pytest.mark.parametrize("kind", PACKED_FORMATS)
def test_a_linear_layer_is_that_of_numpy_and_a_row_is_as_if_alone(variant, kind):
    rng = np.random.default_rng(PACKED_FORMATS.index(kind))
    for _ in range(1000):
        on_trial.check_linear(*variant, kind, rng)


@pytest.mark.parametrize("code", [FORMAT_CODES["whole8"], FORMAT_CODES["whole4"], len(FORMAT_CODES), -1])
def test_nothing_is_written_in_a_format_that_weights_are_not_packed_in(code):
    weight, room = np.ones((16, 32), np.float32), np.full(1 << 12, 7, np.uint8)
    assert library.library().un_pack(weight.ctypes.data, 32, 1, 16, 32, code, *[room.ctypes.data] * 3) == -1
    assert (room == 7).all()


def test_whole_numbers_of_a_file_are_those_of_float32_to_the_bit(variant):
    rng = np.random.default_rng(3)
    for _ in range(250):
        on_trial.check_whole(*variant, rng)


def test_coded_weights_are_those_of_their_format_to_the_bit(variant):
    rng = np.random.default_rng(4)
    for _ in range(300):
        on_trial.check_coded(*variant, rng)


def test_a_softcap_bends_what_a_linear_layer_gives(variant):
    rng = np.random.default_rng(7)
    layer, x = on_trial.packed(rng.standard_normal((37, 20)).astype(np.float32), None, "float32"), rng.standard_normal((3, 20), np.float32)
    plain, bent = (on_trial.product(variant[1], layer, x, softcap) for softcap in (0.0, 2.0))
    np.testing.assert_allclose(bent, 2 * np.tanh(plain / 2), rtol=1e-6)


def test_log_sum_exp_is_that_of_numpy(variant):
    rng = np.random.default_rng(8)
    for _ in range(500):
        on_trial.check_log_sum_exp(*variant, rng)


@pytest.mark.parametrize("kind", PACKED_FORMATS)
def test_trees_of_random_transformers_answer_as_in_numpy_and_as_each_text_alone(variant, kind):
    rng = np.random.default_rng(9)
    for i in range(18):
        on_trial.check_session(variant[0], kind, rng, on_trial.HEAD_SIZES[i % 6])


@pytest.mark.parametrize("kind", PACKED_FORMATS)
def test_a_models_laws_to_the_last_bit(variant, kind):
    """A packed model answers for a row the same bits in any company, so the tolerance is none."""
    check_model(CompiledTransformer(read_transformer("gpt2", *tiny_gpt2(3)), kind), tolerance=0.0, tries=3)
    check_model(CompiledTransformer(read_transformer("llama", *tiny_llama(3)), kind), tolerance=0.0, tries=3)


def test_many_new_tokens_go_through_in_parts_and_keep_their_bits(variant, monkeypatch):
    rng = np.random.default_rng(4)
    model, plan = CompiledTransformer(read_transformer("llama", *tiny_llama(3))), Plan(layers=(1,))
    prompts = [rng.integers(0, 24, rng.integers(1, 30)) for _ in range(9)]
    answers, calls, run = [], [], CompiledSession._run
    monkeypatch.setattr(CompiledSession, "_run", lambda self, chains: calls.append(len(chains)) or run(self, chains))
    for most in (512, 40, 1):
        monkeypatch.setattr("unspool.models.compiled.session.TOKENS_OF_A_CALL", most)
        session = model.session(plan)
        rows = session.extend([-1] * 9, prompts)
        rows = session.extend(np.repeat(rows, 3), [[t] for t in range(24)] + [[1, 2]] * 3)
        assert session.forwards == 2
        answers.append([session.logits(rows), session.logits(rows, 1)])
        assert sum(calls) == 36
        assert (len(calls) == 2) == (most == 512)
        assert most > 1 or len(calls) == 36
        calls.clear()
    for found in answers[1:]:
        np.testing.assert_array_equal(found, answers[0])


def test_room_that_is_no_longer_needed_is_let_go(variant):
    model = CompiledTransformer(read_transformer("llama", *tiny_llama(3)))
    session, alone = model.session(), model.session()
    row = session.extend([-1], [[1, 2, 3]])
    session.extend(np.repeat(row, 1500), [[t % 24] for t in range(1500)])
    (pool,) = session.pools.values()
    assert pool.hidden.shape[1] >= 1500
    session.keep(row)
    (found,) = session.logits(session.extend(row, [[4]]))
    assert pool.hidden.shape[1] <= 4 * SEGMENT
    assert len(pool.segments) <= 4
    np.testing.assert_array_equal(found, alone.logits(alone.extend([-1], [[1, 2, 3, 4]]))[0])


def test_layers_may_be_asked_for_in_any_order_and_twice(variant):
    plain = read_transformer("gpt2", *tiny_gpt2(3, layers=4))
    ready, answers = CompiledTransformer(plain), []
    for model in (plain, ready):
        session = model.session(Plan(layers=(3, 1, 3, 2)))
        rows = session.extend([-1], [[1, 2, 3]])
        answers.append([session.logits(rows, layer) for layer in (1, 2, 3)])
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-4)


@pytest.fixture(scope="module")
def both():
    """A small GPT-2 over the laws' letters, in numpy and in the kernels."""
    config, weights = tiny_gpt2(5, layers=4, vocabulary=VOCABULARY)
    plain = read_transformer("gpt2", config | {"eos_token_id": END}, weights)
    return plain, CompiledTransformer(plain)


@over("kinds")
def test_texts_of_every_decoder_are_those_of_numpy(name, both):
    found, expected = (run(model, build(name).resolve(Letters()), PROMPTS, seed=4) for model in reversed(both))
    for one, other in zip(found, expected, strict=True):
        same(one, other, 1e-4)


BROKEN = {"NaN": np.float32("nan"), "inf": np.float32("inf"), "all bits": np.uint32(0xFFFFFFFF), "signalling": np.uint32(0x7FA00001)}


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("kind", PACKED_FORMATS)
@pytest.mark.parametrize("name", ["h.0.attn.c_attn.weight", "h.1.mlp.c_fc.weight", "h.1.mlp.c_proj.bias", "wte.weight", "ln_f.weight"])
def test_weights_that_are_no_numbers_show_as_in_numpy(variant, kind, name, value):
    config, weights = tiny_gpt2(3)
    weights = {key: array.copy() for key, array in weights.items()}
    weights[name].view(np.uint32).flat[1] = np.asarray(BROKEN[value]).view(np.uint32)
    plain = read_transformer("gpt2", config, weights)
    said = []
    for model in (plain, CompiledTransformer(plain, kind)):
        with np.errstate(invalid="ignore"), pytest.raises(un.ModelError) as error:
            un.LanguageModel(model).generate([0, 1, 2], max_new_tokens=3)
        said.append(str(error.value))
    assert said[1] == said[0]
    assert name in said[0]


@pytest.mark.parametrize("kind", ["int8", "int4", "int4_min"])
def test_weights_too_large_for_a_format_show_and_are_not_cut(variant, kind):
    config, weights = tiny_gpt2(3)
    weights["h.1.mlp.c_proj.weight"] = weights["h.1.mlp.c_proj.weight"].copy()
    weights["h.1.mlp.c_proj.weight"][3, 3] = 1e6
    model = CompiledTransformer(read_transformer("gpt2", config, weights), kind)
    with pytest.raises(un.ModelError, match="load it in a wider dtype"):
        un.LanguageModel(model).generate([0, 1, 2], max_new_tokens=3)


def test_what_the_kernels_cannot_run_stays_in_numpy():
    wide = on_trial.random_transformer(np.random.default_rng(0), head_size=library.LARGEST_HEAD + 16)
    assert compiled(wide) is wide
    fits = on_trial.random_transformer(np.random.default_rng(0), head_size=library.LARGEST_HEAD)
    assert isinstance(compiled(fits), CompiledTransformer)
    on_trial.check_session(VARIANTS[0], "float32", np.random.default_rng(0), library.LARGEST_HEAD)


def test_heads_beyond_the_kernels_are_computed_in_numpy_or_refused(tmp_path):
    config, weights = tiny_llama(3, heads=2, key_heads=1, width=16)
    size = library.LARGEST_HEAD + 16
    for name in [name for name in weights if "self_attn" in name]:
        outputs, inputs = ((2 if "q_proj" in name else 1) * size, 16) if "o_proj" not in name else (16, 2 * size)
        weights[name] = np.full((outputs, inputs), 0.01, np.float32)
    (tmp_path / "config.json").write_text(json.dumps(config | {"head_dim": size}))
    save_file(weights, tmp_path / "model.safetensors")
    model, engine = read_model(tmp_path)
    assert (engine.backend, type(model)) == ("numpy", Transformer)
    session = model.session()
    assert np.isfinite(session.logits(session.extend([-1], [[1, 2]]))).all()
    for settings in ((None, None, "int8"), ("compiled", None, None)):
        with pytest.raises(un.ParameterError, match="heads of 528 numbers; the kernels compute those of at most 512"):
            read_model(tmp_path, *settings)
