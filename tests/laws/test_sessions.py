"""Sessions: rows that fork, wait and are forgotten answer as if alone, and nothing is held that no row needs."""

import pytest
from helpers.checkpoints import tiny_gpt2
from helpers.tables import BACKENDS, PROMPTS, Letters, run, search_of, table
from laws.covering import build, over

import unspool as un
from unspool.core.decoder import as_decoder
from unspool.core.loop import decode
from unspool.core.search import SPARE
from unspool.models.reading import read_transformer
from unspool.models.toy import TableModel
from unspool.testing import check_model
from unspool.testing.strategies import Trial, batch_is_alone, rows_are_freed


def tiny(backend="numpy", **options):
    config, weights = tiny_gpt2(3, **options)
    return read_transformer("gpt2", config, {name: BACKENDS[backend](array) for name, array in weights.items()})


MODELS = {f"gpt2 on {backend}": tiny(backend) for backend in BACKENDS}
MODELS["table"] = TableModel.random(24, 5)

TABLE = table(seed=1)

@pytest.mark.parametrize("name", MODELS)
def test_a_models_laws(name):
    check_model(MODELS[name], tries=10)


@over("kinds")
def test_only_what_lives_or_was_looked_at_is_held(name):
    rows_are_freed(Trial(build(name).resolve(Letters()), TABLE, PROMPTS))


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
@pytest.mark.parametrize("decoder", ["sample(3)", "beam(4, n=4)", "contrastive_search"])
def test_batch_is_alone_on_a_transformer(name, decoder):
    prompts = [[1, 2, 3], [4], [7, 7, 7, 8, 9, 10, 11]]
    batch_is_alone(Trial(un.parse(decoder), MODELS[name], prompts, tolerance=1e-3))


def test_speculation_on_a_transformer_is_greedy():
    model, draft = tiny(), read_transformer("gpt2", *tiny_gpt2(4))
    prompts = [[1, 2, 3], [4], [5, 6]]
    plain = run(model, "greedy", prompts, 12)
    for found, expected in zip(run(model, un.Temperature(0) | un.Speculative(draft, 3), prompts, 12), plain, strict=True):
        assert found[0].tokens == expected[0].tokens
