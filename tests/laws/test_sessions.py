"""Sessions: rows that fork, wait and are forgotten answer as if alone, and nothing is held that no row needs."""

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2
from helpers.tables import BACKENDS, PROMPTS, Letters, run, search_of, table
from hypothesis import given, settings, strategies as st
from laws.covering import build, over

import unspool as un
from unspool.arrays import host
from unspool.core.decoder import as_decoder
from unspool.core.loop import decode
from unspool.core.search import SPARE
from unspool.models.reading import read_transformer
from unspool.models.toy import TableModel


def tiny(backend="numpy", **options):
    config, weights = tiny_gpt2(3, **options)
    return read_transformer("gpt2", config, {name: BACKENDS[backend](array) for name, array in weights.items()})


MODELS = {f"gpt2 on {backend}": tiny(backend) for backend in BACKENDS}
MODELS["table"] = TableModel.random(24, 5)

TABLE = table(seed=1)

moves = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 99), st.lists(st.integers(0, 23), max_size=5)), min_size=1, max_size=4),
        st.one_of(st.none(), st.sets(st.integers(0, 9), min_size=1, max_size=4)),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=15, deadline=None)
@given(prompts=st.lists(st.lists(st.integers(0, 23), min_size=1, max_size=6), min_size=1, max_size=3), moves=moves)
def test_rows_that_fork_and_are_forgotten_answer_as_if_alone(name, prompts, moves):
    model = MODELS[name]
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
            assert used(session) == len({(row >> 32, slot) for row, _ in rows for slot in session.nodes.path(row).tolist()})
    logits, hidden = (host(f([row for row, _ in rows])) for f in (session.logits, session.hidden))
    for i, (row, text) in enumerate(rows):
        assert session.nodes.tokens(row).tolist() == text
        fresh = model.session()
        alone = fresh.extend([-1], [text])
        np.testing.assert_allclose(logits[i], host(fresh.logits(alone))[0], atol=2e-4, rtol=1e-4)
        np.testing.assert_allclose(hidden[i], host(fresh.hidden(alone))[0], atol=2e-4, rtol=1e-4)


def used(session):
    return sum(int(tree.used.sum()) for tree in session.nodes.trees.values())


@over("kinds")
def test_only_what_lives_or_was_looked_at_is_held(name):
    model, decoder = TABLE, build(name).resolve(Letters())
    search = search_of(model, decoder, PROMPTS)
    for _ in decode(search, decoder.strategy):
        nodes = search.lane.nodes
        live = [row for run in search.runs.values() for row in run.places]
        held = len(live) + sum(len(rows) for run in search.runs.values() for _, rows in run.looked)
        assert search._gone < max(SPARE, held / 4)
        looked = [int(r) for run in search.runs.values() for lane, rows in run.looked if lane is search.lane for r in rows]
        search.collect(at_once=True)
        needed = {n for row in (*live, *looked) for n in nodes.path(row).tolist()}
        assert used(search.lane.session) == len(needed)
        for seat in (*search.lane.chain, *search.lane.ending):
            assert seat.memory is None or set(seat.memory.values) <= needed
            assert set(seat.entered) <= needed
    assert not search.runs
    assert [used(lane.session) for lane in search.lanes()] == [0] * len(list(search.lanes()))


def test_slots_are_used_again():
    model, width, prompt = tiny(positions=256), 4, [1, 2, 3]
    search = search_of(model, as_decoder(un.Beam(width)), [prompt], 200)
    for _ in decode(search, un.Beam(width)):
        top = max((tree.top for tree in search.lane.nodes.trees.values()), default=0)
        assert top <= len(prompt) + 200 + 40 * width + SPARE
    assert search.found[0]
    pools = [pool.hidden.shape[1] for pool in search.lane.session.pools.values()]
    assert all(size <= 512 for size in pools)


@pytest.mark.parametrize("name", [n for n in MODELS if n != "table"])
@pytest.mark.parametrize("decoder", [ "sample(3)", "beam(4, n=4)", "contrastive_search"])
def test_batch_is_alone_on_a_transformer(name, decoder):
    model, prompts = MODELS[name], [[1, 2, 3], [4], [7, 7, 7, 8, 9, 10, 11], [1, 2, 3]]
    together = run(model, decoder, prompts, 5)
    for prompt, found in zip(prompts, together, strict=True):
        alone = run(model, decoder, [prompt], 5)[0]
        assert [h.tokens for h in found] == [h.tokens for h in alone]
        np.testing.assert_allclose([h.score for h in found], [h.score for h in alone], atol=1e-3)


def test_speculation_on_a_transformer_is_greedy():
    model, draft = tiny(), read_transformer("gpt2", *tiny_gpt2(4))
    prompts = [[1, 2, 3], [4], [5, 6]]
    plain = run(model, "greedy", prompts, 12)
    for found, expected in zip(run(model, un.Temperature(0) | un.Speculative(draft, 3), prompts, 12), plain, strict=True):
        assert found[0].tokens == expected[0].tokens
