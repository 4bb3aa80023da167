"""llama.cpp's sessions: the laws of every engine, greedy search equal to llama.cpp's own, and what is refused."""

import gc

import numpy as np
import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

from helpers.llama_cpp import greedy_of_llama_cpp, tiny_file

import unspool as un
from unspool.core.model import ROOT, Plan
from unspool.errors import ModelError, Unsupported
from unspool.models.llama_cpp import contexts, session as sessions
from unspool.models.llama_cpp.model import LlamaCppModel
from unspool.testing import check_model
from unspool.testing.strategies import Trial, batch_is_alone

FORMATS = [None, "F16", "Q8_0", "Q4_0"]
IN_16_BITS = 3e-2
"""How far logits of these models may lie apart, for attention is computed in other pieces in another batch."""
IN_32_BITS = 2e-5


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf")
    return {form: tiny_file(folder / f"tiny-{form}.gguf", form) for form in FORMATS}


@pytest.fixture(scope="module")
def model(files):
    return LlamaCppModel(files[None])


def in_32_bits(monkeypatch):
    monkeypatch.setattr(contexts, "FLOAT16", 0)
    monkeypatch.setattr(contexts, "FLASH_WHERE_IT_CAN", 0)


@pytest.fixture
def exact(monkeypatch, files):
    """Attention in float32, so that a row's numbers hardly depend on its batch."""
    in_32_bits(monkeypatch)
    return LlamaCppModel(files[None])


def words(count, seed=0):
    return np.random.default_rng(seed).integers(3, 300, count).tolist()


def logits(model, text, ask="logits"):
    session = model.session()
    return getattr(session, ask)(session.extend([ROOT], [text]))[0]


def test_a_models_laws(exact):
    check_model(exact, tries=6, tolerance=IN_32_BITS)


@pytest.mark.parametrize("form", FORMATS)
def test_a_models_laws_as_it_is_run(files, form):
    check_model(LlamaCppModel(files[form]), tries=2, tolerance=IN_16_BITS if form in (None, "F16") else 0.3)


@pytest.mark.parametrize("decoder", ["sample(3)", "beam(4, n=4)", "contrastive_search"])
def test_batch_is_alone(exact, decoder):
    batch_is_alone(Trial(un.parse(decoder), exact, [[1, 2, 3], [4], [7, 7, 7, 8, 9, 10, 11]], tolerance=1e-3))


@pytest.mark.parametrize("form", FORMATS)
def test_greedy_is_llama_cpps_own(files, form):
    lm, prompt = un.load(files[form], backend="llama.cpp"), words(9)
    found = lm.generate(prompt, "greedy", max_new_tokens=40, end_tokens=[])
    assert list(found.tokens) == greedy_of_llama_cpp(files[form], prompt, 40)


def test_numbers_are_those_of_the_other_engines(exact, files):
    plain = un.load(files[None], backend="numpy").model
    for ask in ("logits", "hidden"):
        np.testing.assert_allclose(logits(exact, words(30), ask), logits(plain, words(30), ask), rtol=1e-3, atol=1e-3)


def test_a_prompt_of_several_batches_in_a_context_that_grows(tmp_path, monkeypatch):
    in_32_bits(monkeypatch)
    monkeypatch.setattr(sessions, "CELLS_AT_FIRST", 1)
    model = LlamaCppModel(tiny_file(tmp_path / "long.gguf", positions=2048))
    text, other = words(1300), words(700, 1)
    plain = un.load(tmp_path / "long.gguf", backend="numpy").model
    session = model.session(Plan(1, 8))
    first = session.extend([ROOT], [text[:400]])
    cells = session.context.cells
    rows = session.extend([*first, ROOT], [text[400:], other])
    assert session.context.cells > cells
    for found, whole in zip(session.logits(rows), (text, other), strict=True):
        np.testing.assert_allclose(found, logits(plain, whole), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(session.logits(first)[0], logits(plain, text[:400]), rtol=2e-3, atol=2e-3)


def test_rows_share_the_cells_of_their_prompt(model):
    session = model.session(Plan(100, 64))
    cells = session.context.cells
    (prompt,) = session.extend([ROOT], [words(50)])
    rows = session.extend([prompt] * 100, [[t] for t in range(100)])
    assert session.context.cells == cells < 100 * 50
    assert session.logits(rows).shape == (100, 300)


def test_numbers_of_a_long_text_are_not_all_kept(tmp_path):
    session = LlamaCppModel(tiny_file(tmp_path / "long.gguf", positions=512)).session()
    (row,) = session.extend([ROOT], [[5]])
    first, before = row, session.logits([row])
    for token in words(300):
        (row,) = session.extend([row], [[token]])
    assert len(session.found) < 100
    np.testing.assert_allclose(session.logits([first]), before, atol=IN_16_BITS)


def test_more_rows_than_llama_cpp_has_sequences(model):
    session = model.session()
    (prompt,) = session.extend([ROOT], [[5, 6]])
    before, alive = session.logits([prompt]), session.nodes.alive()
    with pytest.raises(ModelError, match=r"at most 256 rows at once.*\(together\)"):
        session.extend([prompt] * 300, [[t % 300] for t in range(300)])
    assert session.nodes.alive() == alive
    np.testing.assert_allclose(session.logits(session.extend([prompt] * 200, [[7]] * 200))[:1], logits(model, [5, 6, 7])[None], atol=0.03)
    np.testing.assert_array_equal(session.logits([prompt]), before)


def test_an_interrupt_leaves_a_session_as_it_was(model, monkeypatch):
    session = model.session()
    rows = session.extend([ROOT], [[5, 6]])
    run, calls = contexts.Context.run, []

    def interrupted(self, *given):
        run(self, *given)
        calls.append(given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(contexts.Context, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.extend([*rows, ROOT, *rows], [[7], [8, 9], [10]])
    assert calls
    assert len(session.nodes) == 2
    grown = session.extend([*rows, *rows], [[7], [10]])
    for found, text in zip(session.logits(grown), ([5, 6, 7], [5, 6, 10]), strict=True):
        np.testing.assert_allclose(found, logits(model, text), atol=IN_16_BITS)


def test_sessions_in_a_cycle_end_in_any_order(model):
    for turn in range(4):
        session = model.session()
        ring = [session, session.context]
        ring.append(ring[:: 1 if turn % 2 else -1])
        session.ring, session.context.ring = ring, ring
        del session, ring
        gc.collect()
        found = logits(model, [5, 6, 7])
        assert found.shape == (300,)


def test_layers_are_refused(model):
    with pytest.raises(Unsupported, match="no layer but the last"):
        model.session(Plan(layers=(1,)))
    session = model.session()
    rows = session.extend([ROOT], [[1]])
    for ask in (session.logits, session.hidden):
        with pytest.raises(Unsupported, match="layer 1"):
            ask(rows, 1)


def test_contexts_are_used_again(files):
    model = LlamaCppModel(files[None])
    session = model.session()
    context = session.context
    del session
    assert model.session().context is context
