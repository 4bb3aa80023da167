"""Many prompts in one call: how many run at once changes what it costs, and nothing else."""

import gc
from dataclasses import dataclass

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2
from helpers.tables import Letters, table
from laws.covering import build, over

import unspool as un
from unspool.core import room
from unspool.core.loop import decode
from unspool.core.search import ENTERING, Search
from unspool.errors import ModelError
from unspool.models.reading import read_transformer
from unspool.testing.worlds import run_whole, search_of

MODEL = table(seed=1)
RNG = np.random.default_rng(0)
MANY = [RNG.integers(0, 5, n).tolist() for n in RNG.integers(1, 7, 67)]
LIMITS = RNG.integers(1, 7, 67).tolist()
SMALL = read_transformer("gpt2", *tiny_gpt2(3, positions=700))


def told(ran):
    """All that is known of the texts of a run, and why others have none."""
    texts = [[(h.tokens, h.reason, h.logprobs, h.processed, h.score, h.nodes) for h in found] for found in ran.found]
    return texts, {prompt: str(error) for prompt, error in ran.dead.items()}, ran.search.call.work


@over("kinds")
def test_one_three_and_sixty_four_at_once_are_all_at_once(name):
    decoder = build(name).resolve(Letters())
    whole = told(run_whole(MODEL, decoder, MANY, limits=LIMITS, seed=4))
    for together in (1, 3, 64):
        ran = run_whole(MODEL, decoder, MANY, limits=LIMITS, seed=4, together=together)
        assert told(ran) == whole
        assert ran.search.over
        assert all(len(lane.nodes) == 0 for lane in ran.search.lanes())


def at_work(search):
    """The prompts that have rows."""
    return {int(f["prompt"][i]) for run in search.runs.values() for f, i in run.places.values()}


