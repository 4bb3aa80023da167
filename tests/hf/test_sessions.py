"""The laws of sessions on models of transformers: rows that fork, wait, rewind and are forgotten answer as if alone."""

import numpy as np
import pytest
from helpers.tables import run
from hypothesis import HealthCheck, given, settings, strategies as st

import unspool as un
from unspool.testing import check_model
from unspool.testing.laws import Law
from unspool.testing.processors import probed

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

PROMPTS = [[1, 2, 3], [4], [7, 7, 7, 8, 9, 10, 11], [1, 2, 3]]
UNCACHED = {"mamba"}
moves = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 99), st.lists(st.integers(0, 23), max_size=5)), min_size=1, max_size=4),
        st.one_of(st.none(), st.sets(st.integers(0, 9), min_size=1, max_size=4)),
    ),
    min_size=1,
    max_size=6,
)


def test_what_was_found_out(kind, ours):
    model = ours(kind)
    assert model.caches == (kind not in UNCACHED)
    assert ("computed from the tokens" in repr(model)) == (kind in UNCACHED)
    assert model.head is not None
    assert "hidden" in model.session().can
    assert (model.vocabulary, model.end_tokens, model.start, model.architecture) == (24, (2,), 1, kind)
    assert model.context == {"gpt2": 64, "mamba": 1 << 20, "bloom": 1 << 20}.get(kind, 128)


def test_a_models_laws(kind, ours):
    check_model(ours(kind), tries=2)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompts=st.lists(st.lists(st.integers(0, 23), min_size=1, max_size=6), min_size=1, max_size=3), moves=moves)
def test_rows_that_fork_and_are_forgotten_answer_as_if_alone(kind, ours, theirs, prompts, moves):
    model = ours(kind)
    session = model.session()
    rows = list(zip(map(int, session.extend([-1] * len(prompts), prompts)), prompts, strict=True))
    for grown, kept in moves:
        parents = [rows[i % len(rows)] for i, _ in grown]
        chains = [chain for _, chain in grown]
        new = session.extend([row for row, _ in parents], chains)
        rows += [(int(row), [*text, *chain]) for row, (_, text), chain in zip(new, parents, chains, strict=True)]
        if kept:
            rows = [rows[i % len(rows)] for i in sorted(kept)]
            session.keep([row for row, _ in rows])
            assert len(session.states) == len(session.nodes)
            assert set(session.store.where) <= set(session.states)
    logits, hidden = (f([row for row, _ in rows]) for f in (session.logits, session.hidden))
    for i, (row, text) in enumerate(rows):
        assert session.nodes.tokens(row).tolist() == text
        with torch.no_grad():
            alone = theirs(kind)(torch.tensor([text]), output_hidden_states=True, use_cache=False)
        np.testing.assert_allclose(logits[i], alone.logits[0, -1], atol=2e-4, rtol=1e-4)
        np.testing.assert_allclose(hidden[i], alone.hidden_states[-1][0, -1], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("decoder", ["sample(3)", "beam(4, n=4)", "contrastive_search", "exact(2, expand=3)", "top_k(5) | greedy"])
def test_batch_is_alone_and_cached_is_uncached(kind, decoder, ours, uncached):
    limit = 2 if "exact" in decoder else 5
    together = run(ours(kind), decoder, PROMPTS, limit)
    again = run(uncached(kind), decoder, PROMPTS, limit)
    for prompt, found, recomputed in zip(PROMPTS, together, again, strict=True):
        alone = run(ours(kind), decoder, [prompt], limit)[0]
        for other in (alone, recomputed):
            assert [h.tokens for h in found] == [h.tokens for h in other]
            np.testing.assert_allclose([h.score for h in found], [h.score for h in other], atol=1e-3)


@pytest.mark.parametrize("reuse", [True, False])
def test_looked_at_is_committed(kind, reuse, ours):
    assert probed(Law("looked at is committed", kind), ours(kind), un.Decoder((un.Greedy(),)), PROMPTS, reuse)


def test_speculation_is_greedy(kind, ours):
    plain = run(ours(kind), "greedy", PROMPTS, 12)
    fast = run(ours(kind), un.Temperature(0) | un.Speculative(ours(kind, 1), 3), PROMPTS, 12)
    assert [found[0].tokens for found in fast] == [found[0].tokens for found in plain]


def test_steps_of_the_same_rows_feed_one_token_each(ours):
    """What was computed is not computed again: rows in order, beams, and rewound chains run their new tokens alone."""
    model, fed = ours("gpt2"), []
    inner = model.run

    def counted(tokens, *rest):
        fed.append(tuple(tokens.shape))
        return inner(tokens, *rest)

    model.run = counted
    try:
        session = model.session()
        rows = session.extend([-1, -1], [[1, 2, 3], [4, 5, 6, 7]])
        rows = session.extend(rows, [[3], [4]])
        rows = session.extend(rows[[1, 0, 0]], [[3], [4], [5]])
        chains = session.extend(rows[:1], [[6, 7, 8]])
        inside = session.nodes.path(int(chains[0]))[-2]
        session.extend([inside], [[9]])
        session.extend(rows[1:], [[9], [10]])
    finally:
        del model.run
    assert fed == [(2, 4), (2, 1), (3, 1), (1, 3), (1, 1), (2, 1)]


def test_what_only_old_batches_hold_is_computed_again(ours):
    session = ours("llama").session()
    start = session.extend([-1], [[1, 2, 3]])
    rows = [int(session.extend(start, [[t]])[0]) for t in range(20)]
    assert len(session.store.batches) <= 8
    fresh = ours("llama").session()
    again = fresh.extend([-1], [[1, 2, 3, 0, 5]])
    np.testing.assert_allclose(session.logits(session.extend(rows[:1], [[5]])), fresh.logits(again), atol=2e-4)