@pytest.mark.parametrize("name", ["greedy", "sample(3)", "beam(3)", "stochastic_beam(2)", "exact", "contrastive_search(2)"])
@pytest.mark.parametrize("together", [1, 5, 16])
def test_no_more_prompts_are_at_work_and_new_ones_begin_while_others_go_on(name, together):
    decoder, seen, beside = build(name) if name in ("greedy", "exact") else un.parse(name), set(), 0
    search = search_of(MODEL, decoder, MANY, limits=LIMITS, together=together)
    for _ in decode(search, decoder.strategy):
        working = at_work(search)
        assert len(working) <= together
        if decoder.strategy.joins:
            assert not search.waiting or len(working) > together - max(1, together // ENTERING)
        beside += bool(working - seen and working & seen)
        seen |= working
    assert together == 1 or beside > 3, "prompts began in batches"


@dataclass(frozen=True)
class Rounds(un.Strategy):
    """Its rows get a column after their first choice, which rows of new prompts do not have."""

    def choose(self, frontier):
        rounds = frontier.columns.get("rounds", np.zeros(len(frontier), np.int64))
        tokens = frontier.top(2)[1][np.arange(len(frontier)), rounds % 2]
        return un.Choice(tokens, frontier.rows, columns={"rounds": rounds + 1})


def test_rows_that_lack_a_column_do_not_join():
    decoder = un.Decoder((Rounds(),))
    assert told(run_whole(MODEL, decoder, MANY, limits=LIMITS, together=5)) == told(run_whole(MODEL, decoder, MANY, limits=LIMITS))


def test_strategies_join_where_they_say_so():
    joins = {un.Greedy(), un.Sample(2), un.Beam(2), un.StochasticBeam(2), un.SequentialMonteCarlo(4)}
    for strategy in (*joins, un.Exact(), un.ContrastiveSearch(2), un.Follow((1,))):
        assert strategy.joins == (strategy in joins), strategy
        decoder = un.Decoder((strategy,))
        search = search_of(MODEL, decoder, MANY, limits=LIMITS, together=8)
        most = max(len(search.runs) for _ in decode(search, strategy))
        assert (most == 1) == (strategy in joins), strategy


# --- the setting ----------------------------------------------------------------------------------------------------------


def test_together_is_a_setting_that_no_output_depends_on(tmp_path):
    def saved(output):
        output.trace.save(tmp_path / "trace")
        return (tmp_path / "trace").read_bytes()

    lm = un.LanguageModel(MODEL)
    for decoder in ("greedy", "sample(2)", "beam(2)"):
        whole = lm.generate(MANY, decoder, max_new_tokens=5, level="choices", together=len(MANY))
        for some in ({"together": 1}, {"together": 3}, {"together": None}, {}):
            outputs = lm.generate(MANY, decoder, max_new_tokens=5, level="choices", **some)
            assert [o.sequences for o in outputs] == [o.sequences for o in whole]
            assert [*map(saved, outputs)] == [*map(saved, whole)]
    for wrong in (0, -1, 1.5, "all"):
        with pytest.raises(un.ParameterError, match="together must be a whole number >= 1"):
            lm.generate(MANY, together=wrong)


def test_a_stream_is_the_first_prompts_text_however_many_run():
    lm = un.LanguageModel(MODEL)
    whole = "".join(lm.stream(MANY, max_new_tokens=5, together=len(MANY)).text())
    assert "".join(lm.stream(MANY, max_new_tokens=5, together=2).text()) == whole


def test_how_many_run_at_once_is_chosen_by_rows_and_memory(monkeypatch):
    monkeypatch.setattr(room, "memory", lambda: 0)                       # where nothing says how much there is
    assert room.prompts_together(MODEL, 1, 100) == room.ROWS_TOGETHER
    assert room.prompts_together(MODEL, None, 100) == room.ROWS_TOGETHER
    assert room.prompts_together(MODEL, 4, 100) == room.ROWS_TOGETHER // 4
    assert room.prompts_together(MODEL, 1000, 100) == 1
    row = SMALL.vocabulary * room.BYTES + 100 * SMALL.token_bytes
    monkeypatch.setattr(room, "memory", lambda: 2 * 7 * 3 * row)
    assert room.prompts_together(SMALL, 3, 100) == 7
    monkeypatch.setattr(type(SMALL), "free_memory", 2 * 5 * 3 * row)     # on a device of its own
    assert room.prompts_together(SMALL, 3, 100) == 5
    monkeypatch.setattr(type(SMALL), "free_memory", 1)
    assert room.prompts_together(SMALL, 3, 100) == 1


def test_a_models_bytes_of_a_token_are_those_its_session_keeps():
    session = SMALL.session()
    session.extend([-1], [[1, 2, 3]])
    (pool,) = session.pools.values()
    assert pool.keys.nbytes + pool.values.nbytes + pool.hidden.nbytes == SMALL.token_bytes * pool.hidden.shape[1]


# --- what ends in the middle --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["greedy", "sample(2)", "beam(2)", "speculative"])
def test_of_an_interrupted_call_what_is_over_stays_and_what_waited_has_no_text(decoder):
    if decoder.startswith("speculative"):
        decoder = un.Speculative(table(seed=2), 2)
    lm = un.LanguageModel(table(seed=1, end_tokens=()))
    whole = lm.generate(MANY, decoder, max_new_tokens=6)
    run = lm.stream(MANY, decoder, max_new_tokens=6, together=3)
    for i, _ in enumerate(run):
        if i == 20:
            run.interrupt()
    assert run._search.over
    reasons = [{s.reason for s in o.sequences} for o in run.outputs]
    assert reasons[0] == {"length"}
    assert reasons[-1] == set()
    assert "interrupted before the first token" in run.outputs[-1].failure
    for output, expected, reason in zip(run.outputs, whole, reasons, strict=True):
        if reason == {"length"}:
            assert output.sequences == expected.sequences
    assert 0 < sum("interrupted" in reason for reason in reasons) <= 3
    assert run.drew == (decoder == "sample(2)" or not isinstance(decoder, str))


@dataclass(frozen=True)
class NothingAfter(un.Processor):
    """Nothing may come after prompts that begin with a token."""

    token: int

    def process(self, rows, scores, memory=None):
        starts = np.asarray([text[-length] for text, length in zip(rows.tokens, rows.lengths, strict=True)])
        return np.where((starts == self.token)[:, None], -np.inf, scores).astype(scores.dtype)


@pytest.mark.parametrize("together", [1, 4, None])
@pytest.mark.parametrize("strategy", [un.Greedy(), un.Sample(2), un.Beam(2), un.Exact(1)])
def test_a_prompt_to_which_nothing_can_come_makes_room_and_takes_no_other_down(strategy, together):
    lm = un.LanguageModel(MODEL)
    outputs = lm.generate(MANY, NothingAfter(2) | strategy, max_new_tokens=4, together=together)
    plain = lm.generate(MANY, strategy, max_new_tokens=4)
    for prompt, output, expected in zip(MANY, outputs, plain, strict=True):
        assert output.sequences == ([] if prompt[0] == 2 else expected.sequences)
        assert bool(output.failure) == (prompt[0] == 2)


def test_an_error_of_the_model_in_the_middle_is_the_calls():
    model = table(seed=1, context=8)                                     # a session refuses longer rows
    search = Search(model, [[1, 2], [1] * 7, [3]], limits=[6, 5, 2], together=1)
    with pytest.raises(ModelError, match="longer than the model's context"):
        list(decode(search, un.Greedy()))
    assert len(search.found[0]) == 1
    assert search.found[2] == []


# --- what it costs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["sample(8)", "beam(8)", "stochastic_beam(8)", "sequential_monte_carlo(8, truncated=True)"])
@pytest.mark.parametrize("together", [1, 5, None])
def test_a_prompt_goes_through_the_model_once(decoder, together):
    ran = run_whole(table(seed=1, end_tokens=()), un.parse(decoder), MANY, limits=[1] * len(MANY), together=together)
    assert ran.search.lane.tokens == sum(map(len, MANY))                 # the only new token needs no forward
    longer = run_whole(table(seed=1, end_tokens=()), un.parse("sample(8)"), MANY, limits=[5] * len(MANY), together=together)
    assert longer.search.lane.tokens == sum(map(len, MANY)) + len(MANY) * 8 * 4


def test_beams_hold_the_tokens_that_live():
    """After 512 + 128 tokens 16 beams hold one prompt, one stem and their tails; so do the slots of the pool."""
    prompt, new = RNG.integers(0, 24, 512).tolist(), 128

    def held(width):
        decoder, most, top = un.Decoder((un.Beam(width),)), 0, 0
        search = search_of(SMALL, decoder, [prompt], new)
        for _ in decode(search, decoder.strategy):
            (run,) = search.runs.values() or [None]
            if run is None:
                continue
            nodes = search.lane.nodes
            if not run.places:
                continue
            paths = [set(nodes.path(row).tolist()) for row in run.places]
            stem = set.intersection(*paths)
            tails = len(set.union(*paths)) - len(stem)
            most = max(most, len(nodes) - tails)
            top = max(top, *(tree.top - tails for tree in nodes.trees.values()))
        return most, top

    one, many = held(1), held(16)
    assert one[0] <= 512 + 128
    assert many[0] <= 1.5 * one[0], many
    assert many[1] <= 1.5 * one[0], many


def test_memory_does_not_grow_with_the_number_of_prompts():
    """What is held beside the results is of the prompts at work: as much after 1,000 as after 100."""

    def most(count):
        rng = np.random.default_rng(1)
        prompts = [rng.integers(0, 24, n).tolist() for n in rng.integers(1, 40, count)]
        decoder = un.Decoder((un.Sample(2),))
        search = search_of(SMALL, decoder, prompts, limits=rng.integers(1, 12, count).tolist(), level="off", together=8)
        found = 0
        for _ in decode(search, decoder.strategy):
            found = max(found, sum(p.keys.nbytes + p.values.nbytes + p.hidden.nbytes for p in search.lane.session.pools.values()))
        return found

    assert most(1000) <= 1.1 * most(100)


def living():
    """How many objects of this library's classes there are."""
    gc.collect()
    return sum(str(type(o).__module__).startswith("unspool") for o in gc.get_objects())


@pytest.mark.parametrize("decoder", ["greedy", "beam(3)"])
def test_calls_leave_nothing_behind(decoder):
    lm, held = un.LanguageModel(SMALL), []
    for i in range(101):
        lm.generate([[i % 24, 3], [5]], decoder, max_new_tokens=3, together=1)
        if i in (50, 100):
            held.append(living())
    assert held[0] == held[1]
